"""ACL: the users of the server."""
import secrets
import time

from respserver.acl import dry_run_text
from respserver.permissions import Selector, User
from respserver.protocol import errors
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import OK, Pairs, SetOf
from respserver.registry import COMMANDS, categories, command

from .arguments import to_int
from .help import declare_help

_OPEN = "noscript loading stale"
_ADMIN = "admin noscript loading stale"


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


@command("ACL WHOAMI", arity=2, group="server", since="6.0.0", flags=_OPEN, complexity="O(1)",
         summary="Returns the authenticated username of the current connection.")
def acl_whoami(client):
    """The name of the client's user."""
    return client.user.name


@command("ACL USERS", arity=2, group="server", since="6.0.0", flags=_ADMIN,
         complexity="O(N). Where N is the number of configured users.",
         summary="Lists all ACL users.")
def acl_users(client):
    """Their names."""
    return client.server.acl.names()


@command("ACL LIST", arity=2, group="server", since="6.0.0", flags=_ADMIN,
         complexity="O(N). Where N is the number of configured users.",
         summary="Dumps the effective rules in ACL file format.")
def acl_list(client):
    """All users with their rules, as a file has them."""
    return [line.encode("utf-8", "surrogateescape") for line in client.server.acl.described()]


def _details(selector: Selector) -> list[tuple[bytes, str]]:
    return [(b"commands", selector.shown_commands()), (b"keys", selector.shown_keys()), (b"channels", selector.shown_channels())]


@command("ACL GETUSER", arity=3, group="server", since="6.0.0", flags=_ADMIN,
         complexity="O(N). Where N is the number of password, command and pattern rules.",
         summary="Lists the ACL rules of a user.")
def acl_getuser(client, name):
    """The rules of a user, null if there is none of that name."""
    user = client.server.acl.users.get(name)
    if user is None:
        return None
    return Pairs([(b"flags", SetOf(user.flags())), (b"passwords", list(user.passwords)), *_details(user.root),
                  (b"selectors", [Pairs(_details(selector)) for selector in user.selectors[1:]])])


@command("ACL SETUSER", arity=-3, group="server", since="6.0.0", flags=_ADMIN,
         complexity="O(N). Where N is the number of rules provided.",
         summary="Creates and modifies an ACL user and its rules.")
def acl_setuser(client, name, *rules):
    """Makes or changes a user, by all of the rules or not at all."""
    client.server.acl.set_user(name, [_text(rule) for rule in rules], client)
    return OK


@command("ACL DELUSER", arity=-3, group="server", since="6.0.0", flags=_ADMIN,
         complexity="O(1) amortized time considering the typical user.",
         summary="Deletes ACL users, and terminates their connections.")
def acl_deluser(client, *names):
    """How many there were."""
    if b"default" in names:
        raise CommandError(errors.DEFAULT_USER_STAYS)
    return sum(client.server.acl.delete_user(name, client) for name in names)


@command("ACL CAT", arity=-2, group="server", since="6.0.0", flags=_OPEN, complexity="O(1)",
         summary="Lists the ACL categories, or the commands inside a category.")
def acl_cat(client, *category):
    """The categories, or the commands of one."""
    if not category:
        return categories()
    if len(category) > 1:
        raise CommandError(errors.UNKNOWN_SUBCOMMAND_OR_ARITY.format("CAT", "ACL"))
    wanted = _text(category[0]).lower()
    if wanted not in categories():
        raise CommandError(errors.UNKNOWN_CATEGORY.format(_text(category[0])))
    return [record.wire_name for command_ in COMMANDS.values() for record in (command_, *command_.subcommands.values())
            if wanted in record.categories]


@command("ACL DRYRUN", arity=-4, group="server", since="7.0.0", flags=_ADMIN, complexity="O(1).",
         summary="Simulates the execution of a command by a user, without executing the command.")
def acl_dryrun(client, name, *words):
    """OK, or why the user may not make this call."""
    user: User | None = client.server.acl.users.get(name)
    if user is None:
        raise CommandError(errors.NO_USER_FOUND.format(_text(name)))
    record, _, _ = client.server.dispatcher.find(list(words))
    if record is None:
        raise CommandError(errors.NO_COMMAND_FOUND.format(_text(words[0])))
    if not record.accepts(len(words)):
        raise CommandError(errors.WRONG_ARITY.format(record.wire_name))
    return dry_run_text(user, record, list(words)).encode("utf-8", "surrogateescape") or OK


@command("ACL LOG", arity=-2, group="server", since="6.0.0", flags=_ADMIN,
         complexity="O(N) with N being the number of entries shown.",
         summary="Lists recent security events generated due to ACL rules.")
def acl_log(client, *words):
    """The newest 10 entries, or as many as asked for; RESET forgets all."""
    acl = client.server.acl
    if len(words) > 1:
        raise CommandError(errors.UNKNOWN_SUBCOMMAND_OR_ARITY.format("LOG", "ACL"))
    if words and words[0].upper() == b"RESET":
        acl.log.clear()
        return OK
    n = max(0, to_int(words[0])) if words else 10
    now = time.time()
    return [Pairs([
        (b"count", entry.count), (b"reason", entry.reason), (b"context", entry.context), (b"object", entry.object),
        (b"username", entry.user), (b"age-seconds", now - entry.created), (b"client-info", entry.client), (b"entry-id", entry.id),
        (b"timestamp-created", int(entry.created * 1000)), (b"timestamp-last-updated", int(entry.updated * 1000)),
    ]) for entry in acl.newest(n)]


@command("ACL SAVE", arity=2, group="server", since="6.0.0", flags=_ADMIN,
         complexity="O(N). Where N is the number of configured users.",
         summary="Saves the effective ACL rules in the configured ACL file.")
def acl_save(client):
    """Writes the users to `aclfile`."""
    client.server.acl.save()
    return OK


@command("ACL LOAD", arity=2, group="server", since="6.0.0", flags=_ADMIN,
         complexity="O(N). Where N is the number of configured users.",
         summary="Reloads the rules from the configured ACL file.")
def acl_load(client):
    """Replaces the users by those of `aclfile`."""
    client.server.acl.load(client)
    return OK


@command("ACL GENPASS", arity=-2, group="server", since="6.0.0", flags=_OPEN, complexity="O(1)",
         summary="Generates a pseudorandom, secure password that can be used to identify ACL users.")
def acl_genpass(client, *bits):
    """So many random bits (256) in hexadecimal digits."""
    n = to_int(bits[0], errors.ACL_GENPASS_BITS) if bits else 256
    if len(bits) > 1 or not 0 < n <= 4096:
        raise CommandError(errors.ACL_GENPASS_BITS)
    return secrets.token_hex(n // 8 + 1)[:(n + 3) // 4]


declare_help("ACL", "server", "6.0.0", (
    "CAT [<category>]", "    The categories of commands, or the commands of a category.",
    "DELUSER <username> [<username> ...]", "    Delete users and close their connections.",
    "DRYRUN <username> <command> [<arg> ...]", "    Whether a user may make a call; nothing is executed.",
    "GENPASS [<bits>]", "    A random password of <bits> bits (default: 256).",
    "GETUSER <username>", "    The rules of a user.",
    "LIST", "    The rules of all users.",
    "LOAD", "    Read the users from the ACL file.",
    "LOG [<count> | RESET]", "    The newest refusals, or forget them.",
    "SAVE", "    Write the users to the ACL file.",
    "SETUSER <username> <attribute> [<attribute> ...]", "    Make or change a user.",
    "USERS", "    The names of all users.",
    "WHOAMI", "    The user of this connection.",
))
