"""Flat scans, one thread: batches of 32 queries beside faiss and numpy; then single queries over 200,000 x 128 by compression,
as in the published comparison of float32, LVQ-8 and LVQ-8x8 with ten times re-ranking (memory 100 / 27.3 / 54.7 %, recall 1.000
/ 0.942 / 1.000, 148 / 120 / 121 queries per second there)."""
import time

import numpy as np
from engines import K, load, make, nearest, recall
from localserver import table
from rounds import alternate, median_of, number, print_ratio

BATCHED = ["ours-flat-LVQ8", "ours-flat-SQ8", "ours-flat-f32", "faiss-SQ8", "faiss-Flat", "numpy"]
SINGLE = ["ours-flat-f32", "ours-flat-LVQ8", "ours-flat-LVQ8x8"]
N_BATCH, N_LARGE, N_QUERIES = 32, 200_000, 320


def _enlarged(base, n, metric):
    """n vectors: the given ones, then others half way between two of them and with a little noise:
    as many clusters, no duplicates."""
    rng = np.random.default_rng(3)
    more = n - len(base)
    if more <= 0:
        return base[:n]
    first, second = base[rng.integers(0, len(base), more)], base[rng.integers(0, len(base), more)]
    between = (first + second) / 2 + rng.normal(0, 0.1 * base.std(), first.shape).astype(np.float32)
    if metric == "L2":                          # bytes
        between = np.clip(np.rint(between), 0, 255)
    return np.concatenate([base, between.astype(np.float32)])


def prepare(name, directory, is_single):
    base, queries, exact, metric = load(directory)
    queries = queries[:N_QUERIES]
    if is_single:
        base = _enlarged(base, N_LARGE, metric)
        exact = nearest(base, queries, metric)
    engine = make(name, base, metric)
    step = 1 if is_single else N_BATCH

    def measure():
        found, start = [], time.perf_counter()
        for i in range(0, len(queries), step):
            found.append(engine.search(queries[i:i + step], K))
        elapsed = time.perf_counter() - start
        return {"qps": len(queries) / elapsed, "recall": recall(np.concatenate(found), exact[:len(queries)])}
    return {"bytes": engine.nbytes() / len(base)}, measure


def run(directory: str, options) -> dict:
    """Prints both tables and the ratios; returns {"batched": ..., "single": ...}."""
    result = {}
    for title, names in (("batched", BATCHED), ("single", SINGLE)):
        workers = alternate("flat", names, directory, options.rounds or 5, is_single=title == "single")
        figures = {worker.name: {**worker.built, **median_of(worker.measures)} for worker in workers}
        whole = next((f["bytes"] for name, f in figures.items() if name == "ours-flat-f32"), None)
        print(f"\n{title}: " + ("batches of 32 queries" if title == "batched" else f"{N_LARGE:,} vectors, one query at a time"))
        print(table(["engine", "bytes/vector", "% of float32", "recall", "QPS"],
                    [[name, number(f["bytes"]), number(100 * f["bytes"] / whole, 1) if whole else "-", f"{f['recall']:.3f}",
                      number(f["qps"])] for name, f in figures.items()]))
        result[title] = figures
    rates = {name: f["qps"] for name, f in result["batched"].items()}
    eight = {name: qps for name, qps in rates.items() if name in ("ours-flat-LVQ8", "ours-flat-SQ8", "faiss-SQ8")}
    beside_numpy = {name: qps for name, qps in rates.items() if name in (*eight, "numpy") and name != "faiss-SQ8"}
    result["ratios"] = {"faiss SQ8": print_ratio("8 bits, against faiss", eight),
                        "numpy": print_ratio("8 bits, against numpy", beside_numpy)}
    return result


def draw(result: dict, axes, title: str) -> None:
    """Share of float32's memory to the right, recall upwards, queries per second beside the points."""
    whole = result["single"]["ours-flat-f32"]["bytes"]
    for name, f in result["single"].items():
        axes.plot(100 * f["bytes"] / whole, f["recall"], "o")
        axes.annotate(f"{name}\n{f['qps']:.0f} QPS", (100 * f["bytes"] / whole, f["recall"]), fontsize=7, xytext=(4, -12),
                      textcoords="offset points")
    for memory, found in ((27.3, 0.942), (54.7, 1.0), (100, 1.0)):
        axes.plot(memory, found, "x", color="gray")
    axes.set(xlabel="% of float32's memory; x: published", ylabel="recall@10", title=title)
    axes.grid(True, alpha=0.3)
