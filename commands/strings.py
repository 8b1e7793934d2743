"""The string commands."""
from respserver.dispatch import MANY
from respserver.protocol.errors import (
    CONDITION_NEEDS_STRING, DECREMENT_OVERFLOW, LCS_LEN_AND_IDX, LCS_MEMORY, LCS_NOT_STRINGS, NAN_OR_INFINITY, NOT_A_FLOAT,
    NOT_AN_INTEGER, OFFSET_OUT_OF_RANGE, OVERFLOW, STRING_TOO_LONG, WRONG_TYPE, CommandError,
)
from respserver.protocol.reply import OK, encode
from respserver.registry import at_once, command
from respserver.values.numbers import INT64_MAX, INT64_MIN, LongDouble, parse_int

from .arguments import EXPIRY_UNITS, expiry_ms, syntax_error, to_int, wrong_arity

_KEY = (1, 1, 1)
_BYTES_OR_NONE = frozenset((bytes, type(None)))


class _SetOptions:
    """The options of SET, GETEX and MSETEX."""

    __slots__ = ("condition", "operand", "get", "keep_ttl", "persist", "unit", "amount")

    def __init__(self, words, conditions=(), compares=(), flags=()):
        """`conditions`, `compares` (which take an operand) and `flags` (GET, KEEPTTL, PERSIST): what this command
        knows, upper case."""
        self.condition = self.operand = self.unit = self.amount = None
        self.get = self.keep_ttl = self.persist = False
        i, n = 0, len(words)
        while i < n:
            word = words[i].upper()
            i += 1
            expiry_free = self.unit is None and not self.keep_ttl and not self.persist
            if word in conditions and self.condition in (None, word):
                self.condition = word
            elif word in compares and self.condition is None and i < n:
                self.condition, self.operand = word, words[i]
                i += 1
            elif word == b"GET" and word in flags:
                self.get = True
            elif word == b"KEEPTTL" and word in flags and self.unit is None:
                self.keep_ttl = True
            elif word == b"PERSIST" and word in flags and self.unit is None:
                self.persist = True
            elif word in EXPIRY_UNITS and expiry_free and i < n:
                self.unit, self.amount = word, words[i]
                i += 1
            else:
                raise syntax_error()

    def deadline(self, client, name: str) -> int | None:
        """The expiry time that was asked for, in Unix milliseconds, or None."""
        if self.unit is None:
            return None
        return expiry_ms(self.amount, self.unit, client.db.keyspace.now_ms(), name)


def max_string(client) -> int:
    """The longest string that may be stored, in bytes."""
    return client.server.config["proto-max-bulk-len"]


@command("GET", arity=2, flags="readonly fast", keys=_KEY, group="string",
         summary="Returns the value of a string.", complexity="O(1)")
def get(client, key):
    return client.db.get_as(key, bytes)


@at_once("GET")
def _get_many(client, keys):
    db = client.db
    if not db.are_lasting(keys):
        return None
    values = list(map(db.data.get, keys))
    if not _BYTES_OR_NONE.issuperset(map(type, values)) or sum(map(len, filter(None, values))) > MANY:
        return None
    null = encode(None, client.proto)
    return b"".join([null if value is None else b"$%d\r\n%b\r\n" % (len(value), value) for value in values])


def _set_access(words) -> tuple[str]:
    """SET says what was there only if it is asked to."""
    return ("RW",) if any(word.upper() == b"GET" for word in words[3:]) else ("W",)


@command("SET", arity=-3, access=_set_access, flags="write denyoom", keys=_KEY, group="string", complexity="O(1)",
         summary="Stores a string under a key, whatever was there before, with conditions and an expiry time if wanted.")
def set_(client, key, value, *options):
    if not options:
        client.db.set(key, value)
        return OK
    asked = _SetOptions(options, (b"NX", b"XX"), (b"IFEQ", b"IFNE"), (b"GET", b"KEEPTTL"))
    when = asked.deadline(client, "set")
    db = client.db
    old = db.get(key)
    if asked.get or asked.operand is not None:
        old = db.get_as(key, bytes)
    condition = asked.condition
    if condition is not None:
        if condition == b"NX":
            allowed = old is None
        elif condition == b"XX":
            allowed = old is not None
        elif condition == b"IFEQ":
            allowed = old == asked.operand
        else:
            allowed = old != asked.operand
        if not allowed:
            return old if asked.get else None
    db.set(key, value, keep_ttl=asked.keep_ttl)
    if when is not None:
        db.expire_at(key, when)
    return old if asked.get else OK


@at_once("SET")
def _set_many(client, keys, values, *options):
    if options or not client.db.is_private(keys):
        return None
    client.db.set_private(keys, values)
    return OK * len(keys)


@command("SETNX", arity=3, flags="write denyoom fast", keys=_KEY, group="string", complexity="O(1)",
         summary="Stores a string if the key does not exist.")
def setnx(client, key, value):
    if client.db.get(key) is not None:
        return 0
    client.db.set(key, value)
    return 1


def _set_for(client, key, amount, unit, value, name):
    when = expiry_ms(amount, unit, client.db.keyspace.now_ms(), name)
    client.db.set(key, value)
    client.db.expire_at(key, when)
    return OK


@command("SETEX", arity=4, flags="write denyoom", keys=_KEY, group="string", since="2.0.0", complexity="O(1)",
         summary="Stores a string with an expiry time in seconds.")
def setex(client, key, seconds, value):
    return _set_for(client, key, seconds, b"EX", value, "setex")


@command("PSETEX", arity=4, flags="write denyoom", keys=_KEY, group="string", since="2.6.0", complexity="O(1)",
         summary="Stores a string with an expiry time in milliseconds.")
def psetex(client, key, milliseconds, value):
    return _set_for(client, key, milliseconds, b"PX", value, "psetex")


@command("GETSET", arity=3, access="RW", flags="write denyoom fast", keys=_KEY, group="string", complexity="O(1)",
         summary="Stores a string and returns the one that it replaces.")
def getset(client, key, value):
    old = client.db.get_as(key, bytes)
    client.db.set(key, value)
    return old


@command("GETEX", arity=-2, access="RW", flags="write fast", keys=_KEY, group="string", since="6.2.0", complexity="O(1)",
         summary="Returns a string and sets or removes its expiry time.")
def getex(client, key, *options):
    asked = _SetOptions(options, flags=(b"PERSIST",))
    db = client.db
    value = db.get_as(key, bytes)
    if value is None:
        return None
    when = asked.deadline(client, "getex")
    if when is not None:
        if when <= db.keyspace.now_ms():
            db.delete(key)
        else:
            db.expire_at(key, when)
    elif asked.persist and key in db.expires:
        db.expire_at(key, None, "persist")
    return value


@command("GETDEL", arity=2, access="RW", flags="write fast", keys=_KEY, group="string", since="6.2.0", complexity="O(1)",
         summary="Returns a string and deletes its key.")
def getdel(client, key):
    value = client.db.get_as(key, bytes)
    if value is not None:
        client.db.delete(key)
    return value


@command("DELEX", arity=-2, flags="write fast", keys=_KEY, group="string", since="8.4.0", complexity="O(1)",
         summary="Deletes a key if its string is, or is not, the given one.")
def delex(client, key, *options):
    db = client.db
    if not options:
        return int(db.delete(key))
    if len(options) != 2:
        raise wrong_arity("delex")
    condition = options[0].upper()
    if condition not in (b"IFEQ", b"IFNE"):
        raise syntax_error()
    value = db.get(key)
    if value is None:
        return 0
    value = _as_string(db, key, CONDITION_NEEDS_STRING)
    if (value == options[1]) != (condition == b"IFEQ"):
        return 0
    return int(db.delete(key))


@command("MGET", arity=-2, flags="readonly fast", keys=(1, -1, 1), group="string", complexity="O(N) for N keys",
         summary="Returns the strings of several keys.")
def mget(client, *keys):
    db = client.db
    found = []
    for key in keys:
        try:
            found.append(db.get_as(key, bytes))
        except CommandError:
            found.append(None)
    return found


@command("MSET", arity=-3, flags="write denyoom", keys=(1, -1, 2), group="string", since="1.0.1", complexity="O(N) for N keys",
         summary="Stores several strings at once.")
def mset(client, *pairs):
    if len(pairs) & 1:
        raise wrong_arity("mset")
    put = client.db.set
    for i in range(0, len(pairs), 2):
        put(pairs[i], pairs[i + 1])
    return OK


@command("MSETNX", arity=-3, flags="write denyoom", keys=(1, -1, 2), group="string", since="1.0.1", complexity="O(N) for N keys",
         summary="Stores several strings if none of the keys exists.")
def msetnx(client, *pairs):
    if len(pairs) & 1:
        raise wrong_arity("msetnx")
    db = client.db
    for i in range(0, len(pairs), 2):
        if db.get(pairs[i]) is not None:
            return 0
    for i in range(0, len(pairs), 2):
        db.set(pairs[i], pairs[i + 1])
    return 1


def _counted_keys(words):
    """The keys of "name numkeys key value key value ...": for COMMAND GETKEYS."""
    count = parse_int(words[1]) or 0
    return list(words[2:2 + 2 * max(count, 0):2])


@command("MSETEX", arity=-4, flags="write denyoom movablekeys", group="string", since="8.4.0", complexity="O(N) for N keys",
         summary="Stores several strings at once with one expiry time.", get_keys=_counted_keys)
def msetex(client, numkeys, *words):
    count = parse_int(numkeys)
    if count is None or count <= 0 or count > INT64_MAX // 2:
        raise CommandError("ERR invalid numkeys value")
    if 2 * count > len(words):
        raise wrong_arity("msetex")
    asked = _SetOptions(words[2 * count:], (b"NX", b"XX"), flags=(b"KEEPTTL",))
    when = asked.deadline(client, "msetex")
    db = client.db
    keys = words[0:2 * count:2]
    if asked.condition is not None:
        wanted = asked.condition == b"XX"
        if any((db.get(key) is not None) != wanted for key in keys):
            return 0
    for key, value in zip(keys, words[1:2 * count:2]):
        db.set(key, value, keep_ttl=asked.keep_ttl)
        if when is not None:
            db.expire_at(key, when)
    return 1


def _add(client, key, amount: int, event: str):
    db = client.db
    old = db.get_as(key, bytes)
    if old is None:
        total = amount
    else:
        number = parse_int(old)
        if number is None:
            raise CommandError(NOT_AN_INTEGER)
        total = number + amount
        if not INT64_MIN <= total <= INT64_MAX:
            raise CommandError(OVERFLOW)
    db.set(key, b"%d" % total, event, keep_ttl=True)
    return total


@command("INCR", arity=2, access="RW", flags="write denyoom fast", keys=_KEY, group="string", complexity="O(1)",
         summary="Adds one to an integer.")
def incr(client, key):
    return _add(client, key, 1, "incrby")


@command("DECR", arity=2, access="RW", flags="write denyoom fast", keys=_KEY, group="string", complexity="O(1)",
         summary="Takes one away from an integer.")
def decr(client, key):
    return _add(client, key, -1, "decrby")


@command("INCRBY", arity=3, access="RW", flags="write denyoom fast", keys=_KEY, group="string", complexity="O(1)",
         summary="Adds a number to an integer.")
def incrby(client, key, amount):
    return _add(client, key, to_int(amount), "incrby")


@command("DECRBY", arity=3, access="RW", flags="write denyoom fast", keys=_KEY, group="string", complexity="O(1)",
         summary="Takes a number away from an integer.")
def decrby(client, key, amount):
    number = to_int(amount)
    if number == INT64_MIN:
        raise CommandError(DECREMENT_OVERFLOW)
    return _add(client, key, -number, "decrby")


@command("INCRBYFLOAT", arity=3, flags="write denyoom fast", keys=_KEY, group="string", since="2.6.0", complexity="O(1)",
         access="RW", summary="Adds to a number with a fraction.")
def incrbyfloat(client, key, amount):
    db = client.db
    old = db.get_as(key, bytes)
    number = LongDouble(0) if old is None else LongDouble.parse(old)
    change = LongDouble.parse(amount)
    if number is None or change is None:
        raise CommandError(NOT_A_FLOAT)
    total = number + change
    if total is None:
        raise CommandError(NAN_OR_INFINITY)
    text = total.format()
    db.set(key, text, "incrbyfloat", keep_ttl=True)
    return text


@command("STRLEN", arity=2, access="-", flags="readonly fast", keys=_KEY, group="string", since="2.2.0", complexity="O(1)",
         summary="Returns the length of a string.")
def strlen(client, key):
    value = client.db.get_text(key)
    return 0 if value is None else len(value)


@command("APPEND", arity=3, flags="write denyoom fast", keys=_KEY, group="string", since="2.0.0", complexity="O(N)",
         summary="Appends to a string, which is made if it is not there.")
def append(client, key, tail):
    db = client.db
    old = db.get_text(key)
    length = 0 if old is None else len(old)
    if old is not None and length + len(tail) > max_string(client):
        raise CommandError(STRING_TOO_LONG)
    return db.edit_text(key, length, tail, "append")


def slice_bounds(start: int, end: int, length: int) -> tuple[int, int]:
    """Start and end of an inclusive range with negative positions counting from the end, as a half-open pair; empty if
    start >= end."""
    if start < 0:
        start = max(start + length, 0)
    if end < 0:
        end += length
    return start, max(min(end, length - 1) + 1, 0)


@command("GETRANGE", arity=4, flags="readonly", keys=_KEY, group="string", since="2.4.0", complexity="O(N)",
         summary="Returns a part of a string.")
def getrange(client, key, start, end):
    first, last = to_int(start), to_int(end)
    value = client.db.get_text(key)
    if not value or (first < 0 and last < 0 and first > last):
        return b""
    if last < 0:
        last = max(last + len(value), 0)
    low, high = slice_bounds(first, last, len(value))
    return bytes(value[low:high])


@command("SUBSTR", arity=4, flags="readonly", keys=_KEY, group="string", complexity="O(N)",
         summary="Returns a part of a string: the old name of GETRANGE.")
def substr(client, key, start, end):
    return getrange(client, key, start, end)


@command("SETRANGE", arity=4, flags="write denyoom", keys=_KEY, group="string", since="2.2.0", complexity="O(N)",
         summary="Overwrites a part of a string, which grows with zero bytes as needed.")
def setrange(client, key, offset, part):
    position = to_int(offset)
    if position < 0:
        raise CommandError(OFFSET_OUT_OF_RANGE)
    db = client.db
    if not part:
        return len(db.get_text(key) or b"")
    if position + len(part) > max_string(client):
        raise CommandError(STRING_TOO_LONG)
    return db.edit_text(key, position, part, "setrange")


def _as_string(db, key, error: str) -> bytes | None:
    """The string under a key, or None. Raises CommandError(error) for another type."""
    try:
        return db.get_as(key, bytes)
    except CommandError as refusal:
        if refusal.text == WRONG_TYPE:
            raise CommandError(error) from None
        raise


@command("LCS", arity=-3, flags="readonly", keys=(1, 2, 1), group="string", since="7.0.0", complexity="O(N*M)",
         summary="Returns the longest common subsequence of two strings.")
def lcs(client, first_key, second_key, *options):
    a = _as_string(client.db, first_key, LCS_NOT_STRINGS) or b""
    b = _as_string(client.db, second_key, LCS_NOT_STRINGS) or b""
    want_length = want_index = with_length = False
    min_length = 0
    i = 0
    while i < len(options):
        word = options[i].upper()
        if word == b"LEN":
            want_length = True
        elif word == b"IDX":
            want_index = True
        elif word == b"WITHMATCHLEN":
            with_length = True
        elif word == b"MINMATCHLEN" and i + 1 < len(options):
            i += 1
            min_length = max(to_int(options[i]), 0)
        else:
            raise syntax_error()
        i += 1
    if want_length and want_index:
        raise CommandError(LCS_LEN_AND_IDX)
    if 4 * (len(a) + 1) * (len(b) + 1) > max_string(client):
        raise CommandError(LCS_MEMORY)
    rows = _lcs_rows(a, b)
    if want_length:
        return rows[-1].bit_count()
    matches, text = _lcs_matches(a, b, rows)
    if not want_index:
        return text
    listed = []
    for start_a, end_a, start_b, end_b in matches:
        size = end_a - start_a + 1
        if size >= min_length:
            entry = [[start_a, end_a], [start_b, end_b]]
            listed.append(entry + [size] if with_length else entry)
    return {"matches": listed, "len": len(text)}


def _lcs_rows(a: bytes, b: bytes) -> list[int]:
    """One integer per prefix of `a`: bit j says that b[:j+1] has a longer common subsequence with the prefix than b[:j] has.

    The table of lengths, a bit per cell; one row costs a handful of operations on integers of len(b) bits."""
    full = (1 << len(b)) - 1
    places: dict[int, int] = {}
    for j, byte in enumerate(b):
        places[byte] = places.get(byte, 0) | 1 << j
    rows = [0]
    row = full
    for byte in a:
        hits = row & places.get(byte, 0)
        row = ((row + hits) | (row - hits)) & full
        rows.append(row ^ full)
    return rows


def _lcs_matches(a: bytes, b: bytes, rows: list[int]) -> tuple[list[tuple[int, int, int, int]], bytes]:
    """The matching ranges from the last to the first as (start in a, end in a, start in b, end in b),
    inclusive, and the subsequence."""
    i, j = len(a), len(b)
    matches: list[tuple[int, int, int, int]] = []
    text = bytearray()
    start_a = start_b = end_a = end_b = -1
    while i and j:
        if a[i - 1] == b[j - 1]:
            i -= 1
            j -= 1
            text.append(a[i])
            if start_a == i + 1 and start_b == j + 1:
                start_a, start_b = i, j
            else:
                if end_a >= 0:
                    matches.append((start_a, end_a, start_b, end_b))
                start_a = end_a = i
                start_b = end_b = j
        elif rows[i] >> (j - 1) & 1:
            i -= 1
        else:
            j -= 1
    if end_a >= 0:
        matches.append((start_a, end_a, start_b, end_b))
    text.reverse()
    return matches, bytes(text)
