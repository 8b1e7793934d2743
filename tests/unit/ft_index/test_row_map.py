"""The map from keys to rows against a dict, over many splits, removals and reuses of rows."""
import random

import pytest

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
