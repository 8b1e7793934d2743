"""Through the socket: load a whole data set by pipeline while a second connection sends a PING every 5 ms; then recall, latency of one
client, and searches per second of eight clients of a load generator in C. Says where the loop thread's time goes."""
import gzip
import json
import multiprocessing
import os
import shutil
import statistics
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import redis
from localserver import Progress, as_dict, our_server, table

HERE = Path(__file__).parent
COMPRESSIONS = ["LVQ8", "LVQ4x4"]
K, CLIENTS, SECONDS, BATCH = 10, 8, 5, 200


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
    for i, row in enumerate(base):
        fields = {"emb": row.astype(np.float32).tobytes(), "size": i}
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


def _words(vector: np.ndarray, where: str = "*") -> list:
    return ["FT.SEARCH", "pkgs", f"{where}=>[KNN {K} @emb $v AS d]", "PARAMS", "2", "v", vector.tobytes(), "SORTBY", "d", "RETURN", "1", "d",
            "DIALECT", "2"]


def _wire(words: list) -> bytes:
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


def _loadgen(binary: str, port: int, clients: int, queries: np.ndarray, where: str = "*") -> dict:
    with tempfile.NamedTemporaryFile() as file:
        file.write(struct.pack("<I", len(queries)))
        for q in queries:
            message = _wire(_words(q, where))
            file.write(struct.pack("<I", len(message)) + message)
        file.flush()
        out = subprocess.run([binary, str(port), str(clients), str(SECONDS), file.name], capture_output=True, text=True, check=True).stdout
    return dict(zip(("requests", "errors", "qps", "p50_us", "p99_us", "max_us"), map(float, out.split()), strict=True))


def run(directory: str, options=None) -> dict:
    """Measures each compression with a server of its own and prints one table."""
    if not shutil.which("gcc"):
        print("socket: not measured: gcc is needed for the load generator")
        return {}
    path = Path(directory)
    queries = np.load(path / "queries.npy").astype(np.float32)
    exact = np.load(path / "queries_top100.npy")[:, :K]
    shape, kind = np.load(path / "base.npy", mmap_mode="r").shape, np.load(path / "base.npy", mmap_mode="r").dtype
    metric = "L2" if kind == np.uint8 else "COSINE"
    rows, result = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        binary = scratch + "/loadgen"
        subprocess.run(["gcc", "-O2", "-o", binary, str(HERE / "loadgen.c")], check=True)
        for compression in COMPRESSIONS:
            with our_server() as (port, process):
                r = redis.Redis(port=port, protocol=2)
                options = ["TYPE", "FLOAT32", "DIM", shape[1], "DISTANCE_METRIC", metric, "COMPRESSION", compression]
                r.execute_command("FT.CREATE", "pkgs", "ON", "HASH", "PREFIX", 1, "pkg:", "SCHEMA", "section", "TAG", "size", "NUMERIC",
                                  "emb", "VECTOR", "SVS-VAMANA", len(options), *options)
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
                hits, times = 0, []
                for q, truth in zip(queries, exact, strict=True):
                    begun = time.perf_counter()
                    reply = r.execute_command(*_words(q))
                    times.append(1e6 * (time.perf_counter() - begun))
                    hits += len({int(key[4:]) for key in reply[1::2]} & set(truth.tolist()))
                one = _loadgen(binary, port, 1, queries)
                cpu, (searches, engine_us) = _thread_cpu_s(process.pid), _engine_us(r)
                many = _loadgen(binary, port, CLIENTS, queries)
                cpu, (searches2, engine_us2) = _thread_cpu_s(process.pid) - cpu, _engine_us(r)
                n = max(searches2 - searches, 1)
                engine_each = (engine_us2 - engine_us) / n
                figures = {"load_vectors_per_s": shape[0] / loaded, "ready_vectors_per_s": shape[0] / ready, "ping": ping,
                           "recall": hits / exact.size, "python_client_p50_us": statistics.median(times), "one": one, "eight": many,
                           "loop_thread_us_per_search": 1e6 * cpu / n, "engine_us_per_search": engine_each}
                result[compression] = figures
                rows.append([compression, f"{figures['recall']:.4f}", f"{figures['load_vectors_per_s']:,.0f}",
                             f"{figures['ready_vectors_per_s']:,.0f}", f"{ping['longest_ms']:.1f}", f"{one['p50_us']:.0f}", f"{many['qps']:,.0f}",
                             f"{many['p99_us']:.0f}", f"{figures['loop_thread_us_per_search']:.1f}", f"{engine_each:.1f}"])
    print(table(["COMPRESSION", "recall@10", "HSET/s", "indexed/s", "longest PING ms", "1 client p50 us", f"{CLIENTS} clients /s", "p99 us",
                 "loop us/search", "engine us/search"], rows))
    return result
