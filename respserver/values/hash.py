"""The hash type: fields to bytes, with an expiry time per field where a client has set one."""
import heapq
import sys

from .order import Order

#: Field names that were seen, so that a million documents share one `bytes` per name. Bounded: beyond it names are
#: just not shared.
_NAMES: dict[bytes, bytes] = {}
_MAX_NAMES = 4096
_MAX_NAME_LENGTH = 64


def _shared(name: bytes) -> bytes:
    if len(_NAMES) < _MAX_NAMES and len(name) <= _MAX_NAME_LENGTH:
        return _NAMES.setdefault(name, name)
    return _NAMES.get(name, name)


class Hash:
    """Fields in the order of their insertion. Expiry times are Unix milliseconds; a field whose time has come stays until `purge`
    (the keyspace purges a hash before it hands it out)."""

    __slots__ = ("_fields", "_times", "_due", "_order", "had_times")

    type_name = "hash"

    def __init__(self, pairs=()):
        """`pairs`: (field, value) tuples."""
        self._fields: dict[bytes, bytes] = {_shared(field): value for field, value in pairs}
        self._times: dict[bytes, int] | None = None         # field -> expiry time
        self._due: list[tuple[int, bytes]] | None = None    # heap over _times; may hold entries that no longer count
        self._order: Order | None = None                    # for scans and random picks
        self.had_times = False                              # whether a field has ever had an expiry time

    @classmethod
    def from_flat(cls, words) -> "Hash":
        """From field, value, field, value, ...: what HSET is given."""
        self = cls()
        each = iter(words)
        self._fields = {_shared(field): value for field, value in zip(each, each)}
        return self

    def get(self, field: bytes) -> bytes | None:
        """The field's value, or None."""
        return self._fields.get(field)

    def put(self, field: bytes, value: bytes) -> bytes | None:
        """Sets a field, which also takes away its expiry time. Returns its previous value, or None if it is new."""
        fields = self._fields
        old = fields.get(field)
        if old is None:
            fields[_shared(field)] = value
            if self._order is not None:
                self._order.added(field)
        else:
            fields[field] = value
            if self._times:
                self._times.pop(field, None)
        return old

    def set(self, field: bytes, value: bytes, *, keep_time: bool = False) -> bool:
        """Sets a field, which also takes away its expiry time unless `keep_time`. Returns whether the field is new."""
        when = self.ttl_of(field) if keep_time else None
        is_new = self.put(field, value) is None
        if when is not None:
            self._times[field] = when
        return is_new

    def update_flat(self, words) -> dict[bytes, bytes | None]:
        """HSET: sets field, value, field, value, ... Returns each field's previous value (None: new), as
        `Database.changed` wants it."""
        fields = self._fields
        previous = {}
        each = iter(words)
        for field, value in zip(each, each):
            if field in fields:
                if field not in previous:
                    previous[field] = fields[field]
                fields[field] = value
            else:
                previous[field] = None
                fields[_shared(field)] = value
                if self._order is not None:
                    self._order.added(field)
        if self._times:
            for field in previous:
                self._times.pop(field, None)
        return previous

    def delete(self, field: bytes) -> bool:
        """Removes a field. Returns whether it was there."""
        if self._fields.pop(field, None) is None:
            return False
        if self._times:
            self._times.pop(field, None)
        if self._order is not None:
            self._order.removed(field)
        return True

    def items(self):
        """A live view of (field, value)."""
        return self._fields.items()

    def keys(self):
        """A live view of the fields."""
        return self._fields.keys()

    def values(self):
        """A live view of the values."""
        return self._fields.values()

    def many(self, fields) -> list[bytes | None]:
        """The values of several fields."""
        get = self._fields.get
        return [get(field) for field in fields]

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, field: bytes) -> bool:
        return field in self._fields

    def expire_at(self, field: bytes, when_ms: int | None) -> None:
        """Sets the expiry time of a field that is there, or removes it (None)."""
        if when_ms is None:
            if self._times:
                self._times.pop(field, None)
            return
        if self._times is None:
            self._times, self._due = {}, []
        self.had_times = True
        self._times[field] = when_ms
        heapq.heappush(self._due, (when_ms, field))
        if len(self._due) > 2 * len(self._times) + 64:
            self._due = [(when, name) for name, when in self._times.items()]
            heapq.heapify(self._due)

    def ttl_of(self, field: bytes) -> int | None:
        """The expiry time of a field (Unix milliseconds), or None."""
        return self._times.get(field) if self._times else None

    def times(self) -> dict[bytes, int]:
        """Every field that has an expiry time, and the time: a copy."""
        return dict(self._times) if self._times else {}

    def next_expiry(self) -> int | None:
        """The earliest expiry time of a field, or None."""
        due, times = self._due, self._times
        while due:
            when, field = due[0]
            if times.get(field) == when:
                return when
            heapq.heappop(due)
        self._times = self._due = None
        return None

    def purge(self, now_ms: int) -> dict[bytes, bytes]:
        """Drops the fields whose time has come. Returns them with the values they had."""
        expired = {}
        while self._due and self._due[0][0] <= now_ms:
            when, field = heapq.heappop(self._due)
            if self._times.get(field) == when:
                del self._times[field]
                expired[field] = self._fields.pop(field)
                if self._order is not None:
                    self._order.removed(field)
        return expired

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """One step of a scan: (the next cursor, fields); 0 as the next cursor ends the scan."""
        return self._ordered().page(cursor, count)

    def random_field(self) -> bytes:
        """A random field of a hash that is not empty."""
        return self._ordered().random()

    def _ordered(self) -> Order:
        if self._order is None:
            self._order = Order(self._fields)
        return self._order

    def is_small(self, max_fields: int, max_length: int) -> bool:
        """Whether Redis would keep this hash as a listpack: few fields, and all texts short (bytes)."""
        if len(self._fields) > max_fields:
            return False
        return all(len(field) <= max_length and len(value) <= max_length for field, value in self._fields.items())

    def copy(self) -> "Hash":
        """A hash of its own with the same fields and expiry times."""
        twin = Hash()
        twin._fields = dict(self._fields)
        twin.had_times = self.had_times
        if self._times:
            twin._times = dict(self._times)
            twin._due = list(self._due)
        return twin

    def memory(self) -> int:
        """Bytes held, about: names that are shared count in full."""
        total = sys.getsizeof(self) + sys.getsizeof(self._fields)
        total += sum(sys.getsizeof(field) + sys.getsizeof(value) for field, value in self._fields.items())
        if self._times:
            total += sys.getsizeof(self._times) + sys.getsizeof(self._due) + 88 * len(self._due)
        return total + (0 if self._order is None else 8 * len(self._fields))
