"""NUMERIC: a column of doubles and sorted runs of it."""
import math
from array import array

import numpy as np

from .. import errors
from .base import Field, FieldError
from .labels import Labels

#: Rows changed since the last sort are looked at one by one; more than this many (or than a quarter of the run) are
#: sorted in ...
_MAX_LOOSE = 4096
#: ... or when so many times as many as the run has have been looked at, which takes as long.
_MOST_LOOKS = 16


class NumericField(Field):
    """`column[row]` is the value, NaN where there is none. Of several values that a JSON document has it is the first; the others
    are in a field of their own, by label.

    A range is answered from a run of (value, row) sorted by value, plus the rows that changed since it was sorted.
    Entries of the run whose row has changed since are recognised by the column."""

    type_name = "NUMERIC"
    records_per_document = 1

    def __init__(self, spec):
        super().__init__(spec)
        self.column = np.full(64, np.nan)
        self._run_values = np.empty(0)
        self._run_rows = np.empty(0, dtype=np.uint32)
        self._loose = array("I")                # rows put since the run was sorted, each once; cleared ones stay in it
        self._is_loose = bytearray(64)          # by row: whether it is among them
        self._n_looks = 0                       # loose rows that queries have looked at since
        self.n_sorts = 0
        self._more: NumericField | None = None  # values beyond the first of a row ...
        self._labels: Labels | None = None      # ... and which they are

    def parse(self, raw: bytes) -> float:
        try:
            value = float(raw)
        except ValueError:
            value = math.nan
        if value != value or not raw or raw[0] <= 32 or raw[-1] <= 32 or b"_" in raw:
            raise FieldError(errors.INVALID_NUMERIC_VALUE.format(raw.decode("utf-8", "replace")))
        return value

    def put(self, row: int, value: float | tuple[float, ...]) -> None:
        if type(value) is tuple:
            self._put_more(row, value[1:])
            value = value[0]
        if row >= len(self.column):
            self._grow(row)
        self.column[row] = value
        if not self.spec.no_index and not self._is_loose[row]:
            self._is_loose[row] = 1
            self._loose.append(row)

    def _grow(self, row: int) -> None:
        column = np.full(max(2 * len(self.column), row + 1), np.nan)
        column[:len(self.column)] = self.column
        self.column = column
        self._is_loose.extend(bytes(len(column) - len(self._is_loose)))

    def _put_more(self, row: int, values: tuple[float, ...]) -> None:
        if self._more is None:
            if not values or self.spec.no_index:
                return
            self._more, self._labels = NumericField(self.spec), Labels()
        for label in self._labels.give_back(row):
            self._more.clear(label)
        for label, value in zip(self._labels.take(row, len(values)), values):
            self._more.put(label, value)

    def clear(self, row: int) -> None:
        if row < len(self.column):
            self.column[row] = math.nan
        if self._more is not None:
            self._put_more(row, ())

    def sort_key(self, row: int):
        if row >= len(self.column):
            return None
        value = float(self.column[row])
        return None if value != value else value

    def rows_between(self, low: float, high: float, low_inclusive: bool = True,
                     high_inclusive: bool = True) -> np.ndarray:
        """The rows with a value that lies in the range, as an array of uint32 in no particular order."""
        rows = self._between(low, high, low_inclusive, high_inclusive)
        if self._more is not None:
            labels = self._more._between(low, high, low_inclusive, high_inclusive)
            return np.union1d(rows, self._labels.rows[labels].astype(np.uint32))
        return rows

    def parts_between(self, low: float, high: float, low_inclusive: bool, high_inclusive: bool):
        """For a field whose rows have one value each: two arrays of uint32, among which are all rows with a value in the range,
        and the range with its ends. The number in `column` decides whether a row counts; it may be in both."""
        self.look()
        if not low_inclusive and low == math.inf or not high_inclusive and high == -math.inf:
            low, high = math.inf, -math.inf             # nothing is beyond
        low = low if low_inclusive else math.nextafter(low, math.inf)
        high = high if high_inclusive else math.nextafter(high, -math.inf)
        values = self._run_values
        first, last = values.searchsorted(low, "left"), values.searchsorted(high, "right")
        return self._run_rows[first:max(first, last)], self._loose, low, high

    @property
    def has_one_each(self) -> bool:
        """Whether `parts_between` may be asked."""
        return self._more is None and not self.spec.no_index

    def look(self) -> None:
        """To be called when a query looks at the numbers. Sorts when that takes less than to go on looking at loose rows."""
        self._n_looks += len(self._loose)
        if (len(self._loose) > max(_MAX_LOOSE, len(self._run_rows) // 4)
                or self._n_looks > _MOST_LOOKS * (len(self._run_rows) + _MAX_LOOSE)):
            self._sort()

    def _between(self, low: float, high: float, low_inclusive: bool, high_inclusive: bool) -> np.ndarray:
        self.look()
        first = np.searchsorted(self._run_values, low, "left" if low_inclusive else "right")
        last = np.searchsorted(self._run_values, high, "right" if high_inclusive else "left")
        rows = self._run_rows[first:max(first, last)]
        if len(rows):
            # A row that was changed or cleared since has another value in the column than in the run.
            fresh = self.column[rows] == self._run_values[first:last]
            rows = rows[fresh] if not fresh.all() else rows
        if self._loose:
            loose = np.array(self._loose, dtype=np.uint32)
            values = self.column[loose]
            fits = (values >= low) if low_inclusive else (values > low)
            fits &= (values <= high) if high_inclusive else (values < high)
            loose = loose[fits]
            if len(loose) and len(rows):
                # A row that was put again with its old value is in both.
                return np.union1d(rows, loose)
            rows = loose if len(loose) else rows
        return rows

    def _sort(self) -> None:
        """Merges the loose rows into the run: linear, because both parts are sorted and the sort finds that out."""
        fresh = self.column[self._run_rows] == self._run_values
        fresh &= np.frombuffer(self._is_loose, dtype=np.uint8)[self._run_rows] == 0
        loose = np.array(self._loose, dtype=np.uint32)
        new_values = self.column[loose]
        loose, new_values = loose[new_values == new_values], new_values[new_values == new_values]
        order = np.argsort(new_values, kind="stable")
        values = np.concatenate([self._run_values[fresh], new_values[order]])
        rows = np.concatenate([self._run_rows[fresh], loose[order]])
        order = np.argsort(values, kind="stable")
        self._run_values, self._run_rows = values[order], rows[order]
        self._loose = array("I")
        self._is_loose = bytearray(len(self.column))
        self._n_looks = 0
        self.n_sorts += 1

    def state(self):
        if self._more is not None or self.present is not None:
            return None
        if self._loose:
            self._sort()
        return self.column.tobytes(), self._run_values.tobytes(), self._run_rows.tobytes()

    def restore(self, state) -> None:
        column, values, rows = state
        self.column = np.frombuffer(column).copy()
        self._run_values, self._run_rows = np.frombuffer(values).copy(), np.frombuffer(rows, np.uint32).copy()
        self._is_loose = bytearray(len(self.column))

    def stored_rows(self) -> list[int]:
        """The rows that have a value."""
        return [] if self.spec.no_index else np.flatnonzero(self.column == self.column).tolist()

    def n_records_of(self, row: int) -> int:
        return 1 + (len(self._labels.of_row.get(row, ())) if self._labels is not None else 0)

    @property
    def n_values(self) -> int:
        if self.spec.no_index:
            return 0
        return int(np.count_nonzero(self.column == self.column)) + (self._more.n_values if self._more is not None else 0)

    @classmethod
    def bytes_of(cls, spec, n, assumed):
        size = 64
        while size < n:
            size *= 2
        return 9 * size + (0 if spec.no_index else 12 * n if n > _MAX_LOOSE else 4 * n)     # sorted, as range queries leave it

    @property
    def nbytes(self) -> int:
        more = self._more.nbytes + self._labels.nbytes if self._more is not None else 0
        return (more + self.column.nbytes + self._run_values.nbytes + self._run_rows.nbytes + 4 * len(self._loose)
                + len(self._is_loose))
