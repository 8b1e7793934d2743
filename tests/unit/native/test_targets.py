"""The window for a recall that is asked for."""
import numpy as np
import pytest
from common import clustered
from helpers import wait_until

import native

N, DIM = 12000, 32


@pytest.fixture(scope="module")
def data():
    vectors = clustered(N + 400, DIM, seed=5)
    return vectors[:N], vectors[N:]


def recall(ix, exact, queries, window):
    found = ix.search(queries, 10, window=window)[0]
    truth = exact.search(queries, 10)[0]
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, truth)])


@pytest.mark.parametrize("compression", [None, "LVQ8", "LeanVec8x8"])
def test_windows_reach_their_targets(data, compression):
    base, queries = data
    ix = native.Index(DIM, "L2", compression=compression, training_threshold=2000, graph_max_degree=16, target_recall=0.9)
    exact = native.Index(DIM, "L2", algorithm="FLAT")
    for one in (ix, exact):
        one.add(np.arange(N), base)
        one.wait()
    stats = ix.stats()
    assert stats["is_calibrated"] and stats["target_recall"] == 0.9 and stats["window_recall"] >= 0.9
    assert stats["window"] == ix.window_for(10, 0.9)
    windows = [ix.window_for(10, target) for target in (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)]
    assert windows == sorted(windows) and windows[0] >= 10
    best = recall(ix, exact, queries, 512)
    for target in (0.8, 0.9, 0.95):
        assert recall(ix, exact, queries, ix.window_for(10, target)) >= min(target, best) - 0.02
    assert ix.window_for(100, 0.9) >= 100
    ix.remove(np.arange(0, N, 3))               # deleted vectors are in the way: still a window
    assert ix.window_for(10, 0.95) >= 10


def test_a_given_window_stays_and_targets_are_measured_when_asked_for(data):
    ix = native.Index(DIM, "L2", search_window_size=33)
    ix.add(np.arange(4000), data[0][:4000])
    ix.wait()
    assert not ix.stats()["is_calibrated"]
    assert ix.window_for(10, 0.9) >= 40         # not measured yet: wide
    ix.wait()
    wait_until(lambda: ix.stats()["window_recall"])
    assert ix.window_for(10, 0.5) <= ix.window_for(10, 0.99) and ix.stats()["window"] == 33


def test_training_measures_again(data):
    ix = native.Index(DIM, "L2", compression="LVQ4", training_threshold=2500)
    ix.add(np.arange(2400), data[0][:2400])
    ix.wait()
    before = ix.stats()["window_recall"]
    ix.add(np.arange(2400, 2500), data[0][2400:2500])
    ix.wait()
    assert ix.stats()["codec"] == "LVQ4" and ix.stats()["is_calibrated"] and before > 0


@pytest.mark.parametrize("n", [0, 1, 5, 3000])
def test_degenerate(n):
    ix = native.Index(8, "COSINE")
    ix.add(np.arange(n), np.ones((n, 8), np.float32))
    ix.wait()
    assert 10 <= ix.window_for(10, 0.95) <= 160
    assert len(ix.search(np.ones((1, 8), np.float32), 3, window=ix.window_for(3, 0.99))[0][0]) == 3


def test_targets_out_of_range():
    for target in (1.0, -0.1, float("nan")):
        with pytest.raises(native.NativeError):
            native.Index(8, "L2", target_recall=target)


def test_images_keep_the_target(tmp_path, data):
    ix = native.Index(DIM, "L2", target_recall=0.875)
    ix.add(np.arange(3000), data[0][:3000])
    ix.wait()
    ix.save(tmp_path / "a")
    again = native.Index.load(tmp_path / "a")
    assert again.stats()["target_recall"] == 0.875 and again.stats()["window"] == ix.stats()["window"]
