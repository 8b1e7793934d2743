"""The values that aggregation rows hold and expressions compute: float, bytes, list of values, NULL, and None for no
value at all."""
from __future__ import annotations

import math

from .options import to_float

__all__ = ["NULL", "Record", "Several", "MINUS_NAN", "number_text", "text_of", "to_number", "is_true", "compare"]


class Several:
    """All values that a JSONPath has found, from dialect 3 on. Shown as a JSON array, computed with and compared by the first."""

    __slots__ = ("values", "first", "shown")

    def __init__(self, values: list, first, shown: bytes):
        self.values = values            # JSON values
        self.first = first              # as other rows hold it
        self.shown = shown              # their JSON text

    def __eq__(self, other) -> bool:
        return type(other) is Several and self.shown == other.shown

    def __hash__(self) -> int:
        return hash(self.shown)


class Record(tuple):
    """A row that COLLECT has kept: (name, value) for each of its fields that has a value. Shown as a map; of no order."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(repr(self))         # there may be lists in it


class _Null:
    """The one null value: it is shown in rows, where a value that is not there (None) is left out."""
    __slots__ = ()

    def __repr__(self) -> str:
        return "NULL"


NULL = _Null()
#: What arithmetic without a result gives on the machines that Redis runs on; it is printed with its sign.
MINUS_NAN = -math.nan


def number_text(value: float) -> bytes:
    """A number as rows show it: whole ones as integers, others with 12 significant digits."""
    if -9.2e18 < value < 9.2e18:
        whole = int(value)
        return b"%d" % whole if whole == value else b"%.12g" % value
    if value != value:
        return b"-nan" if math.copysign(1, value) < 0 else b"nan"
    return b"%.12g" % value


def text_of(value) -> bytes:
    """A value as text; lists as their elements with commas."""
    if type(value) is bytes:
        return value
    if type(value) is float:
        return number_text(value)
    if type(value) is list:
        return b", ".join(map(text_of, value))
    return text_of(value.first) if type(value) is Several else b"null"


def to_number(value) -> float | None:
    """The number that a value is or that its whole text spells, or None."""
    if type(value) is Several:
        value = value.first
    if type(value) is float:
        return value
    return to_float(value) if type(value) is bytes else None


def is_true(value) -> bool:
    """Whether a value counts as true: numbers other than 0, and texts and lists that are not empty."""
    if type(value) is Several:
        value = value.first
    if type(value) is float:
        return value != 0
    return value is not NULL and len(value) > 0


def compare(a, b) -> int:
    """-1, 0 or 1 as `a` is less than, equal to or greater than `b`. A null is less than all else; a text that spells a
    number compares with numbers as one; a list compares by its elements."""
    if type(a) is Several:
        a = a.first
    if type(b) is Several:
        b = b.first
    if type(a) is Record or type(b) is Record:
        return 0
    if type(a) is type(b):
        if type(a) is list:
            for x, y in zip(a, b):
                if order := compare(x, y):
                    return order
            a, b = len(a), len(b)
        elif a is NULL:
            return 0
        return (a > b) - (a < b)
    if a is NULL or b is NULL:
        return -1 if a is NULL else 1
    if type(a) is list:
        return compare(a[0], b) if a else -1
    if type(b) is list:
        return compare(a, b[0]) if b else 1
    x, y = to_number(a), to_number(b)
    if x is None or y is None:
        x, y = text_of(a), text_of(b)
    return (x > y) - (x < y)
