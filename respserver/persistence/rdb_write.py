"""Values and databases in RDB format: the plain encodings, which every Redis since 2.6 reads."""
import struct
from collections.abc import Callable, Iterable, Iterator

from ..values.buffer import Buffer
from ..values.hash import Hash
from ..values.list import List
from ..values.set import Set
from ..values.sorted_set import SortedSet
from ..values.stream import Stream
from . import module_types, streams

#: The version that Redis 7.0 writes, and the first one that has expiry times of fields.
VERSION, VERSION_OF_FIELD_TIMES = 10, 12
TYPE_STRING, TYPE_LIST, TYPE_SET, TYPE_HASH, TYPE_SORTED_SET, TYPE_MODULE, TYPE_HASH_TIMES = 0, 1, 2, 4, 5, 7, 24
(OP_AUX, OP_SIZES, OP_EXPIRE_MS, OP_SELECT, OP_END) = 250, 251, 252, 254, 255
(PART_END, PART_SIGNED, PART_UNSIGNED, PART_FLOAT, PART_DOUBLE, PART_STRING) = range(6)

#: An AUX field of this name holds one command (in RESP) that is run before the keys are loaded: the definition of an index and
#: the like. Servers that do not know it pass over it.
AUX_COMMAND = b"vamana-command"

_MS = struct.Struct("<Q")
_DOUBLE = struct.Struct("<d")
_SHORT = [bytes((n,)) for n in range(64)]


def length(n: int) -> bytes:
    """A length, or a number without sign."""
    if n < 64:
        return _SHORT[n]
    if n < 1 << 14:
        return (0x4000 | n).to_bytes(2, "big")
    return b"\x80" + n.to_bytes(4, "big") if n < 1 << 32 else b"\x81" + n.to_bytes(8, "big")


def text(value: bytes) -> bytes:
    """A string."""
    n = len(value)
    return (_SHORT[n] if n < 64 else length(n)) + value


_TYPE_BYTES = [bytes((n,)) for n in range(256)]


def body(value) -> tuple[int, bytes]:
    """(type, encoded value) of any value of the keyspace. Raises CommandError for one that cannot be read from its file."""
    kind = type(value)
    if kind is bytes:
        return TYPE_STRING, text(value)
    if kind is Hash:
        if value.times():
            return TYPE_HASH_TIMES, _timed_hash(value)
        parts = [length(len(value))]
        for name, content in value.items():
            parts += (text(name), text(content))
        return TYPE_HASH, b"".join(parts)
    if kind is List or kind is Set:
        parts = [length(len(value))]
        parts += map(text, value)
        return TYPE_LIST if kind is List else TYPE_SET, b"".join(parts)
    if kind is SortedSet:
        parts = [length(len(value))]
        for member, score in value.items():
            parts += (text(member), _DOUBLE.pack(score))
        return TYPE_SORTED_SET, b"".join(parts)
    if kind is Stream:
        return streams.TYPE_STREAM_2, streams.save(value, length, text)
    if kind is Buffer:
        return TYPE_STRING, text(bytes(value))
    return TYPE_MODULE, _module_value(value)


def _timed_hash(value: Hash) -> bytes:
    times = value.times()
    least = min(times.values())
    parts = [_MS.pack(least), length(len(value))]
    for name, content in value.items():
        when = times.get(name)
        parts += (length(0 if when is None else when - least + 1), text(name), text(content))
    return b"".join(parts)


def _module_value(value) -> bytes:
    module_type = module_types.of_class(type(value))
    if module_type is None:
        raise TypeError(f"no way to save a {type(value).__name__}")
    parts = [length(module_type.number)]
    for part in module_type.save(value):
        if type(part) is bytes:
            parts += (length(PART_STRING), text(part))
        elif type(part) is float:
            parts += (length(PART_DOUBLE), _DOUBLE.pack(part))
        else:
            parts += (length(PART_UNSIGNED), length(part))
    parts.append(length(PART_END))
    return b"".join(parts)


def header(has_field_times: bool) -> bytes:
    """What a file begins with."""
    return b"REDIS%04d" % (VERSION_OF_FIELD_TIMES if has_field_times else VERSION)


def aux(name: bytes, value: bytes) -> bytes:
    """A remark."""
    return bytes((OP_AUX,)) + text(name) + text(value)


def database(index: int, data: dict, expires: dict, report: Callable[[int], None] | None = None) -> Iterator[bytes]:
    """One database in pieces; `report` is told now and then how many keys are done. Nothing for an empty one."""
    if not data:
        return
    yield bytes((OP_SELECT,)) + length(index) + bytes((OP_SIZES,)) + length(len(data)) + length(len(expires))
    n = 0
    for key, value in data.items():
        kind, encoded = body(value)
        record = _TYPE_BYTES[kind] + text(key) + encoded
        if expires:
            when = expires.get(key)
            if when is not None:
                record = b"\xfc" + _MS.pack(when) + record
        yield record
        n += 1
        if report is not None and not n & 1023:
            report(n)


def whole(databases: Iterable, remarks: Iterable[tuple[bytes, bytes]],
          report: Callable[[int], None] | None = None) -> Iterator[bytes]:
    """A file in pieces, up to and with the mark of its end; the check sum comes after it."""
    databases = list(databases)
    yield header(any(value.times() for db in databases for key in db.field_expires
                     for value in (db.data.get(key),) if type(value) is Hash))
    for name, value in remarks:
        yield aux(name, value)
    done = 0
    for db in databases:
        base = done
        yield from database(db.index, db.data, db.expires, None if report is None else lambda n, base=base: report(base + n))
        done += len(db.data)
    yield bytes((OP_END,))
