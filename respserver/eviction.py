"""maxmemory with a policy that makes room: what the keys take, which were used when, and which have to go.

The process's resident memory does not shrink by what is deleted (the allocator keeps it for what comes next), so that it cannot
say when to stop. Therefore what keys take is estimated at each of their changes and added up; the sum is set equal to the memory
in use when the policy is set, and what modules count of their own (indexes) is added. Per key one number is kept, its size and
when or how often it was used; none of this exists while there is no limit, or the policy is noeviction."""
import math
import random
import time
from collections.abc import Callable, Generator
from itertools import islice

from .memory import size_of, used_memory
from .values.order import Order

POLICIES = ("noeviction", "volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random", "allkeys-lru", "allkeys-lfu",
            "allkeys-random")
#: What a key costs in the tables of its database. Bytes.
_PER_KEY = 150
#: Members up to which a collection is measured and not estimated.
_SMALL = 64
#: The best candidates of earlier picks that are compared with the next ones, so that few picks come close to a full order.
_REMEMBERED = 16
#: Longest time to make room before one command. Nanoseconds.
_BUDGET_NS = 5_000_000
#: Time for which a new limit looks at the keys that are there at once; the rest follows beside the traffic. Seconds.
_AT_ONCE = 0.05
#: A new key's use counter, so that it does not go first (lfu).
_LFU_START = 5
_USE_BITS = 24
_USE_MASK = (1 << _USE_BITS) - 1


class Evictor:
    """Keeps a server below maxmemory. A keyspace listener while it is on."""

    def __init__(self, server):
        self.server = server
        self.is_on = False
        self.parts: list[Callable[[], int]] = []    # of modules: bytes that they hold for what is in keys
        self.n_evicted = 0
        self.exceeded_ns = 0                        # time over the limit, up to `_over_since`
        self._over_since = 0
        self._notes: list[dict[bytes, int]] = []    # per database: key -> size in bytes above _USE_BITS of use
        self._total = 0                             # bytes of all keys that have been looked at
        self._parts = 0                             # bytes of `parts`, as of the last look
        self._base = 0                              # bytes of all else
        self._survey = None                         # the task that looks at the keys that were there before
        self._by_count = self._by_time = False
        self._candidates: list[tuple] = []          # (database, key), what was picked before and did not have to go

    def configure(self) -> None:
        """To be called after a change of maxmemory or of its policy."""
        config = self.server.config
        policy = config["maxmemory-policy"]
        is_on = bool(config["maxmemory"]) and policy != "noeviction"
        by_count, by_time = is_on and policy.endswith("lfu"), is_on and policy.endswith("lru")
        if is_on and self.is_on and (by_count, by_time) == (self._by_count, self._by_time):
            return
        self._by_count, self._by_time = by_count, by_time
        self._stop()
        if is_on:
            self._start()

    @property
    def notes_uses(self) -> bool:
        """Whether reads have to be told of (touch)."""
        return self._by_time or self._by_count

    def _start(self) -> None:
        keyspace = self.server.keyspace
        self.is_on = True
        self._notes = [{} for _ in keyspace.databases]
        self._total = 0
        keyspace.listeners.append(self)
        work = self._look_at_all()
        end = time.perf_counter() + _AT_ONCE
        for _ in work:
            if self.server.loop is not None and time.perf_counter() > end:
                self._survey = self.server.run_sliced(work, "measure keys")
                return

    def _stop(self) -> None:
        if self.is_on:
            self.is_on = False
            self._candidates = []
            self.server.keyspace.listeners.remove(self)
            if self._survey is not None:
                self._survey.cancel()
                self._survey = None
            self._notes = []

    def _look_at_all(self) -> Generator:
        for notes, db in zip(self._notes, self.server.keyspace.databases):
            for key in list(db.data):
                if key not in notes and key in db.data:
                    self._note(db.index, key, db.data[key])
                yield
        self._survey = None
        self.sample()
        self._base = used_memory() - self._total - self._parts

    def sample(self) -> None:
        """Asks the modules what they hold; once a second is enough."""
        if self.is_on:
            self._parts = sum(part() for part in self.parts)

    @property
    def used(self) -> int:
        """Bytes in use, as far as they are known."""
        return self._base + self._total + self._parts

    # Listening

    def _note(self, db: int, key: bytes, value) -> None:
        notes = self._notes[db]
        old = notes.get(key)
        size = len(key) + _size(value) + _PER_KEY
        if old is None:
            notes[key] = size << _USE_BITS | (self._first_use() & _USE_MASK)
            self._total += size
        else:
            notes[key] = size << _USE_BITS | (self._next_use(old & _USE_MASK) & _USE_MASK)
            self._total += size - (old >> _USE_BITS)

    def key_changed(self, change) -> None:
        """Takes down what a key takes now."""
        if change.new is not None:
            self._note(change.db, change.key, change.new)
        else:
            note = self._notes[change.db].pop(change.key, None)
            if note is not None:
                self._total -= note >> _USE_BITS

    def minds(self, db, keys: list[bytes]) -> bool:
        """It takes down any change."""
        return True

    def flushed(self, db: int) -> None:
        """The keys of a database are gone."""
        self._total -= sum(note >> _USE_BITS for note in self._notes[db].values())
        self._notes[db] = {}

    def swapped(self, first: int, second: int) -> None:
        """Two databases have exchanged their keys."""
        notes = self._notes
        notes[first], notes[second] = notes[second], notes[first]

    # Uses: seconds of a clock for lru; for lfu minutes of a clock above eight bits of a logarithmic counter, as in Redis

    def touch(self, db: int, key: bytes) -> None:
        """A key is read."""
        notes = self._notes[db]
        note = notes.get(key)
        if note is not None:
            notes[key] = note & ~_USE_MASK | (self._next_use(note & _USE_MASK) & _USE_MASK)

    def _first_use(self) -> int:
        return _minutes() << 8 | _LFU_START if self._by_count else int(time.monotonic())

    def _next_use(self, use: int) -> int:
        if not self._by_count:
            return int(time.monotonic())
        counter = self._decayed(use)
        above = max(0, counter - _LFU_START)
        if counter < 255 and random.random() * (above * self.server.config["lfu-log-factor"] + 1) < 1:
            counter += 1
        return _minutes() << 8 | counter

    def _decayed(self, use: int) -> int:
        per = self.server.config["lfu-decay-time"]
        passed = (_minutes() - (use >> 8)) & 0xFFFF
        return max(0, (use & 0xFF) - (passed // per if per else 0))

    def idle_seconds(self, db: int, key: bytes) -> int | None:
        """Seconds since a key was used last; None if that is not noted."""
        if not self._by_time or key not in self._notes[db]:
            return None
        return (int(time.monotonic()) - (self._notes[db][key] & _USE_MASK)) & _USE_MASK

    def frequency(self, db: int, key: bytes) -> int | None:
        """How often a key has been used lately, on a logarithmic scale up to 255; None if that is not noted."""
        if not self._by_count or key not in self._notes[db]:
            return None
        return self._decayed(self._notes[db][key] & _USE_MASK)

    # Making room

    def make_room(self) -> bool:
        """Drops keys until the memory in use is within the limit. Returns whether it is, or will be with the next commands: False
        if there is nothing to drop."""
        limit = self.server.config["maxmemory"]
        if not self.is_on or self._survey is not None or self.used <= limit:
            self._note_over(False)
            return True
        self._note_over(True)
        started = time.perf_counter_ns()
        is_done = self._drop(limit, started + _BUDGET_NS)
        self.server.dispatcher.latency.add("eviction-cycle", (time.perf_counter_ns() - started) // 1_000_000)
        return is_done

    def _drop(self, limit: int, end: int) -> bool:
        """Drops keys until the memory in use is within the limit, or it is `end`; False if there is nothing to drop."""
        while self.used > limit:
            victim = self._victim()
            if victim is None:
                return False
            db, key = victim
            if key in db.expires and db.expire_if_due(key):
                continue
            before = self._total
            if db.keyspace.journal is not None:
                db.keyspace.journal.add(db, [[b"DEL", key]])
            db.delete(key, "evicted")
            self.n_evicted += 1
            self._shrink_parts(before)
            if time.perf_counter_ns() > end:
                return True
        self._note_over(False)
        return True

    def _shrink_parts(self, before: int) -> None:
        """What modules hold shrinks with the keys, in the same proportion until they are asked again."""
        if self._parts and before > 0:
            self._parts = int(self._parts * max(0, self._total) / before)

    def _note_over(self, is_over: bool) -> None:
        now = time.perf_counter_ns()
        if is_over and not self._over_since:
            self._over_since = now
        elif not is_over and self._over_since:
            self.exceeded_ns += now - self._over_since
            self._over_since = 0

    @property
    def exceeded_now_ns(self) -> int:
        """For how long the limit has been exceeded; 0: it is not."""
        return time.perf_counter_ns() - self._over_since if self._over_since else 0

    def _victim(self):
        """The (database, key) to drop next, among a few picked at random and the best of earlier picks; None if there is none."""
        policy = self.server.config["maxmemory-policy"]
        n = self.server.config["maxmemory-samples"]
        is_volatile = policy.startswith("volatile")
        ranked = {(db, key): self._rank(db, key, policy) for db, key in self._candidates
                  if key in (db.expires if is_volatile else db.data)}
        for db in self.server.keyspace.databases:
            if db.data:
                ranked.update({(db, key): self._rank(db, key, policy) for key in self._picks(db, n, is_volatile)})
        best, *rest = sorted(ranked, key=ranked.__getitem__, reverse=True)[:_REMEMBERED + 1] or [None]
        self._candidates = rest if not policy.endswith("random") else []
        return best

    @staticmethod
    def _picks(db, n: int, is_volatile: bool):
        if not is_volatile:
            if db._order is None:
                db._order = Order(db.data)
            return [db._order.random() for _ in range(min(n, len(db.data)))]
        if len(db.expires) <= n:
            return list(db.expires)
        if 4 * len(db.expires) >= len(db.data):             # most keys: picks at random hit them
            if db._order is None:
                db._order = Order(db.data)
            found = [key for key in (db._order.random() for _ in range(8 * n)) if key in db.expires][:n]
            if found:
                return found
        return list(islice(db.expires, n))

    def _rank(self, db, key: bytes, policy: str) -> float:
        """The greatest goes first."""
        if policy == "volatile-ttl":
            return -db.expires[key]
        if policy.endswith("random"):
            return random.random()
        note = self._notes[db.index].get(key)
        if note is None:
            return math.inf
        return (int(time.monotonic()) - note) & _USE_MASK if self._by_time else -self._decayed(note & _USE_MASK)


def _size(value) -> int:
    """Bytes of a value, about: counted if it is small, else estimated from a few of its members."""
    if type(value) is bytes:
        return len(value) + 33
    return value.memory() if hasattr(value, "memory") and len(value) <= _SMALL else size_of(value)


def _minutes() -> int:
    return int(time.monotonic() // 60) & 0xFFFF
