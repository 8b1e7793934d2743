"""Text to words, as documents are indexed.

ASCII punctuation (but _ and the backslash) and white space separate words; a backslash makes the mark after it a part of the
word. Words are folded to lower case. Chinese writes no blanks between words: there each of its characters counts as a word."""
import re
from collections.abc import Collection, Iterator

from ..fields.base import fold

#: As a class of bytes in a regular expression.
_SEPARATORS = rb"\t\n\v\f\r !\"#$%&'()*+,\-./:;<=>?@\[\]^`{|}~"
_MARKS = rb"!-/:-@\[-`{-~ \t\n\v\f\r"
SEPARATORS = frozenset(bytes(range(256))[i] for i in range(256) if re.match(rb"[" + _SEPARATORS + rb"]", bytes((i,))))
_plain = re.compile(rb"[^" + _SEPARATORS + rb"]+").findall
_escaped = re.compile(rb"(?:[^" + _SEPARATORS + rb"\\]|\\[" + _MARKS + rb"]|\\(?![" + _MARKS + rb"]))+")
_unescape = re.compile(rb"\\([" + _MARKS + rb"])").sub
_CONTROLS = bytes(range(1, 9)) + bytes(range(14, 32)) + b"\x7f"
_WIDE_MARKS = "\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\u2010-\u205e"
#: A character of Chinese, or what stands between such and marks of that script.
_pieces = re.compile(f"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
                     f"|[^\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff{_WIDE_MARKS}]+").findall
_has_controls = re.compile(rb"[\x01-\x08\x0e-\x1f\x7f]").search


def split(text: bytes) -> list[bytes]:
    """The words of a text, stop words among them."""
    if b"\0" in text:
        text = text.partition(b"\0")[0]
    text = fold(text)
    if _has_controls(text):
        text = text.translate(None, _CONTROLS)
    if b"\\" in text:
        return [_unescape(rb"\1", match[0]) for match in _escaped.finditer(text)]
    return _plain(text)


def characters(word: bytes) -> list[bytes]:
    """What a word in a Chinese text counts as: each Chinese character, and what stands between them."""
    return [word] if word.isascii() else [piece.encode() for piece in _pieces(word.decode("utf-8", "replace"))]


def spans(text: bytes, stopwords: Collection[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """The words that are not stop words, with where they begin and end in the text."""
    end = text.find(b"\0")
    for match in _escaped.finditer(text, 0, len(text) if end < 0 else end):
        word = fold(_unescape(rb"\1", match[0])).translate(None, _CONTROLS)
        if word and word not in stopwords:
            yield word, match.start(), match.end()
