"""Searches that are not done on the spot: those that arrive in one turn of the loop and are done together at its end, and those
that the engine's pool does.

A cheap search takes about as long as a hand-over to another thread and back. So cheap ones are never handed over: where several
arrive in a turn of the loop, one call at its end does them all, the crew's helpers taking what the loop thread has not come to,
and writes the replies. A dear search would hold up the loop: it goes to the pool, and its reply follows when the pool has done
it."""
import os
import time

import native
from respserver.deferred import Deferred
from respserver.protocol.errors import CommandError

from .lanes import Lanes

#: A search that takes longer than this in the engine goes to the pool in any case. Microseconds.
DEAR_US = 250.0
#: From this many searches per turn of the loop on, in the running mean, they wait for each other.
TOGETHER = 1.5
#: How long the searches of one turn may hold the loop up; the others wait for the next. Microseconds.
TURN_US = 2000.0
#: Most helpers of a crew: each takes a few searches of a turn, and there are only so many.
MAX_HELPERS = 15
#: How long a helper looks out for the next turn before it sleeps: turns follow each other within this while the server is busy.
SPIN_US = 50
_WEIGHT = 0.05


class PendingSearch(Deferred):
    """One search whose reply comes later. `bits`, `newest`, `n_removals`: the filter and the state of the index with which it
    went to the pool."""

    __slots__ = ("hot", "client", "blob", "bits", "newest", "n_removals")

    def __init__(self, hot, client, blob: bytes):
        self.done = self.blocking = False       # as the base class does, which takes longer
        self.value = self._callback = self.on_abandon = self.call = None
        self.pooled = True
        self.hot = hot
        self.client = client
        self.blob = blob

    def complete(self, answer, took_us: float) -> None:
        """Delivers the pool's answer: (rows, distances) or an exception."""
        self.hot.note_cost(took_us)
        if self.done:           # its client has gone
            return
        try:
            self.set_result(self.hot.finish(self, answer))
        except CommandError as error:
            self.set_result(error)


class PendingRows(Deferred):
    """What sliced work waits for that goes on with the rows and distances of one search."""

    __slots__ = ()

    def complete(self, answer, took_us: float) -> None:
        """Takes the pool's answer: (rows, distances) or an exception."""
        self.set_result(answer)

    def rows(self) -> tuple[list[int], list[float]]:
        """Rows and distances, nearest first, once it is done. Raises native.NativeError."""
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class Turns:
    """The searches of each turn of the loop, the crew that does them, and the pool that some go to."""

    def __init__(self, server):
        self.server = server
        self.pool: native.Pool | None = None    # there from the first query on, unless search-workers is 0
        self.crew = native.Crew()
        self.n_threads = 0
        self.n_searches = 0                     # all calls of the engine's search
        self.search_ns = 0                      # the time of those on the loop thread
        self.n_jobs_done = 0
        self._jobs: dict[int, PendingSearch] = {}       # job -> its search
        self._waiting: dict = {}                # (HotKnn, protocol) -> searches of this turn
        self._n_left_out = 0                    # what was done without workers
        self._n_then = 0                        # what had been done when their number was last changed
        self._n_turn = 0                        # searches seen in this turn
        self.lanes = Lanes(server, self)
        self._mean = 0.0                        # running mean of that, over turns with any

    def start(self) -> None:
        """Starts the threads; to be called when the loop runs."""
        self.server.config.observe("search-workers", self._resize)
        self.lanes.start()

    def stop(self) -> None:
        """Ends everything, with the searches that are under way."""
        self._end_threads()
        self.lanes.stop()

    def _end_threads(self) -> None:
        while self._waiting:
            self._end_turn()
        self.crew.close()
        if self.pool is None:
            return
        self.server.loop.remove_reader(self.pool.fileno())
        while self._jobs:
            self._collect()
            time.sleep(0.0002)
        self.pool.close()
        self.pool = None

    def _resize(self, n_threads: int) -> None:
        """`search-workers` has changed. Without threads every search runs on the loop thread; those of a pool that nobody has
        needed yet come with the first query."""
        is_awake = self.pool is not None
        self._end_threads()
        self._leave_out()
        self.n_threads = n_threads
        self.crew = native.Crew(max(0, min(n_threads, len(os.sched_getaffinity(0)) - 1, MAX_HELPERS)), SPIN_US)
        if is_awake:
            self.wake()
        self.server.search.forget_plans()           # with the next query it is looked whether there is a pool

    def _leave_out(self) -> None:
        """Has what is done without workers not count as jobs of theirs."""
        n = self.server.search.n_done()
        if not self.n_threads:
            self._n_left_out += n - self._n_then
        self._n_then = n

    @property
    def n_workers_jobs(self) -> int:
        """Queries that ended and vectors that were linked while there were workers for them."""
        return (self.server.search.n_done() if self.n_threads else self._n_then) - self._n_left_out

    def wake(self) -> None:
        """A query is going to be prepared: starts the pool if there should be one."""
        if self.pool is None and self.n_threads:
            self.pool = native.Pool(self.n_threads)
            self.server.loop.add_reader(self.pool.fileno(), self._collect)

    @property
    def n_pending(self) -> int:
        """Searches that are under way or held back."""
        return self.n_running + self.server.n_held

    @property
    def n_running(self) -> int:
        """Searches that wait for their turn's end or are in the pool."""
        return len(self._jobs) + sum(map(len, self._waiting.values()))

    def is_busy(self) -> bool:
        """Counts a search in this turn; whether it should wait for others."""
        if not self._n_turn:
            self.server.loop.call_soon(self._end_turn)
        self._n_turn += 1
        return self._mean > TOGETHER and self.crew.threads > 0

    def add(self, search: PendingSearch) -> PendingSearch:
        """Takes a search that is done with the end of this turn."""
        key = search.hot, search.client.proto
        searches = self._waiting.get(key)
        if searches is None:
            self._waiting[key] = [search]
        else:
            searches.append(search)
        return search

    def _end_turn(self) -> None:
        """Does what is left of this turn's searches."""
        if self._n_turn:
            self._mean += _WEIGHT * (self._n_turn - self._mean)
            self._n_turn = 0
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        left_us = TURN_US
        parts = []
        for key, searches in waiting.items():
            hot, proto = key
            n = max(1, int(left_us / max(hot.cost_us, 1.0)))
            if left_us <= 0:
                n = 0
            if n < len(searches):
                self._waiting[key] = searches[n:]
                searches = searches[:n]
            if searches:
                parts.append((hot, proto, searches))
                left_us -= len(searches) * hot.cost_us
        if len(parts) == 1:
            hot, proto, searches = parts[0]
            hot.answer(searches, proto)
        else:
            parts[0][0].answer_together(self, parts)
        if self._waiting:
            self.server.loop.call_soon(self._end_turn)
        self.server.outbox.flush()

    def submit(self, search: PendingSearch, bits) -> PendingSearch:
        """Hands a search to the pool."""
        hot = search.hot
        search.bits = bits
        search.newest = hot.index.docs.max_doc_id
        search.n_removals = hot.index.n_removals
        job = self.pool.submit(hot.engine, [search.blob], hot.n_wanted, hot.window, hot.capacity, bits, hot.timeout_us,
                               hot.order.sure)
        self._jobs[job] = search
        return search

    def find_nearest(self, engine, blob: bytes, k: int, window: int, capacity: int, bits, timeout_us: int,
                     sure: int) -> PendingRows:
        """Has the pool look for the k nearest. Arguments as of native.Index.search_blob."""
        return self._note(self.pool.submit(engine, [blob], k, window, capacity, bits, timeout_us, sure))

    def find_near(self, engine, blob: bytes, radius: float, epsilon: float | None, timeout_us: int) -> PendingRows:
        """Has the pool look for what lies within a radius. Arguments as of native.Index.range_blob."""
        return self._note(self.pool.submit_range(engine, blob, radius, epsilon, None, timeout_us))

    def _note(self, job: int) -> PendingRows:
        search = PendingRows()
        self._jobs[job] = search
        return search

    def _collect(self) -> None:
        """Delivers what the pool has finished."""
        for job, answers, took_ns in self.pool.completed():
            self._deliver(job, answers, took_ns)

    def _deliver(self, job: int, answers, took_ns: int) -> None:
        search = self._jobs.pop(job)
        self.n_jobs_done += 1
        self.n_searches += 1
        search.complete(answers if isinstance(answers, Exception) else answers[0], took_ns * 0.001)

    def count(self, ns: int) -> None:
        """Counts one search on the loop thread and its time."""
        self.n_searches += 1
        self.search_ns += ns
