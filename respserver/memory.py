"""What values and the process take."""
import ctypes
import gc
import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice

from .values.shape import Shape

_PAGE = os.sysconf("SC_PAGESIZE")


def memory_pages() -> tuple[int, int]:
    """Resident and file-backed bytes of this process; (0, 0) where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            fields = file.read().split()
    except OSError:
        return 0, 0
    return int(fields[1]) * _PAGE, int(fields[2]) * _PAGE


def used_memory() -> int:
    """Bytes of memory that this process holds for itself: resident and not backed by a file."""
    resident, shared = memory_pages()
    return resident - shared


def size_of(value, samples: int = 5) -> int:
    """Bytes of a value with all that it refers to.
    The members of a collection are estimated from `samples` of them (0: all are counted)."""
    if type(value) is Shape:
        return 0                                # many hashes share it
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + _members(value.items(), len(value), samples)
    if isinstance(value, (list, tuple, set, frozenset)):
        return size + _members(value, len(value), samples)
    if isinstance(value, (bytes, str, int, float, bytearray, type(None))):
        return size
    for part in _attributes(value):
        size += size_of(part, samples)
    return size


def _members(members: Iterable, n: int, samples: int) -> int:
    if not n:
        return 0
    seen = list(islice(members, samples or n))
    total = 0
    for member in seen:
        if isinstance(member, tuple):           # an item of a dict: the pair itself is made for us
            total += sum(size_of(part, samples) for part in member)
        else:
            total += size_of(member, samples)
    return total * n // len(seen)


def _attributes(value) -> Iterator:
    for cls in type(value).__mro__:
        slots = getattr(cls, "__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name != "__weakref__" and hasattr(value, name):
                yield getattr(value, name)
    yield from getattr(value, "__dict__", {}).values()


def memory_report(server) -> Iterator[tuple[str, object]]:
    """The rows of MEMORY STATS."""
    resident, shared = memory_pages()
    used = resident - shared
    peak = server.stats.peak_memory = max(server.stats.peak_memory, used)
    keys = sum(len(db) for db in server.keyspace.databases)
    data = max(0, used - server.memory_at_start)
    yield "peak.allocated", peak
    yield "total.allocated", used
    yield "startup.allocated", server.memory_at_start
    yield "clients.normal", sum(client.input_size() + client.output_size() for client in server.clients.values())
    yield "overhead.total", server.memory_at_start
    yield "keys.count", keys
    yield "keys.bytes-per-key", data // keys if keys else 0
    yield "dataset.bytes", data
    yield "dataset.percentage", 100 * data / max(1, used)
    yield "peak.percentage", 100 * used / max(1, peak)
    yield "fragmentation", resident / max(1, used)
    yield "fragmentation.bytes", resident - used


def purge() -> None:
    """Collects all cyclic garbage and gives free memory back to the system, as far as the C library can."""
    gc.collect()
    _trim()


def _trim() -> None:
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):           # another C library
        pass


class Trimmer:
    """Gives memory back that the C library would keep: the holes that tables leave behind while they grow, what threads have
    used.

    That takes the longer the more holes there are (some 100 ms after the deletion of hundreds of thousands of long values), so
    it waits for a second without much traffic, for a growth that is worth it, and after a long one longer."""

    #: Calls in a second that are hardly any; growth (bytes) and changes of keys that make it worth while; the share of the time
    #: it may take.
    CALLS, GROWTH, CHANGES, SHARE = 10, 1 << 20, 10_000, 0.001

    def __init__(self):
        self.is_due = False                     # to be set by who has freed a lot
        self._used = used_memory()              # the least since the last time
        self._changes = 0                       # then
        self._next_at = 0.0

    def look(self, calls: int, changes: int, now: float) -> None:
        """To be called each second, with the calls in it, the changes since the start and the time (time.monotonic())."""
        if calls > self.CALLS or now < self._next_at:
            return
        used = used_memory()
        self._used = min(self._used, used)
        if not self.is_due and used < self._used + self.GROWTH and abs(changes - self._changes) < self.CHANGES:
            return
        started = time.thread_time()
        _trim()
        self._next_at = now + (time.thread_time() - started) / self.SHARE
        self._used, self._changes, self.is_due = used_memory(), changes, False
