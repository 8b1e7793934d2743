"""Sorted words, to be searched for what is near another."""
import numpy as np

from native import _check
from native._vec import ffi, lib


class Words:
    """A copy of sorted words (bytes)."""
    __slots__ = ("_text", "_starts", "_n")

    def __init__(self, words):
        self._text = b"\n".join(words) + b"\n"
        starts = np.zeros(len(words) + 1, dtype=np.uint64)
        starts[1:] = np.cumsum(np.fromiter(map(len, words), dtype=np.uint64, count=len(words)) + 1)
        self._starts = starts
        self._n = len(words)

    def near(self, word, distance, most):
        """The places of the first `most` words that are `distance` (at most 200) or fewer edits from `word`; see vec.h."""
        most = min(most, self._n)
        out = ffi.new("uint32_t[]", max(most, 1))
        n = _check(lib.vec_words_near(self._text, ffi.from_buffer("uint64_t[]", self._starts), self._n, word, len(word),
                                      distance, out, most))
        return ffi.unpack(out, n) if n else []

    @property
    def nbytes(self):
        """Bytes held."""
        return len(self._text) + self._starts.nbytes
