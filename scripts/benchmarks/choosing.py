"""Choosing a compression: bytes, build rate, the recall that all windows together reach and queries per second at recall 0.90,
0.95 and 0.99 of each, on one thread in process, by its codes alone and with the best candidates scored again by the original
vectors (RERANK AUTO)."""
import time

from curves import LEVELS, climb, median_curve, qps_at
from engines import load, make
from localserver import table
from rounds import alternate, number

LEVEL_NAMES = [f"QPS @{level:.2f}" for level in LEVELS]
#: A setting is at the best recall when it is so near to that of the widest window.
NEARLY = 0.002


def kinds() -> list[str]:
    """The names of all compressions, float32 first."""
    import native
    return ["f32", *native.COMPRESSIONS]


def prepare(name, directory):
    base, queries, exact, metric = load(directory)
    start = time.process_time()
    engine = make(f"rescored-{name}", base, metric)
    built = time.process_time() - start
    engine.tune(queries)
    stats = engine.index.stats()
    facts = {"bytes": stats["code_bytes"] + stats["residual_bytes"], "index_bytes": engine.nbytes() / len(base),
             "vectors_per_s": len(base) / built, "rerank": engine.count}

    def measure():
        curves = {"codes": climb(engine, queries, exact, count=0)}
        if engine.count:
            curves["rescored"] = climb(engine, queries, exact)
        return curves
    return facts, measure


def run(directory: str, options) -> dict:
    """Prints the table; returns {compression: facts, and for `codes` and `rescored` the curve,
    the best recall and QPS by recall}."""
    result, rows = {}, []
    for worker in alternate("choosing", options.engines or kinds(), directory, options.rounds or 3):
        figures = dict(worker.built)
        for how in worker.measures[0]:
            curve = median_curve([one[how] for one in worker.measures])
            best = max(r for _, r, _ in curve)
            figures[how] = {"curve": curve, "best": best, "qps": {str(level): qps for level, qps in qps_at(curve).items()},
                            "qps_at_best": max(qps for _, r, qps in curve if r >= best - NEARLY)}
        result[worker.name] = figures
        codes, rescored = figures["codes"], figures.get("rescored")
        rows.append([worker.name, number(figures["bytes"]), number(figures["index_bytes"]), number(figures["vectors_per_s"]),
                     f"{codes['best']:.4f}", number(codes["qps_at_best"]), *map(number, codes["qps"].values()),
                     number(figures["rerank"]), *_rescored(codes, rescored)])
    print(table(["compression", "bytes", "with graph", "build vectors/s", "best recall", "QPS there", *LEVEL_NAMES, "rerank",
                 "best recall", *LEVEL_NAMES, "@0.99 / codes at best"], rows))
    return result


def _rescored(codes: dict, rescored: dict | None) -> list[str]:
    if rescored is None:
        return ["-"] * (2 + len(LEVELS))
    ratio = rescored["qps"]["0.99"] / codes["qps_at_best"] if rescored["qps"]["0.99"] else None
    return [f"{rescored['best']:.4f}", *map(number, rescored["qps"].values()), f"{ratio:.2f}x" if ratio else "-"]


def draw(result: dict, axes, title: str) -> None:
    """Recall at best to the right, bytes of a vector upwards; an arrow to what rescoring makes of it."""
    for name, one in result.items():
        x, y = one["codes"]["best"], one["bytes"]
        axes.plot(x, y, "o", color="tab:blue")
        axes.annotate(name, (x, y), fontsize=7, xytext=(3, 3), textcoords="offset points")
        if "rescored" in one:
            axes.annotate("", (one["rescored"]["best"], y), (x, y), arrowprops={"arrowstyle": "->", "color": "tab:green"})
    axes.set(xlabel="recall@10 at best; arrows: rescored", ylabel="bytes of a vector", yscale="log", title=title)
    axes.grid(True, which="both", alpha=0.3)
