"""Filter plans, range search, timeouts."""
import threading

import numpy as np
import pytest
from common import SMALL, brute, clustered, recall

import native

N, DIM = (1500, 24) if SMALL else (6000, 32)
X, QUERIES = clustered(N + 40, DIM)[:N], clustered(N + 40, DIM)[N:]


@pytest.fixture(scope="module", params=[None, "LVQ4x4"])
def ix(request):
    ix = native.Index(DIM, "L2", compression=request.param, training_threshold=1000, construction_window_size=100,
                      search_window_size=12)
    ix.add(np.arange(N), X)
    ix.wait()
    return ix


@pytest.mark.parametrize("share", [0.0002, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0])
def test_filters_return_only_and_enough(ix, share):
    rng = np.random.default_rng(int(share * 1e4))
    labels = np.sort(rng.choice(N, max(1, int(share * N)), replace=False))
    allowed = native.Allowed.of_labels(labels)
    exact = brute("L2", QUERIES, X[labels])
    found, plans = [], set()                    # which of the plans is the quickest, is measured
    for q in QUERIES:
        found.append(ix.search_blob(q.tobytes(), 10, allowed=allowed, window=40)[0])
        plans.add(ix.stats()["last_plan"])
    wanted = min(10, len(labels))
    assert all(len(f) == wanted and set(f) <= set(labels.tolist()) for f in found)
    places = np.array([np.searchsorted(labels, f) for f in found])
    assert recall(places, exact, wanted) >= (0.999 if plans == {"filter-exact"} and not ix.compression else 0.9)
    assert all(plan.startswith("filter-") for plan in plans)


def test_every_plan_is_used(ix):
    """Where it is clear; test_timeouts_of_every_plan has one that walks."""
    plans = set()
    for share in (0.001, 0.3, 0.5, 0.95):
        allowed = native.Allowed.of_labels(np.arange(int(share * N)))
        ix.search_blob(QUERIES[0].tobytes(), 3, window=3, allowed=allowed)
        plans.add(ix.stats()["last_plan"])
    assert plans >= ({"filter-exact"} if SMALL else {"filter-exact", "filter-post"})


def test_a_filter_far_from_the_query_still_fills_k(ix):
    order = np.argsort(brute("L2", QUERIES[:1], X)[0])
    allowed = native.Allowed.of_labels(order[-N // 2:])
    labels, _ = ix.search_blob(QUERIES[0].tobytes(), 10, allowed=allowed)
    assert len(labels) == 10 and set(labels) <= set(order[-N // 2:].tolist())


def test_empty_and_foreign_filters(ix):
    blob = QUERIES[0].tobytes()
    assert ix.search_blob(blob, 5, allowed=native.Allowed.of_labels([])) == ([], [])
    assert ix.search_blob(blob, 5, allowed=native.Allowed.of_labels([N + 10, N + 500])) == ([], [])
    labels, _ = ix.search_blob(blob, 5, allowed=native.Allowed.of_labels([3, N + 500]))
    assert labels == [3]


def test_filter_with_tail_and_deleted():
    ix = native.Index(DIM, "L2", construction_window_size=60, search_window_size=20)
    ix.add(np.arange(N), X)
    ix.remove(np.arange(0, N, 2))
    allowed = native.Allowed.of_labels(np.arange(N // 2))
    for _ in range(3):
        for q in QUERIES[:10]:
            labels, _ = ix.search_blob(q.tobytes(), 10, allowed=allowed)
            assert len(labels) == 10 and all(label % 2 and label < N // 2 for label in labels)
    ix.wait()


@pytest.mark.parametrize("metric", ["L2", "COSINE"])
@pytest.mark.parametrize("compression", [None, "LVQ8", "LVQ4x4"])
def test_range_search(metric, compression):
    ix = native.Index(DIM, metric, compression=compression, training_threshold=1000, construction_window_size=60)
    ix.add(np.arange(N), X)
    ix.wait()
    for q in QUERIES[:5]:
        exact = brute(metric, q[None], X)[0]
        radius = np.sort(exact)[50] * 1.0001
        labels, distances = ix.range_blob(q.tobytes(), radius)
        assert distances == sorted(distances) and max(distances) <= radius
        near = set(np.flatnonzero(exact <= radius).tolist())
        assert len(near & set(labels)) >= (51 if compression is None else 48)
        few = native.Allowed.of_labels(np.arange(0, N, 3))
        labels, _ = ix.range_blob(q.tobytes(), radius, allowed=few)
        assert {label for label in near if label % 3 == 0} == set(labels) or compression


@pytest.mark.parametrize("compression", [None, "LVQ4x4"])
def test_range_search_by_walking(compression):
    n = 3000 if SMALL else 24_000
    x = clustered(n, 16)
    ix = native.Index(16, "L2", compression=compression, training_threshold=1000, graph_max_degree=24,
                      construction_window_size=48, search_window_size=20)
    ix.add(np.arange(n), x)
    ix.wait()
    share = []
    for q in x[:20]:
        exact = brute("L2", q[None], x)[0]
        for count in (0, 30, 500, 10_000 if not SMALL else 1000):
            radius = np.sort(exact)[count] if count else 0.0
            labels, distances = ix.range_blob(q.tobytes(), radius)
            near = exact <= radius * (1 + 1e-6) + 1e-9
            if count or not compression:        # codes are no longer at distance 0
                share.append(len(set(labels) & set(np.flatnonzero(near).tolist())) / max(1, near.sum()))
            assert len(set(labels)) == len(labels)
            assert all(exact[label] <= radius * (1 + 1e-4) + (1e-6 if not compression else 0.02) for label in labels)
            if count == 10_000:
                assert ix.stats()["last_plan"] == "scan"
    assert np.mean(share) >= 0.98 and min(share) > 0.5


def test_radius_zero_finds_the_vector_itself(ix):
    if ix.compression:
        return
    for i in (0, 17, N - 1):
        assert ix.range_blob(X[i].tobytes(), 0)[0] == [i]


def test_timeout():
    x = clustered(20_000, 64)
    ix = native.Index(64, "L2", algorithm="FLAT")
    ix.add(np.arange(20_000), x)
    with pytest.raises(native.SearchTimeout):
        ix.search_blob(x[0].tobytes(), 10, timeout_us=1)
    assert len(ix.search_blob(x[0].tobytes(), 10, timeout_us=1_000_000_000)[0]) == 10


def test_timeouts_of_every_plan():
    n = 3000 if SMALL else 30_000
    x = clustered(n, 16)
    ix = native.Index(16, "L2", graph_max_degree=16, construction_window_size=32)
    ix.add(np.arange(n), x)
    ix.wait()
    # So many are allowed that a walk is expected to cost a third of a scan: where it is close, both are tried.
    for share, window, plan in ((None, 100, "graph"), (0.95, 100, "filter-post"), (0.85, 100, "filter-walk"),
                                (0.1, 300, "filter-exact")):
        labels = np.sort(np.random.default_rng(5).permutation(n)[:int((share or 1) * n)])
        allowed = None if share is None else native.Allowed.of_labels(labels)
        if not SMALL:                           # few vectors are scanned before anybody looks at the clock
            with pytest.raises(native.SearchTimeout):
                ix.search_blob(x[0].tobytes(), 10, window=window, allowed=allowed, timeout_us=1)
        assert len(ix.search_blob(x[0].tobytes(), 10, window=window, allowed=allowed, timeout_us=1_000_000_000)[0]) == 10
        assert SMALL or ix.stats()["last_plan"] == plan


def test_the_few_that_are_barred_are_near(ix):
    """Nearly all are allowed, but not one of those near the query."""
    order = np.argsort(brute("L2", QUERIES[:1], X)[0])
    far = order[N // 15:]
    found, _ = ix.search_blob(QUERIES[0].tobytes(), 10, window=150, allowed=native.Allowed.of_labels(np.sort(far)))
    assert len(found) == 10 and len(set(found) & set(far[:10].tolist())) >= 7


def test_deleted_vectors_and_filters_that_bar_what_is_near():
    mine = native.Index(DIM, "L2", construction_window_size=60, search_window_size=100)
    mine.add(np.arange(N), X)
    mine.wait()
    order = np.argsort(brute("L2", QUERIES[:1], X)[0])
    mine.remove(order[:20])
    far = order[N // 2:]
    found, _ = mine.search_blob(QUERIES[0].tobytes(), 10,
                                allowed=native.Allowed.of_labels(np.sort(np.concatenate([far, order[:20]]))))
    assert len(found) == 10 and len(set(found) & set(far[:10].tolist())) >= 8


@pytest.mark.parametrize("labelling", ["in order", "shifted", "shuffled", "sparse"])
def test_a_walk_among_the_allowed(labelling):
    """Halves and tenths of the data, at random, on the query's side and on the other one, however slots and labels correspond."""
    n, dim = (3000, 16) if SMALL else (16_000, 24)
    x = clustered(n + 60, dim, seed=3, spread=0.6)
    x, queries = x[:n], x[n:]
    rng = np.random.default_rng(4)
    label_of = {"in order": np.arange(n), "shifted": np.arange(n) + 777, "shuffled": rng.permutation(n),
                "sparse": np.arange(n) * 50 + 3}[labelling]
    ix = native.Index(dim, "L2", compression="LVQ8", training_threshold=1000, construction_window_size=100)
    ix.add(label_of, x)
    if labelling == "in order":
        again = rng.choice(n, n // 20, replace=False)          # labels that have moved to other slots
        ix.add(label_of[again], x[again])
    ix.wait()
    side = x @ (x[:200].mean(0) - x[200:400].mean(0))
    found_by = set()
    for share in (0.5, 0.1):
        for rows in (rng.choice(n, int(share * n), replace=False), np.argsort(side)[:int(share * n)],
                     np.argsort(-side)[:int(share * n)]):
            allowed = native.Allowed.of_labels(label_of[rows])
            places = {int(label): i for i, label in enumerate(label_of[rows])}
            found = []
            for q in queries:
                labels, distances = ix.search_blob(q.tobytes(), 10, allowed=allowed, window=40)
                assert len(labels) == len(set(labels)) == 10 and distances == sorted(distances)
                found.append([places[label] for label in labels])
                found_by.add(ix.stats()["last_plan"])
            assert recall(np.array(found), brute("L2", queries, x[rows]), 10) >= 0.95
    assert SMALL or "filter-walk" in found_by
    ix.validate()


def test_a_filter_against_the_query_does_not_walk_everything():
    n = 3000 if SMALL else 20_000
    x = clustered(n, 16, seed=5, spread=1.0)
    ix = native.Index(16, "L2", compression="LVQ8", training_threshold=1000, construction_window_size=60)
    ix.add(np.arange(n), x)
    ix.wait()
    for q in x[:10]:
        far = np.argsort(brute("L2", q[None], x)[0])[-n // 2:]
        allowed = native.Allowed.of_labels(far)
        before = ix.stats()["n_scored"]
        labels, _ = ix.search_blob(q.tobytes(), 10, allowed=allowed)
        assert len(labels) == 10 and set(labels) <= set(far.tolist())
        assert ix.stats()["n_scored"] - before < 0.85 * n


def test_threads_filter_and_iterate_while_everything_changes():
    n = 1500 if SMALL else 8000
    x = clustered(2 * n, 16, seed=8)
    ix = native.Index(16, "L2", compression="LVQ8", training_threshold=n // 2, construction_window_size=40, search_window_size=12)
    ix.add(np.arange(n), x[:n])
    done, errors = threading.Event(), []
    filters = [native.Allowed.of_labels(np.arange(0, n, step)) for step in (2, 4, 9)]

    def search(seed):
        try:
            while not done.is_set():
                for step, allowed in zip((2, 4, 9), filters):
                    labels, _ = ix.search_blob(x[seed].tobytes(), 5, allowed=allowed)
                    assert all(label % step == 0 and label < n for label in labels) and len(set(labels)) == len(labels)
                radius_labels, distances = ix.range_blob(x[seed].tobytes(), 0.5)
                assert len(radius_labels) == len(distances)
                seen = set()
                for _, (labels, _) in zip(range(4), ix.iterator(x[seed], batch=40)):
                    assert not seen & set(labels.tolist())
                    seen |= set(labels.tolist())
        except Exception as error:
            errors.append(error)
    threads = [threading.Thread(target=search, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for i in range(0, n - 100, 100):
        ix.add(np.arange(i, i + 100), x[n + i:n + i + 100])
        ix.remove(np.arange(i, i + 30))
    ix.wait()
    done.set()
    for thread in threads:
        thread.join()
    assert not errors, errors
    ix.validate()


@pytest.mark.parametrize("n", [1, 64, 65, 5000])
def test_filters_of_rows_are_those_of_labels(n):
    rows = np.sort(np.random.default_rng(n).choice(n, (n + 2) // 3, replace=False)).astype(np.uint32)
    one, other = native.Allowed.of_rows(rows, n), native.Allowed.of_labels(rows)
    assert one.count == other.count == len(rows) and one.n_words == (n + 63) // 64
    assert (one.words[:other.n_words] == other.words).all() and not one.words[other.n_words:].any()
    assert not native.Allowed.of_rows(rows[:0], n).words.any()
