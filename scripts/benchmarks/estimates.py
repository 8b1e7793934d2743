"""What VAMANA.ESTIMATE says beside what FT.INFO then counts: 20,000 documents with tag, number, text and vectors, as hashes and
as JSON (there with two vectors in each document), for every compression and algorithm; the metric alternates. --engines names
compressions."""
import itertools
import json
import time

import numpy as np
import redis
from engines import load
from localserver import Progress, our_server, table

N, DIMS = 20_000, (64, 384)
ALGORITHMS = ("SVS-VAMANA", "HNSW", "FLAT")
MOST_OFF = 0.05
_BATCH = 500
_ASSUMED = ("ASSUME", 18, "KEY_BYTES", 9, "TAG_VALUES", 500, "TAG_BYTES", 8, "SORTABLE_BYTES", 15, "TEXT_WORDS", 2,
            "TEXT_POSTINGS", 2, "TEXT_TERMS", 377, "TEXT_TERM_BYTES", 3)


def _fields(i: int) -> dict:
    return {"tag": f"tag-{i % 500:04d}", "price": i, "title": f"of {i % 300:03d} and {i % 77:04d}"}


def _fill(client, base: np.ndarray, is_json: bool) -> None:
    progress = Progress("documents", N)
    for start in range(0, N, _BATCH):
        pipe = client.pipeline(False)
        for i in range(start, start + _BATCH):
            if is_json:
                both = [base[i].round(4).tolist(), base[-1 - i].round(4).tolist()]
                pipe.execute_command("JSON.SET", f"doc:{i:05d}", "$", json.dumps(_fields(i) | {"v": both}))
            else:
                pipe.hset(f"doc:{i:05d}", mapping=_fields(i) | {"v": base[i].tobytes()})
        pipe.execute()
        progress(start + _BATCH)


def _definition(is_json: bool, algorithm: str, dim: int, metric: str, compression: str) -> list:
    words = ["TYPE", "FLOAT32", "DIM", dim, "DISTANCE_METRIC", metric]
    words += (["EF_CONSTRUCTION", 40] if algorithm == "HNSW" else ["CONSTRUCTION_WINDOW_SIZE", 40]
              if algorithm == "SVS-VAMANA" else [])
    words += ["COMPRESSION", compression] if compression != "none" else []
    def path(name):
        return (f"$.{name}[*]" if name == "v" else f"$.{name}", "AS", name) if is_json else (name,)
    return ["ON", "JSON" if is_json else "HASH", "PREFIX", 1, "doc:", "SCHEMA", *path("tag"), "TAG", *path("price"), "NUMERIC",
            "SORTABLE", *path("title"), "TEXT", "NOSTEM", "SORTABLE", *path("v"), "VECTOR", algorithm, len(words), *words]


def _taken(client, definition: list, some: np.ndarray) -> dict:
    """What FT.INFO says when all is linked, trained and calibrated, and the writer has had work since."""
    client.execute_command("FT.CREATE", "i", *definition)
    before = None
    while True:
        time.sleep(0.7)
        info = client.execute_command("FT.INFO", "i")
        field = info[b"attributes"][-1]
        shown = [info[b"total_index_memory_sz_mb"], field.get(b"trained"), field.get(b"rerank_measured"),
                 field.get(b"pending_vectors")]
        if info[b"num_docs"] == N and not info[b"indexing"] and shown == before and 0 not in shown[1:3] and not shown[3]:
            break
        before = shown
    last = f"doc:{N - 1:05d}"
    client.delete(last)                         # put back below: the writer links by the codes in effect
    if b"JSON" in bytes(info[b"index_definition"][b"key_type"]):
        client.execute_command("JSON.SET", last, "$",
                               json.dumps(_fields(N - 1) | {"v": [some[0].round(4).tolist(), some[1].round(4).tolist()]}))
    else:
        client.hset(last, mapping=_fields(N - 1) | {"v": some[0].tobytes()})
    for query in ("*=>[KNN 10 @v $q]", "@price:[1 2000]"):
        client.execute_command("FT.SEARCH", "i", query, "PARAMS", 2, "q", some[1].tobytes(), "NOCONTENT", "DIALECT", 2)
    client.execute_command("_FT.DEBUG", "WORKERS", "DRAIN")
    return client.execute_command("FT.INFO", "i")


def run(directory: str, options) -> dict:
    """Prints the table, the largest difference last; returns the figures."""
    import native
    base = np.ascontiguousarray(load(directory)[0][:2 * N])
    rows, result = [], {}
    names = options.engines or ["none", *native.COMPRESSIONS]
    metrics = itertools.cycle(("COSINE", "L2"))
    for is_json, dim in itertools.product((False, True), DIMS):
        dim = min(dim, base.shape[1])
        with our_server() as (port, _), redis.Redis(port=port, protocol=3, socket_timeout=600) as client:
            part = np.ascontiguousarray(np.resize(base[:, :dim], (2 * N, dim)))
            _fill(client, part, is_json)
            next(metrics)                       # the other way round than for the dimension before
            for algorithm, name in itertools.product(ALGORITHMS, names):
                metric = next(metrics)
                definition = _definition(is_json, algorithm, dim, metric, name)
                assumed = ("ASSUME", _ASSUMED[1] - (0 if is_json else 2),
                           *(("VECTORS_PER_DOCUMENT", 2) if is_json else ()), *_ASSUMED[2:])
                said = client.execute_command("VAMANA.ESTIMATE", N, *assumed, "i", *definition)
                shown = _taken(client, definition, part)
                client.execute_command("FT.DROPINDEX", "i")
                vector = said[b"fields"][-1]
                held = {"all": shown[b"total_index_memory_sz_mb"], "vectors": shown[b"vector_index_sz_mb"]}
                off = {"all": said[b"bytes"] / (held["all"] * (1 << 20)) - 1,
                       "vectors": vector[b"bytes"] / (held["vectors"] * (1 << 20)) - 1}
                rows.append(["JSON" if is_json else "HASH", dim, algorithm, metric, name, f"{said[b'bytes']:,}",
                             *(f"{100 * one:+.1f} %" for one in off.values())])
                result["/".join(map(str, rows[-1][:5]))] = off
                print(*rows[-1], *([vector] if max(map(abs, off.values())) > MOST_OFF else []), flush=True)
    worst = max(result.values(), key=lambda off: max(map(abs, off.values())))
    print(table(["documents", "dimensions", "algorithm", "metric", "compression", "estimate, bytes", "all off by",
                 "vectors off by"], rows))
    print(f"largest difference: {100 * max(map(abs, worst.values())):.1f} %")
    return result
