"""Commands that make, change and name indexes: FT.CREATE, FT.ALTER, FT.DROPINDEX, FT._LIST, FT.ALIAS*, FT.TAGVALS."""
import os

import native
from respserver.deferred import Deferred
from respserver.protocol.errors import WRONG_ARITY, CommandError
from respserver.protocol.reply import OK, SetOf, Simple
from respserver.registry import command

from . import errors
from .create_options import parse_alter, parse_create
from .fields import TagField
from .index import NARROW


def _block_limit(server) -> int:
    """Bytes that one block of vectors may take: what FT.CREATE checks an element's size against."""
    limit = server.config["search-vss-max-resize"]
    if limit:
        return limit
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    maxmemory = server.config["maxmemory"]
    return (min(total, maxmemory) if maxmemory else total) // 10


def _wrong_arity(name: str) -> CommandError:
    return CommandError(WRONG_ARITY.format(name))


def _create(client, name: bytes, words: tuple) -> None:
    server = client.server
    if client.db.index != 0:
        raise CommandError(errors.WRONG_DB)
    if name in server.search.indexes:
        raise CommandError(errors.INDEX_EXISTS)
    options = parse_create(words, compressions=native.COMPRESSIONS, memory_limit=_block_limit(server))
    try:
        index = server.search.create(name, options)
    except native.NativeError as error:
        raise errors.fail(errors.ENGINE_REFUSED, error) from None
    index.definition.append([b"FT.CREATE", name, *words])
    for field in index.vector_fields:
        spec = field.spec
        server.log.info("Creating vector index of type %s: %s of index %s, %d dimensions of %s%s", spec.algorithm,
                        errors.show(field.name),
                        errors.show(name), spec.dim, spec.dtype, f", {spec.compression}" if spec.compression else "")


@command("FT.CREATE", arity=-2, group="search", since="1.0.0", flags="write denyoom",
         summary="Creates an index with the given spec",
         complexity="O(K) at creation where K is the number of fields; O(N) if scanning the keyspace is triggered")
def ft_create(client, name, *words):
    if len(words) < 3:
        raise _wrong_arity("FT.CREATE")
    _create(client, name, words)
    return OK


@command("FT._CREATEIFNX", arity=-5, group="search", since="2.0.0", flags="write denyoom",
         summary="FT.CREATE that is content with an index of that name", complexity="O(K)")
def ft_create_if_new(client, name, *words):
    if name not in client.server.search.indexes:
        _create(client, name, words)
    return OK


def _alter(client, name: bytes, words: tuple, is_quiet: bool) -> None:
    server = client.server
    index = server.search.find(name)
    if len(words) < 3:
        raise _wrong_arity("FT.ALTER")
    if is_quiet and len(words) > 2 and words[2] in index.schema:
        return
    options = parse_alter(words, existing=index.schema.values(), compressions=native.COMPRESSIONS,
                          memory_limit=_block_limit(server), json=index.source.is_json)
    n_texts = sum(spec.type == "TEXT" for spec in index.schema.values())
    if (not index.options.max_text_fields and n_texts <= NARROW
            and n_texts + sum(spec.type == "TEXT" for spec in options.fields) > NARROW):
        raise CommandError(errors.NARROW_SCHEMA)
    if not index.source.is_json:
        server.search.originals.prepare(options.fields)
    try:
        index.add_fields(options.fields)
    except native.NativeError as error:
        raise errors.fail(errors.ENGINE_REFUSED, error) from None
    index.definition.append([b"FT.ALTER", index.name, *words])
    server.search.originals.refresh()
    server.log.info("Successfully altered index %s", errors.show(index.name))
    if not options.skip_initial_scan:
        server.search.scan(index, [spec.path for spec in options.fields])


@command("FT.ALTER", arity=-2, group="search", since="1.0.0", flags="write denyoom",
         summary="Adds a new field to the index",
         complexity="O(N) where N is the number of keys in the keyspace")
def ft_alter(client, name, *words):
    _alter(client, name, words, False)
    return OK


@command("FT._ALTERIFNX", arity=-2, group="search", since="2.0.0", flags="write denyoom",
         summary="FT.ALTER that is content with a field that is there", complexity="O(N)")
def ft_alter_if_new(client, name, *words):
    _alter(client, name, words, True)
    return OK


def _drop(client, name: bytes, words: tuple, own_name: str, takes_keys: bool, word: bytes) -> Simple | Deferred:
    """`takes_keys`: whether the documents go too when `word` is not given; with it, it is the other way round. Where there are
    many the reply comes when all are gone: what the client writes to their keys afterwards stays."""
    server, manager = client.server, client.server.search
    index = manager.find(name)
    if len(words) > 1:
        raise _wrong_arity(own_name)
    if words:
        if words[0].upper() not in (word, b"_FORCE" + word):        # the longer form is of clusters and AOF files
            raise CommandError(errors.DROP_UNKNOWN)
        takes_keys = not takes_keys
    task = manager.drop(index, takes_keys, client.in_exec or server.dispatcher.loading)
    if task is None:
        return OK
    if server.journal is not None:              # now, for what comes meanwhile is logged behind it; the documents are as they go
        server.journal.add(server.keyspace.databases[0], [[b"FT.DROPINDEX", index.name]])
    reply = Deferred()
    task.on_done(lambda task: task.cancelled or reply.set_result(OK))
    return reply


@command("FT.DROPINDEX", arity=-2, group="search", since="2.0.0", flags="write", categories="write slow dangerous",
         summary="Deletes the index",
         complexity="O(1) or O(N) if documents are deleted")
def ft_dropindex(client, name, *words):
    return _drop(client, name, words, "FT.DROPINDEX", False, b"DD")


@command("FT._DROPINDEXIFX", arity=-2, group="search", since="2.0.0", flags="write", categories="write slow dangerous",
         summary="FT.DROPINDEX that is content if there is none", complexity="O(1)")
def ft_dropindex_if_there(client, name, *words):
    if client.server.search.get(name) is None:
        return OK
    return _drop(client, name, words, "FT._DROPINDEXIFX", False, b"DD")


@command("FT.DROP", arity=-2, group="search", since="1.0.0", flags="write", categories="write slow dangerous",
         summary="Deletes the index and, unless KEEPDOCS is given, its documents", complexity="O(N)")
def ft_drop(client, name, *words):
    return _drop(client, name, words, "FT.DROP", True, b"KEEPDOCS")


@command("FT._DROPIFX", arity=-2, group="search", since="2.0.0", flags="write", categories="write",
         summary="FT.DROP that is content if there is none", complexity="O(N)")
def ft_drop_if_there(client, name, *words):
    if client.server.search.get(name) is None:
        return OK
    return _drop(client, name, words, "FT._DROPIFX", True, b"KEEPDOCS")


@command("FT._LIST", arity=-1, group="search", since="2.0.0", flags="readonly admin", categories="slow admin",
         summary="Returns a list of all existing indexes", complexity="O(1)")
def ft_list(client, *words):
    if len(words) > 1:
        raise _wrong_arity("FT._LIST")
    return SetOf(Simple(errors.show(name)) for name in client.server.search.indexes)


# ------------------------------------------------------------------------------------------------------------- aliases

def _alias_target(manager, name: bytes):
    index = manager.indexes.get(name)
    if index is None:
        if name in manager.aliases:
            raise CommandError(errors.ALIAS_TARGET)
        raise errors.fail(errors.INDEX_NOT_FOUND, name)
    return index


@command("FT.ALIASADD", arity=-2, group="search", since="1.0.0", flags="write denyoom",
         summary="Adds an alias to the index", complexity="O(1)")
def ft_aliasadd(client, alias, *words):
    if len(words) != 1:
        raise _wrong_arity("FT.ALIASADD")
    manager = client.server.search
    index = _alias_target(manager, words[0])
    if alias in manager.indexes:
        raise CommandError(errors.ALIAS_CONFLICT)
    if alias in manager.aliases:
        raise CommandError(errors.ALIAS_EXISTS)
    manager.set_alias(alias, index)
    return OK


@command("FT._ALIASADDIFNX", arity=3, group="search", since="2.0.0", flags="write denyoom",
         summary="FT.ALIASADD that is content with an alias that is there", complexity="O(1)")
def ft_aliasadd_if_new(client, alias, name):
    if alias not in client.server.search.aliases:
        ft_aliasadd(client, alias, name)
    return OK


@command("FT.ALIASUPDATE", arity=3, group="search", since="1.0.0", flags="write denyoom",
         summary="Adds or updates an alias to the index", complexity="O(1)")
def ft_aliasupdate(client, alias, name):
    manager = client.server.search
    index = _alias_target(manager, name)
    if alias in manager.indexes:
        raise CommandError(errors.ALIAS_NOT_OF_INDEX)
    manager.set_alias(alias, index)
    return OK


@command("FT.ALIASDEL", arity=-2, group="search", since="1.0.0", flags="write",
         summary="Deletes an alias from the index", complexity="O(1)")
def ft_aliasdel(client, alias, *words):
    if words:
        raise _wrong_arity("FT.ALIASDEL")
    manager = client.server.search
    if alias not in manager.aliases:
        raise CommandError(errors.ALIAS_NOT_OF_INDEX if alias in manager.indexes else errors.ALIAS_MISSING)
    manager.set_alias(alias, None)
    return OK


@command("FT._ALIASDELIFX", arity=2, group="search", since="2.0.0", flags="write",
         summary="FT.ALIASDEL that is content if there is none", complexity="O(1)")
def ft_aliasdel_if_there(client, alias):
    client.server.search.set_alias(alias, None)
    return OK


@command("FT.ALIASLIST", arity=2, group="search", since="8.10.0", flags="readonly",
         summary="Lists the aliases of an index", complexity="O(N)")
def ft_aliaslist(client, name):
    index = client.server.search.indexes.get(name)
    if index is None:
        raise errors.fail(errors.INDEX_NOT_FOUND, name)     # not by an alias
    return SetOf(sorted(index.aliases))


@command("FT.TAGVALS", arity=-3, group="search", since="1.0.0", flags="readonly", categories="read slow dangerous",
         summary="Returns the distinct tags indexed in a Tag field", complexity="O(N)")
def ft_tagvals(client, name, field_name, *words):
    index = client.server.search.find(name)
    if words:
        raise _wrong_arity("FT.TAGVALS")
    field = index.by_name.get(field_name)
    if field is None:
        raise CommandError(errors.NO_SUCH_FIELD)
    if type(field) is not TagField:
        raise CommandError(errors.NOT_A_TAG_FIELD)
    return SetOf(sorted(field.postings))
