"""FT.EXPLAIN, FT.EXPLAINCLI and FT.PROFILE."""
from time import perf_counter_ns

from respserver.protocol.errors import CommandError
from respserver.protocol.reply import Pairs, Raw, Simple, encode
from respserver.registry import command

from . import errors, hybrid, out_of_memory, tree
from .aggregate import prepare, run_beside
from .aggregate_options import parse_aggregate
from .binding import bind, check_yields
from .explain import explain, explain_lines
from .fields import GeoField
from .matches import ALL, Group, Leaf, Match, ordered, row_array
from .pipeline import Timing
from .plan import Evaluation
from .query import parse_query
from .runtime import check_blob, knn_runtime, range_runtime
from .search import default_scorer, find_names, match, page, restrict, stopwords_of, time_limit_us
from .search_options import parse_search
from .text.leaves import expand


def _tree(client, name: bytes, text: bytes, words: tuple):
    """The bound tree of a query, and what FT.EXPLAIN adds to its words."""
    index = client.server.search.find(name)
    options = parse_search(words, proto=client.proto, default_dialect=client.server.config["search-default-dialect"])
    root = bind(parse_query(text, options.dialect, index.schema, **stopwords_of(index, options)), options.params or {})
    check_yields(root, index.schema)
    _check_vectors(index, root)
    if options.in_keys is not None:
        root = restrict(index, root, options)
    return root, lambda node: expand(index, options, node) if index.text is not None else ()


def _check_vectors(index, node) -> None:
    """Refuses what a search would refuse about the tree's vector clauses."""
    if isinstance(node, (tree.Knn, tree.VectorRange)):
        field = index.by_name[node.field]
        if field.had_vectors:
            check_blob(node.vector, field.spec)
            if type(node) is tree.Knn:
                knn_runtime(node, field.spec, filtered=node.child is not None)
            else:
                range_runtime(node, field.spec)
    for child in getattr(node, "children", ()):
        _check_vectors(index, child)
    if getattr(node, "child", None) is not None:
        _check_vectors(index, node.child)


@command("FT.EXPLAIN", arity=-3, group="search", since="1.0.0", flags="readonly",
         summary="Returns the execution plan for a complex query", complexity="O(1)")
def ft_explain(client, name, text, *words):
    return explain(*_tree(client, name, text, words))


@command("FT.EXPLAINCLI", arity=-3, group="search", since="1.0.0", flags="readonly",
         summary="Returns the execution plan for a complex query, line by line",
         complexity="O(1)")
def ft_explaincli(client, name, text, *words):
    return [Simple(line) for line in explain_lines(*_tree(client, name, text, words))]


# ------------------------------------------------------------------------------------------------------------
# FT.PROFILE

class _Profiled(Evaluation):
    """An evaluation that notes for each node how long it took and what came out."""

    __slots__ = ("_children",)

    fails_late = False          # a profile tells that the time was up, and where it went

    def __init__(self, *words):
        super().__init__(*words)
        self._children: list = []

    def match(self, node):
        siblings, self._children = self._children, []
        started = perf_counter_ns()
        match = super().match(node)
        took = (perf_counter_ns() - started) / 1e6
        children, self._children = self._children, siblings
        if type(node) is tree.And:
            children = ordered(children, lambda pair: pair[0], self.config, not errors.has_codes)
            if errors.has_codes:        # as from 8.4 on: what leaves nothing out is left out
                children = [pair for pair in children if not _is_idle(pair[1])] or children
            _count_as_asked(children)
        children = [entry for _, entry in children]
        if type(node) is tree.And and len(children) == 1 or type(node) is tree.Not:
            siblings.append((match, children[0]))
        else:
            siblings.append((match, self._entry(node, match, took, children)))
        return match

    def _negated(self, node):
        started = perf_counter_ns()
        rows = super()._negated(node)
        left = Match(self.index.docs.live - rows)
        self._children[-1] = left, Pairs([
            (Simple("Type"), Simple("NOT")), (Simple("Time"), _milliseconds(started, perf_counter_ns())),
            (Simple("Number of reading operations"), len(left.rows)), (Simple("Child iterator"), self._children[-1][1])])
        return rows

    def _entry(self, node, match: Match, took: float, children: list) -> Pairs:
        n = len(match.rows)
        time = [(Simple("Time"), took), (Simple("Number of reading operations"), n)]
        kind = _TYPES.get(type(node), type(node).__name__.upper())
        if type(node) is tree.Ids and errors.has_codes:
            kind += "-SORTED"
        head = [(Simple("Type"), Simple(kind))]
        if type(node) is tree.Missing:
            return Pairs([*head, (Simple("Field"), Simple(errors.show(node.field))), *time,
                          (Simple("Estimated number of matches"), n)])
        if type(node) is tree.VectorRange and n:
            field = self.index.by_name[node.field]
            return Pairs([*head, *time, (Simple("Vector search mode"), Simple(field.last_search_mode))])
        if type(node) in _LABELS:
            return _matched(match, _LABELS[type(node)](node), took)
        if type(node) is tree.VectorRange:
            return _matched(match, "", took)
        if type(node) is tree.Numeric:
            return Pairs([*head, (Simple("Term"), Simple(f"{node.low:g} - {node.high:g}")), *time,
                          (Simple("Estimated number of matches"), n)])
        if type(node) is tree.Geo:
            return self._around(node, match, time)
        if type(node) is tree.Or:
            return Pairs([*head, (Simple("Query type"), Simple("UNION")), *time, (Simple("Child iterators"), children)])
        if type(node) is tree.And:
            if any(map(_is_empty, children)):
                if errors.has_codes:        # as from 8.4 on: what can match nothing is nothing
                    return Pairs([(Simple("Type"), Simple("EMPTY")), *time])
                children = [None if _is_empty(child) else child for child in children]
            return Pairs([*head, *time, (Simple("Child iterators"), children)])
        if children:
            return Pairs([*head, *time, (Simple("Child iterator"), children[0])])
        return Pairs(head + time)

    def _around(self, node: tree.Geo, match: Match, time: list) -> Pairs:
        """What a circle matched, between the ends that it has along the curve of geohashes."""
        field = self.index.by_name.get(node.field)
        ends = field.span(row_array(match.rows)) if type(field) is GeoField else []
        if not ends:
            return Pairs([(Simple("Type"), Simple("EMPTY")), *time])
        term = " - ".join([f"{lon:g},{lat:g}" for lon, lat in ends])
        return Pairs([(Simple("Type"), Simple("GEO")), (Simple("Term"), Simple(term)), *time,
                      (Simple("Estimated number of matches"), len(match.rows))])

    def finish(self, root, took: float, n: int) -> Pairs:
        """The entry of the whole query."""
        if type(root) is not tree.Knn:
            if self._children:
                return self._children[0][1]
            return Pairs([(Simple("Type"), Simple("EMPTY")), (Simple("Time"), took), (Simple("Number of reading operations"), 0)])
        field = self.index.by_name[root.field]
        stats = field.engine.stats()
        pairs = [(Simple("Type"), Simple("VECTOR")), (Simple("Time"), took),
                 (Simple("Number of reading operations"), n),
                 (Simple("Vector search mode"), Simple(field.last_search_mode))]
        if field.batches is not None:
            pairs += [(Simple("Batches number"), field.batches[0]), (Simple("Largest batch size"), field.batches[1]),
                      (Simple("Largest batch iteration (zero based)"), 0)]
        if self._children:
            pairs.append((Simple("Child iterator"), self._children[0][1]))
        pairs += [(Simple("Engine plan"), Simple(str(stats["last_plan"]))),
                  (Simple("Engine codec"), Simple(stats["codec"]))]
        candidates, rescored, moved = field.rescorer.last if _rescores(field, root) else (n, 0, 0)
        pairs += [(Simple("Candidates"), candidates), (Simple("Rescored"), rescored),
                  (Simple("Places changed by rescoring"), moved)]
        return Pairs(pairs)


def _rescores(field, root: tree.Knn) -> bool:
    if not field.had_vectors:
        return False
    runtime = knn_runtime(root, field.spec, filtered=root.child is not None)
    return field.rescorer.plan(runtime.k, runtime.window or runtime.ef_runtime or 0, runtime.target, runtime.rerank)[0] > 0


def _matched(match: Match, label: str, took: float) -> Pairs:
    """The entry of what words, tags or shapes matched. `label`: how a union of several came about."""
    time = [(Simple("Time"), took), (Simple("Number of reading operations"), len(match.rows))]
    if isinstance(match, Leaf):
        return Pairs([(Simple("Type"), Simple("TEXT" if match.is_term else "TAG")),
                      (Simple("Term"), Simple(errors.show(match.name))), *time,
                      (Simple("Estimated number of matches"), match.estimate)])
    if isinstance(match, Group):
        if len(match.children) == 1 and match.kind is not ALL and errors.has_codes:       # as from 8.4 on
            return _matched(match.children[0], "UNION", took)
        children = [_matched(child, "UNION", took / len(match.children)) for child in match.children]
        if match.kind is ALL:
            return Pairs([(Simple("Type"), Simple("INTERSECT")), *time, (Simple("Child iterators"), children)])
        return Pairs([(Simple("Type"), Simple("UNION")), (Simple("Query type"), Simple(label)), *time,
                      (Simple("Child iterators"), children)])
    if label == "GEO" and errors.has_codes:
        return Pairs([(Simple("Type"), Simple("GEO-SHAPE")), *time])
    if label == "GEO":
        return Pairs([(Simple("Type"), Simple("UNION")), (Simple("Query type"), Simple(label)), *time,
                      (Simple("Child iterators"), [])])
    return Pairs([(Simple("Type"), Simple("EMPTY")), *time])


def _is_empty(entry: Pairs) -> bool:
    return entry[0][1] == "EMPTY"


def _count_as_asked(children: list[tuple[Match, Pairs]]) -> None:
    """Counts as operations of an intersection's children what they are asked for, the rarest first: the others only of what those
    before them have let through."""
    asked = None
    for child, entry in children:
        rows = child.rows
        if asked is not None:
            for i, (name, n) in enumerate(entry):
                if name == "Number of reading operations":
                    entry[i] = name, min(n, len(asked))
            rows = asked & rows
        asked = rows


def _is_idle(entry: Pairs) -> bool:
    return entry[0][1] == "WILDCARD" or entry[0][1] == "NOT" and _is_empty(entry[-1][1])


def _affix_label(node: tree.Affix) -> str:
    return f"PREFIX - {errors.show(node.text)}"


_LABELS = {tree.Term: lambda node: "UNION", tree.Phrase: lambda node: "",
           tree.Affix: _affix_label, tree.Fuzzy: lambda node: f"FUZZY - {errors.show(node.text)}",
           tree.Pattern: lambda node: f"WILDCARD - {errors.show(node.text)}",
           tree.Tag: lambda node: "TAG", tree.GeoShape: lambda node: "GEO"}
_TYPES = {tree.And: "INTERSECT", tree.Or: "UNION", tree.Optional: "OPTIONAL",
          tree.VectorRange: "METRIC - VECTOR DISTANCE",
          tree.Ids: "ID-LIST"}


def _milliseconds(since: int, until: int) -> float:
    return (until - since) / 1e6


@command("FT.PROFILE", arity=-5, group="search", since="2.2.0", flags="readonly", categories="read",
         summary="Performs a search and returns how its time was spent",
         complexity="O(N)")
def ft_profile(client, name, kind, *words):
    kind = kind.upper()
    if kind not in (b"SEARCH", b"AGGREGATE", b"HYBRID"):
        client.server.search.find(name)
        raise CommandError(errors.PROFILE_KIND)
    if client.server.dispatcher.out_of_memory and (reply := out_of_memory.profile(client, kind.decode(), words)) is not None:
        return reply
    index = client.server.search.find(name)
    is_limited = bool(words) and words[0].upper() == b"LIMITED"
    if is_limited:
        words = words[1:]
    if len(words) < 2 or words[0].upper() != b"QUERY":
        raise CommandError(errors.PROFILE_QUERY)
    if kind == b"AGGREGATE":
        return run_beside(client, _profile_aggregate(client, index, words[1], words[2:], is_limited), "profile")
    if kind == b"HYBRID":
        return run_beside(client, _profile_hybrid(client, index, words[1:], is_limited), "profile")
    server = client.server
    t0 = perf_counter_ns()
    options = parse_search(words[2:], proto=client.proto, max_results=server.config["search-max-search-results"],
                           default_dialect=server.config["search-default-dialect"])
    query = parse_query(words[1], options.dialect, index.schema, **stopwords_of(index, options))
    t1 = perf_counter_ns()
    root = bind(query, options.params or {})
    names = find_names(index, options, root)
    root = restrict(index, root, options)
    evaluation = _Profiled(index, server.config, time_limit_us(server.config, options), options)
    t2 = perf_counter_ns()
    found = match(client, index, root, evaluation)
    t3 = perf_counter_ns()
    outcome = page(client, index, options, names, found, evaluation)
    t4 = perf_counter_ns()
    n = len(found.rows)

    n_shown = min(max(n - options.offset, 0), options.count)

    def stage(type_: str, took: float, n_rows: int):
        return Pairs([(Simple("Type"), Simple(type_)), (Simple("Time"), took), (Simple("Results processed"), n_rows)])

    stages = [stage("Index", _milliseconds(t2, t3), n)]
    if type(root) is tree.Knn or found.distances:
        stages.append(stage("Metrics Applier", 0.0, n))
    if options.count:
        stages.append(stage("Scorer", 0.0, n))
        if (options.scorer or default_scorer(server.config)) == "BM25STD.NORM":
            stages.append(stage("Score Max Normalizer", 0.0, n))
        stages += [stage("Sorter", _milliseconds(t3, t4), n_shown)]
        if not options.no_content:
            stages.append(stage("Loader", 0.0, n_shown))
    else:
        stages.append(stage("Counter", 0.0, 1))
    shard = _shard(client, [_milliseconds(t0, t4), _milliseconds(t0, t1), _milliseconds(t1, t2)], [
        (Simple("Warning"), [Simple(errors.show(text)) for text in found.warnings] or [Simple("None")]),
        (Simple("Iterators profile"), evaluation.finish(root, _milliseconds(t2, t3), n)),
        (Simple("Result processors profile"), stages)])
    return _reply(client, Raw(outcome.encode(client.proto)), shard, is_limited)


def _shard(client, times: list[float], parts: list) -> Pairs:
    """A profile from its times (all, parsing and planning, in milliseconds) and what else it tells. All the time is the
    loop thread's, which is told last, where nobody looks for anything else, and only where there are threads, as in Redis
    from 8.4 on."""
    has_threads = client.server.config["search-workers"] > 0
    held = client.server.search.held_ms(client)
    total, parsing, planning = times
    clocks = [(Simple("Total profile time"), held + total), (Simple("Parsing time"), parsing),
              (Simple("Workers queue time"), held), (Simple("Pipeline creation time"), planning)]
    locked = [(Simple("Total GIL time"), total)] if has_threads or not errors.has_codes else []
    return Pairs(clocks + parts + locked if errors.has_codes else clocks + locked + parts)


def _without_times(part):
    """The same profile without what clocks say, which no two runs have in common."""
    if isinstance(part, Pairs):
        return Pairs([(name, _without_times(value)) for name, value in part if not name.lower().endswith("time")])
    return [_without_times(one) for one in part] if isinstance(part, list) else part


def _limited(part):
    """The same profile with a count in place of what affixes, patterns and the like are expanded to."""
    if isinstance(part, Pairs):
        values = dict(part)
        if values.get("Type") == "UNION" and values.get("Query type") != "UNION" and len(values["Child iterators"]):
            values["Child iterators"] = Simple(f"The number of iterators in the union is {len(values['Child iterators'])}")
        return Pairs([(name, _limited(values[name])) for name, _ in part])
    return [_limited(one) for one in part] if isinstance(part, list) else part


def _reply(client, results: Raw, shard: Pairs, is_limited: bool):
    if is_limited:
        shard = _limited(shard)
    if not client.server.config["search-_print-profile-clock"]:
        shard = _without_times(shard)
    profile = Pairs([(Simple("Shards"), [shard]), (Simple("Coordinator"), Pairs())])
    if client.proto == 3:
        return Pairs([(Simple("Results"), results), (Simple("Profile"), profile)])
    return [results, Raw(encode(profile, 2))]


def _profile_hybrid(client, index, words: tuple, is_limited: bool):
    """Work that returns the reply of FT.PROFILE .. HYBRID."""
    t0 = perf_counter_ns()
    options = hybrid.read_options(client, index, words)
    if options.cursor is not None:
        raise CommandError(errors.PROFILE_CURSOR)
    t1 = perf_counter_ns()
    fusion = yield from hybrid.fuse(client, index, options, _Profiled)
    planning = (perf_counter_ns() - t1 - fusion.words.took_ns - fusion.vector.took_ns) / 1e6

    def stages(timings: list) -> list:
        return [Pairs([(Simple("Type"), Simple(name)), (Simple("Time"), ns / 1e6), (Simple("Results processed"), n)])
                for name, ns, n in timings]

    def part(ranked, names: tuple[str, ...]) -> Pairs:
        n, took = len(ranked.rows), ranked.took_ns / 1e6
        iterators = ranked.evaluation.finish(ranked.root, ranked.match_ns / 1e6, len(ranked.match.rows))
        if type(ranked.root) is tree.VectorRange and n:
            iterators[0] = Simple("Type"), Simple("METRIC SORTED BY SCORE - VECTOR DISTANCE")
        return Pairs([
            (Simple("Total profile time"), took), (Simple("Parsing time"), _milliseconds(t0, t1)),
            (Simple("Pipeline creation time"), planning),
            (Simple("Warning"), [Simple(errors.show(text)) for text in ranked.warnings] or [Simple("None")]),
            (Simple("Iterators profile"), iterators),
            (Simple("Result processors profile"), stages([("Index", ranked.match_ns, len(ranked.match.rows)),
                                                          *((name, ranked.took_ns, n) for name in names)]))])

    def profile(timings: list) -> Pairs:
        shard = Pairs([(Simple("SEARCH"), part(fusion.words, ("Scorer", "Sorter"))),
                       (Simple("VSIM"), part(fusion.vector, ("Metrics Applier", "Vector Normalizer")))])
        whole = Pairs([(Simple("Shards"), [_limited(shard) if is_limited else shard]),
                       (Simple("Coordinator"), Pairs([(Simple("Result processors profile"), stages(timings))]))])
        return whole if client.server.config["search-_print-profile-clock"] else _without_times(whole)
    return (yield from hybrid.reply(client, index, options, fusion, t0, profile))


def _profile_aggregate(client, index, text: bytes, words: tuple, is_limited: bool):
    """Work that returns the reply of FT.PROFILE .. AGGREGATE."""
    config = client.server.config
    t0 = perf_counter_ns()
    options = parse_aggregate(words, proto=client.proto, max_results=config["search-max-aggregate-results"],
                              max_offset=config["search-max-search-results"],
                              default_dialect=config["search-default-dialect"])
    if options.cursor is not None:
        raise CommandError(errors.PROFILE_CURSOR)
    t1 = perf_counter_ns()
    timings: list[Timing] = []
    results = prepare(client, index, text, options, _Profiled, timings)
    results.fails = False
    t2 = perf_counter_ns()
    reply = yield from results.reply(client.proto)
    took = results.progress.spent_ns / 1e6 + _milliseconds(t0, t2)
    matched = results.match_ns / 1e6
    before = [0, *(timing.ns for timing in timings)]           # a stage's clock runs while those before it do
    stages = [Pairs([(Simple("Type"), Simple(timing.name)), (Simple("Time"), (timing.ns - ns) / 1e6 + (0 if i else matched)),
                     (Simple("Results processed"), timing.n_rows)])
              for i, (timing, ns) in enumerate(zip(timings, before))]
    if type(results.root) is tree.Knn:
        stages.insert(1, Pairs([(Simple("Type"), Simple("Metrics Applier")), (Simple("Time"), 0.0),
                                (Simple("Results processed"), timings[0].n_rows)]))
    if options.add_scores:
        names = ["Scorer"]
        if (options.scorer or default_scorer(config)) == "BM25STD.NORM":
            names.append("Score Max Normalizer")
        stages[1:1] = [Pairs([(Simple("Type"), Simple(name)), (Simple("Time"), 0.0),
                              (Simple("Results processed"), timings[0].n_rows)]) for name in names]
    return _reply(client, reply, _shard(client, [took, _milliseconds(t0, t1), _milliseconds(t1, t2) - matched], [
        (Simple("Warning"), results.given or [Simple("None")]),
        (Simple("Iterators profile"), results.evaluation.finish(results.root, matched, results.n_matched)),
        (Simple("Result processors profile"), stages)]), is_limited)
