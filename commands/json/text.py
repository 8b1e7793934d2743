"""JSON text to values and back: RFC 8259 with RedisJSON's limits, formats of numbers and messages."""
import re
from operator import methodcaller

import orjson

from respserver.protocol.errors import CommandError
from respserver.values.json import depth, is_array, pack

from .errors import NOT_UTF8

#: Containers within containers that a text, and a document, may have.
MAX_DEPTH = 127
_AS_LIST = methodcaller("tolist")
_MINUS_ZERO = re.compile(rb"-0(?![.\deE])")
_STRING_OR_ZERO = re.compile(rb'"(?:[^"\\]|\\.)*"|-0(?![.\deE])')
_STRING_OR_PLUS = re.compile(rb'"(?:[^"\\]|\\.)*"|e\+')


def parse(raw: bytes):
    """The value of a JSON text, with arrays of numbers packed. Of equal names in an object the last one counts; integers
    beyond 64 bits become doubles. Raises CommandError with the place of the first mistake."""
    if _MINUS_ZERO.search(raw):             # a double, which keeps its sign
        raw = _STRING_OR_ZERO.sub(lambda match: b"-0.0" if match[0] == b"-0" else match[0], raw)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise CommandError(_Reader(raw).complaint()) from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and depth(value) > MAX_DEPTH:
        raise CommandError(_Reader(raw).complaint())
    return pack(value)


def dump(value) -> bytes:
    """The shortest text of a value. Raises CommandError if an array of it cannot be read from its file."""
    try:
        text = orjson.dumps(value, default=_AS_LIST)
    except orjson.JSONEncodeError as error:
        raise error.__cause__ or error from None
    if b"e+" in text:                       # numbers from 1e16 on are written without the plus sign
        text = _STRING_OR_PLUS.sub(lambda match: b"e" if match[0] == b"e+" else match[0], text)
    return text


def dump_pretty(value, indent: bytes, newline: bytes, space: bytes) -> bytes:
    """The text of a value with `indent` for each level, `newline` around elements and `space` behind colons."""
    out: list[bytes] = []
    _dump_into(out, value, newline, indent, space)
    return b"".join(out)


def _dump_into(out: list[bytes], value, line: bytes, indent: bytes, space: bytes) -> None:
    """`line`: what ends a line and begins the next at the level of the value."""
    inner = line + indent
    if type(value) is dict and value:
        lead = b"{"
        for key, child in value.items():
            out += (lead, inner, dump(key), b":", space)
            _dump_into(out, child, inner, indent, space)
            lead = b","
        out += (line, b"}")
    elif is_array(value) and value:
        lead = b"["
        for child in value:
            out += (lead, inner)
            _dump_into(out, child, inner, indent, space)
            lead = b","
        out += (line, b"]")
    else:
        out.append(dump(value))


class _Mistake(Exception):
    def __init__(self, text: str, at: int):
        self.text, self.at = text, at


_BLANKS = re.compile(rb"[ \t\n\r]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')


class _Reader:
    """Goes through a text that is refused, or too deep, to find out why."""

    def __init__(self, raw: bytes):
        self.raw = bytes(raw)
        self.at = 0

    def complaint(self) -> str:
        """What is wrong with the text, and where."""
        try:
            self.raw.decode()
        except UnicodeDecodeError:
            return NOT_UTF8
        try:
            self._value(MAX_DEPTH)
            self._blanks()
            mistake = _Mistake("trailing characters", self.at)
        except _Mistake as found:
            mistake = found
        # Columns count from 1; at the end of the text it is the last one.
        at = min(mistake.at, len(self.raw) - 1)
        line = self.raw.count(b"\n", 0, at + 1) + 1
        column = at - self.raw.rfind(b"\n", 0, at + 1)
        return f"{mistake.text} at line {line} column {column}"

    def _blanks(self) -> int:
        """The next byte that is not blank, -1 at the end."""
        self.at = _BLANKS.match(self.raw, self.at).end()
        return self.raw[self.at] if self.at < len(self.raw) else -1

    def _value(self, levels: int) -> None:
        byte = self._blanks()
        if byte < 0:
            raise _Mistake("EOF while parsing a value", len(self.raw))
        if byte in b"[{":
            if not levels:
                raise _Mistake("recursion limit exceeded", self.at)
            self._container(levels - 1, byte == 0x7B)
        elif byte == 0x22:
            self._string()
        elif byte in b"-0123456789":
            self._number()
        else:
            for word in (b"true", b"false", b"null"):
                if byte == word[0]:
                    return self._word(word)
            raise _Mistake("expected value", self.at)

    def _word(self, word: bytes) -> None:
        for i, byte in enumerate(word):
            if self.at + i >= len(self.raw):
                raise _Mistake("EOF while parsing a value", len(self.raw))
            if self.raw[self.at + i] != byte:
                raise _Mistake("expected ident", self.at + i)
        self.at += len(word)

    def _number(self) -> None:
        match = _NUMBER.match(self.raw, self.at)
        if not match:
            raise _Mistake("invalid number", self.at + 1)
        end = match.end()
        following = self.raw[end:end + 1]
        if following and following in b".eE":
            if end + 1 >= len(self.raw):
                raise _Mistake("EOF while parsing a value", len(self.raw))
            raise _Mistake("invalid number", end + 1)
        if following.isdigit():                 # behind a zero
            raise _Mistake("invalid number", end)
        if float(match[0]) in (float("inf"), float("-inf")):
            raise _Mistake("number out of range", end - 1)
        self.at = end

    def _string(self) -> None:
        self.at += 1
        while True:
            self.at = _PLAIN.match(self.raw, self.at).end()
            if self.at >= len(self.raw):
                raise _Mistake("EOF while parsing a string", len(self.raw))
            byte = self.raw[self.at]
            self.at += 1
            if byte == 0x22:
                return
            if byte < 0x20:
                raise _Mistake("control character (\\u0000-\\u001F) found while parsing a string", self.at - 1)
            self._escape()

    def _escape(self) -> None:
        escaped = self.raw[self.at:self.at + 1]
        if not escaped:
            raise _Mistake("EOF while parsing a string", len(self.raw))
        self.at += 1
        if escaped != b"u":
            if escaped not in b'"\\/bfnrt':
                raise _Mistake("invalid escape", self.at - 1)
            return
        unit = self._unit()
        if 0xDC00 <= unit < 0xE000:
            raise _Mistake("lone leading surrogate in hex escape", self.at - 1)
        if 0xD800 <= unit < 0xDC00:
            if self.raw[self.at:self.at + 2] != b"\\u":
                raise _Mistake("unexpected end of hex escape", self.at)
            self.at += 2
            if not 0xDC00 <= self._unit() < 0xE000:
                raise _Mistake("lone leading surrogate in hex escape", self.at - 1)

    def _unit(self) -> int:
        digits = self.raw[self.at:self.at + 4]
        if len(digits) < 4:
            raise _Mistake("EOF while parsing a string", len(self.raw))
        try:
            unit = int(digits, 16) if digits.isalnum() else -1
        except ValueError:
            unit = -1
        if unit < 0:
            raise _Mistake("invalid escape", self.at + 3)
        self.at += 4
        return unit

    def _container(self, levels: int, is_object: bool) -> None:
        name, end = ("an object", 0x7D) if is_object else ("a list", 0x5D)
        self.at += 1
        byte = self._blanks()
        if byte < 0:
            raise _Mistake(f"EOF while parsing {name}", len(self.raw))
        if byte == end:
            self.at += 1
            return
        while True:
            if is_object:
                if self._blanks() != 0x22:
                    raise _Mistake("key must be a string", self.at)
                self._string()
                if self._blanks() != 0x3A:
                    raise _Mistake("expected `:`" if self.at < len(self.raw) else f"EOF while parsing {name}", self.at)
                self.at += 1
            self._value(levels)
            byte = self._blanks()
            if byte < 0:
                raise _Mistake(f"EOF while parsing {name}", len(self.raw))
            self.at += 1
            if byte == end:
                return
            if byte != 0x2C:
                raise _Mistake(f"expected `,` or `{chr(end)}`", self.at - 1)
            byte = self._blanks()
            if byte < 0:
                raise _Mistake("EOF while parsing a value", len(self.raw))
            if byte == end:
                raise _Mistake("trailing comma", self.at)
