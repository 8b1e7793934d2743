"""The sorted set commands that take members out at the ends, and those that wait for members."""
from functools import partial

from respserver.protocol.errors import NOT_POSITIVE, CommandError
from respserver.protocol.reply import NULL_ARRAY
from respserver.registry import command
from respserver.values.numbers import parse_int
from respserver.values.sorted_set import SortedSet

from .arguments import keys_behind, syntax_error, to_many_pop
from .blocking import to_timeout, wait_for_key
from .sorted_sets import entries_reply, take_members

_KEY = (1, 1, 1)


def _pop(db, key: bytes, value: SortedSet, highest: bool, count: int) -> list[tuple[float, bytes]]:
    """Takes up to `count` entries out at one end."""
    entries = value.slice(0, count, reverse=highest)
    take_members(db, key, value, [member for _, member in entries], "zpopmax" if highest else "zpopmin")
    return entries


def _pop_some(client, key, words, highest: bool):
    if len(words) > 1:
        raise syntax_error()
    count = parse_int(words[0]) if words else 1
    if count is None or count < 0:
        raise CommandError(NOT_POSITIVE)
    value = client.db.get_as(key, SortedSet)
    entries = [] if value is None else _pop(client.db, key, value, highest, count)
    if words:
        return entries_reply(client, entries, True)
    return [part for score, member in entries for part in (member, score)]


@command("ZPOPMIN", arity=-2, access="RW", flags="write fast", keys=_KEY, group="sorted-set", since="5.0.0",
         complexity="O(M*log(N)) for M members", summary="Takes the members with the lowest scores out.")
def zpopmin(client, key, *words):
    return _pop_some(client, key, words, False)


@command("ZPOPMAX", arity=-2, access="RW", flags="write fast", keys=_KEY, group="sorted-set", since="5.0.0",
         complexity="O(M*log(N)) for M members", summary="Takes the members with the highest scores out.")
def zpopmax(client, key, *words):
    return _pop_some(client, key, words, True)


def _at(db, key: bytes, again: bool) -> SortedSet | None:
    """The sorted set under a key. Another type is an error, or, when a client has waited already, no sorted set."""
    if again and type(db.get(key)) is not SortedSet:
        return None
    return db.get_as(key, SortedSet)


def _wait_and_pop(client, words, highest: bool):
    """BZPOPMIN and BZPOPMAX: words are keys and the timeout."""
    db, keys, seconds = client.db, words[:-1], to_timeout(words[-1])

    def attempt(again: bool):
        for key in keys:
            value = _at(db, key, again)
            if value is not None:
                [(score, member)] = _pop(db, key, value, highest, 1)
                return [key, member, score]
        return None
    return wait_for_key(client, keys, attempt, seconds, NULL_ARRAY)


@command("BZPOPMIN", arity=-3, access="RW", flags="write blocking fast", keys=(1, -2, 1), group="sorted-set", since="5.0.0",
         complexity="O(log(N))",
         summary="Takes the member with the lowest score from the first sorted set there is; waits for it if need be.")
def bzpopmin(client, *words):
    return _wait_and_pop(client, words, False)


@command("BZPOPMAX", arity=-3, access="RW", flags="write blocking fast", keys=(1, -2, 1), group="sorted-set", since="5.0.0",
         complexity="O(log(N))",
         summary="Takes the member with the highest score from the first sorted set there is; waits for it if need be.")
def bzpopmax(client, *words):
    return _wait_and_pop(client, words, True)


def _many_pop(words):
    """The keys that ZMPOP's words name, and what takes members of the first sorted set there is:
    [key, [[member, score], ...]] or None."""
    keys, end, count = to_many_pop(words, (b"MIN", b"MAX"))

    def attempt(db, again: bool = False):
        for key in keys:
            value = _at(db, key, again)
            if value is not None:
                return [key, [[member, score] for score, member in _pop(db, key, value, end == b"MAX", count)]]
        return None
    return keys, attempt


@command("ZMPOP", arity=-4, access="RW", flags="write movablekeys", group="sorted-set", since="7.0.0", get_keys=keys_behind(1),
         complexity="O(K)+O(M*log(N)) for K keys and M members",
         summary="Takes members out of the first sorted set that has some.")
def zmpop(client, *words):
    found = _many_pop(words)[1](client.db)
    return NULL_ARRAY if found is None else found


@command("BZMPOP", arity=-5, access="RW", flags="write blocking movablekeys", group="sorted-set", since="7.0.0",
         get_keys=keys_behind(2),
         complexity="O(K)+O(M*log(N)) for K keys and M members",
         summary="Takes members out of the first sorted set that has some; waits for them if need be.")
def bzmpop(client, timeout, *words):
    seconds = to_timeout(timeout)
    keys, attempt = _many_pop(words)
    return wait_for_key(client, keys, partial(attempt, client.db), seconds, NULL_ARRAY)
