"""The append-only file: what was written is there after a kill, as real Redis tools see it, too."""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import redis

from helpers import free_port, running_server, wait_until

SERVER_OPTIONS = ["--appendonly", "yes"]
needs_redis = pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server and its tools")


def client_of(handle) -> redis.Redis:
    return redis.Redis(port=handle.port, protocol=2)


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
    r.set("a", 1), r.incr("a"), r.set("e", "x", ex=100), r.set("e", "no", ex=5, nx=True), r.setex("e2", 100, "y"), r.set("gone", 1, px=1)
    r.execute_command("GETEX", "a", "EX", 1000), r.execute_command("MSETEX", 1, "m", 1, "EX", 100)
    r.execute_command("INCRBYFLOAT", "f", "0.1"), r.execute_command("HINCRBYFLOAT", "h", "n", "1.5")
    r.append("b", "text"), r.setbit("b", 77, 1), r.set("x", 1), r.getdel("x")
    r.hset("h", mapping={"f": "v", "g": "w" * 300}), r.hset("h2", mapping={"f": "v", "g": "w", "k": "z"})
    r.execute_command("HEXPIRE", "h2", 1000, "FIELDS", 1, "f"), r.execute_command("HPEXPIRE", "h2", 0, "FIELDS", 1, "g")
    r.execute_command("HSETEX", "h2", "EX", 100, "FIELDS", 1, "new", "value")
    r.rpush("l", *range(10)), r.rpoplpush("l", "l2"), r.ltrim("l", 1, 5), r.blpop("l"), r.execute_command("LMPOP", 1, "l", "RIGHT")
    r.sadd("s", *"abcdefgh"), r.spop("s"), r.spop("s", 2), r.sadd("s2", "x"), r.spop("s2"), r.sort("s", alpha=True, store="sorted")
    r.zadd("z", {"a": 1.5, "b": -2, "c": float("inf"), "d": 1e17}), r.zincrby("z", 0.1, "a"), r.bzpopmin("z"), r.zadd("z2", {"x": 1}), r.zpopmax("z2")
    r.rename("m", "m2"), r.copy("h", "h3"), r.expire("h3", 500), r.persist("e2"), r.move("f", 1)
    r.execute_command("JSON.SET", "j", "$", '{"a":[1.5,2],"b":"x"}'), r.execute_command("JSON.NUMINCRBY", "j", "$.a[0]", 2)
    with r.pipeline() as pipe:
        pipe.set("t1", 1), pipe.incr("t1"), pipe.expire("t1", 100)
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
    r.execute_command("FT.ALIASADD", "al", "ix"), r.execute_command("FT.DICTADD", "dd", "w1"), r.execute_command("FT.SYNUPDATE", "ix", "g", "word", "term")
    r.execute_command("FT.SUGADD", "sg", "hello", "2", "PAYLOAD", "pp"), r.execute_command("FT.SUGADD", "sg", "hello", "2", "INCR")
    r.execute_command("FT.CREATE", "dropped", "PREFIX", 1, "dd:", "SCHEMA", "t", "TEXT"), r.hset("dd:1", "t", "x")
    r.execute_command("FT.DROPINDEX", "dropped", "DD")
    time.sleep(0.01)
    assert r.get("gone") is None


def searches(r) -> list:
    """What the indexes have to say."""
    return [r.execute_command("FT._LIST"), r.execute_command("FT.SEARCH", "al", "term", "LIMIT", 0, 30), r.execute_command("FT.DICTDUMP", "dd"),
            r.execute_command("FT.SEARCH", "ix", "@tag:{x1}", "NOCONTENT"), r.execute_command("FT.SYNDUMP", "ix")]


def parts(directory) -> list[Path]:
    return sorted(Path(directory, "appendonlydir").iterdir())


def test_all_is_there_after_a_kill(tmp_path):
    options = [*SERVER_OPTIONS, "--dir", str(tmp_path)]
    with running_server(*options) as handle:
        r = client_of(handle)
        fill(r)
        before, found = contents(r), searches(r)
        handle.stop(signal.SIGKILL)
    with running_server(*options) as handle:
        r = client_of(handle)
        assert contents(r) == before
        assert searches(r) == found
        r.set("later", 1)
        assert r.bgrewriteaof()
        wait_until(lambda: r.info("persistence")["aof_rewrites"] == 1)
        r.set("after", 1)
        before = contents(r)
        assert [path.name for path in parts(tmp_path)] == ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"]
        handle.stop(signal.SIGKILL)
    with running_server(*options, "--aof-use-rdb-preamble", "no") as handle:
        r = client_of(handle)
        assert contents(r) == before
        assert searches(r) == found
        assert r.bgrewriteaof()
        wait_until(lambda: r.info("persistence")["aof_rewrites"] == 1)
        assert "appendonly.aof.3.base.aof" in [path.name for path in parts(tmp_path)]
        handle.stop()
    with running_server(*options) as handle:
        r = client_of(handle)
        assert contents(r) == before
        assert searches(r) == found


@pytest.mark.parametrize("policy", ["always", "everysec", "no"])
def test_writes_go_on_during_rewrites(tmp_path, policy):
    options = [*SERVER_OPTIONS, "--dir", str(tmp_path), "--appendfsync", policy]
    with running_server(*options) as handle:
        r = client_of(handle)
        r.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        n = 0
        for _ in range(3):
            done = r.info("persistence")["aof_rewrites"]
            assert r.bgrewriteaof()
            end = time.monotonic() + 5
            while r.info("persistence")["aof_rewrites"] == done and time.monotonic() < end:
                with r.pipeline(transaction=False) as pipe:
                    for _ in range(20):
                        pipe.incr("n").rpush("list", n)
                        n += 1
                    pipe.execute()
            assert r.info("persistence")["aof_rewrites"] == done + 1
        handle.stop(signal.SIGKILL)
    with running_server(*options) as handle:
        r = client_of(handle)
        assert int(r.get("n")) == n and r.lrange("list", 0, -1) == [b"%d" % i for i in range(n)]


def test_blocked_clients_are_served_in_the_log_too(tmp_path):
    options = [*SERVER_OPTIONS, "--dir", str(tmp_path)]
    with running_server(*options) as handle:
        import threading
        r = client_of(handle)
        got = []
        waiter = threading.Thread(target=lambda: got.append(client_of(handle).blmove("q", "done", 5)))
        waiter.start()
        wait_until(lambda: r.info("clients")["blocked_clients"] == 1)
        r.rpush("q", "one", "two")
        waiter.join()
        assert got == [b"one"]
        handle.stop(signal.SIGKILL)
    with running_server(*options) as handle:
        r = client_of(handle)
        assert r.lrange("q", 0, -1) == [b"two"] and r.lrange("done", 0, -1) == [b"one"]


def test_appendonly_can_be_switched(tmp_path):
    with running_server("--dir", str(tmp_path)) as handle:
        r = client_of(handle)
        r.set("before", 1)
        assert r.config_set("appendonly", "yes")
        r.set("while", 1)
        wait_until(lambda: r.info("persistence")["aof_rewrites"] == 1)
        r.set("after", 1)
        handle.stop(signal.SIGKILL)
    with running_server("--dir", str(tmp_path), *SERVER_OPTIONS) as handle:
        r = client_of(handle)
        assert sorted(r.keys()) == [b"after", b"before", b"while"]
        assert r.config_set("appendonly", "no")
        assert r.info("persistence")["aof_enabled"] == 0
        with pytest.raises(redis.ResponseError, match="AOF is not enabled"):
            r.bgrewriteaof()


def test_a_damaged_log_is_refused_with_the_offset(tmp_path):
    options = [*SERVER_OPTIONS, "--dir", str(tmp_path)]
    with running_server(*options) as handle:
        r = client_of(handle)
        r.set("a", "x"), r.set("b", "y"), r.set("c", "z")
        handle.stop()
    increment = next(path for path in parts(tmp_path) if "incr" in path.name)
    text = increment.read_bytes()
    at = text.index(b"*3\r\n$3\r\nSET\r\n$1\r\nb")
    increment.write_bytes(text[:at] + b"!" + text[at + 1:])
    with pytest.raises(AssertionError, match=f"offset {at}"), running_server(*options):
        pass
    increment.write_bytes(text[:-3])
    with pytest.raises(AssertionError, match="aof-load-truncated"), running_server(*options, "--aof-load-truncated", "no"):
        pass
    with running_server(*options) as handle:
        assert sorted(client_of(handle).keys()) == [b"a", b"b"]
        assert "short read" in handle.log()


def test_a_snapshot_is_taken_over(tmp_path):
    with running_server("--dir", str(tmp_path)) as handle:
        r = client_of(handle)
        r.set("a", 1)
        assert r.save()
        handle.stop()
    with running_server("--dir", str(tmp_path), *SERVER_OPTIONS) as handle:
        client_of(handle).set("b", 2)
        handle.stop(signal.SIGKILL)
    os.unlink(tmp_path / "dump.rdb")
    with running_server("--dir", str(tmp_path), *SERVER_OPTIONS) as handle:
        assert sorted(client_of(handle).keys()) == [b"a", b"b"]


@needs_redis
def test_redis_reads_the_log(tmp_path):
    options = [*SERVER_OPTIONS, "--dir", str(tmp_path)]
    with running_server(*options) as handle:
        r = client_of(handle)
        r.set("a", 1), r.set("e", "x", ex=100), r.rpush("l", *range(600)), r.zadd("z", {"a": 0.1, "b": float("-inf")}), r.sadd("s", 1, 2, "x"), r.spop("s")
        r.hset("h", mapping={"f": "v", "g": "w" * 3000}), r.set("b", bytes(range(256)) * 10), r.incr("a"), r.hincrbyfloat("h", "n", 0.25)
        r.bgrewriteaof()
        wait_until(lambda: r.info("persistence")["aof_rewrites"] == 1)
        r.incr("a"), r.expire("l", 100), r.spop("s"), r.execute_command("SELECT", 1), r.set("z", 1), r.execute_command("SELECT", 0)
        with r.pipeline() as pipe:
            pipe.set("t1", 1), pipe.incr("t1")
            pipe.execute()
        before = contents(r)
        handle.stop()
    check = subprocess.run(["redis-check-aof", "appendonly.aof.manifest"], cwd=tmp_path / "appendonlydir", capture_output=True, text=True)
    assert check.returncode == 0 and "All AOF files and manifest are valid" in check.stdout, check.stdout
    port = free_port()
    real = subprocess.Popen(["redis-server", "--port", str(port), "--dir", str(tmp_path), "--appendonly", "yes"], stdout=subprocess.DEVNULL)
    try:
        r = redis.Redis(port=port, protocol=2)

        def answers():
            try:
                return r.ping()
            except redis.RedisError:
                return False
        wait_until(answers, 10)
        found = {}
        for db in (0, 1):
            r.execute_command("SELECT", db)
            for key in r.keys():
                found[db, key] = {b"string": r.get, b"hash": r.hgetall, b"set": r.smembers,
                                  b"zset": lambda k: r.zrange(k, 0, -1, withscores=True), b"list": lambda k: r.lrange(k, 0, -1)}[r.type(key)](key), r.execute_command("PEXPIRETIME", key)
        assert found == {place: (value, when) for place, (_, value, _, when) in before.items()}
    finally:
        real.terminate()
        real.wait()
