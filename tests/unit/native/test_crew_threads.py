"""Searches that several threads do together in one call."""
import threading

import numpy as np
import pytest

import native


def filled(n=3000, dim=24, **options):
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    index = native.Index(dim, compression="LVQ8", training_threshold=1000, **options)
    index.add(np.arange(n), vectors)
    index.wait()
    return index, vectors, rng


def bytes_of(queries):
    return b"".join(q.tobytes() for q in queries)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_threads_together_find_what_each_search_alone_finds(threads):
    index, _, rng = filled()
    crew = native.Crew(threads, spin_us=20)
    query = native.Query(10, window=30)
    for n in (1, 2, 7, 64, 3):
        queries = rng.normal(size=(n, 24)).astype(np.float32)
        crew.search(index, query, bytes_of(queries), n)
        for i, q in enumerate(queries):
            assert crew.result(i) == index.search_blob(q.tobytes(), 10, 30)
    crew.alert()
    crew.close()
    crew.search(index, query, bytes_of(queries), 3)         # alone
    assert crew.result(2) == index.search_blob(queries[2].tobytes(), 10, 30)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_threads_together_each_by_a_query_of_its_own(threads):
    index, _, rng = filled()
    crew = native.Crew(threads, spin_us=20)
    for n in (1, 2, 9, 40):
        vectors = rng.normal(size=(n, 24)).astype(np.float32)
        vectors[n // 2, 0] = np.nan if n == 9 else 0
        filters = [native.Allowed.of_labels(range(i, 3000, 1 + 3 * i)) if i % 3 else None for i in range(n)]
        queries = [native.Query(1 + 5 * i % 12, 30 + i, 0, allowed) for i, allowed in enumerate(filters)]
        crew.search_each(index, queries, bytes_of(vectors), is_alone=n == 2)
        for i, vector in enumerate(vectors):
            if np.isnan(vector[0]):
                with pytest.raises(native.NonFiniteError):
                    crew.result(i)
            else:
                assert crew.result(i) == index.search_blob(vector.tobytes(), 1 + 5 * i % 12, 30 + i, 0, filters[i])
    crew.close()


def test_threads_together_each_with_an_error_of_its_own():
    index, _, rng = filled()
    crew = native.Crew(2)
    queries = rng.normal(size=(5, 24)).astype(np.float32)
    queries[3, 7] = np.nan
    crew.search(index, native.Query(4), bytes_of(queries), 5)
    with pytest.raises(native.NonFiniteError):
        crew.result(3)
    assert len(crew.result(4)[0]) == 4


def test_threads_together_beside_writers_and_other_searchers():
    index, vectors, rng = filled()
    allowed = native.Allowed.of_labels(range(0, 3000, 7))
    stop = threading.Event()

    def write():
        i = 0
        while not stop.is_set():
            index.add([3000 + i % 500], vectors[i % 3000][None])
            index.remove([3000 + (i + 250) % 500])
            i += 1

    def search():
        crew = native.Crew(2, spin_us=0)
        for _ in range(100):
            crew.search(index, native.Query(8, allowed=allowed), bytes_of(vectors[:12]), 12)
            assert all(label % 7 == 0 for i in range(12) for label in crew.result(i)[0])
        crew.close()

    writer = threading.Thread(target=write)
    writer.start()
    searchers = [threading.Thread(target=search) for _ in range(2)]
    for one in searchers:
        one.start()
    for one in searchers:
        one.join()
    stop.set()
    writer.join()
    index.close()


def test_threads_do_not_outlive_a_crew_and_an_index_may_go_before_it():
    index, vectors, _ = filled(n=500)
    crew = native.Crew(3)
    for _ in range(50):
        crew.search(index, native.Query(5), bytes_of(vectors[:16]), 16)
    index.close()
    before = threading.active_count()
    crew.close()
    assert threading.active_count() == before


def test_more_threads_than_there_may_be_are_refused():
    with pytest.raises(native.NativeError):
        native.Crew(1000)
