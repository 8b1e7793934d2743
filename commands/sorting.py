"""SORT and SORT_RO."""
from functools import cmp_to_key

from respserver.protocol.errors import NOT_A_DOUBLE, SORT_BY_DENIED, SORT_GET_DENIED, WRONG_TYPE, CommandError
from respserver.registry import command
from respserver.values.hash import Hash
from respserver.values.list import List
from respserver.values.numbers import parse_float
from respserver.values.set import Set
from respserver.values.sorted_set import SortedSet

from .arguments import syntax_error, to_int


class _Options:
    """What follows the key."""

    def __init__(self, words, read_only: bool):
        self.by: bytes | None = None
        self.get: list[bytes] = []
        self.offset, self.count = 0, -1
        self.descending = self.alpha = False
        self.store: bytes | None = None
        i, n = 0, len(words)
        while i < n:
            word = words[i].upper()
            left = n - i - 1
            if word in (b"ASC", b"DESC"):
                self.descending = word == b"DESC"
            elif word == b"ALPHA":
                self.alpha = True
            elif word == b"LIMIT" and left >= 2:
                self.offset, self.count = to_int(words[i + 1]), to_int(words[i + 2])
                i += 2
            elif word == b"STORE" and left >= 1 and not read_only:
                self.store = words[i + 1]
                i += 1
            elif word == b"BY" and left >= 1:
                self.by = words[i + 1]
                i += 1
            elif word == b"GET" and left >= 1:
                self.get.append(words[i + 1])
                i += 1
            else:
                raise syntax_error()
            i += 1


def _look_up(db, pattern: bytes, item: bytes) -> bytes | None:
    """The string, or the hash field, that a pattern names once its star is replaced by the item."""
    if pattern == b"#":
        return item
    before, star, after = pattern.partition(b"*")
    if not star:
        return None
    after, arrow, field = after.partition(b"->")
    if arrow and not field:
        after, arrow = after + arrow, b""
    try:
        if arrow:
            value = db.get_as(before + item + after, Hash)
            return None if value is None else value.get(field)
        return db.get_as(before + item + after, bytes)
    except CommandError:
        return None


def _score(text: bytes | None) -> float:
    """What strtod reads from a whole text; nothing counts as 0."""
    text = (text or b"").partition(b"\0")[0].lstrip(b" \t\n\r\v\f")
    if not text:
        return 0.0
    number = parse_float(text)
    if number is None:
        raise CommandError(NOT_A_DOUBLE)
    return number


def _sorted(db, items: list[bytes], asked: _Options) -> list[bytes]:
    by = asked.by
    if asked.alpha:
        if by is None:
            return sorted(items, reverse=asked.descending)
        weights = {item: _look_up(db, by, item) for item in items}
        sign = -1 if asked.descending else 1

        def compare(a: bytes, b: bytes) -> int:
            x, y = weights[a], weights[b]
            if x == y:
                return 0
            return sign * (-1 if x is None or (y is not None and x < y) else 1)
        return sorted(items, key=cmp_to_key(compare))
    scores = {item: _score(item if by is None else _look_up(db, by, item)) for item in items}
    return sorted(items, key=lambda item: (scores[item], item), reverse=asked.descending)


def _sort(client, key, words, read_only: bool):
    asked = _Options(words, read_only)
    if not client.user.may_use_prefix(b"", "R"):            # the patterns may name any key
        if asked.by is not None and b"*" in asked.by:
            raise CommandError(SORT_BY_DENIED)
        if any(pattern != b"#" for pattern in asked.get):
            raise CommandError(SORT_GET_DENIED)
    db = client.db
    value = db.get(key)
    if value is not None and type(value) not in (List, Set, SortedSet):
        raise CommandError(WRONG_TYPE)
    if type(value) is SortedSet:
        items = [member for member, _ in value.items()]
    else:
        items = value.listed(client.server.config["set-max-intset-entries"]) if type(value) is Set else list(value or ())
    unsorted = asked.by is not None and b"*" not in asked.by
    if unsorted and type(value) is Set and asked.store is not None:
        unsorted, asked.alpha, asked.by = False, True, None             # so that what is stored is always the same
    if not unsorted:
        items = _sorted(db, items, asked)
    elif asked.descending and type(value) is not Set:
        items.reverse()
    start = max(asked.offset, 0)
    items = items[start:] if asked.count < 0 else items[start:start + asked.count]
    if asked.get:
        items = [_look_up(db, pattern, item) for item in items for pattern in asked.get]
    if asked.store is None:
        return items
    if items:
        db.set(asked.store, List(item or b"" for item in items), "sortstore")
    else:
        db.delete(asked.store)
    return len(items)


def _sort_keys(words):
    """The key, and the one that STORE names last."""
    found = [words[1]]
    stored = [words[i + 1] for i in range(2, len(words) - 1) if words[i].upper() == b"STORE"]
    return found + stored[-1:]


@command("SORT", arity=-2, access="R W", flags="write denyoom movablekeys", keys=(1, 1, 1), group="generic",
         categories="-keyspace set sortedset list dangerous",
         complexity="O(N+M*log(M)) for N elements, M of them returned", get_keys=_sort_keys,
         summary="Sorts a list or a set, by itself or by other keys; returns the result or stores it.")
def sort(client, key, *words):
    return _sort(client, key, words, False)


@command("SORT_RO", arity=-2, flags="readonly movablekeys", keys=(1, 1, 1), group="generic", since="7.0.0",
         categories="-keyspace set sortedset list dangerous", complexity="O(N+M*log(M)) for N elements, M of them returned",
         get_keys=lambda words: [words[1]], summary="Sorts a list or a set, by itself or by other keys; stores nothing.")
def sort_ro(client, key, *words):
    return _sort(client, key, words, True)
