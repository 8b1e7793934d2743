"""Original vectors in memory and on disk: what a document takes in the server (its vector compressed, title and section kept),
and the rate of searches with originals in memory, on disk in the page cache, and on disk with the page cache emptied all the
while, as if there were memory for the codes alone. As the server chooses it for a recall of 0.95 (on disk it leaves originals
alone if the codes do), with the candidates scored again that it chooses in memory, and without. Two servers, asked in turn.
Cold rounds need root."""
import ctypes
import gzip
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import redis
import socket_search
from localserver import Progress, as_dict, our_server, table
from rounds import median_of

COMPRESSIONS = ["LVQ4x4", "LVQ4"]
ROUNDS, SECONDS, CLIENTS, BATCH = 5, 1, 8, 200
#: Memory counts as settled when it has not changed for so long, seconds, and after LATEST_S anyway.
SETTLED_S, LATEST_S = 10, 60
CASES = ["memory", "disk, warm", "disk, cold"]
#: Seconds between two times that the cache is emptied.
EMPTIED_EVERY = 0.02
_PIDFD_OPEN, _PROCESS_MADVISE, _MADV_PAGEOUT = 434, 440, 21


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class ColdCache:
    """Within the block a server's file has no page in memory for longer than EMPTIED_EVERY,
    as far as the system lets itself be told."""

    def __init__(self, pid: int, file: Path):
        self._file, self._stop, self._libc = file, threading.Event(), ctypes.CDLL(None, use_errno=True)
        maps = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if line.endswith(str(file))]
        spans = [[int(end, 16) for end in words[0].split("-")] for words in maps]
        self._spans = (_Vector * len(spans))(*[(start, end - start) for start, end in spans])
        self._pidfd = self._libc.syscall(_PIDFD_OPEN, pid, 0)
        self._thread = threading.Thread(target=self._run)

    def empty(self) -> None:
        """Takes the file's pages out of the server's map, then out of the cache."""
        for i in range(len(self._spans)):
            if self._libc.syscall(_PROCESS_MADVISE, self._pidfd, ctypes.byref(self._spans[i]), 1, _MADV_PAGEOUT, 0) < 0:
                raise OSError(ctypes.get_errno(), "process_madvise")
        with open(self._file, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def _run(self) -> None:
        while not self._stop.wait(EMPTIED_EVERY):
            self.empty()

    def __enter__(self):
        with open(self._file, "rb") as file:
            os.fsync(file.fileno())
        self.empty()
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()
        os.close(self._pidfd)


def _memory(process) -> dict:
    """Resident bytes of a process: its own, and pages of files."""
    words = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return {name: int(words[key].split()[0]) << 10 for name, key in (("all", "VmRSS"), ("own", "RssAnon"), ("files", "RssFile"))}


def _documents(directory: Path):
    items = directory / "items.jsonl.gz"
    described = [json.loads(line) for line in gzip.open(items, "rt")] if items.exists() else None
    for i, row in enumerate(np.load(directory / "base.npy", mmap_mode="r")):
        fields = {"emb": row.astype(np.float32).tobytes()}
        if described:
            fields |= {"title": described[i]["short"], "section": described[i]["section"]}
        yield f"pkg:{i}", fields


class Loaded:
    """A server with the data set, and what its documents take."""

    def __init__(self, port: int, process, directory: Path, compression: str):
        self.port, self.process = port, process
        self.r = redis.Redis(port=port, protocol=2)
        base = np.load(directory / "base.npy", mmap_mode="r")
        words = ["TYPE", "FLOAT32", "DIM", base.shape[1], "DISTANCE_METRIC", "L2" if base.dtype == np.uint8 else "COSINE",
                 "COMPRESSION", compression]
        self.r.execute_command("FT.CREATE", "pkgs", "ON", "HASH", "PREFIX", 1, "pkg:", "SCHEMA", "section", "TAG", "emb",
                               "VECTOR", "SVS-VAMANA", len(words), *words)
        self.info()
        self.memory = {"empty": _memory(process)}
        n, progress = len(base), Progress("loading", len(base))
        pipe = self.r.pipeline(transaction=False)
        for i, (key, fields) in enumerate(_documents(directory), 1):
            pipe.hset(key, mapping=fields)
            if i % BATCH == 0 or i == n // 2:
                pipe.execute()
                progress(i)
            if i == n // 2:
                self._settle("half")
        pipe.execute()
        self._settle("full")
        self.n, self.file = n, Path(self.r.config_get("dir")["dir"]) / f"originals-{4 * base.shape[1]}.slots"

    def info(self) -> dict:
        return as_dict(as_dict(self.r.execute_command("FT.INFO", "pkgs"))["attributes"][-1])

    def _settle(self, name: str) -> None:
        """Waits until all is linked and measured and the server has given back what it does not need."""
        while self.info()["pending_vectors"] or not self.info()["rerank_measured"]:
            time.sleep(0.2)
        last, since, latest = _memory(self.process), time.monotonic(), time.monotonic() + LATEST_S
        while time.monotonic() < min(since + SETTLED_S, latest):
            time.sleep(0.5)
            now = _memory(self.process)
            if abs(now["own"] - last["own"]) > 1 << 17:
                last, since = now, time.monotonic()
        self.memory[name] = _memory(self.process)

    def parts(self) -> dict:
        """Bytes for each document by part, as the server counts them."""
        info, n = as_dict(self.r.execute_command("FT.INFO", "pkgs")), self.n
        vector, mb = as_dict(info["attributes"][-1]), 1 << 20
        codes, graph = int(vector["bytes_per_vector"]), 4 * int(vector["graph_max_degree"])
        keys = [f"pkg:{i}" for i in range(0, n, max(1, n // 500))]
        return {"codes": codes, "graph": graph,
                "rest of the vector index": float(info["vector_index_sz_mb"]) * mb / n - codes - graph,
                "table of documents": (float(info["doc_table_size_mb"]) + float(info["key_table_size_mb"])) * mb / n,
                "tags": float(info["tag_overhead_sz_mb"]) * mb / n,
                "key and hash": statistics.mean(self.r.memory_usage(key) for key in keys)}

    def per_document(self) -> dict:
        """Resident bytes for each document: since the index was empty, and of the second half of them."""
        empty, half, full = (self.memory[name] for name in ("empty", "half", "full"))
        return {"resident": (full["all"] - empty["all"]) / self.n, "own": (full["own"] - empty["own"]) / self.n,
                "further": (full["all"] - half["all"]) / (self.n - self.n // 2)}


def _rounds(binary: str, memory: Loaded, disk: Loaded, queries: np.ndarray, attributes: str, clients: int) -> dict:
    """What _rate returns, for each case: medians of rounds in turn."""
    cases = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, rates in cases.items():
            server = memory if name == "memory" else disk
            try:
                if name == "disk, warm":        # the cold rounds have emptied the cache
                    server.file.read_bytes()
                    rate(binary, server, queries, attributes, clients)
                with ColdCache(server.process.pid, server.file) if name == "disk, cold" else nullcontext():
                    rates.append(rate(binary, server, queries, attributes, clients))
            except OSError as error:
                print(f"{name}: not measured: {error.strerror}")
    return {name: median_of(rates) for name, rates in cases.items() if rates}


def rate(binary: str, server: Loaded, queries: np.ndarray, attributes: str, clients: int) -> dict:
    """Searches per second, and the processor time of one in all threads of the server, microseconds."""
    cpu = _cpu_s(server.process.pid)
    done = socket_search.loadgen(binary, server.port, clients, queries, attributes=attributes, seconds=SECONDS, rounds=1)
    return {"qps": done["qps"], "cpu_us": 1e6 * (_cpu_s(server.process.pid) - cpu) / max(1, done["requests"]),
            "p99_us": done["p99_us"]}


def _cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def run(directory: str, options=None) -> dict:
    """Prints bytes per document and rates; returns them."""
    if not shutil.which("gcc"):
        print("originals: not measured: gcc is needed for the load generator")
        return {}
    path, result, sizes, rates = Path(directory), {}, [], []
    compressions = (options.engines if options else None) or COMPRESSIONS
    queries, exact = np.load(path / "queries.npy").astype(np.float32), np.load(path / "queries_top100.npy")[:, :socket_search.K]
    with tempfile.TemporaryDirectory() as scratch:
        binary = scratch + "/loadgen"
        subprocess.run(["gcc", "-O2", "-o", binary, str(Path(__file__).with_name("loadgen.c"))], check=True)
        for compression in compressions:
            with our_server() as one, our_server("--search-vector-originals", "disk") as two:
                memory, disk = Loaded(*one, path, compression), Loaded(*two, path, compression)
                figures = {"memory": memory.per_document(), "disk": disk.per_document() | {"parts": disk.parts()}, "searches": {}}
                for name, server in (("memory", memory), ("disk", disk)):
                    taken = server.per_document()
                    sizes.append([compression, name, *(f"{taken[what]:,.0f}" for what in ("resident", "own", "further"))])
                chosen = [server.info() for server in (memory, disk)]
                n, window = int(chosen[0]["rerank_candidates"]), int(chosen[0]["search_window_size"])
                settings = {"as chosen": ("", [f"{one['rerank_candidates']} of {one['search_window_size']}" for one in chosen])}
                if n:
                    settings["rescored"] = (f"SEARCH_WINDOW_SIZE {window} RERANK {n}", [f"{n} of {window}"] * 2)
                settings["codes"] = (f"SEARCH_WINDOW_SIZE {window} RERANK OFF", [f"0 of {window}"] * 2)
                for how, (attributes, shown) in settings.items():
                    recalls = [socket_search.recall_of(server.r, queries, exact, attributes=attributes)
                               for server in (memory, disk)]
                    for clients in (1, CLIENTS):
                        qps = _rounds(binary, memory, disk, queries, attributes, clients)
                        figures["searches"][f"{how}, {clients}"] = qps | {"recall": recalls}
                        base = qps["memory"]
                        rates += [[compression, how, shown[name != "memory"], f"{recalls[name != 'memory']:.4f}", clients, name,
                                   f"{one['qps']:,.0f}", f"{one['qps'] / base['qps']:.2f}", f"{one['cpu_us']:.0f}",
                                   f"{base['cpu_us'] / max(one['cpu_us'], 1e-9):.2f}", f"{one['p99_us']:,.0f}"]
                                  for name, one in qps.items()]
                result[compression] = figures
    print(table(["COMPRESSION", "originals", "bytes/document", "of these own", "of the second half"], sizes))
    for compression, figures in result.items():
        parts = ", ".join(f"{name} {size:.0f}" for name, size in figures["disk"]["parts"].items())
        print(f"\n{compression}, originals on disk, as the server counts: {parts}")
    print("\n" + table(["COMPRESSION", "search", "rescored of window", "recall@10", "clients", "originals", "/s", "ratio",
                        "CPU us", "ratio", "p99 us"], rates))
    return result
