"""search-_simulate-in-flex: a server that refuses what Redis Flex, whose indexes are on disk, does not have.

Programs that are meant for it can so be tried here. Nothing else changes: commands are wrapped when the server starts, and only
if it is asked for; without it none of this is in anybody's way."""
from collections.abc import Callable

from respserver.protocol.errors import CommandError
from respserver.registry import COMMANDS

from . import errors, tree, vector_options
from .aggregate_options import parse_aggregate
from .create_options import parse_create
from .query import parse_query
from .search import stopwords_of
from .search_options import parse_search

#: Most indexes.
MOST = 10
_REFUSED = ("FT.HYBRID", "FT.DICTADD", "FT.DICTDEL", "FT.DICTDUMP", "FT.ALTER", "FT._ALTERIFNX", "FT.CURSOR", "FT.SUGADD",
            "FT.SUGGET", "FT.SUGDEL", "FT.SUGLEN", "FT.DROP", "FT.ADD", "FT.SAFEADD", "FT.DEL", "FT.GET", "FT.MGET",
            "FT.TAGVALS", "FT.SPELLCHECK", "FT.SYNUPDATE", "FT.SYNDUMP", "FT.SYNADD")
_CREATE_WORDS = (b"NOOFFSETS", b"NOHL", b"NOFIELDS", b"NOFREQS", b"ASYNC", b"MAXTEXTFIELDS", b"TEMPORARY")
_SEARCH_WORDS = (("slop", "SLOP"), ("in_order", "INORDER"), ("highlight", "HIGHLIGHT"), ("summarize", "SUMMARIZE"))
_TYPES = ("FLOAT16", "FLOAT32")


def install(server) -> None:
    """Has the commands refuse what they should, if the server is asked for it. To be called once its settings are known."""
    if not server.config["search-_simulate-in-flex"]:
        return
    vector_options.is_on_disk = True
    for name in _REFUSED:
        if (command := COMMANDS.get(name.lower().encode())) is not None:
            command.function, command.arity = _refusing(name), -1
    for name, check in (("FT.CREATE", _check_create), ("FT.SEARCH", _check_search), ("FT.AGGREGATE", _check_aggregate),
                        ("FT.PROFILE", _check_profile), ("FT.DROPINDEX", _check_drop)):
        command = COMMANDS[name.lower().encode()]
        command.function = _checked(command.function, check)
    if not server.config["search-workers"]:
        server.config.set([("search-workers", "1")])


def _refusing(name: str) -> Callable:
    def refuse(client, *words):
        raise errors.fail(errors.FLEX_WITHOUT, name)
    return refuse


def _checked(function: Callable, check: Callable) -> Callable:
    def run(client, *words):
        check(client, *words)
        return function(client, *words)
    return run


def _check_create(client, name=b"", *words) -> None:
    if len(client.server.search.indexes) >= MOST:
        raise errors.fail(errors.FLEX_INDEXES, MOST)
    upper = [word.upper() for word in words]
    for word in upper[:upper.index(b"SCHEMA")] if b"SCHEMA" in upper else ():
        if word in _CREATE_WORDS:
            raise errors.fail(errors.FLEX_ARGUMENT, word)
    options = parse_create(words)
    for spec in options.fields:
        if spec.type in ("GEO", "GEOSHAPE"):
            raise errors.fail(errors.FLEX_TYPE, spec.type)
        for is_there, what in ((spec.sortable, "SORTABLE"), (spec.no_index, "NOINDEX"), (spec.index_missing, "INDEXMISSING")):
            if is_there:
                raise errors.fail(errors.FLEX_FIELD, what)
        if getattr(spec, "suffix_trie", False):
            raise errors.fail(errors.FLEX_WITHOUT, "WITHSUFFIXTRIE")
        if options.on == "JSON" and (b"*" in spec.path or b".." in spec.path):
            raise CommandError(errors.FLEX_JSON)
        if spec.type == "VECTOR" and spec.dtype not in _TYPES:
            raise errors.fail(errors.FLEX_VECTOR, spec.dtype)


def _check_search(client, name, text, *words) -> None:
    server = client.server
    index = server.search.find(name)
    options = parse_search(words, proto=client.proto, max_results=server.config["search-max-search-results"],
                           default_dialect=server.config["search-default-dialect"])
    for attribute, word in _SEARCH_WORDS:
        if getattr(options, attribute):
            raise errors.fail(errors.FLEX_WITHOUT, word)
    if options.slop is not None:
        raise errors.fail(errors.FLEX_WITHOUT, "SLOP")
    if options.dialect == 4:
        raise errors.fail(errors.FLEX_WITHOUT, "DIALECT 4")
    if options.with_count is False:
        raise errors.fail(errors.FLEX_WITHOUT, "WITHOUTCOUNT")
    root = parse_query(text, options.dialect, index.schema, **stopwords_of(index, options)).root
    _check_query(root)
    if options.sort_by is not None and options.sort_by in index.by_name:
        raise CommandError(errors.FLEX_SORT)


def _check_query(root) -> None:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if type(node) is tree.Knn and node.child is not None and type(node.child) is not tree.Wildcard:
            if not any(one.name.upper() == b"HYBRID_POLICY" for one in node.runtime):
                raise CommandError(errors.FLEX_POLICY)
        elif type(node) is tree.Tag:
            for value in node.values:
                if value.kind != "exact":
                    raise CommandError(errors.FLEX_TAG_PATTERN if value.kind == "wildcard" else errors.FLEX_TAG_AFFIX)
        waiting += [one for one in (*getattr(node, "children", ()), getattr(node, "child", None)) if one is not None]


def _check_aggregate(client, name, text, *words) -> None:
    config = client.server.config
    options = parse_aggregate(words, proto=client.proto, max_results=config["search-max-aggregate-results"],
                              max_offset=config["search-max-search-results"], default_dialect=config["search-default-dialect"])
    if options.cursor is not None:
        raise errors.fail(errors.FLEX_WITHOUT, "WITHCURSOR")


def _check_profile(client, name, kind, *words) -> None:
    if kind.upper() == b"HYBRID":
        raise errors.fail(errors.FLEX_WITHOUT, "FT.HYBRID")


def _check_drop(client, name, *words) -> None:
    if any(word.upper() == b"DD" for word in words):
        raise errors.fail(errors.FLEX_WITHOUT, "DD")
