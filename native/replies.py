"""Replies written by the engine: the names of labels, and the form of a reply around them."""
from native import _check
from native._vec import ffi, lib


class Names:
    """The bytes that stand for labels in replies: a table of its own, so that replies are written without Python. One thread."""

    def __init__(self):
        out = ffi.new("vec_names **")
        _check(lib.vec_names_create(out))
        self._ptr = ffi.gc(out[0], lib.vec_names_free)
        self._text = ffi.new("const char **")

    def fill(self, text, lengths):
        """Names labels 0 .. n - 1 by their keys, as bulk strings: the keys one after the other and their (n,) uint32 lengths, the
        greatest there is for a label without a name."""
        _check(lib.vec_names_fill(self._ptr, ffi.from_buffer(text), ffi.from_buffer("uint32_t[]", lengths), len(lengths)))

    def __setitem__(self, label, name):
        if lib.vec_names_set(self._ptr, label, name, len(name)) < 0:
            raise MemoryError

    def __getitem__(self, label):
        """The name, b"" for a label without one."""
        n = lib.vec_names_get(self._ptr, label, self._text)
        return ffi.unpack(self._text[0], n) if n else b""

    def clear(self):
        """Forgets all of them."""
        lib.vec_names_clear(self._ptr)

    @property
    def nbytes(self):
        """Bytes allocated."""
        return lib.vec_names_bytes(self._ptr)

    @staticmethod
    def bytes_of(n, length):
        """Bytes allocated for labels 0 .. n - 1 with names of this length."""
        return lib.vec_names_bytes_of(n, length)


class Form:
    """The form of a reply, as described in vec.h: its pieces, how much the count grows with each row, where the total is. rest:
    Names of what each row says besides."""
    __slots__ = ("_pointer", "_pieces", "_rest")

    def __init__(self, start, after_count, before_row, before_distance, after_row, before_total, after_total, per_row,
                 is_total_first, has_distance, rest=None):
        pieces = (start, after_count, before_row, before_distance, after_row, before_total, after_total)
        self._pieces = ffi.new("char[]", b"".join(pieces))
        self._pointer = ffi.new("vec_form *", {"pieces": self._pieces, "lengths": list(map(len, pieces)), "per_row": per_row,
                                               "is_total_first": is_total_first, "has_distance": has_distance,
                                               "rest": ffi.NULL if rest is None else rest._ptr})
        self._rest = rest


def distance_text(distance):
    """A distance as replies show it: whole numbers without a point, others with 12 significant digits."""
    out = ffi.new("char[]", 32)
    return ffi.unpack(out, lib.vec_distance_text(distance, out))
