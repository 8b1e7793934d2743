"""Filtered search, one thread: filters that let 50, 10, 1 and 0.1 % pass,
at random or on one side of the data's first principal direction."""
import time

import numpy as np
from engines import K, Faiss, Hnswlib, Ours, load, make, nearest, recall
from localserver import table
from rounds import alternate, at_recall, number, print_ratio

ENGINES = ["ours-LVQ8", "ours-LVQ4x4", "hnswlib", "faiss-HNSW16", "faiss-IVF256", "faiss-Flat"]
SHARES = [0.5, 0.1, 0.01, 0.001]
KINDS = ["random", "correlated"]
N_QUERIES, ENOUGH, SECONDS = 200, 0.95, 1.0


def _rows(base, kind, share):
    n = max(K, int(share * len(base)))
    if kind == "random":
        return np.sort(np.random.default_rng(7).choice(len(base), n, replace=False))
    centred = base[:5000] - base[:5000].mean(axis=0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    return np.sort(np.argpartition(base @ direction, n)[:n])


def _filter_for(engine, rows, n):
    """The filter in the engine's own form."""
    mask = np.zeros(n, bool)
    mask[rows] = True
    if isinstance(engine, Ours):
        import native
        return native.Allowed.of_labels(rows)
    if isinstance(engine, Faiss):
        bits = np.packbits(mask, bitorder="little")
        selector = engine.faiss.IDSelectorBitmap(n, engine.faiss.swig_ptr(bits))
        selector.bits = bits                    # kept alive with it
        return selector
    assert isinstance(engine, Hnswlib)
    return mask.tolist()


def prepare(name, directory):
    base, queries, _, metric = load(directory)
    queries = queries[:N_QUERIES]
    engine = make(name, base, metric)
    cases = []
    for kind in KINDS:
        for share in SHARES:
            rows = _rows(base, kind, share)
            cases.append((f"{kind} {share:g}", _filter_for(engine, rows, len(base)), nearest(base, queries, metric, rows)))

    def measure():
        """{case: [[recall, QPS] ...]}; ours with its default window and wider ones, until the recall is enough."""
        result = {}
        for case, allowed, exact in cases:
            points = []
            for setting in [{"window": 0}, *engine.settings] if name.startswith("ours") else engine.settings:
                done, start = 0, time.perf_counter()
                found = []
                while done < len(queries) and time.perf_counter() - start < SECONDS:
                    found.append(engine.search(queries[done:done + 10], K, allowed=allowed, **setting))
                    done += 10
                elapsed = time.perf_counter() - start
                points.append([recall(np.concatenate(found), exact[:done]), done / elapsed])
                if points[-1][0] >= 0.99:
                    break
            result[case] = points
        return result
    return {}, measure


def run(directory: str, options) -> dict:
    """Prints QPS at the recall of 0.95 and ratios by case; returns {case: {engine: QPS}}."""
    workers = alternate("filters", options.engines or ENGINES, directory, min(options.rounds or 3, 5))
    result, rows = {}, []
    for case in workers[0].measures[0] if workers else []:
        result[case] = {}
        for worker in workers:
            values = sorted(at_recall([tuple(p) for p in one[case]], ENOUGH) or 0 for one in worker.measures)
            result[case][worker.name] = values[len(values) // 2] or None
        rows.append([case, *(number(result[case][worker.name]) for worker in workers)])
    print(table(["filter", *(worker.name for worker in workers)], rows))
    cases = list(result)
    for worker in workers:
        if worker.name.startswith("ours"):
            first = {case: worker.measures[0][case][0][0] for case in cases}
            print(f"{worker.name}: recall with the default window: "
                  + ", ".join(f"{case} {value:.3f}" for case, value in first.items()))
            result[f"default recall {worker.name}"] = first
    result["ratios"] = {case: print_ratio(case, result[case]) for case in cases}
    return result
