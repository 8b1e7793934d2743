"""The words and signs of a query text.

Never fails: what is no token (most punctuation) separates words and is otherwise passed over. Dialect 1 knows fewer tokens than
the later ones. A token is (kind, position, text): `position` is a byte offset, `text` what error messages show as "near", escapes
included (None: the sign shows nothing of its own, and the token before it is shown).
"""
from __future__ import annotations

import re
from typing import Collection, NamedTuple

__all__ = ["Token", "tokenize", "unescape", "fold", "quoted_words", "DEFAULT_STOPWORDS"]

#: The stop words of an index made without STOPWORDS.
DEFAULT_STOPWORDS = frozenset(
    b"a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was "
    b"will with".split())


class Token(NamedTuple):
    """kind: TERM STOP NUMBER PARAM FIELD PREFIX SUFFIX INFIX QUOTED PATTERN ISMISSING ARROW OP, or the sign itself:
    ( ) { } [ ] : ; - ~ * % | and the double quote. PREFIX, SUFFIX and INFIX of a parameter have a text that starts with $."""
    kind: str
    position: int
    text: bytes | None
    extra: str = ""              # QUOTED next to a *: prefix, suffix or infix; OP: the operator


_ESCAPED = rb"\\[!-/:-@\[-`{-~ \t\n\v\f\r]"
_TERM = rb"(?:[0-9A-Za-z_\x80-\xff]|" + _ESCAPED + rb")+"
_NUMBER = rb"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_OLD_NUMBER = rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE]-?[0-9]+)?"       # of dialect 1, to which other points are blanks
_INF = rb"[+-]?inf(?![0-9A-Za-z_\x80-\xff\\])"
_WORD = rb"(?:\$?" + _TERM + rb"|" + _NUMBER + rb")"
_DOUBLE = rb'"([^\\"]*(?:\\.[^\\"]*)*)"'
_SINGLE = rb"'([^\\']*(?:\\.[^\\']*)*)'"

_term = re.compile(_TERM).match
_quoted_word = re.compile(rb"\$?" + _TERM).match
_number = re.compile(_NUMBER + rb"|" + _INF, re.IGNORECASE).match
_old_number = re.compile(_OLD_NUMBER + rb"|" + _INF, re.IGNORECASE).match
_starred = re.compile(rb"\*(" + _WORD + rb")(\*?)").match
_quoted = re.compile(_DOUBLE + rb"|" + _SINGLE, re.DOTALL).match
_pattern = re.compile(rb"w" + _SINGLE, re.DOTALL).match
_opening = re.compile(rb"[ \t\n\v\f\r]*\(").match
_operator = re.compile(rb"[ \t\n\v\f\r]*(==|!=|<=|>=|<|>)(?=[ \t\n\v\f\r]*(?:\+?" + _NUMBER
                       + rb"|[+-]?inf|[+-]?[ \t\n\v\f\r]*\$" + _TERM + rb"))", re.IGNORECASE).match
_unescape = re.compile(rb"\\([!-/:-@\[-`{-~ \t\n\v\f\r])").sub

_SIGNS = {byte: chr(byte) for byte in b"(){}[]:;-~*%|\""}
_WORD_BYTES = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_\\" + bytes(range(0x80, 0x100)))
_NUMBER_BYTES = frozenset(b"0123456789.-+iI")


def unescape(text: bytes) -> bytes:
    """The text without the backslashes that escape punctuation and blanks."""
    return _unescape(rb"\1", text) if b"\\" in text else text


def fold(text: bytes) -> bytes:
    """Lower case as TEXT and TAG values are compared; bytes that are not UTF-8 stay."""
    if text.isascii():
        return text.lower()
    # Python lowers a sigma by its place in the word.
    return text.decode("utf-8", "surrogateescape").replace("\u03a3", "\u03c3").lower().encode("utf-8", "surrogateescape")


def quoted_words(text: bytes) -> list[bytes]:
    """The words inside quotes, without escapes; stop words stay."""
    words, at = [], 0
    while at < len(text):
        if match := _quoted_word(text, at):
            words.append(unescape(match[0]))
            at = match.end()
        else:
            at += 1
    return words


def tokenize(text: bytes, dialect: int, stopwords: Collection[bytes]) -> list[Token]:
    tokens: list[Token] = []
    add = tokens.append
    modern = dialect >= 2
    number_at = _number if modern else _old_number
    at, end = 0, len(text)
    while at < end:
        byte = text[at]
        if byte in _WORD_BYTES or byte in _NUMBER_BYTES:
            if modern and byte == 0x77 and (match := _pattern(text, at)):
                add(Token("PATTERN", at + 2, match[1]))
                at = match.end()
                continue
            word, number = _term(text, at), number_at(text, at)
            best = number if number and (not word or number.end() >= word.end()) else word
            if best:
                value, position = best[0], at
                at = best.end()
                if text[at:at + 1] == b"*":
                    add(Token("PREFIX", position, value))
                    at += 1
                elif best is number:
                    add(Token("NUMBER", position, value))
                elif modern and value.lower() == b"ismissing" and _opening(text, at):
                    add(Token("ISMISSING", position, value))
                else:
                    add(Token("STOP" if fold(value) in stopwords else "TERM", position, value))
                continue
        if byte == 0x40:                                                     # @field
            if match := _term(text, at + 1):
                add(Token("FIELD", at, match[0]))
                at = match.end()
                if modern and (match := _operator(text, at)):
                    add(Token("OP", match.start(1), None, match[1].decode()))
                    at = match.end()
                continue
        elif byte == 0x24:                                                   # $param
            if match := _term(text, at + 1):
                position = at
                at = match.end()
                if modern and text[at:at + 1] == b"*":
                    add(Token("PREFIX", position, b"$" + match[0]))
                    at += 1
                else:
                    add(Token("PARAM", position, match[0]))
                continue
        elif byte == 0x2a:                                                   # *
            match = _starred(text, at)
            if match and (modern or not match[1].startswith(b"$")):
                add(Token("INFIX" if match[2] else "SUFFIX", at, match[1]))
                at = match.end()
                continue
            if modern and (match := _quoted(text, at + 1)):
                star = "infix" if text[match.end():match.end() + 1] == b"*" else "suffix"
                add(Token("QUOTED", at, _inside(match), star))
                at = match.end() + (star == "infix")
                continue
        elif byte in b"\"'" and modern and (match := _quoted(text, at)):
            star = "prefix" if text[match.end():match.end() + 1] == b"*" else ""
            add(Token("QUOTED", at, _inside(match), star))
            at = match.end() + bool(star)
            continue
        elif byte == 0x3d and text[at + 1:at + 2] == b">":
            add(Token("ARROW", at, text[at + 1:at + 3]))
            at += 2
            continue
        if byte in _SIGNS:
            add(Token(_SIGNS[byte], at, None))
        at += 1
    return tokens


def _inside(match: re.Match) -> bytes:
    return match[1] if match[1] is not None else match[2]
