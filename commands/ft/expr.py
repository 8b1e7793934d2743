"""The expressions of APPLY and FILTER: text to tree (`parse`), tree to a function of a row (`compile_expression`).

| by precedence, lowest first | |
|---|---|
| `a || b`, `a && b`, `!a` | 1 or 0; the right side is looked at only if it matters |
| `== != < <= > >=` | 1 or 0; do not chain |
| `+ -`, `* / %`, `^` | numbers; `^` goes from right to left |
| `12.5`, `-3`, `"text"`, `'text'`, `NULL`, `@name`, `name(argument, ..)`, `( )` | |

A sign right before digits belongs to the number, so `@a-1` is two values next to each other and refused, as in Redis.
"""
from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Callable, NamedTuple

from . import errors
from .errors import fail
from .functions import FUNCTIONS, matched_terms
from .values import MINUS_NAN, NULL, Several, compare, is_true, to_number

__all__ = ["Literal", "Property", "Call", "Operation", "Negation", "parse", "properties", "compile_expression"]

#: Operations and parentheses within each other, and operations in all: both a tree and its function are walked
#: recursively.
MAX_DEPTH = 128
MAX_OPERATIONS = 400


@dataclass(slots=True, frozen=True)
class Literal:
    value: object                                # float, bytes or NULL


@dataclass(slots=True, frozen=True)
class Property:
    name: bytes


@dataclass(slots=True, frozen=True)
class Call:
    name: str                                    # lower case, a key of FUNCTIONS
    arguments: tuple


@dataclass(slots=True, frozen=True)
class Operation:
    sign: bytes
    left: object
    right: object


@dataclass(slots=True, frozen=True)
class Negation:
    child: object


def what(expression) -> str:
    """The outermost part of an expression in a few words, for FT.PROFILE."""
    if isinstance(expression, Literal):
        value = expression.value
        return (f"Literal {value:g}" if isinstance(value, float) else f"Literal {errors.show(value)}" if value is not None
                else "Literal")
    if isinstance(expression, Property):
        return f"Property {errors.show(expression.name)}"
    if isinstance(expression, Call):
        return f"Function {expression.name}"
    if isinstance(expression, Operation):
        sign = errors.show(expression.sign)
        return f"{'Operator' if sign in tuple('+-*/%^') else 'Predicate'} {sign}"
    return "Inverted"


# ------------------------------------------------------------------------------------------ text to tree

class _Token(NamedTuple):
    """kind: NUMBER PROPERTY SYMBOL STRING SIGN; `text`: what an error shows as near, None for signs."""
    kind: str
    position: int
    text: bytes | None
    value: object


_PUNCTUATION = rb"!-/:-@\[-`{-~"
_TOKEN = re.compile(
    rb"(?P<NUMBER>[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|[+-]inf(?![0-9A-Za-z_]))"
    rb"|(?P<PROPERTY>@(?:[0-9A-Za-z_\x80-\xff]|\\[" + _PUNCTUATION + rb" \t\n\v\f\r])+)"
    rb"|(?P<SYMBOL>[A-Za-z][0-9A-Za-z_]*)"
    rb"|(?P<SIGN>==|!=|<=|>=|&&|\|\||[-+*/%^()!<>,])", re.IGNORECASE)
_unescape = re.compile(rb"\\([" + _PUNCTUATION + rb" \t\n\v\f\r])").sub
_STRING_PIECES = {quote: re.compile(rb"(?:[^\\\n" + quote + rb"]|\\.)*" + quote, re.DOTALL) for quote in (b'"', b"'")}


def _tokens(text: bytes):
    """Tokens in order. Whatever else stands between them is passed over."""
    at = 0
    while at < len(text):
        pieces = _STRING_PIECES.get(text[at:at + 1])
        if pieces is not None and (match := pieces.match(text, at + 1)):
            whole = text[at:match.end()]
            yield _Token("STRING", at, whole, _unescape(rb"\1", whole[1:-1]))
            at = match.end()
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            at += 1
            continue
        kind, word = match.lastgroup, match[0]
        if kind == "NUMBER":
            yield _Token(kind, at, word, float(word))
        elif kind == "PROPERTY":
            yield _Token(kind, at, word[1:], _unescape(rb"\1", word[1:]))
        elif kind == "SYMBOL":
            yield _Token(kind, at, word, word)
        else:
            yield _Token(kind, at, None, word)
        at = match.end()


#: How strongly a sign binds; _NEGATION is that of a leading "!".
_STRENGTH = {b"||": 1, b"&&": 2, b"==": 4, b"!=": 4, b"<": 4, b"<=": 4, b">": 4, b">=": 4, b"+": 5, b"-": 5, b"*": 6,
             b"/": 6, b"%": 6, b"^": 7}
_NEGATION = 3
_COMPARISON = 4


class _Parser:
    def __init__(self, text: bytes):
        self.tokens = _tokens(text)
        self.position = 0            # of the latest token, and the latest text: what a syntax error shows
        self.near = b""
        self.depth = 0
        self.n_operations = 0
        self.token: _Token | None = None
        self.advance()

    def advance(self) -> None:
        self.token = next(self.tokens, None)
        if self.token is not None:
            self.position = self.token.position
            if self.token.text is not None:
                self.near = self.token.text

    def refuse(self):
        return fail(errors.EXPR_SYNTAX, self.position, self.near)

    def sign(self) -> bytes | None:
        return self.token.value if self.token is not None and self.token.kind == "SIGN" else None

    def expression(self, least: int = 1):
        """An expression of signs that bind at least this strongly."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise fail(errors.EXPR_TOO_DEEP, MAX_DEPTH)
        left = self.operand()
        limit = 99
        while (strength := _STRENGTH.get(sign := self.sign())) is not None and strength >= least:
            if strength == limit:
                raise self.refuse()
            self.advance()
            self.n_operations += 1
            if self.n_operations > MAX_OPERATIONS:
                raise fail(errors.EXPR_TOO_LONG, MAX_OPERATIONS)
            left = Operation(sign, left, self.expression(strength if sign == b"^" else strength + 1))
            limit = _COMPARISON if strength == _COMPARISON else 99
        self.depth -= 1
        return left

    def operand(self):
        token = self.token
        if token is None:
            raise self.refuse()
        if token.kind in ("NUMBER", "STRING"):
            self.advance()
            return Literal(token.value)
        if token.kind == "PROPERTY":
            self.advance()
            return Property(token.value)
        if token.kind == "SYMBOL":
            self.advance()
            return self.call(token.value) if self.sign() == b"(" else self.symbol(token.value)
        if token.value == b"(":
            self.advance()
            inner = self.expression()
            if self.sign() != b")":
                raise self.refuse()
            self.advance()
            return inner
        if token.value == b"!":
            self.advance()
            return Negation(self.expression(_NEGATION))
        raise self.refuse()

    def symbol(self, word: bytes):
        if word != b"NULL":
            if self.token is not None and self.token.kind != "SIGN":
                raise self.refuse()
            raise fail(errors.EXPR_SYMBOL, word)
        return Literal(NULL)

    def call(self, word: bytes):
        self.advance()
        arguments = []
        if self.sign() != b")":
            arguments.append(self.expression())
            while self.sign() == b",":
                self.advance()
                arguments.append(self.expression())
        if self.sign() != b")":
            raise self.refuse()
        self.advance()
        name = word.decode("ascii").lower()
        function = FUNCTIONS.get(name)
        if function is None:
            raise fail(errors.EXPR_FUNCTION, word)
        if not function.least <= len(arguments) <= function.most:
            if function.least == function.most:
                raise fail(errors.EXPR_ARITY, word, function.least, len(arguments))
            raise fail(errors.EXPR_ARITY_RANGE, word, function.least, function.most, len(arguments))
        return Call(name, tuple(arguments))


def parse(text: bytes):
    """The tree of an expression. Raises CommandError."""
    parser = _Parser(text)
    tree = parser.expression()
    if parser.token is not None:
        raise parser.refuse()
    return tree


def properties(tree) -> list[bytes]:
    """The names that a tree refers to, each once, in the order of their appearance."""
    found: dict[bytes, None] = {}

    def walk(node) -> None:
        if type(node) is Property:
            found[node.name] = None
        elif type(node) is Operation:
            walk(node.left)
            walk(node.right)
        elif type(node) is Negation:
            walk(node.child)
        elif type(node) is Call:
            for argument in node.arguments:
                walk(argument)

    walk(tree)
    return list(found)


# ------------------------------------------------------------------------------------------ tree to function

Evaluator = Callable[[list], object]

#: Under this name compile_expression asks for the slot that holds what matched_terms() is about.
MATCHED_TERMS = b"matched_terms()"


def compile_expression(tree, slot_of: Callable[[bytes], int]) -> Evaluator:
    """A function that evaluates the tree over a row: a list of values, in which a property is found at slot_of(name).

    The function raises CommandError, among others for a property that the row has no value for (None). What slot_of
    raises for a name that is not known is passed on."""
    kind = type(tree)
    if kind is Literal:
        value = tree.value
        return lambda row: value
    if kind is Property:
        return _property(slot_of(tree.name), tree.name)
    if kind is Negation:
        child = compile_expression(tree.child, slot_of)
        return lambda row: 0.0 if is_true(child(row)) else 1.0
    if kind is Operation:
        return _OPERATIONS[tree.sign](compile_expression(tree.left, slot_of), compile_expression(tree.right, slot_of))
    arguments = [compile_expression(argument, slot_of) for argument in tree.arguments]
    if tree.name == "case":
        condition, positive, negative = arguments
        return lambda row: positive(row) if is_true(condition(row)) else negative(row)
    if tree.name == "exists":
        return _exists(tree.arguments[0], arguments[0], slot_of)
    if tree.name == "matched_terms":
        slot = slot_of(MATCHED_TERMS)
        return lambda row: matched_terms(row[slot], *[argument(row) for argument in arguments])
    return _call(FUNCTIONS[tree.name].function, arguments)


def _property(slot: int, name: bytes) -> Evaluator:
    def read(row):
        value = row[slot]
        if value is None:
            raise fail(errors.EXPR_NO_VALUE, name)
        return value.first if type(value) is Several else value
    return read


def _exists(node, argument: Evaluator, slot_of) -> Evaluator:
    if type(node) is Property:
        slot = slot_of(node.name)
        return lambda row: 0.0 if row[slot] is None or row[slot] is NULL else 1.0
    missing = errors.EXPR_NO_VALUE.split("{")[0]

    def exists(row):
        try:
            return 0.0 if argument(row) is NULL else 1.0
        except errors.CommandError as error:
            if not error.text.startswith(missing):
                raise
            return 0.0
    return exists


def _call(function, arguments: list[Evaluator]) -> Evaluator:
    if len(arguments) == 1:
        only, = arguments
        return lambda row: function(only(row))
    if len(arguments) == 2:
        first, second = arguments
        return lambda row: function(first(row), second(row))
    return lambda row: function(*[argument(row) for argument in arguments])


def _number(value) -> float:
    number = to_number(value)
    if number is None:
        raise fail(errors.EXPR_NOT_A_NUMBER)
    return number


def _arithmetic(function: Callable[[float, float], float]):
    def make(left: Evaluator, right: Evaluator) -> Evaluator:
        def evaluate(row):
            a, b = left(row), right(row)
            if type(a) is not float or type(b) is not float:
                a, b = _number(a), _number(b)
            return function(a, b)
        return evaluate
    return make


def _divide(a: float, b: float) -> float:
    if b:
        return a / b
    if a == 0 or a != a:
        return MINUS_NAN
    return math.copysign(math.inf, a) * math.copysign(1, b)


def _modulo(a: float, b: float) -> float:
    try:
        return math.fmod(a, b)
    except ValueError:
        return MINUS_NAN


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:
        return math.inf if a == 0 else MINUS_NAN


def _comparison(direct: Callable, by_order: Callable[[int], bool], needs_order: bool = False):
    """needs_order: a number and a text that spells none are an error; else they compare as texts."""
    def make(left: Evaluator, right: Evaluator) -> Evaluator:
        def evaluate(row):
            a, b = left(row), right(row)
            kind = type(a)
            if kind is type(b) and (kind is float or kind is bytes):
                return 1.0 if direct(a, b) else 0.0
            if needs_order and (kind is float and type(b) is bytes and to_number(b) is None
                                or type(b) is float and kind is bytes and to_number(a) is None):
                raise fail(errors.EXPR_NO_ORDER)
            return 1.0 if by_order(compare(a, b)) else 0.0
        return evaluate
    return make


def _and(left: Evaluator, right: Evaluator) -> Evaluator:
    return lambda row: 1.0 if is_true(left(row)) and is_true(right(row)) else 0.0


def _or(left: Evaluator, right: Evaluator) -> Evaluator:
    return lambda row: 1.0 if is_true(left(row)) or is_true(right(row)) else 0.0


_OPERATIONS = {
    b"+": _arithmetic(lambda a, b: a + b),
    b"-": _arithmetic(lambda a, b: a - b),
    b"*": _arithmetic(lambda a, b: a * b),
    b"/": _arithmetic(_divide),
    b"%": _arithmetic(_modulo),
    b"^": _arithmetic(_power),
    b"==": _comparison(lambda a, b: a == b, lambda order: order == 0),
    b"!=": _comparison(lambda a, b: a != b, lambda order: order != 0),
    b"<": _comparison(lambda a, b: a < b, lambda order: order < 0, True),
    b"<=": _comparison(lambda a, b: a <= b, lambda order: order <= 0, True),
    b">": _comparison(lambda a, b: a > b, lambda order: order > 0, True),
    b">=": _comparison(lambda a, b: a >= b, lambda order: order >= 0, True),
    b"&&": _and,
    b"||": _or,
}
