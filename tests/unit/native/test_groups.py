"""Rows by groups, against what Python finds."""
import numpy as np
import pytest

import native


def grouped(keys, rows):
    """The same as native.group_rows, from dicts."""
    known, groups, first = {}, [], []
    for row in rows.tolist():
        key = tuple(int(codes[row]) for codes, _ in keys)
        if key not in known:
            known[key] = len(known)
            first.append(row)
        groups.append(known[key])
    return groups, first


@pytest.mark.parametrize("sizes", [(1,), (7,), (1000,), (3, 5), (40, 2, 9)])
@pytest.mark.parametrize("n_rows", [0, 1, 400])
def test_rows_are_numbered_by_what_they_are_grouped_by(sizes, n_rows):
    rng = np.random.default_rng(len(sizes) + n_rows)
    keys = [(rng.integers(0, size, 300).astype(np.int32), size) for size in sizes]
    rows = rng.integers(0, 300, n_rows).astype(np.uint32)
    for _ in range(2):                                  # the table is as it was
        groups, first = native.group_rows(keys, rows)
        assert (groups.tolist(), first.tolist()) == grouped(keys, rows)


def test_a_row_without_a_code_is_refused_and_leaves_nothing_behind():
    key = np.arange(5, dtype=np.int32), 5
    with pytest.raises(native.NativeError):
        native.group_rows([key], np.array([1, 4, 5], dtype=np.uint32))
    assert native.group_rows([key], np.array([4, 1, 4], dtype=np.uint32))[0].tolist() == [0, 1, 0]


def test_counts_and_sums_of_groups():
    rng = np.random.default_rng(3)
    column = rng.normal(size=200)
    column[::7] = np.nan
    rows = rng.integers(0, 260, 500).astype(np.uint32)              # some beyond the column
    groups = rng.integers(0, 11, 500).astype(np.uint32)
    counts, n, sums = np.zeros(11, np.int64), np.ones(11, np.int64), np.ones(11)
    native.add_to_groups(groups, rows, counts)
    native.add_to_groups(groups, rows, n, sums, column)
    wanted = [[column[row] for row, group in zip(rows, groups) if group == g and row < 200 and column[row] == column[row]] for g in range(11)]
    assert counts.tolist() == np.bincount(groups, minlength=11).tolist()
    assert n.tolist() == [1 + len(values) for values in wanted]
    totals = [1.0] * 11
    for g, values in enumerate(wanted):
        for value in values:
            totals[g] += value
    assert sums.tolist() == totals


@pytest.mark.parametrize("rows, is_so", [([], True), ([3], True), ([0, 1, 3], True), ([0, 1, 2], False), ([1, 1], False), ([3, 0], False)])
def test_whether_values_ascend(rows, is_so):
    assert native.are_ascending(np.array([1, 5, 5, 9]), np.array(rows, dtype=np.uint32)) is is_so
