"""What the engine is to do for a query without vectors: to find the best of the documents that match, or all of them, at once.

It takes conjunctions of words, their alternatives and expansions, phrases, filters and negations; what else a query may say goes
the general way (commands/ft/plan.py, commands/ft/score.py), which finds the same."""
from array import array
from math import inf
from struct import Struct
from time import perf_counter_ns

import numpy as np

import native

from .. import tree
from ..fields import NumericField, TagField
from ..plan import Evaluation
from ..score import B_STD, K1, probabilistic_idf
from .language import CHINESE
from .leaves import AT_A_TIME, TextReader, expand, field_set, language_of

_ANY, _FIRST, _NOT, _PERHAPS = native.TextTop.ANY, native.TextTop.FIRST, native.TextTop.NOT, native.TextTop.PERHAPS
_POSTINGS, _ROWS, _EACH, _SET = native.TextTop.POSTINGS, native.TextTop.ROWS, native.TextTop.EACH, native.TextTop.SET
#: Steps that hold copies of more rows than this are made anew each time.
_MOST_KEPT = 16_384
_LEAF = Struct(native.TextTop.LEAF)
_PATTERNS = (tree.Affix, tree.Fuzzy, tree.Pattern)
#: Nodes whose weight is that of several groups.
_HOLDERS = (tree.And, tree.Phrase, tree.Not, tree.Optional)
_FILTERS = (tree.Numeric, tree.Geo, tree.GeoShape, tree.Missing, tree.Ids)
#: The columns of an index without words.
_NO_COLUMNS = (*[np.zeros(0, dtype=np.uint32)] * 3, np.zeros(1, dtype=np.uint64), np.zeros(0, dtype=np.int64))
_NO_ROWS = np.zeros(0, dtype=np.uint32)
_engine: native.TextTop | None = None


class Unfit(Exception):
    """The query goes the general way."""


class _Group:
    """Alternatives. `terms`: (name, fields as bits, weight); `patterns`: nodes;
    `rows`: nodes of filters and tags, with a weight."""

    __slots__ = ("kind", "terms", "patterns", "rows")

    def __init__(self, kind: int):
        self.kind = kind
        self.terms: list[tuple[bytes, int | None, float]] = []
        self.patterns: list = []
        self.rows: list[tuple] = []


class _Steps:
    """What the engine is to do for one search, as long as the index stays at this `plain_revision`."""

    __slots__ = ("revision", "search", "ranges", "warnings", "n_copied")

    def __init__(self, revision: int):
        self.revision = revision
        self.search: native.TextSearch | None = None    # None: nothing can match
        self.ranges: list[tuple] = []                   # fields whose numbers are looked at, and how often they had been sorted
        self.warnings: list[bytes] = []
        self.n_copied = 0                               # rows

    def is_right(self, revision: int) -> bool:
        """Whether they do for the index as it is now."""
        if self.revision != revision:
            return False
        for field, n_sorts in self.ranges:
            field.look()
            if field.n_sorts != n_sorts:
                return False
        return True


class QuerySteps:
    """One query, ready to be run as often as it is asked for, whatever the index holds by then."""

    __slots__ = ("server", "index", "options", "groups", "phrases", "n", "reader", "sort_field", "_steps")

    def __init__(self, server, index, root, options, n: int = 0, sort_field: NumericField | None = None):
        """n: how many of the best are wanted, by the numbers of sort_field if there is one. Raises Unfit."""
        self.server = server
        self.index = index
        self.options = options
        self.groups: list[_Group] = []
        self.phrases: list[list[bytes]] = []
        self.reader = TextReader(index, options, server.config)
        self._read(root, 1.0)
        required = [group for group in self.groups if group.kind in (_ANY, _FIRST)]
        if not required or len(self.groups) > native.TextTop.MAX_GROUPS:
            raise Unfit
        self.sort_field = sort_field
        self.n = n
        self._steps: _Steps | None = None

    @staticmethod
    def takes(index, options) -> bool:
        """Whether it knows what these options want to be matched."""
        return not (options.slop is not None or options.in_order or options.filters or options.geo_filters
                    or options.in_keys is not None or index.options.no_offsets or language_of(index, options) == CHINESE)

    @classmethod
    def of(cls, server, index, root, options) -> "QuerySteps | None":
        """The steps of a bound tree for all that match, None if there are none."""
        try:
            return cls(server, index, root, options) if cls.takes(index, options) else None
        except Unfit:
            return None

    # Reading the tree

    def _read(self, node, weight: float) -> None:
        kind = type(node)
        if self.index.text is None and (kind is tree.Phrase or kind is tree.Term or kind in _PATTERNS):
            raise Unfit
        attributes = node.attributes
        if attributes is not None:
            if attributes.slop is not None or attributes.inorder is not None:
                raise Unfit
            if attributes.weight is not None and kind in _HOLDERS:
                weight *= attributes.weight
        if kind is tree.And:
            for child in node.children:
                self._read(child, weight)
        elif kind is tree.Phrase:
            self.phrases.append(node.words)
            bits = field_set(self.index, self.options, node.fields)
            for word in node.words:
                group = _Group(_ANY)
                group.terms.append((word, bits, weight))
                self.groups.append(group)
        elif kind in (tree.Not, tree.Optional):
            group = _Group(_NOT if kind is tree.Not else _PERHAPS)
            self._alternative(group, node.child, weight)
            self.groups.append(group)
        else:
            group = _Group(_FIRST if kind in _PATTERNS else _ANY)
            self._alternative(group, node, weight)
            self.groups.append(group)

    def _alternative(self, group: _Group, node, weight: float) -> None:
        kind = type(node)
        attributes = node.attributes
        own = weight * attributes.weight if attributes is not None and attributes.weight is not None else weight
        if self.index.text is None and (kind is tree.Term or kind in _PATTERNS):
            raise Unfit
        if kind is tree.Term:
            bits = field_set(self.index, self.options, node.fields)
            group.terms.append((node.text, bits, own))
            group.terms += [(name, bits if names is node.fields else field_set(self.index, self.options, names), weight)
                            for name, names in expand(self.index, self.options, node)]
        elif kind is tree.Or and group.kind is not _FIRST:
            for child in node.children:
                self._alternative(group, child, own)
        elif kind in _PATTERNS and (group.kind is _FIRST or group.kind is _NOT):
            group.patterns.append((node, own))
        elif group.kind is _NOT and kind is not tree.VectorRange:
            group.rows.append((node, 0.0))
        elif kind is tree.Tag or kind is tree.Wildcard:
            group.rows.append((node, own))
        elif kind in _FILTERS and group.kind is not _PERHAPS:
            group.rows.append((node, 0.0))
        else:
            raise Unfit

    # Running

    def rows(self, limit_us: int):
        """All rows that match now, by doc id: None if they have to be found in the general way this time, else what
        native.Groups.add takes. limit_us: what it may take to make the steps; 0: no limit."""
        try:
            steps = self._ready(perf_counter_ns() + 1000 * limit_us if limit_us else inf)
        except Unfit:
            return None
        if steps.warnings:
            return None
        return _NO_ROWS if steps.search is None else steps.search.rows()

    def _ready(self, deadline: float) -> _Steps:
        """What the engine is to do now. Raises Unfit where the deadline passes before it has all it needs."""
        steps = self._steps
        if steps is None or not steps.is_right(self.index.plain_revision):
            self._steps = None
            steps = self._make_steps(deadline)
            if steps.n_copied <= _MOST_KEPT:
                self._steps = steps
        return steps

    def _make_steps(self, deadline: float) -> _Steps:
        global _engine
        if _engine is None:
            _engine = native.TextTop()
        index, text = self.index, self.index.text
        steps = _Steps(index.plain_revision)
        self.reader.warnings = steps.warnings
        n_docs = len(index.docs)
        mean = text.total_length / n_docs if n_docs and text is not None else 0.0
        held: list = []                     # what the engine reads
        parts: list[tuple[int, int, int, list]] = []     # (0 for required, size, kind, leaves)
        evaluation = None
        numbers, postings = ({}, []) if text is None else (text.terms.numbers, text.postings)
        for group in self.groups:
            leaves: list = []
            size = 0
            between = self._between(group)
            if between is not None:
                size = len(between[1]) + len(between[2])
                steps.ranges.append((between[0], between[0].n_sorts))
                parts.append((0 if group.kind == _ANY else 3 - group.kind + 1, size, group.kind, between))
                continue
            for name, bits, weight in group.terms:
                size += self._leaf(leaves, held, numbers, postings, n_docs, name, bits, weight)
            for node, weight in group.patterns:
                bits = field_set(index, self.options, node.fields)
                if perf_counter_ns() > deadline:
                    raise Unfit
                for i, name in enumerate(self.reader.names(node)):
                    if i % AT_A_TIME == AT_A_TIME - 1 and perf_counter_ns() > deadline:
                        raise Unfit
                    size += self._leaf(leaves, held, numbers, postings, n_docs, name, bits, weight)
            for node, weight in group.rows:
                if perf_counter_ns() > deadline:
                    raise Unfit
                if evaluation is None:
                    evaluation = Evaluation(index, self.server.config, 0, self.options)
                n = self._rows(leaves, held, evaluation, n_docs, node, weight if mean else 0.0)
                size += n
                steps.n_copied += n
                if perf_counter_ns() > deadline:
                    raise Unfit
            if group.kind in (_ANY, _FIRST):
                if not leaves:
                    return steps
                parts.append((0, size, group.kind, leaves))
            elif leaves:
                parts.append((3 - group.kind + 1, size, group.kind, leaves))
        parts.sort(key=_order)
        groups, packed = array("I"), []
        for _, _, kind, leaves in parts:
            if type(leaves) is tuple:
                leaves = self._range(leaves, held, is_first=not packed)
            groups.extend((kind, len(leaves)))
            packed += leaves
        phrases = array("I")
        for words in self.phrases:
            phrases.append(len(words))
            phrases.extend([numbers[word] for word in words])
        engine = _engine
        engine.columns(*(_NO_COLUMNS if text is None else text.columns), index.docs.doc_ids)
        keys = None if self.sort_field is None else self.sort_field.column
        steps.search = engine.search(b"".join(packed), groups, phrases, self.n, mean, K1,
                                     B_STD, float(np.float32(index.options.score)), keys,
                                     keys is not None and not self.options.ascending, held)
        return steps

    def _leaf(self, leaves: list, held: list, numbers: dict, postings: list, n_docs: int, name: bytes, bits: int | None,
              weight: float) -> int:
        """Adds a term's leaf; returns how many postings it has."""
        term = numbers.get(name)
        packed = None if term is None else postings[term]
        if packed is None:
            return 0
        if type(packed) is int:
            packed = array("Q", (packed,))
        address, n = packed.buffer_info()
        held.append(packed)
        fits = 0
        if bits is not None:
            text = self.index.text
            held.append(text.fitting(bits))
            fits = text.fitting_at(bits)
        leaves.append(_LEAF.pack(address, fits, n, _POSTINGS, weight * probabilistic_idf(n_docs, n), 0, 0, 0.0, 0.0))
        return n

    def _between(self, group: _Group) -> tuple | None:
        """For a group that is nothing but a range of a field with one number each: the field, and what it says of the range."""
        if len(group.rows) != 1 or group.terms or group.patterns:
            return None
        node = group.rows[0][0]
        field = self.index.by_name.get(node.field) if type(node) is tree.Numeric else None
        if type(field) is not NumericField or not field.has_one_each:
            return None
        return field, *field.parts_between(node.low, node.high, node.low_inclusive, node.high_inclusive)

    @staticmethod
    def _range(between: tuple, held: list, is_first: bool) -> list[bytes]:
        """The leaves of a range: its rows, or where there are others before it, which of these lie in it."""
        field, sorted_rows, loose, low, high = between
        column = field.column
        held += (column, sorted_rows, loose)
        bounds = column.ctypes.data, len(column), low, high
        if not is_first:
            return [_LEAF.pack(0, 0, 0, _EACH, 0.0, *bounds)]
        return [_LEAF.pack(address, 0, n, _ROWS, 0.0, *bounds)
                for address, n in ((sorted_rows.ctypes.data, len(sorted_rows)), (loose.buffer_info()[0], len(loose))) if n]

    def _rows(self, leaves: list, held: list, evaluation: Evaluation, n_docs: int, node, weight: float) -> int:
        """Adds the leaves of a filter, of tags or of everything; returns how many rows they have."""
        kind = type(node)
        field = self.index.by_name.get(node.field) if kind is tree.Numeric or kind is tree.Tag else None
        if kind is tree.Numeric and type(field) is NumericField:
            rows = field.rows_between(node.low, node.high, node.low_inclusive, node.high_inclusive)
            n = len(rows)
            if n:
                held.append(rows)
                leaves.append(_LEAF.pack(rows.ctypes.data, 0, n, _ROWS, 0.0, 0, 0, 0.0, 0.0))
            return n
        if kind is tree.Tag and type(field) is TagField:
            sets = [field.rows_of(tag) for value in node.values for tag in evaluation.expand_tag(field, value)]
        else:
            sets = [evaluation.rows(node)]
        warnings = self.reader.warnings
        warnings += [text for text in evaluation.warnings if text not in warnings]
        size = 0
        for rows in sets:
            n = len(rows)
            if n:
                numbers = rows.to_array()
                held.append(numbers)
                own = weight if kind is tree.Wildcard else weight and kind is tree.Tag and (
                    weight * probabilistic_idf(n_docs, n))
                leaves.append(_LEAF.pack(numbers.buffer_info()[0], 0, n, _SET, own, 0, 0, 0.0, 0.0))
                size += n
        return size


def _order(part: tuple) -> tuple:
    return part[:2]
