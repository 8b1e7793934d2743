"""From the tree of a bound query to the rows that it matches.

Sets are Roaring bitmaps of rows. A set that is returned may belong to an index: nobody changes it in place."""
import math
from array import array
from collections.abc import Generator
from time import perf_counter_ns

import numpy as np
from pyroaring import BitMap

import native
from respserver.protocol.errors import CommandError

from . import errors, tree
from .fields import GeoField, GeoShapeField, NumericField, TagField, VectorField
from .fields.tag import MAX_TAG_BYTES
from .fields.vector import RANGE_QUERY
from .matches import ALL, ANY, Everything, Group, Leaf, Match, Perhaps, any_of, ordered, row_array, row_set
from .runtime import check_blob, range_runtime
from .text.leaves import AT_A_TIME, TextReader
from .text.terms import first

#: Up to this many candidates the distances of a range clause are computed one by one instead of asking the graph.
RANGE_BY_CANDIDATE = 1024


class Evaluation:
    """One walk over a tree. Afterwards: the distances that range clauses yield by name, and warnings.

    `options`: what SearchOptions and AggregateOptions say about words (None: nothing)."""

    __slots__ = ("index", "config", "options", "yielded", "timeout_us", "text", "deadline", "_is_negative")

    def __init__(self, index, config, timeout_us: int = 0, options=None):
        self.index = index
        self.config = config
        self.options = options
        self.timeout_us = timeout_us
        self.deadline = perf_counter_ns() + 1000 * timeout_us if timeout_us else math.inf
        self.text = TextReader(index, options, config, self.deadline)
        self.yielded: dict[bytes, dict[int, float]] = {}        # name of a distance -> row -> distance
        self._is_negative = False

    @property
    def warnings(self) -> list[bytes]:
        return self.text.warnings

    @property
    def fails_late(self) -> bool:
        """Whether there is an error when the time is up, and not what was found until then."""
        return self.config["search-on-timeout"] != "return"

    def rows(self, node) -> BitMap:
        """The rows that match a bound node. Raises as `match` does."""
        return self.match(node).rows

    def match(self, node) -> Match:
        """What a bound node matches. Raises CommandError, and native.SearchTimeout when the time is up."""
        self.check_time()
        return _HANDLERS[type(node)](self, node)

    def check_time(self) -> None:
        """Raises native.SearchTimeout when the time is up."""
        if perf_counter_ns() > self.deadline:
            raise native.SearchTimeout(0, "time is up")

    def check_open(self) -> None:
        """To be called after a pause. Raises CommandError if the index has been dropped meanwhile."""
        if self.index.is_dropped:
            raise CommandError(errors.DROPPED_MEANWHILE)

    def _wildcard(self, node: tree.Wildcard) -> Match:
        return Everything(self.index.docs.live, _weight(node))

    def _empty(self, node: tree.Empty) -> Match:
        return Match(BitMap())

    def _ids(self, node: tree.Ids) -> Match:
        row_of = self.index.docs.row_of
        return Match(BitMap([row for key in node.keys if (row := row_of.get(key)) is not None]), counts=False)

    def _and(self, node: tree.And) -> Match:
        later, children = [], []
        result = None
        for child in node.children:
            if isinstance(child, (tree.Not, tree.VectorRange)):
                later.append(child)
                continue
            match = self.match(child)
            children.append(match)
            result = match.rows if result is None else result & match.rows
        for child in sorted(later, key=lambda child: type(child) is tree.VectorRange):
            if type(child) is tree.Not:
                rows = self._negated(child)
                result = self.index.docs.live - rows if result is None else result - rows
                children.append(Match(result, counts=False))
            elif type(self) is Evaluation and result is not None and len(result) <= RANGE_BY_CANDIDATE:
                result = self._range(child, result).rows
            else:
                match = self.match(child)
                children.append(match)
                result = match.rows if result is None else result & match.rows
        if result is None:
            return Match(BitMap())
        slop, in_order = self._slop(node)
        if not in_order:
            children = ordered(children, lambda match: match, self.config)
        group = Group(ALL, children, result, _weight(node))
        if slop is not None or in_order:
            group.rows = self.text.near_each_other(group, slop, in_order)
        return group

    def _slop(self, node) -> tuple[int | None, bool]:
        """How many other words may be between the words of a node (None: any number), and whether they must be in order."""
        attributes, options = node.attributes, self.options
        slop = attributes.slop if attributes is not None else None
        in_order = attributes.inorder if attributes is not None else None
        if slop is None and options is not None:
            slop = options.slop
        if in_order is None:
            in_order = options is not None and options.in_order
        return None if slop is None or slop < 0 else slop, in_order

    def _or(self, node: tree.Or) -> Match:
        found = [self.match(child) for child in node.children]
        if len(found) == 1:
            return found[0]
        return Group(ANY, [one for one in found if one.rows], BitMap.union(*[one.rows for one in found]), _weight(node))

    def _negated(self, node: tree.Not) -> BitMap:
        """The rows that a Not takes away."""
        outer, self._is_negative = self._is_negative, True
        try:
            return self.match(node.child).rows
        finally:
            self._is_negative = outer

    def _not(self, node: tree.Not) -> Match:
        return Match(self.index.docs.live - self._negated(node), counts=False)

    def _optional(self, node: tree.Optional) -> Match:
        child = self.match(node.child)
        if type(node.child) is tree.Missing:        # which else counts nothing
            child = Everything(child.rows)
        return Perhaps(child, self.index.docs.live, _weight(node))

    def _missing(self, node: tree.Missing) -> Match:
        present = self.index.by_name[node.field].present
        if present is None:
            raise errors.fail(errors.MISSING_OPTION, 0, node.field)
        return Match(self.index.docs.live - present, _weight(node))

    def _numeric(self, node: tree.Numeric) -> Match:
        field = self.index.by_name.get(node.field)
        if type(field) is not NumericField:     # dialect 1 lets any name stand there, and finds nothing
            return Match(BitMap())
        return Match(bitmap(field.rows_between(node.low, node.high, node.low_inclusive, node.high_inclusive),
                            self.index.docs.n_rows), _weight(node))

    def _tag(self, node: tree.Tag) -> Match:
        field = self.index.by_name.get(node.field)
        if type(field) is not TagField:
            return Match(BitMap())
        found = []
        for value in node.values:
            for i, tag in enumerate(self.expand_tag(field, value)):
                if i % AT_A_TIME == AT_A_TIME - 1:
                    self.check_time()
                rows = field.rows_of(tag)
                if rows:
                    found.append(Leaf(tag, rows, 1.0, len(rows)))
        return any_of(found, _weight(node))

    def expand_tag(self, field: TagField, value: tree.TagValue):
        """The tags of the field that a value of the query stands for."""
        text = field.normal(value.text.strip() if value.kind == "exact" else value.text)
        if value.kind == "exact":
            return (text[:MAX_TAG_BYTES],)
        if value.kind != "wildcard" and len(text) < self.config["search-min-prefix"]:
            return ()
        find = {"prefix": field.with_prefix, "suffix": field.with_suffix, "infix": field.with_infix,
                "wildcard": field.matching}[value.kind]
        tags, is_cut = first(find(text), self.config["search-max-prefix-expansions"])
        if is_cut and errors.EXPANSIONS_WARNING not in self.warnings:
            self.warnings.append(errors.EXPANSIONS_WARNING)
        return tags

    def _range(self, node: tree.VectorRange, among: BitMap | None = None) -> Match:
        """Rows within the radius; `among`: look at these only."""
        return to_end(self.range_steps(node, among))

    def range_steps(self, node: tree.VectorRange, among: BitMap | None = None, turns=None) -> Generator:
        """The same as work that pauses now and then, or for what it yields. turns: whose pool may look for them."""
        field = self.index.by_name[node.field]
        assert type(field) is VectorField
        if not field.had_vectors:       # Redis has no vector index then and looks at nothing
            return Match(BitMap())
        check_blob(node.vector, field.spec)
        runtime = range_runtime(node, field.spec)
        field.last_search_mode = RANGE_QUERY
        engine = field.engine
        radius = field.rescorer.radius(runtime.radius, runtime.rerank)
        if among is not None:
            candidates = list(among)
            near = [(row, distance) for row, distance in zip(candidates, engine.distances(node.vector, candidates))
                    if distance <= radius]
            rows = [row for row, _ in near]
            distances = [distance for _, distance in near]
        elif turns is not None and not field.spec.is_multi:
            search = turns.find_near(engine, node.vector, radius, runtime.epsilon, self.timeout_us)
            yield search
            rows, distances = search.rows()
            self.check_open()
        else:
            epsilon = {} if runtime.epsilon is None else {"epsilon": runtime.epsilon}
            rows, distances = engine.range_blob(node.vector, radius, timeout_us=self.timeout_us, **epsilon)
        rows, distances = yield from field.rescorer.within(node.vector, rows, distances, runtime.radius, runtime.rerank)
        self.check_open()
        if node.alias is not None and not self._is_negative:
            self.yielded[node.alias] = dict(zip(rows, distances))
        return Match(BitMap(rows), _weight(node))

    def _term(self, node: tree.Term) -> Match:
        return Match(BitMap()) if self.index.text is None else self.text.term(node)

    def _phrase(self, node: tree.Phrase) -> Match:
        return Match(BitMap()) if self.index.text is None else self.text.phrase(node)

    def _pattern(self, node: tree.Affix | tree.Fuzzy | tree.Pattern) -> Match:
        return Match(BitMap()) if self.index.text is None else self.text.pattern(node)

    def _geo(self, node: tree.Geo) -> Match:
        field = self.index.by_name.get(node.field)
        if type(field) is not GeoField:
            return Match(BitMap())
        return Match(row_set(field.rows_near(node.lon, node.lat, node.radius, node.unit)), _weight(node))

    def _geo_shape(self, node: tree.GeoShape) -> Match:
        field = self.index.by_name.get(node.field)
        if type(field) is not GeoShapeField:
            return Match(BitMap())
        try:
            return Match(field.rows_that(node.predicate, node.shape), counts=False)
        except ValueError as error:
            raise errors.fail(errors.SHAPE_QUERY, error) from None


def to_end(work: Generator):
    """What sliced work returns, all of it done now."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


def _weight(node) -> float:
    attributes = node.attributes
    return 1.0 if attributes is None or attributes.weight is None else attributes.weight


_HANDLERS = {
    tree.Wildcard: Evaluation._wildcard, tree.Empty: Evaluation._empty, tree.Ids: Evaluation._ids,
    tree.And: Evaluation._and, tree.Or: Evaluation._or,
    tree.Not: Evaluation._not, tree.Optional: Evaluation._optional, tree.Missing: Evaluation._missing,
    tree.Numeric: Evaluation._numeric,
    tree.Tag: Evaluation._tag, tree.VectorRange: Evaluation._range,
    tree.Term: Evaluation._term, tree.Phrase: Evaluation._phrase, tree.Affix: Evaluation._pattern,
    tree.Fuzzy: Evaluation._pattern, tree.Pattern: Evaluation._pattern,
    tree.Geo: Evaluation._geo, tree.GeoShape: Evaluation._geo_shape,
}


def refusal(error: Exception) -> CommandError:
    """The error reply for a search that the engine did not do."""
    if isinstance(error, native.NonFiniteError):
        return errors.fail(errors.QUERY_NOT_FINITE)
    return errors.fail(errors.ENGINE_FAILED, error)


def bitmap(rows: np.ndarray, n_rows: int) -> BitMap:
    """A set of rows from an array of uint32 in any order, each below `n_rows`. Adding them in order is what makes it quick."""
    if len(rows) * 32 > n_rows:
        mask = np.zeros(n_rows, dtype=bool)
        mask[rows] = True
        rows = np.flatnonzero(mask).astype(np.uint32)
    else:
        rows = np.sort(rows)
    return BitMap(array("I", rows.tobytes()))


def allowed(rows: BitMap, n_rows: int) -> native.Allowed:
    """A set of rows in the engine's form. `n_rows`: as in DocumentTable."""
    return native.Allowed.of_rows(row_array(rows), n_rows)
