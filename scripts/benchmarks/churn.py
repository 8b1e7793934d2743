"""What writes do to searches: latencies while 20 % of the operations insert and delete, beside the same index idle; the longest
search while a compression is learned; recall after five full turnovers beside a fresh build. Ours only; one searching thread,
the index's own writer beside it."""
import os
import threading
import time

import numpy as np
from engines import CONSTRUCTION_WINDOW, DEGREE, K, load, nearest, recall
from localserver import table

import native

COMPRESSIONS = ["LVQ8", "LVQ4x4", "LeanVec4x8", None]
N, TURNOVERS, WINDOW, SECONDS = 20_000, 5, 40, 8


def _index(base, metric, compression, **options):
    return native.Index(base.shape[1], metric=metric, compression=compression, graph_max_degree=DEGREE,
                        construction_window_size=CONSTRUCTION_WINDOW, **options)


def _latencies(index, queries, seconds, step=None):
    """Microseconds of each search for so many seconds;
    `step` is called after every second of them with the number of searches done."""
    waits, end, i = [], time.perf_counter() + seconds, 0
    blobs = [query.tobytes() for query in queries]
    while (start := time.perf_counter()) < end:
        index.search_blob(blobs[i % len(blobs)], K, WINDOW)
        waits.append(1e6 * (time.perf_counter() - start))
        i += 1
        if step is not None and i % 4 == 0:
            step()
    return np.array(waits)


def _mixed(base, queries, metric, compression):
    """Searches alone, then with one insert or delete after every fourth."""
    index = _index(base, metric, compression)
    half = len(base) // 2
    index.add(np.arange(half), base[:half])
    index.wait()
    idle = _latencies(index, queries, SECONDS)
    turn, calls = [0], []

    def step():
        i = turn[0]
        turn[0] += 1
        start = time.perf_counter()
        if i % 2:
            index.remove_one((i // 2) % half)
        else:
            index.add_blob(half + (i // 2) % half, base[half + (i // 2) % half].tobytes())
        calls.append(1e6 * (time.perf_counter() - start))
    busy = _latencies(index, queries, SECONDS, step)
    return {"idle p50": float(np.percentile(idle, 50)), "idle p99": float(np.percentile(idle, 99)),
            "idle longest": float(idle.max()), "busy p50": float(np.percentile(busy, 50)),
            "busy p99": float(np.percentile(busy, 99)), "busy longest": float(busy.max()), "longest write": max(calls),
            "searches/s": len(busy) / SECONDS}


def _switch(base, queries, metric, compression):
    """The longest search and write from shortly before training starts until it is done."""
    index = _index(base, metric, compression, training_threshold=len(base) - 500)
    index.add(np.arange(len(base) - 1000), base[:-1000])
    index.wait()
    searches, writes, done = [], [], threading.Event()

    def search():
        i = 0
        while not done.is_set():
            start = time.perf_counter()
            index.search_blob(queries[i % len(queries)].tobytes(), K, WINDOW)
            searches.append(1e3 * (time.perf_counter() - start))
            i += 1
    thread = threading.Thread(target=search)
    thread.start()
    for i in range(len(base) - 1000, len(base)):
        start = time.perf_counter()
        index.add_blob(i, base[i].tobytes())
        writes.append(1e3 * (time.perf_counter() - start))
    index.wait()
    done.set()
    thread.join()
    return {"longest search ms": max(searches), "p99.9 ms": float(np.percentile(searches, 99.9)), "longest write ms": max(writes)}


def _turnover(base, queries, metric, compression):
    """Recall of an index that was built once, and of one whose contents were replaced several times,
    half of the rows at a time."""
    exact = nearest(base, queries, metric)
    fresh = _index(base, metric, compression)
    fresh.add(np.arange(len(base)), base)
    fresh.wait()
    index = _index(base, metric, compression)
    index.add(np.arange(len(base)), base)
    index.wait()
    before = sum(index.nbytes.values())
    rng = np.random.default_rng(2)
    for turn in range(1, TURNOVERS + 1):
        order = rng.permutation(len(base))
        for part in np.array_split(order, 20):          # the label stays the row; odd turns use another range of labels
            index.remove(part + len(base) * ((turn + 1) % 2))
            index.add(part + len(base) * (turn % 2), base[part])
            index.wait()                                # at a rate that the writer can keep up with
    found = index.search(queries, K, window=WINDOW)[0] % len(base)
    return {"fresh": recall(fresh.search(queries, K, window=WINDOW)[0], exact), "turned over": recall(found, exact),
            "bytes now / before": sum(index.nbytes.values()) / before}


def run(directory: str, options) -> dict:
    """Prints three tables; returns them by compression."""
    base, queries, _, metric = load(directory)
    base, result = np.ascontiguousarray(base[:N]), {}
    print(f"{len(os.sched_getaffinity(0))} processors, {len(base):,} vectors, window {WINDOW}")
    for title, part in (("latency, us, idle and with 20 % writes", _mixed), ("learning a compression", _switch),
                        (f"recall after {TURNOVERS} turnovers", _turnover)):
        chosen = [c for c in COMPRESSIONS if c or part is not _switch]
        result[title] = {str(c): part(base, queries, metric, c) for c in chosen}
        names = list(next(iter(result[title].values())))
        print(f"\n{title}")
        print(table(["compression", *names], [[c, *(f"{f[name]:,.3f}" if f[name] < 10 else f"{f[name]:,.0f}" for name in names)]
                                              for c, f in result[title].items()]))
    ratios = {c: f["busy p99"] / f["idle p99"] for c, f in result["latency, us, idle and with 20 % writes"].items()}
    print("p99 with writes / idle: " + ", ".join(f"{c} {ratio:.2f}" for c, ratio in ratios.items()))
    result["p99 ratios"] = ratios
    return result
