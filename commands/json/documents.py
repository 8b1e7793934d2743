"""The JSON commands on values of any type: set, get, merge, delete, and what they are."""
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import OK, Pairs, Simple
from respserver.registry import command
from respserver.values.json import Json, copy, is_array, size

from ..arguments import wrong_arity
from . import errors
from .common import KEY, ROOT, find, is_too_deep, kind, opened, put, told
from .path import Path
from .steps import at, outermost, walk
from .text import dump, dump_pretty, parse

#: FPHA's types and their largest numbers.
_FLOATS = {b"BF16": 3.3895313892515355e38, b"FP16": 65504.0, b"FP32": 3.4028234663852886e38, b"FP64": float("inf")}


# ------------------------------------------------------------------------------------------------- writing

class _Target:
    """The places that a path means for writing. `names`: (location of an object, a name to add to it)."""

    __slots__ = ("locations", "names")

    def __init__(self, document: Json, path: Path, is_new: bool = True, is_there: bool = True, is_nested: bool = False):
        """`is_new`: a name that is not there may be added; `is_there`: what is there may be replaced; `is_nested`: also within
        another one. Raises CommandError for a path that cannot be written to."""
        self.names: list[tuple] = []
        self.locations: list[tuple] = []
        if is_there:
            self.locations = path.locations(document.root)
            if not is_nested:
                self.locations = outermost(self.locations)
        elif path.is_projection:
            raise CommandError(errors.READ_ONLY)
        if self.locations or not is_new:
            return
        if path.keys is None:
            raise CommandError(errors.NOT_STATIC)
        if not path.keys:
            raise CommandError(errors.NO_OBJECT_KEY)
        *_, last = path.keys
        if type(last) is int:
            if not path.locations(document.root):
                raise CommandError(errors.INDEX_RANGE)
            return
        self.names = [(location, last) for _, location in walk(path.steps[:-1], document.root, document.root, ())]

    def __bool__(self) -> bool:
        return bool(self.locations or self.names)

    def write(self, document: Json, value) -> tuple[list[tuple], bool]:
        """Puts the value, or copies of it, into all places. Returns the locations that have changed, and whether all have."""
        done = []
        for location in self.locations:
            if not is_too_deep(location, value) and put(document, location, copy(value) if done else value):
                done.append(location)
        for location, name in self.names:
            if self._add(document, location, name, copy(value) if done else value):
                done.append((*location, name))
        return done, len(done) == len(self.locations) + len(self.names)

    @staticmethod
    def _add(document: Json, location: tuple, name: str, value) -> bool:
        try:
            parent = at(document.root, location)
        except (KeyError, IndexError, TypeError):
            return False
        if type(parent) is not dict or name in parent or is_too_deep((*location, name), value):
            return False
        parent[name] = value
        return True


def _set_root(client, key: bytes, value, event: str) -> None:
    client.db.set(key, Json(value), event, keep_ttl=True)


def _check_format(word: bytes) -> None:
    if word == b"BSON":
        raise CommandError(errors.BSON)
    if word not in (b"STRING", b"JSON"):
        raise CommandError(errors.FORMAT)


def _check_range(value, largest: float) -> None:
    """Raises CommandError if an array has a number with a fraction that FPHA's type does not reach."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        children = one.values() if type(one) is dict else one if is_array(one) else ()
        for child in children:
            if type(child) is float and type(one) is not dict and abs(child) > largest:
                raise CommandError(errors.FPHA_RANGE)
            if type(child) is dict or is_array(child):
                waiting.append(child)


@command("JSON.SET", arity=-4, flags="write denyoom", keys=KEY, group="json", since="1.0.0", complexity="O(M+N)",
         summary="Sets the values at a path of a document, or makes the document.")
def json_set(client, key, path, text, *words):
    where = Path.of(path)
    only_new = only_there = False
    largest = None
    words = list(words)
    while words:
        word = words.pop(0).upper()
        if word == b"NX" and not only_there and not only_new:
            only_new = True
        elif word == b"XX" and not only_there and not only_new:
            only_there = True
        elif word == b"FORMAT":
            if not words:
                raise wrong_arity("json.set")
            _check_format(words.pop(0))
        elif word == b"FPHA":
            if not words:
                raise wrong_arity("json.set")
            largest = _FLOATS.get(words.pop(0).upper())
            if largest is None:
                raise CommandError(errors.FPHA)
        else:
            raise CommandError(errors.SYNTAX)
    document = find(client, key)
    value = parse(text)
    if largest is not None:
        _check_range(value, largest)
    if document is None:
        if only_there:
            return None
        if not where.is_root:
            raise CommandError(errors.NEW_AT_ROOT)
        _set_root(client, key, value, "json.set")
        return OK
    if where.is_root:
        if only_new:
            return None
        _set_root(client, key, value, "json.set")
        return OK
    target = _Target(document, where, is_new=not only_there, is_there=not only_new)
    if not target:
        return None
    done, is_all = target.write(document, value)
    if done:
        told(client, key, "json.set", document, done)
    return OK if is_all else None


@command("JSON.MSET", arity=-4, flags="write denyoom", keys=(1, -1, 3), group="json", since="2.6.0", complexity="O(K*(M+N))",
         summary="Sets values at paths of several documents.")
def json_mset(client, *words):
    if len(words) % 3:
        raise wrong_arity("json.mset")
    parsed = []
    for key, path, text in zip(words[::3], words[1::3], words[2::3]):
        document = find(client, key)
        where = Path.of(path)
        target = None
        if not where.is_root:
            if document is None:
                raise CommandError(errors.NEW_AT_ROOT)
            target = _Target(document, where)
        parsed.append((key, target, parse(text)))
    is_all = True
    for key, target, value in parsed:
        if target is None:
            _set_root(client, key, value, "json.mset")
            continue
        document = find(client, key)
        done, is_whole = target.write(document, value) if target else ([], False)
        if done:
            told(client, key, "json.mset", document, done)
        is_all &= is_whole
    return OK if is_all else None


def _merged(value, patch):
    """RFC 7396: the value with the patch put into it, in place where it is an object."""
    if type(patch) is not dict:
        return patch
    if type(value) is not dict:
        value = {}
    for name, change in patch.items():
        if change is None:
            value.pop(name, None)
        else:
            value[name] = _merged(value.get(name), change)
    return value


@command("JSON.MERGE", arity=-4, flags="write denyoom", keys=KEY, group="json", since="2.6.0", complexity="O(M+N)",
         summary="Merges a value into those at a path: names are added and replaced, or removed by null.")
def json_merge(client, key, path, text, *words):
    where = Path.of(path)
    words = list(words)
    while words:
        if words.pop(0).upper() != b"FORMAT":
            raise CommandError(errors.SYNTAX)
        if not words:
            raise wrong_arity("json.merge")
        _check_format(words.pop(0))
    document = find(client, key)
    patch = parse(text)
    if document is None:
        if not where.is_root:
            raise CommandError(errors.NEW_AT_ROOT)
        _set_root(client, key, patch, "json.merge")
        return OK
    target = _Target(document, where, is_nested=True)
    done = []
    for location in target.locations:
        try:
            value = at(document.root, location)
        except (KeyError, IndexError, TypeError):       # went with an earlier one
            continue
        if not is_too_deep(location, patch):
            put(document, location, _merged(value, copy(patch)))
            done.append(location)
    target.locations.clear()
    done += target.write(document, patch)[0]
    if not done:
        return None
    told(client, key, "json.merge", document, done)
    return OK


def _delete(client, key, path, *rest) -> int:
    document = find(client, key)
    if document is None:
        return 0
    where = Path.of(path)
    if where.is_root:
        client.db.delete(key, "json.del")
        return 1
    locations = outermost(where.locations(document.root))
    if not locations:
        return 0
    parents: dict[tuple, list] = {}
    for *way, last in locations:
        parents.setdefault(tuple(way), []).append(last)
    found = [(way, opened(document, way), keys) for way, keys in parents.items()]     # before anything moves
    for way, parent, keys in found:
        for one in sorted(keys, reverse=True):
            del parent[one]
    if (type(document.root) is dict or is_array(document.root)) and not document.root:
        client.db.delete(key, "json.del")
    else:
        told(client, key, "json.del", document, locations)
    return len(locations)


@command("JSON.DEL", arity=-2, flags="write", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Deletes the values at a path.")
def json_del(client, key, path=b".", *rest):
    return _delete(client, key, path)


@command("JSON.FORGET", arity=-2, flags="write", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Deletes the values at a path: the same as JSON.DEL.")
def json_forget(client, key, path=b".", *rest):
    return _delete(client, key, path)


# ------------------------------------------------------------------------------------------------- reading

def expanded(value, is_deep: bool):
    """A value for FORMAT EXPAND; for EXPAND1, where containers and strings are JSON texts, unless `is_deep`."""
    if value is None or type(value) in (bool, int, float):
        return value
    if not is_deep:
        return dump(value)
    if type(value) is dict:
        return Pairs([(name, expanded(child, True)) for name, child in value.items()])
    return value if type(value) is str else [expanded(child, True) for child in value]


class _GetOptions:
    __slots__ = ("paths", "indent", "newline", "space", "format")

    def __init__(self, words: list[bytes], proto: int):
        self.paths: list[Path] = []
        self.indent = self.newline = self.space = b""
        self.format = b"STRING"
        while words:
            given = words.pop(0)
            word = given.upper()
            if word == b"FORMAT":
                if proto != 3 and not self.paths:
                    raise CommandError(errors.FORMAT_RESP2)
                self.format = self._next(words).upper() if words else self._next(words)
                if self.format not in (b"STRING", b"EXPAND", b"EXPAND1"):
                    raise CommandError(errors.REPLY_FORMAT)
            elif word == b"INDENT":
                self.indent = self._next(words)
            elif word == b"NEWLINE":
                self.newline = self._next(words)
            elif word == b"SPACE":
                self.space = self._next(words)
            elif word != b"NOESCAPE":
                self.paths.append(Path.of(given))
        if not self.paths:
            self.paths.append(ROOT)

    @staticmethod
    def _next(words: list[bytes]) -> bytes:
        if not words:
            raise wrong_arity("json.get")
        return words.pop(0)

    def dump(self, value) -> bytes:
        if self.indent or self.newline or self.space:
            return dump_pretty(value, self.indent, self.newline, self.space)
        return dump(value)


def _legacy_value(path: Path, root):
    """What a legacy path stands for: the first value that it finds. Raises CommandError if there is none."""
    found = path.values(root)
    if path.is_projection:
        return found
    if not found:
        raise CommandError(errors.NO_PATH)
    return found[0]


@command("JSON.GET", arity=-2, flags="readonly", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Returns the values at one or more paths as JSON text.")
def json_get(client, key, *words):
    options = _GetOptions(list(words), client.proto)
    document = find(client, key)
    if document is None:
        return None
    root, paths = document.root, options.paths
    if client.proto == 3 and options.format != b"STRING":
        is_deep = options.format == b"EXPAND"
        return [[expanded(value, is_deep) for value in path.values(root)] for path in paths]
    is_legacy = all(path.is_legacy for path in paths)
    if len(paths) == 1:
        return options.dump(_legacy_value(paths[0], root) if is_legacy else paths[0].values(root))
    return options.dump({path.text: _legacy_value(path, root) if is_legacy else path.values(root) for path in paths})


@command("JSON.MGET", arity=-3, flags="readonly", keys=(1, -2, 1), group="json", since="1.0.0", complexity="O(M*N)",
         summary="Returns the values at a path of several documents as JSON texts.")
def json_mget(client, *words):
    *keys, path = words
    try:
        where = Path.of(path)
    except CommandError as error:
        if error.text == errors.NOT_UTF8:
            raise
        return [None] * len(keys)
    found = []
    for key in keys:
        document = client.db.get(key)
        if type(document) is not Json:
            found.append(None)
            continue
        values = where.values(document.root)
        if where.is_legacy and not where.is_projection:
            found.append(dump(values[0]) if values else None)
        else:
            found.append(dump(values))
    return found


def _types(client, key, path):
    document = find(client, key)
    if path.is_projection:
        raise CommandError(errors.READ_ONLY)
    if document is None:
        return None
    kinds = [kind(value) for value in path.values(document.root)]
    return (kinds[0] if kinds else None) if path.is_legacy else kinds


@command("JSON.TYPE", arity=-2, flags="readonly", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Tells the types of the values at a path.")
def json_type(client, key, path=b".", *rest):
    found = _types(client, key, Path.of(path))
    return [found] if client.proto == 3 else found


def _resp(value):
    """A value in JSON.RESP's form."""
    if type(value) is dict:
        return [Simple("{"), *[word for name, child in value.items() for word in (name, _resp(child))]]
    if is_array(value):
        return [Simple("["), *map(_resp, value)]
    return Simple("true" if value else "false") if type(value) is bool else value


@command("JSON.RESP", arity=-2, flags="readonly", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Returns the values at a path as RESP types.")
def json_resp(client, key, path=b".", *rest):
    where = Path.of(path)
    document = find(client, key)
    if document is None:
        return None
    if where.is_legacy and not where.is_projection:
        return _resp(_legacy_value(where, document.root))
    return list(map(_resp, where.values(document.root)))


@command("JSON.DEBUG", arity=-2, flags="readonly", get_keys=lambda words: words[2:3], group="json", since="1.0.0",
         complexity="O(N)", summary="Tells how much memory the values at a path take.")
def json_debug(client, subcommand, *words):
    subcommand = subcommand.upper()
    if subcommand == b"HELP":
        return ["MEMORY <key> [path] - reports memory usage", "HELP                - this message"]
    if subcommand != b"MEMORY":
        raise CommandError(errors.DEBUG_SUBCOMMAND)
    if not words:
        raise wrong_arity("json.debug")
    document = find(client, words[0])
    where = Path.of(words[1]) if len(words) > 1 else ROOT
    if where.is_projection:
        raise CommandError(errors.READ_ONLY)
    if where.is_legacy:
        return 0 if document is None else size(_legacy_value(where, document.root))
    return [] if document is None else list(map(size, where.values(document.root)))


# ------------------------------------------------------------------------------------------------- objects and all else

@command("JSON.OBJKEYS", arity=-2, flags="readonly", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Returns the names in the objects at a path.")
def json_objkeys(client, key, path=b".", *rest):
    where = Path.of(path)
    if where.is_projection:
        raise CommandError(errors.READ_ONLY)
    document = find(client, key)
    if document is None:
        if where.is_legacy:
            return None
        raise CommandError(errors.NO_KEY)
    values = where.values(document.root)
    if not where.is_legacy:
        return [list(value) if type(value) is dict else None for value in values]
    if values and type(values[0]) is not dict:
        raise CommandError(errors.NO_PATH_OR.format("not an object"))
    return list(values[0]) if values else None


@command("JSON.OBJLEN", arity=-2, flags="readonly", keys=KEY, group="json", since="1.0.0", complexity="O(N)",
         summary="Counts the names in the objects at a path.")
def json_objlen(client, key, path=b".", *rest):
    where = Path.of(path)
    if where.is_projection:
        raise CommandError(errors.READ_ONLY)
    document = find(client, key)
    if document is None:
        if where.is_legacy:
            return None
        raise CommandError(errors.NO_PATH_OR.format("not an object"))
    values = where.values(document.root)
    if not where.is_legacy:
        return [len(value) if type(value) is dict else None for value in values]
    if values and type(values[0]) is not dict:
        raise CommandError(errors.NOT_A.format("object"))
    return len(values[0]) if values else None


@command("JSON.CLEAR", arity=-2, flags="write", keys=KEY, group="json", since="2.0.0", complexity="O(N)",
         summary="Empties the arrays and objects at a path, and sets its numbers to 0.")
def json_clear(client, key, path=b".", *rest):
    if rest:
        raise wrong_arity("json.clear")
    document = find(client, key)
    if document is None:
        raise CommandError(errors.NO_KEY)
    cleared = outermost([location for value, location in Path.of(path).nodes(document.root)
                         if value and (type(value) in (dict, int, float) or is_array(value))])
    for location in cleared:
        value = at(document.root, location)
        put(document, location, {} if type(value) is dict else [] if is_array(value) else 0)
    if cleared:
        told(client, key, "json.clear", document, cleared)
    return len(cleared)
