"""FT.SEARCH: its words to options and a tree, the tree to rows, the rows to a reply.

A search is prepared once per text and options and then found again by its words (plans.py): the values of PARAMS are taken out of
them, so that a thousand queries for a thousand vectors share one preparation. What remains per query is binding the parameters,
the engine's call and the rows."""
import math
from collections.abc import Generator
from time import perf_counter_ns

import numpy as np
from pyroaring import BitMap

import native
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import Raw
from respserver.registry import command

from . import errors, out_of_memory, tree
from .binding import bind, check_yields, yields
from .fields import GeoField, NumericField
from .fields.vector import HYBRID_ADHOC_BF, HYBRID_BATCHES, VectorField
from .knn import HotKnn
from .explain_score import explain_score
from .matches import ALL, Group, Match, row_array
from .plan import Evaluation, allowed, refusal, to_end
from .plans import forget_older_half
from .query import parse_query
from .reply import Hit, RowWriter, bulk, distance_text, encode_page, sort_key_text
from .runtime import check_blob, knn_runtime
from .score import Scorer
from .search_options import parse_search
from .sources import check_order
from .text.fragments import Editor
from .text.hot import HotText

#: So many of one text, with other words behind it (each page of a long result, say) ...
MAX_PER_TEXT = 16
#: ... and none with more bytes than these in all its words: its tree would take a multiple of them.
MAX_PREPARED_BYTES = 256 * 1024
#: Sets of values of the other parameters that one prepared search remembers; when there are more, the older half is forgotten.
MAX_VARIANTS = 1024
#: Up to this many rows ADHOC_BF computes the distances one by one.
_MAX_ADHOC = 200_000
#: So many between two pauses.
_ADHOC_PIECE = 2048
#: BATCHES takes at least so many vectors at a time from the engine, however small the batches that were asked for.
_LEAST_BATCH = 256


class Prepared:
    """One search without the values of its parameters. `head`, `tail`, `positions`: how its words are recognised."""

    __slots__ = ("n_words", "positions", "names", "head", "tail", "rest", "options", "query", "hot", "hot_text",
                 "vector_at", "variants")

    def __init__(self, words: tuple, options, query):
        self.options = options
        self.query = query
        self.hot: HotKnn | None = None              # the vector is the only parameter
        self.hot_text: HotText | None = None        # there are none, and it is about words
        #: The place of a KNN's vector among the words, if that is certain.
        self.vector_at = -1
        self.variants: dict[tuple, HotKnn] = {}     # values of the others -> how to run it with these
        self.n_words = len(words)
        self.names, self.positions = _value_positions(words, options.params)
        first = self.positions[0] if self.positions else len(words)
        self.head = words[:first]
        self.tail = words[first + 1:] if len(self.positions) == 1 else None
        self.rest = _without(words, self.positions)

    @property
    def is_reusable(self) -> bool:
        """Whether the places of the values among the words are certain."""
        return len(self.positions) == len(self.options.params)

    def fits(self, words: tuple) -> bool:
        """Whether the words are the same search, but for the values of PARAMS."""
        if len(words) != self.n_words:
            return False
        if self.tail is not None:
            n = len(self.head)
            return words[:n] == self.head and words[n + 1:] == self.tail
        return _without(words, self.positions) == self.rest

    def find_vector(self) -> None:
        """Sets `vector_at` if the vector's parameter is used for nothing else."""
        root = self.query.root
        if type(root) is tree.Knn and type(root.vector) is tree.Param:
            name = root.vector.name
            if name in self.names and sum(param.name == name for param in self.query.params) == 1:
                self.vector_at = self.positions[self.names.index(name)]

    def variant(self, client, index, words: tuple) -> HotKnn | None:
        """The short way for these values of the parameters other than the vector, None if there is none. Raises CommandError."""
        key = tuple([words[i] for i in self.positions if i != self.vector_at])
        hot = self.variants.get(key)
        if hot is None:
            root = bind(self.query, self.params(words))
            if not _takes_short_way(index, self.options, root):
                return None
            find_names(index, self.options, root)
            hot = HotKnn(client.server, index, root, self.options, words[self.vector_at],
                         time_limit_us(client.server.config, self.options))
            if len(self.variants) >= MAX_VARIANTS:
                forget_older_half(self.variants)
            if sum(map(len, key)) <= MAX_PREPARED_BYTES:
                self.variants[key] = hot
        return hot

    def params(self, words: tuple) -> dict[bytes, bytes]:
        """The values of the parameters, by name."""
        return {name: words[i] for name, i in zip(self.names, self.positions)}


def _value_positions(words: tuple, params: dict) -> tuple[list[bytes], list[int]]:
    """Where among the words the values of PARAMS are, with their names; nothing if it is not certain."""
    n = len(params)
    if not n:
        return [], []
    found = []
    for i, word in enumerate(words):
        if len(word) == 6 and word.upper() == b"PARAMS" and i + 2 + 2 * n <= len(words):
            names, values = words[i + 2:i + 2 + 2 * n:2], words[i + 3:i + 3 + 2 * n:2]
            if dict(zip(names, values)) == params:
                found.append((list(names), list(range(i + 3, i + 2 + 2 * n, 2))))
    return found[0] if len(found) == 1 else ([], [])


def _without(words: tuple, positions: list[int]) -> list[bytes]:
    rest = list(words)
    for i in reversed(positions):
        del rest[i]
    return rest


@command("FT.SEARCH", arity=-3, group="search", since="1.0.0", flags="readonly pooled", categories="read",
         summary="Searches the index with a textual query, returning either documents or just ids",
         complexity="O(N)")
def ft_search(client, name, text, *words):
    server = client.server
    if server.dispatcher.out_of_memory and (reply := out_of_memory.answer(client, "SEARCH", words)) is not None:
        return reply
    manager = server.search
    index = manager.indexes.get(name)
    if index is None:
        index = manager.find(name)
    else:
        index.n_uses += 1
    for prepared in index.plans.get(text, ()):
        if prepared.fits(words):
            break
    else:
        prepared = _prepare_noting(client, index, text, words)
    if not server.config["search-workers"] and is_capped(server.config, prepared.options):
        return _reply(client, index, prepared, words)
    words_alone = prepared.hot_text
    if (words_alone is not None
            and (reply := words_alone.run(client, time_limit_us(client.server.config, prepared.options))) is not None):
        return reply
    hot, at = prepared.hot, prepared.vector_at
    if hot is None and at >= 0:
        hot = prepared.variant(client, index, words)
    if hot is not None:
        manager.turns.lanes.note(client, hot, name, text, words, at)
        return hot.run(client, words[at])
    return _reply(client, index, prepared, words)


def perform(client, index, text: bytes, words: tuple, most: int):
    """The reply of a search whose time is up after so many documents. Raises CommandError."""
    return _reply(client, index, _prepare_noting(client, index, text, words), words, most)


def _reply(client, index, prepared: "Prepared", words: tuple, most: int | None = None) -> Raw:
    """The reply of a search in the general way, its error or warnings counted. Raises CommandError."""
    complaints = client.server.search.complaints
    try:
        outcome = run(client, index, prepared, prepared.params(words) if prepared.positions else prepared.options.params, most)
    except CommandError as error:
        complaints.note_error(error.text)
        raise
    if outcome.warnings:
        complaints.note_warnings(outcome.warnings)
    return Raw(outcome.encode(client.proto))


def _prepare_noting(client, index, text: bytes, words: tuple) -> "Prepared":
    client.server.search.turns.wake()
    try:
        return prepare(client, index, text, words)
    except CommandError as error:
        client.server.search.complaints.note_error(error.text)
        raise


def _takes_short_way(index, options, root) -> bool:
    """Whether HotKnn does for a bound KNN clause."""
    if index.source.is_json and (options.dialect >= 3 or options.format == "EXPAND"):
        return False
    return HotKnn.can_run(options, root) and index.by_name[root.field].takes_short_way


def prepare(client, index, text: bytes, words: tuple) -> Prepared:
    """Reads a search's words and text and keeps the result with the index. Raises CommandError."""
    config = client.server.config
    most = config["search-max-search-results"]
    options = parse_search(words, proto=client.proto, max_results=most, default_dialect=config["search-default-dialect"])
    options.count = min(options.count, max(0, most - options.offset))
    if options.format == "EXPAND" and not index.source.is_json:
        raise CommandError(errors.EXPAND_HASH)
    if (options.summarize or options.highlight) and index.source.is_json:
        raise CommandError(errors.HIGHLIGHT_JSON)
    if (options.summarize or options.highlight) and (index.options.no_highlight or index.options.no_offsets):
        raise CommandError(errors.HIGHLIGHT_DISABLED)
    for part in (options.summarize, options.highlight):
        for field in part.fields if part is not None else ():
            if field not in index.schema:
                raise errors.fail(errors.NO_PROPERTY, field)
    options.params = options.params or {}
    query = parse_query(text, options.dialect, index.schema, **stopwords_of(index, options))
    prepared = Prepared(words, options, query)
    index.dialect_uses[options.dialect - 1] += 1
    if query.hot is not None and len(options.params) == 1:
        root = bind(query, options.params)
        if prepared.is_reusable and _takes_short_way(index, options, root):
            find_names(index, options, root)
            prepared.hot = HotKnn(client.server, index, root, options, options.params[query.hot], time_limit_us(config, options))
            prepared.vector_at = prepared.positions[0]
    elif not query.params:
        prepared.hot_text = HotText.of(client.server, index, query.root, options)
    elif prepared.is_reusable:
        prepared.find_vector()
    if prepared.is_reusable and not isinstance(options.format, str):
        keep(index, text, words, prepared)
    return prepared


def keep(index, text: bytes, words: tuple, prepared: Prepared) -> None:
    """Keeps a prepared search with the index, if it is not too long for that."""
    if len(text) + sum(map(len, words)) > MAX_PREPARED_BYTES:
        return
    index.plans.make_room()
    variants = index.plans.setdefault(text, [])
    if len(variants) >= MAX_PER_TEXT:
        variants.clear()
    variants.append(prepared)


def stopwords_of(index, options) -> dict:
    """The stop words of a query as parse_query's argument; nothing for the default ones."""
    if options.no_stopwords:
        return {"stopwords": ()}
    return {} if index.options.stopwords is None else {"stopwords": index.options.stopwords}


def find_names(index, options, root) -> list[bytes]:
    """The names of the distances that a bound tree yields, in the order of the reply. Raises CommandError if a name is
    taken, or if SORTBY's is not to be had."""
    if index.unordered:
        check_order(index, options, root)
    check_yields(root, index.schema)
    names = yields(root)
    if type(root) is tree.Knn:
        names = [root.alias, *(name for name in names if name != root.alias)]
    if options.sort_by is not None and options.sort_by not in index.by_name and options.sort_by not in (*names, *options.loaded):
        raise errors.fail(errors.PROPERTY_NOT_FOUND, options.sort_by)
    return names


class Outcome:
    """The result of a search: the total and one page, not yet encoded."""

    __slots__ = ("total", "hits", "options", "warnings")

    def __init__(self, total: int, hits: list[Hit], options, warnings: list[bytes]):
        self.total = total
        self.hits = hits
        self.options = options
        self.warnings = warnings

    def encode(self, proto: int) -> bytes:
        return encode_page(proto, self.total, self.hits, self.options, self.warnings)


def run(client, index, prepared: Prepared, params: dict, most: int | None = None) -> Outcome:
    """Runs a search in the general way. most: documents in the index's order after which its time is up. Raises CommandError."""
    options = prepared.options
    root = bind(prepared.query, params)
    names = find_names(index, options, root)
    root = restrict(index, root, options)
    config = client.server.config
    evaluation = Evaluation(index, config, time_limit_us(config, options), options)
    if is_capped(config, options):
        evaluation.warnings.append(errors.CAPPED_WARNING)
    found = match(client, index, root, evaluation)
    if most is not None and len(found.rows) >= most:
        if config["search-on-timeout"] == "fail":
            raise CommandError(errors.TIMEOUT)
        found.rows = BitMap(index.docs.in_order(row_array(found.rows))[:most])
        found.warnings.append(errors.TIMEOUT_WARNING)
    return page(client, index, options, names, found, evaluation)


class Found:
    """What a query matched."""

    __slots__ = ("rows", "distances", "match", "warnings")

    def __init__(self, rows: BitMap, distances: dict, match: Match, warnings: list[bytes]):
        self.rows = rows
        self.distances = distances      # name -> {row: distance}
        self.match = match              # how: what scores are made of
        self.warnings = warnings


def _has_filter_field(index, options, name: bytes, kind, refusal: str) -> bool:
    """Whether a FILTER is of a field that there is; where it is not, dialect 1 finds nothing and the others refuse."""
    field = index.by_name.get(name)
    if type(field) is kind:
        return True
    if options.dialect > 1:
        raise errors.fail(errors.FILTER_FIELD, name) if field is None else errors.fail(refusal, name)
    return False


def restrict(index, root, options):
    """The tree with what INKEYS and FILTER add to it."""
    extra = []
    if options.has_empty_filter and options.dialect > 1:
        raise CommandError(errors.FILTER_EMPTY)
    for one in options.filters:
        if not _has_filter_field(index, options, one.field, NumericField, errors.NOT_NUMERIC):
            extra.append(tree.Ids(()))
            continue
        extra.append(tree.Numeric(one.field, one.low, one.high, one.low_inclusive, one.high_inclusive))
    for one in options.geo_filters:
        if not _has_filter_field(index, options, one.field, GeoField, errors.NOT_GEO):
            extra.append(tree.Ids(()))
            continue
        extra.append(tree.Geo(one.field, one.lon, one.lat, one.radius, one.unit.encode()))
    keys = [] if options.in_keys is None else [tree.Ids(options.in_keys)]       # the first where others are as rare
    if not keys and not extra:
        return root
    if type(root) is tree.Knn:
        child = tree.And([*keys, *([root.child] if root.child is not None else []), *extra])
        return tree.Knn(child, root.field, root.k, root.vector, root.vector_name, root.runtime, root.alias)
    return tree.And([*keys, root, *extra])


def time_limit_us(config, options) -> int:
    """Microseconds that a search may take; 0: no limit."""
    limit = config["search-timeout"] if options.timeout is None else options.timeout
    if not config["search-workers"]:            # it would keep all others waiting
        most = config["search-_max-foreground-timeout-limit"]
        if most and not 0 < limit <= most:
            limit = most
    return 1000 * limit


def is_capped(config, options) -> bool:
    """Whether that is less than was asked for."""
    if config["search-workers"]:
        return False
    return time_limit_us(config, options) != 1000 * (config["search-timeout"] if options.timeout is None else options.timeout)


def match(client, index, root, evaluation: Evaluation) -> Found:
    """Evaluates a bound tree; again, if it found documents by fields whose time had come. Raises CommandError."""
    db = client.server.keyspace.databases[0]
    found = _match(client, index, root, evaluation)
    if db.field_expires:
        keys = index.docs.keys
        # All of them: each that goes changes the index.
        if sum([db.purge_fields(key) for row in found.rows if (key := keys[row]) in db.field_expires]):
            found = _match(client, index, root, evaluation)
    return found


def _match(client, index, root, evaluation: Evaluation) -> Found:
    try:
        if type(root) is tree.Knn:
            found = nearest(client.server, index, root, evaluation)
        else:
            found = evaluation.match(root)
    except native.NativeError as error:
        found = failed(client, evaluation, error)
    return Found(found.rows, evaluation.yielded, found, evaluation.warnings)


def failed(client, evaluation: Evaluation, error: native.NativeError) -> Match:
    """What an evaluation that ended so has matched: nothing, with a warning, if its time was over and search-on-timeout says
    "return". Else raises CommandError."""
    if not isinstance(error, native.SearchTimeout):
        raise refusal(error) from None
    if evaluation.fails_late:
        raise CommandError(errors.TIMEOUT) from None
    evaluation.warnings.append(errors.TIMEOUT_WARNING)
    return Match(BitMap())


def nearest(server, index, node: tree.Knn, evaluation: Evaluation) -> Match:
    """What a KNN clause matches; distances go to evaluation.yielded under the clause's name."""
    return to_end(nearest_steps(server, index, node, evaluation))


def nearest_steps(server, index, node: tree.Knn, evaluation: Evaluation, turns=None) -> Generator:
    """The same as work that pauses now and then, or for what it yields. turns: whose pool may look for them."""
    field: VectorField = index.by_name[node.field]
    if not field.had_vectors:       # Redis has no vector index then and looks at nothing
        evaluation.yielded[node.alias] = {}
        return Match(BitMap())
    check_blob(node.vector, field.spec)
    runtime = knn_runtime(node, field.spec, filtered=node.child is not None)
    filtered = evaluation.match(node.child) if node.child is not None else None
    among = filtered.rows if filtered is not None else None
    if among is not None and not among or not runtime.k:
        rows, distances = [], []
    elif among is not None and runtime.policy == "ADHOC_BF" and len(among) <= _MAX_ADHOC:
        field.last_search_mode = HYBRID_ADHOC_BF
        rows, distances = yield from _ad_hoc(field, node.vector, among, runtime.k, evaluation)
    elif among is not None and runtime.policy == "BATCHES":
        field.last_search_mode = HYBRID_BATCHES
        started = perf_counter_ns()
        rows, distances = yield from _in_batches(field, node.vector, among, runtime, evaluation)
        server.search.turns.count(perf_counter_ns() - started)
    else:
        bits = None if among is None else allowed(among, index.docs.n_rows)
        started = perf_counter_ns()
        field.recent.append(node.vector)
        k, capacity = runtime.k, runtime.capacity or 0
        order = field.rescorer.plan(k, runtime.window or runtime.ef_runtime or 0, runtime.target, runtime.rerank)
        asked = node.vector, order.n or k, order.window, capacity, bits, evaluation.timeout_us, order.sure
        if turns is not None and not field.spec.is_multi:
            search = turns.find_nearest(field.engine, *asked)
            yield search
            rows, distances = search.rows()
            evaluation.check_open()
        else:
            rows, distances = field.engine.search_blob(*asked)
            server.search.turns.count(perf_counter_ns() - started)
        if order.n:
            rows, distances = field.rescorer.rescore(node.vector, rows, distances, order.n, k, order.slack, order.usual)
        field.note_knn(among is not None)
    evaluation.yielded[node.alias] = dict(zip(rows, distances))
    found = Match(BitMap(rows), 1.0 if filtered is None else 0.0, False)       # the filter's words alone make scores
    return found if filtered is None else Group(ALL, [filtered, found], found.rows)


def _ad_hoc(field: VectorField, blob: bytes, among: BitMap, k: int, evaluation: Evaluation) -> Generator:
    """Work that returns the k nearest by the distance to every candidate."""
    candidates = row_array(among)
    found: list[float] = []
    for at in range(0, len(candidates), _ADHOC_PIECE):
        if at:
            yield
            evaluation.check_open()
        found += field.engine.distances(blob, candidates[at:at + _ADHOC_PIECE].tolist())
    distances = np.array(found)
    keep = ~np.isnan(distances)
    candidates, distances = candidates[keep], distances[keep]
    order = np.lexsort((candidates, distances))[:k]
    return candidates[order].tolist(), distances[order].tolist()


def _in_batches(field: VectorField, blob: bytes, among: BitMap, runtime, evaluation: Evaluation) -> Generator:
    """Work that returns the k nearest, looked for among the nearest of all documents, a batch at a time until k of them pass the
    filter. Raises native.SearchTimeout."""
    timeout_us = evaluation.timeout_us
    deadline = perf_counter_ns() + 1000 * timeout_us if timeout_us else math.inf
    n_docs = len(evaluation.index.docs)
    k = runtime.k
    order = field.rescorer.plan(k, runtime.window or runtime.ef_runtime or 0, runtime.target, runtime.rerank)
    wanted = min(order.n or k, len(among))
    size = runtime.batch_size or min(wanted * n_docs // len(among) + 1, n_docs)
    rows: list[int] = []
    distances: list[float] = []
    seen = 0
    for batch, away in field.engine.iterator(blob, max(min(size, n_docs), _LEAST_BATCH), order.window, timeout_us):
        if perf_counter_ns() > deadline:
            raise native.SearchTimeout(0, "time is up")
        for seen, (row, distance) in enumerate(zip(batch.tolist(), away.tolist()), seen + 1):
            if row in among:
                rows.append(row)
                distances.append(distance)
                if len(rows) == wanted:
                    break
        if len(rows) == wanted:
            break
        yield
        evaluation.check_open()
    field.batches = -(-seen // size), size
    return field.rescorer.rescore(blob, rows, distances, order.n, k) if order.n else (rows, distances)


# ------------------------------------------------------------------------------------------------------- a page of
# results

#: Documents that are loaded between two looks at the clock.
_AT_A_TIME = 256


def page(client, index, options, names: list[bytes], found: Found, evaluation: Evaluation) -> Outcome:
    """Sorts what was found, cuts out the page and loads its documents: those that it comes to until the evaluation's
    deadline, or none if search-on-timeout says so (raises CommandError)."""
    db = client.server.keyspace.databases[0]
    docs = index.docs
    matched = living(db, docs, found.rows)
    total = len(matched)
    n = options.offset + options.count
    if not options.count:
        return Outcome(total, [], options, found.warnings)
    rows = row_array(matched)
    scores = scorer = None
    if options.sort_by is None or options.with_scores:
        scorer = Scorer(index, options.scorer or default_scorer(client.server.config), options.payload, options.tanh_factor)
        if options.with_scores or not scorer.is_flat(found.match):
            scores = scorer.scores(found.match, rows)
    if options.sort_by is None:
        chosen = top_rows(docs, rows, None if scores is None else -scores, n, True)
        keys = None
    else:
        chosen, keys = _sorted(db, index, options, rows, found.distances, n)
    chosen = chosen[options.offset:]
    score_of = {}
    if options.with_scores and scores is not None:
        score_of = dict(zip(rows.tolist(), scores.tolist()))
    lead = None
    if options.sort_by is not None and options.sort_by in index.by_name:
        lead = (index.by_name[options.sort_by].path, options.sort_by)
    is_expanded = options.format == "EXPAND"
    writer = RowWriter(index, options.returns, options.no_content, names, lead,
                       index.source.is_json and (options.dialect >= 3 or is_expanded), is_expanded)
    if (options.summarize or options.highlight) and index.text is not None:
        writer.edit = Editor(index, options, found.match).edit
    yielded = [found.distances.get(name, {}) for name in names]
    shows_texts = writer.is_all and not writer.is_empty and not index.source.is_json    # the sort keys of whole hashes
    hits = []
    for row in chosen.tolist():
        if not len(hits) % _AT_A_TIME and hits and perf_counter_ns() > evaluation.deadline:
            if evaluation.fails_late:
                raise CommandError(errors.TIMEOUT)
            found.warnings.append(errors.TIMEOUT_WARNING)
            break
        hit = Hit(bulk(docs.keys[row]))
        if options.with_scores:
            score = score_of.get(row, 0.0)
            hit.score = _number_text(score)
            if options.explain_score:
                hit.explained = explain_score(scorer, found.match, row, score)
        if options.with_raw_ids:
            hit.raw_id = int(docs.doc_ids[row])
        if options.with_payloads:
            hit.payload = docs.payloads.get(row)
        if options.with_sort_keys and keys is not None:
            key = keys(row)
            if shows_texts and options.sort_by not in found.distances:
                text = docs.values[row].get(options.sort_by)
                key = key if text is None else text
            hit.sort_key = sort_key_text(key)
        if not writer.is_empty:
            distances = [one.get(row) for one in yielded]
            if not is_expanded:
                distances = [None if distance is None else distance_text(distance) for distance in distances]
            hit.n_pairs, hit.pairs = writer.fields(row, docs.values[row], distances)
        hits.append(hit)
    return Outcome(total, hits, options, found.warnings)


def living(db, docs, rows: BitMap) -> BitMap:
    """Without the rows whose key's time has come."""
    if not (db.expires or db.field_expires):
        return rows
    keys = docs.keys
    gone = [row for row in rows if keys[row] in db.expires or keys[row] in db.field_expires]
    gone = [row for row in gone if db.get(keys[row]) is None]
    return rows - BitMap(gone) if gone else rows


def default_scorer(config) -> str:
    """The scorer of a search that names none."""
    return config["search-default-scorer"]


def top_rows(docs, rows: np.ndarray, values: np.ndarray | None, n: int, ascending: bool) -> np.ndarray:
    """The first `n` rows by value, ties by doc id in the same direction.
    `values` None: by doc id alone. NaN comes last either way."""
    if values is None and ascending and len(rows) > 4 * n + 64:
        rows = native.first_rows(docs.doc_ids, rows, n)
    ids = docs.doc_ids[rows]
    if not ascending:
        ids = -ids
    if values is None:
        return rows[np.argsort(ids)][:n]
    if not ascending:
        values = -values
    if len(rows) > 4 * n + 64:
        bound = np.partition(values, n - 1)[n - 1]      # NaN sorts last
        kept = np.flatnonzero(values <= bound) if bound == bound else np.arange(len(values))
        rows, ids, values = rows[kept], ids[kept], values[kept]
    return rows[np.lexsort((ids, values))][:n]


def _sorted(db, index, options, rows: np.ndarray, distances: dict, n: int):
    """The first `n` rows by the SORTBY field, and a function that gives a row's sort key."""
    name, ascending, docs = options.sort_by, options.ascending, index.docs
    of_row = distances.get(name)
    if of_row is None and name in options.loaded and name not in index.by_name:
        def key(row):
            return docs.keys[row] if name == b"__key" else docs.values[row].get(name)
        return _by_text(docs, rows, key, ascending, n), key
    if of_row is not None or name not in index.by_name:
        of_row = of_row or {}
        values = np.array([of_row.get(row, math.nan) for row in rows.tolist()])
        return top_rows(docs, rows, values, n, ascending), of_row.get
    field = index.by_name[name]
    if type(field) is NumericField and not (field.has_arrays and options.dialect < 3):     # which sorts arrays as texts
        column = field.column
        if len(column) < docs.n_rows:
            column = np.concatenate([column, np.full(docs.n_rows - len(column), math.nan)])
        return top_rows(docs, rows, column[rows], n, ascending), field.sort_key
    if field.sort_keys is not None:
        key = field.sort_keys.get
    else:
        def key(row):
            value = docs.values[row].get(field.path)
            return None if value is None else value.lower() if field.type_name in ("TAG", "TEXT") else value
    return _by_text(docs, rows, key, ascending, n), key


def _by_text(docs, rows: np.ndarray, key, ascending: bool, n: int) -> np.ndarray:
    """The first `n` rows by their text, those without one last, ties by doc id in the same direction."""
    found = [(key(row), row) for row in rows.tolist()]
    ids = docs.doc_ids
    with_key = sorted(((text, int(ids[row]), row) for text, row in found if text is not None), reverse=not ascending)
    without = sorted(((int(ids[row]), row) for text, row in found if text is None), reverse=not ascending)
    return np.array([entry[-1] for entry in (*with_key, *without)][:n], dtype=np.int64)


def _number_text(value: float) -> bytes:
    """A score: whole numbers without a point, others so that they read back the same."""
    return b"%d" % value if value == int(value) else repr(value).encode()
