"""What the server knows of one client, without sockets: commands see this, the connection owns it."""
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .protocol.reply import encode

if TYPE_CHECKING:
    from .keyspace import Database
    from .state import Server


class Client:
    """One client. Commands read and set its public attributes; `special` is kept up to date by `refresh`."""

    __slots__ = (
        "id", "server", "db", "proto", "name", "user", "authenticated", "lib_name", "lib_ver", "in_exec", "is_dirty", "watched",
        "queue", "queue_failed", "channels", "patterns", "shard_channels", "is_monitor", "reply_mode", "no_evict", "no_touch",
        "created", "last_active", "last_command", "address", "local_address", "fd", "special", "waiting", "closing", "is_unix",
        "write", "close", "output_size", "input_size", "net_in", "net_out", "n_commands", "lend", "give_back", "repeated",
        "tracker", "__weakref__",
    )

    def __init__(self, server: "Server", client_id: int = 0):
        self.id = client_id
        self.server = server
        self.db: Database = server.keyspace.databases[0]
        self.proto = 2
        self.name = b""
        self.user = server.acl.default
        self.authenticated = True
        self.lib_name = b""
        self.lib_ver = b""
        self.in_exec = False            # a command runs inside EXEC: a Deferred would be waited for on the loop thread
        self.is_dirty = False           # a watched key has changed: EXEC will fail
        self.watched: set = set()       # (Database, key)
        self.queue: list | None = None  # commands of the open MULTI: (Command, words)
        self.queue_failed = False       # one of them was refused when it was queued
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.shard_channels: dict[bytes, None] = {}
        self.is_monitor = False
        self.reply_mode = "on"          # CLIENT REPLY: on, off, skip (the next command's), skipping
        self.no_evict = False
        self.no_touch = False
        self.created = self.last_active = time.monotonic()
        self.last_command = None        # registry.Command of the last call
        self.address = ""               # "ip:port", or "path:0" on a unix socket
        self.local_address = ""
        self.fd = -1
        self.is_unix = False
        self.special = False            # something applies to this client that the short way through dispatch does not look at
        self.waiting = None             # the Deferred that its next reply waits for
        self.closing = False            # to be closed once its replies are sent
        self.net_in = self.net_out = self.n_commands = 0
        self.tracker = None             # how it tracks keys: see tracking.py
        self.repeated = None            # what a module remembers of its latest commands
        self.detach()

    def detach(self) -> None:
        """Leaves the connection that set these; a client without one (it has left, or tests) discards what is pushed."""
        self.write: Callable[[bytes], None] = _discard      # sends encoded bytes out of band
        self.close: Callable[[], None] = _nothing           # closes the connection at once
        self.lend: Callable[[Callable[[], None]], int] = _minus_one     # see Connection.lend
        self.give_back: Callable[..., None] = _nothing                  # see Connection.give_back
        self.output_size: Callable[[], int] = _zero         # bytes that wait to be sent
        self.input_size: Callable[[], int] = _zero          # bytes that wait for the rest of their command

    def refresh(self) -> None:
        """Recomputes `special`; to be called after a change of MULTI, subscription, login, monitor, tracking or reply state."""
        self.special = bool(self.queue is not None or not self.authenticated or self.is_monitor or self.reply_mode != "on"
                            or not self.user.is_unlimited or (self.proto == 2 and self.n_subscriptions)
                            or self.tracker is not None)

    def push(self, value) -> None:
        """Sends a value out of band: to a command's own client after that command's reply."""
        self.write(encode(value, self.proto))

    @property
    def n_subscriptions(self) -> int:
        """Channels, patterns and shard channels together."""
        return len(self.channels) + len(self.patterns) + len(self.shard_channels)

    @property
    def kind(self) -> str:
        """The class that output-buffer limits and CLIENT LIST TYPE go by: normal or pubsub."""
        return "pubsub" if self.channels or self.patterns or self.shard_channels else "normal"

    def _flags(self) -> str:
        flags = ("P" if self.n_subscriptions else "") + ("O" if self.is_monitor else "") + ("x" if self.queue is not None else "")
        flags += "b" if self.waiting is not None and self.waiting.blocking else ""
        if self.tracker is not None:
            flags += "t" + ("R" if self.tracker.is_broken else "") + ("B" if self.tracker.is_bcast else "")
        flags += "d" if self.is_dirty else ""
        flags += ("c" if self.closing else "") + ("U" if self.is_unix else "") + ("e" if self.no_evict else "")
        return flags + ("T" if self.no_touch else "") or "N"

    def describe(self) -> str:
        """The line of CLIENT LIST and CLIENT INFO, without its end."""
        now, waiting_in, waiting_out = time.monotonic(), self.input_size(), self.output_size()
        last = self.last_command.wire_name if self.last_command is not None else "NULL"
        return (f"id={self.id} addr={self.address} laddr={self.local_address} fd={self.fd} name={_text(self.name)} "
                f"age={int(now - self.created)} idle={max(0, int(now - self.last_active))} flags={self._flags()} "
                f"db={self.db.index} sub={len(self.channels)} psub={len(self.patterns)} ssub={len(self.shard_channels)} "
                f"multi={-1 if self.queue is None else len(self.queue)} watch={len(self.watched)} qbuf={waiting_in} qbuf-free=0 "
                f"argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll={int(waiting_out > 0)} omem={waiting_out} "
                f"tot-mem={waiting_in + waiting_out} events=r cmd={last} user={_text(self.user.name)} redir={self.redirect} "
                f"resp={self.proto} lib-name={_text(self.lib_name)} lib-ver={_text(self.lib_ver)} io-thread=0 "
                f"tot-net-in={self.net_in} tot-net-out={self.net_out} tot-cmds={self.n_commands}")

    @property
    def redirect(self) -> int:
        """The id of the client that is told of changed keys in place of this one; 0: none; -1: it does not track."""
        return -1 if self.tracker is None else self.tracker.redirect

    def select(self, index: int) -> None:
        """Changes to another database. Raises IndexError if there is none."""
        if index < 0:
            raise IndexError(index)
        self.db = self.server.keyspace.databases[index]

    def unwatch(self) -> None:
        """Forgets every watched key."""
        for db, key in self.watched:
            clients = db.watchers.get(key)
            if clients is not None:
                clients.discard(self)
                if not clients:
                    del db.watchers[key]
        self.watched.clear()
        self.is_dirty = False


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _discard(data: bytes) -> None:
    pass


def _nothing(*_, **__) -> None:
    pass


def _minus_one(recall: Callable[[], None]) -> int:
    return -1


def _zero() -> int:
    return 0
