"""Reading of command arguments that several groups share. Each function raises CommandError with Redis's text."""
from respserver.protocol.errors import (
    INVALID_CURSOR, INVALID_EXPIRE, NOT_A_FLOAT, NOT_AN_INTEGER, SYNTAX, WRONG_ARITY, CommandError,
)
from respserver.values.numbers import INT64_MAX, parse_float, parse_int, parse_uint

#: Option word of an expiry -> (milliseconds per unit, whether it is an absolute time).
EXPIRY_UNITS = {b"EX": (1000, False), b"PX": (1, False), b"EXAT": (1000, True), b"PXAT": (1, True)}


def to_int(text: bytes, error: str = NOT_AN_INTEGER) -> int:
    """A signed 64-bit integer."""
    number = parse_int(text)
    if number is None:
        raise CommandError(error)
    return number


def to_float(text: bytes, error: str = NOT_A_FLOAT) -> float:
    """A double; infinities are allowed, nan is not."""
    number = parse_float(text)
    if number is None:
        raise CommandError(error)
    return number


def to_cursor(text: bytes) -> int:
    """A scan cursor."""
    cursor = parse_uint(text)
    if cursor is None:
        raise CommandError(INVALID_CURSOR)
    return cursor


def expiry_ms(text: bytes, unit: bytes, now_ms: int, command: str) -> int:
    """The Unix time in milliseconds that `unit` (a key of EXPIRY_UNITS) and its argument mean; must lie after 1970."""
    factor, absolute = EXPIRY_UNITS[unit]
    amount = to_int(text)
    base = 0 if absolute else now_ms
    if amount <= 0 or amount > INT64_MAX // factor or amount * factor > INT64_MAX - base:
        raise CommandError(INVALID_EXPIRE.format(command))
    return base + amount * factor


def wrong_arity(command: str) -> CommandError:
    """The error for a number of words that only the command itself can judge."""
    return CommandError(WRONG_ARITY.format(command))


def syntax_error() -> CommandError:
    """A plain syntax error."""
    return CommandError(SYNTAX)
