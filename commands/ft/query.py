"""Query text to tree.

`parse_query` is a recursive-descent parser over the tokens of lexer.py. It does not look at the values of PARAMS, so its result
can be kept by (text, dialect, stop words) for as long as the schema stays the same; `binding.bind` then puts the values in.

Dialect 1 differs: `|` binds tighter than a blank, there are no parameters, vector clauses, comparison operators, patterns or
ismissing, fields are not checked, and a tag list need not be closed.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Collection, NoReturn

from . import errors, tree
from .binding import ATTRIBUTES, Schema, attribute_value, check_circle, check_range
from .errors import CommandError, fail
from .lexer import DEFAULT_STOPWORDS, Token, fold, quoted_words, tokenize, unescape
from .options import to_float
from .specs import FieldSpec
from .tree import Node, Param, Query

__all__ = ["parse_query", "DEFAULT_STOPWORDS", "MAX_DEPTH"]

#: How deep parentheses, - and ~ may be nested.
MAX_DEPTH = 128

Fields = tuple[bytes, ...]

_WORDS = frozenset(("TERM", "STOP", "NUMBER"))
_STARTS = _WORDS | {"PREFIX", "SUFFIX", "INFIX", "QUOTED", "PATTERN", "ISMISSING", "FIELD", "PARAM", "(", "-", "~", "%", '"'}
_TIGHT = frozenset(("NUMBER", "PARAM", "PREFIX", "SUFFIX", "INFIX", "PATTERN", "%"))
#: What ends the operand of - and ~ in dialect 1, which otherwise take all that follows.
_ENDS = {"-": '-~"', "~": "~"}
_AFFIXES = {"PREFIX": "prefix", "SUFFIX": "suffix", "INFIX": "infix"}
_PREDICATES = frozenset(("WITHIN", "CONTAINS", "INTERSECTS", "DISJOINT"))
_VECTOR_NAMES = frozenset((b"EF_RUNTIME", b"EPSILON", b"BATCH_SIZE", b"HYBRID_POLICY", b"SEARCH_WINDOW_SIZE",
                           b"SEARCH_BUFFER_CAPACITY", b"USE_SEARCH_HISTORY", b"RERANK", b"OVERSAMPLING", b"TARGET_RECALL",
                           b"SHARD_K_RATIO"))
_INF = float("inf")


def parse_query(text: bytes, dialect: int, schema: Schema | None = None,
                stopwords: Collection[bytes] = DEFAULT_STOPWORDS) -> Query:
    """Parse a query text. schema: the index's fields by name, in order (None: fields are not checked). Raises CommandError."""
    if isinstance(stopwords, (tuple, list)):
        stopwords = frozenset(stopwords)
    parser = _Parser(tokenize(text, dialect, stopwords), dialect, schema)
    root = parser.parse()
    params = tuple(parser.params)
    hot = None
    if type(root) is tree.Knn and len(params) == 1 and params[0] is root.vector:
        hot = params[0].name
    return Query(root, text, dialect, params, hot)


class _Parser:
    def __init__(self, tokens: list[Token], dialect: int, schema: Schema | None):
        self.tokens = tokens
        self.at = 0
        self.modern = dialect >= 2
        self.schema = schema
        self.params: list[Param] = []
        self.depth = 0
        self.late: CommandError | None = None    # found in values, raised when the syntax is right

    # ------------------------------------------------------------------ tokens
    @property
    def kind(self) -> str:
        return self.tokens[self.at].kind if self.at < len(self.tokens) else ""

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def expect(self, *kinds: str) -> Token:
        if self.kind not in kinds or not kinds:
            self.syntax_error()
        return self.take()

    def accept(self, kind: str) -> bool:
        if self.kind == kind:
            self.at += 1
            return True
        return False

    def syntax_error(self) -> NoReturn:
        """The next token cannot stand here. At the end of the text the last one is shown."""
        last = min(self.at, len(self.tokens) - 1)
        near = b""
        for i in range(last, -1, -1):
            token = self.tokens[i]
            if i and self.tokens[i - 1].kind == "OP" or token.kind == "FIELD" and i < last and self.tokens[i + 1].kind == "OP":
                continue                         # @field<3 is one token to Redis, and one that it does not show
            if token.text is not None:
                near = token.text
                break
        raise fail(errors.SYNTAX_AT, self.tokens[last].position if last >= 0 else 0, near)

    def later(self, error: CommandError) -> None:
        self.late = self.late or error

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH and not self.modern:
            self.syntax_error()
        if self.depth > MAX_DEPTH:
            raise fail(errors.TOO_DEEP, MAX_DEPTH)

    # ------------------------------------------------------------------ the whole text
    def parse(self) -> Node:
        if not self.tokens:
            return tree.Empty()
        root = self.star() or self.expression(top=True)
        if self.modern and self.kind == "ARROW":
            self.take()
            root = self.knn(root)
        if self.at < len(self.tokens):
            self.syntax_error()
        if self.late:
            raise self.late
        return root if root is not None else tree.Empty()

    def star(self) -> Node | None:
        """`*` or `(*)`: only as the whole query or the whole filter of a KNN."""
        opened = 0
        while opened < len(self.tokens) and self.tokens[opened].kind == "(":
            opened += 1
        if opened >= len(self.tokens) or self.tokens[opened].kind != "*":
            return None
        self.at = opened + 1
        if opened and not self.modern:
            self.syntax_error()
        for _ in range(opened):
            self.expect(")")
        return tree.Wildcard()

    def expression(self, top: bool = False, fields: Fields | None = None) -> Node | None:
        return self.either(top, fields) if self.modern else self.old_all_of(fields)

    def either(self, top: bool, fields: Fields | None) -> Node | None:
        """a b | c"""
        node = self.all_of(top, fields)
        while self.kind == "|":
            self.take()
            right = self.all_of(False, fields)
            is_plain = type(node) is tree.Or and node.fields is None and node.attributes is None
            node = _join_or(node, right) if is_plain else _join_or(*_grown_last(tree.Or, node, right))
        return node

    def all_of(self, top: bool, fields: Fields | None) -> Node | None:
        """a b"""
        node = self.unit(top, fields)
        while self.kind in _STARTS:
            right = self.unit(False, fields)
            is_plain = type(node) is tree.And and node.fields is None and node.attributes is None
            node = _join_and(node, right) if is_plain else _join_and(*_grown_last(tree.And, node, right))
        return node

    def tight(self, node: Node | None, fields: Fields | None) -> Node | None:
        """A node with the numbers, parameters, affixes, patterns and fuzzy words that follow at once: these belong to what is
        right before them, so that -a b* excludes both together and @f:a b* asks both of f."""
        if self.kind in _TIGHT:
            found = [] if node is None else [node]
            while self.kind in _TIGHT:
                node = self.unit(False, fields)
                found += [] if node is None else [node]
            node = tree.And(found) if len(found) > 1 else found[0] if found else None
        return node

    def old_all_of(self, fields: Fields | None, ends: str = "") -> Node | None:
        """Dialect 1's a | b c | d: it means (a | b) (c | d). `ends`: what is not taken."""
        node = self.old_either(fields)
        while self.kind in _STARTS and self.kind not in ends:
            node = _join_and(node, self.old_either(fields))
        return node

    def old_either(self, fields: Fields | None) -> Node | None:
        node = self.unit(False, fields)
        while self.accept("|"):
            node = _join_or(node, self.unit(False, fields))
        return node

    def unit(self, top: bool, fields: Fields | None) -> Node | None:
        """An operand with the blocks of attributes after it. fields: inside @f:(...), where only text may stand."""
        if self.kind in ("-", "~"):
            self.deeper()
            sign = self.take().kind
            if self.modern:
                child = self.tight(self.unit(False, fields), fields)
            else:
                child = self.old_all_of(fields, _ENDS[sign])
            self.depth -= 1
            if child is None:
                return None
            return tree.Not(child) if sign == "-" else tree.Optional(child)
        node = self.operand(top, fields)
        while self.kind == "ARROW":
            if self.modern and top and self.at + 1 < len(self.tokens) and self.tokens[self.at + 1].kind == "[":
                break
            self.take()
            node = self.attributes(node)
        return node

    def operand(self, top: bool, fields: Fields | None) -> Node | None:
        kind = self.kind
        if kind == "(":
            self.deeper()
            self.take()
            node = self.expression(False, fields)
            self.expect(")")
            self.depth -= 1
            return node
        if kind == "FIELD" and not (self.modern and fields is not None):
            return self.field(top, fields)
        if kind == "ISMISSING" and fields is None:
            return self.missing()
        return self.text(fields)

    # ------------------------------------------------------------------ text
    def text(self, fields: Fields | None) -> Node | None:
        kind = self.kind
        if kind in ("TERM", "NUMBER"):
            return self.words(fields)
        if kind == "STOP":
            self.take()
            return None
        if kind == "PARAM" and self.modern:
            return tree.Term(self.param(self.take().text, "term" if self.takes_empty(fields) else "word"), fields)
        if kind in _AFFIXES:
            return tree.Affix(_AFFIXES[kind], self.word(self.take().text, "term"), fields)
        if kind == "PATTERN":
            return tree.Pattern(self.pattern("wildcard"), fields)
        if kind == "%":
            return self.fuzzy(fields)
        if kind == "QUOTED" and not self.tokens[self.at].extra:
            text = self.take().text
            words = [fold(word) for word in quoted_words(text)]
            if not words:
                if not text.strip():
                    self.need_empty(fields)
                return tree.Term(b"", fields, True)
            return tree.Term(words[0], fields, True, self.modern) if len(words) == 1 else tree.Phrase(words, fields)
        if kind == '"':
            return self.quoted(fields)
        self.syntax_error()

    def words(self, fields: Fields | None) -> Node:
        """A word; in dialect 1 all that follow it at once, as one operand.
        A number is a word that later dialects do not expand."""
        is_number = self.kind == "NUMBER"
        found = [tree.Term(fold(unescape(self.take().text)), fields, self.modern and is_number)]
        if not self.modern:
            while self.kind == "TERM" or self.kind == "NUMBER" and len(found) == 1:
                found.append(tree.Term(fold(unescape(self.take().text)), fields))
        return found[0] if len(found) == 1 else tree.And(found)

    def fuzzy(self, fields: Fields | None) -> Node | None:
        distance = 0
        while distance < 3 and self.accept("%"):
            distance += 1
        token = self.expect(*_WORDS, *(("PARAM", "QUOTED") if self.modern else ()))
        for _ in range(distance):
            self.expect("%")
        if token.kind == "QUOTED":
            if quoted_words(token.text) or token.extra:
                self.syntax_error()
            return tree.Fuzzy(b"", distance, fields)
        word = self.param(token.text, "term") if token.kind == "PARAM" else fold(unescape(token.text))
        return tree.Fuzzy(word, distance, fields)

    def quoted(self, fields: Fields | None) -> Node | None:
        """Dialect 1's "a b": stop words may follow but not lead. Of later dialects only an unclosed quote comes here, to fail."""
        self.take()
        words = [fold(unescape(self.expect("TERM", "NUMBER").text))]
        while self.kind in _WORDS:
            token = self.take()
            if token.kind != "STOP":
                words.append(fold(unescape(token.text)))
        self.expect('"')
        return tree.Term(words[0], fields, True) if len(words) == 1 else tree.Phrase(words, fields)

    def takes_empty(self, fields: Fields | None) -> bool:
        """Whether an empty string may be searched in these TEXT fields: one of them must index empty strings."""
        return not fields or self.schema is None or any(getattr(self.spec(name), "index_empty", False) for name in fields)

    def need_empty(self, fields: Fields | None) -> None:
        """An empty string is searched in these TEXT fields."""
        if not self.takes_empty(fields):
            self.later(fail(errors.EMPTY_OPTION))

    def word(self, text: bytes, kind: str) -> bytes | Param:
        """The fixed part of an affix: a word or $param."""
        if text.startswith(b"$"):
            return self.param(text[1:], kind)
        return fold(unescape(text)) if kind != "exact" else unescape(text)

    def pattern(self, kind: str) -> bytes | Param:
        text = self.take().text
        if text.startswith(b"$"):
            return self.param(text[1:], kind)
        return fold(text) if kind != "exact" else text

    def param(self, name: bytes, kind: str, negative: bool = False) -> Param:
        param = Param(unescape(name), kind, negative)
        self.params.append(param)
        return param

    # ------------------------------------------------------------------ @field
    def field(self, top: bool, outer: Fields | None) -> Node | None:
        tokens = [self.take()]
        self.known(tokens[0])
        while self.accept("|"):
            tokens.append(self.take() if self.is_empty_text() else self.expect("TERM", "STOP", "NUMBER"))
            self.known(tokens[-1])
        token = tokens[0]
        name = unescape(token.text)
        if len(tokens) == 1:
            if self.kind == "OP":
                return self.of_field(name, self.comparison(token, name))
            self.expect(":")
            if self.kind == "{":
                return self.of_field(name, self.tag(token, name))
            if self.kind == "[":
                return self.of_field(name, self.bracket(token, name))
        else:
            self.expect(":")
        names = tuple([unescape(token.text) for token in tokens])
        if self.schema is not None:              # in the schema's order; dialect 1 takes unknown fields and finds nothing in them
            names = tuple([name for name, spec in self.schema.items() if name in names and spec.type == "TEXT"])
        if outer is not None:
            names = tuple([known for known in names if known in outer])
        self.deeper()
        node = self.tight(self.unit(top, names), names) if self.modern else self.old_either(names)
        self.depth -= 1
        if self.modern:
            for token in tokens:
                self.check_kind(token, "TEXT")
        if type(node) in (tree.And, tree.Or):
            node = replace(node, fields=names)
        return node

    def of_field(self, name: bytes, node: Node) -> Node:
        """What is asked of a field: of one that is not there nothing, in dialect 1."""
        return node if self.modern or self.schema is None or name in self.schema else tree.Empty()

    def known(self, token: Token) -> None:
        if self.modern and self.schema is not None and unescape(token.text) not in self.schema:
            raise fail(errors.FIELD_UNKNOWN, token.position, token.text)

    def spec(self, name: bytes) -> FieldSpec | None:
        return self.schema.get(name) if self.schema is not None else None

    def check_kind(self, token: Token, kind: str) -> None:
        spec = self.spec(unescape(token.text))
        if self.modern and spec is not None and spec.type != kind:
            raise fail(errors.FIELD_KIND, kind, token.position, token.text)

    def missing(self) -> Node:
        self.take()
        self.expect("(")
        token = self.expect("FIELD")
        self.known(token)
        self.expect(")")
        spec = self.spec(unescape(token.text))
        if spec is not None and not spec.index_missing:
            raise fail(errors.MISSING_OPTION, token.position, token.text)
        return tree.Missing(unescape(token.text))

    # ------------------------------------------------------------------ @field:{...}
    def tag(self, token: Token, name: bytes) -> Node:
        self.take()
        values: list[tree.TagValue] = []
        spec = self.spec(name)
        folded = not getattr(spec, "case_sensitive", False)
        if self.modern:
            values.append(self.tag_value(folded))
            while self.accept("|"):
                values.append(self.tag_value(folded))
            self.expect("}")
        else:
            values.append(self.tag_value(folded))
            while self.kind in ("|", "}"):
                if self.take().kind == "|":
                    values.append(self.tag_value(folded))
        self.check_kind(token, "TAG")
        if spec is not None and not getattr(spec, "index_empty", True) and any(value.text == b"" for value in values):
            self.later(fail(errors.EMPTY_OPTION))
        return tree.Tag(name, values)

    def tag_value(self, folded: bool) -> tree.TagValue:
        case = fold if folded else bytes
        kind = self.kind
        if kind in _WORDS or self.is_empty_text() or self.is_tag_param():
            words = [self.tag_word(folded)]
            while self.kind in _WORDS or self.is_empty_text() or self.is_tag_param():
                if not self.modern and (kind == "STOP" or self.kind == "STOP" and len(words) < 2):
                    break  # dialect 1: a stop word stands alone or after two words
                words.append(self.tag_word(folded))
            if any(isinstance(word, Param) for word in words):
                if len(words) == 1:
                    return tree.TagValue("exact", words[0])
                parts = tuple([word if isinstance(word, Param) else case(word) for word in words])
                return tree.TagValue("exact", b" ", parts)  # `bind` joins them
            text = case(b" ".join(words))
            return tree.TagValue("exact", text, tuple(map(case, words)) if len(words) > 1 else ())
        if kind in _AFFIXES:
            text = self.word(self.take().text, "term" if folded else "exact")
            return tree.TagValue(_AFFIXES[kind], text)
        if kind == "QUOTED":
            token = self.take()
            return tree.TagValue(token.extra or "exact", case(unescape(token.text)))
        if kind == "PATTERN":
            return tree.TagValue("wildcard", self.pattern("wildcard" if folded else "exact"))
        self.syntax_error()

    def is_tag_param(self) -> bool:
        """Whether $name is next, which may be one of the words of a tag."""
        return self.modern and self.kind == "PARAM"

    def is_empty_text(self) -> bool:
        """Whether "" is next."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        return token is not None and token.kind == "QUOTED" and not token.text and not token.extra

    def tag_word(self, folded: bool) -> bytes | Param:
        token = self.take()
        return self.param(token.text, "term" if folded else "exact") if token.kind == "PARAM" else unescape(token.text)

    # ------------------------------------------------------------------ numbers
    def number(self) -> tuple[float | Param, bool]:
        """A number or $param, perhaps after a sign; "(" before it excludes the bound. -> (value, inclusive)"""
        inclusive = not self.accept("(")
        if self.kind == "-":
            self.take()
            token = self.expect("NUMBER", *(("PARAM",) if self.modern else ()))
            return (self.param(token.text, "number", True) if token.kind == "PARAM" else -to_float(token.text)), inclusive
        token = self.expect("NUMBER", *(("PARAM",) if self.modern else ()))
        if token.kind == "PARAM":
            return self.param(token.text, "number"), inclusive
        return to_float(token.text), inclusive

    def comparison(self, token: Token, name: bytes) -> Node:
        operator = self.take().extra
        value, _ = self.number()
        self.check_kind(token, "NUMERIC")
        if operator in ("<", "<="):
            return tree.Numeric(name, -_INF, value, True, operator == "<=")
        if operator in (">", ">="):
            return tree.Numeric(name, value, _INF, operator == ">=", True)
        node = tree.Numeric(name, value, value)
        return tree.Not(node) if operator == "!=" else node

    def bracket(self, token: Token, name: bytes) -> Node:
        """What can stand in @field:[...]: a numeric range, a circle, a vector range or a shape."""
        self.take()
        if self.modern and self.kind in ("TERM", "STOP"):
            return self.bracket_command(token, name)
        low, low_inclusive = self.number()
        if self.modern and low_inclusive and self.accept("]"):
            self.check_kind(token, "NUMERIC")
            return tree.Numeric(name, low, low)
        high, high_inclusive = self.number()
        if self.accept("]"):
            self.check_kind(token, "NUMERIC")
            node = tree.Numeric(name, low, high, low_inclusive, high_inclusive)
            self.validate(check_range, node)
            return node
        radius, _ = self.number()
        unit = self.expect("TERM", "STOP", *(("PARAM", "NUMBER", "QUOTED") if self.modern else ()))
        self.expect("]")
        self.check_kind(token, "GEO")
        node = tree.Geo(name, low, high, radius, self.param(unit.text, "unit") if unit.kind == "PARAM" else fold(unit.text))
        self.validate(check_circle, node)
        return node

    def bracket_command(self, token: Token, name: bytes) -> Node:
        command = self.take()
        word = command.text.decode("utf-8", "replace").upper()
        first = self.expect("NUMBER", "PARAM")
        if first.kind == "PARAM" and self.kind != "PARAM":
            self.expect("]")
            if word not in _PREDICATES:
                raise fail(errors.SHAPE_PREDICATE, first.position)
            self.check_kind(token, "GEOSHAPE")
            return tree.GeoShape(name, word, self.param(first.text, "exact"))
        vector = self.expect("PARAM")
        if word != "VECTOR_RANGE":
            raise fail(errors.RANGE_COMMAND, command.position, command.text)
        radius = self.param(first.text, "number") if first.kind == "PARAM" else to_float(first.text)
        self.expect("]")
        self.check_kind(token, "VECTOR")
        return tree.VectorRange(name, radius, self.param(vector.text, "blob"), unescape(vector.text))

    def validate(self, check, node: Node) -> None:
        try:
            check(node)
        except CommandError as error:
            self.later(error)

    # ------------------------------------------------------------------ => [KNN ...] and => {...}
    def knn(self, child: Node | None) -> Node:
        self.expect("[")
        command = self.take() if self.is_empty_text() else self.expect("TERM", "STOP")
        if self.kind == "NUMBER" and not self.tokens[self.at].text.isdigit():
            self.syntax_error()
        size = self.expect("NUMBER", "PARAM")
        token = self.expect("FIELD")
        self.known(token)
        vector = self.expect("PARAM")
        if command.text.upper() != b"KNN":
            raise fail(errors.KNN_COMMAND, command.position, command.text)
        self.check_kind(token, "VECTOR")
        name = unescape(token.text)
        k = self.param(size.text, "size") if size.kind == "PARAM" else int(size.text)
        node = tree.Knn(None if type(child) is tree.Wildcard else child if child is not None else tree.Empty(), name, k,
                        self.param(vector.text, "blob"), unescape(vector.text))
        runtime = []
        while self.kind in ("TERM", "STOP"):
            word = self.take()
            value = self.value(self.expect(*_WORDS, "PARAM"), "exact")
            if word.text.upper() == b"AS":
                node.alias = value
                break
            runtime.append(tree.VectorAttribute(unescape(word.text), value))
        self.expect("]")
        node.runtime = tuple(runtime)
        if self.accept("ARROW"):
            node = self.attributes(node)
        if node.alias is None:
            node.alias = _default_alias(name)
        return node

    def value(self, token: Token, kind: str) -> bytes | Param:
        return self.param(token.text, kind) if token.kind == "PARAM" else unescape(token.text)

    def attributes(self, node: Node | None) -> Node | None:
        """{$name: value; ...}: a copy of the node that has them."""
        self.expect("{")
        given: list[tuple[bytes, bytes | Param]] = []
        while self.kind != "}":
            token = self.expect("PARAM")
            self.expect(":")
            value = self.take() if self.is_empty_text() else self.expect(*_WORDS, "PARAM")
            given.append((unescape(token.text), self.value(value, "exact")))
            if not self.accept(";") and self.kind != "}":
                self.syntax_error()
        self.take()
        if node is None or not given:
            return node
        vector = type(node) in (tree.VectorRange, tree.Knn)
        attributes = replace(node.attributes) if node.attributes else tree.Attributes()
        changes: dict = {}
        runtime: list[tree.VectorAttribute] = []
        for name, value in given:
            upper = name.upper()
            if vector and upper == b"YIELD_DISTANCE_AS":
                alias = changes.get("alias", node.alias)
                if alias is not None and not (type(node) is tree.Knn and alias == _default_alias(node.field)):
                    if not isinstance(alias, Param) and not isinstance(value, Param):
                        raise fail(errors.DISTANCE_TWICE, alias, value)
                    value = Param(b"", twice=(alias, value))
                if not value:
                    raise fail(errors.ATTRIBUTE_VALUE, value, name)
                changes["alias"] = value
            elif vector and upper in _VECTOR_NAMES:
                runtime.append(tree.VectorAttribute(name, value, True))
            elif upper in ATTRIBUTES:
                attribute = upper.decode().lower()
                setattr(attributes, attribute, value if isinstance(value, Param) else attribute_value(name, value))
                if attribute == "phonetic" and not self.has_phonetics(node):
                    if isinstance(value, Param):             # whose value is looked at first
                        attributes.phonetic = replace(value, kind="phonetic")
                    else:
                        self.later(fail(errors.NO_PHONETICS))
            else:
                raise fail(errors.ATTRIBUTE_NAME, name)
        if attributes != tree.Attributes():
            changes["attributes"] = attributes
        if runtime:
            changes["runtime"] = node.runtime + tuple(runtime)
        return replace(node, **changes)

    def has_phonetics(self, node: Node) -> bool:
        if self.schema is None:
            return True
        fields = getattr(node, "fields", None) or self.schema
        return any(getattr(self.schema.get(name), "phonetic", None) for name in fields)


# ---------------------------------------------------------------------------------------------------- nodes

def _join_and(left: Node | None, right: Node | None) -> Node | None:
    if left is None or right is None:
        return left if right is None else right
    if type(left) is tree.And and left.fields is None and left.attributes is None:
        left.children.append(right)
        return left
    return tree.And([left, right])


def _join_or(left: Node | None, right: Node | None) -> Node | None:
    if left is None or right is None:
        return left if right is None else right
    if type(left) is tree.Or and left.fields is None and left.attributes is None:
        left.children.append(right)
        return left
    return tree.Or([left, right])


def _grown_last(kind: type, left: Node | None, right: Node | None) -> tuple[Node | None, Node | None]:
    """Both, or the other way round where the right one is a group of this kind that the left one can join: a (b c) is b c a to
    Redis from dialect 2 on, which FT.EXPLAIN and INORDER show."""
    is_group = type(right) is kind and right.fields is None and right.attributes is None
    return (right, left) if is_group else (left, right)


def _default_alias(field: bytes) -> bytes:
    return b"__" + field + b"_score"
