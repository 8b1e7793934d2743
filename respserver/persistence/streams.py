"""Streams in RDB format, as Redis 7.0 writes them (type 19), and as commands. Types 15 and 21, of other versions, are read, too.

Entries are in nodes: a listpack each, with the id of its first entry (the master) as a key. A node begins with the number of
entries, of those removed, and the names of the master's fields; an entry has its id as a distance from the master's and, if its
names are the master's, only values."""
import struct
from collections.abc import Iterator

from ..values.stream import MOST, Group, Id, Pending, Stream
from . import packed

TYPE_STREAM, TYPE_STREAM_2, TYPE_STREAM_3 = 15, 19, 21
#: Entries of a node.
_NODE = 100
_DELETED, _SAME_FIELDS = 1, 2
_ID = struct.Struct(">QQ")
_MS = struct.Struct("<q")


def _node(entries: list) -> bytes:
    """A listpack of entries, the first of which is the master."""
    (base, first) = entries[0]
    names = first[::2]
    items: list[bytes | int] = [len(entries), 0, len(names), *names, 0]
    for (ms, number), fields in entries:
        same = fields[::2] == names
        entry: list[bytes | int] = [_SAME_FIELDS if same else 0, ms - base[0], number - base[1]]
        entry += fields[1::2] if same else [len(fields) // 2, *fields]
        items += entry
        items.append(len(entry))
    return packed.make_listpack(items)


def save(stream: Stream, length, text) -> bytes:
    """The bytes of a stream; `length` and `text` encode numbers and strings of an RDB file."""
    entries = list(stream.entries())
    nodes = [entries[i:i + _NODE] for i in range(0, len(entries), _NODE)]
    parts = [length(len(nodes))]
    for node in nodes:
        parts += (text(_ID.pack(*node[0][0])), text(_node(node)))
    for number in (len(entries), *stream.last_id, *stream.first_id, *stream.max_deleted, stream.n_added, len(stream.groups)):
        parts.append(length(number))
    for name, group in stream.groups.items():
        n_read = MOST if group.n_read is None else group.n_read         # -1 in Redis
        parts += (text(name), *map(length, (*group.last_id, n_read, len(group.pending))))
        for entry in sorted(group.pending):
            note = group.pending[entry]
            parts += (_ID.pack(*entry), _MS.pack(note.when_ms), length(note.count))
        parts.append(length(len(group.consumers)))
        for consumer in group.consumers.values():
            parts += (text(consumer.name), _MS.pack(consumer.seen_ms), length(len(consumer.pending)))
            parts += (_ID.pack(*entry) for entry in sorted(consumer.pending))
    return b"".join(parts)


def load(reader, version: int) -> Stream:
    """The stream that a Reader (rdb_read.py) stands at; `version` 1, 2 or 3 for the three types. Raises RdbError."""
    try:
        return _load(reader, version)
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise reader.fail(f"a damaged stream: {error}") from None


def _load(reader, version: int) -> Stream:
    entries: list = []
    for _ in range(reader.count()):
        base = _ID.unpack(reader.text())
        entries += _entries(base, packed.listpack(reader.text()))
    n = reader.length()
    if n != len(entries) or any(a[0] >= b[0] for a, b in zip(entries, entries[1:])):
        raise ValueError("entries are missing or out of order")
    stream = Stream()
    last_id = reader.length(), reader.length()
    max_deleted, n_added = (0, 0), n
    if version > 1:
        reader.length(), reader.length()                                # the first id, which follows from the entries
        max_deleted, n_added = (reader.length(), reader.length()), reader.length()
    stream.restore(entries, last_id, n_added, max_deleted)
    for _ in range(reader.count()):
        name = reader.text()
        group = stream.groups[name] = Group((reader.length(), reader.length()))
        if version > 1:
            n_read = reader.length()
            group.n_read = None if n_read == MOST else n_read
        else:
            group.n_read = stream.n_up_to(group.last_id)
        notes = {}
        for _ in range(reader.count()):
            entry = _ID.unpack(reader.take(16))
            notes[entry] = Pending(None, _MS.unpack(reader.take(8))[0], reader.length())
        for _ in range(reader.count()):
            consumer = group.consumer(reader.text(), 0)
            consumer.seen_ms = consumer.active_ms = _MS.unpack(reader.take(8))[0]
            if version > 2:
                consumer.active_ms = _MS.unpack(reader.take(8))[0]
            for _ in range(reader.count()):
                entry = _ID.unpack(reader.take(16))
                group.give(entry, consumer, notes[entry])
    return stream


def _entries(base: Id, items: list[bytes]) -> Iterator[tuple[Id, tuple[bytes, ...]]]:
    n_names = int(items[2])
    names = items[3:3 + n_names]
    n = int(items[0]) + int(items[1])
    at = 4 + n_names
    for _ in range(n):
        flags, entry = int(items[at]), (base[0] + int(items[at + 1]), base[1] + int(items[at + 2]))
        at += 3
        if flags & _SAME_FIELDS:
            values = items[at:at + n_names]
            fields = tuple(word for pair in zip(names, values, strict=True) for word in pair)
            at += n_names
        else:
            n_fields = int(items[at])
            fields = tuple(items[at + 1:at + 1 + 2 * n_fields])
            at += 1 + 2 * n_fields
        at += 1                                                         # how many items the entry takes
        if not flags & _DELETED:
            yield entry, fields


def commands(key: bytes, stream: Stream) -> Iterator[list[bytes]]:
    """The commands that make a stream."""
    def word(entry: Id) -> bytes:
        return b"%d-%d" % entry
    for entry, fields in stream.entries():
        yield [b"XADD", key, word(entry), *fields]
    if not len(stream):
        yield [b"XGROUP", b"CREATE", key, b"-", b"0", b"MKSTREAM"]      # an empty stream has to be made somehow
        yield [b"XGROUP", b"DESTROY", key, b"-"]
    yield [b"XSETID", key, word(stream.last_id), b"ENTRIESADDED", b"%d" % stream.n_added, b"MAXDELETEDID",
           word(stream.max_deleted)]
    for name, group in stream.groups.items():
        n_read = b"-1" if group.n_read is None else b"%d" % group.n_read
        yield [b"XGROUP", b"CREATE", key, name, word(group.last_id), b"ENTRIESREAD", n_read]
        for consumer in group.consumers.values():
            yield [b"XGROUP", b"CREATECONSUMER", key, name, consumer.name]
        for entry in sorted(group.pending):
            note = group.pending[entry]
            yield [b"XCLAIM", key, name, note.consumer.name, b"0", word(entry), b"TIME", b"%d" % note.when_ms, b"RETRYCOUNT",
                   b"%d" % note.count, b"JUSTID", b"FORCE"]
