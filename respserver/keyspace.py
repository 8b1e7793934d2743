"""Databases of typed values with expiry, and the one event that every change of a key emits.

Values: a string is `bytes`; other types are classes with a `type_name` (respserver/values/). Commands change a value in place or
replace it and then call `Database.changed` (or `set` / `delete`, which do so themselves). That call is the only way by which WATCH,
search indexes and keyspace notifications hear of a write, whoever made it: a client, a loading snapshot or a replication stream.
"""
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from .protocol.errors import WRONG_TYPE, CommandError


class Change(NamedTuple):
    """One change of one key."""

    db: int                     # the logical database
    key: bytes
    event: str                  # Redis's notification name: set, hset, hdel, del, expired, rename_from, rename_to, expire, ...
    old: object                 # the value before; None: the key did not exist; for a change in place the same object as `new`
    new: object                 # the value after; None: the key is gone
    fields: Mapping | None      # change in place of a hash: each changed field -> its previous bytes (None: absent); else None


class Listener(Protocol):
    """What hears of changes. Called on the loop thread, after the change; must not change the keyspace."""

    def key_changed(self, change: Change) -> None: ...
    def flushed(self, db: int) -> None: ...
    def swapped(self, first: int, second: int) -> None: ...


def type_name(value) -> str:
    """Redis's name of a value's type; "none" for None."""
    if value is None:
        return "none"
    return "string" if type(value) is bytes else value.type_name


def now_ms() -> int:
    """Wall-clock milliseconds, the unit of every expiry time."""
    return time.time_ns() // 1_000_000


class Database:
    """One logical database: `data` maps a key to its value, `expires` a key to its expiry time (Unix, milliseconds).

    Read through `get` or `get_as`: they drop a key that has expired. `data` itself may hold expired keys."""

    __slots__ = ("index", "keyspace", "data", "expires", "watchers")

    def __init__(self, index: int, keyspace: "Keyspace"):
        self.index = index
        self.keyspace = keyspace
        self.data: dict[bytes, object] = {}
        self.expires: dict[bytes, int] = {}
        self.watchers: dict[bytes, set] = {}        # key -> clients that WATCH it

    def get(self, key: bytes):
        """The value, or None. Drops the key if its time has come."""
        if self.expires and key in self.expires and self.expire_if_due(key):
            return None
        return self.data.get(key)

    def get_as(self, key: bytes, kind: type):
        """The value if it is of class `kind`, None if there is no such key. Raises WRONGTYPE."""
        if self.expires and key in self.expires and self.expire_if_due(key):
            return None
        value = self.data.get(key)
        if value is not None and type(value) is not kind:
            raise CommandError(WRONG_TYPE)
        return value

    def set(self, key: bytes, value, event: str = "set", *, keep_ttl: bool = False) -> None:
        """Stores a new value in place of whatever was there."""
        old = self.data.get(key)
        self.data[key] = value
        if self.expires and not keep_ttl:
            self.expires.pop(key, None)
        self.changed(key, event, old, value)

    def delete(self, key: bytes, event: str = "del") -> bool:
        """Removes a key. Returns whether it was there (a key whose time has come was not)."""
        if self.expires and key in self.expires and self.expire_if_due(key):
            return False
        old = self.data.pop(key, None)
        if old is None:
            return False
        if self.expires:
            self.expires.pop(key, None)
        self.changed(key, event, old, None)
        return True

    def expire_at(self, key: bytes, when_ms: int | None, event: str = "expire") -> None:
        """Sets the expiry time of a key that exists, or removes it (None)."""
        if when_ms is None:
            self.expires.pop(key, None)
        else:
            self.expires[key] = when_ms
        value = self.data[key]
        self.changed(key, event, value, value, {})

    def expire_if_due(self, key: bytes) -> bool:
        """Drops the key if its expiry time has come and says so."""
        when = self.expires.get(key)
        if when is None or when > self.keyspace.now_ms() or not self.keyspace.expiry_enabled:
            return False
        del self.expires[key]
        old = self.data.pop(key, None)
        self.keyspace.n_expired += 1
        self.changed(key, "expired", old, None)
        return True

    def changed(self, key: bytes, event: str, old, new, fields: Mapping | None = None) -> None:
        """Tells watchers and listeners that a key has changed. For a change in place `old` is `new`."""
        keyspace = self.keyspace
        keyspace.dirty += 1
        if self.watchers:
            for client in self.watchers.get(key, ()):
                client.is_dirty = True
        if keyspace.listeners:
            change = Change(self.index, key, event, old, new, fields)
            for listener in keyspace.listeners:
                listener.key_changed(change)

    def flush(self) -> int:
        """Removes every key; returns how many there were."""
        n = len(self.data)
        for key, clients in self.watchers.items():
            if key in self.data:
                for client in clients:
                    client.is_dirty = True
        self.data = {}
        self.expires = {}
        self.keyspace.dirty += n
        for listener in self.keyspace.listeners:
            listener.flushed(self.index)
        return n

    def __len__(self) -> int:
        return len(self.data)


class Keyspace:
    """All databases, their listeners and the counters that INFO shows."""

    def __init__(self, n_databases: int = 16):
        self.databases = [Database(i, self) for i in range(n_databases)]
        self.listeners: list[Listener] = []
        self.dirty = 0                  # changes since the last save
        self.n_expired = 0              # keys dropped because their time had come
        self.expiry_enabled = True      # a replica leaves expiry to its primary
        self.now_ms = now_ms            # the clock; fixed while a script or transaction runs

    def swap(self, first: int, second: int) -> None:
        """Exchanges the contents of two databases."""
        a, b = self.databases[first], self.databases[second]
        a.data, b.data = b.data, a.data
        a.expires, b.expires = b.expires, a.expires
        for db in (a, b):
            for key, clients in db.watchers.items():
                if key in a.data or key in b.data:
                    for client in clients:
                        client.is_dirty = True
        for listener in self.listeners:
            listener.swapped(first, second)

    def flush_all(self) -> int:
        """Removes every key of every database; returns how many there were."""
        return sum(db.flush() for db in self.databases)

    def expire_cycle(self, budget_us: int = 1000) -> int:
        """Active expiry: samples keys with an expiry time and drops those that are due, until few of a sample are or the time is up.
        Returns how many were dropped."""
        deadline = time.perf_counter_ns() + budget_us * 1000
        dropped = 0
        now = self.now_ms()
        for db in self.databases:
            while db.expires:
                sample = _sample(db.expires, 20)
                due = [key for key in sample if db.expires.get(key, now + 1) <= now]
                for key in due:
                    dropped += db.expire_if_due(key)
                if len(due) * 4 <= len(sample) or time.perf_counter_ns() > deadline:
                    break
        return dropped


def _sample(mapping: Mapping, n: int) -> Iterable[bytes]:
    """Up to `n` keys from the front of a dict. Keys that were looked at and stay are moved to the back, so that calls go round."""
    keys = []
    for key in mapping:
        keys.append(key)
        if len(keys) == n:
            break
    for key in keys:
        mapping[key] = mapping.pop(key)
    return keys
