"""The set commands."""
from respserver.protocol.errors import (
    LIMIT_NEGATIVE, NO_VALUES_ONLY_HSCAN, NOT_POSITIVE, NUMKEYS_POSITIVE, NUMKEYS_TOO_MANY, LONG_RANGE, CommandError,
)
from respserver.protocol.reply import SetOf
from respserver.registry import command
from respserver.values.numbers import INT64_MIN, parse_int
from respserver.values.set import Set

from .arguments import keys_behind, syntax_error, to_cursor, to_int
from .scanning import ScanOptions, cursor_reply, random_picks

_KEY = (1, 1, 1)
_KEYS = (1, -1, 1)


def _take_members(db, key, value: Set, members, event: str = "srem") -> int:
    """Removes members, and the key with the last of them. Returns how many were there."""
    n = sum(map(value.remove, members))
    if n:
        db.shrunk(key, event, value)
    return n


@command("SADD", arity=-3, flags="write denyoom fast", keys=_KEY, group="set", complexity="O(N) for N members",
         summary="Adds members to a set.")
def sadd(client, key, *members):
    db = client.db
    value = db.get_as(key, Set)
    if value is None:
        value = Set(members)
        db.set(key, value, "sadd")
        return len(value)
    n = sum(map(value.add, members))
    if n:
        db.changed(key, "sadd", value, value)
    return n


@command("SREM", arity=-3, flags="write fast", keys=_KEY, group="set", complexity="O(N) for N members",
         summary="Removes members of a set, and the set with its last member.")
def srem(client, key, *members):
    value = client.db.get_as(key, Set)
    return 0 if value is None else _take_members(client.db, key, value, members)


@command("SCARD", arity=2, access="-", flags="readonly fast", keys=_KEY, group="set", complexity="O(1)",
         summary="Returns the number of members of a set.")
def scard(client, key):
    value = client.db.get_as(key, Set)
    return 0 if value is None else len(value)


@command("SISMEMBER", arity=3, access="-", flags="readonly fast", keys=_KEY, group="set", complexity="O(1)",
         summary="Tells whether a set has a member.")
def sismember(client, key, member):
    value = client.db.get_as(key, Set)
    return int(value is not None and member in value)


@command("SMISMEMBER", arity=-3, flags="readonly fast", keys=_KEY, group="set", since="6.2.0", complexity="O(N) for N members",
         summary="Tells of several members whether a set has them.")
def smismember(client, key, *members):
    value = client.db.get_as(key, Set)
    return [0] * len(members) if value is None else [int(member in value) for member in members]


@command("SMEMBERS", arity=2, flags="readonly", keys=_KEY, group="set", complexity="O(N)",
         summary="Returns all members of a set.")
def smembers(client, key):
    value = client.db.get_as(key, Set)
    return SetOf() if value is None else SetOf(value.listed(client.server.config["set-max-intset-entries"]))


@command("SMOVE", arity=4, access="RW W", flags="write fast", keys=(1, 2, 1), group="set", complexity="O(1)",
         summary="Moves a member from one set to another.")
def smove(client, key, new_key, member):
    db = client.db
    source = db.get_as(key, Set)
    if source is None:
        return 0
    target = db.get_as(new_key, Set)
    if source is target:
        return int(member in source)
    if not _take_members(db, key, source, (member,)):
        return 0
    if target is None:
        db.set(new_key, Set((member,)), "sadd")
    elif target.add(member):
        db.changed(new_key, "sadd", target, target)
    return 1


@command("SPOP", arity=-2, access="RW", flags="write fast", keys=_KEY, group="set", complexity="O(N) for N members returned",
         summary="Removes random members of a set and returns them.")
def spop(client, key, *options):
    if len(options) > 1:
        raise syntax_error()
    db = client.db
    if not options:
        value = db.get_as(key, Set)
        if value is None:
            return None
        member = value.random_member()
        _take_members(db, key, value, (member,), "spop")
        return member
    count = parse_int(options[0])
    if count is None or count < 0:
        raise CommandError(NOT_POSITIVE)
    value = db.get_as(key, Set)
    if value is None or count == 0:
        return SetOf()
    members = SetOf(random_picks(value.members(), value.random_member, count))
    _take_members(db, key, value, members, "spop")
    return members


@command("SRANDMEMBER", arity=-2, flags="readonly", keys=_KEY, group="set", complexity="O(N) for N members returned",
         summary="Returns random members of a set.")
def srandmember(client, key, *options):
    if len(options) > 1:
        raise syntax_error()
    if not options:
        value = client.db.get_as(key, Set)
        return None if value is None else value.random_member()
    count = to_int(options[0])
    if count == INT64_MIN:
        raise CommandError(LONG_RANGE)
    value = client.db.get_as(key, Set)
    return [] if value is None else random_picks(value.members(), value.random_member, count)


def _all_sets(db, keys) -> list[Set | None]:
    return [db.get_as(key, Set) for key in keys]


def _intersection(sets, limit: int = 0) -> list[bytes]:
    """Members of all sets, at most `limit` of them (0: all), in the order of the smallest set."""
    if any(value is None for value in sets):
        return []
    first, *others = sorted(sets, key=len)
    found = []
    for member in first:
        if all(member in other for other in others):
            found.append(member)
            if len(found) == limit:
                break
    return found


def _union(sets) -> list[bytes]:
    found: dict[bytes, None] = {}
    for value in sets:
        if value is not None:
            found.update(dict.fromkeys(value))
    return list(found)


def _difference(sets) -> list[bytes]:
    """Members of the first set that are in no other."""
    first, *others = sets
    if first is None:
        return []
    others = [value for value in others if value is not None]
    if sum(map(len, others)) < len(first):
        left = dict.fromkeys(first)
        for value in others:
            for member in value:
                left.pop(member, None)
        return list(left)
    return [member for member in first if not any(member in other for other in others)]


def _store(client, key, members: list[bytes], event: str) -> int:
    """Replaces whatever is under a key by a set; by nothing if there are no members."""
    if members:
        client.db.set(key, Set(members), event)
    else:
        client.db.delete(key)
    return len(members)


@command("SINTER", arity=-2, flags="readonly", keys=_KEYS, group="set",
         complexity="O(N*M) for M sets, the smallest with N members",
         summary="Returns the members that all sets have.")
def sinter(client, *keys):
    return SetOf(_intersection(_all_sets(client.db, keys)))


@command("SUNION", arity=-2, flags="readonly", keys=_KEYS, group="set", complexity="O(N) for N members in all",
         summary="Returns the members that any of the sets has.")
def sunion(client, *keys):
    return SetOf(_union(_all_sets(client.db, keys)))


@command("SDIFF", arity=-2, flags="readonly", keys=_KEYS, group="set", complexity="O(N) for N members in all",
         summary="Returns the members of the first set that no other set has.")
def sdiff(client, *keys):
    return SetOf(_difference(_all_sets(client.db, keys)))


@command("SINTERSTORE", arity=-3, access="W R", flags="write denyoom", keys=_KEYS, group="set",
         complexity="O(N*M) for M sets, the smallest with N members", summary="Stores the members that all sets have.")
def sinterstore(client, key, *keys):
    return _store(client, key, _intersection(_all_sets(client.db, keys)), "sinterstore")


@command("SUNIONSTORE", arity=-3, flags="write denyoom", keys=_KEYS, group="set", complexity="O(N) for N members in all",
         access="W R", summary="Stores the members that any of the sets has.")
def sunionstore(client, key, *keys):
    return _store(client, key, _union(_all_sets(client.db, keys)), "sunionstore")


@command("SDIFFSTORE", arity=-3, flags="write denyoom", keys=_KEYS, group="set", complexity="O(N) for N members in all",
         access="W R", summary="Stores the members of the first set that no other set has.")
def sdiffstore(client, key, *keys):
    return _store(client, key, _difference(_all_sets(client.db, keys)), "sdiffstore")


@command("SINTERCARD", arity=-3, flags="readonly movablekeys", group="set", since="7.0.0", get_keys=keys_behind(1),
         complexity="O(N*M) for M sets, the smallest with N members", summary="Counts the members that all sets have.")
def sintercard(client, numkeys, *words):
    keys, limit, _ = _to_count(numkeys, words)
    return len(_intersection(_all_sets(client.db, keys), limit))


def _to_count(numkeys, words, may_be_approximate: bool = False) -> tuple[tuple, int, bool]:
    """numkeys key ... [LIMIT n] [APPROX]: the keys, the limit (0: none) and whether APPROX is there."""
    count = parse_int(numkeys)
    if count is None or count < 1:
        raise CommandError(NUMKEYS_POSITIVE)
    if count > len(words):
        raise CommandError(NUMKEYS_TOO_MANY)
    limit, is_approximate, i = 0, False, count
    while i < len(words):
        word = words[i].upper()
        if word == b"LIMIT" and i + 1 < len(words):
            number = parse_int(words[i + 1])
            if number is None or number < 0:
                raise CommandError(LIMIT_NEGATIVE)
            limit = number
            i += 1
        elif word == b"APPROX" and may_be_approximate:
            is_approximate = True
        else:
            raise syntax_error()
        i += 1
    return words[:count], limit, is_approximate


@command("SUNIONCARD", arity=-3, flags="readonly movablekeys", group="set", since="8.10.0", get_keys=keys_behind(1),
         complexity="O(N) for N members in all", summary="Counts the members that any of the sets has.")
def sunioncard(client, numkeys, *words):
    """APPROX allows an estimate; the count is exact all the same."""
    keys, limit, _ = _to_count(numkeys, words, True)
    n = len(_union(_all_sets(client.db, keys)))
    return min(n, limit) if limit else n


@command("SDIFFCARD", arity=-3, flags="readonly movablekeys", group="set", since="8.10.0", get_keys=keys_behind(1),
         complexity="O(N) for N members in all", summary="Counts the members of the first set that no other set has.")
def sdiffcard(client, numkeys, *words):
    keys, limit, _ = _to_count(numkeys, words)
    n = len(_difference(_all_sets(client.db, keys)))
    return min(n, limit) if limit else n


@command("SSCAN", arity=-3, flags="readonly", keys=_KEY, group="set", since="2.8.0", complexity="O(1) per call",
         summary="Goes through the members of a set step by step.")
def sscan(client, key, cursor, *options):
    position = to_cursor(cursor)
    value = client.db.get_as(key, Set)
    if value is None:
        return cursor_reply(0, [])
    asked = ScanOptions(options, no_values_error=NO_VALUES_ONLY_HSCAN)
    config = client.server.config
    max_ints = config["set-max-intset-entries"]
    if value.encoding(max_ints, config["set-max-listpack-entries"], config["set-max-listpack-value"]) != "hashtable":
        following, members = 0, value.listed(max_ints)
    else:
        following, members = value.scan(position, asked.count)
    if asked.match is not None:
        members = list(filter(asked.match, members))
    return cursor_reply(following, members)
