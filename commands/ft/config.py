"""The search module's configuration: `search-*` directives for CONFIG, and the older names that FT.CONFIG knows them by."""
import os
from collections.abc import Callable
from dataclasses import dataclass

from respserver.config import DIRECTIVES, ConfigError, register
from respserver.directive import Directive
from respserver.protocol.errors import UNKNOWN_SUBCOMMAND, WRONG_ARITY, CommandError
from respserver.protocol.reply import OK, Pairs, Simple
from respserver.registry import command

from . import errors, vector_options
from .search_options import SCORERS

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
    check: Callable | None = None       # see Directive


_WITHOUT_EFFECT = "Without effect here"
_INT64 = (1 << 63) - 1
_UINT32 = (1 << 32) - 1


def _clamp(value: int) -> int:
    """More than 32 bits were possible before Redis 8.8: old files may have it."""
    return min(value, _UINT32)


def _workers(value: int) -> int:
    """Redis Flex has at least one."""
    return max(value, int(vector_options.is_on_disk))


def _rows():
    s = Setting
    yield s("EXTLOAD", "search-ext-load", "string", "",
            "Extension scoring and expansion modules to load: there are none", immutable=True)
    yield s("NOGC", "search-no-gc", "bool", False, "Whether the statistics of removed documents are kept for ever",
            immutable=True)
    yield s("MINPREFIX", "search-min-prefix", "int", 2, "Shortest prefix, suffix or infix that a query may search for",
            least=1, most=_INT64, check=_clamp)
    yield s("MINSTEMLEN", "search-min-stem-len", "int", 4, "Shortest word that is stemmed", least=2, most=_UINT32)
    yield s("FORKGC_SLEEP_BEFORE_EXIT", "search-fork-gc-sleep-before-exit", "int", 0, _WITHOUT_EFFECT, most=_INT64)
    yield s("MAXDOCTABLESIZE", "search-max-doctablesize", "int", 1000000,
            "Buckets of the document table: it grows by itself here", least=1, most=100000000, immutable=True)
    yield s("MAXSEARCHRESULTS", "search-max-search-results", "int", 1000000, "Most results that FT.SEARCH returns")
    yield s("MAXAGGREGATERESULTS", "search-max-aggregate-results", "int", _UNLIMITED,
            "Most results that FT.AGGREGATE returns")
    yield s("MAXEXPANSIONS", "search-max-prefix-expansions", "int", 200,
            "Most terms that a prefix, suffix, infix or pattern stands for", least=1, most=_INT64, check=_clamp)
    yield s("MAXPREFIXEXPANSIONS", "search-max-prefix-expansions", "int", 200,
            "Most terms that a prefix, suffix, infix or pattern stands for", least=1, most=_INT64, check=_clamp)
    yield s("TIMEOUT", "search-timeout", "int", 500, "Milliseconds that a query may take; 0: no limit", most=_INT64)
    yield s("ON_TIMEOUT", "search-on-timeout", "enum", "return", "What a query does that takes too long",
            choices=("return", "fail", "return-strict"))
    yield s("ON_OOM", "search-on-oom", "enum", "return", "What a query does while maxmemory is exceeded",
            choices=("ignore", "return", "fail"))
    yield s("WORKERS", "search-workers", "int", min(16, os.cpu_count() or 1),
            "Threads for searches; 0: all run on the loop thread", most=16, check=_workers)
    yield s("MIN_OPERATION_WORKERS", "search-min-operation-workers", "int", 4,
            "Threads while data are loaded: without effect here", most=16)
    yield s("WORKER_THREADS", "", "", "", "The old name of WORKERS", immutable=True)
    yield s("MT_MODE", "", "", "", "The time of WORKERS: they are always there", immutable=True)
    yield s("TIERED_HNSW_BUFFER_LIMIT", "search-tiered-hnsw-buffer-limit", "int", 1024,
            "Vectors that may wait for the graph: without effect here", most=_INT64, immutable=True)
    yield s("PRIVILEGED_THREADS_NUM", "search-workers-priority-bias-threshold", "int", 1, _WITHOUT_EFFECT, most=_INT64,
            immutable=True)
    yield s("WORKERS_PRIORITY_BIAS_THRESHOLD", "search-workers-priority-bias-threshold", "int", 1, _WITHOUT_EFFECT,
            most=_INT64, immutable=True)
    yield s("FRISOINI", "search-friso-ini", "string", "", "Where to find a Chinese dictionary: without effect here",
            immutable=True)
    yield s("GCSCANSIZE", "search-gc-scan-size", "int", 100,
            "Items per step of garbage collection: without effect here", least=1, most=_INT64)
    yield s("MIN_PHONETIC_TERM_LEN", "search-min-phonetic-term-len", "int", 3,
            "Shortest word that is matched by its sound", least=1, most=_INT64)
    yield s("GC_POLICY", "search-gc-policy", "string", "fork", "How removed documents leave the indexes: at once, here",
            immutable=True)
    yield s("FORK_GC_RUN_INTERVAL", "search-fork-gc-run-interval", "int", 30,
            "Seconds between two rounds over the statistics of removed documents", least=1, most=_INT64)
    yield s("FORK_GC_CLEAN_THRESHOLD", "search-fork-gc-clean-threshold", "int", 100,
            "Removed documents that make a round worth while", most=_INT64)
    yield s("FORK_GC_RETRY_INTERVAL", "search-fork-gc-retry-interval", "int", 5,
            "Seconds until a failed round is tried again: none fails here", least=1, most=_INT64)
    yield s("FORK_GC_CLEAN_NUMERIC_EMPTY_NODES", "search-_fork-gc-clean-numeric-empty-nodes", "bool", True, _WITHOUT_EFFECT)
    yield s("_FORK_GC_CLEAN_NUMERIC_EMPTY_NODES", "search-_fork-gc-clean-numeric-empty-nodes", "bool", True, _WITHOUT_EFFECT)
    yield s("UNION_ITERATOR_HEAP", "search-union-iterator-heap", "int", 20, _WITHOUT_EFFECT, least=1, most=_INT64,
            check=_clamp)
    yield s("CURSOR_MAX_IDLE", "search-cursor-max-idle", "int", 300000,
            "Milliseconds that a cursor lives without being read", most=_INT64)
    yield s("INDEX_CURSOR_LIMIT", "search-index-cursor-limit", "int", 128, "Most cursors of one index", most=_INT64)
    yield s("NO_MEM_POOLS", "search-no-mem-pools", "bool", False, _WITHOUT_EFFECT, immutable=True)
    yield s("PARTIAL_INDEXED_DOCS", "search-partial-indexed-docs", "bool", False, _WITHOUT_EFFECT, immutable=True)
    yield s("UPGRADE_INDEX", "", "", "", "Upgrades indexes of versions before 2.0: there are none here", immutable=True)
    yield s("_NUMERIC_COMPRESS", "search-_numeric-compress", "bool", False, _WITHOUT_EFFECT)
    yield s("_NUMERIC_RANGES_PARENTS", "search-_numeric-ranges-parents", "int", 0, _WITHOUT_EFFECT, most=2)
    yield s("RAW_DOCID_ENCODING", "search-raw-docid-encoding", "bool", False, _WITHOUT_EFFECT, immutable=True)
    yield s("_FREE_RESOURCE_ON_THREAD", "search-_free-resource-on-thread", "bool", True, _WITHOUT_EFFECT)
    yield s("_PRINT_PROFILE_CLOCK", "search-_print-profile-clock", "bool", True, "Whether FT.PROFILE shows times")
    yield s("_PRIORITIZE_INTERSECT_UNION_CHILDREN", "search-_prioritize-intersect-union-children", "bool", False,
            "Whether an intersection looks at a union as if it were as often there as its parts are many")
    yield s("BG_INDEX_SLEEP_GAP", "search-bg-index-sleep-gap", "int", 100, _WITHOUT_EFFECT, least=1, most=_UINT32,
            immutable=True)
    yield s("BG_INDEX_SLEEP_DURATION_US", "search-bg-index-sleep-duration-us", "int", 1, _WITHOUT_EFFECT, least=1, most=999999)
    yield s("_BG_INDEX_MEM_PCT_THR", "search-_bg-index-mem-pct-thr", "int", 100, _WITHOUT_EFFECT, most=100)
    yield s("_BG_INDEX_OOM_PAUSE_TIME", "search-_bg-index-oom-pause-time", "int", 0, _WITHOUT_EFFECT, most=_UINT32)
    yield s("INDEXER_YIELD_EVERY_OPS", "search-indexer-yield-every-ops", "int", 1000, _WITHOUT_EFFECT, least=1, most=_UINT32)
    yield s("_MIN_TRIM_DELAY_MS", "search-_min-trim-delay-ms", "int", 2000, _WITHOUT_EFFECT, least=1, most=_UINT32)
    yield s("_MAX_TRIM_DELAY_MS", "search-_max-trim-delay-ms", "int", 5000, _WITHOUT_EFFECT, least=1, most=_UINT32)
    yield s("_TRIMMING_STATE_CHECK_DELAY_MS", "search-_trimming-state-check-delay-ms", "int", 100, _WITHOUT_EFFECT, least=1,
            most=_UINT32)
    yield s("BM25STD_TANH_FACTOR", "search-bm25std-tanh-factor", "int", 4,
            "What the scorer BM25STD.TANH divides scores by", least=1, most=10000)
    yield s("PARTITIONS", "", "", "", _WITHOUT_EFFECT, immutable=True)
    yield s("OSS_GLOBAL_PASSWORD", "", "", "", _WITHOUT_EFFECT, immutable=True)
    yield s("CONN_PER_SHARD", "search-conn-per-shard", "int", 0, _WITHOUT_EFFECT, most=_UINT32)
    yield s("CURSOR_REPLY_THRESHOLD", "search-cursor-reply-threshold", "int", 1, _WITHOUT_EFFECT, least=1, most=_INT64)
    yield s("SEARCH_THREADS", "search-threads", "int", 20, _WITHOUT_EFFECT, least=1, most=_INT64, immutable=True)
    yield s("SEARCH_IO_THREADS", "search-io-threads", "int", 1, _WITHOUT_EFFECT, least=1, most=256, immutable=True)
    yield s("TOPOLOGY_VALIDATION_TIMEOUT", "search-topology-validation-timeout", "int", 30000, _WITHOUT_EFFECT, most=_INT64)
    yield s("CONNECT_TIMEOUT", "search-connect-timeout", "int", 10000, _WITHOUT_EFFECT, most=(1 << 31) - 1)
    yield s("DEFAULT_SCORER", "search-default-scorer", "string", "BM25STD", "The scorer of a query that names none")
    yield s("DEFAULT_DIALECT", "search-default-dialect", "int", 1, "The dialect of a query that names none", least=1,
            most=4)
    yield s("VSS_MAX_RESIZE", "search-vss-max-resize", "int", 0,
            "Bytes that one block of vectors may take; 0: a tenth of the memory", most=_UINT32)
    yield s("MULTI_TEXT_SLOP", "search-multi-text-slop", "int", 100, "Positions between two values of a field", least=0,
            most=_UINT32, immutable=True)
    yield s("MAX_AGGREGATE_GROUPS", "search-max-aggregate-groups", "int", 1000000, "Most groups of one GROUPBY", least=1,
            most=67108864)
    yield s("_MAX_FOREGROUND_TIMEOUT_LIMIT", "search-_max-foreground-timeout-limit", "int", 60000,
            "Most milliseconds that a query may take where WORKERS is 0; 0: any", most=_INT64)
    yield s("_SIMULATE_IN_FLEX", "search-_simulate-in-flex", "bool", False, "Whether what Redis Flex does not have is refused",
            immutable=True)
    yield s("RECALL_PROBE", "search-recall-probe", "int", 8,
            "Queries a minute that are checked against exact answers for FT.INFO's recall estimate; 0: none", most=256)
    yield s("RETRAIN", "search-retrain", "enum", "auto",
            "Whether a field whose new vectors are no longer like those it was trained on is trained again by itself",
            choices=("auto", "manual"))
    yield s("ENABLE_UNSTABLE_FEATURES", "search-enable-unstable-features", "bool", False,
            "Whether the default scorer may be changed, where refusals are as before Redis 8.8")


SETTINGS: dict[str, Setting] = {row.name: row for row in _rows()}

#: Whether INFO MODULES is complete while there is no index: it always is here.
INFO_ON_ZERO = "search-_info-on-zero-indexes"

#: Whether error texts of the search module begin with a code word, as from Redis 8.8 on, or are as they were before.
ERROR_CODES = "search-error-codes"

#: Where the original vectors of hashes live; Redis has no such thing, so FT.CONFIG does not know it.
ORIGINALS = "search-vector-originals"

#: How much of the memory Redis's indexes on disk may buffer, in percent: without effect here.
DISK_BUFFER = "search-disk-buffer-percentage"

#: What decides how a query is read: changes make prepared searches void.
PLAN_DIRECTIVES = ("search-default-dialect", "search-max-search-results", "search-timeout", "search-on-timeout",
                   "search-min-prefix",
                   "search-max-prefix-expansions", "search-workers", "search-_max-foreground-timeout-limit")


def register_directives() -> None:
    """Adds the rows to the table of directives, once per process."""
    for row in SETTINGS.values():
        if row.directive and row.directive not in DIRECTIVES:
            register(Directive(row.directive, row.kind, row.default, least=row.least, most=row.most,
                               choices=row.choices,
                               immutable=row.immutable, check=row.check))
    if ERROR_CODES not in DIRECTIVES:
        register(Directive(ERROR_CODES, "bool", True))
    if INFO_ON_ZERO not in DIRECTIVES:
        register(Directive(INFO_ON_ZERO, "bool", False))
    if DISK_BUFFER not in DIRECTIVES:
        register(Directive(DISK_BUFFER, "int", 0, most=100))
    if ORIGINALS not in DIRECTIVES:
        register(Directive(ORIGINALS, "enum", "memory", choices=("memory", "disk")))


def observe(server) -> None:
    """Has a new default scorer checked when it is set, and errors told with or without their codes."""
    config = server.config

    def check(name: str) -> None:
        if name != "BM25STD" and _is_stable(config):
            raise ValueError(errors.SCORER_UNSTABLE)
        if name not in SCORERS:
            raise ValueError(errors.DEFAULT_SCORER)
    config.observe("search-default-scorer", check)

    def above(value: int) -> None:
        if value >= config["search-_max-trim-delay-ms"]:
            raise ValueError(errors.TRIM_MIN.format(value, config["search-_max-trim-delay-ms"]))
    config.observe("search-_min-trim-delay-ms", above)

    def below(value: int) -> None:
        if value <= config["search-_min-trim-delay-ms"]:
            raise ValueError(errors.TRIM_MAX.format(value, config["search-_min-trim-delay-ms"]))
    config.observe("search-_max-trim-delay-ms", below)

    def set_codes(value: bool) -> None:
        errors.has_codes = value
        server.dispatcher.retell = None if value else errors.told
    config.observe(ERROR_CODES, set_codes)

    def set_unstable(value: bool) -> None:
        errors.has_unstable = value
    config.observe("search-enable-unstable-features", set_unstable)


def _is_stable(config) -> bool:
    """Whether the default scorer cannot be changed: so it was before Redis 8.8."""
    return not errors.has_codes and not config["search-enable-unstable-features"]


def _shown(server, row: Setting) -> str | None:
    config = server.config
    if not row.directive:
        return _SHOWN.get(row.name, lambda server: None)(server)
    if row.kind == "string" and not config[row.directive]:
        return None
    if row.kind == "bool":
        return "true" if config[row.directive] else "false"
    if row.name in ("MAXAGGREGATERESULTS", "MAXSEARCHRESULTS") and config[row.directive] >= _UNLIMITED:
        return "unlimited"
    return str(config[row.directive])


def _named(word: bytes) -> list[Setting]:
    if word == b"*":
        return list(SETTINGS.values())
    row = SETTINGS.get(word.decode("utf-8", "replace").upper())
    return [row] if row is not None else []


@command("FT.CONFIG", arity=-2, group="search", since="1.0.0", flags="admin", categories="admin",
         summary="Reads, sets or explains configuration options", complexity="O(1)")
def ft_config(client, action, *words):
    server = client.server
    given, action = action, action.upper()
    if action not in (b"GET", b"HELP", b"SET"):
        if errors.has_codes:
            raise CommandError(UNKNOWN_SUBCOMMAND.format(errors.show(given), "FT.CONFIG"))
        raise CommandError(errors.NO_SUCH_ACTION if words else WRONG_ARITY.format("ft.config"))
    if not words:
        raise CommandError(WRONG_ARITY.format(f"ft.config|{action.decode().lower()}" if errors.has_codes else "FT.CONFIG"))
    name, *values = words
    if action == b"GET":
        rows = [(Simple(row.name), _shown(server, row)) for row in _named(name)]
        return Pairs(rows) if client.proto == 3 else [list(row) for row in rows]
    if action == b"HELP":
        rows = [(Simple(row.name), row) for row in _named(name)]
        if client.proto == 3:
            return Pairs([(label, Pairs([(Simple("Description"), Simple(row.help)),
                                         (Simple("Value"), _simple(_shown(server, row)))]))
                          for label, row in rows])
        return [[label, Simple("Description"), Simple(row.help), Simple("Value"), _simple(_shown(server, row))]
                for label, row in rows]
    return _set(client, name, values)


def _mode(server) -> str:
    return server.search.threads_mode or "MT_MODE_OFF"


def _n_threads(server) -> str:
    directive = {"MT_MODE_FULL": "search-workers",
                 "MT_MODE_ONLY_ON_OPERATIONS": "search-min-operation-workers"}.get(_mode(server))
    return "0" if directive is None else str(server.config[directive])


#: What settings without a directive show.
_SHOWN = {"WORKER_THREADS": _n_threads, "MT_MODE": _mode, "PARTITIONS": lambda server: "AUTO",
          "OSS_GLOBAL_PASSWORD": lambda server: "Password was not set"}
_TOO_HIGH = {"WORKERS": errors.TOO_MANY_WORKERS, "MIN_OPERATION_WORKERS": errors.TOO_MANY_WORKERS,
             "_NUMERIC_RANGES_PARENTS": errors.RANGE_PARENTS, "_BG_INDEX_MEM_PCT_THR": errors.MEMORY_PERCENT,
             "BM25STD_TANH_FACTOR": errors.TANH_FACTOR, "BG_INDEX_SLEEP_DURATION_US": errors.SLEEP_DURATION}


def _simple(text: str | None):
    return None if text is None else Simple(text)


def _set(client, name: bytes, values):
    rows = _named(name)
    if len(rows) != 1:
        raise errors.fail(errors.NO_SUCH_CONFIG, name)
    row = rows[0]
    if row.immutable:
        raise CommandError(errors.NOT_MODIFIABLE)
    if row.name == "DEFAULT_SCORER" and _is_stable(client.server.config):
        raise CommandError(errors.SCORER_UNSTABLE)
    if not values:
        raise CommandError(errors.CONFIG_VALUE.format(errors.TAIL_MISSING))
    text = value_text(row, values[0].decode("utf-8", "surrogateescape"))
    try:
        client.server.config.set([(row.directive, text)])
    except ConfigError as error:
        raise CommandError(errors.CONFIG_VALUE.format(error.text)) from None
    return Simple("EXCESSARGS") if len(values) > 1 else OK


def value_text(row: Setting, text: str) -> str:
    """What the directive is set to by `text`, as FT.CONFIG has it. Raises CommandError."""
    if row.kind == "int":
        return str(_integer(row, text))
    if row.kind == "bool":
        if text.lower() not in ("true", "false", "yes", "no"):
            raise CommandError(errors.CONFIG_VALUE.format(errors.TAIL_CONVERT))
        return "yes" if text.lower() in ("true", "yes") else "no"
    if row.kind == "enum" and text.lower() not in row.choices:
        raise errors.fail(errors.BAD_CHOICE, row.name)
    return text


def _integer(row: Setting, text: str) -> int:
    if row.name in ("MAXAGGREGATERESULTS", "MAXSEARCHRESULTS") and text.lower() in ("unlimited", "-1"):
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
    if value > row.most and row.name in _TOO_HIGH:
        raise CommandError(_TOO_HIGH[row.name].format(row.most))
    if not row.least <= value <= row.most:
        raise CommandError(errors.CONFIG_VALUE.format(errors.TAIL_BOUNDS))
    return value


@command("_FT.CONFIG", arity=-2, group="search", since="8.0.0", flags="admin", categories="admin",
         summary="The same as FT.CONFIG",
         complexity="O(1)")
def inner_config(client, *words):
    return ft_config(client, *words)
