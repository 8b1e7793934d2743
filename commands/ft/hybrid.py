"""FT.HYBRID: one search by words and one by a vector, whose lists become one.

Each list is ranked and cut to a window. RRF adds up 1 / (constant + rank) over the lists that have a document (G. Cormack, C.
Clarke, S. Buettcher, Reciprocal Rank Fusion, 2009), LINEAR the weighted scores; a distance becomes a score of 1 / (1 + d) for
L2, and of (1 + similarity) / 2 for COSINE and IP. What follows (LOAD, APPLY, FILTER, GROUPBY, SORTBY, LIMIT) are the stages of
FT.AGGREGATE, over rows that come best first."""
from collections.abc import Callable, Generator, Iterator
from time import perf_counter_ns

import numpy as np

from respserver.protocol.errors import CommandError
from respserver.protocol.reply import Pairs, Raw, Simple, encode
from respserver.registry import command

from . import errors, out_of_memory
from .aggregate import Expanded, Results, row_pairs, run_beside
from .aggregate_options import Group, Load
from .errors import fail, show
from .explain_score import explain_score
from .hybrid_lists import POOL_FROM, Moment, Ranked, by_vector, by_words, vector_tree, words_tree
from .hybrid_options import HybridOptions, parse_hybrid
from .pipeline import DOCUMENT, DocumentLayout, Progress, build
from .plan import Evaluation
from .reply import hidden_fields
from .score import Scorer
from .search import default_scorer, is_capped, time_limit_us
from .values import Several

#: Rows that are handled between two pauses.
_PIECE = 256
_SCORE, _KEY = b"__score", b"__key"


class Fusion:
    """What one request found: both lists, and the documents of both with their scores, best first."""

    __slots__ = ("options", "index", "words", "vector", "scorer", "moment", "rows", "scores", "parts", "warnings")

    def __init__(self, options: HybridOptions, words: Ranked, vector: Ranked, scorer: Scorer, moment: Moment):
        self.index = moment.index
        self.options = options
        self.words = words
        self.vector = vector
        self.scorer = scorer
        self.moment = moment
        self.warnings = [*words.warnings, *vector.warnings]
        self.rows: list[int] = []
        self.scores: dict[int, float] = {}
        #: For each list: row -> what its score is made of (RRF: the rank, LINEAR: the list's score).
        self.parts: list[dict[int, float]] = [{}, {}]

    def fill(self) -> Generator:
        """Makes one list of both, in pieces."""
        combine, scores = self.options.combine, self.scores
        for weight, ranked, part in zip((combine.alpha, combine.beta), (self.words, self.vector), self.parts):
            rows = self.moment.keep(ranked.rows)
            for first in range(0, len(rows), _PIECE):
                if first:
                    yield
                for rank, row in enumerate(rows[first:first + _PIECE], first + 1):
                    if combine.is_linear:
                        part[row] = score = ranked.scores[row]
                        score *= weight
                    else:
                        part[row] = float(rank)
                        score = 1 / (combine.constant + rank) if combine.constant + rank else 0.0
                    scores[row] = scores.get(row, 0.0) + score
        rows = np.fromiter(scores, dtype=np.int64, count=len(scores))
        values = np.fromiter(scores.values(), dtype=np.float64, count=len(scores))
        self.rows = rows[np.lexsort((self.index.docs.doc_ids[rows], -values))].tolist()

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


def read_options(client, index, words: tuple) -> HybridOptions:
    """The words after the index's name. Raises CommandError."""
    config = client.server.config
    client.server.search.turns.wake()
    options = parse_hybrid(words, proto=client.proto, max_results=config["search-max-search-results"],
                           default_dialect=config["search-default-dialect"])
    if options.format == "EXPAND" and not index.source.is_json:
        raise fail(errors.EXPAND_HASH)
    return options


def fuse(client, index, options: HybridOptions, make_evaluation=Evaluation, cut: Callable | None = None) -> Generator:
    """Work that does both searches and returns a Fusion. Raises CommandError. For FT.PROFILE: `make_evaluation` is another
    class of evaluation. For _FT.DEBUG: `cut` has both lists before they become one."""
    server = client.server
    config, turns = server.config, server.search.turns
    moment = Moment(index, config, options)
    scorer = Scorer(index, options.scorer or default_scorer(config), None, options.tanh_factor)
    text = words_tree(index, options)
    node, alias = vector_tree(index, options)
    evaluations = [make_evaluation(index, config, moment.limit_us, options) for _ in range(2)]
    is_beside = (len(index.docs) >= POOL_FROM and turns.pool is not None and not client.in_exec and make_evaluation is Evaluation
                 and not server.keyspace.databases[0].field_expires)
    looking = by_vector(client, options, node, alias, evaluations[1], turns if is_beside else None)
    vector = pending = None
    if is_beside:               # the pool looks while the words are looked for here
        try:
            pending = next(looking)
        except StopIteration as stop:
            vector = stop.value
    words = yield from by_words(client, options, scorer, text, evaluations[0], moment)
    if vector is None:
        yield pending
        vector = yield from looking
    if cut is not None:
        cut(words, vector)
    if index.is_dropped:
        raise CommandError(errors.DROPPED_MEANWHILE)
    fusion = Fusion(options, words, vector, scorer, moment)
    if is_capped(config, options):
        fusion.warnings.append(errors.CAPPED_WARNING)
    yield from fusion.fill()
    if index.is_dropped:
        raise CommandError(errors.DROPPED_MEANWHILE)
    index.dialect_uses[options.dialect - 1] += 1
    return fusion


@command("FT.HYBRID", arity=-3, group="search", since="8.4.0", flags="readonly pooled", categories="read",
         summary="Performs a search by words and one by a vector and combines their results", complexity="O(N+M)")
def ft_hybrid(client, name, *words):
    if client.server.dispatcher.out_of_memory and (reply := out_of_memory.answer(client, "HYBRID", words)) is not None:
        return reply
    index = client.server.search.find(name)
    return perform(client, index, words)


def perform(client, index, words: tuple, cut: Callable | None = None, cut_last: Callable | None = None):
    """Does what the words say; returns the reply, or what it comes from. Raises CommandError. For _FT.DEBUG: `cut` as for `fuse`,
    `cut_last` has the whole."""
    return run_beside(client, _work(client, index, words, cut, cut_last), "hybrid search")


def _work(client, index, words: tuple, cut: Callable | None, cut_last: Callable | None) -> Generator:
    """Work that returns the reply, and counts the error or the warnings that it ends with."""
    started = perf_counter_ns()
    complaints = client.server.search.complaints
    try:
        options = read_options(client, index, words)
        fusion = yield from fuse(client, index, options, cut=cut)
        if cut_last is not None:
            cut_last(fusion)
        if options.cursor is not None:
            found = _open_cursors(client, index, options, fusion)
        else:
            found = yield from reply(client, index, options, fusion, started)
    except CommandError as error:
        complaints.note_error(error.text)
        raise
    complaints.note_warnings({text.rpartition(b" (")[0] for text in fusion.warnings})
    return found


def _column(scores: dict[int, float]) -> Callable:
    return lambda part, numbers: list(map(scores.get, numbers))


def _layout(client, options: HybridOptions, fusion: Fusion, score: dict[int, float] | None) -> DocumentLayout:
    """The layout of rows with this __score, if that has no other name."""
    index = fusion.index
    layout = DocumentLayout(client.server.keyspace.databases[0], index)
    layout.newest, layout.n_removals = fusion.moment.newest, fusion.moment.n_removals
    layout.is_expanded = index.source.is_json and options.format == "EXPAND"
    layout.is_whole = layout.is_expanded or index.source.is_json and options.dialect >= 3
    layout.may_be_columnar = False
    if score is not None:
        layout.given[_SCORE] = _column(score)
    return layout


def _progress(config, options: HybridOptions) -> Progress:
    return Progress(time_limit_us(config, options), config["search-max-aggregate-groups"])


def _fused_layout(client, options: HybridOptions, fusion: Fusion) -> DocumentLayout:
    """Likewise for what both lists give, under the names of YIELD_SCORE_AS. Raises CommandError for a name given twice."""
    layout = _layout(client, options, fusion, fusion.scores if options.alias is None else None)
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
    layout = _fused_layout(client, options, fusion)
    progress = _last_progress(client.server.config, fusion.moment)
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
        for batch in stage(_pieces(rows, progress)):
            kept += batch
            yield
            if index.is_dropped:
                raise CommandError(errors.DROPPED_MEANWHILE)
        rows = kept
        timings.append((name, perf_counter_ns() - since, len(rows)))
        if name == "Grouper":
            total = len(rows)
        elif name.startswith("Filter"):
            total -= before - len(rows)
    if progress.timed_out:
        if fusion.moment.fails:
            raise CommandError(errors.TIMEOUT)
        fusion.warnings.append(errors.TIMEOUT_WARNING + b" (POST PROCESSING)")
    if options.no_rows:
        rows = []
    out = yield from _encode(client.proto, options, fusion, final, total, rows)
    warnings = [Simple(show(text)) for text in fusion.warnings]
    took = (perf_counter_ns() - started) / 1e6
    out.append(b"+warnings\r\n%b+execution_time\r\n%b" % (encode(warnings, client.proto), encode(took, client.proto)))
    if profile is not None:         # which RESP2 does not name
        out.append((b"+Profile\r\n" if client.proto == 3 else b"") + encode(profile(timings), client.proto))
    more = profile is not None
    return Raw(b"".join([b"%%%d\r\n" % (4 + more) if client.proto == 3 else b"*%d\r\n" % (8 + more), *out]))


def _last_progress(config, moment: Moment) -> Progress:
    """The time that is left for what follows the searches: at least a quarter of all,
    so that there is a reply of what was found."""
    limit_us = moment.limit_us
    if limit_us and not moment.fails:
        limit_us = max(limit_us - (perf_counter_ns() - moment.started) // 1000, limit_us // 4)
    progress = Progress(limit_us, config["search-max-aggregate-groups"])
    if moment.fails:
        progress.resumed_ns = moment.started
    return progress


def _pieces(rows: list[list], progress: Progress) -> Iterator[list[list]]:
    """The rows for one stage: as many as its time allows, or all of them if it was over before."""
    was_late = progress.timed_out
    for first in range(0, len(rows), _PIECE):
        if not was_late and progress.is_late():
            return
        yield rows[first:first + _PIECE]


def _encode(proto: int, options: HybridOptions, fusion: Fusion, layout, total: int, rows: list[list]) -> Generator:
    """Work that returns the parts of the reply up to the last row."""
    hidden = hidden_fields(fusion.index)
    names = [(slot, b"$%d\r\n%b\r\n" % (len(name), name)) for name, slot in layout.slots.items() if name not in hidden]
    is_expanded = options.format == "EXPAND"
    explains = options.explain_score and not any(type(step) is Group for step in options.steps)
    head = b"%%%d\r\n" if proto == 3 else b"*%d\r\n"
    per_pair = 1 if proto == 3 else 2
    out = [b"+total_results\r\n:%d\r\n+results\r\n*%d\r\n" % (total, len(rows))]
    for i, row in enumerate(rows, 1):
        lead = b""
        if explains:
            document = row[DOCUMENT]
            lead = b"+score\r\n" + encode([fusion.scores[document], fusion.explanation(document)], proto)
        if is_expanded:
            row = [Expanded(value) if type(value) is Several or type(value) is float else value for value in row]
        pairs = row_pairs(row, names, proto)
        out += (head % (per_pair * (len(pairs) + explains)), lead, *pairs)
        if not i % (_PIECE if not explains else 8):
            yield
            if fusion.index.is_dropped:
                raise CommandError(errors.DROPPED_MEANWHILE)
    return out


# ------------------------------------------------------------------------------------------------------------ cursors

def _open_cursors(client, index, options: HybridOptions, fusion: Fusion):
    """The reply of WITHCURSOR: the numbers of two cursors, one over each list. Raises CommandError."""
    numbers = []
    loads = [step for step in options.steps if type(step) is Load]
    cursors = client.server.search.cursors
    for ranked in (fusion.words, fusion.vector):
        options.steps = loads or [Load([(_KEY, _KEY), (_SCORE, _SCORE)])]
        layout = _layout(client, options, fusion, ranked.scores)
        progress = _progress(client.server.config, options)
        stages, final = build(options, layout, progress)
        batches = layout.source(np.array(ranked.rows, dtype=np.int64), progress)
        for _, stage in stages:
            batches = stage(batches)
        results = Results(client.server.config, options, final, progress, batches,
                          [Simple(show(text)) for text in ranked.warnings])
        results.hidden = hidden_fields(index)
        numbers.append(cursors.add(index, results, options.cursor).number)
    return Pairs([(Simple("SEARCH"), numbers[0]), (Simple("VSIM"), numbers[1]), (Simple("warnings"), [])])
