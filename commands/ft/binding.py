"""Parameters into the tree of a query, and the checks of values that wait for them.

query.py parses a text without looking at PARAMS; `bind` makes a copy of its tree with the values in it. What a value must be is
written here once: the parser applies the same checks to the values that stand in the text.
"""
from __future__ import annotations

import re
from dataclasses import replace
from typing import Mapping

from . import errors, tree
from .errors import fail
from .lexer import fold, unescape
from .options import to_float
from .specs import FieldSpec
from .tree import Node, Param, Query

__all__ = ["Schema", "ATTRIBUTES", "attribute_value", "check_range", "check_circle", "bind", "yields", "check_yields"]

Schema = Mapping[bytes, FieldSpec]

#: What =>{$name: value} may set on any node, and the member of tree.Attributes that takes it.
ATTRIBUTES = {b"WEIGHT": "weight", b"SLOP": "slop", b"INORDER": "inorder", b"PHONETIC": "phonetic"}
_BOOLEANS = {b"true": True, b"false": False}
_UNITS = frozenset((b"m", b"km", b"mi", b"ft"))
_INF = float("inf")


# ---------------------------------------------------------------------------------------------------- what a value must be

def attribute_value(name: bytes, value: bytes):
    """The value of $weight, $slop, $inorder or $phonetic, from its text. Raises CommandError."""
    kind = name.upper()
    if kind in (b"INORDER", b"PHONETIC"):
        result = _BOOLEANS.get(value.lower())
    elif kind == b"WEIGHT":
        result = to_float(value)
        result = None if result is None or result < 0 else result
    else:
        result = to_float(value)
        result = int(result) if result is not None and result.is_integer() and result >= -1 else None
    if result is None:
        raise fail(errors.ATTRIBUTE_VALUE, value, name)
    return result


def check_range(node: tree.Numeric) -> None:
    """Raises CommandError if the bounds are known and stand the wrong way round."""
    if isinstance(node.low, Param) or isinstance(node.high, Param):
        return
    if node.low > node.high:
        raise fail(errors.NUMERIC_RANGE, node.field, "%f" % node.low, "%f" % node.high)


def check_circle(node: tree.Geo) -> None:
    """Raises CommandError if the values are known and the unit, the place or the radius cannot be."""
    if any(isinstance(value, Param) for value in (node.lon, node.lat, node.radius, node.unit)):
        return
    if node.unit not in _UNITS:
        raise fail(errors.GEO_UNIT)
    if not -180 <= node.lon <= 180 or not -90 <= node.lat <= 90:
        raise fail(errors.GEO_COORDINATES)
    if node.radius <= 0:
        raise fail(errors.GEO_RADIUS)


_CHECKS = {tree.Numeric: check_range, tree.Geo: check_circle}


# ---------------------------------------------------------------------------------------------------- binding

def bind(query: Query, params: Mapping[bytes, bytes]) -> Node:
    """The tree with the values of PARAMS in it. Raises CommandError if one is missing or cannot be what the place needs."""
    if not query.params:
        return query.root
    return _bind(query.root, params)


def _bind(node: Node, params: Mapping[bytes, bytes]) -> Node:
    changes: dict = {}
    for name in _slots(type(node)):
        value = getattr(node, name)
        kind = type(value)
        if kind is Param:
            changes[name] = _resolve(value, params)
        elif kind is list or kind is tuple:
            items = [_bind_item(item, params) for item in value]
            if any(new is not old for new, old in zip(items, value)):
                changes[name] = kind(items)
        elif isinstance(value, _COMPOUND):
            new = _bind(value, params)
            if new is not value:
                changes[name] = new
    if not changes:
        return node
    if type(node) is tree.Attributes:
        for name, value in changes.items():
            changes[name] = attribute_value(name.encode(), value)
        if isinstance(node.phonetic, Param) and node.phonetic.kind == "phonetic":
            raise fail(errors.NO_PHONETICS)
    kind = type(node)
    if kind is tree.Term and "text" in changes:
        changes["text"] = unescape(changes["text"])  # as a word in the text of a query
        if to_float(changes["text"]) is not None:
            changes["exact"] = True  # a number
    elif kind is tree.TagValue and "parts" in changes:
        changes["text"] = b" ".join(changes["parts"])
    elif kind is tree.Numeric and changes.get("high") == -_INF != changes.get("low", node.low):
        raise fail(errors.FILTER_UPPER, "-inf")
    elif (kind is tree.Knn or kind is tree.VectorRange) and changes.get("alias") == b"":
        raise fail(errors.ATTRIBUTE_VALUE, b"", "yield_distance_as")
    bound = replace(node, **changes)
    check = _CHECKS.get(type(node))
    if check:
        check(bound)
    return bound


def _bind_item(item, params: Mapping[bytes, bytes]):
    if type(item) is Param:
        return _resolve(item, params)
    return _bind(item, params) if isinstance(item, _COMPOUND) else item


_COMPOUND = (tree.Node, tree.TagValue, tree.VectorAttribute, tree.Attributes)
_SLOTS: dict[type, tuple[str, ...]] = {}


def _slots(kind: type) -> tuple[str, ...]:
    """The members of a node, in the order in which their parameters are looked up."""
    slots = _SLOTS.get(kind)
    if slots is None:
        names = tuple(kind.__dataclass_fields__)
        slots = _SLOTS[kind] = tuple(sorted(names, key=lambda name: name == "k"))  # a missing k is complained about last
    return slots


def _resolve(param: Param, params: Mapping[bytes, bytes]):
    if param.twice:
        raise fail(errors.DISTANCE_TWICE, *[_resolve(name, params) if isinstance(name, Param) else name for name in param.twice])
    value = params.get(param.name)
    if value is None:
        raise fail(errors.PARAM_NOT_FOUND, param.name)
    kind = param.kind
    if kind in ("exact", "blob", "phonetic"):
        return value
    if kind == "number":
        number = to_float(value)
        if number is None or _is_out_of_range(number, value):
            raise fail(errors.PARAM_NUMERIC, value, param.name)
        return -number if param.negative else number
    if kind == "size":
        if not value.isdigit() or len(value) > 20:
            raise fail(errors.PARAM_NUMERIC, value, param.name)
        return int(value)
    if kind == "word" and not value:
        raise fail(errors.EMPTY_OPTION)
    return fold(value)


def _is_out_of_range(number: float, text: bytes) -> bool:
    """Whether a number is too large or too small for a double, which has made infinity or nothing of it."""
    if number in (_INF, -_INF):
        return b"n" not in text.lower()
    return not number and re.search(rb"[1-9]", re.split(rb"[eE]", text)[0]) is not None


# ---------------------------------------------------------------------------------------------------- names of distances

def yields(node: Node) -> list[bytes]:
    """The names of the distances that a bound tree gives to its results, in the order of the text, the KNN's last."""
    names: list[bytes] = []
    _collect(node, names)
    return names


def _collect(node: Node, names: list[bytes]) -> None:
    kind = type(node)
    if kind in (tree.And, tree.Or):
        for child in node.children:
            _collect(child, names)
    elif kind in (tree.Not, tree.Optional):
        _collect(node.child, names)
    elif kind is tree.VectorRange:
        if node.alias is not None:
            names.append(node.alias)
    elif kind is tree.Knn:
        if node.child is not None:
            _collect(node.child, names)
        names.append(node.alias)


def check_yields(node: Node, schema: Schema) -> list[bytes]:
    """`yields`, after checking that the names are free and given once. Raises CommandError."""
    names = yields(node)
    for i, name in enumerate(names):
        if name in schema:
            raise fail(errors.DISTANCE_IN_SCHEMA, name)
        if name in names[:i]:
            raise fail(errors.DISTANCE_DUPLICATE, name)
    return names
