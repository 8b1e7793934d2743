"""The stream commands, and streams after a restart."""
import shutil
import subprocess
import time

import pytest
from helpers import RawConnection, free_port, pack, running_server, wait_until


@pytest.fixture
def s(raw):
    """s: entries 1-0 to 5-0 with the fields n, and group g that has read nothing."""
    for i in range(1, 6):
        assert raw.call("XADD", "s", f"{i}-0", "n", i) == b"%d-0" % i
    assert raw.call("XGROUP", "CREATE", "s", "g", "0") == "OK"
    return raw


def ids(rows) -> list[bytes]:
    return [row[0] for row in rows]


class TestEntries:
    def test_ids(self, raw):
        before = time.time_ns() // 1_000_000
        ms, number = raw.call("XADD", "s", "*", "a", "1").split(b"-")
        assert abs(int(ms) - before) < 100_000 and number == b"0"
        assert raw.call("XADD", "s", f"{int(ms)}-*", "a", "1") == b"%b-1" % ms
        assert raw.error("XADD", "s", "1-1", "a",
                         "1") == "ERR The ID specified in XADD is equal or smaller than the target stream top item"
        assert raw.error("XADD", "s", "0-0", "a", "1") == "ERR The ID specified in XADD must be greater than 0-0"
        assert raw.error("XADD", "s", "x", "a", "1") == "ERR Invalid stream ID specified as stream command argument"
        assert raw.error("XADD", "s", "*", "a").startswith("ERR wrong number") and raw.call("TYPE", "s") == "stream"
        assert raw.call("XADD", "none", "NOMKSTREAM", "*", "a", "1") is None

    def test_ranges(self, s):
        assert ids(s.call("XRANGE", "s", "-", "+")) == [b"1-0", b"2-0", b"3-0", b"4-0", b"5-0"]
        assert s.call("XRANGE", "s", "2", "(4-0", "COUNT", 5) == [[b"2-0", [b"n", b"2"]], [b"3-0", [b"n", b"3"]]]
        assert ids(s.call("XREVRANGE", "s", "+", "-", "COUNT", 2)) == [b"5-0", b"4-0"] and s.call("XLEN", "s") == 5
        assert s.call("XDEL", "s", "3", "9") == 1 and ids(s.call("XRANGE", "s", "2", "4")) == [b"2-0", b"4-0"]

    def test_trimming(self, s):
        assert s.call("XTRIM", "s", "MAXLEN", 3) == 2 and s.call("XTRIM", "s", "MINID", "4") == 1
        assert s.call("XADD", "s", "MAXLEN", "=", 1, "9", "n", 9) == b"9-0" and ids(s.call("XRANGE", "s", "-", "+")) == [b"9-0"]
        s.call("CONFIG", "SET", "stream-node-max-entries", "10")
        for i in range(10, 60):
            s.call("XADD", "s", "MAXLEN", "~", 15, i, "n", i)
        assert 15 <= s.call("XLEN", "s") < 26
        assert s.error("XTRIM", "s", "MAXLEN", 1, "LIMIT", 5).startswith("ERR syntax error, LIMIT cannot be used")

    def test_xread(self, s, connect):
        assert s.call("XREAD", "COUNT", 1, "STREAMS", "s", "none", "3", "0") == [[b"s", [[b"4-0", [b"n", b"4"]]]]]
        assert s.call("XREAD", "STREAMS", "s", "$") is None and s.call("XREAD", "BLOCK", 10, "STREAMS", "s", "$") is None
        assert ids(s.call("XREAD", "STREAMS", "s", "+")[0][1]) == [b"5-0"]
        other = connect().send(pack("XREAD", "BLOCK", "0", "STREAMS", "s", "$"))
        wait_until(lambda: b"blocked_clients:1" in s.call("INFO", "clients"))
        s.call("XADD", "s", "6", "n", 6)
        assert other.read() == [[b"s", [[b"6-0", [b"n", b"6"]]]]]

    def test_resp3(self, raw3):
        raw3.call("XADD", "s", "1", "a", "b")
        assert raw3.call("XREAD", "STREAMS", "s", "0") == {b"s": [[b"1-0", [b"a", b"b"]]]}

    def test_xsetid_and_xinfo(self, s):
        assert s.call("XSETID", "s", "7-0", "ENTRIESADDED", 10, "MAXDELETEDID", "3-0") == "OK"
        info = s.call("XINFO", "STREAM", "s")
        info = dict(zip(info[::2], info[1::2]))
        assert info[b"last-generated-id"] == b"7-0" and info[b"entries-added"] == 10 and info[b"max-deleted-entry-id"] == b"3-0"
        assert info[b"first-entry"] == [b"1-0", [b"n", b"1"]] and info[b"groups"] == 1
        assert s.error("XSETID", "s", "1").startswith("ERR The ID specified in XSETID is smaller")


class TestGroups:
    def test_reading_and_acknowledging(self, s):
        read = ("XREADGROUP", "GROUP", "g", "ann", "COUNT", 2, "STREAMS", "s", ">")
        assert ids(s.call(*read)[0][1]) == [b"1-0", b"2-0"] and ids(s.call(*read)[0][1]) == [b"3-0", b"4-0"]
        assert s.call("XACK", "s", "g", "1", "2", "9") == 2
        assert ids(s.call("XREADGROUP", "GROUP", "g", "ann", "STREAMS", "s", "0")[0][1]) == [b"3-0", b"4-0"]
        assert s.call("XPENDING", "s", "g") == [2, b"3-0", b"4-0", [[b"ann", b"2"]]]
        pending = s.call("XPENDING", "s", "g", "-", "+", 10, "ann")
        assert [row[:2] + row[3:] for row in pending] == [[b"3-0", b"ann", 1], [b"4-0", b"ann", 1]]
        group = s.call("XINFO", "GROUPS", "s")[0]
        group = dict(zip(group[::2], group[1::2]))
        assert group == {b"name": b"g", b"consumers": 1, b"pending": 2, b"last-delivered-id": b"4-0", b"entries-read": 4,
                         b"lag": 1}

    def test_claiming(self, s):
        s.call("XREADGROUP", "GROUP", "g", "ann", "STREAMS", "s", ">")
        assert s.call("XCLAIM", "s", "g", "ben", 100_000, "1") == []
        assert ids(s.call("XCLAIM", "s", "g", "ben", 0, "1")) == [b"1-0"]
        s.call("XDEL", "s", "2")
        assert s.call("XAUTOCLAIM", "s", "g", "ben", 0, "-", "COUNT", 3, "JUSTID") == [b"4-0", [b"1-0", b"3-0"], [b"2-0"]]
        assert [c[1] for c in s.call("XINFO", "CONSUMERS", "s", "g")] == [b"ann", b"ben"]
        assert s.call("XGROUP", "DELCONSUMER", "s", "g", "ben") == 2 and s.call("XPENDING", "s", "g")[0] == 2

    def test_waiting(self, s, connect):
        s.call("XGROUP", "SETID", "s", "g", "$")
        waiting = [connect().send(pack("XREADGROUP", "GROUP", "g", "ann", "BLOCK", "0", "STREAMS", "s", ">")) for _ in range(2)]
        wait_until(lambda: b"blocked_clients:2" in s.call("INFO", "clients"))
        s.call("XADD", "s", "6", "n", 6)
        assert waiting[0].read() == [[b"s", [[b"6-0", [b"n", b"6"]]]]]
        s.call("XGROUP", "DESTROY", "s", "g")
        assert waiting[1].read().text.startswith("NOGROUP")

    def test_refusals(self, s):
        assert s.error("XREADGROUP", "GROUP", "x", "ann", "STREAMS", "s",
                       ">").startswith("NOGROUP No such key 's' or consumer group 'x'")
        assert s.error("XGROUP", "CREATE", "s", "g", "$").startswith("BUSYGROUP")
        assert s.error("XGROUP", "CREATE", "none", "g", "$").startswith("ERR The XGROUP subcommand requires the key to exist")
        assert s.call("XGROUP", "CREATE", "new", "g", "$", "MKSTREAM") == "OK" and s.call("XLEN", "new") == 0


def fill(raw) -> None:
    """Streams of every sort."""
    for i in range(1, 250):
        raw.call("XADD", "s", f"{i * 1000}-{i % 3}", "n", i, "text", f"value {i}",
                 *(["more", "x" * (i * 30)] if i % 7 == 0 else []))
    raw.call("XDEL", "s", "5000-2", "249000-0")
    raw.call("XADD", "s", "MAXLEN", "~", 240, "*", "last", "-5")
    raw.call("XGROUP", "CREATE", "s", "g", "0")
    raw.call("XGROUP", "CREATE", "s", "h", "$")
    raw.call("XREADGROUP", "GROUP", "g", "ann", "COUNT", 5, "STREAMS", "s", ">")
    raw.call("XREADGROUP", "GROUP", "g", "ben", "COUNT", 3, "NOACK", "STREAMS", "s", ">")
    raw.call("XREADGROUP", "GROUP", "g", "eve", "COUNT", 3, "STREAMS", "s", ">")
    raw.call("XACK", "s", "g", "2000-2")
    raw.call("XCLAIM", "s", "g", "ben", 0, "1000-1", "JUSTID")
    raw.call("XAUTOCLAIM", "s", "g", "zoe", 0, "3000-0", "COUNT", 1)
    raw.call("XGROUP", "CREATE", "empty", "g", "$", "MKSTREAM")


def seen(raw) -> list:
    """What a client sees of them, without what goes with time."""
    pending = [row[:2] + row[3:] for row in raw.call("XPENDING", "s", "g", "-", "+", 100)]
    info = raw.call("XINFO", "STREAM", "s")
    return [raw.call("XRANGE", "s", "-", "+"), info, pending, raw.call("XINFO", "GROUPS", "s"),
            raw.call("XINFO", "GROUPS", "empty"), sorted(consumer[1] for consumer in raw.call("XINFO", "CONSUMERS", "s", "g"))]


def test_snapshots_and_payloads(own_server, raw):
    fill(raw)
    before = seen(raw)
    assert raw.call("DEBUG", "RELOAD") == "OK" and seen(raw) == before
    payload = raw.call("DUMP", "s")
    assert raw.call("RESTORE", "s", 0, payload, "REPLACE") == "OK" and seen(raw) == before
    raw.call("COPY", "s", "t")
    raw.call("XADD", "t", "*", "a", "b")
    assert seen(raw) == before


@pytest.mark.parametrize("rewrite", [False, True, "without preamble"])
def test_append_only_file(tmp_path, rewrite):
    options = ("--appendonly", "yes", "--dir", str(tmp_path),
               *(("--aof-use-rdb-preamble", "no") if rewrite == "without preamble" else ()))
    with running_server(*options) as server, RawConnection(port=server.port) as raw:
        fill(raw)
        if rewrite:
            raw.call("BGREWRITEAOF")
            wait_until(lambda: b"aof_rewrite_in_progress:0" in raw.call("INFO", "persistence"))
        raw.call("XADD", "s", "*", "behind", "it")
        before = seen(raw)
    with running_server(*options) as server, RawConnection(port=server.port) as raw:
        assert seen(raw) == before


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")
def test_redis_reads_ours_and_we_read_its(own_server, raw, tmp_path):
    fill(raw)
    port = free_port()
    process = subprocess.Popen(["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path)],
                               stdout=subprocess.DEVNULL)
    try:
        def connected():
            try:
                return RawConnection(port=port)
            except OSError:
                return None
        with wait_until(connected) as redis:
            for key in ("s", "empty"):
                assert redis.call("RESTORE", key, 0, raw.call("DUMP", key)) == "OK"
            assert redis.call("XRANGE", "s", "-", "+") == raw.call("XRANGE", "s", "-", "+")
            assert redis.call("XPENDING", "s", "g") == raw.call("XPENDING", "s", "g")
            assert redis.call("XINFO", "GROUPS", "s") == raw.call("XINFO", "GROUPS", "s")
            redis.call("XDEL", "s", "6000-0")
            redis.call("XADD", "s", "*", "other", "names", "12345678901", "-70000")
            assert raw.call("RESTORE", "s", 0, redis.call("DUMP", "s"), "REPLACE") == "OK"
            assert redis.call("XRANGE", "s", "-", "+") == raw.call("XRANGE", "s", "-", "+")
            assert redis.call("XINFO", "GROUPS", "s") == raw.call("XINFO", "GROUPS", "s")
    finally:
        process.terminate()
        process.wait()


def test_deletion_with_regard_to_groups(raw):
    call = raw.call
    for i in range(1, 7):
        call("XADD", "s", f"{i}-0", "f", "v")
    for group in ("g", "h"):
        call("XGROUP", "CREATE", "s", group, 0)
        call("XREADGROUP", "GROUP", group, "c", "COUNT", 5, "STREAMS", "s", ">")
    assert call("XDELEX", "s", "KEEPREF", "IDS", 2, "1-0", "9-0") == [1, -1] and call("XPENDING", "s", "g")[0] == 5
    assert call("XDELEX", "s", "DELREF", "IDS", 1, "2-0") == [1] and call("XPENDING", "s", "g")[0] == 4
    assert call("XDELEX", "s", "ACKED", "IDS", 2, "3-0", "6-0") == [2, 2]
    assert call("XACKDEL", "s", "g", "ACKED", "IDS", 1, "3-0") == [2]
    assert call("XACKDEL", "s", "h", "ACKED", "IDS", 1, "3-0") == [1]
    assert call("XACKDEL", "s", "g", "IDS", 2, "4-0", "6-0") == [1, -1] and call("XPENDING", "s", "h")[0] == 3
    assert call("XACKDEL", "s", "g", "DELREF", "IDS", 1, "5-0") == [1]
    assert [call("XPENDING", "s", group)[0] for group in "gh"] == [1, 2]
    assert [entry for entry, _ in call("XRANGE", "s", "-", "+")] == [b"6-0"]
    assert call("XDELEX", "none", "IDS", 1, "1-0") == call("XACKDEL", "s", "none", "IDS", 1, "6-0") == [-1]
    assert call("XDELEX", "s", "IDS", 0, "1-0") == "ERR Number of IDs must be a positive integer"
    assert call("XDELEX", "s", "IDS", 2, "1-0") == "ERR The `numids` parameter must match the number of arguments"
    assert call("XDELEX", "s", "OTHER", "IDS", 1, "1-0") == "ERR syntax error"
