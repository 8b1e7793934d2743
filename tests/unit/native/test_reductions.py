"""LeanVec's projections, what they learn from queries, and training again."""
import threading

import numpy as np
import pytest
from common import SMALL, brute, recall

import native

N, DIM = (1200 if SMALL else 3000), 64


def mismatched(seed=0):
    """Data whose strongest axes are not those that queries ask about: vectors (N, DIM), queries (1200, DIM)."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    loud = np.where(np.arange(DIM) < DIM // 2, 1.0, 0.5)        # axes of the data by strength
    asked = np.where(np.arange(DIM) < DIM // 2, 0.05, 1.0)      # and what queries have of them
    x = (rng.standard_normal((N, DIM)) * loud) @ turn
    queries = (rng.standard_normal((1200, DIM)) * asked) @ turn
    return x.astype("f4"), queries.astype("f4")


def built(x, **options):
    ix = native.Index(x.shape[1], training_threshold=len(x) // 2, **options)
    ix.add(np.arange(len(x)), x)
    ix.wait()
    return ix


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@pytest.mark.parametrize("compression", ["LeanVec4x8", "LeanVec8x8"])
@pytest.mark.parametrize("algorithm", ["FLAT", "SVS-VAMANA", "HNSW"])
@pytest.mark.parametrize("reduction", ["PCA", "OOD", "PREFIX", "RANDOM"])
def test_every_reduction_finds(reduction, algorithm, compression, metric):
    x, queries = mismatched()
    x, queries = x[:1000], x[:40] + 0.1 * queries[:40]
    ix = native.Index(DIM, metric, algorithm=algorithm, compression=compression, reduce=48,
                      reduction=reduction, training_threshold=500)
    ix.add(np.arange(400), x[:400])
    for start in range(0, 300, 50):
        ix.search(x[start:start + 50], 1)               # something to learn from
    ix.add(np.arange(400, 1000), x[400:])
    ix.wait()
    ix.validate()
    stats = ix.stats()
    assert stats["is_trained"] and stats["codec"] == compression and stats["reduction"] == reduction and stats["n_queries"] == 300
    assert recall(ix.search(queries, 10, window=100)[0], brute(metric, queries, x), 10) >= 0.85
    ix.remove(np.arange(0, 500, 2))
    ix.wait()
    ix.validate()


def test_queries_teach_the_projection():
    """First-level candidates, as a walk with a window of the results sees them, before and after learning from other queries."""
    x, queries = mismatched()
    ix = built(x, metric="IP", compression="LeanVec8x8", reduce=32, reduction="OOD", search_window_size=20)
    assert ix.stats()["reduction"] == "PCA"             # nobody has asked for anything yet
    exact = brute("IP", queries[1000:], x)
    before = recall(ix.search(queries[1000:], 10, window=20)[0], exact, 10)
    ix = built(x, metric="IP", compression="LeanVec8x8", reduce=32, reduction="OOD", search_window_size=20)
    ix.search(queries[:1000], 10)
    ix.retrain()
    ix.wait()
    ix.validate()
    assert ix.stats()["reduction"] == "OOD"
    after = recall(ix.search(queries[1000:], 10, window=20)[0], exact, 10)
    assert after > before + 0.1


def test_distances_do_not_depend_on_the_projection():
    """They come from the second level."""
    x, queries = mismatched()
    ix = built(x, metric="L2", algorithm="FLAT", compression="LeanVec4x8")
    exact = brute("L2", queries[:5], x)
    for reduction in ("PCA", "OOD", "PREFIX", "RANDOM"):
        ix.search(queries[:300], 1)
        ix.retrain(reduction=reduction)
        ix.wait()
        assert ix.stats()["reduction"] == reduction
        for i in range(5):
            got = ix.distances(queries[i].tobytes(), list(range(N)))
            assert np.abs(got - exact[i]).max() < 0.02 * exact[i].mean()


def test_retrain_changes_codecs():
    x, _ = mismatched()
    queries = x[:50] + 0.01
    for metric in ("L2", "IP", "COSINE"):
        ix = built(x, metric=metric, compression="LVQ8x8")
        for compression, options in (("LeanVec4x8", {"reduce": 40, "reduction": "PCA"}), ("LVQ8", {}), ("SQ8", {}),
                                     ("LVQ4x4", {}), ("BIN", {})):
            ix.retrain(compression=compression, **options)
            ix.wait()
            ix.validate()
            stats = ix.stats()
            assert stats["codec"] == ix.compression == compression and stats["is_trained"] and stats["training"] == "done"
            n_bytes = native.bytes_per_vector(DIM, "FLOAT32", compression, 40, metric)
            assert stats["code_bytes"] + stats["residual_bytes"] == n_bytes
            found = ix.search(queries, 10, window=100)[0]
            assert recall(found, brute(metric, queries, x), 10) >= (0.3 if compression == "BIN" else 0.8)


def test_retrain_while_everything_goes_on():
    x, queries = mismatched()
    ix = built(x[:2000 if not SMALL else 500], metric="L2", compression="LeanVec4x8", reduce=32, search_window_size=30)
    ix.search(queries, 5)                           # enough to learn from
    stop, failures = threading.Event(), []

    def ask():
        while not stop.is_set():
            labels, distances = ix.search(queries[:20], 5)
            if (labels < 0).any() or not np.isfinite(distances).all():
                failures.append(labels)

    def change():
        at = 2000 if not SMALL else 500
        while not stop.is_set():
            ix.add([at], x[at % N][None])
            ix.remove([at - 300])
            at += 1

    threads = [threading.Thread(target=f) for f in (ask, ask, change)]
    for t in threads:
        t.start()
    try:
        for reduction in ("OOD", "PCA", "RANDOM", "OOD", "PREFIX", "PCA"):
            while True:
                try:
                    ix.retrain(reduction=reduction)
                    break
                except native.NativeError as error:
                    assert "under way" in str(error)
            while ix.stats()["training"] == "running":
                pass
            assert ix.stats()["reduction"] == reduction
    finally:
        stop.set()
        for t in threads:
            t.join()
    ix.wait()
    ix.validate()
    assert not failures


def test_what_retrain_refuses():
    x, _ = mismatched()
    with pytest.raises(native.NativeError):
        built(x[:100], compression=None).retrain()
    ix = built(x[:100], compression="LVQ8")
    for wrong in ({"reduction": "PCA"}, {"reduce": 8}, {"compression": "LVQ4", "reduction": "OOD"}, {"compression": "PQ9"},
                  {"reduction": "SVD"}, {"compression": "LeanVec4x8", "reduce": DIM + 1}):
        with pytest.raises(native.NativeError):
            ix.retrain(**wrong)
    assert ix.stats()["codec"] == "LVQ8"
    with pytest.raises(native.NativeError, match="LeanVec"):
        native.Index(8, compression="LVQ8", reduction="OOD")
    with pytest.raises(native.NativeError, match="PREFIX"):
        native.Index(8, compression="LeanVec4x8", reduction="SVD")


def test_retrain_before_there_is_anything():
    x, _ = mismatched()
    ix = native.Index(DIM, compression="LVQ8", training_threshold=500)
    ix.retrain(compression="LeanVec4x8", reduction="RANDOM", reduce=32)
    ix.add(np.arange(600), x[:600])
    ix.wait()
    assert ix.stats()["codec"] == "LeanVec4x8" and ix.stats()["reduction"] == "RANDOM"


def test_recent_queries_are_counted_and_bounded():
    x, queries = mismatched()
    ix = built(x[:300], compression="LeanVec4x8", algorithm="FLAT")
    before = ix.nbytes["other"]
    ix.search(queries[:1], 1)
    first = ix.nbytes["other"]
    for _ in range(3):
        ix.search(queries, 1)
    assert ix.stats()["n_queries"] == 1024
    assert first - before >= 1024 * DIM * 2 and ix.nbytes["other"] - first < 1000
    plain = built(x[:300], compression="LVQ8", algorithm="FLAT")
    plain.search(queries, 1)
    assert plain.stats()["n_queries"] == 0


@pytest.mark.parametrize("reduction", ["PCA", "OOD", "PREFIX", "RANDOM"])
def test_images_keep_projections(tmp_path, reduction):
    x, queries = mismatched()
    ix = built(x[:1000], metric="IP", compression="LeanVec4x8", reduce=32)
    ix.search(queries[:300], 1)
    ix.retrain(reduction=reduction, reduce=40)
    ix.wait()
    ix.save(tmp_path / "image")
    again = native.Index.load(tmp_path / "image")
    assert again.stats()["reduction"] == reduction and again.stats()["is_trained"]
    for a, b in zip(ix.search(queries[:50], 10), again.search(queries[:50], 10), strict=True):
        np.testing.assert_array_equal(a, b)
    again.add([5000], x[:1])
    again.wait()
    again.validate()
