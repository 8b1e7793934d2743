"""What _FT.DEBUG shows of an index's inside: terms, postings, tags, doc ids, and its time to live."""
import time

import numpy as np

from respserver.protocol.errors import WRONG_ARITY, CommandError
from respserver.protocol.reply import OK, Simple

from . import errors
from .fields import GeoField, GeoShapeField, NumericField, TagField
from .fields.base import fold
from .text.language import sounds
from .text.terms import is_word


def _arity(words, name: str, least: int, most: int) -> None:
    if not least <= len(words) <= most:
        raise CommandError(WRONG_ARITY.format(f"_FT.DEBUG|{name}"))


def _field(index, name: bytes, kinds, refusal: str):
    field = index.by_name.get(name)
    if not isinstance(field, kinds):
        raise CommandError(refusal)
    return field


def _ids(index, rows) -> list[int]:
    """The doc ids of rows, in order."""
    return sorted(index.docs.doc_ids[np.fromiter(rows, dtype=np.int64)].tolist())


def _invidx(client, words):
    _arity(words, "DUMP_INVIDX", 2, 2)
    index = client.server.search.find(words[0])
    found = index.text.read(fold(words[1]), None) if index.text is not None else None
    if found is None:
        raise CommandError(errors.NO_INVERTED_INDEX)
    return _ids(index, found.rows.tolist())


def _numbers(client, words):
    """DUMP_NUMIDX: one range, for a column has no tree."""
    _arity(words, "DUMP_NUMIDX", 2, 3)
    index = client.server.search.find(words[0])
    field = _field(index, words[1], (NumericField, GeoField), errors.NO_NUMERIC_INDEX)
    return [_ids(index, field.stored_rows())]


def _number_summary(client, words):
    _arity(words, "NUMIDX_SUMMARY", 2, 3)
    index = client.server.search.find(words[0])
    field = _field(index, words[1], (NumericField, GeoField), errors.NO_NUMERIC_INDEX)
    ids = _ids(index, field.stored_rows())
    return ["numRanges", 1, "numLeaves", 1, "numEntries", len(ids), "lastDocId", max(ids, default=0), "revisionId", 0,
            "emptyLeaves", 0, "RootMaxDepth", 0, "MemoryUsage", field.nbytes]


def _tags(client, words):
    _arity(words, "DUMP_TAGIDX", 2, 2)
    index = client.server.search.find(words[0])
    field = _field(index, words[1], TagField, errors.NO_TAG_INDEX)
    return [[tag, _ids(index, field.rows_of(tag))] for tag in sorted(field.postings)]


def _tag_summary(client, words):
    index = client.server.search.find(words[0] if words else b"")
    _arity(words, "INFO_TAGIDX", 2, 7)
    field = _field(index, words[1], TagField, errors.NO_TAG_INDEX)
    options = [word.upper() for word in words[2:]]
    shown = ["num_values", len(field.postings)]
    if b"DUMP_ID_ENTRIES" not in options and b"COUNT_VALUE_ENTRIES" not in options:
        return shown
    limits = {}
    for keyword in (b"LIMIT", b"OFFSET"):
        if keyword in options:
            at = options.index(keyword) + 1
            if at >= len(options) or not options[at].isdigit():
                raise CommandError(errors.BAD_DEBUG_ARGUMENT)
            limits[keyword] = int(options[at])
    first = limits.get(b"OFFSET", 0)
    values = []
    for tag in sorted(field.postings)[first:first + limits.get(b"LIMIT", 0)]:
        ids = _ids(index, field.rows_of(tag))
        values.append(["value", tag, "num_entries", len(ids), "num_blocks", 1]
                      + (["entries", ids] if b"DUMP_ID_ENTRIES" in options else []))
    return [*shown, "values", values]


def _terms(client, words):
    _arity(words, "DUMP_TERMS", 1, 1)
    text = client.server.search.find(words[0]).text
    if text is None:
        return []
    return [name for name in text.terms.in_order() if text.read(name, None) is not None]


def _suffixes(client, words):
    _arity(words, "DUMP_SUFFIX_TRIE", 1, 2)
    index = client.server.search.find(words[0])
    if len(words) == 2:
        if words[1] not in index.by_name:
            raise CommandError(errors.NO_DEBUG_FIELD)
        field = _field(index, words[1], TagField, errors.NO_SUFFIXES)
        has_suffixes, names = field.spec.suffix_trie, list(field.postings)
    else:
        has_suffixes = any(field.spec.suffix_trie for field in index.fields if field.type_name == "TEXT")
        names = [name for name in _terms(client, words) if is_word(name)]
    if not has_suffixes:
        raise CommandError(errors.NO_SUFFIXES)
    found = set()
    for name in names:
        text = name.decode("utf-8", "replace")
        found.update(text[at:] for at in range(max(1, len(text) - 1)))
    return sorted(found)


def _shapes(client, words):
    _arity(words, "DUMP_GEOMIDX", 2, 2)
    index = client.server.search.find(words[0])
    field = _field(index, words[1], GeoShapeField, errors.NO_SHAPE_INDEX)
    return ["num_docs", field.n_values]


def _to_id(client, words):
    _arity(words, "DOCIDTOID", 2, 2)
    docs = client.server.search.find(words[0]).docs
    row = docs.row_of.get(words[1])
    return 0 if row is None else int(docs.doc_ids[row])


def _to_key(client, words):
    _arity(words, "IDTODOCID", 2, 2)
    docs = client.server.search.find(words[0]).docs
    if not words[1].isdigit():
        raise CommandError(errors.BAD_DOC_ID)
    for row in docs.live:
        if docs.doc_ids[row] == int(words[1]):
            return docs.keys[row]
    raise CommandError(errors.DOC_REMOVED)


def _sound(client, words):
    _arity(words, "DUMP_PHONETIC_HASH", 1, 1)
    return [b"<" + code for code in sounds(words[0])]


# ------------------------------------------------------------------------------------------------------------- times

def _named(client, words, name: str):
    _arity(words, name, 1, 1)
    index = client.server.search.get(words[0])
    if index is None:
        raise errors.fail(errors.INDEX_NOT_FOUND, words[0]) if errors.has_codes else CommandError(errors.NO_DEBUG_INDEX)
    return index


def _temporary(client, words, name: str):
    index = _named(client, words, name)
    if index.options.temporary is None:
        raise CommandError(errors.NOT_TEMPORARY)
    client.server.search.note_uses()
    return index


def _ttl(client, words):
    index = _temporary(client, words, "TTL")
    if index.is_idle_kept:
        raise CommandError(errors.NO_TIMER)
    return max(0, round(index.last_used + index.options.temporary - time.monotonic()))


def _ttl_pause(client, words):
    index = _temporary(client, words, "TTL_PAUSE")
    if index.is_idle_kept:
        raise CommandError(errors.NO_TIMER)
    index.is_idle_kept = True
    return OK


def _ttl_expire(client, words):
    index = _temporary(client, words, "TTL_EXPIRE")
    index.is_idle_kept = False
    index.last_used = -1e9
    return OK


def _collect(client, words):
    manager = client.server.search
    for word in words[:1]:
        manager.collect_of(manager.find(word))
    return Simple("DONE")


def _collect_beside(client, words):
    _collect(client, words)
    return OK


def _collector_stop(client, words):
    _named(client, words, "GC_STOP_SCHEDULE").is_collected = False
    return OK


def _collector_continue(client, words):
    index = _named(client, words, "GC_CONTINUE_SCHEDULE")
    if index.is_collected:
        raise CommandError(errors.GC_RUNS)
    index.is_collected = True
    return OK


def _collector_wait(client, words):
    return Simple("DONE")


#: Subcommands of _FT.DEBUG.
def _watch_expiry(client, words):
    """SET_MONITOR_EXPIRATION: whether an index watches documents and fields for their time to be over. They always are."""
    _arity(words, "SET_MONITOR_EXPIRATION", 1, 3)
    client.server.search.find(words[0])
    for word in words[1:]:
        if word.lower() not in (b"documents", b"fields"):
            raise errors.fail(errors.UNKNOWN_ARGUMENT, word)
    return OK


WORDS = {b"SET_MONITOR_EXPIRATION": _watch_expiry, b"DUMP_INVIDX": _invidx, b"DUMP_NUMIDX": _numbers,
         b"NUMIDX_SUMMARY": _number_summary, b"DUMP_TAGIDX": _tags,
         b"INFO_TAGIDX": _tag_summary, b"DUMP_TERMS": _terms, b"DUMP_SUFFIX_TRIE": _suffixes, b"DUMP_GEOMIDX": _shapes,
         b"DOCIDTOID": _to_id, b"IDTODOCID": _to_key, b"DUMP_PHONETIC_HASH": _sound, b"TTL": _ttl, b"TTL_PAUSE": _ttl_pause,
         b"TTL_EXPIRE": _ttl_expire, b"GC_FORCEINVOKE": _collect, b"GC_FORCEBGINVOKE": _collect_beside,
         b"GC_STOP_SCHEDULE": _collector_stop, b"GC_CONTINUE_SCHEDULE": _collector_continue, b"GC_WAIT_FOR_JOBS": _collector_wait}
