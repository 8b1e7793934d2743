"""FT.AGGREGATE end to end, over both protocols."""
import select
import sys
import threading
from pathlib import Path

import pytest
import redis

sys.path.insert(0, str(Path(__file__).parent))

from helpers import RawConnection, client, pack  # noqa: E402
from samples import create, distances, fill, text, vectors  # noqa: E402

NO_VALUE = "Could not find the value for a parameter name, consider using EXISTS if applicable for pay"
CITIES = ["Paris", "Lyon", "Nice"]


def rows_of(reply):
    """(total, rows as dicts of text, warnings) of a reply of either protocol."""
    if isinstance(reply, dict):
        reply = {text(key): value for key, value in reply.items()}
        rows = [dict({text(key): value for key, value in row.items()}["extra_attributes"]) for row in reply["results"]]
        return reply["total_results"], [_texts(row) for row in rows], [text(warning) for warning in reply["warning"]]
    return reply[0], [_texts(dict(zip(row[::2], row[1::2]))) for row in reply[1:]], []


def _texts(row):
    return {text(name): [text(one) for one in value] if isinstance(value, list) else None if value is None
            else text(value) for name, value in row.items()}


def aggregate(client, *words, query="*", index="idx"):
    return rows_of(client.execute_command("FT.AGGREGATE", index, query, *words))[1]


def refusal(client, *words, query="*"):
    with pytest.raises(redis.ResponseError) as caught:
        client.execute_command("FT.AGGREGATE", "idx", query, *words)
    return str(caught.value).partition(" ")[2]


@pytest.fixture
def people(both):
    """p:0 .. p:11 with city (sortable), team, age, pay (not on every third) and a field outside the schema."""
    both.execute_command("FT.CREATE", "idx", "PREFIX", 1, "p:", "SCHEMA", "city", "TAG", "SORTABLE", "team", "TAG",
                         "age", "NUMERIC", "SORTABLE", "pay", "NUMERIC")
    for i in range(12):
        pay = {} if i % 3 == 2 else {"pay": f"{100 + i}.0"}
        both.hset(f"p:{i}", mapping={"city": CITIES[i % 3], "team": f"T{i % 2}", "age": 20 + i, "extra": f"x{i}",
                                     **pay})
    return both


def test_rows_without_steps(people):
    total, rows, _ = rows_of(people.execute_command("FT.AGGREGATE", "idx", "@age:[25 28]"))
    assert rows == [{}] * 4 and total == (4 if people.protocol == 3 else 1)
    assert aggregate(people, query="@age:[90 99]") == [] and aggregate(people, "LIMIT", 0, 0) == []


def test_what_sorts_after_load_all(people):
    assert refusal(people, "LOAD", "*", "SORTBY", 1, "@extra") == "Property `extra` not loaded nor in schema"
    assert len(aggregate(people, "LOAD", "*", "LOAD", 1, "@extra", "SORTBY", 1, "@extra")) == 10


def test_errors_after_rows(people):
    words = "LOAD", 1, "@pay", "APPLY", "@pay * 2", "AS", "double"
    assert len(aggregate(people, *words)) == 2
    people.config_set("search-on-timeout", "fail")
    assert refusal(people, *words) == NO_VALUE
    people.config_set("search-on-timeout", "return")


def test_load(people):
    assert aggregate(people, "LOAD", 5, "@city", "pay", "extra", "@__key", "nope",
                     query="@age:[20 20]") == [{"city": "Paris", "pay": "100", "extra": "x0", "__key": "p:0"}]
    assert aggregate(people, "LOAD", 3, "@city", "AS", "c", "LOAD", 1, "@age",
                     query="@age:[21 21]") == [{"c": "Lyon", "age": "21"}]
    everything = aggregate(people, "LOAD", "*", query="@age:[20 20]")
    assert everything == [{"city": "Paris", "team": "T0", "age": "20", "extra": "x0", "pay": "100.0"}]
    assert list(everything[0]) == ["city", "team", "age", "extra", "pay"]
    # A sortable field that nobody loads has its sorted form; a field of the schema has to be loaded or sortable.
    assert aggregate(people, "FILTER", "@city=='paris'", "LIMIT", 0, 1) == [{"city": "paris"}]
    assert refusal(people, "FILTER", "@team=='T0'") == "Property not loaded nor in pipeline: `team`"
    assert aggregate(people, "LOAD", "*", "APPLY", "upper(@extra)", "AS", "u", "SORTBY", 2, "@pay", "DESC", "MAX",
                     1)[0]["u"] == "X10"


def test_apply_and_filter(people):
    rows = aggregate(people, "APPLY", "@age * 2", "AS", "twice", "FILTER", "@twice > 56 && @twice != 60", "SORTBY", 2,
                     "@twice", "ASC")
    assert rows == [{"age": "29", "twice": "58"}, {"age": "31", "twice": "62"}]
    assert refusal(people, "LOAD", 1, "@pay", "FILTER",
                   "@pay > 1000") == NO_VALUE
    assert len(aggregate(people, "LOAD", 1, "@pay", "FILTER", "exists(@pay)")) == 8
    assert aggregate(people, "LOAD", 1, "@pay", "APPLY", "case(exists(@pay), @pay, -1)", "AS", "p", "LIMIT", 1,
                     2) == [{"pay": "101", "p": "101"}, {"p": "-1"}]
    assert aggregate(people, "APPLY", "lower(5)", "AS", "n", "LIMIT", 0, 1) == [{"n": None}]
    assert refusal(people, "APPLY", "@age+") == "Syntax error at offset 4 near 'age'"


def test_an_error_after_rows_is_a_warning(people):
    total, rows, warnings = rows_of(people.execute_command("FT.AGGREGATE", "idx", "*", "LOAD", 1, "@pay", "APPLY",
                                                           "@pay * 2", "AS", "d"))
    assert rows == [{"pay": "100", "d": "200"}, {"pay": "101", "d": "202"}]
    if people.protocol == 3:
        assert warnings == [NO_VALUE]
    # What LIMIT leaves out is not computed.
    assert len(aggregate(people, "LOAD", 1, "@pay", "APPLY", "@pay * 2", "AS", "d", "LIMIT", 0, 2)) == 2


def test_group_and_reduce(people):
    rows = aggregate(people, "GROUPBY", 1, "@city", "REDUCE", "COUNT", 0, "AS", "n", "REDUCE", "SUM", 1, "@age", "AS",
                     "sum", "REDUCE", "AVG", 1, "@age", "AS", "avg",
                     "REDUCE", "MIN", 1, "@age", "AS", "min", "REDUCE", "MAX", 1, "age", "AS", "max", "REDUCE",
                     "STDDEV", 1, "@age", "AS", "sd",
                     "REDUCE", "QUANTILE", 2, "@age", "0.5", "AS", "q", "REDUCE", "COUNT_DISTINCT", 1, "@team", "AS",
                     "d", "REDUCE", "COUNT_DISTINCTISH", 1, "@age", "AS", "di",
                     "REDUCE", "FIRST_VALUE", 1, "@age", "AS", "f", "REDUCE", "FIRST_VALUE", 4, "@age", "BY", "@age",
                     "DESC", "AS", "l", "REDUCE", "TOLIST", 1, "@team", "AS", "t",
                     "REDUCE", "RANDOM_SAMPLE", 2, "@age", 9, "AS", "rs", "SORTBY", 2, "@city", "ASC")
    assert [row["city"] for row in rows] == ["lyon", "nice", "paris"]
    paris = rows[2]
    assert sorted(paris.pop("t")) == ["T0", "T1"] and sorted(paris.pop("rs")) == ["20", "23", "26", "29"]
    assert paris == {"city": "paris", "n": "4", "sum": "98", "avg": "24.5", "min": "20", "max": "29",
                     "sd": "3.87298334621", "q": "23", "d": "2", "di": "4", "f": "20", "l": "29"}


def test_reducers_without_values(people):
    row, = aggregate(people, "LOAD", 1, "@nope", "GROUPBY", 0,
                     *[word for name in ("SUM", "AVG", "MIN", "MAX", "COUNT_DISTINCT", "STDDEV", "TOLIST", "FIRST_VALUE")
                       for word in ("REDUCE", name, 1, "@nope", "AS", name)])
    assert row == {"SUM": "nan", "AVG": "nan", "MIN": "inf", "MAX": "-inf", "COUNT_DISTINCT": "0", "STDDEV": "0",
                   "TOLIST": [], "FIRST_VALUE": None}
    assert aggregate(people, "GROUPBY", 0, "REDUCE", "COUNT", 0, query="@age:[90 99]") == []


def test_groups_of_lists_missing_values_and_groups(people):
    assert aggregate(people, "LOAD", 1, "@pay", "GROUPBY", 1, "@pay", "REDUCE", "COUNT", 0, "AS", "n", "SORTBY", 4,
                     "@n", "DESC", "@pay", "ASC", "MAX", 2) == [
        {"pay": None, "n": "4"}, {"pay": "100", "n": "1"}]
    rows = aggregate(people, "APPLY", "split('a,b')", "AS", "both", "GROUPBY", 1, "@both", "REDUCE", "COUNT", 0, "AS",
                     "n", "SORTBY", 1, "@both")
    assert rows == [{"both": "a", "n": "12"}, {"both": "b", "n": "12"}]
    assert aggregate(people, "GROUPBY", 2, "@city", "@team", "REDUCE", "COUNT", 0, "AS", "n", "GROUPBY", 1, "@n",
                     "REDUCE", "COUNT", 0, "AS", "m") == [{"n": "2", "m": "6"}]
    assert aggregate(people, "GROUPBY", 1, "@team", "REDUCE", "HLL", 1, "@age", "AS", "h", "GROUPBY", 0, "REDUCE",
                     "HLL_SUM", 1, "@h", "AS", "n") == [{"n": "12"}]


def test_group_refusals(people):
    assert refusal(people, "GROUPBY", 1, "@nope") == "No such property `nope`"
    assert refusal(people, "GROUPBY", 1, "@city", "REDUCE", "AVG", 1,
                   "@nope") == "Property is not present in document or pipeline: `nope`"
    assert refusal(people, "GROUPBY", 1, "@city", "LOAD", 1,
                   "@age") == "LOAD cannot be applied after projectors or reducers"
    assert refusal(people, "GROUPBY", 1, "@city", "APPLY", "@age", "AS",
                   "x") == "Property not loaded nor in pipeline: `age`"
    assert refusal(people, "GROUPBY", 1, "@city", "SORTBY", 1, "@age") == "Property `age` not loaded nor in schema"


def test_sort(people):
    assert [row["age"] for row in aggregate(people, "SORTBY", 2, "@age", "DESC")] == [str(31 - i) for i in range(10)]
    assert [row["age"] for row in aggregate(people, "SORTBY", 1, "@age", "LIMIT", 3, 2)] == ["23", "24"]
    assert [(row["city"], row["age"]) for row in aggregate(people, "SORTBY", 4, "@city", "DESC", "@age", "ASC", "MAX",
                                                           5)] == [
        ("paris", "20"), ("paris", "23"), ("paris", "26"), ("paris", "29"), ("nice", "22")]
    for direction in ("ASC", "DESC"):       # what has no value comes last either way
        pays = [row.get("pay") for row in aggregate(people, "SORTBY", 2, "@pay", direction, "MAX", 12)]
        assert pays[8:] == [None] * 4 and pays[:8] == sorted(pays[:8], reverse=direction == "DESC")
    assert [row["team"] for row in aggregate(people, "SORTBY", 2, "@team", "DESC", "MAX", 2)] == ["T1", "T1"]
    assert rows_of(people.execute_command("FT.AGGREGATE", "idx", "*", "SORTBY", 1, "@age", "MAX", 3))[0] == 12


def test_long_sorts_agree_with_python(both):
    both.execute_command("FT.CREATE", "idx", "PREFIX", 1, "n:", "SCHEMA", "n", "NUMERIC", "SORTABLE", "s", "TAG", "SORTABLE")
    pipe = both.pipeline(transaction=False)
    data = [(i * 7919 % 5003, f"s{i * 31 % 17}") for i in range(9000)]
    for i, (n, s) in enumerate(data):
        pipe.hset(f"n:{i}", mapping={"n": n, "s": s})
    pipe.execute()
    rows = aggregate(both, "SORTBY", 4, "@s", "DESC", "@n", "ASC", "MAX", 9000)
    expected = sorted(data, key=lambda entry: entry[0])
    expected.sort(key=lambda entry: entry[1], reverse=True)
    assert [(int(row["n"]), row["s"]) for row in rows] == expected
    assert [int(row["n"]) for row in aggregate(both, "SORTBY", 2, "@n", "DESC", "LIMIT", 4000, 3)] == sorted((n for n,
            _ in data), reverse=True)[4000:4003]
    rows = aggregate(both, "GROUPBY", 1, "@s", "REDUCE", "SUM", 1, "@n", "AS", "t", "SORTBY", 1, "@s", "MAX", 99)
    assert {row["s"]: int(row["t"]) for row in rows} == {name: sum(n for n, s in data if s == name) for _, name in data}


def test_knn_and_range(both):
    base = vectors(60, 8)
    create(both, metric="L2")
    fill(both, base)
    exact = distances(base, base[0], "L2")
    nearest = exact.argsort(kind="stable")[:8]
    rows = aggregate(both, "LOAD", 1, "@__key", "PARAMS", 2, "b", base[0].tobytes(), "DIALECT", 2,
                     query="*=>[KNN 8 @v $b AS d]")
    assert [row["__key"] for row in rows] == [f"d:{i}" for i in nearest] and list(rows[0]) == ["d", "__key"]
    assert [float(row["d"]) for row in rows] == pytest.approx(exact[nearest], rel=1e-4, abs=1e-5)
    row, = aggregate(both, "GROUPBY", 0, "REDUCE", "MAX", 1, "@__v_score", "AS", "m", "PARAMS", 2, "b",
                     base[0].tobytes(), "DIALECT", 2, query="@num:[0 30]=>[KNN 5 @v $b]")
    assert float(row["m"]) == pytest.approx(sorted(exact[:31])[4], rel=1e-4)
    radius = float(exact[nearest[5]]) + 1e-3
    rows = aggregate(both, "APPLY", "(2 - @d)/2", "AS", "s", "SORTBY", 2, "@d", "ASC", "PARAMS", 4, "b",
                     base[0].tobytes(), "r", radius, "DIALECT", 2,
                     query="@v:[VECTOR_RANGE $r $b]=>{$YIELD_DISTANCE_AS: d}")
    assert len(rows) == 6 and float(rows[2]["s"]) == pytest.approx((2 - exact[nearest[2]]) / 2, rel=1e-3)
    assert aggregate(both, "ADDSCORES", "PARAMS", 2, "b", base[0].tobytes(), "DIALECT", 2,
                     query="*=>[KNN 1 @v $b AS d]")[0]["__score"] == "0"


def test_counts(people):
    def total(*words):
        return rows_of(people.execute_command("FT.AGGREGATE", "idx", "*", *words))[0]
    resp3 = people.protocol == 3
    assert total("LIMIT", 3, 2) == (5 if resp3 else 4) and total("LIMIT", 100, 5) == 12 and total("LIMIT", 0, 0) == 12
    assert total("FILTER", "@age>25") == (12 if resp3 else 7) and total("GROUPBY", 1,
            "@city") == 3 and total("WITHCOUNT", "LIMIT", 0, 2) == 12


def test_other_refusals(people):
    assert refusal(people, "SORTBY", 1, "@nope") == "Property `nope` not loaded nor in schema"
    assert refusal(people, "FORMAT", "EXPAND", "DIALECT", 2) == "EXPAND format requires dialect 3 or greater"
    assert refusal(people, "DIALECT", 2, query="@nope:[1 2]") == "Unknown field at offset 0 near nope"
    with pytest.raises(redis.ResponseError, match="Index not found: nope"):
        people.execute_command("FT.AGGREGATE", "nope", "*")


def test_profile(people):
    reply = people.execute_command("FT.PROFILE", "idx", "AGGREGATE", "QUERY", "@age:[20 25]", "LOAD", 1, "@team",
                                   "GROUPBY", 1, "@city", "SORTBY", 1, "@city")
    shown = str(reply)
    assert "Grouper" in shown and "Loader" in shown and "Sorter" in shown and "NUMERIC" in shown
    with pytest.raises(redis.ResponseError, match="FT.PROFILE does not support cursor"):
        people.execute_command("FT.PROFILE", "idx", "AGGREGATE", "QUERY", "*", "WITHCURSOR")


@pytest.fixture
def many(r2):
    r2.execute_command("FT.CREATE", "idx", "PREFIX", 1, "n:", "SCHEMA", "n", "NUMERIC", "SORTABLE", "t", "TAG")
    pipe = r2.pipeline(transaction=False)
    for i in range(30000):
        pipe.hset(f"n:{i}", mapping={"n": i, "t": f"t{i % 10}"})
    pipe.execute()
    return r2


LONG = ("FT.AGGREGATE", "idx", "*", "LOAD", 1, "@t", "APPLY", "format('%s-%s', @t, @n)", "AS", "f", "GROUPBY", 1, "@t",
        "REDUCE", "COUNT_DISTINCT", 1, "@f", "AS", "c",
        "SORTBY", 1, "@t", "TIMEOUT", 0)


def test_long_ones_let_others_in_between(many, server):
    expected = [{"t": f"t{i}", "c": "3000"} for i in range(10)]
    with RawConnection(server.host, server.port) as slow, RawConnection(server.host, server.port) as other:
        for _ in range(20):             # this process may itself have to wait while all is done
            slow.send(pack(*LONG))
            n_served = 0
            while not select.select([slow.socket], [], [], 0)[0]:
                assert other.call("PING") == "PONG"
                n_served += 1
            assert rows_of(slow.read())[1] == expected
            if n_served > 5:
                break
        assert n_served > 5             # in one piece it would let one come before it, and none between
    # Inside a transaction the same comes at once, and in order.
    with many.pipeline(transaction=True) as pipe:
        pipe.execute_command(*LONG)
        pipe.set("k", "v")
        replies = pipe.execute()
    assert rows_of(replies[0])[1] == expected and replies[1]


def test_replies_keep_their_order(many, server):
    with many.pipeline(transaction=False) as pipe:
        pipe.execute_command(*LONG)
        pipe.set("k", "v")
        pipe.execute_command("FT.AGGREGATE", "idx", "@n:[0 0]", "LOAD", 1, "@n")
        replies = pipe.execute()
    assert len(replies[0]) == 11 and replies[1] is True and replies[2] == [1, [b"n", b"0"]]


def test_time_limit(many):
    with client(many.connection_pool.connection_kwargs["port"], 3) as r3:
        for _ in range(20):             # a busy machine may take all of the time before the first row
            reply = r3.execute_command("FT.AGGREGATE", "idx", "*", "LOAD", 1, "@t", "APPLY", "lower(@t)", "AS", "u",
                                       "GROUPBY", 0, "REDUCE", "COUNT", 0, "AS", "n", "TIMEOUT", 1)
            total, rows, warnings = rows_of(reply)
            assert warnings == ["Timeout limit was reached"]
            if rows:
                break
        assert 0 < int(rows[0]["n"]) < 30000
        r3.config_set("search-on-timeout", "fail")
        try:
            with pytest.raises(redis.ResponseError, match="Timeout limit was reached"):
                r3.execute_command("FT.AGGREGATE", "idx", "*", "LOAD", 1, "@t", "TIMEOUT", 1)
        finally:
            r3.config_set("search-on-timeout", "return")


def test_documents_that_go_meanwhile_are_left_out(many, server):
    def tag_of(i):
        return f"t{i % 10}" if i < 30000 else "new"
    with client(server) as other, client(server) as third:
        result = []
        thread = threading.Thread(target=lambda: result.append(third.execute_command("FT.AGGREGATE", "idx", "*",
                "LOAD", 2, "@__key", "@t", "TIMEOUT", 0)))
        thread.start()
        pipe = other.pipeline(transaction=False)
        for i in range(29000, 30000):
            pipe.delete(f"n:{i}")
            pipe.hset(f"n:{i + 5000}", mapping={"n": i, "t": "new"})
        pipe.execute()
        thread.join()
    rows = rows_of(result[0])[1]
    assert 29000 <= len(rows) <= 30000 and all(row["t"] == tag_of(int(row["__key"][2:])) for row in rows)


def test_count_of_what_filters_let_through(people):
    words = "FT.AGGREGATE", "idx", "*", "WITHCOUNT", "LOAD", 1, "@age", "FILTER", "@age < 25"
    assert rows_of(people.execute_command(*words))[0] == 5
    assert rows_of(people.execute_command(*words, "LIMIT", 1, 2))[0] == 5
