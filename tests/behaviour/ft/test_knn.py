"""KNN and range searches: every algorithm, exactness, recall, attributes."""
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import redis

sys.path.insert(0, str(Path(__file__).parent))

from samples import create, distances, fill, info, knn, search, tag_of, text, vectors  # noqa: E402

EXACT = [("FLAT", "FLOAT32", "L2"), ("FLAT", "FLOAT64", "COSINE"), ("FLAT", "FLOAT16", "IP"), ("FLAT", "INT8", "L2"),
         ("FLAT", "UINT8", "COSINE"),
         ("HNSW", "FLOAT32", "COSINE"), ("SVS-VAMANA", "FLOAT32", "IP"), ("SVS-VAMANA", "FLOAT16", "L2")]
COMPRESSED = ["LVQ8", "LVQ4x4"]


@pytest.mark.parametrize("algorithm, dtype, metric", EXACT, ids=["-".join(case) for case in EXACT])
def test_small_sets_are_exact(both, algorithm, dtype, metric):
    base = vectors(200, 8, dtype)
    create(both, algorithm=algorithm, dtype=dtype, metric=metric)
    fill(both, base)
    for query in vectors(5, 8, dtype, seed=7):
        found = knn(both, query, 10)
        truth = distances(base, query, metric)
        assert [distance for _, distance in found] == pytest.approx(sorted(truth)[:10], rel=2e-3, abs=2e-3)
        for key, distance in found:
            assert distance == pytest.approx(truth[int(key[2:])], rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("compression", COMPRESSED)
def test_recall_of_compressed_indexes(r3, compression):
    base = vectors(3000, 64)
    create(r3, algorithm="SVS-VAMANA", dim=64, options=["COMPRESSION", compression, "TRAINING_THRESHOLD", 1024])
    fill(r3, base)
    hits = 0
    queries = vectors(50, 64, seed=8)
    for query in queries:
        truth = set(np.argsort(distances(base, query, "COSINE"))[:10].tolist())
        hits += len(truth & {int(key[2:]) for key, _ in knn(r3, query)})
    assert hits / (10 * len(queries)) >= 0.9
    assert info(r3)["num_docs"] == 3000


@pytest.mark.parametrize("algorithm, options",
                         [("FLAT", []), ("HNSW", []), ("SVS-VAMANA", []), ("SVS-VAMANA", ["COMPRESSION", "LVQ8"])],
                         ids=["flat", "hnsw", "svs", "svs-lvq8"])
def test_every_document_is_found_right_after_its_hset(r2, algorithm, options):
    base = vectors(1500, 16)
    create(r2, algorithm=algorithm, dim=16, metric="L2", options=options)
    for i, row in enumerate(base):
        r2.hset(f"d:{i}", mapping={"tag": tag_of(i), "num": i, "v": row.tobytes()})
        if i % 7 == 0 or i > 1400:
            assert knn(r2, row, 1)[0][0] == f"d:{i}"
    moved = base[5] + 100
    r2.hset("d:5", "v", moved.tobytes())
    assert knn(r2, moved, 1)[0][0] == "d:5"
    r2.delete("d:5")
    assert knn(r2, moved, 1)[0][0] != "d:5"


FILTERS = {
    "@tag:{red}": lambda i: tag_of(i) == "red",
    "@tag:{rare}": lambda i: tag_of(i) == "rare",
    "@tag:{red | green}": lambda i: tag_of(i) in ("red", "green"),
    "@tag:{gr*}": lambda i: tag_of(i) == "green",
    "@num:[100 200]": lambda i: 100 <= i <= 200,
    "@num:[(100 (200]": lambda i: 100 < i < 200,
    "@num:[-inf 10]": lambda i: i <= 10,
    "@num:[700 +inf]": lambda i: i >= 700,
    "@num==42": lambda i: i == 42,
    "@tag:{red} @num:[0 300]": lambda i: tag_of(i) == "red" and i <= 300,
    "@tag:{red} | @num:[0 300]": lambda i: tag_of(i) == "red" or i <= 300,
    "-@tag:{red}": lambda i: tag_of(i) != "red",
    "@num:[0 300] -@tag:{red}": lambda i: i <= 300 and tag_of(i) != "red",
    "~@tag:{red} @num:[5 60]": lambda i: 5 <= i <= 60,
    "@tag:{nosuch}": lambda i: False,
}


@pytest.fixture(params=["FLAT", "HNSW", "SVS-VAMANA"])
def filled(request, both):
    base = vectors(800, 8)
    create(both, algorithm=request.param, metric="L2")
    fill(both, base)
    return both, base


def test_filters_are_exact(filled):
    client, base = filled
    query = vectors(1, 8, seed=9)[0]
    truth = distances(base, query, "L2")
    for filter, accepts in FILTERS.items():
        allowed = [i for i in range(len(base)) if accepts(i)]
        for policy in ("", "HYBRID_POLICY ADHOC_BF", "HYBRID_POLICY BATCHES"):
            found = knn(client, query, 10, f"({filter})", attributes=policy)
            assert [distance for _, distance in found] == pytest.approx(sorted(truth[allowed])[:10], rel=1e-4), (filter, policy)
            assert all(accepts(int(key[2:])) for key, _ in found)
        total, rows = search(client, filter, "LIMIT", 0, 1000, "NOCONTENT")
        assert total == len(allowed) and {int(key[2:]) for key, _ in rows} == set(allowed), filter


def test_batches_are_counted(filled):
    client, base = filled
    query = vectors(1, 8, seed=9)[0]
    order = np.argsort(distances(base, query, "L2"))
    for k, size in ((3, 3), (5, 50), (10, 1000), (10, 7)):
        place = 1 + [n for n, i in enumerate(order) if i <= 200][k - 1]         # of the k-th match among all
        reply = client.execute_command("FT.PROFILE", "idx", "SEARCH", "QUERY",
                                       f"@num:[0 200]=>[KNN {k} @v $b HYBRID_POLICY BATCHES BATCH_SIZE {size}]",
                                       "PARAMS", 2, "b", query.tobytes(), "DIALECT", 2)
        text = repr(reply)
        assert "HYBRID_BATCHES" in text
        number = int(re.search(r"Batches number'?,?:? (\d+)", text).group(1))
        assert abs(number - -(-place // size)) <= (1 if size < 50 else 0)
        assert int(re.search(r"Largest batch size'?,?:? (\d+)", text).group(1)) == size


def test_ranges(filled):
    client, base = filled
    query = base[3]
    truth = distances(base, query, "L2")
    for radius in (0, 0.5, 2, 1000):
        total, rows = search(client, "@v:[VECTOR_RANGE $r $b]=>{$YIELD_DISTANCE_AS: d}", "PARAMS", 4, "r", radius, "b",
                             query.tobytes(),
                             "SORTBY", "d", "RETURN", 1, "d", "LIMIT", 0, 1000)
        near = np.flatnonzero(truth <= radius + 1e-9)
        assert {int(key[2:]) for key, _ in rows} == set(near.tolist()) and total == len(near)
        assert [float(fields["d"]) for _, fields in rows] == pytest.approx(sorted(truth[near]), rel=1e-4, abs=1e-5)
    total, rows = search(client, "@v:[VECTOR_RANGE 1000 $b] @num:[0 9] | @tag:{rare}", "PARAMS", 2, "b", query.tobytes(),
                         "NOCONTENT", "LIMIT", 0, 1000)
    assert {int(key[2:]) for key, _ in rows} == set(range(10)) | {i for i in range(800) if tag_of(i) == "rare"}


def test_parameters_everywhere(filled):
    client, base = filled
    query = base[3]
    for _ in range(3):
        total, rows = search(client, "(@num:[$lo $hi] @tag:{$t})=>[KNN $k @v $b AS $as]", "PARAMS", 12, "lo", 0, "hi", 50, "t",
                             "red", "k", 4,
                             "b", query.tobytes(), "as", "dd", "SORTBY", "dd", "RETURN", 2, "num", "dd")
        assert total == 4 and list(rows[0][1]) == ["dd", "num"]
    assert search(client, "*=>[KNN 0 @v $b]", "PARAMS", 2, "b", query.tobytes()) == (0, [])


def test_prepared_searches_tell_their_parameters_apart(r2):
    base = vectors(60, 8)
    create(r2, metric="L2")
    fill(r2, base)
    for i in (1, 2, 3, 1):
        assert knn(r2, base[i], 1) == [(f"d:{i}", 0.0)]
    r2.hset("d:7", "num", 1000)
    for tag, expected in (("red", 0), ("green", 1), ("red", 0)):
        rows = search(r2, "@tag:{$t}=>[KNN 100 @v $b]", "PARAMS", 4, "b", base[0].tobytes(), "t", tag, "NOCONTENT", "LIMIT", 0,
                      100)[1]
        assert {int(key[2:]) % 3 for key, _ in rows if int(key[2:])} == {expected}
    many = "@num:[900 2000]=>[KNN 5 @v $b]", "PARAMS", 2, "b", base[0].tobytes(), "NOCONTENT"
    assert [key for key, _ in search(r2, *many)[1]] == ["d:7"]
    r2.hset("d:8", "num", 1001)
    assert {key for key, _ in search(r2, *many)[1]} == {"d:7", "d:8"}


@pytest.mark.parametrize("attributes, error", [
    ("EF_RUNTIME 20", "SEARCH_OPTION_INVALID"), ("EPSILON 0.1", "SEARCH_RANGE_ATTR_NON_RANGE"),
    ("BATCH_SIZE 10", "SEARCH_HYBRID_ATTR_NON_HYBRID"),
    ("HYBRID_POLICY ADHOC_BF", "SEARCH_HYBRID_ATTR_NON_HYBRID"), ("SEARCH_WINDOW_SIZE 0", "SEARCH_VALUE_BAD"),
    ("SEARCH_WINDOW_SIZE 5 SEARCH_WINDOW_SIZE 6", "SEARCH_PARAM_DUP"), ("USE_SEARCH_HISTORY DEFAULT", "SEARCH_VALUE_BAD")])
def test_attributes_are_checked(r3, attributes, error):
    create(r3, algorithm="SVS-VAMANA")
    fill(r3, vectors(20, 8))
    with pytest.raises(redis.ResponseError, match=error):
        knn(r3, vectors(1, 8)[0], 3, attributes=attributes)


def test_svs_attributes_are_taken(r3):
    base = vectors(300, 8)
    create(r3, algorithm="SVS-VAMANA", metric="L2")
    fill(r3, base)
    for attributes in ("SEARCH_WINDOW_SIZE 50", "SEARCH_WINDOW_SIZE 0x20 SEARCH_BUFFER_CAPACITY 64 USE_SEARCH_HISTORY AUTO",
                       "SEARCH_WINDOW_SIZE 20 SEARCH_BUFFER_CAPACITY 5"):
        assert knn(r3, base[9], 3, attributes=attributes)[0] == ("d:9", 0.0)


def test_bad_query_blobs(both):
    create(both)
    for query in ("*=>[KNN 3 @v $b]", "@v:[VECTOR_RANGE 1 $b]"):
        assert search(both, query, "PARAMS", 2, "b", b"12345") == (0, [])      # no vector yet: Redis looks at nothing then
    assert search(both, "*=>[KNN 3 @v $b AS d]", "PARAMS", 2, "b", b"", "SORTBY", "d", "WITHSORTKEYS") == (0, [])
    both.hset("d:0", "num", 1)
    assert search(both, "@num:[0 2]=>[KNN 3 @v $b AS d]", "PARAMS", 2, "b", b"", "SORTBY", "d") == (0, [])
    assert search(both, "@v:[VECTOR_RANGE 3 $b]=>{$YIELD_DISTANCE_AS: d} | @num:[0 2]", "PARAMS", 2, "b", b"", "SORTBY", "d",
                  "NOCONTENT") == (1, [("d:0", {})])
    fill(both, vectors(3, 8))
    for query in ("*=>[KNN 3 @v $b]", "@v:[VECTOR_RANGE 1 $b]"):
        for _ in range(2):
            with pytest.raises(redis.ResponseError,
                               match=r"query vector blob size \(5\) does not match index's expected size \(32\)"):
                search(both, query, "PARAMS", 2, "b", b"12345")


def test_without_sortby_rows_come_in_indexing_order(both):
    base = vectors(50, 8)
    create(both, metric="L2")
    fill(both, base)
    query = "*=>[KNN 5 @v $b]", "PARAMS", 2, "b", base[30].tobytes()
    keys = [key for key, _ in search(both, *query)[1]]
    assert keys == sorted(keys, key=lambda key: int(key[2:])) and "d:30" in keys
    both.hset(keys[0], "num", 5)            # indexed anew: now the last
    assert [key for key, _ in search(both, *query)[1]] == keys[1:] + keys[:1]


def test_ties_follow_the_direction(both):
    same = np.ones(8, dtype=np.float32)
    create(both, metric="L2")
    fill(both, np.stack([same] * 6))
    query = "*=>[KNN 6 @v $b AS dist]", "PARAMS", 2, "b", same.tobytes(), "NOCONTENT", "SORTBY", "dist"
    ascending = [f"d:{i}" for i in range(6)]
    assert [key for key, _ in search(both, *query)[1]] == ascending
    assert [key for key, _ in search(both, *query, "DESC")[1]] == ascending[::-1]
    assert [key for key, _ in search(both, *query, "LIMIT", 2, 2)[1]] == ascending[2:4]
    assert search(both, *query, "LIMIT", 0, 0) == (6, [])


def test_search_mode_is_told(r2):
    create(r2, algorithm="SVS-VAMANA")

    def mode():
        reply = r2.execute_command("_FT.DEBUG", "VECSIM_INFO", "idx", "v")
        return text(dict(zip(reply[::2], reply[1::2]))[b"LAST_SEARCH_MODE"])

    base = vectors(100, 8)
    fill(r2, base)
    assert mode() == "EMPTY_MODE"
    knn(r2, base[0])
    assert mode() == "STANDARD_KNN"
    knn(r2, base[0], 3, "@num:[0 50]", attributes="HYBRID_POLICY ADHOC_BF")
    assert mode() == "HYBRID_ADHOC_BF"
    search(r2, "@v:[VECTOR_RANGE 1 $b]", "PARAMS", 2, "b", base[0].tobytes())
    assert mode() == "RANGE_QUERY"


def test_the_same_search_with_changing_parameters(both):
    """Every mixture of new and known values, and of parameters that the query does not use, gives the same as a literal query."""
    base = vectors(400, 8)
    create(both, algorithm="SVS-VAMANA", metric="L2")
    fill(both, base)
    for round_ in range(3):
        for high in (50, 200, 50, 399):
            for i in (3, 40):
                parts = ("PARAMS", 8, "hi", high, "b", base[i].tobytes(), "unused", round_, "w", 30, "SORTBY", "d",
                         "RETURN", 2, "num", "d")
                found = search(both, "@num:[0 $hi]=>[KNN 5 @v $b AS d]", *parts)
                literal = search(both, f"@num:[0 {high}]=>[KNN 5 @v $b AS d]", "PARAMS", 2, "b", base[i].tobytes(), "SORTBY", "d",
                                 "RETURN", 2, "num", "d")
                assert found == literal and found[0] == 5
        both.hset("d:399", "v", (base[3] + round_ / 100).tobytes())
    with pytest.raises(redis.ResponseError, match="SEARCH_NUMERIC_VALUE_INVALID"):
        search(both, "@num:[0 $hi]=>[KNN 5 @v $b AS d]", "PARAMS", 8, "hi", "x", "b", base[0].tobytes(), "unused", 1, "w", 30,
               "SORTBY", "d", "RETURN", 2, "num", "d")


@pytest.mark.parametrize("filter_text, options, expected", [
    ("boat", [], {"d:1", "d:2"}),
    ("boat", ["INFIELDS", 1, "title"], {"d:1"}),
    ("%bota%", ["INFIELDS", 1, "body"], {"d:2"}),
    ("boats", ["VERBATIM"], set()),
    ("häuser", ["LANGUAGE", "german"], {"d:3"})],
    ids=["any-field", "infields", "fuzzy-infields", "verbatim", "language"])
def test_words_of_a_filter_follow_the_options_of_the_query(r2, filter_text, options, expected):
    r2.execute_command("FT.CREATE", "i", "LANGUAGE_FIELD", "lang", "SCHEMA", "title", "TEXT", "body", "TEXT",
                       "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", 2, "DISTANCE_METRIC", "L2")
    texts = {"d:1": ("boat", "x"), "d:2": ("x", "boat"), "d:3": ("haus", "x")}
    for i, (key, (title, body)) in enumerate(texts.items()):
        r2.hset(key, mapping={"title": title, "body": body, "v": np.float32([i, 1]).tobytes(),
                              "lang": "german" if key == "d:3" else "english"})
    for vector in ([0, 0], [5, 5]):                 # the second goes the short way that the first has prepared
        reply = r2.execute_command("FT.SEARCH", "i", f"({filter_text})=>[KNN 3 @v $q]", *options, "SORTBY", "__v_score",
                                   "NOCONTENT", "PARAMS", 2, "q", np.float32(vector).tobytes(), "DIALECT", 2)
        assert {key.decode() if isinstance(key, bytes) else key for key in reply[1:]} == expected
