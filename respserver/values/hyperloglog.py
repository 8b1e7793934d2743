"""HyperLogLogs: strings that estimate how many different elements they have seen, in the form in which Redis stores them.

16,384 registers, each with the length of the longest run of zeros in the hashes that fell to it (P. Flajolet et al.,
HyperLogLog, 2007); the estimate is O. Ertl's (New cardinality estimation algorithms for HyperLogLog sketches, 2017, algorithm
6).

A head of 16 bytes: "HYLL", the encoding, three bytes not used, and the latest estimate as a little-endian number whose highest
bit says that it no longer holds. Dense: the registers, six bits each, the lowest first. Sparse: runs of registers with the same
value, 00nnnnnn: n + 1 zeros; 01nnnnnn nnnnnnnn: n + 1 zeros; 1vvvvvnn: n + 1 times v + 1."""
import math
import struct
from bisect import bisect_right
from collections.abc import Iterable

N_REGISTERS = 1 << 14
_HEAD = 16
_DENSE_SIZE = _HEAD + N_REGISTERS * 6 // 8
_DENSE, _SPARSE = 0, 1
#: A register's greatest value: the hash has 64 bits, 14 of which choose the register.
_MOST = 51
_MOST_SPARSE = 32
#: Longest runs of zeros in one and in two bytes, and of another value.
_ZEROS, _MANY_ZEROS, _RUN = 64, 1 << 14, 4
_ALPHA = 0.5 / math.log(2)
_WORD = 0xFFFFFFFFFFFFFFFF


class CorruptedError(Exception):
    """A sparse encoding whose runs do not make up the registers."""


def empty() -> bytes:
    """A HyperLogLog that has seen nothing."""
    return b"HYLL" + bytes((_SPARSE,)) + bytes(11) + _zeros(N_REGISTERS)


def is_sketch(text) -> bool:
    """Whether a string looks like a HyperLogLog."""
    return len(text) >= _HEAD and text[:4] == b"HYLL" and (text[4] == _SPARSE or (text[4] == _DENSE and len(text) == _DENSE_SIZE))


def is_dense(text) -> bool:
    """Whether each register has its own six bits."""
    return text[4] == _DENSE


def _outdated(text: bytearray) -> bytes:
    """The same with an estimate that does not hold."""
    text[15] |= 0x80
    return bytes(text)


# Hashes

def _hash(data: bytes) -> int:
    """MurmurHash64A (A. Appleby) with the seed that Redis uses."""
    factor, n = 0xC6A4A7935BD1E995, len(data)
    found = 0xADC83B19 ^ (n * factor & _WORD)
    for word, in struct.iter_unpack("<Q", data[:n & ~7]):
        word = word * factor & _WORD
        found = (found ^ (word ^ word >> 47) * factor & _WORD) * factor & _WORD
    if n & 7:
        found = (found ^ int.from_bytes(data[n & ~7:], "little")) * factor & _WORD
    found = (found ^ found >> 47) * factor & _WORD
    return found ^ found >> 47


def place(element: bytes) -> tuple[int, int]:
    """The register of an element and the value that it asks for there."""
    found = _hash(element)
    rest = found >> 14 | 1 << 50
    return found & (N_REGISTERS - 1), (rest & -rest).bit_length()


# Registers: one byte each

_FIRST = [bytes(x & 63 for x in range(256)), bytes(x >> 6 for x in range(256)), bytes(x >> 4 for x in range(256)),
          bytes(x >> 2 for x in range(256))]
_SECOND = [b"", bytes((x & 15) << 2 for x in range(256)), bytes((x & 3) << 4 for x in range(256)), b""]
_LEFT = [bytes((x << shift) & 255 for x in range(256)) for shift in (6, 4, 2)]
_RIGHT = [bytes(x >> shift for x in range(256)) for shift in (0, 2, 4)]


def _either(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "little") | int.from_bytes(b, "little")).to_bytes(len(a), "little")


def registers(text) -> bytes:
    """The values of all registers. Raises CorruptedError."""
    if not is_dense(text):
        starts, values = _runs(text)
        return b"".join([bytes((value,)) * (end - start)
                         for start, end, value in zip(starts, [*starts[1:], N_REGISTERS], values)])
    parts = [bytes(text[_HEAD + i::3]) for i in range(3)]               # four registers in three bytes
    found = bytearray(N_REGISTERS)
    found[0::4] = parts[0].translate(_FIRST[0])
    found[1::4] = _either(parts[0].translate(_FIRST[1]), parts[1].translate(_SECOND[1]))
    found[2::4] = _either(parts[1].translate(_FIRST[2]), parts[2].translate(_SECOND[2]))
    found[3::4] = parts[2].translate(_FIRST[3])
    return bytes(found)


def dense(values: bytes, text) -> bytes:
    """The dense form of registers, with the head of `text` and an estimate that does not hold."""
    text = bytearray(text[:_HEAD]) + bytearray(_DENSE_SIZE - _HEAD)
    text[4] = _DENSE
    for i in range(3):
        text[_HEAD + i::3] = _either(values[i::4].translate(_RIGHT[i]), values[i + 1::4].translate(_LEFT[i]))
    return _outdated(text)


def greatest(a: bytes, b: bytes) -> bytes:
    """The greater of two values in each register: what has been seen by either."""
    high = int.from_bytes(b"\x80" * N_REGISTERS, "little")
    one, other = int.from_bytes(a, "little"), int.from_bytes(b, "little")
    not_less = ((one | high) - other) & high                    # in each byte the highest bit, where a >= b
    mask = not_less - (not_less >> 7)
    return (one & mask | other & ~mask).to_bytes(N_REGISTERS, "little")


def estimate(values: bytes) -> int:
    """How many different elements have been seen, about."""
    counts = [values.count(value) for value in range(_MOST + 1)]
    m = float(N_REGISTERS)
    z = m * _tau((m - counts[_MOST]) / m)
    for count in reversed(counts[1:_MOST]):
        z = 0.5 * (z + count)
    z += m * _sigma(counts[0] / m)
    return math.floor(_ALPHA * m * m / z + 0.5)


def _sigma(x: float) -> float:
    if x == 1:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3


# Runs

def _runs(text) -> tuple[list[int], list[int]]:
    """The first register and the value of each run of a sparse form. Raises CorruptedError."""
    starts, values = [], []
    at, i, n = 0, _HEAD, len(text)
    while i < n:
        byte = text[i]
        i += 1
        starts.append(at)
        if byte & 0x80:
            values.append((byte >> 2 & 31) + 1)
            at += (byte & 3) + 1
        else:
            values.append(0)
            if byte & 0x40:
                if i == n:
                    raise CorruptedError
                at += ((byte & 63) << 8 | text[i]) + 1
                i += 1
            else:
                at += byte + 1
        if at > N_REGISTERS:
            raise CorruptedError
    if at != N_REGISTERS:
        raise CorruptedError
    return starts, values


def _zeros(n: int) -> bytes:
    return bytes((n - 1,)) if n <= _ZEROS else bytes((0x40 | n - 1 >> 8, n - 1 & 255))


class _Sparse:
    """A sparse form under change."""

    def __init__(self, text: bytes):
        self._starts, self._values = _runs(text)
        self._parts = [_run(self._end(i) - start, value) for i, (start, value) in enumerate(zip(self._starts, self._values))]
        self._size = len(text)

    def _end(self, i: int) -> int:
        return self._starts[i + 1] if i + 1 < len(self._starts) else N_REGISTERS

    def raise_to(self, index: int, value: int, most: int) -> bool | None:
        """Gives a register at least this value. Returns whether it had less; None, and nothing has changed, if it had and the
        sparse form cannot have it, or would be longer than `most` bytes."""
        starts, values = self._starts, self._values
        i = bisect_right(starts, index) - 1
        old, start, end = values[i], starts[i], self._end(i)
        if old >= value:
            return False
        pieces = [(start, index, old), (index, index + 1, value), (index + 1, end, old)]
        pieces = [piece for piece in pieces if piece[0] < piece[1]]
        parts = [_run(b - a, v) for a, b, v in pieces]
        more = sum(map(len, parts)) - len(self._parts[i])
        if value > _MOST_SPARSE or (more > 0 and self._size + more > most):
            return None
        self._size += more
        starts[i:i + 1] = [a for a, _, _ in pieces]
        values[i:i + 1] = [v for _, _, v in pieces]
        self._parts[i:i + 1] = parts
        self._join(max(i - 1, 0))
        return True

    def _join(self, i: int) -> None:
        """Joins runs of one value around a change, where they fit into one."""
        starts, values = self._starts, self._values
        for _ in range(5):
            if i + 1 >= len(starts):
                return
            if values[i] and values[i] == values[i + 1] and self._end(i + 1) - starts[i] <= _RUN:
                del starts[i + 1], values[i + 1], self._parts[i + 1]
                self._parts[i] = _run(self._end(i) - starts[i], values[i])
                self._size -= 1
            else:
                i += 1

    def runs(self) -> bytes:
        """What follows the head."""
        return b"".join(self._parts)


def _run(n: int, value: int) -> bytes:
    return bytes((0x80 | value - 1 << 2 | n - 1,)) if value else _zeros(n)


#: The latest sparse forms that were changed, ready to be changed again, by what follows their heads: to read one takes far
#: longer than to change it.
_latest: dict[bytes, _Sparse] = {}
_N_LATEST = 16


def _keep(runs: bytes, sparse: _Sparse) -> None:
    _latest[runs] = sparse
    if len(_latest) > _N_LATEST:
        del _latest[next(iter(_latest))]


# What the commands do

def with_elements(text, elements: Iterable[bytes], most: int) -> bytes | None:
    """A HyperLogLog that has seen more elements, or None if that makes no difference.
    `most`: bytes that a sparse one may have. Raises CorruptedError."""
    return _raised(text, map(place, elements), most)


def _raised(text, places: Iterable[tuple[int, int]], most: int) -> bytes | None:
    places = iter(places)
    edited: bytearray | None = None
    if not is_dense(text):
        before = bytes(text[_HEAD:])
        sparse, is_changed = _latest.pop(before, None) or _Sparse(text), False
        for index, value in places:
            raised = sparse.raise_to(index, value, most)
            if raised is None:
                edited = bytearray(dense(registers(text[:_HEAD] + sparse.runs()), text))
                _raise_dense(edited, index, value)
                break
            is_changed |= raised
        else:
            runs = sparse.runs() if is_changed else before
            _keep(runs, sparse)
            return _outdated(bytearray(text[:_HEAD] + runs)) if is_changed else None
        is_changed = True
    else:
        edited, is_changed = bytearray(text), False
    for index, value in places:
        is_changed |= _raise_dense(edited, index, value)
    return _outdated(edited) if is_changed else None


def _raise_dense(text: bytearray, index: int, value: int) -> bool:
    at, shift = _HEAD + (index * 6 >> 3), index * 6 & 7
    two = text[at] | (text[at + 1] << 8 if at + 1 < _DENSE_SIZE else 0)
    if two >> shift & 63 >= value:
        return False
    two = two & ~(63 << shift) | value << shift
    text[at] = two & 255
    if at + 1 < _DENSE_SIZE:
        text[at + 1] = two >> 8
    return True


def union(texts: list, most: int) -> bytes:
    """A HyperLogLog that has seen what the first one, or any of the others, has:
    dense if one of them is. Raises CorruptedError."""
    if any(map(is_dense, texts)):
        return dense(union_registers(texts), texts[0])
    values = union_registers(texts[1:]) if texts[1:] else b""
    raised = _raised(texts[0], ((index, value) for index, value in enumerate(values) if value), most)
    return _outdated(bytearray(texts[0])) if raised is None else raised


def union_registers(texts: list) -> bytes:
    """The greatest value in each register. Raises CorruptedError."""
    values = bytes(N_REGISTERS)
    for text in texts:
        values = greatest(values, registers(text))
    return values


def known_estimate(text) -> int | None:
    """The latest estimate, if it still holds."""
    return None if text[15] & 0x80 else int.from_bytes(text[8:16], "little")


def with_estimate(text, n: int) -> bytes:
    """The same with an estimate that holds."""
    return b"%b%b%b" % (text[:8], n.to_bytes(8, "little"), text[16:])


def describe_runs(text) -> str:
    """The runs of a sparse form: z and Z for zeros in one byte and in two, v for values. Raises CorruptedError."""
    starts, values = _runs(text)
    shown = []
    for start, end, value in zip(starts, [*starts[1:], N_REGISTERS], values):
        n = end - start
        shown.append(f"v:{value},{n}" if value else f"z:{n}" if n <= _ZEROS else f"Z:{n}")
    return " ".join(shown)
