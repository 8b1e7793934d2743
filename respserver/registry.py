"""The registry of commands: a command is declared once, by a decorator at its function.

COMMAND, COMMAND DOCS, arity errors, ACL categories, the README's table and the arity tests all read the records kept here.

    @command("GETDEL", arity=2, flags="write fast", keys=(1, 1, 1), group="string", since="6.2.0", summary="...")
    def getdel(client, key): ...

The function gets the client and the arguments that follow the command's name (for a sub-command, that follow its name), as bytes,
already checked against `arity`. It returns a value that protocol.reply can encode, or a Deferred, or raises CommandError.
Sub-commands carry their full name: @command("CLIENT SETINFO", arity=4, ...); arity counts every word, as in Redis.
"""
from collections.abc import Callable
from dataclasses import dataclass, field

#: ACL categories that follow from a command's group.
_GROUP_CATEGORIES = {
    "generic": "keyspace", "string": "string", "hash": "hash", "list": "list", "set": "set", "sorted-set": "sortedset",
    "connection": "connection", "pubsub": "pubsub", "transactions": "transaction", "bitmap": "bitmap", "search": "search",
    "json": "json", "stream": "stream", "scripting": "scripting", "geo": "geo", "hyperloglog": "hyperloglog",
}

#: Groups of commands that Redis has from a module -> the module's name.
MODULE_GROUPS = {"search": "search", "json": "ReJSON"}

#: Command.reads of a command whose only key is its first argument.
ONE_KEY = slice(1, 2)


@dataclass(slots=True, eq=False)
class Command:
    """What is known of one command or sub-command."""

    name: str                                   # upper case, with the container: "CLIENT SETINFO"
    function: Callable | None                   # None for a container such as CLIENT
    arity: int                                  # words including the name; negative: at least that many
    flags: frozenset                            # Redis's command flags: write readonly fast admin noscript loading stale ...
    keys: tuple[int, int, int]                  # first key, last key (negative: from the end), step; zeros: no keys
    group: str
    since: str
    summary: str
    complexity: str = ""
    categories: frozenset = frozenset()         # ACL categories without the @
    get_keys: Callable | None = None            # words -> list of keys, where positions alone do not tell
    subcommands: dict = field(default_factory=dict)     # lower-case bytes of the sub-name -> Command
    stats: object = None                        # the server's counters for this command, set at its first call
    reads: slice | None = None                  # the keys among its words, if it only reads them: they count as hits and misses
    #: What a user must be allowed to do with its keys: letters of R and W (none: either will do) for the first key, the second
    #: and so on, the last for all that follow; or a function of the words that gives these.
    access: tuple[str, ...] | Callable = ()
    channels: slice | None = None               # the channels among its words, which a user must be allowed to use
    are_patterns: bool = False                  # those are patterns
    is_logged: bool = False                     # it changes data, and there is an append-only file that hears of it
    logged_as: Callable | None = None  # (client, words, reply) -> the commands (lists of words) that are logged in its place
    at_once: Callable | None = None             # runs many calls as one: see `at_once` below

    def __post_init__(self):
        first, last, step = self.keys
        if not self.access:
            self.access = ("W",) if "write" in self.flags else ("R",)
        if first and self.get_keys is None and "readonly" in self.flags:
            self.reads = ONE_KEY if self.keys == (1, 1, 1) else slice(first, None if last == -1 else last + 1, step)

    @property
    def wire_name(self) -> str:
        """The name as COMMAND and the error texts show it: lower case, sub-commands with a bar (client|setinfo);
        a module's in upper case."""
        return self.name if self.group == "search" else self.name.lower().replace(" ", "|")

    def keys_in(self, words: list[bytes]) -> list[bytes]:
        """The keys among the words of a call, its name included. Of a call that is not well formed: what look like keys."""
        if self.get_keys is not None:
            return self.get_keys(words)
        first, last, step = self.keys
        if not first or self.channels is not None:
            return []
        return list(words[first:(len(words) + last if last < 0 else last) + 1:step])

    def access_of(self, words: list[bytes], n: int) -> list[str]:
        """What has to be allowed for each of the `n` keys among the words: "R", "W", "RW" or ""."""
        access = self.access(words) if callable(self.access) else self.access
        return [*access, *access[-1:] * (n - len(access))][:n]

    def accepts(self, n_words: int) -> bool:
        """Whether a call of `n_words` words, the name included, has the right number of them."""
        return n_words == self.arity if self.arity > 0 else n_words >= -self.arity


#: Lower-case name as bytes -> Command. Containers hold their sub-commands.
COMMANDS: dict[bytes, Command] = {}
#: Full name -> what `logged_as` has declared for it; taken over by Dispatcher.load_commands.
LOGGED_AS: dict[str, Callable] = {}


#: Full name -> what `at_once` has declared for it; taken over by Dispatcher.load_commands.
AT_ONCE: dict[str, Callable] = {}


#: The categories that Redis has, so that rules written for it are understood.
_REDIS_CATEGORIES = ("keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo",
                     "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection",
                     "transaction", "scripting")


def categories() -> list[str]:
    """All ACL categories: Redis's, then those of modules."""
    records = [record for command in COMMANDS.values() for record in (command, *command.subcommands.values())]
    return list(dict.fromkeys([*_REDIS_CATEGORIES, *sorted({name for record in records for name in record.categories})]))


def _categories(group: str, flags: frozenset, extra: str) -> frozenset:
    if group == "search":
        # Redis derives nothing from the flags of a module's command, and the search module names no more than it means: who is
        # given @read and @write can search, but neither make an index nor look into one.
        return frozenset((group, *extra.split()))
    found = {name for name in extra.split() if name[0] != "-"}
    if group in _GROUP_CATEGORIES:
        found.add(_GROUP_CATEGORIES[group])
    if "write" in flags:
        found.add("write")
    if "readonly" in flags and "keyspace" not in extra.split():
        found.add("read")
    if "admin" in flags:
        found |= {"admin", "dangerous"}
    if "pubsub" in flags:
        found.add("pubsub")
    if "blocking" in flags:
        found.add("blocking")
    found.add("fast" if "fast" in flags else "slow")
    return frozenset(found - {name[1:] for name in extra.split() if name[0] == "-"})


def command(name: str, *, arity: int, group: str, summary: str, flags: str = "", keys: tuple[int, int, int] = (0, 0, 0),
            since: str = "1.0.0", complexity: str = "", categories: str = "", get_keys: Callable | None = None,
            access: str | Callable = "", channels: slice | None = None, are_patterns: bool = False):
    """Declares a command; see the module's description. `flags` and `categories` are words parted by blanks; a category with a
    minus sign is taken away. `access`: what it does to its keys where the flags do not say it, as words for the first key, the
    second and so on, the last for all that follow: R (its caller learns what they hold), W, RW, or - (neither)."""
    def register(function):
        words = name.upper()
        flag_set = frozenset(flags.split())
        record = Command(words, function, arity, flag_set, keys, group, since, summary, complexity,
                         _categories(group, flag_set, categories), get_keys, channels=channels, are_patterns=are_patterns,
                         access=access if callable(access) else tuple(word.strip("-") for word in access.split()))
        container, _, sub = words.partition(" ")
        if sub:
            holder = COMMANDS.get(container.lower().encode())
            if holder is None:
                holder = Command(container, None, -2, frozenset(), (0, 0, 0), group, since,
                                 f"A container for {container} commands.",
                                 "Depends on subcommand.", frozenset({"slow"}))
                COMMANDS[container.lower().encode()] = holder
            target, key = holder.subcommands, sub.lower().encode()
        else:
            target, key = COMMANDS, words.lower().encode()
            if key in COMMANDS and COMMANDS[key].function is None:      # the container was met first, through a sub-command
                record.subcommands = COMMANDS.pop(key).subcommands
        if key in target:
            raise ValueError(f"command {words} is declared twice")
        target[key] = record
        return function
    return register


def logged_as(*names: str):
    """Declares what the append-only file holds in place of calls of these commands (full names, upper case): the effect where
    words alone do not tell it (a time from now on, a random choice). The function gets the client, the words of the call and
    its reply and returns commands as lists of words, none if nothing has happened. They are written as a whole."""
    def register(function):
        LOGGED_AS.update(dict.fromkeys(names, function))
        return function
    return register


def at_once(name: str):
    """Declares how many calls of a command (full name, upper case) with as many words each are run as one. The function gets the
    client and the arguments as columns: a list of the first argument of each call, one of the second, and so on. It returns all
    replies, encoded and joined, after it has done what the calls do one after the other; or None if one of them might fail or
    answer much, or might concern anybody but the client (Database.is_private): then it has done nothing, and they are run one
    by one. What it does is logged as the calls themselves, so each of them must change something."""
    def register(function):
        AT_ONCE[name] = function
        return function
    return register
