"""What a server reads back in bulk when it starts; see vec.h."""
import numpy as np

from native import _check
from native._vec import ffi, lib

_MOST = 512                     # hashes at a time: half a millisecond's work
_ROOM = _MOST << 8              # bytes for what they hold beside long values; reading stops when it is used up


class HashScanner:
    """Reads hashes of a snapshot that are all alike: of type `type_`, whose fields are announced by `names`, bytes in front of
    each value, and have values of more than INLINE bytes where `is_own` says so."""
    INLINE = lib.VEC_HASH_INLINE

    def __init__(self, type_, names, is_own):
        n_own = sum(is_own)
        parts = ffi.new("char[]", b"".join(names)), ffi.new("uint32_t[]", list(map(len, names))), ffi.new("char[]", bytes(is_own))
        self._form = ffi.new("vec_hash_form *", (*parts, len(names), n_own, type_))
        self._parts = parts
        self._places = np.empty((_MOST, 3 + 2 * n_own), np.uint64)
        self._text = ffi.new("char[]", _ROOM + len(names))
        self._at = ffi.new("uint64_t *")

    def read(self, data, at, end):
        """Reads what is of this form from data[at] on: (where it ends, whether there may be more of it, keys, texts, for each
        field that is_own its values). A text: a byte with the length of each value, 0 for one that is_own, and the other
        values."""
        self._at[0] = at
        places = self._places
        n = lib.vec_scan_hashes(ffi.from_buffer(data), end, self._at, self._form, _MOST, ffi.from_buffer("uint64_t[]", places),
                                self._text, len(self._text))
        starts, ends, text_ends, *own = places[:n].T.tolist()
        text = ffi.buffer(self._text, text_ends[-1] if n else 0)[:]
        return (self._at[0], n == _MOST, [data[a:b] for a, b in zip(starts, ends)],
                [text[a:b] for a, b in zip([0, *text_ends], text_ends)],
                [[data[a:b] for a, b in zip(own[i], own[i + 1])] for i in range(0, len(own), 2)])


def place_rows(codes, rows, depth, slots):
    """Places rows in 2**depth tables of `slots` (a power of two) by linear probing: (tables, (2**depth, slots) int32, -1 where
    free; (2**depth,) how many are in each). codes: (n,) int64, of which the lowest bits say in which table, those from the 40th
    on where; rows: (n,) int32. Raises NativeError if a table would be full."""
    tables, counts = np.full((1 << depth, slots), -1, np.int32), np.zeros(1 << depth, np.uint32)
    _check(lib.vec_place_rows(ffi.from_buffer("int64_t[]", codes), ffi.from_buffer("int32_t[]", rows), len(codes), depth, slots,
                              ffi.from_buffer("int32_t[]", tables), ffi.from_buffer("uint32_t[]", counts)))
    return tables, counts
