"""Cooperative background work on the loop thread: long jobs are generators that yield after each small piece.

One that needs what comes later yields the Deferred of it, and goes on when that is done."""
import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Generator

from .deferred import Deferred

#: Time that all background work together may take per turn of the loop, in seconds.
BUDGET = 0.001

log = logging.getLogger("vamana")


def emptied(mapping: dict, step: int = 128) -> Generator:
    """A job that empties a dict nobody else uses any more, so that freeing what it held is not one long pause."""
    while mapping:
        for _ in range(min(step, len(mapping))):
            mapping.popitem()
        yield


class SlicedTask:
    """One job. `done` says whether it ended, by itself, by cancel() or by an exception (kept in `error` and logged)."""

    __slots__ = ("name", "generator", "done", "cancelled", "error", "result", "waits_for", "_callbacks")

    def __init__(self, generator: Generator, name: str):
        self.name = name
        self.generator = generator
        self.done = self.cancelled = False
        self.error: BaseException | None = None
        self.result = None              # what the generator returned
        self.waits_for: Deferred | None = None
        self._callbacks: list[Callable[["SlicedTask"], None]] = []

    def cancel(self) -> None:
        """Ends the job before its next piece; its `finally` clauses run now."""
        if not self.done:
            self.cancelled = True
            self.generator.close()
            self._finish()

    def on_done(self, callback: Callable[["SlicedTask"], None]) -> None:
        """Has `callback` called with the task when it has ended; at once if it has."""
        if self.done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def _finish(self) -> None:
        self.done = True
        for callback in self._callbacks:
            callback(self)
        self._callbacks.clear()

    def step(self) -> bool:
        """Runs one piece; returns whether there is more. `waits_for` then says what that needs."""
        try:
            self.waits_for = next(self.generator)
            return True
        except StopIteration as stop:
            self.result = stop.value
        except Exception as error:
            self.error = error
            log.exception("Background job %s failed", self.name)
        self._finish()
        return False


class Background:
    """Runs sliced tasks in turn, at most BUDGET seconds in each turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._tasks: deque[SlicedTask] = deque()
        self._waiting: set[SlicedTask] = set()
        self._scheduled = False

    def run(self, generator: Generator, name: str) -> SlicedTask:
        """Starts a job with the next turn of the loop."""
        task = SlicedTask(generator, name)
        self._queue(task)
        return task

    def _queue(self, task: SlicedTask) -> None:
        self._waiting.discard(task)
        if task.done:
            return
        self._tasks.append(task)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        deadline = time.perf_counter() + BUDGET
        tasks = self._tasks
        while tasks:
            task = tasks.popleft()
            if not task.done and task.step():
                if task.waits_for is None or task.waits_for.done:
                    tasks.append(task)
                else:
                    self._waiting.add(task)
                    task.waits_for.on_done(lambda _, task=task: self._queue(task))
            if time.perf_counter() >= deadline:
                break
        if tasks:
            self._loop.call_soon(self._turn)
        else:
            self._scheduled = False

    def cancel_all(self) -> None:
        """Ends every job."""
        for task in [*self._tasks, *self._waiting]:
            task.cancel()
        self._tasks.clear()
        self._waiting.clear()
