"""The JSON commands on numbers, strings and booleans."""
import math
from collections.abc import Callable

from respserver.protocol.errors import CommandError
from respserver.registry import command
from respserver.values.json import is_array
from respserver.values.numbers import INT64_MAX, INT64_MIN

from . import errors
from .common import KEY, find, need, put, told
from .path import Path
from .steps import at
from .text import dump, parse

_UINT64_MAX = (1 << 64) - 1
#: Bits of the largest result that is computed before it is found to be too large.
_MOST_BITS = 4096


# ------------------------------------------------------------------------------------------------- numbers

def _add(a, b):
    return a + b


def _multiply(a, b):
    return a * b


def _power(a, b):
    if type(a) is int and type(b) is int:
        if b < 0:
            raise CommandError(errors.OVERFLOW)
        if abs(a) > 1 and b * abs(a).bit_length() > _MOST_BITS:
            raise CommandError(errors.OVERFLOW)
        return a ** b
    result = a ** b
    return result if type(result) is float else math.nan        # of a negative number: complex


def _calculated(operation: Callable, number, operand, is_element: bool):
    """The new number. Integers stay integers: of 64 bits, within an array of integers also without sign. Raises CommandError."""
    if type(number) is int and type(operand) is int and (is_element or number <= INT64_MAX and operand <= INT64_MAX):
        result = operation(number, operand)
        if not INT64_MIN <= result <= (_UINT64_MAX if is_element else INT64_MAX):
            raise CommandError(errors.OVERFLOW)
        return result
    try:
        result = operation(float(number), float(operand))
    except (OverflowError, ZeroDivisionError):
        result = math.inf
    if not math.isfinite(result):
        raise CommandError(errors.OVERFLOW if is_element else errors.NOT_A_NUMBER)
    return result


def _calculate(client, key, path, text, event: str, operation: Callable):
    """NUMINCRBY and its like."""
    document = need(client, key)
    where = Path.of(path)
    nodes = where.nodes(document.root)
    operand = parse(text)
    if type(operand) is not int and type(operand) is not float:
        raise CommandError(errors.BAD_NUMBER)
    places = [location for value, location in nodes if type(value) is int or type(value) is float]
    if where.is_legacy and not places and client.proto != 3:
        raise CommandError(errors.NO_PATH_OR.format("does not contains a number"))
    changed = []
    try:
        for location in places:
            is_element = bool(location) and _is_of_one_kind(at(document.root, location[:-1]))
            put(document, location, _calculated(operation, at(document.root, location), operand, is_element))
            changed.append(location)
    finally:
        if changed:
            told(client, key, event, document, changed)
    if where.is_legacy and client.proto != 3:
        return dump(at(document.root, places[-1]))
    were_numbers = set(places)
    results = [at(document.root, location) if location in were_numbers else None for _, location in nodes]
    return results if client.proto == 3 else dump(results)


def _is_of_one_kind(parent) -> bool:
    """Whether the container is an array of numbers of one type."""
    return is_array(parent) and (type(parent) is not list or set(map(type, parent)) in ({int}, {float}))


@command("JSON.NUMINCRBY", arity=4, flags="write", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Adds a number to those at a path.")
def json_numincrby(client, key, path, number):
    return _calculate(client, key, path, number, "json.numincrby", _add)


@command("JSON.NUMMULTBY", arity=4, flags="write", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Multiplies the numbers at a path.")
def json_nummultby(client, key, path, number):
    return _calculate(client, key, path, number, "json.nummultby", _multiply)


@command("JSON.NUMPOWBY", arity=4, flags="write", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Raises the numbers at a path to a power.")
def json_numpowby(client, key, path, number):
    return _calculate(client, key, path, number, "json.numpowby", _power)


# ------------------------------------------------------------------------------------------------- strings and booleans

def _replace(client, key, where: Path, event: str, wanted: type, change: Callable, complaint: str) -> list:
    """Puts change(value) in place of every value of a type at a path.
    Returns (the new values and None for others). Raises CommandError."""
    document = need(client, key)
    nodes = where.nodes(document.root)
    changed = []
    results = []
    for value, location in nodes:
        if type(value) is wanted:
            new = change(at(document.root, location))
            put(document, location, new)
            changed.append(location)
            results.append(new)
        else:
            results.append(None)
    if where.is_legacy and not changed:
        raise CommandError(errors.NO_PATH_OR.format(complaint))
    if changed:
        told(client, key, event, document, changed)
    return results


def _last(results: list):
    return [result for result in results if result is not None][-1]


def _n_bytes(text: str | None) -> int | None:
    return None if text is None else len(text.encode())


@command("JSON.STRAPPEND", arity=-3, flags="write denyoom", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Appends to the strings at a path.")
def json_strappend(client, key, first, *rest):
    path, text = (first, rest[0]) if rest else (b".", first)
    where = Path.of(path)
    need(client, key)
    extra = parse(text)
    if type(extra) is not str:
        raise CommandError(errors.NOT_A.format("string"))
    results = _replace(client, key, where, "json.strappend", str, lambda value: value + extra, "not a string")
    return _n_bytes(_last(results)) if where.is_legacy else list(map(_n_bytes, results))


@command("JSON.STRLEN", arity=-2, flags="readonly", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Returns the lengths of the strings at a path, in bytes.")
def json_strlen(client, key, path=b".", *rest):
    where = Path.of(path)
    document = find(client, key) if where.is_legacy else need(client, key)
    if document is None:
        return None
    if where.is_projection:
        raise CommandError(errors.READ_ONLY)
    values = where.values(document.root)
    if not where.is_legacy:
        return [_n_bytes(value) if type(value) is str else None for value in values]
    if not values:
        raise CommandError(errors.NO_PATH)
    if type(values[0]) is not str:
        raise CommandError(errors.NOT_A.format("string"))
    return _n_bytes(values[0])


@command("JSON.TOGGLE", arity=3, flags="write", keys=KEY, group="json", since="2.0.0", complexity="O(N)",
         summary="Turns the booleans at a path into their opposites.")
def json_toggle(client, key, path):
    where = Path.of(path)
    results = _replace(client, key, where, "json.toggle", bool, lambda value: not value, "not a bool")
    if where.is_legacy:
        return "true" if _last(results) else "false"
    return [None if result is None else int(result) for result in results]
