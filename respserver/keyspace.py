"""Databases of typed values with expiry, and the one event that every change of a key emits.

Values: a string is `bytes` (one that is being edited: a `Buffer`); other types are classes with a `type_name`
(respserver/values/). Commands change a value in place or replace it and then call `Database.changed` (or `set` /
`delete`, which do so themselves). That call is the only way by which WATCH, search indexes and keyspace notifications
hear of a write, whoever made it: a client, a loading snapshot or a replication stream.

One write makes one Change per key. A command that takes the last element out of a hash, list or set removes the key
with `delete(key, "hdel")`: one Change with `new` None. Redis sends two notifications for it, hdel and del;
`Change.notifications` says which ones a Change stands for. A write that changes nothing makes no Change.
"""
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from .protocol.errors import WRONG_TYPE, CommandError
from .values.buffer import Buffer
from .values.hash import Hash
from .values.order import Order

#: A string that begins with an edit is a Buffer from this length on (bytes); one that is there is always made one.
_LONG_STRING = 32768
#: Events that by themselves say that the key is gone.
_REMOVALS = frozenset(("del", "expired", "evicted", "rename_from", "move_from", "json.del"))


class Change(NamedTuple):
    """One change of one key."""

    db: int                     # the logical database
    key: bytes
    event: str                  # Redis's notification name: set, hset, hdel, del, expired, rename_from, rename_to, expire, ...
    old: object                 # the value before; None: the key did not exist; for a change in place the same object as `new`
    new: object                 # the value after; None: the key is gone
    # change in place of a hash: each changed field -> its previous bytes (None: absent); of a JSON document:
    fields: Mapping | None
    # the location of each change (a tuple of names and numbers) -> None; else None

    @property
    def notifications(self) -> tuple[str, ...]:
        """The keyspace notifications of this change, in order: its event, and "del" after one that emptied the key."""
        return (self.event, "del") if self.new is None and self.event not in _REMOVALS else (self.event,)


class Listener(Protocol):
    """What hears of changes. Called on the loop thread, after the change; must not change the keyspace."""

    def key_changed(self, change: Change) -> None: ...
    def minds(self, db: "Database", keys: list[bytes]) -> bool: ...     # whether it does anything about changes of these keys
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

    Read through `get` or `get_as`: they drop a key, and fields of a hash, that have expired. `data` itself may hold
    expired keys."""

    __slots__ = ("index", "keyspace", "data", "expires", "field_expires", "_order", "watchers")

    def __init__(self, index: int, keyspace: "Keyspace"):
        self.index = index
        self.keyspace = keyspace
        self.data: dict[bytes, object] = {}
        self.expires: dict[bytes, int] = {}
        self.field_expires: dict[bytes, int] = {}   # key of a hash -> when the first of its fields expires (or a little earlier)
        self._order: Order | None = None            # for SCAN and RANDOMKEY
        self.watchers: dict[bytes, set] = {}        # key -> clients that WATCH it

    def get(self, key: bytes):
        """The value, or None. Drops the key if its time has come."""
        if self.expires and key in self.expires and self.expire_if_due(key):
            return None
        if self.field_expires and key in self.field_expires:
            self.purge_fields(key)
        return self.data.get(key)

    def get_as(self, key: bytes, kind: type):
        """The value if it is of class `kind`, None if there is no such key. Raises WRONGTYPE."""
        if self.expires and key in self.expires and self.expire_if_due(key):
            return None
        if self.field_expires and key in self.field_expires:
            self.purge_fields(key)
        value = self.data.get(key)
        if value is not None and type(value) is not kind:
            if kind is bytes and type(value) is Buffer:
                text = bytes(value)
                if len(text) >= _LONG_STRING:
                    self.data[key] = text               # it seems to be read more than edited by now
                return text
            raise CommandError(WRONG_TYPE)
        return value

    def get_text(self, key: bytes) -> "bytes | Buffer | None":
        """The string, as it is stored, or None. Raises WRONGTYPE."""
        value = self.get(key)
        if value is not None and type(value) is not bytes and type(value) is not Buffer:
            raise CommandError(WRONG_TYPE)
        return value

    def edit_text(self, key: bytes, position: int, part: bytes, event: str) -> int:
        """Overwrites a part of a string from a byte position on; it grows with zero bytes as needed, and is made if it
        is not there.
        Keeps the key's expiry time. Returns the new length."""
        old = self.get_text(key)
        if type(old) is Buffer:
            if position > len(old):
                old.extend(bytes(position - len(old)))
            old[position:position + len(part)] = part
            self.changed(key, event, old, old)
            return len(old)
        end = position + len(part)
        if old is None and end < _LONG_STRING:
            value = bytes(position) + part
        else:
            old = old or b""
            value = Buffer(max(end, len(old)))
            value[:len(old)] = old
            value[position:end] = part
        self.set(key, value, event, keep_ttl=True)
        return len(value)

    def set(self, key: bytes, value, event: str = "set", *, keep_ttl: bool = False, when_ms: int | None = None) -> None:
        """Stores a new value in place of whatever was there. The key's expiry time goes, unless `keep_ttl`; `when_ms` gives it
        a new one as part of the same change (RENAME, COPY and the like; SET EX makes two changes: set, expire)."""
        old = self.data.get(key)
        self.data[key] = value
        if self.expires and not keep_ttl:
            self.expires.pop(key, None)
        if when_ms is not None:
            self.expires[key] = when_ms
        if self.field_expires:
            self.field_expires.pop(key, None)
        if type(value) is Hash and value.had_times:
            self.note_field_expiry(key, value)
        self.changed(key, event, old, value)

    def is_private(self, keys: list[bytes]) -> bool:
        """Whether it is nobody's business what happens to these keys:
        none of them may expire or is watched, and no listener minds."""
        if self.watchers and not self.watchers.keys().isdisjoint(keys) or not self.are_lasting(keys):
            return False
        return not any(listener.minds(self, keys) for listener in self.keyspace.listeners)

    def are_lasting(self, keys: list[bytes]) -> bool:
        """Whether none of these keys, nor a field of theirs, has an expiry time."""
        return not (self.expires and not self.expires.keys().isdisjoint(keys)
                    or self.field_expires and not self.field_expires.keys().isdisjoint(keys))

    def set_private(self, keys: list[bytes], values: list) -> None:
        """Stores values under keys that are private, one after the other, as `set` does."""
        data = self.data
        added = dict.fromkeys(key for key in keys if key not in data) if self._order is not None else ()
        data.update(zip(keys, values))
        for key in added:
            self._order.added(key)
        self.keyspace.dirty += len(keys)

    def delete(self, key: bytes, event: str = "del") -> bool:
        """Removes a key; `event` is the command's own if it took the last element out. Returns whether the key was there (one
        whose time has come was not)."""
        if self.expires and key in self.expires and self.expire_if_due(key):
            return False
        if self.field_expires and key in self.field_expires:
            self.purge_fields(key)
        old = self.data.pop(key, None)
        if old is None:
            return False
        if self.expires:
            self.expires.pop(key, None)
        if self.field_expires:
            self.field_expires.pop(key, None)
        self.changed(key, event, old, None)
        return True

    def take(self, key: bytes, event: str):
        """Removes a key that is there and returns (value, expiry time or None): the first half of RENAME and MOVE."""
        when = self.expires.get(key)
        value = self.data[key]
        self.delete(key, event)
        return value, when

    def expire_at(self, key: bytes, when_ms: int | None, event: str = "expire") -> None:
        """Sets the expiry time of a key that exists (Unix, milliseconds), or removes it (None)."""
        if when_ms is None:
            self.expires.pop(key, None)
        else:
            self.expires[key] = when_ms
        value = self.data[key]
        self.changed(key, event, value, value, {})

    def is_overdue(self, key: bytes) -> bool:
        """Whether the key's expiry time has come, be it still there."""
        when = self.expires.get(key)
        return when is not None and when <= self.keyspace.now_ms()

    def expire_if_due(self, key: bytes) -> bool:
        """Drops the key if its expiry time has come and says so."""
        when = self.expires.get(key)
        if when is None or when > self.keyspace.now_ms() or not self.keyspace.expiry_enabled:
            return False
        del self.expires[key]
        old = self.data.pop(key, None)
        if self.field_expires:
            self.field_expires.pop(key, None)
        self.keyspace.n_expired += 1
        if self.keyspace.journal is not None:
            self.keyspace.journal.add(self, [[b"DEL", key]])
        self.changed(key, "expired", old, None)
        return True

    def note_field_expiry(self, key: bytes, value: Hash) -> None:
        """To be called when fields of a hash have been given expiry times, or lost them."""
        when = value.next_expiry()
        if when is None:
            self.field_expires.pop(key, None)
        else:
            self.field_expires[key] = when

    def purge_fields(self, key: bytes) -> int:
        """Drops the fields of a hash whose time has come, and the hash with its last field. Returns how many fields went."""
        now = self.keyspace.now_ms()
        if self.field_expires[key] > now or not self.keyspace.expiry_enabled:
            return 0
        value = self.data.get(key)
        if type(value) is not Hash:
            del self.field_expires[key]
            return 0
        expired = value.purge(now)
        self.note_field_expiry(key, value)
        if expired:
            self.keyspace.n_expired_fields += len(expired)
            if self.keyspace.journal is not None:
                self.keyspace.journal.add(self, [[b"HDEL", key, *expired]])
            if value:
                self.changed(key, "hexpired", value, value, expired)
            else:
                self.delete(key, "hexpired")
        return len(expired)

    def changed(self, key: bytes, event: str, old, new, fields: Mapping | None = None) -> None:
        """Tells watchers and listeners that a key has changed. For a change in place `old` is `new`."""
        keyspace = self.keyspace
        keyspace.dirty += 1
        if self._order is not None:
            if new is None:
                self._order.removed(key)
            elif old is None:
                self._order.added(key)
        if self.watchers:
            for client in self.watchers.get(key, ()):
                client.is_dirty = True
        if keyspace.listeners:
            change = Change(self.index, key, event, old, new, fields)
            for listener in keyspace.listeners:
                listener.key_changed(change)

    def shrunk(self, key: bytes, event: str, value, fields: Mapping | None = None) -> None:
        """Tells that something has been taken out of a collection: a change, or the end of the key if that was the last."""
        if value:
            self.changed(key, event, value, value, fields)
        else:
            self.delete(key, event)

    def flush(self) -> int:
        """Removes every key; returns how many there were."""
        n = len(self.data)
        for key, clients in self.watchers.items():
            if key in self.data:
                for client in clients:
                    client.is_dirty = True
        self.keyspace.discard(self.data)
        self.data = {}
        self.expires = {}
        self.field_expires = {}
        self._order = None
        self.keyspace.dirty += max(n, 1)            # indexes go with the keys, even if there are none
        for listener in self.keyspace.listeners:
            listener.flushed(self.index)
        return n

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """One step of SCAN: (the next cursor, keys). Looks at `count` entries; 0 as the next cursor ends the scan. Every key that
        is there from the first step to the last is returned at least once."""
        if self._order is None:
            self._order = Order(self.data)
        following, keys = self._order.page(cursor, count)
        return following, [key for key in keys if key not in self.expires or not self.expire_if_due(key)]

    def random_key(self) -> bytes | None:
        """A random key that has not expired, or None if there is none."""
        while self.data:
            if self._order is None:
                self._order = Order(self.data)
            key = self._order.random()
            if key not in self.expires or not self.expire_if_due(key):
                return key
        return None

    def __len__(self) -> int:
        return len(self.data)


class Keyspace:
    """All databases, their listeners and the counters that INFO shows."""

    def __init__(self, n_databases: int = 16):
        self.databases = [Database(i, self) for i in range(n_databases)]
        self.listeners: list[Listener] = []
        self.dirty = 0                  # changes since the last save
        self.n_expired = 0              # keys dropped because their time had come
        self.n_expired_fields = 0       # the same of hash fields
        self.is_quiet = False           # while a snapshot is read: nobody needs to hear of each key
        self.expiry_enabled = True      # a replica leaves expiry to its primary
        #: Given (database, key, words), the words field, value, ... of a command that is about to set fields of a hash, with
        #: references to values that it has put elsewhere (values/slots.py). May raise CommandError. None: all stay as they are.
        self.place: Callable[[Database, bytes, tuple], tuple] | None = None
        self.journal = None             # the append-only file, while there is one: hears of what no command has done
        self.waiting = None             # clients that wait for a list: see commands/blocking.py
        self.now_ms = now_ms            # the clock; fixed while a script or transaction runs
        self.discard: Callable[[dict], None] = lambda data: None    # takes over what a flush leaves, to free it bit by bit

    def swap(self, first: int, second: int) -> None:
        """Exchanges the contents of two databases."""
        a, b = self.databases[first], self.databases[second]
        self.dirty += 1
        a.data, b.data = b.data, a.data
        a.expires, b.expires = b.expires, a.expires
        a.field_expires, b.field_expires = b.field_expires, a.field_expires
        a._order, b._order = b._order, a._order
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
        """Active expiry: samples keys with an expiry time and drops those that are due, until few of a sample are or
        the time is up;
        then the same for hashes whose fields have expiry times. Returns how many keys and fields were dropped."""
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
            while db.field_expires:
                sample = _sample(db.field_expires, 20)
                due = [key for key in sample if db.field_expires.get(key, now + 1) <= now]
                for key in due:
                    if key in db.field_expires:
                        dropped += db.purge_fields(key)
                if len(due) * 4 <= len(sample) or time.perf_counter_ns() > deadline:
                    break
        return dropped


def _sample(mapping: Mapping, n: int) -> Iterable[bytes]:
    """Up to `n` keys from the front of a dict.
    Keys that were looked at and stay are moved to the back, so that calls go round."""
    keys = []
    for key in mapping:
        keys.append(key)
        if len(keys) == n:
            break
    for key in keys:
        mapping[key] = mapping.pop(key)
    return keys
