"""HIGHLIGHT and SUMMARIZE: what matched within the text of a document."""
import re
from array import array
from dataclasses import dataclass

from ..matches import Leaf, Match
from .words import SEPARATORS, spans

#: Words that may lie between two matches of one fragment.
_MAX_DISTANCE = 8
#: Bytes that a word and what is behind it are taken to have.
_WORD_SIZE = 6
#: Between which summaries may be cut: the end of a line is none of them.
_BREAKS = bytes(byte for byte in SEPARATORS if byte != 0x0a)
_blanks = re.compile(rb"[ \t\n\v\f\r]+").sub


@dataclass(slots=True)
class _Fragment:
    start: int
    end: int
    spans: list[tuple[int, int]]        # of the words that matched
    terms: set[bytes]                   # what they matched
    n_others: int = 0                   # words between these


class Editor:
    """Edits the TEXT fields of the documents that a search returns.

    `index`, `options` as in a search; `match`: what it matched."""

    def __init__(self, index, options, match: Match):
        self.text = index.text
        self.match = match
        self.highlight = options.highlight
        self.summarize = options.summarize
        self.fields = {field.path: field.name for field in index.text.fields}
        self._fitting: dict[tuple, dict[bytes, bytes | None]] = {}

    def edit(self, row: int, path: bytes, value: bytes) -> bytes:
        """The value of a document's field as it is returned."""
        name = self.fields.get(path)
        if name is None:
            return value
        highlight, summarize = self.highlight, self.summarize
        if highlight is not None and highlight.fields and name not in highlight.fields:
            highlight = None
        if summarize is not None and summarize.fields and name not in summarize.fields:
            summarize = None
        if highlight is None and summarize is None:
            return value
        names: set[bytes] = set()
        _collect(self.match, row, names)
        if not value:
            marked = highlight.opening + highlight.closing if highlight is not None and b"" in names else b""
            return marked if summarize is None else marked + summarize.separator
        fragments = self._fragments(value, names)
        if summarize is None:
            return _marked(value, 0, len(value), [span for one in fragments for span in one.spans], highlight)
        if not fragments:
            return value if highlight is not None else _blanks(b" ", _head(value, summarize))
        best = sorted(range(len(fragments)), key=lambda i: -len(fragments[i].terms))[:summarize.fragments]
        out = []
        for i in sorted(best):
            before = fragments[i - 1].end if i else 0
            after = fragments[i + 1].start if i + 1 < len(fragments) else len(value)
            start, end = _context(value, fragments[i], summarize.length, before, after)
            out += [_blanks(b" ", _marked(value, start, end, fragments[i].spans, highlight)), summarize.separator]
        return b"".join(out)

    def _fragments(self, value: bytes, names: set[bytes]) -> list[_Fragment]:
        fits = self._fitting.setdefault(tuple(sorted(names)), {})
        fragments: list[_Fragment] = []
        since = 0
        for word, start, end in spans(value, self.text.stopwords):
            if word in fits:
                term = fits[word]
            else:
                term = fits[word] = self._matched(word, names)
            since += 1
            if term is None:
                continue
            if fragments and since <= _MAX_DISTANCE:
                fragments[-1].end = end
                fragments[-1].spans.append((start, end))
                fragments[-1].terms.add(term)
                fragments[-1].n_others += since - 1
            else:
                fragments.append(_Fragment(start, end, [(start, end)], {term}))
            since = 0
        return fragments

    def _matched(self, word: bytes, names: set[bytes]) -> bytes | None:
        """Which of the terms stands where this word does, or None."""
        if word in names:
            return word
        text = self.text
        number = text.terms.get(word)
        if number is None:
            return None
        stem_of: array = text.stem_of
        if stem_of[number] and (stem := text.terms.name(stem_of[number] - 1)) in names:
            return stem
        return next((name for name in names if number in text.sources.get(text.terms.get(name), ())), None)


def _collect(match: Match, row: int, names: set[bytes]) -> None:
    """The terms that a row was found by."""
    if isinstance(match, Leaf):
        if match.is_term and row in match.rows:
            names.add(match.name)
        return
    for child in match.children:
        if row in child.rows:
            _collect(child, row, names)


def _marked(value: bytes, start: int, end: int, found: list[tuple[int, int]], highlight) -> bytes:
    """A part of the text with the words that matched between the tags."""
    if highlight is None:
        return value[start:end]
    out, at = [], start
    for first, last in found:
        out += [value[at:first], highlight.opening, value[first:last], highlight.closing]
        at = last
    out.append(value[at:end])
    return b"".join(out)


def _head(value: bytes, summarize) -> bytes:
    """What stands for a text in which nothing matched: its beginning, to the end of a word."""
    end = min((summarize.length * summarize.fragments + 1) * _WORD_SIZE, len(value))
    return value[:_back(value, 0, end, b" \t\n\v\f\r")]


def _back(value: bytes, start: int, end: int, dropped: bytes = _BREAKS) -> int:
    """Where the last whole word before `end` ends; at least one byte behind `start`. `dropped`: what does not stay behind it."""
    while end - start > 1 and value[end - 1] not in _BREAKS:
        end -= 1
    while end - start > 1 and value[end - 1] in dropped:
        end -= 1
    return end


def _context(value: bytes, fragment: _Fragment, length: int, before: int, after: int) -> tuple[int, int]:
    """The bounds of a fragment with whole words around it, `length` in all, no further than `before` and `after`."""
    length -= fragment.n_others
    if length <= 0:
        return fragment.start, fragment.end
    size = length // 2 * _WORD_SIZE
    start = max(before, fragment.start - size)
    while start < fragment.start and value[start] not in _BREAKS:
        start += 1
    while start < fragment.start and value[start] in _BREAKS:
        start += 1
    end = min(after, fragment.end + size + 1)
    return start, _back(value, fragment.end, end) if end > fragment.end else end
