"""TARGET_RECALL through the socket, with no other parameter: the recall@10 of held-out queries, the window and candidates that
were chosen for it, and what VAMANA.RECALL says of the same index, by recent queries and by sampled documents."""
import time

import numpy as np
import redis
from engines import K, load, recall
from localserver import Progress, our_server, table
from rounds import number

CODECS = ["LVQ8", "LVQ4x4", "LVQ4", "LeanVec4x8", "none"]
TARGETS = (0.90, 0.95, 0.99)
DEFAULT = 0.95                                  # given at creation; the others with each query
#: What may be missed: of a target, of a measured recall.
BELOW, OFF = 0.005, 0.01
_SAMPLE = 1000


def fill(client, base) -> None:
    """Stores the vectors as hashes 0 .. n - 1."""
    progress = Progress("documents", len(base))
    for start in range(0, len(base), 500):
        pipe = client.pipeline(False)
        for i, vector in enumerate(base[start:start + 500], start):
            pipe.hset(f"{i}", "v", vector.tobytes())
        pipe.execute()
        progress(min(start + 500, len(base)))


def create(client, codec: str, dim: int, metric: str, *options) -> None:
    """Indexes what is stored as index `i`; returns when all is linked, trained and calibrated."""
    words = ["TYPE", "FLOAT32", "DIM", dim, "DISTANCE_METRIC", metric, *options]
    if codec != "none":
        words += ["COMPRESSION", codec]
    client.execute_command("FT.CREATE", "i", "SCHEMA", "v", "VECTOR", "SVS-VAMANA", len(words), *words)
    n, before = client.dbsize(), None
    while True:
        time.sleep(1.5)
        info = client.execute_command("FT.INFO", "i")
        field = info[b"attributes"][0]
        shown = [field.get(name)
                 for name in (b"search_window_size", b"window_recall", b"rerank_candidates", b"rerank_measured", b"trained")]
        if info[b"num_docs"] == n and not field[b"pending_vectors"] and shown == before and shown[1] and 0 not in shown[3:]:
            return
        before = shown


def found_by(client, queries, attributes: str = "") -> np.ndarray:
    """The ten keys that each query finds, (n, 10), -1 where there are fewer; asked one after the other, many on their way."""
    rows = np.full((len(queries), K), -1)
    for start in range(0, len(queries), 100):
        pipe = client.pipeline(False)
        for query in queries[start:start + 100]:
            pipe.execute_command("FT.SEARCH", "i", f"*=>[KNN {K} @v $q]{attributes}", "PARAMS", 2, "q", query.tobytes(),
                                 "NOCONTENT", "DIALECT", 2)
        for row, reply in zip(rows[start:], pipe.execute()):
            keys = [int(one[b"id"]) for one in reply[b"results"]]
            row[:len(keys)] = keys
    return rows


def run(directory: str, options) -> dict:
    """Prints a line for each codec and target; returns the figures and how many of them are missed."""
    base, queries, exact, metric = load(directory)
    result, rows, missed = {}, [], 0
    with our_server() as (port, _), redis.Redis(port=port, protocol=3, socket_timeout=600) as client:
        fill(client, base)
        for codec in options.engines or CODECS:
            create(client, codec, base.shape[1], metric, "TARGET_RECALL", DEFAULT)
            measured = {}
            # the default last: its queries are the recent ones
            for target in sorted(TARGETS, key=lambda target: target == DEFAULT):
                attributes = "" if target == DEFAULT else "=>{$TARGET_RECALL: %s}" % target
                measured[target] = recall(found_by(client, queries, attributes), exact)
            field = client.execute_command("FT.INFO", "i")[b"attributes"][0]
            said = {source: client.execute_command("VAMANA.RECALL", "i", "v", "SAMPLE", _SAMPLE, "SOURCE", source)
                    for source in ("QUERIES", "DOCUMENTS")}
            client.execute_command("FT.DROPINDEX", "i")
            off = {source: reply[b"recall"] - measured[DEFAULT] for source, reply in said.items()}
            result[codec] = {"reached": {str(target): measured[target] for target in TARGETS},
                             "window": field[b"search_window_size"], "window_recall": field[b"window_recall"],
                             "rerank": field.get(b"rerank_candidates", 0), "off": off}
            low = [target for target in TARGETS if measured[target] < target - BELOW]
            missed += len(low) + sum(abs(one) > OFF for one in off.values())
            rows.append([codec, field[b"search_window_size"], field.get(b"rerank_candidates", 0),
                         *(f"{measured[target]:.4f}{' missed' if target in low else ''}" for target in TARGETS),
                         *(f"{100 * one:+.2f}" for one in off.values())])
            print(f"{codec}: {rows[-1]}", flush=True)
    print(table(["codec", "window", "rerank", *(f"target {target}" for target in TARGETS),
                 "VAMANA.RECALL by queries is off by, points", "by documents"], rows))
    print(f"missed: {number(missed)}")
    return result | {"missed": missed}
