"""Clients that send one search again and again are served by lanes: nobody must be able to tell, but for the time it takes."""
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from helpers import RawConnection, RespError, pack, wait_until  # noqa: E402
from samples import create, distances, fill, vectors  # noqa: E402

DIM = 32
#: Without a pool, to which searches go that take long: how fast the machine is must not decide who gets a lane.
SERVER_OPTIONS = ["--search-workers", "0"]


def search(vector, *options, where="*", k=10, attributes="", name="FT.SEARCH", index="idx", by=("SORTBY", "d")):
    return pack(name, index, f"{where}=>[KNN {k} @v $b {attributes} AS d]", "PARAMS", "2", "b", vector.tobytes(), *by, *options,
                "DIALECT", "2")


def n_on_lanes(client):
    return client.info("search")["search_lane_clients"]


def settle(r2, connection, message):
    """Sends a search until its connection is on a lane for it."""
    assert connection.call("PING") == "PONG"    # takes it off the lane that it may be on
    before = n_on_lanes(r2)
    for i in range(600):
        connection.send(message).read()
        if i % 8 == 7 and n_on_lanes(r2) > before:
            return
    raise AssertionError("it got no lane")


@pytest.fixture
def filled(r2):
    base = vectors(600, DIM)
    create(r2, algorithm="SVS-VAMANA", dim=DIM)
    fill(r2, base)
    return base


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("compression", [(), ("COMPRESSION", "LVQ8"), ("COMPRESSION", "LVQ4", "RERANK", "30")], ids=str)
@pytest.mark.parametrize("options",
                         [("RETURN", "1", "d"), ("NOCONTENT",), ("RETURN", "3", "d", "AS", "e"), ("RETURN", "2", "tag", "d"),
                          ("RETURN", "2", "d", "num", "LIMIT", "2", "5"), ()], ids=" ".join)
def test_replies_are_the_usual_ones(own_server, connect, r2, options, compression, proto):
    base = vectors(600, DIM)
    create(r2, algorithm="SVS-VAMANA", dim=DIM, options=compression)
    fill(r2, base)
    r2.execute_command("_FT.DEBUG", "WORKERS", "DRAIN")                 # what is found does not change any more
    r2.execute_command("HSET", "d:9", "v", base[4].tobytes())           # equally far from everything as d:4
    lane, usual = connect(), connect()
    for one in (lane, usual):
        one.call("HELLO", str(proto))
    for where in ("*", "@tag:{red}", "@num:[0 50]"):
        message = search(base[4], *options, where=where)
        settle(r2, lane, message)
        for query in [*vectors(20, DIM, seed=7), base[4], base[9], 3 * base[30]]:
            message = search(query, *options, where=where)
            reply = lane.send(message).read()
            assert reply == usual.send(message + pack("PING")).read() and usual.read() == "PONG"
        assert n_on_lanes(r2) == 1
    r2.set("unrelated", 1, ex=1000)         # keys may expire now: rows are looked at one by one
    r2.pexpire("d:4", 20)
    time.sleep(0.05)
    assert "b'd:4'" not in repr(lane.send(search(base[4], *options, where=where)).read())   # which deletes it
    for query in [*vectors(5, DIM, seed=7), base[4]]:
        message = search(query, *options, where=where)
        reply = lane.send(message).read()
        assert reply == usual.send(message + pack("PING")).read() and usual.read() == "PONG"
    assert n_on_lanes(r2) == 1


def test_exact_distances_of_what_was_changed_meanwhile(own_server, raw, r2):
    base = vectors(600, DIM)
    create(r2, algorithm="SVS-VAMANA", dim=DIM, metric="L2", options=("COMPRESSION", "LVQ4", "RERANK", "20"))
    fill(r2, base)
    settle(r2, raw, search(base[0], "RETURN", "1", "d", k=3))
    for row in range(20):
        found = raw.send(search(base[row], "RETURN", "1", "d", k=3)).read()
        assert found[1:3] == [b"d:%d" % row, [b"d", b"0"]]
    base[7] += np.float32(0.001)
    r2.hset("d:7", "v", base[7].tobytes())
    assert n_on_lanes(r2) == 1
    for query in (base[7], base[7] + 1):
        for (key, fields) in zip(*[iter(raw.send(search(query, "RETURN", "1", "d", k=3)).read()[1:])] * 2):
            assert float(fields[1]) == pytest.approx(distances(base[int(key[2:])][None], query, "L2")[0], rel=1e-5, abs=1e-9)
    r2.delete("d:7")
    assert b"d:7" not in raw.send(search(base[7], "RETURN", "1", "d", k=3)).read()
    r2.hset("d:7", mapping={"v": b"x", "num": 1})
    assert b"d:7" not in raw.send(search(base[7], "RETURN", "1", "d", k=3)).read()


def test_what_others_write_is_there_at_once(own_server, raw, r2, filled):
    far = -50 * vectors(1, DIM)[0]
    for where in ("*", "@num:[0 1000]"):
        message = search(far, "NOCONTENT", k=1, where=where)
        settle(r2, raw, message)
        for i in range(30):
            r2.hset(f"d:new{i}", mapping={"v": (far * (1 + i % 3)).tobytes(), "num": 5})
            assert raw.send(message).read() == [1, f"d:new{i}".encode()]
            r2.delete(f"d:new{i}")
            assert raw.send(message).read() != [1, f"d:new{i}".encode()]
        assert n_on_lanes(r2) == 1
    r2.hset("d:short", mapping={"v": far.tobytes(), "num": 5})
    assert raw.send(message).read() == [1, b"d:short"]
    r2.pexpire("d:short", 30)
    time.sleep(0.05)
    assert raw.send(message).read() != [1, b"d:short"]


def test_a_client_may_send_anything_else_at_any_time(own_server, raw, r2, filled):
    query = filled[3]
    message = search(query, "NOCONTENT", k=1)
    settle(r2, raw, message)
    assert raw.call("PING") == "PONG"
    settle(r2, raw, message)
    raw.send(message + message + pack("ECHO", "a") + message)
    assert [raw.read() for _ in range(4)] == [[1, b"d:3"], [1, b"d:3"], b"a", [1, b"d:3"]]
    settle(r2, raw, message)
    raw.send(message[:40])
    time.sleep(0.02)
    raw.send(message[40:])
    assert raw.read() == [1, b"d:3"]
    raw.send(message[:40])
    time.sleep(0.02)
    raw.send(message[40:] + pack("ECHO", "b"))
    assert [raw.read(), raw.read()] == [[1, b"d:3"], b"b"]
    settle(r2, raw, message)
    assert isinstance(raw.send(search(query[:-1], "NOCONTENT", k=1)).read(), RespError)
    settle(r2, raw, message)
    assert isinstance(raw.send(search(np.full(DIM, np.nan, np.float32), "NOCONTENT", k=1)).read(), RespError)
    assert raw.send(search(query, "NOCONTENT", k=2)).read()[0] == 2
    for words in (("HELLO", "3"), ("HELLO", "2"), ("SELECT", "0"), ("CLIENT", "SETNAME", "x")):
        settle(r2, raw, message)
        raw.call(*words)
    lower = search(query, "NOCONTENT", k=1, name="ft.search")
    settle(r2, raw, lower)
    raw.send(b"*1\r\n$4\r\nPI")
    raw.send(b"NG\r\n*x\r\n")
    assert raw.read() == "PONG" and "Protocol error" in str(raw.read()) and raw.is_closed()
    wait_until(lambda: n_on_lanes(r2) == 0)


def test_clients_that_go(own_server, connect, r2, filled):
    message = search(filled[3], "NOCONTENT", k=1)
    clients = [connect() for _ in range(4)]
    for one in clients:
        settle(r2, one, message)
    clients[0].close()
    clients[1].send(message[:50]).close()
    wait_until(lambda: n_on_lanes(r2) == 2)
    victim = next(c for c in r2.client_list() if c["cmd"].upper() == "FT.SEARCH")
    r2.client_kill_filter(_id=victim["id"])
    wait_until(lambda: n_on_lanes(r2) == 1)
    is_closed = [one.socket.send(message) and not one.fill() for one in clients[2:]]
    assert sorted(is_closed) == [False, True]


def test_indexes_that_change_or_go(own_server, raw, r2, filled):
    message = search(filled[3], "NOCONTENT", k=1, index="other")
    r2.execute_command("FT.ALIASADD", "other", "idx")
    settle(r2, raw, message)
    create(r2, name="second", prefix="e:", dim=DIM)
    r2.hset("e:1", "v", filled[3].tobytes())
    r2.execute_command("FT.ALIASUPDATE", "other", "second")
    assert raw.send(message).read() == [1, b"e:1"]
    r2.execute_command("FT.ALIASUPDATE", "other", "idx")
    settle(r2, raw, message)
    r2.execute_command("FT.ALTER", "idx", "SCHEMA", "ADD", "extra", "TAG")
    assert raw.send(message).read() == [1, b"d:3"]
    settle(r2, raw, message)
    r2.execute_command("FT.DROPINDEX", "idx")
    assert isinstance(raw.send(message).read(), RespError)
    create(r2, name="other", algorithm="SVS-VAMANA", dim=DIM)
    wait_until(lambda: raw.send(message).read() == [1, b"d:3"])
    settle(r2, raw, message)
    r2.flushall()
    assert isinstance(raw.send(message).read(), RespError)


def test_what_holds_for_all_clients_holds_on_lanes(own_server, raw, connect, r2, filled):
    message = search(filled[3], "NOCONTENT", k=1)
    settle(r2, raw, message)
    monitor = connect()
    monitor.call("MONITOR")
    raw.send(message).read()
    assert '"FT.SEARCH" "idx"' in monitor.read()
    monitor.close()
    wait_until(lambda: not any("O" in c["flags"] for c in r2.client_list()))
    settle(r2, raw, message)
    started = time.monotonic()
    r2.client_pause(200, all=True)
    raw.send(message).read()
    assert time.monotonic() - started > 0.15


def test_what_is_counted(own_server, connect, r2, filled):
    one = connect()
    me = one.call("CLIENT", "ID")
    message = search(filled[3], "NOCONTENT", k=1)
    settle(r2, one, message)

    def figures():
        row = next(c for c in r2.client_list() if int(c["id"]) == me)
        stats = r2.info("commandstats")
        return (int(row["tot-cmds"]), int(row["tot-net-in"]), int(row["tot-net-out"]),
                next(v for k, v in stats.items() if k.lower() == "cmdstat_ft.search")["calls"],
                r2.info("search")["search_engine_searches"])

    before = figures()
    for _ in range(50):
        one.send(message).read()
    after = figures()
    size = len(pack(*[])) - 4 + len(b"*2\r\n:1\r\n$3\r\nd:3\r\n")
    assert [b - a for a, b in zip(before, after)] == [50, 50 * len(message), 50 * size, 50, 50]
    assert n_on_lanes(r2) == 1
    r2.slowlog_reset()
    r2.config_set("slowlog-log-slower-than", 0)
    one.send(message).read()
    r2.config_set("slowlog-log-slower-than", 10000)
    logged = [entry for entry in r2.slowlog_get(10) if entry["command"].upper().startswith(b"FT.SEARCH")]
    assert len(logged) == 1
    assert n_on_lanes(r2) == 1


@pytest.mark.parametrize("options", [("NOCONTENT",), ("RETURN", "2", "d", "tag")], ids=" ".join)
def test_a_client_that_does_not_read(own_server, r2, filled, options):
    keys = 300
    pipe = r2.pipeline(transaction=False)
    for i in range(keys):
        pipe.hset(f"d:{'x' * 1500}{i}", "v", filled[i].tobytes())
    pipe.execute()
    message = search(filled[3], *options, "LIMIT", "0", "900", k=900)
    with RawConnection(own_server.host, own_server.port) as lazy:
        wanted = lazy.send(message).read()
        settle(r2, lazy, message)
        for _ in range(40):
            lazy.send(message)
            time.sleep(0.005)
        assert all(lazy.read() == wanted for _ in range(40))
        settle(r2, lazy, message)
        for _ in range(40):
            lazy.send(message)
            time.sleep(0.005)
    wait_until(lambda: n_on_lanes(r2) == 0)
    assert r2.ping()
