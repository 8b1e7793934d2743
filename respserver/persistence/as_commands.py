"""Values as the commands that make them, for append-only files without an RDB part, and commands as bytes."""
from collections.abc import Iterable, Iterator

from ..values.hash import Hash
from ..values.list import List
from ..values.set import Set
from ..values.sorted_set import SortedSet
from ..values.stream import Stream
from . import module_types, streams

#: Elements per command.
_AT_ONCE = 64

_HEADS = [b"$%d\r\n" % n for n in range(4096)]


def encode(words: Iterable[bytes]) -> bytes:
    """One command in RESP."""
    words = list(words)
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        n = len(word)
        parts += (_HEADS[n] if n < 4096 else b"$%d\r\n" % n, word, b"\r\n")
    return b"".join(parts)


def of_value(key: bytes, value) -> Iterator[list[bytes]]:
    """The commands that make a value, each a list of words."""
    kind = type(value)
    if kind is Hash:
        items = list(value.items())
        for start in range(0, len(items), _AT_ONCE):
            yield [b"HSET" if len(items) == 1 else b"HMSET", key,
                   *[word for pair in items[start:start + _AT_ONCE] for word in pair]]
        for field, when in value.times().items():
            yield [b"HPEXPIREAT", key, b"%d" % when, b"FIELDS", b"1", field]
    elif kind is List or kind is Set:
        items = list(value)
        for start in range(0, len(items), _AT_ONCE):
            yield [b"RPUSH" if kind is List else b"SADD", key, *items[start:start + _AT_ONCE]]
    elif kind is SortedSet:
        pairs = list(value.items())
        for start in range(0, len(pairs), _AT_ONCE):
            yield [b"ZADD", key,
                   *[word for member, score in pairs[start:start + _AT_ONCE] for word in (repr(score).encode(), member)]]
    elif kind is Stream:
        yield from streams.commands(key, value)
    else:
        module_type = module_types.of_class(kind)
        if module_type is not None:
            yield from module_type.commands(key, value)
        else:
            yield [b"SET", key, bytes(value)]


def of_databases(databases: Iterable) -> Iterator[list[bytes]]:
    """The commands that make all keys."""
    for db in databases:
        if db.data:
            yield [b"SELECT", b"%d" % db.index]
            for key, value in db.data.items():
                yield from of_value(key, value)
                when = db.expires.get(key)
                if when is not None:
                    yield [b"PEXPIREAT", key, b"%d" % when]
