"""The append-only file: what was written is there after a kill, as real Redis tools see it, too."""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import redis

from everything import client_of, contents, fill, searches
from helpers import PATIENCE, client, free_port, running_server, wait_until

SERVER_OPTIONS = ["--appendonly", "yes"]
needs_redis = pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server and its tools")


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
        assert [path.name for path in parts(tmp_path)] == ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof",
                                                           "appendonly.aof.manifest"]
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
            end = time.monotonic() + PATIENCE
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
        waiter = threading.Thread(target=lambda: got.append(client_of(handle).blmove("q", "done", 0)))
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
        r.set("alone", 1)
        done = r.info("persistence")["aof_rewrites"]
        assert r.bgrewriteaof()                                 # writes the file for the next server
        wait_until(lambda: r.info("persistence")["aof_rewrites"] == done + 1)
        assert len(parts(tmp_path)) == 2
        r.delete("alone", "after"), r.set("lost", 1)
        handle.stop(signal.SIGKILL)
    leftovers = [tmp_path / "temp-999999999.rdb", parts(tmp_path)[0].parent / "temp-rewriteaof-bg-999999999.aof",
                 parts(tmp_path)[0].parent / "appendonly.aof.manifest.999999999.tmp"]
    for path in leftovers:
        path.write_text("half")
    kept = tmp_path / "temp-1.rdb"                              # whose process is there
    kept.write_text("")
    with running_server("--dir", str(tmp_path), *SERVER_OPTIONS) as handle:
        r = client_of(handle)
        assert sorted(r.keys()) == [b"after", b"alone", b"before", b"while"]
        assert not any(path.exists() for path in leftovers) and kept.exists()
        assert r.config_set("appendonly", "no") and r.bgrewriteaof() and r.config_set("appendonly", "yes")
        r.set("again", 1)
        wait_until(lambda: not r.info("persistence")["aof_rewrite_scheduled"]
                   and not r.info("persistence")["aof_rewrite_in_progress"])
        handle.stop(signal.SIGKILL)
    with running_server("--dir", str(tmp_path), *SERVER_OPTIONS) as handle:
        assert sorted(client_of(handle).keys()) == [b"after", b"again", b"alone", b"before", b"while"]


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
        r.set("a", 1), r.set("e", "x", ex=100), r.rpush("l", *range(600)), r.zadd("z", {"a": 0.1, "b": float("-inf")})
        r.sadd("s", 1, 2, "x"), r.spop("s")
        r.hset("h", mapping={"f": "v", "g": "w" * 3000}), r.set("b", bytes(range(256)) * 10), r.incr("a")
        r.hincrbyfloat("h", "n", 0.25)
        r.bgrewriteaof()
        wait_until(lambda: r.info("persistence")["aof_rewrites"] == 1)
        r.incr("a"), r.expire("l", 100), r.spop("s"), r.execute_command("SELECT", 1), r.set("z", 1)
        r.execute_command("SELECT", 0)
        with r.pipeline() as pipe:
            pipe.set("t1", 1), pipe.incr("t1")
            pipe.execute()
        before = contents(r)
        handle.stop()
    check = subprocess.run(["redis-check-aof", "appendonly.aof.manifest"], cwd=tmp_path / "appendonlydir",
                           capture_output=True, text=True)
    assert check.returncode == 0 and "All AOF files and manifest are valid" in check.stdout, check.stdout
    port = free_port()
    real = subprocess.Popen(["redis-server", "--port", str(port), "--dir", str(tmp_path), "--appendonly", "yes"],
                            stdout=subprocess.DEVNULL)
    try:
        r = client(port)

        def answers():
            try:
                return r.ping()
            except redis.RedisError:
                return False
        wait_until(answers)
        found = {}
        for db in (0, 1):
            r.execute_command("SELECT", db)
            for key in r.keys():
                read = {b"string": r.get, b"hash": r.hgetall, b"set": r.smembers, b"list": lambda k: r.lrange(k, 0, -1),
                        b"zset": lambda k: r.zrange(k, 0, -1, withscores=True)}[r.type(key)]
                found[db, key] = read(key), r.execute_command("PEXPIRETIME", key)
        assert found == {place: (value, when) for place, (_, value, _, when) in before.items()}
    finally:
        real.terminate()
        real.wait()
