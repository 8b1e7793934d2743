"""The commands on keys of any type: generic, expiry, sorting."""
import time

import pytest

from helpers import Left, wait_until

NOT_INT = "ERR value is not an integer or out of range"
SYNTAX = "ERR syntax error"
WRONG = "WRONGTYPE Operation against a key holding the wrong kind of value"


def test_existence(both):
    both.mset({"a": 1, "b": 2})
    both.rpush("l", 1)
    assert both.exists("a", "a", "b", "x") == 3 and both.touch("a", "x") == 1
    assert [both.type(key) for key in ("a", "l", "x")] == [b"string", b"list", b"none"]
    assert both.delete("a", "a", "x") == 1 and both.unlink("b", "l", "x") == 2 and both.dbsize() == 0


def test_expiry(both, raw):
    assert both.ttl("k") == both.pttl("k") == both.expiretime("k") == both.pexpiretime("k") == -2
    assert not both.expire("k", 10)
    both.set("k", "v")
    assert both.ttl("k") == both.pttl("k") == both.expiretime("k") == -1 and not both.persist("k")
    now = time.time()
    assert both.expire("k", 1000) and both.ttl("k") == Left(1000) and int(now) <= both.expiretime("k") - 1000 <= time.time() + 1
    assert both.pexpire("k", 500_000) and both.pttl("k") == Left(500_000)
    assert both.expireat("k", int(now) + 700) and both.ttl("k") == Left(700)
    assert both.pexpireat("k", int(now * 1000) + 700_000) and both.pexpiretime("k") == int(now * 1000) + 700_000
    assert both.persist("k") and both.ttl("k") == -1
    assert both.expire("k", -1) and not both.exists("k")
    both.set("k", "v")
    assert both.expireat("k", 1) and not both.exists("k")


def test_keys_expire_unread(both):
    for i in range(300):
        both.set(f"k{i}", "v", px=20)
    both.set("stays", "v", ex=100)
    wait_until(lambda: both.dbsize() == 1, what="the expiry of all keys without reading them")


def test_expired_keys_are_not_seen(both, raw):
    both.mset({"k": 1, "l": 1})
    both.pexpire("k", 1)
    time.sleep(0.005)
    for words, reply in (("GET k", None), ("KEYS *", [b"l"]), ("SCAN 0", [b"0", [b"l"]]), ("RANDOMKEY", b"l"),
                         ("RENAMENX l k", 1), ("DBSIZE", 1)):
        assert raw.call(*words.split()) == reply


def test_expire_conditions(both):
    both.set("k", "v")
    assert not both.expire("k", 10, xx=True) and not both.expire("k", 10, gt=True) and both.expire("k", 100, nx=True)
    assert not both.expire("k", 10, nx=True) and not both.expire("k", 50, gt=True) and both.expire("k", 200, gt=True)
    assert not both.expire("k", 300, lt=True) and both.expire("k", 50, lt=True) and both.ttl("k") == Left(50)
    both.persist("k")
    assert both.expire("k", 10, lt=True)


@pytest.mark.parametrize("words, error", [
    ("EXPIRE k x", NOT_INT), ("EXPIRE k 1.5", NOT_INT), ("EXPIRE k 10 FOO", "ERR Unsupported option FOO"),
    ("EXPIRE k 10 NX XX", "ERR NX and XX, GT or LT options at the same time are not compatible"),
    ("EXPIRE k 10 NX GT", "ERR NX and XX, GT or LT options at the same time are not compatible"),
    ("EXPIRE k 10 GT LT", "ERR GT and LT options at the same time are not compatible"),
    ("EXPIRE k 9223372036854775807", "ERR invalid expire time in 'expire' command"),
    ("EXPIRE k -9223372036854775807", "ERR invalid expire time in 'expire' command"),
    ("PEXPIRE k 9223372036854775807", "ERR invalid expire time in 'pexpire' command"),
    ("EXPIREAT k 9223372036854775807", "ERR invalid expire time in 'expireat' command")])
def test_expire_errors(raw, words, error):
    raw.call("SET", "k", "v")
    assert raw.call(*words.split()) == error and raw.call("TTL", "k") == -1


def test_rename(both, raw):
    both.set("a", "v", ex=1000)
    both.set("b", "w")
    assert both.rename("a", "b") and both.get("b") == b"v" and both.ttl("b") > 500 and not both.exists("a")
    both.set("c", "x")
    assert not both.renamenx("b", "c") and both.renamenx("b", "d") and both.get("d") == b"v" and both.ttl("d") > 500
    assert both.rename("d", "c") and both.ttl("c") > 500 and both.rename("c", "c") and not both.renamenx("c", "c")
    both.set("e", "x")
    both.rename("e", "c")
    assert both.ttl("c") == -1
    assert raw.call("RENAME", "none", "a") == raw.call("RENAMENX", "none", "none") == "ERR no such key"


def test_copy(both, raw):
    both.hset("h", mapping={"a": 1})
    both.rpush("l", 1)
    both.sadd("s", 1)
    for key in "hls":
        both.expire(key, 1000)
        assert both.copy(key, key + "2") and both.ttl(key + "2") > 500 and not both.copy(key, key + "2")
    both.hset("h2", "a", 2)
    both.rpush("l2", 2)
    both.sadd("s2", 2)
    assert both.hget("h", "a") == b"1" and both.llen("l") == 1 and both.scard("s") == 1
    assert both.copy("h", "l2", replace=True) and both.type("l2") == b"hash"
    assert both.copy("h", "h", destination_db=1) and raw.call("SELECT", 1) == "OK"
    assert raw.call("HGET", "h", "a") == b"1"
    raw.call("SELECT", 0)
    assert raw.call("COPY", "h", "h") == "ERR source and destination objects are the same"
    assert raw.call("COPY", "none", "x") == 0
    assert raw.call("COPY", "h", "x", "DB", 99) == "ERR DB index is out of range"
    assert raw.call("COPY", "h", "x", "FOO") == SYNTAX
    assert raw.call("COPY", "h", "x", "DB", "x") == NOT_INT


def test_databases(both, raw):
    both.set("k", "v", ex=1000)
    assert both.move("k", 1) and not both.exists("k")
    raw.call("SELECT", 1)
    assert raw.call("GET", "k") == b"v" and raw.call("TTL", "k") > 500 and both.dbsize() == 0
    both.set("k", "w")
    assert not both.move("k", 1)
    assert raw.call("MOVE", "k", 1) == "ERR source and destination objects are the same"
    assert raw.call("MOVE", "k", "x") == NOT_INT
    assert raw.call("MOVE", "k", -1) == raw.call("MOVE", "k", 99) == "ERR DB index is out of range"
    assert both.swapdb(0, 1) and both.get("k") == b"v" and raw.call("GET", "k") == b"w"
    assert raw.call("SWAPDB", "x", 1) == "ERR invalid first DB index"
    assert raw.call("SWAPDB", 1, "x") == "ERR invalid second DB index"
    assert raw.call("SWAPDB", 1, 99) == "ERR DB index is out of range" and raw.call("SWAPDB", 1, 1) == "OK"
    assert both.flushdb() and both.dbsize() == 0 and raw.call("DBSIZE") == 1
    assert both.flushall(asynchronous=True) and raw.call("DBSIZE") == 0 and raw.call("FLUSHALL", "SYNC") == "OK"
    assert raw.call("FLUSHALL", "FOO") == raw.call("FLUSHDB", "SYNC", "ASYNC") == SYNTAX


@pytest.mark.parametrize("pattern, found", [
    ("*", "hello hallo hbllo heello h*llo h[a]llo ab"), ("h?llo", "hello hallo hbllo h*llo"),
    ("h*llo", "hello hallo hbllo heello h*llo h[a]llo"),
    ("h[ae]llo", "hello hallo"), ("h[^e]llo", "hallo hbllo h*llo"), ("h[a-b]llo", "hallo hbllo"),
    ("h[b-a]llo", "hallo hbllo"), ("h\\*llo", "h*llo"),
    ("h\\[a\\]llo", "h[a]llo"), ("hello", "hello"), ("nope", ""), ("*l*l*o", "hello hallo hbllo heello h*llo h[a]llo"),
    ("a[b", "ab"),
    ("h[^a-d]*o", "hello heello h*llo h[a]llo"), ("", "")])
def test_keys_and_patterns(both, pattern, found):
    names = "hello hallo hbllo heello h*llo h[a]llo ab".split()
    both.mset({name: 1 for name in names})
    expected = {name.encode() for name in found.split()}
    assert set(both.keys(pattern)) == expected
    assert set(both.scan_iter(match=pattern)) == expected


def test_hard_patterns_are_quick(both):
    both.set("a" * 5000, 1)
    before = both.info("cpu")["used_cpu_user"]
    assert both.keys("a*" * 50 + "b") == [] and both.keys("*" * 5000 + "a") != [] and both.keys("?*" * 2000) == []
    assert both.info("cpu")["used_cpu_user"] - before < 5


def test_scan(both, raw):
    both.mset({f"k{i}": i for i in range(1000)})
    both.hset("h", "a", 1)
    cursor, found, n = 0, [], 0
    while True:
        cursor, page = both.scan(cursor, count=50)
        found += page
        n += 1
        if not cursor:
            break
    assert len(found) == len(set(found)) == 1001 and 20 <= n <= 22
    assert set(both.scan_iter(match="k99?")) == {b"k99%d" % i for i in range(10)}
    assert list(both.scan_iter(_type="HASH")) == [b"h"] and both.scan(0, count=10**9)[0] == 0
    for words, error in (("SCAN x", "ERR invalid cursor"), ("SCAN -1", "ERR invalid cursor"),
                         ("SCAN 0 COUNT 0", SYNTAX), ("SCAN 0 COUNT x", NOT_INT),
                         ("SCAN 0 FOO 1", SYNTAX), ("SCAN 0 MATCH", SYNTAX),
                         ("SCAN 0 TYPE foo", "ERR unknown type name 'foo'"),
                         ("SCAN 0 NOVALUES", "ERR NOVALUES option can only be used in HSCAN")):
        assert raw.call(*words.split()) == error


def test_scan_while_keys_come_and_go(both):
    both.mset({f"stay{i}": i for i in range(200)})
    both.mset({f"go{i}": i for i in range(200)})
    cursor, found, i = 0, set(), 0
    while True:
        cursor, page = both.scan(cursor, count=7)
        found.update(page)
        if not cursor:
            break
        both.delete(f"go{i}", f"go{199 - i}")
        both.set(f"new{i}", 1)
        i += 1
    assert {b"stay%d" % i for i in range(200)} <= found


def test_random_key(both):
    assert both.randomkey() is None
    both.mset({"a": 1, "b": 2})
    assert {both.randomkey() for _ in range(60)} == {b"a", b"b"}


@pytest.mark.parametrize("words, expected", [
    ("SET k 12", b"int"), ("SET k -9223372036854775808", b"int"), ("SET k 9223372036854775808", b"embstr"),
    ("SET k 012", b"embstr"),
    ("SET k " + "x" * 44, b"embstr"), ("SET k " + "x" * 45, b"raw"), ("RPUSH k a", b"listpack"),
    ("RPUSH k " + "x" * 9000 + " y", b"quicklist"),
    ("SADD k 1 2", b"intset"), ("SADD k 1 a", b"listpack"), ("SADD k " + "x" * 65, b"hashtable"),
    ("HSET k a b", b"listpack")])
def test_encoding(raw, words, expected):
    raw.call(*words.split())
    assert raw.call("OBJECT", "ENCODING", "k") == expected


def test_object(both, raw):
    both.set("k", "v")
    assert both.object("refcount", "k") == 1 and both.object("idletime", "k") < 60
    for name in ("ENCODING", "REFCOUNT", "IDLETIME", "FREQ"):
        assert raw.call("OBJECT", name, "none") is None
    assert raw.call("OBJECT", "FREQ", "k").text.startswith("ERR An LFU maxmemory policy is not selected")
    assert raw.call("OBJECT", "HELP")[0].startswith("OBJECT <subcommand>")


def test_sort(both, raw):
    both.rpush("l", 3, 1, 10, 2)
    assert both.sort("l") == [b"1", b"2", b"3", b"10"] and both.sort("l", desc=True, start=1, num=2) == [b"3", b"2"]
    assert both.sort("l", alpha=True) == [b"1", b"10", b"2", b"3"] and both.sort("none") == []
    both.mset({"w_1": 9, "w_2": 8, "w_3": 7, "d_1": "one", "d_3": "three"})
    both.hset("o_10", "x", "ten")
    assert both.sort("l", by="w_*") == [b"10", b"3", b"2", b"1"]
    assert both.sort("l", by="w_*", get=["#", "d_*", "o_*->x"], groups=True) == [
        (b"10", None, b"ten"), (b"3", b"three", None), (b"2", None, None), (b"1", b"one", None)]
    assert both.sort("l", by="nosort") == [b"3", b"1", b"10", b"2"]
    assert both.sort("l", store="to") == 4 and both.lrange("to", 0, -1) == [b"1", b"2", b"3", b"10"]
    assert both.sort("none", store="to") == 0 and not both.exists("to")
    both.sadd("s", "b", "a")
    assert both.sort("s", alpha=True) == [b"a", b"b"] and both.sort_ro("l") == [b"1", b"2", b"3", b"10"]
    assert raw.call("SORT", "s") == "ERR One or more scores can't be converted into double"
    assert raw.call("SORT", "w_1") == WRONG and raw.call("SORT_RO", "l", "STORE", "x") == SYNTAX
    assert raw.call("SORT", "l", "LIMIT", "1") == SYNTAX
    assert raw.call("SORT", "l", "LIMIT", "x", "1") == NOT_INT


def test_writes_that_change_nothing_do_not_disturb_watchers(connect, raw):
    for setup, words in (("SET k v", "SETNX k w"), ("HSET k a 1", "HDEL k b"), ("SADD k a", "SADD k a"),
                         ("RPUSH k a", "LREM k 0 z"),
                         ("SET k v", "PERSIST k"), ("RPUSH k a", "LTRIM k 0 -1"), ("SADD k a", "SREM k z"),
                         ("SET k v", "EXPIRE k 1000 XX")):
        for other, aborts in ((words, False), ("SET k changed", True)):
            raw.call("DEL", "k")
            raw.call(*setup.split())
            watcher = connect()
            watcher.call("WATCH", "k")
            raw.call(*other.split())
            watcher.call("MULTI")
            watcher.call("PING")
            assert (watcher.call("EXEC") is None) == aborts, (setup, other)
