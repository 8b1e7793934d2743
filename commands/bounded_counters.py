"""INCREX: a counter with bounds and an expiry time."""
from respserver.protocol.errors import BOUNDS_CROSSED, NAN_OR_INFINITY, NOT_A_FLOAT, NOT_AN_INTEGER, CommandError
from respserver.protocol.reply import Raw
from respserver.registry import command, logged_as
from respserver.values.numbers import INT64_MAX, INT64_MIN, LongDouble, parse_int

from .arguments import EXPIRY_UNITS, expiry_ms, syntax_error, to_int


class _Options:
    """[BYINT n | BYFLOAT x] [LBOUND n] [UBOUND n] [SATURATE] [EX s | PX ms | EXAT s | PXAT ms | PERSIST] [ENX]"""

    def __init__(self, words):
        self.is_float = self.saturates = self.persists = self.only_first = False
        self.by, self.lower, self.upper = b"1", None, None
        self.unit = self.amount = None
        seen = set()
        i = 0
        while i < len(words):
            word, has_more = words[i].upper(), i + 1 < len(words)
            kind = b"BY" if word in (b"BYINT", b"BYFLOAT") else b"EX" if word in EXPIRY_UNITS or word == b"PERSIST" else word
            if kind in seen:
                raise syntax_error()
            seen.add(kind)
            if kind == b"BY" and has_more:
                self.is_float, self.by = word == b"BYFLOAT", words[i + 1]
            elif word == b"LBOUND" and has_more:
                self.lower = words[i + 1]
            elif word == b"UBOUND" and has_more:
                self.upper = words[i + 1]
            elif word in EXPIRY_UNITS and has_more:
                self.unit, self.amount = word, words[i + 1]
            elif word in (b"SATURATE", b"PERSIST", b"ENX"):
                self.saturates |= word == b"SATURATE"
                self.persists |= word == b"PERSIST"
                self.only_first |= word == b"ENX"
                i -= 1
            else:
                raise syntax_error()
            i += 2
        if self.only_first and self.unit is None:
            raise syntax_error()


def _float(text: bytes) -> LongDouble:
    number = LongDouble.parse(text)
    if number is None or number.infinite:
        raise CommandError(NOT_A_FLOAT)
    return number


def _minus(a: LongDouble, b: LongDouble) -> LongDouble | None:
    return a + LongDouble(-b.mantissa, b.exponent)


def _is_less(a: LongDouble, b: LongDouble) -> bool:
    low = min(a.exponent, b.exponent)
    return a.mantissa << a.exponent - low < b.mantissa << b.exponent - low


def _next_int(old: bytes | None, asked: _Options) -> tuple[int, int]:
    """The number before and after."""
    number = 0 if old is None else parse_int(old)
    if number is None:
        raise CommandError(NOT_AN_INTEGER)
    lower = INT64_MIN if asked.lower is None else to_int(asked.lower)
    upper = INT64_MAX if asked.upper is None else to_int(asked.upper)
    if lower > upper:
        raise CommandError(BOUNDS_CROSSED)
    total = number + to_int(asked.by)
    if not lower <= total <= upper:
        total = max(lower, min(upper, total)) if asked.saturates else number
    return number, total


def _next_float(old: bytes | None, asked: _Options) -> tuple[LongDouble, LongDouble]:
    number = LongDouble(0) if old is None else _float(old)
    change = _float(asked.by)
    lower, upper = (None if bound is None else _float(bound) for bound in (asked.lower, asked.upper))
    if lower is not None and upper is not None and _is_less(upper, lower):
        raise CommandError(BOUNDS_CROSSED)
    total = number + change
    if total is None:                       # beyond what there is: a bound on that side holds it
        bound = upper if change.mantissa > 0 else lower
        if asked.saturates and bound is None:
            raise CommandError(NAN_OR_INFINITY)
        return number, bound if asked.saturates else number
    if lower is not None and _is_less(total, lower):
        total = lower if asked.saturates else number
    elif upper is not None and _is_less(upper, total):
        total = upper if asked.saturates else number
    return number, total


def _number(client, value: LongDouble) -> bytes:
    text = value.format()
    return Raw(b",%b\r\n" % text) if client.proto == 3 else text


@command("INCREX", arity=-2, access="RW", flags="write denyoom fast", keys=(1, 1, 1), group="string", since="8.8.0",
         complexity="O(1)", summary="Adds to a number within bounds, and sets or removes its expiry time.")
def increx(client, key, *options):
    """The number and what was added. What would leave the bounds changes nothing, not even the expiry time, and adds 0."""
    asked = _Options(options)
    db = client.db
    when = None if asked.unit is None else expiry_ms(asked.amount, asked.unit, db.keyspace.now_ms(), "increx")
    old = db.get_as(key, bytes)
    if asked.is_float:
        number, total = _next_float(old, asked)
        added = _minus(total, number)
        reply, text = [_number(client, total), _number(client, added)], total.format()
        is_refused = not added.mantissa and bool(_float(asked.by).mantissa)
    else:
        number, total = _next_int(old, asked)
        reply, text = [total, total - number], b"%d" % total
        is_refused = total == number and to_int(asked.by) != 0
    if is_refused and not asked.saturates:
        return reply
    db.set(key, text, "incrbyfloat" if asked.is_float else "incrby", keep_ttl=True)
    if when is not None and not (asked.only_first and key in db.expires):
        db.expire_at(key, when)
    elif asked.persists and key in db.expires:
        db.expire_at(key, None, "persist")
    return reply


@logged_as("INCREX")
def _increx(client, words, reply):
    """The SET that leaves the key as it is now."""
    db, key = client.db, words[1]
    value = db.data.get(key)
    if value is None:
        return []
    when = db.expires.get(key)
    return [[b"SET", key, bytes(value)] if when is None else [b"SET", key, bytes(value), b"PXAT", b"%d" % when]]
