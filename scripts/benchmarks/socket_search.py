"""Through the socket: load a whole data set by pipeline while a second connection sends a PING every 5 ms; then, with a load
generator in C, one request in flight on each connection: eight clients, one client, and eight clients under filters (NUMERIC
and TAG) that let a tenth of the documents pass. Where the server names no window, and with the smallest window that reaches
RECALL. Says where the loop thread's time goes. By itself: `python scripts/benchmarks/socket_search.py DATA_DIR [--json FILE]
[--compression LVQ8]`."""
import argparse
import gzip
import json
import multiprocessing
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import redis

sys.path.insert(0, str(Path(__file__).parent.parent))

from localserver import Progress, as_dict, our_server, table  # noqa: E402
from rounds import median_of  # noqa: E402

HERE = Path(__file__).parent
COMPRESSIONS = ["LVQ8", "LVQ4x4"]
K, CLIENTS, SECONDS, BATCH, ROUNDS = 10, 8, 4, 200, 3
#: Of these windows the first that reaches this recall@10 is measured beside the server's own choice.
RECALL, WINDOWS = 0.95, (10, 11, 12, 14, 16, 18, 20, 24, 28, 32, 40, 50)
#: What lets a tenth of the documents pass: each has a number 0 .. 9999 and one of ten tags, both at random.
FILTERS = {"numeric": "@part:[0 999]", "tag": "@group:{g3}"}


def _pinger(port: int, stop, result) -> None:
    """Sends a PING every 5 ms; reports the longest wait and the 99th percentile, in ms."""
    r, waits = redis.Redis(port=port), []
    while not stop.is_set():
        start = time.perf_counter()
        r.ping()
        waits.append(1e3 * (time.perf_counter() - start))
        time.sleep(0.005)
    result.put({"longest_ms": max(waits), "p99_ms": float(np.percentile(waits, 99)), "pings": len(waits)})


def _documents(directory: Path):
    """(key, fields) of every row; debian-384 has sections and sizes, other sets get a number only."""
    base = np.load(directory / "base.npy", mmap_mode="r")
    items = directory / "items.jsonl.gz"
    described = [json.loads(line) for line in gzip.open(items, "rt")] if items.exists() else None
    parts = np.random.default_rng(1).permutation(len(base)) * 10_000 // len(base)
    for i, row in enumerate(base):
        fields = {"emb": row.astype(np.float32).tobytes(), "size": i, "part": int(parts[i]), "group": f"g{parts[i] % 10}"}
        if described:
            fields |= {"title": described[i]["short"], "section": described[i]["section"], "size": described[i]["size"]}
        yield f"pkg:{i}", fields


def _load(r: redis.Redis, directory: Path, n: int) -> float:
    progress, pipe = Progress("loading", n), r.pipeline(transaction=False)
    start = time.perf_counter()
    for i, (key, fields) in enumerate(_documents(directory), 1):
        pipe.hset(key, mapping=fields)
        if i % BATCH == 0:
            pipe.execute()
            progress(i)
    pipe.execute()
    return time.perf_counter() - start


def _wait_linked(r: redis.Redis, n: int) -> None:
    """Waits until no vector waits for its place in the graph."""
    progress = Progress("linking", n)
    while True:
        vector = as_dict(as_dict(r.execute_command("FT.INFO", "pkgs"))["field statistics"][-1])
        waiting = int(vector["flat_buffer_size"])
        progress(n - waiting)
        if not waiting:
            return
        time.sleep(0.2)


def _words(vector: np.ndarray, where: str = "*", attributes: str = "") -> list:
    return ["FT.SEARCH", "pkgs", f"{where}=>[KNN {K} @emb $v {attributes} AS d]", "PARAMS", "2", "v", vector.tobytes(),
            "SORTBY", "d", "RETURN", "1", "d", "DIALECT", "2"]


def wire(words: list) -> bytes:
    out = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = word if isinstance(word, bytes) else word.encode()
        out.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(out)


def _thread_cpu_s(pid: int) -> float:
    """CPU seconds of the process's main thread, which runs the loop."""
    fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _engine_us(r: redis.Redis) -> tuple[int, float]:
    """(searches, microseconds spent in the engine by them) since the start."""
    info = r.info("search")
    return int(info["search_engine_searches"]), float(info["search_engine_time_us"])


def read_rates(binary: str, port: int, clients: int, seconds: float, messages) -> dict:
    """One run of the load generator with requests as they go over the wire."""
    with tempfile.NamedTemporaryFile() as file:
        messages = list(messages)
        file.write(struct.pack("<I", len(messages)))
        for message in messages:
            file.write(struct.pack("<I", len(message)) + message)
        file.flush()
        words = subprocess.run([binary, str(port), str(clients), str(seconds),
                                file.name], capture_output=True, text=True, check=True).stdout.split()
    return dict(zip(("requests", "errors", "qps", "p50_us", "p99_us", "max_us"), map(float, words), strict=True))


def loadgen(binary: str, port: int, clients: int, queries: np.ndarray, where: str = "*",
            attributes: str = "", seconds: int = SECONDS, rounds: int = ROUNDS) -> dict:
    """The medians of some rounds."""
    messages = [wire(_words(q, where, attributes)) for q in queries]
    return median_of([read_rates(binary, port, clients, seconds, messages) for _ in range(rounds)])


def recall_of(r: redis.Redis, queries: np.ndarray, exact: np.ndarray, where: str = "*", attributes: str = "") -> float:
    hits = 0
    for q, truth in zip(queries, exact, strict=True):
        reply = r.execute_command(*_words(q, where, attributes))
        hits += len({int(key[4:]) for key in reply[1::2]} & set(truth.tolist()))
    return hits / exact.size


def window_for(r: redis.Redis, queries: np.ndarray, exact: np.ndarray) -> tuple[str, float]:
    """The attributes of a search with the smallest window that reaches RECALL, and its recall."""
    for window in WINDOWS:
        attributes = f"SEARCH_WINDOW_SIZE {window}"
        recall = recall_of(r, queries, exact, attributes=attributes)
        if recall >= RECALL:
            break
    return attributes, recall


def _exact_among(base: np.ndarray, queries: np.ndarray, metric: str) -> np.ndarray:
    """The K nearest of the documents that the numeric filter lets pass, (n, K) document numbers."""
    passing = np.flatnonzero(np.random.default_rng(1).permutation(len(base)) * 10_000 // len(base) < 1000)
    among = np.asarray(base[passing], dtype=np.float32)
    products = queries @ among.T
    keys = (among**2).sum(1) - 2 * products if metric == "L2" else -products / np.linalg.norm(among, axis=1)
    return passing[np.argpartition(keys, K, axis=1)[:, :K]]


def _measure(r: redis.Redis, process, port: int, binary: str, path: Path, metric: str) -> dict:
    """Everything that is measured of a loaded server."""
    queries = np.load(path / "queries.npy").astype(np.float32)
    exact = np.load(path / "queries_top100.npy")[:, :K]
    times = []
    for q in queries[:2000]:
        begun = time.perf_counter()
        r.execute_command(*_words(q))
        times.append(1e6 * (time.perf_counter() - begun))
    figures = {"python_client_p50_us": statistics.median(times), "settings": {}, "filters": {}}
    attributes, recall = window_for(r, queries, exact)
    for name, given, reached in (("server's choice", "", recall_of(r, queries, exact)), (attributes, attributes, recall)):
        one = loadgen(binary, port, 1, queries, attributes=given)
        cpu, (n, engine_us) = _thread_cpu_s(process.pid), _engine_us(r)
        many = loadgen(binary, port, CLIENTS, queries, attributes=given)
        cpu, (n2, engine_us2) = _thread_cpu_s(process.pid) - cpu, _engine_us(r)
        n = max(n2 - n, 1)
        figures["settings"][name] = {"recall": reached, "one": one, "eight": many, "loop_thread_us_per_search": 1e6 * cpu / n,
                                     "engine_on_loop_thread_us_per_search": (engine_us2 - engine_us) / n}
    among = _exact_among(np.load(path / "base.npy", mmap_mode="r"), queries, metric)
    for name, where in FILTERS.items():
        figures["filters"][name] = {"recall": recall_of(r, queries, among, where) if name == "numeric" else None,
                                    "eight": loadgen(binary, port, CLIENTS, queries, where)}
    return figures


def run(directory: str, options=None, compressions=COMPRESSIONS) -> dict:
    """Measures each compression with a server of its own and prints three tables."""
    if not shutil.which("gcc"):
        print("socket: not measured: gcc is needed for the load generator")
        return {}
    path = Path(directory)
    shape, kind = np.load(path / "base.npy", mmap_mode="r").shape, np.load(path / "base.npy", mmap_mode="r").dtype
    metric = "L2" if kind == np.uint8 else "COSINE"
    loads, rows, filtered, result = [], [], [], {}
    with tempfile.TemporaryDirectory() as scratch:
        binary = scratch + "/loadgen"
        subprocess.run(["gcc", "-O2", "-o", binary, str(HERE / "loadgen.c")], check=True)
        for compression in compressions:
            with our_server() as (port, process):
                r = redis.Redis(port=port, protocol=2)
                words = ["TYPE", "FLOAT32", "DIM", shape[1], "DISTANCE_METRIC", metric, "COMPRESSION", compression]
                r.execute_command("FT.CREATE", "pkgs", "ON", "HASH", "PREFIX", 1, "pkg:", "SCHEMA", "section", "TAG", "group",
                                  "TAG", "size", "NUMERIC", "part", "NUMERIC", "emb", "VECTOR", "SVS-VAMANA",
                                  len(words), *words)
                context = multiprocessing.get_context("spawn")
                stop, waits = context.Event(), context.Queue()
                pinger = context.Process(target=_pinger, args=(port, stop, waits))
                pinger.start()
                start = time.perf_counter()
                loaded = _load(r, path, shape[0])
                _wait_linked(r, shape[0])
                ready = time.perf_counter() - start
                stop.set()
                ping = waits.get()
                pinger.join()
                figures = _measure(r, process, port, binary, path, metric)
                figures |= {"load_vectors_per_s": shape[0] / loaded, "ready_vectors_per_s": shape[0] / ready, "ping": ping}
                result[compression] = figures
                loads.append([compression, f"{figures['load_vectors_per_s']:,.0f}", f"{figures['ready_vectors_per_s']:,.0f}",
                              f"{ping['longest_ms']:.1f}"])
                rows += [[compression, name, f"{one['recall']:.4f}", f"{one['one']['p50_us']:.0f}",
                          f"{one['eight']['qps']:,.0f}", f"{one['eight']['p50_us']:.0f}", f"{one['eight']['p99_us']:.0f}",
                          f"{one['loop_thread_us_per_search']:.1f}", f"{one['engine_on_loop_thread_us_per_search']:.1f}"]
                         for name, one in figures["settings"].items()]
                filtered += [[compression, FILTERS[name], f"{one['recall']:.4f}" if one["recall"] else "",
                              f"{one['eight']['qps']:,.0f}", f"{one['eight']['p50_us']:.0f}", f"{one['eight']['p99_us']:.0f}"]
                             for name, one in figures["filters"].items()]
    print(table(["COMPRESSION", "HSET/s", "indexed/s", "longest PING ms"], loads))
    print(table(["COMPRESSION", "window", "recall@10", "1 client p50 us", f"{CLIENTS} clients /s", "p50 us", "p99 us",
                 "loop us/search", "engine us/search"], rows))
    print(table(["COMPRESSION", "filter", "recall@10", f"{CLIENTS} clients /s", "p50 us", "p99 us"], filtered))
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--compression", action="append")
    given = parser.parse_args()
    measured = run(given.directory, compressions=given.compression or COMPRESSIONS)
    if given.json:
        Path(given.json).write_text(json.dumps({"socket": measured}, indent=1) + "\n")
