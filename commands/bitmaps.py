"""The bit commands: strings seen as arrays of bits, the highest bit of the first byte first."""
from respserver.protocol.errors import (
    BIT_ARGUMENT, BIT_OFFSET, BIT_VALUE, BITFIELD_OVERFLOW, BITFIELD_READONLY, BITFIELD_TYPE, BITOP_NOT_ONE_KEY, BITOP_TWO_KEYS,
    CommandError,
)
from respserver.registry import command
from respserver.values.numbers import parse_int

from .arguments import syntax_error, to_int
from .strings import max_string

_KEY = (1, 1, 1)
_CHUNK = 1 << 16                # bytes that are counted or combined at a time


def _bit_offset(client, text: bytes) -> int:
    offset = parse_int(text)
    if offset is None or offset < 0 or offset >> 3 >= max_string(client):
        raise CommandError(BIT_OFFSET)
    return offset


@command("SETBIT", arity=4, access="RW", flags="write denyoom", keys=_KEY, group="bitmap", since="2.2.0", complexity="O(1)",
         summary="Sets or clears one bit of a string and returns what it was.")
def setbit(client, key, offset, bit):
    position = _bit_offset(client, offset)
    if bit not in (b"0", b"1"):
        raise CommandError(BIT_VALUE)
    db = client.db
    text = db.get_text(key) or b""
    place, mask = position >> 3, 0x80 >> (position & 7)
    byte = text[place] if place < len(text) else 0
    changed = byte | mask if bit == b"1" else byte & ~mask
    if changed != byte or place >= len(text):
        db.edit_text(key, place, bytes((changed,)), "setbit")
    return int(byte & mask != 0)


@command("GETBIT", arity=3, flags="readonly fast", keys=_KEY, group="bitmap", since="2.2.0", complexity="O(1)",
         summary="Returns one bit of a string.")
def getbit(client, key, offset):
    position = _bit_offset(client, offset)
    text = client.db.get_text(key) or b""
    place = position >> 3
    return int(place < len(text) and text[place] & (0x80 >> (position & 7)) != 0)


def _bit_range(options, length: int, unit_first: bool = False) -> tuple[int, int]:
    """[start end [BYTE|BIT]] as a half-open range of bits of a string of `length` bytes; empty if start >= end. `unit_first`:
    of two wrong arguments the unit is reported and not the end."""
    start = to_int(options[0])
    end = 0 if unit_first else to_int(options[1])
    unit = 8
    if len(options) == 3:
        word = options[2].upper()
        if word not in (b"BIT", b"BYTE"):
            raise syntax_error()
        unit = 1 if word == b"BIT" else 8
    if unit_first:
        end = to_int(options[1])
    total = length * 8 // unit
    start = max(start + total, 0) if start < 0 else start
    end = max(end + total, 0) if end < 0 else end
    end = min(end, total - 1)
    return (start * unit, (end + 1) * unit) if start <= end else (0, 0)


def _masked(text, low: int, high: int):
    """Yields pieces of the bits low to high (not empty) of a string as (position of the first byte, bytes), other bits
    cleared."""
    first, last = low >> 3, (high - 1) >> 3
    for start in range(first, last + 1, _CHUNK):
        piece = bytearray(text[start:min(start + _CHUNK, last + 1)])
        if start == first:
            piece[0] &= 0xFF >> (low & 7)
        if start + len(piece) == last + 1:
            piece[-1] &= 0xFF << (7 - ((high - 1) & 7)) & 0xFF
        yield start, piece


@command("BITCOUNT", arity=-2, flags="readonly", keys=_KEY, group="bitmap", since="2.6.0", complexity="O(N)",
         summary="Counts the bits that are set in a string.")
def bitcount(client, key, *options):
    if len(options) not in (0, 2, 3):
        raise syntax_error()
    if options:
        _bit_range(options, 0)                          # the arguments are judged even if there is no such key
    text = client.db.get_text(key) or b""
    low, high = _bit_range(options, len(text)) if options else (0, 8 * len(text))
    if low >= high or (options and options[0][:1] == options[1][:1] == b"-" and int(options[0]) > int(options[1])):
        return 0
    return sum(int.from_bytes(piece, "little").bit_count() for _, piece in _masked(text, low, high))


@command("BITPOS", arity=-3, flags="readonly", keys=_KEY, group="bitmap", since="2.8.7", complexity="O(N)",
         summary="Returns the position of the first bit that is set, or of the first that is not.")
def bitpos(client, key, bit, *options):
    wanted = to_int(bit)
    if wanted not in (0, 1):
        raise CommandError(BIT_ARGUMENT)
    if len(options) > 3:
        raise syntax_error()
    has_end = len(options) > 1
    if len(options) == 1:
        options = (options[0], b"-1")
    if options:
        _bit_range(options, 0, unit_first=True)
    text = client.db.get_text(key)
    if text is None:
        return -1 if wanted else 0
    low, high = _bit_range(options, len(text)) if options else (0, 8 * len(text))
    if low >= high:
        return -1
    for start, piece in _masked(text, low, high):
        n_bits = 8 * len(piece)
        number = int.from_bytes(piece, "big")
        if not wanted:
            number ^= (1 << n_bits) - 1
            if start == low >> 3:
                number &= (1 << n_bits - (low & 7)) - 1             # bits before the range are not free
            tail = 8 * (start + len(piece)) - high
            if tail > 0:
                number = number >> tail << tail
        if number:
            return 8 * start + n_bits - number.bit_length()
    return 8 * len(text) if not wanted and not has_end else -1


def _one(numbers) -> int:
    """Bits that are set in exactly one of the numbers."""
    once = often = 0
    for number in numbers:
        often |= once & number
        once = (once ^ number) & ~often
    return once


def _any(numbers) -> int:
    result = 0
    for number in numbers:
        result |= number
    return result


def _all(numbers) -> int:
    result = numbers[0]
    for number in numbers[1:]:
        result &= number
    return result


def _odd(numbers) -> int:
    result = 0
    for number in numbers:
        result ^= number
    return result


#: Operation -> a function of the source strings as integers.
_OPERATIONS = {
    b"AND": _all, b"OR": _any, b"XOR": _odd, b"ONE": _one,
    b"DIFF": lambda numbers: numbers[0] & ~_any(numbers[1:]),
    b"DIFF1": lambda numbers: ~numbers[0] & _any(numbers[1:]),
    b"ANDOR": lambda numbers: numbers[0] & _any(numbers[1:]),
}


@command("BITOP", arity=-4, flags="write denyoom", keys=(2, -1, 1), group="bitmap", since="2.6.0", complexity="O(N)",
         access="W R", summary="Combines strings bit by bit and stores the result.")
def bitop(client, operation, key, *sources):
    name = operation.upper()
    if name != b"NOT" and name not in _OPERATIONS:
        raise syntax_error()
    if name == b"NOT" and len(sources) != 1:
        raise CommandError(BITOP_NOT_ONE_KEY)
    if name in (b"DIFF", b"DIFF1", b"ANDOR") and len(sources) < 2:
        raise CommandError(BITOP_TWO_KEYS.format(name.decode()))
    db = client.db
    texts = [db.get_text(source) or b"" for source in sources]
    length = max(map(len, texts))
    if not length:
        db.delete(key)
        return 0
    pieces = []
    for start in range(0, length, _CHUNK):
        size = min(_CHUNK, length - start)
        # Little-endian, so that what a shorter string lacks counts as zero bytes.
        numbers = [int.from_bytes(text[start:start + size], "little") for text in texts]
        number = numbers[0] ^ ((1 << 8 * size) - 1) if name == b"NOT" else _OPERATIONS[name](numbers)
        pieces.append(number.to_bytes(size, "little"))
    db.set(key, b"".join(pieces), "set")
    return length


class _Field:
    """One operation of BITFIELD on an integer of `bits` bits at a bit offset."""

    __slots__ = ("verb", "signed", "bits", "offset", "operand", "overflow")

    def __init__(self, client, verb: bytes, kind: bytes, offset: bytes, operand: bytes | None, overflow: bytes):
        self.verb = verb
        self.overflow = overflow
        self.signed = kind[:1].lower() == b"i"
        bits = parse_int(kind[1:])
        if kind[:1].lower() not in (b"i", b"u") or bits is None or not 1 <= bits <= (64 if self.signed else 63):
            raise CommandError(BITFIELD_TYPE)
        self.bits = bits
        times = offset[:1] == b"#"
        number = parse_int(offset[1:] if times else offset)
        if number is None or number < 0:
            raise CommandError(BIT_OFFSET)
        if times:
            number *= bits
        if (number + bits - 1) >> 3 >= max_string(client):
            raise CommandError(BIT_OFFSET)
        self.offset = number
        self.operand = None if operand is None else to_int(operand)

    @property
    def end(self) -> int:
        """Length in bytes of the shortest string that has all bits of this field."""
        return (self.offset + self.bits + 7) >> 3

    def read(self, text: bytearray) -> int:
        """The field's value."""
        window = int.from_bytes(text[self.offset >> 3:self.end], "big")
        number = window >> (8 * self.end - self.offset - self.bits) & ((1 << self.bits) - 1)
        if self.signed and number >> (self.bits - 1):
            number -= 1 << self.bits
        return number

    def write(self, text: bytearray, number: int) -> None:
        """Puts a value that fits into its place; `text` is long enough."""
        first = self.offset >> 3
        shift = 8 * self.end - self.offset - self.bits
        mask = (1 << self.bits) - 1
        window = int.from_bytes(text[first:self.end], "big") & ~(mask << shift) | (number & mask) << shift
        text[first:self.end] = window.to_bytes(self.end - first, "big")

    def fitted(self, number: int) -> int | None:
        """The number as the overflow rule makes it fit; None: the operation fails."""
        low = -(1 << (self.bits - 1)) if self.signed else 0
        high = low + (1 << self.bits) - 1
        if low <= number <= high:
            return number
        if self.overflow == b"FAIL":
            return None
        if self.overflow == b"SAT":
            return low if number < low else high
        return (number - low) % (1 << self.bits) + low


def _bitfield(client, key, words, read_only: bool):
    fields = []
    overflow = b"WRAP"
    i = 0
    while i < len(words):
        verb = words[i].upper()
        left = len(words) - i - 1
        if verb == b"GET" and left >= 2:
            fields.append(_Field(client, verb, words[i + 1], words[i + 2], None, overflow))
            i += 3
        elif verb in (b"SET", b"INCRBY") and left >= 3:
            fields.append(_Field(client, verb, words[i + 1], words[i + 2], words[i + 3], overflow))
            i += 4
        elif verb == b"OVERFLOW" and left >= 1:
            overflow = words[i + 1].upper()
            if overflow not in (b"WRAP", b"SAT", b"FAIL"):
                raise CommandError(BITFIELD_OVERFLOW)
            i += 2
        else:
            raise syntax_error()
    writes = [field for field in fields if field.verb != b"GET"]
    if writes and read_only:
        raise CommandError(BITFIELD_READONLY)
    db = client.db
    text = db.get_text(key) or b""
    base = min((field.offset >> 3 for field in fields), default=0)      # only the bytes that are touched are copied
    for field in fields:
        field.offset -= 8 * base
    top = max((field.end for field in fields), default=0)
    window = bytearray(text[base:base + top].ljust(top, b"\0"))
    before = bytes(window)
    results = []
    for field in fields:
        old = field.read(window)
        if field.verb == b"GET":
            results.append(old)
            continue
        number = field.fitted(field.operand if field.verb == b"SET" else old + field.operand)
        if number is not None:
            field.write(window, number)
        results.append(old if number is not None and field.verb == b"SET" else number)
    if window != before or any(base + field.end > len(text) for field in writes):
        low = min(field.offset >> 3 for field in writes)
        high = max(field.end for field in writes)
        db.edit_text(key, base + low, bytes(window[low:high]), "setbit")
    return results


def _bitfield_access(words) -> tuple[str]:
    """BITFIELD writes unless all that it is asked to do is GET, each with two arguments."""
    return ("R",) if all(word.upper() == b"GET" for word in words[2::3]) else ("RW",)


@command("BITFIELD", arity=-2, flags="write denyoom", keys=_KEY, group="bitmap", since="3.2.0", complexity="O(1) per operation",
         access=_bitfield_access, summary="Reads and writes integers of any width inside a string.")
def bitfield(client, key, *words):
    return _bitfield(client, key, words, False)


@command("BITFIELD_RO", arity=-2, flags="readonly fast", keys=_KEY, group="bitmap", since="6.0.0",
         complexity="O(1) per operation",
         summary="Reads integers of any width inside a string.")
def bitfield_ro(client, key, *words):
    return _bitfield(client, key, words, True)
