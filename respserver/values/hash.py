"""The hash type: fields to bytes, with an expiry time per field where a client has set one.

A small hash is packed (respserver/values/shape.py); one with many fields, with names that no other hash has, or with expiry times
is a dict. A value may be a reference into a file (respserver/values/slots.py): whoever reads through the methods sees its bytes.
"""
import heapq
import random
import sys
from collections.abc import Iterable, Mapping

from .order import Order
from .shape import EMPTY, MAX_FIELDS, Fields, Shape, pack
from .slots import Ref, discard, fetch, length, previous

#: Field names that were seen, so that hashes that are dicts share one `bytes` per name. Bounded: beyond it names are
#: just not shared.
_NAMES: dict[bytes, bytes] = {}
_MAX_NAMES = 4096
_MAX_NAME_LENGTH = 64


def _shared(name: bytes) -> bytes:
    if len(_NAMES) < _MAX_NAMES and len(name) <= _MAX_NAME_LENGTH:
        return _NAMES.setdefault(name, name)
    return _NAMES.get(name, name)


def _settled(value: bytes | None) -> bytes | None:
    """The bytes of a value that leaves its hash; a slot that it had is free."""
    if type(value) is Ref:
        text = previous(value)
        discard(value)
        return text
    return value


class _Table:
    """A hash as a dict, with all that only such a hash has."""

    __slots__ = ("fields", "times", "due", "order", "had_times", "n_refs")

    def __init__(self, fields: dict[bytes, bytes]):
        self.fields = fields
        self.times: dict[bytes, int] | None = None          # field -> expiry time
        self.due: list[tuple[int, bytes]] | None = None     # heap over times; may hold entries that no longer count
        self.order: Order | None = None                     # for scans and random picks
        self.had_times = False
        self.n_refs = sum(type(value) is Ref for value in fields.values())

    def put(self, field: bytes, value: bytes) -> bytes | None:
        """Sets a field; returns what it held before, be it a Ref, or None."""
        fields = self.fields
        old = fields.get(field)
        if old is None:
            fields[_shared(field)] = value
            if self.order is not None:
                self.order.added(field)
        else:
            fields[field] = value
            self.n_refs -= type(old) is Ref
        self.n_refs += type(value) is Ref
        return old

    def pop(self, field: bytes) -> bytes | None:
        """Removes a field; returns what it held, be it a Ref, or None."""
        old = self.fields.pop(field, None)
        if old is not None:
            self.n_refs -= type(old) is Ref
            if self.times:
                self.times.pop(field, None)
            if self.order is not None:
                self.order.removed(field)
        return old


class Hash:
    """Fields in the order of their insertion. Expiry times are Unix milliseconds; a field whose time has come stays until `purge`
    (the keyspace purges a hash before it hands it out).

    Reading a value that lives in a file raises CommandError if it is damaged; writing and removing never do."""

    __slots__ = ("_shape", "_data")     # (Shape, what it unpacks) or (None, _Table)

    type_name = "hash"

    def __init__(self, pairs=()):
        """`pairs`: (field, value) tuples."""
        self._shape: Shape | None = EMPTY
        self._data: object = b""
        fields = dict(pairs)
        if fields:
            self._assign(tuple(fields), list(fields.values()))

    @classmethod
    def from_flat(cls, words) -> "Hash":
        """From a tuple field, value, field, value, ...: what HSET is given."""
        self = cls.__new__(cls)
        self._shape, self._data = EMPTY, b""
        self._assign(words[::2], words[1::2])
        return self

    @classmethod
    def of(cls, names: tuple[bytes, ...], values: list[bytes]) -> "Hash":
        """Of these fields, which are different, and their values."""
        self = cls.__new__(cls)
        self._shape, self._data = EMPTY, b""
        self._assign(names, values)
        return self

    @classmethod
    def packed(cls, shape: Shape, contents: Iterable) -> "list[Hash]":
        """One for each content, data as this shape's `pack` makes them."""
        new, found = cls.__new__, []
        for data in contents:
            self = new(cls)
            self._shape, self._data = shape, data
            found.append(self)
        return found

    @property
    def shape(self) -> Shape | None:
        """What it has in common with others; None for one that is a dict."""
        return self._shape

    def _assign(self, names: tuple[bytes, ...], values) -> None:
        """Takes these fields in place of all that there are, packed if that pays. The last of equal names counts."""
        shape, data = pack(names, values)
        if shape is not None:
            self._shape, self._data = shape, data
        else:
            self._shape, self._data = None, _Table({_shared(field): value for field, value in zip(names, values)})

    def _table(self) -> _Table:
        """The hash as a dict, for good."""
        shape = self._shape
        if shape is not None:
            table = _Table(dict(zip(shape.names, shape.unpack(self._data))))
            self._shape, self._data = None, table
        return self._data

    def __del__(self):
        # However a hash goes (deleted, expired, replaced, flushed), its slots are free then.
        shape = self._shape
        if shape is None:
            if self._data.n_refs:
                for value in self._data.fields.values():
                    if type(value) is Ref:
                        discard(value)
        elif shape.refs:
            for i in shape.refs:
                discard(shape.raw(self._data, i))

    # Reading

    def get(self, field: bytes) -> bytes | None:
        """The field's value, or None."""
        shape = self._shape
        if shape is None:
            value = self._data.fields.get(field)
            return fetch(value) if type(value) is Ref else value
        i = shape.at.get(field)
        if i is None:
            return None
        data = self._data
        if shape.own_at is not None:
            place = shape.own_at.get(i)
            if place is not None:
                return data[place]
            data = data[0]
        start = shape.n + sum(data[:i])
        value = data[start:start + data[i]]
        return fetch(value) if shape.refs and i in shape.refs else value

    def raw(self, field: bytes) -> bytes | None:
        """What the hash itself holds: the value, the Ref of one that lives in a file, or None."""
        shape = self._shape
        if shape is None:
            return self._data.fields.get(field)
        i = shape.at.get(field)
        return None if i is None else shape.raw(self._data, i)

    def length_of(self, field: bytes) -> int:
        """The length of a field's value in bytes, 0 without one; reads no file."""
        value = self.raw(field)
        return 0 if value is None else length(value) if type(value) is Ref else len(value)

    def previous(self, field: bytes) -> bytes | None:
        """As `get`, but a value that cannot be read is empty: for those who only tell of what was there before."""
        value = self.raw(field)
        return previous(value) if type(value) is Ref else value

    def _raw_values(self):
        shape = self._shape
        return self._data.fields.values() if shape is None else shape.unpack(self._data)

    @property
    def _has_refs(self) -> bool:
        shape = self._shape
        return bool(self._data.n_refs if shape is None else shape.refs)

    def items(self):
        """All (field, value), with a length; to be used before the hash changes."""
        shape = self._shape
        if shape is None:
            return list(zip(self.keys(), self.values())) if self._data.n_refs else self._data.fields.items()
        return list(zip(shape.names, self.values() if shape.refs else shape.unpack(self._data)))

    def keys(self):
        """All fields, with a length; to be used before the hash changes."""
        shape = self._shape
        return self._data.fields.keys() if shape is None else shape.names

    def values(self):
        """All values, with a length; to be used before the hash changes."""
        values = self._raw_values()
        return [fetch(value) if type(value) is Ref else value for value in values] if self._has_refs else values

    def many(self, fields) -> list[bytes | None]:
        """The values of several fields."""
        shape = self._shape
        get = self._data.fields.get if shape is None and not self._data.n_refs else self.get
        return [get(field) for field in fields]

    def __len__(self) -> int:
        shape = self._shape
        return len(self._data.fields) if shape is None else shape.n

    def __contains__(self, field: bytes) -> bool:
        shape = self._shape
        return field in (self._data.fields if shape is None else shape.at)

    # Writing

    def put(self, field: bytes, value: bytes) -> bytes | None:
        """Sets a field, which also takes away its expiry time. Returns its previous value, or None if it is new."""
        shape = self._shape
        if shape is not None:
            i = shape.at.get(field)
            if i is not None:
                old, data = shape.replaced(self._data, i, value)
                if old is not None:
                    self._data = data
                    return old
        old = self._put(field, value)
        if self._shape is None and self._data.times:
            self._data.times.pop(field, None)
        return _settled(old)

    def put_many(self, fields: list[bytes], values: list[bytes]) -> list[int]:
        """Sets fields one after the other, as `put` does. Returns 1 for each that was new then, else 0."""
        table = self._data if self._shape is None else None
        if table is None or table.times or table.n_refs:
            return [int(self.put(field, value) is None) for field, value in zip(fields, values)]
        known = table.fields
        added = []
        for field, value in zip(fields, values):
            if field in known:
                known[field] = value
                added.append(0)
            else:
                table.put(field, value)
                added.append(1)
        return added

    def exchange(self, field: bytes, value: bytes) -> bytes | None:
        """Sets what the hash itself holds, a value or a Ref, and keeps the field's expiry time. Returns what it held; a slot
        stays as it is."""
        return self._put(field, value)

    def _put(self, field: bytes, value: bytes) -> bytes | None:
        shape = self._shape
        if shape is None:
            return self._data.put(field, value)
        i = shape.at.get(field)
        if i is not None:
            old, data = shape.replaced(self._data, i, value)
            if old is not None:
                self._data = data
                return old
        values = shape.unpack(self._data)
        if i is None:
            if len(values) == MAX_FIELDS:
                return self._table().put(field, value)
            values.append(value)
            self._assign((*shape.names, field), values)
            return None
        old = values[i]
        values[i] = value
        self._replace(shape, values)
        return old

    def _replace(self, shape: Shape, values) -> None:
        """Takes other values for the same fields."""
        data = shape.pack(values)
        if data is not None:
            self._data = data
        else:
            self._assign(shape.names, values)

    def set(self, field: bytes, value: bytes, *, keep_time: bool = False) -> bool:
        """Sets a field, which also takes away its expiry time unless `keep_time`. Returns whether the field is new."""
        return (self.put_timed(field, value) if keep_time else self.put(field, value)) is None

    def put_timed(self, field: bytes, value: bytes) -> bytes | None:
        """As `put`, but keeps the field's expiry time."""
        return _settled(self._put(field, value))

    def update_flat(self, words) -> Mapping[bytes, bytes | None]:
        """HSET: sets what a tuple field, value, field, value, ... says. Returns each field's previous value (None: new), as
        `Database.changed` wants it."""
        previous = {}
        each = iter(words)
        shape = self._shape
        if shape is None:
            table = self._data
            for field, value in zip(each, each):
                old = _settled(table.put(field, value))
                if field not in previous:
                    previous[field] = old
            if table.times:
                for field in previous:
                    table.times.pop(field, None)
            return previous
        names = shape.names
        if words[::2] == names and not shape.refs:              # the document once more
            previous = Fields(shape, self._data)
            self._replace(shape, words[1::2])
            return previous
        at, values = shape.at, shape.unpack(self._data)
        added: dict[bytes, int] = {}
        for field, value in zip(each, each):
            i = at.get(field)
            if i is None:
                i = added.get(field)
            if i is None:
                added[field] = len(values)
                values.append(value)
                previous[field] = None
                continue
            old = _settled(values[i])
            values[i] = value
            if field not in previous:
                previous[field] = old
        if added:
            self._assign((*names, *added), values)
        else:
            self._replace(shape, values)
        return previous

    def pop(self, field: bytes) -> bytes | None:
        """Removes a field. Returns its value, None if it was not there."""
        shape = self._shape
        if shape is None:
            return _settled(self._data.pop(field))
        i = shape.at.get(field)
        if i is None:
            return None
        values = shape.unpack(self._data)
        old = values.pop(i)
        if values:
            self._assign(shape.names[:i] + shape.names[i + 1:], values)
        else:
            self._shape, self._data = EMPTY, b""
        return _settled(old)

    def delete(self, field: bytes) -> bool:
        """Removes a field. Returns whether it was there."""
        return self.pop(field) is not None

    # Expiry

    @property
    def had_times(self) -> bool:
        """Whether a field has ever had an expiry time."""
        return self._shape is None and self._data.had_times

    def expire_at(self, field: bytes, when_ms: int | None) -> None:
        """Sets the expiry time of a field that is there, or removes it (None)."""
        if when_ms is None:
            if self._shape is None and self._data.times:
                self._data.times.pop(field, None)
            return
        table = self._table()
        if table.times is None:
            table.times, table.due = {}, []
        table.had_times = True
        table.times[field] = when_ms
        heapq.heappush(table.due, (when_ms, field))
        if len(table.due) > 2 * len(table.times) + 64:
            table.due = [(when, name) for name, when in table.times.items()]
            heapq.heapify(table.due)

    def ttl_of(self, field: bytes) -> int | None:
        """The expiry time of a field (Unix milliseconds), or None."""
        return self._data.times.get(field) if self._shape is None and self._data.times else None

    def times(self) -> dict[bytes, int]:
        """Every field that has an expiry time, and the time: a copy."""
        return dict(self._data.times) if self._shape is None and self._data.times else {}

    def next_expiry(self) -> int | None:
        """The earliest expiry time of a field, or None."""
        if self._shape is not None:
            return None
        table = self._data
        due, times = table.due, table.times
        while due:
            when, field = due[0]
            if times.get(field) == when:
                return when
            heapq.heappop(due)
        table.times = table.due = None
        return None

    def purge(self, now_ms: int) -> dict[bytes, bytes]:
        """Drops the fields whose time has come. Returns them with the values they had."""
        expired = {}
        if self._shape is None:
            table = self._data
            while table.due and table.due[0][0] <= now_ms:
                when, field = heapq.heappop(table.due)
                if table.times.get(field) == when:
                    expired[field] = _settled(table.pop(field))
        return expired

    # Scanning

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """One step of a scan: (the next cursor, fields); 0 as the next cursor ends the scan.
        A packed hash takes one step: it has few fields."""
        if self._shape is not None:
            return 0, list(self._shape.names)
        return self._ordered().page(cursor, count)

    def random_field(self) -> bytes:
        """A random field of a hash that is not empty."""
        if self._shape is not None:
            return random.choice(self._shape.names)
        return self._ordered().random()

    def _ordered(self) -> Order:
        table = self._data
        if table.order is None:
            table.order = Order(table.fields)
        return table.order

    # The whole

    def is_small(self, max_fields: int, max_length: int) -> bool:
        """Whether Redis would keep this hash as a listpack: few fields, and all texts short (bytes)."""
        if len(self) > max_fields:
            return False
        return (all(len(field) <= max_length for field in self.keys())
                and all((length(value) if type(value) is Ref else len(value)) <= max_length for value in self._raw_values()))

    def copy(self) -> "Hash":
        """A hash of its own with the same fields and expiry times, and with all values in memory."""
        twin = Hash()
        shape = self._shape
        if shape is None:
            table = self._data
            twin._shape, twin._data = None, _Table(dict(self.items()))
            twin._data.had_times = table.had_times
            if table.times:
                twin._data.times = dict(table.times)
                twin._data.due = list(table.due)
        elif shape.refs:
            twin._assign(shape.names, self.values())
        else:
            twin._shape, twin._data = shape, self._data
        return twin

    def refs(self) -> list[tuple[bytes, Ref]]:
        """(field, Ref) of the values that live in files."""
        if not self._has_refs:
            return []
        return [(field, value) for field, value in zip(self.keys(), self._raw_values()) if type(value) is Ref]

    def memory(self) -> int:
        """Bytes of memory held, about. Names that are shared count in full, values in files not at all."""
        shape = self._shape
        total = sys.getsizeof(self)
        if shape is not None:
            parts = self._data if type(self._data) is tuple else (self._data,)
            return total + sum(map(sys.getsizeof, parts)) + (sys.getsizeof(parts) if len(parts) > 1 else 0)
        table = self._data
        total += sys.getsizeof(table) + sys.getsizeof(table.fields)
        total += sum(sys.getsizeof(field) + sys.getsizeof(value) for field, value in table.fields.items())
        if table.times:
            total += sys.getsizeof(table.times) + sys.getsizeof(table.due) + 88 * len(table.due)
        return total + (0 if table.order is None else 8 * len(table.fields))


def raw_of_many(hashes, field: bytes) -> tuple[list[bytes | None], list[int]]:
    """What many hashes (or None) hold under one field: (values, the positions of Refs). A Ref comes as plain bytes."""
    found: list[bytes | None] = []
    refs: list[int] = []
    last = None                             # most hashes are of one shape: what follows is settled once for it
    i = start = place = None
    is_ref = False
    for value in hashes:
        if value is None:
            found.append(None)
            continue
        shape = value._shape
        if shape is None:
            raw = value._data.fields.get(field)
            if type(raw) is Ref:
                refs.append(len(found))
            found.append(raw)
            continue
        if shape is not last:
            last, i, start = shape, shape.at.get(field), shape.n
            place = None if shape.own_at is None else shape.own_at.get(i)
            is_ref = i in shape.refs
        if place is not None:
            found.append(value._data[place])
        elif i is None:
            found.append(None)
        else:
            if is_ref:
                refs.append(len(found))
            text = value._data if shape.own_at is None else value._data[0]
            at = start + sum(text[:i])
            found.append(text[at:at + text[i]])
    return found, refs
