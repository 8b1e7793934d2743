"""Where JSON documents have the arrays that VECTOR fields index."""
from collections.abc import Iterator

from respserver.protocol.errors import CommandError
from respserver.values.json import is_array

from ..json.path import Path


def path_of(text: bytes) -> Path:
    """The path of a field. `$name` is `$.name`, as in Redis."""
    return Path.of(b"$." + text[1:] if text[:1] == b"$" and text[1:2] not in (b"", b".", b"[", b"~") else text)


def arrays_at(root, path: bytes, dim: int) -> Iterator[tuple[tuple, object]]:
    """(location, array) of the arrays of `dim` elements that a field's path finds in a document, or that are the elements of
    one that it finds. What is in a file is not read."""
    try:
        nodes = path_of(path).nodes(root)
    except CommandError:                        # it finds far too many
        return
    for value, location in nodes:
        if type(value) is list and value and is_array(value[0]):
            for i, child in enumerate(value):
                if is_array(child) and len(child) == dim:
                    yield (*location, i), child
        elif is_array(value) and len(value) == dim:
            yield location, value
