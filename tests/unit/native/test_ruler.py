"""Exact distances to vectors outside an index: those of an uncompressed index, for every type and metric."""
import numpy as np
import pytest

import native

RNG = np.random.default_rng(5)


def as_type(x, dtype):
    if dtype == "BFLOAT16":
        return (x.astype("<f4").view("<u4") >> 16).astype("<u2")
    if dtype in ("INT8", "UINT8"):
        return np.clip(np.rint(np.abs(x) * 30 if dtype == "UINT8" else x * 30), 0 if dtype == "UINT8" else -127, 127).astype(native.DTYPES[dtype][1])
    return x.astype(native.DTYPES[dtype][1])


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@pytest.mark.parametrize("dtype", list(native.DTYPES))
@pytest.mark.parametrize("dim", [1, 7, 64, 131])
def test_a_ruler_gives_the_distances_of_an_uncompressed_index(metric, dtype, dim):
    vectors = as_type(RNG.normal(size=(50, dim)), dtype)
    query = as_type(RNG.normal(size=dim), dtype)
    ruler = native.Ruler(dim, metric, dtype)
    measured = ruler.distances(query.tobytes(), vectors.tobytes(), 50)
    index = native.Index(dim, metric=metric, dtype=dtype, algorithm="FLAT")
    for label, vector in enumerate(vectors):
        index.add_blob(label, vector.tobytes())
    stored = index.distances(query.tobytes(), range(50))
    if metric == "COSINE" and dtype in ("FLOAT16", "BFLOAT16"):     # the index rounds once more when it normalises
        assert np.allclose(measured, stored, atol=0.02)
    else:
        assert measured == stored


def test_it_says_which_vector_is_not_finite_and_refuses_such_a_query():
    ruler = native.Ruler(4, "L2")
    vectors = np.ones((3, 4), "<f4")
    vectors[1, 2] = np.inf
    measured = ruler.distances(np.zeros(4, "<f4").tobytes(), vectors.tobytes(), 3)
    assert measured[0] == measured[2] == 4 and np.isnan(measured[1])
    with pytest.raises(native.NonFiniteError):
        ruler.distances(np.full(4, np.nan, "<f4").tobytes(), vectors.tobytes(), 3)


def test_zero_vectors_have_a_distance():
    assert native.Ruler(3, "COSINE").distances(bytes(12), bytes(12), 1) == [1.0]
