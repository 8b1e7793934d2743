"""Two searching threads against one: the engine's own (one call), and two Python threads that call it."""
import statistics
import threading
import time

import numpy as np
from engines import K, Ours, load
from localserver import table

COMPRESSIONS = ["LVQ8", "LVQ4x4"]
N, WINDOW, REPEATS = 30_000, 24, 8


def _rate(work, n) -> float:
    start = time.perf_counter()
    work()
    return n / (time.perf_counter() - start)


def run(directory: str, options) -> dict:
    """Prints queries per second and ratios; returns them."""
    base, queries, _, metric = load(directory)
    many = np.concatenate([queries] * REPEATS)
    result = {}
    for compression in COMPRESSIONS:
        engine = Ours(compression, base[:N], metric)
        rates = {"one": [], "two": [], "two callers": []}
        halves = np.array_split(many, 2)

        def two_callers():
            callers = [threading.Thread(target=engine.search, args=(half, K, WINDOW)) for half in halves]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
        for _ in range(options.rounds or 7):
            rates["one"].append(_rate(lambda: engine.search(many, K, WINDOW), len(many)))
            rates["two"].append(_rate(lambda: engine.search(many, K, WINDOW, threads=2), len(many)))
            rates["two callers"].append(_rate(two_callers, len(many)))
        medians = {name: statistics.median(values) for name, values in rates.items()}
        result[compression] = {**medians, "ratio": medians["two"] / medians["one"],
                               "ratio callers": medians["two callers"] / medians["one"]}
    print(table(["compression", "one thread QPS", "two threads", "ratio", "two callers", "ratio"],
                [[c, f"{f['one']:,.0f}", f"{f['two']:,.0f}", f"{f['ratio']:.2f}", f"{f['two callers']:,.0f}",
                  f"{f['ratio callers']:.2f}"] for c, f in result.items()]))
    return result
