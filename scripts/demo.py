"""The demo: a thousand packages, three questions, and what each compression costs and gives. Started by scripts/demo."""
import json
import statistics
import time
from pathlib import Path

import numpy as np
import redis
from localserver import Progress, as_dict, our_server, table

import native

SAMPLE = Path(__file__).resolve().parent / "sample" / "packages.npz"
KNN = "*=>[KNN 10 @embedding $vector AS distance]"


def load_sample() -> dict:
    """The sample's arrays with embeddings as float32 of unit length,
    and its items as lists [name, section, size, description]."""
    raw = np.load(SAMPLE)
    def vectors(name, scale):
        x = raw[name].astype(np.float32) * raw[scale][:, None]
        return x / np.linalg.norm(x, axis=1, keepdims=True)
    return {
        "base": vectors("codes", "scales"), "queries": vectors("query_codes", "query_scales"),
        "asked": vectors("question_codes", "question_scales"), "questions": raw["questions"].tolist(),
        "items": [json.loads(line) for line in raw["items"].tobytes().decode().splitlines()],
    }


def create(r: redis.Redis, index: str, algorithm: str, compression: str | None, dim: int) -> None:
    """An index on the keys pkg:*."""
    options = ["TYPE", "FLOAT32", "DIM", dim, "DISTANCE_METRIC", "COSINE"]
    if compression:
        options += ["COMPRESSION", compression, "TRAINING_THRESHOLD", 1024]
    r.execute_command("FT.CREATE", index, "ON", "HASH", "PREFIX", 1, "pkg:", "SCHEMA", "section", "TAG", "size", "NUMERIC",
                      "embedding", "VECTOR", algorithm, len(options), *options)


def wait_ready(r: redis.Redis, index: str) -> None:
    """Waits until the index has read all keys, learnt its codes and linked every vector."""
    while True:
        info = as_dict(r.execute_command("FT.INFO", index))
        vector = as_dict(info["attributes"][-1])
        if float(info["percent_indexed"]) >= 1 and not int(vector["pending_vectors"]) and vector.get("training") != b"running":
            return
        time.sleep(0.02)


def search(r: redis.Redis, index: str, vector: np.ndarray, query: str = KNN) -> list:
    """The rows of one search as [(key, {field: text})...]."""
    reply = r.execute_command("FT.SEARCH", index, query, "PARAMS", 2, "vector", vector.tobytes(), "SORTBY", "distance",
                              "RETURN", 5, "distance", "title", "name", "section", "size", "DIALECT", 2)
    return [(key.decode(), {k.decode(): v.decode() for k, v in zip(f[::2], f[1::2], strict=True)})
            for key, f in zip(reply[1::2], reply[2::2], strict=True)]


def show(rows: list, limit: int) -> None:
    for _, fields in rows[:limit]:
        print(f"    {float(fields['distance']):.3f}  {fields['name']:<24} {fields['title']}  ({fields['section']}, "
              f"{fields['size']} kB)")


def main() -> None:
    data = load_sample()
    base, queries, items = data["base"], data["queries"], data["items"]
    exact = np.argsort(-(queries @ base.T), axis=1)[:, :10]
    with our_server() as (port, _):
        r = redis.Redis(port=port, protocol=2)
        print(f"vamana-server listens on port {port}; loading {len(items):,} packages\n")
        create(r, "packages", "SVS-VAMANA", "LVQ4x4", base.shape[1])
        progress, pipe = Progress("loading", len(items)), r.pipeline(transaction=False)
        for i, (name, section, size, title) in enumerate(items):
            pipe.hset(f"pkg:{i}",
                      mapping={"name": name, "section": section, "size": size, "title": title, "embedding": base[i].tobytes()})
            if i % 100 == 99:
                pipe.execute()
                progress(i + 1)
        pipe.execute()
        for question, vector in zip(data["questions"], data["asked"], strict=True):
            print(f'"{question}"')
            show(search(r, "packages", vector), 3)
        print(f'\n"{data["questions"][0]}", only what is written in Python or smaller than 500 kB')
        show(search(r, "packages", data["asked"][0],
                    "(@section:{python} | @size:[0 500])=>[KNN 10 @embedding $vector AS distance]"), 3)

        rows = []
        compressions = [None, *native.COMPRESSIONS]
        progress = Progress("comparing compressions", len(compressions))
        for done, compression in enumerate(compressions, 1):
            name = compression or "none"
            create(r, name, "SVS-VAMANA", compression, base.shape[1])
            wait_ready(r, name)
            hits, times = 0, []
            for i, query in enumerate(queries):
                start = time.perf_counter()
                found = search(r, name, query)
                times.append(time.perf_counter() - start)
                hits += len({int(key[4:]) for key, _ in found} & set(exact[i].tolist()))
            code = native.bytes_per_vector(base.shape[1], "FLOAT32", compression)
            rows.append([name, f"{code:,}", f"{hits / len(queries) / 10:.3f}", f"{1e6 * statistics.median(times):.0f}"])
            progress(done)
            r.execute_command("FT.DROPINDEX", name)
        print("\n" + table(["COMPRESSION", "bytes per vector", "recall@10", "median us per search"], rows))
        print("\nThe graph adds 132 bytes a vector. The time is a redis-py client's, from request to parsed reply.")


if __name__ == "__main__":
    main()
