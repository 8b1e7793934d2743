"""The stream type: entries in the order of their ids, and groups of consumers who share them out.

An id is a pair (milliseconds, number). Whoever stores a stream elsewhere needs all public attributes: `entries()`, `last_id`,
`n_added`, `max_deleted` and, per group, `last_id`, `n_read`, its pending entries and its consumers; in commands: XADD key id
field value ..., XSETID key last_id ENTRIESADDED n MAXDELETEDID id, XGROUP CREATE key group last_id ENTRIESREAD n, XGROUP
CREATECONSUMER, and XCLAIM key group consumer 0 id TIME when RETRYCOUNT n FORCE JUSTID for what is pending."""
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Id = tuple[int, int]

ZERO: Id = (0, 0)
MOST = (1 << 64) - 1
LAST: Id = (MOST, MOST)
#: Gone entries at the front of the list of ids that are carried along before it is cut.
_CARRIED = 1024


class Pending:
    """An entry that a consumer has got and not acknowledged."""

    __slots__ = ("consumer", "when_ms", "count")

    def __init__(self, consumer: "Consumer", when_ms: int, count: int = 1):
        self.consumer, self.when_ms, self.count = consumer, when_ms, count


class Consumer:
    """One reader of a group."""

    __slots__ = ("name", "seen_ms", "active_ms", "pending")

    def __init__(self, name: bytes, seen_ms: int):
        self.name = name
        self.seen_ms = seen_ms          # when it last asked
        self.active_ms = -1             # when it last got something; -1: never
        self.pending: dict[Id, Pending] = {}


class Group:
    """Consumers and what they have read."""

    __slots__ = ("last_id", "n_read", "pending", "consumers")

    def __init__(self, last_id: Id, n_read: int | None = None):
        self.last_id = last_id
        self.n_read = n_read            # entries read so far, of all that were ever added; None: not known
        self.pending: dict[Id, Pending] = {}
        self.consumers: dict[bytes, Consumer] = {}

    def consumer(self, name: bytes, now_ms: int) -> Consumer:
        """The consumer of that name, which is made if need be."""
        found = self.consumers.get(name)
        if found is None:
            found = self.consumers[name] = Consumer(name, now_ms)
        return found

    def deliver(self, entry: Id, consumer: Consumer, now_ms: int) -> None:
        """Notes that a consumer has got an entry."""
        self.give(entry, consumer, Pending(consumer, now_ms))

    def give(self, entry: Id, consumer: Consumer, pending: Pending) -> None:
        """Makes an entry pending for a consumer, whoever had it before."""
        old = self.pending.get(entry)
        if old is not None:
            old.consumer.pending.pop(entry, None)
        pending.consumer = consumer
        self.pending[entry] = consumer.pending[entry] = pending

    def acknowledge(self, entry: Id) -> bool:
        """Takes an entry off; returns whether it was pending."""
        pending = self.pending.pop(entry, None)
        if pending is None:
            return False
        pending.consumer.pending.pop(entry, None)
        return True

    def drop_consumer(self, name: bytes) -> int | None:
        """Removes a consumer with what is pending for it; how many entries these were, None if there was no such consumer."""
        consumer = self.consumers.pop(name, None)
        if consumer is None:
            return None
        for entry in consumer.pending:
            del self.pending[entry]
        return len(consumer.pending)

    def copy(self) -> "Group":
        """A group of its own with the same content."""
        twin = Group(self.last_id, self.n_read)
        for name, consumer in self.consumers.items():
            other = twin.consumer(name, consumer.seen_ms)
            other.active_ms = consumer.active_ms
        for entry, pending in self.pending.items():
            twin.give(entry, twin.consumers[pending.consumer.name], Pending(None, pending.when_ms, pending.count))
        return twin


class Stream:
    """See the module's description."""

    __slots__ = ("last_id", "n_added", "max_deleted", "groups", "_ids", "_start", "_fields")

    type_name = "stream"

    def __init__(self):
        self.last_id: Id = ZERO
        self.n_added = 0
        self.max_deleted: Id = ZERO
        self.groups: dict[bytes, Group] = {}
        self._ids: list[Id] = []
        self._start = 0                             # ids before are gone
        self._fields: dict[Id, tuple[bytes, ...]] = {}

    def add(self, entry: Id, fields: tuple[bytes, ...]) -> None:
        """Appends an entry, whose id is greater than all before; `fields`: names and values in turn."""
        self._ids.append(entry)
        self._fields[entry] = fields
        self.last_id = entry
        self.n_added += 1

    def get(self, entry: Id) -> tuple[bytes, ...] | None:
        """The fields of an entry, None if it is not there."""
        return self._fields.get(entry)

    def remove(self, entry: Id) -> bool:
        """Removes an entry; returns whether it was there."""
        if self._fields.pop(entry, None) is None:
            return False
        del self._ids[bisect_left(self._ids, entry, self._start)]
        self.max_deleted = max(self.max_deleted, entry)
        return True

    def drop_first(self, n: int) -> None:
        """Removes the `n` oldest entries."""
        end = min(self._start + n, len(self._ids))
        for at in range(self._start, end):
            del self._fields[self._ids[at]]
        self._start = end
        if end > _CARRIED and 2 * end > len(self._ids):
            del self._ids[:end]
            self._start = 0

    def n_in_whole_nodes(self, n: int, node: int) -> int:
        """The greatest number up to `n` of oldest entries that are whole nodes, where Redis would have begun a node with every
        `node` entries ever added."""
        gone = (self.n_added - len(self)) % node        # of the first node that is still there
        whole = (n + gone) // node * node - gone
        return max(0, whole)

    def n_before(self, entry: Id) -> int:
        """How many entries have smaller ids."""
        return bisect_left(self._ids, entry, self._start) - self._start

    def range(self, start: Id, end: Id, count: int | None = None, reverse: bool = False) -> list[tuple[Id, tuple[bytes, ...]]]:
        """The entries from `start` to `end`, both included, at most `count`; the newest first if `reverse`."""
        low, high = bisect_left(self._ids, start, self._start), bisect_right(self._ids, end, self._start)
        if count is not None and high - low > count:
            low, high = (high - count, high) if reverse else (low, low + count)
        ids = self._ids[low:high]
        if reverse:
            ids.reverse()
        return [(entry, self._fields[entry]) for entry in ids]

    def entries(self) -> Iterator[tuple[Id, tuple[bytes, ...]]]:
        """All of them, the oldest first."""
        return ((self._ids[at], self._fields[self._ids[at]]) for at in range(self._start, len(self._ids)))

    @property
    def first_id(self) -> Id:
        """The id of the oldest entry; ZERO if there is none."""
        return self._ids[self._start] if len(self) else ZERO

    @property
    def newest_id(self) -> Id:
        """The id of the newest entry that is still there; ZERO if there is none."""
        return self._ids[-1] if len(self) else ZERO

    # How far groups are behind, as Redis reckons it

    def has_gaps_behind(self, entry: Id) -> bool:
        """Whether entries after this one may have been removed from the middle."""
        return bool(len(self)) and self.max_deleted != ZERO and self.max_deleted >= self.first_id and self.max_deleted >= entry

    def n_up_to(self, entry: Id) -> int | None:
        """How many entries have ever been added up to this id, None if that cannot be told."""
        if not self.n_added:
            return 0
        if (not len(self) and entry <= self.last_id) or entry == self.last_id:
            return self.n_added
        if entry > self.last_id:
            return None
        if self.max_deleted == ZERO or self.max_deleted < self.first_id:
            if entry < self.first_id:
                return self.n_added - len(self)
            if entry == self.first_id:
                return self.n_added - len(self) + 1
        return None

    def lag(self, group: Group) -> int | None:
        """How many entries a group has not read yet, None if that cannot be told."""
        if not self.n_added:
            return 0
        if group.n_read is not None and not self.has_gaps_behind(group.last_id):
            return self.n_added - group.n_read
        n_read = self.n_up_to(group.last_id)
        return None if n_read is None else self.n_added - n_read

    def note_read(self, group: Group, entry: Id) -> None:
        """A group has gone on to this entry."""
        if group.n_read is not None and not self.has_gaps_behind(entry):
            group.n_read += 1
        elif self.n_added:
            group.n_read = self.n_up_to(entry)
        group.last_id = entry

    def __len__(self) -> int:
        return len(self._ids) - self._start

    def __bool__(self) -> bool:
        return True

    def copy(self) -> "Stream":
        """A stream of its own with the same content."""
        twin = Stream()
        twin.restore(self.entries(), self.last_id, self.n_added, self.max_deleted)
        twin.groups = {name: group.copy() for name, group in self.groups.items()}
        return twin

    def restore(self, entries: Iterable[tuple[Id, tuple[bytes, ...]]], last_id: Id, n_added: int, max_deleted: Id) -> None:
        """Fills an empty stream with what was stored."""
        for entry, fields in entries:
            self._ids.append(entry)
            self._fields[entry] = fields
        self.last_id, self.n_added, self.max_deleted = last_id, n_added, max_deleted

    @property
    def encoding(self) -> str:
        """Redis's name for how it stores streams."""
        return "stream"

    def memory(self) -> int:
        """Bytes held, about."""
        total = sys.getsizeof(self) + sys.getsizeof(self._ids) + sys.getsizeof(self._fields) + 120 * len(self)
        return total + sum(sys.getsizeof(fields) + sum(map(sys.getsizeof, fields)) for fields in self._fields.values())
