"""Every codec with every metric and type against brute force, and the bounds that each codec's distances keep."""
import numpy as np
import pytest
from common import SMALL, brute, clustered, recall

import native

N, DIM = (300, 40) if SMALL else (700, 40)
DATA = clustered(N + 40, DIM, 11)
LEAST = {"LVQ4": 0.7, "BIN": 0.32, "PQ": 0.4, "LVQ8": 0.93, "SQ8": 0.9, "LVQ4x4": 0.93, "LVQ4x8": 0.97, "LVQ8x8": 0.97,
         "LeanVec4x8": 0.9, "LeanVec8x8": 0.9}
MOST_ERROR = {"LVQ4": 0.15, "BIN": 0.6, "PQ": 0.6, "LVQ8": 0.01, "SQ8": 0.06, "LVQ4x4": 0.01, "LVQ4x8": 0.002, "LVQ8x8": 0.002,
              "LeanVec4x8": 0.01, "LeanVec8x8": 0.01}


def typed(x, dtype):
    """Floats as the type holds them, and the same as doubles."""
    if dtype in ("INT8", "UINT8"):
        low, high = (-128, 127) if dtype == "INT8" else (0, 255)
        held = np.clip(np.round(x * 200 + (low + high) / 4), low, high)
        return held.astype("i1" if dtype == "INT8" else "u1"), held
    if dtype == "BFLOAT16":
        held = (x.astype("f4").view("u4") & 0xFFFF0000).view("f4")
        return held, held.astype("f8")
    held = x.astype(native.DTYPES[dtype][1])
    return held, held.astype("f8")


@pytest.mark.parametrize("dtype", list(native.DTYPES))
@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@pytest.mark.parametrize("compression", list(native.COMPRESSIONS))
def test_every_codec_metric_and_type(compression, metric, dtype):
    given, held = typed(DATA, dtype)
    x, queries = given[:N], given[N:]
    exact = brute(metric, held[N:], held[:N])
    for algorithm in ("FLAT", "HNSW", "SVS-VAMANA"):
        ix = native.Index(DIM, metric, dtype, algorithm, compression=compression, training_threshold=N // 2)
        ix.add(np.arange(N), x)
        ix.wait()
        ix.validate()
        stats = ix.stats()
        assert stats["is_trained"] and stats["codec"] == compression
        assert stats["code_bytes"] + stats["residual_bytes"] == native.bytes_per_vector(DIM, dtype, compression, metric=metric)
        labels, distances = ix.search(queries, 10, window=64)
        assert (labels >= 0).all() and np.isfinite(distances).all() and (np.diff(distances, axis=1) >= 0).all()
        assert recall(labels, exact, 10) >= LEAST[compression] - (0.1 if metric == "IP" and algorithm != "FLAT" else 0)
        error = np.abs(distances - np.take_along_axis(exact, labels, 1)).max()
        scale = np.abs(exact).mean() + (np.linalg.norm(held[N:], axis=1).mean() ** 2 if metric != "COSINE" else 1)
        assert error <= MOST_ERROR[compression] * scale
        ix.close()


def steps(y, levels):
    return (y.max(1) - y.min(1)) / levels


def bound_lvq(metric, queries, x, mean, per_element):
    """|d' - d| for codes that are off by at most per_element (n,) in each of d elements, a query of two 7-bit digits, and
    constants scaled by g with |g - 1| <= 2 |e| / |y|:

        y' = y + e, |e| <= sqrt(d) per_element;  |y - g y'| <= |e| + |g - 1| |y'| <= |e| (3 + 2 |e| / |y|)
        query: |q - q'| <= sqrt(d) max |q| / (2 * 16256)
        |<q, y> - <q', g y'>| <= |q| |y - g y'| + |q - q'| (|y| + |y - g y'|)

    Twice that for L2; float32 constants add 1e-6 of all."""
    d = x.shape[1]
    q = queries - mean if metric == "L2" else queries
    y = x - mean
    e = np.sqrt(d) * per_element
    size = np.linalg.norm(y, axis=1)
    off = e * (3 + 2 * e / np.maximum(size, 1e-9))
    query_off = np.sqrt(d) * np.abs(q).max(1) / (2 * 16256)
    bound = np.linalg.norm(q, axis=1)[:, None] * off[None] + query_off[:, None] * (size + off)[None]
    rounding = 1e-6 * (np.linalg.norm(q, axis=1)[:, None] + size[None] + np.linalg.norm(x, axis=1)[None]) ** 2
    return (2 if metric == "L2" else 1) * bound + rounding


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@pytest.mark.parametrize("compression", ["LVQ8", "LVQ4x4", "LVQ4x8", "LVQ8x8", "LeanVec4x8", "LeanVec8x8", "SQ8"])
def test_distances_keep_their_bound(compression, metric):
    """LVQ-B1: half a step, (max - min) / (2^B1 - 1) / 2; LVQ-B1xB2: at most step / 2^B2, for the residual's uppermost code is
    missing; SQ8: half of the one step. The mean is that of all vectors, decoded from 16-bit codes."""
    n, dim = 400, 64
    x, queries = clustered(n + 50, dim, 3)[:n].astype("f8"), clustered(n + 50, dim, 3)[n:].astype("f8")
    if compression == "SQ8":                        # nothing to cut off
        x = np.random.default_rng(0).uniform(-1, 1, (n, dim)).astype("f4").astype("f8")
    if metric == "COSINE":
        x, queries = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, queries))
    ix = native.Index(dim, metric, algorithm="FLAT", compression=compression, training_threshold=n)
    ix.add(np.arange(n), x.astype("f4"))
    ix.wait()
    mean = x.mean(0)
    y = x - mean
    per_element = {"LVQ8": steps(y, 255) / 2, "LVQ4x4": steps(y, 15) / 16, "LVQ4x8": steps(y, 15) / 256,
                   "LVQ8x8": steps(y, 255) / 256, "LeanVec4x8": steps(y, 255) / 2, "LeanVec8x8": steps(y, 255) / 2,
                   "SQ8": np.full(n, (y.max() - y.min()) / 255 / 2 * 1.001)}[compression] + 1e-7
    labels, distances = ix.search(queries.astype("f4"), n)
    exact = brute(metric, queries.astype("f4"), x)
    error = np.abs(distances - np.take_along_axis(exact, labels, 1))
    bound = np.take_along_axis(bound_lvq(metric, queries, x, mean, per_element), labels, 1)
    # SQ8 under L2 stores 2 <y, y'> - |y|^2: 2 <q - y, e> instead of 2 <q, e>.
    if compression == "SQ8" and metric == "L2":
        sizes = np.linalg.norm(queries[:, None] - x[None], axis=2)
        bound = np.maximum(bound, np.take_along_axis(2 * sizes * np.sqrt(dim) * per_element, labels, 1) * 1.01)
    assert (error <= bound).all()
    assert error.mean() <= 0.3 * bound.mean()       # and it says something


@pytest.mark.parametrize("compression", ["LVQ8", "LVQ4x4", "LVQ4x8", "LVQ8x8", "SQ8", "LeanVec4x8"])
@pytest.mark.parametrize("metric", ["L2", "IP"])
def test_integers_given_as_floats_lose_nothing(metric, compression):
    rng = np.random.default_rng(1)
    x = np.clip(np.abs(rng.standard_normal((500, 64))) * 60, 0, 180).round().astype("f4")
    x[:, 5] = np.arange(500) % 200                  # few values far from the mean
    queries = x[:20] + rng.integers(-3, 4, (20, 64))
    ix = native.Index(64, metric, algorithm="FLAT", compression=compression, training_threshold=250)
    ix.add(np.arange(500), x)
    ix.wait()
    assert ix.stats()["is_trained"]
    labels, distances = ix.search(queries, 10)
    exact = np.take_along_axis(brute(metric, queries, x), labels, 1)
    # What remains is the query's 15 bits and the float norm.
    assert np.abs(distances - exact).max() <= (2e-4 if compression in ("LVQ8", "SQ8", "LeanVec4x8")
                                               else 5e-3) * np.abs(brute(metric, queries, x)).mean()
    if metric == "L2":
        assert recall(labels, brute(metric, queries, x), 10) >= 0.99


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@pytest.mark.parametrize("compression", [None, *native.COMPRESSIONS])
@pytest.mark.parametrize(("dtype", "scale"), [("FLOAT32", 1e38), ("FLOAT32", 1e-38), ("FLOAT32", 1e-44), ("FLOAT64", 1e300),
                                              ("FLOAT64", 1e-300), ("BFLOAT16", 1e38), ("FLOAT16", 6e4), ("FLOAT16", 1e-7)])
def test_extreme_sizes_never_give_nan(dtype, scale, compression, metric):
    x = np.sign(DATA[:100, :16]) * np.minimum(np.abs(DATA[:100, :16].astype("f8")), 1) * scale
    x[7] = 0
    x = x.astype("f8" if dtype == "FLOAT64" else "f2" if dtype == "FLOAT16" else "f4")
    for algorithm in ("FLAT", "SVS-VAMANA"):
        ix = native.Index(16, metric, dtype, algorithm, compression=compression, training_threshold=50)
        ix.add(np.arange(100), x)
        ix.wait()
        for query in (x[0], x[7], x[1] / 4):
            labels, distances = ix.search(query, 100, window=100)
            assert not np.isnan(distances).any() and len(set(labels[0].tolist())) == 100
            assert not np.isnan(ix.distances(ix._matrix(query)[0].tobytes(), list(range(100)))).any()
        if metric == "COSINE" and compression not in ("BIN", "LVQ4", "PQ") and scale > 1e-40 and dtype != "FLOAT16":
            assert (ix.search(x[:7], 1, window=50)[0][:, 0] == np.arange(7)).mean() > 0.8
        ix.close()
