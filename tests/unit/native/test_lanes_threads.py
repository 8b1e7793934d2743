"""Lanes: requests answered from the socket to the reply, by the caller and the threads of a crew."""
import socket
import threading

import numpy as np
import pytest
from common import SMALL

import native

DIM = 24
PREFIX = b"*4\r\n$4\r\nFIND\r\n"
HEAD, TAIL = PREFIX + b"$1\r\na\r\n$%d\r\n" % (4 * DIM), b"\r\n$1\r\n.\r\n"
FORM = native.Form(b"*", b"\r\n:", b"", b"*2\r\n$1\r\nd\r\n", b"", b"", b"\r\n", 2, True, True)


class Bench:
    """An index, its names, and lanes with a crew."""

    def __init__(self, n=2000, threads=2, compression="LVQ8", algorithm="SVS-VAMANA"):
        rng = np.random.default_rng(3)
        self.vectors = rng.normal(size=(n, DIM)).astype(np.float32)
        self.queries = rng.normal(size=(64, DIM)).astype(np.float32)
        self.index = native.Index(DIM, algorithm=algorithm, compression=compression, training_threshold=1000)
        self.index.add(np.arange(n), self.vectors)
        self.index.wait()
        self.names, self.order = native.Names(), np.arange(n)
        for label in range(n):
            self.names[label] = b"$%d\r\n%d\r\n" % (len(str(label)), label)
        self.crew, self.lanes = native.Crew(threads), native.Lanes()
        self.lane = native.Lane(self.lanes, PREFIX, 1, 1, 4 * DIM)
        self.road = native.Road(self.lane, 77, HEAD, TAIL)
        self.query = native.Query(5, 40)
        self.road.set(self.index, self.query, self.names, FORM, self.order, None, None, 0, 5)

    def join(self, tag):
        """A client's end of a connection that is on the lane."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.ours = getattr(self, "ours", []) + [ours]
        number = self.lane.join(ours.fileno(), tag)
        theirs.settimeout(120)
        return theirs, number

    def turn(self, watch_ns=1 << 62):
        return self.lanes.turn(self.crew, 200, watch_ns)

    def expected(self, query, k=5):
        labels, distances = self.index.search_blob(query.tobytes(), k, 40)
        return reply(labels, distances)


def reply(labels, distances):
    rows = b"".join(b"$%d\r\n%d\r\n*2\r\n$1\r\nd\r\n$%d\r\n%b\r\n" % (len(str(label)), label, len(text), text)
                    for label, text in zip(labels, map(native.distance_text, distances)))
    return b"*%d\r\n:%d\r\n" % (1 + 2 * len(labels), len(labels)) + rows


def request(query):
    return HEAD + query.tobytes() + TAIL


def receive(sock, n):
    data = b""
    while len(data) < n:
        data += sock.recv(n - len(data))
    return data


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_threads_answer_as_searches_alone_do(threads):
    bench = Bench(threads=threads)
    clients = [bench.join(tag)[0] for tag in range(20)]
    for round_ in range(5 if SMALL else 40):
        asked = [bench.queries[(round_ + i) % 64] for i in range(len(clients))]
        for client, query in zip(clients[round_ % 3:], asked):
            client.sendall(request(query))
        assert not bench.turn()
        for client, query in zip(clients[round_ % 3:], asked):
            wanted = bench.expected(query)
            assert receive(client, len(wanted)) == wanted
    n, ns, histogram, recent = bench.lane.take_stats()
    (tag, n_own, own_ns, mean_ns), = bench.lane.costs()
    assert n == sum(histogram) == sum(20 - i % 3 for i in range(round_ + 1)) and ns >= own_ns > 0 and 0 < n_own <= n
    assert tag == 77 and (mean_ns > 0 or threads) and bench.lane.costs() == []
    assert len(recent) == min(n, 512) and recent[0] in {q.tobytes() for q in bench.queries}
    tallies = bench.lanes.tallies()
    assert sorted(t[0] for t in tallies) == list(range(20)) and sum(t[1] for t in tallies) == n
    assert all(t[2] == t[1] * len(request(bench.queries[0])) and t[3] > 0 for t in tallies)
    assert bench.lane.take_stats()[0] == 0 and bench.lanes.tallies() == []
    for i, sock in enumerate(bench.ours):
        bench.lanes.leave(i)
        sock.close()
    assert bench.road.close() == []
    bench.lane.close()
    bench.crew.close()
    bench.lanes.close()


def test_threads_beside_a_busy_crew_writers_and_clients_that_come_and_go():
    bench = Bench(threads=3)
    stop = threading.Event()

    def write():
        i = 0
        while not stop.is_set():
            bench.index.add([i % 50], bench.vectors[i % 50][None])
            i += 1

    def ask(client, n):
        for i in range(n):
            client.sendall(request(bench.queries[i % 64]))
            assert client.recv(1 << 16).startswith(b"*11\r\n:5\r\n")
        client.close()

    writer = threading.Thread(target=write)
    writer.start()
    n = 30 if SMALL else 300
    clients = {tag: bench.join(tag) for tag in range(6)}
    threads = [threading.Thread(target=ask, args=(client, n)) for client, _ in clients.values()]
    for thread in threads:
        thread.start()
    gone = set()
    while len(gone) < 6:
        for what, tag, data, _ in bench.turn():
            assert (what, data) == ("given", b"")           # the end of a connection
            gone.add(tag)
        bench.crew.search(bench.index, bench.query, b"".join(q.tobytes() for q in bench.queries[:7]), 7)
    for thread in threads:
        thread.join()
    stop.set()
    writer.join()
    assert bench.lane.take_stats()[0] == 6 * n
    assert bench.road.close() == []
    bench.lane.close()
    bench.crew.close()


def test_requests_in_pieces_others_and_ends():
    bench = Bench(threads=1)
    query = bench.queries[0]
    whole, wanted = request(query), bench.expected(query)
    pieces, _ = bench.join(1)
    for cut in (1, 50, len(whole) - 1):
        pieces.sendall(whole[:cut])
        assert not bench.turn()
        pieces.sendall(whole[cut:])
        assert not bench.turn()
        assert receive(pieces, len(wanted)) == wanted
    pieces.sendall(whole[:20])
    assert not bench.turn()
    pieces.close()
    assert bench.turn() == [("given", 1, whole[:20], (3, 3 * len(whole), 3 * len(wanted)))]
    for tag, sent in ((2, b"PING\r\n"), (3, whole[:-3] + b"x\r\n"), (4, whole + whole), (5, whole + b"P"),
                      (6, request(np.full(DIM, np.nan, np.float32)))):
        other, _ = bench.join(tag)
        other.sendall(sent)
        (what, its_tag, data, tally), = bench.turn()
        assert (what, its_tag, tally) == ("given", tag, (0, 0, 0)) and sent.startswith(data)
        rest = bench.ours[-1].recv(1 << 16) if len(data) < len(sent) else b""
        assert data + rest == sent
    client, number = bench.join(7)
    client.sendall(whole[:30])
    bench.turn()
    assert bench.lanes.leave(number) == ("given", 7, whole[:30], (0, 0, 0))
    client.sendall(whole[30:])
    assert not bench.turn()


def test_slow_requests_and_unsent_replies_are_told():
    bench = Bench(threads=0)
    client, _ = bench.join(1)
    client.sendall(request(bench.queries[3]))
    (what, tag, data, took), = bench.turn(watch_ns=0)
    assert (what, tag, data) == ("slow", 1, request(bench.queries[3])) and took > 0
    first = len(client.recv(1 << 16))
    bench.road.set(bench.index, native.Query(2000, 2000), bench.names, FORM, bench.order, None, None, 0, 2000)
    sent, wanted = [], bench.expected(bench.queries[3], 2000)
    for _ in range(50):
        client.sendall(request(bench.queries[3]))
        sent += bench.turn()
        if sent:
            break
    (what, tag, rest, tally), = sent
    got = receive(client, tally[2] - first - len(rest))
    assert what == "unsent" and (got + rest).endswith(wanted) and len(got + rest) % len(wanted) == 0


def test_candidates_are_measured_again_where_their_vectors_are():
    bench = Bench(threads=1, compression="LVQ4")
    ruler, places = native.Ruler(DIM), native.Places()
    bench.road.set(bench.index, native.Query(30, 60), bench.names, FORM, bench.order, ruler, places, 30, 5)
    client, number = bench.join(1)
    query = bench.queries[5]

    def expected(lacking=()):
        rows, by_code = bench.index.search_blob(query.tobytes(), 30, 60)
        exact = ruler.distances(query.tobytes(), b"".join(bench.vectors[row].tobytes() for row in rows), 30)
        new = [c if row in lacking else e for row, c, e in zip(rows, by_code, exact)]
        best = sorted(zip(new, rows))[:5]
        return rows, reply([row for _, row in best], [d for d, _ in best])

    rows, wanted = expected()
    client.sendall(request(query))
    (what, tag, missing), = bench.turn()
    assert what == "missing" and tag == 77 and sorted(missing) == sorted(rows)
    for row in missing[:-1]:
        places.put(row, bench.vectors[row].tobytes())
    (what, _, missing), = bench.turn()
    places.put(missing[0], bench.vectors[missing[0]].tobytes())
    assert len(missing) == 1 and not bench.turn()
    assert receive(client, len(wanted)) == wanted
    places.put(rows[0], None)
    client.sendall(request(query))
    assert not bench.turn()
    wanted = expected(lacking=[rows[0]])[1]
    assert receive(client, len(wanted)) == wanted
    places.forget(rows[3])
    client.sendall(request(query))
    assert bench.turn() == [("missing", 77, [rows[3]])]
    bench.road.set(bench.index, native.Query(5, 60), bench.names, FORM, bench.order, None, None, 0, 5)
    # which was for another search
    assert bench.turn() == [("given", 1, request(query), (2, 2 * len(request(query)), 2 * len(wanted)))]
    client, number = bench.join(2)
    bench.road.set(bench.index, native.Query(30, 60), bench.names, FORM, bench.order, ruler, places, 30, 5)
    client.sendall(request(query))
    assert bench.turn()[0][0] == "missing"
    assert bench.lanes.leave(number) == ("given", 2, request(query), (0, 0, 0))
    assert not bench.turn()


def head_of(name):
    return PREFIX + b"$%d\r\n%b\r\n$%d\r\n" % (len(name), name, 4 * DIM)


def test_threads_answer_on_many_roads_that_are_doubted_set_anew_and_closed():
    bench = Bench(threads=3, compression=None, algorithm="FLAT")        # exact, however a search is planned
    rng = np.random.default_rng(5)
    ours = {}

    def set_road(i):
        allowed = native.Allowed.of_labels(rng.choice(2000, 30 + 40 * i, replace=False))
        ours[i][1:] = [allowed]
        ours[i][0].set(bench.index, native.Query(5, 40, 0, allowed), bench.names, FORM, bench.order, None, None, 0, 5)

    for i in range(12):
        ours[i] = [native.Road(bench.lane, i, head_of(b"%d" % i * (i + 1)), TAIL)]
        set_road(i)
    with pytest.raises(native.NativeError):
        native.Road(bench.lane, 99, head_of(b"3333"), TAIL)
    clients = [bench.join(tag)[0] for tag in range(9)]
    for round_ in range(8 if SMALL else 60):
        bench.lane.doubt()
        asked = [((round_ + 5 * i) % 12, bench.queries[(7 * round_ + i) % 64]) for i in range(len(clients))]
        for client, (i, query) in zip(clients, asked):
            client.sendall(head_of(b"%d" % i * (i + 1)) + query.tobytes() + TAIL)
        events = bench.turn()
        assert sorted(events) == sorted({("doubted", i) for i, _ in asked})
        for n, (_, i) in enumerate(events):
            if n % 2:
                ours[i][0].confirm()
            else:
                set_road(i)
        assert not bench.lanes.turn(bench.crew, 0, 1 << 62)
        for client, (i, query) in zip(clients, asked):
            labels, distances = bench.index.search_blob(query.tobytes(), 5, 40, 0, ours[i][1])
            wanted = reply(labels, distances)
            assert receive(client, len(wanted)) == wanted
    assert {tag for tag, *_ in bench.lane.costs()} <= set(range(12)) and bench.lane.take_stats()[0] == 9 * (round_ + 1)
    bench.lane.doubt()
    whole = [head_of(b"%d" % i * (i + 1)) + bench.queries[i].tobytes() + TAIL for i in (2, 3)]
    clients[0].sendall(whole[0]), clients[1].sendall(whole[1])
    assert sorted(bench.turn()) == [("doubted", 2), ("doubted", 3)]
    (what, tag, data, tally), = ours[2][0].close()
    assert (what, tag, data) == ("given", 0, whole[0]) and tally[0] == round_ + 1
    (what, tag, data, tally), = bench.turn()                # nobody has confirmed the other
    assert (what, tag, data) == ("given", 1, whole[1]) and tally[0] == round_ + 1
    clients[2].sendall(whole[0])
    assert bench.turn()[0][:3] == ("given", 2, whole[0])    # which there is no more
    for i in range(3, 9):
        bench.lanes.leave(i)
    assert bench.lanes.leave(4) is None
    assert not any(road.close() for i, (road, *_) in ours.items() if i != 2) and bench.road.close() == []
    bench.lane.close()
    bench.crew.close()
    bench.lanes.close()
