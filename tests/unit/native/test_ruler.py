"""Exact distances to vectors outside an index: those of an uncompressed index, for every type and metric."""
import numpy as np
import pytest

import native

RNG = np.random.default_rng(5)


def as_type(x, dtype):
    if dtype == "BFLOAT16":
        return (x.astype("<f4").view("<u4") >> 16).astype("<u2")
    if dtype in ("INT8", "UINT8"):
        return np.clip(np.rint(np.abs(x) * 30 if dtype == "UINT8"
                               else x * 30), 0 if dtype == "UINT8" else -127, 127).astype(native.DTYPES[dtype][1])
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


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@pytest.mark.parametrize("dtype", ["FLOAT32", "FLOAT16", "INT8"])
def test_candidates_are_rescored_as_measured_one_by_one(metric, dtype):
    vectors, queries = as_type(RNG.normal(size=(60, 19)), dtype), as_type(RNG.normal(size=(5, 19)), dtype)
    candidates = np.stack([RNG.permutation(60)[:12] for _ in queries])
    candidates[1, 3:] = -1
    ruler = native.Ruler(19, metric, dtype)
    labels, distances = ruler.rescore(queries, vectors, candidates, 5)
    for query, rows, found, measured in zip(queries, candidates, labels, distances):
        rows = rows[rows >= 0]
        by_one = ruler.distances(query.tobytes(), vectors[rows].tobytes(), len(rows))
        order = np.argsort(by_one, kind="stable")[:5]
        n = len(order)
        assert found[:n].tolist() == rows[order].tolist() and measured[:n].tolist() == np.array(by_one)[order].tolist()
        assert (found[n:] == -1).all() and np.isinf(measured[n:]).all()


def test_rescoring_leaves_out_what_is_not_finite_and_refuses_what_does_not_fit():
    ruler, vectors = native.Ruler(4, "IP"), np.ones((3, 4), "<f4")
    vectors[1, 2], vectors[2] = np.nan, 3e38        # the third is finite, its product is not
    labels, distances = ruler.rescore(np.ones((1, 4), "<f4"), vectors, [[0, 1, 2, -1]], 6)
    assert labels.tolist() == [[2, 0, -1, -1, -1, -1]] and distances[0, 1] == -3 and np.isinf(distances[0, 2:]).all()
    for queries, rows in ((np.ones((1, 5), "<f4"), [[0]]), (np.ones((1, 4)), [[0]]), (np.ones((1, 4), "<f4"), [[3]]),
                          (np.ones((1, 4), "<f4"), [[-2]]), (np.ones((2, 4), "<f4"), [[0]])):
        with pytest.raises(ValueError):
            ruler.rescore(queries, vectors, rows, 1)
    with pytest.raises(native.NonFiniteError):
        ruler.rescore(np.full((1, 4), np.inf, "<f4"), vectors, [[0]], 1)


def first_and_slack(estimates, exact, k, slack):
    """How many of the candidates are to be measured, one by one, by what native/src/rescore.h says; and the scale."""
    first = max(k + 8, 24)
    off = estimates[:first] - exact[:first]
    scale, n = np.abs(off - off.mean()).mean(), min(first, len(exact))
    while n < len(exact) and estimates[n] <= np.sort(exact[:n])[k - 1] + slack * scale:
        n += 1
    return n, scale


@pytest.mark.parametrize("metric", ["L2", "COSINE"])
@pytest.mark.parametrize("k", [1, 10, 40])
@pytest.mark.parametrize("slack", [0.0, 1.5, 4.0, np.inf])
def test_rescoring_ends_where_no_estimate_is_near_enough(metric, k, slack):
    vectors, queries = RNG.normal(size=(150, 24)).astype("<f4"), RNG.normal(size=(4, 24)).astype("<f4")
    ruler = native.Ruler(24, metric)
    exact = np.array([ruler.distances(query.tobytes(), vectors.tobytes(), 150) for query in queries])
    noisy = exact + RNG.normal(size=exact.shape) * 0.2 * exact.std()
    candidates = np.argsort(noisy, axis=1)
    estimates, exact = np.take_along_axis(noisy, candidates, 1), np.take_along_axis(exact, candidates, 1)
    labels, distances = ruler.rescore(queries, vectors, candidates, k, estimates, slack)
    n_in_all = 0
    for rows, by_code, true, found, away in zip(candidates, estimates, exact, labels, distances):
        least, scale = first_and_slack(by_code, true, k, slack)
        served = [native.rescore_reach(native.as_doubles(by_code.tolist()), true[:n].tolist(), 150, k, slack) for n in (0, 100)]
        assert served[0] == (150 if slack == np.inf else max(k + 8, 24))
        limit = np.sort(true[:100])[k - 1] + slack * scale
        assert served[1] == (150 if slack == np.inf else max(100, np.count_nonzero(by_code <= limit)))
        n_in_all += least
        nearest = np.argsort(true[:least], kind="stable")[:k]
        assert (away <= true[nearest]).all() and set(away) <= set(true)     # a few more are measured than one by one
        if slack == np.inf:
            assert (found == rows[nearest]).all() and (away == true[nearest]).all()
    assert n_in_all <= ruler.n_measured <= n_in_all + 8 * len(queries)
    assert slack < np.inf or ruler.n_measured == exact.size


def test_rescoring_counts_estimates_where_there_is_no_vector():
    ruler, nothing = native.Ruler(4, "L2"), [np.nan] * 24
    ascending = native.as_doubles([float(i) for i in range(50)])
    assert native.rescore_reach(ascending, nothing, 50, 3, 1.0) == 24      # the errors are none: nothing comes near the third
    assert native.rescore_reach(ascending, nothing, 24, 3, 1.0) == 24
    none, infinite = np.full((1, 30), -1), np.full((1, 30), np.inf)
    labels, distances = ruler.rescore(np.zeros((1, 4), "<f4"), np.ones((2, 4), "<f4"), none, 3, infinite, 1.0)
    assert labels.tolist() == [[-1] * 3] and np.isinf(distances).all()
    with pytest.raises(ValueError, match="estimates"):
        ruler.rescore(np.zeros((1, 4), "<f4"), np.ones((2, 4), "<f4"), np.zeros((1, 3)), 3, np.zeros((1, 2)))
