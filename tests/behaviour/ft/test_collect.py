"""REDUCE COLLECT: rows within groups, over both protocols."""
import sys
from pathlib import Path

import pytest
import redis

sys.path.insert(0, str(Path(__file__).parent))

from samples import text  # noqa: E402

FRUITS = [("banana", "yellow", 4, "ecuador"), ("lemon", "yellow", 2, None), ("apple", "red", 4, "usa"),
          ("strawberry", "red", 3, "spain"), ("kiwi", "green", 3, None), ("lime", "green", 2, "mexico"),
          ("cherry", "red", 3, "spain")]


def plain(value):
    """A value of a reply as text; maps of RESP2 stay lists."""
    if isinstance(value, dict):
        return {text(name): plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else text(value) if isinstance(value, bytes) else value


def collect(client, *words, by=("@color",), before=(), more=()):
    """The groups, by the first property they are grouped by."""
    reply = plain(client.execute_command("FT.AGGREGATE", "idx", "*", *before, "GROUPBY", len(by), *by, "REDUCE", "COLLECT",
                                         len(words), *words,
                                         "AS", "c", *more))
    if isinstance(reply, dict):
        rows = [row["extra_attributes"] for row in reply["results"]]
    else:
        rows = [dict(zip(row[::2], row[1::2])) for row in reply[1:]]
        for row in rows:
            row["c"] = [dict(zip(one[::2], one[1::2])) for one in row["c"]]
    return {row[by[0][1:]] if by else "": row["c"] for row in rows}


@pytest.fixture
def fruits(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "name", "TEXT", "SORTABLE", "color", "TAG", "SORTABLE", "sweet",
                         "NUMERIC", "SORTABLE",
                         "origin", "TEXT")
    for i, (name, color, sweet, origin) in enumerate(FRUITS):
        both.hset(f"d{i}", mapping={"name": name, "color": color, "sweet": sweet, **({"origin": origin} if origin else {})})
    return both


def test_fields_and_order(fruits):
    found = collect(fruits, "FIELDS", 2, "@name", "@origin")
    assert found["yellow"] == [{"name": "banana", "origin": "ecuador"}, {"name": "lemon"}]
    assert [one["name"] for one in found["red"]] == ["apple", "strawberry", "cherry"]
    found = collect(fruits, "FIELDS", 1, "@name", "SORTBY", 4, "@sweet", "DESC", "@name", "ASC")
    assert [one["name"] for one in found["red"]] == ["apple", "cherry", "strawberry"]
    found = collect(fruits, "FIELDS", 1, "@name", "SORTBY", 2, "@origin", "DESC", by=())
    assert [one["name"] for one in found[""]] == ["apple", "strawberry", "cherry", "lime", "banana", "lemon", "kiwi"]


def test_limits_and_distinct(fruits):
    def names(*words):
        return [one["name"] for one in collect(fruits, "FIELDS", 1, "@name", *words, by=())[""]]
    assert names("LIMIT", 1, 2) == ["lemon", "apple"]
    assert names("SORTBY", 1, "@name", "LIMIT", 0, 2) == ["apple", "banana"]
    assert collect(fruits, "FIELDS", 1, "@sweet", "SORTBY", 1, "@sweet", "DISTINCT", by=())[""] == [{"sweet": "2"},
        {"sweet": "3"}, {"sweet": "4"}]
    assert collect(fruits, "FIELDS", 1, "@sweet", "DISTINCT", by=())[""] == [{"sweet": "4"}, {"sweet": "2"}, {"sweet": "3"}]
    for i in range(20):
        fruits.hset(f"e{i}", mapping={"name": f"x{i}"})
    assert len(names()) == 27 and len(names("SORTBY", 1, "@name")) == 10


def test_all_fields_and_groups_of_groups(fruits):
    found = collect(fruits, "FIELDS", "*", before=("LOAD", 2, "@name", "@origin"))
    assert found["green"] == [{"name": "kiwi", "color": "green"}, {"name": "lime", "origin": "mexico", "color": "green"}]
    reply = plain(fruits.execute_command("FT.AGGREGATE", "idx", "*", "GROUPBY", 1, "@color", "REDUCE", "COLLECT", 3, "FIELDS",
                                         1, "@name", "AS", "c",
                                         "GROUPBY", 0, "REDUCE", "COLLECT", 4, "FIELDS", 2, "@color", "@c", "AS", "all",
                                         "REDUCE", "TOLIST", 1, "@c", "AS", "flat"))
    if isinstance(reply, dict):
        assert {one["color"]: len(one["c"]) for one in reply["results"][0]["extra_attributes"]["all"]} == {"yellow": 2,
            "red": 3, "green": 2}
        assert len(reply["results"][0]["extra_attributes"]["flat"]) == 7


@pytest.mark.parametrize("words, message", [
    (("@name",), "Bad arguments for COLLECT: FIELDS: Required positional argument missing or out of order"),
    (("FIELDS", "x"), "Expected number of fields or `*` after FIELDS"),
    (("FIELDS", 0), "FIELDS count must be in [1, 1025]"),
    (("FIELDS", 2, "@name"), "Not enough arguments were provided based on argument count for FIELDS"),
    (("FIELDS", 1, "name"), "Missing prefix: name requires '@' prefix, JSON path require '$' prefix, got: name in FIELDS"),
    (("FIELDS", "*", "SORTBY", 1, "name"), "Missing prefix: name requires '@' prefix (name)"),
    (("FIELDS", "*", "LIMIT", 0, 0), "LIMIT count must be a positive integer"),
    (("FIELDS", "*", "LIMIT", -1, 1), "LIMIT offset must be a non-negative integer"),
    (("FIELDS", "*", "WITHCOUNT"), "Bad arguments for COLLECT: WITHCOUNT: Unknown argument"),
])
def test_refusals(r3, words, message):
    r3.execute_command("FT.CREATE", "idx", "SCHEMA", "name", "TEXT")
    with pytest.raises(redis.ResponseError) as caught:
        r3.execute_command("FT.AGGREGATE", "idx", "*", "GROUPBY", 0, "REDUCE", "COLLECT", len(words), *words)
    assert str(caught.value).partition(" ")[2] == message
