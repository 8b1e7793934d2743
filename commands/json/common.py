"""What the JSON commands share: finding a document, changing it in places, and telling the keyspace."""
from array import array
from collections.abc import Callable

from respserver.protocol.errors import CommandError
from respserver.values.json import Filed, Json, depth, is_array, packed, unpacked
from respserver.values.numbers import INT64_MAX, INT64_MIN

from .errors import NO_KEY, NOT_AN_INTEGER, RECURSION, WRONG_KEY
from .path import Path
from .steps import at
from .text import MAX_DEPTH

KEY = (1, 1, 1)
#: The path of a command that was given none: the root, in the older form.
ROOT = Path.of(b".")


def find(client, key: bytes) -> Json | None:
    """The document of a key, None if there is no such key. Raises CommandError for a value of another type."""
    value = client.db.get(key)
    if value is not None and type(value) is not Json:
        raise CommandError(WRONG_KEY)
    return value


def need(client, key: bytes) -> Json:
    """Likewise, with an error if there is no such key."""
    value = find(client, key)
    if value is None:
        raise CommandError(NO_KEY)
    return value


def to_int(word: bytes) -> int:
    """A 64-bit integer. Raises CommandError."""
    try:
        number = int(word) if not word[:1].isspace() and not word[-1:].isspace() and b"_" not in word else None
    except ValueError:
        number = None
    if number is None or not INT64_MIN <= number <= INT64_MAX:
        raise CommandError(NOT_AN_INTEGER)
    return number


def kind(value) -> str:
    """The type of a value as JSON.TYPE tells it."""
    return "array" if is_array(value) else _KINDS[type(value)]


_KINDS = {dict: "object", str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def told(client, key: bytes, event: str, document: Json, locations) -> None:
    """Tells the keyspace that a document was changed in these places."""
    client.db.changed(key, event, document, document, dict.fromkeys(locations))


def is_too_deep(location: tuple, value) -> bool:
    """Whether a value would make the document too deep at this place."""
    return len(location) + depth(value) > MAX_DEPTH


def check_depth(location: tuple, values) -> None:
    """Raises CommandError if one of the values would be too deep as an element of the array in this place."""
    if any(is_too_deep((*location, 0), value) for value in values):
        raise CommandError(RECURSION)


def put(document: Json, location: tuple, value) -> bool:
    """Puts a value where one is. Returns False if nothing is there."""
    if not location:
        document.root = value
        return True
    *way, key = location
    try:
        parent = at(document.root, tuple(way))
        if type(parent) is dict:
            if key not in parent:
                return False
            parent[key] = value
        elif type(key) is not int or not is_array(parent) or key >= len(parent):
            return False
        elif type(parent) is list or type(parent) is array and type(value) is float:
            parent[key] = value
            if type(parent) is not list and parent[key] != value:       # it does not fit into a single
                put(document, tuple(way), _with(parent, key, value))
        else:
            put(document, tuple(way), _with(parent, key, value))
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _with(items, i: int, value):
    """An array in the form that the i-th element wants."""
    items = unpacked(items)
    items[i] = value
    return packed(items)


def opened(document: Json, location: tuple):
    """The container in a place, out of its file if it was in one: it may be changed. Raises CommandError."""
    value = at(document.root, location)
    if type(value) is Filed:
        value = value.load()
        put(document, location, value)
    return value


def edit(document: Json, location: tuple, change: Callable[[list], object]):
    """Calls a function with the array in a place, as a list that it may change; returns what it returns."""
    items = at(document.root, location)
    elements = unpacked(items)
    result = change(elements)
    if elements is not items:
        put(document, location, packed(elements))
    return result
