"""The search module's configuration: `search-*` directives for CONFIG, and the older names that FT.CONFIG knows them
by."""
import os
from dataclasses import dataclass

from respserver.config import DIRECTIVES, ConfigError, register
from respserver.directive import Directive
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import OK, Pairs, Simple
from respserver.registry import command

from . import errors

_UNLIMITED = 1 << 31


@dataclass(slots=True)
class Setting:
    """One row: its FT.CONFIG name, its directive, and what FT.CONFIG HELP says."""

    name: str
    directive: str
    kind: str
    default: object
    help: str
    least: int = 0
    most: int = _UNLIMITED
    choices: tuple[str, ...] = ()
    immutable: bool = False


def _rows():
    s = Setting
    yield s("EXTLOAD", "search-ext-load", "string", "",
            "Extension scoring and expansion modules to load: there are none", immutable=True)
    yield s("NOGC", "search-no-gc", "bool", False, "Whether the statistics of removed documents are kept for ever",
            immutable=True)
    yield s("MINPREFIX", "search-min-prefix", "int", 2, "Shortest prefix, suffix or infix that a query may search for",
            least=1)
    yield s("MINSTEMLEN", "search-min-stem-len", "int", 4, "Shortest word that is stemmed", least=2)
    yield s("MAXDOCTABLESIZE", "search-max-doctablesize", "int", 1000000,
            "Buckets of the document table: it grows by itself here", least=1, immutable=True)
    yield s("MAXSEARCHRESULTS", "search-max-search-results", "int", 1000000, "Most results that FT.SEARCH returns")
    yield s("MAXAGGREGATERESULTS", "search-max-aggregate-results", "int", _UNLIMITED,
            "Most results that FT.AGGREGATE returns")
    yield s("MAXEXPANSIONS", "search-max-prefix-expansions", "int", 200,
            "Most terms that a prefix, suffix, infix or pattern stands for", least=1)
    yield s("MAXPREFIXEXPANSIONS", "search-max-prefix-expansions", "int", 200,
            "Most terms that a prefix, suffix, infix or pattern stands for", least=1)
    yield s("TIMEOUT", "search-timeout", "int", 500, "Milliseconds that a query may take; 0: no limit")
    yield s("ON_TIMEOUT", "search-on-timeout", "enum", "return", "What a query does that takes too long",
            choices=("return", "fail", "return-strict"))
    yield s("WORKERS", "search-workers", "int", min(16, os.cpu_count() or 1),
            "Threads for searches; 0: all run on the loop thread", most=16)
    yield s("MIN_OPERATION_WORKERS", "search-min-operation-workers", "int", 4,
            "Threads while data are loaded: without effect here", most=16)
    yield s("TIERED_HNSW_BUFFER_LIMIT", "search-tiered-hnsw-buffer-limit", "int", 1024,
            "Vectors that may wait for the graph: without effect here")
    yield s("GCSCANSIZE", "search-gc-scan-size", "int", 100,
            "Items per step of garbage collection: without effect here", least=1)
    yield s("MIN_PHONETIC_TERM_LEN", "search-min-phonetic-term-len", "int", 3,
            "Shortest word that is matched by its sound", least=1)
    yield s("GC_POLICY", "search-gc-policy", "string", "fork", "How removed documents leave the indexes: at once, here",
            immutable=True)
    yield s("FORK_GC_RUN_INTERVAL", "search-fork-gc-run-interval", "int", 30,
            "Seconds between two rounds over the statistics of removed documents", least=1)
    yield s("FORK_GC_CLEAN_THRESHOLD", "search-fork-gc-clean-threshold", "int", 100,
            "Removed documents that make a round worth while")
    yield s("FORK_GC_RETRY_INTERVAL", "search-fork-gc-retry-interval", "int", 5,
            "Seconds until a failed round is tried again: none fails here", least=1)
    yield s("UNION_ITERATOR_HEAP", "search-union-iterator-heap", "int", 20, "Without effect here", least=1)
    yield s("CURSOR_MAX_IDLE", "search-cursor-max-idle", "int", 300000,
            "Milliseconds that a cursor lives without being read")
    yield s("INDEX_CURSOR_LIMIT", "search-index-cursor-limit", "int", 128, "Most cursors of one index")
    yield s("PARTIAL_INDEXED_DOCS", "search-partial-indexed-docs", "bool", False, "Without effect here", immutable=True)
    yield s("RAW_DOCID_ENCODING", "search-raw-docid-encoding", "bool", False, "Without effect here", immutable=True)
    yield s("DEFAULT_SCORER", "search-default-scorer", "string", "BM25STD", "The scorer of a query that names none")
    yield s("DEFAULT_DIALECT", "search-default-dialect", "int", 1, "The dialect of a query that names none", least=1,
            most=4)
    yield s("VSS_MAX_RESIZE", "search-vss-max-resize", "int", 0,
            "Bytes that one block of vectors may take; 0: a tenth of the memory")
    yield s("MULTI_TEXT_SLOP", "search-multi-text-slop", "int", 100, "Positions between two values of a field", least=1)
    yield s("_MAX_FOREGROUND_TIMEOUT_LIMIT", "search-_max-foreground-timeout-limit", "int", 60000,
            "Without effect here")
    yield s("RECALL_PROBE", "search-recall-probe", "int", 8,
            "Queries a minute that are checked against exact answers for FT.INFO's recall estimate; 0: none", most=256)
    yield s("RETRAIN", "search-retrain", "enum", "auto",
            "Whether a field whose new vectors are no longer like those it was trained on is trained again by itself",
            choices=("auto", "manual"))
    yield s("ENABLE_UNSTABLE_FEATURES", "search-enable-unstable-features", "bool", False, "Without effect here")


SETTINGS: dict[str, Setting] = {row.name: row for row in _rows()}

#: Where the original vectors of hashes live; Redis has no such thing, so FT.CONFIG does not know it.
ORIGINALS = "search-vector-originals"

#: What decides how a query is read: changes make prepared searches void.
PLAN_DIRECTIVES = ("search-default-dialect", "search-max-search-results", "search-timeout", "search-on-timeout",
                   "search-min-prefix",
                   "search-max-prefix-expansions")


def register_directives() -> None:
    """Adds the rows to the table of directives, once per process."""
    for row in SETTINGS.values():
        if row.directive not in DIRECTIVES:
            register(Directive(row.directive, row.kind, row.default, least=row.least, most=row.most,
                               choices=row.choices,
                               immutable=row.immutable, is_module=True))
    if ORIGINALS not in DIRECTIVES:
        register(Directive(ORIGINALS, "enum", "memory", choices=("memory", "disk"), is_module=True))


def _shown(config, row: Setting) -> str | None:
    if row.name == "EXTLOAD":
        return None
    if row.kind == "bool":
        return "true" if config[row.directive] else "false"
    if row.name == "MAXAGGREGATERESULTS" and config[row.directive] >= _UNLIMITED:
        return "unlimited"
    return str(config[row.directive])


def _named(word: bytes) -> list[Setting]:
    if word == b"*":
        return list(SETTINGS.values())
    row = SETTINGS.get(word.decode("utf-8", "replace").upper())
    return [row] if row is not None else []


@command("FT.CONFIG", arity=-3, group="search", since="1.0.0", flags="admin",
         summary="Reads, sets or explains configuration options", complexity="O(1)")
def ft_config(client, action, name, *values):
    config = client.server.config
    action = action.upper()
    if action == b"GET":
        rows = [(Simple(row.name), _shown(config, row)) for row in _named(name)]
        return Pairs(rows) if client.proto == 3 else [list(row) for row in rows]
    if action == b"HELP":
        rows = [(Simple(row.name), row) for row in _named(name)]
        if client.proto == 3:
            return Pairs([(label, Pairs([(Simple("Description"), Simple(row.help)),
                                         (Simple("Value"), _simple(_shown(config, row)))]))
                          for label, row in rows])
        return [[label, Simple("Description"), Simple(row.help), Simple("Value"), _simple(_shown(config, row))]
                for label, row in rows]
    if action == b"SET":
        return _set(client, name, values)
    raise errors.fail(errors.NO_SUCH_SUBCOMMAND)


def _simple(text: str | None):
    return None if text is None else Simple(text)


def _set(client, name: bytes, values):
    rows = _named(name)
    if len(rows) != 1:
        raise errors.fail(errors.NO_SUCH_CONFIG, name)
    row = rows[0]
    if row.immutable:
        raise CommandError(errors.NOT_MODIFIABLE)
    if row.name == "DEFAULT_SCORER":
        raise CommandError(errors.SCORER_UNSTABLE)
    if not values:
        raise CommandError(errors.CONFIG_VALUE.format(errors.TAIL_MISSING))
    text = values[0].decode("utf-8", "surrogateescape")
    if row.kind == "int":
        text = str(_integer(row, text))
    elif row.kind == "bool":
        if text.lower() not in ("true", "false", "yes", "no"):
            raise CommandError(errors.CONFIG_VALUE.format(errors.TAIL_CONVERT))
        text = "yes" if text.lower() in ("true", "yes") else "no"
    elif row.kind == "enum" and text.lower() not in row.choices:
        raise CommandError(errors.BAD_ON_TIMEOUT)
    try:
        client.server.config.set([(row.directive, text)])
    except ConfigError as error:
        raise CommandError(errors.CONFIG_VALUE.format(error.text)) from None
    return Simple("EXCESSARGS") if len(values) > 1 else OK


def _integer(row: Setting, text: str) -> int:
    if row.name.startswith("MAX") and text.lower() == "unlimited":
        return _UNLIMITED
    try:
        value = float(text)
        if value != int(value):
            raise ValueError
        value = int(value)
    except (ValueError, OverflowError):
        raise CommandError(errors.CONFIG_VALUE.format(errors.TAIL_CONVERT)) from None
    if row.name == "DEFAULT_DIALECT" and not 1 <= value <= 4:
        raise CommandError(errors.DIALECT_TOO_HIGH)
    if row.name == "MINSTEMLEN" and value < 2:
        raise CommandError(errors.STEM_TOO_SHORT)
    if not row.least <= value <= row.most:
        raise CommandError(errors.CONFIG_VALUE.format(errors.TAIL_BOUNDS))
    return value


@command("_FT.CONFIG", arity=-3, group="search", since="8.0.0", flags="admin", summary="The same as FT.CONFIG",
         complexity="O(1)")
def inner_config(client, *words):
    return ft_config(client, *words)
