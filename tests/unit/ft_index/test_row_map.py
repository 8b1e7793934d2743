"""The map from keys to rows against a dict, over many splits, removals and reuses of rows."""
import random

import numpy as np
import pytest

from commands.ft import images
from commands.ft.documents import DocumentTable, RowMap


@pytest.mark.parametrize("seed", range(4))
def test_a_row_map_is_a_dict(seed):
    rng = random.Random(seed)
    keys: list[bytes | None] = []
    rows, model, free = RowMap(keys), {}, []
    pool = [b"doc:%d" % i for i in range(3000)]
    for step in range(20_000):
        key = rng.choice(pool)
        grows = rng.random() < (0.75 if step % 8000 < 4000 else 0.3)
        assert rows.get(key) == model.get(key) and (key in rows) == (key in model)
        if grows and key not in model:
            if free:
                row = free.pop()
                keys[row] = key
            else:
                row = len(keys)
                keys.append(key)
            rows.add(row)
            model[key] = row
        elif not grows:
            row = rows.remove(key)
            assert row == model.pop(key, None)
            if row is not None:
                keys[row] = None
                free.append(row)
        assert len(rows) == len(model)
    assert sorted(rows) == sorted(model)
    assert all(rows.get(key) == model.get(key) for key in pool)
    rows.clear()
    assert not len(rows) and rows.get(pool[0]) is None


def test_a_document_table_is_small():
    docs = DocumentTable()
    for i in range(50_000):
        docs.add(b"doc:%d" % i, None)
    assert docs.row_of.nbytes < 50_000 * 14 and docs.row_of.get(b"doc:49999") == 49_999


@pytest.mark.parametrize("n", [0, 1, 383, 385, 5000])
def test_a_row_map_that_is_filled_at_once_is_the_same(n):
    keys = [b"doc:%d" % i if i % 7 or i < 2 else None for i in range(n)]
    rows, other = RowMap(keys), RowMap(keys)
    rows.fill()
    for row, key in enumerate(keys):
        if key is not None:
            other.add(row)
    assert len(rows) == len(other) and all(rows.get(key) == i for i, key in enumerate(keys) if key is not None)
    assert rows.get(b"none") is None
    for row in range(0, n, 3):
        if keys[row] is not None:
            assert rows.remove(keys[row]) == row
            keys[row] = None
    assert all(rows.get(key) == i for i, key in enumerate(keys) if key is not None)


def test_documents_are_found_in_the_keyspace_again():
    data = {b"%d" % i: [i] for i in range(30)}
    own = list(data)
    for keys in (own, own[:9], own[3:20], [None, *own[::-1], None, b""], [b"%d" % i for i in range(9)], [None], []):
        data[b""] = []
        text, n = b"".join(key for key in keys if key is not None), len(keys)
        lengths = np.array([images._NONE if key is None else len(key) for key in keys], np.uint32)
        places = images._places(keys, data)
        assert all((place < 0) == (key is None) for place, key in zip(places, keys))
        wanted = keys, [None if key is None else data[key] for key in keys]
        assert images._documents(text, lengths, places, data) == wanted
        for wrong in (places[::-1], places + 1000, np.full(n, images._UNKNOWN, np.int32)):
            found = images._documents(text, lengths, wrong, data)
            assert found == wanted and all(key is None or any(key is one for one in data) for key in found[0])
        data.pop(b"")
    assert (images._documents(b"0gone", np.array([1, 4], np.uint32), np.arange(2, dtype=np.int32), data)
            == ([b"0", b"gone"], [[0], None]))
