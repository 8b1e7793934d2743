"""The JSON type: a document as Python values.

    object  dict with str keys      string  str
    array   list, or an array.array of floats ("f" or "d") where all elements are numbers with a fraction (`packed`), or either
            of them in a file (`Filed`)
    number  int or float            true, false, null  bool, None

A vector of 384 numbers takes 1.5 or 3 kB as an array.array and 12 kB as a list, and it is the same document either way: "f" is
only used where every number survives it. Whoever looks at an array asks `is_array`, and reads all forms by len, index and
iteration; who wants several elements asks `elements` first, which reads a file once.
"""
import sys
from array import array
from collections.abc import Iterator

from ..protocol.errors import CommandError
from .slots import Ref, discard, fetch, length

#: Shorter arrays stay lists: there is nothing to gain.
_LEAST = 8
#: Forms of integers in a file, the smallest first.
_INTEGERS = "Bbhiq"


class Json:
    """A document. Whoever changes something in `root` calls Database.changed; `root` itself may be replaced."""

    __slots__ = ("root",)

    type_name = "ReJSON-RL"
    encoding = "raw"

    def __init__(self, root):
        self.root = root

    def copy(self) -> "Json":
        """A document of its own with the same contents."""
        return Json(copy(self.root))


class Filed:
    """An array of numbers that lives in a slot of a file (respserver/values/slots.py). It does not change: who writes puts what
    `load` returns in its place. The slot is free when nobody refers to the array any more.

    Reading raises CommandError if the slot is damaged; the length and all writing never do."""

    __slots__ = ("code", "ref")
    #: How many there are: with none, nobody needs to look for them.
    count = 0

    def __init__(self, code: str, ref: Ref):
        self.code = code                        # of an array.array
        self.ref = ref
        Filed.count += 1

    def __del__(self):
        Filed.count -= 1
        discard(self.ref)

    def load(self):
        """The array as it is in memory: an array.array of floats, or a list of integers."""
        return numbers_of(self.code, fetch(self.ref))

    def tolist(self) -> list:
        """The numbers."""
        return unpacked(self.load())

    def __len__(self) -> int:
        return length(self.ref) // _SIZES[self.code]

    def __getitem__(self, i):
        return self.load()[i]

    def __iter__(self):
        return iter(self.load())

    def __eq__(self, other) -> bool:
        try:
            return self.load() == elements(other)
        except CommandError:
            return False


_ARRAYS = frozenset((list, array, Filed))
_CONTAINERS = frozenset((dict, *_ARRAYS))
_SIZES = {code: array(code).itemsize for code in "fd" + _INTEGERS}


def is_array(value) -> bool:
    """Whether a value is an array, in any form."""
    return type(value) in _ARRAYS


def elements(items):
    """An array as it is in memory. Raises CommandError for one that cannot be read from its file."""
    return items.load() if type(items) is Filed else items


def numbers_of(code: str, text: bytes | memoryview):
    """The array in memory whose bytes, as `filing` gives them, these are."""
    numbers = array(code)
    numbers.frombytes(text)
    return numbers.tolist() if code in _INTEGERS else numbers


def filing(items) -> tuple[str, bytes] | None:
    """(code, bytes) with which the numbers of an array in memory go into a file; None for one that has anything but numbers
    with a fraction, or anything but integers of 64 bits."""
    if type(items) is list:
        items = packed(items)
    if type(items) is array:
        return items.typecode, items.tobytes()
    if type(items) is list and items and set(map(type, items)) == {int}:
        for code in _INTEGERS:
            try:
                return code, array(code, items).tobytes()
            except OverflowError:
                continue
    return None


def in_files(value, location: tuple = ()) -> Iterator[tuple[tuple, Filed]]:
    """(location, array) of every array within a value that lives in a file."""
    if type(value) is Filed:
        yield location, value
    elif type(value) is dict or type(value) is list:
        for key, child in value.items() if type(value) is dict else enumerate(value):
            if type(child) in _CONTAINERS and type(child) is not array:
                yield from in_files(child, (*location, key))


def packed(items: list):
    """The array of these elements in its smallest form: itself, or an array.array."""
    if len(items) < _LEAST or type(items[0]) is not float or set(map(type, items)) != {float}:
        return items
    try:
        single = array("f", items)
        if single.tolist() == items:
            return single
    except OverflowError:               # beyond the range of a single
        pass
    return array("d", items)


def pack(value):
    """A freshly read value with its arrays of numbers packed, in place as far as possible. Who read it has limited its depth."""
    if type(value) is dict:
        for key, child in value.items():
            if type(child) is list or type(child) is dict:
                value[key] = pack(child)
    elif type(value) is list:
        if value and type(value[0]) is float:
            return packed(value)
        for i, child in enumerate(value):
            if type(child) is list or type(child) is dict:
                value[i] = pack(child)
    return value


def unpacked(items) -> list:
    """An array as a list that may take any element: the same object if it is one already."""
    return items if type(items) is list else items.tolist()


def copy(value):
    """A deep copy, with all arrays in memory."""
    kind = type(value)
    if kind is dict:
        return {key: copy(child) for key, child in value.items()}
    if kind is list:
        return [copy(child) for child in value]
    return value[:] if kind is array else value.load() if kind is Filed else value


def depth(value) -> int:
    """Levels of containers: 0 for a scalar, 1 for a container of scalars or an empty one."""
    n, level = 0, [value] if type(value) in _CONTAINERS else []
    while level:
        n += 1
        level = [child for one in level if type(one) is dict or type(one) is list
                 for child in (one.values() if type(one) is dict else one) if type(child) in _CONTAINERS]
    return n


def size(value) -> int:
    """Bytes of memory held by a value with all that is in it; keys are counted although documents share them."""
    total = sys.getsizeof(value)
    if type(value) is dict:
        for key, child in value.items():
            total += sys.getsizeof(key) + size(child)
    elif type(value) is list:
        total += sum(map(size, value))
    elif type(value) is Filed:
        total += sys.getsizeof(value.ref)
    return total
