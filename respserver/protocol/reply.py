"""Values to RESP2 and RESP3 bytes.

A command returns plain Python values and this module gives them their wire form; nothing is guessed from a value's content.

    bytes, str      bulk string                  int          integer
    None            null                         bool         boolean (RESP2: 1 or 0)
    float           double (RESP2: bulk string)  list, tuple  array
    dict, Pairs     map (RESP2: flat array)      set, SetOf   set (RESP2: array)
    Simple          simple string                CommandError error
    NULL_ARRAY      null array (RESP3: null)     Verbatim     verbatim string (RESP2: bulk string)
    BigNumber       big number (RESP2: bulk)     Push         push (RESP2: array)
    Raw             bytes that are already encoded for the client's protocol
"""
import math

from .errors import CommandError


class Simple(str):
    """A simple string: one line, sent as +text."""


class Raw(bytes):
    """Encoded bytes, sent as they are."""


class Pairs(list):
    """A map as a list of (key, value) pairs: keeps order and allows keys that cannot be hashed."""


class SetOf(list):
    """A set as a list: keeps order."""


class Push(list):
    """An out-of-band message, such as a pub/sub delivery."""


class BigNumber(int):
    """An integer of any size."""


class Verbatim(str):
    """Text with a format of three letters: txt or mkd."""

    format = "txt"


class _NullArray:
    __slots__ = ()


NULL_ARRAY = _NullArray()
OK = Raw(b"+OK\r\n")
PONG = Raw(b"+PONG\r\n")
QUEUED = Raw(b"+QUEUED\r\n")
NO_REPLY = Raw(b"")

#: Integer replies that are sent all the time, encoded once.
SMALL_INTS = [b":%d\r\n" % i for i in range(1024)]
N_SMALL = len(SMALL_INTS)


def format_double(value: float) -> str:
    """The shortest text that reads back as the same double, as Redis prints it: 3, 0.1, inf, nan."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == int(value) and abs(value) < 1e17:
        return "-0" if value == 0 and math.copysign(1, value) < 0 else str(int(value))
    return repr(value)


def bulk(value: bytes) -> bytes:
    """One bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def encode(value, proto: int) -> bytes:
    """The bytes of one reply for protocol 2 or 3. Raises TypeError for a value that has no wire form."""
    kind = type(value)
    if kind is bytes:
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if kind is Raw:
        return value
    if kind is int:
        return SMALL_INTS[value] if 0 <= value < 1024 else b":%d\r\n" % value
    if value is None:
        return b"_\r\n" if proto == 3 else b"$-1\r\n"
    out = []
    _encode_into(out, value, proto)
    return b"".join(out)


def _encode_into(out: list, value, proto: int) -> None:
    kind = type(value)
    if kind is bytes:
        out.append(b"$%d\r\n%b\r\n" % (len(value), value))
    elif kind is str:
        raw = value.encode("utf-8", "surrogateescape")
        out.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    elif kind is int:
        out.append(b":%d\r\n" % value)
    elif value is None:
        out.append(b"_\r\n" if proto == 3 else b"$-1\r\n")
    elif kind is list or kind is tuple:
        out.append(b"*%d\r\n" % len(value))
        for item in value:
            _encode_into(out, item, proto)
    elif kind is Raw:
        out.append(value)
    elif kind is Simple:
        out.append(b"+%b\r\n" % value.replace("\r", "\\r").replace("\n", "\\n").encode("utf-8", "surrogateescape"))
    elif kind is float:
        text = format_double(value).encode()
        out.append(b",%b\r\n" % text if proto == 3 else b"$%d\r\n%b\r\n" % (len(text), text))
    elif kind is bool:
        out.append((b"#t\r\n" if value else b"#f\r\n") if proto == 3 else (b":1\r\n" if value else b":0\r\n"))
    elif kind is dict or kind is Pairs:
        pairs = value.items() if kind is dict else value
        out.append(b"%%%d\r\n" % len(value) if proto == 3 else b"*%d\r\n" % (2 * len(value)))
        for key, item in pairs:
            _encode_into(out, key, proto)
            _encode_into(out, item, proto)
    elif kind is set or kind is frozenset or kind is SetOf:
        out.append(b"~%d\r\n" % len(value) if proto == 3 else b"*%d\r\n" % len(value))
        for item in value:
            _encode_into(out, item, proto)
    elif isinstance(value, CommandError):
        out.append(b"-%b\r\n" % value.text.replace("\r", " ").replace("\n", " ").encode("utf-8", "surrogateescape"))
    elif value is NULL_ARRAY:
        out.append(b"_\r\n" if proto == 3 else b"*-1\r\n")
    elif kind is Verbatim:
        raw = value.encode("utf-8", "surrogateescape")
        if proto == 3:
            out.append(b"=%d\r\n%b:%b\r\n" % (len(raw) + 4, value.format.encode(), raw))
        else:
            out.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    elif kind is Push:
        out.append(b">%d\r\n" % len(value) if proto == 3 else b"*%d\r\n" % len(value))
        for item in value:
            _encode_into(out, item, proto)
    elif kind is BigNumber:
        text = b"%d" % value
        out.append(b"(%b\r\n" % text if proto == 3 else b"$%d\r\n%b\r\n" % (len(text), text))
    else:
        raise TypeError(f"a reply cannot hold {kind.__name__}")
