"""Long measurements beside the traffic: a generator whose short pieces run on the loop thread and whose long ones run on
threads of low priority, where only the engine's calls take long, which release the interpreter."""
import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from respserver.deferred import Deferred
from respserver.protocol.errors import CommandError

from .. import errors

#: What a measurement may take of one turn of the loop. Seconds.
_BUDGET = 0.001
#: How many measure at the same time; the others wait.
_THREADS = 2
_NICE = 10


def _be_nice() -> None:
    """Lowers the priority of the thread, and of those that the engine starts from it."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    except OSError:
        pass


class Job:
    """One measurement of one index, ended early when that is dropped. `work` yields None after each short piece, or a function
    to be called on a thread, whose result it is then given; what it returns goes to `deliver`, or a CommandError."""

    def __init__(self, jobs: "Jobs", index, fields, work: Generator, deliver: Callable):
        self._jobs, self._index, self._work, self._deliver = jobs, index, work, deliver
        self._engines = [field.engine for field in fields if field.engine.hold()]
        self.is_cancelled = False
        self._is_away = False                   # a piece is on a thread
        jobs.running.add(self)
        jobs.server.loop.call_soon(self._step, None, None)

    def cancel(self) -> None:
        """Ends the measurement, after the piece under way; nothing is delivered."""
        self.is_cancelled = True
        if not self._is_away:
            self._end(None)

    def _step(self, result, error) -> None:
        if self not in self._jobs.running:
            return
        self._is_away = False
        if self.is_cancelled:
            return self._end(None)
        if self._index is not None and self._index.is_dropped:
            return self._end(CommandError(errors.DROPPED_MEANWHILE))
        deadline = perf_counter() + _BUDGET
        try:
            while True:
                if error is not None:
                    piece, error = self._work.throw(error), None
                else:
                    piece = self._work.send(result)
                result = None
                if piece is not None:
                    return self._send_away(piece)
                if perf_counter() > deadline:
                    self._jobs.server.loop.call_soon(self._step, None, None)
                    return
        except StopIteration as stop:
            self._end(stop.value)
        except CommandError as refusal:
            self._end(refusal)
        except Exception as failure:
            self._jobs.server.log.exception("A measurement failed")
            self._end(CommandError(errors.MEASUREMENT_FAILED.format(f"{type(failure).__name__}: {failure}")))

    def _send_away(self, piece: Callable) -> None:
        self._is_away = True
        loop = self._jobs.server.loop

        def done(future) -> None:
            if future.cancelled():              # by stop(), which ends the measurement
                return
            failure = future.exception()
            try:
                loop.call_soon_threadsafe(self._step, None if failure else future.result(), failure)
            except RuntimeError:                # the loop has ended
                pass
        self._jobs.threads.submit(piece).add_done_callback(done)

    def _end(self, value) -> None:
        self._jobs.running.discard(self)
        self._work.close()
        for engine in self._engines:
            engine.let_go()
        if not self.is_cancelled:
            self._deliver(value)


class Jobs:
    """The measurements under way."""

    def __init__(self, server):
        self.server = server
        self.running: set[Job] = set()
        self._threads: ThreadPoolExecutor | None = None

    @property
    def threads(self) -> ThreadPoolExecutor:
        """The threads, started with the first measurement."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, "measure", _be_nice)
        return self._threads

    def reply(self, index, fields, work: Generator) -> Deferred:
        """Starts a measurement; the reply is what it returns."""
        deferred = Deferred()
        job = Job(self, index, fields, work, deferred.set_result)
        deferred.on_abandon = job.cancel
        return deferred

    def start(self, index, fields, work: Generator, deliver: Callable) -> Job:
        """Starts a measurement that nobody waits for."""
        return Job(self, index, fields, work, deliver)

    def stop(self) -> None:
        """Ends all of them; waits for the pieces under way."""
        for job in list(self.running):
            job.is_cancelled = True
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        for job in list(self.running):
            job.cancel()
            job._end(None)
