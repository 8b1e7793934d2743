"""Measures how soon a server that is started again answers a search correctly, and what writing snapshots and images costs the
traffic.

    scripts/restart [--n 62666] [--dim 384] [--compression LVQ4x4] [--data FILE.npy] [--repeats 3]

Fills a server with vectors (random ones, or the rows of an .npy file). While a client sends a PING every 5 ms it has the
append-only file rewritten, once while vectors are still being linked and once afterwards, and a snapshot saved, each with
images. Then it kills the server, and starts it again: the time is from the start of the process to the reply of the first
FT.SEARCH, which has to be the same as before. Prints seconds (also of processor time), and milliseconds."""
import argparse
import compileall
import os
import sys
import tempfile
import threading
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from crash import ROOT, Connection, Server, pack  # noqa: E402

OPTIONS = ("--appendonly", "yes")


def search(connection: Connection, query: np.ndarray) -> list:
    """The ten nearest."""
    return connection.call("FT.SEARCH", "ix", "*=>[KNN 10 @v $q]", "PARAMS", 2, "q", query.tobytes(), "NOCONTENT", "DIALECT", 2)


def fill(connection: Connection, vectors: np.ndarray, compression: str) -> None:
    """Makes the index and its documents."""
    connection.call("FT.CREATE", "ix", "PREFIX", 1, "d:", "SCHEMA", "v", "VECTOR", "SVS-VAMANA", 8, "TYPE", "FLOAT32",
                    "DIM", vectors.shape[1], "DISTANCE_METRIC", "L2", "COMPRESSION", compression)
    for start in range(0, len(vectors), 256):
        part = vectors[start:start + 256].astype(np.float32)
        connection.send(b"".join(pack("HSET", f"d:{start + i}", "v", vector.tobytes()) for i, vector in enumerate(part)))
        for _ in part:
            connection.read()


def wait_for_links(connection: Connection) -> None:
    """Waits until all vectors are linked and their window is chosen."""
    while "flat_buffer_size', 0" not in str(connection.call("FT.INFO", "ix")):
        time.sleep(0.5)
    time.sleep(2)


def longest_ping(port: int, stop: threading.Event, found: list) -> None:
    """Pings every 5 ms and notes what each took, in milliseconds."""
    connection = Connection(port)
    while not stop.is_set():
        started = time.perf_counter()
        connection.call("PING")
        found.append(1000 * (time.perf_counter() - started))
        time.sleep(0.005)
    connection.close()


def wait_for_saves(connection: Connection) -> None:
    """Waits until nothing is being saved."""
    while True:
        text = connection.call("INFO", "persistence")
        if b"aof_rewrite_in_progress:1" not in text and b"rdb_bgsave_in_progress:1" not in text:
            return
        time.sleep(0.05)


def save(connection: Connection, port: int, what: str) -> list:
    """Has the file rewritten (BGREWRITEAOF) or a snapshot saved (BGSAVE); returns what PINGs took meanwhile."""
    wait_for_saves(connection)              # the file is rewritten by itself, too, when it has grown
    stop, found = threading.Event(), []
    pinger = threading.Thread(target=longest_ping, args=(port, stop, found), daemon=True)
    pinger.start()
    time.sleep(0.2)
    connection.call(what)
    wait_for_saves(connection)
    time.sleep(1)
    stop.set()
    pinger.join()
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken, all threads."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=62666)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--compression", default="LVQ4x4")
    parser.add_argument("--data", default="")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for package in ("respserver", "commands", "native"):        # as an installed server is
        compileall.compile_dir(ROOT / package, quiet=1)
    random = np.random.default_rng(0)
    if arguments.data:
        vectors = np.load(arguments.data, mmap_mode="r")[:arguments.n]
    else:
        vectors = random.standard_normal((arguments.n, arguments.dim), np.float32)
    query = np.asarray(vectors[7], np.float32) + random.standard_normal(vectors.shape[1]).astype(np.float32) / 100
    with tempfile.TemporaryDirectory() as directory:
        server = Server(directory, *OPTIONS)
        connection = server.connect()
        fill(connection, vectors, arguments.compression)
        for what, when in (("BGREWRITEAOF", "while linking"), ("BGSAVE", "when linked"), ("BGREWRITEAOF", "when linked")):
            if when == "when linked":
                wait_for_links(connection)
            pings = save(connection, server.port, what)
            print(f"PING during {what} and images, {when}: longest {max(pings):.1f} ms, 99 % within "
                  f"{np.quantile(pings, 0.99):.1f} ms", flush=True)
        expected = search(connection, query)
        for _ in range(arguments.repeats):
            server.kill()
            started = time.monotonic()
            server = Server(directory, *OPTIONS)
            while True:
                try:
                    found = search(Connection(server.port), query)
                    break
                except (OSError, ValueError):
                    time.sleep(0.001)
            took = time.monotonic() - started
            print(f"first search after {took:.3f} s ({cpu_seconds(server.process.pid):.2f} s of processor time), "
                  f"{'as before' if found == expected else 'DIFFERENT'}", flush=True)
        server.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
