"""The libraries cmsgpack and struct of scripts: values of Lua as MessagePack and as C structures.

MessagePack as msgpack.org describes it; the table that has keys 1 to n and no others is an array, what MessagePack has no type
for is nil. Functions take and return values as lupa passes them: bytes, int, float, bool, None and tables. They raise
ValueError with the text for the script."""
import re
import struct

from lupa import lua51 as _lua

#: Tables within tables that are packed; deeper ones are nil.
_DEPTH = 16
_BAD = "Bad data format in input."
_MISSING = "Missing bytes in input."
_SIZES = {"b": 1, "B": 1, "h": 2, "H": 2, "l": 8, "L": 8, "T": 8, "f": 4, "d": 8, "x": 1, "s": 0}
_TOO_SHORT = "bad argument #2 to 'unpack' (data string too short)"
_MOST_BYTES = 32        # of an integer in struct


def _wrong(words, i: int, function: str, expected: str) -> ValueError:
    """The error where the argument `i` (from 0) has not the type that is expected."""
    kind = type(words[i]) if i < len(words) else None
    got = ("no value" if kind is None else "nil" if words[i] is None else "boolean" if kind is bool else "string" if kind is bytes
           else "number" if kind in (int, float) else _lua.lua_type(words[i]))
    return ValueError(f"bad argument #{i + 1} to '{function}' ({expected} expected, got {got})")


def _number(words, i: int, function: str):
    """An argument as a number, which texts of numbers are, too."""
    value = words[i] if i < len(words) else None
    if type(value) is bytes:
        try:
            return float(value)
        except ValueError:
            pass
    if type(value) not in (int, float):
        raise _wrong(words, i, function, "number")
    return value


def _whole(words, i: int, function: str, otherwise: int) -> int:
    """An argument as an integer; `otherwise` where there is none."""
    if i >= len(words) or words[i] is None:
        return otherwise
    value = _number(words, i, function)
    return int(max(min(value, 1 << 62), -(1 << 62))) if value == value else 0


def _text(words, i: int, function: str) -> bytes:
    """An argument as a string, which numbers are, too."""
    value = words[i] if i < len(words) else None
    if type(value) in (int, float):
        return b"%.14g" % value
    if type(value) is not bytes:
        raise _wrong(words, i, function, "string")
    return value


# ---- MessagePack

#: First byte: format of a number behind it.
_NUMBERS = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h",
            0xd2: ">i", 0xd3: ">q"}
#: First byte: format of the length of a string, an array, a map.
_STRINGS = {0xd9: ">B", 0xda: ">H", 0xdb: ">I", 0xc4: ">B", 0xc5: ">H", 0xc6: ">I"}
_ARRAYS = {0xdc: ">H", 0xdd: ">I"}
_MAPS = {0xde: ">H", 0xdf: ">I"}
_INTEGERS = ((0xcc, 0xff, ">B"), (0xcd, 0xffff, ">H"), (0xce, 0xffffffff, ">I"), (0xcf, (1 << 64) - 1, ">Q"))
_NEGATIVES = ((0xd0, -(1 << 7), ">b"), (0xd1, -(1 << 15), ">h"), (0xd2, -(1 << 31), ">i"), (0xd3, -(1 << 63), ">q"))


def pack(words) -> bytes:
    """The values one behind the other as MessagePack."""
    if not words:
        raise ValueError("bad argument #0 to 'pack' (MessagePack pack needs input.)")
    out = bytearray()
    for value in words:
        _put(out, value, 0)
    return bytes(out)


def _put(out: bytearray, value, depth: int) -> None:
    kind = type(value)
    if kind is bool:
        out.append(0xc3 if value else 0xc2)
    elif kind is int or kind is float:
        _put_number(out, value)
    elif kind is bytes:
        _put_head(out, len(value), ((0xa0, 31), (0xd9, 0xff), (0xda, 0xffff), (0xdb, 0xffffffff)))
        out += value
    elif value is not None and _lua.lua_type(value) == "table" and depth < _DEPTH:
        pairs = list(value.items())
        if all(type(key) is int and 0 < key <= len(pairs) for key, _ in pairs):
            _put_head(out, len(pairs), ((0x90, 15), (0xdc, 0xffff), (0xdd, 0xffffffff)))
            for i in range(1, len(pairs) + 1):
                _put(out, value[i], depth + 1)
        else:
            _put_head(out, len(pairs), ((0x80, 15), (0xde, 0xffff), (0xdf, 0xffffffff)))
            for key, one in pairs:
                _put(out, key, depth + 1)
                _put(out, one, depth + 1)
    else:
        out.append(0xc0)


def _put_head(out: bytearray, n: int, forms) -> None:
    """A length in the shortest form: (first byte, most); the first of them has the length within that byte."""
    for width, (first, most) in enumerate(forms):
        if n <= most:
            if width == 0:
                out.append(first | n)
            else:
                out.append(first)
                out += n.to_bytes(1 if most == 0xff else 2 if most == 0xffff else 4, "big")
            return
    raise ValueError("too long to be packed")


def _put_number(out: bytearray, value) -> None:
    if type(value) is float and value.is_integer() and -(1 << 63) <= value < 1 << 63:
        value = int(value)
    if type(value) is float or not -(1 << 63) <= value < 1 << 64:
        try:
            short = struct.pack(">f", value)
        except OverflowError:
            short = b""
        if short and struct.unpack(">f", short)[0] == value:
            out += b"\xca" + short
        else:
            out += b"\xcb" + struct.pack(">d", value)
    elif -32 <= value <= 127:
        out.append(value & 0xff)
    elif value > 0:
        first, _, form = next(one for one in _INTEGERS if value <= one[1])
        out += bytes((first,)) + struct.pack(form, value)
    else:
        first, _, form = next(one for one in _NEGATIVES if value >= one[1])
        out += bytes((first,)) + struct.pack(form, value)


def unpack(table_from, words) -> list:
    """All values of a text; `table_from` makes a table of Lua."""
    return _unpacked(table_from, _text(words, 0, "unpack"), 0, 0)[1:]


def unpack_one(table_from, words) -> list:
    """Where the next value begins (-1: nowhere) and the one at an offset."""
    return _unpacked(table_from, _text(words, 0, "unpack_one"), 1, _whole(words, 1, "unpack_one", 0))


def unpack_limit(table_from, words) -> list:
    """Where the next value begins (-1: nowhere) and up to so many from an offset on."""
    text, limit = _text(words, 0, "unpack_limit"), int(_number(words, 1, "unpack_limit"))
    return _unpacked(table_from, text, limit, _whole(words, 2, "unpack_limit", 0))


def _unpacked(table_from, text: bytes, limit: int, at: int) -> list:
    if at < 0 or limit < 0:
        raise ValueError(f"Invalid request to unpack with offset of {at} and limit of {len(text)}.")
    if at > len(text):
        raise ValueError(f"Start offset {at} greater than input length {len(text)}.")
    found = []
    while at < len(text) and (limit == 0 or len(found) < limit):
        value, at = _take(table_from, text, at, 0)
        found.append(value)
    return [at if at < len(text) else -1, *found]


def _take(table_from, text: bytes, at: int, depth: int):
    """The value at a place, and where it ends."""
    if depth > 1000:
        raise ValueError(_BAD)
    if at >= len(text):
        raise ValueError(_MISSING)
    first, at = text[at], at + 1
    if first < 0x80:
        return first, at
    if first >= 0xe0:
        return first - 0x100, at
    if first in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[first], at
    if first in _NUMBERS:
        value, at = _fixed(text, at, _NUMBERS[first])
        return float(value) if abs(value) > 1 << 53 else value, at
    if 0xa0 <= first <= 0xbf or first in _STRINGS:
        n, at = (first & 31, at) if first <= 0xbf else _fixed(text, at, _STRINGS[first])
        if n > len(text) - at:
            raise ValueError(_MISSING)
        return text[at:at + n], at + n
    if first <= 0x8f or first in _MAPS:
        n, at = (first & 15, at) if first <= 0x8f else _fixed(text, at, _MAPS[first])
        table = table_from({})
        for _ in range(n):
            key, at = _take(table_from, text, at, depth + 1)
            value, at = _take(table_from, text, at, depth + 1)
            if key is None or key != key:
                raise ValueError(_BAD)
            table[key] = value
        return table, at
    if first <= 0x9f or first in _ARRAYS:
        n, at = (first & 15, at) if first <= 0x9f else _fixed(text, at, _ARRAYS[first])
        table = table_from({})
        for i in range(1, n + 1):
            table[i], at = _take(table_from, text, at, depth + 1)
        return table, at
    raise ValueError(_BAD)


def _fixed(text: bytes, at: int, form: str):
    n = struct.calcsize(form)
    if n > len(text) - at:
        raise ValueError(_MISSING)
    return struct.unpack_from(form, text, at)[0], at + n


# ---- struct

def _options(words, function: str):
    """The options of the format, the first argument of a function: (letter, its size, its alignment, byte order)."""
    form = _text(words, 0, function)
    order, most = "little", 1
    at, text = 0, form.decode("latin-1")
    while at < len(text):
        letter, digits = text[at], re.compile(r"\d*").match(text, at + 1)[0]
        if letter in " <>":
            order, digits = "big" if letter == ">" else "little" if letter == "<" else order, ""
        elif letter == "!":
            most = int(digits or 8)
            if most < 1 or most & most - 1:
                raise ValueError(f"alignment {most} is not a power of 2")
        elif letter in "iIc":
            size = int(digits) if digits else 1 if letter == "c" else 4
            if letter != "c" and size > _MOST_BYTES:
                raise ValueError(f"integral size {size} is larger than limit of {_MOST_BYTES}")
            yield letter, size, 1 if letter == "c" else min(size, most), order
        elif letter in _SIZES:
            digits = ""
            yield letter, _SIZES[letter], min(_SIZES[letter], most), order
        else:
            raise ValueError(f"bad argument #1 to '{function}' (invalid format option '{letter}')")
        at += 1 + len(digits)


def _gap(at: int, align: int) -> int:
    """Bytes between a place and an option; those of 3, 5 or 6 bytes are aligned as the library happens to do it."""
    return align - (at & align - 1) & align - 1 if align > 1 else 0


def struct_pack(words) -> bytes:
    """A format, and the values that are laid out by it."""
    out, i = bytearray(), 0
    for letter, size, align, order in _options(words, "pack"):
        out += bytes(_gap(len(out), align))
        if letter == "x":
            out.append(0)
            continue
        i += 1
        if letter in "sc":
            value = _text(words, i, "pack")
            if len(value) < size:
                raise ValueError(f"bad argument #{i + 2} to 'pack' (string too short)")        # the library counts so
            out += (value[:size] if size else value) + b"\0" * (letter == "s")
        elif letter in "fd":
            out += _float_bytes(_number(words, i, "pack"), letter, order)
        else:
            value = _number(words, i, "pack")
            value = int(value) if value == value and abs(value) != float("inf") else -(1 << 63)
            kept = min(size, 8)
            zeros = bytes(size - kept)
            number = (value & (1 << 8 * kept) - 1).to_bytes(kept, order)
            out += zeros + number if order == "big" else number + zeros
    return bytes(out)


def _float_bytes(value, letter: str, order: str) -> bytes:
    form = (">" if order == "big" else "<") + letter
    try:
        return struct.pack(form, value)
    except OverflowError:
        return struct.pack(form, float("inf") if value > 0 else float("-inf"))


def struct_unpack(words) -> list:
    """A format, a text and where to begin (1: its first byte): the values, and behind them where they end."""
    text, at = _text(words, 1, "unpack"), _whole(words, 2, "unpack", 1) - 1
    if at < 0:
        raise ValueError("bad argument #3 to 'unpack' (offset must be 1 or greater)")
    found = []
    for letter, size, align, order in _options(words, "unpack"):
        at += _gap(at, align)
        if size > len(text) - at:
            raise ValueError(_TOO_SHORT)
        if letter == "c":
            if size == 0:
                if not found or type(found[-1]) not in (int, float):
                    raise ValueError("format 'c0' needs a previous size")
                size = int(found.pop())
                if not 0 <= size <= len(text) - at:
                    raise ValueError(_TOO_SHORT)
            found.append(text[at:at + size])
        elif letter == "s":
            end = text.find(b"\0", at)
            if end < 0:
                raise ValueError("unfinished string in data")
            found.append(text[at:end])
            size = end + 1 - at
        elif letter in "fd":
            found.append(struct.unpack_from((">" if order == "big" else "<") + letter, text, at)[0])
        elif letter != "x":
            digits = text[at:at + size][::1 if order == "little" else -1][:8]
            value = int.from_bytes(digits, "little", signed=letter in "bhli")
            found.append(float(value) if abs(value) > 1 << 53 else value)
        at += size
    return [*found, at + 1]


def struct_size(words) -> int:
    """The bytes that a format takes."""
    n = 0
    for letter, size, align, _ in _options(words, "size"):
        if letter == "s" or letter == "c" and size == 0:
            raise ValueError(f"bad argument #1 to 'size' (option '{letter}{'0' * (letter == 'c')}' has no fixed size)")
        n += _gap(n, align) + size
    return n


#: What scripts call: whether it gets `table_from`, too, and what does it.
FUNCTIONS = {b"cmsgpack.pack": (False, pack), b"cmsgpack.unpack": (True, unpack), b"cmsgpack.unpack_one": (True, unpack_one),
             b"cmsgpack.unpack_limit": (True, unpack_limit), b"struct.pack": (False, struct_pack),
             b"struct.unpack": (False, struct_unpack), b"struct.size": (False, struct_size)}
