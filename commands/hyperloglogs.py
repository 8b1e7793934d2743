"""The HyperLogLog commands."""
import random

from respserver.protocol.errors import (
    HLL_CORRUPTED, HLL_NOT_SPARSE, HLL_SELF_TEST, NOT_A_HLL, PFDEBUG_NO_KEY, PFDEBUG_SUBCOMMAND, CommandError,
)
from respserver.protocol.reply import OK, Simple
from respserver.registry import command
from respserver.values import hyperloglog as hll
from respserver.values.buffer import Buffer

_KEY = (1, 1, 1)


def _sketch(db, key: bytes):
    """The HyperLogLog under a key, or None. Raises WRONGTYPE."""
    text = db.get_text(key)
    if text is not None and not hll.is_sketch(text):
        raise CommandError(NOT_A_HLL)
    return text


def _sparse_limit(client) -> int:
    return client.server.config["hll-sparse-max-bytes"]


@command("PFADD", arity=-2, flags="write denyoom fast", keys=_KEY, group="hyperloglog", since="2.8.9",
         complexity="O(1) for each element", summary="Shows elements to a HyperLogLog, which is made if it is not there.")
def pfadd(client, key, *elements):
    db = client.db
    text = _sketch(db, key)
    try:
        changed = hll.with_elements(hll.empty() if text is None else text, elements, _sparse_limit(client))
    except hll.CorruptedError:
        raise CommandError(HLL_CORRUPTED) from None
    if changed is None:
        if text is not None:
            return 0
        changed = hll.union([hll.empty()], 0)
    db.set(key, changed, "pfadd", keep_ttl=True)
    return 1


@command("PFCOUNT", arity=-2, flags="readonly may_replicate", keys=(1, -1, 1), group="hyperloglog", since="2.8.9",
         complexity="O(1), with N keys O(N) and slower",
         summary="Estimates how many different elements the HyperLogLogs have been shown.")
def pfcount(client, *keys):
    db = client.db
    texts = [text for text in (_sketch(db, key) for key in keys) if text is not None]
    try:
        if len(keys) > 1:
            return hll.estimate(hll.union_registers(texts))
        if not texts:
            return 0
        text = texts[0]
        known = hll.known_estimate(text)
        if known is None:
            known = hll.estimate(hll.registers(text))
            # kept for the next time; that is no change of the value, of which nobody hears
            if type(text) is Buffer:
                text[8:16] = known.to_bytes(8, "little")
            else:
                db.data[keys[0]] = hll.with_estimate(text, known)
        return known
    except hll.CorruptedError:
        raise CommandError(HLL_CORRUPTED) from None


@command("PFMERGE", arity=-2, flags="write denyoom", keys=(1, -1, 1), group="hyperloglog", since="2.8.9", access="RW R",
         complexity="O(N) for N HyperLogLogs", summary="Has a HyperLogLog see what others have seen.")
def pfmerge(client, key, *sources):
    db = client.db
    target, *others = (_sketch(db, name) for name in (key, *sources))
    try:
        merged = hll.union([hll.empty() if target is None else target, *(text for text in others if text is not None)],
                           _sparse_limit(client))
    except hll.CorruptedError:
        raise CommandError(HLL_CORRUPTED) from None
    db.set(key, merged, "pfadd", keep_ttl=True)
    return OK


@command("PFDEBUG", arity=3, flags="write denyoom admin", keys=(2, 2, 1), group="hyperloglog", since="2.8.9",
         access="RW", complexity="O(1)", summary="Shows how a HyperLogLog is stored.")
def pfdebug(client, what, key):
    """ENCODING, GETREG (all registers), DECODE (the runs of a sparse one), TODENSE (1 if it was sparse)."""
    db = client.db
    text = _sketch(db, key)
    if text is None:
        raise CommandError(PFDEBUG_NO_KEY)
    which = what.upper()
    try:
        if which == b"ENCODING":
            return Simple("dense" if hll.is_dense(text) else "sparse")
        if which == b"GETREG":
            return list(hll.registers(text))
        if which == b"DECODE":
            if hll.is_dense(text):
                raise CommandError(HLL_NOT_SPARSE)
            return hll.describe_runs(text).encode()
        if which == b"TODENSE":
            if hll.is_dense(text):
                return 0
            db.set(key, hll.dense(hll.registers(text), text), "pfdebug", keep_ttl=True)
            return 1
    except hll.CorruptedError:
        raise CommandError(HLL_CORRUPTED) from None
    raise CommandError(PFDEBUG_SUBCOMMAND.format(what.decode("utf-8", "surrogateescape")))


@command("PFSELFTEST", arity=1, flags="admin", group="hyperloglog", since="2.8.9", complexity="O(1)",
         summary="Checks that HyperLogLogs can be stored and count.")
def pfselftest(client):
    """Random registers must survive both forms, and estimates must be within five standard errors."""
    rand = random.Random(1)
    values = bytes(rand.randrange(64) for _ in range(hll.N_REGISTERS))
    is_right = hll.registers(hll.dense(values, hll.empty())) == values
    for n in (10, 300, 3000):
        elements = [b"%d" % rand.getrandbits(60) for _ in range(n)]
        sparse, packed = (hll.with_elements(hll.empty(), elements, limit) for limit in (1 << 20, 0))
        found = hll.registers(packed)
        is_right &= hll.registers(sparse) == found and abs(hll.estimate(found) - n) <= 5 * 1.04 / 128 * n + 1
    if not is_right:
        raise CommandError(HLL_SELF_TEST)
    return OK
