"""Adding, replacing, removing, degenerate input, statistics."""
import numpy as np
import pytest
from common import SMALL, brute, clustered, recall

import native


@pytest.mark.parametrize("algorithm", ["FLAT", "SVS-VAMANA"])
@pytest.mark.parametrize("compression", [None, "LVQ4x4"])
def test_random_streams_keep_every_invariant(algorithm, compression):
    rng = np.random.default_rng(7)
    dim, rounds = 24, 8 if SMALL else 25
    x = clustered(20_000, dim)
    ix = native.Index(dim, "L2", algorithm=algorithm, compression=compression, training_threshold=700, graph_max_degree=16,
                      construction_window_size=60, search_window_size=60)
    held, used = {}, 0
    for turn in range(rounds):
        labels = rng.choice(3000, 200, replace=False) + (10**12 if turn % 5 == 4 else 0)      # now and then a sparse label
        ix.add(labels, x[used:used + 200])
        held.update(zip(labels.tolist(), range(used, used + 200), strict=True))
        used += 200
        gone = rng.choice(3000, 300, replace=False).tolist()
        assert ix.remove(gone) == sum(held.pop(label, None) is not None for label in gone)
        assert len(ix) == len(held)
        if turn % 3 == 2:
            ix.wait()
        labels, _ = ix.search(x[-20:], 10)
        assert set(labels.ravel().tolist()) - {-1} <= set(held)
        if turn % 6 == 5:
            ix.validate()
    ix.wait()
    ix.validate()
    keys = np.array(list(held))
    exact = brute("L2", x[-50:], x[list(held.values())])
    labels, distances = ix.search(x[-50:], 10)
    where = {label: i for i, label in enumerate(keys.tolist())}
    found = np.array([[where[label] for label in row] for row in labels.tolist()])
    assert recall(found, exact, 10) >= (0.95 if compression is None else 0.9)
    ix.remove(keys)
    ix.wait()
    ix.validate()
    assert len(ix) == 0 and ix.search(x[:3], 5)[0].tolist() == [[-1] * 5] * 3


def test_recall_holds_after_turnover():
    n, dim = (500, 16) if SMALL else (2500, 32)
    x = clustered(6 * n, dim)
    ix = native.Index(dim, "COSINE", compression="LVQ8", training_threshold=n // 2, search_window_size=40)
    ix.add(np.arange(n), x[:n])
    ix.wait()
    for turn in range(1, 5):
        for part in range(0, n, n // 5):
            labels = np.arange(part, part + n // 5)
            ix.add(labels, x[turn * n + part:turn * n + part + n // 5])
        ix.wait()
    ix.validate()
    live, queries = x[4 * n:5 * n], x[5 * n:5 * n + 100]
    assert recall(ix.search(queries, 10)[0], brute("COSINE", queries, live), 10) >= 0.95
    stats = ix.stats()
    assert stats["n_slots"] < 3 * n, "slots are reused"


def test_a_vector_is_found_as_soon_as_it_is_added():
    x = clustered(3000, 32)
    ix = native.Index(32, "L2", search_window_size=10)
    for i in range(0, 3000, 100):
        ix.add(np.arange(i, i + 100), x[i:i + 100])
        labels, _ = ix.search(x[i + 99:i + 100], 1)
        assert labels[0, 0] == i + 99


def test_replacing_moves_the_label():
    ix = native.Index(4, "L2", search_window_size=10)
    ix.add([1, 2], np.array([[0, 0, 0, 0], [1, 1, 1, 1]]))
    ix.add([1], np.array([[5, 5, 5, 5]]))
    assert ix.search_blob(np.zeros(4, "f4").tobytes(), 5) == ([2, 1], [4.0, 100.0])
    assert ix.remove_one(2) and not ix.remove_one(2)
    assert ix.search_blob(np.zeros(4, "f4").tobytes(), 5) == ([1], [100.0])


def test_ties_come_by_label():
    ix = native.Index(2, "L2", algorithm="FLAT")
    ix.add([9, 3, 7, 5], np.zeros((4, 2)))
    assert len(ix.search_blob(np.zeros(2, "f4").tobytes(), 3)[0]) == 3
    assert ix.search_blob(np.zeros(2, "f4").tobytes(), 4)[0] == [3, 5, 7, 9]


@pytest.mark.parametrize("degree", [1, 2, 3, 32])
@pytest.mark.parametrize("dim", [1, 3])
def test_degenerate_graphs(degree, dim):
    rng = np.random.default_rng(8)
    ix = native.Index(dim, "L2", graph_max_degree=degree, construction_window_size=8, search_window_size=10)
    assert ix.search(np.zeros((1, dim)), 3)[0].tolist() == [[-1, -1, -1]]
    ix.add([5], np.ones((1, dim)))
    ix.wait()
    assert ix.search(np.zeros((1, dim)), 3)[0].tolist() == [[5, -1, -1]]
    x = rng.standard_normal((1500, dim)).astype("f4")
    ix.add(np.arange(1500), x)
    ix.wait()
    ix.validate()
    labels, distances = ix.search(x[:5], 2000)             # k beyond the number of vectors
    assert sorted(labels[0, :1500].tolist()) == list(range(1500)) and (labels[:, 1500:] == -1).all()
    assert np.isinf(distances[:, 1500:]).all()


@pytest.mark.parametrize("compression", [None, "LVQ8", "LVQ4x4"])
def test_masses_of_duplicates(compression):
    n = 600 if SMALL else 3000
    x = np.concatenate([np.ones((n, 8)), np.zeros((n, 8)), clustered(n, 8)]).astype("f4")
    ix = native.Index(8, "L2", compression=compression, training_threshold=n, construction_window_size=40, search_window_size=20)
    ix.add(np.arange(3 * n), x)
    ix.wait()
    ix.validate()
    for row in (0, n):
        labels, distances = ix.search(x[row:row + 1], 20)
        assert ((labels >= row) & (labels < row + n)).all() and np.abs(distances).max() < 1e-3
    found, _ = ix.range_search(x[0], 1e-3)
    assert len(found) >= n


@pytest.mark.parametrize(("norms", "window", "least"), [("gaussian", 100, 0.9), ("uneven", 60, 0.95)])
def test_inner_products_of_uneven_norms(norms, window, least):
    rng = np.random.default_rng(3)
    n, dim = (1500, 32) if SMALL else (4000, 48)
    x = rng.standard_normal((n, dim)).astype("f4")
    if norms == "uneven":
        x = clustered(n, dim) * np.exp(0.5 * rng.standard_normal((n, 1))).astype("f4")
    queries = rng.standard_normal((100, dim)).astype("f4") if norms == "gaussian" else clustered(100, dim, 1)
    ix = native.Index(dim, "IP", compression="LVQ8")
    ix.add(np.arange(n), x)
    ix.wait()
    ix.validate()
    assert recall(ix.search(queries, 10, window=window)[0], brute("IP", queries, x), 10) >= least


@pytest.mark.parametrize(("metric", "dtype", "threads"), [("L2", "FLOAT32", 1), ("IP", "FLOAT32", 2), ("COSINE", "FLOAT16", 2)])
def test_floats_are_linked_by_codes_while_many_wait(metric, dtype, threads):
    """As well as without, in parts, with others deleted meanwhile; nothing of the codes is left."""
    n, dim = 9000, 96
    x = clustered(n + 100, dim, 5, spread=0.6)
    if metric == "IP":
        x *= np.exp(0.3 * np.random.default_rng(1).standard_normal((len(x), 1))).astype("f4")
    queries, x = x[n:], x[:n]
    ix = native.Index(dim, metric, dtype, construction_window_size=60, search_window_size=40, threads=threads)
    ix.add(np.arange(n), x)
    ix.remove(np.arange(0, n, 3))
    most = 0
    while not ix.wait(0.005):
        most = max(most, ix.nbytes["codes"])
    ix.validate()
    live = np.setdiff1d(np.arange(n), np.arange(0, n, 3))
    found = live.searchsorted(ix.search(queries, 10)[0])
    assert recall(found, brute(metric, queries, x[live]), 10) >= (0.88 if metric == "IP" else 0.95)
    left = ix.nbytes["codes"]
    assert n * ix.vector_bytes <= left < n * ix.vector_bytes + (4 << 20) and (SMALL or most > left + n * dim)
    before = ix.nbytes
    ix.add(np.arange(n), x)
    ix.wait()
    ix.validate()
    assert ix.nbytes["codes"] <= 1.6 * before["codes"]


def test_dense_clusters_far_apart_are_linked_by_what_they_are():
    """Codes of 8 bits cannot tell those of one cluster from each other."""
    n, dim = (2500, 96) if SMALL else (7000, 96)
    rng = np.random.default_rng(2)
    centres = rng.standard_normal((3, dim))
    x = (centres[rng.integers(0, 3, n + 50)] + 0.001 * rng.standard_normal((n + 50, dim))).astype(np.float32)
    ix = native.Index(dim, "L2", construction_window_size=80, search_window_size=100)
    ix.add(np.arange(n), x[:n])
    ix.wait()
    exact = ((x[n:, None].astype(np.float64) - x[None, :n]) ** 2).sum(axis=2)
    assert recall(ix.search(x[n:], 10)[0], exact, 10) >= 0.8


def test_default_window_reaches_its_recall():
    n, dim = (2500, 32) if SMALL else (6000, 48)
    x = clustered(n + 200, dim, spread=0.5)
    ix = native.Index(dim, "COSINE", compression="LVQ4x4", training_threshold=1000, construction_window_size=100)
    ix.add(np.arange(n), x[:n])
    ix.wait()
    assert ix.stats()["is_calibrated"]
    assert recall(ix.search(x[n:], 10)[0], brute("COSINE", x[n:], x[:n]), 10) >= 0.93
    assert recall(ix.search(x[n:], 50)[0], brute("COSINE", x[n:], x[:n]), 50) >= 0.93


def test_bytes_add_up_and_go_away():
    ix = native.Index(64, "COSINE", compression="LVQ8", training_threshold=500)
    empty = sum(ix.nbytes.values())
    ix.add(np.arange(3000), clustered(3000, 64))
    ix.wait()
    parts = ix.nbytes
    assert set(parts) == set(native.PARTS) and all(v >= 0 for v in parts.values())
    assert parts["codes"] >= 3000 * 72 and parts["graph"] >= 3000 * 128 and parts["residuals"] == 0
    assert empty < 400_000
    ix.close()


def test_parameters_out_of_range():
    for wrong in ({"dim": 0}, {"dim": 40_000}, {"graph_max_degree": 0}, {"construction_window_size": 0}, {"reduce": 99}):
        with pytest.raises(native.NativeError):
            native.Index(**{"dim": 8, **wrong})
    for wrong in ({"metric": "L1"}, {"dtype": "FLOAT8"}, {"algorithm": "TREE"}):
        with pytest.raises(native.NativeError):
            native.Index(8, **wrong)
    ix = native.Index(8)
    with pytest.raises(native.NativeError):
        ix.add([1], np.zeros((1, 9)))
    with pytest.raises(native.NativeError):
        ix.add_blob(2**62, bytes(32))


def test_distances_of_labels():
    ix = native.Index(2, "L2", algorithm="FLAT")
    ix.add([1, 1 << 40], np.array([[3, 4], [6, 8]]))
    got = ix.distances(np.zeros(2, "f4").tobytes(), [1, 2, 1 << 40])
    assert got[0] == 25 and np.isnan(got[1]) and got[2] == 100 and ix.distances(b"", []) == []
