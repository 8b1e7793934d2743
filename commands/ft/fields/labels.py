"""Several entries of one document: an engine or column that knows one entry per label, seen by row."""
from collections.abc import Iterator

import numpy as np

import native

from ..documents import grown


_ROW_BYTES = 200                # of a row: a list of numbers in a dict


class Labels:
    """Which labels a row has, and which row a label."""

    __slots__ = ("rows", "of_row", "_free", "_n")

    def __init__(self):
        self.rows = np.full(64, -1, np.int64)           # by label; -1: free
        self.of_row: dict[int, list[int]] = {}
        self._free: list[int] = []
        self._n = 0

    def restore(self, of_row: dict[int, list[int]], free: list[int], n: int) -> None:
        """Takes over what another one had."""
        self.rows = np.full(max(64, n), -1, np.int64)
        self.of_row, self._free, self._n = of_row, free, n
        for row, labels in of_row.items():
            self.rows[labels] = row

    @property
    def free(self) -> list[int]:
        """Labels below `n` that nobody has."""
        return self._free

    @property
    def n(self) -> int:
        """One more than the highest label ever given."""
        return self._n

    def take(self, row: int, n: int) -> list[int]:
        """Gives a row that has none n labels."""
        taken = [self._free.pop() for _ in range(min(n, len(self._free)))]
        more = n - len(taken)
        if self._n + more > len(self.rows):
            grown = np.full(max(self._n + more, 2 * len(self.rows)), -1, np.int64)
            grown[:len(self.rows)] = self.rows
            self.rows = grown
        taken += range(self._n, self._n + more)
        self._n += more
        self.rows[taken] = row
        if taken:
            self.of_row[row] = taken
        return taken

    def give_back(self, row: int) -> list[int]:
        """Takes a row's labels away; returns them."""
        labels = self.of_row.pop(row, ())
        if labels:
            self.rows[labels] = -1
            self._free += labels
        return list(labels)

    @property
    def n_labels(self) -> int:
        return self._n - len(self._free)

    @property
    def nbytes(self) -> int:
        """Bytes held, about."""
        return self.rows.nbytes + _ROW_BYTES * len(self.of_row) + 8 * len(self._free)

    @staticmethod
    def bytes_of(n_rows: int, n_labels: int) -> int:
        """What that will be with so many rows and labels, none of them given back."""
        return 8 * grown(64, n_labels, 1, 0) + _ROW_BYTES * n_rows


class MultiEngine:
    """A vector index in which a row may have several vectors: its distance is that of the nearest of them. It answers as
    native.Index does, in rows."""

    def __init__(self, engine: native.Index, labels: tuple | None = None):
        self._engine = engine
        self._labels = Labels()
        if labels is not None:
            self._labels.restore(*labels)

    def labels_state(self) -> tuple:
        """Which labels every row has, in plain values: what the constructor takes."""
        return self._labels.of_row, self._labels.free, self._labels.n

    def __getattr__(self, name: str):
        return getattr(self._engine, name)

    def __len__(self) -> int:
        return len(self._labels.of_row)

    def add_blobs(self, row: int, blobs: list[bytes]) -> None:
        """Stores the vectors of a row in place of what it had. Raises native.NonFiniteError, with none of them stored."""
        self.remove_one(row)
        for label, blob in zip(self._labels.take(row, len(blobs)), blobs):
            try:
                self._engine.add_blob(label, blob)
            except native.NativeError:
                self.remove_one(row)
                raise

    def remove_one(self, row: int) -> bool:
        """Forgets a row's vectors; returns whether it had any."""
        labels = self._labels.give_back(row)
        for label in labels:
            self._engine.remove_one(label)
        return bool(labels)

    def labels_of(self, rows: list[int]) -> list[list[int]]:
        """The engine's labels of the vectors of each row, in the order in which they were given."""
        return [self._labels.of_row.get(row, []) for row in rows]

    def _allowed(self, allowed: native.Allowed) -> native.Allowed:
        """A filter over rows as one over labels."""
        rows = self._labels.rows
        bits = np.unpackbits(allowed.words.view(np.uint8), bitorder="little").view(bool)
        mask = np.zeros((len(rows) + 63) // 64 * 64, bool)
        there = np.flatnonzero((rows >= 0) & (rows < len(bits)))
        mask[there] = bits[rows[there]]
        return native.Allowed(np.packbits(mask, bitorder="little").view(np.uint64), int(mask.sum()))

    def _nearest(self, labels, distances) -> dict[int, float]:
        """Row -> the distance of its nearest vector, from labels in ascending order of distance."""
        found: dict[int, float] = {}
        for row, distance in zip(self._labels.rows[labels].tolist() if len(labels) else (), distances):
            if row >= 0 and row not in found:
                found[row] = distance
        return found

    @staticmethod
    def _ordered(found: dict[int, float], k: int | None = None) -> tuple[list[int], list[float]]:
        order = sorted(zip(found.values(), found))[:k]
        return [row for _, row in order], [distance for distance, _ in order]

    def search_blob(self, blob, k, window=0, capacity=0, allowed=None, timeout_us=0, sure=0):
        """The k nearest rows of one query given as bytes: (list of rows, list of distances), nearest first, ties by row. All
        are as sure, whatever `sure` says."""
        if allowed is not None:
            allowed = self._allowed(allowed)
        total = self._labels.n_labels if allowed is None else allowed.count
        k = min(k, len(self))
        # As many as k documents have on the average, and a few: most of the time that is enough.
        wanted = min(total, k * self._labels.n_labels // max(1, len(self)) + k)
        while wanted:
            labels, distances = self._engine.search_blob(blob, wanted, window, capacity, allowed, timeout_us)
            found = self._nearest(labels, distances)
            if len(found) >= k or wanted == total:
                return self._ordered(found, k)
            wanted = min(total, 4 * wanted)
        return [], []

    def search_without(self, blob, row, k, window=0, sure=0):
        """Likewise, as if a row were not there."""
        rows, distances = self.search_blob(blob, k + 1, window)
        kept = [(one, distance) for one, distance in zip(rows, distances) if one != row][:k]
        return [one for one, _ in kept], [distance for _, distance in kept]

    def range_blob(self, blob, radius, epsilon=None, allowed=None, timeout_us=0, window=0):
        """The rows within a radius, nearest first."""
        labels, distances = self._engine.range_blob(blob, radius, epsilon, None if allowed is None else self._allowed(allowed),
                                                    timeout_us, window)
        return self._ordered(self._nearest(labels, distances))

    def iterator(self, query, batch=100, window=None, timeout_us=0) -> Iterator:
        """Yields all rows from the nearest on, each once: (rows, distances) arrays."""
        seen: set[int] = set()
        for labels, distances in self._engine.iterator(query, batch, window, timeout_us):
            found = {row: distance for row, distance in self._nearest(labels, distances.tolist()).items() if row not in seen}
            seen.update(found)
            if found:
                yield np.array(list(found)), np.array(list(found.values()))

    def distances(self, blob, rows) -> list[float]:
        """The distances of rows to a query; nan for rows that are not there."""
        of_row = self._labels.of_row
        labels = [label for row in rows for label in of_row.get(row, ())]
        one = iter(self._engine.distances(blob, labels))
        return [min((next(one) for _ in of_row[row]), default=np.nan) if row in of_row else np.nan for row in rows]

    @property
    def nbytes(self) -> dict:
        """Bytes allocated now, by part."""
        parts = self._engine.nbytes
        return parts | {"labels": parts["labels"] + self._labels.nbytes}
