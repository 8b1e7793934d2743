"""Gathers the process's memory in huge pages, so that a fork, which copies a table entry for each page, is short.

What Python and the C library have allocated lies in pages of 4 KiB. A thread goes through it now and then and has the system
replace whole windows of 2 MiB by one page (MADV_COLLAPSE, Linux 6.1). What is written while a forked process lives falls back to
small pages and is gathered again afterwards. Windows with holes stay as they are: a huge page would fill these, and take more
memory than before.

Where the system has no huge pages, does not know the call, or an administrator has forbidden them, nothing happens."""
import ctypes
import errno
import logging
import math
import mmap
import threading
import time
from collections.abc import Iterator

from .memory import used_memory

_MADV_COLLAPSE = 25
_SETTINGS = "/sys/kernel/mm/transparent_hugepage/"

log = logging.getLogger("vamana")


def page_bytes() -> int:
    """Bytes of a huge page; 0 where there are none, or where they are forbidden."""
    try:
        with open(_SETTINGS + "enabled") as file:
            if "[never]" in file.read():
                return 0
        with open(_SETTINGS + "hpage_pmd_size") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def mappings() -> Iterator[tuple[int, int]]:
    """(start, end) of all memory of this process that it may write and that belongs to no file."""
    with open("/proc/self/maps") as file:
        lines = file.readlines()
    for line in lines:
        where, access, _, _, inode, *name = line.split()
        if access == "rw-p" and inode == "0" and (not name or name[0] == "[heap]" or name[0].startswith("[anon")):
            start, _, end = where.partition("-")
            yield int(start, 16), int(end, 16)


class Gatherer:
    """One per server; everything but the thread's work is called on the loop thread.

    `busy_share`: the part of its time that the thread works: whoever touches a window that is being replaced waits for that."""

    #: Memory that is not worth it, and growth in bytes, or as a part of all, after which it is looked through again.
    LEAST, GROWTH = 64 << 20, 1 / 8
    #: Bytes that are replaced between two pauses, and the part of a window that may be holes.
    PIECE, HOLES = 8 << 20, 1 / 64

    def __init__(self, busy_share: float = 0.4):
        self.busy_share = busy_share
        self.is_due = False                     # whatever the growth
        self.n_gathered = 0                     # windows in huge pages at the end of the last time, as far as it came
        self.page = page_bytes()
        self._used = 0                          # bytes of memory then
        self._thread: threading.Thread | None = None
        self._stops = self._finishes = False
        if self.page:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                self._madvise, self._mincore = libc.madvise, libc.mincore
            except (OSError, AttributeError):
                self.page = 0
                return
            self._madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
            self._mincore.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p

    def look(self, used: int) -> None:
        """To be called each second while there is no forked process, with the bytes of memory in use: begins if it pays."""
        if not self.page or used < self.LEAST or self.is_running:
            return
        self._used = min(self._used, used)
        if self.is_due or used - self._used >= max(self.LEAST, used * self.GROWTH):
            self.is_due, self._used, self._stops = False, used, False
            self._thread = threading.Thread(target=self.gather, name="huge pages", daemon=True)
            self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether a thread is at work."""
        return self._finishes or self._thread is not None and self._thread.is_alive()

    def finish(self, patience: float = math.inf) -> None:
        """Gathers what there is and returns then, after a few seconds at most for each GiB, or when it has taken as many as
        `patience`: for a thread that prepares a fork."""
        if not self.page or used_memory() < self.LEAST:
            return
        deadline = time.monotonic() + patience
        thread, self._finishes = self._thread, True
        try:
            if thread is not None:
                thread.join(min(patience, threading.TIMEOUT_MAX))
                if thread.is_alive():
                    return
            self._stops = False
            self.gather(deadline)
        finally:
            self._finishes = False

    def give_way(self) -> None:
        """A process is about to be forked: ends the thread soon, for what is replaced while both have it would be memory twice.
        Small pages come about meanwhile, so all is looked through afterwards."""
        self._stops = self.is_due = True

    def gather(self, deadline: float = math.inf) -> None:
        """The thread's work: goes through all memory once, until the deadline (time.monotonic())."""
        started, n, codes = time.monotonic(), 0, set()
        try:
            for start, end in mappings():
                for at, size in self._dense(start, end):
                    if self._stops or time.monotonic() > deadline:
                        return
                    began = time.thread_time()
                    code = self._collapse(at, size)
                    codes.add(code)
                    n += 0 if code else size // self.page
                    if code == errno.ENOMEM:    # no huge page is free
                        return
                    time.sleep(min(1.0, (time.thread_time() - began) * (1 / self.busy_share - 1)))
            if codes == {errno.EINVAL}:         # the system does not know the call
                self.page = 0
        finally:
            self.n_gathered = n
            log.debug("%d huge pages, looked through in %.2f s", n, time.monotonic() - started)

    def _collapse(self, at: int, size: int) -> int:
        return ctypes.get_errno() if self._madvise(at, size, _MADV_COLLAPSE) else 0

    def _dense(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(start, bytes) of runs of windows without many holes, each at most PIECE long."""
        page = self.page
        start, end = -(-start // page) * page, end // page * page
        n_small = page // mmap.PAGESIZE
        least = n_small - int(n_small * self.HOLES)
        for first in range(start, end, self.PIECE):
            size = min(self.PIECE, end - first)
            resident = ctypes.create_string_buffer(size // mmap.PAGESIZE)
            if self._mincore(first, size, resident):
                return                          # it has been unmapped since
            run, flags = 0, resident.raw
            for i in range(size // page):
                if flags.count(b"\1", i * n_small, (i + 1) * n_small) >= least:
                    run += page
                elif run:
                    yield first + i * page - run, run
                    run = 0
            if run:
                yield first + size - run, run
