"""Reading the words of a command: one cursor for all FT commands, with the number rules and reasons of Redis's parser."""
from __future__ import annotations

import re
from typing import Sequence

from . import errors
from .errors import fail

_INTEGER = re.compile(rb"0|-?[1-9][0-9]*")
_FLOAT = re.compile(rb"[ \t\n\v\f\r]*[+-]?(?:0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?"
                    rb"|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?)", re.IGNORECASE)
_INT64 = 1 << 63


def to_float(word: bytes) -> float | None:
    """The word as C's strtod reads all of it (decimal, hexadecimal, inf), or None. NaN is not a number here."""
    if not _FLOAT.fullmatch(word):
        return None
    text = word.decode("ascii").strip()
    if "x" in text or "X" in text:
        try:
            return float.fromhex(text)
        except (ValueError, OverflowError):
            return None
    return float(text)


def to_integer(word: bytes) -> int | None:
    """The word as an integer: digits, or a float with an integral value ("10.0"); None if it is neither."""
    if _INTEGER.fullmatch(word) and len(word) <= 20:
        return int(word)
    value = to_float(word)
    if value is None or value in (float("inf"), float("-inf")) or not value.is_integer():
        return None
    return int(value)


class Words:
    """A cursor over the words of a command.

    The reading methods take `label`, the name shown in "Bad arguments for <label>: <reason>".
    """

    __slots__ = ("words", "at", "end")

    def __init__(self, words: Sequence[bytes], at: int = 0, end: int | None = None):
        self.words = words
        self.at = at
        self.end = len(words) if end is None else end

    def __bool__(self) -> bool:
        """Whether words are left."""
        return self.at < self.end

    @property
    def left(self) -> int:
        return self.end - self.at

    def peek(self) -> bytes:
        """The next word in upper case up to a NUL byte, for comparing with keywords; b"" at the end."""
        return keyword(self.words[self.at]) if self.at < self.end else b""

    def next(self) -> bytes:
        """The next word, which must be there."""
        word = self.words[self.at]
        self.at += 1
        return word

    def match(self, *keywords: bytes) -> bytes:
        """Step over the next word if it is one of these (upper case) and return it in upper case, else b""."""
        if self.at < self.end:
            word = keyword(self.words[self.at])
            if word in keywords:
                self.at += 1
                return word
        return b""

    def word(self, label) -> bytes:
        if self.at >= self.end:
            raise fail(errors.BAD_ARGUMENTS, label, errors.TAIL_MISSING)
        return self.next()

    def integer(self, label, low: int | None = 0, high: int = _INT64 - 1) -> int:
        """An integer in low..high (low None: any 64-bit one)."""
        value = to_integer(self.word(label))
        if value is None:
            raise fail(errors.BAD_ARGUMENTS, label, errors.TAIL_CONVERT)
        if not (-_INT64 if low is None else low) <= value <= high:
            raise fail(errors.BAD_ARGUMENTS, label, errors.TAIL_BOUNDS)
        return value

    def double(self, label, low: float | None = None) -> float:
        value = to_float(self.word(label))
        if value is None:
            raise fail(errors.BAD_ARGUMENTS, label, errors.TAIL_CONVERT)
        if low is not None and value < low:
            raise fail(errors.BAD_ARGUMENTS, label, errors.TAIL_BOUNDS)
        return value

    def choice(self, label, choices) -> str:
        """One of a dict upper-case name -> value; returns the value."""
        word = keyword(self.word(label)).decode("utf-8", "replace")
        if word not in choices:
            raise fail(errors.BAD_ARGUMENTS, label, errors.TAIL_UNKNOWN)
        return choices[word]

    def counted(self, label, low: int = 0) -> "Words":
        """`<n> word...`: the n words as a cursor of their own; this one moves behind them."""
        count = self.integer(label, low)
        if count > self.left:
            raise fail(errors.BAD_ARGUMENTS, label, errors.TAIL_MISSING)
        part = Words(self.words, self.at, self.at + count)
        self.at += count
        return part

    def rest(self) -> list[bytes]:
        """Every word that is left; the cursor is at its end."""
        part = list(self.words[self.at:self.end])
        self.at = self.end
        return part


def keyword(word: bytes) -> bytes:
    """A word as keywords are compared: in upper case, ended by a NUL byte."""
    return word.split(b"\0", 1)[0].upper()
