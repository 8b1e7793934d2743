"""The dictionary of a text index: terms by name and by number, and which of them are like a pattern."""
import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice

import native

from ..fields.tag import wildcard

_DERIVED = frozenset(b"+<~")
#: So many new words are looked at one by one before they are sorted in.
_MAX_LOOSE = 512


def is_word(name: bytes) -> bool:
    """Whether a term is a word of documents, not a stem or the like."""
    return not name or name[0] not in _DERIVED


class Terms:
    """Names to `numbers`, which are never given twice.
    Patterns fit stems and the like too, with their mark in front, as in Redis."""

    __slots__ = ("numbers", "_names", "_sorted", "_loose", "_text", "_words", "_bytes", "_near")

    def __init__(self):
        self.numbers: dict[bytes, int] = {}
        self._names: list[bytes] = []
        self._sorted: list[bytes] = []
        self._loose: list[bytes] = []           # names that are not yet in `_sorted`
        self._text: bytes | None = None         # the sorted names, a line feed before and after each
        self._words: native.Words | None = None     # a copy of `_sorted`
        self._bytes = 0
        self._near: dict[tuple[bytes, int], list[bytes]] = {}

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: bytes) -> bool:
        return name in self.numbers

    def get(self, name: bytes) -> int | None:
        """The number of a term, or None."""
        return self.numbers.get(name)

    def name(self, number: int) -> bytes:
        return self._names[number]

    def add(self, name: bytes) -> int:
        """The number of a term, which may be new."""
        number = self.numbers.get(name)
        if number is None:
            number = self.numbers[name] = len(self._names)
            self._names.append(name)
            self._bytes += len(name)
            self._loose.append(name)
            self._text = None
            if self._near:
                self._near.clear()
        return number

    def in_order(self) -> list[bytes]:
        """The names, sorted."""
        if self._loose:
            self._sorted += self._loose
            self._loose = []
            self._sorted.sort()
            self._words = None
        return self._sorted

    def _lines(self) -> bytes:
        if self._text is None:
            self._text = b"\n" + b"\n".join(self.in_order()) + b"\n"
        return self._text

    def with_prefix(self, prefix: bytes) -> Iterator[bytes]:
        """The words that begin with `prefix`, in order."""
        if len(self._loose) <= _MAX_LOOSE and len(self._loose) < len(self._sorted):
            more = sorted(word for word in self._loose if word.startswith(prefix))
            if more:
                yield from sorted([*more, *self._run(self._sorted, prefix)])
                return
            yield from self._run(self._sorted, prefix)
            return
        yield from self._run(self.in_order(), prefix)

    @staticmethod
    def _run(words: list[bytes], prefix: bytes) -> Iterator[bytes]:
        for i in range(bisect_left(words, prefix), len(words)):
            if not words[i].startswith(prefix):
                return
            yield words[i]

    def with_suffix(self, suffix: bytes) -> Iterator[bytes]:
        """The words that end with `suffix`, in order."""
        return self._found(suffix + b"\n")

    def with_infix(self, infix: bytes) -> Iterator[bytes]:
        """The words that contain `infix`, in order."""
        return self._found(infix)

    def _found(self, part: bytes) -> Iterator[bytes]:
        text = self._lines()
        at = text.find(part, 1)
        while 0 <= at < len(text) - 1:
            start = text.rfind(b"\n", 0, at if part[:1] != b"\n" else at + 1) + 1
            end = text.find(b"\n", at)
            yield text[start:end]
            at = text.find(part, end)

    def matching(self, pattern: bytes) -> Iterator[bytes]:
        """The words that a w'..' pattern fits as a whole, in order."""
        match = wildcard(pattern).fullmatch
        head = re.match(rb"[^?*\\]*", pattern).group()
        return (word for word in (self.with_prefix(head) if head else iter(self.in_order())) if match(word))

    def near(self, word: bytes, distance: int, limit: int) -> list[bytes]:
        """The first `limit` words, in order, that `distance` or fewer insertions, deletions and replacements of characters make
        of `word` (V. Levenshtein, 1966)."""
        key = word, distance
        found = self._near.get(key)
        if found is None:
            if len(self._near) >= 1024:
                self._near.clear()
            if len(self._loose) > _MAX_LOOSE:
                self.in_order()
            if self._words is None:
                self._words = native.Words(self._sorted)
            found = [self._sorted[i] for i in self._words.near(word, distance, len(self._sorted))]
            if self._loose:
                found = sorted(found + self.near_among(self._loose, word, distance))
            self._near[key] = found
        return found[:limit] if len(found) > limit else found

    def containers(self) -> list:
        return [self.numbers, self._names, self._sorted, self._loose]

    @staticmethod
    def bytes_of(n: int, length: float) -> int:
        """What `nbytes` is with n terms of this mean length."""
        # Per term a bytes object, its number, a place in a dict and two lists.
        return int(n * (length + 33 + 28 + 50 + 16))

    @staticmethod
    def near_among(words: list[bytes], word: bytes, distance: int) -> list[bytes]:
        """Those of the words that are as near as `near` says, in order."""
        words = sorted(words)
        return [words[i] for i in native.Words(words).near(word, distance, len(words))]

    @property
    def nbytes(self) -> int:
        return self._bytes + self.bytes_of(len(self._names), 0) + (len(self._text) if self._text is not None else 0) \
            + (self._words.nbytes if self._words is not None else 0)


def prefixes_near(words: list[bytes], prefix: bytes, distance: int) -> Iterator[tuple[int, int]]:
    """Those of the sorted words that have a beginning `distance` or fewer edits from `prefix`:
    their places, and how few edits."""
    target = prefix.decode("utf-8", "replace")
    n = len(target)
    i = 0
    while i < len(words):
        text = words[i].decode("utf-8", "replace")[:n + distance]
        row = list(range(n + 1))
        best = distance + 1
        for at, char in enumerate(text):
            above, row = row, [at + 1]
            for j in range(n):
                row.append(above[j] if target[j] == char else 1 + min(above[j], above[j + 1], row[j]))
            best = min(best, row[n])
            if min(row) > distance:
                break
        if best <= distance:
            yield i, best
            i += 1
        elif min(row) > distance:
            i = _after(words, text[:at + 1].encode("utf-8", "replace"), i)
        else:
            i += 1


def _after(words: list[bytes], prefix: bytes, i: int) -> int:
    """The place of the first word behind all that begin with `prefix`."""
    if not words[i].startswith(prefix):         # the word was not UTF-8
        return i + 1
    step = 1
    low, high, end = i, i + 1, len(words)
    while high < end and words[high].startswith(prefix):
        low = high
        high = min(end, high + step)
        step *= 2
    while low + 1 < high:
        middle = (low + high) // 2
        if words[middle].startswith(prefix):
            low = middle
        else:
            high = middle
    return low + 1


def first(names: Iterator[bytes], limit: int) -> tuple[list[bytes], bool]:
    """At most `limit` of the names, and whether there were more."""
    found = list(islice(names, limit + 1))
    return found[:limit], len(found) > limit
