"""The table of configuration directives, their present values, and redis.conf files.

A directive is one row here, or one `register` call of a module. A row that Redis has and that is not here is
unknown to CONFIG GET, refused by CONFIG SET and at the start, unless WITHOUT_EFFECT names it: then the start says so in the log.
Two kinds of rows do not steer anything yet and are kept because client libraries and test suites read and set them as a matter
of course: the sizes that choose a value's encoding, and the lazyfree switches.
"""
import os
from collections.abc import Callable, Iterable
from typing import Any

from .directive import INT_MAX, WRONG_COUNT, Directive
from .eviction import POLICIES
from .glob import matcher
from .protocol.request import split_words

DUPLICATE = "duplicate parameter"
IMMUTABLE = "can't set immutable config"
PROTECTED = "can't set protected config"

_LIMITS = {"normal": (0, 0, 0), "replica": (256 << 20, 64 << 20, 60), "pubsub": (32 << 20, 8 << 20, 60)}
_GUARDS = ("no", "yes", "local")

DIRECTIVES: dict[str, Directive] = {}


class ConfigError(Exception):
    """A directive that is refused: `name` and Redis's text."""

    def __init__(self, name: str, text: str):
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class UnknownDirective(ConfigError):
    """A directive that is not in the table."""


def register(directive: Directive) -> None:
    """Adds a row. Raises ValueError if the name is taken."""
    if directive.name in DIRECTIVES:
        raise ValueError(f"directive {directive.name} is declared twice")
    DIRECTIVES[directive.name] = directive


def _rows() -> Iterable[Directive]:
    d = Directive
    # network
    yield d("bind", "words", ["127.0.0.1", "-::1"], immutable=True, many=True)
    yield d("port", "int", 6379, most=65535, immutable=True)
    yield d("unixsocket", "string", "", immutable=True)
    yield d("unixsocketperm", "octal", 0, most=0o777, immutable=True)
    yield d("tcp-backlog", "int", 511, most=INT_MAX, immutable=True)
    yield d("tcp-keepalive", "int", 300, most=INT_MAX)
    yield d("timeout", "int", 0, most=INT_MAX)
    yield d("maxclients", "int", 10000, least=1, most=2**32 - 1)
    yield d("protected-mode", "bool", True)
    yield d("requirepass", "string", "")
    yield d("aclfile", "string", "", immutable=True)
    yield d("acllog-max-len", "int", 128)
    yield d("acl-pubsub-default", "enum", "resetchannels", choices=("allchannels", "resetchannels"))
    yield d("proto-max-bulk-len", "memory", 512 << 20, least=1 << 20)
    yield d("client-query-buffer-limit", "memory", 1 << 30, least=1 << 20)
    yield d("client-output-buffer-limit", "buffer-limits", dict(_LIMITS), many=True)
    # process
    yield d("databases", "int", 16, least=1, most=INT_MAX, immutable=True)
    yield d("daemonize", "bool", False, immutable=True)
    yield d("pidfile", "string", "", immutable=True)
    yield d("supervised", "enum", "no", choices=("no", "systemd", "auto"), immutable=True)
    yield d("syslog-enabled", "bool", False, immutable=True)
    yield d("syslog-ident", "string", "vamana", immutable=True)
    yield d("syslog-facility", "enum", "local0", choices=("user", *(f"local{i}" for i in range(8))), immutable=True)
    yield d("crash-log-enabled", "bool", True, immutable=True)
    yield d("loglevel", "enum", "notice", choices=("debug", "verbose", "notice", "warning", "nothing"))
    yield d("logfile", "string", "", immutable=True)
    yield d("dir", "string", "", protected=True)
    yield d("hz", "int", 10, least=1, most=500)
    yield d("enable-debug-command", "enum", "local", choices=_GUARDS, immutable=True)
    yield d("enable-protected-configs", "enum", "no", choices=_GUARDS, immutable=True)
    yield d("tracking-table-max-keys", "int", 1_000_000)
    # memory
    yield d("maxmemory", "memory", 0)
    yield d("maxmemory-policy", "enum", "noeviction", choices=POLICIES)
    yield d("maxmemory-samples", "int", 5, least=1, most=64)
    # persistence
    yield d("save", "save", [], many=True)
    # observation
    yield d("slowlog-log-slower-than", "int", 10000, least=-1)
    yield d("slowlog-max-len", "int", 128)
    yield d("latency-monitor-threshold", "int", 0)
    yield d("latency-tracking", "bool", True)
    yield d("latency-tracking-info-percentiles", "percentiles", [50.0, 99.0, 99.9], many=True)
    yield d("notify-keyspace-events", "events", frozenset())
    # encodings of values
    yield d("hash-max-listpack-entries", "int", 512)
    yield d("hash-max-listpack-value", "int", 64)
    yield d("list-max-listpack-size", "int", -2, least=-(2**31), most=INT_MAX)
    yield d("list-compress-depth", "int", 0, most=INT_MAX)
    yield d("set-max-intset-entries", "int", 512)
    yield d("set-max-listpack-entries", "int", 128)
    yield d("set-max-listpack-value", "int", 64)
    yield d("zset-max-listpack-entries", "int", 128)
    yield d("zset-max-listpack-value", "int", 64)
    yield d("hll-sparse-max-bytes", "memory", 3000)
    yield d("stream-node-max-entries", "int", 100)
    yield d("stream-node-max-bytes", "memory", 4096)
    yield d("lfu-log-factor", "int", 10, most=INT_MAX)
    yield d("lfu-decay-time", "int", 1, most=INT_MAX)
    # read and set by test suites
    for what in ("expire", "eviction", "server-del", "user-del", "user-flush"):
        yield d(f"lazyfree-lazy-{what}", "bool", False)


for _row in _rows():
    register(_row)

#: Directives of Redis (or how they begin) that tune what this server does in another way or not at all: files may have them, so
#: that a redis.conf of a distribution can be used as it is. None of them is about safety.
WITHOUT_EFFECT = (
    "activerehashing", "always-show-logo", "aof-rewrite-incremental-fsync", "aof-timestamp-enabled", "disable-thp", "dynamic-hz",
    "jemalloc-bg-thread", "no-appendfsync-on-rewrite", "oom-score-adj", "proc-title-template", "rdb-del-sync-files",
    "rdb-save-incremental-fsync", "rdbcompression", "repl-disable-tcp-nodelay", "repl-diskless", "repl-backlog", "repl-timeout",
    "repl-ping-", "replica-lazy-flush", "replica-priority", "replica-read-only", "replica-serve-stale-data",
    "replica-ignore-maxmemory",
    "slave-lazy-flush", "slave-priority", "slave-read-only", "slave-serve-stale-data", "set-proc-title", "io-threads",
    "lua-time-limit", "busy-reply-threshold", "active-expire-effort", "activedefrag", "active-defrag-", "server_cpulist",
    "server-cpulist",
    "bio_cpulist", "bio-cpulist", "aof_rewrite_cpulist", "aof-rewrite-cpulist", "tls-session-cache-", "tls-client-",
    "tls-replication", "tls-cluster", "bgsave_cpulist", "bgsave-cpulist", "crash-memcheck-enabled",
    "maxmemory-eviction-tenacity", "sanitize-dump-payload", "ignore-warnings", "locale-collate")

#: Other names that Redis takes for a directive.
ALIASES = {"hash-max-ziplist-entries": "hash-max-listpack-entries", "hash-max-ziplist-value": "hash-max-listpack-value",
           "list-max-ziplist-size": "list-max-listpack-size", "zset-max-ziplist-entries": "zset-max-listpack-entries",
           "zset-max-ziplist-value": "zset-max-listpack-value"}


class Renames:
    """The lines of rename-command: other names for commands, or none."""

    def __init__(self):
        self.pairs: list[tuple[str, str]] = []

    def load_line(self, words: list[str]) -> None:
        """One line: a command and its new name, "" to take it away. Raises ValueError."""
        if len(words) != 2:
            raise ValueError(WRONG_COUNT)
        self.pairs.append((words[0], words[1]))

    def config_lines(self) -> list[str]:
        """What CONFIG REWRITE writes."""
        return [f"rename-command {old} {quote(new)}" for old, new in self.pairs]


class Config:
    """The present values: config[name]. Changes go through `set` (all or nothing) or `load`, which tell the observers."""

    def __init__(self):
        self._values: dict[str, Any] = {}
        self._observers: dict[str, list[Callable[[Any], None]]] = {}
        #: Directives of which there can be any number of lines -> an object with load_line(words), which raises ValueError, and
        #: config_lines(), what CONFIG REWRITE writes.
        self.tables: dict[str, Any] = {}
        self.without_effect: list[str] = []         # names of Redis's directives that were given and do nothing here
        self.remarks: list[str] = []                # what the log is to say of the configuration when the server starts
        self.file = ""                              # absolute path of the configuration file; "": none

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            return DIRECTIVES[name].default

    def is_given(self, name: str) -> bool:
        """Whether the directive has been given a value, be it that of the default."""
        return name in self._values

    def observe(self, name: str, callback: Callable[[Any], None]) -> None:
        """Has `callback` called with the value now and after each change. It may raise ValueError to refuse a change."""
        self._observers.setdefault(name, []).append(callback)
        callback(self[name])

    def get(self, patterns: Iterable[str]) -> list[tuple[str, str]]:
        """(name, shown value) of the directives that match any of the patterns, in the table's order."""
        matchers = [matcher(pattern.encode("utf-8", "surrogateescape"), True) for pattern in patterns]
        names = [name for name in (*DIRECTIVES, *ALIASES) if any(matches(name.encode()) for matches in matchers)]
        return [(name, self.show(ALIASES.get(name, name))) for name in names]

    def show(self, name: str) -> str:
        """The value of one directive as text."""
        return DIRECTIVES[name].show(self[name])

    def set(self, pairs: Iterable[tuple[str, str]], is_local: bool = False) -> None:
        """CONFIG SET: changes all of the pairs or none. Raises ConfigError."""
        changes: dict[str, Any] = {}
        for given, text in pairs:
            name = ALIASES.get(given.lower(), given.lower())
            directive = DIRECTIVES.get(name)
            if directive is None:
                raise UnknownDirective(given, "unknown")
            if directive.immutable:
                raise ConfigError(given, IMMUTABLE)
            if directive.protected and not self._allows("enable-protected-configs", is_local):
                raise ConfigError(given, PROTECTED)
            if name in changes:
                raise ConfigError(given, DUPLICATE)
            try:
                changes[name] = self._checked(directive, [text])
            except ValueError as error:
                raise ConfigError(given, str(error)) from None
        before = {name: self[name] for name in changes}
        try:
            self._values.update(changes)
            for name in changes:
                self._tell(name)
        except ValueError as error:
            self._values.update(before)
            for other in before:
                self._tell(other)
            raise ConfigError(name, str(error)) from None

    def _checked(self, directive: Directive, words: list[str]) -> Any:
        value = directive.parse(words, self[directive.name])
        return value if directive.check is None else directive.check(value)

    def _allows(self, guard: str, is_local: bool) -> bool:
        return self[guard] == "yes" or (self[guard] == "local" and is_local)

    def allows_debug(self, is_local: bool) -> bool:
        """Whether DEBUG may be called by a client, by enable-debug-command."""
        return self._allows("enable-debug-command", is_local)

    def load(self, given: str, words: list[str]) -> None:
        """One line of a file or one option of the command line. Raises ConfigError."""
        name = ALIASES.get(given.lower(), given.lower())
        if name in self.tables:
            try:
                self.tables[name].load_line(words)
            except ValueError as error:
                raise ConfigError(given, str(error)) from None
            return
        directive = DIRECTIVES.get(name)
        if directive is None and any(name.startswith(start) for start in WITHOUT_EFFECT):
            self.without_effect.append(name)
            return
        if directive is None:
            raise UnknownDirective(given, "Bad directive or wrong number of arguments")
        if len(words) > 1 and not directive.many:
            raise ConfigError(given, WRONG_COUNT)
        try:
            value = self._checked(directive, words)
            if directive.kind == "save" and value:      # each line adds points
                value = [*self[name], *value]
            self._values[name] = value
        except ValueError as error:
            raise ConfigError(given, str(error)) from None
        self._tell(name)

    def _tell(self, name: str) -> None:
        for callback in self._observers.get(name, ()):
            callback(self[name])

    def load_file(self, path: str, depth: int = 0) -> None:
        """Reads a redis.conf file. Raises ConfigError with the file and line, OSError if it cannot be read."""
        if depth > 16:
            raise ConfigError("include", f"{path}: includes are nested too deeply")
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                line = line.strip()
                if not line or line.startswith("#"):
                    continue
                words = split_words(line.encode("utf-8", "surrogateescape"))
                if words is None:
                    raise ConfigError(f"{path}:{number}", "Unbalanced quotes in configuration line")
                name, *rest = [word.decode("utf-8", "surrogateescape") for word in words]
                if name.lower() == "include":
                    for included in rest:
                        self.load_file(os.path.join(os.path.dirname(path), included), depth + 1)
                    continue
                try:
                    self.load(name, rest)
                except ConfigError as error:
                    raise ConfigError(f"{path}:{number}: {error.name}", error.text) from None

    def rewrite(self) -> None:
        """CONFIG REWRITE: brings the file up to date, keeping its comments and order; what differs from the default and is not
        in it is appended. Raises OSError."""
        with open(self.file, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
        out, seen = [], set()
        for line in lines:
            words = split_words(line.strip().encode("utf-8", "surrogateescape")) or [b"#"]
            given = words[0].decode("utf-8", "surrogateescape").lower()
            name = ALIASES.get(given, given)
            if name in self.tables:
                if name not in seen:
                    seen.add(name)
                    out += self.tables[name].config_lines()
            elif name not in DIRECTIVES:
                out.append(line)
            elif name not in seen:
                seen.add(name)
                out += self._lines(name)
        generated = [line for name, directive in DIRECTIVES.items()
                     if name not in seen and name in self._values and self._values[name] != directive.default
                     for line in self._lines(name)]
        generated += [line for name, table in self.tables.items() if name not in seen for line in table.config_lines()]
        if generated:
            marker = "# Generated by CONFIG REWRITE"
            out += ([] if marker in out else [marker]) + generated
        temporary = self.file + ".tmp"
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join(out) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.file)

    def _lines(self, name: str) -> list[str]:
        """The lines of a configuration file that give a directive its present value."""
        directive, value = DIRECTIVES[name], self[name]
        if directive.kind == "buffer-limits":
            return [f"{name} {kind} {hard} {soft} {seconds}" for kind, (hard, soft, seconds) in value.items()]
        text = directive.show(value)
        if not directive.many or not text:
            text = quote(text)
        return [f"{name} {text}"]


def quote(text: str) -> str:
    """A word as a configuration file can hold it: in double quotes if it is empty or has anything but plain characters."""
    raw = text.encode("utf-8", "surrogateescape")
    if raw and all(33 <= c < 127 and c not in b"\"'\\#" for c in raw):
        return text
    return '"' + "".join({34: '\\"', 92: "\\\\", 10: "\\n", 13: "\\r", 9: "\\t", 7: "\\a",
                          8: "\\b"}.get(c) or (chr(c) if 32 <= c < 127 else f"\\x{c:02x}")
                         for c in raw) + '"'
