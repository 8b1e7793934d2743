"""Numbers far beyond what an index holds: they neither fail nor take time or memory."""
import sys
from pathlib import Path

import numpy as np
import pytest
import redis

sys.path.insert(0, str(Path(__file__).parent))

from samples import create, distances, fill, knn, search, vectors  # noqa: E402

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
        total, rows = search(r2, "*=>[KNN 1000 @v $b AS d]", "PARAMS", 2, "b", query.tobytes(), *words, "LIMIT", offset, count,
                             "NOCONTENT")
        assert total == 1000 and [int(key[2:]) for key, _ in rows] == expected[offset:offset + count].tolist()
