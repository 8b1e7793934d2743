"""The hash commands about expiry times of single fields."""
from respserver.protocol.errors import (
    EXPIRE_RANGE, FIELDS_CONDITION, FIELDS_COUNT, FIELDS_EXPIRY, FIELDS_INVALID, FIELDS_MISMATCH, FIELDS_MISSING, FIELDS_POSITIVE,
    INVALID_EXPIRE, UNKNOWN_ARGUMENT, CommandError,
)
from respserver.registry import command
from respserver.values.hash import Hash
from respserver.values.numbers import parse_int

from .arguments import EXPIRY_UNITS, to_int, wrong_arity
from .hashes import drop_fields

_KEY = (1, 1, 1)
#: No field may expire later than this: Unix milliseconds.
_LATEST_MS = (1 << 46) - 1
_NO_FIELD, _NO_TIME = -2, -1
_NOT_SET, _SET, _DELETED = 0, 1, 2


def _listed_fields(words, count_error: str):
    """The fields of "FIELDS numfields field ...": exactly all that is left."""
    if len(words) < 2 or words[0].upper() != b"FIELDS":
        raise CommandError(FIELDS_MISSING)
    count = parse_int(words[1])
    if count is None or count < 1:
        raise CommandError(count_error)
    if count != len(words) - 2:
        raise CommandError(FIELDS_MISMATCH)
    return words[2:]


def _field_deadline(db, amount: bytes, unit: bytes, name: str) -> int:
    """The expiry time of fields in Unix milliseconds. 0 is allowed and means the past."""
    factor, absolute = EXPIRY_UNITS[unit]
    number = to_int(amount)
    if number < 0:
        raise CommandError(EXPIRE_RANGE)
    base = 0 if absolute else db.keyspace.now_ms()
    if number > _LATEST_MS // factor or number * factor > _LATEST_MS - base:
        raise CommandError(INVALID_EXPIRE.format(name))
    return base + number * factor


def _allowed(condition: bytes | None, old: int | None, when: int) -> bool:
    """Whether NX, XX, GT or LT lets a field with the expiry time `old` be given the time `when`."""
    if condition is None:
        return True
    if condition == b"NX":
        return old is None
    if old is None:
        return condition == b"LT"
    return condition == b"XX" or (when > old if condition == b"GT" else when < old)


def _hexpire(client, key, amount, unit, words, name):
    db = client.db
    value = db.get_as(key, Hash)
    when = _field_deadline(db, amount, unit, name)
    condition = words[0].upper()
    if condition in (b"NX", b"XX", b"GT", b"LT"):
        words = words[1:]
    else:
        condition = None
    fields = _listed_fields(words, FIELDS_COUNT)
    if value is None:
        return [_NO_FIELD] * len(fields)
    past = when <= db.keyspace.now_ms()
    results = []
    chosen = []
    for field in fields:
        if field not in value or (past and field in chosen):
            results.append(_NO_FIELD)
        elif not _allowed(condition, value.ttl_of(field), when):
            results.append(_NOT_SET)
        else:
            results.append(_DELETED if past else _SET)
            chosen.append(field)
            if not past:
                value.expire_at(field, when)
    if past:
        drop_fields(db, key, value, chosen)
    elif chosen:
        db.note_field_expiry(key, value)
        db.changed(key, "hexpire", value, value, {})
    return results


@command("HEXPIRE", arity=-6, flags="write denyoom fast", keys=_KEY, group="hash", since="7.4.0", complexity="O(N) for N fields",
         summary="Lets fields of a hash expire after some seconds.")
def hexpire(client, key, seconds, *words):
    return _hexpire(client, key, seconds, b"EX", words, "hexpire")


@command("HPEXPIRE", arity=-6, flags="write denyoom fast", keys=_KEY, group="hash", since="7.4.0", complexity="O(N) for N fields",
         summary="Lets fields of a hash expire after some milliseconds.")
def hpexpire(client, key, milliseconds, *words):
    return _hexpire(client, key, milliseconds, b"PX", words, "hpexpire")


@command("HEXPIREAT", arity=-6, flags="write denyoom fast", keys=_KEY, group="hash", since="7.4.0",
         complexity="O(N) for N fields",
         summary="Lets fields of a hash expire at a Unix time in seconds.")
def hexpireat(client, key, seconds, *words):
    return _hexpire(client, key, seconds, b"EXAT", words, "hexpireat")


@command("HPEXPIREAT", arity=-6, flags="write denyoom fast", keys=_KEY, group="hash", since="7.4.0",
         complexity="O(N) for N fields",
         summary="Lets fields of a hash expire at a Unix time in milliseconds.")
def hpexpireat(client, key, milliseconds, *words):
    return _hexpire(client, key, milliseconds, b"PXAT", words, "hpexpireat")


def _field_times(client, key, words, convert):
    """For each field: no such field, no expiry time, or convert(expiry time in Unix milliseconds)."""
    value = client.db.get_as(key, Hash)
    fields = _listed_fields(words, FIELDS_POSITIVE)
    if value is None:
        return [_NO_FIELD] * len(fields)
    results = []
    for field in fields:
        when = value.ttl_of(field)
        if when is not None:
            results.append(convert(when))
        else:
            results.append(_NO_TIME if field in value else _NO_FIELD)
    return results


@command("HTTL", arity=-5, flags="readonly fast", keys=_KEY, group="hash", since="7.4.0", complexity="O(N) for N fields",
         summary="Returns in how many seconds fields of a hash expire.")
def httl(client, key, *words):
    now = client.db.keyspace.now_ms()
    return _field_times(client, key, words, lambda when: (when - now + 999) // 1000)


@command("HPTTL", arity=-5, flags="readonly fast", keys=_KEY, group="hash", since="7.4.0", complexity="O(N) for N fields",
         summary="Returns in how many milliseconds fields of a hash expire.")
def hpttl(client, key, *words):
    now = client.db.keyspace.now_ms()
    return _field_times(client, key, words, lambda when: when - now)


@command("HEXPIRETIME", arity=-5, flags="readonly fast", keys=_KEY, group="hash", since="7.4.0", complexity="O(N) for N fields",
         summary="Returns at which Unix time in seconds fields of a hash expire.")
def hexpiretime(client, key, *words):
    return _field_times(client, key, words, lambda when: (when + 999) // 1000)


@command("HPEXPIRETIME", arity=-5, flags="readonly fast", keys=_KEY, group="hash", since="7.4.0", complexity="O(N) for N fields",
         summary="Returns at which Unix time in milliseconds fields of a hash expire.")
def hpexpiretime(client, key, *words):
    return _field_times(client, key, words, lambda when: when)


def _persist(db, key, value: Hash, fields) -> list[int]:
    results = []
    for field in fields:
        if value.ttl_of(field) is not None:
            value.expire_at(field, None)
            results.append(_SET)
        else:
            results.append(_NO_TIME if field in value else _NO_FIELD)
    if _SET in results:
        db.note_field_expiry(key, value)
        db.changed(key, "hpersist", value, value, {})
    return results


@command("HPERSIST", arity=-5, flags="write fast", keys=_KEY, group="hash", since="7.4.0", complexity="O(N) for N fields",
         summary="Takes away the expiry times of fields of a hash.")
def hpersist(client, key, *words):
    value = client.db.get_as(key, Hash)
    fields = _listed_fields(words, FIELDS_POSITIVE)
    return [_NO_FIELD] * len(fields) if value is None else _persist(client.db, key, value, fields)


def _set_times(db, key, value: Hash, fields, when: int) -> None:
    """Gives fields that are there an expiry time, or removes them if it has passed."""
    if when <= db.keyspace.now_ms():
        drop_fields(db, key, value, fields)
        return
    for field in fields:
        value.expire_at(field, when)
    db.note_field_expiry(key, value)
    db.changed(key, "hexpire", value, value, {})


@command("HGETEX", arity=-5, flags="write fast", keys=_KEY, group="hash", since="8.0.0", complexity="O(N) for N fields",
         access="RW", summary="Returns fields of a hash and sets or takes away their expiry times.")
def hgetex(client, key, *words):
    db = client.db
    value = db.get_as(key, Hash)
    when, persist = None, False
    option = words[0].upper()
    if option in EXPIRY_UNITS:
        when = _field_deadline(db, words[1], option, "hgetex")
        words = words[2:]
    elif option == b"PERSIST":
        persist = True
        words = words[1:]
    fields = _listed_fields(words, FIELDS_POSITIVE)
    if value is None:
        return [None] * len(fields)
    found = value.many(fields)
    present = [field for field, text in zip(fields, found) if text is not None]
    if persist:
        _persist(db, key, value, present)
    elif when is not None and present:
        _set_times(db, key, value, present, when)
    return found


@command("HGETDEL", arity=-5, flags="write fast", keys=_KEY, group="hash", since="8.0.0", complexity="O(N) for N fields",
         access="RW", summary="Returns fields of a hash and removes them.")
def hgetdel(client, key, *words):
    value = client.db.get_as(key, Hash)
    fields = _listed_fields(words, FIELDS_POSITIVE)
    if value is None:
        return [None] * len(fields)
    found = value.many(fields)
    drop_fields(client.db, key, value, fields)
    return found


class _HsetexOptions:
    """The options of HSETEX and its pairs."""

    __slots__ = ("condition", "when", "keep_time", "pairs")

    def __init__(self, db, words):
        self.condition = self.when = None
        self.keep_time = False
        i = 0
        while i < len(words):
            word = words[i].upper()
            i += 1
            if word in (b"FNX", b"FXX"):
                if self.condition is not None:
                    raise CommandError(FIELDS_CONDITION)
                self.condition = word
            elif word == b"KEEPTTL" or word in EXPIRY_UNITS:
                if self.keep_time or self.when is not None:
                    raise CommandError(FIELDS_EXPIRY)
                if word == b"KEEPTTL":
                    self.keep_time = True
                    continue
                if i >= len(words):
                    raise wrong_arity("hsetex")
                self.when = _field_deadline(db, words[i], word, "hsetex")
                i += 1
            elif word == b"FIELDS":
                count = parse_int(words[i]) if i < len(words) else None
                if count is None or count < 1:
                    raise CommandError(FIELDS_INVALID)
                self.pairs = words[i + 1:]
                if len(self.pairs) != 2 * count:
                    raise wrong_arity("hsetex")
                return
            else:
                raise CommandError(UNKNOWN_ARGUMENT.format(words[i - 1].decode("utf-8", "surrogateescape")))
        raise wrong_arity("hsetex")


@command("HSETEX", arity=-6, flags="write denyoom fast", keys=_KEY, group="hash", since="8.0.0", complexity="O(N) for N fields",
         summary="Sets fields of a hash with an expiry time, if wanted only when all or none of them are there.")
def hsetex(client, key, *words):
    db = client.db
    value = db.get_as(key, Hash)
    asked = _HsetexOptions(db, words)
    fields = dict.fromkeys(asked.pairs[::2])
    if asked.condition == b"FXX" and (value is None or not all(field in value for field in fields)):
        return 0
    if asked.condition == b"FNX" and value is not None and any(field in value for field in fields):
        return 0
    place = db.keyspace.place
    if place is not None:
        asked.pairs = place(db, key, asked.pairs)
    if value is None:
        value = Hash.from_flat(asked.pairs)
        db.set(key, value, "hset")
    elif asked.keep_time:
        previous = {field: value.previous(field) for field in fields}
        for field, text in zip(asked.pairs[::2], asked.pairs[1::2]):
            value.set(field, text, keep_time=True)
        db.changed(key, "hset", value, value, previous)
    else:
        db.changed(key, "hset", value, value, value.update_flat(asked.pairs))
    if asked.when is not None:
        _set_times(db, key, value, fields, asked.when)
    return 1
