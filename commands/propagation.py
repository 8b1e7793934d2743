"""What the append-only file says in place of commands whose effect their words alone do not tell: those with a time from now
on, with a random choice, those that wait, and those that Redis 7.0 does not know.

Most look at what the key is like now, after the command."""
from respserver.protocol.reply import NULL_ARRAY
from respserver.registry import logged_as
from respserver.values.hash import Hash

from .arguments import EXPIRY_UNITS


def _time_of(db, key) -> list:
    """The command that gives a key its present expiry time, or takes it away; DEL if it is gone."""
    if key not in db.data:
        return [b"DEL", key]
    when = db.expires.get(key)
    return [b"PERSIST", key] if when is None else [b"PEXPIREAT", key, b"%d" % when]


def _set_of(db, key, value) -> list:
    """The SET that leaves a key as it is now."""
    if key not in db.data:
        return [b"DEL", key]
    when = db.expires.get(key)
    return [b"SET", key, value] if when is None else [b"SET", key, value, b"PXAT", b"%d" % when]


@logged_as("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT")
def _expire(client, words, reply):
    return [_time_of(client.db, words[1])] if reply == 1 else []


@logged_as("GETEX")
def _getex(client, words, reply):
    return [_time_of(client.db, words[1])] if reply is not None else []


@logged_as("SET")
def _set(client, words, reply):
    if len(words) == 3 or not any(word.upper() in EXPIRY_UNITS for word in words[3:]):
        return [words]
    if client.db.data.get(words[1]) is not words[2]:            # a condition was not met
        return []
    return [_set_of(client.db, words[1], words[2])]


@logged_as("SETEX", "PSETEX")
def _setex(client, words, reply):
    return [_set_of(client.db, words[1], words[3])]


@logged_as("MSETEX")
def _msetex(client, words, reply):
    n = int(words[1])
    return ([_set_of(client.db, key, value) for key, value in dict(zip(words[2:2 + 2 * n:2], words[3:3 + 2 * n:2])).items()]
            if reply else [])


@logged_as("INCRBYFLOAT")
def _incrbyfloat(client, words, reply):
    return [[b"SET", words[1], bytes(reply), b"KEEPTTL"]]


@logged_as("HINCRBYFLOAT")
def _hincrbyfloat(client, words, reply):
    value = client.db.data.get(words[1])
    if type(value) is not Hash or value.ttl_of(words[2]) is not None:       # HSET would take the field's expiry time away
        return [words]
    return [[b"HSET", words[1], words[2], bytes(reply)]]


@logged_as("DELEX", "GETDEL")
def _delete(client, words, reply):
    return [[b"DEL", words[1]]] if reply not in (0, None) else []


@logged_as("HGETDEL")
def _hgetdel(client, words, reply):
    return [[b"HDEL", words[1], *_listed(words)]]


def _listed(words) -> list:
    """The fields behind FIELDS n."""
    at = next(i for i, word in enumerate(words) if i > 1 and word.upper() == b"FIELDS")
    return list(words[at + 2:])


def _field_times(client, key, fields) -> list:
    """The commands that give these fields of a hash their present expiry times; HDEL for those that are gone."""
    value = client.db.data.get(key)
    if type(value) is not Hash:
        return [[b"HDEL", key, *fields]]
    by_time: dict = {}
    for field in fields:
        by_time.setdefault(value.ttl_of(field) if field in value else b"gone", []).append(field)
    lines = []
    for when, found in by_time.items():
        if when == b"gone":
            lines.append([b"HDEL", key, *found])
        elif when is None:
            lines.append([b"HPERSIST", key, b"FIELDS", b"%d" % len(found), *found])
        else:
            lines.append([b"HPEXPIREAT", key, b"%d" % when, b"FIELDS", b"%d" % len(found), *found])
    return lines


@logged_as("HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT")
def _hexpire(client, words, reply):
    fields = dict.fromkeys(field for field, result in zip(_listed(words), reply) if result in (1, 2))
    return _field_times(client, words[1], list(fields)) if fields else []


@logged_as("HGETEX")
def _hgetex(client, words, reply):
    fields = dict.fromkeys(field for field, found in zip(_listed(words), reply) if found is not None)
    return _field_times(client, words[1], list(fields)) if fields else []


@logged_as("HSETEX")
def _hsetex(client, words, reply):
    if not reply:
        return []
    flat = _listed(words)
    pairs = dict(zip(flat[::2], flat[1::2]))
    lines = _field_times(client, words[1], list(pairs))
    there = [word for line in lines if line[0] != b"HDEL" for field in line[4 if line[0] == b"HPERSIST" else 5:]
             for word in (field, pairs[field])]
    lines = [line for line in lines if line[0] != b"HPERSIST"]              # HSET has done that
    return [[b"HSET", words[1], *there], *lines] if there else lines


@logged_as("SPOP")
def _spop(client, words, reply):
    members = [reply] if isinstance(reply, bytes) else list(reply or ())
    if not members:
        return []
    return [[b"SREM", words[1], *members]] if words[1] in client.db.data else [[b"DEL", words[1]]]


@logged_as("SORT")
def _sort(client, words, reply):
    stored = [words[i + 1] for i in range(2, len(words) - 1) if words[i].upper() == b"STORE"]
    if not stored:
        return []
    items = list(client.db.data.get(stored[-1]) or ())
    lines = [[b"DEL", stored[-1]]]
    return lines + [[b"RPUSH", stored[-1], *items[i:i + 1000]] for i in range(0, len(items), 1000)]


@logged_as("BLPOP", "BRPOP")
def _blpop(client, words, reply):
    return [] if reply is NULL_ARRAY or not reply else [[words[0][1:], reply[0]]]


@logged_as("BLMOVE")
def _blmove(client, words, reply):
    return [] if reply is None else [[b"LMOVE", *words[1:5]]]


@logged_as("BRPOPLPUSH")
def _brpoplpush(client, words, reply):
    return [] if reply is None else [[b"RPOPLPUSH", *words[1:3]]]


@logged_as("LMPOP", "BLMPOP")
def _lmpop(client, words, reply):
    if reply is NULL_ARRAY or not reply:
        return []
    at = 1 if words[0].upper() == b"LMPOP" else 2
    side = words[at + 1 + int(words[at])].upper()
    return [[b"LPOP" if side == b"LEFT" else b"RPOP", reply[0], b"%d" % len(reply[1])]]


@logged_as("BZPOPMIN", "BZPOPMAX")
def _bzpop(client, words, reply):
    return [] if reply is NULL_ARRAY or not reply else [[words[0][1:], reply[0]]]


@logged_as("ZMPOP", "BZMPOP")
def _zmpop(client, words, reply):
    if reply is NULL_ARRAY or not reply:
        return []
    at = 1 if words[0].upper() == b"ZMPOP" else 2
    side = words[at + 1 + int(words[at])].upper()
    return [[b"ZPOP" + side, reply[0], b"%d" % len(reply[1])]]


@logged_as("RESTORE")
def _restore(client, words, reply):
    key = words[1]
    if key not in client.db.data:
        return [[b"DEL", key]]
    when = client.db.expires.get(key)
    time = [b"0"] if when is None else [b"%d" % when]
    return [[b"RESTORE", key, *time, words[3], b"REPLACE", b"ABSTTL"]]
