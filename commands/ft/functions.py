"""The functions of APPLY and FILTER expressions, by name.

A function takes values (values.py; never None) and returns one. `case` and `exists` are evaluated by expr.py, since
they do not look at all their arguments, and stand here for their names and numbers of arguments only."""
from __future__ import annotations

import calendar
import math
import time
from functools import lru_cache
from typing import Callable, NamedTuple

from . import errors
from .errors import fail
from .strptime import parse_time
from .values import MINUS_NAN, NULL, text_of, to_number

__all__ = ["FUNCTIONS", "Function", "matched_terms"]


class Function(NamedTuple):
    function: Callable | None
    least: int                                   # number of arguments
    most: int


_ANY = (1 << 31) - 1


#: By type, as in Redis 8.10 and before 8.8; null has the one that is left.
_TYPE_NUMBERS = {float: 1, bytes: 2, list: 5}
_OLD_TYPE_NUMBERS = {float: 1, bytes: 3, list: 6}


def _type_number(value) -> int:
    """The number that Redis's errors give for the type of a value."""
    return (_TYPE_NUMBERS if errors.has_codes else _OLD_TYPE_NUMBERS).get(type(value), 3 if errors.has_codes else 4)


def _need_text(name: str, position: int, value) -> None:
    if type(value) is not bytes:
        raise fail(errors.EXPR_TYPE_STRING, _type_number(value), position, name, position)


def _need_number(name: str, position: int, value) -> None:
    if type(value) is not float:
        raise fail(errors.EXPR_TYPE_NUMBER, _type_number(value), position, name, position)


# ----------------------------------------------------------------------------------------------- numbers

def _of_number(function: Callable[[float], float], overflow: float = math.inf) -> Callable:
    """A function of one number; nan for what is none. Where `function` has no result or too large a one, as C's."""
    def call(value):
        number = to_number(value)
        if number is None:
            return math.nan
        try:
            return float(function(number))
        except ValueError:
            return MINUS_NAN
        except OverflowError:
            return overflow
    return call


def _logarithm(function: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: function(x) if x != 0 else -math.inf


def _rounded(function: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: function(x) if math.isfinite(x) else x


def _to_number(value):
    number = to_number(value)
    if number is None:
        raise fail(errors.TO_NUMBER, text_of(value))
    return number


# -------------------------------------------------------------------------------------------------- text

def _lower(value):
    return value.lower() if type(value) is bytes else NULL


def _upper(value):
    return value.upper() if type(value) is bytes else NULL


def _substr(value, offset, count):
    _need_number("substr", 1, offset)
    _need_number("substr", 2, count)
    if type(value) is not bytes:
        raise fail(errors.SUBSTR_TYPE)
    n = len(value)
    start, length = _clipped(offset), _clipped(count)
    if start < 0:
        start += n
    if not 0 <= start < n:              # from before the beginning there is nothing, as in Redis
        return b""
    if length < 0:
        length = max(0, n - start + length)
    return value[start:start + length]


def _clipped(number: float) -> int:
    """The whole part, within 32 bits."""
    return int(max(-2147483648.0, min(number, 2147483647.0))) if number == number else 0


def _format(template, *arguments):
    _need_text("format", 0, template)
    out, rest, used = [], template, 0
    while True:
        before, sign, rest = rest.partition(b"%")
        out.append(before)
        if not sign:
            return b"".join(out)
        if not rest:
            raise fail(errors.FORMAT_END)
        kind, rest = rest[:1], rest[1:]
        if kind == b"%":
            out.append(b"%")
            continue
        if used == len(arguments):
            raise fail(errors.FORMAT_ARGUMENTS)
        if kind != b"s":
            raise fail(errors.FORMAT_SPECIFIER)
        out.append(b"(null)" if arguments[used] is NULL else text_of(arguments[used]))
        used += 1


def _split(text, separators=b",", strip=b" "):
    for position, value in enumerate((text, separators, strip)):
        _need_text("split", position, value)
    if len(separators) > 1:
        text = text.translate(bytes.maketrans(separators, separators[:1] * len(separators)))
    parts = text.split(separators[:1]) if separators else [text]
    found = [part.strip(strip) if strip else part for part in parts[:_MAX_PARTS]]
    return [part for part in found if part]


_MAX_PARTS = 1024


_MAX_TERMS = 100


def matched_terms(terms: list[bytes] | None, limit: float = _MAX_TERMS):
    """The terms of the query that a row's document has, at most `limit` of them (a negative limit is none).
    None: rows are no documents."""
    number = to_number(limit)
    if number is None or number < 0:
        number = _MAX_TERMS
    shown = (terms or [])[:_clipped(min(number, _MAX_TERMS))]
    return shown or NULL


def _starts_with(text, prefix):
    _need_text("startswith", 0, text)
    _need_text("startswith", 1, prefix)
    return 1.0 if text.startswith(prefix) else 0.0


def _contains(text, part):
    """How many times `part` occurs, overlapping ones too."""
    _need_text("contains", 0, text)
    _need_text("contains", 1, part)
    if not part:
        return float(len(text) + 1)
    n, at = 0, text.find(part)
    while at >= 0:
        n += 1
        at = text.find(part, at + 1)
    return float(n)


def _strlen(text):
    _need_text("strlen", 0, text)
    return float(len(text))


# -------------------------------------------------------------------------------------------------- time

def _seconds(value) -> int | None:
    """Whole seconds since 1970, or None for what is no number."""
    number = to_number(value)
    return None if number is None or not -6.7e16 < number < 6.7e16 else int(number)


#: A time is null whose text would be as long, as in Redis.
_MAX_TIME_TEXT = 1024


def _timefmt(value, template=b"%FT%TZ"):
    if type(template) is not bytes:
        raise fail(errors.EXPR_TYPE_STRING, _type_number(template), 1, "time", 1)
    seconds = _seconds(value)
    if seconds is None:
        return NULL
    try:
        text = _strftime(template, seconds) if template else b""
    except (ValueError, OverflowError):
        return NULL
    return text if 0 < len(text) < _MAX_TIME_TEXT else NULL


@lru_cache(1024)
def _strftime(template: bytes, seconds: int) -> bytes:
    text = time.strftime(template.decode("utf-8", "surrogateescape"), time.gmtime(seconds))
    return text.encode("utf-8", "surrogateescape")


def _parsetime(text, template):
    _need_text("parsetime", 0, text)
    _need_text("parsetime", 1, template)
    seconds = parse_time(text, template)
    return NULL if seconds is None else float(seconds)


def _of_time(function: Callable[[time.struct_time, int], float]) -> Callable:
    """A function of a time in UTC; null for what is none or before 1970."""
    def call(value):
        number = to_number(value)
        if number is None or not 0 <= number < 6.7e16:
            return NULL
        seconds = int(number)
        try:
            return float(function(time.gmtime(seconds), seconds))
        except (ValueError, OverflowError):     # a year that the calendar does not have
            return NULL
    return call


def _minute(value):
    number = to_number(value)
    if number is None or not 0 <= number < math.inf:
        return NULL
    return float(math.floor(number - math.fmod(number, 60)))


# --------------------------------------------------------------------------------------------------- geo

#: Metres; the radius that Redis's GEO commands use.
_EARTH = 6372797.560856


def _point(text) -> tuple[float, float]:
    """(longitude, latitude) in degrees of "lon,lat" or "lon lat"."""
    if type(text) is bytes:
        parts = text.split(b",") if b"," in text else text.split()
        if len(parts) == 2:
            lon, lat = to_number(parts[0].strip()), to_number(parts[1].strip())
            if lon is not None and lat is not None and -180 <= lon <= 180 and -90 <= lat <= 90:
                return lon, lat
    raise fail(errors.GEO_STRING)


def _degrees(value) -> float:
    number = to_number(value)
    if number is None or not math.isfinite(number):
        raise fail(errors.GEO_STRING)
    return number


def _geodistance(*arguments):
    """Metres between two points, each given as text or as longitude and latitude; to the centimetre."""
    if len(arguments) == 2:
        points = [_point(arguments[0]), _point(arguments[1])]
    elif len(arguments) == 3:
        a, b, c = arguments
        if type(a) is bytes and to_number(a) is None:
            points = [_point(a), (_degrees(b), _degrees(c))]
        else:
            points = [(_degrees(a), _degrees(b)), _point(c)]
    else:
        lon, lat, other_lon, other_lat = map(_degrees, arguments)
        points = [(lon, lat), (other_lon, other_lat)]
    (lon, lat), (other_lon, other_lat) = [(math.radians(x), math.radians(y)) for x, y in points]
    u, v = math.sin((other_lat - lat) / 2), math.sin((other_lon - lon) / 2)
    across = math.sqrt(u * u + math.cos(lat) * math.cos(other_lat) * v * v)
    return round(2 * _EARTH * math.asin(min(1.0, across)) * 100) / 100


FUNCTIONS: dict[str, Function] = {
    "log": Function(_of_number(_logarithm(math.log)), 1, 1),
    "log2": Function(_of_number(_logarithm(math.log2)), 1, 1),
    "exp": Function(_of_number(math.exp), 1, 1),
    "abs": Function(_of_number(abs), 1, 1),
    "ceil": Function(_of_number(_rounded(math.ceil)), 1, 1),
    "floor": Function(_of_number(_rounded(math.floor)), 1, 1),
    "sqrt": Function(_of_number(math.sqrt), 1, 1),
    "to_number": Function(_to_number, 1, 1),
    "lower": Function(_lower, 1, 1),
    "upper": Function(_upper, 1, 1),
    "substr": Function(_substr, 3, 3),
    "format": Function(_format, 1, _ANY),
    "split": Function(_split, 1, 3),
    "matched_terms": Function(None, 0, 1),
    "to_str": Function(text_of, 1, 1),
    "startswith": Function(_starts_with, 2, 2),
    "contains": Function(_contains, 2, 2),
    "strlen": Function(_strlen, 1, 1),
    "exists": Function(None, 1, 1),
    "case": Function(None, 3, 3),
    "timefmt": Function(_timefmt, 1, 2),
    "parsetime": Function(_parsetime, 2, 2),
    "minute": Function(_minute, 1, 1),
    "hour": Function(_of_time(lambda at, seconds: seconds - seconds % 3600), 1, 1),
    "day": Function(_of_time(lambda at, seconds: seconds - seconds % 86400), 1, 1),
    "month": Function(_of_time(lambda at, seconds: calendar.timegm((at.tm_year, at.tm_mon, 1, 0, 0, 0))), 1, 1),
    "year": Function(_of_time(lambda at, seconds: at.tm_year), 1, 1),
    "monthofyear": Function(_of_time(lambda at, seconds: at.tm_mon - 1), 1, 1),
    "dayofmonth": Function(_of_time(lambda at, seconds: at.tm_mday), 1, 1),
    "dayofweek": Function(_of_time(lambda at, seconds: (at.tm_wday + 1) % 7), 1, 1),
    "dayofyear": Function(_of_time(lambda at, seconds: at.tm_yday - 1), 1, 1),
    "geodistance": Function(_geodistance, 2, 4),
}
