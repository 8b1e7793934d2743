"""What tests share: servers in processes of their own, and a RESP connection that shows the replies as they are."""
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Seconds until a test that waits for something gives up: no machine is so slow, or so busy, that what works takes as long.
PATIENCE = 120.0
#: Below the ports that kernels give to connections that leave: none of those may take one between its choice and its use.
PORTS = range(12_000, 32_000)
_next_port = itertools.count(os.getpid() * 101 + time.time_ns() // 1_000_000)


def free_port() -> int:
    """A TCP port that nobody listens on; never the same twice in a row."""
    while True:
        port = PORTS[next(_next_port) % len(PORTS)]
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def client(server, protocol: int = 2, **options):
    """redis-py, which would by itself wait for five seconds and then send the command once more. `server`: a handle or a port."""
    import redis
    host, port = ("127.0.0.1", server) if isinstance(server, int) else (server.host, server.port)
    return redis.Redis(**{"host": host, "port": port, "protocol": protocol, "socket_timeout": PATIENCE,
                          "socket_connect_timeout": PATIENCE, **options})


class Left:
    """Equals what may be left of so many seconds, or milliseconds, after a while: up to half of them less."""

    def __init__(self, total: int):
        self.total = total

    def __eq__(self, other):
        return isinstance(other, int) and self.total / 2 < other <= self.total

    def __repr__(self):
        return f"nearly {self.total}"


def wait_until(condition, limit: float = PATIENCE, what: str = "the condition"):
    """Waits until `condition()` is truthy and returns that. Fails after `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come about within {limit} s"
        time.sleep(0.005)


class ServerHandle:
    """A running server: `host`, `port`, and for one of our own `process`, `dir` and `log()`."""

    def __init__(self, host: str, port: int, process=None, directory: str = ""):
        self.host, self.port, self.process, self.dir = host, port, process, directory

    @property
    def is_own(self) -> bool:
        """Whether this server was started from this tree."""
        return self.process is not None

    def log(self) -> str:
        """What the server has logged so far."""
        return Path(self.dir, "log").read_text()

    def stop(self, number: int = signal.SIGTERM, limit: float = PATIENCE) -> int:
        """Sends a signal and returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(limit)


@contextlib.contextmanager
def running_server(*options: str, port: int | None = None, conf: str = "", before: str = ""):
    """A server from this tree with these options and configuration file, on a free port, in a directory that is removed
    afterwards. Its searches may take as long as they like, unless an option or a query says otherwise, and it has save points
    only if they say so. before: Python code that runs in its process first."""
    if not conf and "--save" not in options:
        options = ("--save", "", *options)
    run = "import runpy; runpy.run_module('respserver', run_name='__main__', alter_sys=True)"
    start = ["-c", f"{before}\n{run}"] if before else ["-m", "respserver"]
    port = free_port() if port is None else port
    with tempfile.TemporaryDirectory() as directory:
        with open(Path(directory, "log"), "w") as log:
            process = subprocess.Popen([sys.executable, *start, *([conf] if conf else []), "--port", str(port),
                                        "--dir", directory, "--search-timeout", "60000", *options], cwd=ROOT,
                                       stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)})
        handle = ServerHandle("127.0.0.1", port, process, directory)
        try:
            _wait_for_start(handle)
            yield handle
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _wait_for_start(handle: ServerHandle) -> None:
    def answers():
        assert handle.process.poll() is None, f"the server ended:\n{handle.log()}"
        with contextlib.suppress(ConnectionError):
            RawConnection(handle.host, handle.port).close()
            return True
    wait_until(answers, what="the server's start")


class RespError(Exception):
    """An error reply; compares equal to its text."""

    def __init__(self, text: str):
        super().__init__(text)
        self.text = text

    def __eq__(self, other):
        return self.text == (other.text if isinstance(other, RespError) else other)

    def __hash__(self):
        return hash(self.text)


class RawConnection:
    """A connection that sends and reads RESP by hand.

    Replies: bulk bytes; simple strings str; errors RespError (returned, not raised); integers int; null None; arrays list; maps
    dict (of keys that can be hashed) or a list of pairs; sets ("set", list); doubles float; booleans bool; pushes ("push",
    list); verbatim ("txt", text)."""

    def __init__(self, host: str = "127.0.0.1", port: int = 6379, path: str = "", timeout: float = PATIENCE):
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(path)
        else:
            self.socket = socket.create_connection((host, port), timeout)
        self.socket.settimeout(timeout)
        self.buffer = b""

    def close(self) -> None:
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data: bytes) -> "RawConnection":
        """Sends bytes as they are."""
        self.socket.sendall(data)
        return self

    def call(self, *words):
        """Sends one command and reads one reply."""
        return self.send(pack(*words)).read()

    def error(self, *words) -> str:
        """Likewise for a command that is refused: the error's text."""
        reply = self.call(*words)
        assert isinstance(reply, RespError), reply
        return reply.text

    def fill(self) -> bool:
        """Reads more; False: the peer has closed."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:
            return False
        self.buffer += data
        return bool(data)

    def is_closed(self) -> bool:
        """Whether the peer has closed or closes before the timeout; what it still sends goes to `buffer`."""
        while self.fill():
            pass
        return True

    def line(self) -> bytes:
        """Bytes up to the next line end."""
        while b"\r\n" not in self.buffer:
            if not self.fill():
                raise ConnectionError("closed by the server")
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def exactly(self, n: int) -> bytes:
        """The next n bytes."""
        while len(self.buffer) < n:
            if not self.fill():
                raise ConnectionError("closed by the server")
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def read(self):
        """One reply."""
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RespError(rest.decode("utf-8", "surrogateescape"))
        if kind in b":(":
            return int(rest)
        if kind == b"_":
            return None
        if kind == b",":
            return float(rest)
        if kind == b"#":
            return rest == b"t"
        n = int(rest)
        if n < 0:
            return None
        if kind == b"$":
            return self.exactly(n + 2)[:-2]
        if kind == b"=":
            text = self.exactly(n + 2)[:-2]
            return text[:3].decode(), text[4:]
        if kind == b"%":
            pairs = [(self.read(), self.read()) for _ in range(n)]
            try:
                return dict(pairs)
            except TypeError:
                return pairs
        items = [self.read() for _ in range(n)]
        return {b"*": items, b"~": ("set", items), b">": ("push", items)}[kind]


def pack(*words) -> bytes:
    """One command as RESP."""
    raw = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in raw)
