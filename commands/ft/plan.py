"""From the tree of a bound query to the set of rows that it matches.

Sets are Roaring bitmaps of rows. A set that is returned may belong to an index: nobody changes it in place."""
import math
from array import array
from time import perf_counter_ns

import numpy as np
from pyroaring import BitMap

import native
from respserver.protocol.errors import CommandError

from . import errors, tree
from .fields import NumericField, TagField, VectorField
from .fields.tag import MAX_TAG_BYTES
from .fields.vector import RANGE_QUERY
from .runtime import check_blob, range_runtime

#: Up to this many candidates the distances of a range clause are computed one by one instead of asking the graph.
_RANGE_BY_CANDIDATE = 1024


class Evaluation:
    """One walk over a tree. Afterwards: `rows`, the distances that range clauses yield by name, and what scores are
    made of."""

    __slots__ = ("index", "config", "yielded", "scored", "timeout_us", "_deadline", "_is_negative", "_weight")

    def __init__(self, index, config, timeout_us: int = 0):
        self.index = index
        self.config = config
        self.timeout_us = timeout_us
        self._deadline = perf_counter_ns() + 1000 * timeout_us if timeout_us else math.inf
        self.yielded: dict[bytes, dict[int, float]] = {}        # name of a distance -> row -> distance
        self.scored: list[tuple[float, BitMap]] = []            # what the rows of a set add to their score
        self._is_negative = False
        self._weight = 1.0

    def rows(self, node) -> BitMap:
        """The rows that match a bound node. Raises CommandError, and native.SearchTimeout when the time is up."""
        if perf_counter_ns() > self._deadline:
            raise native.SearchTimeout(0, "time is up")
        attributes = node.attributes
        if attributes is None or attributes.weight is None:
            return _HANDLERS[type(node)](self, node)
        outer = self._weight
        self._weight *= attributes.weight
        try:
            return _HANDLERS[type(node)](self, node)
        finally:
            self._weight = outer

    def _wildcard(self, node: tree.Wildcard) -> BitMap:
        return self.index.docs.live

    def _empty(self, node: tree.Empty) -> BitMap:
        return BitMap()

    def _ids(self, node: tree.Ids) -> BitMap:
        row_of = self.index.docs.row_of
        return BitMap([row for key in node.keys if (row := row_of.get(key)) is not None])

    def _and(self, node: tree.And) -> BitMap:
        later = []
        result = None
        for child in node.children:
            if isinstance(child, (tree.Not, tree.VectorRange)):
                later.append(child)
                continue
            rows = self.rows(child)
            result = rows if result is None else result & rows
        for child in sorted(later, key=lambda child: type(child) is tree.VectorRange):
            if type(child) is tree.Not:
                rows = self._negated(child)
                result = self.index.docs.live - rows if result is None else result - rows
            elif type(self) is Evaluation and result is not None and len(result) <= _RANGE_BY_CANDIDATE:
                result = self._range(child, result)
            else:
                rows = self.rows(child)
                result = rows if result is None else result & rows
        return BitMap() if result is None else result

    def _or(self, node: tree.Or) -> BitMap:
        found = [self.rows(child) for child in node.children]
        return BitMap.union(*found) if found else BitMap()

    def _negated(self, node: tree.Not) -> BitMap:
        """The rows that a Not takes away."""
        outer, self._is_negative = self._is_negative, True
        try:
            return self.rows(node.child)
        finally:
            self._is_negative = outer

    def _not(self, node: tree.Not) -> BitMap:
        return self.index.docs.live - self._negated(node)

    def _optional(self, node: tree.Optional) -> BitMap:
        self.rows(node.child)           # for its scores and distances
        return self.index.docs.live

    def _missing(self, node: tree.Missing) -> BitMap:
        present = self.index.by_name[node.field].present
        if present is None:
            raise errors.fail(errors.MISSING_OPTION, 0, node.field)
        return self.index.docs.live - present

    def _numeric(self, node: tree.Numeric) -> BitMap:
        field = self.index.by_name.get(node.field)
        if type(field) is not NumericField:     # dialect 1 lets any name stand there, and finds nothing
            return BitMap()
        return bitmap(field.rows_between(node.low, node.high, node.low_inclusive, node.high_inclusive),
                      self.index.docs.n_rows)

    def _tag(self, node: tree.Tag) -> BitMap:
        field = self.index.by_name.get(node.field)
        if type(field) is not TagField:
            return BitMap()
        found = []
        for value in node.values:
            for tag in self._expand(field, value):
                rows = field.rows_of(tag)
                if rows:
                    found.append(rows)
                    if not self._is_negative:
                        n, total = len(rows), len(self.index.docs)
                        self.scored.append((self._weight * math.log(1 + (total - n + 0.5) / (n + 0.5)), rows))
        return found[0] if len(found) == 1 else BitMap.union(*found) if found else BitMap()

    def _expand(self, field: TagField, value: tree.TagValue):
        """The tags of the field that a value of the query stands for."""
        text = field.normal(value.text.strip() if value.kind == "exact" else value.text)
        if value.kind == "exact":
            return (text[:MAX_TAG_BYTES],)
        if value.kind != "wildcard" and len(text) < self.config["search-min-prefix"]:
            return ()
        find = {"prefix": field.with_prefix, "suffix": field.with_suffix, "infix": field.with_infix,
                "wildcard": field.matching}[value.kind]
        limit = self.config["search-max-prefix-expansions"]
        return [tag for tag, _ in zip(find(text), range(limit))]

    def _range(self, node: tree.VectorRange, among: BitMap | None = None) -> BitMap:
        """Rows within the radius; `among`: look at these only."""
        field = self.index.by_name[node.field]
        assert type(field) is VectorField
        if not field.had_vectors:       # Redis has no vector index then and looks at nothing
            return BitMap()
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
        else:
            epsilon = {} if runtime.epsilon is None else {"epsilon": runtime.epsilon}
            rows, distances = engine.range_blob(node.vector, radius, timeout_us=self.timeout_us, **epsilon)
        rows, distances = field.rescorer.within(node.vector, rows, distances, runtime.radius, runtime.rerank)
        if node.alias is not None and not self._is_negative:
            self.yielded[node.alias] = dict(zip(rows, distances))
        return BitMap(rows)

    def _not_available(self, node) -> BitMap:
        raise errors.fail(errors.NOT_YET_AVAILABLE, "A query on " + _KINDS[type(node)] + " fields")


_KINDS = {tree.Term: "TEXT", tree.Phrase: "TEXT", tree.Affix: "TEXT", tree.Fuzzy: "TEXT", tree.Pattern: "TEXT",
          tree.Geo: "GEO", tree.GeoShape: "GEOSHAPE"}

_HANDLERS = {
    tree.Wildcard: Evaluation._wildcard, tree.Empty: Evaluation._empty, tree.Ids: Evaluation._ids,
    tree.And: Evaluation._and, tree.Or: Evaluation._or,
    tree.Not: Evaluation._not, tree.Optional: Evaluation._optional, tree.Missing: Evaluation._missing,
    tree.Numeric: Evaluation._numeric,
    tree.Tag: Evaluation._tag, tree.VectorRange: Evaluation._range,
    **{kind: Evaluation._not_available for kind in _KINDS},
}


def refusal(error: Exception) -> CommandError:
    """The error reply for a search that the engine did not do."""
    if isinstance(error, native.NonFiniteError):
        return errors.fail(errors.QUERY_NOT_FINITE)
    return errors.fail(errors.ENGINE_FAILED, error)


def bitmap(rows: np.ndarray, n_rows: int) -> BitMap:
    """A set of rows from an array of uint32 in any order, each below `n_rows`. Adding them in order is what makes it
    quick."""
    if len(rows) * 32 > n_rows:
        mask = np.zeros(n_rows, dtype=bool)
        mask[rows] = True
        rows = np.flatnonzero(mask).astype(np.uint32)
    else:
        rows = np.sort(rows)
    return BitMap(array("I", rows.tobytes()))


def row_array(rows: BitMap) -> np.ndarray:
    """The rows of a set in ascending order, as uint32."""
    return np.frombuffer(rows.to_array(), dtype=np.uint32) if rows else np.empty(0, dtype=np.uint32)


def allowed(rows: BitMap, n_rows: int) -> native.Allowed:
    """A set of rows in the engine's form. `n_rows`: as in DocumentTable."""
    mask = np.zeros((n_rows + 63) // 64 * 64, dtype=bool)
    mask[row_array(rows)] = True
    return native.Allowed(np.packbits(mask, bitorder="little").view(np.uint64), len(rows))
