"""Searches that arrive together: the replies that the engine writes are those that commands/ft/reply.py would write, in the
order of each client's commands, whatever else its clients do meanwhile."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from helpers import pack  # noqa: E402
from samples import create, fill, vectors  # noqa: E402


def search(vector, *options, where="*", k=10):
    return pack("FT.SEARCH", "idx", f"{where}=>[KNN {k} @v $b AS d]", "PARAMS", "2", "b", vector.tobytes(), "SORTBY", "d",
                *options, "DIALECT", "2")


OPTIONS = [("RETURN", "1", "d"), ("NOCONTENT",), ("RETURN", "0"), ("RETURN", "3", "d", "AS", "other"),
           ("LIMIT", "0", "20", "NOCONTENT"), ("RETURN", "2", "tag", "d"), ("RETURN", "3", "num", "d", "tag"), ()]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("proto", [2, 3])
def test_replies_are_the_same_whoever_writes_them(connect, r2, options, proto):
    base = vectors(400, 8)
    create(r2, algorithm="SVS-VAMANA")
    fill(r2, base)
    queries = [*vectors(12, 8, seed=4), base[7], base[9] * 2]
    clients = [connect() for _ in range(4)]
    for one in clients:
        one.call("HELLO", str(proto))

    def replies():
        for one in clients:
            one.send(b"".join(search(q, *options) for q in queries))
        return [[one.read() for _ in queries] for one in clients]

    first = replies()
    assert all(one == first[0] for one in replies() + first)
    r2.set("unrelated", 1, ex=1000)         # keys may expire now: rows are looked at one by one
    assert all(one == first[0] for one in replies())


def test_fields_are_shown_as_they_are_now(connect, r2):
    base = vectors(60, 8)
    create(r2, algorithm="SVS-VAMANA")
    fill(r2, base)
    clients = [connect() for _ in range(4)]

    def found():
        for one in clients:
            one.send(search(base[3], "RETURN", "3", "d", "tag", "other", "LIMIT", "0", "60", k=60) * 3)
        answers = [one.read() for one in clients for _ in range(3)]
        assert all(answer == answers[0] for answer in answers)
        rows = dict(zip(answers[0][1::2], answers[0][2::2]))
        return {key: dict(zip(row[::2], row[1::2])) for key, row in rows.items()}

    for i in range(60):
        r2.hset(f"d:{i}", "other", "x" * (20 * i))
    for change in ([], ["HSET", "d:3", "other", "changed"], ["HDEL", "d:4", "other"], ["HSET", "d:5", "tag", "y" * 300],
                   ["DEL", "d:6"], ["HSET", "d:6", "other", "again", "v", base[3].tobytes()], ["RENAME", "d:7", "d:77"],
                   ["HSET", "d:77", "other", ""], ["HEXPIRE", "d:8", "1000", "FIELDS", "1", "other"],
                   ["HPERSIST", "d:8", "FIELDS", "1", "other"]):
        if change:
            r2.execute_command(*change)
        rows = found()
        assert len(rows) == 60 - (change[:2] == ["DEL", "d:6"])
        for key, row in rows.items():
            wanted = {name: value for name, value in r2.hgetall(key).items() if name in (b"tag", b"other")}
            assert {name: value for name, value in row.items() if name != b"d"} == wanted, (change, key)


def test_searches_of_several_kinds_in_one_turn(connect, r2):
    base = vectors(400, 8)
    create(r2, algorithm="SVS-VAMANA")
    fill(r2, base)
    kinds = [("*", 10, ("NOCONTENT",)), ("@num:[0 50]", 3, ("RETURN", "2", "d", "tag")), ("@num:[9 9]", 400, ()),
             ("@num:[1e6 inf]", 5, ()), ("@num:[20 300]", 7, ("RETURN", "1", "d")), ("*", 2000, ("LIMIT", "0", "2"))]
    kinds = [search(base[i], *options, where=where, k=k) for i, (where, k, options) in enumerate(kinds)]
    clients = [connect() for _ in kinds]
    expected = []
    for one in kinds:
        clients[0].send(one)
        expected.append(clients[0].read())
    for _ in range(20):
        for client, one in zip(clients, kinds):
            client.send(one * 2)
        assert [[client.read(), client.read()] for client in clients] == [[one, one] for one in expected]


def test_each_client_gets_its_own_replies_in_order(connect, r2):
    base = vectors(300, 8)
    create(r2, algorithm="SVS-VAMANA")
    fill(r2, base)
    clients = [connect() for _ in range(6)]
    for turn in range(30):
        for i, one in enumerate(clients):
            row = (turn * 6 + i) % 300
            one.send(search(base[row], "NOCONTENT", k=1) + pack("ECHO", str(row)) + search(base[row], "NOCONTENT", k=1)
                     + pack("PING"))
        for i, one in enumerate(clients):
            row = (turn * 6 + i) % 300
            found = [1, f"d:{row}".encode()]
            assert [one.read() for _ in range(4)] == [found, str(row).encode(), found, "PONG"]


def test_a_search_sees_what_its_client_wrote_before_it_and_not_what_it_wrote_after(connect, r2):
    base = vectors(300, 8)
    create(r2, algorithm="SVS-VAMANA")
    fill(r2, base)
    clients = [connect() for _ in range(5)]
    for turn in range(20):
        for i, one in enumerate(clients):
            one.send(search(base[i], "NOCONTENT", k=1) + pack("HSET", f"d:new{i}", "v", (base[i] * 3).tobytes())
                     + pack("DEL", f"d:{i}") + search(base[i], "NOCONTENT", k=1)
                     + pack("HSET", f"d:{i}", "v", base[i].tobytes()) + pack("DEL", f"d:new{i}"))
        for i, one in enumerate(clients):
            got = [one.read() for _ in range(6)]
            assert got[0] == [1, f"d:{i}".encode()] and got[3] == [1, f"d:new{i}".encode()]
            assert got[1:3] == [1, 1] and got[4:] == [1, 1]


def test_searches_in_transactions_of_busy_turns(connect, r2):
    base = vectors(300, 8)
    create(r2, algorithm="SVS-VAMANA")
    fill(r2, base)
    clients = [connect() for _ in range(5)]
    for _ in range(20):
        for i, one in enumerate(clients):
            one.send(search(base[i], "NOCONTENT", k=1) + pack("MULTI") + search(base[i + 9], "NOCONTENT", k=1)
                     + pack("INCR", f"n{i}") + pack("EXEC") + search(base[i], "NOCONTENT", k=1))
    for turn in range(20):
        for i, one in enumerate(clients):
            got = [one.read() for _ in range(6)]
            assert got[0] == got[5] == [1, f"d:{i}".encode()]
            assert got[4] == [[1, f"d:{i + 9}".encode()], turn + 1]


def test_filters_hold_for_what_changed_in_the_same_turn(connect, r2):
    base = vectors(300, 8)
    r2.execute_command("FT.CREATE", "idx", "PREFIX", "1", "d:", "SCHEMA", "t", "TAG", "v", "VECTOR", "SVS-VAMANA", "6",
                       "TYPE", "FLOAT32", "DIM", "8", "DISTANCE_METRIC", "L2")
    for i, row in enumerate(base):
        r2.hset(f"d:{i}", mapping={"v": row.tobytes(), "t": "a" if i % 2 else "b"})
    clients = [connect() for _ in range(6)]
    for turn in range(30):
        tag = "ab"[turn % 2]
        for one in clients[:5]:
            one.send(search(base[4], "RETURN", "1", "t", where="@t:{a}", k=5))
        clients[5].send(pack("HSET", "d:4", "t", tag))
        for one in clients[:5]:
            reply = one.read()
            assert reply[0] == 5 and all(fields == [b"t", b"a"] for fields in reply[2::2])
        assert clients[5].read() == 0


def test_an_error_is_only_the_search_s_that_made_it(connect, r2):
    base = vectors(300, 8)
    create(r2, algorithm="SVS-VAMANA")
    fill(r2, base)
    bad = base[0].copy()
    bad[3] = float("nan")
    clients = [connect() for _ in range(5)]
    for _ in range(30):
        for i, one in enumerate(clients):
            one.send(search(bad if i == 2 else base[i], "NOCONTENT", k=1))
        for i, one in enumerate(clients):
            reply = one.read()
            assert isinstance(reply, Exception) == (i == 2)
    stats = r2.info("commandstats")["cmdstat_FT.SEARCH"]
    assert stats["failed_calls"] == 30 and stats["calls"] >= 150


def test_clients_that_leave_or_are_killed_while_their_search_waits(connect, r2):
    base = vectors(300, 8)
    create(r2, algorithm="SVS-VAMANA")
    fill(r2, base)
    for turn in range(20):
        clients = [connect() for _ in range(6)]
        victim = clients[1].call("CLIENT", "ID")
        for one in clients:
            one.send(search(base[turn], "NOCONTENT", k=1) * 5)
        clients[0].close()
        r2.execute_command("CLIENT", "KILL", "ID", victim)
        for one in clients[2:]:
            assert [one.read() for _ in range(5)] == [[1, f"d:{turn}".encode()]] * 5
            one.close()
    assert r2.ping()
