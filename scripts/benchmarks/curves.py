"""The engine in process, one thread: recall against queries per second, bytes and build rate,
beside its peers in alternating rounds."""
import statistics
import time

from engines import K, load, make, recall
from localserver import table
from rounds import alternate, at_recall, number, print_ratio

ENGINES = ["ours-LVQ8", "ours-LVQ4x4", "ours-LVQ4x8", "ours-LeanVec4x8", "ours-LeanVec8x8", "ours-f32", "svs-lvq8",
           "svs-lvq4x4", "svs-lvq4x8", "svs-lean4x8", "svs-lean8x8", "svs-f32", "hnswlib", "faiss-HNSW16", "faiss-HNSW16_SQ8",
           "usearch-f32", "usearch-i8"]
LEVELS = [0.90, 0.95, 0.99]


def prepare(name, directory):
    base, queries, exact, metric = load(directory)
    start = time.process_time()
    engine = make(name, base, metric)
    built = time.process_time() - start
    engine.tune(queries)
    facts = {"vectors_per_s": len(base) / built, "bytes": engine.nbytes() / len(base)}

    return facts, lambda: climb(engine, queries, exact)


def climb(engine, queries, exact, **more) -> list:
    """[setting, recall, queries per second] of each setting;
    queries are prepared by the engine, within the time. `more`: for search()."""
    curve = []
    for setting in engine.settings:
        start = time.perf_counter()
        found = engine.search(queries, K, **setting, **more)
        elapsed = time.perf_counter() - start
        curve.append([setting, recall(found, exact), len(queries) / elapsed])
        if curve[-1][1] > 0.9995:
            break
    return curve


def median_curve(curves: list) -> list:
    """[setting, recall, median of queries per second] of the settings that all of the curves have."""
    return [[*points[0][:2], statistics.median(point[2] for point in points)] for points in zip(*curves)]


def qps_at(curve: list) -> dict:
    """Queries per second by recall."""
    return {level: at_recall([(r, qps) for _, r, qps in curve], level) for level in LEVELS}


def run(directory: str, options) -> dict:
    """Prints the table and the ratios; returns {engine: facts, curve and QPS by recall}."""
    workers = alternate("curves", options.engines or ENGINES, directory, options.rounds or 5)
    rows, result, by_level = [], {}, {level: {} for level in LEVELS}
    for worker in workers:
        curve = median_curve(worker.measures)
        at = qps_at(curve)
        for level in LEVELS:
            by_level[level][worker.name] = at[level]
        result[worker.name] = {**worker.built, "qps": {str(level): at[level] for level in LEVELS}, "curve": curve}
        rows.append([worker.name, number(worker.built["bytes"]), number(worker.built["vectors_per_s"]),
                     f"{max(r for _, r, _ in curve):.4f}", *(number(at[level]) for level in LEVELS)])
    print(table(["engine", "bytes/vector", "build vectors/s", "best recall", *(f"QPS @{level}" for level in LEVELS)], rows))
    result["ratios"] = {str(level): print_ratio(f"recall {level}", by_level[level]) for level in LEVELS}
    for family in ("svs", "hnswlib", "faiss", "usearch"):
        some = {name: qps for name, qps in by_level[0.95].items() if name.startswith(("ours", family))}
        result["ratios"][family] = print_ratio(f"recall 0.95, against {family}", some)
    rates = {worker.name: worker.built["vectors_per_s"] for worker in workers}
    result["ratios"]["build"] = print_ratio("build", rates)
    return result


def draw(result: dict, path: str, title: str) -> None:
    """The curves as a picture (PNG): recall to the right, queries per second upwards."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(9, 6))
    for name, one in result.items():
        if name == "ratios":
            continue
        points = [(r, qps) for _, r, qps in one["curve"] if r >= 0.8]
        style = ({"linewidth": 2.2, "marker": "o"} if name.startswith("ours")
                 else {"linewidth": 1, "linestyle": "--", "marker": "."})
        axes.plot([r for r, _ in points], [qps for _, qps in points], label=name, markersize=3, **style)
    axes.set(xlabel=f"recall@{K}", ylabel="queries per second, one thread", yscale="log", xlim=(0.8, 1), title=title)
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)
