"""Disks that are full or fail: writes are refused while reads go on, and nothing that was acknowledged is lost."""
import contextlib
import errno
import os
import shutil
import signal
import struct
import subprocess
from pathlib import Path

import pytest
import redis

from everything import client_of
from helpers import running_server, wait_until

SOURCE = Path(__file__).resolve().parents[1] / "faults" / "faults.c"
pytestmark = pytest.mark.skipif(not shutil.which("cc") or not os.path.exists("/proc/self/fd"),
                                reason="needs a C compiler and /proc")


class Faults:
    """What fails at present."""

    def __init__(self, path: Path):
        self.path = path
        self.set()

    def set(self, write: int = 0, sync: int = 0, rename: int = 0, truncate: int = 0, budget: int = 0, held: bool = False) -> None:
        """Error numbers, how many bytes may be written before the first,
        and whether synchronisations wait until this is called again."""
        text = struct.pack("<4iqq", write, sync, rename, truncate, budget, held)
        mode = "r+b" if self.path.exists() else "wb"
        with open(self.path, mode) as file:
            file.write(text)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(path), str(SOURCE), "-ldl"], check=True)
    return path


@pytest.fixture
def faults(tmp_path, library, monkeypatch):
    page = Faults(tmp_path / "page")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FAULTS_PAGE", str(page.path))
    monkeypatch.setenv("FAULTS_MATCH", "appendonlydir")
    return page


def options(tmp_path, policy: str) -> list[str]:
    return ["--appendonly", "yes", "--appendfsync", policy, "--dir", str(tmp_path / "data")]


def is_writable(r) -> bool:
    try:
        return bool(r.set("probe", 1))
    except redis.ResponseError:
        return False


@pytest.mark.parametrize("policy", ["always", "everysec"])
@pytest.mark.parametrize("can_cut", [True, False])
def test_a_full_disk(tmp_path, faults, policy, can_cut):
    acked = {}
    with running_server(*options(tmp_path, policy)) as handle:
        r = client_of(handle)
        for i in range(20):
            r.set(f"k{i}", i)
            acked[f"k{i}"] = i
        faults.set(write=errno.ENOSPC, budget=70, truncate=0 if can_cut else errno.EIO)
        refused = False
        for i in range(20, 60):
            try:
                r.set(f"k{i}", i)
                acked[f"k{i}"] = i
            except redis.ResponseError as error:
                assert str(error).startswith("MISCONF Errors writing to the AOF file: No space left on device")
                refused = True
            except redis.ConnectionError:
                assert policy == "always"           # nobody knows whether that one will last
        assert refused and r.get("k3") == b"3"
        assert r.info("persistence")["aof_last_write_status"] == "err"
        faults.set()
        wait_until(lambda: is_writable(r))
        assert r.info("persistence")["aof_last_write_status"] == "ok"
        r.set("later", 1)
        assert "AOF write error looks solved" in handle.log()
        handle.stop(signal.SIGKILL)
    with running_server(*options(tmp_path, policy)) as handle:
        r = client_of(handle)
        assert r.get("later") == b"1"
        assert {key: int(r.get(key) or -1) for key in acked} == acked


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_a_disk_that_cannot_synchronise(tmp_path, faults, policy):
    with running_server(*options(tmp_path, policy)) as handle:
        r = client_of(handle)
        r.set("before", 1)
        faults.set(sync=errno.EIO)
        with contextlib.suppress(redis.RedisError):
            r.set("unsure", 1)
        wait_until(lambda: not is_writable_or_gone(r))
        assert r.get("before") == b"1"
        faults.set()
        wait_until(lambda: is_writable(r))      # the file was rewritten
        assert r.info("persistence")["aof_rewrites"] >= 1
        r.set("after", 1)
        handle.stop(signal.SIGKILL)
    with running_server(*options(tmp_path, policy)) as handle:
        r = client_of(handle)
        assert r.get("before") == b"1" and r.get("after") == b"1"


def is_writable_or_gone(r) -> bool:
    try:
        return is_writable(r)
    except redis.ConnectionError:
        return True


def test_a_rewrite_that_fails_leaves_all_as_it_was(tmp_path, faults):
    with running_server(*options(tmp_path, "everysec")) as handle:
        r = client_of(handle)
        r.set("a", 1)
        for fault in ({"rename": errno.EIO}, {"write": errno.ENOSPC, "budget": 10}):
            failures = r.info("persistence")["aof_rewrites_consecutive_failures"]
            faults.set(**fault)
            assert r.bgrewriteaof()
            wait_until(lambda: r.info("persistence")["aof_rewrites_consecutive_failures"] > failures)
            assert r.info("persistence")["aof_last_bgrewrite_status"] == "err"
            faults.set()
            wait_until(lambda: is_writable(r))
        r.set("b", 2)
        handle.stop(signal.SIGKILL)
    with running_server(*options(tmp_path, "everysec")) as handle:
        r = client_of(handle)
        assert r.get("a") == b"1" and r.get("b") == b"2"
        assert r.bgrewriteaof()
        wait_until(lambda: r.info("persistence")["aof_rewrites"] == 1)
        assert len(os.listdir(tmp_path / "data" / "appendonlydir")) == 3


def test_slow_disks_do_not_stop_the_loop(tmp_path, faults, monkeypatch):
    """No synchronisation ends before the test lets it: what it sees answered meanwhile has not waited for one."""
    monkeypatch.setenv("FAULTS_MATCH", str(tmp_path / "data"))
    with running_server(*options(tmp_path, "everysec")) as handle:
        r = client_of(handle)
        r.execute_command("FT.CREATE", "i", "SCHEMA", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", 2,
                          "DISTANCE_METRIC", "L2")
        r.hset("h", "v", bytes(8))

        def state(name: str) -> int | str:
            return r.info("persistence")[name]

        faults.set(held=True)
        wait_until(lambda: r.set("a", 1) and state("aof_pending_bio_fsync") == 1)
        wait_until(lambda: r.set("a", 2) and state("aof_delayed_fsync") > 0)            # commands wait for half a second at most
        assert r.bgsave() and r.set("a", 3) and state("rdb_bgsave_in_progress") == 1
        faults.set()
        wait_until(lambda: state("rdb_saves") == 1 and state("aof_pending_bio_fsync") == 0)
        faults.set(held=True)
        assert r.bgrewriteaof() and r.set("a", 4)
        wait_until(lambda: r.set("a", 5) and state("aof_pending_bio_fsync") == 1)
        assert state("aof_rewrite_in_progress") == 1 and state("aof_rewrites") == 0
        faults.set()
        wait_until(lambda: state("aof_rewrites") == 1 and state("aof_buffer_length") == 0)
        handle.stop(signal.SIGKILL)
    with running_server(*options(tmp_path, "everysec")) as handle:
        assert client_of(handle).get("a") == b"5"
