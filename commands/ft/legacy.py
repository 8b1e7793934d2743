"""The commands of the time when indexes had documents of their own: FT.ADD (and FT.SAFEADD), FT.GET, FT.MGET, FT.DEL.
They write and read hashes."""
from dataclasses import dataclass

from respserver.protocol.errors import WRONG_ARITY, CommandError
from respserver.protocol.reply import OK, Simple
from respserver.registry import command
from respserver.values.hash import Hash

from . import errors
from .create_options import LANGUAGES
from .expr import compile_expression, parse, properties
from .index import ATTRIBUTE_FIELDS
from .options import Words
from .values import is_true

_SCORE, _LANGUAGE, _PAYLOAD = ATTRIBUTE_FIELDS
_NOT_ADDED = Simple("NOADD")


@dataclass(slots=True)
class _Addition:
    """FT.ADD's document. While it is indexed, `Index.added` is this: its score, language and payload hold whatever fields the
    index reads them from."""

    score: bytes
    replaces: bool = False
    is_partial: bool = False
    no_create: bool = False
    language: bytes | None = None
    payload: bytes | None = None
    condition: bytes | None = None
    pairs: tuple = ()


def _parse(score: bytes, words: tuple) -> _Addition:
    """The words of FT.ADD after the key. Raises CommandError."""
    try:
        number = float(score)
    except ValueError:
        raise CommandError(errors.DOCUMENT_SCORE) from None
    if not 0 <= number <= 1:
        raise CommandError(errors.DOCUMENT_SCORE_RANGE)
    wanted = _Addition(score)
    cursor = Words(words)
    while cursor:
        word = cursor.next()
        keyword = word.upper()
        if keyword == b"FIELDS":
            wanted.pairs = tuple(cursor.rest())
            if len(wanted.pairs) % 2:
                raise CommandError(errors.DOCUMENT_PAIRS)
            return wanted
        if keyword == b"REPLACE":
            wanted.replaces = True
        elif keyword == b"PARTIAL":
            wanted.is_partial = True
        elif keyword == b"NOCREATE":
            wanted.no_create = True
        elif keyword == b"LANGUAGE":
            wanted.language = cursor.word("LANGUAGE")
            if wanted.language.decode("utf-8", "replace").lower() not in LANGUAGES:
                raise errors.fail(errors.DOCUMENT_LANGUAGE, wanted.language)
        elif keyword == b"PAYLOAD":
            wanted.payload = cursor.word("PAYLOAD")
        elif keyword == b"IF":
            wanted.condition = cursor.word("IF")
        elif keyword != b"NOSAVE":
            raise errors.fail(errors.DOCUMENT_WORD, word)
    raise CommandError(errors.DOCUMENT_NO_FIELDS)


def _holds(index, condition: bytes, value: Hash) -> bool:
    """Whether an expression is true of a document. A value that is not there makes it false. Raises CommandError for one that
    cannot be read, or whose functions refuse what they get."""
    tree = parse(condition)
    names = properties(tree)
    for name in names:
        if name not in index.schema:
            raise errors.fail(errors.EXPR_PROPERTY, name)
    slots = {name: slot for slot, name in enumerate(names)}
    evaluate = compile_expression(tree, lambda name: slots.get(name, len(slots)))     # the last: what only a search has
    missing = errors.EXPR_NO_VALUE.split("{")[0]
    try:
        return is_true(evaluate([*(value.get(index.schema[name].path) for name in names), None]))
    except CommandError as error:
        if error.text.startswith(missing):
            return False
        raise


@command("FT.ADD", arity=-4, group="search", since="1.0.0", flags="write denyoom", categories="write",
         summary="Stores a document as a hash that the index takes in: HSET does, too", complexity="O(N) for N fields")
def ft_add(client, name, key, score, *words):
    index = client.server.search.find(name)
    wanted = _parse(score, words)
    db = client.db
    value = db.get(key)
    if type(value) is not Hash and value is not None:
        raise CommandError(errors.DOCUMENT_KEY_TYPE)
    if value is None:
        if wanted.no_create:
            raise CommandError(errors.DOCUMENT_MISSING)
    else:
        if not wanted.replaces:
            raise CommandError(errors.DOCUMENT_EXISTS)
        if wanted.condition is not None and not _holds(index, wanted.condition, value):
            return _NOT_ADDED
    pairs = wanted.pairs + (index.options.score_field or _SCORE, wanted.score)
    if wanted.language is not None:
        pairs += (index.options.language_field or _LANGUAGE, wanted.language)
    if wanted.payload is not None:
        pairs += (index.options.payload_field or _PAYLOAD, wanted.payload)
    place = db.keyspace.place
    if place is not None:
        pairs = place(db, key, pairs)
    index.added = wanted
    try:
        if value is not None and wanted.is_partial:
            db.changed(key, "hset", value, value, value.update_flat(pairs))
        else:
            db.set(key, Hash.from_flat(pairs), "hset")
    finally:
        index.added = None
    return OK


@command("FT.SAFEADD", arity=-4, group="search", since="1.0.0", flags="write denyoom", categories="write",
         summary="The same as FT.ADD", complexity="O(N) for N fields")
def ft_safe_add(client, *words):
    return ft_add(client, *words)


def _stored(client, index, key: bytes) -> list | None:
    """The pairs of a document that the index has, without what FT.ADD put beside them."""
    if key not in index.docs:
        return None
    value = client.db.get(key)
    if type(value) is not Hash:
        return None
    hidden = index.hidden
    return [word for pair in value.items() if pair[0] not in hidden for word in pair]


@command("FT.GET", arity=3, group="search", since="1.0.0", flags="readonly", categories="read",
         summary="Returns a document of an index",
         complexity="O(N) for N fields")
def ft_get(client, name, key):
    return _stored(client, client.server.search.find(name), key)


@command("FT.MGET", arity=-3, group="search", since="1.0.0", flags="readonly", categories="read",
         summary="Returns several documents of an index",
         complexity="O(N) for N fields")
def ft_mget(client, name, *keys):
    index = client.server.search.find(name)
    return [_stored(client, index, key) for key in keys]


@command("FT.DEL", arity=-3, group="search", since="1.0.0", flags="write", categories="write",
         summary="Deletes a document of an index, and its hash",
         complexity="O(1)")
def ft_del(client, name, key, *words):
    index = client.server.search.find(name)
    if len(words) > 1:
        raise CommandError(WRONG_ARITY.format("FT.DEL"))
    if key not in index.docs:
        return 0
    client.db.delete(key)
    return 1
