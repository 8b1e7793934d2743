"""Rows of a table by groups: numpy arrays in and out; see vec.h."""
import numpy as np

from native import _check
from native._vec import ffi, lib

#: What may become of the rows of a group.
REDUCERS = {"COUNT": lib.VEC_GROUP_COUNT, "SUM": lib.VEC_GROUP_SUM, "AVG": lib.VEC_GROUP_MEAN, "MIN": lib.VEC_GROUP_LEAST,
            "MAX": lib.VEC_GROUP_GREATEST, "STDDEV": lib.VEC_GROUP_DEVIATION, "QUANTILE": lib.VEC_GROUP_QUANTILE,
            "COUNT_DISTINCT": lib.VEC_GROUP_DIFFERENT}


class GroupPlan:
    """What rows are grouped by and what becomes of them: n_keys fields, and one for each of the reducers, (name, share)."""

    __slots__ = ("n_keys", "n_reducers", "_reducers", "_fields", "_held")

    def __init__(self, n_keys, reducers):
        self.n_keys, self.n_reducers = n_keys, len(reducers)
        self._reducers = ffi.new("vec_group_reducer[]", [(REDUCERS[name], share) for name, share in reducers])
        self._fields = ffi.new("vec_group_field[]", n_keys + len(reducers))
        self._held = [(None, None)] * (n_keys + len(reducers))

    def set_codes(self, place, codes, names=None, is_in_order=False):
        """What the field at a place, keys first, says of rows: int32 codes of values (0: none), or of the rows in the order in
        which they are given. names: Names of the values, for `write`."""
        if self._held[place][0] is codes and self._held[place][1] is names:
            return
        field = self._fields[place]
        field.codes, field.column, field.n = ffi.from_buffer("int32_t[]", codes), ffi.NULL, len(codes)
        field.is_in_order = is_in_order
        field.names = ffi.NULL if names is None else names._ptr
        self._held[place] = codes, names

    def set_column(self, place, column):
        """Likewise: float64 numbers of rows (NaN: none)."""
        if self._held[place][0] is column:
            return
        field = self._fields[place]
        field.codes, field.column, field.n = ffi.NULL, ffi.from_buffer("double[]", column), len(column)
        self._held[place] = column, None


class GroupForm:
    """How groups look as rows of a reply: bytes before and after each, those of a value that is not there, and (column, name) of
    what is shown; columns are keys, then reducers."""

    __slots__ = ("_pointer", "_held")

    def __init__(self, head, tail, nil, columns):
        texts = [ffi.new("char[]", text) for text in (head, tail, nil, *(name for _, name in columns))]
        shown = ffi.new("vec_group_column[]", [(column, len(name), text) for (column, name), text in zip(columns, texts[3:])])
        self._pointer = ffi.new("vec_group_form *", (*texts[:3], len(head), len(tail), len(nil), len(columns), shown))
        self._held = texts, shown


class GroupOrder:
    """What groups are sorted by: (column, is_descending), the most important first."""

    __slots__ = ("_by",)

    def __init__(self, by):
        self._by = ffi.new("vec_group_order[]", by)


class Groups:
    """The groups of rows as they come, and the working memory for that. One thread."""

    __slots__ = ("_ptr", "_plan", "_out", "_n", "_order", "_text")

    def __init__(self):
        out = ffi.new("vec_groups **")
        _check(lib.vec_groups_create(out))
        self._ptr = ffi.gc(out[0], lib.vec_groups_free)
        self._plan = None
        self._out = ffi.new("const double *[2]")
        self._order = ffi.new("const uint32_t **")
        self._text = ffi.new("const char **")
        self._n = 0

    def begin(self, plan):
        """Begins anew with a plan."""
        _check(lib.vec_groups_begin(self._ptr, plan.n_keys, plan._reducers, plan.n_reducers))
        self._plan, self._n = plan, 0

    def add(self, rows):
        """Takes rows, a uint32 array or what TextSearch.rows returns, of which the plan's fields know.
        Returns how many groups there are."""
        pointer, n = rows if type(rows) is tuple else (ffi.from_buffer("uint32_t[]", rows), len(rows))
        self._n = _check(lib.vec_groups_add(self._ptr, self._plan._fields, pointer, n))
        return self._n

    def of_rows(self, n):
        """The numbers of the groups of the n rows that were added last, as a list."""
        return ffi.unpack(lib.vec_groups_of_rows(self._ptr), n) if n else []

    def end(self):
        """Ends it; returns the keys as (n_keys, n) float64, codes or numbers (NaN: none), and results, (n_reducers, n). Both are
        gone when it begins anew."""
        plan, n = self._plan, self._n
        _check(lib.vec_groups_end(self._ptr, self._out, self._out + 1))
        sizes = zip(self._out, (plan.n_keys, plan.n_reducers))
        return tuple([np.frombuffer(ffi.buffer(at, 8 * rows * n)).reshape(rows, n) if rows * n else np.zeros((rows, n))
                      for at, rows in sizes])

    def write(self, form, first, last, order=None):
        """Ends it; returns how many the groups first .. last - 1 are, by a GroupOrder if there is one,
        and their bytes in a GroupForm."""
        fields, ptr = self._plan._fields, self._ptr
        _check(lib.vec_groups_end(ptr, self._out, self._out + 1))
        chosen = ffi.NULL
        if order is None:
            n = max(0, min(last, self._n) - first)
        else:
            n = _check(lib.vec_groups_sort(ptr, fields, order._by, len(order._by), first, last, self._order))
            chosen = self._order[0]
        if not n:
            return 0, b""
        length = _check(lib.vec_groups_write(ptr, fields, form._pointer, chosen, first, n, self._text))
        return n, ffi.unpack(self._text[0], length)


def are_ascending(values, rows):
    """Whether values (int64) of rows (uint32) ascend, each greater than the one before."""
    return bool(lib.vec_are_ascending(ffi.from_buffer("int64_t[]", values), ffi.from_buffer("uint32_t[]", rows), len(rows)))


def first_rows(values, rows, k):
    """Those k of rows (uint32) that have the least values (int64), in any order."""
    out = np.empty(min(k, len(rows)), np.uint32)
    lib.vec_first_rows(ffi.from_buffer("int64_t[]", values), ffi.from_buffer("uint32_t[]", rows), len(rows), len(out),
                       ffi.from_buffer("uint32_t[]", out))
    return out
