"""COMMAND: what the registry says about every command."""
from respserver.glob import matcher
from respserver.protocol import errors
from respserver.protocol.errors import SYNTAX, CommandError
from respserver.protocol.reply import Pairs, SetOf, Simple
from respserver.registry import MODULE_GROUPS, Command, command

from .help import declare_help

_FLAGS = "loading stale"
#: The flags that Redis knows; others are this server's own business.
_SHOWN_FLAGS = ("write", "readonly", "denyoom", "module", "admin", "pubsub", "noscript", "blocking", "loading", "stale",
                "skip_monitor", "skip_slowlog", "asking", "fast", "no_auth", "may_replicate", "sentinel", "no_mandatory_keys",
                "no_async_loading", "no_multi", "movablekeys", "allow_busy")


def _flags(record: Command) -> list[Simple]:
    flags = (record.flags | ({"module"} if record.group in MODULE_GROUPS else set())
             | ({"movablekeys"} if record.get_keys else set()))
    return [Simple(flag) for flag in _SHOWN_FLAGS if flag in flags]


def _key_specs(record: Command) -> list:
    first, last, step = record.keys
    if not first:
        return []
    access = [Simple("RW"), Simple("update")] if "write" in record.flags else [Simple("RO"), Simple("access")]
    return [Pairs([
        (b"flags", SetOf(access)),
        (b"begin_search", Pairs([(b"type", b"index"), (b"spec", Pairs([(b"index", first)]))])),
        (b"find_keys", Pairs([(b"type", b"range"),
                              (b"spec",
                               Pairs([(b"lastkey", last - first if last > 0 else last), (b"keystep", step), (b"limit", 0)]))])),
    ])]


def _describe(record: Command) -> list:
    """One entry of COMMAND INFO."""
    return [record.wire_name, record.arity, SetOf(_flags(record)), *record.keys,
            SetOf([Simple("@" + name) for name in sorted(record.categories)]), SetOf(), SetOf(_key_specs(record)),
            SetOf([_describe(sub) for sub in record.subcommands.values()])]


def _find(client, name: bytes) -> Command | None:
    """The command of a name such as get or config|set."""
    container, _, sub = name.lower().partition(b"|")
    record = client.server.dispatcher.names.get(container)
    return record.subcommands.get(sub) if record is not None and sub else record


@command("COMMAND", arity=-1, group="server", since="2.8.13", flags=_FLAGS, categories="connection",
         complexity="O(N) where N is the total number of Redis commands",
         summary="Returns detailed information about all commands.")
def command_(client, *words):
    """All commands as in COMMAND INFO."""
    if words:
        raise CommandError(errors.UNKNOWN_SUBCOMMAND.format(words[0].decode("utf-8", "surrogateescape"), "COMMAND"))
    return [_describe(record) for record in client.server.dispatcher.names.values()]


@command("COMMAND COUNT", arity=2, group="server", since="2.8.13", flags=_FLAGS, categories="connection", complexity="O(1)",
         summary="Returns a count of commands.")
def command_count(client):
    """Without sub-commands."""
    return len(client.server.dispatcher.names)


@command("COMMAND INFO", arity=-2, group="server", since="2.8.13", flags=_FLAGS, categories="connection",
         complexity="O(N) where N is the number of commands to look up",
         summary="Returns information about one, multiple or all commands.")
def command_info(client, *names):
    """An entry per name, null for a name that does not exist."""
    if not names:
        return command_(client)
    found = [_find(client, name) for name in names]
    return [None if record is None else _describe(record) for record in found]


def _docs(record: Command) -> Pairs:
    rows = [(b"summary", record.summary), (b"since", record.since),
            (b"group", "module" if record.group in MODULE_GROUPS else record.group)]
    if record.group in MODULE_GROUPS:
        rows.append((b"module", MODULE_GROUPS[record.group]))
    if record.complexity:
        rows.append((b"complexity", record.complexity))
    if record.subcommands:
        rows.append((b"subcommands", Pairs([(sub.wire_name, _docs(sub)) for sub in record.subcommands.values()])))
    return Pairs(rows)


@command("COMMAND DOCS", arity=-2, group="server", since="7.0.0", flags=_FLAGS, categories="connection",
         complexity="O(N) where N is the number of commands to look up",
         summary="Returns documentary information about one, multiple or all commands.")
def command_docs(client, *names):
    """Name and documentation in turn; names that do not exist are left out."""
    records = [_find(client, name) for name in names] if names else list(client.server.dispatcher.names.values())
    return Pairs([(record.wire_name, _docs(record)) for record in records if record is not None])


@command("COMMAND LIST", arity=-2, group="server", since="7.0.0", flags=_FLAGS, categories="connection",
         complexity="O(N) where N is the total number of Redis commands", summary="Returns a list of command names.")
def command_list(client, *words):
    """Sub-commands among them. COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]."""
    records = [record for command in client.server.dispatcher.names.values()
               for record in (command, *command.subcommands.values())]
    if words:
        if len(words) != 3 or words[0].upper() != b"FILTERBY":
            raise CommandError(SYNTAX)
        kind, value = words[1].upper(), words[2]
        if kind == b"MODULE":
            module = value.decode("utf-8", "replace").lower()
            records = [record for record in records if MODULE_GROUPS.get(record.group, "").lower() == module]
        elif kind == b"ACLCAT":
            records = [record for record in records if value.decode("utf-8", "replace").lower() in record.categories]
        elif kind == b"PATTERN":
            matches = matcher(value, True)
            records = [record for record in records if matches(record.wire_name.encode())]
        else:
            raise CommandError(SYNTAX)
    return [record.wire_name for record in records]


def _command_and_keys(client, words) -> tuple[Command, list[bytes]]:
    record, _, problem = client.server.dispatcher.find(list(words))
    if record is None or (problem and record.function is None):
        raise CommandError(errors.GETKEYS_UNKNOWN)
    if not record.keys[0] and record.get_keys is None:
        raise CommandError(errors.GETKEYS_NONE)
    if not record.accepts(len(words)):
        raise CommandError(errors.GETKEYS_ARITY)
    keys = record.keys_in(list(words))
    if not keys and "no_mandatory_keys" not in record.flags:
        raise CommandError(errors.GETKEYS_INVALID)
    return record, keys


@command("COMMAND GETKEYS", arity=-3, group="server", since="2.8.13", flags=_FLAGS, categories="connection",
         complexity="O(N) where N is the number of arguments to the command",
         summary="Extracts the key names from an arbitrary command.")
def command_getkeys(client, *words):
    """The keys of the call that the words are."""
    return _command_and_keys(client, words)[1]


@command("COMMAND GETKEYSANDFLAGS", arity=-3, group="server", since="7.0.0", flags=_FLAGS, categories="connection",
         complexity="O(N) where N is the number of arguments to the command",
         summary="Extracts the key names and access flags for an arbitrary command.")
def command_getkeysandflags(client, *words):
    """Each key with what the command does to it."""
    record, keys = _command_and_keys(client, words)
    access = [Simple("RW"), Simple("update")] if "write" in record.flags else [Simple("RO"), Simple("access")]
    return [[key, SetOf(access)] for key in keys]


declare_help("COMMAND", "server", "5.0.0", (
    "(no subcommand)", "    Details of all commands.",
    "COUNT", "    Number of commands.",
    "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]", "    Names of commands.",
    "INFO [<command-name> ...]", "    Details of these commands, or of all.",
    "DOCS [<command-name> ...]", "    Documentation of these commands, or of all.",
    "GETKEYS <full-command>", "    The keys of a call.",
    "GETKEYSANDFLAGS <full-command>", "    The keys of a call and what is done to them.",
))
