"""GROUPBY by whole columns: what FT.AGGREGATE does where fields of the schema are reduced by fields of the schema.

The rows that a query matched stay an array; the values that they are grouped by are numbers for each document (ValueCodes), and
the engine adds up; what it does not know of is given to reducers.py a column at a time. The general way (pipeline.py) makes a
list per document and finds the same."""
import math
from collections.abc import Callable, Iterator

import numpy as np

import native

from .aggregate_options import Group
from .fields import NumericField, TagField, TextField
from .reducers import REDUCERS
from .reply import bulk
from .values import NULL

#: Documents whose values are read at a time; others are served in between.
_SLICE = 2048
#: A field is not kept as codes where it has more different values than these, and than a quarter of the documents.
_FEW = 1024
#: Bytes that a value takes beside its text: an object, a dict's entry with its number, a place in a list.
_PER_VALUE = 33 + 104 + 8
#: What the engine does with numbers.
_OF_NUMBERS = frozenset(("SUM", "AVG", "MIN", "MAX", "STDDEV", "QUANTILE"))


class ValueCodes:
    """Which of the different values of a field each row of the document table has, as numbers: codes[row] is the place of the
    row's value in `values`, whose first is None for no value.

    It follows the documents when it is asked: whatever was indexed since the latest time has a newer doc id."""

    __slots__ = ("codes", "values", "_number", "_read", "_until", "_aim", "_waiting", "_at", "_too_many_at", "_names", "_n_named")

    def __init__(self, read: Callable):
        self._read = read                       # (document's hash, row) -> bytes | None
        self._too_many_at = 0                   # rows that there were when it had too many values
        self._forget()

    def read(self, docs, rows: np.ndarray) -> list[bytes | None]:
        """The values of rows, whether or not they have codes."""
        documents, read = docs.values, self._read
        return [None if (document := documents[row]) is None else read(document, row) for row in rows.tolist()]

    def column(self, docs) -> Callable:
        """What reads it for rows, as `column_of` says: by codes, if there are any for all documents."""
        if self.follow(docs):
            codes, values = self.codes, self.values
            return lambda rows, numbers: list(map(values.__getitem__, codes[rows].tolist()))
        return lambda rows, numbers: self.read(docs, rows)

    @property
    def names(self) -> native.Names:
        """The values as bulk strings, by code, for replies that the engine writes."""
        names, values = self._names, self.values
        if names is None:
            names = self._names = native.Names()
        while self._n_named < len(values):
            names[self._n_named] = bulk(values[self._n_named])
            self._n_named += 1
        return names

    def _forget(self) -> None:
        self.codes = np.zeros(0, dtype=np.int32)
        self.values: list[bytes | None] = [None]
        self._number: dict[bytes | None, int] = {None: 0}
        self._until = 0                         # documents up to this doc id are known ...
        self._aim = 0                           # ... and up to this one when all of _waiting are
        self._waiting = np.zeros(0, dtype=np.int64)             # rows to be read, from _at on
        self._at = 0
        self._names: native.Names | None = None
        self._n_named = 1                       # but for None

    def follow(self, docs) -> bool | None:
        """Reads the values of some documents. Whether it has them all now; None: there are too many different ones to keep."""
        if docs.n_rows < 2 * self._too_many_at:
            return None
        if self._at == len(self._waiting):
            if self._until == docs.max_doc_id:
                return True
            n_rows = docs.n_rows
            if len(self.codes) < n_rows:
                more = max(64, n_rows + n_rows // 8 - len(self.codes))
                self.codes = np.concatenate([self.codes, np.zeros(more, dtype=np.int32)])
            self._aim = docs.max_doc_id
            self._waiting = np.flatnonzero(docs.doc_ids[:n_rows] > self._until)
            self._at = 0
        part = self._waiting[self._at:self._at + _SLICE]
        self._at += len(part)
        documents, read, numbers, values = docs.values, self._read, self._number, self.values
        found = []
        for row in part.tolist():
            document = documents[row]
            value = None if document is None else read(document, row)
            number = numbers.get(value)
            if number is None:
                number = numbers[value] = len(values)
                values.append(value)
            found.append(number)
        self.codes[part] = found
        if len(values) > max(_FEW, docs.n_rows // 4):
            self._too_many_at = docs.n_rows
            self._forget()
            return None
        if self._at == len(self._waiting):
            self._until = self._aim
        return self._until == docs.max_doc_id

    @property
    def nbytes(self) -> int:
        held = self.codes.nbytes + sum(map(len, self.values[1:])) + _PER_VALUE * len(self.values)
        return held + (self._names.nbytes if self._names is not None else 0)


def codes_of(index, field) -> ValueCodes | None:
    """The codes of a field as GROUPBY sees it without LOAD; None: it is not one that has codes."""
    if type(field) not in (TagField, TextField) or index.source.is_json:
        return None
    if field.codes is None:
        if field.sort_keys is not None:
            sort_keys = field.sort_keys
            field.codes = ValueCodes(lambda document, row: sort_keys.get(row))
        else:
            path = field.path
            field.codes = ValueCodes(lambda document, row: document.get(path))
    return field.codes


def column_of(field) -> Callable:
    """What reads an index's field for rows, (their array, the same as a list) -> values:
    numbers, or sort keys; None where there is none."""
    if type(field) is not NumericField:
        return lambda rows, numbers: list(map(field.sort_keys.get, numbers))

    def numbers_of(rows, numbers):
        column = field.column
        if len(column) <= max(numbers, default=0):
            return [field.sort_key(row) for row in numbers]
        values = column[rows]
        missing = values != values
        found = values.tolist()
        if missing.any():
            for i in np.flatnonzero(missing).tolist():
                found[i] = None
        return found
    return numbers_of


class _Numbering:
    """Codes of values that nobody keeps, for one request."""

    __slots__ = ("values", "_numbers")

    def __init__(self):
        self.values: list[bytes | None] = [None]
        self._numbers: dict[bytes | None, int] = {None: 0}

    def codes(self, found: list[bytes | None]) -> np.ndarray:
        numbers, values = self._numbers, self.values
        codes = []
        for value in found:
            number = numbers.get(value)
            if number is None:
                number = numbers[value] = len(values)
                values.append(value)
            codes.append(number)
        return np.array(codes, dtype=np.int32)


class Grouping:
    """One GROUPBY over documents as they come from the index."""

    __slots__ = ("index", "keys", "reducers", "others", "_fields")

    def __init__(self, index, keys: list, reducers: list[tuple], others: list[tuple], fields: list):
        self.index = index
        self.keys = keys            # NumericField, or ValueCodes
        #: What the engine does: (place among the results, name, share, NumericField, ValueCodes or None).
        self.reducers = reducers
        self.others = others        # what reducers.py does: (place among the results, what makes a reducer)
        self._fields = fields       # that these look at, by slot

    @classmethod
    def of(cls, index, step: Group, is_property: Callable[[bytes], bool]) -> "Grouping | None":
        """The grouping for a step, None if it takes the general way.
        is_property: whether a name means something else than a field."""
        def find(name):
            """The field of this name that can be read for rows, or its codes; None: there is none."""
            field = None if is_property(name) else index.by_name.get(name)
            if field is None or field.has_arrays:
                return None
            return field if type(field) is NumericField else codes_of(index, field)

        keys = list(map(find, step.properties))
        if None in keys:
            return None
        reducers, others, fields = [], [], []
        slots: dict[bytes, int] = {}

        def slot_of(name):
            if name not in slots:
                slots[name] = len(fields)
                fields.append(find(name))
            return slots[name]

        for place, reduce in enumerate(step.reducers):
            function = reduce.function
            field = None if function in ("COUNT", "COLLECT") else find(reduce.source)
            if function == "COUNT" or function == "COUNT_DISTINCT" or function in _OF_NUMBERS and type(field) is NumericField:
                if field is None and function != "COUNT":
                    return None
                reducers.append((place, function, reduce.number if function == "QUANTILE" else 0.0, field))
                continue
            if function == "COLLECT":
                if reduce.fields is None:           # all that rows have by then
                    return None
                slot: int | dict[bytes, int] = {name: slot_of(name) for name in reduce.fields}
                by: int | list = [(slot_of(name), ascending) for name, ascending in reduce.keys]
            else:
                slot, by = slot_of(reduce.source), -1 if reduce.by is None else slot_of(reduce.by)
            others.append((place, lambda make=REDUCERS[function], reduce=reduce, slot=slot, by=by: make(reduce, slot, by)))
        return None if None in fields else cls(index, keys, reducers, others, fields)

    def plan(self) -> native.GroupPlan:
        """What the engine is to do."""
        return native.GroupPlan(len(self.keys), [(name, share) for _, name, share, _ in self.reducers])

    def is_ready(self, plan: native.GroupPlan) -> bool:
        """Whether the engine has all that it needs, then the plan says where: codes of all documents.
        Reads some that are missing."""
        docs = self.index.docs
        for i, field in enumerate(self._engine_fields()):
            if type(field) is ValueCodes:
                if not field.follow(docs):
                    return False
                plan.set_codes(i, field.codes, field.names)
            elif field is not None:
                plan.set_column(i, field.column)
        return True

    def _engine_fields(self) -> list:
        return [*self.keys, *(field for _, _, _, field in self.reducers)]

    def _prepare(self, codes: list) -> Iterator[None]:
        """Reads what there are no codes for yet, a slice at a time. `codes` gets for each of the engine's fields its codes with
        their values, a _Numbering for one with too many values, or None for numbers."""
        docs = self.index.docs
        for field in self._engine_fields():
            if type(field) is not ValueCodes:
                codes.append(None)
                continue
            while (state := field.follow(docs)) is False:
                yield
            codes.append((field.codes, field.values) if state else _Numbering())

    def groups(self, batches: Iterator[np.ndarray]) -> Iterator[tuple[list[tuple], list[list]] | None]:
        """Takes rows. Yields None as long as there are more, then the groups' keys, in the order in which they first came, and
        for each reducer its results."""
        codes: list = []
        yield from self._prepare(codes)
        fields = self._engine_fields()
        docs = self.index.docs
        plan, groups = self.plan(), native.Groups()
        groups.begin(plan)
        columns = [column_of(field) if type(field) is NumericField else field.column(docs) for field in self._fields]
        size = _SLICE if columns or any(type(one) is _Numbering for one in codes) else 1 << 62
        reduced: list[list] = []            # by group: the reducers of `others`
        for batch in batches:
            for at in range(0, len(batch), size):
                rows = np.ascontiguousarray(batch[at:at + size], dtype=np.uint32)
                for i, (field, known) in enumerate(zip(fields, codes)):
                    if type(known) is _Numbering:
                        plan.set_codes(i, known.codes(field.read(docs, rows)), is_in_order=True)
                    elif known is not None:
                        plan.set_codes(i, known[0])
                    elif field is not None:
                        plan.set_column(i, field.column)
                n_groups = groups.add(rows)
                if self.others:
                    self._reduce(reduced, n_groups, groups.of_rows(len(rows)), rows, columns)
                yield None
        keys, results = groups.end()
        shown = [_shown(values, known) for values, known in zip(keys, codes)]
        found: list = [None] * (len(self.reducers) + len(self.others))
        for (place, *_), values in zip(self.reducers, results):
            found[place] = [math.nan if value != value and not is_negative else value        # the one that stands for no number
                            for value, is_negative in zip(values.tolist(), np.signbit(values).tolist())]
        for i, (place, _) in enumerate(self.others):
            found[place] = [reducers[i].result() for reducers in reduced]
        yield list(zip(*shown)) if shown else [()] * keys.shape[1], found

    def _reduce(self, reduced: list[list], n_groups: int, groups: list[int], rows: np.ndarray, columns: list) -> None:
        """Gives rows to the reducers of their groups."""
        reduced += [[make() for _, make in self.others] for _ in range(n_groups - len(reduced))]
        numbers = rows.tolist()
        members: dict[int, list] = {}
        for group, row in zip(groups, zip(*[column(rows, numbers) for column in columns])):
            if group in members:
                members[group].append(row)
            else:
                members[group] = [row]
        for group, its in members.items():
            for reducer in reduced[group]:
                reducer.add(its)


def _shown(keys: np.ndarray, known) -> list:
    """The values of a column of keys as rows show them."""
    if known is None:
        return [NULL if value != value else value for value in keys.tolist()]
    values = known.values if type(known) is _Numbering else known[1]
    return [values[code] if code else NULL for code in keys.astype(np.int64).tolist()]
