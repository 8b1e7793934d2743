"""The words of FT.CREATE and FT.ALTER: index options and field specifications.

`parse_create` and `parse_alter` take the words after the index name and return dataclasses; VECTOR is in vector_options.py.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, field as _field
from typing import Callable, Collection, Iterable, Sequence

from . import errors, expr
from .errors import fail
from .options import Words, keyword, to_float
from .specs import FieldSpec, GeoShapeSpec, GeoSpec, NumericSpec, TagSpec, TextSpec, VectorSpec
from .vector_options import parse_vector

__all__ = ["FieldSpec", "TextSpec", "TagSpec", "NumericSpec", "GeoSpec", "GeoShapeSpec", "VectorSpec", "CreateOptions",
           "AlterOptions", "LANGUAGES", "parse_create", "parse_alter"]

MAX_FIELDS = 1024
MAX_TEXT_FIELDS = 128
MAX_STOPWORDS = 1024         # more are silently left out, as in Redis
MAX_PREFIXES = 1000000
LANGUAGES = frozenset((
    "arabic", "armenian", "basque", "catalan", "chinese", "danish", "dutch", "english", "finnish", "french", "german", "greek",
    "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "malay", "nepali", "norwegian", "portuguese",
    "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish"))
_PHONETIC = frozenset((b"dm:en", b"dm:fr", b"dm:pt", b"dm:es"))


@dataclass(slots=True)
class CreateOptions:
    on: str = "HASH"                             # or JSON
    prefixes: tuple[bytes, ...] = (b"",)
    filter: bytes | None = None                  # the expression's text
    language: str | None = None                  # lower case
    language_field: bytes | None = None
    score: float = 1.0
    score_field: bytes | None = None
    payload_field: bytes | None = None
    index_all: bool = False
    temporary: float | None = None               # seconds without use until the index and its documents go
    max_text_fields: bool = False
    no_offsets: bool = False
    no_highlight: bool = False
    no_fields: bool = False
    no_freqs: bool = False
    skip_initial_scan: bool = False
    stopwords: tuple[bytes, ...] | None = None   # lower case; None = the default list
    fields: list[FieldSpec] = _field(default_factory=list)


@dataclass(slots=True)
class AlterOptions:
    skip_initial_scan: bool = False
    fields: list[FieldSpec] = _field(default_factory=list)


def parse_create(words: Sequence[bytes], *, compressions: Collection[str] = (), memory_limit: int = 0,
                 json: bool = True) -> CreateOptions:
    """Read the words after `FT.CREATE <index>`.

    compressions: names that the engine has beyond Redis's six, which are always read. memory_limit: bytes for one block of
    vectors, 0 = no check. json: whether `ON JSON` is possible.
    """
    cursor = Words(words)
    options = CreateOptions()
    while cursor:
        if cursor.match(b"SCHEMA"):
            break
        word = cursor.next()
        reader = _CREATE.get(keyword(word))
        if reader is None:
            raise fail(errors.UNKNOWN_ARGUMENT, word)
        reader(cursor, options)
    else:
        raise fail(errors.NO_SCHEMA)
    if not 0 <= options.score <= 1:             # nan among others, which stands for what is no number
        raise fail(errors.SCORE)
    if options.on == "JSON" and not json:
        raise fail(errors.RULE_TYPE, "JSON")
    if options.max_text_fields and options.no_fields:
        raise fail(errors.TEXT_AND_NO_FIELDS)
    if not cursor:
        raise fail(errors.NO_FIELDS)
    options.fields = _fields(cursor, (), compressions, memory_limit, json=options.on == "JSON")
    return options


def parse_alter(words: Sequence[bytes], *, existing: Iterable[FieldSpec] = (), compressions: Collection[str] = (),
                memory_limit: int = 0, json: bool = False) -> AlterOptions:
    """Read the words after `FT.ALTER <index>`. existing: the fields that the index has; json: whether it is ON JSON."""
    cursor = Words(words)
    skip = bool(cursor.match(b"SKIPINITIALSCAN"))
    if not cursor.match(b"SCHEMA"):
        raise fail(errors.ALTER_NO_SCHEMA)
    if not cursor.match(b"ADD"):
        raise fail(errors.ALTER_ACTION)
    if not cursor:
        raise fail(errors.ALTER_NO_FIELDS)
    return AlterOptions(skip, _fields(cursor, tuple(existing), compressions, memory_limit, json=json))


# ---------------------------------------------------------------------------------------------------- index options

def _on(cursor: Words, options: CreateOptions) -> None:
    word = cursor.word("ON")
    if keyword(word) not in (b"HASH", b"JSON"):
        raise fail(errors.RULE_TYPE, word)
    options.on = keyword(word).decode()


def _prefix(cursor: Words, options: CreateOptions) -> None:
    prefixes = cursor.counted("PREFIX")
    if prefixes.left > MAX_PREFIXES:
        raise fail(errors.PREFIXES, prefixes.left, MAX_PREFIXES)
    options.prefixes = tuple(prefixes.rest()) or (b"",)


def _language(cursor: Words, options: CreateOptions) -> None:
    language = cursor.word("LANGUAGE").decode("utf-8", "replace").lower()
    if language not in LANGUAGES:
        raise fail(errors.LANGUAGE)
    options.language = language


def _score(cursor: Words, options: CreateOptions) -> None:
    word = cursor.word("SCORE")
    score = to_float(word)
    if score is None:
        if word[:1] not in b"+-.0123456789":
            raise fail(errors.SCORE)
        score = math.nan                            # begins like a number: what follows is looked at first, as by Redis
    options.score = score


def _index_all(cursor: Words, options: CreateOptions) -> None:
    word = cursor.peek()
    if word not in (b"ENABLE", b"DISABLE"):
        raise fail(errors.INDEXALL)
    cursor.next()
    options.index_all = word == b"ENABLE"


def _stopwords(cursor: Words, options: CreateOptions) -> None:
    options.stopwords = tuple([_lower(word) for word in cursor.counted("STOPWORDS").rest()][:MAX_STOPWORDS])


def _temporary(cursor: Words, options: CreateOptions) -> None:
    options.temporary = cursor.double("TEMPORARY")


def _lower(word: bytes) -> bytes:
    return word.decode("utf-8", "surrogateescape").lower().encode("utf-8", "surrogateescape")


def _filter(cursor: Words, options: CreateOptions) -> None:
    options.filter = cursor.word("FILTER")
    expr.parse(options.filter)


def _flag(name: str) -> Callable[[Words, CreateOptions], None]:
    return lambda cursor, options: setattr(options, name, True)


def _text(label: str, name: str) -> Callable[[Words, CreateOptions], None]:
    return lambda cursor, options: setattr(options, name, cursor.word(label))


_CREATE: dict[bytes, Callable[[Words, CreateOptions], None]] = {
    b"ON": _on,
    b"PREFIX": _prefix,
    b"FILTER": _filter,
    b"LANGUAGE": _language,
    b"LANGUAGE_FIELD": _text("LANGUAGE_FIELD", "language_field"),
    b"SCORE": _score,
    b"SCORE_FIELD": _text("SCORE_FIELD", "score_field"),
    b"PAYLOAD_FIELD": _text("PAYLOAD_FIELD", "payload_field"),
    b"INDEXALL": _index_all,
    b"TEMPORARY": _temporary,
    b"STOPWORDS": _stopwords,
    b"MAXTEXTFIELDS": _flag("max_text_fields"),
    b"NOOFFSETS": _flag("no_offsets"),
    b"NOHL": _flag("no_highlight"),
    b"NOFIELDS": _flag("no_fields"),
    b"NOFREQS": _flag("no_freqs"),
    b"SKIPINITIALSCAN": _flag("skip_initial_scan"),
    b"ASYNC": lambda cursor, options: None,              # taken for compatibility, without effect
    b"NOSCOREIDX": lambda cursor, options: None,
}


# ---------------------------------------------------------------------------------------------------- fields

def _fields(cursor: Words, existing: tuple[FieldSpec, ...], compressions: Collection[str], memory_limit: int,
            *, json: bool) -> list[FieldSpec]:
    names = {spec.name for spec in existing}
    texts = sum(isinstance(spec, TextSpec) for spec in existing)
    fields: list[FieldSpec] = []
    while cursor:
        if len(names) >= MAX_FIELDS:
            raise fail(errors.FIELD_LIMIT, MAX_FIELDS)
        path = cursor.next()
        name = path
        if cursor.match(b"AS"):
            if not cursor:
                raise fail(errors.AS_ARGUMENT)
            name = cursor.next()
        if not name or not path:
            raise fail(errors.FIELD_EMPTY)
        if b"\0" in name:
            raise fail(errors.FIELD_NUL)
        if b"\0" in path:
            raise fail(errors.PATH_NUL)
        if name in names:
            raise fail(errors.FIELD_DUPLICATE, name)
        if not cursor:
            raise fail(errors.FIELD_NO_TYPE, name)
        kind = keyword(cursor.next())
        if kind == b"VECTOR":
            spec = parse_vector(cursor, path, name, compressions, memory_limit)
            if cursor.match(b"INDEXMISSING"):
                spec.index_missing = True
        elif kind in _KINDS:
            make, read = _KINDS[kind]
            spec = make(path=path, name=name)
            if json and kind == b"TAG":
                spec.separator = b""                    # an array holds several tags
            if kind == b"GEOSHAPE" and (system := cursor.match(b"FLAT", b"SPHERICAL")):
                spec.coord_system = system.decode()
            while read(cursor, spec):
                pass
            _sortable(cursor, spec, json)
        else:
            raise fail(errors.FIELD_TYPE, name)
        if isinstance(spec, TextSpec):
            texts += 1
            if texts > MAX_TEXT_FIELDS:
                raise fail(errors.TEXT_FIELD_LIMIT, MAX_TEXT_FIELDS)
        names.add(name)
        fields.append(spec)
    return fields


def _sortable(cursor: Words, spec: FieldSpec, json: bool) -> None:
    """The options that close a field: SORTABLE [UNF] and NOINDEX, in any order."""
    while word := cursor.match(b"SORTABLE", b"NOINDEX"):
        if word == b"NOINDEX":
            spec.no_index = True
            continue
        spec.sortable = True
        if cursor.match(b"UNF"):
            spec.unf = True
        elif json or isinstance(spec, NumericSpec) or isinstance(spec, TagSpec) and spec.case_sensitive:
            spec.unf = True
    if spec.no_index and spec.index_missing:
        raise fail(errors.NOINDEX_MISSING, spec.name)


def _missing_option(cursor: Words, spec: FieldSpec) -> bool:
    if cursor.match(b"INDEXMISSING"):
        spec.index_missing = True
        return True
    return False


def _text_option(cursor: Words, spec: TextSpec) -> bool:
    word = cursor.match(b"NOSTEM", b"WEIGHT", b"PHONETIC", b"WITHSUFFIXTRIE", b"INDEXEMPTY", b"INDEXMISSING")
    if word == b"NOSTEM":
        spec.no_stem = True
    elif word == b"WEIGHT":
        spec.weight = cursor.double("weight")
    elif word == b"PHONETIC":
        if not cursor:
            raise fail(errors.PHONETIC_ARGUMENT)
        matcher = cursor.next()
        if matcher not in _PHONETIC:
            raise fail(errors.PHONETIC_MATCHER)
        spec.phonetic = matcher.decode()
    else:
        return _common_option(word, spec)
    return True


def _tag_option(cursor: Words, spec: TagSpec) -> bool:
    word = cursor.match(b"SEPARATOR", b"CASESENSITIVE", b"WITHSUFFIXTRIE", b"INDEXEMPTY", b"INDEXMISSING")
    if word == b"CASESENSITIVE":
        spec.case_sensitive = True
    elif word == b"SEPARATOR":
        if not cursor:
            raise fail(errors.SEPARATOR_ARGUMENT)
        separator = cursor.next()
        if len(separator) != 1:
            raise fail(errors.SEPARATOR, separator)
        spec.separator = separator
    else:
        return _common_option(word, spec)
    return True


def _common_option(word: bytes, spec) -> bool:
    if word == b"WITHSUFFIXTRIE":
        spec.suffix_trie = True
    elif word == b"INDEXEMPTY":
        spec.index_empty = True
    elif word == b"INDEXMISSING":
        spec.index_missing = True
    return bool(word)


_KINDS = {
    b"TEXT": (TextSpec, _text_option),
    b"TAG": (TagSpec, _tag_option),
    b"NUMERIC": (NumericSpec, _missing_option),
    b"GEO": (GeoSpec, _missing_option),
    b"GEOSHAPE": (GeoShapeSpec, _missing_option),
}
