"""Exact answers: the nearest of all documents by their own vectors, read in pieces beside the traffic."""
from collections.abc import Generator
from time import sleep

import numpy as np

import native

from ..fields.labels import MultiEngine

#: Rows whose vectors are read in one piece on the loop thread, and those that are compared in one piece on a thread, in bytes.
_READ_BYTES = 192 << 10
_BLOCK_BYTES = 8 << 20
#: Queries whose lists are merged at once.
_MERGED = 64


class Nearest:
    """The `k` nearest rows of each query; those among `rows` (an ascending array) that still have their vector. Distances by the
    originals, or for rows without one, by their codes."""

    def __init__(self, field, queries: list[bytes], k: int):
        self.field, self.queries, self.k = field, queries, k
        spec = field.spec
        self.kind = native.DTYPES[spec.dtype][1]
        self.rows = np.full((len(queries), k), -1, np.int64)
        self.distances = np.full((len(queries), k), np.inf)
        self.n_originals = self.n_codes = 0
        self._matrix = np.frombuffer(b"".join(queries), self.kind).reshape(len(queries), spec.dim)
        self._flat = native.Index(spec.dim, metric=spec.metric, dtype=spec.dtype, algorithm="FLAT")
        if spec.is_multi:
            self._flat = MultiEngine(self._flat)

    def scan(self, rows: np.ndarray) -> Generator:
        """The work; for a Job."""
        spec = self.field.spec
        step = max(1, _READ_BYTES // spec.blob_size)
        if spec.is_multi:
            yield from self._scan_several(rows, step)
            return
        size = max(step, _BLOCK_BYTES // spec.blob_size)
        vectors = np.empty((size, spec.dim), self.kind)
        try:
            for start in range(0, len(rows), size):
                block = rows[start:start + size]
                is_there = np.zeros(len(block), bool)
                for at in range(0, len(block), step):
                    some, found = self.field.originals(block[at:at + step].tolist())
                    vectors[at:at + len(some)] = some
                    is_there[at:at + len(some)] = found
                    yield
                yield lambda: self._compare(block, vectors[:len(block)], is_there)
        finally:
            self._flat.close()

    def _scan_several(self, rows: np.ndarray, step: int) -> Generator:
        """Likewise, where a document may have several vectors: its distance is that of the nearest."""
        try:
            for start in range(0, len(rows), step):
                block = rows[start:start + step].tolist()
                of_rows = self.field.rescorer.all_originals(block)
                yield lambda: self._compare_several(block, of_rows)
        finally:
            self._flat.close()

    def _compare_several(self, block: list[int], of_rows: list[list[bytes]]) -> None:
        for row, blobs in zip(block, of_rows):
            if blobs:
                self._flat.add_blobs(row, blobs)
        self.n_originals += len(self._flat)
        for i, blob in enumerate(self.queries):
            rows, distances = self._flat.search_blob(blob, self.k)
            self._take(np.array([rows], np.int64), np.array([distances]), i)
        for row in block:
            self._flat.remove_one(row)

    def _compare(self, block: np.ndarray, vectors: np.ndarray, is_there: np.ndarray) -> None:
        here, gone = np.flatnonzero(is_there), block[~is_there]
        self.n_originals += len(here)
        if len(here):
            self._flat.add(here, vectors[here] if len(gone) else vectors)
            labels, distances = self._flat.search(self._matrix, min(self.k, len(here)))
            self._take(np.where(labels < 0, -1, block[labels]), distances)
            self._flat.remove(here)
        if len(gone):
            found = np.array([self.field.engine.distances(blob, gone.tolist()) for blob in self.queries])
            is_known = ~np.isnan(found[0])
            self.n_codes += int(is_known.sum())
            if is_known.any():
                self._take(np.broadcast_to(gone[is_known], (len(self.queries), is_known.sum())), found[:, is_known])

    def _take(self, rows: np.ndarray, distances: np.ndarray, first: int = 0) -> None:
        """Merges what was found for the queries from `first` on."""
        for i in range(0, len(rows), _MERGED):
            some, of_some = slice(first + i, first + min(i + _MERGED, len(rows))), slice(i, i + _MERGED)
            both = np.hstack([self.distances[some], distances[of_some]])
            order = np.argsort(both, axis=1, kind="stable")[:, :self.k]
            self.rows[some] = np.take_along_axis(np.hstack([self.rows[some], rows[of_some]]), order, 1)
            self.distances[some] = np.take_along_axis(both, order, 1)
            sleep(0)                            # numpy keeps the interpreter to itself: let the loop thread have it

    @property
    def source(self) -> str:
        """What the distances are taken from."""
        return "codes" if not self.n_originals and self.n_codes else "originals and codes" if self.n_codes else "originals"
