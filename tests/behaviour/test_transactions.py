"""MULTI, EXEC, DISCARD, WATCH."""
import time

import pytest
from helpers import pack

ABORTED = "EXECABORT Transaction discarded because of previous errors."


def run(connection, *commands):
    return [connection.call(*command) for command in commands]


def test_replies_in_order(raw):
    assert (run(raw, ["MULTI"], ["SET", "a", "1"], ["INCR", "a"], ["GET", "a"], ["EXEC"])
            == ["OK", "QUEUED", "QUEUED", "QUEUED", ["OK", 2, b"2"]])


def test_an_error_while_running_does_not_stop_the_rest(raw):
    run(raw, ["MULTI"], ["SET", "s", "abc"], ["INCR", "s"], ["GET", "s"])
    assert raw.call("EXEC") == ["OK", "ERR value is not an integer or out of range", b"abc"]


@pytest.mark.parametrize("bad", [["SET", "a"], ["NOSUCH", "x"], ["CLIENT", "NOSUCH"], ["SAVE"]])
def test_an_error_while_queueing_aborts(raw, bad):
    run(raw, ["MULTI"], ["SET", "a", "1"], bad)
    assert raw.call("EXEC") == ABORTED
    assert raw.call("EXISTS", "a") == 0


def test_errors(raw):
    assert raw.call("EXEC") == "ERR EXEC without MULTI"
    assert raw.call("DISCARD") == "ERR DISCARD without MULTI"
    raw.call("MULTI")
    assert raw.call("MULTI") == "ERR MULTI calls can not be nested"
    assert raw.call("WATCH", "a") == "ERR WATCH inside MULTI is not allowed"
    assert raw.call("EXEC") == []


def test_discard(raw):
    assert run(raw, ["MULTI"], ["SET", "a", "1"], ["DISCARD"], ["GET", "a"]) == ["OK", "QUEUED", "OK", None]


def test_sub_commands_are_queued_and_run(raw):
    run(raw, ["MULTI"], ["CLIENT", "SETNAME", "me"], ["CONFIG", "GET", "port"], ["CLIENT", "GETNAME"])
    assert raw.call("EXEC")[2] == b"me"


def test_resp3_types_inside(raw3):
    run(raw3, ["MULTI"], ["HSET", "h", "f", "v"], ["HGETALL", "h"], ["GET", "none"])
    assert raw3.call("EXEC") == [1, {b"f": b"v"}, None]


class TestWatch:
    def test_unchanged(self, raw):
        run(raw, ["SET", "a", "1"], ["WATCH", "a"], ["MULTI"], ["GET", "a"])
        assert raw.call("EXEC") == [b"1"]

    @pytest.mark.parametrize("change",
                             [["SET", "a", "2"], ["DEL", "a"], ["EXPIRE", "a", "100"], ["FLUSHDB"], ["FLUSHALL"],
                              ["RENAME", "a", "b"],
                                        ["APPEND", "a", "x"], ["SWAPDB", "0", "1"]])
    def test_changed_by_another(self, raw, connect, change):
        run(raw, ["SET", "a", "1"], ["WATCH", "x", "a"], ["MULTI"], ["SET", "b", "1"])
        connect().call(*change)
        raw.send(pack("EXEC"))
        assert raw.line() == b"*-1"
        assert raw.call("GET", "none") is None

    def test_changed_by_oneself(self, raw):
        run(raw, ["WATCH", "a"], ["SET", "a", "1"], ["MULTI"], ["PING"])
        assert raw.call("EXEC") is None
        run(raw, ["MULTI"], ["PING"])
        assert raw.call("EXEC") == ["PONG"]

    def test_expired(self, raw):
        left, ms = 0, 20
        while left <= 0:                # it has to be there when it is watched, however slow the machine is
            left, ms = run(raw, ["UNWATCH"], ["SET", "a", "1", "PX", ms], ["WATCH", "a"], ["PTTL", "a"])[-1], 4 * ms
        run(raw, ["MULTI"], ["PING"])
        time.sleep((left + 10) / 1000)
        assert raw.call("EXEC") is None

    def test_another_database_is_another_key(self, raw, connect):
        run(raw, ["WATCH", "a"], ["MULTI"], ["PING"])
        other = connect()
        run(other, ["SELECT", "1"], ["SET", "a", "1"])
        assert raw.call("EXEC") == ["PONG"]

    @pytest.mark.parametrize("end", [["UNWATCH"], ["DISCARD"]])
    def test_forgotten(self, raw, end):
        run(raw, ["WATCH", "a"])
        if end == ["DISCARD"]:
            raw.call("MULTI")
        run(raw, end, ["SET", "a", "1"], ["MULTI"], ["PING"])
        assert raw.call("EXEC") == ["PONG"]

    def test_a_watched_key_that_is_not_there_yet(self, raw, connect):
        run(raw, ["WATCH", "new"], ["MULTI"], ["PING"])
        connect().call("SET", "new", "1")
        assert raw.call("EXEC") is None


def test_redis_py_transaction(both):
    both.set("n", 1)

    def increment(pipe):
        value = int(pipe.get("n"))
        pipe.multi()
        pipe.set("n", value + 1)
    assert both.transaction(increment, "n") == [True]
    with both.pipeline() as pipe:
        assert pipe.set("a", "b").get("a").hset("h", "f", "v").hgetall("h").execute() == [True, b"b", 1, {b"f": b"v"}]
