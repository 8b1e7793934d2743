"""GROUPBY by whole columns: what FT.AGGREGATE does where documents are counted, or numbers summed, by fields of the schema.

The rows that a query matched stay an array; the values that they are grouped by are numbers for each document (ValueCodes), and the
engine adds up. The general way (pipeline.py) makes a list per document and finds the same."""
import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

import native

from .aggregate_options import Group
from .fields import NumericField, TagField, TextField
from .values import NULL

#: Documents whose values are read at a time; others are served in between.
_SLICE = 2048
#: A field is not kept as codes where it has more different values than these, and than a quarter of the documents.
_FEW = 1024
#: Bytes that a value takes beside its text: an object, a dict's entry with its number, a place in a list.
_PER_VALUE = 33 + 104 + 8
#: So many combinations of values are found by an array with a place for each.
_DENSE = 1 << 18


class ValueCodes:
    """Which of the different values of a field each row of the document table has, as numbers: codes[row] is the place of the
    row's value in `values`, whose first is None for no value.

    It follows the documents when it is asked: whatever was indexed since the latest time has a newer doc id."""

    __slots__ = ("codes", "values", "_number", "_read", "_until", "_aim", "_waiting", "_at", "_too_many_at")

    def __init__(self, read: Callable):
        self._read = read                       # (document's hash, row) -> bytes | None
        self._too_many_at = 0                   # rows that there were when it had too many values
        self._forget()

    def read(self, docs, rows: np.ndarray) -> tuple[np.ndarray, list[bytes | None]]:
        """Codes of rows that nobody keeps, and the value of each."""
        numbers: dict[bytes | None, int] = {}
        documents, read = docs.values, self._read
        found = [None if documents[row] is None else read(documents[row], row) for row in rows.tolist()]
        codes = [numbers.setdefault(value, len(numbers)) for value in found]
        return np.array(codes, dtype=np.int64), list(numbers)

    def _forget(self) -> None:
        self.codes = np.zeros(0, dtype=np.int32)
        self.values: list[bytes | None] = [None]
        self._number: dict[bytes | None, int] = {None: 0}
        self._until = 0                         # documents up to this doc id are known ...
        self._aim = 0                           # ... and up to this one when all of _waiting are
        self._waiting = np.zeros(0, dtype=np.int64)             # rows to be read, from _at on
        self._at = 0

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
        return self.codes.nbytes + sum(map(len, self.values[1:])) + _PER_VALUE * len(self.values)


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


def numeric_values(field: NumericField, rows: np.ndarray) -> np.ndarray:
    """The numbers of rows, NaN where there is none."""
    column = field.column
    if len(rows) and len(column) <= int(rows.max()):
        values = np.full(len(rows), np.nan)
        has_place = rows < len(column)
        values[has_place] = column[rows[has_place]]
        return values
    return column[rows]


def _grown(values: np.ndarray, n: int) -> np.ndarray:
    return values if len(values) == n else np.concatenate([values, np.zeros(n - len(values), dtype=values.dtype)])


class _Count:
    __slots__ = ("n",)

    def __init__(self):
        self.n = np.zeros(0, dtype=np.int64)

    def add(self, groups: np.ndarray, n_groups: int, rows: np.ndarray, field: NumericField | None) -> None:
        """Takes rows, each with the number of its group."""
        self.n = _grown(self.n, n_groups)
        native.add_to_groups(groups, rows, self.n)

    def results(self) -> list[float]:
        return self.n.astype(np.float64).tolist()


class _Sum:
    __slots__ = ("n", "sums")

    def __init__(self):
        self.n = np.zeros(0, dtype=np.int64)
        self.sums = np.zeros(0)

    def add(self, groups, n_groups, rows, field):
        self.n, self.sums = _grown(self.n, n_groups), _grown(self.sums, n_groups)
        native.add_to_groups(groups, rows, self.n, self.sums, field.column)

    def results(self):
        return [total if n else math.nan for n, total in zip(self.n.tolist(), self.sums.tolist())]


class _Average(_Sum):
    __slots__ = ()

    def results(self):
        return [total / n if n else math.nan for n, total in zip(self.n.tolist(), self.sums.tolist())]


class _Minimum:
    __slots__ = ("best",)
    worst, better = np.inf, np.minimum

    def __init__(self):
        self.best = np.zeros(0)

    def add(self, groups, n_groups, rows, field):
        best = np.full(n_groups, self.worst)
        best[:len(self.best)] = self.best
        values = numeric_values(field, rows)
        there = values == values
        self.better.at(best, groups[there], values[there])
        self.best = best

    def results(self):
        return self.best.tolist()


class _Maximum(_Minimum):
    __slots__ = ()
    worst, better = -np.inf, np.maximum


_REDUCERS = {"COUNT": _Count, "SUM": _Sum, "AVG": _Average, "MIN": _Minimum, "MAX": _Maximum}


class Grouping:
    """One GROUPBY over documents as they come from the index."""

    __slots__ = ("index", "keys", "reducers", "_readers", "_size", "_kept")

    def __init__(self, index, keys: list, reducers: list[tuple]):
        self.index = index
        self.keys = keys            # NumericField, or ValueCodes
        self.reducers = reducers    # (class, field or None)
        self._readers: list[Callable] = []      # of the keys: rows -> (codes, the value of each code)
        self._size = 1 << 62                    # rows at a time
        self._kept: list[tuple] = []            # (codes, values) of the keys, if all of them are kept

    @classmethod
    def of(cls, index, step: Group, is_property: Callable[[bytes], bool]) -> "Grouping | None":
        """The grouping for a step, None if it takes the general way. is_property: whether a name means something else than a
        field."""
        keys: list = []
        for name in step.properties:
            field = None if is_property(name) else index.by_name.get(name)
            if field is None or field.has_arrays:
                return None
            keys.append(field if type(field) is NumericField else codes_of(index, field))
            if keys[-1] is None:
                return None
        reducers = []
        for reduce in step.reducers:
            field = None
            if reduce.function not in _REDUCERS:
                return None
            if reduce.function != "COUNT":
                field = None if is_property(reduce.source) else index.by_name.get(reduce.source)
                if type(field) is not NumericField or field.has_arrays:
                    return None
            reducers.append((_REDUCERS[reduce.function], field))
        return cls(index, keys, reducers)

    def is_ready(self) -> bool:
        """Whether the keys are codes, and these of all documents; reads some that are missing."""
        docs = self.index.docs
        return all(type(key) is ValueCodes and key.follow(docs) for key in self.keys)

    def prepare(self) -> Iterator[None]:
        """Reads what there are no codes for yet, a slice at a time."""
        docs = self.index.docs
        for key in self.keys:
            if type(key) is NumericField:
                self._readers.append(partial(_read_numbers, key))
                continue
            while (state := key.follow(docs)) is False:
                yield
            if not state:
                self._readers.append(partial(key.read, docs))
                self._size = _SLICE
                continue
            self._readers.append(partial(_read_codes, key.codes, key.values))
            self._kept.append((key.codes, key.values))
        if len(self._kept) < len(self.keys):
            self._kept.clear()

    def groups(self, batches: Iterator[np.ndarray]) -> Iterator[tuple[list[tuple], list[list]] | None]:
        """Takes rows. Yields None as long as there are more, then the groups' keys, in the order in which they first came, and
        for each reducer its results."""
        yield from self.prepare()
        reducers = [make() for make, _ in self.reducers]
        known: dict[tuple, int] = {}
        for rows in batches:
            for at in range(0, len(rows), self._size):
                part = np.ascontiguousarray(rows[at:at + self._size], dtype=np.uint32)
                ids, keys = self._numbered(part)
                of_key = [known.setdefault(key, len(known)) for key in keys]
                if of_key != list(range(len(of_key))):
                    ids = np.array(of_key, dtype=np.uint32)[ids]
                for reducer, (_, field) in zip(reducers, self.reducers):
                    reducer.add(ids, len(known), part, field)
                yield None
        yield list(known), [reducer.results() for reducer in reducers]

    def _numbered(self, rows: np.ndarray) -> tuple[np.ndarray, list[tuple]]:
        """For each row the number of its group among these rows, in the order in which groups first come; and their keys."""
        if not self.keys:
            return np.zeros(len(rows), dtype=np.uint32), [()]
        if self._kept and math.prod([len(values) for _, values in self._kept]) <= _DENSE:
            ids, first = native.group_rows([(codes, len(values)) for codes, values in self._kept], rows)
            shown = [[NULL if value is None else value for value in map(values.__getitem__, codes[first].tolist())]
                     for codes, values in self._kept]
            return ids, list(zip(*shown))
        columns = [read(rows) for read in self._readers]
        combined, n_combined = None, 1
        for codes, values in columns:
            n = len(values)
            combined = codes if combined is None else combined.astype(np.int64) * n + codes
            n_combined *= n
            if n_combined > _DENSE:
                there, combined = np.unique(combined, return_inverse=True)
                n_combined = len(there)
        first = np.full(n_combined, -1)
        first[combined[::-1]] = np.arange(len(rows) - 1, -1, -1)            # of several the last counts
        there = np.flatnonzero(first >= 0)
        there = there[np.argsort(first[there])]
        places = first[there]
        first[there] = np.arange(len(there))
        shown = [[_shown(values[code]) for code in codes[places].tolist()] for codes, values in columns]
        return first[combined].astype(np.uint32), list(zip(*shown))


def _read_codes(codes: np.ndarray, values: list, rows: np.ndarray) -> tuple[np.ndarray, list]:
    return codes[rows], values


def _read_numbers(field: NumericField, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = numeric_values(field, rows)
    there, first, codes = np.unique(values, return_index=True, return_inverse=True)
    return codes, values[first].tolist()        # of 0 and -0 the one that comes first


def _shown(value: bytes | float | None):
    return NULL if value is None or value != value else value
