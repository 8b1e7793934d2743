"""FT.HYBRID: one search by words and one by a vector, whose lists become one.

Each list is ranked and cut to a window. RRF adds up 1 / (constant + rank) over the lists that have a document (G. Cormack, C.
Clarke, S. Buettcher, Reciprocal Rank Fusion, 2009), LINEAR the weighted scores; a distance becomes a score of 1 / (1 + d) for
L2, and of (1 + similarity) / 2 for COSINE and IP. What follows (LOAD, APPLY, FILTER, GROUPBY, SORTBY, LIMIT) are the stages of
FT.AGGREGATE, over rows that come best first."""
from collections.abc import Callable
from time import perf_counter_ns

import numpy as np

from respserver.protocol.errors import CommandError
from respserver.protocol.reply import Pairs, Raw, Simple, encode
from respserver.registry import command

from . import errors, tree
from .aggregate import Expanded, Results, row_pairs, run_beside
from .aggregate_options import Group, Load
from .errors import fail, show
from .explain_score import explain_score
from .hybrid_options import HybridOptions, parse_hybrid
from .matches import Leaf, Match, row_array
from .pipeline import DOCUMENT, DocumentLayout, Progress, build
from .plan import Evaluation
from .query import Query, bind, check_yields, parse_query
from .reply import hidden_fields
from .score import Scorer
from .search import default_scorer, find_names, living, match, stopwords_of, time_limit_us, top_rows
from .values import Several

_SCORE, _KEY = b"__score", b"__key"


class Ranked:
    """One of the lists: rows of the document table, best first, with their scores."""

    __slots__ = ("rows", "scores", "match", "warnings", "root", "evaluation", "match_ns", "took_ns")

    def __init__(self, rows: list[int], scores: list[float], found: Match, warnings: list[bytes], root, evaluation: Evaluation,
                 match_ns: int, took_ns: int):
        self.rows = rows
        self.scores = dict(zip(rows, scores))
        self.match = found
        self.warnings = warnings
        self.root = root                # of the query, bound, and how it was evaluated
        self.evaluation = evaluation
        self.match_ns = match_ns
        self.took_ns = took_ns          # with sorting


class Fusion:
    """What one request found: both lists, and the documents of both with their scores, best first."""

    __slots__ = ("options", "index", "words", "vector", "scorer", "rows", "scores", "parts", "warnings")

    def __init__(self, index, options: HybridOptions, words: Ranked, vector: Ranked, scorer: Scorer):
        self.index = index
        self.options = options
        self.words = words
        self.vector = vector
        self.scorer = scorer
        combine = options.combine
        weights = (combine.alpha, combine.beta)
        scores: dict[int, float] = {}
        #: For each list: row -> what its score is made of (RRF: the rank, LINEAR: the list's score).
        self.parts: list[dict[int, float]] = []
        for weight, ranked in zip(weights, (words, vector)):
            if combine.is_linear:
                part = ranked.scores
                added = {row: weight * score for row, score in part.items()}
            else:
                part = {row: float(rank) for rank, row in enumerate(ranked.rows, 1)}
                added = {row: 1 / (combine.constant + rank) if combine.constant + rank else 0.0 for row, rank in part.items()}
            self.parts.append(part)
            for row, score in added.items():
                scores[row] = scores.get(row, 0.0) + score
        ids = index.docs.doc_ids
        self.warnings = [*words.warnings, *vector.warnings]
        self.rows = sorted(scores, key=lambda row: (-scores[row], int(ids[row])))
        self.scores = scores

    def explanation(self, row: int) -> list:
        """EXPLAINSCORE: where a row's score comes from, ready to be sent."""
        combine, vector = self.options.combine, self.options.vector
        terms = []
        for name, weight, part in zip(("text", "vector"), (combine.alpha, combine.beta), self.parts):
            if row not in part:
                terms.append(f"0 [{name}: no match]")
            elif combine.is_linear:
                terms.append(f"{weight:.4f} * {part[row]:.4f}")
            else:
                terms.append(f"1 / (constant {combine.constant:.2f} + rank {part[row]:.0f})")
        if combine.is_linear:
            head = f"Hybrid score (LINEAR: alpha={combine.alpha:.4f}, beta={combine.beta:.4f}, window={combine.window})"
        else:
            head = f"Hybrid score (RRF: window={combine.window}, constant={combine.constant:.2f})"
        kind = "KNN"
        if vector.radius is not None:
            kind = f"RANGE: radius={vector.radius:.4f}"
            if vector.epsilon is not None:
                kind += f", epsilon={show(vector.epsilon)}"
        parts = [Simple(f"matched within radius = {str(row in self.parts[1]).lower()}")] if vector.radius is not None else []
        parts += self._branch(1, row)[0]
        return [Simple(f"final score: {' + '.join(terms)} = {self.scores[row]:.17g}"),
                [[Simple(head), [self._by_words(row), [Simple(f"vector branch ({kind})"), parts]]]]]

    def _branch(self, which: int, row: int) -> tuple[list, list]:
        """The lines about a row in one of the lists, and whatever they are made of."""
        combine, name, part = self.options.combine, ("text", "vector")[which], self.parts[which]
        weight = (combine.alpha, combine.beta)[which]
        measure = "contribution" if combine.is_linear else "rank"
        if row not in part:
            return [Simple(f"{name} {measure} = <no match>")], []
        value = part[row]
        if not combine.is_linear:
            return [Simple(f"{name} rank = {value:.0f}")], []
        line = Simple(f"{name} contribution = {weight:.4f} * {value:.4f} = {weight * value:.4f}")
        normalized = Simple(f"normalized {name} score = {value:.4f}")
        return ([line], [normalized]) if which == 0 else ([line, normalized], [])

    def _by_words(self, row: int):
        (line,), inside = self._branch(0, row)
        if row not in self.parts[0]:
            return line
        inside.append(explain_score(self.scorer, self.words.match, row, self.words.scores[row]))
        return [line, [[Simple(f"Text scorer: {self.scorer.name}"), inside]]]


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


def _parse(index, options: HybridOptions, text: bytes, where: str) -> Query:
    """The query of SEARCH, or of VSIM's FILTER. Raises CommandError."""
    query = parse_query(text, options.dialect, index.schema, **stopwords_of(index, options))
    if _look_for(query.root, lambda node: isinstance(node, (tree.Knn, tree.VectorRange))):
        raise fail(errors.HYBRID_NO_VECTORS, where)
    return query


def _vector_node(index, options: HybridOptions):
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
    root = bind(Query(node, b"", options.dialect, (*params, vector)), options.params)
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


def _by_words(client, index, options: HybridOptions, scorer: Scorer, make_evaluation) -> Ranked:
    root = bind(_parse(index, options, options.text, "SEARCH"), options.params)
    find_names(index, options, root)
    config = client.server.config
    evaluation = make_evaluation(index, config, time_limit_us(config, options), options)
    started = perf_counter_ns()
    found = match(client, index, root, evaluation)
    match_ns = perf_counter_ns() - started
    _mute_tags(found.match)
    rows = row_array(living(client.server.keyspace.databases[0], index.docs, found.rows))
    scores = scorer.scores(found.match, rows)
    best = top_rows(index.docs, rows, -scores, options.combine.window, True)
    at = np.searchsorted(rows, best)
    return Ranked(best.tolist(), scores[at].tolist(), found.match, [text + b" (SEARCH)" for text in found.warnings], root,
                  evaluation,
                  match_ns, perf_counter_ns() - started)


def _by_vector(client, index, options: HybridOptions, make_evaluation) -> Ranked:
    root, alias = _vector_node(index, options)
    config = client.server.config
    evaluation = make_evaluation(index, config, time_limit_us(config, options), options)
    started = perf_counter_ns()
    found = match(client, index, root, evaluation)
    match_ns = perf_counter_ns() - started
    rows = row_array(living(client.server.keyspace.databases[0], index.docs, found.rows))
    distance_of = found.distances.get(alias, {})
    distances = np.array([distance_of[row] for row in rows.tolist()], dtype=np.float64)
    best = top_rows(index.docs, rows, distances, options.combine.window, True)
    distances = distances[np.searchsorted(rows, best)]
    if index.by_name[options.vector.field].spec.metric == "L2":
        scores = 1 / (1 + distances)
    else:
        scores = (2 - distances) / 2
    return Ranked(best.tolist(), scores.tolist(), found.match, [text + b" (VSIM)" for text in found.warnings], root, evaluation,
                  match_ns, perf_counter_ns() - started)


def read_options(client, index, words: tuple) -> HybridOptions:
    """The words after the index's name. Raises CommandError."""
    config = client.server.config
    options = parse_hybrid(words, proto=client.proto, max_results=config["search-max-search-results"],
                           default_dialect=config["search-default-dialect"])
    if options.format == "EXPAND" and not index.source.is_json:
        raise fail(errors.EXPAND_HASH)
    return options


def fuse(client, index, options: HybridOptions, make_evaluation=Evaluation, cut: Callable | None = None) -> Fusion:
    """Does both searches. Raises CommandError. For FT.PROFILE: `make_evaluation` is another class of evaluation. For _FT.DEBUG:
    `cut` has both lists before they become one."""
    scorer = Scorer(index, options.scorer or default_scorer(client.server.config), None, options.tanh_factor)
    words, vector = _by_words(client, index, options, scorer, make_evaluation), _by_vector(client, index, options, make_evaluation)
    if cut is not None:
        cut(words, vector)
    fusion = Fusion(index, options, words, vector, scorer)
    index.dialect_uses[options.dialect - 1] += 1
    return fusion


@command("FT.HYBRID", arity=-3, group="search", since="8.4.0", flags="readonly pooled", categories="read",
         summary="Performs a search by words and one by a vector and combines their results", complexity="O(N+M)")
def ft_hybrid(client, name, *words):
    index = client.server.search.find(name)
    return perform(client, index, words)


def perform(client, index, words: tuple, cut: Callable | None = None, cut_last: Callable | None = None):
    """Does what the words say; returns the reply, or what it comes from. Raises CommandError. For _FT.DEBUG: `cut` as for `fuse`,
    `cut_last` has the whole."""
    started = perf_counter_ns()
    complaints = client.server.search.complaints
    try:
        options = read_options(client, index, words)
        fusion = fuse(client, index, options, cut=cut)
        if cut_last is not None:
            cut_last(fusion)
    except CommandError as error:
        complaints.note_error(error.text)
        raise
    complaints.note_warnings({text.rpartition(b" (")[0] for text in fusion.warnings})
    if options.cursor is not None:
        return _open_cursors(client, index, options, fusion)
    return run_beside(client, reply(client, index, options, fusion, started), "hybrid search")


def _column(scores: dict[int, float]) -> Callable:
    return lambda part, numbers: list(map(scores.get, numbers))


def _layout(client, index, options: HybridOptions, score: dict[int, float] | None) -> DocumentLayout:
    """The layout of rows with this __score, if that has no other name."""
    layout = DocumentLayout(client.server.keyspace.databases[0], index)
    layout.is_whole = index.source.is_json and (options.dialect >= 3 or options.format == "EXPAND")
    layout.may_be_columnar = False
    if score is not None:
        layout.given[_SCORE] = _column(score)
    return layout


def _progress(config, options: HybridOptions) -> Progress:
    return Progress(time_limit_us(config, options), config["search-max-aggregate-groups"])


def _fused_layout(client, index, options: HybridOptions, fusion: Fusion) -> DocumentLayout:
    """Likewise for what both lists give, under the names of YIELD_SCORE_AS. Raises CommandError for a name given twice."""
    layout = _layout(client, index, options, fusion.scores if options.alias is None else None)
    if not any(type(step) is Load for step in options.steps):
        default = [(_KEY, _KEY), (_SCORE, _SCORE)][:1 + (options.alias is None)]
        options.steps.insert(0, Load(default))
        layout.load(default, [])                # before the names of YIELD_SCORE_AS
    for name, scores in ((options.text_alias, fusion.words.scores), (options.vector.alias, fusion.vector.scores),
                         (options.alias, fusion.scores)):
        if name is None:
            continue
        if name in layout.slots:
            raise fail(errors.DISTANCE_DUPLICATE, name)
        layout.columns[layout.add(name)] = _column(scores)
    return layout


def reply(client, index, options: HybridOptions, fusion: Fusion, started: int, profile: Callable | None = None):
    """Work that returns the reply; see aggregate.run_beside. `profile`: what makes FT.PROFILE's part of it of what each stage
    took: [(name, nanoseconds, rows)]."""
    layout = _fused_layout(client, index, options, fusion)
    progress = _progress(client.server.config, options)
    stages, final = build(options, layout, progress)
    if layout.terms_slot >= 0:
        matched = set(fusion.words.rows)
        layout.columns[layout.terms_slot] = lambda part, numbers: [
            fusion.words.match.terms_of(row) if row in matched else None for row in numbers]
    timings = [("Hybrid Merger", perf_counter_ns() - started, len(fusion.rows))]
    rows: list[list] = []
    for batch in layout.source(np.array(fusion.rows, dtype=np.int64), progress):
        rows += batch
        yield
    total = len(rows)
    for name, stage in stages:
        before, since = len(rows), perf_counter_ns()
        kept: list[list] = []
        for batch in stage(iter([rows])):
            kept += batch
            yield
        rows = kept
        timings.append((name, perf_counter_ns() - since, len(rows)))
        if name == "Grouper":
            total = len(rows)
        elif name == "Filter":
            total -= before - len(rows)
    if options.no_rows:
        rows = []
    warnings = [Simple(show(text)) for text in fusion.warnings]
    found = _encode(client.proto, options, fusion, final, hidden_fields(index), total, rows, warnings, started)
    if profile is None:
        return Raw(found)
    more = encode(profile(timings), client.proto)
    if client.proto == 3:
        return Raw(found.replace(b"%4\r\n", b"%5\r\n", 1) + b"+Profile\r\n" + more)
    return Raw(found.replace(b"*8\r\n", b"*9\r\n", 1) + more)


def _encode(proto: int, options: HybridOptions, fusion: Fusion, layout, hidden: frozenset[bytes], total: int, rows: list[list],
            warnings: list, started: int) -> bytes:
    names = [(slot, b"$%d\r\n%b\r\n" % (len(name), name)) for name, slot in layout.slots.items() if name not in hidden]
    is_expanded = options.format == "EXPAND"
    explains = options.explain_score and not any(type(step) is Group for step in options.steps)
    head = b"%%%d\r\n" if proto == 3 else b"*%d\r\n"
    per_pair = 1 if proto == 3 else 2
    out = [head % (4 * per_pair), b"+total_results\r\n:%d\r\n+results\r\n*%d\r\n" % (total, len(rows))]
    for row in rows:
        lead = b""
        if explains:
            document = row[DOCUMENT]
            lead = b"+score\r\n" + encode([fusion.scores[document], fusion.explanation(document)], proto)
        if is_expanded:
            row = [Expanded(value) if type(value) is Several or type(value) is float else value for value in row]
        pairs = row_pairs(row, names, proto)
        out += (head % (per_pair * (len(pairs) + explains)), lead, *pairs)
    took = (perf_counter_ns() - started) / 1e6
    out.append(b"+warnings\r\n%b+execution_time\r\n%b" % (encode(warnings, proto), encode(took, proto)))
    return b"".join(out)


# ------------------------------------------------------------------------------------------------------------ cursors

def _open_cursors(client, index, options: HybridOptions, fusion: Fusion):
    """The reply of WITHCURSOR: the numbers of two cursors, one over each list. Raises CommandError."""
    numbers = []
    loads = [step for step in options.steps if type(step) is Load]
    cursors = client.server.search.cursors
    for ranked in (fusion.words, fusion.vector):
        options.steps = loads or [Load([(_KEY, _KEY), (_SCORE, _SCORE)])]
        layout = _layout(client, index, options, ranked.scores)
        progress = _progress(client.server.config, options)
        stages, final = build(options, layout, progress)
        batches = layout.source(np.array(ranked.rows, dtype=np.int64), progress)
        for _, stage in stages:
            batches = stage(batches)
        results = Results(options, final, progress, batches, [Simple(show(text)) for text in ranked.warnings])
        results.hidden = hidden_fields(index)
        numbers.append(cursors.add(index, results, options.cursor).number)
    return Pairs([(Simple("SEARCH"), numbers[0]), (Simple("VSIM"), numbers[1]), (Simple("warnings"), [])])
