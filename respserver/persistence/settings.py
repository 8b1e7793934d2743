"""The directives of persistence."""
from ..config import register
from ..directive import INT_MAX, Directive

FSYNC = ("always", "everysec", "no")
#: Redis's default: after an hour if anything has changed, after five minutes if 100 things have, after a minute if 10,000.
SAVE_POINTS = ["3600", "1", "300", "100", "60", "10000"]


def _plain_name(text: str) -> str:
    if "/" in text or not text:
        raise ValueError("it can't be a path, just a filename")
    return text


def register_directives() -> None:
    """Adds the rows to the table of directives."""
    d = Directive
    for row in (
            d("dbfilename", "string", "dump.rdb", protected=True, check=_plain_name),
            d("rdbchecksum", "bool", True, immutable=True),
            d("stop-writes-on-bgsave-error", "bool", True),
            d("rdb-skip-unsupported", "bool", False),
            d("appendonly", "bool", False),
            d("appendfilename", "string", "appendonly.aof", immutable=True, check=_plain_name),
            d("appenddirname", "string", "appendonlydir", immutable=True, check=_plain_name),
            d("appendfsync", "enum", "everysec", choices=FSYNC),
            d("auto-aof-rewrite-percentage", "int", 100, most=INT_MAX),
            d("auto-aof-rewrite-min-size", "memory", 64 << 20),
            d("aof-load-truncated", "bool", True),
            d("aof-use-rdb-preamble", "bool", True)):
        register(row)


register_directives()


def set_save_points(config) -> None:
    """Redis's save points, for a server that was told neither when to save snapshots nor to keep an append-only file."""
    if not (config.is_given("save") or config["appendonly"]):
        config.load("save", SAVE_POINTS)
