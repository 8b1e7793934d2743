"""The encodings in which Redis keeps small values as one string: listpack, ziplist, intset, zipmap; and LZF compression.

Every function takes the bytes and returns a list of `bytes` (numbers as text), or raises ValueError for what is damaged."""
import struct

from ..values.numbers import parse_int

_INT_SIZES = (2, 4, 8)


class _Short(ValueError):
    def __init__(self):
        super().__init__("ends too early")


def _cut(data: bytes, start: int, n: int) -> bytes:
    end = start + n
    if n < 0 or end > len(data):
        raise _Short()
    return data[start:end]


def _signed(data: bytes, start: int, n: int) -> bytes:
    return b"%d" % int.from_bytes(_cut(data, start, n), "little", signed=True)


def listpack(data: bytes) -> list[bytes]:
    """The elements of a listpack."""
    if len(data) < 7 or int.from_bytes(data[:4], "little") != len(data):
        raise ValueError("a listpack's length is wrong")
    count = int.from_bytes(data[4:6], "little")
    items: list[bytes] = []
    at = 6
    while True:
        first = _cut(data, at, 1)[0]
        if first == 0xFF:
            break
        start = at
        if first < 0x80:
            items.append(b"%d" % first)
            at += 1
        elif first < 0xC0:
            n = first & 0x3F
            items.append(_cut(data, at + 1, n))
            at += 1 + n
        elif first < 0xE0:
            value = (first & 0x1F) << 8 | _cut(data, at + 1, 1)[0]
            items.append(b"%d" % (value - 8192 if value >= 4096 else value))
            at += 2
        elif first < 0xF0:
            n = (first & 0x0F) << 8 | _cut(data, at + 1, 1)[0]
            items.append(_cut(data, at + 2, n))
            at += 2 + n
        elif first == 0xF0:
            n = int.from_bytes(_cut(data, at + 1, 4), "little")
            items.append(_cut(data, at + 5, n))
            at += 5 + n
        elif first <= 0xF4:
            n = (2, 3, 4, 8)[first - 0xF1]
            items.append(_signed(data, at + 1, n))
            at += 1 + n
        else:
            raise ValueError("a listpack has an element of an unknown kind")
        at = _after_back_length(data, at, at - start)
    if at + 1 != len(data) or (count != 65535 and count != len(items)):
        raise ValueError("a listpack has more or fewer elements than it says")
    return items


def make_listpack(items: list[bytes | int]) -> bytes:
    """The listpack of these elements; numbers, and texts that are numbers in their usual spelling, in the form for numbers."""
    parts = []
    for item in items:
        number = item if type(item) is int else parse_int(item)
        if number is None:
            n = len(item)
            head = (bytes((0x80 | n,)) if n < 64 else bytes((0xE0 | n >> 8, n & 255)) if n < 4096
                    else b"\xf0" + n.to_bytes(4, "little"))
            body = head + item
        elif 0 <= number < 128:
            body = bytes((number,))
        elif -4096 <= number < 4096:
            body = bytes((0xC0 | (number & 0x1FFF) >> 8, number & 255))
        else:
            at = next(i for i, size in enumerate((2, 3, 4, 8)) if -(1 << 8 * size - 1) <= number < 1 << 8 * size - 1)
            body = bytes((0xF1 + at,)) + number.to_bytes((2, 3, 4, 8)[at], "little", signed=True)
        parts += (body, _back_length(len(body)))
    data = b"".join(parts)
    return (len(data) + 7).to_bytes(4, "little") + min(len(items), 65535).to_bytes(2, "little") + data + b"\xff"


def _back_length(size: int) -> bytes:
    """The length of an element as it stands behind it, to be read from the end."""
    expected = []
    while True:
        expected.append(size & 127)
        size >>= 7
        if not size:
            break
    expected.reverse()
    return bytes([expected[0], *[part | 128 for part in expected[1:]]])


def _after_back_length(data: bytes, at: int, size: int) -> int:
    """Where the next element begins: behind the length of the one before it, which is checked."""
    text = _back_length(size)
    if data[at:at + len(text)] != text:
        raise ValueError("a listpack's element has a wrong length behind it")
    return at + len(text)


def ziplist(data: bytes) -> list[bytes]:
    """The elements of a ziplist."""
    if len(data) < 11 or int.from_bytes(data[:4], "little") != len(data):
        raise ValueError("a ziplist's length is wrong")
    count = int.from_bytes(data[8:10], "little")
    items: list[bytes] = []
    at = 10
    while True:
        first = _cut(data, at, 1)[0]
        if first == 0xFF:
            break
        at += 5 if first == 0xFE else 1             # the length of the element before
        first = _cut(data, at, 1)[0]
        kind = first >> 6
        if kind == 0:
            n = first & 0x3F
            at += 1
        elif kind == 1:
            n = (first & 0x3F) << 8 | _cut(data, at + 1, 1)[0]
            at += 2
        elif first == 0x80:
            n = int.from_bytes(_cut(data, at + 1, 4), "big")
            at += 5
        else:
            at += 1
            if 0xF1 <= first <= 0xFD:
                items.append(b"%d" % (first - 0xF1))
                continue
            n = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}.get(first, 0)
            if not n:
                raise ValueError("a ziplist has an element of an unknown kind")
            items.append(_signed(data, at, n))
            at += n
            continue
        items.append(_cut(data, at, n))
        at += n
    if at + 1 != len(data) or (count != 65535 and count != len(items)):
        raise ValueError("a ziplist has more or fewer elements than it says")
    return items


def intset(data: bytes) -> list[bytes]:
    """The members of an intset."""
    if len(data) < 8:
        raise _Short()
    size, n = struct.unpack_from("<II", data)
    if size not in _INT_SIZES or len(data) != 8 + size * n:
        raise ValueError("an intset's length is wrong")
    return [b"%d" % number for number, in struct.iter_unpack("<" + {2: "h", 4: "i", 8: "q"}[size], data[8:])]


def zipmap(data: bytes) -> list[bytes]:
    """Fields and values in turn of a zipmap."""
    items: list[bytes] = []
    at = 1
    while True:
        n = _cut(data, at, 1)[0]
        if n == 0xFF:
            break
        at += 1
        if n == 0xFE:
            n = int.from_bytes(_cut(data, at, 4), "little")
            at += 4
        free = 0
        if len(items) % 2:
            free = _cut(data, at, 1)[0]             # unused bytes behind a value
            at += 1
        items.append(_cut(data, at, n))
        at += n + free
    if at + 1 != len(data) or len(items) % 2:
        raise ValueError("a zipmap's length is wrong")
    return items


def lzf(data: bytes, size: int) -> bytes:
    """LZF-compressed bytes as the `size` bytes that they stand for."""
    out = bytearray()
    at, end = 0, len(data)
    try:
        while at < end:
            control = data[at]
            at += 1
            if control < 32:
                if at + control + 1 > end:
                    raise _Short()
                out += data[at:at + control + 1]
                at += control + 1
                continue
            n = control >> 5
            if n == 7:
                n += data[at]
                at += 1
            start = len(out) - ((control & 31) << 8) - data[at] - 1
            at += 1
            n += 2
            if start < 0:
                raise ValueError("compressed text refers to what is before its start")
            if start + n <= len(out):
                out += out[start:start + n]
            else:                                   # it repeats itself
                unit = bytes(out[start:])
                out += (unit * (n // len(unit) + 1))[:n]
            if len(out) > size:
                break
    except IndexError:
        raise _Short() from None
    if len(out) != size:
        raise ValueError("compressed text has not the length that it says")
    return bytes(out)
