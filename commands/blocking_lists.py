"""The list commands that take from the first of several lists, and those that wait for an element."""
from respserver.protocol.errors import COUNT_POSITIVE, NUMKEYS_POSITIVE, CommandError
from respserver.protocol.reply import NULL_ARRAY
from respserver.registry import command
from respserver.values.list import List
from respserver.values.numbers import parse_int

from .arguments import syntax_error
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


class _ManyPop:
    """The arguments of LMPOP: numkeys key ... LEFT|RIGHT [COUNT n]."""

    def __init__(self, words):
        n_keys = parse_int(words[0])
        if n_keys is None or n_keys < 1:
            raise CommandError(NUMKEYS_POSITIVE)
        if n_keys + 1 >= len(words):
            raise syntax_error()
        self.keys = words[1:1 + n_keys]
        self.left = to_side(words[1 + n_keys])
        self.count = 1
        options = words[2 + n_keys:]
        if options:
            if len(options) != 2 or options[0].upper() != b"COUNT":
                raise syntax_error()
            count = parse_int(options[1])
            if count is None or count < 1:
                raise CommandError(COUNT_POSITIVE)
            self.count = count

    def attempt(self, db, again: bool = False):
        """[key, elements] from the first list there is, or None."""
        for key in self.keys:
            value = _list_at(db, key, again)
            if value is not None:
                return [key, pop_items(db, key, value, self.left, self.count)]
        return None


def _lmpop_keys(words):
    return list(words[2:2 + max(parse_int(words[1]) or 0, 0)])


def _blmpop_keys(words):
    return list(words[3:3 + max(parse_int(words[2]) or 0, 0)])


@command("LMPOP", arity=-4, flags="write movablekeys", group="list", since="7.0.0", complexity="O(N+M) for N keys and M elements",
         access="RW", get_keys=_lmpop_keys, summary="Takes elements from the first list that has some.")
def lmpop(client, *words):
    found = _ManyPop(words).attempt(client.db)
    return NULL_ARRAY if found is None else found


@command("BLMPOP", arity=-5, access="RW", flags="write blocking movablekeys", group="list", since="7.0.0",
         complexity="O(N+M) for N keys and M elements", get_keys=_blmpop_keys,
         summary="Takes elements from the first list that has some; waits for them if need be.")
def blmpop(client, timeout, *words):
    seconds = to_timeout(timeout)
    asked = _ManyPop(words)
    db = client.db
    return wait_for_key(client, asked.keys, lambda again: asked.attempt(db, again), seconds, NULL_ARRAY)
