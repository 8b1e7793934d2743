"""A server's life: listening, signals, logging, the end."""
import asyncio
import gc
import logging
import os
import signal
import socket
import sys

from . import crash, tls
from .config import Config, ConfigError, register
from .connection import Connection
from .state import Server
from .supervision import Supervisor

log = logging.getLogger("vamana")

for _row in tls.DIRECTIVES:
    register(_row)

_LEVELS = {"debug": logging.DEBUG, "verbose": logging.INFO - 5, "notice": logging.INFO, "warning": logging.WARNING,
           "nothing": logging.CRITICAL + 1}
_MARKS = ((logging.WARNING, "#"), (logging.INFO, "*"), (logging.INFO - 5, "-"), (0, "."))


class _Format(logging.Formatter):
    """Redis's log line: pid:role time mark text."""

    default_time_format = "%d %b %Y %H:%M:%S"
    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        record.mark = next(mark for level, mark in _MARKS if record.levelno >= level)
        return super().format(record)


def set_up_logging(config: Config) -> None:
    """Sends the log to `logfile` or to the standard output, from `loglevel` on."""
    path = config["logfile"]
    handler = logging.StreamHandler(sys.stdout)
    if path or config["syslog-enabled"]:
        from logging.handlers import SysLogHandler, WatchedFileHandler      # takes a while
    if path:
        handler = WatchedFileHandler(path)              # opened anew when the file has been moved away
    handler.setFormatter(_Format("%(process)d:M %(asctime)s %(mark)s %(message)s"))
    log.handlers[:] = [handler]
    log.propagate = False
    if config["syslog-enabled"]:
        handler = SysLogHandler("/dev/log", SysLogHandler.facility_names[config["syslog-facility"]])
        handler.ident = config["syslog-ident"] + ": "
        log.addHandler(handler)
    if config["crash-log-enabled"]:
        crash.catch_signals(path)
    config.observe("loglevel", lambda level: log.setLevel(_LEVELS[level]))


def prepare_dir(config: Config) -> None:
    """Makes `dir` if it is not there and changes into it, as Redis does; its value becomes the absolute path."""
    path = os.path.abspath(config["dir"] or ".")
    try:
        os.makedirs(path, exist_ok=True)
        os.chdir(path)
    except OSError as error:
        raise ConfigError("dir", f"{path}: {error.strerror}") from None
    config.load("dir", [path])


def daemonize() -> None:
    """Leaves the terminal: the parent ends, the child goes on in a session of its own."""
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)


async def serve(server: Server) -> None:
    """Runs the server until it is told to stop by a signal or by SHUTDOWN."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(crash.on_loop_error)
    supervisor = server.supervisor = Supervisor(server.config["supervised"])
    supervisor.tell("STATUS=Loading")
    server.attach(loop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, server, number)
    tame_garbage_collector()
    pidfile = server.config["pidfile"]
    if pidfile:
        with open(pidfile, "w") as file:
            file.write(f"{os.getpid()}\n")
    listeners = await server.keeper.start(lambda: listen(server))
    for remark in server.config.remarks:
        log.warning(remark)
    if server.config.without_effect:
        log.warning("These directives have no effect in this server: %s", " ".join(server.config.without_effect))
    log.info("Ready to accept connections")
    supervisor.tell("READY=1", "STATUS=Ready to accept connections", f"MAINPID={os.getpid()}")
    try:
        await server.stopping.wait()
    finally:
        supervisor.tell("STOPPING=1", "STATUS=Shutting down")
        for listener in listeners:
            listener.close()
        server.background.cancel_all()
        for connection in list(server.connections.values()):    # before the modules stop: no command may reach one that has
            connection.close()
        server.keeper.stop()
        for hook in reversed(server.on_stop):
            try:
                hook(server)
            except Exception:
                log.exception("A module failed to stop")
        await asyncio.sleep(0)
        for path in (pidfile, server.config["unixsocket"]):
            if path and os.path.exists(path):
                os.unlink(path)
        log.warning("The server is now ready to exit, bye bye...")


def tame_garbage_collector() -> None:
    """Keeps Python's cyclic garbage collector from walking over all keys and values, which would stop the server for long: only
    objects of the last few thousand allocations are looked at, well under a millisecond each time. Reference counting frees
    nearly everything; MEMORY PURGE looks at the rest."""
    gc.freeze()
    gc.set_threshold(2000, 10, 1_000_000)


def _on_signal(server: Server, number: int) -> None:
    log.warning("Received %s scheduling shutdown...", signal.Signals(number).name)
    server.stop()


async def listen(server: Server) -> list:
    """Opens the configured sockets. Raises ConfigError if one that has to be there cannot be opened."""
    config, loop = server.config, server.loop
    listeners = []
    port, backlog = config["port"], max(1, config["tcp-backlog"])
    path = config["unixsocket"]
    if path:
        if os.path.exists(path):
            os.unlink(path)
        listeners.append(await loop.create_unix_server(lambda: Connection(server, is_unix=True), path, backlog=backlog))
        if config["unixsocketperm"]:
            os.chmod(path, config["unixsocketperm"])
        server.listeners.append(f"name=unix,bind={path}")
        log.info("Listening on unix socket %s", path)
    if config["tls-port"]:
        listeners.append(TlsListener(server))
        await listeners[-1].open()
    if port:
        for address in config["bind"] or ["*"]:
            for sock in _sockets(address, port, backlog):
                listeners.append(await loop.create_server(lambda: Connection(server), sock=sock, backlog=backlog))
        server.listeners.append(f"name=tcp,{','.join('bind=' + address for address in config['bind'] or ['*'])},port={port}")
        log.info("Listening on port %d", port)
    if not listeners:
        raise ConfigError("port", "Configured to not listen anywhere, exiting.")
    return listeners


def _sockets(address: str, port: int, backlog: int) -> list[socket.socket]:
    """Sockets that listen on an address of the directive `bind`.
    Raises ConfigError; one that may be missing (-address) gives none."""
    name = address.lstrip("-")
    found = []
    try:
        infos = socket.getaddrinfo({"*": None, "::*": "::"}.get(name, name), port, type=socket.SOCK_STREAM,
                                   flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, where in dict.fromkeys(infos):
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError:                             # a family that the system does not have
                continue
            found.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(where)
            sock.listen(backlog)
            sock.setblocking(False)
    except OSError as error:
        for sock in found:
            sock.close()
        if address.startswith("-"):
            return []
        raise ConfigError("bind", f"Could not create server TCP listening socket {address}:{port}: {error}") from None
    return found


class TlsListener:
    """The sockets of tls-port. They stay when certificates change: only those that take connections from them are made anew."""

    def __init__(self, server: Server):
        self.server = server
        self._sockets: list[socket.socket] = []
        self._acceptors: list = []
        self._context = None

    async def open(self) -> None:
        """Opens the sockets. Raises ConfigError."""
        config = self.server.config
        port, backlog = config["tls-port"], max(1, config["tcp-backlog"])
        addresses = config["bind"] or ["*"]
        try:
            self._context = tls.make_context(config)
        except ValueError as error:
            raise ConfigError("tls-port", f"Failed to configure TLS: {error}") from None
        for address in addresses:
            self._sockets += _sockets(address, port, backlog)
        await self._accept()
        for row in tls.DIRECTIVES[1:]:
            config.observe(row.name, lambda value: self._renew())
        self.server.listeners.append(f"name=tls,{','.join('bind=' + address for address in addresses)},port={port}")
        log.info("Listening for TLS on port %d", port)

    def _renew(self) -> None:
        """Has connections from now on use what the directives say now. Raises ValueError."""
        try:
            self._context = tls.make_context(self.server.config)
        except ValueError as error:
            log.warning("Failed to configure TLS: %s", error)
            raise ValueError("Unable to update TLS configuration. Check server logs.") from None
        self.server.loop.create_task(self._accept())

    async def _accept(self) -> None:
        old, self._acceptors = self._acceptors, []
        for sock in self._sockets:
            self._acceptors.append(await self.server.loop.create_server(
                lambda: Connection(self.server, is_tls=True), sock=sock.dup(), ssl=self._context, ssl_handshake_timeout=10,
                backlog=max(1, self.server.config["tcp-backlog"])))
        for acceptor in old:
            acceptor.close()

    def close(self) -> None:
        """Takes no more connections."""
        for listener in (*self._acceptors, *self._sockets):
            listener.close()


def run(server: Server) -> None:
    """Runs the server on uvloop if that is installed, else on asyncio's own loop."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        new_event_loop = None
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(server))
