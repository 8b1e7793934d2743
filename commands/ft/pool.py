"""Searches that the engine's threads do: when they are worth the hand-over, and how their replies come back.

A hand-over costs the loop thread about as much as half a cheap search, and can run beside the next requests. So a cheap
search goes to the pool only while several arrive in each turn of the loop; those then go down a few to a job."""
import os
import time
from time import perf_counter_ns

import native
from respserver.deferred import Deferred
from respserver.protocol.errors import CommandError

#: A search that takes longer than this in the engine goes to the pool in any case. Microseconds.
DEAR_US = 250.0
#: From this many searches per turn of the loop on, in the running mean, cheap ones go to the pool too.
BUSY = 2.5
#: With fewer processors than this the loop, the linker and the clients leave none for cheap searches: on two processors, searches on the
#: loop thread alone answered a fifth more requests.
SPARE_PROCESSORS = 4
#: Cheap searches go down so many to a job: a job costs the loop thread about 10 us.
SHARE = 4
#: Where cheap searches take this many times longer through the pool than on the loop thread, no processor is free for
#: it: the next
#: HOLD_OFF of them stay on the loop thread.
SLOW = 3.0
HOLD_OFF = 512
_WEIGHT = 0.05


class PooledSearch(Deferred):
    """One search on its way through the pool."""

    __slots__ = ("hot", "client", "blob", "bits", "newest", "n_removals")

    def __init__(self, hot, client, blob: bytes, bits):
        super().__init__()
        self.hot = hot
        self.client = client
        self.blob = blob
        self.bits = bits
        self.newest = hot.index.docs.max_doc_id
        self.n_removals = hot.index.n_removals

    def complete(self, answer) -> None:
        """Delivers the reply: `answer` is (rows, distances) or an exception."""
        if self.done:           # its client has gone
            return
        try:
            self.set_result(self.hot.finish(self, answer))
        except CommandError as error:
            self.set_result(error)


class Turns:
    """The searches of each turn of the loop, and the pool that some go to."""

    def __init__(self, server):
        self.server = server
        self.pool: native.Pool | None = None    # there while the loop runs, unless search-workers is 0
        self.n_threads = 0
        self.n_searches = 0                     # all calls of the engine's search
        self.search_ns = 0                      # the time of those on the loop thread
        self.n_jobs_done = 0
        self._jobs: dict[int, tuple] = {}       # job -> its searches, when it went down
        self._waiting: dict = {}                # HotKnn -> searches of this turn
        self._n_turn = 0                        # searches seen in this turn
        self._mean = 0.0                        # running mean of that, over turns with any
        #: Running mean of a cheap search's time through the pool over that on the loop thread.
        self._slowness = 1.0
        self._has_spare = len(os.sched_getaffinity(0)) >= SPARE_PROCESSORS
        self._hold_off = 0                      # cheap searches that stay on the loop thread

    def start(self) -> None:
        """Starts the threads; to be called when the loop runs."""
        self.server.config.observe("search-workers", self._resize)

    def stop(self) -> None:
        """Ends the threads, with the searches that they still have."""
        if self.pool is None:
            return
        self._end_turn()
        self.server.loop.remove_reader(self.pool.fileno())
        while self._jobs:
            self._collect()
            time.sleep(0.0002)
        self.pool.close()
        self.pool = None

    def _resize(self, n_threads: int) -> None:
        """`search-workers` has changed. Without threads every search runs on the loop thread."""
        self.stop()
        self.n_threads = n_threads
        if n_threads:
            self.pool = native.Pool(n_threads)
            self.server.loop.add_reader(self.pool.fileno(), self._collect)

    @property
    def n_pending(self) -> int:
        """Searches that are in the pool or on their way there."""
        return sum(len(searches) for searches, _ in self._jobs.values()) + sum(map(len, self._waiting.values()))

    def wants(self, cost_us: float) -> bool:
        """Counts a search in this turn; whether it should go to the pool."""
        if self.pool is None:
            return False
        if not self._n_turn:
            self.server.loop.call_soon(self._end_turn)
        self._n_turn += 1
        if cost_us > DEAR_US:
            return True
        if self._hold_off:
            self._hold_off -= 1
            return False
        return self._has_spare and self._mean > BUSY

    def add(self, search: PooledSearch) -> PooledSearch:
        """Takes a search for the pool. It goes down with others of its kind when there are enough for a job, at the
        latest with the end of this turn: so the pool works while the loop thread still reads the next requests."""
        hot = search.hot
        key = hot, search.bits
        searches = self._waiting.get(key)
        if searches is None:
            self._waiting[key] = searches = []
        searches.append(search)
        if len(searches) >= SHARE or hot.cost_us > DEAR_US:
            del self._waiting[key]
            self._submit(hot, search.bits, searches)
        return search

    def _end_turn(self) -> None:
        """Hands what is left of this turn's searches to the pool."""
        self._mean += _WEIGHT * (self._n_turn - self._mean)
        self._n_turn = 0
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            for (hot, bits), searches in waiting.items():
                self._submit(hot, bits, searches)

    def _submit(self, hot, bits, searches: list[PooledSearch]) -> None:
        if hot.index.is_dropped:            # in this turn: its engine is closed
            for search in searches:
                search.complete(([], []))
            return
        job = self.pool.submit(hot.engine, [search.blob for search in searches], hot.n_wanted, hot.window, hot.capacity, bits,
                               hot.timeout_us)
        self._jobs[job] = searches, perf_counter_ns()

    def _collect(self) -> None:
        """Delivers what the pool has finished."""
        for job, answers in self.pool.completed():
            self._deliver(job, answers)

    def _deliver(self, job: int, answers) -> None:
        searches, started = self._jobs.pop(job)
        self.n_jobs_done += 1
        self.n_searches += len(searches)
        hot = searches[0].hot
        took_us = (perf_counter_ns() - started) / 1000 / len(searches)
        if hot.cost_us > DEAR_US:
            hot.note_cost(took_us)
        elif hot.cost_us:
            self._slowness += _WEIGHT * (took_us / hot.cost_us - self._slowness)
            if self._slowness > SLOW:
                self._slowness, self._hold_off = 1.0, HOLD_OFF
        if isinstance(answers, Exception):
            if len(searches) > 1:           # one of them has spoilt the job for all: each on its own then
                for search in searches:
                    if not search.done:
                        self._submit(hot, search.bits, [search])
                return
            answers = [answers]
        for search, answer in zip(searches, answers):
            search.complete(answer)

    def count(self, ns: int) -> None:
        """Counts one search on the loop thread and its time."""
        self.n_searches += 1
        self.search_ns += ns
