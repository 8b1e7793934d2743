"""HELLO, AUTH, PING and the like, and CLIENT."""
import re
import time

from respserver import REDIS_VERSION
from respserver.protocol import errors
from respserver.protocol.errors import SYNTAX, CommandError
from respserver.protocol.reply import NO_REPLY, OK, PONG, Pairs, Push, Simple, Verbatim
from respserver.registry import command

from .arguments import to_int
from .help import declare_help
from .transactions import leave

_ALWAYS = "noscript loading stale fast no_auth allow_busy"
_CLIENT = "noscript loading stale"
_CLIENT_ADMIN = "admin noscript loading stale"
_PRINTABLE = re.compile(rb"[!-~]*").fullmatch


@command("PING", arity=-1, group="connection", flags="fast", complexity="O(1)",
         summary="Returns the server's liveliness response.")
def ping(client, *message):
    """PONG or the message."""
    if client.special and client.proto == 2 and client.n_subscriptions:
        if len(message) > 1:
            raise CommandError(errors.WRONG_ARITY.format("ping"))
        return Push([b"pong", message[0] if message else b""])
    if not message:
        return PONG
    if len(message) > 1:
        raise CommandError(errors.WRONG_ARITY.format("ping"))
    return message[0]


@command("ECHO", arity=2, group="connection", flags="loading stale fast", complexity="O(1)", summary="Returns the given string.")
def echo(client, message):
    """The message."""
    return message


@command("SELECT", arity=2, group="connection", flags="loading stale fast", complexity="O(1)",
         summary="Changes the selected database.")
def select(client, index):
    """Changes the client's database."""
    try:
        client.select(to_int(index))
    except IndexError:
        raise CommandError(errors.DB_INDEX_RANGE) from None
    return OK


@command("QUIT", arity=-1, group="connection", flags=_ALWAYS, complexity="O(1)", summary="Closes the connection.")
def quit_(client, *_):
    """Answers OK, then closes."""
    client.closing = True
    return OK


@command("AUTH", arity=-2, group="connection", flags=_ALWAYS + " sentinel",
         complexity="O(N) where N is the number of passwords defined for the user",
         summary="Authenticates the connection.")
def auth(client, *words):
    """AUTH password, or AUTH user password."""
    if len(words) > 2:
        raise CommandError(SYNTAX)
    acl = client.server.acl
    if len(words) == 1 and acl.default.any_password:
        raise CommandError(errors.AUTH_WITHOUT_PASSWORD)
    acl.login(client, words[0] if len(words) == 2 else b"default", words[-1], b"AUTH")
    return OK


@command("HELLO", arity=-1, group="connection", since="6.0.0", flags=_ALWAYS, complexity="O(1)",
         summary="Handshakes with the server.")
def hello(client, *words):
    """HELLO [protover [AUTH user password] [SETNAME name]]."""
    proto = client.proto
    if words:
        proto = to_int(words[0], errors.PROTO_NOT_INTEGER)
        if proto not in (2, 3):
            raise CommandError(errors.NO_PROTO)
    login = name = None
    i = 1
    while i < len(words):
        option = words[i].upper()
        if option == b"AUTH" and i + 2 < len(words):
            login = words[i + 1:i + 3]
            i += 3
        elif option == b"SETNAME" and i + 1 < len(words):
            name = _checked_name(words[i + 1])
            i += 2
        else:
            raise CommandError(errors.HELLO_SYNTAX.format(words[i].decode("utf-8", "surrogateescape")))
    if login is not None:
        client.server.acl.login(client, *login, b"HELLO")
    if not client.authenticated:
        raise CommandError(errors.HELLO_NO_AUTH)
    if name is not None:
        client.name = name
    client.proto = proto
    client.refresh()
    modules = [Pairs([(b"name", module.name), (b"ver", module.ver), (b"path", module.path), (b"args", list(module.args))])
               for module in client.server.modules]
    return Pairs([(b"server", b"redis"), (b"version", REDIS_VERSION), (b"proto", proto), (b"id", client.id),
                  (b"mode", b"standalone"),
                  (b"role", b"master"), (b"modules", modules)])


@command("RESET", arity=1, group="connection", since="6.2.0", flags=_ALWAYS, complexity="O(1)", summary="Resets the connection.")
def reset(client):
    """Puts the connection into the state of a new one."""
    leave(client)
    server = client.server
    server.pubsub.forget(client)
    server.tracking.stop(client)
    if client.is_monitor:
        server.set_monitor(client, False)
    client.select(0)
    client.proto = 2
    client.name = b""
    client.reply_mode = "on"
    client.no_evict = client.no_touch = False
    client.user = server.acl.default
    client.authenticated = server.acl.is_open
    client.refresh()
    return Simple("RESET")


# CLIENT

def _checked_name(name: bytes) -> bytes:
    if not _PRINTABLE(name):
        raise CommandError(errors.BAD_CLIENT_NAME)
    return name


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


@command("CLIENT ID", arity=2, group="connection", since="5.0.0", flags=_CLIENT, complexity="O(1)",
         summary="Returns the unique client ID of the connection.")
def client_id(client):
    """The number of this connection."""
    return client.id


@command("CLIENT INFO", arity=2, group="connection", since="6.2.0", flags=_CLIENT, complexity="O(1)",
         summary="Returns information about the connection.")
def client_info(client):
    """This connection's line of CLIENT LIST."""
    return Verbatim(client.describe() + "\n")


_TYPES = {b"normal", b"master", b"replica", b"slave", b"pubsub"}


def _checked_type(word: bytes) -> str:
    if word.lower() not in _TYPES:
        raise CommandError(errors.BAD_CLIENT_TYPE.format(_text(word)))
    return _text(word.lower())


@command("CLIENT LIST", arity=-2, group="connection", since="2.4.0", flags=_CLIENT_ADMIN, categories="connection",
         complexity="O(N) where N is the number of client connections", summary="Lists open connections.")
def client_list(client, *words):
    """CLIENT LIST [TYPE type] [ID id ...]."""
    clients = list(client.server.clients.values())
    option = words[0].upper() if words else b""
    if option == b"TYPE" and len(words) == 2:
        kind = _checked_type(words[1])
        clients = [other for other in clients if other.kind == kind]
    elif option == b"ID" and len(words) > 1:
        wanted = [to_int(word, errors.BAD_CLIENT_ID) for word in words[1:]]
        clients = [client.server.clients[number] for number in wanted if number in client.server.clients]
    elif words:
        raise CommandError(SYNTAX)
    return Verbatim("".join(other.describe() + "\n" for other in clients))


@command("CLIENT GETNAME", arity=2, group="connection", since="2.6.9", flags=_CLIENT, complexity="O(1)",
         summary="Returns the name of the connection.")
def client_getname(client):
    """The name, or null."""
    return client.name or None


@command("CLIENT SETNAME", arity=3, group="connection", since="2.6.9", flags=_CLIENT, complexity="O(1)",
         summary="Sets the connection name.")
def client_setname(client, name):
    """An empty name takes it away."""
    client.name = _checked_name(name)
    return OK


@command("CLIENT SETINFO", arity=4, group="connection", since="7.2.0", flags=_CLIENT, complexity="O(1)",
         summary="Sets information specific to the client or connection.")
def client_setinfo(client, attribute, value):
    """LIB-NAME or LIB-VER."""
    which = attribute.lower()
    if which not in (b"lib-name", b"lib-ver"):
        raise CommandError(errors.BAD_CLIENT_OPTION.format(_text(attribute)))
    if not _PRINTABLE(value):
        raise CommandError(errors.BAD_CLIENT_INFO.format(_text(which)))
    if which == b"lib-name":
        client.lib_name = value
    else:
        client.lib_ver = value
    return OK


def _on_off(word: bytes) -> bool:
    option = word.lower()
    if option not in (b"on", b"off"):
        raise CommandError(SYNTAX)
    return option == b"on"


@command("CLIENT NO-EVICT", arity=3, group="connection", since="7.0.0", flags=_CLIENT_ADMIN, categories="connection",
         complexity="O(1)",
         summary="Sets the client eviction mode of the connection.")
def client_no_evict(client, mode):
    """Kept and shown; this server does not evict clients."""
    client.no_evict = _on_off(mode)
    return OK


@command("CLIENT NO-TOUCH", arity=3, group="connection", since="7.2.0", flags=_CLIENT, complexity="O(1)",
         summary="Controls whether commands sent by the client affect the LRU/LFU of accessed keys.")
def client_no_touch(client, mode):
    """What this client reads does not count as used."""
    client.no_touch = _on_off(mode)
    return OK


@command("CLIENT REPLY", arity=3, group="connection", since="3.2.0", flags=_CLIENT, complexity="O(1)",
         summary="Instructs the server whether to reply to commands.")
def client_reply(client, mode):
    """ON, OFF, or SKIP for the next command."""
    option = mode.lower()
    if option == b"on":
        client.reply_mode = "on"
        client.refresh()
        return OK
    if option not in (b"off", b"skip"):
        raise CommandError(SYNTAX)
    if option == b"off" or client.reply_mode != "off":
        client.reply_mode = _text(option)
        client.refresh()
    return NO_REPLY


@command("CLIENT KILL", arity=-3, group="connection", since="2.4.0", flags=_CLIENT_ADMIN, categories="connection",
         complexity="O(N) where N is the number of client connections", summary="Terminates open connections.")
def client_kill(client, *words):
    """CLIENT KILL addr, or filters: ID, ADDR, LADDR, TYPE, USER, SKIPME, MAXAGE."""
    clients = client.server.clients.values()
    if len(words) == 1:
        for other in clients:
            if other.address.encode() == words[0]:
                _kill(client, other)
                return OK
        raise CommandError(errors.NO_SUCH_CLIENT)
    if len(words) % 2:
        raise CommandError(SYNTAX)
    skip_me = True
    tests = []
    for option, value in zip(words[::2], words[1::2]):
        kind = option.upper()
        if kind == b"SKIPME":
            if value.lower() not in (b"yes", b"no"):
                raise CommandError(SYNTAX)
            skip_me = value.lower() == b"yes"
        elif kind in _KILL_TESTS:
            tests.append(_KILL_TESTS[kind](value))
        elif kind == b"USER":
            tests.append(_kill_user(client.server.acl, value))
        else:
            raise CommandError(SYNTAX)
    chosen = [other for other in clients if all(test(other) for test in tests) and not (skip_me and other is client)]
    for other in chosen:
        _kill(client, other)
    return len(chosen)


def _kill(client, other) -> None:
    if other is client:
        client.closing = True
    else:
        other.close()


def _kill_id(value):
    number = to_int(value, errors.CLIENT_ID_POSITIVE)
    if number < 1:
        raise CommandError(errors.CLIENT_ID_POSITIVE)
    return lambda other: other.id == number


def _kill_type(value):
    kind = _checked_type(value)
    return lambda other: other.kind == kind


def _kill_user(acl, value):
    user = acl.users.get(value)
    if user is None:
        raise CommandError(errors.NO_SUCH_USER.format(_text(value)))
    return lambda other: other.user is user


def _kill_age(value):
    seconds = to_int(value, errors.CLIENT_MAXAGE)
    if seconds < 1:
        raise CommandError(errors.CLIENT_MAXAGE_POSITIVE)
    return lambda other: time.monotonic() - other.created >= seconds


_KILL_TESTS = {
    b"ID": _kill_id, b"TYPE": _kill_type, b"MAXAGE": _kill_age,
    b"ADDR": lambda value: lambda other: other.address.encode() == value,
    b"LADDR": lambda value: lambda other: other.local_address.encode() == value,
}


@command("CLIENT PAUSE", arity=-3, group="connection", since="3.0.0", flags=_CLIENT_ADMIN, categories="connection",
         complexity="O(1)",
         summary="Suspends commands processing.")
def client_pause(client, timeout, *mode):
    """Milliseconds, and ALL (the default) or WRITE."""
    milliseconds = to_int(timeout, errors.TIMEOUT_NOT_INTEGER)
    if milliseconds < 0:
        raise CommandError(errors.TIMEOUT_NEGATIVE)
    if len(mode) > 1 or (mode and mode[0].upper() not in (b"ALL", b"WRITE")):
        raise CommandError(SYNTAX)
    client.server.pause(milliseconds / 1000, bool(mode) and mode[0].upper() == b"WRITE")
    return OK


@command("CLIENT UNPAUSE", arity=2, group="connection", since="6.2.0", flags=_CLIENT_ADMIN, categories="connection",
         complexity="O(N) Where N is the number of paused clients", summary="Resumes processing commands from paused clients.")
def client_unpause(client):
    """Ends CLIENT PAUSE."""
    client.server.pause(0, False)
    return OK


@command("CLIENT UNBLOCK", arity=-3, group="connection", since="5.0.0", flags=_CLIENT_ADMIN, categories="connection",
         complexity="O(log N) where N is the number of client connections",
         summary="Unblocks a client blocked by a blocking command.")
def client_unblock(client, number, *reason):
    """1 if the client was waiting in a blocking command and is not any more."""
    how = reason[0].upper() if reason else b"TIMEOUT"
    if len(reason) > 1 or how not in (b"TIMEOUT", b"ERROR"):
        raise CommandError(errors.UNBLOCK_REASON)
    other = client.server.clients.get(to_int(number))
    if other is None or other.waiting is None or not other.waiting.blocking:
        return 0
    other.waiting.end(CommandError(errors.UNBLOCKED) if how == b"ERROR" else None)
    return 1


declare_help("CLIENT", "connection", "5.0.0", (
    "CACHING (YES|NO)", "    Whether the next command's reads are tracked, with OPTIN or OPTOUT.",
    "GETNAME", "    The name of this connection.",
    "GETREDIR", "    The client that gets this one's tracking messages; -1: tracking is off.",
    "ID", "    The id of this connection.",
    "INFO", "    This connection's line of CLIENT LIST.",
    "KILL <ip:port>", "    Close the connection from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]", "    Close connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)", "    * LADDR (<ip:port>|<unixsocket>:0)",
    "    * TYPE (normal|master|replica|pubsub)",
    "    * USER <username>", "    * SKIPME (yes|no)", "    * ID <client-id>", "    * MAXAGE <seconds>",
    "LIST [TYPE (normal|master|replica|pubsub)] [ID <client-id> [...]]", "    Open connections.",
    "NO-EVICT (ON|OFF)", "    Keep this connection from being closed for its buffers.",
    "NO-TOUCH (ON|OFF)", "    Leave access times alone.",
    "PAUSE <timeout> [WRITE|ALL]", "    Hold back all or writing commands for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)", "    Which replies this connection wants.",
    "SETINFO (LIB-NAME|LIB-VER) <value>", "    Name the client library.",
    "SETNAME <name>", "    Name this connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
    "    Have this connection told when keys change that it has read.",
    "TRACKINGINFO", "    State of client-side caching.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]", "    End the blocking command of a client.",
    "UNPAUSE", "    End CLIENT PAUSE.",
))
