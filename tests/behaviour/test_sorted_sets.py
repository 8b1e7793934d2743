"""The sorted set commands."""
import pytest
from helpers import RawConnection, wait_until


@pytest.fixture
def z(raw):
    """z: a 1, b 2, c 3, d 3."""
    assert raw.call("ZADD", "z", 1, "a", 2, "b", 3, "c", 3, "d") == 4
    return raw


class TestScores:
    def test_zadd(self, raw):
        assert raw.call("ZADD", "z", "1.5", "a", "-inf", "b") == 2 and raw.call("ZADD", "z", 2, "a", 1, "c") == 1
        assert raw.call("ZADD", "z", "CH", 3, "a", 1, "c") == 1 and raw.call("ZADD", "z", "NX", 9, "a", 9, "d") == 1
        assert raw.call("ZADD", "z", "XX", 5, "e") == 0 and raw.call("ZSCORE", "z", "e") is None
        assert raw.call("ZADD", "z", "GT", "CH", 1, "a", 10, "d") == 1 and raw.call("ZADD", "z", "LT", "CH", 1, "a", 11, "d") == 1
        assert raw.call("ZMSCORE", "z", "a", "b", "x") == [b"1", b"-inf", None]
        assert raw.call("ZADD", "z", "INCR", "2.5", "a") == b"3.5" and raw.call("ZADD", "z", "NX", "INCR", 1, "a") is None
        assert raw.call("TYPE", "z") == "zset" and raw.call("ZCARD", "z") == 4

    def test_refusals(self, raw):
        raw.call("SET", "s", "x")
        assert raw.error("ZADD", "s", 1, "a").startswith("WRONGTYPE") and raw.error("ZADD", "z", 1).startswith("ERR wrong number")
        assert raw.error("ZADD", "z", "nan", "a") == "ERR value is not a valid float" == raw.error("ZADD", "z", "x", "a")
        assert raw.error("ZADD", "z", "NX", "XX", 1, "a") == "ERR XX and NX options at the same time are not compatible"
        assert raw.error("ZADD", "z", "GT", "NX", 1, "a") == "ERR GT, LT, and/or NX options at the same time are not compatible"
        assert raw.error("ZADD", "z", "INCR", 1, "a", 1, "b") == "ERR INCR option supports a single increment-element pair"
        raw.call("ZADD", "z", "inf", "a")
        assert raw.error("ZINCRBY", "z", "-inf", "a") == "ERR resulting score is not a number (NaN)"

    def test_resp3(self, raw3):
        raw3.call("ZADD", "z", "1.5", "a", 2, "b")
        assert raw3.call("ZSCORE", "z", "a") == 1.5 and raw3.call("ZINCRBY", "z", 1, "a") == 2.5
        assert raw3.call("ZRANGE", "z", 0, -1, "WITHSCORES") == [[b"b", 2.0], [b"a", 2.5]]
        assert raw3.call("ZRANK", "z", "a", "WITHSCORE") == [1, 2.5] and raw3.call("ZPOPMIN", "z") == [b"b", 2.0]
        assert raw3.call("ZPOPMIN", "z", 1) == [[b"a", 2.5]] and raw3.call("ZRANK", "z", "a", "WITHSCORE") is None

    def test_ranks(self, z):
        assert z.call("ZRANK", "z", "c") == 2 and z.call("ZREVRANK", "z", "c") == 1 and z.call("ZRANK", "z", "x") is None
        assert z.call("ZREVRANK", "z", "a", "WITHSCORE") == [3, b"1"]


class TestRanges:
    @pytest.mark.parametrize("words, found", [
        ("ZRANGE z 0 -1", "abcd"), ("ZRANGE z -2 9", "cd"), ("ZRANGE z 2 1", ""), ("ZRANGE z 0 1 REV", "dc"),
        ("ZREVRANGE z 1 2", "cb"),
        ("ZRANGE z 2 3 BYSCORE", "bcd"), ("ZRANGE z (1 (3 BYSCORE", "b"), ("ZRANGE z 3 2 BYSCORE REV", "dcb"),
        ("ZRANGE z -inf +inf BYSCORE LIMIT 1 2", "bc"), ("ZRANGE z +inf -inf BYSCORE REV LIMIT 1 2", "cb"),
        ("ZRANGEBYSCORE z 2 3 LIMIT 1 -1", "cd"), ("ZREVRANGEBYSCORE z 3 1 LIMIT 0 2", "dc"),
        ("ZRANGEBYSCORE z 2 3 LIMIT -1 2", ""),
        ("ZRANGEBYSCORE z 2 3 LIMIT 5 2", ""), ("ZREVRANGEBYSCORE z (3 (1", "b")])
    def test_members(self, z, words, found):
        assert b"".join(z.call(*words.split())).decode() == found

    def test_texts(self, raw):
        raw.call("ZADD", "z", *[word for member in "abcde" for word in (0, member)])
        for words, found in (("- +", "abcde"), ("[b (d", "bc"), ("(b +", "cde"), ("- [b", "ab"), ("+ -", ""), ("[x [y", "")):
            low, high = words.split()
            assert b"".join(raw.call("ZRANGEBYLEX", "z", low, high)).decode() == found
            assert b"".join(raw.call("ZRANGE", "z", high, low, "BYLEX", "REV")).decode() == found[::-1]
            assert raw.call("ZLEXCOUNT", "z", low, high) == len(found)
        assert raw.call("ZREMRANGEBYLEX", "z", "[b", "[d") == 3 and raw.call("ZRANGE", "z", 0, -1) == [b"a", b"e"]

    def test_counts_and_removal(self, z):
        assert z.call("ZCOUNT", "z", "(1", "3") == 3 and z.call("ZCOUNT", "z", "5", "3") == 0
        assert z.call("ZREMRANGEBYRANK", "z", 0, 0) == 1 and z.call("ZREMRANGEBYSCORE", "z", 3, 3) == 2
        assert z.call("ZREM", "z", "b", "x") == 1 and z.call("EXISTS", "z") == 0

    def test_store(self, z):
        assert z.call("ZRANGESTORE", "t", "z", "(1", "3", "BYSCORE", "LIMIT", 0, 2) == 2
        assert z.call("ZRANGE", "t", 0, -1, "WITHSCORES") == [b"b", b"2", b"c", b"3"]
        assert z.call("ZRANGESTORE", "t", "none", 0, -1) == 0 and z.call("EXISTS", "t") == 0

    def test_refusals(self, z):
        assert z.error("ZRANGE", "z", 0, 1, "LIMIT", 0, 1).startswith("ERR syntax error, LIMIT is only supported in combination")
        assert z.error("ZRANGE", "z", "[a", "[b", "BYLEX", "WITHSCORES").startswith("ERR syntax error, WITHSCORES not supported")
        assert z.error("ZRANGEBYSCORE", "z", "x", 1) == "ERR min or max is not a float"
        assert z.error("ZRANGEBYLEX", "z", "x", "+") == "ERR min or max not valid string range item"


class TestAlgebra:
    def test_results(self, z):
        z.call("ZADD", "y", 10, "b", 20, "c", 30, "e")
        z.call("SADD", "s", "a", "b")
        assert z.call("ZUNION", 2, "z", "y", "WITHSCORES") == [b"a", b"1", b"d", b"3", b"b", b"12", b"c", b"23", b"e", b"30"]
        assert z.call("ZINTER", 2, "z", "y", "WEIGHTS", 2, 1, "AGGREGATE", "MAX", "WITHSCORES") == [b"b", b"10", b"c", b"20"]
        assert z.call("ZDIFF", 2, "z", "y") == [b"a", b"d"]
        assert z.call("ZINTER", 2, "z", "s", "WITHSCORES") == [b"a", b"2", b"b", b"3"]
        assert z.call("ZINTERCARD", 2, "z", "y") == 2 and z.call("ZINTERCARD", 2, "z", "y", "LIMIT", 1) == 1
        assert z.call("ZUNIONSTORE", "t", 2, "z", "y") == 5 and z.call("ZINTERSTORE", "t", 2, "z", "y") == 2
        assert z.call("ZDIFFSTORE", "t", 1, "none") == 0 and z.call("EXISTS", "t") == 0

    def test_infinities(self, raw):
        raw.call("ZADD", "a", "inf", "m")
        raw.call("ZADD", "b", "-inf", "m")
        assert raw.call("ZUNION", 2, "a", "b", "WITHSCORES") == [b"m", b"0"]
        assert raw.call("ZUNION", 1, "a", "WEIGHTS", 0, "WITHSCORES") == [b"m", b"0"]

    def test_refusals(self, z):
        assert z.error("ZUNION", 0, "z") == "ERR at least 1 input key is needed for 'zunion' command"
        assert z.error("ZUNION", 2, "z") == "ERR syntax error" == z.error("ZDIFF", 1, "z", "WEIGHTS", 1)
        assert z.error("ZUNION", 1, "z", "WEIGHTS", "x") == "ERR weight value is not a float"
        assert z.error("ZINTERCARD", 1, "z", "LIMIT", -1) == "ERR LIMIT can't be negative"
        z.call("SET", "s", "x")
        assert z.error("ZUNION", 2, "z", "s").startswith("WRONGTYPE")


class TestPops:
    def test_pops(self, z):
        assert z.call("ZPOPMIN", "z") == [b"a", b"1"] and z.call("ZPOPMAX", "z", 2) == [b"d", b"3", b"c", b"3"]
        assert z.call("ZMPOP", 2, "none", "z", "MIN", "COUNT", 5) == [b"z", [[b"b", b"2"]]]
        assert z.call("ZMPOP", 1, "z", "MAX") is None and z.call("ZPOPMIN", "z") == [] and z.call("EXISTS", "z") == 0
        assert z.error("ZPOPMIN", "z", -1) == "ERR value is out of range, must be positive"

    @pytest.mark.parametrize("words, reply", [
        (("BZPOPMIN", "none", "w", 0), [b"w", b"a", b"1"]), (("BZPOPMAX", "w", 0), [b"w", b"b", b"2"]),
        (("BZMPOP", 0, 2, "none", "w", "MAX", "COUNT", 2), [b"w", [[b"b", b"2"], [b"a", b"1"]]])])
    def test_waiting(self, raw, server, words, reply):
        with RawConnection(server.host, server.port) as other:
            other.send(b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(str(w)), str(w).encode()) for w in words)]))
            wait_until(lambda: b"blocked_clients:1" in raw.call("INFO", "clients"))
            raw.call("ZADD", "w", 1, "a", 2, "b")
            assert other.read() == reply

    def test_timeout(self, raw):
        assert raw.call("BZPOPMIN", "none", "0.01") is None


def test_scans_and_picks(raw):
    raw.call("ZADD", "z", *[word for i in range(300) for word in (i, f"m{i}")])
    cursor, found = b"0", []
    while True:
        cursor, page = raw.call("ZSCAN", "z", cursor, "COUNT", 50)
        found += page
        if cursor == b"0":
            break
    assert dict(zip(found[::2], found[1::2])) == {b"m%d" % i: b"%d" % i for i in range(300)}
    assert raw.call("ZSCAN", "z", 0, "MATCH", "m7", "COUNT", 1000) == [b"0", [b"m7", b"7"]]
    assert len(set(raw.call("ZRANDMEMBER", "z", 10))) == 10 and len(raw.call("ZRANDMEMBER", "z", -500)) == 500
    assert len(raw.call("ZRANDMEMBER", "z", 3, "WITHSCORES")) == 6 and raw.call("ZRANDMEMBER", "none") is None


def test_other_commands(raw):
    raw.call("ZADD", "z", 2, "a", 1, "b")
    assert raw.call("OBJECT", "ENCODING", "z") == b"listpack" and raw.call("MEMORY", "USAGE", "z") > 100
    assert raw.call("SORT", "z", "ALPHA", "DESC") == [b"b", b"a"] and raw.call("SORT", "z", "BY", "nosort") == [b"b", b"a"]
    assert raw.call("COPY", "z", "y") == 1 and raw.call("ZADD", "y", 3, "c") == 1 and raw.call("ZCARD", "z") == 2
    assert raw.call("SCAN", 0, "TYPE", "zset")[1] and raw.call("ZADD", "z", 1, "x" * 65) == 1
    assert raw.call("OBJECT", "ENCODING", "z") == b"skiplist"
