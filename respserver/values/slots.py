"""A file of equal slots for long values of one width, so that they need no memory: the vectors of hashes.

A hash holds a `Ref` in place of the bytes. The file begins with a page that says what it is; slots follow, and room is made for
SEGMENT_SLOTS of them at a time. A slot is a check sum of what follows it, its own number, a generation that grows with every use,
and the value: a read notices a damaged, a torn and a misplaced slot alike.

Values are written, and read one at a time, by system calls: a full or failing disk is an error then. Many are read by a reader of
the caller's choice, which may map the file. Freeing writes nothing. The lowest free slot is used first; background
jobs move values from the end of the file into the holes (`SlotStore.is_high`), and `trim` gives the end back.
"""
import fcntl
import logging
import os
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

from ..protocol.errors import CommandError

MAGIC = b"VAMANASL"
VERSION = 1
SEGMENT_SLOTS = 4096
#: Where the slots begin, bytes.
BASE = 4096
_MAX_STORES = 256
_MAX_SLOTS = 1 << 32
#: In place of 1 for a slot in use: it is free, but must not be used yet.
_FROZEN = 2

#: magic, version, where the slots begin, width, bytes from slot to slot, slots per segment, name of the check sum of slots; and
#: the CRC-32 of all that
_FILE_HEAD = struct.Struct("<8sIIIII12sI")
#: check sum of what follows, slot number, generation, 0
_CHECK = struct.Struct("<I")
_SLOT_BODY = struct.Struct("<III")
_CHECKED = struct.Struct("<II")
_HEAD = _CHECK.size + _SLOT_BODY.size
_REF = struct.Struct("<BI")
REF_BYTES = _REF.size

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


_n_freezes = 0


def freeze() -> None:
    """From now on no slot that is given back is used again and no file is shortened, until `thaw`:
    a forked process reads them."""
    global _n_freezes
    _n_freezes += 1


def thaw() -> None:
    """Ends a `freeze`."""
    global _n_freezes
    _n_freezes -= 1
    if not _n_freezes:
        for store in _stores.values():
            store.use_again()


def descriptors() -> list[int]:
    """The open files of all stores."""
    return [store.descriptor for store in _stores.values()]


class PlainReader:
    """Reads many slots of a file whose check sum is CRC-32."""

    def __init__(self, fd: int, base: int, stride: int, width: int):
        self._layout = fd, base, stride, width

    def read(self, slots: bytes) -> list[bytes | memoryview | None]:
        """The values in these slots, given as 32-bit numbers; None for one that is damaged or cannot be read."""
        fd, base, stride, width = self._layout
        found: list[bytes | memoryview | None] = []
        for slot, in struct.iter_unpack("<I", slots):
            try:
                raw = os.pread(fd, _HEAD + width, base + slot * stride)
            except OSError:
                raw = b""
            found.append(raw[_HEAD:] if _is_intact(raw, slot, width, crc32) else None)
        return found

    def rest(self) -> None:
        """To be called now and then: gives back what reading has taken, unless that was just now."""

    def close(self) -> None:
        """Ends the use of the file, which stays open."""


def _is_intact(raw: bytes, slot: int, width: int, checksum: Callable) -> bool:
    if len(raw) != _HEAD + width:
        return False
    check, number = _CHECKED.unpack_from(raw)
    return number == slot and check == checksum(memoryview(raw)[_CHECK.size:])


class Method(NamedTuple):
    """How slots are checked and read: a name for the file's head, a check sum of bytes, and a class like PlainReader."""

    name: bytes
    checksum: Callable
    reader: Callable


PLAIN = Method(b"crc32", crc32, PlainReader)


class SlotStore:
    """Values of `width` bytes in the file `path`, which is made anew.

    Raises SlotError if the file cannot be made, or belongs to a running server. Everything happens on the loop thread."""

    def __init__(self, path: str, width: int, method: Method = PLAIN):
        self.path = path
        self.width = width
        self.stride = (_HEAD + width + 15) & ~15
        self.n_used = 0                                         # slots in use
        self.n_damaged = 0                                      # reads that failed
        self._checksum = method.checksum
        self._used = bytearray()                                # a byte per slot of the file: 1, or 0 if it is free
        self._lowest = 0                                        # no free slot lies before it
        self._frozen: list[int] = []                            # slots that were given back during a freeze
        self._generation = 0
        self._latest = -1                                       # the slot written last and its value: it is read next
        self._latest_value = b""
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._failure(error) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            head = _FILE_HEAD.pack(MAGIC, VERSION, BASE, width, self.stride, SEGMENT_SLOTS, method.name, 0)[:-4]
            self._write(0, (head, _CHECK.pack(crc32(head))))
            os.ftruncate(self._fd, BASE)
        except OSError as error:
            os.close(self._fd)
            raise self._failure(error) from None
        self.reader = method.reader(self._fd, BASE, self.stride, width)
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
        return len(self._used)

    def _offset(self, slot: int) -> int:
        return BASE + slot * self.stride

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
                os.ftruncate(self._fd, self._offset(slot + SEGMENT_SLOTS))
            except OSError as error:
                raise self._failure(error) from None
            self._used += bytes(SEGMENT_SLOTS)
        generation = self._generation = self._generation + 1 & 0xFFFFFFFF
        body = _SLOT_BODY.pack(slot, generation, 0)
        check = self._checksum(body + value)
        try:
            self._write(self._offset(slot), (_CHECK.pack(check) + body, value))
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
        if not _is_intact(raw, slot, self.width, self._checksum):
            self._note_damaged(slot)
            raise CommandError(DAMAGED.format(self.path, slot))
        return raw[_HEAD:]

    def _note_damaged(self, slot: int) -> None:
        self.n_damaged += 1
        log.error("Slot %d of %s is damaged", slot, self.path)

    def read_ref(self, ref: bytes) -> bytes:
        """The value that a Ref into this store stands for; see `read`."""
        return self.read(slot_of(ref))

    def free(self, slot: int) -> None:
        """Gives a slot back."""
        if slot < len(self._used) and self._used[slot] == 1:
            self.n_used -= 1
            if _n_freezes:
                self._used[slot] = _FROZEN
                self._frozen.append(slot)
                return
            self._used[slot] = 0
            if slot < self._lowest:
                self._lowest = slot
            if slot == self._latest:
                self._latest, self._latest_value = -1, b""

    def use_again(self) -> None:
        """The freeze is over."""
        for slot in self._frozen:
            self._used[slot] = 0
            self._lowest = min(self._lowest, slot)
        self._frozen.clear()

    @property
    def descriptor(self) -> int:
        """The open file."""
        return self._fd

    def read_many(self, refs: Sequence[bytes]) -> list[bytes | memoryview | None]:
        """The values of many Refs into this store; None for one that is damaged or cannot be read, which is logged."""
        found = self.reader.read(self.slots_of(refs))
        if None in found:
            for ref, value in zip(refs, found):
                if value is None:
                    self._note_damaged(slot_of(ref))
        return found

    def slots_of(self, refs: Sequence[bytes]) -> bytes:
        """The slots of many Refs into this store, as 32-bit numbers: what `reader` takes."""
        return b"".join([ref[1:] for ref in refs])

    def rest(self) -> None:
        """To be called now and then: lets go of pages that the reader has looked at, unless that was just now."""
        self.reader.rest()

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
        if _n_freezes:
            return 0
        keep = -(-(self._used.rfind(1) + 1) // SEGMENT_SLOTS)
        n = len(self._used) // SEGMENT_SLOTS - keep
        if n > 0:
            del self._used[keep * SEGMENT_SLOTS:]
            self._lowest = min(self._lowest, len(self._used))
            try:
                os.ftruncate(self._fd, self._offset(len(self._used)))
            except OSError as error:
                log.warning("Cannot shorten %s: %s", self.path, error.strerror)
        return max(n, 0)

    def close(self) -> None:
        """Removes the file. Refs into it are void afterwards."""
        _stores.pop(self.number, None)
        self.reader.close()
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
