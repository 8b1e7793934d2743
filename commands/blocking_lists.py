"""The list commands that take from the first of several lists, and those that wait for an element."""
from functools import partial

from respserver.protocol.reply import NULL_ARRAY
from respserver.registry import command
from respserver.values.list import List

from .arguments import keys_behind, to_many_pop
from .blocking import to_timeout, wait_for_key
from .lists import move_item, pop_items, to_side


def _list_at(db, key, again: bool) -> List | None:
    """The list under a key. Another type is an error, or, when a client has waited already, no list."""
    if again and type(db.get(key)) is not List:
        return None
    return db.get_as(key, List)


def _pop_first(client, words, left: bool):
    """BLPOP and BRPOP: words are keys and the timeout."""
    db = client.db
    keys = words[:-1]
    seconds = to_timeout(words[-1])

    def attempt(again: bool):
        for key in keys:
            value = _list_at(db, key, again)
            if value is not None:
                return [key, pop_items(db, key, value, left, 1)[0]]
        return None
    return wait_for_key(client, keys, attempt, seconds, NULL_ARRAY)


@command("BLPOP", arity=-3, flags="write blocking", keys=(1, -2, 1), group="list", since="2.0.0", complexity="O(N) for N keys",
         access="RW", summary="Takes the first element of the first list that has one; waits for it if need be.")
def blpop(client, *words):
    return _pop_first(client, words, True)


@command("BRPOP", arity=-3, flags="write blocking", keys=(1, -2, 1), group="list", since="2.0.0", complexity="O(N) for N keys",
         access="RW", summary="Takes the last element of the first list that has one; waits for it if need be.")
def brpop(client, *words):
    return _pop_first(client, words, False)


def _move(client, key, new_key, from_left: bool, to_left: bool, timeout):
    db = client.db
    seconds = to_timeout(timeout)

    def attempt(again: bool):
        return None if _list_at(db, key, again) is None else move_item(db, key, new_key, from_left, to_left)
    return wait_for_key(client, (key,), attempt, seconds, None)


@command("BLMOVE", arity=6, flags="write denyoom blocking", keys=(1, 2, 1), group="list", since="6.2.0", complexity="O(1)",
         access="RW W", summary="Moves an element from one list to another; waits for it if need be.")
def blmove(client, key, new_key, source_side, target_side, timeout):
    return _move(client, key, new_key, to_side(source_side), to_side(target_side), timeout)


@command("BRPOPLPUSH", arity=4, flags="write denyoom blocking", keys=(1, 2, 1), group="list", since="2.2.0", complexity="O(1)",
         access="RW W", summary="Moves the last element of a list to the front of another; waits for it if need be.")
def brpoplpush(client, key, new_key, timeout):
    return _move(client, key, new_key, False, True, timeout)


def _many_pop(words):
    """The keys that LMPOP's words name, and what takes from the first list there is: [key, elements] or None."""
    keys, end, count = to_many_pop(words, (b"LEFT", b"RIGHT"))

    def attempt(db, again: bool = False):
        for key in keys:
            value = _list_at(db, key, again)
            if value is not None:
                return [key, pop_items(db, key, value, end == b"LEFT", count)]
        return None
    return keys, attempt


@command("LMPOP", arity=-4, flags="write movablekeys", group="list", since="7.0.0", complexity="O(N+M) for N keys and M elements",
         access="RW", get_keys=keys_behind(1), summary="Takes elements from the first list that has some.")
def lmpop(client, *words):
    found = _many_pop(words)[1](client.db)
    return NULL_ARRAY if found is None else found


@command("BLMPOP", arity=-5, access="RW", flags="write blocking movablekeys", group="list", since="7.0.0",
         complexity="O(N+M) for N keys and M elements", get_keys=keys_behind(2),
         summary="Takes elements from the first list that has some; waits for them if need be.")
def blmpop(client, timeout, *words):
    seconds = to_timeout(timeout)
    keys, attempt = _many_pop(words)
    return wait_for_key(client, keys, partial(attempt, client.db), seconds, NULL_ARRAY)
