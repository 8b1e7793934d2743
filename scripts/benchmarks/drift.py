"""Drift: an index is trained on one kind of documents, then another kind comes. When is it noticed, what recall does it have by
then, after VAMANA.RETRAIN, and would a fresh index have; how long searches wait meanwhile. The other kind is the rest of the
sections (a data directory with items.jsonl.gz), or made-up image descriptors of the same width."""
import gzip
import json
import threading
import time
from pathlib import Path

import numpy as np
import redis

from localserver import as_dict, our_server, table

COMPRESSIONS = ("LVQ4", "LVQ8", "LVQ4x4", "LeanVec4x8", "SQ8", "PQ", "BIN")
#: Documents of the first kind, of the second, and how many of these come between two looks.
FIRST, SECOND, STEP = 15_000, 15_000, 1000
WINDOW, N_QUERIES = 60, 300


def _normalised(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)


def _kinds(directory: Path) -> dict:
    """Name -> (first kind, second kind, queries), rows of unit length."""
    base = _normalised(np.load(directory / "base.npy").astype("<f4"))
    random = np.random.default_rng(0)
    kinds = {}
    items = directory / "items.jsonl.gz"
    if items.exists():
        sections = np.array([json.loads(line)["section"] for line in gzip.open(items, "rt")])
        names, counts = np.unique(sections, return_counts=True)
        most = names[np.argmax(counts)]
        first, second = random.permutation(np.flatnonzero(sections == most)), random.permutation(np.flatnonzero(sections != most))
        kinds[f"section {most}, then the rest"] = base[first[:FIRST]], base[second[:SECOND]]
    # Histograms of gradients: non-negative, few large values, all far from the mean of text.
    patches = random.gamma(0.4, 1, (SECOND, base.shape[1])) * (1 + np.sin(np.arange(base.shape[1]) * np.pi / 4))
    rows = random.permutation(len(base))[:FIRST]
    kinds["text, then image descriptors"] = base[rows], _normalised(patches.astype("<f4"))
    return kinds


def _put(r, rows, first):
    pipe = r.pipeline(False)
    for i, row in enumerate(rows, first):
        pipe.hset(f"d{i}", "v", row.tobytes())
        if i % 200 == 199:
            pipe.execute()
    pipe.execute()


def _field(r):
    return as_dict(as_dict(r.execute_command("FT.INFO", "i"))["attributes"][0])


def _settle(r):
    while int((now := _field(r))["pending_vectors"]) or now["training"] == "running":
        time.sleep(0.05)
    return now


def _search(r, query):
    return r.execute_command("FT.SEARCH", "i", f"*=>[KNN 10 @v $q]=>{{$SEARCH_WINDOW_SIZE: {WINDOW}; $RERANK: OFF}}",
                             "PARAMS", 2, "q", query.tobytes(), "NOCONTENT", "DIALECT", 2)[1:]


def _recall(r, rows, queries):
    exact = np.argpartition(-(queries @ rows.T), 10, axis=1)[:, :10]
    return np.mean([len({int(i[1:]) for i in _search(r, q)} & set(e.tolist())) / 10 for q, e in zip(queries, exact)])


def _create(r, dim, compression, threshold):
    r.execute_command("FT.CREATE", "i", "SCHEMA", "v", "VECTOR", "SVS-VAMANA", 10, "TYPE", "FLOAT32", "DIM", dim,
                      "DISTANCE_METRIC", "COSINE", "COMPRESSION", compression, "TRAINING_THRESHOLD", threshold)


class _Searcher(threading.Thread):
    """Searches one after another; keeps how long each took, in ms."""

    def __init__(self, port, queries):
        super().__init__(daemon=True)
        self.port, self.queries, self.waits, self.stop = port, queries, [], False

    def run(self):
        r = redis.Redis(port=self.port, protocol=2)
        while not self.stop:
            for query in self.queries:
                start = time.perf_counter()
                _search(r, query)
                self.waits.append(1e3 * (time.perf_counter() - start))
                if self.stop:
                    return


def _measure(compression, first, second) -> dict:
    everything = np.concatenate([first, second])
    random = np.random.default_rng(1)
    pick = random.integers(0, len(everything), (N_QUERIES, 2))
    noise = random.standard_normal((N_QUERIES, everything.shape[1])).astype("<f4")
    queries = _normalised(everything[pick[:, 0]] + 0.3 * _normalised(noise)).astype("<f4")
    out = {"compression": compression, "noticed_at": None, "recall_noticed": None}
    with our_server("--search-retrain", "manual") as (port, _):
        r = redis.Redis(port=port, protocol=2)
        _create(r, first.shape[1], compression, len(first) // 2)
        _put(r, first, 0)
        _settle(r)
        of_first = _normalised(first[pick[:, 0] % len(first)] + 0.3 * _normalised(noise)).astype("<f4")
        out["recall_before"] = _recall(r, first, of_first)
        for at in range(0, len(second), STEP):
            _put(r, second[at:at + STEP], len(first) + at)
            if out["noticed_at"] is None and float(_field(r)["drift"]) >= 1.4:
                out["noticed_at"] = at + STEP
                n = len(first) + at + STEP
                out["recall_noticed"] = _recall(r, everything[:n], of_first)
        now = _settle(r)
        out["drift"], out["mean_shift"] = float(now["drift"]), float(now["mean_shift"])
        out["recall_drifted"] = _recall(r, everything, queries)
        searcher = _Searcher(port, queries)
        listener = r.pubsub()
        listener.subscribe("__vamana__:i")
        searcher.start()
        time.sleep(3)
        n_before = len(searcher.waits)
        start = time.perf_counter()
        r.execute_command("VAMANA.RETRAIN", "i", "v")
        while not ((message := listener.get_message(timeout=1)) and message["type"] == "message"
                   and b'"retrained"' in message["data"]):
            pass
        out["retrain_s"] = time.perf_counter() - start
        searcher.stop = True
        searcher.join()
        out["usual_wait_ms"] = float(np.median(searcher.waits[:n_before]))
        out["longest_before_ms"] = float(max(searcher.waits[:n_before]))
        out["longest_wait_ms"] = float(max(searcher.waits[n_before:]))
        _settle(r)
        out["recall_retrained"] = _recall(r, everything, queries)
    with our_server() as (port, _):
        r = redis.Redis(port=port, protocol=2)
        _create(r, first.shape[1], compression, len(everything) // 2)
        order = random.permutation(len(everything))
        _put(r, everything[order], 0)
        _settle(r)
        out["recall_fresh"] = _recall(r, everything[order], queries)
    return out


def run(directory: str, options=None) -> dict:
    """Prints a table for each change of kind; returns its rows."""
    results = {}
    compressions = (options.engines if options else None) or COMPRESSIONS
    for name, (first, second) in _kinds(Path(directory)).items():
        rows = results[name] = [_measure(compression, first, second) for compression in compressions]
        print(f"{name} ({len(first)} and {len(second)} documents, window {WINDOW})\n")
        print(table(["compression", "noticed after", "drift", "mean shift", "recall before", "when noticed", "drifted",
                     "retrained", "fresh", "retrain s", "usual wait ms", "longest before", "longest wait ms"],
                    [[row["compression"], row["noticed_at"] or "-", f"{row['drift']:.2f}", f"{row['mean_shift']:.2f}"]
                     + [f"{row[key]:.4f}" if row[key] else "-"
                        for key in ("recall_before", "recall_noticed", "recall_drifted", "recall_retrained", "recall_fresh")]
                     + [f"{row[key]:.1f}" for key in ("retrain_s", "usual_wait_ms", "longest_before_ms", "longest_wait_ms")]
                     for row in rows]), flush=True)
    return results
