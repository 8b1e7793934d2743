"""GROUPBY by columns gives what GROUPBY over rows gives: a step before it that changes nothing has it take rows."""
import random
import sys
from pathlib import Path

import pytest
import redis

sys.path.insert(0, str(Path(__file__).parent))

FIELDS = ("tag", "sorted", "many", "num", "more", "words")


def document(rng):
    """The fields of one document; some are missing."""
    fields = {"tag": rng.choice(["a", "b", "A,b", "", "x" * 20, str(rng.randrange(40))]), "many": rng.randrange(3000),
              "num": rng.choice([1, 2, 3.5, "-0", 0, 1e20, rng.random()]), "words": "hello " + rng.choice("abc")}
    fields = {name: value for name, value in fields.items() if rng.random() < 0.9}
    return fields | ({"sorted": fields["tag"]} if "tag" in fields else {}) | ({"more": fields["num"]} if "num" in fields else {})


@pytest.fixture
def filled(r2):
    rng = random.Random(3)
    r2.execute_command("FT.CREATE", "idx", "PREFIX", 1, "d:", "SCHEMA", "tag", "TAG", "sorted", "TAG", "SORTABLE", "many", "TAG",
                       "num", "NUMERIC", "more", "NUMERIC", "SORTABLE", "words", "TEXT")
    pipe = r2.pipeline(transaction=False)
    for i in range(4000):
        pipe.hset(f"d:{i}", mapping={"other": 1} | document(rng))
    pipe.execute()
    return r2


def both_ways(r, query, words):
    """The replies by columns, the same for the first and the second request, and by rows."""
    by_columns = [r.execute_command("FT.AGGREGATE", "idx", query, *words, "TIMEOUT", 60000) for _ in range(2)]
    assert by_columns[0] == by_columns[1], (query, words)
    return by_columns[0], r.execute_command("FT.AGGREGATE", "idx", query, "APPLY", "1", "AS", "one", *words, "TIMEOUT", 60000)


def reducer(rng):
    """A random one, with its arguments."""
    function = rng.choice(["COUNT", "SUM", "AVG", "MIN", "MAX", "STDDEV", "QUANTILE", "COUNT_DISTINCT", "COUNT_DISTINCTISH",
                           "TOLIST", "FIRST_VALUE", "FIRST_VALUE", "HLL"])
    source = rng.choice(["@num", "@more"] if rng.random() < 0.7 else [f"@{name}" for name in FIELDS])
    if function == "COUNT":
        return ["REDUCE", "COUNT", 0]
    if function == "QUANTILE":
        return ["REDUCE", function, 2, source, rng.choice(["0", "0.5", "0.99"])]
    if function == "FIRST_VALUE" and rng.random() < 0.7:
        return ["REDUCE", function, 4, source, "BY", rng.choice(["@num", "@tag"]), rng.choice(["ASC", "DESC"])]
    return ["REDUCE", function, 1, source]


def test_any_grouping(filled):
    rng = random.Random(4)
    for k in range(60):
        names = [f"@{name}" for name in rng.sample(FIELDS, rng.randrange(4))]
        reducers = []
        for i in range(rng.randrange(4)):
            reducers += [*reducer(rng), "AS", f"r{i}"]
        more = rng.choice([[], ["LIMIT", 0, 5000], ["SORTBY", 2, names[0], "DESC"] if names else [], ["LIMIT", 3, 20]])
        if reducers and rng.random() < 0.6:
            more = rng.choice([["SORTBY", 2, "@r0", "ASC", "LIMIT", 0, 30], ["APPLY", "upper(@r0)", "AS", "u", "LIMIT", 0, 9],
                               ["FILTER", "exists(@r0)", "GROUPBY", 1, "@r0", "REDUCE", "COUNT", 0, "AS", "n"],
                               ["SORTBY", 4, "@r0", "DESC", names[-1], "ASC"] if names else []])
        by_columns, by_rows = both_ways(filled, rng.choice(["*", "@words:hello", "@num:[0 2]", "@tag:{a|b}", "@many:{7}"]),
                                        ["GROUPBY", len(names), *names, *reducers, *more])
        assert by_columns == by_rows, (names, reducers, more)
        if k % 4 == 0:
            i = rng.randrange(4000)
            filled.hset(f"d:{i}", "tag", f"v{k}")
            filled.delete(f"d:{i * 7 % 4000}")


def test_what_is_loaded_before(filled):
    group = ["GROUPBY", 1, "@tag", "REDUCE", "SUM", 1, "@num", "AS", "s", "REDUCE", "TOLIST", 1, "@words", "AS", "w",
             "SORTBY", 2, "@tag", "ASC"]
    for load in (["@tag"], ["@tag", "@num", "@more"], ["@num", "@words", "@tag"], ["@many", "AS", "tag"], ["@other"], ["@sorted"],
                 ["@sorted", "@tag"], ["@tag", "@more", "AS", "num"]):
        for words in (group, group[:9], [*group[:3], "LIMIT", 0, 9]):
            by_columns, by_rows = both_ways(filled, "@words:hello", ["LOAD", len(load), *load, *words])
            assert by_columns == by_rows, (load, words)
    as_given = ["LOAD", 1, "@sorted", "GROUPBY", 1, "@sorted", "FILTER", "@sorted == 'A,b'"]      # its sort keys are folded
    assert filled.execute_command("FT.AGGREGATE", "idx", "*", *as_given)[1:]


def test_documents_that_change(filled):
    words = ["GROUPBY", 1, "@tag", "REDUCE", "COUNT", 0, "AS", "n", "SORTBY", 2, "@n", "DESC", "LIMIT", 0, 100]

    def check():
        by_columns, by_rows = both_ways(filled, "*", words)
        assert by_columns == by_rows
        return {row[1]: int(row[3]) for row in by_columns[1:]}

    before = check()
    for i in range(10):
        filled.hset(f"d:{i}", "tag", "fresh")
    assert check()[b"fresh"] == 10 and b"fresh" not in before
    filled.delete("d:0", "d:1")
    filled.hdel("d:2", "tag")
    filled.hset("d:new", "tag", "fresh")
    filled.pexpire("d:3", 1)
    filled.rename("d:4", "elsewhere:4")
    while filled.exists("d:3"):
        pass
    assert check()[b"fresh"] == 10 - 5 + 1
    filled.hset("d:5", "tag", "gone")
    filled.hpexpire("d:5", 1, "tag")
    while filled.hexists("d:5", "tag"):
        pass
    after = check()
    assert after[b"fresh"] == 5 and b"gone" not in after


def test_a_field_with_many_values(filled):
    pipe = filled.pipeline(transaction=False)
    for i in range(4000):
        pipe.hset(f"d:{i}", "many", i)
    pipe.execute()
    by_columns, by_rows = both_ways(filled, "*", ["GROUPBY", 1, "@many", "REDUCE", "COUNT", 0, "AS", "n", "LIMIT", 0, 10000])
    assert len(by_columns) == 4001 and by_columns == by_rows
    by_columns, by_rows = both_ways(filled, "@many:{77}", ["GROUPBY", 2, "@many", "@tag", "REDUCE", "COUNT", 0, "AS", "n"])
    assert by_columns[0] == 1 and by_columns == by_rows


def test_pages_of_groups_in_resp3(filled, r3):
    for words in (["GROUPBY", 1, "@tag", "REDUCE", "COUNT", 0, "AS", "n", "REDUCE", "SUM", 1, "@num", "AS", "s", "SORTBY", 4,
                   "@n", "DESC", "@s", "ASC", "LIMIT", 3, 4], ["GROUPBY", 1, "@sorted", "LIMIT", 100, 10],
                  ["GROUPBY", 0, "REDUCE", "COUNT", 0, "AS", "n"]):
        for query in ("@words:hello", "@words:nowhere", "*", "@words:hello"):
            by_columns, by_rows = both_ways(r3, query, words)
            assert by_columns == by_rows, (query, words)


def test_groups_are_limited(r2):
    r2.execute_command("FT.CREATE", "few", "PREFIX", 1, "few:", "SCHEMA", "g", "TAG", "SORTABLE", "t", "TEXT", "SORTABLE")
    for i in range(4):
        r2.hset(f"few:{i}", mapping={"g": i, "t": f"a{i},b"})
    forms = [("GROUPBY", 1, "@g"), ("LOAD", 1, "@__key", "GROUPBY", 1, "@__key"),
             ("APPLY", "split(@t, ',')", "AS", "s", "GROUPBY", 1, "@s"),
             ("GROUPBY", 1, "@g", "REDUCE", "COUNT", 0, "AS", "n", "SORTBY", 1, "@n")]
    try:
        for most, fits in ((3, False), (5, True)):
            r2.config_set("search-max-aggregate-groups", most)
            for words in forms:
                try:
                    assert r2.execute_command("FT.AGGREGATE", "few", "*", *words)[0] >= 4 and fits
                except redis.ResponseError as error:
                    assert "MAX_AGGREGATE_GROUPS: 3" in str(error)
    finally:
        r2.config_set("search-max-aggregate-groups", 1000000)
