"""What a query matched: for each part of it the rows, and what scores are made of.

The tree of matches is like the query's, but words are expanded to the terms that stand for them. Rows are Roaring bitmaps; a
bitmap may belong to an index, and nobody changes it in place."""
from array import array

import numpy as np
from pyroaring import BitMap

ALL, ANY, FIRST = "all", "any", "first"


def row_array(rows: BitMap) -> np.ndarray:
    """The rows of a set in ascending order, as uint32."""
    return np.frombuffer(rows.to_array(), dtype=np.uint32) if rows else np.empty(0, dtype=np.uint32)


def row_set(rows: np.ndarray) -> BitMap:
    """The set of an ascending array of uint32."""
    return BitMap(array("I", rows.tobytes()))


def among(rows: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in `rows` the wanted ones are (both ascending):
    places in `rows`, and a mask over `wanted` of those that are there."""
    if not len(rows):
        return np.empty(0, dtype=np.intp), np.zeros(len(wanted), dtype=bool)
    at = np.searchsorted(rows, wanted)
    at[at == len(rows)] = 0
    there = rows[at] == wanted
    return at[there], there


class Match:
    """Rows that count the same whatever matched them: numbers, shapes, `*`, negation."""

    __slots__ = ("rows", "weight", "estimate", "counts")
    children: tuple = ()

    def __init__(self, rows: BitMap, weight: float = 1.0, counts: bool = True):
        """counts: whether scores know of it at all."""
        self.rows = rows
        self.weight = weight
        self.counts = counts
        self.estimate = len(rows)

    @property
    def has_places(self) -> bool:
        """Whether it stands somewhere in the text."""
        return False

    def terms_of(self, row: int) -> list[bytes]:
        """The terms and tags by which a row matched, without stems; each once, in the order of the query."""
        found: dict[bytes, None] = {}
        waiting: list[Match] = [self]
        while waiting:
            match = waiting.pop()
            if row not in match.rows:
                continue
            if isinstance(match, Leaf) and match.name[:1].isalpha():
                found[match.name] = None
            waiting += reversed(match.children)
        return list(found)


class Everything(Match):
    """`*`, and ismissing where it is optional: counts as a term that stands once in every document."""

    __slots__ = ()


class Leaf(Match):
    """A term or a tag."""

    __slots__ = ("name", "sorted_rows", "freqs", "n_docs", "is_term")

    def __init__(self, name: bytes, rows: BitMap | None, weight: float, n_docs: int, sorted_rows=None, freqs=None):
        self.name = name
        self.sorted_rows = sorted_rows          # ascending, as an array; None for a tag
        self.freqs = freqs                      # of these; None: once in each
        self.weight = weight
        self.n_docs = n_docs                    # how many documents have it, whatever the field
        self.is_term = sorted_rows is not None
        self.rows = row_set(sorted_rows) if rows is None else rows
        self.estimate = n_docs

    @property
    def has_places(self) -> bool:
        return self.is_term

    def array(self) -> np.ndarray:
        """The rows as an array."""
        if self.sorted_rows is None:
            self.sorted_rows = row_array(self.rows)
        return self.sorted_rows

    def frequencies(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies of those among `rows` that have it, and the mask of these."""
        at, there = among(self.array(), rows)
        if self.freqs is None:
            return np.ones(len(at)), there
        return self.freqs[at].astype(np.float64), there


class Group(Match):
    """ALL: rows that every child matched; ANY: that at least one did; FIRST: likewise, but only the first child that matched
    a row counts for its score."""

    __slots__ = ("kind", "children")

    def __init__(self, kind: str, children: list[Match], rows: BitMap, weight: float = 1.0):
        self.kind = kind
        self.children = children
        self.rows = rows
        self.weight = weight
        if kind is ALL:
            self.estimate = min([child.estimate for child in children], default=0)
        else:
            self.estimate = sum([child.estimate for child in children])

    @property
    def has_places(self) -> bool:
        return any(child.has_places for child in self.children)


class Perhaps(Match):
    """An optional part: all rows, of which those that its child matched count."""

    __slots__ = ("children",)

    def __init__(self, child: Match, rows: BitMap, weight: float = 1.0):
        super().__init__(rows, weight)
        self.children = (child,)

    @property
    def has_places(self) -> bool:
        return self.children[0].has_places


def any_of(children: list[Match], weight: float = 1.0) -> Match:
    """The union of children; a single one stands for itself."""
    children = [child for child in children if child is not None]
    if len(children) == 1:
        only = children[0]
        only.weight *= weight
        return only
    if not children:
        return Match(BitMap())
    return Group(ANY, children, BitMap.union(*[child.rows for child in children]), weight)


def ordered(children: list, match_of, config, is_shared: bool = True) -> list:
    """The parts of an intersection in the order in which it looks at them, the rarest first: by their estimates, those of another
    intersection shared by its parts if `is_shared`, where _PRIORITIZE_INTERSECT_UNION_CHILDREN wants it those of a union times
    its number of parts."""
    weighs_unions = config["search-_prioritize-intersect-union-children"]

    def key(child):
        match = match_of(child)
        if not isinstance(match, Group) or not match.children:
            return match.estimate
        if match.kind is ALL:
            return match.estimate / (len(match.children) if is_shared else 1)
        return match.estimate * (len(match.children) if weighs_unions and match.kind is ANY else 1)
    return sorted(children, key=key)
