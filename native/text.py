"""The best documents by their words: searches without vectors."""
import operator

import numpy as np

from native import _check
from native._vec import ffi, lib

_COLUMNS = ("row_of", "lengths", "words", "starts", "number_of", "doc_ids")


class TextTop:
    """Finds the best documents by their words: the working memory of its searches, which one thread runs."""

    ANY, FIRST, NOT, PERHAPS = (lib.VEC_TEXT_ANY, lib.VEC_TEXT_FIRST, lib.VEC_TEXT_NOT, lib.VEC_TEXT_PERHAPS)
    POSTINGS, ROWS, EACH, SET = lib.VEC_TEXT_POSTINGS, lib.VEC_TEXT_ROWS, lib.VEC_TEXT_EACH, lib.VEC_TEXT_SET
    #: The form of a leaf for struct.pack: address of postings or rows, address of `fits` or 0, how many, POSTINGS, ROWS, EACH
    #: or SET, weight, address of a column or 0, its length, the range that its numbers must lie in.
    LEAF = "QQQQdQQdd"
    #: The most groups of one search.
    MAX_GROUPS = 250

    def __init__(self):
        out = ffi.new("vec_text **")
        _check(lib.vec_text_create(out))
        self._ptr = ffi.gc(out[0], lib.vec_text_free)
        self._docs = ffi.new("vec_text_docs *")
        self._n = ffi.new("uint64_t *")
        self._all = ffi.new("const uint32_t **")
        self._columns = ()
        self._size = 0
        self._rows = self._scores = ffi.NULL
        self._text, self._text_size = ffi.new("char[]", 4096), 4096

    def columns(self, row_of, lengths, words, starts, number_of, doc_ids):
        """Sets the columns of the searches to come, numpy arrays as in vec_text_docs (native/include/vec.h)."""
        columns = row_of, lengths, words, starts, number_of, doc_ids
        if all(map(operator.is_, columns, self._columns)) and self._columns:
            return
        docs = self._docs
        self._columns = columns
        for name, column in zip(_COLUMNS, columns):
            setattr(docs, name, ffi.cast("void *", column.ctypes.data))
        docs.n_rows, docs.n_ids = len(number_of), len(doc_ids)

    def search(self, leaves, groups, phrases, k, mean_length, k1, b, own, keys=None, is_descending=False, held=()):
        """A TextSearch for the k best. leaves: packed ones, behind one another; `held`: what owns that which they point to.
        groups, phrases: arrays of 32-bit numbers. keys: float64 by row, to be ordered by instead of scores."""
        if k > self._size:
            self._size = max(k, 64)
            self._rows, self._scores = ffi.new("uint32_t[]", self._size), ffi.new("double[]", self._size)
        docs = ffi.new("vec_text_docs *", self._docs[0])
        docs.mean_length, docs.k1, docs.b, docs.own = mean_length, k1, b, own
        if keys is not None:
            docs.keys, docs.n_keys, docs.is_descending = ffi.from_buffer("double[]", keys), len(keys), is_descending
        given = (self._ptr, docs, ffi.from_buffer("vec_text_leaf[]", leaves), ffi.from_buffer("uint32_t[]", groups),
                 len(groups) // 2, ffi.from_buffer("uint32_t[]", phrases), len(phrases), k)
        return TextSearch(self, given, (self._columns, keys, held))


class TextSearch:
    """One search, to be run as often as wanted while what it reads stays as it is."""
    __slots__ = ("_top", "_given", "_held")

    def __init__(self, top, given, held):
        self._top, self._given, self._held = top, given, held

    def run(self):
        """Finds the k best; returns how many match in all."""
        top = self._top
        return _check(lib.vec_text_top(*self._given, top._rows, top._scores, top._n))

    def rows(self):
        """All rows that match, by doc id: a pointer to them, which is right until the next search, and how many there are."""
        top = self._top
        n = _check(lib.vec_text_rows(*self._given[:-1], top._all))
        return top._all[0], n

    def found(self):
        """The rows and scores that the latest run of all searches has found, the best first."""
        top = self._top
        n = top._n[0]
        return (ffi.unpack(top._rows, n), ffi.unpack(top._scores, n)) if n else ([], [])

    def page(self, total, names, form, offset):
        """The reply to the latest run, which `total` documents matched, from the offset-th row on, in a form without distances.
        b"" where the form has a row say something that is not known."""
        top = self._top
        n = max(0, top._n[0] - offset)
        while (size := lib.vec_write_page(names._ptr, form._pointer, total, top._rows + offset, n, top._text,
                                          top._text_size)) < 0:
            top._text_size = max(2 * top._text_size, -size)
            top._text = ffi.new("char[]", top._text_size)
        return ffi.unpack(top._text, size)


def rows_of(rows):
    """An array of what TextSearch.rows returned, of its own; an array as it is."""
    if type(rows) is not tuple:
        return rows
    pointer, n = rows
    return np.frombuffer(ffi.buffer(pointer, 4 * n), np.uint32).copy() if n else np.zeros(0, np.uint32)
