"""The JSON type: a document as Python values.

    object  dict with str keys      string  str
    array   list, or an array.array of floats ("f" or "d") where all elements are numbers with a fraction (`packed`)
    number  int or float            true, false, null  bool, None

A vector of 384 numbers takes 1.5 or 3 kB as an array.array and 12 kB as a list, and it is the same document either way: "f" is
only used where every number survives it. Whoever looks at an array asks `is_array`, and reads both by len, index and iteration.
"""
import sys
from array import array

#: Shorter arrays stay lists: there is nothing to gain.
_LEAST = 8
_CONTAINERS = frozenset((dict, list, array))


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


def is_array(value) -> bool:
    """Whether a value is an array, in either form."""
    return type(value) is list or type(value) is array


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
    """A deep copy."""
    kind = type(value)
    if kind is dict:
        return {key: copy(child) for key, child in value.items()}
    if kind is list:
        return [copy(child) for child in value]
    return value[:] if kind is array else value


def depth(value) -> int:
    """Levels of containers: 0 for a scalar, 1 for a container of scalars or an empty one."""
    n, level = 0, [value] if type(value) in _CONTAINERS else []
    while level:
        n += 1
        level = [child for one in level if type(one) is not array for child in (one.values() if type(one) is dict else one)
                 if type(child) in _CONTAINERS]
    return n


def size(value) -> int:
    """Bytes held by a value with all that is in it; keys are counted although documents share them."""
    total = sys.getsizeof(value)
    if type(value) is dict:
        for key, child in value.items():
            total += sys.getsizeof(key) + size(child)
    elif type(value) is list:
        total += sum(map(size, value))
    return total
