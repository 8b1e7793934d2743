"""Eight bits against float32 in a graph at ef 128, 256 and 512, with and without rescoring by the originals: latency of one
query and precision, at the data's width and at 960 dimensions (the data's vectors beside themselves, each block turned at
random, cut at 960). Published: 28 to 60 % less latency, precision within 0.3 points."""
import time

import numpy as np
from engines import K, load, make, nearest, recall
from localserver import table
from rounds import alternate, median_of, number

ENGINES = ["ours-f32", "ours-SQ8", "rescored-SQ8", "ours-LVQ8", "rescored-LVQ8"]
EFS = [128, 256, 512]
N, N_QUERIES, WIDE = 30_000, 200, 960


def _widened(x, dim):
    rng = np.random.default_rng(5)
    blocks = []
    while sum(block.shape[1] for block in blocks) < dim:
        turn = np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))[0].astype(np.float32)
        blocks.append((x + 0.05 * rng.normal(size=x.shape).astype(np.float32) * np.abs(x).mean()) @ turn)
    wide = np.concatenate(blocks, axis=1)[:, :dim]
    return np.ascontiguousarray(wide / np.linalg.norm(wide, axis=1, keepdims=True))


def prepare(name, directory, dim):
    base, queries, _, metric = load(directory)
    base, queries = base[:N], queries[:N_QUERIES]
    if dim:
        both = _widened(np.concatenate([base, queries]), dim)
        base, queries = both[:len(base)], both[len(base):]
    exact = nearest(base, queries, metric)
    engine = make(name, base, metric)
    engine.tune(queries)

    def measure():
        result = {}
        for ef in EFS:
            start = time.perf_counter()
            found = np.concatenate([engine.search(query[None], K, window=ef) for query in queries])
            result[f"us{ef}"] = 1e6 * (time.perf_counter() - start) / len(queries)
            result[f"precision{ef}"] = recall(found, exact)
        return result
    return {}, measure


def run(directory: str, options) -> dict:
    """Prints latency and precision by ef and width; returns them."""
    result = {}
    own = load(directory)[0].shape[1]
    for dim in (0, WIDE):
        workers = alternate("scalar", options.engines or ENGINES, directory, options.rounds or 5, dim=dim)
        figures = {worker.name: median_of(worker.measures) for worker in workers}
        whole = figures.get("ours-f32")
        print(f"\n{dim or own} dimensions")
        rows = []
        for name, f in figures.items():
            for ef in EFS:
                less = 100 * (1 - f[f"us{ef}"] / whole[f"us{ef}"]) if whole else 0
                rows.append([name, ef, number(f[f"us{ef}"]), f"{less:.0f} %", f"{f[f'precision{ef}']:.4f}"])
        print(table(["engine", "ef", "us/query", "less than float32", "precision"], rows))
        result[str(dim or own)] = figures
    return result


def draw(result: dict, axes, title: str) -> None:
    """Microseconds of a query to the right, precision upwards; a line for each engine and width."""
    for dim, figures in result.items():
        for name, f in figures.items():
            axes.plot([f[f"us{ef}"] for ef in EFS], [f[f"precision{ef}"] for ef in EFS], marker=".", label=f"{name}, {dim}",
                      linestyle="--" if name.startswith("rescored") else "-")
    axes.set(xlabel="microseconds of a query at ef 128, 256, 512", ylabel="precision@10", xscale="log", title=title)
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=6)
