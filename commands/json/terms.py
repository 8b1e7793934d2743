"""What the expressions of filters and projections compute: values, NOTHING, and lists of several.

A document's value stands for itself. `Nodes` is what a path found if that is not one value, `Results` a list that a function
made; comparisons hold for a list if they hold for any of its elements."""
import math
import operator
from collections.abc import Callable

from respserver.values.json import is_array

from .regex import compile_regex

_INT64 = range(-(1 << 63), 1 << 63)


class _Nothing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "NOTHING"


#: No value at all: a path that leads nowhere, arithmetic on what is not a number.
NOTHING = _Nothing()


class Nodes(list):
    """What a path found: several values."""


class Results(list):
    """The values that a function gives one by one: keys(), append()."""


def as_number(term) -> int | float | None:
    """The number that a term is, or None."""
    return term if type(term) is int or type(term) is float else None


def equal(a, b) -> bool:
    """Whether two values are the same; 1 and 1.0 are not."""
    kind = type(a)
    if kind is dict:
        return type(b) is dict and len(a) == len(b) and all(key in b and equal(child, b[key]) for key, child in a.items())
    if is_array(a):
        return is_array(b) and len(a) == len(b) and all(map(equal, a, b))
    return kind is type(b) and a == b


def _is_same(a, b) -> bool:
    """Likewise, but 1 and 1.0 are the same, where they are not within others."""
    x, y = as_number(a), as_number(b)
    return x == y if x is not None and y is not None else equal(a, b)


_SCALARS = {int: 0, float: 0, str: 1, bool: 2, type(None): 3}


def _is_any(test: Callable, a, b) -> bool:
    """Whether a test holds for two terms, or for any of the elements of lists."""
    if type(a) is Nodes or type(a) is Results:
        return any(_is_any(test, one, b) for one in a)
    if type(b) is Nodes or type(b) is Results:
        return any(_is_any(test, a, one) for one in b)
    return test(a, b)


def _ordering(compare: Callable) -> Callable:
    def test(a, b) -> bool:
        kind = _SCALARS.get(type(a))
        if kind is None or kind != _SCALARS.get(type(b)):
            return False
        return compare(0, 0) if kind == 3 else compare(a, b)
    return lambda a, b: _is_any(test, a, b)


def _are_equal(a, b) -> bool:
    kind = _SCALARS.get(type(a))
    if kind is None:
        return a is not NOTHING and equal(a, b)
    return kind == _SCALARS.get(type(b)) and a == b


def equals(a, b) -> bool:
    """a == b: numbers by value."""
    return _is_any(_are_equal, a, b)


def equals_strictly(a, b) -> bool:
    """a == b of two paths: 1 and 1.0 are not equal."""
    return _is_any(lambda x, y: x is not NOTHING and equal(x, y), a, b)


def _matches(a, b) -> bool:
    def test(text, pattern) -> bool:
        if type(text) is not str or type(pattern) is not str:
            return False
        fits = compile_regex(pattern, False)
        return fits is not None and bool(fits(text))
    return _is_any(test, a, b)


def _elements(term):
    """The elements of an array or a list, or None."""
    return term if is_array(term) or type(term) is Nodes or type(term) is Results else None


def _is_in(a, b) -> bool:
    elements = _elements(b)
    if elements is None or a is NOTHING or type(a) is Results:
        return False
    if type(a) is Nodes:
        return any(equal(one, element) for one in a for element in elements)
    return any(_is_same(a, element) for element in elements)


def _relate(a, b, quantifier: Callable) -> bool:
    if type(a) is Nodes:
        return any(_relate(one, b, quantifier) for one in a)
    own, others = _elements(a), _elements(b)
    if own is None:
        return False
    return quantifier(others is not None and any(_is_same(one, other) for other in others) for one in own)


def _length(term) -> int | None:
    return len(term) if type(term) in (str, dict, Results) or is_array(term) else None


def _has_size(a, b) -> bool:
    def test(term, wanted) -> bool:
        number = as_number(wanted)
        return number is not None and math.isfinite(number) and math.trunc(number) == _length(term)
    return _is_any_node(test, a, b)


def _is_any_node(test: Callable, a, b) -> bool:
    if type(a) is Nodes:
        return any(_is_any_node(test, one, b) for one in a)
    if type(b) is Nodes:
        return any(_is_any_node(test, a, one) for one in b)
    return test(a, b)


def _is_empty(a, b) -> bool:
    def test(term, wanted) -> bool:
        n = _length(term)
        return n is not None and type(wanted) is bool and (n == 0) == wanted
    return _is_any_node(test, a, b)


#: Operator -> the test of two terms. "==" and "!=" are `equals`, or `equals_strictly` between two paths.
COMPARISONS: dict[str, Callable] = {
    ">=": _ordering(operator.ge), ">": _ordering(operator.gt), "<=": _ordering(operator.le), "<": _ordering(operator.lt),
    "=~": _matches, "in": _is_in, "nin": lambda a, b: not _is_in(a, b),
    "subsetof": lambda a, b: _relate(a, b, all), "anyof": lambda a, b: _relate(a, b, any),
    "noneof": lambda a, b: not _relate(a, b, any), "sizeof": _has_size, "size": _has_size, "empty": _is_empty,
}


# ------------------------------------------------------------------------------------------------- arithmetic

def arithmetic(symbol: str, a, b):
    """a + b, a - b, a * b, a / b or a % b; NOTHING unless both are numbers, and for a division by 0."""
    x, y = as_number(a), as_number(b)
    if x is None or y is None:
        return NOTHING
    try:
        if symbol == "/":
            return x / y if y else NOTHING
        if symbol == "%":
            if not y:
                return NOTHING
            if type(x) is int and type(y) is int:
                return abs(x) % abs(y) * (1 if x >= 0 else -1)
            return math.fmod(x, y)
        number = x + y if symbol == "+" else x - y if symbol == "-" else x * y
        return number if type(number) is float or number in _INT64 else float(number)
    except (OverflowError, ValueError):
        return NOTHING


def negative(term):
    """-term, NOTHING unless it is a number."""
    number = as_number(term)
    return NOTHING if number is None else -number if -number in _INT64 or type(number) is float else float(-number)


# ------------------------------------------------------------------------------------------------- functions

def _of_length(term):
    if type(term) is Nodes:
        term = term[0] if len(term) == 1 else NOTHING
    n = _length(term)
    return NOTHING if n is None else n


def _count(term):
    return 0 if term is NOTHING else len(term) if type(term) is Nodes or type(term) is Results else 1


def _value(term):
    if type(term) is Results:
        return term[0] if len(term) == 1 else NOTHING
    return NOTHING if type(term) is Nodes else term


def _rounded(rounding: Callable) -> Callable:
    def function(term):
        number = as_number(term)
        if number is None or not math.isfinite(number):
            return NOTHING
        number = rounding(number)
        return number if number in _INT64 else NOTHING
    return function


def _abs(term):
    number = as_number(term)
    return NOTHING if number is None or type(number) is int and abs(number) not in _INT64 else abs(number)


def _concat(*terms):
    return "".join(terms) if all(type(term) is str for term in terms) else NOTHING


def _aggregate(reduce: Callable) -> Callable:
    def function(term):
        elements = _elements(term)
        if not elements or any(as_number(one) is None for one in elements):
            return NOTHING
        return float(reduce(list(map(float, elements))))
    return function


def _deviation(numbers: list[float]) -> float:
    mean = sum(numbers) / len(numbers)
    return math.sqrt(sum((number - mean) ** 2 for number in numbers) / len(numbers))


def _index(term, place):
    number, elements = as_number(place), _elements(term)
    if number is None or elements is None or not math.isfinite(number):
        return NOTHING
    i = math.trunc(number)
    return elements[i] if -len(elements) <= i < len(elements) else NOTHING


def _keys(term):
    if type(term) is dict:
        return Results(term)
    return Results([key for one in term if type(one) is dict for key in one]) if type(term) is Nodes else NOTHING


def _append(term, extra):
    if extra is NOTHING or type(extra) is float and not math.isfinite(extra):
        return NOTHING
    before = _elements(term)
    if before is None:
        before = [] if term is NOTHING else [term]
    return Results([*before, list(extra) if type(extra) is Nodes or type(extra) is Results else extra])


def _fitting(is_whole: bool) -> Callable:
    def function(text=NOTHING, pattern=NOTHING, *_):
        if type(text) is not str or type(pattern) is not str:
            return False
        fits = compile_regex(pattern, is_whole)
        return fits is not None and bool(fits(text))
    return function


#: Name -> (function, how many arguments it takes; None: any, -1: one or more).
FUNCTIONS: dict[str, tuple[Callable, int | None]] = {
    "length": (_of_length, 1), "count": (_count, 1), "value": (_value, 1), "ceiling": (_rounded(math.ceil), 1),
    "floor": (_rounded(math.floor), 1), "abs": (_abs, 1), "concat": (_concat, -1), "sum": (_aggregate(sum), 1),
    "min": (_aggregate(min), 1), "max": (_aggregate(max), 1), "avg": (_aggregate(lambda all_: sum(all_) / len(all_)), 1),
    "stddev": (_aggregate(_deviation), 1), "keys": (_keys, 1), "append": (_append, 2),
    "first": (lambda term: _index(term, 0), 1), "last": (lambda term: _index(term, -1), 1), "index": (_index, 2),
    "match": (_fitting(True), None), "search": (_fitting(False), None),
}


def call(name: str, terms: list):
    """The value of a function; NOTHING if there is none of this name, or not with so many arguments."""
    function, n = FUNCTIONS.get(name, (None, 0))
    if function is None or (n is not None and (len(terms) != n if n >= 0 else not terms)):
        return NOTHING
    return function(*terms)


def outputs(term) -> list:
    """The values that a projection replies with."""
    if term is NOTHING or type(term) is float and not math.isfinite(term):
        return []
    if type(term) is Results:
        return list(term)
    return [list(term)] if type(term) is Nodes else [term]
