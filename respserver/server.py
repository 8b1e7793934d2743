"""A server's life: listening, signals, logging, the end."""
import asyncio
import gc
import logging
import os
import signal
import socket
import sys

from .config import Config, ConfigError
from .connection import Connection
from .state import Server

log = logging.getLogger("vamana")

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
    handler = logging.FileHandler(config["logfile"]) if config["logfile"] else logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Format("%(process)d:M %(asctime)s %(mark)s %(message)s"))
    log.handlers[:] = [handler]
    log.propagate = False
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
    server.attach(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, server, number)
    tame_garbage_collector()
    pidfile = server.config["pidfile"]
    if pidfile:
        with open(pidfile, "w") as file:
            file.write(f"{os.getpid()}\n")
    listeners = await listen(server)
    if server.config.without_effect:
        log.warning("These directives have no effect in this server: %s", " ".join(server.config.without_effect))
    log.info("Ready to accept connections")
    try:
        await server.stopping.wait()
    finally:
        for listener in listeners:
            listener.close()
        server.background.cancel_all()
        for connection in list(server.connections.values()):    # before the modules stop: no command may reach one that has
            connection.close()
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
    objects of the last few thousand allocations are looked at, well under a millisecond each time. Reference counting frees nearly
    everything; MEMORY PURGE looks at the rest."""
    gc.collect()
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
    if port:
        for address in config["bind"] or ["*"]:
            optional = address.startswith("-")
            hosts = {"*": None, "::*": "::"}.get(address.lstrip("-"), address.lstrip("-"))
            try:
                listeners.append(await loop.create_server(lambda: Connection(server), hosts, port, backlog=backlog,
                                                          reuse_address=True))
            except (OSError, socket.gaierror) as error:
                if not optional:
                    raise ConfigError("bind", f"Could not create server TCP listening socket {address}:{port}: {error}") from None
        server.listeners.append(f"name=tcp,{','.join('bind=' + address for address in config['bind'] or ['*'])},port={port}")
        log.info("Listening on port %d", port)
    if not listeners:
        raise ConfigError("port", "Configured to not listen anywhere, exiting.")
    return listeners


def run(server: Server) -> None:
    """Runs the server on uvloop if that is installed, else on asyncio's own loop."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        new_event_loop = None
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(server))
