"""A file of equal slots for long values of one width, so that they need no memory: the vectors of hashes.

A hash holds a `Ref` in place of the bytes. The file begins with a page that says what it is; segments of SEGMENT_SLOTS slots follow,
each on a page boundary. A slot is a check sum, its own number, a generation that grows with every use, and the value: a read
notices a damaged, a torn and a misplaced slot alike. Slots are written by system calls, so that a full disk is an error and not a
signal, and read by them or, many at a time, through maps of the segments, after one request to the system to read ahead.

Freeing writes nothing. The lowest free slot is used first; `respserver.background` jobs move values from the end of the file into
the holes (`SlotStore.is_high`), and `trim` gives the end back.
"""
import fcntl
import logging
import mmap
import os
import resource
import struct
import zlib
from collections.abc import Callable, Iterable

from ..protocol.errors import CommandError

MAGIC = b"VAMANASL"
VERSION = 1
SEGMENT_SLOTS = 4096
PAGE = mmap.PAGESIZE
_MAX_STORES = 256
_MAX_SLOTS = 1 << 32

#: magic, version, page size, width, bytes from slot to slot, slots per segment, name of the check sum, check sum of all before
_FILE_HEAD = struct.Struct("<8sIIIII12sI")
#: check sum of what follows, slot number, generation, 0
_SLOT_HEAD = struct.Struct("<IIII")
_SLOT_BODY = struct.Struct("<III")
_HEAD = _SLOT_HEAD.size
_REF = struct.Struct("<BI")
REF_BYTES = _REF.size
#: After a batch that had to wait for the disk, so many batches ask the system to read ahead.
_COLD_BATCHES = 256

DAMAGED = "ERR a stored vector is damaged on disk: {}, slot {}"
UNREADABLE = "ERR a stored vector cannot be read from disk: {}, slot {}: {}"
UNWRITABLE = "ERR a vector cannot be written to disk: {}: {}"

log = logging.getLogger("vamana")


class Ref(bytes):
    """Where a value is: the number of its store (1 byte) and the slot (4 bytes)."""

    __slots__ = ()


class SlotError(CommandError):
    """A value could not be written: the disk is full or fails. Nothing has changed."""


_stores: dict[int, "SlotStore"] = {}


def fetch(ref: bytes) -> bytes:
    """The value that a Ref stands for. Raises CommandError if it is damaged or cannot be read."""
    number, slot = _REF.unpack(ref)
    return _stores[number].read(slot)


def length(ref: bytes) -> int:
    """The length of the value that a Ref stands for, in bytes."""
    return _stores[ref[0]].width


def previous(ref: bytes) -> bytes:
    """The value for those who only want to know what was there: empty if it cannot be read."""
    try:
        return fetch(ref)
    except CommandError:
        return b""


def discard(ref: bytes) -> None:
    """Frees the slot."""
    number, slot = _REF.unpack(ref)
    store = _stores.get(number)
    if store is not None:
        store.free(slot)


def store_of(ref: bytes) -> "SlotStore":
    """The store that a Ref points into."""
    return _stores[ref[0]]


def slot_of(ref: bytes) -> int:
    """The slot that a Ref points to."""
    return _REF.unpack(ref)[1]


class SlotStore:
    """Values of `width` bytes in the file `path`, which is made anew. `checksum(bytes, start)` and its name go together.

    Raises SlotError if the file cannot be made, or belongs to a running server. Everything happens on the loop thread."""

    def __init__(self, path: str, width: int, checksum: Callable = zlib.crc32, checksum_name: str = "crc32"):
        self.path = path
        self.width = width
        self.stride = (_HEAD + width + 15) & ~15
        self.n_used = 0                                         # slots in use
        self.n_damaged = 0                                      # reads that failed
        self._checksum = checksum
        self._segment_bytes = (self.stride * SEGMENT_SLOTS + PAGE - 1) // PAGE * PAGE
        self._used = bytearray()                                # a byte per slot of the file: 1, or 0 if it is free
        self._lowest = 0                                        # no free slot lies before it
        self._generation = 0
        self._maps: list[memoryview | None] = []                # by segment, mapped when first read in a batch
        self._mmaps: list[mmap.mmap | None] = []
        self._n_cold = _COLD_BATCHES
        self._latest = -1                                       # the slot written last and its value: it is read next
        self._latest_value = b""
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._failure(error) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            head = _FILE_HEAD.pack(MAGIC, VERSION, PAGE, width, self.stride, SEGMENT_SLOTS, checksum_name.encode(), 0)[:-4]
            self._write(0, (head, struct.pack("<I", zlib.crc32(head))))
            os.ftruncate(self._fd, PAGE)
        except OSError as error:
            os.close(self._fd)
            raise self._failure(error) from None
        self.number = next(i for i in range(_MAX_STORES) if i not in _stores)
        _stores[self.number] = self

    def _failure(self, error: OSError) -> SlotError:
        return SlotError(UNWRITABLE.format(self.path, error.strerror))

    # Slots

    @property
    def n_slots(self) -> int:
        """Slots that the file has room for."""
        return len(self._used)

    @property
    def file_bytes(self) -> int:
        """Bytes that the file takes on the disk."""
        try:
            return os.fstat(self._fd).st_blocks * 512
        except OSError:
            return 0

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory that the store itself takes."""
        return len(self._used) + 200 * len(self._maps)

    def _offset(self, slot: int) -> int:
        segment, place = divmod(slot, SEGMENT_SLOTS)
        return PAGE + segment * self._segment_bytes + place * self.stride

    def _write(self, offset: int, parts: Iterable[bytes]) -> None:
        """Writes all or raises OSError."""
        parts = list(parts)
        total = sum(map(len, parts))
        done = os.pwritev(self._fd, parts, offset)
        while done < total:                                     # the next attempt says what is wrong
            done += os.pwrite(self._fd, b"".join(parts)[done:], offset + done)

    def write(self, value: bytes) -> Ref:
        """Stores a value of the store's width. Raises SlotError."""
        slot = self._used.find(0, self._lowest)
        if slot < 0:
            slot = len(self._used)
            self._lowest = slot
            if slot + SEGMENT_SLOTS > _MAX_SLOTS:
                raise SlotError(UNWRITABLE.format(self.path, "it has no more slots"))
            try:
                os.ftruncate(self._fd, PAGE + (slot // SEGMENT_SLOTS + 1) * self._segment_bytes)
            except OSError as error:
                raise self._failure(error) from None
            self._used += bytes(SEGMENT_SLOTS)
            self._maps.append(None)
            self._mmaps.append(None)
        generation = self._generation = self._generation + 1 & 0xFFFFFFFF
        body = _SLOT_BODY.pack(slot, generation, 0)
        check = self._checksum(value, self._checksum(body, 0))
        try:
            self._write(self._offset(slot), (_SLOT_HEAD.pack(check, slot, generation, 0), value))
        except OSError as error:
            raise self._failure(error) from None
        self._used[slot] = 1
        self._lowest = slot + 1
        self.n_used += 1
        self._latest, self._latest_value = slot, value
        return Ref(_REF.pack(self.number, slot))

    def read(self, slot: int) -> bytes:
        """The value in a slot. Raises CommandError if it is damaged or the disk fails."""
        if slot == self._latest:
            return self._latest_value
        try:
            raw = os.pread(self._fd, _HEAD + self.width, self._offset(slot))
        except OSError as error:
            self.n_damaged += 1
            log.error("Cannot read slot %d of %s: %s", slot, self.path, error.strerror)
            raise CommandError(UNREADABLE.format(self.path, slot, error.strerror)) from None
        if len(raw) == _HEAD + self.width:
            check, number, _, _ = _SLOT_HEAD.unpack_from(raw)
            value = raw[_HEAD:]
            if number == slot and check == self._checksum(value, self._checksum(raw[4:_HEAD], 0)):
                return value
        self.n_damaged += 1
        log.error("Slot %d of %s is damaged", slot, self.path)
        raise CommandError(DAMAGED.format(self.path, slot))

    def free(self, slot: int) -> None:
        """Gives a slot back."""
        if slot < len(self._used) and self._used[slot]:
            self._used[slot] = 0
            self.n_used -= 1
            if slot < self._lowest:
                self._lowest = slot
            if slot == self._latest:
                self._latest, self._latest_value = -1, b""

    # Many at a time

    def _view(self, segment: int) -> memoryview:
        view = self._maps[segment]
        if view is None:
            mapped = self._mmaps[segment] = mmap.mmap(self._fd, self._segment_bytes, mmap.MAP_SHARED, mmap.PROT_READ,
                                                      offset=PAGE + segment * self._segment_bytes)
            mapped.madvise(mmap.MADV_RANDOM)
            view = self._maps[segment] = memoryview(mapped)
        return view

    def read_many(self, refs: Iterable[bytes]) -> list[memoryview | None]:
        """The values of many Refs into this store; None for one that is damaged (which is logged). The views are to be used before
        the loop turns: they show the file itself.

        While batches have to wait for the disk, the system is asked to read all of a batch at once before the first is looked at.
        Raises CommandError if the file cannot be mapped."""
        slots = [slot for _, slot in map(_REF.unpack, refs)]
        faults = resource.getrusage(resource.RUSAGE_THREAD).ru_majflt
        try:
            if self._n_cold:
                self._n_cold -= 1
                self._read_ahead(slots)
            found = list(map(self._checked, slots))
        except OSError as error:
            raise CommandError(UNREADABLE.format(self.path, slots[0], error.strerror)) from None
        if resource.getrusage(resource.RUSAGE_THREAD).ru_majflt != faults:
            self._n_cold = _COLD_BATCHES
        return found

    def _checked(self, slot: int) -> memoryview | None:
        segment, place = divmod(slot, SEGMENT_SLOTS)
        view = self._maps[segment] or self._view(segment)
        start = place * self.stride
        value = view[start + _HEAD:start + _HEAD + self.width]
        check, number, _, _ = _SLOT_HEAD.unpack_from(view, start)
        if number == slot and check == self._checksum(value, self._checksum(view[start + 4:start + _HEAD], 0)):
            return value
        self.n_damaged += 1
        log.error("Slot %d of %s is damaged", slot, self.path)
        return None

    def _read_ahead(self, slots: list[int]) -> None:
        """Asks the system for the pages of these slots; neighbours in one request."""
        segment = first = last = -1
        for slot in sorted(slots):
            its_segment, place = divmod(slot, SEGMENT_SLOTS)
            start = place * self.stride
            begin, end = start // PAGE * PAGE, min((start + self.stride + PAGE - 1) // PAGE * PAGE, self._segment_bytes)
            if its_segment == segment and begin <= last:
                last = end
                continue
            if segment >= 0:
                self._mmaps[segment].madvise(mmap.MADV_WILLNEED, first, last - first)
            segment, first, last = its_segment, begin, end
            self._view(segment)
        if segment >= 0:
            self._mmaps[segment].madvise(mmap.MADV_WILLNEED, first, last - first)

    # Compaction

    @property
    def bound(self) -> int:
        """The slots that would do: as many as are in use, in whole segments."""
        return -(-self.n_used // SEGMENT_SLOTS) * SEGMENT_SLOTS

    def is_high(self, ref: bytes) -> bool:
        """Whether a Ref's value would have to move for the file to become as short as it can be."""
        return slot_of(ref) >= self.bound

    def trim(self) -> int:
        """Cuts the free end off the file. Returns how many segments went."""
        keep = -(-(self._used.rfind(1) + 1) // SEGMENT_SLOTS)
        n = len(self._maps) - keep
        if n > 0:
            # Views that somebody still holds keep their map alive; what they show is gone.
            del self._maps[keep:], self._mmaps[keep:], self._used[keep * SEGMENT_SLOTS:]
            self._lowest = min(self._lowest, len(self._used))
            try:
                os.ftruncate(self._fd, PAGE + keep * self._segment_bytes)
            except OSError as error:
                log.warning("Cannot shorten %s: %s", self.path, error.strerror)
        return max(n, 0)

    def close(self) -> None:
        """Removes the file. Refs into it are void afterwards."""
        _stores.pop(self.number, None)
        self._maps.clear()
        self._mmaps.clear()
        try:
            os.unlink(self.path)
        except OSError:
            pass
        os.close(self._fd)


def remove_stale(path: str) -> bool:
    """Removes a file that an earlier server has left; not one that a running server uses. Returns whether it was removed."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.read(fd, len(MAGIC)) != MAGIC:
            return False
        os.unlink(path)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
