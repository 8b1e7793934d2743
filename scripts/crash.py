"""Kills the server at random moments under load, starts it again and looks whether what it had acknowledged is there.

    scripts/crash [--rounds 1000] [--fsync always|everysec|no] [--seed 0] [--keep DIRECTORY]

Each writer counts: a key (INCR), a list (RPUSH of the same number), a hash, and a pair of keys in a transaction, in pipelines;
vectors in an index as well. A write that was answered has to be there, in whole; of the last ones, which nobody has heard of,
any number may be. Rewrites and snapshots are started in between. With everysec what was acknowledged in the last second may be
missing: while a synchronisation is under way, new commands wait in memory, half a second at most. With always and no (where
only the process dies here) nothing may. Prints one line for each failure and a summary; the exit status says whether there was
one."""
import argparse
import contextlib
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
N_WRITERS = 3
DEPTH = 8


def pack(*words) -> bytes:
    """One command as RESP."""
    raw = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in raw)


class Connection:
    """A connection; replies as Python values, errors raised."""

    def __init__(self, port: int, timeout: float = 120.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ValueError(rest.decode())
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        n = int(rest)
        if n < 0:
            return None
        if kind == b"$":
            data = self.file.read(n + 2)
            if len(data) < n + 2:
                raise ConnectionError("closed")
            return data[:-2]
        return [self.read() for _ in range(n)]

    def call(self, *words):
        self.send(pack(*words))
        return self.read()

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def step(name: str, i: int) -> bytes:
    """The i-th write of a writer (from 1 on): five commands of which the fourth and fifth are one transaction."""
    return b"".join((
        pack("INCR", f"{name}:n"), pack("RPUSH", f"{name}:list", i),
        pack("HSET", f"doc:{name}:{i % 50}", "i", i, "v", struct.pack("<2f", i, 1)),
        pack("MULTI"), pack("INCR", f"{name}:a"), pack("INCR", f"{name}:b"), pack("EXEC")))


REPLIES = 7


class Writer(threading.Thread):
    """Writes until the connection breaks. `sent`, `acked`: steps."""

    def __init__(self, port: int, name: str, start: int):
        super().__init__(daemon=True)
        self.port, self.name_, self.sent, self.acked = port, name, start, start
        self.problem = ""
        self.start_, self.times = start, []        # when each step was acknowledged

    def acked_by(self, moment: float) -> int:
        """How many steps had been acknowledged by then (time.monotonic())."""
        return self.start_ + bisect_right(self.times, moment)

    def run(self) -> None:
        try:
            connection = Connection(self.port)
            while True:
                first = self.sent + 1
                self.sent += DEPTH
                connection.send(b"".join(step(self.name_, i) for i in range(first, first + DEPTH)))
                for _ in range(DEPTH):
                    for _ in range(REPLIES):
                        connection.read()
                    self.acked += 1
                    self.times.append(time.monotonic())
        except OSError:
            pass
        except ValueError as error:
            self.problem = str(error)


class Server:
    """A server process on the data in a directory."""

    def __init__(self, directory: str, *options: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = open(Path(directory, "log"), "a")
        self.process = subprocess.Popen([sys.executable, "-m", "respserver", "--port", str(self.port), "--dir", directory,
                                         *options], cwd=ROOT, stdout=self.log, stderr=self.log,
                                        env={**os.environ, "PYTHONPATH": str(ROOT)})

    def connect(self, limit: float = 600.0) -> Connection | None:
        """A connection to the server once it has read its data; None if it has ended instead. Raises TimeoutError."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return None
            with contextlib.suppress(OSError, ValueError):
                connection = Connection(self.port)
                connection.call("PING")
                return connection
            time.sleep(0.01)
        raise TimeoutError(f"no answer within {limit:.0f} s of the start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


def check(connection: Connection, name: str, acked: int, sent: int) -> tuple[list[str], int]:
    """What is wrong with the data of one writer, and how many of its steps there are."""
    number = int(connection.call("GET", f"{name}:n") or 0)
    items = connection.call("LRANGE", f"{name}:list", 0, -1)
    a, b = (int(connection.call("GET", f"{name}:{letter}") or 0) for letter in "ab")
    wrong = []
    if not acked <= a <= sent:
        wrong.append(f"{name}: {a} steps, {acked} acknowledged, {sent} sent")
    if a != b:
        wrong.append(f"{name}: half a transaction, {a} and {b}")
    if items != [b"%d" % i for i in range(1, len(items) + 1)] or not a <= len(items) <= a + 1 or not a <= number <= a + 1:
        wrong.append(f"{name}: {number} counted, {len(items)} listed, {a} in transactions")
    newest = 0
    for i in range(50):
        found = connection.call("HGET", f"doc:{name}:{i}", "i")
        if found is not None:
            newest = max(newest, int(found))
    if not a <= newest <= a + 1:
        wrong.append(f"{name}: newest document {newest}, {a} in transactions")
    return wrong, a


def repair(connection: Connection, name: str, n: int) -> None:
    """Brings a writer's data to the state after n whole steps."""
    connection.call("SET", f"{name}:n", n), connection.call("LTRIM", f"{name}:list", 0, n - 1)
    if n == 0:
        connection.call("DEL", f"{name}:list")


def run(rounds: int, fsync: str, seed: int, directory: str, quiet: bool = False) -> list[str]:
    """Runs the rounds; returns what went wrong."""
    chance = random.Random(seed)
    options = ["--appendonly", "yes", "--appendfsync", fsync, "--auto-aof-rewrite-min-size", "1mb"]
    counts = {f"w{i}": 0 for i in range(N_WRITERS)}
    wrong: list[str] = []
    total = 0
    server = Server(directory, *options)
    connection = server.connect()
    if connection is None:
        return ["the first start failed"]
    connection.call("FT.CREATE", "ix", "PREFIX", 1, "doc:", "SCHEMA", "i", "NUMERIC", "v", "VECTOR", "SVS-VAMANA", 8,
                    "TYPE", "FLOAT32", "DIM", 2, "DISTANCE_METRIC", "L2", "COMPRESSION", "LVQ8")
    for number in range(rounds):
        writers = [Writer(server.port, name, n) for name, n in counts.items()]
        for writer in writers:
            writer.start()
        end = time.monotonic() + chance.random() * 0.4
        while time.monotonic() < end:
            if chance.random() < 0.3:
                with contextlib.suppress(ValueError):
                    connection.call(chance.choice(["BGREWRITEAOF", "BGSAVE"]))
            time.sleep(chance.random() * 0.05)
        killed = time.monotonic()
        server.kill()
        connection.close()
        for writer in writers:
            writer.join()
            if writer.problem:
                wrong.append(f"round {number}: {writer.problem}")
        server = Server(directory, *options)
        connection = server.connect()
        if connection is None:
            wrong.append(f"round {number}: the start was refused, see {directory}/log")
            break
        for writer in writers:
            found, there = check(connection, writer.name_,
                                 writer.acked_by(killed - 1) if fsync == "everysec" else writer.acked, writer.sent)
            wrong += [f"round {number}: {text}" for text in found]
            total += there - counts[writer.name_]
            counts[writer.name_] = there
            repair(connection, writer.name_, there)
        documents = connection.call("FT.SEARCH", "ix", "*", "LIMIT", 0, 0)[0]
        keys = sum(min(n, 50) for n in counts.values())
        if not keys <= documents <= keys + N_WRITERS:
            wrong.append(f"round {number}: {documents} documents, {keys} keys")
        if not quiet and (number + 1) % 10 == 0:
            print(f"{number + 1} rounds, {total} steps, {len(wrong)} failures", flush=True)
    server.kill()
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--fsync", default="always", choices=("always", "everysec", "no"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", default="")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = arguments.keep or stack.enter_context(tempfile.TemporaryDirectory())
        os.makedirs(directory, exist_ok=True)
        wrong = run(arguments.rounds, arguments.fsync, arguments.seed, directory)
    for line in wrong:
        print(line)
    print(f"{arguments.rounds} rounds with appendfsync {arguments.fsync}: {len(wrong)} failures")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
