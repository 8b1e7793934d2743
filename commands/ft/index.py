"""One search index: its schema, its documents and what becomes of them when a key changes."""
import math
import time
from collections.abc import Generator

from respserver.protocol.errors import CommandError

from . import errors
from .documents import DocumentTable
from .create_options import LANGUAGES
from .fields import CLASSES, ErrorCount, Field, FieldError, TextField, VectorField
from .lexer import DEFAULT_STOPWORDS
from .measure.recall import Estimate
from .plans import Plans
from .rescore import Rescorer
from .rule import Rule
from .sources import prepare_json, source_of
from .text.index import TextIndex

_ABSENT = object()
#: What a record is taken for where the collected ones are told in bytes: a posting of a word, a row's place in a column.
_RECORD_BYTES = 8
#: Fields of a hash in which FT.ADD keeps a document's score, language and payload, unless the index names others.
ATTRIBUTE_FIELDS = (b"__score", b"__language", b"__payload")


#: TEXT fields beyond these are added only to an index that was made with MAXTEXTFIELDS, or with more of them.
NARROW = 32


def _is_vector_alone(change: tuple) -> bool:
    """Whether queries without vectors find the same after a change of a field as before."""
    return type(change[0]) is VectorField and change[0].present is None


class Index:
    """A search index over hashes or JSON documents.

    Everything happens on the loop thread. `revision` grows with every change of the contents, `plans` is emptied when
    the schema changes: what others cache about an index, they key by one of the two."""

    def __init__(self, name: bytes, options, config=None):
        self.name = name
        self.options = options
        self.source = source_of(options)
        self.config = config
        self.text: TextIndex | None = None          # of the TEXT fields, if there are any
        self.prefixes: tuple[bytes, ...] = options.prefixes
        self.unordered: list[bytes] = []            # names of TEXT fields whose values have no certain order
        self.rule = Rule(options.filter) if options.filter is not None else None
        self.hidden = frozenset({*ATTRIBUTE_FIELDS, options.score_field, options.language_field, options.payload_field} - {None})
        self.aliases: set[bytes] = set()
        self.definition: list[list[bytes]] = []     # the commands that made its schema
        self.origin = ""                            # after a restart: whether it comes from its image, or why it was built again
        self.docs = DocumentTable()
        self.fields: list[Field] = []
        self.by_name: dict[bytes, Field] = {}
        self.schema: dict[bytes, object] = {}       # name -> FieldSpec: what the query parser checks against
        self.errors = ErrorCount()
        self.disk_fields: tuple = ()  # (path, bytes, or ON JSON numbers) of the vectors whose originals belong on disk
        self.move_out = None  # with them: function(hash or view, path, bytes or numbers) that moves one there
        self.revision = 0
        self.plain_revision = 0                     # the same but for changes of vectors alone
        self.n_removals = 0
        self.plans = Plans()                        # prepared searches, by query text (commands/ft/search.py)
        self.is_dropped = False
        self.scan = None                            # the background scan under way
        self.n_scanned = self.n_to_scan = 0
        self.unscanned: set[bytes] = set()          # paths that FT.ALTER added and the scan has not filled yet
        self.indexing_ns = 0
        self.n_uses = 0
        self.n_uses_seen = 0                        # n_uses when the age of a TEMPORARY index was last looked at
        self.n_records = 0                          # records written and not yet collected, as Redis counts them
        self.n_stale = 0                            # documents removed or indexed anew since the last collection
        self.n_puts: dict[str, int] = {}            # type of field -> values that were indexed
        self.gc_cycles = 0
        self.gc_bytes = 0                           # that what was collected took, by _RECORD_BYTES
        self.gc_ns = self.gc_last_ns = 0
        self.dialect_uses = [0, 0, 0, 0]
        self.last_used = time.monotonic()
        self.added = None                           # what FT.ADD says of the document that is being indexed
        self.is_idle_kept = False                   # a TEMPORARY index that is not dropped for being idle, by _FT.DEBUG
        self.is_collected = True                    # whether the periodic collection looks at it
        self.add_fields(options.fields)

    def add_fields(self, specs) -> None:
        """Appends fields to the schema.
        Raises CommandError, with the schema unchanged, if one cannot be had (its compression, say)."""
        made: list[Field] = []
        if self.source.is_json:
            prepare_json(self.name, specs)
        try:
            for spec in specs:
                made.append(CLASSES[spec.type](spec))
        except Exception:
            for field in made:
                field.close()
            raise
        for field in made:
            self.fields.append(field)
            self.by_name[field.name] = field
            self.schema[field.name] = field.spec
            if type(field) is VectorField:
                field.rescorer = Rescorer(self.docs, field, self.source)
                field.estimate = Estimate()
            elif type(field) is TextField:
                self._text_index().fields.append(field)
                if self.source.is_json and not self.options.no_offsets and not self.source.is_ordered(field):
                    self.unordered.append(field.name)
        # Vectors first: only they can still be refused when they are stored.
        self._in_put_order = sorted(self.fields, key=lambda field: field.type_name != "VECTOR")
        self.plans.clear()
        self._note_change()

    def _note_change(self) -> None:
        self.revision += 1
        self.plain_revision += 1

    def words(self) -> TextIndex:
        """The text index, even if there is no TEXT field yet."""
        return self._text_index()

    def _text_index(self) -> TextIndex:
        if self.text is None:
            config = self.config
            self.text = TextIndex(self.options, (lambda: 4) if config is None else (lambda: config["search-min-stem-len"]))
            if config is not None:
                self.text.gap = config["search-multi-text-slop"]
            words = self.options.stopwords
            self.text.stopwords = DEFAULT_STOPWORDS if words is None else frozenset(words)
        return self.text

    @property
    def is_scanning(self) -> bool:
        return self.scan is not None and not self.scan.done

    @property
    def percent_indexed(self) -> float:
        """The share of the background scan that is done, 0 to 1."""
        if not self.is_scanning or not self.n_to_scan:
            return 1.0
        return min(1.0, self.n_scanned / self.n_to_scan)

    @property
    def vector_fields(self) -> list[VectorField]:
        return [field for field in self.fields if type(field) is VectorField]

    def put(self, key: bytes, value, old=None, changed=None) -> None:
        """Indexes a hash or JSON document, new or changed. `changed` as in keyspace.Change.fields: only these fields differ
        from what the index has; None: look at all, `old` being the value that was there before (if any). A value that cannot
        be indexed is counted and takes the document out of the index."""
        start = time.perf_counter_ns()
        source = self.source
        value = source.view(value)
        if old is not None:
            old = source.view(old)
        if self.rule is not None and not self.rule.accepts(key, value, self.schema):
            self.remove(key)
            return
        docs = self.docs
        row = docs.row_of.get(key)
        if row is not None and changed is not None and self._leaves_alone(changed):
            docs.values[row] = value
            return
        work = []
        for field in self._in_put_order:
            if row is not None and changed is not None and not source.is_touched(field, changed):
                continue
            try:
                raw = source.read(value, field)
            except CommandError as error:           # damaged on disk
                self.count_failure(field, key, error.text)
                self.remove(key)
                return
            if raw is None:
                if row is not None:
                    work.append((field, _ABSENT))
                continue
            if row is not None and type(field) is VectorField and raw == source.previous(field, old, changed):
                field.places.forget(row)        # it may be another object
                continue
            try:
                parsed = source.parse(field, raw)
                if parsed is not None:
                    work.append((field, parsed))
                elif row is not None:
                    work.append((field, _ABSENT))
            except FieldError as error:
                self.count_failure(field, key, error.text)
                if field.keeps_document:
                    if row is not None:
                        work.append((field, _ABSENT))
                    continue
                self.remove(key)
                return
        is_new = row is None
        if is_new:
            row = docs.add(key, value)
        else:
            docs.renew(row, value)
            self.n_stale += 1
        self.revision += 1
        if is_new or self._language_changed(changed) or not all(map(_is_vector_alone, work)):
            self.plain_revision += 1
        for field, parsed in work:
            if parsed is _ABSENT:
                field.clear(row)
                field.note_presence(row, False)
                continue
            try:
                field.put(row, parsed)
            except FieldError as error:
                self.count_failure(field, key, error.text)
                self.remove(key)
                return
            field.note_presence(row, True)
            self.n_puts[field.type_name] = self.n_puts.get(field.type_name, 0) + 1
            if is_new:
                self.n_records += field.n_records_of(row)
        if not is_new:
            self.n_records += sum(field.n_records_of(row) for field in self.fields if field.path in value)
        if self.text is not None and (any(type(field) is TextField for field, _ in work) or self._language_changed(changed)):
            self.n_records += self.text.put(row, source.texts(value), self.language_of(value))
        elif self.text is not None and not is_new:
            self.n_records += self.text.count(row)
        self._put_attributes(row, value)
        for path, size in self.disk_fields:
            self.move_out(value, path, size)
        self.indexing_ns += time.perf_counter_ns() - start

    def refill(self, filled=()) -> None:
        """Fills the fields other than vectors, and those whose names are in `filled`, from the documents that the table has,
        and moves original vectors to where they belong."""
        fields = [field for field in self.fields
                  if field.name not in filled and (type(field) is not VectorField or field.present is not None)]
        self.n_records += sum(field.n_values * field.records_per_document for field in self.fields if field.name in filled)
        has_more = bool(fields or self.disk_fields or self.options.score_field is not None
                        or self.options.payload_field is not None)
        source, docs = self.source, self.docs
        self._note_change()
        for row in list(docs.live) if has_more or self.text is not None else ():
            value, key = docs.values[row], docs.keys[row]
            for field in fields:
                raw = source.read(value, field)
                try:
                    parsed = None if raw is None else source.parse(field, raw) if type(field) is not VectorField else raw
                    if parsed is not None and type(field) is not VectorField:
                        field.put(row, parsed)
                except FieldError as error:
                    self.count_failure(field, key, error.text)
                    parsed = None
                field.note_presence(row, parsed is not None)
                if parsed is not None:
                    self.n_records += field.n_records_of(row)
            if self.text is not None:
                self.n_records += self.text.put(row, source.texts(value), self.language_of(value))
            self._put_attributes(row, value)
            for path, size in self.disk_fields:
                self.move_out(value, path, size)

    def _leaves_alone(self, changed) -> bool:
        """Whether a change of these places alone leaves a document as it is here: PARTIAL_INDEXED_DOCS."""
        return (self.config is not None and self.config["search-partial-indexed-docs"] and self.hidden.isdisjoint(changed)
                and not any(self.source.is_touched(field, changed) for field in self.fields))

    def _language_changed(self, changed) -> bool:
        if changed is None or self.options.language_field is None:
            return False
        return self.source.is_json or self.options.language_field in changed

    def language_of(self, value) -> str:
        """The language of a document's text."""
        options = self.options
        if self.added is not None and self.added.language is not None:
            return self.added.language.decode().lower()
        if options.language_field is not None:
            given = (value.get(options.language_field) or b"").decode("utf-8", "replace").lower()
            if given in LANGUAGES:
                return given
        return options.language or "english"

    def _put_attributes(self, row: int, value) -> None:
        """Score and payload of a document, where the index takes them from fields."""
        options, added = self.options, self.added
        if options.score_field is not None or added is not None or row in self.docs.scores:
            self.docs.scores.pop(row, None)
            try:
                score = float(added.score if added is not None else value.get(options.score_field or b"") or b"")
            except ValueError:
                score = options.score
            if score != options.score and math.isfinite(score):
                self.docs.scores[row] = score
        if options.payload_field is not None or added is not None:
            payload = added.payload if added is not None else value.get(options.payload_field)
            if payload is None:
                self.docs.payloads.pop(row, None)
            else:
                self.docs.payloads[row] = payload

    def remove(self, key: bytes) -> bool:
        """Takes a key out of the index; returns whether it was in."""
        row = self.docs.drop(key)
        if row is None:
            return False
        for field in self.fields:
            field.clear(row)
            field.note_presence(row, False)
        if self.text is not None:
            self.text.clear(row)
        self._note_change()
        self.n_removals += 1
        self.n_stale += 1
        return True

    def rename(self, old: bytes, new: bytes) -> bool:
        """Lets a document go by another key, with its row, doc id and vectors. Returns whether `old` was in the index."""
        if old not in self.docs:
            return False
        self.remove(new)
        self.docs.rename(old, new)
        self._note_change()
        return True

    def count_failure(self, field: Field | None, key: bytes, text: str) -> None:
        """Notes that a document could not be indexed, and why."""
        self.errors.add(text, key)
        if field is not None:
            field.errors.add(text, key)

    def collect(self) -> None:
        """The counterpart of Redis's garbage collection: the records of replaced and removed documents leave the
        statistics. (Their memory was given back at once.)"""
        start = time.perf_counter_ns()
        before = self.n_records
        self.n_records = sum(field.n_values * field.records_per_document for field in self.fields)
        if self.text is not None:
            self.text.collect()
            self._note_change()         # words have become rarer
            self.n_records += self.text.n_postings
        self.gc_bytes += _RECORD_BYTES * (self.n_stale + max(0, before - self.n_records))
        self.n_stale = 0
        self.gc_cycles += 1
        self.gc_last_ns = time.perf_counter_ns() - start
        self.gc_ns += self.gc_last_ns

    def n_operations(self, kind: str) -> int:
        """How many values of fields of a type were indexed, or of TEXT how many words there have been."""
        return self.n_puts.get(kind, 0) if kind != "TEXT" else len(self.text.terms) if self.text is not None else 0

    def close(self) -> None:
        """Ends the scan and gives back what the fields hold."""
        self.is_dropped = True
        if self.scan is not None:
            self.scan.cancel()
        self.plans.clear()
        for field in self.fields:
            field.close()


    def release(self) -> Generator:
        """Gives back a closed index's Python objects bit by bit: a million of them at once would stop the loop."""
        docs = self.docs
        names, n_rows = docs.names, docs.n_rows
        for first in range(0, n_rows, 256):
            for row in range(first, min(first + 256, n_rows)):
                names[row] = b""
            yield
        docs.row_of.clear()
        containers = [docs.keys, docs.values]
        for field in self.fields:
            containers += field.containers()
        if self.text is not None:
            containers += self.text.containers()
        for container in containers:
            take = container.popitem if isinstance(container, dict) else container.pop
            while container:
                for _ in range(min(256, len(container))):
                    take()
                yield


def no_such_index(name: bytes):
    """The refusal of a command whose index is not there."""
    return errors.fail(errors.INDEX_NOT_FOUND, name)
