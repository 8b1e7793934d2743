"""Unions, intersections and differences of sorted sets; sets count as sorted sets in which every score is 1."""
import math
from collections.abc import Callable

from respserver.protocol.errors import LIMIT_NEGATIVE, NO_INPUT_KEYS, WEIGHT_NOT_FLOAT, WRONG_TYPE, CommandError
from respserver.registry import command
from respserver.values.numbers import parse_int
from respserver.values.set import Set
from respserver.values.sorted_set import SortedSet

from .arguments import keys_behind, syntax_error, to_float, to_int
from .sorted_sets import entries_reply, store

_COMPLEXITY = "O(N*log(N)) for N members in all"


def _total(a: float, b: float) -> float:
    """The sum; opposite infinities make 0, as in Redis."""
    c = a + b
    return 0.0 if math.isnan(c) else c


_AGGREGATES: dict[bytes, Callable[[float, float], float]] = {b"SUM": _total, b"MIN": min, b"MAX": max}


class _Request:
    """numkeys key ... [WEIGHTS w ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES], or LIMIT for a count."""

    def __init__(self, name: str, words, *, weights: bool = False, scores: bool = False, limit: bool = False):
        n = to_int(words[0])
        if n < 1:
            raise CommandError(NO_INPUT_KEYS.format(name))
        if n > len(words) - 1:
            raise syntax_error()
        self.keys, options = words[1:1 + n], words[1 + n:]
        self.weights = [1.0] * n
        self.aggregate = _total
        self.with_scores = False
        self.limit = 0
        i = 0
        while i < len(options):
            word, left = options[i].upper(), len(options) - i - 1
            if word == b"WEIGHTS" and weights and left >= n:
                self.weights = [to_float(text, WEIGHT_NOT_FLOAT) for text in options[i + 1:i + 1 + n]]
                i += n
            elif word == b"AGGREGATE" and weights and left and options[i + 1].upper() in _AGGREGATES:
                self.aggregate = _AGGREGATES[options[i + 1].upper()]
                i += 1
            elif word == b"WITHSCORES" and scores:
                self.with_scores = True
            elif word == b"LIMIT" and limit and left:
                number = parse_int(options[i + 1])
                if number is None or number < 0:
                    raise CommandError(LIMIT_NEGATIVE)
                self.limit = number
                i += 1
            else:
                raise syntax_error()
            i += 1

    def inputs(self, db) -> list[dict[bytes, float]]:
        """The members with their scores, weighted, of each key."""
        return [_weighted(db.get(key), weight) for key, weight in zip(self.keys, self.weights)]


def _weighted(value, weight: float) -> dict[bytes, float]:
    if value is None:
        return {}
    if type(value) is Set:
        return dict.fromkeys(value, weight)
    if type(value) is not SortedSet:
        raise CommandError(WRONG_TYPE)
    if weight == 1:
        return dict(value.items())
    return {member: _product(score, weight) for member, score in value.items()}


def _product(score: float, weight: float) -> float:
    product = score * weight
    return 0.0 if math.isnan(product) else product


def _union(db, asked: _Request) -> dict[bytes, float]:
    found: dict[bytes, float] = {}
    for scores in asked.inputs(db):
        for member, score in scores.items():
            found[member] = asked.aggregate(found[member], score) if member in found else score
    return found


def _intersection(db, asked: _Request) -> dict[bytes, float]:
    inputs = asked.inputs(db)
    smallest = min(inputs, key=len)
    found = {}
    for member in smallest:
        if all(member in scores for scores in inputs):
            score = inputs[0][member]
            for scores in inputs[1:]:
                score = asked.aggregate(score, scores[member])
            found[member] = score
    return found


def _difference(db, asked: _Request) -> dict[bytes, float]:
    first, *others = asked.inputs(db)
    return {member: score for member, score in first.items() if not any(member in scores for scores in others)}


def _answer(client, name: str, words, operation, weights: bool) -> list:
    asked = _Request(name, words, weights=weights, scores=True)
    entries = sorted((score, member) for member, score in operation(client.db, asked).items())
    return entries_reply(client, entries, asked.with_scores)


def _store(client, key, name: str, words, operation, weights: bool) -> int:
    asked = _Request(name, words, weights=weights)
    return store(client.db, key, operation(client.db, asked), name)


def _target_and_source_keys(words):
    return [words[1], *words[3:3 + max(parse_int(words[2]) or 0, 0)]]


@command("ZUNION", arity=-3, flags="readonly movablekeys", group="sorted-set", since="6.2.0", get_keys=keys_behind(1),
         complexity=_COMPLEXITY, summary="Returns the members that any of the sorted sets has.")
def zunion(client, *words):
    return _answer(client, "zunion", words, _union, True)


@command("ZINTER", arity=-3, flags="readonly movablekeys", group="sorted-set", since="6.2.0", get_keys=keys_behind(1),
         complexity=_COMPLEXITY, summary="Returns the members that all sorted sets have.")
def zinter(client, *words):
    return _answer(client, "zinter", words, _intersection, True)


@command("ZDIFF", arity=-3, flags="readonly movablekeys", group="sorted-set", since="6.2.0", get_keys=keys_behind(1),
         complexity=_COMPLEXITY, summary="Returns the members of the first sorted set that no other one has.")
def zdiff(client, *words):
    return _answer(client, "zdiff", words, _difference, False)


@command("ZUNIONSTORE", arity=-4, flags="write denyoom movablekeys", keys=(1, 1, 1), group="sorted-set", since="2.0.0",
         access="W R",
         get_keys=_target_and_source_keys, complexity=_COMPLEXITY, summary="Stores the members that any of the sorted sets has.")
def zunionstore(client, key, *words):
    return _store(client, key, "zunionstore", words, _union, True)


@command("ZINTERSTORE", arity=-4, flags="write denyoom movablekeys", keys=(1, 1, 1), group="sorted-set", since="2.0.0",
         access="W R",
         get_keys=_target_and_source_keys, complexity=_COMPLEXITY, summary="Stores the members that all sorted sets have.")
def zinterstore(client, key, *words):
    return _store(client, key, "zinterstore", words, _intersection, True)


@command("ZDIFFSTORE", arity=-4, flags="write denyoom movablekeys", keys=(1, 1, 1), group="sorted-set", since="6.2.0",
         access="W R",
         get_keys=_target_and_source_keys, complexity=_COMPLEXITY,
         summary="Stores the members of the first sorted set that no other one has.")
def zdiffstore(client, key, *words):
    return _store(client, key, "zdiffstore", words, _difference, False)


@command("ZINTERCARD", arity=-3, flags="readonly movablekeys", group="sorted-set", since="7.0.0", get_keys=keys_behind(1),
         complexity="O(N*M) for M sets, the smallest with N members", summary="Counts the members that all sorted sets have.")
def zintercard(client, *words):
    asked = _Request("zintercard", words, limit=True)
    n = len(_intersection(client.db, asked))
    return min(n, asked.limit) if asked.limit else n
