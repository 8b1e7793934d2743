"""From a command's words to the bytes of its reply: look-up, checks, the call, statistics.

`run` is the hot path; every test it makes is paid by every PING. Whatever is rare (login, MULTI, RESP2 subscriptions, MONITOR,
pauses, sub-commands, errors) is behind the one `special` flag of the client and the one of the dispatcher, in `_run_slow`.
"""
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter_ns

from .client import Client
from .deferred import Deferred
from .eviction import Evictor
from .protocol import errors
from .protocol.errors import CommandError
from .protocol.reply import N_SMALL, QUEUED, SMALL_INTS, Raw, encode
from .protocol.request import Columns
from .registry import AT_ONCE, COMMANDS, LOGGED_AS, ONE_KEY, Command
from .stats import CommandStats, LatencyMonitor, SlowLog, Stats

log = logging.getLogger("vamana")

NEVER = 1 << 62
#: Bytes of replies after which run_many has them sent.
MANY = 256 * 1024
#: Who wants to hear of calls that take less (nanoseconds) is told of each by itself: a long pipeline may take as long.
_WATCHED = 10_000_000
#: What a client may call on RESP2 while it is subscribed.
_SUBSCRIBED_COMMANDS = frozenset({"SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE", "PING",
                                  "QUIT", "RESET"})
#: What is run inside MULTI and not queued.
_NOT_QUEUED = frozenset({"EXEC", "DISCARD", "MULTI", "WATCH", "QUIT", "RESET"})


class Dispatcher:
    """Runs the commands of all clients of one server."""

    def __init__(self, stats: Stats, evictor: Evictor):
        self.stats = stats
        self.retell = None              # function(text, command's name) that gives the text of an error that clients see
        self.evictor = evictor
        self.slowlog = SlowLog()
        self.latency = LatencyMonitor()
        self.table: dict[bytes, Command] = {}       # names as clients write them -> command without sub-commands
        self.names: dict[bytes, Command] = {}       # lower-case name -> command: the registry's, but for rename-command
        self.special = False                        # something applies to all clients that `run` does not look at
        self.monitors: set[Client] = set()
        self.paused_until = 0.0                     # time.monotonic(); CLIENT PAUSE
        self.pause_writes_only = False
        self.hold_back = None  # function(client, command) that tells whether a command has to wait until it is set to None
        self.loading = False
        self.out_of_memory = False                  # maxmemory is exceeded
        self.journal = None                         # hears of what changes data: the append-only file, while there is one
        self.renamed: set[Command] = set()          # commands that go by another name
        self._refusals: dict[str, str] = {}         # why writes are refused at present, by who refuses them
        self._postponed: list[Callable[[], None]] = []
        self.watch_ns = NEVER                       # calls at least this long are looked at by note_slow
        self._slow_ns = NEVER
        self.commands: dict[str, Command] = {}      # every command and sub-command by its wire name

    def load_commands(self, renames: Iterable[tuple[str, str]] = ()) -> None:
        """Takes over what the registry holds, when all modules have added to it. `renames`: names and what stands in their
        place, "" for nothing. Raises ValueError."""
        self.names = dict(COMMANDS)
        for old, new in renames:
            command = self.names.pop(old.lower().encode("utf-8", "surrogateescape"), None)
            if command is None:
                raise ValueError("No such command in rename-command")
            raw = new.lower().encode("utf-8", "surrogateescape")
            if raw in self.names:
                raise ValueError("Target command name already exists")
            if raw:
                self.names[raw] = command
                self.renamed.add(command)
        for command in COMMANDS.values():
            for record in (command, *command.subcommands.values()):
                record.stats = CommandStats()
                record.logged_as = LOGGED_AS.get(record.name)
                record.at_once = AT_ONCE.get(record.name)
                self.commands[record.wire_name] = record
        for name, command in self.names.items():
            if command.function is not None and not command.subcommands:
                self.table[name] = self.table[name.upper()] = command

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.stats.reset()
        for command in self.commands.values():
            command.stats = CommandStats()

    def set_slow_threshold(self, microseconds: int) -> None:
        """slowlog-log-slower-than: negative is off, 0 logs every call."""
        self._slow_ns = NEVER if microseconds < 0 else microseconds * 1000
        self.refresh()

    def set_latency_threshold(self, milliseconds: int) -> None:
        """latency-monitor-threshold; 0 is off."""
        self.latency.threshold = milliseconds
        self.refresh()

    def refresh(self) -> None:
        """Recomputes `special` and `watch_ns`; to be called after a change of what they summarize."""
        self.watch_ns = min(self._slow_ns, self.latency.threshold * 1_000_000 or NEVER)
        self.special = bool(self.monitors or self.loading or self.out_of_memory or self.evictor.is_on or self.paused_until
                            or self.hold_back is not None or self._postponed or self._refusals)

    def before_next_command(self, function: Callable[[], None]) -> None:
        """Has `function` called before the next command of any client runs; not between the commands of one EXEC."""
        self._postponed.append(function)
        self.special = True

    def catch_up(self) -> None:
        """Does what waits for the next command."""
        if self._postponed:
            postponed, self._postponed = self._postponed, []
            self.refresh()
            for function in postponed:
                function()

    def set_loading(self, on: bool) -> None:
        """While data are read from the disk most commands are refused."""
        self.loading = on
        self.refresh()

    def refuse_writes(self, who: str, text: str) -> None:
        """Has commands that change data refused with this error, "" if `who` has no reason any more."""
        self._refusals.pop(who, None)
        if text:
            self._refusals[who] = text
        self.refresh()

    @property
    def refusal_of_writes(self) -> str:
        """The error that commands get now that change data, "" if they may."""
        return next(iter(self._refusals.values()), "")

    def log_writes(self, on: bool) -> None:
        """Has `journal` told of commands that change data."""
        for command in self.commands.values():
            command.is_logged = on and "write" in command.flags

    @property
    def is_plain(self) -> bool:
        """Whether nothing applies to all clients' reads but what waits for the next command."""
        return not (self.monitors or self.loading or self.paused_until or self.out_of_memory or self.hold_back is not None)

    # The hot path

    def run(self, client: Client, words: list) -> bytes | Deferred:
        """Runs one command; `words` is used up. Returns the encoded reply or a Deferred."""
        command = self.table.get(words[0])
        if command is None or client.special or self.special:
            return self._run_slow(client, words)
        n = len(words)
        arity = command.arity
        if n != arity and (arity > 0 or n < -arity):
            return self._run_slow(client, words)
        client.last_command = command
        name = words[0]
        words[0] = client
        started = perf_counter_ns()
        try:
            reply = command.function(*words)
            if command.is_logged:
                words[0] = name
                self.journal.note(client, command, words, reply)
            kind = type(reply)
            if kind is Raw:
                encoded = reply
            elif kind is bytes:
                encoded = b"$%d\r\n%b\r\n" % (len(reply), reply)
            elif kind is int and 0 <= reply < N_SMALL:
                encoded = SMALL_INTS[reply]
            elif isinstance(reply, Deferred):
                return self._deferred(client, command, name, words, reply, started)
            else:
                encoded = encode(reply, client.proto)
        except Exception as error:
            encoded = self._failed_call(client, command, name, words, error)
        took = perf_counter_ns() - started
        reads = command.reads
        if reads is ONE_KEY and words[1] in client.db.data:     # the most frequent case
            self.stats.hits += 1
        elif reads is not None:
            self._count_reads(client.db.data, words[reads])
        stats = command.stats
        stats.ns += took
        stats.histogram[took.bit_length()] += 1
        if took >= self.watch_ns:
            words[0] = name
            self.note_slow(client, command, words, took)
        return encoded

    def run_many(self, client: Client, commands: Iterator[list], out: list[bytes], pushes: list[bytes],
                 until: int) -> bytes | Deferred | list | None:
        """Runs commands as `run` does, one after the other, and appends their replies to `out`. Returns early with the reply of
        the latest when the connection is to see to something: a Deferred, pushes, a special client, many bytes, or it is
        past `until` (perf_counter_ns); or with the words of a command that is not plain. None: all have run."""
        find, server_stats, watch_ns = self.table.get, self.stats, self.watch_ns
        size = 0
        started = perf_counter_ns()
        for words in commands:
            name = words[0]
            command = find(name)
            if command is None or client.special or self.special:
                return words
            n = len(words)
            arity = command.arity
            if n != arity and (arity > 0 or n < -arity):
                return words
            client.last_command = command
            words[0] = client
            try:
                reply = command.function(*words)
                if command.is_logged:
                    words[0] = name
                    self.journal.note(client, command, words, reply)
                kind = type(reply)
                if kind is Raw:
                    encoded = reply
                elif kind is bytes:
                    encoded = b"$%d\r\n%b\r\n" % (len(reply), reply)
                elif kind is int and 0 <= reply < N_SMALL:
                    encoded = SMALL_INTS[reply]
                elif isinstance(reply, Deferred):
                    return self._deferred(client, command, name, words, reply, started)
                else:
                    encoded = encode(reply, client.proto)
            except Exception as error:
                encoded = self._failed_call(client, command, name, words, error)
            now = perf_counter_ns()
            took = now - started
            started = now
            reads = command.reads
            if reads is not None:
                if reads is ONE_KEY and words[1] in client.db.data:
                    server_stats.hits += 1
                else:
                    self._count_reads(client.db.data, words[reads])
            stats = command.stats
            stats.ns += took
            stats.histogram[took.bit_length()] += 1
            if took >= watch_ns:
                words[0] = name
                self.note_slow(client, command, words, took)
            size += len(encoded)
            if pushes or now > until or size > MANY or client.special or client.closing:
                return encoded
            out.append(encoded)
        return None

    def run_columns(self, client: Client, commands: Columns) -> bytes | None:
        """Runs a pipeline of one command as one: what `run_many` asks before and after each call is asked once, which is most
        of what a plain call takes. Returns the replies; or None if it is not that plain: then nothing has run."""
        names, *columns = commands.columns
        command = self.table.get(names[0])
        n = len(names)
        if command is None or command.at_once is None or names.count(names[0]) != n or client.special or self.special \
                or self.watch_ns < _WATCHED or not command.accepts(1 + len(columns)) or command in self.renamed:
            return None
        started = perf_counter_ns()
        try:
            encoded = command.at_once(client, *columns)
        except Exception as error:
            encoded = self.failed(command, error) * n
        if encoded is None:
            return None
        client.last_command = command
        if command.is_logged:
            self.journal.note_all(client, commands.data)
        if command.reads is not None:
            hits = sum(map(client.db.data.__contains__, columns[0]))
            self.stats.hits += hits
            self.stats.misses += n - hits
        took = perf_counter_ns() - started
        stats = command.stats
        stats.ns += took
        stats.histogram[(took // n).bit_length()] += n
        if took >= self.watch_ns:
            self.note_slow(client, command, next(iter(commands)), took)
        return encoded

    # The rest

    def _deferred(self, client: Client, command: Command, name: bytes, words: list, reply: Deferred, started: int) -> Deferred:
        """A reply that is still to come."""
        words[0] = name
        reply.pooled = "pooled" in command.flags
        reply.call = client, command, words, started
        return reply

    def _failed_call(self, client: Client, command: Command, name: bytes, words: list, error: Exception) -> bytes:
        """The reply for a call that raised; what it had changed by then is logged."""
        encoded = self.failed(command, error)
        if command.is_logged:
            words[0] = name
            self.journal.note_failed(client, words)
        return encoded

    @staticmethod
    def _track(client: Client, command: Command, words: list) -> None:
        """Notes the keys that a call has read, if its client tracks them."""
        if (client.tracker is not None and client.tracker.notes_reads and "readonly" in command.flags
                and command.group != "scripting"):
            client.server.tracking.note(client, command.keys_in(words))

    def _count_reads(self, data: dict, keys: list) -> None:
        """Counts keys that were read. After the call: what had expired is gone by then."""
        for key in keys:
            if key in data:
                self.stats.hits += 1
            else:
                self.stats.misses += 1

    def failed(self, command: Command, error: Exception) -> bytes:
        """The reply for a call that raised."""
        command.stats.failed += 1
        if not isinstance(error, CommandError):
            self.stats.internal_errors += 1
            log.error("%s failed", command.name, exc_info=error)
            error = CommandError(errors.INTERNAL.format(f"{type(error).__name__}: {error}"))
        if self.retell is not None:
            error = CommandError(self.retell(error.text, command.name))
        self.stats.count_error(error.text)
        return encode(error, 2)

    def reject(self, client: Client, command: Command | None, text: str) -> bytes:
        """The reply for a call that is refused before it runs."""
        if command is not None:
            command.stats.rejected += 1
        if client.queue is not None:
            client.queue_failed = True
        self.stats.count_error(text)
        return encode(CommandError(text), 2)

    def note_slow(self, client: Client, command: Command, words: list, took: int) -> None:
        """Takes down a call that took at least `watch_ns` (`took`: nanoseconds) where that is wanted."""
        if took >= self._slow_ns and "skip_slowlog" not in command.flags:
            self.slowlog.add(without_secrets(words), took // 1000, client)
        if self.latency.threshold:
            self.latency.add("fast-command" if "fast" in command.flags else "command", took // 1_000_000)

    def finish(self, deferred: Deferred) -> bytes:
        """Encodes the reply of a deferred command, which is there, and counts the call."""
        client, command, words, started = deferred.call
        encoded = deferred.value
        if type(encoded) is not Raw:
            try:
                if isinstance(encoded, CommandError):
                    raise encoded
                encoded = encode(encoded, client.proto)
            except Exception as error:
                encoded = self.failed(command, error)
        if client.tracker is not None:
            self._track(client, command, words)
        took = perf_counter_ns() - started
        stats = command.stats
        stats.ns += took
        stats.histogram[took.bit_length()] += 1
        if took >= self.watch_ns:
            self.note_slow(client, command, words, took)
        return encoded

    def _count(self, client: Client, command: Command, words: list, took: int) -> None:
        command.stats.ns += took
        command.stats.histogram[took.bit_length()] += 1
        if took >= self.watch_ns:
            self.note_slow(client, command, words, took)

    def find(self, words: list[bytes]) -> tuple[Command | None, int, str]:
        """The command that words name and how many of them are its name; or (None or its container, 1, error text)."""
        command = self.names.get(words[0].lower())
        if command is None:
            return None, 1, unknown_command(words)
        if command.subcommands and len(words) > 1:
            sub = command.subcommands.get(words[1].lower())
            if sub is not None:
                return sub, 2, ""
            if command.function is None:
                return None, 1, errors.UNKNOWN_SUBCOMMAND.format(_printable(words[1], 128), command.name)
        if command.function is None:
            return command, 1, errors.WRONG_ARITY.format(command.wire_name)
        return command, 1, ""

    def _run_slow(self, client: Client, words: list) -> bytes | Deferred:
        """Every check that Redis makes, in its order."""
        self.catch_up()
        command, n_name, problem = self.find(words)
        if problem:
            return self.reject(client, command, problem)
        if not command.accepts(len(words)):
            return self.reject(client, command, errors.WRONG_ARITY.format(command.wire_name))
        if not client.authenticated and "no_auth" not in command.flags:
            return self.reject(client, command, errors.NO_AUTH)
        if not client.user.is_unlimited:
            client.last_command = command
            problem = client.server.acl.refusal(client, command, words)
            if problem:
                return self.reject(client, command, problem)
        if self._refusals and self._is_refused(client, command):
            return self._refuse(client, command, self.refusal_of_writes)
        if (self.out_of_memory or (self.evictor.is_on and not self.evictor.make_room())) and _needs_memory(client, command):
            return self.reject(client, command, errors.OUT_OF_MEMORY)
        if client.proto == 2 and client.n_subscriptions and command.name not in _SUBSCRIBED_COMMANDS:
            return self.reject(client, command, errors.SUBSCRIBED_CONTEXT.format(command.wire_name))
        if self.loading and "loading" not in command.flags:
            return self.reject(client, command, errors.LOADING)
        if client.queue is not None and command.name not in _NOT_QUEUED:
            if "no_multi" in command.flags:
                return self.reject(client, command, errors.NOT_IN_MULTI)
            client.queue.append((command, words, n_name))
            return QUEUED
        if self.paused_until and self.holds(client, command) or self.hold_back is not None and self.hold_back(client, command):
            return Paused(client, words)
        client.last_command = command
        if client.tracker is not None:
            return self._call_tracked(client, command, words, n_name)
        return self.call(client, command, words, n_name)

    def _call_tracked(self, client: Client, command: Command, words: list, n_name: int) -> bytes | Deferred:
        """Runs a command of a client that tracks keys: what it changes is its own doing, and what CLIENT CACHING said is over
        with the command, or transaction, that follows it."""
        tracking = client.server.tracking
        early = tracking.take(client)           # of keys that had to make room, among others
        tracking.writer = client
        try:
            reply = self.call(client, command, words, n_name)
            if early and (isinstance(reply, Deferred) or client.reply_mode != "on"):
                client.write(early)
            elif early:
                reply = early + reply
            return reply
        finally:
            tracking.writer = None
            tracking.tell()
            if client.tracker is not None and client.queue is None and not command.name.startswith("CLIENT "):
                client.tracker.caching = False

    @staticmethod
    def _is_refused(client: Client, command: Command) -> bool:
        """Whether a command goes when writes are refused: one that changes data, EXEC of such, and PING, so that who looks
        after the server notices."""
        if command.name == "EXEC":
            return any("write" in queued.flags for queued, _, _ in client.queue or ())
        return "write" in command.flags or command.name == "PING"

    def _refuse(self, client: Client, command: Command, text: str) -> bytes:
        """The reply for a write that is refused. A transaction ends with it."""
        if command.name == "EXEC":
            client.queue, client.queue_failed = None, False
            client.unwatch()
            client.refresh()
            text = errors.EXEC_ABORT_REASON.format(text)
        return self.reject(client, command, text)

    def holds(self, client: Client, command: Command) -> bool:
        """Whether CLIENT PAUSE makes this command wait."""
        if time.monotonic() >= self.paused_until:
            return False
        if command.name in ("CLIENT UNPAUSE", "CLIENT PAUSE") and not self.pause_writes_only:
            return False
        if not self.pause_writes_only:
            return command.name not in ("CLIENT UNPAUSE",)
        if command.name == "EXEC":
            return any("write" in queued.flags or "may_replicate" in queued.flags for queued, _, _ in client.queue or ())
        return bool(command.flags & {"write", "may_replicate"})

    def call(self, client: Client, command: Command, words: list, n_name: int) -> bytes | Deferred:
        """Runs a command that has passed all checks and shows it to those in MONITOR.
        `words` begins with the `n_name` words of its name."""
        reply = self._call(client, command, words, n_name)
        if self.monitors and not command.flags & {"skip_monitor", "admin"}:
            self.feed_monitors(client, words)
        return reply

    def _call(self, client: Client, command: Command, words: list, n_name: int) -> bytes | Deferred:
        started = perf_counter_ns()
        try:
            reply = command.function(client, *words[n_name:])
            if isinstance(reply, Deferred):
                if not client.in_exec:
                    reply.pooled = "pooled" in command.flags
                    reply.call = client, command, words, started
                    return reply
                reply = reply.wait()
            if command.is_logged:
                self.journal.note(client, command, words, reply)
            encoded = encode(reply, client.proto)
        except Exception as error:
            encoded = self.failed(command, error)
            if command.is_logged:
                self.journal.note_failed(client, words)
        self._track(client, command, words)
        if command.reads is not None:
            keys = words[command.reads]
            self._count_reads(client.db.data, keys)
            if self.evictor.notes_uses and not client.no_touch:
                for key in keys:
                    self.evictor.touch(client.db.index, key)
        self._count(client, command, words, perf_counter_ns() - started)
        return encoded

    def feed_monitors(self, client: Client, words: list) -> None:
        """Shows a command to the clients in MONITOR."""
        line = monitor_line(time.time(), client, without_secrets(words))
        for monitor in list(self.monitors):
            if monitor is not client or not monitor.is_monitor:
                monitor.write(line)

    def calls(self) -> int:
        """Commands run since the start or the last CONFIG RESETSTAT."""
        return sum(command.stats.calls for command in self.commands.values())


def _needs_memory(client: Client, command: Command) -> bool:
    """Whether a command goes when memory is exceeded: one that may take more of it, and EXEC of such."""
    if command.name == "EXEC":
        return any("denyoom" in queued.flags for queued, _, _ in client.queue or ())
    return "denyoom" in command.flags


class Paused(Deferred):
    """A command that CLIENT PAUSE, or a module, holds back; the connection runs it again when the pause is over."""

    __slots__ = ("words",)

    def __init__(self, client: Client, words: list):
        super().__init__()
        self.words = words


def unknown_command(words: list[bytes]) -> str:
    """The error text for a command that does not exist."""
    shown = ""
    for word in words[1:]:
        if len(shown) >= 128:
            break
        shown += "'" + _printable(word, 128 - len(shown)) + "' "
    return errors.UNKNOWN_COMMAND.format(_printable(words[0], 128), shown)


def _printable(word: bytes, n: int) -> str:
    return word[:n].decode("utf-8", "surrogateescape")


def without_secrets(words: list[bytes]) -> list[bytes]:
    """The words of a call with passwords left out, as MONITOR and the slow log show them."""
    name = words[0].upper()
    if name == b"AUTH":
        return [words[0]] + [b"(redacted)"] * (len(words) - 1)
    if name == b"HELLO":
        for i, word in enumerate(words[:-2]):
            if word.upper() == b"AUTH":
                return [*words[:i + 1], b"(redacted)", b"(redacted)", *words[i + 3:]]
    elif name == b"CONFIG" and len(words) > 3 and words[1].upper() == b"SET":
        return words[:2] + [b"(redacted)" if i % 2 and words[i + 1].lower() == b"requirepass" else word
                            for i, word in enumerate(words[2:])]
    return words


_SHOWN = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\"}
_SHOWN.update((c, f"\\x{c:02x}") for c in range(256) if c not in _SHOWN and not 32 <= c < 127)


def monitor_line(now: float, client: Client, words: list[bytes]) -> Raw:
    """One line of MONITOR: time, database, address and the quoted words."""
    where = "unix:" + client.address.rpartition(":")[0] if client.is_unix else client.address
    quoted = " ".join('"' + word.decode("latin-1").translate(_SHOWN) + '"' for word in words)
    return Raw(f"+{now:.6f} [{client.db.index} {where}] {quoted}\r\n".encode("latin-1"))
