"""Many queries in one call give what each gives alone."""
import threading

import numpy as np
import pytest
from common import SMALL, clustered

import native

N, DIM = (2500, 16) if SMALL else (6000, 24)
X = clustered(N + 61, DIM, seed=21)
X, QUERIES = X[:N], X[N:]


def same(ix, k=10, **options):
    labels, distances = ix.search(QUERIES, k, **options)
    for row, away, q in zip(labels, distances, QUERIES, strict=True):
        found, exact = ix.search_blob(q.tobytes(), k, **options)
        n = len(found)
        assert row[:n].tolist() == found and (row[n:] == -1).all() and np.allclose(away[:n], exact)


@pytest.mark.parametrize("metric", ["L2", "COSINE", "IP"])
@pytest.mark.parametrize("compression", [None, "LVQ8", "LVQ4x4", "LeanVec4x8"])
def test_together_as_alone(metric, compression):
    ix = native.Index(DIM, metric, compression=compression, training_threshold=1000, construction_window_size=50)
    ix.add(np.arange(N), X)
    ix.wait()
    same(ix)
    same(ix, 1, window=5)
    same(ix, 30, window=40, capacity=60)
    same(ix, 60, window=12, sure=10)            # candidates beyond the window
    assert ix.stats()["last_plan"] == "graph"
    same(ix, N)
    ix.remove(np.arange(0, 20))                 # so few stay in the graph
    ix.wait()
    same(ix)
    ix.remove(np.arange(0, N, 3))
    ix.wait()
    same(ix)
    ix.add(np.arange(N, N + 500), X[:500])
    ix.wait()
    same(ix)


def test_one_bad_query_fails_the_call_and_nothing_else():
    ix = native.Index(DIM, "L2", construction_window_size=50, search_window_size=20)
    ix.add(np.arange(N), X)
    ix.wait()
    for place in (0, 1, 30, len(QUERIES) - 1):
        bad = QUERIES.copy()
        bad[place, 3] = np.nan
        with pytest.raises(native.NonFiniteError):
            ix.search(bad, 10)
    same(ix)


def test_threads_search_many_while_everything_changes():
    ix = native.Index(DIM, "L2", compression="LVQ4x4", training_threshold=N // 2, construction_window_size=40,
                      search_window_size=20)
    ix.add(np.arange(N // 3), X[:N // 3])
    done, errors = threading.Event(), []

    def search():
        try:
            while not done.is_set():
                labels, distances = ix.search(QUERIES, 10)
                assert (np.diff(distances, axis=1) >= 0).all() and all(len(set(row)) == 10 for row in labels.tolist())
        except Exception as error:
            errors.append(error)
    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(N // 3, N, 100):
        ix.add(np.arange(i, i + 100), X[i % (N - 100):i % (N - 100) + 100])
        ix.remove(np.arange(i - N // 3, i - N // 3 + 50))
    ix.wait()
    done.set()
    for thread in threads:
        thread.join()
    assert not errors
    ix.wait()
    ix.validate()
    same(ix)
