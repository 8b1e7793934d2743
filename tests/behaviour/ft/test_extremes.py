"""Numbers far beyond what an index holds: they neither fail nor take time or memory."""
import sys
from pathlib import Path

import numpy as np
import pytest
import redis

sys.path.insert(0, str(Path(__file__).parent))

from samples import create, distances, fill, knn, results, search, vectors  # noqa: E402

N = 1500


@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW", "SVS-VAMANA"])
@pytest.mark.parametrize("filter", ["*", "@num:[0 1400]"])
def test_k_beyond_all_vectors(both, algorithm, filter):
    create(both, algorithm=algorithm)
    fill(both, vectors(N, 8))
    matches = N if filter == "*" else 1401
    for k in (N, 1 << 20, 1 << 32, (1 << 33) + 7, 1 << 58):
        total, rows = search(both, f"{filter}=>[KNN {k} @v $b]", "PARAMS", 2, "b", bytes(31) + b"\x40", "NOCONTENT")
        assert total == matches and len(rows) == 10
    with pytest.raises(redis.ResponseError, match="too large"):
        search(both, f"{filter}=>[KNN {(1 << 58) + 1} @v $b]", "PARAMS", 2, "b", bytes(32))


@pytest.mark.parametrize("filter", ["*", "@num:[0 1400]", "@tag:{rare}"])
@pytest.mark.parametrize("compression", [[], ["COMPRESSION", "LVQ8"]], ids=["plain", "lvq8"])
def test_windows_beyond_all_vectors(r2, filter, compression):
    base = vectors(N, 8)
    create(r2, algorithm="SVS-VAMANA", options=compression)
    fill(r2, base)
    wanted = [key for key, _ in knn(r2, base[9], 10, filter)]
    for width in ((1 << 31) + 1, (1 << 32) - 1, 1 << 32, (1 << 63) - 1):
        for attributes in (f"SEARCH_WINDOW_SIZE {width}", f"SEARCH_BUFFER_CAPACITY {width}"):
            assert [key for key, _ in knn(r2, base[9], 10, filter, attributes=attributes)] == wanted
    create(r2, name="hnsw", algorithm="HNSW")
    assert [key for key, _ in knn(r2, base[9], 10, filter, index="hnsw", attributes=f"EF_RUNTIME {(1 << 32) - 1}")]


@pytest.mark.parametrize("words, order", [(["SORTBY", "d"], "distance"), (["SORTBY", "d", "DESC"], "reverse"), ([], "doc id")])
def test_order_and_page_of_many_results(r2, words, order):
    base = vectors(N, 8)
    create(r2, metric="L2")
    fill(r2, base)
    query = base[3] + np.float32(0.01)
    truth = np.argsort(distances(base, query, "L2"), kind="stable")[:1000]
    expected = {"distance": truth, "reverse": truth[::-1], "doc id": np.sort(truth)}[order]
    for offset, count in ((0, 1000), (0, 10), (990, 20), (1000, 5)):
        total, rows = search(r2, "*=>[KNN 1000 @v $b AS d]", "PARAMS", 2, "b", query.tobytes(), *words, "LIMIT", offset,
                             count, "NOCONTENT")
        assert total == 1000 and [int(key[2:]) for key, _ in rows] == expected[offset:offset + count].tolist()


@pytest.mark.parametrize("query",
                         ["@nope:[0 1]", "@nope:{a}", "@v:{a}", "@tag:[0 1]", "@num:{a}", "@num:[0 1] @tag:[0 1] -@num:{a}"])
def test_dialect_1_finds_nothing_in_fields_of_another_kind(both, query):
    create(both)
    fill(both, vectors(10, 8))
    assert results(both.execute_command("FT.SEARCH", "idx", query, "DIALECT", 1)) == (0, [])


def test_a_long_filter_ends_with_its_time(r3):
    create(r3)
    fill(r3, vectors(300, 8))
    clauses = "|".join(f"@num:[0 {500 + i}]" for i in range(20_000))
    for query in (clauses, f"({clauses})=>[KNN 3 @v $b]"):
        words = ("FT.SEARCH", "idx", query, "PARAMS", 2, "b", bytes(32), "NOCONTENT", "DIALECT", 2, "TIMEOUT")
        assert r3.execute_command(*words, 1)[b"warning"] == [b"Timeout limit was reached"]
        assert r3.execute_command(*words, 0)[b"total_results"] == (300 if query is clauses else 3)
