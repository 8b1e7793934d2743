"""RERANK and OVERSAMPLING: candidates found by codes, scored again with the documents' own vectors."""

import numpy as np
import pytest
import redis

from helpers import wait_until

DIM, N = 32, 600
RNG = np.random.default_rng(11)
VECTORS = RNG.normal(size=(N, DIM)).astype("<f4")
QUERIES = RNG.normal(size=(10, DIM)).astype("<f4")
KIND = {"L2": lambda q: ((VECTORS.astype(float) - q) ** 2).sum(axis=1),
        "IP": lambda q: 1 - VECTORS.astype(float) @ q,
        "COSINE": lambda q: 1 - VECTORS.astype(float) @ q / np.linalg.norm(VECTORS, axis=1) / np.linalg.norm(q)}


def load(client, *words, metric="COSINE", n=N):
    extra = [str(word) for word in words]
    client.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TAG", "v", "VECTOR", "SVS-VAMANA", 6 + len(extra),
                           "TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", metric, *extra)
    pipe = client.pipeline(transaction=False)
    for i in range(n):
        pipe.hset(f"d{i}", mapping={"v": VECTORS[i].tobytes(), "t": "even" if i % 2 == 0 else "odd"})
    pipe.execute()


def knn(client, query, clause, *words):
    """[(number, distance)] of a search, in order."""
    reply = client.execute_command("FT.SEARCH", "idx", clause, "PARAMS", 2, "b", query.tobytes(), "SORTBY", "d", "RETURN", 1,
                                   "d", "LIMIT", 0, N, "DIALECT", 2, *words)
    if isinstance(reply, dict):
        return [(int(one[b"id"][1:]), float(one[b"extra_attributes"][b"d"])) for one in reply[b"results"]]
    return [(int(key[1:]), float(pairs[1])) for key, pairs in zip(reply[1::2], reply[2::2])]


def details(client):
    attribute = client.execute_command("FT.INFO", "idx")
    attribute = attribute[b"attributes"] if isinstance(attribute, dict) else attribute[attribute.index(b"attributes") + 1]
    attribute = attribute[1]
    return attribute if isinstance(attribute, dict) else dict(zip(attribute[::2], attribute[1::2]))


@pytest.mark.parametrize("metric", list(KIND))
@pytest.mark.parametrize("compression", ["LVQ4", "BIN", "LeanVec4x8"])
def test_with_everything_rescored_the_answer_is_exact(both, compression, metric):
    load(both, "COMPRESSION", compression, metric=metric)
    for query in QUERIES:
        exact = KIND[metric](query)
        for clause, among in ((f"*=>[KNN 10 @v $b RERANK {N} AS d]", np.arange(N)),
                              (f"@t:{{even}}=>[KNN 10 @v $b AS d]=>{{$RERANK: {N}}}", np.arange(0, N, 2))):
            found = knn(both, query, clause)
            assert [number for number, _ in found] == among[np.argsort(exact[among])][:10].tolist()
            distances = [exact[number] for number, _ in found]
            assert [distance for _, distance in found] == pytest.approx(distances, rel=1e-5, abs=1e-5)


def test_oversampling_is_candidates_per_result(both):
    load(both, "COMPRESSION", "LVQ4", "RERANK", "OFF")
    query = QUERIES[0]
    same = knn(both, query, "*=>[KNN 10 @v $b RERANK 50 AS d]")
    assert knn(both, query, "*=>[KNN 10 @v $b OVERSAMPLING 5 AS d]") == same
    assert knn(both, query, "*=>[KNN 10 @v $b AS d]=>{$OVERSAMPLING: 5}") == same
    exact = KIND["COSINE"](query)
    assert [distance for _, distance in same] == pytest.approx([exact[number] for number, _ in same], abs=1e-6)


def test_the_general_way_rescores_too(both):
    load(both, "COMPRESSION", "LVQ4")
    query = QUERIES[1]
    reply = both.execute_command("FT.SEARCH", "idx", "*=>[KNN 5 @v $b RERANK 600 AS d]", "PARAMS", 2, "b", query.tobytes(),
                                 "SORTBY", "d", "WITHSCORES", "NOCONTENT", "DIALECT", 2)
    keys = [one[b"id"] for one in reply[b"results"]] if isinstance(reply, dict) else reply[1::2]
    assert keys == [b"d%d" % i for i in np.argsort(KIND["COSINE"](query))[:5]]


@pytest.mark.parametrize("metric", ["L2", "COSINE"])
def test_a_range_is_exact_where_it_is_rescored(both, metric):
    load(both, "COMPRESSION", "LVQ4", metric=metric)
    for query in QUERIES:
        exact = KIND[metric](query)
        radius = float(np.sort(exact)[39] + np.sort(exact)[40]) / 2
        found = knn(both, query, f"@v:[VECTOR_RANGE {radius!r} $b]=>{{$YIELD_DISTANCE_AS: d; $RERANK: 600}}")
        near = np.argsort(exact)[:40].tolist()
        numbers = [number for number, _ in found]
        assert numbers == [number for number in near if number in numbers]          # in their true order, and none from beyond
        assert len(numbers) >= 35
        assert [distance for _, distance in found] == pytest.approx([exact[number] for number in numbers], rel=1e-5, abs=1e-5)


def test_the_index_says_what_it_does(both):
    load(both, "COMPRESSION", "LVQ4", "RERANK", 25)
    assert details(both)[b"rerank"] == 25 and details(both)[b"rerank_candidates"] == 25
    both.execute_command("FT.DROPINDEX", "idx", "DD")
    load(both, "COMPRESSION", "LVQ4", "RERANK", "off")
    assert details(both)[b"rerank"] == b"OFF" and details(both)[b"rerank_candidates"] == 0
    reply = both.execute_command("FT.PROFILE", "idx", "SEARCH", "QUERY", "*=>[KNN 10 @v $b RERANK 40]", "PARAMS", 2, "b",
                                 QUERIES[0].tobytes(), "NOCONTENT", "DIALECT", 2)
    text = repr(reply)
    assert ("'Candidates': 40, b'Rescored': 40" in text
            or "b'Candidates', 40, b'Rescored', 40, b'Places changed by rescoring'" in text)


def test_uncompressed_vectors_need_none(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TAG", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", DIM,
                         "DISTANCE_METRIC", "L2")
    both.hset("d1", mapping={"v": VECTORS[1].tobytes()})
    assert knn(both, QUERIES[0], "*=>[KNN 10 @v $b AS d]") == knn(both, QUERIES[0], "*=>[KNN 10 @v $b RERANK 100 AS d]")


def test_auto_measures_how_many_it_takes(both):
    """BIN is coarse: it takes many candidates, and with them finds nearly all of the true nearest."""
    many = np.random.default_rng(3).normal(size=(1500, DIM)).astype("<f4")
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TAG", "v", "VECTOR", "SVS-VAMANA", 10, "TYPE", "FLOAT32", "DIM", DIM,
                         "DISTANCE_METRIC", "L2", "COMPRESSION", "BIN", "TRAINING_THRESHOLD", 1024)
    pipe = both.pipeline(transaction=False)
    for i, vector in enumerate(many):
        pipe.hset(f"d{i}", mapping={"v": vector.tobytes()})
    pipe.execute()
    wait_until(lambda: details(both)[b"rerank_measured"] and details(both)[b"effective_compression"] == b"BIN")
    assert details(both)[b"rerank"] == b"AUTO" and details(both)[b"rerank_candidates"] > 20
    right = 0
    for query in QUERIES:
        exact = ((many.astype(float) - query) ** 2).sum(axis=1)
        right += len(set(np.argsort(exact)[:10].tolist()) & {number for number, _ in knn(both, query, "*=>[KNN 10 @v $b AS d]")})
    assert right >= 90


@pytest.mark.parametrize("clause, text", [
    ("*=>[KNN 10 @v $b RERANK 0]", "RERANK must be AUTO, OFF or a number of candidates from 1 to 1000000"),
    ("*=>[KNN 10 @v $b RERANK -3]", "RERANK must be AUTO, OFF"),
    ("*=>[KNN 10 @v $b RERANK maybe]", "RERANK must be AUTO, OFF"),
    ("*=>[KNN 10 @v $b RERANK 99999999999999999999]", "RERANK must be AUTO, OFF"),
    ("*=>[KNN 10 @v $b OVERSAMPLING 0.5]", "OVERSAMPLING must be a number from 1 to 1000"),
    ("*=>[KNN 10 @v $b OVERSAMPLING x]", "OVERSAMPLING must be a number from 1 to 1000"),
    ("*=>[KNN 10 @v $b OVERSAMPLING 2 RERANK 20]", "exclude each other"),
    ("*=>[KNN 10 @v $b RERANK 20 RERANK 30]", "twice"),
    ("*=>[KNN 10 @v $b RERANK TRUE]", "Invalid option"),
])
def test_bad_values_say_what_is_allowed(both, clause, text):
    load(both, "COMPRESSION", "LVQ4", n=5)
    with pytest.raises(redis.ResponseError, match=text):
        both.execute_command("FT.SEARCH", "idx", clause, "PARAMS", 2, "b", QUERIES[0].tobytes(), "DIALECT", 2)


@pytest.mark.parametrize("value", ["0", "-1", "most", "1000001", "1.5"])
def test_bad_values_at_creation(both, value):
    with pytest.raises(redis.ResponseError, match="RERANK must be AUTO, OFF or a number of candidates from 1 to 1000000"):
        load(both, "COMPRESSION", "LVQ4", "RERANK", value, n=0)
