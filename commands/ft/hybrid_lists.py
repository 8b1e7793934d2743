"""The two lists of FT.HYBRID: what its words find and what its vector finds, each ranked and cut to a window.

Both are work in pieces, with pauses in which others are served. Where there are many vectors the engine's pool looks among them,
while the words are looked for here."""
from collections.abc import Callable, Generator
from time import perf_counter_ns

import numpy as np

import native
from respserver.protocol.errors import CommandError

from . import errors, tree
from .binding import bind, check_yields
from .errors import fail
from .hybrid_options import HybridOptions
from .matches import Leaf, Match, row_array, row_set
from .plan import RANGE_BY_CANDIDATE, Evaluation
from .query import parse_query
from .score import Scorer
from .search import Found, failed, find_names, living, match, nearest_steps, stopwords_of, time_limit_us, top_rows

#: From so many documents on the pool looks for vectors: fewer are done sooner than a hand-over is worth.
POOL_FROM = 5000
#: Documents that get their scores between two pauses.
_PIECE = 1 << 14


class Moment:
    """When a request came, which state of the index it is about, and how long it may take."""

    __slots__ = ("index", "newest", "n_removals", "started", "limit_us", "fails")

    def __init__(self, index, config, options: HybridOptions):
        self.index = index
        self.newest = index.docs.max_doc_id
        self.n_removals = index.n_removals
        self.started = perf_counter_ns()
        self.limit_us = time_limit_us(config, options)
        self.fails = config["search-on-timeout"] != "return"

    def is_late(self) -> bool:
        """Whether the time is over. Raises CommandError if that is what search-on-timeout asks for."""
        if not self.limit_us or perf_counter_ns() - self.started <= 1000 * self.limit_us:
            return False
        if self.fails:
            raise CommandError(errors.TIMEOUT)
        return True

    def keep(self, rows: list[int]) -> list[int]:
        """Those rows that still hold the documents of then."""
        docs = self.index.docs
        if docs.max_doc_id == self.newest and self.index.n_removals == self.n_removals:
            return rows
        return [row for row in rows if docs.keys[row] is not None and docs.born[row] <= self.newest]


class Ranked:
    """One of the lists: rows of the document table, best first, with their scores."""

    __slots__ = ("rows", "scores", "match", "warnings", "root", "evaluation", "match_ns", "took_ns")

    def __init__(self, rows: list[int], scores: list[float], found: Found, name: bytes, root, evaluation: Evaluation,
                 match_ns: int, took_ns: int):
        self.rows = rows
        self.scores = dict(zip(rows, scores))
        self.match = found.match
        self.warnings = [b"%b (%b)" % (text, name) for text in found.warnings]
        self.root = root                # of the query, bound, and how it was evaluated
        self.evaluation = evaluation
        self.match_ns = match_ns
        self.took_ns = took_ns          # with sorting


def _look_for(node, is_bad: Callable) -> bool:
    """Whether there is a node of that kind in a tree."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if one is None:
            continue
        if is_bad(one):
            return True
        waiting += getattr(one, "children", ())
        waiting.append(getattr(one, "child", None))
    return False


def _parse(index, options: HybridOptions, text: bytes, where: str) -> tree.Query:
    """The query of SEARCH, or of VSIM's FILTER. Raises CommandError."""
    query = parse_query(text, options.dialect, index.schema, **stopwords_of(index, options))
    if _look_for(query.root, lambda node: isinstance(node, (tree.Knn, tree.VectorRange))):
        raise fail(errors.HYBRID_NO_VECTORS, where)
    return query


def vector_tree(index, options: HybridOptions):
    """The bound clause of VSIM, and the name that its distances have. Raises CommandError."""
    part = options.vector
    spec = index.schema.get(part.field)
    if spec is None:
        raise fail(errors.HYBRID_FIELD_UNKNOWN, part.field)
    if spec.type != "VECTOR":
        raise fail(errors.HYBRID_FIELD_KIND, part.field)
    alias = part.alias if part.alias is not None else b"__" + part.field + b"_score"
    among, params = None, ()
    if part.filter is not None:
        query = _parse(index, options, part.filter, "VSIM FILTER")
        if _look_for(query.root, lambda node: node.attributes is not None and node.attributes.weight is not None):
            raise fail(errors.HYBRID_NO_WEIGHTS)
        among, params = query.root, query.params
        if type(among) is tree.Wildcard:
            among = None
    vector = tree.Param(part.param, "blob")
    if part.radius is None:
        k = min(part.k, options.combine.window)         # more than the window would be found for nothing
        node = tree.Knn(among, part.field, k, vector, part.param, tuple(part.attributes), alias)
    else:
        node = tree.VectorRange(part.field, part.radius, vector, part.param, tuple(part.attributes), alias)
        if among is not None:
            node = tree.And([among, node])
    root = bind(tree.Query(node, b"", options.dialect, (*params, vector)), options.params)
    if part.alias is not None:
        check_yields(root, index.schema)
    return root, alias


def _mute_tags(found: Match) -> None:
    """Tags filter here and do not count for scores, unlike in FT.SEARCH."""
    waiting = [found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Leaf) and not one.is_term:
            one.weight = 0.0
        waiting += one.children


def words_tree(index, options: HybridOptions):
    """The bound query of SEARCH. Raises CommandError."""
    root = bind(_parse(index, options, options.text, "SEARCH"), options.params)
    find_names(index, options, root)
    return root


def by_words(client, options: HybridOptions, scorer: Scorer, root, evaluation: Evaluation, moment: Moment) -> Generator:
    """Work that returns the list of SEARCH. Raises CommandError."""
    index = evaluation.index
    db, docs = client.server.keyspace.databases[0], index.docs
    started = perf_counter_ns()
    found = match(client, index, root, evaluation)
    match_ns = perf_counter_ns() - started
    _mute_tags(found.match)
    rows = row_array(found.rows)
    size = _PIECE if scorer.is_by_row else len(rows)
    parts, scores = [np.empty(0, dtype=np.uint32)], [np.empty(0)]
    for at in range(0, len(rows), size):
        if at:
            yield
            evaluation.check_open()
            if moment.is_late():
                found.warnings.append(errors.TIMEOUT_WARNING)
                break
        part = rows[at:at + size]
        if db.expires or db.field_expires:
            part = row_array(living(db, docs, row_set(part)))
        parts.append(part)
        scores.append(scorer.scores(found.match, part))
    rows, values = np.concatenate(parts), np.concatenate(scores)
    best = top_rows(docs, rows, -values, options.combine.window, True)
    values = values[np.searchsorted(rows, best)]
    return Ranked(best.tolist(), values.tolist(), found, b"SEARCH", root, evaluation, match_ns, perf_counter_ns() - started)


def by_vector(client, options: HybridOptions, root, alias: bytes, evaluation: Evaluation, turns=None) -> Generator:
    """Work that returns the list of VSIM. turns: whose pool looks among the vectors;
    None: it is done here, without a pause. Raises CommandError."""
    index = evaluation.index
    db = client.server.keyspace.databases[0]
    if turns is not None:
        started = perf_counter_ns()
        found = yield from _beside(client, root, evaluation, turns)
    else:
        evaluation.check_open()
        started = perf_counter_ns()
        found = match(client, index, root, evaluation)
    match_ns = perf_counter_ns() - started
    rows = row_array(living(db, index.docs, found.rows))
    distance_of = found.distances.get(alias, {})
    distances = np.array([distance_of[row] for row in rows.tolist()], dtype=np.float64)
    best = top_rows(index.docs, rows, distances, options.combine.window, True)
    distances = distances[np.searchsorted(rows, best)]
    if index.by_name[options.vector.field].spec.metric == "L2":
        scores = 1 / (1 + distances)
    else:
        scores = (2 - distances) / 2
    return Ranked(best.tolist(), scores.tolist(), found, b"VSIM", root, evaluation, match_ns, perf_counter_ns() - started)


def _beside(client, root, evaluation: Evaluation, turns) -> Generator:
    """Work that returns what the tree of VSIM matches: KNN, RANGE, or RANGE behind a filter."""
    index = evaluation.index
    try:
        if type(root) is tree.Knn:
            found = yield from nearest_steps(client.server, index, root, evaluation, turns)
        elif type(root) is tree.And:
            among = evaluation.match(root.children[0]).rows
            few = among if len(among) <= RANGE_BY_CANDIDATE else None
            near = yield from evaluation.range_steps(root.children[1], few, turns)
            found = Match(near.rows & among)
        else:
            found = yield from evaluation.range_steps(root, None, turns)
    except native.NativeError as error:
        found = failed(client, evaluation, error)
    return Found(found.rows, evaluation.yielded, found, evaluation.warnings)
