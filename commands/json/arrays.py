"""The JSON commands on arrays."""
from respserver.protocol.errors import CommandError
from respserver.registry import command
from respserver.values.json import copy, elements, is_array

from ..arguments import wrong_arity
from . import errors
from .common import KEY, ROOT, check_depth, edit, find, need, to_int, told
from .documents import expanded
from .path import Path
from .steps import deepest_first
from .terms import equal
from .text import dump, parse

_FORMATS = (b"STRINGS", b"EXPAND1", b"EXPAND")


def _change(client, key: bytes, path: Path, event: str, change, is_change=lambda result: True):
    """Calls change(elements, location) for every array at a path. Returns the results, None for what is not an array; of a legacy
    path the last array's. Raises CommandError."""
    document = need(client, key)
    nodes = path.nodes(document.root)
    results = {location: None for value, location in nodes if is_array(value)}
    if path.is_legacy and not results:
        raise CommandError(errors.NO_PATH_OR.format("not an array"))
    changed = []
    try:
        for location in deepest_first(results):     # what is in an array is done before the array moves it
            results[location] = edit(document, location, lambda elements: change(elements, location))
            if is_change(results[location]):
                changed.append(location)
    finally:
        if changed:
            told(client, key, event, document, changed)
    if path.is_legacy:
        return list(results.values())[-1]
    return [results.get(location) for _, location in nodes]


@command("JSON.ARRAPPEND", arity=-3, flags="write denyoom", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Appends values to the arrays at a path.")
def json_arrappend(client, key, path, *texts):
    if not texts:
        raise wrong_arity("json.arrappend")
    where = Path.of(path)
    values = [*map(parse, texts)]

    def append(elements: list, location: tuple) -> int:
        check_depth(location, values)
        elements += map(copy, values)               # each array has its own
        return len(elements)
    return _change(client, key, where, "json.arrappend", append)


@command("JSON.ARRINSERT", arity=-5, flags="write denyoom", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Inserts values into the arrays at a path.")
def json_arrinsert(client, key, path, index, *texts):
    where = Path.of(path)
    position = to_int(index)
    values = [*map(parse, texts)]

    def insert(elements: list, location: tuple) -> int:
        i = position if position >= 0 else len(elements) + position
        if not 0 <= i <= len(elements):
            raise CommandError(errors.INDEX_BOUNDS)
        check_depth(location, values)
        elements[i:i] = map(copy, values)
        return len(elements)
    return _change(client, key, where, "json.arrinsert", insert)


@command("JSON.ARRPOP", arity=-2, flags="write", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Takes an element out of the arrays at a path.")
def json_arrpop(client, key, *words):
    words = list(words)
    form = b"STRINGS"
    if len(words) > 1 and words[0].upper() == b"FORMAT":
        form = words[1].upper()
        if form not in _FORMATS:
            raise CommandError(errors.REPLY_FORMAT)
        if client.proto != 3:
            raise CommandError(errors.FORMAT_RESP2)
        del words[:2]
    where = Path.of(words[0]) if words else ROOT
    position = -1
    if len(words) > 1:
        try:
            position = to_int(words[1])
        except CommandError:
            pass                                    # as if it were not there
    if where.is_legacy and form != b"STRINGS":
        raise CommandError(errors.LEGACY_STRINGS)

    def pop(elements: list, location: tuple):
        if not elements:
            return None
        n = len(elements)
        element = elements.pop(min(position, n - 1) if position >= 0 else max(0, n + position))
        return dump(element) if form == b"STRINGS" else _Popped(expanded(element, form == b"EXPAND"))
    found = _change(client, key, where, "json.arrpop", pop, lambda popped: popped is not None)
    return [one.reply if type(one) is _Popped else one for one in found] if type(found) is list else found


class _Popped:
    """An element that was popped, which may be null."""

    __slots__ = ("reply",)

    def __init__(self, reply):
        self.reply = reply


@command("JSON.ARRTRIM", arity=5, flags="write", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Keeps a range of elements in the arrays at a path.")
def json_arrtrim(client, key, path, start, stop):
    where = Path.of(path)
    first, last = to_int(start), to_int(stop)

    def trim(elements: list, location: tuple) -> int:
        n = len(elements)
        end = min(last, n - 1) if last >= 0 else max(0, n + last)
        begin = first if first >= 0 else max(0, n + first)
        elements[:] = elements[begin:end + 1] if begin <= end else []
        return len(elements)
    return _change(client, key, where, "json.arrtrim", trim)


@command("JSON.ARRLEN", arity=-2, flags="readonly", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Counts the elements of the arrays at a path.")
def json_arrlen(client, key, path=b".", *rest):
    where = Path.of(path)
    document = find(client, key) if where.is_legacy else need(client, key)
    if document is None:
        return None
    if where.is_projection:
        raise CommandError(errors.READ_ONLY)
    values = where.values(document.root)
    if not where.is_legacy:
        return [len(value) if is_array(value) else None for value in values]
    if not values:
        raise CommandError(errors.NO_PATH)
    if not is_array(values[0]):
        raise CommandError(errors.NO_PATH_OR.format("not an array"))
    return len(values[0])


def _index(value, wanted, start: int, end: int) -> int | None:
    """The first place of a value among elements start to end (exclusive; 0: to the end), -1 if it is not there."""
    if not is_array(value):
        return None
    value = elements(value)
    n = len(value)
    if not n:
        return -1
    first = min(start, n - 1) if start >= 0 else max(0, n + start)
    last = n if end == 0 or end > n else end if end > 0 else max(0, n + end)
    for i in range(first, last):
        if equal(value[i], wanted):
            return i
    return -1


@command("JSON.ARRINDEX", arity=-4, flags="readonly", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Finds the first place of a value in the arrays at a path.")
def json_arrindex(client, key, path, text, start=b"0", end=b"0", *rest):
    if rest:
        raise wrong_arity("json.arrindex")
    where = Path.of(path)
    first, last = to_int(start), to_int(end)
    document = find(client, key)
    wanted = parse(text)
    if document is None:
        raise CommandError(errors.NO_PATH)
    if where.is_projection:
        raise CommandError(errors.READ_ONLY)
    values = where.values(document.root)
    if not where.is_legacy:
        return [_index(value, wanted, first, last) for value in values]
    if not values:
        raise CommandError(errors.NO_PATH)
    found = _index(values[0], wanted, first, last)
    if found is None:
        raise CommandError(errors.NOT_A.format("array"))
    return found
