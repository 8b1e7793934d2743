"""Ids of stream entries as words, and replies that show entries."""
from respserver.protocol.errors import BAD_STREAM_ID, BAD_STREAM_INTERVAL, CommandError
from respserver.values.numbers import parse_uint
from respserver.values.stream import LAST, MOST, ZERO, Id


def to_id(word: bytes, missing: int | None = 0) -> Id:
    """An id "ms-number" or "ms", where `missing` stands for the number (None: it has to be there)."""
    ms, dash, number = word.partition(b"-")
    first = parse_uint(ms)
    second = parse_uint(number) if dash else missing
    if first is None or second is None:
        raise CommandError(BAD_STREAM_ID)
    return first, second


def to_limit(word: bytes, is_end: bool) -> Id:
    """An end of an interval: -, +, an id, or one with a parenthesis that is not included itself."""
    if word in (b"-", b"+"):
        return ZERO if word == b"-" else LAST
    is_open = word[:1] == b"("
    found = to_id(word[1:] if is_open else word, MOST if is_end else 0)
    if not is_open:
        return found
    if found == (ZERO if is_end else LAST):
        raise CommandError(BAD_STREAM_INTERVAL.format("end" if is_end else "start"))
    return before(found) if is_end else after(found)


def after(entry: Id) -> Id:
    """The next id."""
    ms, number = entry
    return (ms, number + 1) if number < MOST else (ms + 1, 0)


def before(entry: Id) -> Id:
    """The id just before."""
    ms, number = entry
    return (ms, number - 1) if number else (ms - 1, MOST)


def shown(entry: Id) -> bytes:
    """An id as a word."""
    return b"%d-%d" % entry


def rows(entries) -> list:
    """Entries as a reply: id, and names and values; null for the fields of one that is gone."""
    return [[shown(entry), None if fields is None else list(fields)] for entry, fields in entries]
