"""The words of FT.SEARCH after the query text; FT.EXPLAIN and FT.PROFILE take the same."""
from __future__ import annotations

from dataclasses import dataclass, field as _field
from typing import Callable, Sequence

from . import errors
from .create_options import LANGUAGES
from .errors import fail
from .options import Words, keyword, to_float, to_integer

__all__ = ["SearchOptions", "NumericFilter", "GeoFilter", "Summarize", "Highlight", "SCORERS", "parse_search",
           "check_format", "read_limit", "read_params", "read_scorer"]

SCORERS = frozenset(("BM25STD", "BM25STD.NORM", "BM25STD.TANH", "BM25", "TFIDF", "TFIDF.DOCNORM", "DISMAX",
                     "DOCSCORE", "HAMMING"))
_UNITS = ("m", "km", "mi", "ft")


@dataclass(slots=True)
class NumericFilter:
    """FILTER <field> <min> <max>; "(" excludes a bound."""
    field: bytes
    low: float
    high: float
    low_inclusive: bool = True
    high_inclusive: bool = True


@dataclass(slots=True)
class GeoFilter:
    """GEOFILTER <field> <lon> <lat> <radius> <unit>"""
    field: bytes
    lon: float
    lat: float
    radius: float
    unit: str                                    # m | km | mi | ft


@dataclass(slots=True)
class Summarize:
    fields: tuple[bytes, ...] = ()               # empty = all
    fragments: int = 3
    length: int = 20                             # words per fragment
    separator: bytes = b"... "


@dataclass(slots=True)
class Highlight:
    fields: tuple[bytes, ...] = ()               # empty = all
    opening: bytes = b"<b>"
    closing: bytes = b"</b>"


@dataclass(slots=True)
class SearchOptions:
    no_content: bool = False
    verbatim: bool = False
    no_stopwords: bool = False
    with_scores: bool = False
    explain_score: bool = False
    with_raw_ids: bool = False
    with_payloads: bool = False
    with_sort_keys: bool = False
    in_order: bool = False
    slop: int | None = None
    filters: list[NumericFilter] = _field(default_factory=list)
    geo_filters: list[GeoFilter] = _field(default_factory=list)
    has_empty_filter: bool = False
    in_keys: list[bytes] | None = None
    in_fields: list[bytes] | None = None
    returns: list[tuple[bytes, bytes]] | None = None     # (path or name, name in the reply); [] = RETURN 0
    summarize: Summarize | None = None
    highlight: Highlight | None = None
    language: str | None = None                  # lower case
    expander: bytes | None = None
    scorer: str | None = None
    payload: bytes | None = None
    sort_by: bytes | None = None
    ascending: bool = True
    loaded: list[bytes] = _field(default_factory=list)       # by LOAD
    with_count: bool | None = None               # WITHCOUNT True, WITHOUTCOUNT False
    offset: int = 0
    count: int = 10
    has_limit: bool = False                      # whether LIMIT was given
    timeout: int | None = None                   # milliseconds, 0 = no limit
    params: dict[bytes, bytes] | None = None     # None: PARAMS not given
    format: str | None = None                    # STRING | EXPAND
    tanh_factor: int | None = None
    dialect: int = 1
    given_dialect: int | None = None             # by DIALECT

    def shown_total(self, total: int) -> int:
        """The total of a reply. WITHOUTCOUNT, which DIALECT 4 implies, counts no further than to the end of the page."""
        if (self.dialect < 4 if self.with_count is None else self.with_count) or not self.count:
            return total
        return min(total, self.offset + self.count)


def parse_search(words: Sequence[bytes], *, proto: int = 2, max_results: int = 1_000_000,
                 default_dialect: int = 1) -> SearchOptions:
    """Read the words after the query text. Raises CommandError.

    proto: the client's RESP version (FORMAT EXPAND needs 3). max_results: the limit on both numbers of LIMIT. `params` of the
    result is a dict in any case."""
    cursor = Words(words)
    options = SearchOptions(dialect=default_dialect)
    while cursor:
        word = cursor.next()
        reader = READERS.get(keyword(word))
        if reader is None:
            raise fail(errors.UNKNOWN_ARGUMENT_AT, word, cursor.at, "<main>")
        reader(cursor, options)
    if options.explain_score and not options.with_scores:
        raise fail(errors.EXPLAINSCORE_ALONE)
    if not options.has_limit:
        options.count = min(options.count, max_results)         # fewer than the page that nobody asked for
    if options.offset > max_results:
        raise fail(errors.OFFSET_MAXIMUM, max_results)
    if options.count > max_results:
        raise fail(errors.LIMIT_MAXIMUM, max_results)
    check_format(options, proto)
    if options.params is None:
        options.params = {}
    return options


def check_format(options: SearchOptions, proto: int) -> None:
    """Raises CommandError for FORMAT EXPAND with what does not have it."""
    if options.format == "EXPAND":
        if options.given_dialect is not None and options.given_dialect < 3:
            raise fail(errors.EXPAND_DIALECT)
        if proto < 3:
            raise fail(errors.EXPAND_RESP2)


_Reader = Callable[[Words, SearchOptions], None]


def _flag(name: str, value: bool = True) -> _Reader:
    return lambda cursor, options: setattr(options, name, value)


def _unsigned(cursor: Words, missing: str, bad: str, low: int = 0, high: int = (1 << 63) - 1) -> int:
    if not cursor:
        raise fail(missing)
    value = to_integer(cursor.next())
    if value is None or not low <= value <= high:
        raise fail(bad)
    return value


def read_limit(cursor: Words) -> tuple[int, int]:
    """Offset and count, which follow LIMIT. Raises CommandError."""
    if cursor.left < 2:
        raise fail(errors.LIMIT_TWO)
    offset, count = to_integer(cursor.next()), to_integer(cursor.next())
    if offset is None or count is None or not 0 <= offset < 1 << 63 or not 0 <= count < 1 << 63:
        raise fail(errors.LIMIT_NUMERIC)
    if offset and not count:
        raise fail(errors.LIMIT_OFFSET)
    return offset, count


def _limit(cursor: Words, options: SearchOptions) -> None:
    options.offset, options.count = read_limit(cursor)
    options.has_limit = True


def _sort_by(cursor: Words, options: SearchOptions) -> None:
    if options.sort_by is not None:
        raise fail(errors.SORTBY_TWICE)
    if not cursor:
        raise fail(errors.SORTBY_ARGUMENTS)
    options.sort_by = cursor.next()
    options.ascending = cursor.match(b"ASC", b"DESC") != b"DESC"
    if cursor.match(b"MAX"):
        raise fail(errors.SORTBY_MAX)


def _return(cursor: Words, options: SearchOptions) -> None:
    names = cursor.counted("RETURN")
    options.returns = []
    while names:
        path = names.next()
        name = path
        if names.match(b"AS"):
            if not names:
                raise fail(errors.RETURN_AS_END)
            name = names.next()
            if keyword(name) == b"AS":
                raise fail(errors.RETURN_AS_AS)
        options.returns.append((path, name))


def _load(cursor: Words, options: SearchOptions) -> None:
    """LOAD * or LOAD n field ..: what is shown is loaded in any case, so that these are for SORTBY alone."""
    if not cursor.match(b"*"):
        options.loaded += [word.removeprefix(b"@") for word in cursor.counted("LOAD").rest()]


def _params(cursor: Words, options: SearchOptions) -> None:
    if options.params is not None:
        raise fail(errors.PARAMS_TWICE)
    pairs = cursor.counted("PARAMS")
    if not pairs:
        raise fail(errors.PARAMS_PAIRS)
    options.params = read_params(pairs)


def read_params(pairs: Words) -> dict[bytes, bytes]:
    """The names and values of PARAMS. Raises CommandError."""
    if pairs.left % 2:
        raise fail(errors.PARAMS_PAIRS)
    params: dict[bytes, bytes] = {}
    while pairs:
        name = pairs.next()
        if name in params:
            raise fail(errors.PARAMS_DUPLICATE, name)
        params[name] = pairs.next()
    return params


def _timeout(cursor: Words, options: SearchOptions) -> None:
    options.timeout = _unsigned(cursor, errors.TIMEOUT_ARGUMENT, errors.TIMEOUT_VALUE)


def _dialect(cursor: Words, options: SearchOptions) -> None:
    options.dialect = options.given_dialect = _unsigned(cursor, errors.DIALECT_ARGUMENT, errors.DIALECT_VALUE, 1, 4)


def _format(cursor: Words, options: SearchOptions) -> None:
    if not cursor:
        raise fail(errors.FORMAT_ARGUMENT)
    word = cursor.next()
    if keyword(word) not in (b"STRING", b"EXPAND"):
        raise fail(errors.FORMAT_VALUE, word)
    options.format = keyword(word).decode()


def _language(cursor: Words, options: SearchOptions) -> None:
    language = cursor.word("LANGUAGE").decode("utf-8", "replace").lower()
    if language not in LANGUAGES:
        raise fail(errors.NO_LANGUAGE)
    options.language = language


def read_scorer(cursor: Words, options: SearchOptions) -> None:
    """Reads what follows SCORER. Raises CommandError."""
    word = cursor.word("SCORER")
    options.scorer = word.decode("utf-8", "replace")
    if options.scorer not in SCORERS:
        raise fail(errors.NO_SCORER, word)


def _bound(word: bytes, template: str) -> tuple[float, bool]:
    inclusive = not word.startswith(b"(")
    value = to_float(word if inclusive else word[1:])
    if value is None:
        raise fail(template, word)
    return value, inclusive


def _perhaps_empty(word: bytes, options: SearchOptions) -> bytes:
    """A number of a filter. An empty one is 0 in dialect 1, and refused once the dialect is known to be another."""
    if word:
        return word
    options.has_empty_filter = True
    return b"0"


def _filter(cursor: Words, options: SearchOptions) -> None:
    if cursor.left < 3:
        raise fail(errors.FILTER_ARGUMENTS)
    field = cursor.next()
    words = [_perhaps_empty(cursor.next(), options) for _ in "ab"]
    low, low_inclusive = _bound(words[0], errors.FILTER_LOWER)
    high, high_inclusive = _bound(words[1], errors.FILTER_UPPER)
    if low > high:
        raise fail(errors.NUMERIC_RANGE, field, "%f" % low, "%f" % high)
    options.filters.append(NumericFilter(field, low, high, low_inclusive, high_inclusive))


def _geo_filter(cursor: Words, options: SearchOptions) -> None:
    if cursor.left < 5:
        raise fail(errors.GEOFILTER_ARGUMENTS)
    field = cursor.next()
    numbers = Words([_perhaps_empty(cursor.next(), options) for _ in "abc"])
    lon, lat, radius = numbers.double("<lon>"), numbers.double("<lat>"), numbers.double("<radius>")
    unit = keyword(cursor.next()).decode("utf-8", "replace").lower()
    if unit not in _UNITS:
        raise fail(errors.GEOFILTER_UNIT)
    if not -180 <= lon <= 180 or not -90 <= lat <= 90:
        raise fail(errors.GEO_COORDINATES)
    if radius <= 0:
        raise fail(errors.GEO_RADIUS)
    options.geo_filters.append(GeoFilter(field, lon, lat, radius, unit))


def _part_count(cursor: Words, template: str) -> int:
    return _unsigned(cursor, template, template)


def _summarize(cursor: Words, options: SearchOptions) -> None:
    earlier = options.summarize
    part = options.summarize = Summarize()
    bad = errors.SUMMARIZE_ARGUMENTS
    while word := cursor.match(b"FIELDS", b"FRAGS", b"LEN", b"SEPARATOR"):
        if word == b"FIELDS":
            part.fields = _field_names(cursor, bad)
        elif word == b"FRAGS":
            part.fragments = _part_count(cursor, bad)
        elif word == b"LEN":
            part.length = _part_count(cursor, bad)
        elif not cursor:
            raise fail(bad)
        else:
            part.separator = cursor.next()
    part.fields = _together(earlier, part)


def _together(earlier, part) -> tuple[bytes, ...]:
    """The fields of a SUMMARIZE or HIGHLIGHT that is given once more: those of both, or all."""
    return part.fields if earlier is None else earlier.fields + part.fields if earlier.fields and part.fields else ()


def _highlight(cursor: Words, options: SearchOptions) -> None:
    earlier = options.highlight
    part = options.highlight = Highlight()
    bad = errors.HIGHLIGHT_ARGUMENTS
    while word := cursor.match(b"FIELDS", b"TAGS"):
        if word == b"FIELDS":
            part.fields = _field_names(cursor, bad)
        elif cursor.left < 2:
            raise fail(bad)
        else:
            part.opening, part.closing = cursor.next(), cursor.next()
    part.fields = _together(earlier, part)


def _field_names(cursor: Words, template: str) -> tuple[bytes, ...]:
    count = _part_count(cursor, template)
    if count > cursor.left:
        raise fail(template)
    return tuple([cursor.next() for _ in range(count)])


def _add_scores(cursor: Words, options: SearchOptions) -> None:
    raise fail(errors.ADDSCORES)


def _aggregate_only(word: str) -> _Reader:
    def refuse(cursor: Words, options: SearchOptions) -> None:
        raise fail(errors.NOT_FOR_SEARCH, word)
    return refuse


READERS: dict[bytes, _Reader] = {
    b"NOCONTENT": _flag("no_content"),
    b"VERBATIM": _flag("verbatim"),
    b"NOSTOPWORDS": _flag("no_stopwords"),
    b"WITHSCORES": _flag("with_scores"),
    b"EXPLAINSCORE": _flag("explain_score"),
    b"WITHRAWIDS": _flag("with_raw_ids"),
    b"WITHPAYLOADS": _flag("with_payloads"),
    b"WITHSORTKEYS": _flag("with_sort_keys"),
    b"INORDER": _flag("in_order"),
    b"WITHCOUNT": _flag("with_count"),
    b"WITHOUTCOUNT": _flag("with_count", False),
    b"SLOP": lambda cursor, options: setattr(options, "slop", cursor.integer("SLOP", None)),
    b"FILTER": _filter,
    b"GEOFILTER": _geo_filter,
    b"INKEYS": lambda cursor, options: setattr(options, "in_keys", cursor.counted("INKEYS").rest()),
    b"INFIELDS": lambda cursor, options: setattr(options, "in_fields", cursor.counted("INFIELDS").rest()),
    b"RETURN": _return,
    b"LOAD": _load,
    b"SUMMARIZE": _summarize,
    b"HIGHLIGHT": _highlight,
    b"LANGUAGE": _language,
    b"EXPANDER": lambda cursor, options: setattr(options, "expander", cursor.word("EXPANDER")),
    b"SCORER": read_scorer,
    b"PAYLOAD": lambda cursor, options: setattr(options, "payload", cursor.word("PAYLOAD")),
    b"SORTBY": _sort_by,
    b"LIMIT": _limit,
    b"TIMEOUT": _timeout,
    b"PARAMS": _params,
    b"FORMAT": _format,
    b"BM25STD_TANH_FACTOR": lambda cursor, options: setattr(options, "tanh_factor", cursor.integer("BM25STD_TANH_FACTOR", 1)),
    b"DIALECT": _dialect,
    b"ADDSCORES": _add_scores,
    b"_NUM_SSTRING": lambda cursor, options: None,       # of Redis's own coordinators
    b"GROUPBY": _aggregate_only("GROUPBY"),
    b"APPLY": _aggregate_only("APPLY"),
}
