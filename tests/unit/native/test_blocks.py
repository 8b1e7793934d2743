"""Block kernels against single ones and numpy, and batches of searches against the same searches one by one."""
import threading

import numpy as np
import pytest
from common import SMALL, brute, clustered
from test_kernels import ISAS, extreme, run

import native
from native._vec import ffi, lib

DIMS = (1, 2, 3, 5, 7, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 129, 200, 255, 256, 257, 300, 384, 511, 520)


def run_block(isa, kernel, queries, records, dim):
    """(n queries, n records) results, or None where the machine lacks the instruction set."""
    groups = -(-len(queries) // 16)
    kind = {"8": "i4", "2": "f4", "4": "f8"}[kernel[-1]]
    out = np.full((groups, len(records), 16), 77, kind)
    code = lib.vec_run_block(isa.encode(), kernel.encode(), ffi.from_buffer(queries), queries.strides[0], len(queries),
                             ffi.from_buffer(records), records.strides[0], len(records), dim, ffi.from_buffer(out))
    assert code in (lib.VEC_OK, lib.VEC_EISA)
    return out.transpose(0, 2, 1).reshape(groups * 16, -1)[:len(queries)] if code == lib.VEC_OK else None


@pytest.mark.parametrize("isa", ISAS)
def test_integer_blocks_are_exact(isa):
    rng = np.random.default_rng(1)
    for dim in range(16, 528, 16):
        for n_queries, n in ((1, 1), (3, 7), (16, 8), (17, 64), (32, 33), (32, 64))[:3 if SMALL else None]:
            queries, records = extreme(rng, "i1", (n_queries, dim)), extreme(rng, "u1", (n, dim + 3))
            got = run_block(isa, "block_u8s8", queries, records, dim)
            if got is None:
                pytest.skip(f"no {isa} here")
            np.testing.assert_array_equal(got, queries.astype("i4") @ records[:, :dim].astype("i4").T)


@pytest.mark.parametrize("isa", ISAS)
def test_integer_blocks_at_the_ends_of_the_range(isa):
    queries, records = np.full((32, 32768), -128, "i1"), np.full((16, 32768), 255, "u1")
    if (got := run_block(isa, "block_u8s8", queries, records, 32768)) is not None:
        assert (got == -128 * 255 * 32768).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kernel", ["dot_f32", "l2_f32", "dot_f64", "l2_f64"])
def test_float_blocks_add_as_single_kernels_do(isa, kernel):
    rng = np.random.default_rng(2)
    for dim in DIMS:
        for n_queries, n in ((1, 1), (3, 7), (5, 64), (16, 32)):
            kind = "f4" if kernel.endswith("32") else "f8"
            queries, records = rng.standard_normal((n_queries, dim)).astype(kind), rng.standard_normal((n, dim)).astype(kind)
            got = run_block(isa, "block_" + kernel, queries, records, dim)
            if got is None:
                pytest.skip(f"no {isa} here")
            want = np.stack([run(isa, kernel, query, records, dim) for query in queries])
            np.testing.assert_array_equal(got, want)


def kinds():
    for dtype in native.DTYPES:
        yield dict(dtype=dtype)
    for compression in native.COMPRESSIONS:
        yield dict(compression=compression)


def name_of(kind):
    return next(iter(kind.values()))


def data(kind, n, dim, seed):
    x = clustered(n, dim, seed)
    dtype = kind.get("dtype", "FLOAT32")
    if dtype in ("INT8", "UINT8"):
        x = x / np.abs(x).max() * 127
        return (x + (127 if dtype == "UINT8" else 0)).astype("u1" if dtype == "UINT8" else "i1")
    return x


def one_by_one(ix, queries, k, **options):
    answers = [ix.search(query[None], k, **options) for query in queries]
    return np.concatenate([a for a, _ in answers]), np.concatenate([b for _, b in answers])


def same(batch, singles):
    np.testing.assert_array_equal(batch[0], singles[0])
    np.testing.assert_array_equal(batch[1], singles[1])


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@pytest.mark.parametrize("kind", list(kinds()), ids=name_of)
def test_a_batch_answers_as_its_queries_do(kind, metric):
    for n, dim in ((700, 50), (2600, 24)):
        x = data(kind, n, dim, seed=dim)
        ix = native.Index(dim, metric=metric, algorithm="FLAT", training_threshold=300, **kind)
        ix.add(np.arange(n) * 3 % n if n % 3 else np.arange(n), x)
        ix.wait()
        ix.remove(np.arange(5, n, 11))
        queries = data(kind, 41, dim, seed=7)
        some = native.Allowed.of_labels(np.arange(0, n, 2))
        few = native.Allowed.of_labels(np.arange(3, n, 17))
        for options in ({}, {"allowed": some}, {"allowed": few}, {"capacity": 50}):
            for k in (1, 10, 60):
                same(ix.search(queries, k, **options), one_by_one(ix, queries, k, **options))
        for m in (1, 2, 3, 15, 16, 17, 32, 33):
            same(ix.search(queries[:m], 5), one_by_one(ix, queries[:m], 5))


@pytest.mark.parametrize("dim", (1, 2, 15, 33, 64, 129, 200))
def test_odd_dimensions(dim):
    for kind in kinds():
        x = data(kind, 400, dim, seed=dim)
        ix = native.Index(dim, metric="L2", algorithm="FLAT", training_threshold=100, **kind)
        ix.add(np.arange(400), x)
        ix.wait()
        same(ix.search(x[:20], 7), one_by_one(ix, x[:20], 7))


def test_scans_are_exact():
    x, queries = clustered(5000, 60, 1), clustered(40, 60, 2)
    for metric in ("L2", "IP", "COSINE"):
        want = brute(metric, queries, x)
        for dtype in ("FLOAT32", "FLOAT64"):
            ix = native.Index(60, metric=metric, algorithm="FLAT", dtype=dtype)
            ix.add(np.arange(5000), x)
            for k in (1, 10, 100, 3000, 5000):
                for labels, distances in (ix.search(queries, k), one_by_one(ix, queries[:3], k)):
                    order = np.argsort(want[:len(labels)], axis=1, kind="stable")[:, :k]
                    np.testing.assert_allclose(distances, np.take_along_axis(want[:len(labels)], order, 1), atol=1e-5)
                    assert np.mean(labels == order) > 0.99


def test_equal_distances_come_in_the_order_of_their_labels():
    rng = np.random.default_rng(4)
    labels = rng.permutation(3000)
    for kind in kinds():
        x = np.repeat(data(kind, 30, 40, seed=3), 100, axis=0)
        ix = native.Index(40, metric="L2", algorithm="FLAT", training_threshold=200, **kind)
        ix.add(np.arange(200), data(kind, 200, 40, seed=8))
        ix.wait()                       # trained: equal vectors have equal codes from here on
        ix.remove(np.arange(200))
        ix.add(labels, x)
        for got, distances in (ix.search(x[::100], 70), one_by_one(ix, x[::100][:4], 70)):
            for row, (of_row, d) in enumerate(zip(got, distances, strict=True)):
                # codes of equal vectors may differ a little
                if (d == d[0]).all() and len(np.unique(x[::100], axis=0)) == 30 and "dtype" in kind:
                    np.testing.assert_array_equal(of_row, np.sort(labels[100 * row:100 * row + 100])[:70])
                assert (np.diff(of_row)[np.diff(d) == 0] > 0).all()


def test_a_graph_with_a_filter_scans_together_too():
    x, queries = clustered(3000, 32, 5), clustered(40, 32, 6)
    ix = native.Index(32, compression="LVQ8")
    ix.add(np.arange(3000), x)
    ix.wait()
    allowed = native.Allowed.of_labels(np.arange(0, 3000, 30))
    same(ix.search(queries, 10, allowed=allowed), one_by_one(ix, queries, 10, allowed=allowed))
    assert ix.stats()["last_plan"] == "filter-exact"
    before = ix.stats()["n_searches"]
    ix.search(queries, 10, allowed=allowed)
    assert ix.stats()["n_searches"] == before + 40


def test_a_bad_query_and_a_timeout_end_a_batch():
    ix = native.Index(64, algorithm="FLAT")
    ix.add(np.arange(20000), clustered(20000, 64, 1))
    queries = clustered(40, 64, 2)
    queries[20, 3] = np.nan
    with pytest.raises(native.NonFiniteError):
        ix.search(queries, 10)
    with pytest.raises(native.SearchTimeout):
        many = native.Index(512, algorithm="FLAT")
        many.add(np.arange(20000), clustered(20000, 512, 1))
        many.search(np.tile(clustered(32, 512, 2), (4, 1)), 10, timeout_us=1)
    assert ix.search(queries[:20], 10)[0].shape == (20, 10)


def test_batches_while_threads_add_and_delete():
    n, dim = (2000, 48) if SMALL else (6000, 48)
    x = clustered(n, dim, 1)
    ix = native.Index(dim, metric="L2", algorithm="FLAT", compression="LVQ8", training_threshold=n // 2)
    ix.add(np.arange(n // 2), x[:n // 2])
    kept, stop, errors = np.arange(0, n // 4), threading.Event(), []

    def churn():
        rng = np.random.default_rng(9)
        while not stop.is_set():
            some = rng.integers(n // 4, n, 50)
            ix.add(some, x[some])
            ix.remove(rng.integers(n // 4, n, 40))

    def look():
        try:
            while not stop.is_set():
                labels, distances = ix.search(x[kept[:40]], 3)
                assert (labels[:, 0] == kept[:40]).all() and (np.diff(distances, axis=1) >= 0).all()
        except AssertionError as error:
            errors.append(error)
    threads = [threading.Thread(target=f) for f in (churn, look, look)]
    for t in threads:
        t.start()
    stop.wait(1.5)
    stop.set()
    for t in threads:
        t.join()
    assert not errors
    ix.validate()


@pytest.mark.parametrize("n_together", [1, 40])
def test_scans_find_enough_while_most_is_replaced(n_together):
    """Candidates that are deleted before they are measured are made up for, and no hit has the label of another vector."""
    n, dim = (1500, 16) if SMALL else (3000, 16)
    x, labels = clustered(n, dim, 1), np.arange(n) + 1000
    ix = native.Index(dim, metric="L2", algorithm="FLAT")
    ix.add(labels, x)
    stop, errors = threading.Event(), []

    def churn():
        rng = np.random.default_rng(9)
        while not stop.is_set():
            some = rng.integers(n // 8, n, 300)
            ix.add(labels[some], x[some])
            ix.remove(labels[rng.integers(n // 8, n, 300)])

    def look():
        while not stop.is_set():
            found, distances = ix.search(x[:n_together], 150)
            if not (found >= 1000).all() or not (np.diff(distances, axis=1) >= 0).all():
                errors.append((found.min(), distances))
    threads = [threading.Thread(target=f) for f in (churn, look, look)]
    for t in threads:
        t.start()
    stop.wait(1)
    stop.set()
    for t in threads:
        t.join()
    assert not errors
