"""The documents of one index: which key is which row.

A *row* is a small integer: the document's bit in every set, its label in every vector index, its place in every column.
It stays the same while the key is indexed and is given away again afterwards. A *doc id* only grows: every
(re-)indexing of a key takes the next one. Results without SORTBY come in the order of doc ids, as in Redis.
"""
import numpy as np
from pyroaring import BitMap


class DocumentTable:
    """Keys, rows and doc ids. Columns are indexed by row."""

    __slots__ = ("keys", "values", "key_replies", "row_of", "doc_ids", "born", "free_rows", "live", "max_doc_id",
                 "scores", "payloads")

    def __init__(self):
        self.keys: list[bytes | None] = []              # row -> key
        self.values: list = []                          # row -> the key's hash: the same object that the keyspace holds
        self.key_replies: list[bytes] = []              # row -> the key as a bulk string, ready to send
        self.row_of: dict[bytes, int] = {}
        self.doc_ids = np.zeros(64, dtype=np.int64)     # row -> doc id; longer than `keys`
        self.born = np.zeros(64, dtype=np.int64)        # row -> the doc id that its key got first
        self.free_rows: list[int] = []
        self.live = BitMap()
        self.max_doc_id = 0
        self.scores: dict[int, float] = {}              # row -> document score, where it is not the index's default
        self.payloads: dict[int, bytes] = {}

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
        reply = b"$%d\r\n%b\r\n" % (len(key), key)
        if self.free_rows:
            row = self.free_rows.pop()
            self.keys[row] = key
            self.values[row] = value
            self.key_replies[row] = reply
        else:
            row = len(self.keys)
            self.keys.append(key)
            self.values.append(value)
            self.key_replies.append(reply)
            if row >= len(self.doc_ids):
                self.doc_ids = np.concatenate([self.doc_ids, np.zeros(len(self.doc_ids), dtype=np.int64)])
                self.born = np.concatenate([self.born, np.zeros(len(self.born), dtype=np.int64)])
        self.row_of[key] = row
        self.live.add(row)
        self.max_doc_id += 1
        self.doc_ids[row] = self.born[row] = self.max_doc_id
        return row

    def renew(self, row: int, value) -> None:
        """Gives a row the next doc id: its document was indexed again."""
        self.values[row] = value
        self.max_doc_id += 1
        self.doc_ids[row] = self.max_doc_id

    def rename(self, old: bytes, new: bytes) -> None:
        """Has the row of `old` go by the key `new`, which must not be there."""
        row = self.row_of.pop(old)
        self.row_of[new] = row
        self.keys[row] = new
        self.key_replies[row] = b"$%d\r\n%b\r\n" % (len(new), new)

    def drop(self, key: bytes) -> int | None:
        """Forgets a key; returns the row it had, None if it was not there. The row may be reused at once."""
        row = self.row_of.pop(key, None)
        if row is None:
            return None
        self.keys[row] = self.values[row] = None
        self.key_replies[row] = b""
        self.live.discard(row)
        self.scores.pop(row, None)
        self.payloads.pop(row, None)
        self.free_rows.append(row)
        return row

    def in_order(self, rows: np.ndarray) -> np.ndarray:
        """Rows (any integer array) sorted by ascending doc id."""
        return rows[np.argsort(self.doc_ids[rows])]

    @property
    def nbytes(self) -> int:
        """An estimate of the bytes that the table holds: objects, lists and the dict."""
        n = len(self.keys)
        # Two bytes objects, three list slots, a dict entry with its share of empty ones.
        per_key = 2 * 33 + 24 + 100
        total_keys = sum(map(len, self.keys[:256])) if None not in self.keys[:256] else 24 * min(n, 256)
        mean = total_keys / min(n, 256) if n else 0
        return int(n * (per_key + 2 * mean)) + self.doc_ids.nbytes + self.born.nbytes
