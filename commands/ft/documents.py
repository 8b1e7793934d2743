"""The documents of one index: which key is which row.

A *row* is a small integer: the document's bit in every set, its label in every vector index, its place in every column.
It stays the same while the key is indexed and is given away again afterwards. A *doc id* only grows: every
(re-)indexing of a key takes the next one. Results without SORTBY come in the order of doc ids, as in Redis.
"""
import math
from array import array
from collections.abc import Iterator

import numpy as np
from pyroaring import BitMap

import native
from native.loading import place_rows

_SLOTS = 512                # of a segment
_MOST = 3 * _SLOTS // 4     # rows in it
_FREE = -1
_SEGMENT_BYTES = 4 * _SLOTS + 160
#: Texts of rows: how many kinds are kept, how long one is at most, and how much they take together: so much, or for each row.
_MAX_KINDS_OF_TEXTS, _LONGEST_TEXT, _LEAST_TEXTS, _TEXTS_PER_ROW = 4, 1024, 1 << 24, 96
_LOOK_EVERY = 1024
_ROW_BYTES = 51             # of a document, beside its key's text: a bytes object and two list slots


def grown(size: int, wanted: int, part: int, least: int) -> int:
    """The size that a column of `size` has once it has grown by its `part`-th, at least by `least`, until it holds `wanted`."""
    while size < wanted:
        size += max(size // part, least)
    return size


class _Segment:
    """The rows of the keys whose hashes end in the same `depth` bits, by linear probing."""

    __slots__ = ("rows", "n", "depth")

    def __init__(self, depth: int, rows: array | None = None, n: int = 0):
        self.rows = array("i", [_FREE]) * _SLOTS if rows is None else rows
        self.n = n
        self.depth = depth


class RowMap:
    """Key -> row, for keys that a list holds by row: about 8 bytes for each, where a dict takes 80 with its numbers.

    Extendible hashing: a full segment is split in two, so no change takes longer than one segment."""

    __slots__ = ("_keys", "_directory", "_mask", "_n")

    def __init__(self, keys: list[bytes | None]):
        self._keys = keys
        self._directory = [_Segment(0)]
        self._mask = 0
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[bytes]:
        """The keys by row."""
        return (key for key in self._keys if key is not None)

    def get(self, key: bytes) -> int | None:
        """The row of a key, or None."""
        code = hash(key)
        rows, keys = self._directory[code & self._mask].rows, self._keys
        i = code >> 40 & _SLOTS - 1
        while (row := rows[i]) >= 0:
            if keys[row] == key:
                return row
            i = i + 1 & _SLOTS - 1
        return None

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def add(self, row: int) -> None:
        """Takes in a row whose key is in the list and not in the map."""
        code = hash(self._keys[row])
        segment = self._directory[code & self._mask]
        while segment.n >= _MOST:
            self._split(segment, code)
            segment = self._directory[code & self._mask]
        self._insert(segment, row, code)
        self._n += 1

    def fill(self) -> None:
        """Takes in all rows that have a key, of a map that is empty: several times quicker than one by one."""
        keys = self._keys
        codes = np.fromiter(map(hash, keys), np.int64, len(keys))
        rows = np.arange(len(keys), dtype=np.int32)
        if None in keys:
            rows = np.array([row for row, key in enumerate(keys) if key is not None], np.int32)
            codes = codes[rows]
        depth = (len(rows) // _MOST).bit_length()
        while len(rows) and np.bincount(codes & (1 << depth) - 1).max() >= _MOST:
            depth += 1
        tables, counts = place_rows(codes, rows, depth, _SLOTS)
        self._mask = (1 << depth) - 1
        self._directory = [_Segment(depth, array("i", table.tobytes()), n) for table, n in zip(tables, counts.tolist())]
        self._n = len(rows)

    @staticmethod
    def _insert(segment: _Segment, row: int, code: int) -> None:
        rows = segment.rows
        i = code >> 40 & _SLOTS - 1
        while rows[i] >= 0:
            i = i + 1 & _SLOTS - 1
        rows[i] = row
        segment.n += 1

    def _split(self, segment: _Segment, code: int) -> None:
        depth = segment.depth
        directory = self._directory
        if 1 << depth == len(directory):
            directory += directory
            self._mask = len(directory) - 1
        halves = _Segment(depth + 1), _Segment(depth + 1)
        for row in segment.rows:
            if row >= 0:
                its_code = hash(self._keys[row])
                self._insert(halves[its_code >> depth & 1], row, its_code)
        for i in range(code & (1 << depth) - 1, len(directory), 1 << depth):
            directory[i] = halves[i >> depth & 1]

    def remove(self, key: bytes) -> int | None:
        """Forgets a key, which is still in the list; returns its row, None if it was not there."""
        code = hash(key)
        segment = self._directory[code & self._mask]
        rows, keys = segment.rows, self._keys
        i = code >> 40 & _SLOTS - 1
        while (found := rows[i]) >= 0 and keys[found] != key:
            i = i + 1 & _SLOTS - 1
        if found < 0:
            return None
        gap = i                                 # closed by what would have been found earlier but for it
        while (row := rows[i := i + 1 & _SLOTS - 1]) >= 0:
            home = hash(keys[row]) >> 40 & _SLOTS - 1
            if (i - home & _SLOTS - 1) >= (i - gap & _SLOTS - 1):
                rows[gap] = row
                gap = i
        rows[gap] = _FREE
        segment.n -= 1
        self._n -= 1
        return found

    def clear(self) -> None:
        """Forgets all keys."""
        self._directory = [_Segment(0)]
        self._mask = self._n = 0

    @property
    def nbytes(self) -> int:
        """Bytes held, without the list of keys."""
        n = len({id(segment) for segment in self._directory})
        return n * _SEGMENT_BYTES + 8 * len(self._directory)

    @staticmethod
    def bytes_of(n: int) -> float:
        """What `nbytes` may be expected to be with n keys: each bit of depth splits those of the segments that are full."""
        n_segments, share, depth = 0.0, 1.0, 0          # share: of the paths to this depth that go on
        while 2 ** depth * share > 0.01:
            mean = n / 2 ** depth
            goes_on = 0.5 * math.erfc((_MOST + 0.5 - mean) / math.sqrt(2 * mean + 1e-9))
            n_segments += 2 ** depth * share * (1 - goes_on)
            share *= goes_on
            depth += 1
        return n_segments * _SEGMENT_BYTES + 8 * 2 ** (depth - 1)


class RowTexts:
    """What rows say of some fields in replies, ready-made, for those that searches have shown since their documents changed."""

    __slots__ = ("names", "_left")

    def __init__(self):
        self.names = native.Names()
        self._left = _LOOK_EVERY                # rows that are put in before memory is looked at

    def put(self, row: int, text: bytes, n_rows: int) -> None:
        """Keeps a row's text, if it is not long. `n_rows`: as in DocumentTable."""
        if len(text) > _LONGEST_TEXT:
            return
        self._left -= 1
        if not self._left:
            if self.names.nbytes > max(_LEAST_TEXTS, _TEXTS_PER_ROW * n_rows):
                self.names.clear()
            self._left = _LOOK_EVERY
        self.names[row] = text


class DocumentTable:
    """Keys, rows and doc ids. Columns are indexed by row."""

    __slots__ = ("keys", "values", "names", "row_of", "doc_ids", "born", "free_rows", "live", "max_doc_id",
                 "_row_texts", "scores", "payloads")

    def __init__(self):
        self.keys: list[bytes | None] = []              # row -> key
        self.values: list = []                          # row -> the key's hash: the same object that the keyspace holds
        self.names = native.Names()                     # row -> the key as a bulk string: for replies that the engine writes
        self.row_of = RowMap(self.keys)
        self.doc_ids = np.zeros(64, dtype=np.int64)     # row -> doc id; longer than `keys`
        self.born = self.doc_ids  # row -> the doc id that its key got first; the same array until one differs
        self.free_rows: list[int] = []
        self.live = BitMap()
        self.max_doc_id = 0
        self.scores: dict[int, float] = {}              # row -> document score, where it is not the index's default
        self.payloads: dict[int, bytes] = {}
        self._row_texts: dict[tuple, RowTexts] = {}     # fields -> what rows say of them

    def row_texts(self, fields: tuple) -> RowTexts | None:
        """Where what rows say of these fields is kept; None: that is done for enough others."""
        texts = self._row_texts.get(fields)
        if texts is None and len(self._row_texts) < _MAX_KINDS_OF_TEXTS:
            texts = self._row_texts[fields] = RowTexts()
        return texts

    def _forget_texts(self, row: int) -> None:
        for texts in self._row_texts.values():
            texts.names[row] = b""

    def __len__(self) -> int:
        return len(self.row_of)

    def __contains__(self, key: bytes) -> bool:
        return key in self.row_of

    @property
    def n_rows(self) -> int:
        """One more than the highest row ever used: the length that a column needs."""
        return len(self.keys)

    def add(self, key: bytes, value) -> int:
        """Takes in a key that is not there, and its hash; returns its row."""
        if self.free_rows:
            row = self.free_rows.pop()
            self.keys[row] = key
            self.values[row] = value
        else:
            row = len(self.keys)
            self.keys.append(key)
            self.values.append(value)
            if row >= len(self.doc_ids):
                more = np.zeros(max(64, row // 8), dtype=np.int64)
                is_same = self.born is self.doc_ids
                self.doc_ids = np.concatenate([self.doc_ids, more])
                self.born = self.doc_ids if is_same else np.concatenate([self.born, more])
        self.names[row] = b"$%d\r\n%b\r\n" % (len(key), key)
        self.row_of.add(row)
        self.live.add(row)
        self.max_doc_id += 1
        self.doc_ids[row] = self.born[row] = self.max_doc_id
        return row

    def renew(self, row: int, value) -> None:
        """Gives a row the next doc id: its document was indexed again."""
        self.values[row] = value
        if self._row_texts:
            self._forget_texts(row)
        if self.born is self.doc_ids:
            self.born = self.doc_ids.copy()
        self.max_doc_id += 1
        self.doc_ids[row] = self.max_doc_id

    def rename(self, old: bytes, new: bytes) -> None:
        """Has the row of `old` go by the key `new`, which must not be there."""
        row = self.row_of.remove(old)
        self.keys[row] = new
        self.names[row] = b"$%d\r\n%b\r\n" % (len(new), new)
        self.row_of.add(row)

    def drop(self, key: bytes) -> int | None:
        """Forgets a key; returns the row it had, None if it was not there. The row may be reused at once."""
        row = self.row_of.remove(key)
        if row is None:
            return None
        self.keys[row] = self.values[row] = None
        self.names[row] = b""
        if self._row_texts:
            self._forget_texts(row)
        self.live.discard(row)
        self.scores.pop(row, None)
        self.payloads.pop(row, None)
        self.free_rows.append(row)
        return row

    def in_order(self, rows: np.ndarray) -> np.ndarray:
        """Rows (uint32) sorted by ascending doc id."""
        return rows if native.are_ascending(self.doc_ids, rows) else rows[np.argsort(self.doc_ids[rows])]

    @property
    def nbytes(self) -> int:
        """An estimate of the bytes that the table holds."""
        n, mean = len(self.keys), self._mean_key()
        # The key itself is the keyspace's, but Redis has one of its own.
        held = (self.names.nbytes + self.row_of.nbytes + self.doc_ids.nbytes
                + (self.born.nbytes if self.born is not self.doc_ids else 0))
        held += sum(texts.names.nbytes for texts in self._row_texts.values())
        return int(n * (_ROW_BYTES + mean)) + held

    @property
    def keys_nbytes(self) -> int:
        """That part of `nbytes` by which keys are found: the map, and what it points to."""
        return self.row_of.nbytes + int(len(self.row_of) * (8 + self._mean_key()))

    def _mean_key(self) -> float:
        """The length of a key, by the first ones."""
        sample = [key for key in self.keys[:256] if key is not None]
        return sum(map(len, sample)) / len(sample) if sample else 0.0

    @staticmethod
    def bytes_of(n: int, key_bytes: int) -> int:
        """What `nbytes` may be expected to be with n documents that were indexed once."""
        name_bytes = len(b"$%d\r\n\r\n" % key_bytes) + key_bytes
        return (int(n * (_ROW_BYTES + key_bytes)) + 8 * grown(64, n, 8, 64) + native.Names.bytes_of(n, name_bytes)
                + int(RowMap.bytes_of(n)))
