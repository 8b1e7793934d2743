"""INFO, CONFIG, MODULE, SHUTDOWN and what else concerns the server as a whole."""
import time

from respserver import REDIS_VERSION, __version__
from respserver.config import ConfigError, UnknownDirective
from respserver.protocol import errors
from respserver.protocol.errors import SYNTAX, WRONG_ARITY, CommandError
from respserver.protocol.reply import NO_REPLY, OK, Pairs, Verbatim
from respserver.registry import command

from .arguments import to_int
from .help import declare_help

_ADMIN = "admin noscript loading stale"


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


@command("INFO", arity=-1, group="server", flags="loading stale", categories="dangerous", complexity="O(1)",
         summary="Returns information and statistics about the server.")
def info(client, *sections):
    """The sections asked for, or the usual ones."""
    return Verbatim(client.server.info.text(client.server, [_text(section) for section in sections]))


@command("TIME", arity=1, group="server", since="2.6.0", flags="loading stale fast", complexity="O(1)",
         summary="Returns the server time.")
def time_(client):
    """Unix seconds and the microseconds within."""
    now = time.time_ns() // 1000
    return [b"%d" % (now // 1_000_000), b"%d" % (now % 1_000_000)]


@command("LOLWUT", arity=-1, group="server", since="5.0.0", flags="readonly fast",
         summary="Displays computer art and the Redis version.")
def lolwut(client, *words):
    """The name of the thing."""
    if len(words) >= 2 and words[0].upper() == b"VERSION":
        to_int(words[1])
    return Verbatim(f"vamana-server {__version__}, speaking Redis ver. {REDIS_VERSION}\n")


@command("ROLE", arity=1, group="server", since="2.8.12", flags="admin noscript loading stale fast", complexity="O(1)",
         summary="Returns the replication role.")
def role(client):
    """A primary without replicas."""
    return [b"master", 0, []]


@command("WAIT", arity=3, group="generic", since="3.0.0", flags="blocking", categories="connection -blocking -keyspace",
         complexity="O(1)",
         summary="Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.")
def wait(client, n_replicas, timeout):
    """There are no replicas, now or later: answers at once."""
    to_int(n_replicas)
    if to_int(timeout, errors.TIMEOUT_NOT_INTEGER) < 0:
        raise CommandError(errors.TIMEOUT_NEGATIVE)
    return 0


@command("REPLICAOF", arity=3, group="server", since="5.0.0", flags="admin noscript stale no_async_loading", complexity="O(1)",
         summary="Configures a server as replica of another, or promotes it to a master.")
def replicaof(client, host, port):
    """NO ONE is what the server is."""
    if host.upper() == b"NO" and port.upper() == b"ONE":
        return OK
    raise CommandError(errors.NO_REPLICATION)


command("SLAVEOF", arity=3, group="server", flags="admin noscript stale no_async_loading", complexity="O(1)",
        summary="Sets a Redis server as a replica of another, or promotes it to being a master.")(replicaof)


_SHUTDOWN_WORDS = {b"NOSAVE", b"SAVE", b"NOW", b"FORCE", b"ABORT"}


@command("SHUTDOWN", arity=-1, group="server", flags="admin noscript loading stale no_multi allow_busy",
         complexity="O(N) when saving, where N is the total number of keys", summary="Shuts down the server.")
def shutdown(client, *words):
    """[NOSAVE | SAVE] [NOW] [FORCE], or ABORT."""
    options = [word.upper() for word in words]
    if set(options) - _SHUTDOWN_WORDS or {b"SAVE", b"NOSAVE"} <= set(options) or (b"ABORT" in options and len(options) > 1):
        raise CommandError(SYNTAX)
    if b"ABORT" in options:
        raise CommandError(errors.NO_SHUTDOWN)
    server = client.server
    server.log.warning("User requested shutdown...")
    keeper = server.keeper
    if b"SAVE" in options or (b"NOSAVE" not in options and server.config["save"] and keeper.changes):
        keeper.kill_child()
        try:
            keeper.save()
        except CommandError:
            if b"FORCE" not in options:
                raise CommandError(errors.SHUTDOWN_FAILED) from None
    keeper.saves_at_end = False
    client.closing = True
    client.server.stop()
    return NO_REPLY


# CONFIG

def _is_local(client) -> bool:
    return client.is_unix or client.address.startswith(("127.", "[::1]"))


@command("CONFIG GET", arity=-3, group="server", since="2.0.0", flags=_ADMIN,
         complexity="O(N) when N is the number of configuration parameters provided",
         summary="Returns the effective values of configuration parameters.")
def config_get(client, *patterns):
    """Names that match any of the patterns, with their values."""
    return Pairs(client.server.config.get([_text(pattern) for pattern in patterns]))


@command("CONFIG SET", arity=-4, group="server", since="2.0.0", flags=_ADMIN,
         complexity="O(N) when N is the number of configuration parameters provided",
         summary="Sets configuration parameters in-flight.")
def config_set(client, *words):
    """Sets all of the pairs or none."""
    if len(words) % 2:
        raise CommandError(WRONG_ARITY.format("config|set"))
    names, values = [_text(word) for word in words[::2]], [_text(word) for word in words[1::2]]
    try:
        client.server.config.set(zip(names, values), _is_local(client))
    except UnknownDirective as error:
        raise CommandError(errors.CONFIG_UNKNOWN.format(error.name)) from None
    except ConfigError as error:
        raise CommandError(errors.CONFIG_FAILED.format(error.name, error.text)) from None
    return OK


@command("CONFIG RESETSTAT", arity=2, group="server", since="2.0.0", flags=_ADMIN, complexity="O(1)",
         summary="Resets the server's statistics.")
def config_resetstat(client):
    """Puts the counters of INFO back to zero."""
    client.server.reset_stats()
    return OK


@command("CONFIG REWRITE", arity=2, group="server", since="2.8.0", flags=_ADMIN, complexity="O(1)",
         summary="Persists the effective configuration to file.")
def config_rewrite(client):
    """Brings the configuration file up to date."""
    config = client.server.config
    if not config.file:
        raise CommandError(errors.CONFIG_NO_FILE)
    try:
        config.rewrite()
    except OSError as error:
        raise CommandError(errors.CONFIG_REWRITE_FAILED.format(error.strerror)) from None
    return OK


declare_help("CONFIG", "server", "5.0.0", (
    "GET <pattern> [<pattern> ...]", "    Directives that match the patterns, with their values.",
    "SET <directive> <value> [<directive> <value> ...]", "    Set all of these directives, or none if one is refused.",
    "RESETSTAT", "    Put the counters of INFO back to zero.",
    "REWRITE", "    Bring the configuration file up to date.",
))


# MODULE

@command("MODULE LIST", arity=2, group="server", since="4.0.0", flags="admin noscript",
         complexity="O(N) where N is the number of loaded modules.",
         summary="Returns all loaded modules.")
def module_list(client):
    """Name, version, path and arguments of each."""
    return [Pairs([(b"name", module.name), (b"ver", module.ver), (b"path", module.path), (b"args", list(module.args))])
            for module in client.server.modules]


@command("MODULE LOAD", arity=-3, group="server", since="4.0.0", flags="admin noscript no_async_loading", complexity="O(1)",
         summary="Loads a module.")
def module_load(client, path, *arguments):
    """Refused."""
    raise CommandError(errors.NO_MODULES)


@command("MODULE UNLOAD", arity=3, group="server", since="4.0.0", flags="admin noscript no_async_loading", complexity="O(1)",
         summary="Unloads a module.")
def module_unload(client, name):
    """Refused."""
    raise CommandError(errors.NO_MODULES)


declare_help("MODULE", "server", "5.0.0", ("LIST", "    The modules of this server."))


# FUNCTION, for clients that clear a server: there are no functions

@command("FUNCTION FLUSH", arity=-2, group="scripting", since="7.0.0", flags="write noscript", complexity="O(1)",
         summary="Deletes all libraries and functions.")
def function_flush(client, *mode):
    """There is nothing to delete."""
    if len(mode) > 1 or (mode and mode[0].upper() not in (b"SYNC", b"ASYNC")):
        raise CommandError(errors.FUNCTION_FLUSH)
    return OK


@command("FUNCTION LIST", arity=-2, group="scripting", since="7.0.0", flags="noscript", complexity="O(1)",
         summary="Returns information about all libraries.")
def function_list(client, *words):
    """There are none."""
    return []


declare_help("FUNCTION", "scripting", "7.0.0",
             ("FLUSH [ASYNC|SYNC]", "    Nothing to delete: there are no functions.", "LIST", "    Always empty."),
             flags="loading stale")


# A single instance in the words of a cluster

def _no_cluster(client, *_):
    raise CommandError(errors.NO_CLUSTER)


command("READONLY", arity=1, group="cluster", since="3.0.0", flags="loading stale fast", categories="connection",
        complexity="O(1)",
        summary="Enables read-only queries for a connection to a Redis Cluster replica node.")(_no_cluster)
command("READWRITE", arity=1, group="cluster", since="3.0.0", flags="loading stale fast", categories="connection",
        complexity="O(1)",
        summary="Enables read-write queries for a connection to a Redis Cluster replica node.")(_no_cluster)
command("ASKING", arity=1, group="cluster", since="3.0.0", flags="fast", categories="connection", complexity="O(1)",
        summary="Signals that a cluster client is following an -ASK redirect.")(_no_cluster)
command("CLUSTER", arity=-2, group="cluster", since="3.0.0", flags="loading stale", complexity="O(1)",
        summary="Answers that this server is not part of a cluster.")(_no_cluster)
