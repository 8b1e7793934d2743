"""Sends mutated input to a server of its own until so many have been taken: every command with arguments that nearly fit, and
bytes that nearly are RESP. The server has to stay alive, must not fail inside (errors of its own making), must close every
connection whose client has said all it wants to say, and must not keep memory.

    scripts/fuzz [--inputs 10000000] [--seed N] [--keep-going]

An input is one command, or one stretch of damaged bytes. They come in connections of up to 40 that end in something damaged;
the client then closes its side and waits for the server's end."""
import argparse
import os
import random
import select
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import redis  # noqa: E402
from localserver import Progress, our_server  # noqa: E402
from robustness.words import call, damage, pack  # noqa: E402

#: Commands that end the server, stop it on purpose, or take it away from us.
TAKEN_AWAY = ("SHUTDOWN", "DEBUG", "CONFIG", "SAVE", "BGSAVE", "BGREWRITEAOF", "REPLICAOF", "SLAVEOF", "ACL", "VAMANA.TUNE",
              "PFSELFTEST", "MODULE")
#: Inputs between two looks at the server.
LOOK = 20_000
#: Seconds within which the server has to be done with one connection.
PATIENCE = 120
#: Memory may grow by this much after the first looks, which fill caches. Bytes.
SLACK = 48 << 20
#: Looks that count as the beginning.
WARM = 5


def resident(pid: int) -> int:
    """Bytes of memory that a process has for itself."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGESIZE")


def exchange(path: str, data: bytes) -> int:
    """Sends bytes, closes this side, reads to the end. Returns how many bytes came. Raises TimeoutError."""
    n = 0
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(path)
        try:
            for start in range(0, len(data), 1 << 16):          # read meanwhile: a server that writes must not wait for us
                sock.sendall(data[start:start + (1 << 16)])
                n += _drain(sock)
            sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(1 << 20):
                n += len(part)
        except (BrokenPipeError, ConnectionResetError):
            pass                                                # the server has had enough: a protocol error
    return n


def _drain(sock: socket.socket) -> int:
    """Takes what is there without waiting for it."""
    return len(sock.recv(1 << 20)) if select.select([sock], [], [], 0)[0] else 0


class Fuzzer:
    """Makes and sends inputs."""

    def __init__(self, port: int, path: str, process, seed: int):
        self.random = random.Random(seed)
        self.path, self.process = path, process
        self.client = redis.Redis(port=port, protocol=2)
        self.commands = {name.decode(): arity for name, arity in self._names()}
        self.sizes: list[int] = []
        self.failures: list[str] = []
        self.prepare()

    def _names(self):
        """Name and arity of every command and sub-command."""
        connection = self.client.connection_pool.get_connection()
        connection.send_command("COMMAND")
        for entry in connection.read_response():
            yield entry[0], entry[1]
            for sub in entry[9]:
                yield sub[0].replace(b"|", b" "), sub[1]
        self.client.connection_pool.release(connection)

    def prepare(self) -> None:
        """Starts over: some keys of every type, some indexes."""
        run = self.client.execute_command
        run("FLUSHALL")
        for name in run("FT._LIST"):
            run("FT.DROPINDEX", name)
        run("FT.CREATE", "idx", "PREFIX", 1, "h", "SCHEMA", "t", "TAG", "n", "NUMERIC", "x", "TEXT", "g", "GEO", "v", "VECTOR",
            "SVS-VAMANA", 8, "TYPE", "FLOAT32", "DIM", 2, "DISTANCE_METRIC", "L2", "COMPRESSION", "LVQ8")
        run("FT.CREATE", "jdx", "ON", "JSON", "PREFIX", 1, "j", "SCHEMA", "$.t", "AS", "t", "TAG", "$.n", "AS", "n", "NUMERIC")
        for i in range(6):
            run("HSET", f"h{i}", "t", "a,b", "n", i, "x", "hello world", "g", "1,2", "v", bytes(4) + b"\0\0\x80\x3f")
            run("JSON.SET", f"j{i}", "$", '{"t":"a","n":%d,"l":[1,2,{"x":null}]}' % i)
            run("SET", f"s{i}", i), run("RPUSH", f"l{i}", 1, 2, 3), run("SADD", f"m{i}", 1, "b")
            run("ZADD", f"z{i}", 1, "a", 2, "b")

    def connection(self) -> tuple[bytes, int]:
        """The bytes of one connection, and how many inputs they are."""
        r = self.random
        parts = [pack(["HELLO", "3"])] if r.random() < 0.3 else []
        n = r.randrange(1, 40)
        if r.random() < 0.1:                                    # as many words in all: what is run as one
            name = r.choice(("set", "hset", "get"))
            parts += [pack(call(r, name, abs(self.commands[name]))) for _ in range(n)]
        else:
            names = list(self.commands)
            for _ in range(n):
                name = r.choice(names)
                parts.append(pack(call(r, name, self.commands[name])))
        parts.append(damage(r, b"".join(parts[-3:])))
        return b"".join(parts), len(parts)

    def look(self, done: int) -> None:
        """Is the server well?"""
        if self.process.poll() is not None:
            raise SystemExit(f"the server ended with status {self.process.returncode} after {done:,} inputs")
        stats = self.client.info("stats")
        self.sizes.append(resident(self.process.pid))
        if stats["internal_errors"] > len(self.failures):
            self.failures.append(f"{stats['internal_errors']} internal errors after {done:,} inputs")
        self.prepare()

    def run(self, n: int) -> int:
        """Sends `n` inputs; returns how many were sent."""
        progress, done, next_look = Progress("fuzz", n), 0, LOOK
        while done < n:
            data, count = self.connection()
            try:
                exchange(self.path, data)
            except TimeoutError:
                Path("fuzz-hang.bin").write_bytes(data)
                raise SystemExit(f"no end within {PATIENCE} s after {done:,} inputs: fuzz-hang.bin") from None
            except OSError as error:
                raise SystemExit(f"{error} after {done:,} inputs; the server's status is {self.process.poll()}") from None
            done += count
            if done >= next_look:
                next_look += LOOK
                self.look(done)
                progress(done)
        self.look(done)
        return done


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vamana-") as directory:
        path, log = os.path.join(directory, "s"), os.path.join(directory, "log")
        options = [word for name in TAKEN_AWAY for word in ("--rename-command", name, "")]
        options += ["--unixsocket", path, "--proto-max-bulk-len", "1mb", "--logfile", log, "--save", ""]
        with our_server(*options) as (port, process):
            fuzzer = Fuzzer(port, path, process, arguments.seed)
            started = time.monotonic()
            try:
                n = fuzzer.run(arguments.inputs)
            finally:
                sys.stderr.write(Path(log).read_text()[-20_000:])
            took = time.monotonic() - started
            sizes = fuzzer.sizes
    growth = max(sizes[-3:]) - max(sizes[:WARM]) if len(sizes) > WARM else 0
    print(f"{n:,} inputs in {took:.0f} s ({n / took:,.0f}/s), memory {sizes[0] >> 20} -> {sizes[-1] >> 20} MiB "
          f"({growth / (1 << 20):+.1f} MiB since the beginning), failures: {fuzzer.failures or 'none'}")
    return 1 if fuzzer.failures or growth > SLACK else 0


if __name__ == "__main__":
    sys.exit(main())
