"""FT.HYBRID end to end, over both protocols."""
import math

import numpy as np
import pytest
import redis

TEXTS = ["red shoes", "red running shoes", "running gear and many different shoes", "blue shoes", "green hat"]
POINTS = [(0, 0), (1, 0), (0, 1), (1, 1), (9, 9)]


def text(value):
    return value.decode() if isinstance(value, bytes) else [text(one) for one in value] if isinstance(value, list) else value


def blob(*numbers):
    return np.array(numbers, np.float32).tobytes()


def reply(client, *words, vector=(0.0, 0.2), index="idx", **params):
    """(total, rows as dicts, warnings)"""
    params = {"b": blob(*vector), **params}
    given = [word for pair in params.items() for word in pair]
    found = client.execute_command("FT.HYBRID", index, *words, "PARAMS", len(given), *given)
    if isinstance(found, list):
        assert list(map(text, found[::2])) == ["total_results", "results", "warnings", "execution_time"]
        found = dict(zip(map(text, found[::2]), found[1::2]))
        found["results"] = [dict(zip(row[::2], row[1::2])) for row in found["results"]]
    found = {text(name): value for name, value in found.items()}
    assert float(found["execution_time"]) > 0
    rows = [{text(name): text(value) if text(name) != "v" else value for name, value in row.items()} for row in found["results"]]
    return found["total_results"], rows, text(found["warnings"])


def rows(client, *words, **more):
    return reply(client, *words, **more)[1]


def keys(client, *words, **more):
    return [row["__key"] for row in rows(client, *words, **more)]


def refusal(client, *words, **more):
    with pytest.raises(redis.ResponseError) as caught:
        reply(client, *words, **more)
    return str(caught.value).partition(" ")[2]


@pytest.fixture
def shop(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "g", "TAG", "n", "NUMERIC", "SORTABLE", "v", "VECTOR",
                         "FLAT", 6,
                         "TYPE", "FLOAT32", "DIM", 2, "DISTANCE_METRIC", "L2")
    for i, (words, point) in enumerate(zip(TEXTS, POINTS)):
        both.hset(f"d{i}", mapping={"t": words, "g": f"g{i % 2}", "n": i, "v": blob(*point)})
    return both


SEARCH = ("SEARCH", "red", "VSIM", "@v", "$b")


def test_ranks_are_combined(shop):
    total, found, warnings = reply(shop, *SEARCH)
    assert total == 5 and warnings == []
    # by words d0, d1; by the vector d0, d2, d1, d3, d4
    expected = {"d0": 1 / 61 + 1 / 61, "d1": 1 / 62 + 1 / 63, "d2": 1 / 62, "d3": 1 / 64, "d4": 1 / 65}
    assert [row["__key"] for row in found] == list(expected)
    assert [float(row["__score"]) for row in found] == pytest.approx(list(expected.values()))
    assert reply(shop, 2, *SEARCH, "COMBINE", "RRF", 2, "CONSTANT", 60)[:2] == (total, found)
    assert [float(row["__score"]) for row in rows(shop, *SEARCH, "COMBINE", "RRF", 4, "CONSTANT", 1, "WINDOW",
                                                  2)] == pytest.approx(
        [1, 1 / 3, 1 / 3])


def test_scores_are_combined(shop):
    words = ("SEARCH", "red", "YIELD_SCORE_AS", "s", "VSIM", "@v", "$b", "KNN", 2, "K", 3, "YIELD_SCORE_AS", "d", "COMBINE",
             "LINEAR", 4, "ALPHA", "0.25", "BETA", "0.75", "YIELD_SCORE_AS", "f")
    found = rows(shop, *words)
    assert [row["__key"] for row in found] == ["d0", "d1", "d2"]
    for row, point in zip(found, (POINTS[0], POINTS[1], POINTS[2])):
        distance = point[0] ** 2 + (point[1] - 0.2) ** 2
        assert float(row["d"]) == pytest.approx(1 / (1 + distance), rel=1e-5)
        assert float(row["f"]) == pytest.approx(0.25 * float(row.get("s", 0)) + 0.75 * float(row["d"]))
    assert "s" not in found[2] and "__score" not in found[0]
    assert rows(shop, *words[:-2], "YIELD_SCORE_AS", "other")[0]["other"] == found[0]["f"]


@pytest.mark.parametrize("metric", ["COSINE", "IP"])
def test_better_matches_have_higher_scores(both, metric):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "v", "VECTOR", "SVS-VAMANA", 6, "TYPE", "FLOAT32", "DIM", 2,
                         "DISTANCE_METRIC", metric)
    for i in range(5):
        both.hset(f"d{i}", mapping={"t": "x", "v": blob(math.cos(i / 2), math.sin(i / 2))})
    found = rows(both, "SEARCH", "nothing", "VSIM", "@v", "$b", "YIELD_SCORE_AS", "s", "COMBINE", "LINEAR", 0, vector=(1, 0))
    assert [row["__key"] for row in found] == [f"d{i}" for i in range(5)]
    assert [float(row["s"]) for row in found] == pytest.approx([(1 + math.cos(i / 2)) / 2 for i in range(5)], abs=1e-6)
    words = ("SEARCH", "nothing", "VSIM", "@v", "$b", "KNN", 4, "K", 2, "SEARCH_WINDOW_SIZE", 30)
    assert keys(both, *words, vector=(1, 0)) == ["d0", "d1"]


def test_ranges_and_filters(shop):
    around = ("SEARCH", "nothing", "VSIM", "@v", "$b", "RANGE", 2, "RADIUS", "1.1")
    assert keys(shop, *around) == ["d0", "d2", "d1"]
    assert keys(shop, *around, "FILTER", "@g:{g1}") == ["d1"]
    assert keys(shop, *around, "FILTER", 1, "@n:[1 2]") == ["d2", "d1"]
    nearest = ("SEARCH", "nothing", "VSIM", "@v", "$b", "KNN", 2, "K", 2)
    for how in (("FILTER", "@n:[3 4]"), ("FILTER", 3, "@n:[3 4]", "POLICY", "ADHOC"),
                ("FILTER", 5, "@n:[$low 4]", "POLICY", "BATCHES", "BATCH_SIZE", 1)):
        assert keys(shop, *nearest, *how, low=3) == ["d3", "d4"]
    assert keys(shop, *nearest, "FILTER", "*") == ["d0", "d2"]


def test_steps_after_it(shop):
    assert [sorted(row) for row in rows(shop, *SEARCH, "LOAD", 2, "@t", "@n", "LIMIT", 0, 1)] == [["n", "t"]]
    assert rows(shop, *SEARCH, "LOAD", 3, "@__key", "AS", "k", "LIMIT", 0, 1) == [{"k": "d0"}]
    assert sorted(rows(shop, *SEARCH, "LOAD", "*", "LIMIT", 0, 1)[0]) == ["g", "n", "t", "v"]
    total, found, _ = reply(shop, *SEARCH, "LOAD", 2, "@__key", "@n", "APPLY", "@n * 2", "AS", "m", "FILTER", "@m > 2",
                            "SORTBY", 2,
                            "@m", "DESC", "LIMIT", 1, 2)
    assert total == 3 and [row["__key"] for row in found] == ["d3", "d2"]
    assert keys(shop, *SEARCH, "SORTBY", 2, "@__key", "DESC") == ["d4", "d3", "d2", "d1", "d0"]
    assert keys(shop, *SEARCH, "SORTBY", 1, "@n", "LIMIT", 3, 5) == ["d3", "d4"]
    assert sorted(keys(shop, *SEARCH, "NOSORT")) == ["d0", "d1", "d2", "d3", "d4"]
    assert reply(shop, *SEARCH, "LIMIT", 0, 0)[:2] == (5, [])
    total, found, _ = reply(shop, *SEARCH, "LOAD", 2, "@g", "@n", "GROUPBY", 1, "@g", "REDUCE", "SUM", 1, "@n", "AS", "s",
                            "SORTBY", 2, "@s", "DESC")
    assert (total, found) == (2, [{"g": "g0", "s": "6"}, {"g": "g1", "s": "4"}])
    found = rows(shop, *SEARCH, "APPLY", "matched_terms()", "AS", "m")
    assert [row["m"] for row in found] == [["red"], ["red"], None, None, None]


def test_ten_rows_unless_told_otherwise(shop):
    for i in range(5, 40):
        shop.hset(f"d{i}", mapping={"t": f"red number {i}", "v": blob(i, i)})
    total, found, _ = reply(shop, *SEARCH)
    assert total > 20 and len(found) == 10
    assert len(rows(shop, *SEARCH, "COMBINE", "RRF", 2, "WINDOW", 40, "LIMIT", 0, 100)) == 40
    assert len(rows(shop, *SEARCH, "COMBINE", "RRF", 2, "WINDOW", 40, "LOAD", 1, "@t", "GROUPBY", 1, "@t", "LIMIT", 0, 100)) == 40


def test_tags_do_not_count(shop):
    found = rows(shop, "SEARCH", "@g:{g1} | red", "YIELD_SCORE_AS", "s", "VSIM", "@v", "$b")
    assert {row["__key"]: float(row["s"]) for row in found if "s" in row}["d3"] == 0


def test_explanations(shop):
    row, = rows(shop, *SEARCH, "EXPLAINSCORE", "LIMIT", 0, 1)
    score, (line, (envelope,)) = row["score"]
    assert float(score) == pytest.approx(2 / 61)
    assert line.startswith("final score: 1 / (constant 60.00 + rank 1) + 1 / (constant 60.00 + rank 1) = 0.03278")
    assert envelope[0] == "Hybrid score (RRF: window=20, constant=60.00)"
    words, vector = envelope[1]
    assert words[0] == "text rank = 1" and words[1][0][0] == "Text scorer: BM25STD"
    assert vector == ["vector branch (KNN)", ["vector rank = 1"]]
    row = rows(shop, "SEARCH", "blue", "SCORER", "TFIDF", "VSIM", "@v", "$b", "RANGE", 2, "RADIUS", "0.5", "COMBINE", "LINEAR",
               4, "ALPHA", 1,
               "BETA", 2, "EXPLAINSCORE")[1]
    words, vector = row["score"][1][1][0][1]
    assert words == "text contribution = <no match>" and vector[1][0] == "matched within radius = true"
    assert refusal(shop, *SEARCH, "EXPLAINSCORE", "GROUPBY", 1, "@g") == "EXPLAINSCORE is not supported with GROUPBY"


def test_profile(shop):
    found = shop.execute_command("FT.PROFILE", "idx", "HYBRID", "QUERY", *SEARCH, "FILTER", "@n:[0 2]", "PARAMS", 2, "b",
                                 blob(0, 0))
    if isinstance(found, list):
        assert len(found) == 9 and found[1] == 3
        found = text(found[8])
        shard, profile = found[1][0], {}
        for name, part in zip(shard[::2], shard[1::2]):
            profile[name] = dict(zip(part[::2], part[1::2]))
        iterators = dict(zip(profile["VSIM"]["Iterators profile"][::2], profile["VSIM"]["Iterators profile"][1::2]))
    else:
        assert found[b"total_results"] == 3
        profile = {text(name): {text(key): value for key, value in part.items()}
                   for name, part in found[b"Profile"][b"Shards"][0].items()}
        iterators = {text(name): text(value) for name, value in profile["VSIM"]["Iterators profile"].items()}
    assert sorted(profile) == ["SEARCH", "VSIM"] and iterators["Type"] == "VECTOR" and "Child iterator" in iterators
    with pytest.raises(redis.ResponseError, match="VSIM argument is required"):
        shop.execute_command("FT.PROFILE", "idx", "HYBRID", "QUERY", "SEARCH", "red")


def test_cursors(shop):
    found = shop.execute_command("FT.HYBRID", "idx", *SEARCH, "WITHCURSOR", "COUNT", 2, "PARAMS", 2, "b", blob(0, 0))
    found = dict(zip(map(text, found[::2]), found[1::2])) if isinstance(found, list) else {text(k): v for k, v in found.items()}
    assert sorted(found) == ["SEARCH", "VSIM", "warnings"]
    for name, sizes in (("SEARCH", [2]), ("VSIM", [2, 2, 1])):
        cursor, read = found[name], []
        while cursor:
            page, cursor = shop.execute_command("FT.CURSOR", "READ", "idx", cursor)
            read.append(len(page[b"results"]) if isinstance(page, dict) else len(page) - 1)
        assert [n for n in read if n] == sizes


def test_documents_that_go(shop):
    shop.pexpire("d0", 1)
    shop.delete("d1")
    while shop.exists("d0"):
        pass
    assert keys(shop, *SEARCH) == ["d2", "d3", "d4"]


@pytest.mark.parametrize("words, message", [
    (("x",), "Invalid subqueries count: expected an unsigned integer"),
    ((3, "SEARCH"), "FT.HYBRID currently supports only two subqueries"),
    ((2, "VSIM"), "SEARCH keyword is required"),
    (("SEARCH",), "No query string provided for SEARCH"),
    (("SEARCH", "x", "LIMIT"), "Unknown argument `LIMIT` in SEARCH"),
    (("SEARCH", "x", "DIALECT", 2),
     "DIALECT is not supported in FT.HYBRID or any of its subqueries. Please check the documentation on "
                                    "search-default-dialect configuration."),
    (("SEARCH", "x"), "VSIM argument is required"),
    (("SEARCH", "x", "VSIM"), "Missing vector field name"),
    (("SEARCH", "x", "VSIM", "v"), "Missing @ prefix for vector field name"),
    (("SEARCH", "x", "VSIM", "@v"), "Missing vector argument"),
    (("SEARCH", "x", "VSIM", "@v", "b"), "Invalid vector argument, expected a parameter name starting with $"),
    ((*SEARCH, "KNN"), "Missing argument count"),
    ((*SEARCH, "KNN", "x"), "Invalid argument count: expected an unsigned integer"),
    ((*SEARCH, "KNN", 3), "Invalid argument count: 3 (must be a positive even number for key/value pairs)"),
    ((*SEARCH, "KNN", 2, "K", 0), "Invalid K value"),
    ((*SEARCH, "KNN", 4, "K", 1, "K", 1), "Duplicate K argument"),
    ((*SEARCH, "KNN", 2, "EF_RUNTIME", 1), "Missing required argument K"),
    ((*SEARCH, "KNN", 2, "RADIUS", 1), "Unknown argument `RADIUS` in KNN"),
    ((*SEARCH, "RANGE", 2, "RADIUS", -1), "Invalid RADIUS value"),
    ((*SEARCH, "RANGE", 2, "EPSILON", 1), "Missing required argument RADIUS"),
    ((*SEARCH, "FILTER"), "Missing argument count for FILTER"),
    ((*SEARCH, "FILTER", 3, "x", "POLICY", "FAST"), "POLICY: Invalid value for argument"),
    ((*SEARCH, "FILTER", "x=>{$weight: 2}"), "Weight attributes are not allowed in FT.HYBRID VSIM FILTER"),
    ((*SEARCH, "FILTER", "@v:[VECTOR_RANGE 1 $b]"), "Vector expressions are not allowed in FT.HYBRID VSIM FILTER"),
    (("SEARCH", "*=>[KNN 1 @v $b]", "VSIM", "@v", "$b"), "Vector expressions are not allowed in FT.HYBRID SEARCH"),
    (("SEARCH", "x", "VSIM", "@nope", "$b"), "Unknown field `nope`"),
    (("SEARCH", "x", "VSIM", "@t", "$b"), "Expected a VECTOR field `t`"),
    (("SEARCH", "x", "VSIM", "@v", "$c"), "Parameter not found `c`"),
    ((*SEARCH, "YIELD_SCORE_AS"), "Missing argument value for YIELD_SCORE_AS"),
    ((*SEARCH, "COMBINE", "SUM", 0), "COMBINE: Invalid value for argument"),
    ((*SEARCH, "COMBINE", "RRF"), "Missing RRF argument count"),
    ((*SEARCH, "COMBINE", "RRF", 1, "WINDOW"), "RRF expects pairs of key value arguments, argument count must be an even number"),
    ((*SEARCH, "COMBINE", "RRF", 2, "WINDOW", 0), "WINDOW: Value below minimum"),
    ((*SEARCH, "COMBINE", "LINEAR", 2, "ALPHA", 1), "Missing value for BETA"),
    ((*SEARCH, "SORTBY", 1, "n"), "Missing prefix: name requires '@' prefix, JSON path require '$' prefix, got: n in SORTBY"),
    ((*SEARCH, "LOAD", 1, "n"), "Missing prefix: name requires '@' prefix, JSON path require '$' prefix, got: n in LOAD"),
    ((*SEARCH, "SORTBY", 1, "@n", "NOSORT"), "NOSORT is not allowed with SORTBY"),
    ((*SEARCH, "LIMIT", 0, 1, "LIMIT", 0, 1), "LIMIT: Argument specified multiple times"),
    ((*SEARCH, "RETURN", 0), "RETURN: Unknown argument"),
    ((*SEARCH, "YIELD_SCORE_AS", "n"), "Property `n` already exists in schema"),
])
def test_refusals(r3, words, message):
    r3.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "n", "NUMERIC", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32",
                       "DIM", 2,
                       "DISTANCE_METRIC", "L2")
    r3.hset("d", mapping={"t": "x", "v": blob(1, 1)})
    at_end = words[-1] in ("SEARCH", "x", "VSIM", "@v", "KNN", "FILTER", "YIELD_SCORE_AS", "RRF")
    with pytest.raises(redis.ResponseError) as caught:
        r3.execute_command("FT.HYBRID", "idx", *words, *(() if at_end else ("PARAMS", 2, "b", blob(1, 1))))
    assert str(caught.value).partition(" ")[2] == message


def test_searches_that_run_out_of_time_where_they_are_told_to(r2):
    r2.execute_command("FT.CREATE", "stopping", "PREFIX", 1, "stop:", "SCHEMA", "t", "TEXT", "v", "VECTOR", "FLAT", 6,
                       "TYPE", "FLOAT32", "DIM", 2, "DISTANCE_METRIC", "L2")
    for i in range(4):
        r2.hset(f"stop:{i}", mapping={"t": "x", "v": bytes(8)})
    words = "_FT.DEBUG", "FT.HYBRID", "stopping", "SEARCH", "x", "VSIM", "@v", "$B", "PARAMS", 2, "B", bytes(8)
    for more, warning in (("SEARCH", b"SEARCH"), ("VSIM", b"VSIM"), ("TAIL", b"POST PROCESSING")):
        reply = r2.execute_command(*words, f"TIMEOUT_AFTER_N_{more}", 1, "DEBUG_PARAMS_COUNT", 2)
        assert reply[5] == [b"Timeout limit was reached (" + warning + b")"]
    assert reply[1] == 1
    for more, refusal in (((), "arg not found"), (("DEBUG_PARAMS_COUNT", 0), "Invalid DEBUG_PARAMS_COUNT"),
                          (("DEBUG_PARAMS_COUNT", 99), "exceeds"), (("X", 1, "DEBUG_PARAMS_COUNT", 2), "Unrecognized"),
                          (("TIMEOUT_AFTER_N_TAIL", "DEBUG_PARAMS_COUNT", 1), "none provided"),
                          (("TIMEOUT_AFTER_N_TAIL", "x", "DEBUG_PARAMS_COUNT", 2), "Invalid TIMEOUT_AFTER_N_TAIL count")):
        with pytest.raises(redis.ResponseError, match=refusal):
            r2.execute_command(*words, *more)
