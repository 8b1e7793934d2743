"""Where an index reads the values of its fields: hashes, or JSON documents.

The rest of the search module sees a document as something with a hash's `get`, `many`, `items` and `in`. A Hash is that itself; a
JSON document is looked at through a JsonView."""
from respserver.protocol.errors import CommandError
from respserver.values.hash import Hash
from respserver.values.json import Filed, Json, is_array, numbers_of
from respserver.values.slots import store_of

from ..json.path import Path
from ..json.text import dump
from . import errors, tree, vector_options
from .fields.base import FieldError
from .fields.json_values import numbers, texts, vector, vectors
from .json_arrays import path_of
from .values import NULL, Several, number_text


class HashSource:
    """Fields are fields of a hash."""

    is_json = False
    kind = Hash

    @staticmethod
    def view(value: Hash) -> Hash:
        """What docs.values holds for a document."""
        return value

    @staticmethod
    def read(value: Hash, field):
        """The raw value of a field, None if it is not there. Raises CommandError for one that is damaged on disk."""
        return value.get(field.path)

    @staticmethod
    def parse(field, raw):
        """It in the form that the field's `put` takes. Raises FieldError."""
        return field.parse(raw)

    @staticmethod
    def is_touched(field, changed) -> bool:
        """Whether a change in these places (Change.fields) may have changed the field."""
        return field.path in changed

    @staticmethod
    def previous(field, old, changed):
        """The raw value before the change, or None."""
        if changed is not None:
            return changed.get(field.path)
        return old.previous(field.path) if old is not None else None

    @staticmethod
    def texts(value: Hash) -> Hash:
        """What gives the text of TEXT fields by `get`."""
        return value


def text_of_json(value) -> bytes | None:
    """A JSON value as rows show it: strings and numbers plainly, containers as JSON text; None for null."""
    if type(value) is str:
        return value.encode()
    if type(value) is int or type(value) is float or type(value) is bool:
        return number_text(float(value))
    return None if value is None else dump(value)


def loaded(value):
    """A JSON value as rows of an aggregation hold it."""
    if type(value) is int or type(value) is float or type(value) is bool:
        return float(value)
    return NULL if value is None else text_of_json(value)


class JsonView:
    """A JSON document with the look of a hash. The names of its fields are JSONPaths; of several values the first counts."""

    __slots__ = ("document",)

    def __init__(self, document: Json):
        self.document = document

    def found(self, path: bytes) -> list:
        """All values at a path; nothing for what is no path."""
        if path[:1] != b"$":
            return []
        try:
            return path_of(path).values(self.document.root)
        except CommandError:
            return []

    def get(self, path: bytes) -> bytes | None:
        """The value at a path as text, or None."""
        values = self.found(path)
        return text_of_json(values[0]) if values else None

    def many(self, paths) -> list[bytes | None]:
        """Likewise for several paths."""
        return [self.get(path) for path in paths]

    def load(self, path: bytes):
        """The value at a path as rows of an aggregation hold it: a number is one, null is NULL; None: there is none."""
        values = self.found(path)
        return loaded(values[0]) if values else None

    def items(self):
        """The whole document under its one name."""
        return ((b"$", dump(self.document.root)),)

    load_items = items

    def __contains__(self, path: bytes) -> bool:
        return bool(self.found(path))

    @property
    def whole(self) -> "WholeView":
        """The view of it in which all values at a path count."""
        return WholeView(self.document)


class WholeView(JsonView):
    """A document as dialects from 3 on show it: a path stands for the array of all values that it finds."""

    __slots__ = ()

    def get(self, path: bytes) -> bytes | None:
        values = self.found(path)
        return dump(values) if values else None

    def load(self, path: bytes):
        values = self.found(path)
        return Several(values, loaded(values[0]), dump(values)) if values else None

    def items(self):
        return ((b"$", dump([self.document.root])),)

    def load_items(self):
        """The whole document as `load` gives values."""
        root = self.document.root
        return ((b"$", Several([root], loaded(root), dump([root]))),)


class _Texts:
    """The text of each TEXT field of a document."""

    __slots__ = ("view",)

    def __init__(self, view: JsonView):
        self.view = view

    def get(self, path: bytes) -> bytes | list[bytes] | None:
        values = self.view.found(path)
        if len(values) == 1 and is_array(values[0]):
            values = values[0] if type(values[0]) is list else ()       # other arrays have no text
        found = [value.encode() for value in values if type(value) is str]
        return found if len(found) > 1 else found[0] if found else None


class JsonSource:
    """Fields are what paths find in a JSON document."""

    is_json = True
    kind = Json

    @staticmethod
    def is_ordered(field) -> bool:
        """Whether the values of a field have a certain order: its path finds one value at most, or one array."""
        return path_of(field.path).keys is not None

    @staticmethod
    def view(value: Json) -> JsonView:
        """What docs.values holds for a document."""
        return JsonView(value)

    @staticmethod
    def read(view: JsonView, field) -> list | None:
        """All values at a field's path; None if there is none, or only a null."""
        values = view.found(field.path)
        return values if values and (len(values) > 1 or values[0] is not None) else None

    @staticmethod
    def parse(field, values: list):
        """They in the form that the field's `put` takes; None if nothing but nulls is among them. Raises FieldError."""
        kind = field.type_name
        if not field.has_arrays and is_array(values[0]):
            if vector_options.is_on_disk and kind != "VECTOR":
                raise FieldError(errors.FLEX_JSON_ARRAY)
            field.has_arrays = True
        try:
            if kind == "VECTOR":
                found = vectors(values, field.spec)
                return None if not found else found if field.spec.is_multi else found[0]
            if kind == "NUMERIC":
                return tuple(numbers(values)) or None
            found = texts(values, takes_boolean=kind == "TAG", takes_array=kind != "GEOSHAPE")
        except CommandError as error:               # damaged on disk
            raise FieldError(error.text) from None
        return field.parse_texts(found) if found else None

    @staticmethod
    def is_touched(field, changed) -> bool:
        """Whether a change in these places (locations in the document, or paths of fields) may have changed the field."""
        if field.path in changed:
            return True
        keys = path_of(field.path).keys
        if keys is None:
            return True
        for location in changed:
            if type(location) is bytes:
                continue
            for a, b in zip(keys, location):
                if a != b and not (type(a) is int and a < 0):
                    break
            else:
                return True
        return False

    @staticmethod
    def previous(field, old: JsonView | None, changed):
        """All values before the change; None where that is not known."""
        return None if old is None or changed is not None else JsonSource.read(old, field)

    @staticmethod
    def texts(view: JsonView) -> _Texts:
        """What gives the text of TEXT fields by `get`."""
        return _Texts(view)


def source_of(options):
    """The source of an index with these options (CreateOptions)."""
    return JsonSource if options.on == "JSON" else HashSource


def prepare_json(name: bytes, specs) -> None:
    """Settles what ON JSON means for fields to come. Raises CommandError for a path that is not one."""
    for spec in specs:
        try:
            path = path_of(spec.path) if spec.path[:1] in b"$." else Path.of(b"$." + spec.path)
            if path.is_projection:
                raise CommandError("it computes")
        except CommandError:
            raise errors.fail(errors.JSON_PATH, spec.path, spec.name, name) from None
        if spec.type == "VECTOR":
            spec.is_multi = path.keys is None


def check_order(index, options, root) -> None:
    """Raises CommandError for a query that asks where words stand in fields whose values have no certain order."""
    is_asked = options.in_order or (options.slop is not None and options.slop >= 0)
    waiting = [root]
    while waiting:
        node = waiting.pop()
        attributes = node.attributes
        if isinstance(node, (tree.And, tree.Phrase)) and (
                is_asked or attributes is not None and (attributes.inorder is not None or (attributes.slop or -1) >= 0)):
            for name in index.unordered:
                fields = _fields_of(node)
                if fields is None or name in fields:
                    raise errors.fail(errors.UNORDERED, name)
        waiting += getattr(node, "children", ())
        if getattr(node, "child", None) is not None:
            waiting.append(node.child)


def _fields_of(node) -> set[bytes] | None:
    """The TEXT fields that a node of a query asks; None: all."""
    found: set[bytes] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (tree.Term, tree.Phrase, tree.Affix, tree.Fuzzy, tree.Pattern)):
            if one.fields is None:
                return None
            found.update(one.fields)
        waiting += getattr(one, "children", ())
        if getattr(one, "child", None) is not None:
            waiting.append(one.child)
    return found


def json_blobs(views: list, spec, rows) -> list[list[bytes]]:
    """The vectors that the documents of rows have for a field; none where the document or what was indexed is gone. `views`: row
    -> JsonView or None."""
    found = []
    for row in rows:
        view = views[row] if row < len(views) else None
        values = view.found(spec.path) if view is not None else ()
        try:
            found.append(vectors(values, spec) if values and (len(values) > 1 or values[0] is not None) else [])
        except (FieldError, CommandError):
            found.append([])
    return found


#: Type of a field -> the form of numbers in a file whose bytes are the vector's.
_SAME = {"FLOAT32": "f", "FLOAT64": "d", "INT8": "b", "UINT8": "B"}


def held_json(views: list, spec, rows) -> tuple[list[bytes | None], list[int]]:
    """As originals.held, for a field whose documents have one vector at most: the vectors of rows, or Refs of slots that hold
    just them, and where the latter are. What is in files in another form is read in one batch for each file."""
    found: list[bytes | None] = []
    refs: list[int] = []
    others: dict[tuple, list[tuple[int, Filed]]] = {}
    same = _SAME.get(spec.dtype)
    for i, row in enumerate(rows):
        view = views[row] if row < len(views) else None
        values = view.found(spec.path) if view is not None else ()
        if len(values) == 1 and type(values[0]) is Filed:
            one = values[0]
            is_whole = len(one) == spec.dim
            found.append(one.ref if is_whole and one.code == same else None)
            if found[i] is not None:
                refs.append(i)
            elif is_whole:
                others.setdefault((one.code, one.ref[0]), []).append((i, one))
            continue
        try:
            vectors_ = vectors(values, spec) if values and (len(values) > 1 or values[0] is not None) else ()
            found.append(vectors_[0] if len(vectors_) == 1 else None)
        except FieldError:
            found.append(None)
    for (code, _), some in others.items():
        for (i, _), text in zip(some, store_of(some[0][1].ref).read_many([one.ref for _, one in some])):
            try:
                found[i] = None if text is None else vector(numbers_of(code, text), spec)
            except FieldError:
                continue
    return found, refs
