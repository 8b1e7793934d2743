"""The steps of a path: each takes one value to some of those within it.

A node is a value with its location, a tuple of names and numbers from the root; where nobody asks for locations they are None."""
from collections.abc import Callable

from respserver.protocol.errors import CommandError
from respserver.values.json import elements, is_array

from .errors import TOO_MANY

#: Nodes that one step may find: a path such as $..*..*..* finds any number of them.
MAX_NODES = 2_000_000


class Step:
    """One step. `expand` appends the nodes that it leads to, in order."""

    __slots__ = ()

    def expand(self, value, location: tuple | None, root, out: list) -> None:
        raise NotImplementedError

    @property
    def only(self):
        """The one name or number that the step stands for, None if it may lead to several values."""
        return None


class Names(Step):
    """.name, ['name'] and ['one', 'two']."""

    __slots__ = ("names",)

    def __init__(self, names: tuple[str, ...]):
        self.names = names

    def expand(self, value, location, root, out):
        if type(value) is dict:
            for name in self.names:
                if name in value:
                    out.append((value[name], None if location is None else (*location, name)))

    @property
    def only(self):
        return self.names[0] if len(self.names) == 1 else None


class Numbers(Step):
    """[1], [-1] and [0, 2]; a number below the first element is the first."""

    __slots__ = ("numbers",)

    def __init__(self, numbers: tuple[int, ...]):
        self.numbers = numbers

    def expand(self, value, location, root, out):
        if is_array(value):
            items = elements(value)
            n = len(items)
            for number in self.numbers:
                i = number if number >= 0 else max(0, number + n)
                if i < n:
                    out.append((items[i], None if location is None else (*location, i)))

    @property
    def only(self):
        return self.numbers[0] if len(self.numbers) == 1 else None


class Slice(Step):
    """[start:end:step], each of which may be missing; the step is positive."""

    __slots__ = ("start", "end", "stride")

    def __init__(self, start: int | None, end: int | None, stride: int):
        self.start, self.end, self.stride = start, end, stride

    def expand(self, value, location, root, out):
        if is_array(value):
            items = elements(value)
            for i in range(len(items))[self.start:self.end:self.stride]:
                out.append((items[i], None if location is None else (*location, i)))


def _children(value):
    """(name or number, value) of each child."""
    if type(value) is dict:
        return value.items()
    return enumerate(value) if is_array(value) else ()


class All(Step):
    """.* and [*]."""

    __slots__ = ()

    def expand(self, value, location, root, out):
        if location is None:
            if type(value) is dict:
                out += [(child, None) for child in value.values()]
            elif is_array(value):
                out += [(child, None) for child in value]
        else:
            out += [(child, (*location, key)) for key, child in _children(value)]


class Descent(Step):
    """..: the value and all that is in it, each container before what it contains."""

    __slots__ = ()

    def expand(self, value, location, root, out):
        out.append((value, location))
        for key, child in _children(value):
            if type(child) is dict or is_array(child):
                self.expand(child, None if location is None else (*location, key), root, out)
                if len(out) > MAX_NODES:
                    raise CommandError(TOO_MANY)
            # A scalar has no children: no step behind this one leads on from it.


class Filter(Step):
    """[?...]: the children that a test accepts."""

    __slots__ = ("test",)

    def __init__(self, test: Callable):
        self.test = test

    def expand(self, value, location, root, out):
        test = self.test
        for key, child in _children(value):
            if test(child, root):
                out.append((child, None if location is None else (*location, key)))


def walk(steps: tuple[Step, ...], value, root, location: tuple | None) -> list[tuple]:
    """The nodes that steps lead to from one value. Raises CommandError if they are too many."""
    nodes = [(value, location)]
    for step in steps:
        found: list[tuple] = []
        for one, place in nodes:
            step.expand(one, place, root, found)
            if len(found) > MAX_NODES:
                raise CommandError(TOO_MANY)
        nodes = found
        if not nodes:
            break
    return nodes


def outermost(locations) -> list[tuple]:
    """Locations, each once, without those within others."""
    every = dict.fromkeys(locations)
    return [location for location in every
            if not any(location[:n] in every for n in range(len(location)))]


def deepest_first(locations) -> list[tuple]:
    """Locations in an order in which a change at one does not move the ones that follow."""
    return sorted(locations, key=len, reverse=True)


def at(root, location: tuple):
    """The value at a location that is there."""
    for key in location:
        root = root[key]
    return root

