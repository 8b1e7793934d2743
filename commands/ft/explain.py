"""A bound query tree as the text of FT.EXPLAIN."""
from __future__ import annotations

import re
from typing import Callable, Iterable

from . import tree
from .errors import show
from .tree import Node

__all__ = ["explain", "explain_lines"]

#: Term -> the words that it is expanded to, each as printed before "(expanded)": b"+run", b"run"; and the fields that these
#: are looked for in.
Expand = Callable[[tree.Term], Iterable[tuple[bytes, "tuple[bytes, ...] | None"]]]
_NO_TEXT = '""'
#: What escapes in a pattern are for: quotes and backslashes.
_ESCAPED = re.compile(r"\\(['\\])")


def explain(node: Node, expand: Expand | None = None) -> str:
    """The tree as indented text that ends with a line feed. expand: what stemming and synonyms add to a word (None: nothing)."""
    out: list[str] = []
    _write(out, node, "", expand)
    return "".join(out)


def explain_lines(node: Node, expand: Expand | None = None) -> list[str]:
    """The lines of FT.EXPLAINCLI: those of `explain` and an empty one."""
    return explain(node, expand).split("\n")


def _write(out: list[str], node: Node, indent: str, expand: Expand | None) -> None:
    kind = type(node)
    if kind is tree.Term:
        _term(out, node, indent, expand)
        return
    attributes = _attributes(node)
    prefix = indent + _fields(getattr(node, "fields", None))
    if kind in (tree.And, tree.Or):
        out.append(f"{prefix}{'INTERSECT' if kind is tree.And else 'UNION'} {{\n")
        _children(out, node.children, indent, expand)
        out.append(f"{indent}}}{attributes}\n")
    elif kind in (tree.Not, tree.Optional):
        out.append(f"{indent}{'NOT' if kind is tree.Not else 'OPTIONAL'}{{\n")
        _children(out, (node.child,), indent, expand)
        out.append(f"{indent}}}{attributes}\n")
    elif kind is tree.Tag:
        out.append(f"{indent}TAG:@{show(node.field)} {{\n")
        for value in node.values:
            if value.parts:
                words = "".join([f"{indent}    {show(part) or _NO_TEXT}\n" for part in value.parts])
                out.append(f"{indent}  INTERSECT {{\n{words}{indent}  }}\n")
            else:
                out.append(f"{indent}  {_tag_value(value)}\n")
        out.append(f"{indent}}}{attributes}\n")
    elif kind is tree.Phrase:
        out.append(f"{prefix}EXACT {{\n")
        out.extend([f"{indent}  {_fields(node.fields)}{show(word)}\n" for word in node.words])
        out.append(f"{indent}}}{attributes}\n")
    elif kind is tree.Knn and node.child is not None:
        out.append(f"{indent}VECTOR {{\n")
        _children(out, (node.child,), indent, expand)
        out.append(f"{indent}}} => {{{_knn(node)}}}{attributes}\n")
    else:
        out.append(f"{prefix}{_LEAVES[kind](node)}{attributes}\n")


def _children(out: list[str], children: Iterable[Node], indent: str, expand: Expand | None) -> None:
    for child in children:
        _write(out, child, indent + "  ", expand)


def _term(out: list[str], node: tree.Term, indent: str, expand: Expand | None) -> None:
    prefix = _fields(node.fields)
    text = show(node.text) or _NO_TEXT
    if node.is_phrase:
        out.append(f"{indent}{prefix}EXACT {{\n{indent}  {prefix}{text}\n{indent}}}{_attributes(node)}\n")
        return
    word = f"{prefix}{text}{_attributes(node).replace('=> { ', '=> {').replace('; }', ';}')}"
    expanded = list(expand(node)) if expand is not None and not node.exact else []
    if not expanded:
        out.append(f"{indent}{word}\n")
        return
    out.append(f"{indent}{prefix}UNION {{\n{indent}  {word}\n")
    out.extend([f"{indent}  {_fields(fields)}{show(other)}(expanded)\n" for other, fields in expanded])
    out.append(f"{indent}}}\n")


def _fields(fields: tuple[bytes, ...] | None) -> str:
    if fields is None:
        return ""
    return f"@{'|'.join([show(name) for name in fields])}:" if fields else "@NULL:"


def _attributes(node: Node) -> str:
    given = node.attributes
    if given is None:
        return ""
    parts = []
    if given.weight is not None:
        parts.append(f"$weight: {given.weight:g};")
    if given.slop is not None:
        parts.append(f"$slop: {given.slop};")
    if given.slop is not None or given.inorder is not None:
        parts.append(f"$inorder: {'true' if given.inorder else 'false'};")
    return f" => {{ {' '.join(parts)} }}" if parts else ""


# ---------------------------------------------------------------------------------------------------- nodes without children

def _affix(kind: str, text: bytes) -> str:
    word = show(text)
    return f"PREFIX{{{word}*}}" if kind == "prefix" else f"SUFFIX{{*{word}}}" if kind == "suffix" else f"INFIX{{*{word}*}}"


def _tag_value(value: tree.TagValue) -> str:
    if value.kind == "exact":
        return show(value.text) or _NO_TEXT
    if value.kind == "wildcard":
        return f"WILDCARD{{{_ESCAPED.sub(chr(92) + '1', show(value.text))}}}"
    return _affix(value.kind, value.text)


def _numeric(node: tree.Numeric) -> str:
    low = "<=" if node.low_inclusive else "<"
    high = "<=" if node.high_inclusive else "<"
    return f"NUMERIC {{{node.low:f} {low} @{show(node.field)} {high} {node.high:f}}}"


def _geo(node: tree.Geo) -> str:
    return f"GEO {show(node.field)}:{{{node.lon:f},{node.lat:f} --> {node.radius:f} {show(node.unit)}}}"


#: The numbers that Redis prints.
_PREDICATES = {"CONTAINS": 1, "WITHIN": 2, "DISJOINT": 3, "INTERSECTS": 4}


def _geoshape(node: tree.GeoShape) -> str:
    return f"GEOSHAPE{{{_PREDICATES[node.predicate]} {show(node.shape)}}}"


def _vector_range(node: tree.VectorRange) -> str:
    return (f"VECTOR {{Vectors that are within {node.radius:g} distance radius from `${show(node.vector_name)}` "
            f"in vector index associated with field @{show(node.field)}{_runtime(node)}}}")


def _knn(node: tree.Knn) -> str:
    return (f"K={node.k} nearest vectors to `${show(node.vector_name)}` in vector index associated with field @{show(node.field)}"
            f"{_runtime(node)}")


def _runtime(node: tree.Knn | tree.VectorRange) -> str:
    parts = [f", {show(attribute.name)} = {show(attribute.value)}" for attribute in node.runtime]
    if node.alias is not None:
        parts.append(f", yields distance as `{show(node.alias)}`")
    return "".join(parts)


_LEAVES: dict[type, Callable] = {
    tree.Wildcard: lambda node: "<WILDCARD>",
    tree.Empty: lambda node: "<empty>",
    tree.Affix: lambda node: _affix(node.kind, node.text),
    tree.Fuzzy: lambda node: f"FUZZY{{{show(node.text)}}}",
    tree.Pattern: lambda node: f"WILDCARD{{{show(node.text)}}}",
    tree.Numeric: _numeric,
    tree.Geo: _geo,
    tree.GeoShape: _geoshape,
    tree.Missing: lambda node: f"ISMISSING{{{show(node.field)}}}",
    tree.VectorRange: _vector_range,
    tree.Knn: lambda node: f"VECTOR {{{_knn(node)}}}",
    tree.Ids: lambda node: "IDS {" + "".join([show(key) + "," for key in node.keys]) + "}",
}
