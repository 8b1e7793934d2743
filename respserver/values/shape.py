"""What many small hashes have in common: the names of their fields, and how each value is kept.

A million documents share a handful of shapes, so a small hash is a pointer to its shape and one packed text: a byte with the
length of each value, then the values. What is too long for that stays a `bytes` object of its own beside the text, so that
reading a vector copies nothing; what lives in a file (respserver/values/slots.py) is a reference in the text.
"""
from collections.abc import Mapping

from .slots import REF_BYTES, Ref

#: Longest value that goes into the packed text, in bytes; a length is one byte.
INLINE = 255
#: More fields than this make a hash a dict.
MAX_FIELDS = 32
_MAX_SHAPES = 4096
#: Field names longer than this are not worth sharing.
_MAX_NAME_LENGTH = 256

IN_TEXT, OWN, IN_FILE = 0, 1, 2
_LENGTHS = [bytes((n,)) for n in range(INLINE + 1)]


class Shape:
    """Immutable. `kinds` says for each field whether its value is IN_TEXT, an object of its OWN, or IN_FILE."""

    __slots__ = ("names", "kinds", "at", "n", "own", "own_at", "refs")

    def __init__(self, names: tuple[bytes, ...], kinds: bytes):
        self.names = names
        self.kinds = kinds
        self.n = len(names)
        self.at = {name: i for i, name in enumerate(names)}
        self.own = tuple(i for i, kind in enumerate(kinds) if kind == OWN)          # their positions
        #: position -> place in the hash's tuple, which begins with the text; None if the hash is the text alone
        self.own_at = {i: 1 + j for j, i in enumerate(self.own)} or None
        self.refs = frozenset(i for i, kind in enumerate(kinds) if kind == IN_FILE)

    def pack(self, values):
        """The data of values (bytes or Ref) of these kinds, None if theirs are others."""
        sizes = list(map(len, values))
        refs = self.refs
        if refs or REF_BYTES in sizes:
            for i, size in enumerate(sizes):
                if (i in refs) != (size == REF_BYTES and type(values[i]) is Ref):
                    return None
        try:
            if self.own_at is None:
                return bytes(sizes) + b"".join(values)          # a longer value is no byte: ValueError
            values = list(values)
            own = []
            for i in self.own:
                if sizes[i] <= INLINE:
                    return None
                own.append(values[i])
                sizes[i] = 0
                values[i] = b""
            return (bytes(sizes) + b"".join(values), *own)
        except ValueError:
            return None

    def unpack(self, data) -> list[bytes]:
        """The values as they were packed."""
        text = data if self.own_at is None else data[0]
        start = self.n
        values = []
        for size in text[:start]:
            end = start + size
            values.append(text[start:end])
            start = end
        if self.own_at is not None:
            for i, value in zip(self.own, data[1:]):
                values[i] = value
        if self.refs:
            for i in self.refs:
                values[i] = Ref(values[i])
        return values

    def raw(self, data, i: int) -> bytes:
        """The value at one position, as it was packed."""
        if self.own_at is not None:
            if i in self.own_at:
                return data[self.own_at[i]]
            data = data[0]
        start = self.n + sum(data[:i])
        text = data[start:start + data[i]]
        return Ref(text) if i in self.refs else text

    def replaced(self, data, i: int, value: bytes):
        """(what was there, the data with another value) at one position; (None, None) if that is of another kind: then everything
        is to be packed anew."""
        size = len(value)
        kind = self.kinds[i]
        if kind == IN_TEXT and size <= INLINE and (size != REF_BYTES or type(value) is not Ref):
            text = data if self.own_at is None else data[0]
            start = self.n + sum(text[:i])
            end = start + text[i]
            old = text[start:end]
            if len(old) == size:
                text = text[:start] + value + text[end:]
            else:
                text = text[:i] + _LENGTHS[size] + text[i + 1:start] + value + text[end:]
            return old, text if self.own_at is None else (text, *data[1:])
        if kind == OWN and size > INLINE:
            place = self.own_at[i]
            return data[place], (*data[:place], value, *data[place + 1:])
        return None, None


class Fields(Mapping):
    """The fields of a packed hash as they were at one time, unpacked when somebody asks. For hashes without references."""

    __slots__ = ("_shape", "_data")

    def __init__(self, shape: Shape, data):
        self._shape = shape
        self._data = data

    def __getitem__(self, field: bytes) -> bytes:
        shape = self._shape
        return shape.raw(self._data, shape.at[field])

    def __contains__(self, field) -> bool:
        return field in self._shape.at

    def __iter__(self):
        return iter(self._shape.names)

    def __len__(self) -> int:
        return self._shape.n


def pack(names: tuple[bytes, ...], values) -> tuple[Shape | None, object]:
    """(shape, data) of fields; the shape is None where packing does not pay:
    many fields, names that were not seen before, or equal ones."""
    shape = _latest.get(names)
    if shape is not None:
        data = shape.pack(values)
        if data is not None:
            return shape, data
    if len(names) > MAX_FIELDS:
        return None, None
    kinds = bytes([IN_FILE if type(value) is Ref else OWN if len(value) > INLINE else IN_TEXT for value in values])
    shape = _shapes.get((names, kinds))
    if shape is None:
        shape = _new_shape(names, kinds)
        if shape is None:
            return None, None
    _latest[names] = shape
    return shape, shape.pack(values)


def _new_shape(names: tuple[bytes, ...], kinds: bytes) -> Shape | None:
    mark = hash(names)
    if mark not in _seen:
        if len(_seen) >= 4 * _MAX_SHAPES:
            _seen.clear()
        _seen.add(mark)
        return None
    if len(set(names)) != len(names) or max(map(len, names), default=0) > _MAX_NAME_LENGTH:
        return None
    if len(_shapes) >= _MAX_SHAPES:                             # hashes keep the shapes that they have
        _shapes.clear()
        _latest.clear()
    shape = _shapes[names, kinds] = Shape(names, kinds)
    return shape


_shapes: dict[tuple, Shape] = {}                # by names and kinds
_latest: dict[tuple, Shape] = {}                # by names: the one used last
_seen: set[int] = set()                         # hashes of names that were asked for

EMPTY = Shape((), b"")
