"""The words of FT.AGGREGATE after the query text: a list of steps, and the options that it shares with FT.SEARCH."""
from __future__ import annotations

from dataclasses import dataclass, field as _field
from typing import Sequence

from . import errors
from .errors import fail
from .options import Words, keyword, to_integer
from .search_options import READERS, SearchOptions, check_format, read_limit

__all__ = ["AggregateOptions", "Load", "Group", "Reduce", "Arrange", "Apply", "Filter", "CursorOptions",
           "parse_aggregate", "load", "group_by", "apply", "with_cursor", "check_collected"]

MAX_SORT_FIELDS = 8
#: Rows that SORTBY keeps if nothing says how many.
DEFAULT_SORTED = 10
MAX_SAMPLE = 1000
#: Rows that a request gives at most where the configuration sets no limit.
MAX_RESULTS = 1 << 31
#: Fields that COLLECT takes.
MAX_COLLECTED = 1025


@dataclass(slots=True)
class Load:
    fields: list[tuple[bytes, bytes]] | None     # (field or path, name in the rows); None = LOAD *


@dataclass(slots=True)
class Reduce:
    function: str                                # upper case
    words: list[bytes]                           # as given
    alias: bytes
    number: float = 0.0                          # QUANTILE's percentage, RANDOM_SAMPLE's size
    by: bytes | None = None                      # FIRST_VALUE .. BY
    ascending: bool = True
    fields: list[bytes] | None = None            # COLLECT's, without @; None = all
    keys: list[tuple[bytes, bool]] = _field(default_factory=list)    # COLLECT .. SORTBY: (property without @, ascending)
    offset: int = 0                              # COLLECT .. LIMIT
    count: int | None = None
    distinct: bool = False                       # COLLECT .. DISTINCT

    @property
    def source(self) -> bytes:
        """The property that it reduces, without @. COUNT has none."""
        return self.words[0].removeprefix(b"@")


@dataclass(slots=True)
class Group:
    properties: list[bytes]                      # without @
    reducers: list[Reduce]


@dataclass(slots=True)
class Arrange:
    """SORTBY, LIMIT or both, which then are one step: sorted first, in whatever order they were written."""
    keys: list[tuple[bytes, bool]] = _field(default_factory=list)    # (property without @, ascending)
    offset: int = 0
    count: int | None = None                     # None = all, or DEFAULT_SORTED with keys


@dataclass(slots=True)
class Apply:
    expression: bytes
    alias: bytes


@dataclass(slots=True)
class Filter:
    expression: bytes


@dataclass(slots=True)
class CursorOptions:
    count: int | None = None                     # rows per read
    max_idle: int | None = None                  # milliseconds


@dataclass(slots=True)
class AggregateOptions(SearchOptions):
    """`offset`, `count`, `returns` and the like of SearchOptions say nothing here: see `steps`."""
    steps: list = _field(default_factory=list)
    add_scores: bool = False
    no_rows: bool = False                        # LIMIT 0 0: only the count
    cursor: CursorOptions | None = None


def parse_aggregate(words: Sequence[bytes], *, proto: int = 2, max_results: int = MAX_RESULTS, max_offset: int = MAX_RESULTS,
                    default_dialect: int = 1) -> AggregateOptions:
    """Read the words after the query text. Raises CommandError.

    proto: the client's RESP version. max_results and max_offset: the limits on the numbers of LIMIT. `params` is a dict in any
    case. Expressions are kept as text."""
    cursor = Words(words)
    options = AggregateOptions(dialect=default_dialect)
    while cursor:
        word = cursor.next()
        name = keyword(word)
        reader = _READERS.get(name) or (READERS.get(name) if name in _SHARED else None)
        if reader is None:
            raise fail(errors.UNKNOWN_ARGUMENT_AT, word, cursor.at, "<main>")
        reader(cursor, options)
    if options.explain_score and not options.with_scores:
        raise fail(errors.EXPLAINSCORE_ALONE)
    for step in options.steps:
        if type(step) is Group:
            check_collected(step, max_results)
        if type(step) is Arrange:
            if step.offset > max_offset:
                raise fail(errors.OFFSET_MAXIMUM, max_offset)
            if step.count is not None and step.count > max_results:
                raise fail(errors.LIMIT_MAXIMUM, max_results)
    if max_results < MAX_RESULTS and not any(type(step) is Arrange for step in options.steps):
        options.steps.append(Arrange(count=max_results))
    check_format(options, proto)
    if options.params is None:
        options.params = {}
    return options


def check_collected(group: Group, most: int) -> None:
    """Limits every COLLECT to what an aggregation may give. Raises CommandError if it wants more."""
    for reduce in group.reducers:
        for name, number in (("offset", reduce.offset), ("count", reduce.count or 0)):
            if number > most:
                raise fail(errors.COLLECT_MAXIMUM, name, most)
        if reduce.function == "COLLECT" and reduce.count is None:
            reduce.count = most


def load(cursor: Words, options: AggregateOptions) -> None:
    """Reads what follows LOAD. Raises CommandError, as those below do."""
    if cursor.match(b"*"):
        options.steps.append(Load(None))
        return
    if not cursor:
        raise fail(errors.BAD_ARGUMENTS, "LOAD", errors.TAIL_MISSING)
    count = to_integer(cursor.next())
    if count is None or count < 0:
        raise fail(errors.LOAD_COUNT)
    if count > cursor.left:
        raise fail(errors.BAD_ARGUMENTS, "LOAD", errors.TAIL_MISSING)
    part = Words(cursor.words, cursor.at, cursor.at + count)
    cursor.at += count
    fields = []
    while part:
        path = part.next().removeprefix(b"@")
        name = path
        if part.match(b"AS"):
            if not part:
                raise fail(errors.LOAD_AS_END)
            name = part.next()
            if keyword(name) == b"AS":
                raise fail(errors.LOAD_AS_AS)
        fields.append((path, name))
    options.steps.append(Load(fields))


def group_by(cursor: Words, options: AggregateOptions) -> None:
    """Reads what follows GROUPBY, with its reducers."""
    words = cursor.counted("GROUPBY")
    properties = []
    while words:
        name = words.next()
        if not name.startswith(b"@"):
            raise fail(errors.GROUP_PROPERTY, name, name)
        properties.append(name[1:])
    group = Group(properties, [])
    while cursor.match(b"REDUCE"):
        group.reducers.append(_reduce(cursor))
    names = set()
    for name in (*properties, *[reduce.alias for reduce in group.reducers]):
        if name in names:
            raise fail(errors.GROUP_DUPLICATE, name)
        names.add(name)
    options.steps.append(group)


def _reduce(cursor: Words) -> Reduce:
    name = cursor.word("REDUCE")
    words = cursor.counted(name).rest()
    if cursor.match(b"AS"):
        if not cursor:
            raise fail(errors.ALIAS_ARGUMENT)
        alias = cursor.next()
    else:
        # A name that clients know from Redis.
        alias = b"__generated_alias" + (name + b",".join(word.removeprefix(b"@") for word in words)).lower()
    reduce = Reduce(keyword(name).decode("utf-8", "replace"), words, alias)
    check = _REDUCERS.get(reduce.function)
    if check is None:
        raise fail(errors.NO_REDUCER, name)
    check(reduce)
    return reduce


def _no_words(reduce: Reduce) -> None:
    if reduce.words:
        raise fail(errors.REDUCER_COUNT)


def _property(reduce: Reduce) -> None:
    if not reduce.words:
        raise fail(errors.REDUCER_ARGUMENTS, reduce.function)


def _quantile(reduce: Reduce) -> None:
    _property(reduce)
    if len(reduce.words) < 2:
        raise fail(errors.BAD_ARGUMENTS, reduce.function, errors.TAIL_CONVERT)
    reduce.number = Words(reduce.words, 1).double(reduce.function)
    if not 0 <= reduce.number <= 1:
        raise fail(errors.REDUCER_PERCENTAGE)


def _random_sample(reduce: Reduce) -> None:
    _property(reduce)
    if len(reduce.words) < 2:
        raise fail(errors.BAD_ARGUMENTS, reduce.function, errors.TAIL_CONVERT)
    reduce.number = Words(reduce.words, 1).integer(reduce.function)
    if reduce.number > MAX_SAMPLE:
        raise fail(errors.REDUCER_SAMPLE)


def _first_value(reduce: Reduce) -> None:
    _property(reduce)
    words = Words(reduce.words, 1)
    if not words:
        return
    if not words.match(b"BY"):
        raise fail(errors.UNKNOWN_ARGUMENT_AT, words.next(), words.at - 1, reduce.function)
    if not words:
        raise fail(errors.REDUCER_ARGUMENTS, reduce.function)
    reduce.by = words.next().removeprefix(b"@")
    if words:
        direction = words.match(b"ASC", b"DESC")
        if not direction:
            raise fail(errors.UNKNOWN_ARGUMENT_AT, words.next(), words.at - 1, reduce.function)
        reduce.ascending = direction == b"ASC"


def _collect(reduce: Reduce) -> None:
    words = Words(reduce.words)
    if not words.match(b"FIELDS"):
        raise fail(errors.BAD_ARGUMENTS, "COLLECT", "FIELDS: Required positional argument missing or out of order")
    seen: set[bytes] = set()
    _collect_fields(words, reduce)
    while words:
        word = words.next()
        name = keyword(word)
        if name not in (b"SORTBY", b"LIMIT", b"DISTINCT"):
            raise fail(errors.BAD_ARGUMENTS, "COLLECT", f"{errors.show(word)}: Unknown argument")
        if name in seen:
            raise fail(errors.BAD_ARGUMENTS, "COLLECT", f"{errors.show(name)}: Argument specified multiple times")
        seen.add(name)
        if name == b"DISTINCT":
            reduce.distinct = True
        elif name == b"SORTBY":
            _collect_keys(words, reduce)
        else:
            _collect_limit(words, reduce)
    if reduce.keys and b"LIMIT" not in seen:
        reduce.count = DEFAULT_SORTED


def _collect_fields(words: Words, reduce: Reduce) -> None:
    if words.match(b"*"):
        return
    count = to_integer(words.next()) if words else None
    if count is None:
        raise fail(errors.COLLECT_FIELDS)
    if not 1 <= count <= MAX_COLLECTED:
        raise fail(errors.COLLECT_FIELD_COUNT, MAX_COLLECTED)
    if count > words.left:
        raise fail(errors.COLLECT_FIELDS_FEW)
    reduce.fields = []
    for _ in range(count):
        word = words.next()
        if word[:1] not in (b"@", b"$"):
            raise fail(errors.NO_PREFIX, word, "FIELDS")
        reduce.fields.append(word.removeprefix(b"@"))


def _collect_keys(words: Words, reduce: Reduce) -> None:
    count = to_integer(words.next()) if words else None
    if count is None or not 1 <= count <= 2 * MAX_SORT_FIELDS:
        raise fail(errors.BAD_ARGUMENTS, "COLLECT", "SORTBY: Invalid argument count")
    if count > words.left:
        raise fail(errors.BAD_ARGUMENTS, "COLLECT", "SORTBY: Not enough arguments were provided based on argument count")
    part = Words(words.words, words.at, words.at + count)
    words.at += count
    while part:
        word = part.next()
        if not word.startswith(b"@"):
            raise fail(errors.COLLECT_PREFIX, word)
        if len(reduce.keys) >= MAX_SORT_FIELDS:
            raise fail(errors.COLLECT_KEYS, MAX_SORT_FIELDS)
        reduce.keys.append((word[1:], part.match(b"ASC", b"DESC") != b"DESC"))


def _collect_limit(words: Words, reduce: Reduce) -> None:
    if words.left < 2:
        raise fail(errors.BAD_ARGUMENTS, "COLLECT", "LIMIT: Not enough arguments were provided")
    offset, count = to_integer(words.next()), to_integer(words.next())
    if offset is None or not 0 <= offset < 1 << 63:
        raise fail(errors.COLLECT_LIMIT, "offset", "non-negative")
    if count is None or not 1 <= count < 1 << 63:
        raise fail(errors.COLLECT_LIMIT, "count", "positive")
    reduce.offset, reduce.count = offset, count


_REDUCERS = {
    "COLLECT": _collect,
    "COUNT": _no_words, "SUM": _property, "MIN": _property, "MAX": _property, "AVG": _property,
    "COUNT_DISTINCT": _property,
    "COUNT_DISTINCTISH": _property, "STDDEV": _property, "TOLIST": _property, "QUANTILE": _quantile,
    "FIRST_VALUE": _first_value,
    "RANDOM_SAMPLE": _random_sample, "HLL": _property, "HLL_SUM": _property,
}


def _arrange(options: AggregateOptions) -> Arrange:
    """The step that a SORTBY or LIMIT here belongs to."""
    if not options.steps or type(options.steps[-1]) is not Arrange:
        options.steps.append(Arrange())
    return options.steps[-1]


def _sort_by(cursor: Words, options: AggregateOptions) -> None:
    step = _arrange(options)
    if step.keys:
        raise fail(errors.SORT_TWICE)
    words = cursor.counted("SORTBY")
    while words:
        word = words.next()
        if word.startswith(b"@"):
            if len(step.keys) >= MAX_SORT_FIELDS:
                raise fail(errors.SORT_FIELDS, MAX_SORT_FIELDS)
            step.keys.append((word[1:], True))
        elif keyword(word) in (b"ASC", b"DESC") and step.keys:
            step.keys[-1] = (step.keys[-1][0], keyword(word) == b"ASC")
        else:
            raise fail(errors.SORT_DIRECTION, word)
    if cursor.match(b"MAX"):
        step.count = cursor.integer("MAX") or None


def _limit(cursor: Words, options: AggregateOptions) -> None:
    offset, count = read_limit(cursor)
    step = _arrange(options)
    step.offset, step.count = offset, count
    options.no_rows = not count


def apply(cursor: Words, options: AggregateOptions) -> None:
    """Reads what follows APPLY."""
    text = cursor.word("APPLY")
    alias = text
    if cursor.match(b"AS"):
        if not cursor:
            raise fail(errors.ALIAS_ARGUMENT)
        alias = cursor.next()
    options.steps.append(Apply(text, alias))


def _filter(cursor: Words, options: AggregateOptions) -> None:
    options.steps.append(Filter(cursor.word("FILTER")))


def with_cursor(cursor: Words, options: AggregateOptions) -> None:
    """Reads what follows WITHCURSOR."""
    options.cursor = CursorOptions()
    while word := cursor.match(b"COUNT", b"MAXIDLE"):
        value = cursor.integer(word, 1)
        if word == b"COUNT":
            options.cursor.count = value
        else:
            options.cursor.max_idle = value


def _add_scores(cursor: Words, options: AggregateOptions) -> None:
    options.add_scores = True


def _refuse(name: str):
    def refuse(cursor: Words, options: AggregateOptions) -> None:
        raise fail(errors.NOT_FOR_AGGREGATE, name)
    return refuse


_READERS = {
    b"LOAD": load, b"GROUPBY": group_by, b"SORTBY": _sort_by, b"LIMIT": _limit, b"APPLY": apply, b"FILTER": _filter,
    b"WITHCURSOR": with_cursor, b"ADDSCORES": _add_scores,
    b"RETURN": _refuse("RETURN"), b"SUMMARIZE": _refuse("SUMMARIZE"), b"HIGHLIGHT": _refuse("HIGHLIGHT"),
}
#: What FT.SEARCH's reader does.
_SHARED = frozenset((
    b"NOCONTENT", b"VERBATIM", b"NOSTOPWORDS", b"WITHSCORES", b"EXPLAINSCORE", b"WITHPAYLOADS", b"WITHSORTKEYS",
    b"INORDER", b"WITHCOUNT",
    b"WITHOUTCOUNT", b"SLOP", b"INKEYS", b"INFIELDS", b"LANGUAGE", b"EXPANDER", b"SCORER", b"PAYLOAD", b"TIMEOUT",
    b"PARAMS", b"FORMAT",
    b"BM25STD_TANH_FACTOR", b"DIALECT"))
