"""The set commands."""
import pytest

NOT_INT = "ERR value is not an integer or out of range"
SYNTAX = "ERR syntax error"
WRONG = "WRONGTYPE Operation against a key holding the wrong kind of value"


def test_members(both, raw, raw3):
    assert both.sadd("s", "a", "b", "a") == 2 and both.sadd("s", "a", "c") == 1 and both.scard("s") == 3
    assert both.scard("none") == 0
    assert both.smembers("s") == {b"a", b"b", b"c"} or both.smembers("s") == [b"a", b"b", b"c"]
    assert both.sismember("s", "a") and not both.sismember("s", "x") and not both.sismember("none", "x")
    assert both.smismember("s", ["a", "x"]) == [1, 0] and both.smismember("none", ["a", "x"]) == [0, 0]
    assert both.srem("s", "a", "x", "a") == 1 and both.srem("none", "x") == 0
    assert raw.call("SMEMBERS", "s") == [b"b", b"c"] and raw3.call("SMEMBERS", "s") == ("set", [b"b", b"c"])
    assert raw3.call("SMEMBERS", "none") == ("set", [])
    assert both.srem("s", "b", "c") == 2 and not both.exists("s")
    both.sadd("i", 10, 9, -1)
    assert raw.call("SMEMBERS", "i") == [b"-1", b"9", b"10"]


def test_move(both):
    both.sadd("a", "x", "y")
    assert both.smove("a", "b", "x") and not both.smove("a", "b", "x") and both.smove("a", "b", "y")
    assert not both.exists("a")
    assert both.scard("b") == 2 and not both.smove("none", "b", "x") and both.smove("b", "b", "x")
    assert not both.smove("b", "b", "z")


def test_random(both, raw, raw3):
    assert both.spop("none") is None and both.srandmember("none") is None and both.srandmember("none", 2) == []
    everything = {b"%d" % i for i in range(100)}
    both.sadd("s", *range(100))
    assert both.srandmember("s") in everything
    for count in (0, 1, 10, 60, 100, 1000):
        found = both.srandmember("s", count)
        assert len(found) == len(set(found)) == min(count, 100) and set(found) <= everything
    assert len(both.srandmember("s", -250)) == 250
    one = both.spop("s")
    assert one in everything and both.scard("s") == 99 and not both.sismember("s", one)
    some = set(both.spop("s", 40))
    assert len(some) == 40 and one not in some and both.scard("s") == 59 and both.spop("s", 0) in (set(), [])
    assert raw3.call("SPOP", "s", 1)[0] == "set"
    assert len(both.spop("s", 1000)) == 58 and not both.exists("s")
    for words, error in (("SPOP s -1", "ERR value is out of range, must be positive"),
                         ("SPOP s x", "ERR value is out of range, must be positive"),
                         ("SRANDMEMBER s x", NOT_INT), ("SPOP s 1 2", SYNTAX), ("SRANDMEMBER s 1 2", SYNTAX)):
        assert raw.call(*words.split()) == error


def test_algebra(both, raw, raw3):
    both.sadd("a", *"abcd")
    both.sadd("b", *"cde")
    both.sadd("c", *"c")
    as_set = lambda reply: set(reply)                                   # noqa: E731  RESP2 and RESP3 differ in redis-py's types
    assert as_set(both.sinter("a", "b")) == {b"c", b"d"} and as_set(both.sinter("a", "b", "c")) == {b"c"}
    assert not both.sinter("a", "none")
    assert as_set(both.sunion("a", "b", "none")) == {b"a", b"b", b"c", b"d", b"e"}
    assert as_set(both.sdiff("a", "b")) == {b"a", b"b"} and as_set(both.sdiff("a", "none", "c")) == {b"a", b"b", b"d"}
    assert not both.sdiff("none", "a")
    assert raw3.call("SINTER", "a", "c") == ("set", [b"c"])
    assert both.sinterstore("to", "a", "b") == 2 and as_set(both.smembers("to")) == {b"c", b"d"}
    both.set("to", "v", ex=100)
    assert both.sunionstore("to", "a", "b") == 5 and both.ttl("to") == -1 and both.sdiffstore("to", "a", "b") == 2
    assert both.sinterstore("a", "a", "c") == 1 and both.scard("a") == 1
    assert both.sdiffstore("to", "c", "c") == 0 and not both.exists("to")
    assert both.sintercard(2, ["b", "c"]) == 1 and both.sintercard(1, ["b"], limit=2) == 2
    assert both.sintercard(2, ["b", "none"]) == 0
    for words, error in (("SINTERCARD 0 a", "ERR numkeys should be greater than 0"),
                         ("SINTERCARD 3 a b", "ERR Number of keys can't be greater than number of args"),
                         ("SINTERCARD 1 a LIMIT -1", "ERR LIMIT can't be negative"), ("SINTERCARD 1 a b", SYNTAX),
                         ("SINTERCARD 1 a LIMIT", SYNTAX)):
        assert raw.call(*words.split()) == error


def test_scan(both, raw):
    both.sadd("s", *(f"m{i}" for i in range(1000)))
    assert set(both.sscan_iter("s")) == {b"m%d" % i for i in range(1000)}
    assert set(both.sscan_iter("s", match="m99?")) == {b"m99%d" % i for i in range(10)}
    cursor, found = 0, set()
    for i in range(10_000):
        cursor, page = both.sscan("s", cursor, count=10)
        found.update(page)
        both.srem("s", f"m{i}") if i < 50 else None
        if not cursor:
            break
    assert {b"m%d" % i for i in range(50, 1000)} <= found
    assert both.sscan("none") == (0, [])
    assert raw.call("SSCAN", "s", "x") == "ERR invalid cursor" and raw.call("SSCAN", "s", 0, "FOO", 1) == SYNTAX
    assert raw.call("SSCAN", "s", 0, "NOVALUES") == "ERR NOVALUES option can only be used in HSCAN"


@pytest.mark.parametrize("words", [
    "SADD s a", "SREM s a", "SCARD s", "SISMEMBER s a", "SMISMEMBER s a", "SMEMBERS s", "SMOVE s t a", "SMOVE t s a",
    "SPOP s", "SPOP s 1",
    "SRANDMEMBER s", "SRANDMEMBER s 1", "SINTER t s", "SUNION t s", "SDIFF t s", "SINTERSTORE x t s",
    "SUNIONSTORE x t s", "SDIFFSTORE x t s",
    "SINTERCARD 2 t s", "SSCAN s 0"])
def test_wrong_type(raw, words):
    raw.call("SET", "s", "v")
    raw.call("SADD", "t", "a")
    assert raw.call(*words.split()) == WRONG


def test_sizes_of_unions_and_differences(raw):
    raw.call("SADD", "a", 1, 2, 3)
    raw.call("SADD", "b", 3, 4)
    assert raw.call("SUNIONCARD", 2, "a", "b") == raw.call("SUNIONCARD", 3, "a", "b", "none", "APPROX", "LIMIT", 0) == 4
    assert raw.call("SUNIONCARD", 2, "a", "b", "LIMIT", 3) == 3 and raw.call("SUNIONCARD", 1, "none") == 0
    assert raw.call("SDIFFCARD", 2, "a", "b") == 2 and raw.call("SDIFFCARD", 2, "a", "b", "LIMIT", 1) == 1
    assert raw.call("SDIFFCARD", 2, "none", "a") == 0 and raw.call("SDIFFCARD", 1, "a", "APPROX") == "ERR syntax error"
