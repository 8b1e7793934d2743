"""Rows of a table by groups: numpy arrays in and out; see vec.h."""
import numpy as np

from native import _check
from native._vec import ffi, lib

_table = np.zeros(0, dtype=np.uint32)           # a place for each combination of codes, all 0 between calls


def _numbers(array):
    return ffi.from_buffer("uint32_t[]", array)


def group_rows(keys, rows):
    """keys: for each (codes by row, int32; how many different ones there are). rows: uint32, all with codes. Returns for each row the number of
    its group (uint32), in the order in which groups first come, and a row of each group. It needs four bytes for each combination of
    codes."""
    global _table
    n_places = 1
    made = ffi.new("vec_group_key[]", len(keys))
    for key, (codes, n_values) in zip(made, keys):
        key.codes, key.n, key.n_values = ffi.from_buffer("int32_t[]", codes), len(codes), n_values
        n_places *= n_values
    if n_places > len(_table):
        _table = np.zeros(n_places + n_places // 4, dtype=np.uint32)
    groups, first = np.empty(len(rows), dtype=np.uint32), np.empty(min(len(rows), n_places), dtype=np.uint32)
    n = lib.vec_group_rows(made, len(keys), _numbers(rows), len(rows), _numbers(_table), _numbers(groups), _numbers(first))
    if n < 0:
        _table = np.zeros(0, dtype=np.uint32)
        _check(n)
    return groups, first[:n]


def add_to_groups(groups, rows, counts, sums=None, column=None):
    """Adds to counts (int64, by group) the rows that have a number in a column (float64; NaN: none; None: all rows), and their numbers to sums
    (float64), in the order of the rows."""
    if column is None:
        lib.vec_group_add(_numbers(groups), ffi.NULL, len(groups), ffi.NULL, 0, ffi.NULL, ffi.from_buffer("int64_t[]", counts))
    else:
        lib.vec_group_add(_numbers(groups), _numbers(rows), len(groups), ffi.from_buffer("double[]", column), len(column),
                          ffi.from_buffer("double[]", sums), ffi.from_buffer("int64_t[]", counts))


def are_ascending(values, rows):
    """Whether values (int64) of rows (uint32) ascend, each greater than the one before."""
    return bool(lib.vec_are_ascending(ffi.from_buffer("int64_t[]", values), _numbers(rows), len(rows)))
