"""The commands about the expiry of keys."""
from respserver.protocol.errors import EXPIRE_GT_LT, EXPIRE_NX_OTHERS, INVALID_EXPIRE, UNSUPPORTED_OPTION, CommandError
from respserver.registry import command
from respserver.values.numbers import INT64_MAX, INT64_MIN

from .arguments import EXPIRY_UNITS, to_int

_KEY = (1, 1, 1)


def _conditions(options) -> set[bytes]:
    """The conditions among NX, XX, GT and LT that were given."""
    given = set()
    for option in options:
        word = option.upper()
        if word not in (b"NX", b"XX", b"GT", b"LT"):
            raise CommandError(UNSUPPORTED_OPTION.format(option.decode("utf-8", "surrogateescape")))
        given.add(word)
    if b"NX" in given and len(given) > 1:
        raise CommandError(EXPIRE_NX_OTHERS)
    if b"GT" in given and b"LT" in given:
        raise CommandError(EXPIRE_GT_LT)
    return given


def _expire(client, key, amount, unit, options, name):
    given = _conditions(options)
    when = to_int(amount)
    factor, absolute = EXPIRY_UNITS[unit]
    keyspace = client.db.keyspace
    now = keyspace.now_ms()
    base = 0 if absolute else now
    when *= factor
    if not INT64_MIN <= when <= INT64_MAX - base:
        raise CommandError(INVALID_EXPIRE.format(name))
    when += base
    db = client.db
    if db.get(key) is None:
        return 0
    if given:
        old = db.expires.get(key)
        if (b"NX" in given and old is not None) or (b"XX" in given and old is None):
            return 0
        if b"GT" in given and (old is None or when <= old):
            return 0
        if b"LT" in given and old is not None and when >= old:
            return 0
    if when <= now and keyspace.expiry_enabled:
        db.delete(key)
    else:
        db.expire_at(key, when)
    return 1


@command("EXPIRE", arity=-3, flags="write fast", keys=_KEY, group="generic", complexity="O(1)",
         summary="Lets a key expire after some seconds.")
def expire(client, key, seconds, *options):
    return _expire(client, key, seconds, b"EX", options, "expire")


@command("PEXPIRE", arity=-3, flags="write fast", keys=_KEY, group="generic", since="2.6.0", complexity="O(1)",
         summary="Lets a key expire after some milliseconds.")
def pexpire(client, key, milliseconds, *options):
    return _expire(client, key, milliseconds, b"PX", options, "pexpire")


@command("EXPIREAT", arity=-3, flags="write fast", keys=_KEY, group="generic", since="1.2.0", complexity="O(1)",
         summary="Lets a key expire at a Unix time in seconds.")
def expireat(client, key, seconds, *options):
    return _expire(client, key, seconds, b"EXAT", options, "expireat")


@command("PEXPIREAT", arity=-3, flags="write fast", keys=_KEY, group="generic", since="2.6.0", complexity="O(1)",
         summary="Lets a key expire at a Unix time in milliseconds.")
def pexpireat(client, key, milliseconds, *options):
    return _expire(client, key, milliseconds, b"PXAT", options, "pexpireat")


def _deadline(client, key) -> int:
    """The key's expiry time in Unix milliseconds; -1: it has none, -2: there is no such key."""
    if client.db.get(key) is None:
        return -2
    return client.db.expires.get(key, -1)


@command("TTL", arity=2, flags="readonly fast", keys=_KEY, group="generic", complexity="O(1)",
         summary="Returns in how many seconds a key expires.")
def ttl(client, key):
    left = pttl(client, key)
    return left if left < 0 else (left + 500) // 1000


@command("PTTL", arity=2, flags="readonly fast", keys=_KEY, group="generic", since="2.6.0", complexity="O(1)",
         summary="Returns in how many milliseconds a key expires.")
def pttl(client, key):
    when = _deadline(client, key)
    return when if when < 0 else max(when - client.db.keyspace.now_ms(), 0)


@command("EXPIRETIME", arity=2, flags="readonly fast", keys=_KEY, group="generic", since="7.0.0", complexity="O(1)",
         summary="Returns at which Unix time in seconds a key expires.")
def expiretime(client, key):
    when = _deadline(client, key)
    return when if when < 0 else (when + 500) // 1000


@command("PEXPIRETIME", arity=2, flags="readonly fast", keys=_KEY, group="generic", since="7.0.0", complexity="O(1)",
         summary="Returns at which Unix time in milliseconds a key expires.")
def pexpiretime(client, key):
    return _deadline(client, key)


@command("PERSIST", arity=2, flags="write fast", keys=_KEY, group="generic", since="2.2.0", complexity="O(1)",
         summary="Takes away the expiry time of a key.")
def persist(client, key):
    db = client.db
    if db.get(key) is None or key not in db.expires:
        return 0
    db.expire_at(key, None, "persist")
    return 1
