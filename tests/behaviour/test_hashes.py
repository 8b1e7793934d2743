"""The hash commands."""
import time

import pytest

from helpers import Left, wait_until

NOT_INT = "ERR value is not an integer or out of range"
WRONG = "WRONGTYPE Operation against a key holding the wrong kind of value"
MISMATCH = "ERR The `numfields` parameter must match the number of arguments"


def test_fields(both, raw):
    assert both.hset("h", mapping={"a": 1, "b": 2}) == 2 and both.hset("h", "a", 3) == 0
    assert both.hget("h", "a") == b"3" and both.hget("h", "x") is None and both.hget("none", "x") is None
    assert both.hmget("h", "a", "x", "b") == [b"3", None, b"2"] and both.hmget("none", "a") == [None]
    assert both.hgetall("h") == {b"a": b"3", b"b": b"2"} and both.hgetall("none") == {}
    assert both.hkeys("h") == [b"a", b"b"] and both.hvals("h") == [b"3", b"2"]
    assert both.hkeys("none") == both.hvals("none") == []
    assert both.hlen("h") == 2 and both.hlen("none") == 0 and both.hstrlen("h", "a") == 1
    assert both.hstrlen("h", "x") == 0
    assert both.hexists("h", "a") and not both.hexists("h", "x") and not both.hexists("none", "x")
    assert both.hsetnx("h", "a", 9) == 0 and both.hsetnx("h", "c", 9) == 1
    assert both.hdel("h", "a", "x", "a") == 1 and both.hdel("h", "b", "c") == 2 and both.exists("h") == 0
    assert both.hdel("h", "b") == 0
    assert raw.call("HMSET", "h", "a", "1", "", "empty") == "OK" and raw.call("HGET", "h", "") == b"empty"
    assert raw.call("HSET", "h", "f", "1", "f", "2") == 1 and raw.call("HGET", "h", "f") == b"2"


@pytest.mark.parametrize("name", ["HSET", "HMSET"])
def test_odd_pairs(raw, name):
    assert raw.call(name, "h", "a", "1", "b") == f"ERR wrong number of arguments for '{name.lower()}' command"


def test_resp3_is_a_map(raw, raw3):
    raw.call("HSET", "h", "a", "1")
    assert raw.call("HGETALL", "h") == [b"a", b"1"] and raw3.call("HGETALL", "h") == {b"a": b"1"}


def test_counters(both, raw):
    assert both.hincrby("h", "n", 5) == 5 and both.hincrby("h", "n", -7) == -2
    assert both.hincrbyfloat("h", "f", 1.5) == 1.5 and raw.call("HINCRBYFLOAT", "h", "f", "0.1") == b"1.6"
    both.hset("h", mapping={"s": "abc", "sp": " 1", "big": 2**63 - 1})
    assert raw.call("HINCRBY", "h", "n", "x") == NOT_INT
    for field in ("s", "sp"):
        assert raw.call("HINCRBY", "h", field, 1) == "ERR hash value is not an integer"
        assert raw.call("HINCRBYFLOAT", "h", field, 1) == "ERR hash value is not a float"
    assert raw.call("HINCRBY", "h", "big", 1) == "ERR increment or decrement would overflow"
    assert raw.call("HINCRBYFLOAT", "h", "f", "x") == "ERR value is not a valid float"
    assert raw.call("HINCRBYFLOAT", "h", "f", "inf") == "ERR value is NaN or Infinity"


def test_random_fields(both, raw, raw3):
    assert both.hrandfield("none") is None and both.hrandfield("none", 3) == []
    both.hset("h", mapping={f"f{i}": i for i in range(100)})
    everything = {b"f%d" % i for i in range(100)}
    assert both.hrandfield("h") in everything
    for count in (1, 10, 60, 100, 1000):
        found = both.hrandfield("h", count)
        assert len(found) == len(set(found)) == min(count, 100) and set(found) <= everything
    assert len(both.hrandfield("h", -250)) == 250 and both.hrandfield("h", 0) == []
    pairs = raw.call("HRANDFIELD", "h", "5", "WITHVALUES")
    assert len(pairs) == 10 and all(b"f" + value == field for field, value in zip(pairs[::2], pairs[1::2]))
    assert all(b"f" + value == field for field, value in raw3.call("HRANDFIELD", "h", "5", "WITHVALUES"))
    assert raw.call("HRANDFIELD", "h", "x") == NOT_INT and raw.call("HRANDFIELD", "h", "1", "FOO") == "ERR syntax error"
    assert raw.call("HRANDFIELD", "h", -(2**62), "WITHVALUES") == "ERR value is out of range"
    assert "value must between" in raw.call("HRANDFIELD", "h", -(2**63)).text


def test_scan(both, raw):
    assert both.hscan("none") == (0, {})
    both.hset("small", mapping={"a": 1, "b": 2})
    assert both.hscan("small", count=1) == (0, {b"a": b"1", b"b": b"2"})
    both.hset("h", mapping={f"f{i}": i for i in range(1000)})
    cursor, found, n = 0, {}, 0
    while True:
        cursor, page = both.hscan("h", cursor, count=10)
        found.update(page)
        n += 1
        if not cursor:
            break
    assert len(found) == 1000 and n == 100
    assert dict(both.hscan_iter("h", match="f99?")) == {b"f99%d" % i: b"99%d" % i for i in range(10)}
    assert raw.call("HSCAN", "small", 0, "NOVALUES") == [b"0", [b"a", b"b"]]
    assert raw.call("HSCAN", "small", "x") == "ERR invalid cursor"
    assert raw.call("HSCAN", "small", 0, "FOO") == "ERR syntax error"
    assert raw.call("HSCAN", "small", 0, "COUNT", 0) == "ERR syntax error"
    assert raw.call("HSCAN", "small", 0, "COUNT", "x") == NOT_INT
    assert raw.call("HSCAN", "small", 0, "TYPE", "x") == "ERR syntax error"


def test_encoding(both):
    both.hset("h", "f", "x" * 64)
    assert both.object("encoding", "h") == b"listpack"
    both.hset("h", "f", "x" * 65)
    assert both.object("encoding", "h") == b"hashtable"
    both.hset("t", mapping={"a": 1, "b": 2})
    both.hexpire("t", 100, "a")
    assert both.object("encoding", "t") == b"listpackex"


def test_field_expiry(both):
    both.hset("h", mapping={"a": 1, "b": 2, "c": 3})
    assert both.hexpire("h", 100, "a", "none") == [1, -2]
    assert both.httl("h", "a", "b", "none") == [Left(100), -1, -2]
    assert both.hpttl("h", "a") == [Left(100_000)]
    now = time.time()
    assert abs(both.hexpiretime("h", "a")[0] - now - 100) < 50
    assert abs(both.hpexpiretime("h", "a")[0] / 1000 - now - 100) < 50
    assert both.hpersist("h", "a", "b", "none") == [1, -1, -2] and both.httl("h", "a") == [-1]
    assert both.hexpireat("h", int(now) + 50, "b") == [1] and both.httl("h", "b") == [Left(50)]
    assert both.hpexpireat("h", int(now * 1000) + 50_000, "b") == [1]
    assert both.hexpire("h", 0, "b") == [2] and both.hkeys("h") == [b"a", b"c"]
    assert both.hpexpire("h", 20, "a") == [1]
    time.sleep(0.04)
    assert both.hget("h", "a") is None and both.hgetall("h") == {b"c": b"3"} and both.hlen("h") == 1
    assert not both.hexists("h", "a")
    assert both.hexpire("none", 10, "a") == [-2] and both.httl("none", "a") == [-2]
    assert both.hpersist("none", "a") == [-2]


def test_field_expiry_conditions(both):
    both.hset("h", mapping={"a": 1, "b": 2})
    assert both.hexpire("h", 100, "a", xx=True) == [0] and both.hexpire("h", 100, "a", gt=True) == [0]
    assert both.hexpire("h", 100, "a", nx=True) == [1] and both.hexpire("h", 200, "a", nx=True) == [0]
    assert both.hexpire("h", 50, "a", gt=True) == [0] and both.hexpire("h", 200, "a", gt=True) == [1]
    assert both.hexpire("h", 300, "a", lt=True) == [0] and both.hexpire("h", 50, "a", lt=True) == [1]
    assert both.hexpire("h", 70, "a", xx=True) == [1] and both.hexpire("h", 100, "b", lt=True) == [1]
    assert both.httl("h", "a") == [Left(70)]


def test_active_field_expiry(both):
    for i in range(50):
        both.hset(f"h{i}", mapping={"a": 1})
        both.hpexpire(f"h{i}", 20, "a")
    wait_until(lambda: both.dbsize() == 0, what="the expiry of all hashes without reading them")


def test_field_times_are_kept_or_lost(both):
    both.hset("h", mapping={"a": 1, "b": 1, "c": 1.5})
    both.hexpire("h", 100, "a", "b", "c")
    both.hset("h", "a", 2)
    both.hincrby("h", "b", 1)
    both.hincrbyfloat("h", "c", 1)
    assert both.httl("h", "a", "b", "c") == [-1, Left(100), Left(100)]
    both.rename("h", "i")
    both.copy("i", "j")
    assert [*both.httl("i", "b"), *both.httl("j", "b")] == [Left(100), Left(100)]
    both.hpexpire("j", 10, "b", "c", "a")
    time.sleep(0.03)
    assert both.exists("j") == 0 and both.hlen("i") == 3


@pytest.mark.parametrize("words, error", [
    ("HEXPIRE h x FIELDS 1 a", NOT_INT), ("HEXPIRE h -1 FIELDS 1 a", "ERR invalid expire time, must be >= 0"),
    ("HEXPIRE h 9223372036854775807 FIELDS 1 a", "ERR invalid expire time in 'hexpire' command"),
    ("HPEXPIREAT h 70368744177664 FIELDS 1 a", "ERR invalid expire time in 'hpexpireat' command"),
    ("HEXPIRE h 100 FIELDS 3 a", MISMATCH), ("HEXPIRE h 100 FIELDS 1 a b", MISMATCH),
    ("HEXPIRE h 100 FIELDS 0 a", "ERR Parameter `numFields` should be greater than 0"),
    ("HEXPIRE h 100 FOO 1 a", "ERR Mandatory argument FIELDS is missing or not at the right position"),
    ("HTTL h FOO 1 a", "ERR Mandatory argument FIELDS is missing or not at the right position"),
    ("HTTL h FIELDS x a", "ERR Number of fields must be a positive integer"), ("HPERSIST h FIELDS 2 a", MISMATCH),
    ("HGETEX h EX x FIELDS 1 a", NOT_INT), ("HGETEX h FIELDS 0 a", "ERR Number of fields must be a positive integer"),
    ("HGETEX h PERSIST 1 FIELDS 1 a", "ERR Mandatory argument FIELDS is missing or not at the right position"),
    ("HGETEX h PX -1 FIELDS 1 a", "ERR invalid expire time, must be >= 0"), ("HGETDEL h FIELDS 2 a", MISMATCH),
    ("HSETEX h FNX FXX FIELDS 1 a b", "ERR Only one of FXX or FNX arguments can be specified"),
    ("HSETEX h EX 1 KEEPTTL FIELDS 1 a b", "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"),
    ("HSETEX h FIELDS 2 a b c", "ERR wrong number of arguments for 'hsetex' command"),
    ("HSETEX h FIELDS 0 a b", "ERR invalid number of fields"),
    ("HSETEX h FOO FIELDS 1 a b", "ERR unknown argument: FOO"),
    ("HSETEX h EX FIELDS 1 a b", NOT_INT)])
def test_field_expiry_errors(raw, words, error):
    raw.call("HSET", "h", "a", "1")
    assert raw.call(*words.split()) == error


def test_hgetex_hgetdel_hsetex(both, raw):
    assert raw.call("HSETEX", "h", "EX", 100, "FIELDS", 2, "a", 1, "b", 2) == 1
    assert raw.call("HTTL", "h", "FIELDS", 2, "a", "b") == [Left(100), Left(100)]
    assert raw.call("HSETEX", "h", "KEEPTTL", "FIELDS", 1, "a", 3) == 1
    assert raw.call("HSETEX", "h", "FIELDS", 1, "b", 4) == 1
    assert raw.call("HTTL", "h", "FIELDS", 2, "a", "b") == [Left(100), -1]
    assert raw.call("HSETEX", "h", "FNX", "FIELDS", 2, "a", 9, "z", 9) == 0
    assert raw.call("HSETEX", "h", "FXX", "FIELDS", 2, "a", 9, "z", 9) == 0
    assert raw.call("HSETEX", "none", "FXX", "FIELDS", 1, "a", 9) == 0 and raw.call("EXISTS", "none") == 0
    assert raw.call("HGETEX", "h", "FIELDS", 2, "a", "none") == [b"3", None]
    assert raw.call("HGETEX", "h", "PERSIST", "FIELDS", 1, "a") == [b"3"]
    assert raw.call("HTTL", "h", "FIELDS", 1, "a") == [-1]
    assert raw.call("HGETEX", "h", "EX", 50, "FIELDS", 1, "b") == [b"4"]
    assert raw.call("HTTL", "h", "FIELDS", 1, "b") == [Left(50)]
    assert raw.call("HGETEX", "none", "FIELDS", 1, "b") == [None]
    assert raw.call("HGETDEL", "h", "FIELDS", 2, "a", "none") == [b"3", None] and both.hkeys("h") == [b"b"]
    assert raw.call("HGETEX", "h", "PXAT", 1, "FIELDS", 1, "b") == [b"4"] and raw.call("EXISTS", "h") == 0
    assert raw.call("HGETDEL", "h", "FIELDS", 1, "a") == [None]
    assert raw.call("HSETEX", "h", "PX", 0, "FIELDS", 1, "a", "1") == 1 and raw.call("EXISTS", "h") == 0


def test_notifications(own_server, connect, raw):
    raw.call("CONFIG", "SET", "notify-keyspace-events", "KA")
    try:
        listener = connect()
        listener.call("PSUBSCRIBE", "__keyspace@0__:h")
        for words in ("HSET h a 1 b 2", "HDEL h none", "HDEL h a", "HEXPIRE h 100 FIELDS 1 b", "HPERSIST h FIELDS 1 b",
                      "HINCRBY h b 1", "HSETEX h EX 1000 FIELDS 1 c 1", "HGETDEL h FIELDS 1 c", "HPEXPIRE h 5 FIELDS 1 b"):
            raw.call(*words.split())
        time.sleep(0.02)
        raw.call("HLEN", "h")
        expected = ["hset", "hdel", "hexpire", "hpersist", "hincrby", "hset", "hexpire", "hdel", "hexpire", "hexpired", "del"]
        assert [listener.read()[3].decode() for _ in expected] == expected
    finally:
        raw.call("CONFIG", "SET", "notify-keyspace-events", "")


@pytest.mark.parametrize("words", [
    "HSET s a 1", "HMSET s a 1", "HSETNX s a 1", "HGET s a", "HMGET s a", "HGETALL s", "HKEYS s", "HVALS s", "HLEN s",
    "HSTRLEN s a",
    "HEXISTS s a", "HDEL s a", "HINCRBY s a 1", "HINCRBYFLOAT s a 1", "HRANDFIELD s", "HRANDFIELD s 1", "HSCAN s 0",
    "HEXPIRE s 1 FIELDS 1 a", "HPEXPIRE s 1 FIELDS 1 a", "HEXPIREAT s 1 FIELDS 1 a", "HPEXPIREAT s 1 FIELDS 1 a",
    "HTTL s FIELDS 1 a",
    "HPTTL s FIELDS 1 a", "HEXPIRETIME s FIELDS 1 a", "HPEXPIRETIME s FIELDS 1 a", "HPERSIST s FIELDS 1 a", "HGETEX s FIELDS 1 a",
    "HGETDEL s FIELDS 1 a", "HSETEX s FIELDS 1 a 1"])
def test_wrong_type(raw, words):
    raw.call("SET", "s", "v")
    assert raw.call(*words.split()) == WRONG
