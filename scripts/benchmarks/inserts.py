"""Single inserts into a live index: all but 2,000 vectors are built, the others are added one by one or in batches."""
import time

import numpy as np
from engines import load, make
from localserver import table
from rounds import alternate, median_of, number, print_ratio

ENGINES = ["ours-LVQ8", "ours-LVQ4x4", "ours-f32", "svs-dynamic-f32", "svs-dynamic-lvq8", "hnswlib", "usearch-f32"]
N_ADDED, BATCHES = 2000, (1, 100, 1000)


def prepare(name, directory, n):
    base, _, _, metric = load(directory)
    base = base[:n]
    start = len(base) - N_ADDED
    engine = make(name, base[:start], metric)
    added = base[start:]
    next_label = [start]

    def measure():
        """Vectors per second of processor time by batch, linked and searchable; calls of one vector in microseconds."""
        result = {}
        third = N_ADDED // len(BATCHES)
        for part, batch in enumerate(BATCHES):
            calls, vectors = [], added[part * third:(part + 1) * third]
            begun = time.process_time()
            for i in range(0, len(vectors), batch):
                some = vectors[i:i + batch]
                labels = np.arange(next_label[0], next_label[0] + len(some))
                next_label[0] += len(some)
                called = time.perf_counter()
                engine.add(labels, some)
                calls.append(time.perf_counter() - called)
            engine.settle()
            result[f"rate{batch}"] = len(vectors) / (time.process_time() - begun)
            if batch == 1:
                result["p50_us"], result["p99_us"] = (1e6 * float(np.percentile(calls, p)) for p in (50, 99))
        return result
    return {}, measure


def run(directory: str, options) -> dict:
    """Prints the table and the ratios; returns {engine: medians}."""
    workers = alternate("inserts", options.engines or ENGINES, directory, min(options.rounds or 3, 4), n=60_000)
    result = {worker.name: median_of(worker.measures) for worker in workers}
    print(table(["engine", *(f"vectors/s, {batch} at a time" for batch in BATCHES), "call p50 us", "p99 us"],
                [[name, *(number(r[f"rate{batch}"]) for batch in BATCHES), number(r["p50_us"]), number(r["p99_us"])]
                 for name, r in result.items()]))
    of_ours = {name: r["rate1"] for name, r in result.items() if name.startswith("ours")}
    of_peers = {name: max(r[f"rate{batch}"] for batch in BATCHES) for name, r in result.items() if not name.startswith("ours")}
    result["ratio"] = print_ratio("ours one by one / the best peer at its best batch", of_ours | of_peers)
    return result
