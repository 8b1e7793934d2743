"""FT.AGGREGATE: its words become stages (pipeline.py), and the rows that these give become the reply.

A small request is answered at once. What takes longer goes on beside the traffic, and its reply follows."""
from collections.abc import Generator, Iterator
from time import perf_counter_ns

import numpy as np

import native
from respserver.deferred import Deferred
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import Raw, Simple, encode
from respserver.registry import command

from ..json.documents import expanded
from . import errors, out_of_memory, tree
from .aggregate_options import AggregateOptions, Arrange, parse_aggregate
from .binding import bind
from .hot_groups import HotAggregate, HotQuery
from .pipeline import DOCUMENT, ORDINAL, Batch, DocumentLayout, Layout, Progress, Timing, build
from .matches import row_array
from .plan import Evaluation
from .query import parse_query
from .reply import RESP3_HEAD, bulk, hidden_fields, sort_key_text
from .score import Scorer
from .search import (MAX_PREPARED_BYTES, Found, default_scorer, find_names, match, is_capped, restrict,
                     stopwords_of, time_limit_us)
from .values import NULL, Record, Several, number_text

#: How long a request may run before others are let in between. Nanoseconds.
_AT_ONCE = 2_000_000
_TIMEOUT_WARNING = Simple("Timeout limit was reached")
_CAPPED_WARNING = Simple(errors.CAPPED_WARNING.decode())
_SCORE = b"__score"


@command("FT.AGGREGATE", arity=-3, group="search", since="1.1.0", flags="readonly pooled", categories="read",
         summary="Run a search query on an index and perform aggregate transformations on the results",
         complexity="O(1)")
def ft_aggregate(client, name, text, *words):
    server = client.server
    if server.dispatcher.out_of_memory and (reply := out_of_memory.answer(client, "AGGREGATE", words)) is not None:
        return reply
    index = server.search.find(name)
    complaints = server.search.complaints
    config = server.config
    server.search.turns.wake()
    max_results, max_offset = config["search-max-aggregate-results"], config["search-max-search-results"]
    default_dialect = config["search-default-dialect"]
    try:
        key = words, client.proto, max_results, max_offset, default_dialect
        hot = index.plans.get(key)
        options = hot.options if hot is not None else parse_aggregate(
            words, proto=client.proto, max_results=max_results, max_offset=max_offset, default_dialect=default_dialect)
        if options.with_count and not errors.has_codes:
            _check_stable(config)
        if hot is None and (hot := HotAggregate.of(server, index, options)) is not None:
            _keep(index, key, hot, sum(map(len, words)))
        if hot is not None and not is_capped(config, options) and (query := hot.query(text, _query)) is not None:
            if (reply := _run(client, hot, query)) is not None:
                return reply
        results = prepare(client, index, text, options)
    except CommandError as error:
        complaints.note_error(error.text)
        raise
    return _give(client, index, results)


def _run(client, hot: HotAggregate, query: HotQuery):
    """The reply of a request whose stages are there; None if it has to go the general way. Raises CommandError."""
    index, options, config, db = hot.index, hot.options, client.server.config, client.server.keyspace.databases[0]
    if db.field_expires:
        return None
    limit_us = time_limit_us(config, options)
    index.dialect_uses[options.dialect - 1] += 1
    warnings: list[bytes] = []
    rows = None if query.steps is None else query.steps.rows(limit_us)
    n = -1 if rows is None else rows[1] if type(rows) is tuple else len(rows)
    match_ns = 0
    if rows is None:
        started = perf_counter_ns()
        found = match(client, index, query.root, Evaluation(index, config, limit_us, options))
        match_ns = perf_counter_ns() - started
        rows, warnings = index.docs.in_order(row_array(found.rows)), found.warnings
        n = len(rows)
    is_late = limit_us and match_ns > 1000 * limit_us
    if hot.written is not None and not warnings and not is_late and not db.expires:
        reply = hot.written.reply(rows, n, client.proto, config["search-max-aggregate-groups"])
        if reply is not None:
            return reply
    hot.begin(limit_us)
    results = Results.of(index, config, options, hot.stages, hot.final, hot.progress,
                         hot.layout.source(native.rows_of(rows), hot.progress), warnings)
    reply = run_beside(client, _noting(client.server.search.complaints, results, client.proto), "aggregation")
    if type(reply) is Deferred:
        hot.renew()
    return reply


def perform(client, index, text: bytes, words: tuple, most: int):
    """The reply of an aggregation whose time is up after so many documents. Raises CommandError."""
    config = client.server.config
    options = parse_aggregate(words, proto=client.proto, max_results=config["search-max-aggregate-results"],
                              max_offset=config["search-max-search-results"], default_dialect=config["search-default-dialect"])
    results = prepare(client, index, text, options)
    results.progress.most = most
    return _give(client, index, results)


def _check_stable(config) -> None:
    """Raises CommandError for WITHCOUNT where it is not to be had without search-enable-unstable-features: before Redis 8.8."""
    if not config["search-enable-unstable-features"]:
        raise CommandError(errors.COUNT_UNSTABLE)


def _give(client, index, results: "Results"):
    search = client.server.search
    if results.options.cursor is None:
        return run_beside(client, _noting(search.complaints, results, client.proto), "aggregation")
    return search.cursors.open(client, index, results, results.options.cursor)


def _noting(complaints, results: "Results", proto: int) -> Generator:
    """The work of a reply that counts the error or the warnings that it ends with."""
    try:
        reply = yield from results.reply(proto)
    except CommandError as error:
        complaints.note_error(error.text)
        raise
    complaints.note_warnings(results.given)
    return reply


def prepare(client, index, text: bytes, options: AggregateOptions, make_evaluation=Evaluation,
            timings: list[Timing] | None = None) -> "Results":
    """Evaluates the query and makes the stages; their rows are still to be asked for. Raises CommandError. For
    FT.PROFILE: `make_evaluation` is another class of evaluation, `timings` takes one entry per stage."""
    config = client.server.config
    root = bind(_query(index, text, options), options.params)
    names = find_names(index, options, root)
    if options.format == "EXPAND" and not index.source.is_json:
        raise CommandError(errors.EXPAND_HASH)
    index.dialect_uses[options.dialect - 1] += 1
    root = restrict(index, root, options)
    limit_us = time_limit_us(config, options)
    db = client.server.keyspace.databases[0]
    layout = DocumentLayout(db, index)
    layout.is_expanded = index.source.is_json and options.format == "EXPAND"
    layout.is_whole = layout.is_expanded or index.source.is_json and options.dialect >= 3
    for distance in names:
        layout.add(distance)
    if options.add_scores:
        layout.add(_SCORE)
    score_slot = layout.slots.get(_SCORE)
    if options.with_scores and score_slot is None:
        score_slot = layout.n_slots
        layout.n_slots += 1
    progress = Progress(limit_us, config["search-max-aggregate-groups"])
    stages, final = build(options, layout, progress)
    evaluation = make_evaluation(index, config, limit_us, options)
    started = perf_counter_ns()
    found = match(client, index, root, evaluation)
    match_ns = perf_counter_ns() - started
    if type(root) is tree.Knn:          # the nearest first: the order of its distances
        rows = np.array(list(found.distances.get(root.alias, ())), dtype=np.int64)
    else:
        rows = index.docs.in_order(row_array(found.rows))
    _add_columns(index, options, layout, names, found, score_slot)
    batches: Iterator[Batch] = layout.source(rows, progress)
    results = Results.of(index, config, options, stages, final, progress, batches, found.warnings, timings)
    results.root, results.evaluation, results.n_matched, results.match_ns = root, evaluation, len(found.rows), match_ns
    results.score_slot = score_slot if options.with_scores and final is layout else None
    progress.pause()
    return results


def _query(index, text: bytes, options: AggregateOptions):
    """The parsed query; the index keeps it until its schema changes."""
    key = (text, options.dialect, options.no_stopwords)
    query = index.plans.get(key)
    if query is None:
        query = parse_query(text, options.dialect, index.schema, **stopwords_of(index, options))
        _keep(index, key, query, len(text))
    return query


def _keep(index, key: tuple, what, n_bytes: int) -> None:
    """Keeps something made of so many bytes of a request with the index, until its schema changes."""
    if n_bytes <= MAX_PREPARED_BYTES:
        index.plans.make_room()
        index.plans[key] = what


def _add_columns(index, options, layout: DocumentLayout, names: list[bytes], found: Found,
                 score_slot: int | None) -> None:
    """Has the source give what the query yields: distances and scores."""
    for name in names:
        get = found.distances.get(name, {}).get
        layout.columns[layout.slots[name]] = lambda part, numbers, get=get: list(map(get, numbers))
    if layout.terms_slot >= 0:
        layout.columns[layout.terms_slot] = lambda part, numbers: [found.match.terms_of(row) for row in numbers]
    if score_slot is not None:
        rows = row_array(found.rows)
        scorer = Scorer(index, options.scorer or default_scorer(index.config), options.payload, options.tanh_factor)
        scores = scorer.scores(found.match, rows)
        layout.columns[score_slot] = lambda part, numbers: scores[np.searchsorted(rows, part)].tolist()


def run_beside(client, work: Generator, name: str):
    """Runs a generator that pauses now and then and returns a reply: to the end if that is near (or inside EXEC), else
    beside the traffic; then the reply is a Deferred. What it yields, it waits for (not inside EXEC). Raises CommandError."""
    deadline = perf_counter_ns() + _AT_ONCE
    pending = None
    while client.in_exec or pending is None and perf_counter_ns() < deadline:
        try:
            pending = next(work)
        except StopIteration as stop:
            return stop.value

    def rest():
        try:
            yield pending
            deferred.set_result((yield from work))
        except CommandError as error:
            deferred.set_result(error)
        except Exception as error:
            deferred.set_result(CommandError(errors.AGGREGATION_FAILED.format(f"{type(error).__name__}: {error}")))
            raise
    task = client.server.run_sliced(rest(), name)
    deferred = Deferred(on_abandon=task.cancel)
    return deferred


class Results:
    """The rows of a request as they are asked for, and their form on the wire."""

    __slots__ = ("given", "config", "options", "layout", "progress", "batches", "warnings", "fails", "score_slot", "key_slot",
                 "is_done", "root", "evaluation", "n_matched", "match_ns", "hidden", "_left", "_n_gone", "_base",
                 "_names", "_n_named")

    def __init__(self, config, options: AggregateOptions, layout: Layout, progress: Progress, batches: Iterator[Batch],
                 warnings: list[str]):
        self.config = config
        self.options = options
        self.layout = layout
        self.progress = progress
        self.batches = batches
        self.warnings = warnings        # of the query: a timeout
        self.fails = False              # search-on-timeout fail
        self.score_slot: int | None = None
        self.is_done = False
        self.key_slot: int | None = None        # of what rows are sorted by, for WITHSORTKEYS
        self._left: Batch = []          # rows that were made and not asked for
        self._n_gone = 0                # of these, the ones whose documents had gone by then
        self._base = 0                  # what the counter stood at when the latest reply ended
        self._names: list[tuple[int, bytes]] = []
        self._n_named = 0
        self.hidden: frozenset[bytes] = frozenset()

    @classmethod
    def of(cls, index, config, options: AggregateOptions, stages: list, final: Layout, progress: Progress,
           batches: Iterator[Batch], warnings: list[bytes], timings: list[Timing] | None = None) -> "Results":
        """What the stages make of these batches. `warnings`: of the query; `timings`: as for `prepare`."""
        if timings is not None:
            timings.append(Timing("Index"))
            batches = timings[0].watch(batches)
        for name, stage in stages:
            batches = stage(batches)
            if timings is not None:
                timings.append(Timing(name))
                batches = timings[-1].watch(batches)
        results = cls(config, options, final, progress, batches, [Simple(errors.show(text)) for text in warnings])
        results.fails = config["search-on-timeout"] == "fail"
        results.hidden = hidden_fields(index)
        keys = next((step.keys for step in reversed(options.steps) if type(step) is Arrange and step.keys), None)
        results.key_slot = final.slots.get(keys[0][0]) if keys is not None else None
        return results

    def close(self) -> None:
        """Ends the stages."""
        if isinstance(self.batches, Generator):
            self.batches.close()

    def reply(self, proto: int, count: int | None = None) -> Generator:
        """Work that returns the reply with the next `count` rows (None: all) as Raw. Afterwards `is_done` says whether
        these were the last. Raises CommandError if something fails before there is a row; later, the rows end there
        and the error becomes a warning (unless search-on-timeout is "fail": nothing is given then that is not all)."""
        options, progress = self.options, self.progress
        warnings, self.warnings = list(self.warnings), []
        self.given = warnings           # what the reply warns of
        if is_capped(self.config, options):
            warnings.append(_CAPPED_WARNING)
        progress.limit_ns = 1000 * time_limit_us(self.config, options)
        progress.spent_ns = 0
        progress.timed_out = False
        self._drop_gone()
        encode_rows = _rows_resp3 if proto == 3 else _rows_resp2
        out: list[bytes] = []
        n = first = last = 0
        while count is None or n < count:
            progress.resume()
            try:
                batch = self._left or next(self.batches)
            except StopIteration:
                self.is_done = True
                last = progress.total - self._n_gone
                break
            except CommandError as error:
                self.is_done = True
                if not n or self.fails:
                    raise
                last = progress.total - self._n_gone
                warnings.append(_message(error))
                break
            self._left = []
            if options.no_rows:
                batch = []
            elif count is not None and len(batch) > count - n:
                self._left = batch[count - n:]
                batch = batch[:count - n]
            if batch:
                if not n:
                    first = batch[0][ORDINAL]
                n += len(batch)
                last = batch[-1][ORDINAL]
                out.append(encode_rows(batch, self))
            progress.pause()
            yield
        if progress.timed_out:
            if self.fails:
                self.is_done = True
                raise CommandError(errors.TIMEOUT)
            warnings.append(_TIMEOUT_WARNING)
        total = (first if proto == 2 and n else last) - self._base
        if options.with_count:
            total = progress.n_rows
        self._base = last
        if proto == 3:
            head = RESP3_HEAD if options.format != "EXPAND" else RESP3_HEAD.replace(b"STRING", b"EXPAND")
            return Raw(b"".join([head % n, *out,
                                 b"+total_results\r\n:%d\r\n+warning\r\n" % total, encode(warnings, 3)]))
        shown = 0 if options.no_content else n * (1 + options.with_scores + options.with_sort_keys)
        return Raw(b"".join([b"*%d\r\n:%d\r\n" % (1 + shown, total), *out]))

    def _drop_gone(self) -> None:
        """Leaves out what was read ahead and has gone since, where rows are still documents in the index's order."""
        layout = self.layout
        if (not self._left or not isinstance(layout, DocumentLayout)
                or any(type(step) is Arrange and step.keys for step in self.options.steps)):
            return
        docs, get = layout.index.docs, layout.db.get
        kept = [row for row in self._left if docs.born[row[DOCUMENT]] <= layout.newest
                and get(docs.keys[row[DOCUMENT]]) is not None]
        self._n_gone += len(self._left) - len(kept)
        self._left = kept

    def names(self) -> list[tuple[int, bytes]]:
        """Slot and encoded name of every property that rows can show."""
        slots = self.layout.slots
        if self._n_named != len(slots):
            self._names = [(slot, b"$%d\r\n%b\r\n" % (len(name), name))
                           for name, slot in slots.items() if name not in self.hidden]
            self._n_named = len(slots)
        return self._names


def _message(error: CommandError) -> Simple:
    """An error as warnings show it: without its code word."""
    code, _, rest = error.text.partition(" ")
    return Simple(rest if code.startswith("SEARCH_") else error.text)


_NIL = {2: b"$-1\r\n", 3: b"_\r\n"}


def _encoded(value, proto: int) -> bytes:
    if type(value) is bytes:
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if type(value) is float:
        text = number_text(value)
        return b"$%d\r\n%b\r\n" % (len(text), text)
    if value is NULL:
        return _NIL[proto]
    if type(value) is Record:
        pairs = [b"$%d\r\n%b\r\n" % (len(name), name) + _encoded(one, proto) for name, one in value]
        return (b"%%%d\r\n" % len(pairs) if proto == 3 else b"*%d\r\n" % (2 * len(pairs))) + b"".join(pairs)
    if type(value) is Expanded:
        return value.reply
    if type(value) is Several:
        return b"$%d\r\n%b\r\n" % (len(value.shown), value.shown)
    return b"*%d\r\n" % len(value) + b"".join([_encoded(element, proto) for element in value])


class Expanded:
    """A value that FORMAT EXPAND shows as what it is: a number, or an array of several values."""

    __slots__ = ("reply",)

    def __init__(self, value: Several | float):
        self.reply = encode(value if type(value) is float else [expanded(one, True) for one in value.values], 3)


def row_pairs(row: list, names: list[tuple[int, bytes]], proto: int) -> list[bytes]:
    """The properties of a row that have a value: each name and value in one piece."""
    n = len(row)
    out = []
    for slot, name in names:
        value = row[slot] if slot < n else None
        if type(value) is bytes:
            out.append(b"%b$%d\r\n%b\r\n" % (name, len(value), value))
        elif value is not None:
            out.append(name + _encoded(value, proto))
    return out


def _score_text(row: list, results: Results) -> bytes:
    score = row[results.score_slot] if results.score_slot is not None else 0.0
    return b"%d" % score if score == int(score) else repr(score).encode()


def _sort_key(row: list, results: Results, proto: int) -> bytes:
    text = None if results.key_slot is None else sort_key_text(row[results.key_slot])
    return _NIL[proto] if text is None else bulk(text)


def _rows_resp2(batch: Batch, results: Results) -> bytes:
    options = results.options
    if options.no_content:
        return b""
    out: list[bytes] = []
    names = results.names()
    for row in batch:
        if options.with_scores:
            text = _score_text(row, results)
            out.append(b"$%d\r\n%b\r\n" % (len(text), text))
        if options.with_sort_keys:
            out.append(_sort_key(row, results, 2))
        pairs = row_pairs(row, names, 2)
        out.append(b"*%d\r\n" % (2 * len(pairs)))
        out += pairs
    return b"".join(out)


def _rows_resp3(batch: Batch, results: Results) -> bytes:
    options = results.options
    out: list[bytes] = []
    names = results.names()
    is_expanded = options.format == "EXPAND"
    head = b"%%%d\r\n" % (1 + options.with_scores + options.with_sort_keys + (not options.no_content))
    for row in batch:
        out.append(head)
        if options.with_scores:
            out.append(b"+score\r\n,%b\r\n" % _score_text(row, results))
        if options.with_sort_keys:
            out.append(b"+sortkey\r\n" + _sort_key(row, results, 3))
        if not options.no_content:
            if is_expanded:
                row = [Expanded(value) if type(value) is Several or type(value) is float else value for value in row]
            pairs = row_pairs(row, names, 3)
            out.append(b"+extra_attributes\r\n%%%d\r\n" % len(pairs))
            out += pairs
        out.append(b"+values\r\n*0\r\n")
    return b"".join(out)
