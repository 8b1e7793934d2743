"""Drift, and training again from the vectors themselves."""
import threading

import numpy as np
import pytest

import native

DIM = 96
SCALE = 1 / np.sqrt(1 + np.arange(DIM))
CODECS = ["LVQ4", "LVQ8", "LVQ4x8", "LeanVec4x8", "SQ8", "BIN", "PQ"]


def kind(n, seed=0):
    return (np.random.default_rng(seed).standard_normal((n, DIM)) * SCALE).astype("f4")


def other_kind(n, seed=1):
    return np.ascontiguousarray(0.5 + 2 * kind(n, seed)[:, ::-1])


def trained(x, metric="L2", **options):
    ix = native.Index(DIM, metric=metric, training_threshold=1024, **options)
    ix.add(np.arange(len(x)), x)
    assert ix.wait(600)
    return ix


def recall(ix, x, queries, metric="L2"):
    exact = np.argsort(((x[None] - queries[:, None]) ** 2).sum(2), axis=1)[:, :10]
    found = ix.search(queries, 10, window=200)[0]
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), exact.tolist())])


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@pytest.mark.parametrize("compression", CODECS)
def test_more_of_the_same_is_no_drift(compression, metric):
    ix = trained(kind(4000), metric, compression=compression, algorithm="FLAT")
    assert ix.stats()["trained_error"] > 0
    ix.add(np.arange(4000, 12000), kind(8000, 2))
    stats = ix.stats()
    assert 0.8 < stats["drift"] < 1.4 and stats["mean_shift"] < 0.3 and stats["n_since_training"] >= 8000


@pytest.mark.parametrize("compression", ["LeanVec4x8", "SQ8", "PQ"])
def test_another_kind_is(compression):
    options = {"reduce": 32} if compression == "LeanVec4x8" else {}
    ix = trained(kind(4000), compression=compression, algorithm="FLAT", **options)
    ix.add(np.arange(4000, 8000), other_kind(4000))
    stats = ix.stats()
    assert stats["drift"] > 1.4
    assert stats["clipped"] > 0.001 if compression == "SQ8" else stats["clipped"] == 0
    if options:
        assert stats["energy"] < stats["trained_energy"] - 0.1
    everything = np.concatenate([kind(4000), other_kind(4000)])
    ix.retrain_begin(everything[::4])
    ix.recode(np.arange(8000), everything)
    ix.retrain_end()
    ix.wait()
    ix.add(np.arange(8000, 10000),
           np.concatenate([kind(1000, 5), other_kind(1000, 6)])[np.random.default_rng(0).permutation(2000)])
    assert ix.stats()["drift"] < 1.4


def test_energy_is_what_the_projection_keeps():
    x = kind(6000)
    ix = trained(x, compression="LeanVec4x8", reduce=32, algorithm="FLAT")
    kept = (SCALE ** 2)[:32].sum() / (SCALE ** 2).sum()
    assert abs(ix.stats()["trained_energy"] - kept) < 0.05


def test_an_image_keeps_what_it_was_trained_on(tmp_path):
    ix = trained(kind(3000), compression="LeanVec4x8", reduce=32)
    ix.save(tmp_path / "i")
    again = native.Index.load(tmp_path / "i")
    for name in ("n_epochs", "n_since_training", "trained_error", "trained_energy"):
        assert again.stats()[name] == pytest.approx(ix.stats()[name], rel=1e-6)
    again.add(np.arange(3000, 7000), other_kind(4000))
    assert again.stats()["drift"] > 1.4


@pytest.mark.parametrize("algorithm", ["FLAT", "SVS-VAMANA"])
@pytest.mark.parametrize("dtype", list(native.DTYPES))
def test_from_every_type_to_codes(dtype, algorithm):
    x = np.clip(np.round(20 * kind(2000)), -90, 90)
    if dtype == "UINT8":
        x = x + 100
    ix = native.Index(DIM, metric="L2", dtype=dtype, algorithm=algorithm)
    ix.add(np.arange(2000), x)
    ix.wait()
    sample = ix._matrix(x)
    ix.retrain_begin(sample[::2], compression="LVQ8")
    ix.recode(np.arange(2000), sample)
    ix.retrain_end()
    assert ix.wait(600) and ix.compression == "LVQ8" and ix.stats()["codec"] == "LVQ8" and ix.stats()["n_epochs"] == 1
    queries = x[:50].astype("f4") + (0 if "INT" in dtype else 0.3)
    assert recall(ix, x.astype("f4"), queries) > 0.93            # many are equally far


def test_there_and_back_is_exact():
    x = kind(2000)
    ix = trained(x, compression="BIN", algorithm="FLAT")
    ix.retrain_begin(x, compression="NONE")
    ix.recode(np.arange(2000), x)
    ix.retrain_end()
    ix.wait()
    assert ix.compression is None and ix.stats()["codec"] == "FLOAT32"
    labels, distances = ix.search(x[:100], 1, window=100)[:2]
    assert (labels[:, 0] == np.arange(100)).mean() > 0.98 and distances[:, 0].max() < 1e-6


def test_what_is_not_given_comes_from_the_codes():
    x = kind(3000)
    ix = trained(x, compression="LVQ8")
    ix.retrain_begin(x[:1500], compression="LVQ4x8")
    ix.recode(np.arange(0, 3000, 2), x[::2])
    ix.recode(np.arange(5000, 5010), x[:10])    # nobody knows these
    ix.retrain_end()
    ix.wait()
    ix.validate()
    assert recall(ix, x, kind(50, 9)) > 0.95


def test_additions_and_removals_meanwhile_win():
    x, y = kind(2000), kind(2000, 8)
    ix = trained(x, compression="LVQ4")
    ix.retrain_begin(x, compression="LVQ8")
    ix.add(np.arange(1000), y[:1000])           # stored anew before their old vectors are given
    ix.remove(np.arange(1500, 1600))
    ix.recode(np.arange(2000), x)
    ix.add(np.arange(1500, 1550), y[1500:1550])
    ix.add(np.arange(2000, 2100), y[1900:])
    ix.retrain_end()
    ix.wait()
    ix.validate()
    now = np.full((2100, DIM), 50, "f4")
    now[:2000] = x
    now[:1000], now[1500:1550], now[1550:1600], now[2000:] = y[:1000], y[1500:1550], 50, y[1900:]
    assert ix.stats()["n_vectors"] == 2050 and recall(ix, now, kind(50, 9)) > 0.97


def test_giving_up_leaves_everything_as_it_was():
    x = kind(2000)
    ix = trained(x, compression="LVQ8")
    before = ix.search(x[:50], 10, window=50)
    ix.retrain_begin(x, compression="BIN")
    ix.recode(np.arange(500), x[:500])
    ix.retrain_end(True)
    assert ix.compression == "LVQ8" and ix.stats()["codec"] == "LVQ8" and ix.stats()["n_epochs"] == 1
    for a, b in zip(before, ix.search(x[:50], 10, window=50)):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(native.NativeError):
        ix.recode([1], x[:1])
    with pytest.raises(native.NativeError):
        ix.retrain_end()
    ix.retrain_begin(x, compression="LVQ4")     # closed while it is under way
    ix.recode([1], x[:1])
    with pytest.raises(native.NativeError):
        ix.retrain_begin(x)
    ix.close()


def test_searches_go_on_while_vectors_are_given():
    x = kind(6000)
    ix = trained(x, compression="LVQ8", threads=2)
    stop, found = threading.Event(), []

    def search():
        while not stop.is_set():
            found.append((ix.search(x[:20], 1, window=50)[0][:, 0] == np.arange(20)).mean())
    thread = threading.Thread(target=search)
    thread.start()
    for compression in ("LVQ4x8", "LeanVec4x8", "SQ8", "LVQ8"):
        ix.retrain_begin(x[::3], compression=compression)
        for first in range(0, 6000, 500):
            ix.recode(np.arange(first, first + 500), x[first:first + 500])
        ix.retrain_end()
        ix.wait()
    stop.set()
    thread.join()
    assert found and min(found) >= 0.9


def test_what_was_linked_by_bad_codes_is_linked_again():
    x = np.concatenate([kind(2000), other_kind(4000)])
    queries = other_kind(60, 7)
    ix = trained(kind(2000), compression="LeanVec4x8", reduce=32)
    ix.add(np.arange(2000, 6000), x[2000:])
    ix.wait()
    before = ix.stats()["n_linked"], recall(ix, x, queries)
    ix.retrain_begin(x)
    ix.recode(np.arange(6000), x)
    ix.retrain_end()
    ix.wait()
    ix.validate()
    fresh = trained(shuffled(x), compression="LeanVec4x8", reduce=32)
    assert ix.stats()["n_linked"] == before[0] and before[1] < 0.9
    assert recall(ix, x, queries) > recall(fresh, shuffled(x), queries) - 0.02


def shuffled(x):
    return x[np.random.default_rng(0).permutation(len(x))]
