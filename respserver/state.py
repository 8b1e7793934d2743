"""The one object that holds a running server's parts. It is passed explicitly; commands reach it as client.server."""
import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Callable, Generator

from .acl import Acl
from .background import Background, SlicedTask, emptied
from .client import Client
from .config import Config, ConfigError, Renames
from .dispatch import Dispatcher, Paused
from .eviction import Evictor
from .hugepages import Gatherer
from .info import Info
from .keyspace import Database, Keyspace
from .memory import Trimmer, used_memory
from .modules import Loads, Module
from .outbox import Outbox
from .persistence import settings  # noqa: F401
from .persistence.keeper import Keeper
from .protocol import errors
from .pubsub import Notifier, PubSub
from .stats import Stats
from .tracking import Tracking


class Server:
    """See the attributes. Sockets and signals are in server.py."""

    def __init__(self, config: Config):
        self.config = config
        self.keyspace = Keyspace()
        self.stats = Stats()
        self.acl = Acl(self)
        self.renames = Renames()
        self.modules: list[Module] = []
        config.tables |= {"user": self.acl, "rename-command": self.renames, "loadmodule": Loads(self.modules)}
        self.evictor = Evictor(self)
        self.dispatcher = Dispatcher(self.stats, self.evictor)
        self.pubsub = PubSub()
        self.tracking = Tracking(self)
        self.info = Info()
        self.clients: dict[int, Client] = {}
        self.connections: dict[int, object] = {}            # client id -> Connection
        self.log = logging.getLogger("vamana")
        self.loop: asyncio.AbstractEventLoop | None = None
        self.background: Background | None = None
        self.outbox: Outbox | None = None                   # what leaves at the end of the loop's turn
        self.on_start: list[Callable[["Server"], None]] = []    # called once the loop runs, before the first connection
        self.on_stop: list[Callable[["Server"], None]] = []     # called when no more commands are taken, last added first
        self.run_id = secrets.token_hex(20)
        self.started = time.time()
        self.clock = time.monotonic()                       # refreshed hz times a second: good enough for idle times
        self.last_save = int(self.started)
        self.active_expiry = True                           # DEBUG SET-ACTIVE-EXPIRE
        self.memory_at_start = used_memory()                # bytes
        self.trimmer = Trimmer()
        self.gatherer = Gatherer()
        self.listeners: list[str] = []                      # as INFO server describes them
        self.executable = ""
        self.supervisor = None                              # what has started the server: see supervision.py
        self.stopping: asyncio.Event | None = None
        self.journal = None                                 # the append-only file, while there is one
        self._ids = itertools.count(1)
        self._periodic: list[tuple[float, Callable[[], None]]] = []
        self._notifier = Notifier(self.pubsub, frozenset())
        self._gone_in = self._gone_out = 0                  # bytes of clients that have left
        self._last_sample = (time.monotonic(), 0, 0, 0)
        self.keeper = Keeper(self)

    # Setting up

    def ready(self) -> None:
        """To be called when all commands, modules and directives are registered: binds the configuration."""
        config, dispatcher = self.config, self.dispatcher
        try:
            dispatcher.load_commands(self.renames.pairs)
        except ValueError as error:
            raise ConfigError("rename-command", str(error)) from None
        databases = self.keyspace.databases
        databases[config["databases"]:] = []
        databases += [Database(i, self.keyspace) for i in range(len(databases), config["databases"])]
        config.observe("slowlog-log-slower-than", dispatcher.set_slow_threshold)
        config.observe("slowlog-max-len", self._set_slowlog_length)
        config.observe("latency-monitor-threshold", dispatcher.set_latency_threshold)
        config.observe("notify-keyspace-events", self._set_notifications)
        config.observe("proto-max-bulk-len", self._set_max_bulk)
        config.observe("tracking-table-max-keys", lambda value: self.tracking.limit())
        for name in ("maxmemory", "maxmemory-policy"):
            config.observe(name, lambda value: self._set_memory_limit())
        try:
            self.acl.start()
        except ValueError as error:
            raise ConfigError("aclfile", str(error)) from None

    def _set_slowlog_length(self, n: int) -> None:
        self.dispatcher.slowlog.max_length = n
        self.dispatcher.slowlog.trim()

    def _set_notifications(self, letters: frozenset) -> None:
        self._notifier.letters = letters
        listeners = self.keyspace.listeners
        if letters & {"K", "E"}:
            if self._notifier not in listeners:
                listeners.append(self._notifier)
        elif self._notifier in listeners:
            listeners.remove(self._notifier)

    def _set_memory_limit(self) -> None:
        self.evictor.configure()
        self.check_memory()

    def _set_max_bulk(self, n: int) -> None:
        for connection in self.connections.values():
            connection.set_max_bulk(n)

    # Background work

    def run_sliced(self, generator: Generator, name: str) -> SlicedTask:
        """Runs a generator that yields after each small piece of work, on the loop thread, beside the traffic."""
        return self.background.run(generator, name)

    def add_periodic(self, seconds: float, function: Callable[[], None]) -> None:
        """Has `function` called every so many seconds while the server runs."""
        if self.loop is None:
            self._periodic.append((seconds, function))
        else:
            self._schedule(seconds, function)

    def _schedule(self, seconds: float, function: Callable[[], None]) -> None:
        def call():
            try:
                function()
            except Exception:
                self.log.exception("A periodic job failed")
            self.loop.call_later(seconds, call)
        self.loop.call_later(seconds, call)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Binds the server to its running loop and starts what is periodic."""
        self.loop = loop
        self.background = Background(loop)
        self.outbox = Outbox(loop)
        self.keyspace.discard = lambda data: self.run_sliced(emptied(data), "free flushed keys")
        self.stopping = asyncio.Event()
        for seconds, function in self._periodic:
            self._schedule(seconds, function)
        self.add_periodic(1, self._each_second)
        self._tick()
        for hook in self.on_start:
            hook(self)

    def _tick(self) -> None:
        self.clock = time.monotonic()
        if self.keyspace.expiry_enabled and self.active_expiry:
            self.keyspace.expire_cycle()
            self.dispatcher.latency.add("expire-cycle", int((time.monotonic() - self.clock) * 1000))
        self.loop.call_later(1 / self.config["hz"], self._tick)

    def _each_second(self) -> None:
        self.dispatcher.catch_up()
        timeout = self.config["timeout"]
        for connection in list(self.connections.values()):
            connection.check(self.clock, timeout)
        self.check_memory()
        now, calls = time.monotonic(), self.dispatcher.calls()
        net_in, net_out = self.net_bytes()
        then, calls_before, in_before, out_before = self._last_sample
        span = now - then
        self.stats.ops_per_second = max(0, calls - calls_before) / span
        self.stats.input_kbps = max(0, net_in - in_before) / span / 1024
        self.stats.output_kbps = max(0, net_out - out_before) / span / 1024
        self._last_sample = now, calls, net_in, net_out
        self.trimmer.look(calls - calls_before, self.keyspace.dirty, now)
        if self.keeper.child is None and not self.dispatcher.loading:
            self.gatherer.look(used_memory())

    def check_memory(self) -> None:
        """Samples the memory in use and compares it with maxmemory."""
        used = used_memory()
        self.stats.peak_memory = max(self.stats.peak_memory, used)
        limit = self.config["maxmemory"]
        self.evictor.sample()
        self.dispatcher.out_of_memory = bool(limit) and not self.evictor.is_on and used > limit
        self.dispatcher.refresh()

    def stop(self) -> None:
        """Ends the server in good order."""
        if self.stopping is not None:
            self.stopping.set()

    # Clients

    def refusal(self, connection, peer) -> str:
        """Why a new connection is not taken, as an error text; "" if it is."""
        if len(self.clients) >= self.config["maxclients"]:
            self.stats.rejected_connections += 1
            return errors.MAX_CLIENTS
        if self.config["protected-mode"] and self.acl.is_open and not connection.is_unix and not is_loopback(peer):
            self.stats.rejected_connections += 1
            return errors.PROTECTED_MODE
        return ""

    def new_client(self) -> Client:
        """A client with the next id, known to CLIENT LIST."""
        client = Client(self, next(self._ids))
        client.authenticated = self.acl.is_open
        client.refresh()
        self.clients[client.id] = client
        self.stats.connections += 1
        return client

    def forget_client(self, client: Client) -> None:
        """Drops all traces of a client that has left."""
        self.clients.pop(client.id, None)
        self.pubsub.forget(client)
        self.tracking.stop(client)
        client.unwatch()
        if client.is_monitor:
            self.set_monitor(client, False)
        client.detach()
        self._gone_in += client.net_in
        self._gone_out += client.net_out

    def set_monitor(self, client: Client, on: bool) -> None:
        """Puts a client in or out of MONITOR."""
        client.is_monitor = on
        (self.dispatcher.monitors.add if on else self.dispatcher.monitors.discard)(client)
        self.dispatcher.refresh()
        client.refresh()

    def net_bytes(self) -> tuple[int, int]:
        """Bytes received and sent since the start."""
        clients = self.clients.values()
        return self._gone_in + sum(c.net_in for c in clients), self._gone_out + sum(c.net_out for c in clients)

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT: puts the counters back to zero."""
        self.dispatcher.reset_stats()
        self.acl.denied = dict.fromkeys(self.acl.denied, 0)
        self.keyspace.n_expired = self.evictor.n_evicted = self.evictor.exceeded_ns = 0
        self._gone_in = self._gone_out = 0
        for client in self.clients.values():
            client.net_in = client.net_out = 0
        self._last_sample = (time.monotonic(), 0, 0, 0)

    def pause(self, seconds: float, writes_only: bool) -> None:
        """CLIENT PAUSE: holds commands back; 0 ends it. A longer or wider pause that is under way wins."""
        dispatcher = self.dispatcher
        now = time.monotonic()
        if seconds <= 0:
            dispatcher.paused_until = 0.0
        else:
            active = dispatcher.paused_until > now
            dispatcher.pause_writes_only = writes_only and (not active or dispatcher.pause_writes_only)
            dispatcher.paused_until = max(dispatcher.paused_until, now + seconds)
            self.loop.call_later(seconds + 0.001, self._end_pause)
        dispatcher.refresh()
        if seconds <= 0:
            self.wake_paused()

    def hold_back(self, function) -> None:
        """Has those commands wait of which `function(client, record of the registry)` says so; None: no longer."""
        self.dispatcher.hold_back = function
        self.dispatcher.refresh()
        if function is None:
            self.wake_paused()

    def wake_paused(self) -> None:
        """Has commands that were held back try again."""
        for connection in list(self.connections.values()):
            connection.wake_paused()

    @property
    def n_held(self) -> int:
        """Commands that wait as `hold_back` says."""
        if self.dispatcher.hold_back is None:
            return 0
        return sum(type(client.waiting) is Paused for client in self.clients.values())

    def _end_pause(self) -> None:
        if self.dispatcher.paused_until and time.monotonic() >= self.dispatcher.paused_until:
            self.pause(0, False)


def is_loopback(peer) -> bool:
    """Whether a peer's address, as asyncio gives it, is this machine's loopback interface."""
    return not peer or peer[0].startswith("127.") or peer[0] in ("::1", "localhost")
