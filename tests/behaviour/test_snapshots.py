"""Snapshots: RDB files of ours for Redis and of Redis for us, save points, DUMP and RESTORE."""
import shutil
import signal
import subprocess
import time

import pytest
import redis

from everything import client_of, contents, fill, searches
from helpers import client, free_port, running_server, wait_until

from respserver.persistence import module_types, rdb_write

needs_redis = pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server and its tools")


def test_snapshots_hold_everything(tmp_path):
    options = ["--dir", str(tmp_path)]
    with running_server(*options) as handle:
        r = client_of(handle)
        fill(r)
        before, found = contents(r), searches(r)
        assert r.bgsave()
        wait_until(lambda: r.info("persistence")["rdb_saves"] == 1)
        info = r.info("persistence")
        assert info["rdb_last_bgsave_status"] == "ok" and info["rdb_changes_since_last_save"] == 0
        assert info["rdb_last_save_time"] > 0
        assert r.execute_command("DEBUG", "RELOAD") in (b"OK", True)
        assert contents(r) == before and searches(r) == found
        handle.stop(signal.SIGKILL)
    with running_server(*options) as handle:
        r = client_of(handle)
        assert contents(r) == before and searches(r) == found
        r.set("new", 1)
        assert r.info("persistence")["rdb_changes_since_last_save"] == 1
        handle.stop(signal.SIGKILL)
    with running_server(*options) as handle:
        assert client_of(handle).get("new") is None


def test_a_large_snapshot_is_of_the_moment_of_its_reply(tmp_path):
    """The fork is prepared first; what the same client sends behind BGSAVE does not get into it."""
    options, vector = ["--dir", str(tmp_path)], bytes(8)
    with running_server(*options) as handle:
        r = client_of(handle)
        r.execute_command("FT.CREATE", "i", "SCHEMA", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", 2,
                          "DISTANCE_METRIC", "L2")
        r.hset("h", "v", vector)
        r.setrange("large", 40 << 20, "x")
        assert r.info("memory")["used_memory"] > 64 << 20
        pipe = r.pipeline(False)
        assert pipe.set("a", 1).execute_command("BGSAVE").set("a", 2).execute() == [True, True, True]
        wait_until(lambda: r.info("persistence")["rdb_saves"] == 1 and "Index images saved" in handle.log())
        handle.stop(signal.SIGKILL)
    with running_server(*options) as handle:
        r = client_of(handle)
        assert r.get("a") == b"1" and r.strlen("large") == (40 << 20) + 1
        assert r.execute_command("FT.SEARCH", "i", "*=>[KNN 1 @v $q]", "PARAMS", 2, "q", vector, "NOCONTENT",
                                 "DIALECT", 2) == [1, b"h"]
        handle.stop(signal.SIGKILL)


def test_save_points_save(tmp_path):
    with running_server("--dir", str(tmp_path), "--save", "1", "3") as handle:
        r = client_of(handle)
        r.set("a", 1), r.set("b", 1)
        time.sleep(1.3)
        assert r.info("persistence")["rdb_saves"] == 0
        r.set("c", 1)
        wait_until(lambda: r.info("persistence")["rdb_saves"] == 1)
        r.set("d", 1)
        assert handle.stop() == 0                           # saves by the save points
    with running_server("--dir", str(tmp_path)) as handle:
        assert sorted(client_of(handle).keys()) == [b"a", b"b", b"c", b"d"]


def test_writes_are_refused_when_snapshots_fail(tmp_path):
    with running_server("--dir", str(tmp_path), "--save", "3600", "1") as handle:
        r = client_of(handle)
        r.set("a", 1)
        (tmp_path / "dump.rdb").mkdir()                     # nothing can be renamed to this
        assert r.bgsave()
        wait_until(lambda: r.info("persistence")["rdb_last_bgsave_status"] == "err")
        with pytest.raises(redis.ResponseError, match="MISCONF Redis is configured to save RDB"):
            r.set("b", 1)
        assert r.get("a") == b"1"
        (tmp_path / "dump.rdb").rmdir()
        assert r.bgsave()
        wait_until(lambda: r.info("persistence")["rdb_last_bgsave_status"] == "ok")
        assert r.set("b", 1)


def test_dump_and_restore(tmp_path):
    with running_server("--dir", str(tmp_path)) as handle:
        r = client_of(handle)
        fill(r)
        for (db, key), (kind, value, times, when) in contents(r).items():
            if db == 0:
                payload = r.dump(key)
                assert r.restore(b"copy", 0, payload, replace=True)
                r.execute_command("RENAME", "copy", "copied:" + key.decode())
        after = contents(r)
        for (db, key), (kind, value, times, when) in list(after.items()):
            if db == 0 and not key.startswith(b"copied:"):
                assert after[0, b"copied:" + key][:3] == (kind, value, times)
        r.delete("copied:a")
        assert r.restore("ttl", 100000, r.dump("a")) and 0 < r.pttl("ttl") <= 100000
        when = int(time.time() * 1000) + 1_000_000
        assert r.restore("absolute", when, r.dump("a"), absttl=True) and r.execute_command("PEXPIRETIME", "absolute") == when
        with pytest.raises(redis.ResponseError, match="BUSYKEY"):
            r.restore("ttl", 0, r.dump("a"))
        good = r.dump("h")
        for bad in (good[:-1] + bytes([good[-1] ^ 1]), b"", good[:5], good[:-10] + b"\xff\xff" + good[-8:]):
            with pytest.raises(redis.ResponseError, match="DUMP payload version or checksum are wrong"):
                r.restore("x", 0, bad)
        for bad in (b"\x63" + bytes(9) + b"\0", good[:8] + b"\x0a\0" + bytes(8)):
            with pytest.raises(redis.ResponseError, match="Bad data format"):
                r.restore("x", 0, bad)


@needs_redis
def test_redis_reads_our_snapshots(tmp_path):
    with running_server("--dir", str(tmp_path)) as handle:
        r = client_of(handle)
        r.set("a", b"x" * 20000), r.set("e", "x", ex=100), r.rpush("l", *range(600)), r.sadd("s", 1, 2, "x")
        r.zadd("z", {"a": 1.5})
        r.hset("h", mapping={str(i): "v" * i for i in range(600)}), r.setbit("b", 300, 1)
        before = {key: (value, when) for (_, key), (_, value, _, when) in contents(r).items()}
        assert r.save()
        payload = r.dump("h")
        handle.stop()
    check = subprocess.run(["redis-check-rdb", "dump.rdb"], cwd=tmp_path, capture_output=True, text=True)
    assert check.returncode == 0 and "RDB looks OK" in check.stdout, check.stdout
    with redis_server(tmp_path) as r:
        kinds = {b"string": r.get, b"hash": r.hgetall, b"set": r.smembers, b"list": lambda k: r.lrange(k, 0, -1),
                 b"zset": lambda k: r.zrange(k, 0, -1, withscores=True)}
        assert {key: (kinds[r.type(key)](key), r.execute_command("PEXPIRETIME", key)) for key in r.keys()} == before
        assert r.restore("restored", 0, payload) and r.hgetall("restored") == before[b"h"][0]


class redis_server:
    """A real redis-server on the data in a directory."""

    def __init__(self, directory, *options):
        self.port = free_port()
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--dir", str(directory), "--save", "",
                                         *options], stdout=subprocess.DEVNULL)

    def __enter__(self):
        r = client(self.port)

        def answers():
            try:
                return r.ping()
            except redis.RedisError:
                return False
        wait_until(answers)
        return r

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


@needs_redis
def test_we_read_snapshots_of_redis(tmp_path):
    numbers = [0, 1, -1, 127, 128, -128, 4095, -4096, 4096, 32767, -32768, 8388607, -8388608, 2**31 - 1, -2**31,
               2**63 - 1, -2**63]
    with redis_server(tmp_path) as r:
        for i, n in enumerate(numbers):
            r.set(f"n{i}", n)
        r.set("long", "abc" * 5000), r.set("plain", bytes(range(256))), r.set("ttl", 1, px=10**8)
        r.hset("small", mapping={"f": "v", "n": 12, "m": -70000, "long": "x" * 60, "big": 2**40})
        r.hset("large", mapping={f"f{i}": "v" * i for i in range(700)})
        r.rpush("list", *numbers, "x" * 70, "y" * 5000, "z" * 100000), r.rpush("longlist", *range(5000))
        r.sadd("ints", *numbers[:5]), r.sadd("ints64", *numbers), r.sadd("ints32", 1, 2**30), r.sadd("mixed", "a", 1)
        r.sadd("many", *range(2000), "x")
        r.zadd("z", {"a": 1.5, "b": float("inf"), "c": -3}), r.zadd("zlarge", {f"m{i}": i / 7 for i in range(500)})
        before = {key: ({b"string": r.get, b"hash": r.hgetall, b"set": r.smembers, b"list": lambda k: r.lrange(k, 0, -1),
                         b"zset": lambda k: r.zrange(k, 0, -1, withscores=True)}[r.type(key)](key),
                        r.execute_command("PEXPIRETIME", key)) for key in r.keys()}
        payloads = {key: r.dump(key) for key in before}
        r.save()
        r.xadd("stream", {"f": "v"}), r.xgroup_create("stream", "g", "0"), r.xreadgroup("g", "c", {"stream": ">"})
        r.set("behind", 1)
        with_stream = tmp_path / "stream"
        with_stream.mkdir()
        shutil.copy(tmp_path / "dump.rdb", with_stream / "plain.rdb")
        r.save()
        shutil.copy(tmp_path / "dump.rdb", with_stream / "dump.rdb")
        shutil.copy(with_stream / "plain.rdb", tmp_path / "dump.rdb")
    with running_server("--dir", str(tmp_path)) as handle:
        r = client_of(handle)
        assert {key: (value, when) for (_, key), (_, value, _, when) in contents(r).items()} == before
        for key, payload in payloads.items():
            r.restore(b"restored", 0, payload, replace=True)
            r.execute_command("RENAME", "restored", b"r:" + key)
        assert {key[2:]: value for (_, key), (_, value, _, _) in contents(r).items() if key.startswith(b"r:")} == {
            key: value for key, (value, _) in before.items()}
    with running_server("--dir", str(with_stream)) as handle:
        r = client_of(handle)
        assert len(r.keys()) == len(before) + 2 and r.xpending("stream", "g")["pending"] == 1 and r.xlen("stream") == 1
    # A value of a module that this server does not have, before the end of the file.
    unknown = module_types.ModuleType(object, "unknown-1", 3, None, None, None)
    record = (b"\x07" + rdb_write.text(b"strange") + rdb_write.length(unknown.number)
              + bytes((rdb_write.PART_SIGNED, 5, rdb_write.PART_END)))
    text = (with_stream / "plain.rdb").read_bytes()
    (with_stream / "dump.rdb").write_bytes(text[:-9] + record + b"\xff" + bytes(8))
    with pytest.raises(AssertionError,
                       match="unknown-1, which this server does not have"), running_server("--dir", str(with_stream)):
        pass
    with running_server("--dir", str(with_stream), "--rdb-skip-unsupported", "yes") as handle:
        assert len(client_of(handle).keys()) == len(before)


def test_damaged_snapshots_are_refused(tmp_path):
    with running_server("--dir", str(tmp_path)) as handle:
        r = client_of(handle)
        r.set("a", "value"), r.save()
        handle.stop()
    text = (tmp_path / "dump.rdb").read_bytes()
    at = text.index(b"value")
    for damaged, what in ((text[:at] + b"V" + text[at + 1:], "check sum"), (text[:at], "ends too early"),
                          (b"x" + text, "no RDB file")):
        (tmp_path / "dump.rdb").write_bytes(damaged)
        with pytest.raises(AssertionError, match=what), running_server("--dir", str(tmp_path)):
            pass
