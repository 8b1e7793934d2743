"""The users of a server: logins, the check of calls, the log of refusals, files."""
import hmac
import os
import time
from collections.abc import Callable
from itertools import islice

from .permissions import CHANNEL, COMMAND, KEY, RuleError, User, hashed, is_valid_name, joined_selectors
from .protocol import errors
from .protocol.errors import CommandError
from .registry import Command

#: Refusals that are alike and so near in time are one entry of the log. Seconds.
_SAME_ENTRY = 60
AUTH = "auth"


def _everybody() -> User:
    """The default user where nothing is configured: no password, and everything is allowed."""
    user = User(b"default")
    for rule in ("on", "nopass", "~*", "&*", "+@all"):
        user.apply(rule)
    return user


class LogEntry:
    """One row of ACL LOG: refusals that are alike."""

    __slots__ = ("id", "count", "reason", "context", "object", "user", "created", "updated", "client")

    def __init__(self, number: int, reason: str, context: str, object_: bytes, user: bytes, client: str):
        self.id = number
        self.count = 1
        self.reason, self.context, self.object, self.user, self.client = reason, context, object_, user, client
        self.created = self.updated = time.time()

    def is_like(self, other: "LogEntry") -> bool:
        """Whether two entries are one."""
        return (self.reason, self.context, self.object, self.user) == (other.reason, other.context, other.object, other.user) \
            and other.created - self.updated <= _SAME_ENTRY


class Acl:
    """All users of one server. A change of what a user may do takes effect with the next command of every client."""

    def __init__(self, server):
        self.server = server
        self.default = _everybody()
        self.users: dict[bytes, User] = {b"default": self.default}
        self.log: list[LogEntry] = []               # the newest first
        self.denied = {AUTH: 0, COMMAND: 0, KEY: 0, CHANNEL: 0}
        self.lines: list[list[str]] = []            # `user` lines of the configuration file: name, rules
        self.version = 0                            # grows with every change
        #: For commands that use keys which they do not name: group -> a function of the command and its words that gives (prefix,
        #: access) of all the keys.
        self.prefixes: dict[str, Callable] = {}
        self._n_entries = 0

    def names(self) -> list[bytes]:
        """The users' names in order."""
        return sorted(self.users)

    # Logins

    @property
    def is_open(self) -> bool:
        """Whether clients are logged in as soon as they connect."""
        return self.default.any_password and self.default.is_on

    def login(self, client, name: bytes, password: bytes, command: bytes) -> None:
        """Makes a client the user's. Raises WRONGPASS."""
        user = self.users.get(name)
        if user is None:
            hmac.compare_digest(hashed(password), hashed(name))     # takes as long as with a user
        if user is None or not user.accepts(password):
            self.note(client, AUTH, command, name)
            raise CommandError(errors.WRONG_PASSWORD)
        client.authenticated = True
        client.user = user
        client.refresh()

    def set_default_password(self, password: str) -> None:
        """requirepass: the only password of the default user; "" lets everybody in."""
        if password:
            self.default.apply("resetpass")
            self.default.apply(">" + password)
        else:
            self.default.apply("nopass")

    # Calls

    def refusal(self, client, command: Command, words: list) -> str:
        """The error text for a call that the client's user may not make, which is noted; "" if it may."""
        user = client.user
        found = user.refusal(command, words)
        if found is not None:
            self.note(client, *found)
            return refusal_text(user, found[0], command)
        for prefix, access in self.prefixes[command.group](command, words) if command.group in self.prefixes else ():
            if not user.may_use_prefix(prefix, access):
                self.note(client, KEY, prefix)
                return errors.NO_INDEX_PERMISSION
        return ""

    def note(self, client, reason: str, what: bytes, name: bytes | None = None) -> None:
        """Counts a refusal and takes it down for ACL LOG. `name`: of the user, if it is not the client's."""
        self.denied[reason] += 1
        context = "multi" if client.queue is not None or client.in_exec else "toplevel"
        entry = LogEntry(self._n_entries, reason, context, what, client.user.name if name is None else name, client.describe())
        for at, other in enumerate(self.log[:16]):
            if other.is_like(entry):
                other.count += 1
                other.updated, other.client = entry.updated, entry.client
                self.log.insert(0, self.log.pop(at))
                return
        limit = self.server.config["acllog-max-len"]
        if limit:
            self._n_entries += 1
            self.log.insert(0, entry)
            del self.log[limit:]

    def newest(self, n: int) -> list[LogEntry]:
        """The newest entries of the log."""
        return list(islice(self.log, n))

    # Changes

    def set_user(self, name: bytes, words: list[str], by) -> None:
        """ACL SETUSER: makes or changes a user, by all of the rules or not at all. `by`: the client whose call it is, which
        gets its reply even if it is closed for this. Raises CommandError."""
        if not is_valid_name(name):
            raise CommandError(errors.BAD_USER_NAME)
        user = self.users.get(name)
        changed = self._new_user(name) if user is None else user.copy()
        try:
            rules = joined_selectors(words)
        except ValueError as error:
            raise CommandError(f"ERR {error}") from None
        for rule in rules:
            try:
                changed.apply(rule)
            except RuleError as error:
                raise CommandError(errors.BAD_RULE.format(rule, error)) from None
        if user is None:
            self.users[name] = changed
        else:
            user.become(changed)
            self._note_change({user}, by)

    def _new_user(self, name: bytes) -> User:
        return User(name, self.server.config["acl-pubsub-default"] == "allchannels")

    def delete_user(self, name: bytes, by) -> bool:
        """ACL DELUSER: removes a user and closes its connections; returns whether there was one."""
        user = self.users.pop(name, None)
        if user is None:
            return False
        for client in self._clients_of({user}):
            _end(client, by)
        self.version += 1
        return True

    def _clients_of(self, users: set) -> list:
        return [client for client in self.server.clients.values() if client.user in users]

    def _note_change(self, users: set, by=None) -> None:
        """Brings the clients of users up to date: they may have lost rights to channels that they listen to."""
        self.version += 1
        for client in self._clients_of(users):
            client.refresh()
            user = client.user
            if not (user.is_unlimited
                    or all(user.may_use_channel(name, False) for name in (*client.channels, *client.shard_channels))
                    and all(user.may_use_channel(name, True) for name in client.patterns)):
                _end(client, by)

    # Files

    def start(self) -> None:
        """Makes the users that the configuration names, in lines of its own or in the file `aclfile`. Raises ValueError."""
        config = self.server.config
        path = config["aclfile"]
        if path and self.lines:
            raise ValueError(errors.USERS_TWICE)
        self.default.become(_everybody())               # now that all commands are known
        config.observe("requirepass", self.set_default_password)
        self._replace(self._read_file(path) if path else self._read_lines(enumerate(self.lines, 1), "user line"),
                      keep_default=not path)

    def load(self, by) -> None:
        """ACL LOAD: replaces all users by those of the file;
        the clients of users that are gone are closed. Raises CommandError."""
        path = self._path()
        try:
            users = self._read_file(path)
        except ValueError as error:
            raise CommandError(f"ERR {error}") from None
        self._replace(users, keep_default=False, by=by)

    def _path(self) -> str:
        path = self.server.config["aclfile"]
        if not path:
            raise CommandError(errors.NO_ACL_FILE)
        return path

    def _read_file(self, path: str) -> dict[bytes, User]:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = [(number, line.strip()) for number, line in enumerate(file, 1)]
        except OSError as error:
            raise ValueError(f"Error loading ACLs, opening file '{path}': {error.strerror}") from None
        rows = []
        for number, line in lines:
            if line and not line.startswith("#"):
                words = line.split()
                if words[0] != "user" or len(words) < 2:
                    raise ValueError(f"{path}:{number}: line should start with user keyword. {errors.ACL_FILE_KEPT}")
                rows.append((number, words[1:]))
        return self._read_lines(rows, path)

    def _read_lines(self, rows, source: str) -> dict[bytes, User]:
        """The users that (number, [name, rules]) of lines describe. Raises ValueError."""
        users: dict[bytes, User] = {}
        for number, (name, *words) in rows:
            raw = name.encode("utf-8", "surrogateescape")
            where = f"{source}:{number}: "
            if not is_valid_name(raw):
                raise ValueError(where + errors.BAD_USER_NAME[4:])
            if raw in users:
                raise ValueError(where + f"Duplicate user '{name}' found.")
            user = users[raw] = self._new_user(raw)
            for rule in joined_selectors(words):
                try:
                    user.apply(rule)
                except RuleError as error:
                    raise ValueError(f"{where}{error} in rule '{rule}'.") from None
        return users

    def _replace(self, users: dict[bytes, User], keep_default: bool, by=None) -> None:
        default = users.pop(b"default", None)
        if default is None and not keep_default:
            default = _everybody()
        if default is not None:
            self.default.become(default)
        old, self.users = self.users, {b"default": self.default, **users}
        for client in list(self.server.clients.values()):
            name = client.user.name
            if name not in self.users:
                _end(client, by)
            elif old.get(name) is client.user:
                client.user = self.users[name]
        self._note_change(set(self.users.values()), by)

    def save(self) -> None:
        """ACL SAVE: writes all users to the file, all of it or nothing. Raises CommandError."""
        path = self._path()
        temporary = f"{path}.tmp-{os.getpid()}"
        try:
            with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write("".join(line + "\n" for line in self.described()))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            self.server.log.warning("Saving the ACL file failed: %s", error.strerror)
            raise CommandError(errors.ACL_SAVE_FAILED) from None

    def described(self) -> list[str]:
        """All users as lines of a file, those of ACL LIST."""
        return [f"user {name.decode('utf-8', 'surrogateescape')} {self.users[name]}" for name in self.names()]

    def load_line(self, words: list[str]) -> None:
        """A `user` line of the configuration file. Raises ValueError."""
        if not words:
            raise ValueError("wrong number of arguments")
        if any(line[0] == words[0] for line in self.lines):
            raise ValueError(f"Duplicate user '{words[0]}' found. A user can only be defined once in config files")
        self.lines.append(words)

    def config_lines(self) -> list[str]:
        """What CONFIG REWRITE writes: users, unless they have a file of their own."""
        return [] if self.server.config["aclfile"] or (len(self.users) == 1 and not self.lines) else self.described()


def _end(client, by) -> None:
    """Closes a client; `by`, whose call it is, when it has its reply."""
    if client is by:
        client.closing = True
    else:
        client.close()


def refusal_text(user: User, reason: str, command: Command) -> str:
    """The error reply for a call that a user may not make."""
    if reason == COMMAND:
        return errors.NO_COMMAND_PERMISSION.format(user.name.decode("utf-8", "surrogateescape"), command.wire_name)
    return errors.NO_KEY_PERMISSION if reason == KEY else errors.NO_CHANNEL_PERMISSION


def dry_run_text(user: User, command: Command, words: list) -> str:
    """What ACL DRYRUN says about a call; "" if it is allowed."""
    found = user.refusal(command, words)
    if found is None:
        return ""
    name, what = (raw.decode("utf-8", "surrogateescape") for raw in (user.name, found[1]))
    if found[0] == COMMAND:
        return f"User {name} has no permissions to run the '{what}' command"
    return f"User {name} has no permissions to access the '{what}' {found[0]}"
