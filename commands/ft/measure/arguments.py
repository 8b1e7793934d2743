"""What the commands that measure have in common before they begin: a vector field, and options by name."""
from collections.abc import Callable

from respserver.protocol.errors import CommandError

from .. import errors
from ..errors import fail
from ..fields import VectorField
from ..options import Words, keyword


def find_field(client, name: bytes, field_name: bytes):
    """The index and its vector field. Raises CommandError."""
    index = client.server.search.find(name)
    field = index.by_name.get(field_name)
    if field is None:
        raise CommandError(errors.NO_SUCH_FIELD)
    if type(field) is not VectorField:
        raise CommandError(errors.NOT_A_VECTOR_FIELD)
    return index, field


def read_options(cursor: Words, values: dict, read: Callable) -> dict:
    """`values` with what the words say instead: read(cursor, name) returns the value of a name. Raises CommandError for a name
    that `values` does not have."""
    values = dict(values)
    while cursor:
        word = cursor.next()
        name = keyword(word).decode("utf-8", "replace")
        if name not in values:
            raise fail(errors.MEASURE_ARGUMENT, word, ", ".join(values))
        values[name] = read(cursor, name)
    return values


def read_number(cursor: Words, name: str, low: int, high: int) -> int:
    """The value of an argument. Raises CommandError that says what is allowed."""
    try:
        return cursor.integer(name, low, high)
    except CommandError:
        raise fail(errors.MEASURE_VALUE, name, low, high) from None
