"""Clients that wait for a list, a sorted set or a stream to get elements."""
from collections import deque

from respserver.deferred import Deferred
from respserver.protocol.errors import TIMEOUT_NEGATIVE, TIMEOUT_NOT_FLOAT, TIMEOUT_RANGE, CommandError
from respserver.values.list import List
from respserver.values.numbers import INT64_MAX, parse_float
from respserver.values.sorted_set import SortedSet
from respserver.values.stream import Stream

_WAITED_FOR = (List, SortedSet, Stream)


def to_timeout(text: bytes) -> float:
    """Seconds to wait; 0 means forever."""
    seconds = parse_float(text)
    if seconds is None:
        raise CommandError(TIMEOUT_NOT_FLOAT)
    if seconds < 0:
        raise CommandError(TIMEOUT_NEGATIVE)
    if seconds * 1000 > INT64_MAX:
        raise CommandError(TIMEOUT_RANGE)
    return seconds


class _Waiter(Deferred):
    """A client that waits: `attempt(True)` returns its reply, or None as long as there is nothing for it."""

    __slots__ = ("attempt", "places", "timer", "queue", "empty", "is_bound")

    def __init__(self, queue: "_Queue", attempt, places, client, seconds: float, empty):
        super().__init__(self._gone, blocking=True)
        self.queue = queue
        self.attempt = attempt
        self.is_bound = False
        self.places = places            # (Database, key)
        self.empty = empty              # the reply if nothing comes
        self.timer = client.server.loop.call_later(seconds, self._end, empty) if seconds else None

    def end(self, value) -> None:
        """CLIENT UNBLOCK: None stands for the reply of a wait that has timed out."""
        super().end(self.empty if value is None else value)

    def _end(self, reply) -> None:
        self._gone()
        self.set_result(reply)

    def _gone(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.queue.forget(self)

    def try_again(self) -> None:
        """Ends the wait if there is something by now."""
        client, command, words, _ = self.call
        problem = "" if client.user.is_unlimited else client.server.acl.refusal(client, command, words)
        try:
            if problem:
                raise CommandError(problem)
            reply = self.attempt(True)
        except CommandError as error:
            reply = error
        if reply is None:
            return
        journal = self.queue.server.journal
        if journal is not None and not isinstance(reply, CommandError):
            journal.note(client, command, words, reply)
        self._end(reply)


class _Queue:
    """Everyone who waits for a key of one server, in the order of arrival at each key.
    Listens to the keyspace while anyone does."""

    def __init__(self, server):
        self.server = server
        self.waiters: dict[tuple, deque[_Waiter]] = {}
        self.ready: dict[tuple, None] = {}
        self.is_scheduled = False

    def join(self, waiter: _Waiter) -> None:
        """Lets a waiter hear of its keys."""
        if not self.waiters:
            self.server.keyspace.listeners.append(self)
        for place in waiter.places:
            self.waiters.setdefault(place, deque()).append(waiter)

    def forget(self, waiter: _Waiter) -> None:
        """Takes a waiter out."""
        for place in waiter.places:
            line = self.waiters.get(place)
            if line is not None and waiter in line:
                line.remove(waiter)
                if not line:
                    del self.waiters[place]
        if not self.waiters and self in self.server.keyspace.listeners:
            self.server.keyspace.listeners.remove(self)

    @property
    def n_bound(self) -> int:
        """Keys that somebody waits for only as long as they are there (XREADGROUP)."""
        return sum(any(waiter.is_bound for waiter in line) for line in self.waiters.values())

    def key_changed(self, change) -> None:
        """What somebody waits for may have got elements: they are handed out once the present command,
        or transaction, is done."""
        # a group is waited for as long as its stream is there
        if type(change.new) in _WAITED_FOR or type(change.old) is Stream:
            self._mark((self.server.keyspace.databases[change.db], change.key))

    def minds(self, db, keys) -> bool:
        """Whether somebody waits for one of these keys."""
        return any((db, key) in self.waiters for key in keys)

    def flushed(self, db: int) -> None:
        """Nothing to hand out, but the groups of streams are gone."""
        for place in list(self.waiters):
            if place[0].index == db:
                self._mark(place)

    def swapped(self, first: int, second: int) -> None:
        """Other values have come under the same names."""
        for place in list(self.waiters):
            if place[0].index in (first, second):
                self._mark(place)

    def _mark(self, place) -> None:
        if place in self.waiters:
            self.ready[place] = None
            if not self.is_scheduled:
                self.is_scheduled = True
                self.server.dispatcher.before_next_command(self.serve)
                self.server.loop.call_soon(self.serve)              # in case that there is no next command

    def serve(self) -> None:
        """Hands elements out: to the one who waits longest at a key first."""
        self.is_scheduled = False
        while self.ready:
            place = next(iter(self.ready))
            del self.ready[place]
            for waiter in list(self.waiters.get(place, ())):
                if not waiter.done:
                    waiter.try_again()


def wait_for_key(client, keys, attempt, seconds: float, empty, is_bound: bool = False):
    """What a blocking command returns: the reply of attempt(False) if that is not None, else `empty` at once in a transaction,
    else a Deferred that calls attempt(True) whenever one of the keys gets elements and gives `empty` after `seconds` (0:
    never). At the first attempt a key of another type is an error; later it is not there as yet. `is_bound`: the wait ends with
    an error if a key goes."""
    reply = attempt(False)
    if reply is not None:
        return reply
    if client.in_exec:
        return empty
    server = client.server
    queue = server.keyspace.waiting
    if queue is None:
        queue = server.keyspace.waiting = _Queue(server)
    db = client.db
    waiter = _Waiter(queue, attempt, tuple(dict.fromkeys((db, key) for key in keys)), client, seconds, empty)
    waiter.is_bound = is_bound
    queue.join(waiter)
    return waiter
