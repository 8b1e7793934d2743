"""A little of everything that a server can hold, and all that it holds: for tests of what outlives it."""
import time

import redis

from helpers import client, wait_until


def client_of(handle) -> redis.Redis:
    """A client of a server that has read its data."""
    r = client(handle)

    def answers() -> bool:
        try:
            return r.ping()
        except redis.BusyLoadingError:
            return False
    wait_until(answers, what="the end of loading")
    return r


def contents(r) -> dict:
    """All keys of all databases with types, values and expiry times."""
    found = {}
    for db in (0, 1):
        r.execute_command("SELECT", db)
        for key in r.keys():
            kind = r.type(key)
            value = {b"string": r.get, b"hash": r.hgetall, b"set": r.smembers, b"list": lambda k: r.lrange(k, 0, -1),
                     b"zset": lambda k: r.zrange(k, 0, -1, withscores=True),
                     b"ReJSON-RL": lambda k: r.execute_command("JSON.GET", k),
                     b"trietype0": lambda k: r.execute_command("FT.SUGGET", k, "", "WITHSCORES", "WITHPAYLOADS")}[kind](key)
            times = r.execute_command("HPEXPIRETIME", key, "FIELDS", len(value), *value) if kind == b"hash" else None
            found[db, key] = kind, value, times, r.execute_command("PEXPIRETIME", key)
    r.execute_command("SELECT", 0)
    return found


def fill(r) -> None:
    """A little of everything, by commands whose words alone do not tell what happens above all."""
    r.set("a", 1), r.incr("a"), r.set("e", "x", ex=10_000), r.set("e", "no", ex=5, nx=True)
    r.execute_command("SETEX", "e2", 10_000, "y"), r.set("gone", 1, px=1)
    r.execute_command("GETEX", "a", "EX", 10_000), r.execute_command("MSETEX", 1, "m", 1, "EX", 10_000)
    r.execute_command("INCRBYFLOAT", "f", "0.1"), r.execute_command("HINCRBYFLOAT", "h", "n", "1.5")
    r.append("b", "text"), r.setbit("b", 77, 1), r.set("x", 1), r.getdel("x")
    r.hset("h", mapping={"f": "v", "g": "w" * 300}), r.hset("h2", mapping={"f": "v", "g": "w", "k": "z"})
    r.execute_command("HEXPIRE", "h2", 10_000, "FIELDS", 1, "f"), r.execute_command("HPEXPIRE", "h2", 0, "FIELDS", 1, "g")
    r.execute_command("HSETEX", "h2", "EX", 10_000, "FIELDS", 1, "new", "value")
    r.rpush("l", *range(10)), r.rpoplpush("l", "l2"), r.ltrim("l", 1, 5), r.blpop("l")
    r.execute_command("LMPOP", 1, "l", "RIGHT")
    r.sadd("s", *"abcdefgh"), r.spop("s"), r.spop("s", 2), r.sadd("s2", "x"), r.spop("s2")
    r.sort("s", alpha=True, store="sorted")
    r.zadd("z", {"a": 1.5, "b": -2, "c": float("inf"), "d": 1e17}), r.zincrby("z", 0.1, "a"), r.bzpopmin("z")
    r.zadd("z2", {"x": 1}), r.zpopmax("z2")
    r.rename("m", "m2"), r.copy("h", "h3"), r.expire("h3", 50_000), r.persist("e2"), r.move("f", 1)
    r.execute_command("JSON.SET", "j", "$", '{"a":[1.5,2],"b":"x"}'), r.execute_command("JSON.NUMINCRBY", "j", "$.a[0]", 2)
    with r.pipeline() as pipe:
        pipe.set("t1", 1), pipe.incr("t1"), pipe.expire("t1", 10_000)
        pipe.execute()
    with r.pipeline(transaction=False) as pipe:
        for i in range(100):
            pipe.set(f"k{i}", i)
        pipe.execute()
    r.execute_command("FT.CREATE", "ix", "PREFIX", 1, "d:", "SCHEMA", "t", "TEXT", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32",
                      "DIM", 2, "DISTANCE_METRIC", "L2")
    r.execute_command("FT.ALTER", "ix", "SCHEMA", "ADD", "tag", "TAG")
    for i in range(20):
        r.hset(f"d:{i}", mapping={"t": f"word number{i}", "v": bytes([0, 0, 128, 63]) * 2, "tag": f"x{i % 3}"})
    r.execute_command("FT.ALIASADD", "al", "ix"), r.execute_command("FT.DICTADD", "dd", "w1")
    r.execute_command("FT.SYNUPDATE", "ix", "g", "word", "term")
    r.execute_command("FT.SUGADD", "sg", "hello", "2", "PAYLOAD", "pp")
    r.execute_command("FT.SUGADD", "sg", "hello", "2", "INCR")
    r.execute_command("FT.CREATE", "dropped", "PREFIX", 1, "dd:", "SCHEMA", "t", "TEXT"), r.hset("dd:1", "t", "x")
    r.execute_command("FT.DROPINDEX", "dropped", "DD")
    time.sleep(0.01)
    assert r.get("gone") is None


def searches(r) -> list:
    """What the indexes have to say."""
    return [r.execute_command("FT._LIST"), r.execute_command("FT.SEARCH", "al", "term", "LIMIT", 0, 30),
            r.execute_command("FT.DICTDUMP", "dd"), r.execute_command("FT.SEARCH", "ix", "@tag:{x1}", "NOCONTENT"),
            r.execute_command("FT.SYNDUMP", "ix")]
