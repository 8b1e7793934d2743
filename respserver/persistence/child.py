"""A forked process that writes what this one holds at this moment, while this one goes on.

The child has only the thread that forked: it must not touch the engine, nor anything that another thread may have locked."""
import ctypes
import gc
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable

_REPORT = struct.Struct("<Q")
_PR_SET_PDEATHSIG = 1


class Child:
    """A running child. `on_done(error text or "")` is called on the loop thread when it has ended."""

    def __init__(self, server, name: str, work: Callable[[Callable[[int], None]], None], on_done: Callable[[str], None],
                 keep: tuple[int, ...] = ()):
        """`work(report)` runs in the child; it raises to say that it failed.
        `keep`: descriptors that it needs. Raises OSError."""
        self.server = server
        self.name = name
        self.on_done = on_done
        self.started = time.monotonic()
        self.n_done = 0                             # keys written so far
        self._text = b""
        reader, writer = os.pipe()
        parent = os.getpid()
        sys.stdout.flush()
        began = time.perf_counter()
        try:
            self.pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if self.pid == 0:
            _run(work, writer, parent, (writer, *keep))
        self.fork_us = int((time.perf_counter() - began) * 1e6)
        os.close(writer)
        os.set_blocking(reader, False)
        self._reader = reader
        server.loop.add_reader(reader, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._reader, 65536)
        except BlockingIOError:
            return
        self._text += data
        n = len(self._text) // _REPORT.size
        if n and self._text[0] < 0x80:
            whole = self._text[:n * _REPORT.size]
            self.n_done = _REPORT.unpack_from(whole, (n - 1) * _REPORT.size)[0]
            self._text = self._text[n * _REPORT.size:]
        if not data:
            self._ended()

    def _ended(self) -> None:
        self.server.loop.remove_reader(self._reader)
        os.close(self._reader)
        _, status = os.waitpid(self.pid, 0)
        error = ""
        if os.WIFSIGNALED(status):
            error = f"terminated by signal {os.WTERMSIG(status)}"
        elif os.WEXITSTATUS(status):
            error = "failed"
        self.on_done(error)

    def kill(self) -> None:
        """Ends the child; `on_done` is not called."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.server.loop.remove_reader(self._reader)
        os.close(self._reader)
        os.waitpid(self.pid, 0)


def step_back() -> None:
    """Lowers the priority of this thread, as that of the threads which link vectors."""
    thread = threading.get_native_id()
    try:
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + 3)
    except OSError:
        pass


def _run(work, writer: int, parent: int, keep) -> None:
    """The child's life; does not return."""
    status = 1
    try:
        gc.disable()
        step_back()                                 # the traffic comes first
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)     # it would keep ports and locks of a dead server
        except (OSError, AttributeError):
            pass
        if os.getppid() != parent:
            os._exit(1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        _close_all_but({0, 1, 2, *keep})
        work(lambda n: os.write(writer, _REPORT.pack(n)))
        status = 0
    except BaseException as error:
        try:
            os.write(2, f"# The background child failed: {type(error).__name__}: {error}\n".encode("utf-8", "replace"))
        except OSError:
            pass
    finally:
        os._exit(status)


def _close_all_but(keep: set[int]) -> None:
    try:
        fds = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        fds = list(range(3, 1024))
    for fd in fds:
        if fd not in keep:
            try:
                os.close(fd)
            except OSError:
                pass
