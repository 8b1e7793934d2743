"""The sorted set commands on one key; those that combine several are in sorted_set_algebra.py,
those that take members out in sorted_set_pops.py."""
import math

from respserver.protocol.errors import (
    LEX_RANGE, LIMIT_NEEDS_RANGE, LONG_RANGE, NO_SCORES_BY_LEX, NO_VALUES_ONLY_HSCAN, OUT_OF_RANGE, SCORE_NAN, SCORE_RANGE,
    ZADD_GT_LT_NX,
    ZADD_INCR_ONE, ZADD_NX_XX, CommandError,
)
from respserver.protocol.reply import NULL_ARRAY, format_double
from respserver.registry import command
from respserver.values.numbers import INT64_MIN
from respserver.values.sorted_set import SortedSet

from .arguments import syntax_error, to_cursor, to_float, to_int
from .scanning import ScanOptions, cursor_reply, random_picks

_KEY = (1, 1, 1)
_EMPTY = SortedSet()


def entries_reply(client, entries, with_scores: bool) -> list:
    """(score, member) pairs as a reply: members, or with scores pairs of the two (RESP2: flat)."""
    if not with_scores:
        return [member for _, member in entries]
    if client.proto == 3:
        return [[member, score] for score, member in entries]
    return [part for score, member in entries for part in (member, score)]


# Scores

_CONDITIONS = frozenset((b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"))


@command("ZADD", arity=-4, flags="write denyoom fast", keys=_KEY, group="sorted-set", since="1.2.0",
         complexity="O(log(N)) for each member", summary="Gives members of a sorted set scores; makes those that are new.")
def zadd(client, key, *words):
    options, i = set(), 0
    while i < len(words) and (word := words[i].upper()) in _CONDITIONS:
        options.add(word)
        i += 1
    return add(client, key, options, words[i:])


def add(client, key, options: set, words):
    """ZADD: `options` from _CONDITIONS, upper case, then scores and members in turn."""
    if not words or len(words) % 2:
        raise syntax_error()
    if options >= {b"NX", b"XX"}:
        raise CommandError(ZADD_NX_XX)
    if len(options & {b"GT", b"LT", b"NX"}) > 1:
        raise CommandError(ZADD_GT_LT_NX)
    is_increment = b"INCR" in options
    if is_increment and len(words) > 2:
        raise CommandError(ZADD_INCR_ONE)
    scores = [to_float(word) for word in words[::2]]
    db = client.db
    value = db.get_as(key, SortedSet)
    is_new = value is None
    if is_new:
        if b"XX" in options:
            return None if is_increment else 0
        value = SortedSet()
    nx, xx, gt, lt = b"NX" in options, b"XX" in options, b"GT" in options, b"LT" in options
    added = changed = 0
    score = None
    for score, member in zip(scores, words[1::2]):
        old = value.score(member)
        if (nx and old is not None) or (xx and old is None):
            score = None
            continue
        if old is None:
            added += 1
        else:
            if is_increment:
                score += old
                if math.isnan(score):
                    raise CommandError(SCORE_NAN)
            if (gt and score <= old) or (lt and score >= old):
                score = None
                continue
            changed += score != old
        value.put(member, score)
    if added + changed:
        event = "zincr" if is_increment else "zadd"
        if is_new:
            db.set(key, value, event)
        else:
            db.changed(key, event, value, value)
    if is_increment:
        return score
    return added + changed if b"CH" in options else added


@command("ZINCRBY", arity=4, access="RW", flags="write denyoom fast", keys=_KEY, group="sorted-set", since="1.2.0",
         complexity="O(log(N))", summary="Adds to the score of a member.")
def zincrby(client, key, amount, member):
    return add(client, key, {b"INCR"}, (amount, member))


@command("ZSCORE", arity=3, flags="readonly fast", keys=_KEY, group="sorted-set", since="1.2.0", complexity="O(1)",
         summary="Returns the score of a member.")
def zscore(client, key, member):
    return (client.db.get_as(key, SortedSet) or _EMPTY).score(member)


@command("ZMSCORE", arity=-3, flags="readonly fast", keys=_KEY, group="sorted-set", since="6.2.0",
         complexity="O(N) for N members",
         summary="Returns the scores of several members.")
def zmscore(client, key, *members):
    value = client.db.get_as(key, SortedSet) or _EMPTY
    return [value.score(member) for member in members]


@command("ZCARD", arity=2, access="-", flags="readonly fast", keys=_KEY, group="sorted-set", since="1.2.0", complexity="O(1)",
         summary="Returns the number of members of a sorted set.")
def zcard(client, key):
    return len(client.db.get_as(key, SortedSet) or _EMPTY)


def _rank(client, key, member, words, reverse: bool):
    if words and (len(words) > 1 or words[0].upper() != b"WITHSCORE"):
        raise syntax_error()
    value = client.db.get_as(key, SortedSet) or _EMPTY
    rank = value.rank(member)
    if rank is None:
        return NULL_ARRAY if words else None
    if reverse:
        rank = len(value) - 1 - rank
    return [rank, value.score(member)] if words else rank


@command("ZRANK", arity=-3, flags="readonly fast", keys=_KEY, group="sorted-set", since="2.0.0", complexity="O(log(N))",
         summary="Returns the position of a member, from the lowest score on.")
def zrank(client, key, member, *words):
    return _rank(client, key, member, words, False)


@command("ZREVRANK", arity=-3, flags="readonly fast", keys=_KEY, group="sorted-set", since="2.0.0", complexity="O(log(N))",
         summary="Returns the position of a member, from the highest score down.")
def zrevrank(client, key, member, *words):
    return _rank(client, key, member, words, True)


# Ranges. Each kind turns two words into positions start and stop of a sorted set.

def _by_rank(first, last, reverse: bool):
    start, end = to_int(first), to_int(last)

    def positions(value):
        n = len(value)
        low = max(start + n if start < 0 else start, 0)
        high = min(end + n if end < 0 else end, n - 1) + 1
        return (n - high, n - low) if reverse else (low, high)
    return positions


def _score_limit(word: bytes) -> tuple[float, bool]:
    """A limit and whether it is left out itself."""
    is_open = word[:1] == b"("
    return to_float(word[1:] if is_open else word, SCORE_RANGE), is_open


def _by_score(low, high):
    (least, least_open), (most, most_open) = _score_limit(low), _score_limit(high)
    return lambda value: (value.below(least, least_open), value.below(most, not most_open))


def _lex_limit(word: bytes):
    """How many members a sorted set has before a limit; as the lower one and as the upper one."""
    if word == b"-":
        return (lambda value: 0), (lambda value: 0)
    if word == b"+":
        return len, len
    kind, text = word[:1], word[1:]
    if kind not in (b"(", b"["):
        raise CommandError(LEX_RANGE)
    return (lambda value: value.before(text, kind == b"(")), (lambda value: value.before(text, kind == b"["))


def _by_lex(low, high):
    start, stop = _lex_limit(low)[0], _lex_limit(high)[1]
    return lambda value: (start(value), stop(value))


def _sliced(value: SortedSet, positions, reverse: bool, offset: int = 0, count: int = -1) -> list:
    """The entries of a range, without the first `offset` and at most `count` (negative: all)."""
    start, stop = positions(value)
    if offset < 0 or start >= stop:
        return []
    if reverse:
        stop -= offset
        start = start if count < 0 else max(start, stop - count)
        n = len(value)
        return value.slice(n - stop, n - start, reverse=True) if start < stop else []
    start += offset
    return value.slice(start, stop if count < 0 else min(stop, start + count)) if start < stop else []


class _RangeOptions:
    """What follows the limits of a range command."""

    def __init__(self, words, *, kinds: bool = False, scores: bool = True, limit: bool = True):
        """`kinds`: BYSCORE, BYLEX and REV are allowed; `scores`: WITHSCORES; `limit`: LIMIT."""
        self.kind = b"BYRANK"
        self.reverse = self.with_scores = False
        self.offset, self.count = 0, -1
        has_limit = False
        i = 0
        while i < len(words):
            word = words[i].upper()
            if word == b"WITHSCORES" and scores:
                self.with_scores = True
            elif word == b"LIMIT" and limit and i + 2 < len(words):
                self.offset, self.count, has_limit = to_int(words[i + 1]), to_int(words[i + 2]), True
                i += 2
            elif word == b"REV" and kinds:
                self.reverse = True
            elif word in (b"BYSCORE", b"BYLEX") and kinds and self.kind == b"BYRANK":
                self.kind = word
            else:
                raise syntax_error()
            i += 1
        if kinds and has_limit and self.kind == b"BYRANK":
            raise CommandError(LIMIT_NEEDS_RANGE)
        if self.with_scores and self.kind == b"BYLEX":
            raise CommandError(NO_SCORES_BY_LEX)

    def positions(self, first, last):
        """The range that two words stand for."""
        if self.kind == b"BYRANK":
            return _by_rank(first, last, self.reverse)
        low, high = (last, first) if self.reverse else (first, last)
        return _by_score(low, high) if self.kind == b"BYSCORE" else _by_lex(low, high)


@command("ZRANGE", arity=-4, flags="readonly", keys=_KEY, group="sorted-set", since="1.2.0",
         complexity="O(log(N)+M) for M members that are returned",
         summary="Returns members by position, score or their own order.")
def zrange(client, key, first, last, *words):
    asked = _RangeOptions(words, kinds=True)
    positions = asked.positions(first, last)
    value = client.db.get_as(key, SortedSet) or _EMPTY
    return entries_reply(client, _sliced(value, positions, asked.reverse, asked.offset, asked.count), asked.with_scores)


@command("ZRANGESTORE", arity=-5, access="W R", flags="write denyoom", keys=(1, 2, 1), group="sorted-set", since="6.2.0",
         complexity="O(log(N)+M) for M members that are stored", summary="Stores a range of a sorted set under another key.")
def zrangestore(client, target, key, first, last, *words):
    asked = _RangeOptions(words, kinds=True, scores=False)
    positions = asked.positions(first, last)
    value = client.db.get_as(key, SortedSet) or _EMPTY
    return store(client.db, target, [(member, score) for score, member in
                                     _sliced(value, positions, asked.reverse, asked.offset, asked.count)], "zrangestore")


def store(db, key: bytes, pairs, event: str) -> int:
    """Stores (member, score) pairs under a key, in place of what is there;
    removes the key if there are none. Returns how many."""
    if not pairs:
        db.delete(key)
        return 0
    value = SortedSet(pairs)
    db.set(key, value, event)
    return len(value)


def _range(client, key, positions, words, *, reverse: bool = False, scores: bool = True, limit: bool = True):
    asked = _RangeOptions(words, scores=scores, limit=limit)
    value = client.db.get_as(key, SortedSet) or _EMPTY
    return entries_reply(client, _sliced(value, positions, reverse, asked.offset, asked.count), asked.with_scores)


@command("ZREVRANGE", arity=-4, flags="readonly", keys=_KEY, group="sorted-set", since="1.2.0", complexity="O(log(N)+M)",
         summary="Returns members by position, from the highest score down.")
def zrevrange(client, key, first, last, *words):
    return _range(client, key, _by_rank(first, last, True), words, reverse=True, limit=False)


@command("ZRANGEBYSCORE", arity=-4, flags="readonly", keys=_KEY, group="sorted-set", since="1.0.5", complexity="O(log(N)+M)",
         summary="Returns the members with scores in a range.")
def zrangebyscore(client, key, low, high, *words):
    return _range(client, key, _by_score(low, high), words)


@command("ZREVRANGEBYSCORE", arity=-4, flags="readonly", keys=_KEY, group="sorted-set", since="2.2.0", complexity="O(log(N)+M)",
         summary="Returns the members with scores in a range, from the highest score down.")
def zrevrangebyscore(client, key, high, low, *words):
    return _range(client, key, _by_score(low, high), words, reverse=True)


@command("ZRANGEBYLEX", arity=-4, flags="readonly", keys=_KEY, group="sorted-set", since="2.8.9", complexity="O(log(N)+M)",
         summary="Returns the members between two texts, where all scores are the same.")
def zrangebylex(client, key, low, high, *words):
    return _range(client, key, _by_lex(low, high), words, scores=False)


@command("ZREVRANGEBYLEX", arity=-4, flags="readonly", keys=_KEY, group="sorted-set", since="2.8.9", complexity="O(log(N)+M)",
         summary="Returns the members between two texts, the greatest first, where all scores are the same.")
def zrevrangebylex(client, key, high, low, *words):
    return _range(client, key, _by_lex(low, high), words, reverse=True, scores=False)


def _count(client, key, positions) -> int:
    start, stop = positions(client.db.get_as(key, SortedSet) or _EMPTY)
    return max(0, stop - start)


@command("ZCOUNT", arity=4, flags="readonly fast", keys=_KEY, group="sorted-set", since="2.0.0", complexity="O(log(N))",
         summary="Counts the members with scores in a range.")
def zcount(client, key, low, high):
    return _count(client, key, _by_score(low, high))


@command("ZLEXCOUNT", arity=4, flags="readonly fast", keys=_KEY, group="sorted-set", since="2.8.9", complexity="O(log(N))",
         summary="Counts the members between two texts, where all scores are the same.")
def zlexcount(client, key, low, high):
    return _count(client, key, _by_lex(low, high))


# Removal

def take_members(db, key: bytes, value: SortedSet, members, event: str) -> int:
    """Removes members, and the key with the last of them. Returns how many were there."""
    n = sum(map(value.remove, members))
    if n:
        db.shrunk(key, event, value)
    return n


@command("ZREM", arity=-3, flags="write fast", keys=_KEY, group="sorted-set", since="1.2.0",
         complexity="O(M*log(N)) for M members",
         summary="Removes members of a sorted set, and the set with its last member.")
def zrem(client, key, *members):
    return take_members(client.db, key, client.db.get_as(key, SortedSet) or _EMPTY, members, "zrem")


def _remove_range(client, key, positions, event: str) -> int:
    value = client.db.get_as(key, SortedSet) or _EMPTY
    return take_members(client.db, key, value, [member for _, member in value.slice(*positions(value))], event)


@command("ZREMRANGEBYRANK", arity=4, flags="write", keys=_KEY, group="sorted-set", since="2.0.0", complexity="O(M*log(N))",
         summary="Removes members by position.")
def zremrangebyrank(client, key, first, last):
    return _remove_range(client, key, _by_rank(first, last, False), "zremrangebyrank")


@command("ZREMRANGEBYSCORE", arity=4, flags="write", keys=_KEY, group="sorted-set", since="1.2.0", complexity="O(M*log(N))",
         summary="Removes the members with scores in a range.")
def zremrangebyscore(client, key, low, high):
    return _remove_range(client, key, _by_score(low, high), "zremrangebyscore")


@command("ZREMRANGEBYLEX", arity=4, flags="write", keys=_KEY, group="sorted-set", since="2.8.9", complexity="O(M*log(N))",
         summary="Removes the members between two texts, where all scores are the same.")
def zremrangebylex(client, key, low, high):
    return _remove_range(client, key, _by_lex(low, high), "zremrangebylex")


# Scans and picks

@command("ZSCAN", arity=-3, flags="readonly", keys=_KEY, group="sorted-set", since="2.8.0", complexity="O(1) per call",
         summary="Goes through the members of a sorted set step by step.")
def zscan(client, key, cursor, *options):
    position = to_cursor(cursor)
    asked = ScanOptions(options, no_values_error=NO_VALUES_ONLY_HSCAN)
    value = client.db.get_as(key, SortedSet)
    if value is None:
        return cursor_reply(0, [])
    following, members = value.scan(position, asked.count)
    return cursor_reply(following, [part for member in members if asked.match is None or asked.match(member)
                                    for part in (member, format_double(value.score(member)).encode())])


@command("ZRANDMEMBER", arity=-2, flags="readonly", keys=_KEY, group="sorted-set", since="6.2.0", complexity="O(N) for N members",
         summary="Returns random members of a sorted set.")
def zrandmember(client, key, *words):
    value = client.db.get_as(key, SortedSet)
    if not words:
        return None if value is None else value.random_member()
    count = to_int(words[0])
    with_scores = len(words) > 1
    if len(words) > 2 or (with_scores and words[1].upper() != b"WITHSCORES"):
        raise syntax_error()
    if count == INT64_MIN:
        raise CommandError(LONG_RANGE)
    if with_scores and count < INT64_MIN // 2:
        raise CommandError(OUT_OF_RANGE)
    if value is None or not count:
        return []
    members = random_picks(value.members(), value.random_member, count)
    return entries_reply(client, [(value.score(member), member) for member in members], with_scores)
