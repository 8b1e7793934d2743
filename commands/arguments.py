"""Reading of command arguments that several groups share. Each function raises CommandError with Redis's text."""
from respserver.protocol.errors import (
    COUNT_POSITIVE, INVALID_CURSOR, INVALID_EXPIRE, NOT_A_FLOAT, NOT_AN_INTEGER, NUMKEYS_POSITIVE, SYNTAX, WRONG_ARITY,
    CommandError,
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


def keys_behind(at: int):
    """A get_keys for commands whose word `at` says how many keys follow it (the command's name is word 0)."""
    return lambda words: list(words[at + 1:at + 1 + max(parse_int(words[at]) or 0, 0)])


def to_many_pop(words, ends) -> tuple[list, bytes, int]:
    """`numkeys key ... END [COUNT n]` of LMPOP and ZMPOP: the keys, which of the two `ends`, the count."""
    n_keys = parse_int(words[0])
    if n_keys is None or n_keys < 1:
        raise CommandError(NUMKEYS_POSITIVE)
    if n_keys + 1 >= len(words) or words[1 + n_keys].upper() not in ends:
        raise syntax_error()
    count, options = 1, words[2 + n_keys:]
    if options:
        if len(options) != 2 or options[0].upper() != b"COUNT":
            raise syntax_error()
        count = parse_int(options[1])
        if count is None or count < 1:
            raise CommandError(COUNT_POSITIVE)
    return words[1:1 + n_keys], words[1 + n_keys].upper(), count
