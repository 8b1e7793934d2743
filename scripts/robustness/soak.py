"""Eight clients for half an hour: writes, searches, reads, pipelines and transactions, with connections that break off,
commands sent in pieces or left half sent, and readers who let their replies lie. No error may come that was not asked for, and
memory must not grow.

    scripts/soak [--minutes 30] [--clients 8]"""
import argparse
import os
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import redis  # noqa: E402
from localserver import our_server  # noqa: E402
from robustness.fuzz import resident  # noqa: E402
from robustness.words import pack  # noqa: E402

DIM = 32
KEYS = 2000
#: Memory may grow by this much between the middle and the end. Share and bytes.
GROWTH, SLACK = 0.02, 8 << 20


class Client(threading.Thread):
    """One client: does one thing after another until told to stop."""

    def __init__(self, port: int, seed: int, stop: threading.Event):
        super().__init__(daemon=True)
        self.port, self.random, self.stop = port, random.Random(seed), stop
        self.n = self.n_broken = 0
        self.unexpected: list[str] = []
        self.redis = redis.Redis(port=port, protocol=seed % 2 + 2, socket_timeout=60)

    def run(self) -> None:
        acts = [self.write] * 6 + [self.search] * 6 + [self.read] * 4 + [self.pipeline] * 2 + [
            self.transaction, self.collections, self.json, self.break_off, self.send_half, self.read_slowly, self.in_pieces]
        while not self.stop.is_set():
            act = self.random.choice(acts)
            try:
                act()
                self.n += 1
            except Exception as error:
                self.unexpected.append(f"{act.__name__}: {error!r}")
                if len(self.unexpected) > 20:
                    return

    def vector(self) -> bytes:
        return struct.pack(f"{DIM}f", *[self.random.gauss(0, 1) for _ in range(DIM)])

    def key(self) -> str:
        return f"doc:{self.random.randrange(KEYS)}"

    def write(self) -> None:
        if self.random.random() < 0.15:
            self.redis.delete(self.key())
        else:
            self.redis.hset(self.key(), mapping={"v": self.vector(), "t": self.random.choice("abcd"), "x": "some words here",
                                                 "n": self.random.randrange(100)})

    def search(self) -> None:
        text = self.random.choice(("*", "*", "@t:{a}", "@n:[0 50]", "@x:words"))
        for _ in range(self.random.choice((1, 1, 20))):
            self.redis.execute_command("FT.SEARCH", "idx", f"({text})=>[KNN 10 @v $q AS d]" if text != "*"
                                       else "*=>[KNN 10 @v $q AS d]",
                                       "PARAMS", 2, "q", self.vector(), "RETURN", 1, "d", "DIALECT", 2)

    def read(self) -> None:
        self.redis.hgetall(self.key())
        self.redis.get("count")
        self.redis.execute_command("FT.AGGREGATE", "idx", "*", "GROUPBY", 1, "@t", "REDUCE", "COUNT", 0, "AS", "n")

    def pipeline(self) -> None:
        pipe = self.redis.pipeline(transaction=False)
        for _ in range(100):
            pipe.set(f"s{self.random.randrange(KEYS)}", b"x" * self.random.randrange(500), ex=60)
            pipe.incr("count")
        pipe.execute()

    def transaction(self) -> None:
        with self.redis.pipeline() as pipe:
            pipe.multi()
            pipe.hset(self.key(), "n", 5)
            pipe.get("count")
            pipe.execute()

    def collections(self) -> None:
        name = f"z{self.random.randrange(20)}"
        self.redis.zadd(name, {f"m{self.random.randrange(200)}": self.random.random() for _ in range(20)})
        self.redis.zrange(name, 0, 10)
        self.redis.rpush("list", *range(20))
        self.redis.ltrim("list", -500, -1)
        self.redis.sadd("set", *[self.random.randrange(1000) for _ in range(20)])

    def json(self) -> None:
        self.redis.execute_command("JSON.SET", f"j:{self.random.randrange(200)}", "$", '{"t":"a","l":[1,2,3]}')
        self.redis.execute_command("JSON.NUMINCRBY", "j:0", "$.l[0]", 1)

    # Bad manners

    def plain(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), 60)
        self.n_broken += 1
        return sock

    def some_call(self) -> bytes:
        return pack(["FT.SEARCH", "idx", "*=>[KNN 10 @v $q]", "PARAMS", "2", "q", self.vector(), "DIALECT", "2"]) \
            if self.random.random() < 0.5 else pack(["HSET", self.key(), "v", self.vector(), "n", "1"])

    def break_off(self) -> None:
        """Goes without waiting for the replies."""
        with self.plain() as sock:
            if self.random.random() < 0.3:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))     # a reset
            sock.sendall(b"".join(self.some_call() for _ in range(self.random.randrange(1, 50))))

    def send_half(self) -> None:
        """Stops in the middle of a command, waits, and goes."""
        with self.plain() as sock:
            data = self.some_call() + self.some_call()
            sock.sendall(data[:self.random.randrange(1, len(data))])
            time.sleep(self.random.random() * 0.05)

    def in_pieces(self) -> None:
        """Sends a command a few bytes at a time."""
        with self.plain() as sock:
            data = pack(["SET", "s1", "x" * 100])
            for start in range(0, len(data), 7):
                sock.sendall(data[start:start + 7])
            assert sock.recv(100) == b"+OK\r\n"

    def read_slowly(self) -> None:
        """Asks for much and takes it in sips; half of the time goes in between."""
        with self.plain() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(pack(["FT.SEARCH", "idx", "*", "LIMIT", "0", "500"]) * 4)
            sock.settimeout(0.5)
            try:
                for _ in range(self.random.choice((3, 50))):
                    sock.recv(4096)
                    time.sleep(0.002)
            except TimeoutError:
                pass                                            # there was no more


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vamana-") as directory:
        log = os.path.join(directory, "log")
        with our_server("--logfile", log, "--save", "") as (port, process):
            admin = redis.Redis(port=port, protocol=2)
            admin.execute_command("FT.CREATE", "idx", "PREFIX", 1, "doc:", "SCHEMA", "t", "TAG", "n", "NUMERIC", "x", "TEXT",
                                  "v", "VECTOR",
                                  "SVS-VAMANA", 10, "TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", "L2", "COMPRESSION", "LVQ8",
                                  "TRAINING_THRESHOLD", 1024)
            admin.execute_command("JSON.SET", "j:0", "$", '{"t":"a","l":[1,2,3]}')
            stop = threading.Event()
            clients = [Client(port, seed, stop) for seed in range(arguments.clients)]
            for client in clients:
                client.redis.ping()
            admin.config_resetstat()                            # a client library may ask for what this server does not know
            for client in clients:
                client.start()
            started, span, sizes = time.monotonic(), arguments.minutes * 60, []
            while time.monotonic() - started < span and process.poll() is None:
                time.sleep(min(1.0, span / 100))
                sizes.append(resident(process.pid))
            stop.set()
            for client in clients:
                client.join(70)
            errors = admin.info("errorstats") if process.poll() is None else {}
            internal = admin.info("stats")["internal_errors"] if process.poll() is None else -1
            status = process.poll()
            text = Path(log).read_text()
    # What one second's peak is differs; the lowest of a stretch is what stays.
    third = max(1, len(sizes) // 3)
    middle, end = min(sizes[third:2 * third], default=0), min(sizes[2 * third:], default=0)
    n, broken = sum(client.n for client in clients), sum(client.n_broken for client in clients)
    unexpected = [line for client in clients for line in client.unexpected]
    print(f"{n:,} acts ({broken:,} of them impolite) in {span:.0f} s, memory {middle >> 20} -> {end >> 20} MiB, errors answered: "
          f"{ {name: row['count'] for name, row in errors.items()} or 'none'}, internal: {internal}, "
          f"unexpected: {unexpected[:10] or 'none'}")
    sys.stderr.write(text[-5000:])
    grows = end > middle * (1 + GROWTH) + SLACK
    return 1 if grows or unexpected or internal or status is not None or errors else 0


if __name__ == "__main__":
    sys.exit(main())
