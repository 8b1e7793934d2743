"""The tree of a search query: what the parser builds, the planner walks and FT.EXPLAIN prints.

| node                                   | query text                                  |
|----------------------------------------|---------------------------------------------|
| Wildcard                               | *                                           |
| Empty                                  | nothing, or stop words only: matches nothing|
| Term, Phrase                           | word, "two words"                           |
| Affix, Fuzzy, Pattern                  | pre* *suf *mid*, %word%, w'p?tt*rn'         |
| Tag(field, values of TagValue)         | @f:{a | b* | "c d"}                         |
| Numeric                                | @f:[1 (2], @f>=3, @f==4                     |
| Geo, GeoShape                          | @f:[lon lat radius km], @f:[WITHIN $wkt]    |
| Missing                                | ismissing(@f)                               |
| VectorRange, Knn                       | @f:[VECTOR_RANGE r $v], *=>[KNN k @f $v]    |
| And, Or, Not, Optional                 | a b, a|b, -a, ~a                            |

A value that may be given by PARAMS is a `Param` until `binding.bind` replaces it; the comments name the type after binding.
Nodes are not changed after parsing (trees are cached and shared): `bind` copies what it changes.
"""
from __future__ import annotations

from dataclasses import dataclass, field as _field

__all__ = ["Param", "Attributes", "Node", "Wildcard", "Empty", "Term", "Phrase", "Affix", "Fuzzy", "Pattern", "TagValue", "Tag",
           "Numeric", "Geo", "GeoShape", "Missing", "VectorAttribute", "VectorRange", "Knn", "And", "Or", "Not", "Optional",
           "Ids", "Query"]


@dataclass(slots=True, frozen=True)
class Param:
    """`$name`, to be resolved by `binding.bind`. `kind` says how its value is read."""
    name: bytes
    kind: str = "term"            # term, word (not empty), wildcard, unit (folded) | exact | number | size | blob
    negative: bool = False        # -$name in a numeric range
    twice: tuple = ()             # two names, bytes or Param, where one may stand: refused when the values are known


@dataclass(slots=True)
class Attributes:
    """What a block `=>{$weight: 2; ...}` set on a node; None = not given."""
    weight: float | None = None
    slop: int | None = None
    inorder: bool | None = None
    phonetic: bool | None = None


@dataclass(slots=True, kw_only=True)
class Node:
    attributes: Attributes | None = None


@dataclass(slots=True)
class Wildcard(Node):
    """Every document."""


@dataclass(slots=True)
class Empty(Node):
    """No document: an empty query text or one of stop words only."""


@dataclass(slots=True)
class Term(Node):
    """One word, already in lower case and without escapes."""
    text: bytes | Param
    fields: tuple[bytes, ...] | None = None      # None = every TEXT field
    exact: bool = False                          # no stemming, synonyms or phonetics ("word" in quotes)
    is_phrase: bool = False                      # shown as a phrase of one word: in quotes, from dialect 2 on


@dataclass(slots=True)
class Phrase(Node):
    """Words next to each other in this order."""
    words: list[bytes | Param]
    fields: tuple[bytes, ...] | None = None


@dataclass(slots=True)
class Affix(Node):
    kind: str                                    # prefix | suffix | infix
    text: bytes | Param
    fields: tuple[bytes, ...] | None = None


@dataclass(slots=True)
class Fuzzy(Node):
    text: bytes | Param
    distance: int                                # 1..3 edits
    fields: tuple[bytes, ...] | None = None


@dataclass(slots=True)
class Pattern(Node):
    """w'..': ? is one character, * any number of them; a backslash escapes."""
    text: bytes | Param
    fields: tuple[bytes, ...] | None = None


@dataclass(slots=True)
class TagValue:
    kind: str                                    # exact | prefix | suffix | infix | wildcard
    text: bytes | Param                          # case as written, escapes removed
    parts: tuple[bytes | Param, ...] = ()        # of `a b` without quotes, which is looked for as one text: as they were given


@dataclass(slots=True)
class Tag(Node):
    field: bytes
    values: list[TagValue]


@dataclass(slots=True)
class Numeric(Node):
    field: bytes
    low: float | Param                           # float, may be -inf
    high: float | Param                          # float, may be inf
    low_inclusive: bool = True
    high_inclusive: bool = True


@dataclass(slots=True)
class Geo(Node):
    field: bytes
    lon: float | Param
    lat: float | Param
    radius: float | Param
    unit: bytes | Param                          # m km mi ft


@dataclass(slots=True)
class GeoShape(Node):
    field: bytes
    predicate: str                               # WITHIN CONTAINS INTERSECTS DISJOINT
    shape: bytes | Param                         # WKT


@dataclass(slots=True)
class Missing(Node):
    field: bytes


@dataclass(slots=True)
class VectorAttribute:
    """A runtime attribute as written: `EF_RUNTIME 20` inside the clause or `$EF_RUNTIME: 20` in the block after it."""
    name: bytes
    value: bytes | Param
    block: bool = False


@dataclass(slots=True)
class VectorRange(Node):
    field: bytes
    radius: float | Param
    vector: bytes | Param
    vector_name: bytes                           # the parameter's name, for EXPLAIN
    runtime: tuple[VectorAttribute, ...] = ()    # in the order given
    alias: bytes | Param | None = None           # $YIELD_DISTANCE_AS; None = the distance is not returned


@dataclass(slots=True)
class Knn(Node):
    """Only ever the root. `child` None means every document (`*=>[KNN ..]`)."""
    child: Node | None
    field: bytes
    k: int | Param
    vector: bytes | Param
    vector_name: bytes                           # the parameter's name, for EXPLAIN
    runtime: tuple[VectorAttribute, ...] = ()    # inline ones first, then the block's
    alias: bytes | Param | None = None           # the name of the distance: AS, $YIELD_DISTANCE_AS or __<field>_score


@dataclass(slots=True)
class And(Node):
    children: list[Node]
    fields: tuple[bytes, ...] | None = None      # of @f:(a b); every TEXT node below has them too


@dataclass(slots=True)
class Or(Node):
    children: list[Node]
    fields: tuple[bytes, ...] | None = None


@dataclass(slots=True)
class Not(Node):
    child: Node


@dataclass(slots=True)
class Optional(Node):
    child: Node


@dataclass(slots=True)
class Ids(Node):
    """Documents named by key: never parsed, made by the planner from INKEYS."""
    keys: list[bytes] = _field(default_factory=list)


@dataclass(slots=True)
class Query:
    """A parsed query text."""
    root: Node
    text: bytes
    dialect: int
    params: tuple[Param, ...]     # every use of a parameter, in order
    hot: bytes | None = None      # root is a Knn and its vector is the only parameter: that parameter's name
