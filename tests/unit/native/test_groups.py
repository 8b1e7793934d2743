"""Rows by groups, against what Python finds."""
import math
import statistics

import numpy as np
import pytest

import native

N = 300


def codes_of(rng, n_values):
    return rng.integers(0, n_values, N).astype(np.int32)


def numbers_of(rng, n_values):
    column = rng.integers(-1, n_values, N).astype(float) / 2
    column[::7] = np.nan
    column[1::7] = -0.0
    return column


def read(field, row, place):
    """What a field says of a row: None for nothing."""
    kind, values = field
    at = place if kind == "in order" else row
    if at >= len(values):
        return None
    value = values[at].item()
    return None if value != value or kind != "numbers" and not value else value


def set_field(plan, place, field):
    kind, values = field
    if kind == "numbers":
        plan.set_column(place, values)
    else:
        plan.set_codes(place, values, is_in_order=kind == "in order")


def reduced(name, share, values):
    """What a reducer gives for the values of a group."""
    n = len(values)
    if name == "COUNT_DISTINCT":
        return len(set(values))
    if name == "QUANTILE":
        return sorted(values)[max(0, math.ceil(share * n) - 1)] if n else math.nan
    if name == "STDDEV":
        return statistics.stdev(values) if n > 1 else 0.0
    if name in ("MIN", "MAX"):
        return min(values, default=math.inf) if name == "MIN" else max(values, default=-math.inf)
    total = 0.0
    for value in values:
        total += value
    return math.nan if not n else total if name == "SUM" else total / n


@pytest.mark.parametrize("n_rows", [0, 1, 40, 1000])
@pytest.mark.parametrize("kinds", [(), ("codes",), ("numbers",), ("codes", "numbers", "codes"), ("in order", "codes")])
def test_groups_and_what_becomes_of_them(kinds, n_rows):
    rng = np.random.default_rng(len(kinds) + n_rows)
    make = {"codes": codes_of, "numbers": numbers_of, "in order": codes_of}
    fields = [(kind, make[kind](rng, 9)) for kind in kinds]
    reducers = [("COUNT", 0), *((name, 0) for name in ("SUM", "AVG", "MIN", "MAX", "STDDEV", "COUNT_DISTINCT")),
                *(("QUANTILE", share) for share in (0, 0.3, 0.5, 1)), ("COUNT_DISTINCT", 0)]
    fields += [("numbers", numbers_of(rng, 40)) for _ in reducers[:-1]] + [("codes", codes_of(rng, 5))]
    plan, groups = native.GroupPlan(len(kinds), reducers), native.Groups()
    for _ in range(2):                                      # nothing is left of the first time
        wanted, of_rows = {}, []
        groups.begin(plan)
        for rows in np.array_split(rng.integers(0, N + 20, n_rows).astype(np.uint32), 3):       # some beyond the fields
            for place, field in enumerate(fields):
                set_field(plan, place, field)
            for place, row in enumerate(rows.tolist()):
                key = tuple(read(field, row, place) for field in fields[:len(kinds)])
                members = wanted.setdefault(key, [])
                members.append([read(field, row, place) for field in fields[len(kinds):]])
                of_rows.append(list(wanted).index(key))
            assert groups.add(rows) == len(wanted)
            assert groups.of_rows(len(rows)) == of_rows[len(of_rows) - len(rows):]
        keys, results = groups.end()
        assert keys.shape == (len(kinds), len(wanted)) and results.shape == (len(reducers), len(wanted))
        nothing = [math.nan if kind == "numbers" else 0 for kind in kinds]
        for i, (key, members) in enumerate(wanted.items()):
            np.testing.assert_array_equal(keys[:, i], [none if value is None else value for value, none in zip(key, nothing)])
            for r, (name, share) in enumerate(reducers):
                values = [member[r] for member in members if member[r] is not None]
                expected = len(members) if name == "COUNT" else reduced(name, share, values)
                assert results[r, i] == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True), (name, share)


def bulk(text):
    return b"$%d\r\n%b\r\n" % (len(text), text)


def number_text(value):
    return bulk(b"%d" % value if -9.2e18 < value < 9.2e18 and value == int(value) else b"%.12g" % value)


@pytest.mark.parametrize("first, last", [(0, 5), (3, 20), (0, 1000), (30, 31), (2000, 2001)])
def test_rows_of_a_reply_in_order(first, last):
    rng = np.random.default_rng(first + last)
    texts = [b"", b"", *sorted({bytes(rng.integers(97, 100, rng.integers(1, 5)).astype(np.uint8)) for _ in range(60)}, key=hash)]
    names = native.Names()
    for code, text in enumerate(texts):
        if code:
            names[code] = bulk(text)
    codes = rng.integers(0, len(texts), N).astype(np.int32)
    years, sizes = numbers_of(rng, 4), numbers_of(rng, 12)
    sizes[:5] = 1e20, -1e17, 1 / 3, 1e-7, 123456789.5
    plan, groups = native.GroupPlan(2, [("COUNT", 0), ("SUM", 0)]), native.Groups()
    for place, column in ((1, years), (3, sizes)):
        plan.set_column(place, column)
    plan.set_codes(0, codes, names)
    form = native.GroupForm(b"[", b"]", b"nil", [(0, b"text"), (1, b"year"), (2, b"n"), (3, b"sum")])
    rows = rng.permutation(N).astype(np.uint32)[:250]
    groups.begin(plan)
    n = groups.add(rows)
    keys, results = (part.tolist() for part in groups.end())
    columns = [[texts[int(code)] if code else None for code in keys[0]],
               [None if year != year else year for year in keys[1]], *results]

    def key_of(value, is_descending):
        """The rank of a value's kind, and what its kind is sorted by."""
        if value is None:
            return (9, 0) if is_descending else (0, 0)
        if value != value:
            return 3, 0
        if isinstance(value, bytes):
            padded = (*value, *[-1] * (8 - len(value)))
            return 1, tuple(-byte for byte in padded) if is_descending else padded
        return 1, -value if is_descending else value

    def shown(value):
        return (b"nil" if value is None else bulk(value) if isinstance(value, bytes) else bulk(b"nan") if value != value
                else number_text(value))

    for by in ([], [(0, True)], [(3, False)], [(3, True), (0, False)], [(1, True)], [(1, False), (2, True)]):
        order = range(n)
        if by:
            order = sorted(order, key=lambda i: [key_of(columns[c][i], down) for c, down in [*by, (0, False), (1, False)]])
        count, text = groups.write(form, first, last, native.GroupOrder(by) if by else None)
        expected = [b"[" + b"".join(name + shown(columns[c][i]) for c, name in enumerate((b"text", b"year", b"n", b"sum"))) + b"]"
                    for i in order[first:last]]
        assert (count, text) == (len(expected), b"".join(expected)), by


@pytest.mark.parametrize("rows, is_so",
                         [([], True), ([3], True), ([0, 1, 3], True), ([0, 1, 2], False), ([1, 1], False), ([3, 0], False)])
def test_whether_values_ascend(rows, is_so):
    assert native.are_ascending(np.array([1, 5, 5, 9]), np.array(rows, dtype=np.uint32)) is is_so


@pytest.mark.parametrize("n, k", [(0, 3), (1, 3), (5, 0), (100, 1), (100, 7), (100, 100), (100, 200)])
def test_the_first_rows(n, k):
    rng = np.random.default_rng(n + k)
    values, rows = rng.permutation(150), rng.permutation(150).astype(np.uint32)[:n]
    assert sorted(native.first_rows(values, rows, k).tolist()) == sorted(sorted(rows.tolist(), key=values.__getitem__)[:k])
