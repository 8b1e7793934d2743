"""FT.SUGADD, FT.SUGGET, FT.SUGDEL, FT.SUGLEN: completions, kept in a key of their own type."""
import math
from bisect import bisect_left, insort
from heapq import nsmallest

from respserver.protocol.errors import CommandError
from respserver.registry import command

from . import errors
from .options import Words, to_float, to_integer
from .score import number_of
from .text.terms import prefixes_near

_KEY = (1, 1, 1)
#: The score of the completion that is already complete.
_EXACT = 2147483648.0
_MOST = (1 << 63) - 1
#: TRIM leaves out what has less than the best score divided by this.
_TRIM = 10
#: Characters of a beginning that is looked up; and bytes that it may have at all.
_LONGEST, _LONGEST_TEXT = 100, 200


def fold(string: bytes) -> bytes:
    """A text as suggestions compare it: without case, and with the letters that have none spelt out (ss for sharp s)."""
    if string.isascii():
        return string.lower()
    return string.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")


class Suggestions:
    """Strings with a score and perhaps a payload. They are found by their beginning, whatever the case."""

    __slots__ = ("entries", "_sorted", "_order", "_n_added")

    type_name = "trietype0"
    encoding = "raw"

    def __init__(self):
        self.entries: dict[bytes, tuple[float, bytes | None]] = {}
        self._sorted: list[tuple[bytes, bytes]] = []        # folded, as given
        self._order: dict[bytes, int] = {}                  # which was added before which
        self._n_added = 0

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, string: bytes, score: float, payload: bytes | None, is_increment: bool) -> None:
        old = self.entries.get(string)
        if old is None:
            insort(self._sorted, (fold(string), string))
            self._order[string] = self._n_added = self._n_added + 1
        elif is_increment:
            score += old[0]
        if payload is None and old is not None:
            payload = old[1]
        self.entries[string] = score, payload

    def remove(self, string: bytes) -> bool:
        """Forgets a string; returns whether it was there."""
        if self.entries.pop(string, None) is None:
            return False
        del self._order[string]
        del self._sorted[bisect_left(self._sorted, (fold(string), string))]
        return True

    def find(self, prefix: bytes, is_fuzzy: bool, most: int) -> list[tuple[bytes, float, bytes | None]]:
        """The best completions: string, score, payload. The score is divided by the root of what is still to be typed; one edit
        in the prefix costs a factor of e squared. Of equal scores the string as it was typed comes first, then what was added
        first."""
        prefix = fold(prefix)
        if is_fuzzy:
            folded = [one for one, _ in self._sorted]
            found = [(self._sorted[i], distance) for i, distance in prefixes_near(folded, prefix, 1)]
        else:
            found = []
            for i in range(bisect_left(self._sorted, (prefix,)), len(self._sorted)):
                if not self._sorted[i][0].startswith(prefix):
                    break
                found.append((self._sorted[i], 0))
        scored = []
        for (name, string), distance in found:
            score, payload = self.entries[string]
            if name == prefix:
                score = _EXACT
            else:
                rest = 1 + len(string.decode("utf-8", "replace")) - len(prefix)
                score = score * math.exp(-2 * distance) / math.sqrt(max(rest, 1))
            scored.append((-score, string != prefix, self._order[string], string, payload))
        return [(string, -score, payload) for score, _, _, string, payload in nsmallest(most, scored)]

    def copy(self) -> "Suggestions":
        """The same in an object of its own."""
        other = Suggestions()
        other.entries, other._sorted = dict(self.entries), list(self._sorted)
        other._order, other._n_added = dict(self._order), self._n_added
        return other


@command("FT.SUGADD", arity=-4, group="search", since="1.0.0", flags="write denyoom", categories="write", keys=_KEY,
         summary="Adds a suggestion string to an auto-complete suggestion dictionary", complexity="O(N) for N suggestions")
def ft_sugadd(client, key, string, score, *words):
    number = to_float(score)
    if number is None:
        raise CommandError(errors.SUGGEST_SCORE)
    cursor, payload, is_increment = Words(words), None, False
    while cursor:
        word = cursor.match(b"INCR", b"PAYLOAD")
        if word == b"INCR":
            is_increment = True
        elif word == b"PAYLOAD":
            if not cursor:
                raise errors.fail(errors.SUGGEST_PAYLOAD)
            payload = cursor.next() or None                 # an empty one is none
        else:
            raise errors.fail(errors.UNKNOWN_ARGUMENT, cursor.next())
    db = client.db
    value = db.get_as(key, Suggestions)
    is_new = value is None
    if is_new:
        value = Suggestions()
    value.add(string, number, payload, is_increment)
    if is_new:
        db.set(key, value, "sugadd")
    else:
        db.changed(key, "sugadd", value, value)
    return len(value)


@command("FT.SUGGET", arity=-3, group="search", since="1.0.0", flags="readonly", categories="read", keys=_KEY,
         summary="Gets completion suggestions for a prefix", complexity="O(N) for N suggestions with the prefix")
def ft_sugget(client, key, prefix, *words):
    if len(prefix) > _LONGEST_TEXT:
        raise CommandError(errors.SUGGEST_LENGTH)
    cursor, flags, most = Words(words), set(), 5
    while cursor:
        word = cursor.match(b"FUZZY", b"WITHSCORES", b"WITHPAYLOADS", b"TRIM", b"MAX")
        if not word:
            raise errors.fail(errors.SUGGEST_ARGUMENT, cursor.next())
        if word != b"MAX":
            flags.add(word)
            continue
        if not cursor:
            raise errors.fail(errors.SUGGEST_MAX, errors.TAIL_MISSING)
        number = to_integer(cursor.next())
        if number is None:
            raise errors.fail(errors.SUGGEST_MAX, errors.TAIL_CONVERT)
        if not 1 <= number <= _MOST:
            raise errors.fail(errors.SUGGEST_MAX, errors.TAIL_BOUNDS)
        most = number
    if len(prefix.decode("utf-8", "replace")) > _LONGEST:
        raise CommandError(errors.SUGGEST_QUERY)
    value = client.db.get_as(key, Suggestions)
    if value is None:
        return []
    reply: list = []
    found = value.find(prefix, b"FUZZY" in flags, most)
    if b"TRIM" in flags:
        found = [one for one in found if one[1] >= found[0][1] / _TRIM]
    for string, score, payload in found:
        reply.append(string)
        if b"WITHSCORES" in flags:
            reply.append(number_of(client.proto, score))
        if b"WITHPAYLOADS" in flags:
            reply.append(payload)
    return reply


@command("FT.SUGDEL", arity=3, group="search", since="1.0.0", flags="write", categories="write", keys=_KEY,
         summary="Deletes a string from a suggestion index", complexity="O(N) for N suggestions")
def ft_sugdel(client, key, string):
    db = client.db
    value = db.get_as(key, Suggestions)
    if value is None or not value.remove(string):
        return 0
    if len(value):
        db.changed(key, "sugdel", value, value)
    else:
        db.delete(key, "sugdel")
    return 1


@command("FT.SUGLEN", arity=2, group="search", since="1.0.0", flags="readonly", categories="read", keys=_KEY,
         summary="Gets the size of an auto-complete suggestion dictionary", complexity="O(1)")
def ft_suglen(client, key):
    value = client.db.get_as(key, Suggestions)
    return 0 if value is None else len(value)
