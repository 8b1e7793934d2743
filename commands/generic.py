"""The commands on keys of any type, without those about expiry (commands/expiry.py)."""
from respserver.glob import matcher
from respserver.keyspace import type_name
from respserver.protocol.errors import (
    DB_INDEX, INVALID_FIRST_DB, INVALID_SECOND_DB, NO_LFU, NO_LRU, NO_SUCH_KEY, NO_VALUES_ONLY_HSCAN, SAME_OBJECT,
    UNKNOWN_TYPE, CommandError,
)
from respserver.protocol.reply import OK, Simple
from respserver.registry import command
from respserver.values.numbers import parse_int

from .arguments import syntax_error, to_cursor, to_int
from .help import declare_help
from .scanning import ScanOptions, cursor_reply

_KEY = (1, 1, 1)
_KEYS = (1, -1, 1)
_TYPES = frozenset((b"string", b"list", b"set", b"zset", b"hash", b"stream", b"vectorset", b"rejson-rl"))
_EMBEDDED_STRING = 44           # bytes that Redis keeps in one piece with the object's header


@command("DEL", arity=-2, flags="write", keys=_KEYS, group="generic", complexity="O(N) for N keys",
         summary="Deletes keys.")
def del_(client, *keys):
    delete = client.db.delete
    if len(keys) == 1:
        return 1 if delete(keys[0]) else 0
    return sum(map(delete, keys))


@command("UNLINK", arity=-2, flags="write fast", keys=_KEYS, group="generic", since="4.0.0", complexity="O(N) for N keys",
         summary="Deletes keys; the same as DEL here.")
def unlink(client, *keys):
    return sum(map(client.db.delete, keys))


@command("EXISTS", arity=-2, access="-", flags="readonly fast", keys=_KEYS, group="generic", complexity="O(N) for N keys",
         summary="Counts how many of the given keys exist; a key that is given twice counts twice.")
def exists(client, *keys):
    get = client.db.get
    return sum(get(key) is not None for key in keys)


@command("TOUCH", arity=-2, flags="readonly fast", keys=_KEYS, group="generic", since="3.2.1", complexity="O(N) for N keys",
         access="-", summary="Counts how many of the given keys exist.")
def touch(client, *keys):
    return exists(client, *keys)


@command("TYPE", arity=2, access="-", flags="readonly fast", keys=_KEY, group="generic", complexity="O(1)",
         summary="Tells the type of a value.")
def type_(client, key):
    return Simple(type_name(client.db.get(key)))


def _move_key(source, key, target, new_key, events: tuple[str, str]) -> None:
    value, when = source.take(key, events[0])
    target.set(new_key, value, events[1], when_ms=when)


@command("RENAME", arity=3, access="RW W", flags="write", keys=(1, 2, 1), group="generic", complexity="O(1)",
         summary="Gives a key another name; a key that has the name already is replaced.")
def rename(client, key, new_key):
    db = client.db
    if db.get(key) is None:
        raise CommandError(NO_SUCH_KEY)
    if key != new_key:
        db.get(new_key)                                 # so that what has expired counts as expired
        _move_key(db, key, db, new_key, ("rename_from", "rename_to"))
    return OK


@command("RENAMENX", arity=3, access="RW W", flags="write fast", keys=(1, 2, 1), group="generic", complexity="O(1)",
         summary="Gives a key another name if no key has that name.")
def renamenx(client, key, new_key):
    db = client.db
    if db.get(key) is None:
        raise CommandError(NO_SUCH_KEY)
    if db.get(new_key) is not None:
        return 0
    _move_key(db, key, db, new_key, ("rename_from", "rename_to"))
    return 1


def _database(client, text: bytes):
    index = to_int(text)
    databases = client.server.keyspace.databases
    if not 0 <= index < len(databases):
        raise CommandError(DB_INDEX)
    return databases[index]


@command("COPY", arity=-3, access="R W", flags="write denyoom", keys=(1, 2, 1), group="generic", since="6.2.0", complexity="O(N)",
         summary="Copies a value to another key.")
def copy(client, key, new_key, *options):
    target = client.db
    replace = False
    i = 0
    while i < len(options):
        word = options[i].upper()
        if word == b"REPLACE":
            replace = True
        elif word == b"DB" and i + 1 < len(options):
            i += 1
            target = _database(client, options[i])
        else:
            raise syntax_error()
        i += 1
    db = client.db
    if target is db and key == new_key:
        raise CommandError(SAME_OBJECT)
    value = db.get(key)
    if value is None or (target.get(new_key) is not None and not replace):
        return 0
    target.set(new_key, value if type(value) is bytes else value.copy(), "copy_to", when_ms=db.expires.get(key))
    return 1


@command("MOVE", arity=3, access="RW", flags="write fast", keys=_KEY, group="generic", complexity="O(1)",
         summary="Moves a key to another database.")
def move(client, key, index):
    db = client.db
    target = _database(client, index)
    if target is db:
        raise CommandError(SAME_OBJECT)
    if db.get(key) is None or target.get(key) is not None:
        return 0
    _move_key(db, key, target, key, ("move_from", "move_to"))
    return 1


@command("SWAPDB", arity=3, flags="write fast", group="generic", since="4.0.0", complexity="O(N) for N watched keys",
         categories="dangerous", summary="Exchanges the contents of two databases.")
def swapdb(client, first, second):
    numbers = []
    for text, error in ((first, INVALID_FIRST_DB), (second, INVALID_SECOND_DB)):
        number = parse_int(text)
        if number is None:
            raise CommandError(error)
        numbers.append(number)
    keyspace = client.server.keyspace
    if not all(0 <= number < len(keyspace.databases) for number in numbers):
        raise CommandError(DB_INDEX)
    if numbers[0] != numbers[1]:
        keyspace.swap(*numbers)
    return OK


def _check_flush_mode(options) -> None:
    if len(options) > 1 or (options and options[0].upper() not in (b"ASYNC", b"SYNC")):
        raise syntax_error()


@command("FLUSHDB", arity=-1, flags="write", group="generic", complexity="O(N)", categories="dangerous",
         summary="Deletes all keys of the database; SYNC and ASYNC are the same here.")
def flushdb(client, *options):
    _check_flush_mode(options)
    client.db.flush()
    return OK


@command("FLUSHALL", arity=-1, flags="write", group="generic", complexity="O(N)", categories="dangerous",
         summary="Deletes all keys of all databases; SYNC and ASYNC are the same here.")
def flushall(client, *options):
    _check_flush_mode(options)
    client.server.keyspace.flush_all()
    return OK


@command("DBSIZE", arity=1, flags="readonly fast", group="generic", complexity="O(1)",
         summary="Returns the number of keys.")
def dbsize(client):
    return len(client.db)


@command("KEYS", arity=2, flags="readonly", group="generic", complexity="O(N) for N keys in the database", categories="dangerous",
         summary="Returns all keys that match a pattern.")
def keys(client, pattern):
    db = client.db
    if b"\\" not in pattern and b"*" not in pattern and b"?" not in pattern and b"[" not in pattern:
        return [] if db.get(pattern) is None else [pattern]
    found = list(db.data) if pattern == b"*" else list(filter(matcher(pattern), db.data))
    if db.expires:
        found = [key for key in found if key not in db.expires or not db.expire_if_due(key)]
    return found


@command("RANDOMKEY", arity=1, flags="readonly touches_arbitrary_keys", group="generic", complexity="O(1)",
         summary="Returns a random key.")
def randomkey(client):
    return client.db.random_key()


@command("SCAN", arity=-2, flags="readonly touches_arbitrary_keys", group="generic", since="2.8.0", complexity="O(1) per call",
         summary="Goes through the keys of the database step by step.")
def scan(client, cursor, *options):
    position = to_cursor(cursor)
    asked = ScanOptions(options, know_type=True, no_values_error=NO_VALUES_ONLY_HSCAN)
    wanted = None
    if asked.type is not None:
        wanted = asked.type.lower()
        if wanted not in _TYPES:
            raise CommandError(UNKNOWN_TYPE.format(asked.type.decode("utf-8", "surrogateescape")))
    db = client.db
    following, found = db.scan(position, asked.count)
    if asked.match is not None:
        found = list(filter(asked.match, found))
    if wanted is not None:
        found = [key for key in found if type_name(db.get(key)).lower().encode() == wanted]
    return cursor_reply(following, found)


def encoding(value, config) -> str:
    """Redis's name for the way in which it would store a value; `config` gives the limits."""
    if type(value) is bytes:
        if parse_int(value) is not None:
            return "int"
        return "embstr" if len(value) <= _EMBEDDED_STRING else "raw"
    kind = value.type_name
    if kind == "string":
        return "raw"
    if kind == "hash":
        if value.is_small(config["hash-max-listpack-entries"], config["hash-max-listpack-value"]):
            return "listpackex" if value.had_times else "listpack"
        return "hashtable"
    if kind == "list":
        return "listpack" if value.is_small(config["list-max-listpack-size"]) else "quicklist"
    if kind == "set":
        return value.encoding(config["set-max-intset-entries"], config["set-max-listpack-entries"],
                              config["set-max-listpack-value"])
    if kind == "zset":
        return value.encoding(config["zset-max-listpack-entries"], config["zset-max-listpack-value"])
    return getattr(value, "encoding", "raw")


@command("OBJECT ENCODING", arity=3, flags="readonly", keys=(2, 2, 1), group="generic", since="2.2.3", complexity="O(1)",
         access="-", summary="Tells how Redis would store a value.")
def object_encoding(client, key):
    value = client.db.get(key)
    return None if value is None else encoding(value, client.server.config)


@command("OBJECT REFCOUNT", arity=3, flags="readonly", keys=(2, 2, 1), group="generic", since="2.2.3", complexity="O(1)",
         access="-", summary="Returns the number of references to a value: always 1.")
def object_refcount(client, key):
    return None if client.db.get(key) is None else 1


@command("OBJECT IDLETIME", arity=3, flags="readonly", keys=(2, 2, 1), group="generic", since="2.2.3", complexity="O(1)",
         access="-", summary="Returns the seconds since a key was last used, 0 unless an LRU maxmemory policy is set.")
def object_idletime(client, key):
    db, evictor = client.db, client.server.evictor
    if db.get(key) is None:
        return None
    if evictor.is_on and client.server.config["maxmemory-policy"].endswith("lfu"):
        raise CommandError(NO_LRU)
    return evictor.idle_seconds(db.index, key) or 0


@command("OBJECT FREQ", arity=3, access="-", flags="readonly", keys=(2, 2, 1), group="generic", since="4.0.0", complexity="O(1)",
         summary="Returns how often a key has been used lately, where an LFU maxmemory policy is set.")
def object_freq(client, key):
    db = client.db
    if db.get(key) is None:
        return None
    frequency = client.server.evictor.frequency(db.index, key)
    if frequency is None:
        raise CommandError(NO_LFU)
    return frequency


declare_help("OBJECT", "generic", "6.2.0", (
    "ENCODING <key>", "    How Redis would store the value.",
    "FREQ <key>", "    How often it has been used lately (with an LFU maxmemory policy).",
    "IDLETIME <key>", "    Seconds since it was last used (with an LRU maxmemory policy, else 0).",
    "REFCOUNT <key>", "    Always 1."))
