"""The batch iterator: everything, once, from the nearest on, whatever happens in between."""
import numpy as np
import pytest
from common import SMALL, brute, clustered

import native

N, DIM = (1200, 16) if SMALL else (5000, 24)
X = clustered(N + 20, DIM, seed=11)
X, QUERIES = X[:N], X[N:]


def build(n=N, **options):
    options = {"compression": "LVQ8", "training_threshold": 1000, "construction_window_size": 80, **options}
    ix = native.Index(DIM, "L2", **options)
    ix.add(np.arange(n), X[:n])
    ix.wait()
    return ix


@pytest.mark.parametrize("options", [{}, {"compression": "LVQ4x4"}, {"compression": None}, {"algorithm": "FLAT"}])
@pytest.mark.parametrize("batch", [1, 7, 100, 10_000])
def test_gives_everything_once_and_in_order(options, batch):
    ix = build(300 if batch == 1 else N, **options)
    n = len(ix)
    exact = brute("L2", QUERIES[:1], X[:n])[0]
    found, last = [], -1.0
    for labels, distances in ix.iterator(QUERIES[0], batch=batch):
        assert len(labels) == min(batch, n - len(found)) and (np.diff(distances) >= 0).all()
        assert np.allclose(distances, exact[labels], atol=0.02 * exact.max())
        last = distances[-1]
        found += labels.tolist()
    assert sorted(found) == list(range(n)) and last > 0
    near = set(np.argsort(exact)[:100].tolist())
    assert len(near & set(found[:120])) >= 95


def test_the_window_is_the_first_search_s():
    ix = build()
    shares = []
    for window in (10, 400):
        hits = 0
        for q in QUERIES:
            labels, _ = next(ix.iterator(q, batch=10, window=window))
            hits += len(set(labels.tolist()) & set(np.argsort(brute("L2", q[None], X)[0])[:10].tolist()))
        shares.append(hits / (10 * len(QUERIES)))
    assert shares[1] >= 0.98 and shares[1] >= shares[0]


def test_survives_every_change_between_batches():
    """Removals, replacements, additions, training and sweeps between batches:
    what stayed comes exactly once, what went does not."""
    rng = np.random.default_rng(12)
    for seed in range(2 if SMALL else 6):
        ix = native.Index(DIM, "L2", compression="LVQ4x4", training_threshold=N // 2 + 200, construction_window_size=60)
        ix.add(np.arange(N // 2), X[:N // 2])
        ix.wait()
        given, gone, stayed = [], set(), set(range(N // 2))
        added = N // 2
        for turn, (labels, distances) in enumerate(ix.iterator(QUERIES[seed], batch=60)):
            assert not gone & set(labels.tolist()) and (np.diff(distances) >= 0).all()
            given += labels.tolist()
            if turn > 25:
                continue
            out = rng.choice(N // 2, 15, replace=False)
            ix.remove(out)
            gone |= set(out.tolist())
            moved = np.array(sorted(stayed - gone))[:20]
            ix.add(moved, X[rng.choice(N, len(moved))])
            ix.add(np.arange(added, added + 20), X[added:added + 20])
            added += 20
            if turn % 5 == 4:
                ix.wait()
        assert len(given) == len(set(given))
        assert stayed - gone <= set(given)
        ix.wait()
        ix.validate()


def test_empty_small_and_wrong():
    ix = native.Index(DIM, "COSINE")
    assert list(ix.iterator(QUERIES[0])) == []
    ix.add([7], X[:1])
    (labels, _), = ix.iterator(QUERIES[0].tobytes(), batch=3)
    assert labels.tolist() == [7]
    with pytest.raises(native.NativeError):
        ix.iterator(QUERIES[0].tobytes()[:-4])
    with pytest.raises(native.NonFiniteError):
        ix.iterator(np.full(DIM, np.nan, "f4"))
    pending = ix.iterator(QUERIES[0])
    ix.close()
    with pytest.raises(native.NativeError):
        next(pending)
    del pending


def test_what_is_removed_before_the_end_does_not_end_it():
    ix = build(600, training_threshold=300)
    batches = ix.iterator(X[0], batch=300)
    first, _ = next(batches)
    ix.remove(first)
    rest = np.concatenate([labels for labels, _ in batches])
    assert sorted(rest.tolist()) == sorted(set(range(600)) - set(first.tolist()))


def test_timeout():
    n = 20_000
    ix = native.Index(64, "L2", algorithm="FLAT")
    ix.add(np.arange(n), clustered(n, 64))
    with pytest.raises(native.SearchTimeout):
        next(ix.iterator(np.zeros(64, "f4"), batch=10, timeout_us=1))
    assert len(next(ix.iterator(np.zeros(64, "f4"), batch=10, timeout_us=1_000_000_000))[0]) == 10
