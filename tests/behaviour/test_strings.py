"""The string commands."""
import time

import pytest
from helpers import Left
from redis.exceptions import ResponseError

NOT_INT = "ERR value is not an integer or out of range"
SYNTAX = "ERR syntax error"
WRONG = "WRONGTYPE Operation against a key holding the wrong kind of value"


def test_set_and_get(both):
    assert both.set("k", b"\x00\r\n\xff") and both.get("k") == b"\x00\r\n\xff"
    assert both.get("absent") is None
    assert both.set("k", "") and both.get("k") == b""


def test_set_conditions(both):
    assert both.set("k", "1", xx=True) is None
    assert both.set("k", "1", nx=True) and both.set("k", "2", nx=True) is None
    assert both.set("k", "3", xx=True) and both.get("k") == b"3"
    assert both.set("k", "4", get=True) == b"3"
    assert both.set("k", "5", nx=True, get=True) == b"4" and both.get("k") == b"4"
    assert both.set("new", "5", nx=True, get=True) is None and both.get("new") == b"5"


def test_set_if_equal(raw):
    assert raw.call("SET", "k", "1", "IFEQ", "0") is None
    assert raw.call("SET", "k", "1", "IFNE", "0") == "OK"
    assert raw.call("SET", "k", "2", "IFEQ", "0") is None
    assert raw.call("SET", "k", "2", "IFEQ", "1") == "OK"
    assert raw.call("SET", "k", "3", "IFNE", "2", "GET") == b"2"
    assert raw.call("DELEX", "k", "IFEQ", "3") == 0 and raw.call("DELEX", "k", "IFEQ", "2") == 1
    assert raw.call("DELEX", "k") == 0


def test_set_expiry(both, raw):
    both.set("k", "v", ex=100)
    assert both.ttl("k") == Left(100)
    both.set("k", "w", keepttl=True)
    assert both.ttl("k") == Left(100)
    both.set("k", "w")
    assert both.ttl("k") == -1
    both.set("k", "v", px=30)
    time.sleep(0.05)
    assert both.get("k") is None
    both.set("k", "v", exat=int(time.time()) + 100)
    assert both.ttl("k") == Left(100)
    both.set("k", "v", pxat=1)
    assert both.get("k") is None


@pytest.mark.parametrize("options, error", [
    ("EX", SYNTAX), ("EX 1 PX 1", SYNTAX), ("NX XX", SYNTAX), ("KEEPTTL EX 1", SYNTAX), ("EX 1 KEEPTTL", SYNTAX),
    ("FOO", SYNTAX),
    ("EX x", NOT_INT), ("EX 1.5", NOT_INT), ("EX 0", "ERR invalid expire time in 'set' command"),
    ("PX -1", "ERR invalid expire time in 'set' command"),
    ("EX 9223372036854775807", "ERR invalid expire time in 'set' command"),
    ("PERSIST", SYNTAX), ("IFEQ", SYNTAX), ("NX IFEQ a", SYNTAX)])
def test_set_errors(raw, options, error):
    assert raw.call("SET", "k", "v", *options.split()) == error
    assert raw.call("EXISTS", "k") == 0


def test_setex_and_others(both, raw):
    assert raw.call("SETEX", "k", 100, "v") == "OK" and both.ttl("k") == Left(100)
    assert both.psetex("k", 100_000, "w") and both.ttl("k") == Left(100)
    assert raw.call("SETEX", "k", "0", "v") == "ERR invalid expire time in 'setex' command"
    assert raw.call("PSETEX", "k", "x", "v") == NOT_INT
    assert both.setnx("k", "z") is False and both.setnx("l", "z") is True
    assert both.getset("k", "n") == b"w" and both.ttl("k") == -1
    assert both.getdel("k") == b"n" and both.getdel("k") is None


def test_getex(both, raw):
    assert both.getex("k", ex=10) is None
    both.set("k", "v")
    assert both.getex("k", ex=100) == b"v" and both.ttl("k") == Left(100)
    assert both.getex("k") == b"v" and both.ttl("k") > 0
    assert both.getex("k", persist=True) == b"v" and both.ttl("k") == -1
    assert raw.call("GETEX", "k", "EX", "1", "PERSIST") == SYNTAX
    assert raw.call("GETEX", "k", "EX", "0") == "ERR invalid expire time in 'getex' command"
    assert both.getex("k", pxat=1) == b"v" and both.exists("k") == 0


def test_many_keys(both, raw):
    assert both.mset({"a": 1, "b": 2}) and both.mget("a", "x", "b") == [b"1", None, b"2"]
    both.rpush("l", 1)
    assert both.mget("a", "l") == [b"1", None]
    assert both.msetnx({"c": 1, "a": 9}) is False and both.exists("c") == 0
    assert both.msetnx({"c": 1, "d": 9}) is True
    assert raw.call("MSET", "a", "1", "b") == "ERR wrong number of arguments for 'mset' command"
    assert raw.call("MSETNX", "a", "1", "b") == "ERR wrong number of arguments for 'msetnx' command"


def test_msetex(raw):
    assert raw.call("MSETEX", 2, "a", 1, "b", 2, "EX", 100) == 1
    assert raw.call("TTL", "b") == Left(100)
    assert raw.call("MSETEX", 2, "a", 5, "c", 2, "NX") == 0 and raw.call("MSETEX", 2, "a", 5, "c", 2, "XX") == 0
    assert raw.call("MSETEX", 1, "a", 5, "XX", "KEEPTTL") == 1 and raw.call("TTL", "a") == Left(100)
    assert raw.call("MSETEX", 0, "a", 1) == "ERR invalid numkeys value"
    assert raw.call("MSETEX", 2, "a", 1, "b") == "ERR wrong number of arguments for 'msetex' command"


def test_counters(both, raw):
    assert [both.incr("n"), both.incrby("n", 10), both.decr("n"), both.decrby("n", 3)] == [1, 11, 10, 7]
    both.expire("n", 100)
    both.incr("n")
    assert both.ttl("n") > 0
    for text in ("", " 1", "1 ", "+1", "01", "-0", "1.0", "0x1", "9223372036854775808", "1" * 30, "1_0"):
        raw.call("SET", "bad", text)
        assert raw.call("INCR", "bad") == NOT_INT, text
        assert raw.call("INCRBY", "n", text) == NOT_INT, text
    raw.call("SET", "big", "9223372036854775807")
    assert raw.call("INCR", "big") == "ERR increment or decrement would overflow"
    raw.call("SET", "low", "-9223372036854775808")
    assert raw.call("DECR", "low") == "ERR increment or decrement would overflow"
    assert raw.call("DECRBY", "n", "-9223372036854775808") == "ERR decrement would overflow"


@pytest.mark.parametrize("start, change, result", [
    ("0.1", "0.2", b"0.3"), ("3", "1.5", b"4.5"), ("5.0e3", "2.0e2", b"5200"), ("10.50", "0.1", b"10.6"),
    ("-1.1", "1.1", b"0"), ("1", "-0x3", b"-2"),
    ("17179869184", "1.5", b"17179869185.5"), ("1.23", "-0.0000000001", b"1.2299999999"), (".5", "5.", b"5.5"),
    ("-0", "0", b"0"),
    ("9007199254740993", "1", b"9007199254740994")])
def test_incrbyfloat(raw, start, change, result):
    raw.call("SET", "f", start)
    assert raw.call("INCRBYFLOAT", "f", change) == result and raw.call("GET", "f") == result


@pytest.mark.parametrize("change, error", [
    ("x", "ERR value is not a valid float"), ("", "ERR value is not a valid float"),
    (" 1", "ERR value is not a valid float"),
    ("1 ", "ERR value is not a valid float"), ("nan", "ERR value is not a valid float"),
    ("1e5000", "ERR value is not a valid float"),
    ("1e999999999999", "ERR value is not a valid float"), ("inf", "ERR increment would produce NaN or Infinity"),
    ("-Infinity", "ERR increment would produce NaN or Infinity")])
def test_incrbyfloat_errors(raw, change, error):
    assert raw.call("INCRBYFLOAT", "f", change) == error and raw.call("EXISTS", "f") == 0


def test_parts(both, raw):
    assert both.append("k", "Hello") == 5 and both.append("k", " World") == 11
    for start, end, part in ((0, 4, b"Hello"), (-5, -1, b"World"), (0, -1, b"Hello World"), (5, 3, b""), (20, 30, b""),
                             (-100, 2, b"Hel"),
                             (0, -100, b"H"), (-1, -5, b""), (0, 2**62, b"Hello World")):
        assert both.getrange("k", start, end) == part, (start, end)
        assert both.substr("k", start, end) == part
    assert both.setrange("k", 6, "Redis") == 11 and both.get("k") == b"Hello Redis"
    assert both.setrange("z", 3, "x") == 4 and both.get("z") == b"\0\0\0x"
    assert both.setrange("none", 5, "") == 0 and both.exists("none") == 0
    assert both.strlen("k") == 11 and both.strlen("none") == 0
    assert raw.call("SETRANGE", "k", "-1", "x") == "ERR offset is out of range"
    assert raw.call("SETRANGE", "k", "x", "x") == NOT_INT and raw.call("GETRANGE", "k", "0", "x") == NOT_INT
    for offset in (2**29 - 1, 2**63 - 1):
        assert raw.call("SETRANGE", "k", offset, "xx") == "ERR string exceeds maximum allowed size (proto-max-bulk-len)"


def test_long_string_in_pieces(both):
    for i in range(100):
        assert both.append("k", b"%04d" % i * 250) == 1000 * (i + 1)
    assert both.getrange("k", 50_000, 50_003) == b"0050" and both.strlen("k") == 100_000
    both.setrange("k", 99_998, "abcd")
    assert both.get("k")[-4:] == b"abcd" and len(both.get("k")) == 100_002
    assert both.append("k", "!") == 100_003 and both.mget("k")[0][-2:] == b"d!"
    assert both.copy("k", "l") and both.strlen("l") == 100_003
    assert both.object("encoding", "k") == b"raw" and both.type("k") == b"string"


def test_lcs(both, raw):
    both.mset({"a": "ohmytext", "b": "mynewtext"})
    assert both.lcs("a", "b") == b"mytext" and both.lcs("a", "b", len=True) == 6
    found = raw.call("LCS", "a", "b", "IDX", "MINMATCHLEN", 4, "WITHMATCHLEN")
    assert found == [b"matches", [[[4, 7], [5, 8], 4]], b"len", 6]
    assert raw.call("LCS", "a", "b", "IDX") == [b"matches", [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], b"len", 6]
    assert raw.call("LCS", "a", "none") == b""
    assert raw.call("LCS", "a", "b", "IDX", "LEN") == "ERR If you want both the length and indexes, please just use IDX."
    both.rpush("l", 1)
    assert raw.call("LCS", "a", "l") == "ERR The specified keys must contain string values"


@pytest.mark.parametrize("words", [
    "GET l", "GETSET l v", "GETEX l", "GETDEL l", "INCR l", "DECRBY l 1", "INCRBYFLOAT l 1", "APPEND l x", "STRLEN l",
    "GETRANGE l 0 1",
    "SUBSTR l 0 1", "SETRANGE l 0 x", "SET l v GET", "SET l v IFEQ x"])
def test_wrong_type(raw, words):
    raw.call("RPUSH", "l", "1")
    assert raw.call(*words.split()) == WRONG
    assert raw.call("LLEN", "l") == 1


def test_set_replaces_any_type(r3):
    r3.rpush("l", 1)
    assert r3.set("l", "v") and r3.get("l") == b"v"
    with pytest.raises(ResponseError):
        r3.lpush("l", 1)
