"""How an index follows its keys: every kind of change, bad values, the background scan."""
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import redis

sys.path.insert(0, str(Path(__file__).parent))

from helpers import wait_until  # noqa: E402
from samples import create, fill, info, knn, results, search, vectors  # noqa: E402


def keys(client, query="*", *words, index="idx"):
    """The keys that match, in the order of the reply."""
    return [key for key, _ in search(client, query, "NOCONTENT", "LIMIT", 0, 1000, *words, index=index)[1]]


@pytest.fixture
def five(both):
    base = vectors(5, 8)
    create(both, metric="L2")
    fill(both, base)
    return both, base


def test_pipelines_of_one_command(five):
    """Commands beside the index are run as one, those that concern it are not."""
    r, _ = five
    pipe = r.pipeline(transaction=False)
    for words in ([("HSET", f"d:{i}", "num", 100 + i) for i in range(3, 9)],
                  [("HSET", f"other:{i}", "num", 100 + i) for i in range(9)],
                  [("SET", f"d:{i}" if i == 3 else f"s:{i}", "x") for i in range(9)]):
        for one in words:
            pipe.execute_command(*one)
        assert len(pipe.execute()) == len(words)
    assert keys(r, "@num:[100 200]") == ["d:4", "d:5", "d:6", "d:7", "d:8"] and "d:3" not in keys(r)
    assert r.get("s:8") == b"x" and r.hget("other:8", "num") == b"108"


def test_changes_of_a_document(five):
    r, base = five
    assert keys(r) == ["d:0", "d:1", "d:2", "d:3", "d:4"]
    r.hset("d:1", "num", 11)                                # indexed anew: the last
    assert keys(r) == ["d:0", "d:2", "d:3", "d:4", "d:1"] and keys(r, "@num:[11 11]") == ["d:1"] and keys(r, "@num:[1 1]") == []
    r.hdel("d:1", "tag")
    assert "d:1" not in keys(r, "@tag:{green}") and "d:1" in keys(r)
    r.hincrby("d:2", "num", 40)
    assert keys(r, "@num:[42 42]") == ["d:2"]
    r.hdel("d:2", "v")
    assert "d:2" in keys(r) and "d:2" not in [key for key, _ in knn(r, base[2], 5)]
    r.hset("d:2", "v", base[2].tobytes())
    assert knn(r, base[2], 1)[0] == ("d:2", 0)
    r.hset("d:0", "other", "x")
    assert keys(r)[-1] == "d:0"
    r.hdel("d:0", "tag", "num", "v", "other")
    assert "d:0" not in keys(r)


def test_deletion_expiry_and_other_types(five):
    r, base = five
    r.delete("d:0")
    r.unlink("d:1")
    r.execute_command("PEXPIRE", "d:2", 300_000)
    assert keys(r) == ["d:2", "d:3", "d:4"]                 # an expiry time alone changes nothing
    r.execute_command("PEXPIRE", "d:2", 30)
    wait_until(lambda: keys(r) == ["d:3", "d:4"])
    r.set("d:3", "now a string")
    assert keys(r) == ["d:4"] == [key for key, _ in knn(r, base[4], 5)]
    r.set("d:9", "never a hash")
    r.execute_command("RPUSH", "d:8", "x")
    assert keys(r) == ["d:4"] and info(r)["num_docs"] == 1


def test_expired_documents_are_not_returned_even_if_nobody_has_looked_at_them(five):
    r, base = five
    r.execute_command("PEXPIRE", "d:1", 20)
    time.sleep(0.03)
    assert "d:1" not in [key for key, _ in knn(r, base[1], 5)]
    assert "d:1" not in keys(r)


def test_rename_and_copy(five):
    r, base = five
    r.rename("d:1", "d:9")
    assert keys(r) == ["d:0", "d:9", "d:2", "d:3", "d:4"]
    assert knn(r, base[1], 1) == [("d:9", 0)]
    r.rename("d:9", "elsewhere")
    assert keys(r) == ["d:0", "d:2", "d:3", "d:4"]
    r.rename("elsewhere", "d:7")
    assert keys(r) == ["d:0", "d:2", "d:3", "d:4", "d:7"] and knn(r, base[1], 1) == [("d:7", 0)]
    r.rename("d:7", "d:0")
    assert sorted(keys(r)) == ["d:0", "d:2", "d:3", "d:4"] and keys(r, "@num:[1 1]") == ["d:0"]
    assert knn(r, base[1], 1) == [("d:0", 0)]
    r.execute_command("COPY", "d:2", "d:5")
    assert {key for key, _ in knn(r, base[2], 2)} == {"d:2", "d:5"}


def test_hash_field_expiry(five):
    r, _ = five
    r.execute_command("HPEXPIRE", "d:1", 300_000, "FIELDS", 1, "num")
    assert keys(r, "@num:[1 1]") == ["d:1"]
    r.execute_command("HPEXPIRE", "d:1", 20, "FIELDS", 1, "num")
    wait_until(lambda: keys(r, "@num:[1 1]") == [])
    assert "d:1" in keys(r)


def test_transactions_see_their_own_writes(five):
    r, base = five
    pipe = r.pipeline(transaction=True)
    pipe.hset("d:50", mapping={"v": (base[0] + 50).tobytes(), "num": 50})
    pipe.execute_command("FT.SEARCH", "idx", "*=>[KNN 1 @v $b]", "PARAMS", 2, "b", (base[0] + 50).tobytes(), "NOCONTENT",
                         "DIALECT", 2)
    pipe.execute_command("FT.SEARCH", "idx", "@num:[50 50]", "NOCONTENT")
    _, nearest, ranged = pipe.execute()
    assert results(nearest) == (1, [("d:50", {})]) == results(ranged)


def test_flushall_drops_indexes(five):
    r, _ = five
    r.execute_command("FLUSHDB")
    assert list(r.execute_command("FT._LIST")) == []


@pytest.mark.parametrize("bad",
                         [b"", b"short", np.ones(9, dtype=np.float32).tobytes(), np.full(8, np.nan, dtype=np.float32).tobytes(),
                                 np.array([np.inf] + [1] * 7, dtype=np.float32).tobytes()])
def test_a_bad_vector_keeps_the_document_out(five, bad):
    r, base = five
    assert r.hset("d:1", "v", bad) == 0
    assert r.hset("d:6", mapping={"v": bad, "num": 6}) == 2
    assert keys(r) == ["d:0", "d:2", "d:3", "d:4"]
    told = info(r)
    assert told["hash_indexing_failures"] == 2 == told["Index Errors"]["indexing failures"] and told["num_docs"] == 4
    assert told["Index Errors"]["last indexing error key"] == "d:6"
    assert "Could not add vector" in told["Index Errors"]["last indexing error"]
    assert [field["Index Errors"]["indexing failures"] for field in told["field statistics"]] == [0, 0, 2]
    r.hset("d:1", "v", base[1].tobytes())
    assert keys(r)[-1] == "d:1" and knn(r, base[1], 1) == [("d:1", 0)] and keys(r, "@num:[1 1]") == ["d:1"]
    assert info(r)["hash_indexing_failures"] == 2


def test_texts_to_sort_by_are_utf_8(five):
    r, _ = five
    r.execute_command("FT.CREATE", "texts", "PREFIX", 1, "t:", "SCHEMA", "t", "TEXT", "SORTABLE", "g", "TAG", "SORTABLE",
                      "u", "TEXT", "SORTABLE", "UNF")
    for name in "tgu":
        r.hset("t:" + name, name, b"\xff")
    told = info(r, "texts")
    assert told["num_docs"] == 1 and told["Index Errors"]["last indexing error"] == "SEARCH_VALUE_BAD Invalid UTF-8"


def test_a_bad_number_keeps_the_document_out(five):
    r, _ = five
    r.hset("d:1", "num", "many")
    assert keys(r) == ["d:0", "d:2", "d:3", "d:4"]
    assert "Invalid numeric value: 'many'" in info(r)["Index Errors"]["last indexing error"]
    r.hset("d:1", "num", "1e3")
    assert keys(r, "@num:[1000 1000]") == ["d:1"]


def test_existing_keys_are_scanned(both):
    base = vectors(3000, 8)
    fill(both, base)
    both.hset("other", mapping={"num": 1})
    create(both, metric="L2")
    wait_until(lambda: info(both)["indexing"] == 0)
    told = info(both)
    assert told["num_docs"] == 3000 and told["percent_indexed"] in (1, "1")
    assert knn(both, base[1234], 1) == [("d:1234", 0)]
    both.execute_command("FT.CREATE", "late", "PREFIX", 1, "d:", "SKIPINITIALSCAN", "SCHEMA", "num", "NUMERIC")
    assert keys(both, index="late") == []
    both.hset("d:7", "num", 8)
    assert keys(both, index="late") == ["d:7"]


def test_writes_during_the_scan_win(r2):
    fill(r2, vectors(4000, 8))
    create(r2, metric="L2")
    moved = np.full(8, 77, dtype=np.float32)
    r2.hset("d:3999", "v", moved.tobytes())
    r2.delete("d:3998")
    wait_until(lambda: info(r2)["indexing"] == 0)
    assert knn(r2, moved, 1) == [("d:3999", 0)]
    assert info(r2)["num_docs"] == 3999


def test_prefixes(both):
    both.execute_command("FT.CREATE", "ab", "PREFIX", 2, "a:", "a:b", "SCHEMA", "num", "NUMERIC")
    both.execute_command("FT.CREATE", "all", "SCHEMA", "num", "NUMERIC")
    for key in ("a:1", "a:b2", "b:3", "A:4", "a"):
        both.hset(key, "num", 1)
    assert sorted(keys(both, index="ab")) == ["a:1", "a:b2"]
    assert sorted(keys(both, index="all")) == ["A:4", "a", "a:1", "a:b2", "b:3"]


def test_many_updates_of_other_fields_do_not_touch_the_vector(r2):
    base = vectors(50, 8)
    create(r2, algorithm="SVS-VAMANA", metric="L2")
    fill(r2, base)
    for i in range(200):
        r2.hset(f"d:{i % 50}", "num", i)
    told = info(r2)["field statistics"][2]
    assert told["marked_deleted"] == 0 and info(r2)["num_docs"] == 50
    assert knn(r2, base[20], 1) == [("d:20", 0)]


def test_only_database_0(connect):
    other = connect()
    other.call("SELECT", 1)
    assert other.call("FT.CREATE", "idx", "SCHEMA", "num", "NUMERIC") == "Cannot create index on db != 0"
    here = connect()
    here.call("FT.CREATE", "idx", "SCHEMA", "num", "NUMERIC")
    other.call("HSET", "d:1", "num", 1)
    assert here.call("FT.SEARCH", "idx", "*") == [0]
    other.call("FLUSHDB")
    assert here.call("FT._LIST") == ["idx"]


def test_temporary_indexes_go_with_their_documents(r2):
    r2.hset("d:1", "num", 1)
    r2.hset("e:1", "num", 1)
    r2.execute_command("FT.CREATE", "tmp", "TEMPORARY", 1, "PREFIX", 1, "d:", "SCHEMA", "num", "NUMERIC")
    wait_until(lambda: r2.execute_command("FT._LIST") == [])
    assert r2.keys("*") == [b"e:1"]


def test_filter_expressions(both):
    both.execute_command("FT.CREATE", "idx", "PREFIX", 1, "d:", "FILTER", "@num > 5 && startswith(@__key, 'd:1')", "SCHEMA",
                         "num", "NUMERIC")
    for key, num in (("d:1", 9), ("d:12", 3), ("d:2", 9), ("d:13", 7)):
        both.hset(key, "num", num)
    both.hset("d:14", "other", 1)
    assert keys(both) == ["d:1", "d:13"]
    both.hset("d:1", "num", 5)
    both.hset("d:12", "num", 6)
    assert keys(both) == ["d:13", "d:12"]
    with pytest.raises(redis.ResponseError):
        both.execute_command("FT.CREATE", "bad", "FILTER", "@num >", "SCHEMA", "num", "NUMERIC")


def test_fields_whose_time_has_come_are_not_found(r2):
    r2.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        r2.execute_command("FT.CREATE", "ends", "PREFIX", 1, "ends:", "SCHEMA", "x", "TEXT", "y", "TEXT")
        for i in range(3):
            r2.hset(f"ends:{i}", mapping={"x": "hello", "y": "world"})
        for i in range(2):
            r2.execute_command("HPEXPIRE", f"ends:{i}", 1, "FIELDS", 1, "y")
        time.sleep(0.005)
        assert r2.execute_command("FT.SEARCH", "ends", "@x:hello @y:world", "NOCONTENT") == [1, b"ends:2"]
        assert r2.execute_command("FT.SEARCH", "ends", "@x:hello", "NOCONTENT")[0] == 3
    finally:
        r2.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 1)
