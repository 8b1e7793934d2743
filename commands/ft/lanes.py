"""The shortest way for a client that sends one search again and again with other vectors: the engine reads its socket, searches, and
where rows are keys or keys with distances it writes the reply, too, without Python for each request (native.Lanes). Other replies are
written here.

A client whose KNN search has come several times in a row lends its connection to a lane. The first request that is another one ends
that: what was read of it goes the usual way, as if nothing had been. Whatever a lane's answers depend on is looked at before each turn,
which runs on the loop thread like everything else, so that no command can come between; what the usual way counts per request is taken
over in bulk before the next command that could see it."""
from os import write

import native
from respserver.protocol.request import RequestParser
from respserver.registry import COMMANDS

#: Searches of the same kind in a row after which a client gets a lane.
ENOUGH = 8
#: The same, at most, for clients that left theirs within SOON seconds.
MOST_ENOUGH = 256
SOON = 1.0
#: How long a turn takes in what arrives while it runs. Microseconds.
BUDGET_US = 300


class Repeated:
    """What a client has been searching for lately."""

    __slots__ = ("hot", "n", "enough", "name")

    def __init__(self, hot, before: "Repeated | None"):
        self.hot = hot
        self.n = 1                                  # times in a row
        self.enough = ENOUGH if before is None else before.enough
        self.name = b"FT.SEARCH" if before is None else before.name     # as it is spelt


class Road:
    """A lane and the search that it stands for."""

    def __init__(self, lanes: "Lanes", key: tuple, hot, prepared, name: bytes, text: bytes, proto: int):
        self.lanes = lanes
        self.key = key
        self.hot, self.prepared = hot, prepared
        self.name, self.text = name, text
        self.proto = proto
        self.members: set[int] = set()              # ids of clients
        self.lane = native.Lane(lanes.lanes, key[0], key[1], hot.blob_bytes)
        self._query = self._order = self._form = None   # what the lane was set to

    def refresh(self) -> bool:
        """Has the lane do what the search would do now; False: it cannot."""
        hot = self.hot
        index = hot.index
        if index.is_dropped or self.lanes.server.search.get(self.name) is not index or self.prepared not in index.plans.get(self.text, ()):
            return False
        try:
            if not hot.is_ready():
                return False
        except native.SearchTimeout:
            return False
        docs, query, form = index.docs, hot.query_now(), hot.form_now(self.proto)
        if self._query is not query or self._order is not docs.doc_ids or self._form is not form:
            self._query, self._order, self._form = query, docs.doc_ids, form
            ruler = hot.rescorer.ruler if hot.n_rescored else None
            self.lane.set(hot.engine, query, docs.names, form, docs.doc_ids, ruler, hot.field.places, hot.n_rescored, hot.k)
        return True

    def settle(self) -> None:
        """Takes over what the lane has counted."""
        n, ns, n_own, own_ns, histogram, recent = self.lane.take_stats()
        if not n:
            return
        hot, turns = self.hot, self.lanes.turns
        stats = COMMANDS[b"ft.search"].stats
        stats.ns += ns
        for bits, count in enumerate(histogram):
            stats.histogram[bits] += count
        turns.n_searches += n
        turns.search_ns += own_ns
        if n_own:
            hot.note_cost(own_ns / n_own / 1000)
        hot.recent.extend(recent)
        hot.index.n_uses += n
        hot.field.note_knn(hot.child is not None)

    def close(self) -> None:
        """Frees the lane, which nobody is on."""
        self.settle()
        self.lane.close()


class Lanes:
    """The roads of one server and the clients on them."""

    def __init__(self, server, turns):
        self.server = server
        self.turns = turns
        self.lanes: native.Lanes | None = None      # there while the loop runs
        self._roads: dict[tuple, Road] = {}         # (bytes before the vector, bytes behind it, protocol) ->
        self._members: dict[int, tuple] = {}        # client id -> (client, its road, its number there, since when)
        self._is_settling_due = False
        self._acl_version = 0                       # of the permissions that the clients here were looked at with

    def start(self) -> None:
        """To be called when the loop runs."""
        if self.lanes is None:
            self.lanes = native.Lanes()
            self.server.loop.add_reader(self.lanes.fileno(), self._turn)

    def stop(self) -> None:
        """To be called when the crew has ended."""
        if self.lanes is not None:
            for road in list(self._roads.values()):
                self._close(road)
            self.server.loop.remove_reader(self.lanes.fileno())
            self.lanes.close()
            self.lanes = None

    @property
    def n_clients(self) -> int:
        """Clients that are on a lane."""
        return len(self._members)

    # Coming

    def note(self, client, hot, prepared, name: bytes, text: bytes, words: tuple, at: int) -> None:
        """Takes down that a client has sent a search, with the vector at words[at]."""
        seen = client.repeated
        if seen is None or seen.hot is not hot:
            client.repeated = Repeated(hot, seen)
            return
        seen.n += 1
        if seen.n == seen.enough and self.lanes is not None and not client.in_exec:
            self.server.loop.call_soon(self._join, client, seen, prepared, name, text, words, at)

    def _join(self, client, seen: Repeated, prepared, name: bytes, text: bytes, words: tuple, at: int) -> None:
        if client.closing or client.repeated is not seen or self.lanes is None or client.id in self._members:
            return
        hot, proto = seen.hot, client.proto
        seen.n = 0                                  # if it fails now, it may not later
        self.server.outbox.flush()                  # the reply to the latest
        if not hot.is_ready() or not self.server.dispatcher.is_plain:
            return
        before = [seen.name, name, text, *words[:at]]
        head = b"*%d\r\n%b$%d\r\n" % (len(words) + 3, b"".join(map(_bulk, before)), hot.blob_bytes)
        key = head, b"\r\n" + b"".join(map(_bulk, words[at + 1:])), proto
        road = self._roads.get(key)
        if road is not None and road.hot is not hot:
            return                                  # which is out of date: its clients leave with the next turn
        if road is None:
            road = self._roads[key] = Road(self, key, hot, prepared, name, text, proto)
        fd = client.lend(lambda: self._let_go(client.id)) if road.refresh() else -1
        if fd < 0:
            if not road.members:
                self._close(road)
            return
        try:
            number = road.lane.join(fd, client.id)
        except native.NativeError:
            client.give_back()
            return
        road.members.add(client.id)
        self._members[client.id] = client, road, number, self.server.clock

    # Going

    def _forget(self, tag: int, tally: tuple, *, is_own_choice: bool):
        """Takes down that a client has left; returns it."""
        client, road, _, since = self._members.pop(tag)
        road.members.discard(tag)
        self._count(client, *tally)
        if not road.members:
            del self._roads[road.key]
            road.close()
        seen = client.repeated
        if is_own_choice and seen is not None:
            if not tally[0]:
                seen.name = b"ft.search" if seen.name == b"FT.SEARCH" else b"FT.SEARCH"
            seen.enough = min(MOST_ENOUGH, 2 * seen.enough) if self.server.clock - since < SOON else ENOUGH
            client.repeated = Repeated(None, seen)
        return client

    def _let_go(self, tag: int) -> None:
        """A connection is closed here."""
        number = self._members[tag][2]
        event = self.lanes.leave(number)
        self._forget(tag, event[3] if event else (0, 0, 0), is_own_choice=False)

    def _close(self, road: Road) -> None:
        """Gives all connections of a road back, and the road up."""
        for tag in list(road.members):
            client, _, number, _ = self._members[tag]
            event = self.lanes.leave(number)
            self._forget(tag, event[3] if event else (0, 0, 0), is_own_choice=False)
            client.give_back(event[2] if event else b"")
        if self._roads.pop(road.key, None) is not None:
            road.close()

    # Serving

    def _turn(self) -> None:
        dispatcher = self.server.dispatcher
        is_plain = dispatcher.is_plain
        acl = self.server.acl
        if acl.version != self._acl_version:        # a client that may do less than everything does not come back
            self._acl_version, is_plain = acl.version, False
        for road in list(self._roads.values()):
            if not is_plain or not road.refresh():
                self._close(road)
        while self._members:
            events = self.lanes.turn(self.turns.crew, BUDGET_US, dispatcher.watch_ns)
            if not self._is_settling_due:
                self._is_settling_due = True
                dispatcher.before_next_command(self.settle)
            is_again = False
            for event in events:
                is_again |= self._deal_with(*event)
            if not is_again:
                break

    def _deal_with(self, what: str, tag, content, extra=None) -> bool:
        """One event; returns whether another turn is to follow."""
        if what == "missing":
            road = next(road for road in self._roads.values() if road.lane is tag)
            if not road.hot.rescorer.find_places(content):
                road.hot.is_laneless = True
                self._close(road)
            return True
        if what == "found":
            self._reply(tag, content, extra)
            return False
        if what == "slow":
            words = RequestParser().feed(content)[0]
            client = self._members[tag][0]
            self.server.dispatcher.note_slow(client, COMMANDS[b"ft.search"], words, extra)
            return False
        client = self._forget(tag, extra, is_own_choice=what == "given" and bool(content))
        if what == "given":
            client.give_back(content)
        else:
            client.give_back(unsent=content)
        return False

    def _reply(self, tag: int, rows: list[int], distances: list[float]) -> None:
        """Sends the reply that the engine cannot write."""
        client, road, number, _ = self._members[tag]
        try:
            reply = road.hot.encode(road.proto, rows, distances)
        except Exception as error:
            reply = self.server.dispatcher.failed(COMMANDS[b"ft.search"], error)
        client.net_out += len(reply)
        try:
            n = write(client.fd, reply)
        except OSError:                             # no room, or the client has gone: which its connection finds out
            n = 0
        if n < len(reply):
            event = self.lanes.leave(number)
            self._forget(tag, event[3] if event else (0, 0, 0), is_own_choice=False)
            client.give_back(event[2] if event else b"", reply[n:])

    # Counting

    def settle(self) -> None:
        """Takes over what was counted on the lanes: to be called before anybody looks."""
        self._is_settling_due = False
        if self.lanes is None:
            return
        for tag, *tally in self.lanes.tallies():
            self._count(self._members[tag][0], *tally)
        for road in self._roads.values():
            road.settle()

    def _count(self, client, n: int, n_in: int, n_out: int) -> None:
        client.n_commands += n
        client.net_in += n_in
        client.net_out += n_out
        client.last_active = self.server.clock


def _bulk(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)
