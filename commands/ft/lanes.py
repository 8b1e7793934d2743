"""The shortest way for clients that send searches which were sent before but for their vectors: the engine reads their sockets,
searches, and where rows are keys or keys with distances it writes the reply, too, without Python for each request (native.Lanes).
Other replies are written here.

A KNN search that comes again, with whatever vector, gets a road: what the engine needs to know to answer it. A client that has
sent several such searches in a row lends its connection to the lane that these roads belong to, and may use any of them. The
first request that is on none of them ends that: what was read of it goes the usual way, as if nothing had been. Whatever the
answers of a lane depend on is looked at before each turn, which runs on the loop thread like everything else, so that no command
can come between; where it has changed, each road is brought up to date when it is wanted next. What the usual way counts per
request is taken over in bulk before the next command that could see it."""
from itertools import count
from os import write

import native
from respserver.protocol.errors import CommandError
from respserver.protocol.request import RequestParser
from respserver.registry import COMMANDS

#: Searches in a row that were sent before, after which a client gets a lane.
ENOUGH = 8
#: The same, at most, for clients that left theirs within SOON seconds and before it had served WORTH_IT searches.
MOST_ENOUGH = 256
SOON = 1.0
WORTH_IT = 4
#: How long a turn takes in what arrives while it runs. Microseconds.
BUDGET_US = 300
#: Roads are brought up to date at least so often where they are wanted, for what the engine has learnt meanwhile. Seconds.
LOOK_S = 1.0
#: Up to so many roads of a lane are brought up to date together before a turn.
FEW = 2
#: How long a lane stays that nobody is on. Seconds.
STAY_S = 2.0
#: What a road takes beside the bytes that it is recognised by.
ROAD_BYTES = 4096
#: Searches after which a road is tried again that was not to be had.
PAUSE = 64


class Repeated:
    """What a client has been searching for lately."""

    __slots__ = ("n", "enough", "name")

    def __init__(self):
        self.n = 0                                  # in a row that were sent before
        self.enough = ENOUGH
        self.name = b"FT.SEARCH"                    # as it is spelt


class Road:
    """One search of a lane's, however its vector is."""

    def __init__(self, lane: "Lane", tag: int, hot, head: bytes, tail: bytes):
        self.lane = lane
        self.tag = tag
        self.hot = hot
        self.words = head, tail
        self.native = native.Road(lane.native, tag, head, tail)
        self._query = self._order = self._form = None   # what it was set to

    @property
    def nbytes(self) -> int:
        """What it takes, about."""
        return ROAD_BYTES + sum(map(len, self.words))

    def refresh(self) -> bool:
        """Has it do what the search would do now; False: it cannot."""
        hot = self.hot
        try:
            if not hot.is_ready():
                return False
        except (native.SearchTimeout, CommandError):
            return False
        docs, query, form = hot.index.docs, hot.query_now(), hot.form_now(self.lane.proto)
        if self._query is not query or self._order is not docs.doc_ids or self._form is not form:
            self._query, self._order, self._form = query, docs.doc_ids, form
            ruler = hot.rescorer.ruler if hot.n_rescored else None
            self.native.set(hot.engine, query, docs.names, form, docs.doc_ids, ruler, hot.field.places,
                            hot.n_rescored, hot.k, hot.order.slack, hot.order.usual)
        else:
            self.native.confirm()
        return True


class Lane:
    """The roads of one shape of request to one field, and the clients on them. key: how the command and the index are spelt,
    words between the index's name and the vector, words behind it, the protocol, the field."""

    def __init__(self, lanes: "Lanes", key: tuple, hot):
        command, self.name, n_before, n_behind, self.proto, self.field = self.key = key
        self.lanes = lanes
        self.index = hot.index
        self.db = hot.db
        self.roads: dict[tuple, Road] = {}          # (bytes before the vector, bytes behind it) ->
        self.members: set[int] = set()              # ids of clients
        self.idle_since = lanes.server.clock
        self._version = self.index.plans.version
        self._seen = self._order = None             # what the roads were last looked at with
        self._look_at = 0.0
        prefix = b"*%d\r\n%b%b" % (3 + n_before + n_behind, _bulk(command), _bulk(self.name))
        self.native = native.Lane(lanes.lanes, prefix, n_before, n_behind, hot.blob_bytes)

    def look(self) -> bool:
        """Has roads brought up to date if anything may have changed that they depend on. False: none of them is right any
        more."""
        index, db, server = self.index, self.db, self.lanes.server
        if index.is_dropped or index.plans.version != self._version or server.search.get(self.name) is not index:
            return False
        seen = index.plain_revision, not db.expires and not db.field_expires
        order = index.docs.doc_ids
        if seen != self._seen or order is not self._order or server.clock >= self._look_at:
            self._seen, self._order, self._look_at = seen, order, server.clock + LOOK_S
            self.native.doubt()
            if len(self.roads) <= FEW:
                for road in self.roads.values():
                    road.refresh()                  # if it cannot, that shows when it is wanted
        return True

    def settle(self) -> list[Road]:
        """Takes over what was counted. Returns roads that the loop thread has no time for."""
        n, ns, histogram, recent = self.native.take_stats()
        if not n:
            return []
        turns, dear = self.lanes.turns, []
        stats = COMMANDS[b"ft.search"].stats
        stats.ns += ns
        for bits, times in enumerate(histogram):
            stats.histogram[bits] += times
        turns.n_searches += n
        for tag, n_own, own_ns, mean_ns in self.native.costs():
            road = self.lanes.roads[tag]
            hot = road.hot
            hot.is_used = True
            turns.search_ns += own_ns
            self.field.note_knn(hot.child is not None)
            if n_own:
                hot.note_cost(mean_ns / 1000)
                if hot.is_for_the_pool():
                    dear.append(road)
        self.field.recent.extend(recent)
        self.index.n_uses += n
        return dear


class Lanes:
    """The lanes of one server and the clients on them."""

    def __init__(self, server, turns):
        self.server = server
        self.turns = turns
        self.lanes: native.Lanes | None = None      # there while the loop runs
        self.roads: dict[int, Road] = {}            # tag -> road, of all lanes
        self._tags = count(1)
        self._lanes: dict[tuple, Lane] = {}
        self._members: dict[int, tuple] = {}        # client id -> (client, its lane, its number there, since when, commands then)
        self._is_settling_due = False
        self._is_closing_due = False
        self._unwanted: list[Road] = []             # to be closed soon
        self._acl_version = 0                       # of the permissions that the clients here were looked at with

    def start(self) -> None:
        """To be called when the loop runs."""
        if self.lanes is None:
            self.lanes = native.Lanes()
            self.server.loop.add_reader(self.lanes.fileno(), self._turn)

    def stop(self) -> None:
        """To be called when the crew has ended."""
        if self.lanes is not None:
            leaving: list[tuple] = []
            for lane in list(self._lanes.values()):
                self._close(lane, leaving)
            self.server.loop.remove_reader(self.lanes.fileno())
            self.lanes.close()
            self.lanes = None
            _give_back(leaving)

    @property
    def n_clients(self) -> int:
        """Clients that are on a lane."""
        return len(self._members)

    # Coming

    def note(self, client, hot, name: bytes, text: bytes, words: tuple, at: int) -> None:
        """Takes down that a client has sent a search, with the vector at words[at]."""
        seen = client.repeated
        if seen is None:
            seen = client.repeated = Repeated()
        hot.n_noted += 1
        if hot.n_noted < 2 or self.lanes is None or client.in_exec:
            seen.n = 0
            return
        key = seen.name, name, 1 + at, len(words) - at - 1, client.proto, hot.field
        road = hot.roads.get(key)
        if road is None:
            lane = self._lane(key, hot)
            if lane is None:
                return
            road = self._open(lane, hot, text, words, at)
            if not road.refresh():
                self.close_soon(road)
                hot.n_noted, seen.n = -PAUSE, 0
                return
        seen.n += 1
        if seen.n >= seen.enough:
            seen.n = 0                              # if it fails now, it may not later
            self.server.loop.call_soon(self._join, client, seen, road)

    def _lane(self, key: tuple, hot) -> Lane | None:
        """The lane for a search; None if there is none yet that is right."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self, key, hot)
            self._close_later()
        elif not lane.look():
            self.server.loop.call_soon(self._close_wrong, lane)
            return None
        return lane

    def _open(self, lane: Lane, hot, text: bytes, words: tuple, at: int) -> Road:
        """The road for a search, which is not looked at yet."""
        key = lane.key
        head = b"*%d\r\n%b$%d\r\n" % (len(words) + 3, b"".join(map(_bulk, (key[0], key[1], text, *words[:at]))), hot.blob_bytes)
        tail = b"\r\n" + b"".join(map(_bulk, words[at + 1:]))
        if (head, tail) in lane.roads:              # of a plan that was forgotten
            road = lane.roads[head, tail]
            del road.hot.roads[key]
            road.hot.note_size()
            road.hot = hot
        else:
            tag = next(self._tags)
            road = self.roads[tag] = lane.roads[head, tail] = Road(lane, tag, hot, head, tail)
        hot.roads[key] = road
        hot.note_size()
        return road

    def _join(self, client, seen: Repeated, road: Road) -> None:
        lane = road.lane
        if client.closing or client.repeated is not seen or client.id in self._members or road.tag not in self.roads:
            return
        self.server.outbox.flush()                  # the reply to the latest
        if client.proto != lane.proto or not self.server.dispatcher.is_plain or not lane.look():
            return
        fd = client.lend(lambda: self._let_go(client.id))
        if fd < 0:
            return
        try:
            number = lane.native.join(fd, client.id)
        except native.NativeError:
            client.give_back()
            return
        if not self._members:
            self._acl_version = self.server.acl.version
        lane.members.add(client.id)
        self._members[client.id] = client, lane, number, self.server.clock, client.n_commands

    # Going

    def _forget(self, tag: int, tally: tuple):
        """Takes down that a client has left; returns it."""
        client, lane, *_ = self._members.pop(tag)
        self._count(client, *tally)
        lane.members.discard(tag)
        if not lane.members:
            lane.idle_since = self.server.clock
            self._close_later()
        return client

    def _let_go(self, tag: int) -> None:
        """A connection is closed here."""
        if tag in self._members:                    # it may have left, and is about to be given back
            event = self.lanes.leave(self._members[tag][2])
            self._forget(tag, event[3] if event else (0, 0, 0))

    def _take_off(self, tag: int, leaving: list[tuple], unsent: bytes = b"") -> None:
        event = self.lanes.leave(self._members[tag][2])
        content, tally = event[2:] if event else (b"", (0, 0, 0))
        leaving.append((self._forget(tag, tally), content, unsent))

    def _close(self, lane: Lane, leaving: list[tuple]) -> None:
        """Takes all clients off a lane, and gives it up."""
        for tag in list(lane.members):
            self._take_off(tag, leaving)
        for road in list(lane.roads.values()):
            self._close_road(road, leaving)
        lane.native.close()
        del self._lanes[lane.key]

    def _close_road(self, road: Road, leaving: list[tuple]) -> None:
        """Gives up a road, and takes the clients off its lane that wait there."""
        self._take_over(road.lane)
        for _, tag, content, tally in road.native.close():
            leaving.append((self._forget(tag, tally), content, b""))
        del self.roads[road.tag], road.lane.roads[road.words], road.hot.roads[road.lane.key]
        road.hot.note_size()

    def close_soon(self, road: Road) -> None:
        """Has a road closed when nobody is about to use it."""
        if not self._unwanted:
            self.server.loop.call_soon(self._close_unwanted)
        self._unwanted.append(road)

    def _close_unwanted(self) -> None:
        unwanted, self._unwanted = self._unwanted, []
        leaving: list[tuple] = []
        for road in unwanted:
            if road.tag in self.roads:
                self._close_road(road, leaving)
        _give_back(leaving)

    def give_up(self, index) -> None:
        """An index is no more."""
        for lane in self._lanes.values():
            if lane.index is index:
                self.server.loop.call_soon(self._close_wrong, lane)     # not now: its clients go on at once

    def _close_wrong(self, lane: Lane) -> None:
        leaving: list[tuple] = []
        if self._lanes.get(lane.key) is lane:
            self._close(lane, leaving)
        _give_back(leaving)

    def _close_later(self) -> None:
        if not self._is_closing_due:
            self._is_closing_due = True
            self.server.loop.call_later(STAY_S, self._close_idle)

    def _close_idle(self) -> None:
        self._is_closing_due = False
        if self.lanes is None:
            return
        for lane in [lane for lane in self._lanes.values() if not lane.members]:
            if self.server.clock - lane.idle_since >= STAY_S:
                self._close(lane, [])
            else:
                self._close_later()

    # Serving

    def _turn(self) -> None:
        dispatcher, acl = self.server.dispatcher, self.server.acl
        leaving: list[tuple] = []
        budget_us, is_again = BUDGET_US, True
        while is_again and self._members:
            # After a change of permissions a client that may do less than everything does not come back.
            if not dispatcher.is_plain or acl.version != self._acl_version:
                for tag in list(self._members):
                    self._take_off(tag, leaving)
                break
            for lane in list(self._lanes.values()):
                if lane.members and not lane.look():
                    self._close(lane, leaving)
            events = self.lanes.turn(self.turns.crew, budget_us, dispatcher.watch_ns)
            if not self._is_settling_due:
                self._is_settling_due = True
                dispatcher.before_next_command(self.settle)
            is_again, budget_us = False, 0
            for event in events:
                is_again |= self._deal_with(leaving, *event)
        _give_back(leaving)

    def _deal_with(self, leaving: list[tuple], what: str, tag: int, *more) -> bool:
        """One event; returns whether another turn is to follow."""
        if what == "doubted":
            road = self.roads.get(tag)
            if road is not None and not road.refresh():
                self._close_road(road, leaving)
        elif what == "missing":
            road = self.roads[tag]
            if not road.hot.rescorer.find_places(more[0]):
                for road in [road for road in road.lane.roads.values() if road.hot.n_rescored]:
                    road.hot.is_laneless = True
                    self._close_road(road, leaving)
        elif what == "found":
            self._reply(tag, leaving, *more)
            return False
        elif what == "slow":
            words = RequestParser().feed(more[0])[0]
            self.server.dispatcher.note_slow(self._members[tag][0], COMMANDS[b"ft.search"], words, more[1])
            return False
        else:
            content, tally = more
            since, n_before = self._members[tag][3:]
            client = self._forget(tag, tally)
            if what == "given" and content:
                self._judge(client, since, client.n_commands - n_before, content)
            leaving.append((client, content, b"") if what == "given" else (client, b"", content))
            return False
        return True

    def _judge(self, client, since: float, n_served: int, content: bytes) -> None:
        """Decides how soon a client comes back that has left by its own choice, with this request."""
        seen = client.repeated
        if n_served >= WORTH_IT:
            seen.enough = max(1, seen.enough // 2)
        elif self.server.clock - since < SOON:
            seen.enough = min(MOST_ENOUGH, 2 * seen.enough)
        else:
            seen.enough = ENOUGH
        if not n_served:
            seen.name = _name_in(content) or seen.name

    def _reply(self, tag: int, leaving: list[tuple], road_tag: int, rows: list[int], distances: list[float]) -> None:
        """Sends the reply that the engine cannot write."""
        client = self._members[tag][0]
        road = self.roads[road_tag]
        try:
            reply = road.hot.encode(client.proto, rows, distances)
        except Exception as error:
            reply = self.server.dispatcher.failed(COMMANDS[b"ft.search"], error)
        client.net_out += len(reply)
        try:
            n = write(client.fd, reply)
        except OSError:                             # no room, or the client has gone: which its connection finds out
            n = 0
        if n < len(reply):
            self._take_off(tag, leaving, reply[n:])

    # Counting

    def settle(self) -> None:
        """Takes over what was counted on the lanes: to be called before anybody looks."""
        self._is_settling_due = False
        if self.lanes is None:
            return
        for tag, *tally in self.lanes.tallies():
            self._count(self._members[tag][0], *tally)
        for lane in self._lanes.values():
            self._take_over(lane)

    def _take_over(self, lane: Lane) -> None:
        for road in lane.settle():
            self.close_soon(road)

    def _count(self, client, n: int, n_in: int, n_out: int) -> None:
        client.n_commands += n
        client.net_in += n_in
        client.net_out += n_out
        client.last_active = self.server.clock


def _give_back(leaving: list[tuple]) -> None:
    """Gives connections back to their owners, who go on with them at once: nothing else may be left to do."""
    for client, content, unsent in leaving:
        client.give_back(content, unsent)


def _name_in(request: bytes) -> bytes | None:
    """How the command is spelt that this request begins with; None if it is not FT.SEARCH."""
    at = request.find(b"\r\n$9\r\n", 0, 16)
    name = request[at + 6:at + 15]
    return name if at > 0 and name.upper() == b"FT.SEARCH" else None


def _bulk(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)
