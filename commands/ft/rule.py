"""FILTER of FT.CREATE: which of the documents with the right prefix an index takes in."""
from respserver.protocol.errors import CommandError

from .expr import compile_expression, parse, properties
from .values import is_true


class Rule:
    """A compiled FILTER expression over a document's fields and its key (@__key). Raises CommandError for a text that
    is not one."""

    __slots__ = ("_names", "_evaluate")

    def __init__(self, text: bytes):
        tree = parse(text)
        self._names = properties(tree)
        self._evaluate = compile_expression(tree, self._names.index)

    def accepts(self, key: bytes, value, schema: dict) -> bool:
        """Whether the index takes the document in. An expression that cannot be evaluated over it (a field is missing)
        does not."""
        row = []
        for name in self._names:
            if name == b"__key":
                row.append(key)
            else:
                spec = schema.get(name)
                row.append(value.get(name if spec is None else spec.path))
        try:
            return is_true(self._evaluate(row))
        except CommandError:
            return False
