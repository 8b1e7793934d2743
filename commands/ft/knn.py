"""The short way for the search that is sent most: a KNN clause of which only the vector changes from one call to the
next.

Everything that does not depend on the vector is settled when the search is prepared; a run is one engine call and the
rows' bytes, which the engine writes too where they are what clients ask for most: keys, with distances or without. A
lone search runs at once. Those that come from several clients in the same turn of the loop are done together at its
end, and dear ones go to the engine's pool (pool.Turns)."""
from time import perf_counter_ns, thread_time_ns

import numpy as np

import native
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import Raw

from . import errors, rescore, tree
from .plan import Evaluation, allowed, refusal
from .pool import DEAR_US, PendingSearch
from .reply import HEADS, N_HEADS, RESP3_HEAD, RESP3_ROW_END, RESP3_TAIL, RowWriter, bulk, distance_texts, encode_page, forms
from .runtime import check_blob, knn_runtime

_NONE = (None,)
#: How much the latest search counts in the running mean of the cost.
_WEIGHT = 0.1
#: A single one counts at most this many times the mean and so many microseconds: it may have been interrupted.
_MOST_AT_ONCE, _US_FREE = 4.0, 20.0
#: From so many results on numpy sorts them faster.
_MANY = 256
#: What a search takes for each result, or each candidate that it keeps, at the very least. Microseconds.
_US_PER_HIT = 0.1
#: Searches that take less than this together are done sooner than a helper that slept has come and been waited for. Microseconds.
_WORTH_HELP_US = 150.0
#: A search for more results than this gets a query of its own, cut to the number of documents: room is made for all results.
_MUCH = 1024


def _has_range(node) -> bool:
    if isinstance(node, tree.VectorRange):
        return True
    return (any(map(_has_range, getattr(node, "children", ())))
            or hasattr(node, "child") and node.child is not None and _has_range(node.child))


_SCORED = (tree.Tag, tree.Term, tree.Phrase, tree.Affix, tree.Fuzzy, tree.Pattern)


def _has_scores(node) -> bool:
    """Whether documents get different scores by this filter."""
    if isinstance(node, tree.Not):
        return False
    if isinstance(node, _SCORED):
        return True
    return (any(map(_has_scores, getattr(node, "children", ())))
            or (hasattr(node, "child") and node.child is not None and _has_scores(node.child)))


def deliver(searches: list[PendingSearch], replies: list) -> None:
    """Gives each search its reply; to be called when nothing else is left to do:
    that runs what waits behind it, maybe searches."""
    for search, reply in zip(searches, replies):
        search.set_result(reply)


def _make_room(server, index) -> None:
    """Has searches that were not sent lately forget what their filters let pass, if that is too much."""
    server.search.turns.lanes.settle()              # which knows of others
    index.plans.evict(index.docs.n_rows)


class HotKnn:
    """A prepared KNN search; see the module."""

    __slots__ = ("server", "turns", "index", "field", "engine", "child", "options", "k", "window", "capacity",
                 "timeout_us", "blob_bytes",
                 "revision", "bits", "count", "cost_us", "by_distance", "ascending", "offset", "end", "writer",
                 "per_hit", "paths", "named", "shapes", "forms", "texts", "db", "plain", "fails", "query",
                 "rescorer", "rerank", "order", "n_rescored", "n_wanted", "asked_window", "target", "recent", "is_laneless",
                 "is_odd", "n_noted", "roads", "is_used", "_version")

    @staticmethod
    def can_run(options, root) -> bool:
        """Whether this way does for a bound KNN clause with these options."""
        if (type(root.alias) is not bytes or options.with_scores or options.with_raw_ids
                or options.with_payloads or options.with_sort_keys):
            return False
        if options.filters or options.geo_filters or options.in_keys or options.sort_by not in (None, root.alias):
            return False
        if root.child is None:
            return True
        if any(attribute.name.upper() == b"HYBRID_POLICY" for attribute in root.runtime):
            return False
        return not _has_range(root.child) and (options.sort_by is not None or not _has_scores(root.child))

    def __init__(self, server, index, root: tree.Knn, options, blob: bytes, timeout_us: int):
        self.server = server
        self.turns = server.search.turns
        self.db = server.keyspace.databases[0]
        self.index = index
        self.field = field = index.by_name[root.field]
        self.engine = field.engine
        self.blob_bytes = field.blob_bytes
        check_blob(blob, field.spec)
        runtime = knn_runtime(root, field.spec, filtered=root.child is not None)
        self.child = root.child
        self.options = options
        self.k = runtime.k
        self.window = self.asked_window = runtime.window or runtime.ef_runtime or 0
        self.target = runtime.target            # TARGET_RECALL: the window follows what the engine has measured
        self.recent = field.recent
        self.rescorer = field.rescorer
        self.rerank = runtime.rerank
        self.order = rescore.NOTHING
        self.n_rescored = 0                     # candidates that are scored again with the originals
        self.n_wanted = self.k                  # results that the engine is asked for
        self.capacity = runtime.capacity or 0
        self.timeout_us = timeout_us
        self.fails = server.config["search-on-timeout"] != "return"
        self.revision = -1
        self.bits = None
        self.count = 0
        # Of others like it, until it has run; but wide ones are dear.
        self.cost_us = max(field.cost_us, _US_PER_HIT * min(max(self.k, self.window), len(index.docs)))
        self.by_distance = options.sort_by is not None
        self.ascending = options.ascending
        self.offset = options.offset
        self.end = options.offset + options.count
        self.writer = RowWriter(index, options.returns, options.no_content, [root.alias], None)
        self._make_shapes()
        #: Whether rows come as the engine gives them, from the first on.
        self.plain = self.by_distance and self.ascending and not self.offset and options.count >= self.k
        #: Of replies that the engine writes, by protocol; None: it does not.
        self.forms = self.texts = None
        if self.plain and (self.writer.is_empty or self.writer.only_distance):
            self.forms = forms(self.writer)
        elif self.plain and self.named is not None and not index.source.is_json:
            self.texts = index.docs.row_texts(tuple(self.writer.named))
            if self.texts is not None:
                self.forms = forms(self.writer, self.texts.names)
        self.query = None
        self.is_odd = False                     # the latest search took much longer than usual
        self.is_laneless = False                # its candidates' vectors are not where the engine could measure them
        self.n_noted = 0                        # times that it was asked for the usual way, see lanes.py
        self.roads: dict[tuple, object] = {}    # its roads there, by the key of the lane
        self.is_used = True                     # since somebody looked for what is not
        self._version = index.plans.version

    def run(self, client, blob: bytes):
        """The reply for one vector: Raw, or a Deferred. Raises CommandError."""
        if len(blob) != self.blob_bytes:
            check_blob(blob, self.field.spec)
        if self.child is not None:
            if self.revision != self.index.plain_revision:
                try:
                    self._evaluate_filter()
                except native.SearchTimeout:
                    return self._timed_out(client.proto)
            if not self.count:
                return self.encode(client.proto, [], [])
        elif not self.k:
            return self.encode(client.proto, [], [])
        self.is_used = True
        self.recent.append(blob)
        self._choose_candidates()
        turns = self.turns
        if not client.in_exec:
            if self.is_for_the_pool():
                self.field.note_knn(self.child is not None)
                return turns.submit(PendingSearch(self, client, blob), self.bits)
            if turns.is_busy():
                return turns.add(PendingSearch(self, client, blob))
        return Raw(self._search(blob, client.proto, 1)[0]) or self._reply(blob, client.proto, 0)

    def is_ready(self) -> bool:
        """Brings up to date what does not depend on the vector. Whether a lane may do the searches. Raises SearchTimeout."""
        if self.is_laneless or self.is_for_the_pool():
            return False
        if self.child is not None:
            if self.revision != self.index.plain_revision:
                self._evaluate_filter()
            if not self.count:
                return False
        elif not self.k:
            return False
        self._choose_candidates()
        return self.n_wanted <= _MUCH

    def is_for_the_pool(self) -> bool:
        """Whether a search of this kind takes longer than the loop thread may."""
        return self.cost_us > DEAR_US and self.turns.pool is not None

    def form_now(self, proto: int) -> native.Form | None:
        """The form of replies that the engine can write; None: it cannot."""
        db = self.db
        return None if self.forms is None or db.expires or db.field_expires else self.forms[proto]

    def answer(self, searches: list[PendingSearch], proto: int) -> None:
        """Does searches of one turn, all of clients of the same protocol, and delivers their replies."""
        replies = self.early(searches, proto)
        deliver(searches, self.search_now(searches, proto) if replies is None else replies)

    def search_now(self, searches: list[PendingSearch], proto: int) -> list:
        """The replies to searches of one turn, or CommandErrors."""
        n = len(searches)
        replies = self._search(searches[0].blob if n == 1 else b"".join([search.blob for search in searches]), proto, n)
        self.complete(replies, searches, proto, 0)
        return replies

    @staticmethod
    def answer_together(turns, parts: list[tuple]) -> None:
        """Does searches of one turn that differ in more than their vectors, and delivers their replies.
        parts: (HotKnn, protocol, searches)."""
        done: list[tuple[list, list]] = []
        by_engine: dict[int, list] = {}
        for part in parts:
            hot, proto, searches = part
            replies = hot.early(searches, proto)
            if replies is None and hot.n_wanted > _MUCH:        # room is made for as many results of each search of a call
                replies = hot.search_now(searches, proto)
            if replies is not None:
                done.append((searches, replies))
            else:
                by_engine.setdefault(id(hot.engine), []).append(part)
        for alike in by_engine.values():
            queries = [query for hot, _, searches in alike for query in [hot.query_now()] * len(searches)]
            cost_us = sum([max(hot.cost_us, 1.0) * len(searches) for hot, _, searches in alike])
            started, started_here = perf_counter_ns(), thread_time_ns()
            blobs = b"".join([search.blob for _, _, searches in alike for search in searches])
            turns.crew.search_each(alike[0][0].engine, queries, blobs, cost_us < _WORTH_HELP_US)
            took = thread_time_ns() - started_here
            turns.n_searches += len(queries)
            turns.search_ns += perf_counter_ns() - started
            first = 0
            for hot, proto, searches in alike:
                hot.note_cost(took * 0.001 * max(hot.cost_us, 1.0) / cost_us)
                hot.field.note_knn(hot.child is not None)
                n = len(searches)
                replies = hot.replies_now(proto, first, n)
                hot.complete(replies, searches, proto, first)
                first += n
                done.append((searches, replies))
        for searches, replies in done:
            deliver(searches, replies)

    def early(self, searches: list[PendingSearch], proto: int) -> list | None:
        """The replies (or CommandErrors) to searches of one turn that the engine need not do."""
        n, index = len(searches), self.index
        if index.is_dropped:            # in this turn: its engine is closed
            return [CommandError(errors.DROPPED_MEANWHILE)] * n
        if self.child is not None and self.revision != index.plain_revision:      # changed in this turn
            try:
                self._evaluate_filter()
                if not self.count:
                    return [self.encode(proto, [], [])] * n
            except native.SearchTimeout:
                try:
                    return [self._timed_out(proto)] * n
                except CommandError as error:
                    return [error] * n
            except CommandError as error:
                return [error] * n
        return None

    def complete(self, replies: list, searches: list[PendingSearch], proto: int, first: int) -> None:
        """Puts in what the engine has left out of the replies to the searches from the first-th on that were just done; a
        CommandError where there is none."""
        for i, reply in enumerate(replies):
            try:
                replies[i] = Raw(reply) if reply else self._reply(searches[i].blob, proto, first + i)
            except CommandError as error:
                replies[i] = error

    def replies_now(self, proto: int, first: int, n: int) -> list:
        """The replies that the engine writes to the n searches from the first-th on that were just done; b"" for those that it
        leaves to `complete`."""
        form = self.form_now(proto)
        if form is None or self.n_rescored:
            return [b""] * n
        return self.turns.crew.replies(self.index.docs.names, form, self.index.docs.doc_ids, first, n)

    def _search(self, vectors: bytes, proto: int, n: int) -> list:
        """Searches for n vectors. The replies that the engine writes; b"" for those that it leaves to _reply."""
        turns, query = self.turns, self.query_now()
        started, started_here = perf_counter_ns(), thread_time_ns()
        turns.crew.search(self.engine, query, vectors, n)
        took = thread_time_ns() - started_here
        turns.n_searches += n
        turns.search_ns += perf_counter_ns() - started
        field = self.field
        self.note_cost(took * 0.001 / n)
        field.note_knn(self.child is not None)
        return self.replies_now(proto, 0, n)

    def query_now(self) -> native.Query:
        """The search in the engine's terms, but for the vector."""
        query = self.query
        if query is None:
            k = self.n_wanted if self.n_wanted <= _MUCH else min(self.n_wanted, max(1, len(self.index.docs)))
            query = native.Query(k, self.window, self.capacity, self.bits, self.timeout_us, self.order.sure)
            if k == self.n_wanted <= _MUCH:
                self.query = query
        return query

    def _reply(self, blob: bytes, proto: int, i: int) -> Raw:
        """The reply of the i-th of the searches just done, which was for this vector. Raises CommandError."""
        try:
            rows, distances = self.turns.crew.result(i)
        except native.SearchTimeout:
            return self._timed_out(proto)
        except native.NativeError as error:
            raise refusal(error) from None
        if self.n_rescored:
            rows, distances = self._rescored(blob, rows, distances)
        return self.encode(proto, rows, distances)

    def _choose_candidates(self) -> None:
        """Follows what has been measured of the index: how many candidates to rescore, with which window."""
        order = self.rescorer.plan(self.k, self.asked_window, self.target, self.rerank)
        if order != self.order:
            self.query, self.order = None, order
            self.n_rescored, self.n_wanted, self.window = order.n, order.n or self.k, order.window

    def _rescored(self, blob: bytes, rows: list[int], distances: list[float]):
        started = perf_counter_ns()
        rows, distances = self.rescorer.rescore(blob, rows, distances, self.n_rescored, self.k, self.order.slack,
                                                self.order.usual)
        took = perf_counter_ns() - started
        self.turns.search_ns += took
        self.note_cost(self.cost_us + took * 0.001)
        return rows, distances

    def _evaluate_filter(self) -> None:
        index = self.index
        rows = Evaluation(index, self.server.config, self.timeout_us, self.options).rows(self.child)
        self.count = len(rows) if self.k else 0
        self.bits = allowed(rows, index.docs.n_rows) if self.count else None
        self.revision = index.plain_revision
        self.query = None
        self.note_size()

    def note_size(self) -> None:
        """Takes down what the filter and the roads take."""
        index = self.index
        if index.plans.version != self._version:
            return
        size = sum([road.nbytes for road in self.roads.values()]) + (self.bits.words.nbytes if self.bits is not None else 0)
        if index.plans.note_size(self, size, index.docs.n_rows):
            self.server.loop.call_soon(_make_room, self.server, index)  # when no search is on its way

    def give_up(self) -> None:
        """Forgets the filter and the roads, for others' sake."""
        self.bits = self.query = None
        self.revision = -1
        for road in self.roads.values():
            self.turns.lanes.close_soon(road)

    def note_cost(self, took_us: float) -> None:
        """Takes down what a search of this kind took."""
        most = _MOST_AT_ONCE * self.cost_us + _US_FREE
        is_odd, self.is_odd = self.is_odd, took_us > most
        if not is_odd and self.is_odd:
            took_us = most
        self.cost_us += _WEIGHT * (took_us - self.cost_us)
        self.field.cost_us = self.cost_us

    def finish(self, search: PendingSearch, answer) -> Raw:
        """The reply for what the pool found: (rows, distances) or an exception. Raises CommandError."""
        if isinstance(answer, native.SearchTimeout):
            return self._timed_out(search.client.proto)
        if isinstance(answer, Exception):
            raise refusal(answer)
        if self.index.is_dropped:
            raise CommandError(errors.DROPPED_MEANWHILE)
        rows, distances = answer
        docs = self.index.docs
        if docs.max_doc_id != search.newest or self.index.n_removals != search.n_removals:
            # Rows may have gone, or have been given to new documents, while the search ran.
            kept = [(row, distance) for row, distance in zip(rows, distances) if docs.keys[row] is not None
                    and docs.born[row] <= search.newest]
            rows, distances = [row for row, _ in kept], [distance for _, distance in kept]
        if self.n_rescored:
            rows, distances = self._rescored(search.blob, rows, distances)
        return self.encode(search.client.proto, rows, distances)

    def _timed_out(self, proto: int) -> Raw:
        if self.fails:
            raise CommandError(errors.TIMEOUT)
        return Raw(encode_page(proto, 0, [], self.options, [b"Timeout limit was reached"]))

    def encode(self, proto: int, rows: list[int], distances: list[float]) -> Raw:
        """The reply of a search that found these rows, nearest first. Raises CommandError."""
        db = self.db
        docs = self.index.docs
        if db.expires or db.field_expires or None in map(docs.keys.__getitem__, rows):    # gone by an earlier reply of this turn
            rows, distances = self._living(rows, distances)
        total = len(rows)
        if not self.plain or len(set(distances)) != total:
            rows, distances = self._ordered(rows, distances)
        keys = docs.keys
        prefix, heads, middle, end = self.shapes[proto]
        out = [b"*%d\r\n:%d\r\n" % (1 + self.per_hit * len(rows), total) if proto == 2 else RESP3_HEAD % len(rows)]
        if self.writer.is_empty:
            for row in rows:
                out += (prefix, bulk(keys[row]), end)
        elif self.writer.only_distance:
            for row, text in zip(rows, distance_texts(distances)):
                key = keys[row]
                n = len(key)
                out += (prefix, HEADS[n] if n < N_HEADS else b"$%d\r\n" % n, key, heads[len(text)], text, end)
        else:
            values, named = docs.values, self.named
            joint = b"\r\n" + end
            keep = self.texts.put if self.texts is not None else None
            one = self.paths[0] if named is not None and len(named) == 1 else None
            for row, text in zip(rows, distance_texts(distances)):
                value = values[row]
                texts = (value.get(one),) if one is not None else value.many(self.paths) if named is not None else _NONE
                if None in texts:       # or what is returned is not a distance and some plain fields
                    n, pairs = self.writer.fields(row, value, (text,))
                    out += (prefix, bulk(keys[row]), middle % (n if proto == 3 else 2 * n), pairs, end)
                else:
                    key = keys[row]
                    n = len(key)
                    out += (prefix, HEADS[n] if n < N_HEADS else b"$%d\r\n" % n, key, heads[len(text)], text)
                    first = len(out)
                    for name, text in zip(named, texts):
                        n = len(text)
                        out += (name, HEADS[n] if n < N_HEADS else b"$%d\r\n" % n, text)
                    if keep is not None:
                        keep(row, b"".join(out[first:])[2:] + b"\r\n", docs.n_rows)
                    out.append(joint)
        if proto == 3:
            out.append(RESP3_TAIL % total)
        return Raw(b"".join(out))

    def _make_shapes(self) -> None:
        """Settles the bytes that are the same in every row, by protocol: what comes before the key, what comes between
        it and the distance by the length of that (with the key's line end), the same without the distance, what ends the row."""
        writer = self.writer
        self.per_hit = 1 if writer.is_empty else 2
        self.paths = [path for path, _ in writer.named]
        self.named = [b"\r\n" + name
                      for _, name in writer.named] if writer.distances and writer.named and not writer.columns else None
        if writer.is_empty:
            self.shapes = {2: (b"", None, None, b""), 3: (b"%2\r\n+id\r\n", None, None, RESP3_ROW_END)}
            return
        self.shapes = {}
        for proto, prefix, middle, end in ((2, b"", b"*%d\r\n", b""),
                                           (3, b"%3\r\n+id\r\n", b"+extra_attributes\r\n%%%d\r\n", RESP3_ROW_END)):
            heads = None
            if writer.distances:
                n = 1 + len(writer.named)
                head = middle % (n if proto == 3 else 2 * n) + writer.distances[0][1]
                heads = [b"\r\n%b$%d\r\n" % (head, length) for length in range(32)]
            self.shapes[proto] = prefix, heads, middle, (b"\r\n" if writer.only_distance else b"") + end

    def _living(self, rows: list[int], distances: list[float]):
        """Without the rows whose key's time has come."""
        db, keys = self.db, self.index.docs.keys
        found = [(row, distance) for row, distance in zip(rows, distances)
                 if keys[row] is not None and db.get(keys[row]) is not None]
        return [row for row, _ in found], [distance for _, distance in found]

    def _ordered(self, rows: list[int], distances: list[float]):
        """The page, in the order that was asked for; equal ones by doc id."""
        ids = self.index.docs.doc_ids
        if len(rows) > _MANY:
            of_row, of_distance = np.array(rows), np.array(distances)
            order = np.lexsort((ids[of_row], of_distance)) if self.by_distance else np.argsort(ids[of_row])
            if self.by_distance and not self.ascending:
                order = order[::-1]
            order = order[self.offset:self.end]
            return of_row[order].tolist(), of_distance[order].tolist()
        if self.by_distance:
            order = sorted(zip(distances, ids[rows].tolist(), rows), reverse=not self.ascending)
        else:
            order = [(distance, doc_id, row) for doc_id, distance,
                     row in sorted(zip(ids[rows].tolist(), distances, rows))]
        order = order[self.offset:self.end]
        return [entry[2] for entry in order], [entry[0] for entry in order]
