"""What a user of the server may do: rules as ACL SETUSER takes them, and whether a call keeps to them.

A user has a root selector and any number of further ones; a call is allowed if one of them by itself allows the command, all of
its keys and all of its channels."""
import hashlib
import hmac
import re

from .glob import matcher
from .protocol.errors import CommandError
from .registry import COMMANDS, Command, categories

# Why a rule is refused
SYNTAX = "Syntax error"
UNKNOWN_RULE = "Unknown command or category name in ACL"
AFTER_ALL_KEYS = ("Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try "
                  "'resetkeys' to start with an empty list of patterns")
AFTER_ALL_CHANNELS = (
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. "
    "Try 'resetchannels' to start with an empty list of channels")
NO_SUCH_PASSWORD = "The password you are trying to remove from the user does not exist"
BAD_HASH = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
FIRST_ARGUMENT = "Allowing first-arg of a subcommand is not supported"
UNMATCHED_PARENTHESIS = "Unmatched parenthesis in acl selector starting at '{}'."

#: Reasons of a refusal, in the order in which Redis finds the later ones the more telling.
COMMAND, KEY, CHANNEL = "command", "key", "channel"
_RANK = {COMMAND: 1, KEY: 2, CHANNEL: 3}

_HASH = re.compile(r"[0-9a-f]{64}").fullmatch
_NAME = re.compile(rb"[^\s\0]+").fullmatch


class RuleError(Exception):
    """A rule that is refused; the text is what follows "Error in ACL SETUSER modifier '...': "."""


def is_valid_name(name: bytes) -> bool:
    """Whether a user may be called so."""
    return _NAME(name) is not None


def hashed(password: bytes) -> str:
    """The form in which passwords are kept and shown: SHA-256 in hexadecimal digits."""
    return hashlib.sha256(password).hexdigest()


def _all_commands():
    for command in COMMANDS.values():
        yield command
        yield from command.subcommands.values()


class Selector:
    """A set of commands, key patterns and channel patterns."""

    __slots__ = ("commands", "all_commands", "rules", "first_words", "keys", "all_keys", "channels", "all_channels")

    def __init__(self, all_channels: bool = False):
        self.commands: set[Command] = set()         # those allowed, where not all are
        self.all_commands = False                   # everything, without exception
        self.rules: list[str] = ["-@all"]           # how that came to be, shortened where it does not change anything
        # of a command that is not allowed as such -> its first argument if it is
        self.first_words: dict[Command, set[bytes]] = {}
        self.keys: dict[bytes, str] = {}            # pattern -> R, W or RW
        self.all_keys = False
        self.channels: list[bytes] = []
        self.all_channels = all_channels

    def copy(self) -> "Selector":
        """Another selector with the same rights."""
        other = Selector()
        other.commands, other.all_commands, other.rules = set(self.commands), self.all_commands, list(self.rules)
        other.first_words = {command: set(words) for command, words in self.first_words.items()}
        other.keys, other.all_keys = dict(self.keys), self.all_keys
        other.channels, other.all_channels = list(self.channels), self.all_channels
        return other

    @property
    def is_unlimited(self) -> bool:
        """Whether it allows every call there is."""
        return self.all_commands and self.all_keys and self.all_channels

    # Rules

    def apply(self, rule: str) -> None:
        """Takes in one rule about commands, keys or channels. Raises RuleError."""
        lower = rule.lower()
        if lower in ("allcommands", "+@all"):
            self.commands, self.all_commands, self.rules, self.first_words = set(_all_commands()), True, ["+@all"], {}
        elif lower in ("nocommands", "-@all"):
            self.commands, self.all_commands, self.rules, self.first_words = set(), False, ["-@all"], {}
        elif lower in ("allkeys", "~*"):
            self.keys, self.all_keys = {}, True
        elif lower == "resetkeys":
            self.keys, self.all_keys = {}, False
        elif lower in ("allchannels", "&*"):
            self.channels, self.all_channels = [], True
        elif lower == "resetchannels":
            self.channels, self.all_channels = [], False
        elif rule[:1] in ("~", "%"):
            self._add_key(rule)
        elif rule[:1] == "&":
            if self.all_channels:
                raise RuleError(AFTER_ALL_CHANNELS)
            pattern = _raw(rule[1:])
            if pattern not in self.channels:
                self.channels.append(pattern)
        elif rule[:1] in ("+", "-") and len(rule) > 1:
            self._change_commands(lower[0], lower[1:])
        else:
            raise RuleError(SYNTAX)

    def _add_key(self, rule: str) -> None:
        letters, tilde, pattern = rule[1:].partition("~") if rule[0] == "%" else ("RW", "~", rule[1:])
        letters = letters.upper()
        if not letters or not tilde or set(letters) - {"R", "W"}:
            raise RuleError(SYNTAX)
        if self.all_keys:
            raise RuleError(AFTER_ALL_KEYS)
        access = set(letters) | set(self.keys.get(_raw(pattern), ""))
        if pattern == "*" and len(access) == 2:
            self.keys, self.all_keys = {}, True
            return
        self.keys[_raw(pattern)] = "".join(sorted(access))

    def _change_commands(self, sign: str, name: str) -> None:
        if name[0] == "@":
            if name[1:] not in categories():
                raise RuleError(UNKNOWN_RULE)
            chosen = [command for command in _all_commands() if name[1:] in command.categories]
            for command in chosen:
                self._change(sign, command)
            self._note(sign, name)
            return
        container, _, sub = name.partition("|")
        command = COMMANDS.get(_raw(container))
        if command is None:
            raise RuleError(UNKNOWN_RULE)
        if sub and not command.subcommands:
            if sign == "-" or "|" in sub:
                raise RuleError(UNKNOWN_RULE)
            if command not in self.commands:
                self.first_words.setdefault(command, set()).add(_raw(sub))
        elif sub:
            first, bar, _ = sub.partition("|")
            command = command.subcommands.get(_raw(first))
            if command is None:
                raise RuleError(UNKNOWN_RULE)
            if bar:
                raise RuleError(FIRST_ARGUMENT)
            self._change(sign, command)
        else:
            self._change(sign, command)
        self._note(sign, name)

    def _change(self, sign: str, command: Command) -> None:
        chosen = {command, *command.subcommands.values()}
        if sign == "+":
            self.commands |= chosen
        else:
            self.commands -= chosen
            self.all_commands = False
        self.first_words.pop(command, None)

    def _note(self, sign: str, name: str) -> None:
        """Adds a rule to those shown, in place of what it makes void: earlier ones on the same command or what is below it."""
        below = name + "|"
        self.rules[1:] = [rule for rule in self.rules[1:] if rule[1:] != name and not rule[1:].startswith(below)]
        self.rules.append(sign + name)

    # Questions

    def refusal(self, command: Command, words: list) -> tuple[str, int, bytes] | None:
        """Why a call is not allowed: the reason, the place among keys or channels, and the command, key or channel;
        None if it is."""
        if command not in self.commands and "no_auth" not in command.flags and not (
                len(words) > 1 and words[1].lower() in self.first_words.get(command, ())):
            return COMMAND, 0, command.wire_name.encode()
        if not self.all_keys:
            keys = keys_of(command, words)
            if keys:
                for place, (key, access) in enumerate(zip(keys, command.access_of(words, len(keys)))):
                    if not self.allows_key(key, access):
                        return KEY, place, key
        if command.channels is not None and not self.all_channels:
            for place, channel in enumerate(words[command.channels]):
                if not self.allows_channel(channel, command.are_patterns):
                    return CHANNEL, place, channel
        return None

    def allows_key(self, key: bytes, access: str) -> bool:
        """Whether a key may be used so ("R", "W", "RW"; "": one of them will do)."""
        return self.all_keys or any(_covers(letters, access) and matcher(pattern)(key) for pattern, letters in self.keys.items())

    def allows_prefix(self, prefix: bytes, access: str) -> bool:
        """Whether every key that begins so may be used so."""
        return self.all_keys or any(_covers(letters, access) and _ends_in_star(pattern) and matcher(pattern)(prefix)
                                    for pattern, letters in self.keys.items())

    def allows_channel(self, channel: bytes, is_pattern: bool) -> bool:
        """Whether a channel may be used; a pattern only if exactly this one is allowed."""
        return self.all_channels or (channel in self.channels if is_pattern
                                     else any(matcher(pattern)(channel) for pattern in self.channels))

    # Showing

    def shown_keys(self) -> str:
        """The key patterns as rules."""
        if self.all_keys:
            return "~*"
        return " ".join(("~" if access == "RW" else f"%{access}~") + _text(pattern) for pattern, access in self.keys.items())

    def shown_channels(self) -> str:
        """The channel patterns as rules."""
        return "&*" if self.all_channels else " ".join("&" + _text(pattern) for pattern in self.channels)

    def shown_commands(self) -> str:
        """The commands as rules."""
        return " ".join(self.rules)

    def __str__(self) -> str:
        channels = self.shown_channels()
        if not self.all_channels:
            channels = ("resetchannels " + channels).rstrip()
        return " ".join(part for part in (self.shown_keys(), channels, self.shown_commands()) if part)


class User:
    """A name with passwords and selectors."""

    __slots__ = ("name", "is_on", "any_password", "passwords", "sanitize", "selectors", "all_channels_at_first", "is_unlimited")

    def __init__(self, name: bytes, all_channels: bool = False):
        self.name = name
        self.all_channels_at_first = all_channels   # acl-pubsub-default when it was made
        self._reset()

    def _reset(self) -> None:
        self.is_on = False
        self.any_password = False
        self.passwords: list[str] = []              # SHA-256 in hexadecimal
        self.sanitize = True
        self.selectors = [Selector(self.all_channels_at_first)]
        self.is_unlimited = False                   # no call of this user needs to be looked at

    @property
    def root(self) -> Selector:
        """The selector that rules without parentheses are about."""
        return self.selectors[0]

    def copy(self) -> "User":
        """Another user with the same rights."""
        other = User(self.name, self.all_channels_at_first)
        other.become(self)
        return other

    def become(self, other: "User") -> None:
        """Takes over all that another user may do, and the passwords."""
        self.is_on, self.any_password, self.sanitize = other.is_on, other.any_password, other.sanitize
        self.passwords = list(other.passwords)
        self.selectors = [selector.copy() for selector in other.selectors]
        self.is_unlimited = other.is_unlimited

    def apply(self, rule: str) -> None:
        """Takes in one rule. Raises RuleError; what the user may do is then undefined, so that rules are tried on a copy."""
        lower = rule.lower()
        if lower == "on":
            self.is_on = True
        elif lower == "off":
            self.is_on = False
        elif lower == "nopass":
            self.any_password, self.passwords = True, []
        elif lower == "resetpass":
            self.any_password, self.passwords = False, []
        elif lower in ("sanitize-payload", "skip-sanitize-payload"):
            self.sanitize = lower == "sanitize-payload"
        elif lower == "reset":
            self._reset()
        elif lower == "clearselectors":
            del self.selectors[1:]
        elif rule[:1] in (">", "#"):
            self._add_password(hashed(_raw(rule[1:])) if rule[0] == ">" else rule[1:])
        elif rule[:1] in ("<", "!"):
            self._drop_password(hashed(_raw(rule[1:])) if rule[0] == "<" else rule[1:])
        elif rule[:1] == "(" and rule[-1:] == ")":
            selector = Selector()
            for word in rule[1:-1].split():
                selector.apply(word)
            self.selectors.append(selector)
        else:
            self.root.apply(rule)
        self.is_unlimited = any(selector.is_unlimited for selector in self.selectors)

    def _add_password(self, digest: str) -> None:
        if not _HASH(digest):
            raise RuleError(BAD_HASH)
        if digest not in self.passwords:
            self.passwords.append(digest)
        self.any_password = False

    def _drop_password(self, digest: str) -> None:
        if not _HASH(digest):
            raise RuleError(BAD_HASH)
        if digest not in self.passwords:
            raise RuleError(NO_SUCH_PASSWORD)
        self.passwords.remove(digest)

    def accepts(self, password: bytes) -> bool:
        """Whether the password is right and the user may log in. Takes as long for a wrong one as for a right one."""
        digest = hashed(password)
        found = self.any_password
        for known in self.passwords:
            found |= hmac.compare_digest(known, digest)
        return found and self.is_on

    def refusal(self, command: Command, words: list) -> tuple[str, bytes] | None:
        """Why this user may not make a call: COMMAND, KEY or CHANNEL, and which; None if it is allowed. `words` begins with the
        name of the command. Of several selectors the reason of the one that came closest is given."""
        closest = None
        for selector in self.selectors:
            found = selector.refusal(command, words)
            if found is None:
                return None
            if closest is None or (_RANK[found[0]], found[1]) > (_RANK[closest[0]], closest[1]):
                closest = found
        return closest[0], closest[2]

    def may_use_prefix(self, prefix: bytes, access: str) -> bool:
        """Whether every key that begins so may be read ("R") or written ("W")."""
        return any(selector.allows_prefix(prefix, access) for selector in self.selectors)

    def may_use_channel(self, channel: bytes, is_pattern: bool) -> bool:
        """Whether a channel may be listened to."""
        return any(selector.allows_channel(channel, is_pattern) for selector in self.selectors)

    def flags(self) -> list[str]:
        """The switches as ACL GETUSER has them."""
        return ["on" if self.is_on else "off", *(["nopass"] if self.any_password else []),
                "sanitize-payload" if self.sanitize else "skip-sanitize-payload"]

    def __str__(self) -> str:
        """All of it as rules: what ACL LIST and files have behind the name."""
        first, *others = map(str, self.selectors)
        return " ".join([*self.flags(), *("#" + digest for digest in self.passwords), first, *(f"({other})" for other in others)])


def joined_selectors(words: list[str]) -> list[str]:
    """The rules that the words of a call or a line are: those from an opening parenthesis to the closing one are one rule. Raises
    ValueError with the error text."""
    rules: list[str] = []
    open_ = ""
    for word in words:
        if open_:
            open_ += " " + word
        elif word[:1] == "(":
            open_ = word
        else:
            rules.append(word)
            continue
        if open_[-1] == ")":
            rules.append(open_)
            open_ = ""
    if open_:
        raise ValueError(UNMATCHED_PARENTHESIS.format(open_))
    return rules


def keys_of(command: Command, words: list) -> list[bytes]:
    """The keys among the words of a call; none where it is not well formed, which the command will find out."""
    try:
        return command.keys_in(words)
    except (CommandError, IndexError, ValueError):
        return []


def _covers(letters: str, access: str) -> bool:
    return all(letter in letters for letter in access)


def _ends_in_star(pattern: bytes) -> bool:
    """Whether a pattern ends in a star that is not escaped."""
    bare = pattern[:-1].rstrip(b"\\")
    return pattern[-1:] == b"*" and (len(pattern) - 1 - len(bare)) % 2 == 0


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
