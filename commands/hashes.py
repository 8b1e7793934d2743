"""The hash commands, without those about the expiry of fields (commands/hash_expiry.py)."""
from respserver.protocol.errors import (
    HASH_NOT_FLOAT, HASH_NOT_INTEGER, LONG_RANGE, NAN_OR_INFINITY, NOT_A_FLOAT, OUT_OF_RANGE, OVERFLOW,
    VALUE_NAN_OR_INFINITY, CommandError,
)
from respserver.protocol.reply import OK, SMALL_INTS, Pairs
from respserver.registry import at_once, command
from respserver.values.hash import Hash
from respserver.values.numbers import INT64_MAX, INT64_MIN, LongDouble, parse_int

from .arguments import syntax_error, to_cursor, to_int, wrong_arity
from .scanning import ScanOptions, cursor_reply, random_picks

_KEY = (1, 1, 1)
_HASH_OR_NONE = frozenset((Hash, type(None)))


def _set_pairs(client, key, pairs) -> int:
    """HSET. Returns the number of new fields."""
    db = client.db
    value = db.get_as(key, Hash)
    place = db.keyspace.place
    if place is not None:
        pairs = place(db, key, pairs)
    if value is None:
        value = Hash.from_flat(pairs)
        db.set(key, value, "hset")
        return len(value)
    n_before = len(value)
    db.changed(key, "hset", value, value, value.update_flat(pairs))
    return len(value) - n_before


def _set_one(db, key, value: Hash | None, field, text: bytes, event: str) -> None:
    """Sets one field and keeps its expiry time."""
    if value is None:
        db.set(key, Hash(((field, text),)), event)
        return
    db.changed(key, event, value, value, {field: value.put_timed(field, text)})


def drop_fields(db, key, value: Hash, fields, event: str = "hdel") -> int:
    """Removes fields, and the key with the last of them. Returns how many were there."""
    previous = {}
    for field in fields:
        old = value.pop(field)
        if old is not None:
            previous[field] = old
    if previous:
        db.shrunk(key, event, value, previous)
    return len(previous)


@command("HSET", arity=-4, flags="write denyoom fast", keys=_KEY, group="hash", since="2.0.0", complexity="O(N) for N fields",
         summary="Sets fields of a hash.")
def hset(client, key, *pairs):
    if len(pairs) == 2:                                 # the short way for the most frequent form
        value = client.db.get_as(key, Hash)
        if value is not None:
            place = client.db.keyspace.place
            field, text = pairs if place is None else place(client.db, key, pairs)
            old = value.put(field, text)
            client.db.changed(key, "hset", value, value, {field: old})
            return 1 if old is None else 0
    elif len(pairs) & 1:
        raise wrong_arity("hset")
    return _set_pairs(client, key, pairs)


@at_once("HSET")
def _hset_many(client, keys, *pairs):
    db = client.db
    if len(pairs) & 1 or db.keyspace.place is not None or not db.is_private(keys):
        return None
    value = db.data.get(keys[0])
    if type(value) is Hash and len(pairs) == 2 and keys.count(keys[0]) == len(keys):    # one hash is filled
        n_added = value.put_many(*pairs)
        db.keyspace.dirty += len(keys)
    elif not _HASH_OR_NONE.issuperset(map(type, map(db.data.get, keys))):
        return None
    else:
        n_added = [_set_pairs(client, key, words) for key, words in zip(keys, zip(*pairs))]
    return b"".join([SMALL_INTS[n] for n in n_added])


@command("HMSET", arity=-4, flags="write denyoom fast", keys=_KEY, group="hash", since="2.0.0", complexity="O(N) for N fields",
         summary="Sets fields of a hash: the old form of HSET.")
def hmset(client, key, *pairs):
    if len(pairs) & 1:
        raise wrong_arity("hmset")
    _set_pairs(client, key, pairs)
    return OK


@command("HSETNX", arity=4, flags="write denyoom fast", keys=_KEY, group="hash", since="2.0.0", complexity="O(1)",
         summary="Sets a field of a hash if it is not there.")
def hsetnx(client, key, field, text):
    value = client.db.get_as(key, Hash)
    if value is not None and field in value:
        return 0
    place = client.db.keyspace.place
    if place is not None:
        field, text = place(client.db, key, (field, text))
    _set_one(client.db, key, value, field, text, "hset")
    return 1


@command("HGET", arity=3, flags="readonly fast", keys=_KEY, group="hash", since="2.0.0", complexity="O(1)",
         summary="Returns a field of a hash.")
def hget(client, key, field):
    value = client.db.get_as(key, Hash)
    return None if value is None else value.get(field)


@command("HMGET", arity=-3, flags="readonly fast", keys=_KEY, group="hash", since="2.0.0", complexity="O(N) for N fields",
         summary="Returns several fields of a hash.")
def hmget(client, key, *fields):
    value = client.db.get_as(key, Hash)
    return [None] * len(fields) if value is None else value.many(fields)


@command("HGETALL", arity=2, flags="readonly", keys=_KEY, group="hash", since="2.0.0", complexity="O(N)",
         summary="Returns all fields of a hash with their values.")
def hgetall(client, key):
    value = client.db.get_as(key, Hash)
    return Pairs() if value is None else Pairs(value.items())


@command("HKEYS", arity=2, flags="readonly", keys=_KEY, group="hash", since="2.0.0", complexity="O(N)",
         summary="Returns the names of all fields of a hash.")
def hkeys(client, key):
    value = client.db.get_as(key, Hash)
    return [] if value is None else list(value.keys())


@command("HVALS", arity=2, flags="readonly", keys=_KEY, group="hash", since="2.0.0", complexity="O(N)",
         summary="Returns the values of all fields of a hash.")
def hvals(client, key):
    value = client.db.get_as(key, Hash)
    return [] if value is None else list(value.values())


@command("HLEN", arity=2, access="-", flags="readonly fast", keys=_KEY, group="hash", since="2.0.0", complexity="O(1)",
         summary="Returns the number of fields of a hash.")
def hlen(client, key):
    value = client.db.get_as(key, Hash)
    return 0 if value is None else len(value)


@command("HSTRLEN", arity=3, access="-", flags="readonly fast", keys=_KEY, group="hash", since="3.2.0", complexity="O(1)",
         summary="Returns the length of a field's value.")
def hstrlen(client, key, field):
    value = client.db.get_as(key, Hash)
    return 0 if value is None else value.length_of(field)


@command("HEXISTS", arity=3, access="-", flags="readonly fast", keys=_KEY, group="hash", since="2.0.0", complexity="O(1)",
         summary="Tells whether a hash has a field.")
def hexists(client, key, field):
    value = client.db.get_as(key, Hash)
    return int(value is not None and field in value)


@command("HDEL", arity=-3, flags="write fast", keys=_KEY, group="hash", since="2.0.0", complexity="O(N) for N fields",
         summary="Removes fields of a hash, and the hash with its last field.")
def hdel(client, key, *fields):
    value = client.db.get_as(key, Hash)
    return 0 if value is None else drop_fields(client.db, key, value, fields)


@command("HINCRBY", arity=4, access="RW", flags="write denyoom fast", keys=_KEY, group="hash", since="2.0.0", complexity="O(1)",
         summary="Adds a number to an integer in a field.")
def hincrby(client, key, field, amount):
    change = to_int(amount)
    value = client.db.get_as(key, Hash)
    old = None if value is None else value.get(field)
    number = 0 if old is None else parse_int(old)
    if number is None:
        raise CommandError(HASH_NOT_INTEGER)
    number += change
    if not INT64_MIN <= number <= INT64_MAX:
        raise CommandError(OVERFLOW)
    _set_one(client.db, key, value, field, b"%d" % number, "hincrby")
    return number


@command("HINCRBYFLOAT", arity=4, flags="write denyoom fast", keys=_KEY, group="hash", since="2.6.0", complexity="O(1)",
         access="RW", summary="Adds to a number with a fraction in a field.")
def hincrbyfloat(client, key, field, amount):
    change = LongDouble.parse(amount)
    if change is None:
        raise CommandError(NOT_A_FLOAT)
    if change.infinite:
        raise CommandError(VALUE_NAN_OR_INFINITY)
    value = client.db.get_as(key, Hash)
    old = None if value is None else value.get(field)
    number = LongDouble(0) if old is None else LongDouble.parse(old)
    if number is None:
        raise CommandError(HASH_NOT_FLOAT)
    number += change
    if number is None:
        raise CommandError(NAN_OR_INFINITY)
    text = number.format()
    _set_one(client.db, key, value, field, text, "hincrbyfloat")
    return text


@command("HRANDFIELD", arity=-2, flags="readonly", keys=_KEY, group="hash", since="6.2.0",
         complexity="O(N) for N fields returned",
         summary="Returns random fields of a hash.")
def hrandfield(client, key, *options):
    db = client.db
    if not options:
        value = db.get_as(key, Hash)
        return None if value is None else value.random_field()
    count = to_int(options[0])
    if count == INT64_MIN:
        raise CommandError(LONG_RANGE)
    with_values = len(options) == 2 and options[1].upper() == b"WITHVALUES"
    if len(options) > 1 and not with_values:
        raise syntax_error()
    if with_values and abs(count) > INT64_MAX // 2:
        raise CommandError(OUT_OF_RANGE)
    value = db.get_as(key, Hash)
    if value is None:
        return []
    fields = random_picks(value.keys(), value.random_field, count)
    if not with_values:
        return fields
    if client.proto == 3:
        return [[field, value.get(field)] for field in fields]
    return [word for field in fields for word in (field, value.get(field))]


@command("HSCAN", arity=-3, flags="readonly", keys=_KEY, group="hash", since="2.8.0", complexity="O(1) per call",
         summary="Goes through the fields of a hash step by step.")
def hscan(client, key, cursor, *options):
    position = to_cursor(cursor)
    value = client.db.get_as(key, Hash)
    if value is None:
        return cursor_reply(0, [])
    asked = ScanOptions(options)
    config = client.server.config
    if value.is_small(config["hash-max-listpack-entries"], config["hash-max-listpack-value"]):
        following, fields = 0, value.keys()
    else:
        following, fields = value.scan(position, asked.count)
    if asked.match is not None:
        fields = filter(asked.match, fields)
    if asked.no_values:
        return cursor_reply(following, list(fields))
    return cursor_reply(following, [word for field in fields for word in (field, value.get(field))])
