"""RDB files and DUMP payloads to values: every encoding of strings, hashes, lists, sets and sorted sets up to Redis 8.

What else a file may hold (values of unknown modules, functions) can be passed over, or is refused.

Hashes are read one by one here; `use` takes what reads many that are alike at once, from whoever has it."""
import struct
import threading
from collections.abc import Callable, Iterator

from ..values.hash import Hash
from ..values.list import List
from ..values.set import Set
from ..values.shape import OWN
from ..values.sorted_set import SortedSet
from . import module_types, packed, streams
from .crc64 import crc64
from .rdb_write import (OP_AUX, OP_END, OP_EXPIRE_MS, OP_SELECT, OP_SIZES, PART_DOUBLE, PART_END, PART_FLOAT, PART_SIGNED,
                        PART_STRING, PART_UNSIGNED, TYPE_HASH, TYPE_HASH_TIMES, TYPE_LIST,
                        TYPE_MODULE, TYPE_SET, TYPE_SORTED_SET, TYPE_STRING)

#: The check sum of files longer than this is computed beside the reading. Bytes.
_IN_THREAD = 1 << 22
#: So many hashes like the one before have to come before more of them are looked for at once.
_STREAK = 16
#: The newest version of the format that is read.
NEWEST = 14
_OP_KEY_META, _OP_SLOT_INFO, _OP_FUNCTION, _OP_OLD_FUNCTION, _OP_MODULE_AUX, _OP_IDLE, _OP_FREQ, _OP_EXPIRE_S = (
    243, 244, 245, 246, 247, 248, 249, 253)
_OLD_ZSET, _ZIPMAP, _LIST_ZIPLIST, _INTSET, _ZSET_ZIPLIST, _HASH_ZIPLIST, _QUICKLIST = 3, 9, 10, 11, 12, 13, 14
_HASH_LISTPACK, _ZSET_LISTPACK, _QUICKLIST_2, _SET_LISTPACK = 16, 17, 18, 20
_HASH_TIMES_OLD, _LISTPACK_TIMES_OLD, _LISTPACK_TIMES = 22, 23, 25
_MS = struct.Struct("<Q")
_DOUBLE = struct.Struct("<d")
#: What stands for a score that is no finite number, in the oldest encoding.
_OLD_SCORES = {253: float("nan"), 254: float("inf"), 255: float("-inf")}


#: Like native.loading.HashScanner, or None.
_scanner: Callable | None = None


def use(scanner: Callable | None) -> None:
    """Has a class like native.loading.HashScanner read hashes that are alike."""
    global _scanner
    _scanner = scanner


class RdbError(Exception):
    """A file that cannot be read: `offset` in bytes, `text`."""

    def __init__(self, offset: int, text: str):
        super().__init__(f"{text} (offset {offset})")
        self.offset = offset
        self.text = text


class Unsupported(RdbError):
    """A value of a type that this server does not have. It has been passed over: what follows can be read."""


class Reader:
    """Reads values from bytes, or a mapped file, from `at` on. Raises RdbError."""

    def __init__(self, data, at: int = 0, end: int | None = None):
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end
        self._pieces: list | tuple = ()         # of the last hash: how each field is encoded
        self._names: tuple[bytes, ...] = ()
        self._streak = 0                        # hashes in a row that were like the one before
        self._shape = None                      # of the last one
        self._scanned_shape, self._scan = None, None

    def fail(self, what: str) -> RdbError:
        """The error to raise for what is found here."""
        return RdbError(self.at, what)

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        at = self.at
        end = at + n
        if end > self.end:
            raise self.fail("the file ends too early")
        self.at = end
        return self.data[at:end]

    def byte(self) -> int:
        at = self.at
        if at >= self.end:
            raise self.fail("the file ends too early")
        self.at = at + 1
        return self.data[at]

    def length(self) -> int:
        """A length, or a number without sign."""
        at = self.at
        if at + 1 < self.end:
            first = self.data[at]
            if first < 64:
                self.at = at + 1
                return first
            if first < 128:
                self.at = at + 2
                return (first & 63) << 8 | self.data[at + 1]
        else:
            first = self.byte()
            if first < 64:
                return first
            raise self.fail("the file ends too early")
        self.at = at + 1
        if first == 0x80:
            return int.from_bytes(self.take(4), "big")
        if first == 0x81:
            return int.from_bytes(self.take(8), "big")
        raise self.fail("no length is here")

    def count(self) -> int:
        """How many elements follow: each takes a byte at least."""
        n = self.length()
        if n > self.end - self.at:
            raise self.fail("more elements than the file has bytes")
        return n

    def text(self) -> bytes:
        """A string in any of its encodings."""
        at = self.at
        if at >= self.end:
            raise self.fail("the file ends too early")
        first = self.data[at]
        if first < 64:
            start = at + 1
            end = start + first
        elif first < 192:
            n = self.length()
            start = self.at
            end = start + n
        else:
            return self._special(first)
        if end > self.end:
            raise self.fail("the file ends too early")
        self.at = end
        return self.data[start:end]

    def _special(self, first: int) -> bytes:
        self.at += 1
        if first <= 0xC2:
            return b"%d" % int.from_bytes(self.take(1 << (first & 3)), "little", signed=True)
        if first != 0xC3:
            raise self.fail("a string of an unknown kind")
        n, size = self.length(), self.length()
        if size > (n + 1) * 264:                    # what compression can do at best
            raise self.fail("a compressed string claims too much")
        start = self.at
        try:
            return packed.lzf(self.take(n), size)
        except ValueError as error:
            raise RdbError(start, str(error)) from None

    def _packed(self, decode: Callable[[bytes], list[bytes]]) -> list[bytes]:
        start = self.at
        try:
            return decode(self.text())
        except ValueError as error:
            raise RdbError(start, str(error)) from None

    def texts(self, n: int) -> list[bytes]:
        """n strings."""
        read = self.text
        return [read() for _ in range(n)]

    # Values

    def value(self, kind: int):
        """A value of this type. Raises Unsupported for one that this server does not have."""
        start = self.at
        if kind == TYPE_HASH:
            return self._like_the_last() or self._new_hash(start)
        if kind == TYPE_STRING:
            return self.text()
        reader = _READERS.get(kind)
        if reader is None:
            raise RdbError(start - 1, f"a value of the unknown type {kind}")
        return reader(self, start)

    def _new_hash(self, start: int) -> Hash:
        n = self.count()
        flat = []
        pieces = [self.data[start:self.at]]
        for _ in range(n):
            at = self.at
            flat.append(self.text())
            pieces.append(self.data[at:self.at])
            flat.append(self.text())
        value = self._hash(start, flat)
        pieces[:2] = [b"".join(pieces[:2])]         # how many fields, and the first one's name
        self._pieces = [(piece, len(piece)) for piece in pieces] if n <= 32 else ()
        self._names = tuple(flat[::2])
        self._streak = 0
        return value

    def _like_the_last(self) -> Hash | None:
        """The hash that is here if it has the fields of the one before, in the same order, as nearly all have; else None."""
        data, at, end = self.data, self.at, self.end
        values = []
        for piece, n in self._pieces:
            if data[at:at + n] != piece:
                return None
            at += n
            if at + 2 > end:
                return None
            n = data[at]
            if n < 64:
                at += 1
            elif n < 128:
                n = (n & 63) << 8 | data[at + 1]
                at += 2
            else:
                return None
            values.append(data[at:at + n])
            at += n
        if not values or at > end:
            return None
        self.at = at
        value = Hash.of(self._names, values)
        self._streak = self._streak + 1 if value.shape is self._shape else 0
        self._shape = value.shape
        return value

    def run(self) -> tuple[list[bytes], list[Hash]] | None:
        """Keys and hashes that follow here and are like the last ones; None if it is not worth while to look."""
        if self._streak < _STREAK or _scanner is None or self._shape is None:
            return None
        shape = self._shape
        if self._scanned_shape is not shape:
            self._scanned_shape = shape
            self._scan = _scanner(TYPE_HASH, [piece for piece, _ in self._pieces], [kind == OWN for kind in shape.kinds])
        self.at, is_full, keys, texts, own = self._scan.read(self.data, self.at, self.end)
        if not is_full:
            self._streak = 0
        return keys, Hash.packed(shape, zip(texts, *own) if own else texts)

    def _hash(self, start: int, flat: list[bytes]) -> Hash:
        if not flat or len(flat) % 2:
            raise RdbError(start, "an empty or odd hash")
        value = Hash.from_flat(tuple(flat))
        if 2 * len(value) != len(flat):
            raise RdbError(start, "a hash has a field twice")
        return value

    def _packed_hash(self, start: int, decode) -> Hash:
        return self._hash(start, self._packed(decode))

    def _timed_hash(self, start: int, has_least: bool) -> Hash:
        least = _MS.unpack(self.take(8))[0] - 1 if has_least else 0
        flat: list[bytes] = []
        times: list[tuple[bytes, int]] = []
        for _ in range(self.count()):
            when, name = self.length(), self.text()
            flat += (name, self.text())
            if when:
                times.append((name, when + least))
        return self._with_times(start, flat, times)

    def _timed_listpack(self, start: int, has_least: bool) -> Hash:
        if has_least:
            self.take(8)
        items = self._packed(packed.listpack)
        if len(items) % 3:
            raise RdbError(start, "a hash with expiry times has an odd length")
        flat: list[bytes] = []
        for name, content in zip(items[::3], items[1::3]):
            flat += (name, content)
        try:
            times = [(name, int(when)) for name, when in zip(items[::3], items[2::3]) if when != b"0"]
        except ValueError:
            raise RdbError(start, "an expiry time of a field is no number") from None
        return self._with_times(start, flat, times)

    def _with_times(self, start: int, flat: list[bytes], times: list[tuple[bytes, int]]) -> Hash:
        value = self._hash(start, flat)
        for name, when in times:
            value.expire_at(name, when)
        return value

    def _list(self, start: int, items: list[bytes]) -> List:
        if not items:
            raise RdbError(start, "an empty list")
        return List(items)

    def _quicklist(self, start: int, is_new: bool) -> List:
        items: list[bytes] = []
        for _ in range(self.count()):
            if is_new and self.length() == 1:       # an element of its own
                items.append(self.text())
            else:
                items += self._packed(packed.listpack if is_new else packed.ziplist)
        return self._list(start, items)

    def _set(self, start: int, members: list[bytes]) -> Set:
        value = Set(members)
        if not members or len(value) != len(members):
            raise RdbError(start, "an empty set, or a member twice")
        return value

    def _scores(self, start: int, is_old: bool) -> SortedSet:
        pairs = []
        for _ in range(self.count()):
            member = self.text()
            if not is_old:
                score = _DOUBLE.unpack(self.take(8))[0]
            else:
                n = self.byte()
                score = _OLD_SCORES[n] if n in _OLD_SCORES else self._number(self.take(n))
            pairs.append((member, score))
        return self._sorted_set(start, pairs)

    def _packed_scores(self, start: int, decode) -> SortedSet:
        items = self._packed(decode)
        if len(items) % 2:
            raise RdbError(start, "a sorted set has a member without a score")
        return self._sorted_set(start, [(member, self._number(text)) for member, text in zip(items[::2], items[1::2])])

    def _number(self, text: bytes) -> float:
        try:
            return float(text)
        except ValueError:
            raise self.fail("a score is no number") from None

    def _sorted_set(self, start: int, pairs: list[tuple[bytes, float]]) -> SortedSet:
        if any(score != score for _, score in pairs):
            raise RdbError(start, "a score is not a number")
        value = SortedSet(pairs)
        if not pairs or len(value) != len(pairs):
            raise RdbError(start, "an empty sorted set, or a member twice")
        return value

    def module_parts(self) -> list:
        """What a module has written of one value, up to the mark of its end."""
        parts: list = []
        while True:
            opcode = self.length()
            if opcode == PART_END:
                return parts
            if opcode == PART_STRING:
                parts.append(self.text())
            elif opcode == PART_DOUBLE:
                parts.append(struct.unpack("<d", self.take(8))[0])
            elif opcode == PART_FLOAT:
                parts.append(struct.unpack("<f", self.take(4))[0])
            elif opcode in (PART_SIGNED, PART_UNSIGNED):
                parts.append(self.length())
            else:
                raise self.fail("a module's value has a part of an unknown kind")

    def _module(self, start: int):
        module_type, name, version = module_types.of_number(self.length())
        parts = self.module_parts()
        if module_type is None:
            raise Unsupported(start, f"module type {name}")
        try:
            return module_type.load(version, parts)
        except (ValueError, IndexError, TypeError) as error:
            raise RdbError(start, f"a damaged value of module type {name}: {error}") from None


_READERS: dict[int, Callable] = {
    TYPE_LIST: lambda r, start: r._list(start, r.texts(r.count())),
    TYPE_SET: lambda r, start: r._set(start, r.texts(r.count())),
    TYPE_MODULE: Reader._module,
    _ZIPMAP: lambda r, start: r._packed_hash(start, packed.zipmap),
    _HASH_ZIPLIST: lambda r, start: r._packed_hash(start, packed.ziplist),
    _HASH_LISTPACK: lambda r, start: r._packed_hash(start, packed.listpack),
    _HASH_TIMES_OLD: lambda r, start: r._timed_hash(start, False),
    TYPE_HASH_TIMES: lambda r, start: r._timed_hash(start, True),
    _LISTPACK_TIMES_OLD: lambda r, start: r._timed_listpack(start, False),
    _LISTPACK_TIMES: lambda r, start: r._timed_listpack(start, True),
    _LIST_ZIPLIST: lambda r, start: r._list(start, r._packed(packed.ziplist)),
    _QUICKLIST: lambda r, start: r._quicklist(start, False),
    _QUICKLIST_2: lambda r, start: r._quicklist(start, True),
    _INTSET: lambda r, start: r._set(start, r._packed(packed.intset)),
    _SET_LISTPACK: lambda r, start: r._set(start, r._packed(packed.listpack)),
    TYPE_SORTED_SET: lambda r, start: r._scores(start, False),
    _OLD_ZSET: lambda r, start: r._scores(start, True),
    _ZSET_ZIPLIST: lambda r, start: r._packed_scores(start, packed.ziplist),
    _ZSET_LISTPACK: lambda r, start: r._packed_scores(start, packed.listpack),
    streams.TYPE_STREAM: lambda r, start: streams.load(r, 1),
    streams.TYPE_STREAM_2: lambda r, start: streams.load(r, 2),
    streams.TYPE_STREAM_3: lambda r, start: streams.load(r, 3),
}


class Item:
    """One key of a file."""

    __slots__ = ("db", "key", "value", "when_ms", "at")

    def __init__(self, db: int, key: bytes, value, when_ms: int | None, at: int):
        self.db, self.key, self.value, self.when_ms, self.at = db, key, value, when_ms, at


class Run:
    """Keys of a file that follow one another and are all there is to them: `values` are hashes without expiry times."""

    __slots__ = ("db", "keys", "values", "at")

    def __init__(self, db: int, keys: list[bytes], values: list[Hash], at: int):
        self.db, self.keys, self.values, self.at = db, keys, values, at


class File:
    """A whole file in `data` (bytes or a mapping). Iterate `items`; `at` says how far it has come, and where the file ended."""

    def __init__(self, data, skips_unsupported: bool = False, checks: bool = True):
        self.reader = Reader(data)
        self.skips_unsupported = skips_unsupported
        self.checks = checks
        self.version = 0
        self.n_keys = 0                             # as the file says
        self.skipped: dict[str, int] = {}
        self.remarks: list[tuple[bytes, bytes]] = []
        self._summing: threading.Thread | None = None
        self._sum = self._sum_end = -1
        self.on_remark: Callable[[bytes, bytes], None] = lambda name, value: None

    @property
    def at(self) -> int:
        """Bytes read so far."""
        return self.reader.at

    def items(self) -> Iterator[Item | Run]:
        """Every key in turn, or many at once. Raises RdbError at what is damaged, Unsupported at what may not be passed over."""
        reader = self.reader
        head = reader.take(9)
        if head[:5] != b"REDIS" or not head[5:].isdigit():
            raise RdbError(0, "this is no RDB file")
        self.version = int(head[5:])
        if not 1 <= self.version <= NEWEST:
            raise RdbError(5, f"version {self.version} of the format cannot be read")
        if self.checks and self.version >= 5 and _IN_THREAD < reader.end:
            self._summing = threading.Thread(target=self._sum_up, args=(reader.end - 8,), name="check sum", daemon=True)
            self._summing.start()
        db, when = 0, None
        while True:
            start = reader.at
            kind = reader.byte()
            if kind < 64:
                key = reader.text()
                try:
                    yield Item(db, key, reader.value(kind), when, start)
                except Unsupported as error:
                    if not self.skips_unsupported:
                        raise Unsupported(start, f"key {key!r} is a {error.text}, which this server does not have; "
                                                 "set rdb-skip-unsupported to load the rest") from None
                    self._note_skipped(error.text)
                when = None
                if kind == TYPE_HASH:
                    start = reader.at
                    while (run := reader.run()) is not None and run[0]:
                        yield Run(db, *run, start)
                        start = reader.at
            elif kind == OP_EXPIRE_MS:
                when = _MS.unpack(reader.take(8))[0]
            elif kind == _OP_EXPIRE_S:
                when = 1000 * int.from_bytes(reader.take(4), "little")
            elif kind == OP_SELECT:
                db = reader.length()
            elif kind == OP_SIZES:
                self.n_keys += reader.length()
                reader.length()
            elif kind == OP_AUX:
                name, value = reader.text(), reader.text()
                self.remarks.append((name, value))
                self.on_remark(name, value)
            elif kind == OP_END:
                break
            else:
                self._pass_over(kind, start)
        self._check()

    def _note_skipped(self, what: str) -> None:
        self.skipped[what] = self.skipped.get(what, 0) + 1

    def _pass_over(self, kind: int, start: int) -> None:
        reader = self.reader
        if kind == _OP_IDLE:
            reader.length()
        elif kind == _OP_FREQ:
            reader.byte()
        elif kind == _OP_SLOT_INFO:
            for _ in range(3):
                reader.length()
        elif kind == _OP_FUNCTION:
            reader.text()
            self._note_skipped("function library")
        elif kind == _OP_MODULE_AUX:
            _, name, _ = module_types.of_number(reader.length())
            reader.module_parts()
            self._note_skipped(f"data of module {name}")
        else:
            raise RdbError(start, f"unknown operation {kind}")

    def _wait_for_crc(self, end: int) -> int:
        """The check sum of what comes before `end`. Of a large file a thread has begun to compute it when reading began."""
        if self._summing is not None:
            self._summing.join()
            if self._sum_end == end:
                return self._sum
        return self._crc_to(end)

    def _crc_to(self, end: int) -> int:
        with memoryview(self.reader.data) as data, data[:end] as part:
            return crc64(part)

    def _sum_up(self, end: int) -> None:
        self._sum = self._crc_to(end)
        self._sum_end = end

    def _check(self) -> None:
        """Compares the check sum, if there is one."""
        reader = self.reader
        end = reader.at
        if self.version < 5:
            return
        expected = int.from_bytes(reader.take(8), "little")
        if not expected or not self.checks:
            return
        if self._wait_for_crc(end) != expected:
            raise RdbError(end, "the check sum is wrong")
