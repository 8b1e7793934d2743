"""FT.EXPLAIN, FT.EXPLAINCLI and FT.PROFILE."""
from time import perf_counter_ns

from respserver.protocol.errors import CommandError
from respserver.protocol.reply import Pairs, Raw, Simple, encode
from respserver.registry import command

from . import errors, hybrid, tree
from .aggregate import prepare, run_beside
from .aggregate_options import parse_aggregate
from .explain import explain, explain_lines
from .matches import ALL, Group, Leaf, Match
from .pipeline import Timing
from .plan import Evaluation
from .query import bind, check_yields, parse_query
from .runtime import check_blob, knn_runtime, range_runtime
from .search import find_names, match, page, restrict, stopwords_of, time_limit_us
from .search_options import parse_search
from .text.leaves import expand


def _tree(client, name: bytes, text: bytes, words: tuple):
    """The bound tree of a query, and what FT.EXPLAIN adds to its words."""
    index = client.server.search.find(name)
    options = parse_search(words, proto=client.proto, default_dialect=client.server.config["search-default-dialect"])
    root = bind(parse_query(text, options.dialect, index.schema, **stopwords_of(index, options)), options.params or {})
    check_yields(root, index.schema)
    _check_vectors(index, root)
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
            children.sort(key=lambda pair: pair[0].estimate)
        children = [entry for _, entry in children]
        siblings.append((match, self._entry(node, match, took, children)))
        return match

    def _entry(self, node, match: Match, took: float, children: list) -> Pairs:
        n = len(match.rows)
        time = [(Simple("Time"), took), (Simple("Number of reading operations"), n)]
        kind = _TYPES.get(type(node), type(node).__name__.upper())
        head = [(Simple("Type"), Simple(kind))]
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
        if type(node) is tree.Or:
            return Pairs([*head, (Simple("Query type"), Simple("UNION")), *time, (Simple("Child iterators"), children)])
        if type(node) is tree.And:
            return Pairs([*head, *time, (Simple("Child iterators"), children)])
        if children:
            return Pairs([*head, *time, (Simple("Child iterator"), children[0])])
        return Pairs(head + time)

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
        return Pairs([(Simple("Type"), Simple("TEXT" if match.is_term else "TAG")), (Simple("Term"), Simple(errors.show(match.name))), *time,
                      (Simple("Estimated number of matches"), match.estimate)])
    if isinstance(match, Group):
        children = [_matched(child, "UNION", took / len(match.children)) for child in match.children]
        if match.kind is ALL:
            return Pairs([(Simple("Type"), Simple("INTERSECT")), *time, (Simple("Child iterators"), children)])
        return Pairs([(Simple("Type"), Simple("UNION")), (Simple("Query type"), Simple(label)), *time, (Simple("Child iterators"), children)])
    if label == "GEO":
        return Pairs([(Simple("Type"), Simple("UNION")), (Simple("Query type"), Simple(label)), *time, (Simple("Child iterators"), [])])
    return Pairs([(Simple("Type"), Simple("EMPTY")), *time])


def _affix_label(node: tree.Affix) -> str:
    return f"PREFIX - {errors.show(node.text)}"


_LABELS = {tree.Term: lambda node: "UNION", tree.Phrase: lambda node: "", tree.Affix: _affix_label,
           tree.Fuzzy: lambda node: f"FUZZY - {errors.show(node.text)}", tree.Pattern: lambda node: f"WILDCARD - {errors.show(node.text)}",
           tree.Tag: lambda node: "TAG", tree.Geo: lambda node: "GEO", tree.GeoShape: lambda node: "GEO"}
_TYPES = {tree.And: "INTERSECT", tree.Or: "UNION", tree.Not: "NOT", tree.Optional: "OPTIONAL",
          tree.VectorRange: "METRIC - VECTOR DISTANCE",
          tree.Ids: "ID-LIST"}


def _milliseconds(since: int, until: int) -> float:
    return (until - since) / 1e6


@command("FT.PROFILE", arity=-5, group="search", since="2.2.0", flags="readonly", categories="read",
         summary="Performs a search and returns how its time was spent",
         complexity="O(N)")
def ft_profile(client, name, kind, *words):
    kind = kind.upper()
    index = client.server.search.find(name)
    if kind not in (b"SEARCH", b"AGGREGATE", b"HYBRID"):
        raise CommandError(errors.PROFILE_KIND)
    if words and words[0].upper() == b"LIMITED":
        words = words[1:]
    if len(words) < 2 or words[0].upper() != b"QUERY":
        raise CommandError(errors.PROFILE_QUERY)
    if kind == b"AGGREGATE":
        return run_beside(client, _profile_aggregate(client, index, words[1], words[2:]), "profile")
    if kind == b"HYBRID":
        return run_beside(client, _profile_hybrid(client, index, words[1:]), "profile")
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
    outcome = page(client, index, options, names, found)
    t4 = perf_counter_ns()
    n = len(found.rows)

    def stage(type_: str, took: float):
        return Pairs([(Simple("Type"), Simple(type_)), (Simple("Time"), took), (Simple("Results processed"), n)])

    stages = [stage("Index", _milliseconds(t2, t3))]
    if type(root) is tree.Knn or found.distances:
        stages.append(stage("Metrics Applier", 0.0))
    stages += [stage("Scorer", 0.0), stage("Sorter", _milliseconds(t3, t4))]
    if not options.no_content:
        stages.append(stage("Loader", 0.0))
    shard = Pairs([
        (Simple("Total profile time"), _milliseconds(t0, t4)), (Simple("Parsing time"), _milliseconds(t0, t1)),
        (Simple("Workers queue time"), 0.0),
        (Simple("Pipeline creation time"), _milliseconds(t1, t2)), (Simple("Total GIL time"), _milliseconds(t0, t4)),
        (Simple("Warning"), [Simple(errors.show(text)) for text in found.warnings] or [Simple("None")]),
        (Simple("Iterators profile"), evaluation.finish(root, _milliseconds(t2, t3), n)),
        (Simple("Result processors profile"), stages)])
    return _reply(client, Raw(outcome.encode(client.proto)), shard)


def _reply(client, results: Raw, shard: Pairs):
    profile = Pairs([(Simple("Shards"), [shard]), (Simple("Coordinator"), Pairs())])
    if client.proto == 3:
        return Pairs([(Simple("Results"), results), (Simple("Profile"), profile)])
    return [results, Raw(encode(profile, 2))]


def _profile_hybrid(client, index, words: tuple):
    """Work that returns the reply of FT.PROFILE .. HYBRID."""
    t0 = perf_counter_ns()
    options = hybrid.read_options(client, index, words)
    if options.cursor is not None:
        raise CommandError(errors.PROFILE_CURSOR)
    t1 = perf_counter_ns()
    fusion = hybrid.fuse(client, index, options, _Profiled)

    def stages(timings: list) -> list:
        return [Pairs([(Simple("Type"), Simple(name)), (Simple("Time"), ns / 1e6), (Simple("Results processed"), n)])
                for name, ns, n in timings]

    def part(ranked, names: tuple[str, ...]) -> Pairs:
        n, took = len(ranked.rows), ranked.took_ns / 1e6
        return Pairs([
            (Simple("Total profile time"), took), (Simple("Parsing time"), _milliseconds(t0, t1)),
            (Simple("Warning"), [Simple(errors.show(text)) for text in ranked.warnings] or [Simple("None")]),
            (Simple("Iterators profile"), ranked.evaluation.finish(ranked.root, ranked.match_ns / 1e6, len(ranked.match.rows))),
            (Simple("Result processors profile"), stages([("Index", ranked.match_ns, len(ranked.match.rows)),
                                                          *((name, ranked.took_ns, n) for name in names)]))])

    def profile(timings: list) -> Pairs:
        shard = Pairs([(Simple("SEARCH"), part(fusion.words, ("Scorer", "Sorter"))),
                       (Simple("VSIM"), part(fusion.vector, ("Metrics Applier", "Vector Normalizer")))])
        return Pairs([(Simple("Shards"), [shard]),
                      (Simple("Coordinator"), Pairs([(Simple("Result processors profile"), stages(timings))]))])
    return (yield from hybrid.reply(client, index, options, fusion, t0, profile))


def _profile_aggregate(client, index, text: bytes, words: tuple):
    """Work that returns the reply of FT.PROFILE .. AGGREGATE."""
    config = client.server.config
    t0 = perf_counter_ns()
    options = parse_aggregate(words, proto=client.proto, max_results=config["search-max-aggregate-results"],
                              default_dialect=config["search-default-dialect"])
    if options.cursor is not None:
        raise CommandError(errors.PROFILE_CURSOR)
    t1 = perf_counter_ns()
    timings: list[Timing] = []
    results = prepare(client, index, text, options, _Profiled, timings)
    t2 = perf_counter_ns()
    warnings = results.warnings
    reply = yield from results.reply(client.proto)
    took = results.progress.spent_ns / 1e6 + _milliseconds(t0, t2)
    matched = results.match_ns / 1e6
    stages = [Pairs([(Simple("Type"), Simple(timing.name)), (Simple("Time"), timing.ns / 1e6 + matched),
                     (Simple("Results processed"), timing.n_rows)])
              for timing in timings]
    if type(results.root) is tree.Knn:
        stages.insert(1, Pairs([(Simple("Type"), Simple("Metrics Applier")), (Simple("Time"), 0.0),
                                (Simple("Results processed"), timings[0].n_rows)]))
    return _reply(client, reply, Pairs([
        (Simple("Total profile time"), took), (Simple("Parsing time"), _milliseconds(t0, t1)),
        (Simple("Workers queue time"), 0.0),
        (Simple("Pipeline creation time"), _milliseconds(t1, t2) - matched), (Simple("Total GIL time"), took),
        (Simple("Warning"), warnings or [Simple("None")]),
        (Simple("Iterators profile"), results.evaluation.finish(results.root, matched, results.n_matched)),
        (Simple("Result processors profile"), stages)]))
