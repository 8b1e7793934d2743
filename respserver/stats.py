"""Counters: per command, per error code, of the whole server; the slow log and the latency monitor."""
import time
from collections import deque
from itertools import islice

SLOWLOG_MAX_WORDS = 32
SLOWLOG_MAX_WORD = 128
LATENCY_HISTORY = 160
#: So many different error codes are counted; beyond, the table is dropped and counting stops, as in Redis.
MAX_ERROR_CODES = 128


class CommandStats:
    """What is counted for one command. The number of calls is the sum of the histogram."""

    __slots__ = ("ns", "rejected", "failed", "histogram")

    def __init__(self):
        self.ns = 0                     # time inside the command, nanoseconds
        self.rejected = 0               # calls refused before they ran (arity, login, ...)
        self.failed = 0                 # calls that ran and answered an error
        self.histogram = [0] * 64       # calls by the bit length of their nanoseconds

    @property
    def calls(self) -> int:
        """Calls that ran."""
        return sum(self.histogram)

    def percentile(self, share: float) -> float:
        """Microseconds within which `share` percent of the calls ended, as the upper end of the histogram's bucket."""
        wanted = self.calls * share / 100
        seen = 0
        for bits, n in enumerate(self.histogram):
            seen += n
            if n and seen >= wanted:
                return ((1 << bits) - 1) / 1000
        return 0.0

    def cumulative(self) -> list[tuple[int, int]]:
        """(upper end in microseconds, calls up to it) of each bucket in use, as LATENCY HISTOGRAM shows them."""
        rows = []
        seen = sum(self.histogram[:10])
        last = max((bits for bits, n in enumerate(self.histogram) if n), default=0)
        for bits in range(10, max(last, 10) + 1):
            n = self.histogram[bits]
            seen += n
            if n or (bits == 10 and seen):
                rows.append(((1 << bits) // 1000, seen))
        return rows


class Stats:
    """Counters of the server, shown by INFO stats."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.connections = 0                # accepted since the start
        self.rejected_connections = 0       # over maxclients, or refused by protected mode
        self.net_in = 0                     # bytes
        self.net_out = 0
        self.hits = self.misses = 0         # keys that commands which only read have found, and not found
        self.errors: dict[str, int] = {}    # error code -> replies
        self.n_errors = 0
        self.output_limit_closed = 0        # clients closed by client-output-buffer-limit
        self.query_limit_closed = 0         # clients closed by client-query-buffer-limit
        self.internal_errors = 0
        self.peak_memory = 0
        self.ops_per_second = 0.0
        self.input_kbps = 0.0
        self.output_kbps = 0.0

    def count_error(self, text: str) -> None:
        """Counts one error reply by its first word."""
        self.n_errors += 1
        code = text.partition(" ")[0]
        if code in self.errors or len(self.errors) < MAX_ERROR_CODES:
            self.errors[code] = self.errors.get(code, 0) + 1


class SlowLog:
    """The last slow calls, newest first."""

    def __init__(self):
        self.entries: deque = deque()
        self.max_length = 128
        self._next_id = 0

    def add(self, words: list[bytes], duration_us: int, client) -> None:
        """Keeps one call."""
        if not self.max_length:
            return
        self.entries.appendleft((self._next_id, int(time.time()), duration_us, shorten(words), client.address, client.name))
        self._next_id += 1
        self.trim()

    def trim(self) -> None:
        """Drops what is over the maximum length."""
        while len(self.entries) > self.max_length:
            self.entries.pop()

    def newest(self, n: int) -> list:
        """The newest `n` entries; all of them for -1."""
        return list(self.entries if n < 0 else islice(self.entries, n))


def shorten(words: list[bytes]) -> list[bytes]:
    """The words of a call with long ones and long tails cut as in the slow log;
    a long word that is not text is shown by its size only."""
    shown = []
    for i, word in enumerate(words):
        if i == SLOWLOG_MAX_WORDS - 1 and len(words) > SLOWLOG_MAX_WORDS:
            shown.append(b"... (%d more arguments)" % (len(words) - SLOWLOG_MAX_WORDS + 1))
            break
        if len(word) <= SLOWLOG_MAX_WORD:
            shown.append(bytes(word))
        elif word[:SLOWLOG_MAX_WORD].isascii() and word[:SLOWLOG_MAX_WORD].decode().isprintable():
            shown.append(word[:SLOWLOG_MAX_WORD] + b"... (%d more bytes)" % (len(word) - SLOWLOG_MAX_WORD))
        else:
            shown.append(b"<%d bytes>" % len(word))
    return shown


class LatencyMonitor:
    """Samples of events that took longer than latency-monitor-threshold (milliseconds; 0: off)."""

    def __init__(self):
        self.threshold = 0
        self.events: dict[str, deque] = {}      # event -> (Unix seconds, milliseconds), oldest first
        self.maxima: dict[str, int] = {}        # event -> the longest ever, milliseconds

    def add(self, event: str, milliseconds: int) -> None:
        """Keeps a sample if it is over the threshold. Within one second only the longest is kept."""
        if not self.threshold or milliseconds < self.threshold:
            return
        samples = self.events.setdefault(event, deque(maxlen=LATENCY_HISTORY))
        self.maxima[event] = max(self.maxima.get(event, 0), milliseconds)
        now = int(time.time())
        if samples and samples[-1][0] == now:
            samples[-1] = (now, max(samples[-1][1], milliseconds))
        else:
            samples.append((now, milliseconds))

    def reset(self, events: list[str]) -> int:
        """Forgets these events, or all if none are named; returns how many there were."""
        names = [name for name in events if name in self.events] if events else list(self.events)
        for name in set(names):
            del self.events[name]
            self.maxima.pop(name, None)
        return len(names)
