"""The words of FT.HYBRID: a search by words, a search by a vector, how the two are combined, and the steps that follow."""
from __future__ import annotations

from dataclasses import dataclass, field as _field
from typing import Callable, Sequence

from . import errors
from .aggregate_options import AggregateOptions, Arrange, Filter, Group, Load, apply, check_collected, group_by, load, with_cursor
from .errors import fail
from .options import Words, keyword, to_float, to_integer
from .runtime import SHARD_RATIO, parse_ratio
from .search_options import check_format, read_params, read_scorer
from .tree import VectorAttribute

__all__ = ["HybridOptions", "VectorPart", "Combine", "parse_hybrid"]

LEAST_DIALECT = 2
DEFAULT_K = 10
#: Rows of the reply if nothing says how many.
DEFAULT_COUNT = 10
_MAX_INT = (1 << 31) - 1


@dataclass(slots=True)
class Combine:
    """RRF: the sum of 1 / (constant + rank); LINEAR: alpha * score by words + beta * score by the vector. `window`: how many
    of each list count."""
    is_linear: bool = False
    constant: float = 60.0
    alpha: float = 0.3
    beta: float = 0.7
    window: int = 20


@dataclass(slots=True)
class VectorPart:
    """VSIM."""
    field: bytes
    param: bytes                                 # without $
    k: int = DEFAULT_K
    radius: float | None = None                  # RANGE, else KNN
    epsilon: bytes | None = None                 # as given
    filter: bytes | None = None                  # query text
    attributes: list[VectorAttribute] = _field(default_factory=list)
    alias: bytes | None = None                   # YIELD_SCORE_AS


@dataclass(slots=True)
class HybridOptions(AggregateOptions):
    """`steps` ends with what cuts out the page, and begins with all LOADs."""
    text: bytes = b""
    text_alias: bytes | None = None              # YIELD_SCORE_AS of SEARCH
    vector: VectorPart | None = None
    combine: Combine = _field(default_factory=Combine)
    alias: bytes | None = None                   # YIELD_SCORE_AS of COMBINE
    is_unsorted: bool = False                    # NOSORT


def parse_hybrid(words: Sequence[bytes], *, proto: int = 2, max_results: int = 1_000_000,
                 default_dialect: int = 2) -> HybridOptions:
    """Reads the words after the index's name. Raises CommandError."""
    cursor = Words(words)
    options = HybridOptions(dialect=max(default_dialect, LEAST_DIALECT))
    _start(cursor)
    _search(cursor, options)
    _vector(cursor, options)
    seen: set[bytes] = set()
    while cursor:
        word = cursor.next()
        name = keyword(word)
        reader = _READERS.get(name)
        if reader is None:
            raise fail(errors.HYBRID_ARGUMENT, word, "Unknown argument")
        if name in seen and name not in _REPEATED:
            raise fail(errors.HYBRID_ARGUMENT, name, "Argument specified multiple times")
        seen.add(name)
        reader(cursor, options)
    if options.explain_score and b"GROUPBY" in seen:
        raise fail(errors.HYBRID_EXPLAIN_GROUP)
    _finish(options, max_results)
    check_format(options, proto)
    if options.params is None:
        options.params = {}
    return options


def _start(cursor: Words) -> None:
    if not cursor:
        raise fail(errors.HYBRID_COUNT_MISSING)
    count = to_integer(cursor.words[cursor.at])
    if count is None or count < 1:
        if not cursor.match(b"SEARCH"):
            raise fail(errors.HYBRID_COUNT)
        return
    cursor.next()
    if count != 2:
        raise fail(errors.HYBRID_COUNT_TWO)
    if not cursor.match(b"SEARCH"):
        raise fail(errors.HYBRID_SEARCH)


def _search(cursor: Words, options: HybridOptions) -> None:
    if not cursor:
        raise fail(errors.HYBRID_TEXT)
    options.text = cursor.next()
    while cursor and cursor.peek() != b"VSIM":
        word = cursor.next()
        name = keyword(word)
        if name == b"SCORER":
            read_scorer(cursor, options)
        elif name == b"YIELD_SCORE_AS":
            options.text_alias = cursor.word("YIELD_SCORE_AS")
        elif name == b"DIALECT":
            raise fail(errors.HYBRID_DIALECT)
        else:
            raise fail(errors.HYBRID_UNKNOWN_IN, word, "SEARCH")


# ------------------------------------------------------------------------------------------------------------- VSIM

def _vector(cursor: Words, options: HybridOptions) -> None:
    if not cursor.match(b"VSIM"):
        raise fail(errors.HYBRID_VSIM)
    if not cursor:
        raise fail(errors.HYBRID_FIELD_MISSING)
    field = cursor.next()
    if not field.startswith(b"@"):
        raise fail(errors.HYBRID_FIELD_PREFIX)
    if not cursor:
        raise fail(errors.HYBRID_VECTOR_MISSING)
    param = cursor.next()
    if not param.startswith(b"$"):
        raise fail(errors.HYBRID_VECTOR_PARAM)
    part = options.vector = VectorPart(field[1:], param[1:])
    if cursor.match(b"KNN"):
        _knn(cursor, part)
    elif cursor.match(b"RANGE"):
        _range(cursor, part)
    if cursor.match(b"FILTER"):
        _filter_first(cursor, part)
    while cursor.match(b"YIELD_SCORE_AS"):
        if part.alias is not None:
            raise fail(errors.HYBRID_TWICE, "YIELD_SCORE_AS")
        part.alias = _value(cursor, "YIELD_SCORE_AS")
    if cursor.peek() == b"DIALECT":
        raise fail(errors.HYBRID_DIALECT)


def _value(cursor: Words, name) -> bytes:
    if not cursor:
        raise fail(errors.HYBRID_NO_VALUE, name)
    return cursor.next()


def _pairs(cursor: Words, clause: str, names: tuple[bytes, ...]):
    """The names and values of KNN and RANGE."""
    if not cursor:
        raise fail(errors.HYBRID_PAIRS_MISSING)
    count = to_integer(cursor.next())
    if count is None or not 0 <= count <= _MAX_INT:
        raise fail(errors.HYBRID_PAIRS_NUMBER)
    if not count or count % 2:
        raise fail(errors.HYBRID_PAIRS, count)
    seen: set[bytes] = set()
    for i in range(0, count, 2):
        if not cursor:
            raise fail(errors.HYBRID_PAIRS_FEW, count, i, "was" if i == 1 else "were")
        word = cursor.next()
        name = keyword(word)
        if name not in names:
            raise fail(errors.HYBRID_UNKNOWN_IN, word, clause)
        if name in seen:
            raise fail(errors.HYBRID_TWICE, name)
        seen.add(name)
        yield name, _value(cursor, name)
    if names[0] not in seen:
        raise fail(errors.HYBRID_REQUIRED, names[0])


#: What Redis takes for the index alone, and this server for single queries, too.
_EXTRA = (b"SEARCH_WINDOW_SIZE", b"SEARCH_BUFFER_CAPACITY", b"USE_SEARCH_HISTORY", b"RERANK")


def _knn(cursor: Words, part: VectorPart) -> None:
    for name, value in _pairs(cursor, "KNN", (b"K", b"EF_RUNTIME", SHARD_RATIO, *_EXTRA, b"OVERSAMPLING", b"TARGET_RECALL")):
        if name == b"K":
            k = to_integer(value)
            if k is None or not 1 <= k < 1 << 63:
                raise fail(errors.HYBRID_VALUE, name)
            part.k = k
        elif name == SHARD_RATIO:
            parse_ratio(value)          # says something to clusters only
        else:
            number = to_integer(value)
            if name == b"EF_RUNTIME" and (number is None or number < 1):
                raise fail(errors.HYBRID_VALUE, name)
            part.attributes.append(VectorAttribute(name, value))


def _range(cursor: Words, part: VectorPart) -> None:
    for name, value in _pairs(cursor, "RANGE", (b"RADIUS", b"EPSILON", *_EXTRA)):
        number = to_float(value)
        if name == b"RADIUS":
            if number is None or number < 0:
                raise fail(errors.HYBRID_VALUE, name)
            part.radius = number
            continue
        if name == b"EPSILON":
            if number is None or number <= 0:
                raise fail(errors.HYBRID_VALUE, name)
            part.epsilon = value
        part.attributes.append(VectorAttribute(name, value))


def _filter_first(cursor: Words, part: VectorPart) -> None:
    """FILTER of VSIM: a query text, or the number of words, the text and how to go about it."""
    if not cursor:
        raise fail(errors.HYBRID_FILTER_COUNT)
    count = to_integer(cursor.words[cursor.at])
    if count is None or count < 0:
        part.filter = cursor.next()
        return
    cursor.next()
    if count > cursor.left:
        raise fail(errors.HYBRID_FEW, "FILTER", count, cursor.left)
    words = Words(cursor.words, cursor.at, cursor.at + count)
    cursor.at += count
    if not words:
        raise fail(errors.HYBRID_FILTER_TEXT)
    part.filter = words.next()
    seen: set[bytes] = set()
    while words:
        word = words.next()
        name = keyword(word)
        if name not in (b"POLICY", b"BATCH_SIZE"):
            raise fail(errors.HYBRID_ARGUMENT, word, "Unknown argument")
        if name in seen:
            raise fail(errors.HYBRID_ARGUMENT, name, "Argument specified multiple times")
        seen.add(name)
        if not words:
            raise fail(errors.HYBRID_ARGUMENT, name, errors.TAIL_MISSING)
        value = words.next()
        if name == b"POLICY":
            if keyword(value) not in (b"ADHOC", b"BATCHES"):
                raise fail(errors.HYBRID_ARGUMENT, name, "Invalid value for argument")
            name, value = b"HYBRID_POLICY", b"ADHOC_BF" if keyword(value) == b"ADHOC" else b"BATCHES"
        part.attributes.append(VectorAttribute(name, value))


# ---------------------------------------------------------------------------------------------------------- COMBINE

def _combine(cursor: Words, options: HybridOptions) -> None:
    method = keyword(cursor.next()) if cursor else None
    if method is None:
        raise fail(errors.HYBRID_ARGUMENT, "COMBINE", errors.TAIL_MISSING)
    if method not in (b"RRF", b"LINEAR"):
        raise fail(errors.HYBRID_ARGUMENT, "COMBINE", "Invalid value for argument")
    combine = options.combine = Combine(method == b"LINEAR")
    seen: set[bytes] = set()
    words = _clause(cursor, method)
    while words:
        word = words.next()
        name = keyword(word)
        if name not in (b"WINDOW", b"YIELD_SCORE_AS", *((b"ALPHA", b"BETA") if combine.is_linear else (b"CONSTANT",))):
            raise fail(errors.HYBRID_ARGUMENT, word, "Unknown argument")
        if name in seen:
            raise fail(errors.HYBRID_ARGUMENT, name, "Argument specified multiple times")
        seen.add(name)
        value = words.next()
        if name == b"YIELD_SCORE_AS":
            options.alias = value
            continue
        number = to_integer(value) if name == b"WINDOW" else to_float(value)
        if number is None:
            raise fail(errors.HYBRID_ARGUMENT, name, errors.TAIL_CONVERT)
        if name == b"WINDOW" and number < 1:
            raise fail(errors.HYBRID_ARGUMENT, name, "Value below minimum")
        setattr(combine, name.decode().lower(), number)
    if combine.is_linear and (b"ALPHA" in seen) != (b"BETA" in seen):
        raise fail(errors.HYBRID_WEIGHT_MISSING, "BETA" if b"ALPHA" in seen else "ALPHA")
    if cursor.match(b"YIELD_SCORE_AS"):
        if options.alias is not None:
            raise fail(errors.HYBRID_YIELD_TWICE)
        options.alias = _value(cursor, "YIELD_SCORE_AS")


def _clause(cursor: Words, name: bytes) -> Words:
    if not cursor:
        raise fail(errors.HYBRID_CLAUSE_MISSING, name)
    count = to_integer(cursor.next())
    if count is None or not 0 <= count <= _MAX_INT:
        raise fail(errors.HYBRID_CLAUSE_COUNT, name, errors.TAIL_CONVERT if count is None else errors.TAIL_BOUNDS)
    if count % 2:
        raise fail(errors.HYBRID_CLAUSE_PAIRS, name)
    if count > cursor.left:
        raise fail(errors.HYBRID_FEW, name, count, cursor.left)
    cursor.at += count
    return Words(cursor.words, cursor.at - count, cursor.at)


# ------------------------------------------------------------------------------------------------- what comes after

def _slice(cursor: Words, name: str) -> Words:
    """<n> and n words."""
    count = to_integer(cursor.next()) if cursor else None
    if count is None or not 0 <= count <= _MAX_INT:
        raise fail(errors.HYBRID_ARGUMENT, name, "Failed to parse the argument count")
    if count < 1:
        raise fail(errors.HYBRID_ARGUMENT, name, "Invalid argument count")
    if count > cursor.left:
        raise fail(errors.HYBRID_ARGUMENT, name, "Not enough arguments were provided based on argument count")
    cursor.at += count
    return Words(cursor.words, cursor.at - count, cursor.at)


def _arrange(options: HybridOptions) -> Arrange:
    """The step that a SORTBY or LIMIT here belongs to: the latest since the latest GROUPBY."""
    for step in reversed(options.steps):
        if type(step) is Arrange:
            return step
        if type(step) is Group:
            break
    options.steps.append(Arrange(count=None))
    return options.steps[-1]


def _limit(cursor: Words, options: HybridOptions) -> None:
    if cursor.left < 2:
        raise fail(errors.HYBRID_ARGUMENT, "LIMIT", "Not enough arguments were provided")
    numbers = []
    for name in ("offset", "count"):
        number = to_integer(cursor.next())
        if number is None or not 0 <= number < 1 << 64:
            raise fail(errors.HYBRID_LIMIT, name)
        numbers.append(number)
    step = _arrange(options)
    step.offset, step.count = numbers
    if not step.count:
        if step.offset:
            raise fail(errors.LIMIT_OFFSET)
        options.no_rows = True


def _sort_by(cursor: Words, options: HybridOptions) -> None:
    words = _slice(cursor, "SORTBY")
    if options.is_unsorted:
        raise fail(errors.HYBRID_SORT_CONFLICT)
    step = _arrange(options)
    while words:
        word = words.next()
        if word[:1] not in (b"@", b"$"):
            raise fail(errors.NO_PREFIX, word, "SORTBY")
        direction = words.match(b"ASC", b"DESC")
        step.keys.append((word.removeprefix(b"@"), direction != b"DESC"))


def _no_sort(cursor: Words, options: HybridOptions) -> None:
    if any(type(step) is Arrange and step.keys for step in options.steps):
        raise fail(errors.HYBRID_SORT_CONFLICT)
    options.is_unsorted = True


def _params(cursor: Words, options: HybridOptions) -> None:
    options.params = read_params(_slice(cursor, "PARAMS"))


def _timeout(cursor: Words, options: HybridOptions) -> None:
    if not cursor:
        raise fail(errors.HYBRID_ARGUMENT, "TIMEOUT", errors.TAIL_MISSING)
    number = to_integer(cursor.next())
    if number is None:
        raise fail(errors.HYBRID_ARGUMENT, "TIMEOUT", errors.TAIL_CONVERT)
    if number < 0:
        raise fail(errors.HYBRID_ARGUMENT, "TIMEOUT", errors.TAIL_BOUNDS)
    options.timeout = number


def _dialect(cursor: Words, options: HybridOptions) -> None:
    raise fail(errors.HYBRID_DIALECT)


def _format(cursor: Words, options: HybridOptions) -> None:
    if not cursor:
        raise fail(errors.HYBRID_ARGUMENT, "FORMAT", errors.TAIL_MISSING)
    word = keyword(cursor.next())
    if word not in (b"STRING", b"EXPAND"):
        raise fail(errors.HYBRID_ARGUMENT, "FORMAT", "Invalid value for argument")
    options.format = word.decode()


def _explain_score(cursor: Words, options: HybridOptions) -> None:
    options.explain_score = True


def _filter(cursor: Words, options: HybridOptions) -> None:
    if not cursor:
        raise fail(errors.HYBRID_ARGUMENT, "FILTER", errors.TAIL_MISSING)
    options.steps.append(Filter(cursor.next()))


def _load(cursor: Words, options: HybridOptions) -> None:
    at = cursor.at
    load(cursor, options)
    if options.steps[-1].fields is None:
        return
    named = False                                # the word is the name after AS
    for word in cursor.words[at + 1:cursor.at]:
        if not named and keyword(word) != b"AS" and word[:1] not in (b"@", b"$"):
            raise fail(errors.NO_PREFIX, word, "LOAD")
        named = not named and keyword(word) == b"AS"


def _group_by(cursor: Words, options: HybridOptions) -> None:
    group_by(cursor, options)
    for reduce in options.steps[-1].reducers:
        if reduce.function != "COLLECT" and reduce.words and reduce.words[0][:1] not in (b"@", b"$"):
            raise fail(errors.NO_PREFIX, reduce.words[0], reduce.function)


_Reader = Callable[[Words, HybridOptions], None]
_READERS: dict[bytes, _Reader] = {
    b"COMBINE": _combine, b"LIMIT": _limit, b"SORTBY": _sort_by, b"NOSORT": _no_sort, b"WITHCURSOR": with_cursor,
    b"PARAMS": _params, b"TIMEOUT": _timeout, b"DIALECT": _dialect, b"FORMAT": _format, b"EXPLAINSCORE": _explain_score,
    b"GROUPBY": _group_by, b"APPLY": apply, b"LOAD": _load, b"FILTER": _filter,
}
_REPEATED = frozenset((b"APPLY", b"LOAD"))


def _finish(options: HybridOptions, max_results: int) -> None:
    """Puts the steps in the order in which they are done."""
    loads = [step for step in options.steps if type(step) is Load]
    options.steps = [*loads, *(step for step in options.steps if type(step) is not Load)]
    if not options.is_unsorted:
        _arrange(options)
    for step in options.steps:
        if type(step) is Group:
            check_collected(step, max_results)
        if type(step) is not Arrange:
            continue
        if step.count is None and not step.keys:
            step.count = DEFAULT_COUNT
        if step.count is not None and step.count > max_results:
            raise fail(errors.LIMIT_MAXIMUM, max_results)
        if step.offset > max_results:
            raise fail(errors.OFFSET_MAXIMUM, max_results)
