"""Saving: SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF; single values out and in: DUMP, RESTORE."""
from respserver.deferred import Deferred
from respserver.persistence import rdb_read, rdb_write, snapshots
from respserver.persistence.crc64 import crc64
from respserver.protocol import errors
from respserver.protocol.errors import SYNTAX, CommandError
from respserver.protocol.reply import OK, Simple
from respserver.registry import command

from .arguments import to_int

_KEY = (1, 1, 1)
#: What stands behind a value in a payload: the version of the format (2 bytes) and the check sum (8).
_TAIL = 10


@command("LASTSAVE", arity=1, group="server", flags="loading stale fast", categories="admin dangerous", complexity="O(1)",
         summary="Returns the Unix timestamp of the last successful save to disk.")
def lastsave(client):
    """The server's start as long as nothing has been saved."""
    return client.server.last_save


@command("SAVE", arity=1, group="server", flags="admin noscript no_async_loading no_multi",
         complexity="O(N) where N is the total number of keys",
         summary="Synchronously saves the database(s) to disk.")
def save(client):
    """Everything waits until the snapshot is there."""
    client.server.keeper.save()
    return OK


@command("BGSAVE", arity=-1, group="server", flags="admin noscript no_async_loading", complexity="O(1)",
         summary="Asynchronously saves the database(s) to disk.")
def bgsave(client, *schedule):
    """[SCHEDULE]: a forked process writes the snapshot."""
    if len(schedule) > 1 or (schedule and schedule[0].upper() != b"SCHEDULE"):
        raise CommandError(SYNTAX)
    keeper, started, reply = client.server.keeper, Simple("Background saving started"), Deferred()
    if not keeper.background_save(bool(schedule), None if client.in_exec else lambda error: reply.set_result(error or started)):
        return Simple("Background saving scheduled")
    return reply if keeper.is_preparing else started


@command("BGREWRITEAOF", arity=1, group="server", flags="admin noscript no_async_loading", complexity="O(1)",
         summary="Asynchronously rewrites the append-only file to disk.")
def bgrewriteaof(client):
    """A forked process writes a new base."""
    if client.server.keeper.rewrite():
        return Simple("Background append only file rewriting started")
    return Simple("Background append only file rewriting scheduled")


def payload(value) -> bytes:
    """A value as DUMP returns it."""
    kind, body = rdb_write.body(value)
    version = rdb_write.VERSION_OF_FIELD_TIMES if kind == rdb_write.TYPE_HASH_TIMES else rdb_write.VERSION
    text = bytes((kind,)) + body + version.to_bytes(2, "little")
    return text + crc64(text).to_bytes(8, "little")


def value_of(text: bytes):
    """The value of a payload. Raises CommandError."""
    if len(text) < _TAIL or int.from_bytes(text[-_TAIL:-8], "little") > rdb_read.NEWEST:
        raise CommandError(errors.BAD_DUMP)
    check = int.from_bytes(text[-8:], "little")
    if check and check != crc64(text[:-8]):
        raise CommandError(errors.BAD_DUMP)
    reader = rdb_read.Reader(text, 1, len(text) - _TAIL)
    try:
        value = reader.value(text[0])
    except rdb_read.RdbError:
        raise CommandError(errors.BAD_DUMP_DATA) from None
    if reader.at != reader.end:
        raise CommandError(errors.BAD_DUMP_DATA)
    return value


@command("DUMP", arity=2, flags="readonly", keys=_KEY, group="generic", since="2.6.0", complexity="O(N)",
         summary="Returns a value in the form that RESTORE takes.")
def dump(client, key):
    value = client.db.get(key)
    return None if value is None else payload(value)


@command("RESTORE", arity=-4, flags="write denyoom", keys=_KEY, group="generic", since="2.6.0", complexity="O(N)",
         categories="dangerous", summary="Stores a value that DUMP returned.")
def restore(client, key, ttl, text, *options):
    replaces = is_absolute = False
    words = iter(options)
    for word in words:
        name = word.upper()
        if name == b"REPLACE":
            replaces = True
        elif name == b"ABSTTL":
            is_absolute = True
        elif name in (b"IDLETIME", b"FREQ"):
            amount = next(words, None)
            if amount is None:
                raise CommandError(SYNTAX)
            number = to_int(amount)
            if number < 0 or (name == b"FREQ" and number > 255):
                raise CommandError(errors.RESTORE_IDLETIME if name == b"IDLETIME" else errors.RESTORE_FREQ)
        else:
            raise CommandError(SYNTAX)
    db = client.db
    if not replaces and db.get(key) is not None:
        raise CommandError(errors.BUSY_KEY)
    when = to_int(ttl)
    if when < 0:
        raise CommandError(errors.RESTORE_TTL)
    value = value_of(text)
    if replaces:
        db.delete(key)
    if when:
        now = db.keyspace.now_ms()
        if not is_absolute:
            when += now
        if when <= now:
            return OK
    snapshots.put(db, key, value, when or None)
    return OK
