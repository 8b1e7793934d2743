"""Searches beside writes and training, and the pool."""
import select
import threading
import time

import numpy as np
import pytest
from common import SMALL, brute, clustered, recall

import native

N, DIM = (1500, 16) if SMALL else (6000, 32)
X = clustered(N, DIM)


@pytest.mark.parametrize(("algorithm", "linkers"), [("FLAT", 1), ("SVS-VAMANA", 1), ("SVS-VAMANA", 3)])
def test_threads_search_while_others_write(algorithm, linkers):
    ix = native.Index(DIM, "L2", algorithm=algorithm, compression="LVQ4x4", training_threshold=N // 3,
                      construction_window_size=50, threads=linkers)
    ix.add(np.arange(200), X[:200])
    stop, wrong = threading.Event(), []

    def search():
        rng = np.random.default_rng(threading.get_ident() % 1000)
        while not stop.is_set():
            i = int(rng.integers(0, 100))               # these stay, unchanged
            labels, distances = ix.search_blob(X[i].tobytes(), 5)
            if not labels or labels[0] != i or abs(distances[0]) > 0.05 or not np.isfinite(distances).all():
                wrong.append((i, labels, distances))
    threads = [threading.Thread(target=search) for _ in range(3)]
    for t in threads:
        t.start()
    rng = np.random.default_rng(9)
    for start in range(200, N - 100, 100):
        ix.add(np.arange(start, start + 100), X[start:start + 100])
        ix.remove(rng.integers(100, start, 60))
    ix.wait()
    stop.set()
    for t in threads:
        t.join()
    assert not wrong
    ix.validate()
    assert ix.stats()["is_trained"]


def test_threads_write_beside_each_other():
    ix = native.Index(DIM, "COSINE", compression="LVQ8", training_threshold=500, construction_window_size=50)

    def write(part):
        for i in range(part, N, 3):
            ix.add_blob(i, X[i].tobytes())
    threads = [threading.Thread(target=write, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ix.wait()
    ix.validate()
    assert len(ix) == N


def test_threads_link_as_well_as_one():
    found = []
    for linkers in (1, 4):
        ix = native.Index(DIM, "L2", compression="LVQ8", construction_window_size=50, threads=linkers)
        ix.add(np.arange(N), X)
        ix.remove(np.arange(0, N, 5))
        ix.add(np.arange(0, N, 5), X[::5])
        ix.wait()
        ix.validate()
        assert ix.stats()["n_linked"] == N
        found.append(recall(ix.search(X[:200], 10, window=20)[0], brute("L2", X[:200], X), 10))
    assert found[1] > found[0] - 0.02


def test_pool_answers_as_the_index_does():
    ix = native.Index(DIM, "L2", search_window_size=30, construction_window_size=50)
    ix.add(np.arange(N), X)
    ix.wait()
    pool = native.Pool(2)
    jobs = {pool.submit(ix, [X[i].tobytes(), X[i + 1].tobytes()], 5): i for i in range(0, 100, 2)}
    radius = ix.search_blob(X[7].tobytes(), 40)[1][-1]
    for most in (0.0, radius):
        assert pool.wait(pool.submit_range(ix, X[7].tobytes(), most)) == [ix.range_blob(X[7].tobytes(), most)]
    poller = select.poll()
    poller.register(pool.fileno(), select.POLLIN)
    got = {}
    while len(got) < len(jobs):
        assert poller.poll(120_000)
        got.update((job, found) for job, found, took_ns in pool.completed() if took_ns)
    for job, i in jobs.items():
        assert got[job] == [ix.search_blob(X[j].tobytes(), 5) for j in (i, i + 1)]
    assert pool.completed() == [] and not poller.poll(0)
    pool.close()


def test_pool_wait_errors_and_filters():
    ix = native.Index(DIM, "L2")
    ix.add(np.arange(N), X)
    pool = native.Pool(1)
    allowed = native.Allowed.of_labels([4, 5])
    first, second = pool.submit(ix, [X[0].tobytes()] * 20, 3), pool.submit(ix, [X[0].tobytes()], 3, allowed=allowed)
    assert sorted(pool.wait(second)[0][0]) == [4, 5]
    assert len(pool.wait(first)) == 20
    bad = pool.submit(ix, [np.full(DIM, np.nan, "f4").tobytes()], 3)
    with pytest.raises(native.NonFiniteError):
        pool.wait(bad)
    assert sorted(pool.wait(pool.submit_range(ix, X[0].tobytes(), 1e9, allowed=allowed))[0][0]) == [4, 5]
    with pytest.raises(native.NonFiniteError):
        pool.wait(pool.submit_range(ix, np.full(DIM, np.nan, "f4").tobytes(), 1.0))
    with pytest.raises(native.NativeError):
        pool.wait(12345)
    for _ in range(50):
        pool.submit(ix, [X[0].tobytes()], 3)
    pool.close()
    ix.close()


def test_search_on_several_threads():
    ix = native.Index(DIM, "COSINE", search_window_size=64, construction_window_size=50)
    ix.add(np.arange(N), X)
    ix.wait()
    labels, _ = ix.search(X[:100], 10, threads=2)
    assert recall(labels, brute("COSINE", X[:100], X), 10) >= 0.9


def test_an_index_can_be_closed_before_its_results_are_taken():
    pool = native.Pool(1)
    jobs = []
    for _ in range(20):
        ix = native.Index(DIM, "L2", algorithm="FLAT")
        ix.add(np.arange(N), X)
        jobs.append(pool.submit(ix, [X[3].tobytes()], 5))
        ix.close()
    done = {}
    while len(done) < len(jobs):
        assert select.select([pool.fileno()], [], [], 120)[0]
        done.update((job, found) for job, found, _ in pool.completed())
    assert all(done[job][0][0][0] == 3 for job in jobs)
    pool.close()


def test_what_is_removed_while_it_is_linked_leaves_no_trace(tmp_path):
    """After a load the places in the tail begin at 0 again, below the numbers of slots that rows are full of."""
    n = 3000
    ix = native.Index(8, "L2", compression="LVQ8")
    ix.add(np.arange(n), X[:1, :8] + np.random.default_rng(3).standard_normal((n, 8), np.float32))
    ix.wait()
    ix.save(str(tmp_path / "image"))
    ix.close()
    ix = native.Index.load(str(tmp_path / "image"))
    for i in range(300 if SMALL else 2000):
        label = np.array([n + i])
        ix.add(label, X[i % len(X), :8][None])
        until = time.perf_counter() + i % 100 * 1e-6        # so that the writer is now here, now there
        while time.perf_counter() < until:
            pass
        ix.remove(label)
    ix.wait()
    ix.validate()
    assert len(ix) == n
