"""ACL, as far as there is one user who may do everything."""
import secrets

from respserver.protocol import errors
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import Pairs
from respserver.registry import COMMANDS, command

from .arguments import to_int
from .help import declare_help

_OPEN = "noscript loading stale"
_ADMIN = "admin noscript loading stale"


def _is_protected(client) -> bool:
    return bool(client.server.config["requirepass"])


@command("ACL WHOAMI", arity=2, group="server", since="6.0.0", flags=_OPEN, complexity="O(1)",
         summary="Returns the authenticated username of the current connection.")
def acl_whoami(client):
    """Always default."""
    return client.user


@command("ACL USERS", arity=2, group="server", since="6.0.0", flags=_ADMIN,
         complexity="O(N). Where N is the number of configured users.",
         summary="Lists all ACL users.")
def acl_users(client):
    """The default user."""
    return [b"default"]


@command("ACL LIST", arity=2, group="server", since="6.0.0", flags=_ADMIN,
         complexity="O(N). Where N is the number of configured users.",
         summary="Dumps the effective rules in ACL file format.")
def acl_list(client):
    """The default user's rules; the password is not shown."""
    return ["user default on " + ("" if _is_protected(client) else "nopass ") + "~* &* +@all"]


@command("ACL GETUSER", arity=3, group="server", since="6.0.0", flags=_ADMIN,
         complexity="O(N). Where N is the number of password, command and pattern rules.",
         summary="Lists the ACL rules of a user.")
def acl_getuser(client, name):
    """The default user's rules, null for any other."""
    if name != b"default":
        return None
    return Pairs([(b"flags", {b"on"} if _is_protected(client) else [b"on", b"nopass"]), (b"passwords", []),
                  (b"commands", b"+@all"),
                  (b"keys", b"~*"), (b"channels", b"&*"), (b"selectors", [])])


@command("ACL CAT", arity=-2, group="server", since="6.0.0", flags=_OPEN, complexity="O(1)",
         summary="Lists the ACL categories, or the commands inside a category.")
def acl_cat(client, *category):
    """The categories, or the commands of one."""
    records = [record for command_ in COMMANDS.values() for record in (command_, *command_.subcommands.values())]
    categories = {name for record in records for name in record.categories}
    if not category:
        return sorted(categories)
    if len(category) > 1:
        raise CommandError(errors.UNKNOWN_SUBCOMMAND_OR_ARITY.format("cat", "ACL"))
    wanted = category[0].decode("utf-8", "surrogateescape").lower()
    if wanted not in categories:
        raise CommandError(errors.UNKNOWN_CATEGORY.format(category[0].decode("utf-8", "surrogateescape")))
    return [record.wire_name for record in records if wanted in record.categories]


@command("ACL GENPASS", arity=-2, group="server", since="6.0.0", flags=_OPEN, complexity="O(1)",
         summary="Generates a pseudorandom, secure password that can be used to identify ACL users.")
def acl_genpass(client, *bits):
    """So many random bits (256) in hexadecimal digits."""
    n = to_int(bits[0], errors.ACL_GENPASS_BITS) if bits else 256
    if len(bits) > 1 or not 0 < n <= 4096:
        raise CommandError(errors.ACL_GENPASS_BITS)
    return secrets.token_hex(n // 8 + 1)[:(n + 3) // 4]


def _refuse(client, *_):
    raise CommandError(errors.NO_USERS)


command("ACL SETUSER", arity=-3, group="server", since="6.0.0", flags=_ADMIN, complexity="O(1)",
        summary="Refused: there is only the default user.")(_refuse)
command("ACL DELUSER", arity=-3, group="server", since="6.0.0", flags=_ADMIN, complexity="O(1)",
        summary="Refused: there is only the default user.")(_refuse)

declare_help("ACL", "server", "6.0.0", (
    "CAT [<category>]", "    The categories of commands, or the commands of a category.",
    "GENPASS [<bits>]", "    A random password of <bits> bits (default: 256).",
    "GETUSER <username>", "    The rules of a user.",
    "LIST", "    The rules of all users.",
    "USERS", "    The names of all users.",
    "WHOAMI", "    The user of this connection.",
))
