"""Clients on lanes whose searches differ in their filters: known ones are served there, all are answered as ever. The index is
exact: what a graph finds depends on the plan of the search, and that on time."""
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from helpers import RawConnection, RespError, client, pack, running_server, wait_until  # noqa: E402
from samples import create, fill, vectors  # noqa: E402

DIM = 32
#: Without a pool, to which searches go that take long: how fast the machine is must not decide who gets a lane.
SERVER_OPTIONS = ["--search-workers", "0"]
WHERES = ["*", "@tag:{red}", "@tag:{green|rare}", "(-@tag:{blue})", "@num:[0 50]", "(@num:[(10 500] @tag:{rare})",
          *(f"@num:[{i} {100 + 7 * i}]" for i in range(8))]


def search(vector, where, *options, k=10, before=(), behind=(), index="idx"):
    n = 2 + len(before) + len(behind)
    return pack("FT.SEARCH", index, f"{where}=>[KNN {k} @v $b AS d]", "PARAMS", str(n), *before, "b", vector.tobytes(), *behind,
                "SORTBY", "d", *options, "DIALECT", "2")


def nearest(vector, *wheres, **more):
    """Searches for the key of the nearest."""
    return [search(vector, where, "NOCONTENT", k=1, **more) for where in wheres]


def in_exec(connection, message):
    """The reply to a search that is not for lanes."""
    connection.send(pack("MULTI") + message + pack("EXEC"))
    return [connection.read() for _ in range(3)][2][0]


def on_lanes(client):
    return client.info("search")["search_lane_clients"]


def roads(client):
    return client.info("search")["search_lane_searches"]


class Asker:
    """Sends searches on several connections that are to be on lanes, and on one that is not."""

    def __init__(self, connect, r2, proto=2, n=2):
        self.r2 = r2
        self.clients, self.usual = [connect() for _ in range(n)], connect()
        for one in (*self.clients, self.usual):
            one.call("HELLO", str(proto))

    def check(self, messages):
        """All get the same answers."""
        for message in messages:
            for one in self.clients:
                one.send(message)
            wanted = in_exec(self.usual, message)
            assert not isinstance(wanted, RespError)
            for one in self.clients:
                assert one.read() == wanted

    def settle(self, messages):
        """Sends them until all are on lanes with each of them."""
        for _ in range(400):                    # who has left soon comes back late
            self.check(messages)
            if on_lanes(self.r2) == len(self.clients):
                before = roads(self.r2)
                self.check(messages)
                if on_lanes(self.r2) == len(self.clients) and roads(self.r2) == before:
                    return
        raise AssertionError("they got no lanes")


@pytest.fixture
def filled(own_server, r2):
    base = vectors(600, DIM)
    create(r2, dim=DIM)
    fill(r2, base)
    return base


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("options", [("RETURN", "1", "d"), ("NOCONTENT",), ("RETURN", "2", "num", "d"), ("LIMIT", "2", "3")],
                         ids=" ".join)
def test_known_searches_are_answered_as_ever(connect, r2, filled, options, proto):
    asker = Asker(connect, r2, proto)
    queries = vectors(40, DIM, seed=7)

    def messages():
        return [search(queries[(3 * i) % 40], where, *options) for i, where in enumerate(WHERES)]

    asker.settle(messages())
    n = roads(r2)
    assert n == len(WHERES)
    for i in range(12):                         # the filters let others pass, and these lie elsewhere
        r2.hset(f"d:{i}", mapping={"num": 600 - i, "v": filled[i + 1].tobytes(), "tag": "rare"})
        r2.delete(f"d:{300 + i}")
        r2.hset(f"d:new{i}", mapping={"num": 40 + i, "v": queries[i].tobytes(), "tag": "red"})
        asker.check(messages()[i % 2::2])
    assert on_lanes(r2) == 2 and roads(r2) == n
    asker.check([search(queries[0], f"@num:[{i} {i + 3}]", *options) for i in range(3)])
    asker.settle(messages())
    assert roads(r2) >= n


def test_what_differs_may_be_a_parameter_before_or_behind_the_vector(connect, r2, filled):
    asker = Asker(connect, r2)
    query = vectors(1, DIM, seed=8)[0]
    messages = [search(query, "@tag:{$t}", "NOCONTENT", **{side: ("t", tag)})
                for side in ("before", "behind") for tag in ("red", "green", "rare")]
    asker.settle(messages[:3])
    asker.settle(messages[3:])
    assert roads(r2) == 6
    r2.hset("d:5", mapping={"tag": "rare", "v": query.tobytes()})
    assert asker.clients[0].send(messages[5]).read()[1] == b"d:5"
    r2.hset("d:5", "tag", "blue")
    assert asker.clients[0].send(messages[5]).read()[1] != b"d:5"


def test_each_search_finds_what_was_written_before_it(connect, r2, filled):
    asker = Asker(connect, r2)
    one, far = asker.clients[0], -50 * vectors(1, DIM)[0]
    messages = {tag: search(far, "@tag:{%s}" % tag, "NOCONTENT", k=1) for tag in ("red", "green", "blue", "rare")}
    asker.settle(list(messages.values()))
    for i in range(25):
        there, other = ("red", "green", "blue", "rare", "red")[i % 4:i % 4 + 2]
        r2.hset("d:new", mapping={"v": far.tobytes(), "tag": there})
        assert one.send(messages[there]).read() == [1, b"d:new"]
        assert one.send(messages[other]).read() != [1, b"d:new"]
        r2.hset("d:new", "tag", other)
        assert one.send(messages[there]).read() != [1, b"d:new"]
        assert one.send(messages[other]).read() == [1, b"d:new"]
        r2.hset("d:new", "v", (-far).tobytes())
        assert one.send(messages[other]).read() != [1, b"d:new"]
        r2.delete("d:new")
    assert on_lanes(r2) == 2


def test_filters_that_let_nothing_pass_for_a_while(connect, r2, filled):
    asker = Asker(connect, r2)
    messages = [search(filled[3], where, "NOCONTENT", k=3) for where in ("@tag:{red}", "@tag:{new}", "@num:[1 7]")]
    r2.hset("d:new", mapping={"v": filled[3].tobytes(), "tag": "new"})
    asker.settle(messages)
    for _ in range(3):
        r2.hset("d:new", "tag", "none")
        assert asker.clients[0].send(messages[1]).read() == [0]
        asker.check(messages)
        r2.hset("d:new", "tag", "new")
        assert asker.clients[1].send(messages[1]).read() == [1, b"d:new"]
        asker.check(messages)
    asker.settle(messages)


def test_half_sent_requests_other_commands_and_errors(connect, r2, filled):
    asker = Asker(connect, r2)
    messages = nearest(filled[3], "@num:[0 9]", "@num:[0 10]", "@num:[3 300]")
    asker.settle(messages)
    one = asker.clients[0]
    marker = connect()
    for message in messages:
        for cut in (1, 8, 30, 45, 60, 100, len(message) - 1):
            one.send(message[:cut])
            assert marker.call("PING") == "PONG"            # by then the server has read it, or will read both
            assert one.send(message[cut:]).read() == [1, b"d:3"]
    assert on_lanes(r2) == 2
    for sent, replies in ((messages[0] + messages[1], [[1, b"d:3"]] * 2), (messages[2][:-4], []),
                          (messages[2][-4:] + pack("ECHO", "x"), [[1, b"d:3"], b"x"]),
                          (*nearest(filled[3], "@num:[0 x]"), [RespError]), (*nearest(filled[3][:-1], "@num:[0 9]"), [RespError]),
                          (*nearest(np.full(DIM, np.nan, np.float32), "@num:[0 9]"), [RespError]),
                          (b"*13\r\n$9\r\nFT.SEARCH\r\n$3\r\nidx\r\n$1x\r\n", [RespError])):
        one.send(sent)
        for reply in replies:
            found = one.read()
            assert found == reply or (reply is RespError and isinstance(found, RespError))
    assert one.is_closed()
    wait_until(lambda: on_lanes(r2) == 1)
    asker.clients.remove(one)
    asker.settle(messages)


def test_indexes_and_fields_that_change_or_go(connect, r2, filled):
    asker = Asker(connect, r2)
    r2.execute_command("FT.ALIASADD", "other", "idx")
    messages = nearest(filled[3], "@num:[0 9]", "@num:[0 10]", "@num:[3 300]", "@tag:{red}", index="other")
    asker.settle(messages)
    create(r2, name="second", prefix="e:", dim=DIM)
    r2.hset("e:1", mapping={"v": filled[3].tobytes(), "num": 4})
    r2.execute_command("FT.ALIASUPDATE", "other", "second")
    assert asker.clients[0].send(messages[1]).read() == [1, b"e:1"]
    asker.check(messages)
    r2.execute_command("FT.ALIASUPDATE", "other", "idx")
    asker.settle(messages)
    r2.execute_command("FT.ALTER", "idx", "SCHEMA", "ADD", "extra", "TAG")
    asker.settle(messages)
    r2.execute_command("FT.DROPINDEX", "idx")
    assert all(isinstance(one.send(messages[2]).read(), RespError) for one in asker.clients)
    create(r2, name="other", dim=DIM)
    wait_until(lambda: r2.execute_command("FT.SEARCH", "other", "*", "LIMIT", "0", "0") == [600])
    asker.settle(messages)
    r2.flushall()
    assert isinstance(asker.clients[0].send(messages[1]).read(), RespError)


def test_clients_that_are_killed_or_kill_while_others_wait(connect, r2, filled):
    asker = Asker(connect, r2, n=4)
    messages = nearest(filled[3], "@num:[0 9]", "@num:[0 10]", "@num:[3 300]")
    asker.settle(messages)
    numbers = [one.call("CLIENT", "ID") for one in asker.clients]
    asker.settle(messages)
    first, *others = asker.clients
    first.send(pack("CLIENT", "KILL", "ID", str(numbers[1])))
    for one in others:
        one.send(pack("ECHO", "y"))
    assert first.read() == 1
    assert [one.read() for one in others[1:]] == [b"y", b"y"]
    asker.clients.remove(others[0])
    asker.settle(messages)
    r2.client_kill_filter(_id=numbers[2])
    wait_until(lambda: on_lanes(r2) == 2)
    asker.clients.remove(others[1])
    asker.settle(messages)


def test_what_is_counted_on_several_roads(connect, r2, filled):
    asker = Asker(connect, r2, n=1)
    one, = asker.clients
    messages = nearest(filled[3], *WHERES)
    asker.settle(messages)

    def figures():
        stats = r2.info("commandstats")
        calls = next(v for k, v in stats.items() if k.lower() == "cmdstat_ft.search")["calls"]
        return calls, r2.info("search")["search_engine_searches"]

    before = figures()
    for message in messages * 3:
        one.send(message).read()
    assert [b - a for a, b in zip(before, figures())] == [3 * len(messages)] * 2
    r2.slowlog_reset()
    r2.config_set("slowlog-log-slower-than", 0)
    one.send(messages[4]).read()
    r2.config_set("slowlog-log-slower-than", 10000)
    logged, = [entry for entry in r2.slowlog_get(10) if entry["command"].upper().startswith(b"FT.SEARCH")]
    assert WHERES[4].encode() in logged["command"]
    assert on_lanes(r2) == 1


def test_memory_that_is_short(connect, r2, filled):
    asker = Asker(connect, r2)
    messages = nearest(filled[3], "@num:[0 9]", "@tag:{red}")
    asker.settle(messages)
    r2.config_set("search-on-oom", "fail")
    r2.config_set("maxmemory", 1)
    try:
        wait_until(lambda: isinstance(in_exec(asker.usual, messages[0]), RespError))
        assert all(isinstance(one.send(message).read(), RespError) for one in asker.clients for message in messages)
    finally:
        r2.config_set("maxmemory", 0)
        r2.config_set("search-on-oom", "return")
    wait_until(lambda: not isinstance(in_exec(asker.usual, messages[0]), RespError))
    asker.settle(messages)


def test_more_filters_than_are_kept():
    limit = 100_000
    smaller = f"import commands.ft.plans as plans; plans.MAX_BYTES, plans.MAX_PREPARED = {limit}, 64"
    with running_server(*SERVER_OPTIONS, before=smaller) as server:
        with client(server) as r2, RawConnection(server.host, server.port) as one, \
                RawConnection(server.host, server.port) as usual:
            base = vectors(200, DIM)
            create(r2, dim=DIM)
            fill(r2, base)
            messages = [search(base[i], f"@num:[{i} {i + 90}]", "NOCONTENT", k=3) for i in range(120)]
            wanted = [in_exec(usual, message) for message in messages]
            most, sizes = 0, []
            for i in range(240):
                for j in (i % 120, i % 120, i % 6):
                    assert one.send(messages[j]).read() == wanted[j]
                if i % 20 == 0:
                    r2.ping()                   # what is too much goes in a turn of its own
                    sizes.append(r2.info("search")["search_filter_bytes"])
                    most = max(most, roads(r2))
            assert 5 < most < 100 and max(sizes) < 1.3 * limit < 100 * 4096
            for i in range(600):
                assert one.send(messages[i % 6]).read() == wanted[i % 6]
                if i % 24 == 23 and on_lanes(r2):
                    return
            raise AssertionError("it got no lane")
