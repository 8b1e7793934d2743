"""FILTER of FT.CREATE: which of the documents with the right prefix an index takes in."""
from respserver.protocol.errors import CommandError

from .expr import Negation, Operation, compile_expression, parse, properties
from .values import is_true, to_number

_COMPARISONS = frozenset((b"==", b"!=", b"<", b"<=", b">", b">="))


class Rule:
    """A compiled FILTER expression over a document's fields and its key (@__key). Raises CommandError for a text that
    is not one."""

    __slots__ = ("_names", "_holds")

    def __init__(self, text: bytes):
        tree = parse(text)
        self._names = properties(tree)
        slots = {name: i for i, name in enumerate(self._names)}
        self._holds = _condition(tree, lambda name: slots.get(name, len(slots)))    # the last: what only a search has

    def accepts(self, key: bytes, value, schema: dict) -> bool:
        """Whether the index takes the document in.
        An expression that cannot be evaluated over it (a field is missing) does not."""
        row = []
        for name in self._names:
            if name == b"__key":
                row.append(key)
            else:
                spec = schema.get(name)
                row.append(value.get(name if spec is None else spec.path))
        row.append(None)
        try:
            return self._holds(row)
        except CommandError:
            return False


def _condition(tree, slot_of):
    """A function that says whether a row fulfils the tree. One side of || that cannot be evaluated is as good as false, and a
    text that is no number compares to no number."""
    if type(tree) is Negation:
        child = _condition(tree.child, slot_of)
        return lambda row: not child(row)
    if type(tree) is Operation and tree.sign in (b"||", b"&&"):
        left, right = _condition(tree.left, slot_of), _condition(tree.right, slot_of)
        if tree.sign == b"&&":
            return lambda row: left(row) and right(row)
        return lambda row: _surely(left, row) or right(row)
    evaluate = compile_expression(tree, slot_of)
    if type(tree) is Operation and tree.sign in _COMPARISONS:
        first, second = compile_expression(tree.left, slot_of), compile_expression(tree.right, slot_of)
        return lambda row: _are_comparable(first(row), second(row)) and is_true(evaluate(row))
    return lambda row: is_true(evaluate(row))


def _surely(condition, row: list) -> bool:
    try:
        return condition(row)
    except CommandError:
        return False


def _are_comparable(a, b) -> bool:
    if type(a) is float and type(b) is bytes:
        return to_number(b) is not None
    return type(b) is not float or type(a) is not bytes or to_number(a) is not None
