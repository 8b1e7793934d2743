"""Paths: JSONPath in RedisJSON's dialect, and the older form of it without the dollar sign.

    path = Path.of(b"$..book[?(@.price < 10)].title")
    path.values(root)           every value it leads to
    path.locations(root)        their places: tuples of names and numbers

A path that computes (`$.a + 1`, `$.list.length()`) leads to no place: it is a projection, and has `outputs`."""
import re
from collections.abc import Callable
from functools import lru_cache

from respserver.protocol.errors import CommandError

from .errors import BAD_PATH, NOT_UTF8, PATH_EXPECTED, PATH_NESTING, READ_ONLY
from .steps import All, Descent, Filter, Names, Numbers, Slice, Step, walk
from .terms import COMPARISONS, NOTHING, Nodes, Results, arithmetic, call, equals, equals_strictly, negative, outputs

#: Brackets within brackets that a path may have.
MAX_NESTING = 128

_LITERAL = re.compile(r"[A-Za-z0-9_`+#%$^/:-]+")
_NUMBER = re.compile(r"-?(?:[1-9][0-9]*|[0-9])")
_POSITIVE = re.compile(r"[1-9][0-9]*")
_DECIMAL = re.compile(r"-?(?:[1-9][0-9]*|[0-9])(?:\.[0-9]+)?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_CALL = re.compile(r"[A-Za-z][A-Za-z0-9_]* *\(")
_METHOD = re.compile(r"\. *[A-Za-z][A-Za-z0-9_]* *\(")
_OPERATOR = re.compile(r">=|>|<=|<|==|!=|=~|(?:in|nin|subsetof|anyof|noneof|sizeof|size|empty)(?![A-Za-z0-9_])")
_WORD_OPERATOR = re.compile(r"(?:in|nin|subsetof|anyof|noneof|sizeof|size|empty)(?![A-Za-z0-9_])")
_STRING = re.compile(r'"((?:[^"\\]|\\["\\])*)"|' r"'((?:[^'\\]|\\['\\])*)'")
_ESCAPE = re.compile(r"\\(.)")
_SPACES = re.compile(" *")
#: What begins a path of the newer form: $ alone or before . [ ~, a bracket, a sign before either, or a function.
_IS_JSONPATH = re.compile(r"\$(?=$|[.\[~])|\(|[-+] *(?:\$(?=$|[.\[~])|\()|[A-Za-z_][A-Za-z0-9_]* *\(", re.DOTALL)

_CONSTANTS = {"true": True, "false": False, "null": None}


class Path:
    """A compiled path. `text` is as it was given; a legacy path stands for the first of its values only."""

    __slots__ = ("text", "is_legacy", "steps", "keys", "_projection")

    def __init__(self, text: str):
        self.text = text
        self.is_legacy = _IS_JSONPATH.match(text) is None
        full = text if not self.is_legacy else "$" if text == "." else "$" + text if text.startswith(".") else "$." + text
        self.steps, self._projection = _Parser(full).path()
        #: The names and numbers of a path each step of which has one; else None.
        self.keys: tuple | None = None
        if self._projection is None:
            keys = tuple([step.only for step in self.steps])
            if None not in keys:
                self.keys = keys

    @staticmethod
    def of(text: bytes) -> "Path":
        """The compiled path of a text. Raises CommandError."""
        return _compiled(bytes(text))

    @property
    def is_projection(self) -> bool:
        return self._projection is not None

    @property
    def is_root(self) -> bool:
        return not self.steps and self._projection is None

    def values(self, root) -> list:
        """The values that the path leads to, in the order of the document; a projection's outputs. Raises CommandError if
        there are far too many."""
        if self._projection is not None:
            return outputs(self._projection(root, root))
        if self.keys is None:
            return [value for value, _ in walk(self.steps, root, root, None)]
        value = root
        for key in self.keys:
            if type(value) is dict:
                if type(key) is not str or key not in value:
                    return []
                value = value[key]
            else:
                return [found for found, _ in walk(self.steps, root, root, None)]
        return [value]

    def nodes(self, root) -> list[tuple]:
        """(value, location) for all that the path leads to. Raises CommandError for a projection."""
        if self._projection is not None:
            raise CommandError(READ_ONLY)
        return walk(self.steps, root, root, ())

    def locations(self, root) -> list[tuple]:
        """The locations of all that the path leads to. Raises CommandError for a projection."""
        return [location for _, location in self.nodes(root)]


@lru_cache(maxsize=2048)
def _compiled(text: bytes) -> Path:
    try:
        return Path(text.decode())
    except UnicodeDecodeError:
        raise CommandError(NOT_UTF8) from None


class _Mistake(Exception):
    """The text is not what a rule of the grammar wants."""


class _Parser:
    """Recursive descent over the text of a path. A rule reads from `at` on, and either moves it behind what it has read or raises
    _Mistake; `furthest` and `wanted` then say what the reader would have liked to see."""

    def __init__(self, text: str):
        self.text = text
        self.at = 0
        self.furthest = 0
        self.wanted: dict[str, None] = {}
        depth = _nesting(text)
        if depth > MAX_NESTING:
            raise CommandError(PATH_NESTING.format(MAX_NESTING))

    # Reading

    def _fail(self, *wanted: str):
        if self.at > self.furthest:
            self.furthest, self.wanted = self.at, {}
        if self.at == self.furthest:
            self.wanted.update(dict.fromkeys(wanted))
        raise _Mistake

    def _skip(self) -> None:
        self.at = _SPACES.match(self.text, self.at).end()

    def _sees(self, token: str) -> bool:
        """Whether a token comes next, after blanks, which are skipped."""
        self._skip()
        return self.text.startswith(token, self.at)

    def _take(self, token: str) -> bool:
        if self._sees(token):
            self.at += len(token)
            return True
        return False

    def _need(self, token: str) -> None:
        if not self._take(token):
            self._fail(token)

    def _match(self, pattern: re.Pattern) -> re.Match | None:
        self._skip()
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()
        return match

    # The whole

    def path(self) -> tuple[tuple[Step, ...], Callable | None]:
        """(steps, None), or ((), function of (value, root)) for a projection. Raises CommandError."""
        try:
            term = self._sum()
            self._skip()
            if self.at < len(self.text):
                self._fail("EOI")
        except _Mistake:
            wanted = PATH_EXPECTED.format(", ".join(self.wanted))
            at = len(self.text[:self.furthest].encode())
            raise CommandError(BAD_PATH.format(at, at, wanted)) from None
        if isinstance(term, _Lone):
            return term.steps, None
        return (), term

    # Paths

    def _steps(self) -> tuple[Step, ...]:
        """What follows $ or @."""
        steps: list[Step] = []
        start = self.at
        self._skip()
        if not _WORD_OPERATOR.match(self.text, self.at):
            literal = self._match(_LITERAL)
            if literal:
                steps.append(Names((literal[0],)))
            elif self._take("*") :
                steps.append(All())
            else:
                self.at = start
        while self._step(steps):
            pass
        return tuple(steps)

    def _step(self, steps: list[Step]) -> bool:
        start = self.at
        self._skip()
        text = self.text
        if text.startswith("..", self.at):
            self.at += 2
            steps.append(Descent())
            steps.append(self._after_dots())
            return True
        if text.startswith(".", self.at) and not _METHOD.match(text, self.at):
            self.at += 1
            steps.append(self._after_dots())
            return True
        if text.startswith("[", self.at):
            self.at += 1
            steps.append(self._bracket())
            return True
        self.at = start
        return False

    def _after_dots(self) -> Step:
        literal = self._match(_LITERAL)
        if literal:
            return Names((literal[0],))
        if self._take("*"):
            return All()
        if self._take("["):
            return self._bracket()
        self._fail("literal", "all", "[")

    def _bracket(self) -> Step:
        """What stands within brackets, and the closing one."""
        if self._take("?"):
            step: Step = Filter(self._any())
        elif self._take("*"):
            step = All()
        elif self._sees('"') or self._sees("'"):
            names = [self._string()]
            while self._take(","):
                names.append(self._string())
            step = Names(tuple(names))
        else:
            step = self._numbers()
        self._need("]")
        return step

    def _numbers(self) -> Step:
        first = self._match(_NUMBER)
        if first is None and not self._sees(":"):
            self._fail("numbers_range", "numbers_list", "string_list", "all", "filter")
        if self._take(":"):
            second = self._match(_NUMBER)
            stride = self._match(_POSITIVE) if self._take(":") else None
            return Slice(int(first[0]) if first else None, int(second[0]) if second else None, int(stride[0]) if stride else 1)
        numbers = [int(first[0])]
        while self._take(","):
            match = self._match(_NUMBER)
            if match is None:
                self._fail("number")
            numbers.append(int(match[0]))
        return Numbers(tuple(numbers))

    def _string(self) -> str:
        match = self._match(_STRING)
        if match is None:
            self._fail("string_value")
        raw = match[1] if match[1] is not None else match[2]
        return _ESCAPE.sub(r"\1", raw) if "\\" in raw else raw

    # Tests

    def _any(self) -> Callable:
        """test && test || test."""
        tests = [self._all()]
        while self._take("||"):
            tests.append(self._all())
        return tests[0] if len(tests) == 1 else lambda value, root: any(test(value, root) for test in tests)

    def _all(self) -> Callable:
        tests = [self._test()]
        while self._take("&&"):
            tests.append(self._test())
        return tests[0] if len(tests) == 1 else lambda value, root: all(test(value, root) for test in tests)

    def _test(self) -> Callable:
        n_negations = 0
        while self._take("!"):
            n_negations += 1
        test = self._positive_test()
        return (lambda value, root: not test(value, root)) if n_negations % 2 else test

    def _positive_test(self) -> Callable:
        start = self.at
        try:
            return self._comparison()
        except _Mistake:
            self.at = start
            if not self._take("("):
                raise
        test = self._any()
        self._need(")")
        return test

    def _comparison(self) -> Callable:
        left = self._sum()
        found = self._match(_OPERATOR)
        if found is None:
            if not any(map(self._sees, ("]", ")", "&&", "||"))):
                self._fail("op", "and", "or", "]")
            return lambda value, root: _holds(left(value, root))
        right = self._sum()
        if found[0] in ("==", "!="):
            compare = equals_strictly if isinstance(left, _Found) and isinstance(right, _Found) else equals
            if found[0] == "==":
                return lambda value, root: compare(left(value, root), right(value, root))
            return lambda value, root: not compare(left(value, root), right(value, root))
        test = COMPARISONS[found[0]]
        return lambda value, root: test(left(value, root), right(value, root))

    # Terms: functions of (value, root)

    def _sum(self) -> Callable:
        return self._chain(self._product, "+-")

    def _product(self) -> Callable:
        return self._chain(self._factor, "*/%")

    def _chain(self, rule: Callable, symbols: str) -> Callable:
        term = rule()
        while True:
            self._skip()
            symbol = self.text[self.at:self.at + 1]
            if not symbol or symbol not in symbols:
                return term
            self.at += 1
            term = _binary(symbol, term, rule())

    def _factor(self) -> Callable:
        self._skip()
        sign = self.text[self.at:self.at + 1]
        if sign in ("-", "+") and sign and not _DECIMAL.match(self.text, self.at):
            self.at += 1
            term = self._primary()
            if sign == "-":
                return lambda value, root: negative(term(value, root))
            return lambda value, root: _positive(term(value, root))
        return self._primary()

    def _primary(self) -> Callable:
        if self._take("("):
            term = self._sum()
            self._need(")")
            return term
        term = self._term()
        if self._take("~"):
            return lambda value, root: call("keys", [term(value, root)])
        while True:
            self._skip()
            if not _METHOD.match(self.text, self.at):
                return term
            self.at += 1
            term = self._call(term)

    def _call(self, receiver: Callable | None) -> Callable:
        name = self._match(_NAME)[0]
        self._need("(")
        terms = [] if receiver is None else [receiver]
        if not self._take(")"):
            terms.append(self._sum() if receiver is not None else self._term())
            while self._take(","):
                terms.append(self._sum() if receiver is not None else self._term())
            self._need(")")
        return lambda value, root: call(name, [term(value, root) for term in terms])

    def _term(self) -> Callable:
        self._skip()
        text = self.text
        char = text[self.at:self.at + 1]
        if char == "@":
            self.at += 1
            return _Found(self._steps(), False)
        if char == "$":
            self.at += 1
            return _Lone(self._steps(), True)
        if _CALL.match(text, self.at):
            return self._call(None)
        constant = self._constant()
        return lambda value, root: constant

    def _constant(self):
        """A JSON value as it may stand in an expression."""
        self._skip()
        char = self.text[self.at:self.at + 1]
        if char and char in "\"'":
            return self._string()
        if self._take("["):
            return self._listed("]", self._constant)
        if self._take("{"):
            return dict(self._listed("}", self._member))
        number = self._match(_DECIMAL)
        if number is not None:
            if "." in number[0]:
                return float(number[0])
            whole = int(number[0])
            return whole if -(1 << 63) <= whole < 1 << 63 else float(whole)
        for word, constant in _CONSTANTS.items():
            if self._take(word):
                return constant
        self._fail("from_current", "from_root", "decimal", "string_value", "boolean_true", "boolean_false", "null",
                   "array_literal", "object_literal", "function_call")

    def _member(self) -> tuple:
        name = self._string()
        self._need(":")
        return name, self._constant()

    def _listed(self, end: str, rule: Callable) -> list:
        found: list = []
        if not self._take(end):
            found.append(rule())
            while self._take(","):
                found.append(rule())
            self._need(end)
        return found


class _Found:
    """A term: what a path leads to, from the value or from the root."""

    __slots__ = ("steps", "from_root")

    def __init__(self, steps: tuple[Step, ...], from_root: bool):
        self.steps = steps
        self.from_root = from_root

    def __call__(self, value, root):
        start = root if self.from_root else value
        if not self.steps:
            return start
        nodes = walk(self.steps, start, root, None)
        if len(nodes) == 1:
            return nodes[0][0]
        return Nodes([one for one, _ in nodes]) if nodes else NOTHING


class _Lone(_Found):
    """A path from the root: all of a path's text if nothing is done with it."""

    __slots__ = ()


def _binary(symbol: str, left: Callable, right: Callable) -> Callable:
    return lambda value, root: arithmetic(symbol, left(value, root), right(value, root))


def _positive(term):
    return term if type(term) is int or type(term) is float else NOTHING


def _holds(term) -> bool:
    """Whether a term alone makes a test true: it is there, and not false."""
    return term if type(term) is bool else bool(term) if type(term) is Results else term is not NOTHING


def _nesting(text: str) -> int:
    """The deepest nesting of brackets outside strings."""
    depth = deepest = 0
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|' r"'(?:[^'\\]|\\.)*'" r"|[(\[{]|[)\]}]", text, re.DOTALL):
        if token in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in ")]}":
            depth = max(0, depth - 1)
    return deepest
