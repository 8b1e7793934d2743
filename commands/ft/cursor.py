"""FT.CURSOR, and the cursors that FT.AGGREGATE .. WITHCURSOR opens."""
import random
import time
from time import perf_counter_ns

from respserver.protocol.errors import UNKNOWN_SUBCOMMAND, CommandError
from respserver.protocol.reply import OK, Raw
from respserver.registry import command

from . import errors
from .aggregate import Results, run_beside
from .aggregate_options import CursorOptions
from .options import to_integer

#: Rows per read if nobody says how many.
DEFAULT_COUNT = 1000
#: What FT.CURSOR does.
_ACTIONS = (b"READ", b"DEL", b"GC", b"PROFILE")


class Cursor:
    """Results that a client reads bit by bit."""

    __slots__ = ("number", "index", "results", "count", "max_idle", "deadline")

    def __init__(self, number: int, index, results: Results, count: int, max_idle: float):
        self.number = number
        self.index = index
        self.results = results
        self.count = count              # rows per read unless the read says otherwise
        self.max_idle = max_idle        # seconds
        self.deadline = 0.0             # time.monotonic() after which `collect` closes it, while nobody reads


class Cursors:
    """The open cursors of a server, by number. One that is being read is not among them."""

    def __init__(self, server):
        self.server = server
        self.n_reads = self.read_ns = 0             # of FT.CURSOR READ, with the waits between its parts
        self._idle: dict[int, Cursor] = {}

    @property
    def n_idle(self) -> int:
        """How many cursors wait to be read."""
        return len(self._idle)

    def open(self, client, index, results: Results, options: CursorOptions):
        """The reply of FT.AGGREGATE .. WITHCURSOR: the first rows and the cursor's number. Raises CommandError if the
        index has too many."""
        cursor = self._make(index, results, options)
        return run_beside(client, self._read(client, cursor, cursor.count), "aggregation")

    def add(self, index, results: Results, options: CursorOptions) -> Cursor:
        """A cursor from which nothing has been read. Raises CommandError likewise."""
        cursor = self._make(index, results, options)
        self._keep(cursor)
        return cursor

    def _make(self, index, results: Results, options: CursorOptions) -> Cursor:
        config = self.server.config
        limit = config["search-index-cursor-limit"]
        if self.count(index) >= limit:
            self.collect()
            if self.count(index) >= limit:
                results.close()
                raise errors.fail(errors.CURSOR_LIMIT, limit)
        longest = config["search-cursor-max-idle"]
        max_idle = min(options.max_idle or longest, longest)
        number = random.randrange(1, 1 << 31)
        while number in self._idle:
            number = random.randrange(1, 1 << 31)
        return Cursor(number, index, results, options.count or DEFAULT_COUNT, max_idle / 1000)

    def _keep(self, cursor: Cursor) -> None:
        cursor.deadline = time.monotonic() + cursor.max_idle
        self._idle[cursor.number] = cursor

    def read(self, client, index, number: int, count: int | None):
        """The reply of FT.CURSOR READ. Raises CommandError."""
        cursor = self._take(index, number)
        if cursor is None:
            raise errors.fail(errors.CURSOR_NOT_FOUND, number)
        self.n_reads += 1
        return run_beside(client, self._timed(self._read(client, cursor, count or cursor.count)), "cursor read")

    def _timed(self, reading):
        """The same work, its time counted."""
        started = perf_counter_ns()
        try:
            return (yield from reading)
        finally:
            self.read_ns += perf_counter_ns() - started

    def close(self, index, number: int) -> bool:
        """Closes a cursor that nobody is reading; returns whether there was one."""
        cursor = self._take(index, number)
        if cursor is None:
            return False
        cursor.results.close()
        return True

    def has(self, index, number: int) -> bool:
        """Whether a cursor of an index waits to be read."""
        cursor = self._idle.get(number)
        return cursor is not None and cursor.index is index

    def count(self, index) -> int:
        """How many cursors of an index are open."""
        return sum(cursor.index is index for cursor in self._idle.values())

    @property
    def n_open(self) -> int:
        return len(self._idle)

    def collect(self) -> int:
        """Closes the cursors whose time is over, and those whose index has gone; returns how many of the former there were."""
        now = time.monotonic()
        n = 0
        for cursor in list(self._idle.values()):
            if cursor.index.is_dropped or cursor.deadline < now:
                n += not cursor.index.is_dropped
                del self._idle[cursor.number]
                cursor.results.close()
        return n

    def _take(self, index, number: int) -> Cursor | None:
        return self._idle.pop(number) if self.has(index, number) else None

    def _read(self, client, cursor: Cursor, count: int):
        rows = yield from cursor.results.reply(client.proto, count)
        number = 0
        if not cursor.results.is_done:
            number = cursor.number
            self._keep(cursor)
        return Raw(b"*2\r\n%b:%d\r\n" % (rows, number))


@command("FT.CURSOR", arity=-4, group="search", since="1.1.0", flags="readonly", categories="read",
         summary="Reads from a cursor, or deletes it", complexity="O(1)")
def ft_cursor(client, action, name, number, *words):
    given, action = action, action.upper()
    if action not in _ACTIONS:
        text = UNKNOWN_SUBCOMMAND.format(errors.show(given), "FT.CURSOR") if errors.has_codes else errors.CURSOR_SUBCOMMAND
        raise CommandError(text)
    manager = client.server.search
    index = manager.find(name)
    number = to_integer(number)
    if number is None:
        raise CommandError(errors.CURSOR_ID)
    if action == b"READ":
        return manager.cursors.read(client, index, number, _count(words))
    if action == b"DEL":
        if not manager.cursors.close(index, number):
            raise CommandError(errors.CURSOR_MISSING)
        return OK
    if action == b"GC":
        return manager.cursors.collect()
    raise (errors.fail(errors.CURSOR_PROFILE) if manager.cursors.has(index, number)
           else errors.fail(errors.CURSOR_NOT_FOUND, number))


def _count(words: tuple) -> int | None:
    """COUNT n of a READ; a COUNT without n counts for nothing, as in Redis."""
    if len(words) < 2:
        return None
    if words[0].upper() != b"COUNT":
        raise errors.fail(errors.UNKNOWN_ARGUMENT, words[0])
    count = to_integer(words[1])
    if count is None or count < 1:
        raise errors.fail(errors.CURSOR_COUNT, words[1])
    return count
