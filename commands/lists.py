"""The list commands that do not wait (commands/blocking_lists.py has those that may)."""
from respserver.protocol.errors import (
    INDEX_OUT_OF_RANGE, LPOS_COUNT, LPOS_MAXLEN, LPOS_RANK, NO_SUCH_KEY, NOT_POSITIVE, LONG_RANGE, CommandError,
)
from respserver.protocol.reply import NULL_ARRAY, OK
from respserver.registry import command
from respserver.values.list import List
from respserver.values.numbers import INT64_MIN, parse_int

from .arguments import syntax_error, to_int, wrong_arity

_KEY = (1, 1, 1)


def _push(client, key, items, left: bool, must_exist: bool) -> int:
    db = client.db
    value = db.get_as(key, List)
    event = "lpush" if left else "rpush"
    if value is None:
        if must_exist:
            return 0
        value = List(items[::-1] if left else items)
        n = len(value)
        db.set(key, value, event)
        return n
    if left:
        value.push_left(items)
    else:
        value.push_right(items)
    n = len(value)
    db.changed(key, event, value, value)
    return n


@command("LPUSH", arity=-3, flags="write denyoom fast", keys=_KEY, group="list", complexity="O(N) for N elements",
         summary="Puts elements before the first of a list, which is made if it is not there.")
def lpush(client, key, *items):
    return _push(client, key, items, True, False)


@command("RPUSH", arity=-3, flags="write denyoom fast", keys=_KEY, group="list", complexity="O(N) for N elements",
         summary="Puts elements behind the last of a list, which is made if it is not there.")
def rpush(client, key, *items):
    return _push(client, key, items, False, False)


@command("LPUSHX", arity=-3, flags="write denyoom fast", keys=_KEY, group="list", since="2.2.0", complexity="O(N) for N elements",
         summary="Puts elements before the first of a list that exists.")
def lpushx(client, key, *items):
    return _push(client, key, items, True, True)


@command("RPUSHX", arity=-3, flags="write denyoom fast", keys=_KEY, group="list", since="2.2.0", complexity="O(N) for N elements",
         summary="Puts elements behind the last of a list that exists.")
def rpushx(client, key, *items):
    return _push(client, key, items, False, True)


def pop_items(db, key, value: List, left: bool, count: int) -> list[bytes]:
    """Takes up to `count` elements from one end of a list, in the order of their removal; the list goes with its last element."""
    pop = value.pop_left if left else value.pop_right
    items = [pop() for _ in range(min(count, len(value)))]
    if items:
        event = "lpop" if left else "rpop"
        db.shrunk(key, event, value)
    return items


def _pop(client, key, options, left: bool, name: str):
    if not options:
        value = client.db.get_as(key, List)
        return None if value is None else pop_items(client.db, key, value, left, 1)[0]
    if len(options) > 1:
        raise wrong_arity(name)
    count = parse_int(options[0])
    if count is None or count < 0:
        raise CommandError(NOT_POSITIVE)
    value = client.db.get_as(key, List)
    return NULL_ARRAY if value is None else pop_items(client.db, key, value, left, count)


@command("LPOP", arity=-2, access="RW", flags="write fast", keys=_KEY, group="list", complexity="O(N) for N elements",
         summary="Takes the first elements from a list.")
def lpop(client, key, *options):
    return _pop(client, key, options, True, "lpop")


@command("RPOP", arity=-2, access="RW", flags="write fast", keys=_KEY, group="list", complexity="O(N) for N elements",
         summary="Takes the last elements from a list.")
def rpop(client, key, *options):
    return _pop(client, key, options, False, "rpop")


@command("LLEN", arity=2, access="-", flags="readonly fast", keys=_KEY, group="list", complexity="O(1)",
         summary="Returns the length of a list.")
def llen(client, key):
    value = client.db.get_as(key, List)
    return 0 if value is None else len(value)


@command("LINDEX", arity=3, flags="readonly", keys=_KEY, group="list", complexity="O(N)",
         summary="Returns one element of a list.")
def lindex(client, key, position):
    value = client.db.get_as(key, List)
    return None if value is None else value.at(to_int(position))


@command("LSET", arity=4, flags="write denyoom", keys=_KEY, group="list", complexity="O(N)",
         summary="Replaces one element of a list.")
def lset(client, key, position, item):
    db = client.db
    value = db.get_as(key, List)
    if value is None:
        raise CommandError(NO_SUCH_KEY)
    if not value.replace(to_int(position), item):
        raise CommandError(INDEX_OUT_OF_RANGE)
    db.changed(key, "lset", value, value)
    return OK


def _bounds(start: int, end: int, length: int) -> tuple[int, int]:
    """An inclusive range that may count from the right as a half-open one; empty if start >= end."""
    if start < 0:
        start = max(start + length, 0)
    if end < 0:
        end += length
    return start, max(min(end, length - 1) + 1, 0)


@command("LRANGE", arity=4, flags="readonly", keys=_KEY, group="list", complexity="O(S+N) for N elements, S from the nearer end",
         summary="Returns a range of a list.")
def lrange(client, key, start, end):
    first, last = to_int(start), to_int(end)
    value = client.db.get_as(key, List)
    if value is None:
        return []
    low, high = _bounds(first, last, len(value))
    return value.range(low, high) if low < high else []


@command("LTRIM", arity=4, flags="write", keys=_KEY, group="list", complexity="O(N)",
         summary="Keeps only a range of a list.")
def ltrim(client, key, start, end):
    first, last = to_int(start), to_int(end)
    db = client.db
    value = db.get_as(key, List)
    if value is None:
        return OK
    low, high = _bounds(first, last, len(value))
    if low >= high:
        db.delete(key, "ltrim")
    elif (low, high) != (0, len(value)):
        value.trim(low, high)
        db.changed(key, "ltrim", value, value)
    return OK


@command("LREM", arity=4, flags="write", keys=_KEY, group="list", complexity="O(N)",
         summary="Takes equal elements out of a list.")
def lrem(client, key, count, item):
    limit = to_int(count)
    db = client.db
    value = db.get_as(key, List)
    if value is None:
        return 0
    n = value.remove(item, limit)
    if n:
        db.shrunk(key, "lrem", value)
    return n


@command("LINSERT", arity=5, flags="write denyoom", keys=_KEY, group="list", since="2.2.0", complexity="O(N)",
         summary="Puts an element before or after another one.")
def linsert(client, key, where, pivot, item):
    side = where.upper()
    if side not in (b"BEFORE", b"AFTER"):
        raise syntax_error()
    db = client.db
    value = db.get_as(key, List)
    if value is None:
        return 0
    position = value.find(pivot)
    if position < 0:
        return -1
    value.insert(position + (side == b"AFTER"), item)
    n = len(value)
    db.changed(key, "linsert", value, value)
    return n


@command("LPOS", arity=-3, flags="readonly", keys=_KEY, group="list", since="6.0.6", complexity="O(N)",
         summary="Returns the positions of equal elements.")
def lpos(client, key, item, *options):
    rank, count, max_compared = 1, None, 0
    for i in range(0, len(options), 2):
        word = options[i].upper()
        if i + 1 >= len(options):
            raise syntax_error()
        if word == b"RANK":
            rank = to_int(options[i + 1])
            if rank == INT64_MIN:
                raise CommandError(LONG_RANGE)
            if rank == 0:
                raise CommandError(LPOS_RANK)
        elif word == b"COUNT":
            count = parse_int(options[i + 1])
            if count is None or count < 0:
                raise CommandError(LPOS_COUNT)
        elif word == b"MAXLEN":
            max_compared = parse_int(options[i + 1])
            if max_compared is None or max_compared < 0:
                raise CommandError(LPOS_MAXLEN)
        else:
            raise syntax_error()
    value = client.db.get_as(key, List)
    if value is None:
        return None if count is None else []
    skip = abs(rank) - 1
    found = []
    for position in value.positions(item, backwards=rank < 0, max_compared=max_compared):
        if skip:
            skip -= 1
            continue
        if count is None:
            return position
        found.append(position)
        if len(found) == count:
            break
    return None if count is None else found


def to_side(word: bytes) -> bool:
    """LEFT or RIGHT as whether it is left."""
    side = word.upper()
    if side not in (b"LEFT", b"RIGHT"):
        raise syntax_error()
    return side == b"LEFT"


def move_item(db, key, new_key, from_left: bool, to_left: bool) -> bytes | None:
    """Moves one element from an end of a list to an end of a list (maybe the same one). Returns it, or None if there is none."""
    source = db.get_as(key, List)
    if source is None:
        return None
    target = db.get_as(new_key, List)
    if target is source:
        item = source.pop_left() if from_left else source.pop_right()
        if to_left:
            source.push_left((item,))
        else:
            source.push_right((item,))
        db.changed(key, "lpush" if to_left else "rpush", source, source)
        return item
    item = pop_items(db, key, source, from_left, 1)[0]
    if target is None:
        db.set(new_key, List((item,)), "lpush" if to_left else "rpush")
    else:
        if to_left:
            target.push_left((item,))
        else:
            target.push_right((item,))
        db.changed(new_key, "lpush" if to_left else "rpush", target, target)
    return item


@command("LMOVE", arity=5, access="RW W", flags="write denyoom", keys=(1, 2, 1), group="list", since="6.2.0", complexity="O(1)",
         summary="Moves an element from one list to another.")
def lmove(client, key, new_key, source_side, target_side):
    return move_item(client.db, key, new_key, to_side(source_side), to_side(target_side))


@command("RPOPLPUSH", arity=3, flags="write denyoom", keys=(1, 2, 1), group="list", since="1.2.0", complexity="O(1)",
         access="RW W", summary="Moves the last element of a list to the front of another.")
def rpoplpush(client, key, new_key):
    return move_item(client.db, key, new_key, False, True)
