"""Each codec with each metric and algorithm: recall and error of distances against brute force."""
import numpy as np
import pytest
from common import SMALL, brute, clustered, recall

import native

N, DIM = (600, 48) if SMALL else (3000, 72)
X, QUERIES = clustered(N + 100, DIM)[:N], clustered(N + 100, DIM)[N:]
# Bounds: recall@10 at window 128, and the error of distances relative to the mean distance.
BOUNDS = {"LVQ4": (0.75, 0.15), "LVQ8": (0.93, 0.01), "LVQ4x4": (0.93, 0.01), "LVQ4x8": (0.95, 0.001), "LVQ8x8": (0.95, 0.0002),
          "LeanVec4x8": (0.85, 0.01), "LeanVec8x8": (0.85, 0.01), "SQ8": (0.95, 0.1), "BIN": (0.55, 0.5),
          "PQ": (0.6, 0.4)}
RAW = {"FLOAT32": 1e-5, "FLOAT64": 1e-12, "FLOAT16": 2e-3, "BFLOAT16": 2e-2, "INT8": 1e-9, "UINT8": 1e-9}


def typed(x, dtype):
    """Floats as the type would hold them."""
    if dtype == "INT8":
        return np.clip(np.round(x * 200), -128, 127).astype("i1")
    if dtype == "UINT8":
        return np.clip(np.round(x * 200 + 128), 0, 255).astype("u1")
    return x


def check(ix, x, queries, least, error):
    ix.wait()
    ix.validate()
    exact = brute(ix.metric, queries, x)
    labels, distances = ix.search(queries, 10, window=128)
    assert (labels >= 0).all() and (np.diff(distances, axis=1) >= 0).all()
    assert recall(labels, exact, 10) >= least
    truth = np.take_along_axis(exact, labels, 1)
    assert np.abs(distances - truth).max() <= error * np.abs(exact).mean() + 1e-12
    again = ix.distances(ix._matrix(queries)[0].tobytes(), labels[0].tolist())
    np.testing.assert_allclose(again, distances[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("algorithm", ["FLAT", "SVS-VAMANA"])
@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@pytest.mark.parametrize("compression", list(native.COMPRESSIONS))
def test_compression_recall_and_error(compression, metric, algorithm):
    ix = native.Index(DIM, metric, algorithm=algorithm, compression=compression, training_threshold=N // 2)
    ix.add(np.arange(N), X)
    least, error = BOUNDS[compression]
    check(ix, X, QUERIES, least - (0.1 if metric == "IP" and algorithm != "FLAT" else 0), error)
    assert ix.stats()["codec"] == compression and ix.stats()["is_trained"]


@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW"])
@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@pytest.mark.parametrize("dtype", list(RAW))
def test_raw_recall_and_error(dtype, metric, algorithm):
    x, queries = typed(X, dtype), typed(QUERIES, dtype)
    ix = native.Index(DIM, metric, dtype, algorithm)
    ix.add(np.arange(N), x)
    check(ix, x, queries, (0.99 if RAW[dtype] < 1e-3 else 0.9) if algorithm == "FLAT" else 0.85, RAW[dtype])


@pytest.mark.parametrize("dtype", ["FLOAT64", "FLOAT16", "BFLOAT16", "INT8", "UINT8"])
def test_compression_of_every_type(dtype):
    x, queries = typed(X, dtype), typed(QUERIES, dtype)
    ix = native.Index(DIM, "COSINE", dtype, compression="LVQ8", training_threshold=N // 2)
    ix.add(np.arange(N), x)
    check(ix, x, queries, 0.9, 0.02)


@pytest.mark.parametrize("dim", [1, 3, 4, 5, 130])
def test_product_codes_are_those_of_the_nearest_centroids(dim):
    """Four dimensions take a byte; where each group has a centroid for every value, nothing is lost."""
    x = np.random.default_rng(3).normal(size=(40, dim)).astype("f4")
    many = np.tile(x, (30, 1))
    ix = native.Index(dim, "L2", algorithm="FLAT", compression="PQ", training_threshold=1000)
    ix.add(np.arange(len(many)), many)
    ix.wait()
    assert ix.stats()["codec"] == "PQ" and ix.stats()["code_bytes"] - (dim + 3) // 4 < 16
    exact = brute("L2", x[:20], many)
    measured = [ix.distances(query.tobytes(), range(len(many))) for query in x[:20]]
    np.testing.assert_allclose(measured, exact, rtol=1e-4, atol=1e-4 * exact.mean())


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
def test_bits_give_estimates_within_their_bound(metric):
    """BIN's distances are estimates: unbiased, off by less than RaBitQ's bound for nearly all pairs, and the ten nearest are
    nearly always among the hundred that seem nearest."""
    dim = 200
    x, queries = clustered(N + 100, dim, 2)[:N], clustered(N + 100, dim, 2)[N:]
    ix = native.Index(dim, metric, algorithm="FLAT", compression="BIN", training_threshold=N // 2)
    ix.add(np.arange(N), x)
    ix.wait()
    exact = brute(metric, queries, x)
    labels, distances = ix.search(queries, N)
    error = distances - np.take_along_axis(exact, labels, 1)
    assert abs(error.mean()) < 0.02
    scale = (2 if metric == "L2" else 1) * 1.9 * np.sqrt(1 / 0.8**2 - 1) / np.sqrt(dim - 1)
    if metric == "COSINE":
        x, queries = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, queries))
    sizes = np.linalg.norm(x - x.mean(0),
                           axis=1)[labels] * np.linalg.norm(queries - (x.mean(0) if metric == "L2" else 0), axis=1)[:, None]
    assert (np.abs(error) <= scale * sizes).mean() > 0.93
    true = np.argsort(exact, axis=1)[:, :10]
    assert np.mean([len(set(a[:100].tolist()) & set(b.tolist())) / 10 for a, b in zip(labels, true, strict=True)]) > 0.97


def test_one_range_for_all_survives_outliers():
    """SQ8 cuts off what few elements have, rather than spread 256 values over it."""
    x = X.copy()
    x[7, 3] = 40
    ix = native.Index(DIM, "L2", algorithm="FLAT", compression="SQ8", training_threshold=N // 2)
    ix.add(np.arange(N), x)
    ix.wait()
    assert recall(ix.search(QUERIES, 10)[0], brute("L2", QUERIES, x), 10) > 0.95


def test_before_training_nothing_is_worse():
    ix = native.Index(DIM, "L2", compression="LVQ4", training_threshold=N + 1)
    ix.add(np.arange(N), X)
    check(ix, X, QUERIES, 0.95, 0.0002)
    assert not ix.stats()["is_trained"] and ix.stats()["training"] == "idle" and ix.stats()["codec"] == "LVQ8x8"
    ix.add([N], X[:1])
    ix.wait()
    assert ix.stats()["is_trained"] and ix.stats()["training"] == "done" and ix.stats()["codec"] == "LVQ4"


@pytest.mark.parametrize("dtype", ["INT8", "UINT8"])
def test_integers_are_exact(dtype):
    rng = np.random.default_rng(6)
    info = np.iinfo(native.DTYPES[dtype][1])
    x = rng.integers(info.min, info.max, (50, 1000), endpoint=True).astype(native.DTYPES[dtype][1])
    x[0], x[1] = info.min, info.max
    ix = native.Index(1000, "L2", dtype, "FLAT")
    ix.add(np.arange(50), x)
    labels, distances = ix.search(x[:2], 50)
    wide = x.astype("i8")
    for i in range(2):
        assert distances[i].tolist() == ((wide[labels[i]] - wide[i]) ** 2).sum(1).astype(float).tolist()


@pytest.mark.parametrize("compression", [None, *native.COMPRESSIONS])
@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
def test_zero_vectors_have_defined_distances(metric, compression):
    ix = native.Index(8, metric, compression=compression, algorithm="FLAT", training_threshold=4)
    x = np.eye(8, dtype="f4")
    x[3] = 0
    ix.add(np.arange(8), x)
    ix.wait()
    for query in (x[0], x[3]):
        _, distances = ix.search(query, 8)
        assert np.isfinite(distances).all()
    zero = ix.distances(x[3].tobytes(), list(range(8)))
    if metric != "L2":
        np.testing.assert_allclose(zero, 1, atol=1e-6)


def test_huge_and_tiny_values():
    for scale in (1e-30, 1e15):
        for compression in (None, "LVQ8"):
            ix = native.Index(16, "COSINE", compression=compression, algorithm="FLAT")
            x = (clustered(100, 16) * scale).astype("f4")
            ix.add(np.arange(100), x)
            labels, distances = ix.search(x[:10], 1)
            assert labels[:, 0].tolist() == list(range(10)) and np.abs(distances).max() < 1e-4
    ix = native.Index(16, "COSINE", "FLOAT64", "FLAT")
    x = clustered(100, 16).astype("f8") * 1e200
    ix.add(np.arange(100), x)
    assert ix.search(x[:10], 1)[0][:, 0].tolist() == list(range(10))


@pytest.mark.parametrize(("dtype", "kind", "scale"), [("FLOAT32", "f4", 1e18), ("FLOAT64", "f8", 1e18), ("FLOAT64", "f8", 1e152)])
@pytest.mark.parametrize("algorithm", ["FLAT", "SVS-VAMANA"])
def test_long_vectors_keep_their_length(dtype, kind, scale, algorithm):
    ix = native.Index(16, "L2", dtype, algorithm)
    x = clustered(100, 16).astype("f8") * scale
    x[50:] *= 1e3                                               # whose squares are too much for the type
    x = x.astype(kind)
    ix.add(np.arange(100), x)
    ix.wait()
    labels, distances = ix.search(x[:1], 100, window=100)
    with np.errstate(over="ignore"):
        exact = np.square(x[0].astype("f8") - x[labels[0]]).sum(1)
    is_float = exact < np.finfo(kind).max
    np.testing.assert_allclose(distances[0][is_float], exact[is_float], rtol=1e-5)
    assert len(set(labels[0].tolist())) == 100 and is_float.sum() >= 50 and np.isinf(distances[0][~is_float]).all()


@pytest.mark.parametrize("dtype", ["FLOAT32", "FLOAT64", "FLOAT16", "BFLOAT16"])
@pytest.mark.parametrize("compression", [None, "LVQ8"])
def test_nan_and_infinity_are_refused(dtype, compression):
    ix = native.Index(5, dtype=dtype, compression=compression)
    for bad in (np.nan, np.inf, -np.inf):
        x = np.ones((1, 5))
        x[0, 4] = bad
        blob = ix._matrix(x).tobytes()
        with pytest.raises(native.NonFiniteError):
            ix.add_blob(0, blob)
        with pytest.raises(native.NonFiniteError):
            ix.search_blob(blob, 1)
        with pytest.raises(native.NonFiniteError):
            ix.range_blob(blob, 1)
    assert len(ix) == 0


def test_an_unknown_compression_names_the_known():
    with pytest.raises(native.NativeError, match="LVQ4x4"):
        native.Index(4, compression="PQ99")


def test_bytes_per_vector():
    """The sizes that the design promises: codes, constants and no more than 15 bytes of padding per level."""
    for compression, (primary, residual) in {"LVQ4": (200, 0), "LVQ8": (392, 0), "LVQ4x4": (200, 192), "LVQ4x8": (200, 384),
                                                "SQ8": (384, 0), "BIN": (56, 0)}.items():
        ix = native.Index(384, "COSINE", compression=compression, algorithm="FLAT", training_threshold=1)
        ix.add([0], np.ones((1, 384)))
        ix.wait()
        stats = ix.stats()
        assert primary <= stats["code_bytes"] < primary + 16 and stats["residual_bytes"] == residual
        assert native.bytes_per_vector(384, "FLOAT32", compression) == stats["code_bytes"] + stats["residual_bytes"]
    assert native.bytes_per_vector(384) == 1536
    assert native.bytes_per_vector(384, "FLOAT32", "LeanVec4x8", 128) < native.bytes_per_vector(384, "FLOAT32", "LeanVec4x8")
    with pytest.raises(native.NativeError):
        native.bytes_per_vector(384, "FLOAT32", "PQ99")


@pytest.mark.parametrize("metric", ["L2", "COSINE"])
@pytest.mark.parametrize("algorithm", ["FLAT", "SVS-VAMANA"])
@pytest.mark.parametrize(("dim", "reduce", "n"),
                         [(2, 1, 300), (4, 2, 300), (8, 3, 1500), (8, 4, 5000), (48, 20, 3000), (100, 10, 900)])
def test_leanvec_of_few_dimensions(dim, reduce, n, algorithm, metric):
    x = np.random.default_rng(dim).standard_normal((n, dim)).astype("f4")
    ix = native.Index(dim, metric, algorithm=algorithm, compression="LeanVec4x8", reduce=reduce, training_threshold=n // 2)
    ix.add(np.arange(n), x)
    ix.wait()
    assert ix.stats()["codec"] == "LeanVec4x8"
    least = 0.8                                             # Gaussian: nothing can be left out without loss
    assert recall(ix.search(x[:100] + 0.01, 10, window=64)[0], brute(metric, x[:100] + 0.01, x), 10) >= least
