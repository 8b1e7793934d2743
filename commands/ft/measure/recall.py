"""VAMANA.RECALL, and the estimate of recall that FT.INFO shows."""
import math
import random
import time
from collections import deque
from collections.abc import Generator
from time import perf_counter

import numpy as np

import native
from respserver.protocol.reply import Pairs, Simple
from respserver.registry import command

from .. import errors
from ..errors import fail
from ..options import Words, keyword
from ..matches import row_array
from ..plan import refusal
from ..vector_options import MAX_RERANK
from .arguments import find_field, read_number, read_options
from .exact import Nearest

MAX_K = 1000
MAX_SAMPLE = 10_000
_DEFAULTS = {"K": 10, "SAMPLE": 400, "SEARCH_WINDOW_SIZE": 0, "RERANK": None, "SOURCE": None}
#: With fewer recent queries than this the sample is one of documents.
_FEWEST_RECENT = 50
#: Candidates more than k that exact answers keep, for those whose document changes meanwhile.
_SPARE = 16
#: Queries answered in one piece on a thread.
_PIECE = 64


def _read_option(cursor: Words, name: str):
    """The value of an argument of VAMANA.RECALL. Raises CommandError that says what is allowed."""
    if name == "RERANK":
        return _read_rerank(cursor)
    if name == "SOURCE":
        source = keyword(cursor.next()).decode("utf-8", "replace") if cursor else ""
        if source not in ("QUERIES", "DOCUMENTS"):
            raise fail(errors.MEASURE_SOURCE)
        return source
    return read_number(cursor, name, 1, {"K": MAX_K, "SAMPLE": MAX_SAMPLE}.get(name, 1 << 20))


def _read_rerank(cursor: Words):
    """AUTO, OFF or a number of candidates. Raises CommandError."""
    word = keyword(cursor.next()) if cursor else b""
    if word in (b"AUTO", b"OFF"):
        return word.decode()
    if word.isdigit() and 0 < int(word[:10]) <= MAX_RERANK:
        return int(word[:10])
    raise fail(errors.VECTOR_RERANK_CHOICE, MAX_RERANK)


@command("VAMANA.RECALL", arity=-3, group="search", since="8.10.0", flags="readonly no_multi", categories="read",
         summary="Measures the recall of a vector field's searches against exact answers, beside the traffic",
         complexity="O(N*SAMPLE)")
def vamana_recall(client, name, field_name, *words):
    index, field = find_field(client, name, field_name)
    values = read_options(Words(words), _DEFAULTS, _read_option)
    work = Measurement(index, field, values["K"], values["SAMPLE"], values["SEARCH_WINDOW_SIZE"], values["RERANK"],
                       values["SOURCE"])
    return client.server.search.jobs.reply(index, [field], work.reply())


class Measurement:
    """One comparison of a field's searches with exact answers.

    Queries are recent ones; where there are too few, or DOCUMENTS is asked for, they are the vectors of documents, searched as
    if that one were not stored. Documents that change meanwhile count for neither side. A found document counts as right if it
    is no farther than the k-th nearest."""

    def __init__(self, index, field, k: int, sample: int, window: int = 0, rerank=None, source: str | None = None):
        self.index, self.field, self.k = index, field, k
        self.shares: list[float] = []               # recall of each query
        self.exact_by = "originals"
        self._newest = index.docs.max_doc_id
        self._order = field.rescorer.plan(k, window, None, rerank)
        self._n_rescored, self.window = self._order.n, self._order.window
        self._live = row_array(index.docs.live).astype(np.int64)
        recent = list(dict.fromkeys(field.recent))[-sample:]
        self.is_recent = source != "DOCUMENTS" and (len(recent) >= min(sample, _FEWEST_RECENT) or source == "QUERIES")
        if self.is_recent:
            self._queries, self._own = recent, [-1] * len(recent)
        else:
            n = len(self._live)
            self._own = self._live[random.sample(range(n), min(sample, n))].tolist()
            self._queries = []

    def work(self) -> Generator:
        """Fills `shares`; for a Job."""
        yield from self._read_documents()
        if not self._queries or not len(self._live):
            return
        engine, k, wanted = self.field.engine, self.k, max(self._n_rescored, self.k)
        if not self.window:
            self.window = engine.default_window(k) if self.field.algorithm != "FLAT" else 0
        found = []

        def answer(start: int) -> None:
            for blob, own in zip(self._queries[start:start + _PIECE], self._own[start:start + _PIECE]):
                found.append(engine.search_blob(blob, wanted, self.window, sure=self._order.sure) if own < 0
                             else engine.search_without(blob, own, wanted, self.window, self._order.sure))
        try:
            for start in range(0, len(self._queries), _PIECE):
                yield lambda start=start: answer(start)
        except native.NativeError as error:
            raise refusal(error) from None
        nearest = Nearest(self.field, self._queries, min(k + _SPARE + 1, len(self._live)))
        yield from nearest.scan(self._live)
        self.exact_by = nearest.source
        for i, one in enumerate(found):
            self._compare(self._queries[i], self._own[i], one, nearest.rows[i], nearest.distances[i])
            yield

    def _read_documents(self) -> Generator:
        if self._queries or self.is_recent:
            return
        kept = []
        for own in self._own:
            blobs = self.field.rescorer.all_originals([own])[0]
            if blobs:
                self._queries.append(bytes(random.choice(blobs)))
                kept.append(own)
            yield
        self._own = kept

    def _is_same(self, row: int) -> bool:
        docs = self.index.docs
        return docs.keys[row] is not None and docs.doc_ids[row] <= self._newest

    def _compare(self, blob: bytes, own: int, found: tuple[list[int], list[float]], nearest, distances) -> None:
        keep = [i for i, row in enumerate(nearest.tolist()) if row >= 0 and row != own and self._is_same(row)]
        rows = [row for row in found[0] if row != own]
        same = [row for row in rows if self._is_same(row)]
        if self._n_rescored:                    # by their own distances; beyond the candidates by the codes'
            by_code = [distance for row, distance in zip(*found) if row != own and self._is_same(row)]
            order = self._order
            exact = self.field.rescorer.measured_distances(blob, same, by_code, order.n, self.k, order.slack, order.usual)
            same = [row for _, row in sorted(zip(exact, same))]
        lost = max(0, min(self.k, len(rows)) - len(same))       # changed meanwhile: answers that nobody can judge
        n = min(self.k, len(keep)) - lost
        if n <= 0:
            return
        limit = distances[keep[n - 1]]
        limit += 1e-6 * abs(limit) + 1e-12
        true = {int(nearest[i]) for i in keep if distances[i] <= limit}
        served = same[:n]
        right = sum(row in true for row in served)
        if right < len(served) and len(true) == len(keep):      # more at this distance than were kept
            right += sum(distance <= limit for distance in self._distances(blob, [row for row in served if row not in true]))
        self.shares.append(right / n)

    def _distances(self, blob: bytes, rows: list[int]) -> list[float]:
        return self.field.rescorer.exact(blob, rows, [math.inf] * len(rows))

    def reply(self) -> Generator:
        """The work, with VAMANA.RECALL's reply."""
        started = perf_counter()
        yield from self.work()
        recall, low, high = interval(self.shares, self.k)
        return Pairs([(Simple(name), value) for name, value in (
            ("recall", round(recall, 4)), ("low", round(low, 4)), ("high", round(high, 4)), ("k", self.k),
            ("window", self.window),
            ("rerank", self._n_rescored), ("queries", len(self.shares)),
            ("source", Simple("recent queries" if self.is_recent else "documents")), ("exact_by", Simple(self.exact_by)),
            ("ms", round(1000 * (perf_counter() - started), 1)))])


def interval(shares: list[float], k: int) -> tuple[float, float, float]:
    """The mean of the queries' recalls and its 95 % confidence interval: Wilson's, for as many independent answers as have the
    variance that the queries show, at least one and at most k for each."""
    n = len(shares)
    if not n:
        return math.nan, 0.0, 1.0
    mean = float(np.mean(shares))
    variance = float(np.var(shares)) / n
    size = min(max(mean * (1 - mean) / variance, n), n * k) if variance > 0 else n
    z2 = 1.96 ** 2
    centre = (mean + z2 / (2 * size)) / (1 + z2 / size)
    half = math.sqrt(z2 * (mean * (1 - mean) / size + z2 / (4 * size * size))) / (1 + z2 / size)
    return mean, max(0.0, centre - half), min(1.0, centre + half)


# -------------------------------------------------------------------------------------------------------- the running
# estimate

#: Queries that the estimate is made of, and the fewest vectors that a field is probed with.
_KEPT = 256
_FEWEST_VECTORS = 1000
#: Seconds between two rounds, at least; and the share of the loop thread that they may take.
_PERIOD = 60.0
_SHARE = 0.002


class Estimate:
    """What rounds of a few queries found of one field's recall at k = 10."""

    def __init__(self):
        self.shares: deque[float] = deque(maxlen=_KEPT)
        self.measured_at = 0.0                  # time.monotonic() of the last round
        self.next_at = 0.0
        self._state: tuple = ()                 # what recall depends on: codec and window
        self._n_seen = -1                       # searches there were at the last round

    def is_due(self, field, now: float) -> bool:
        """Whether another round would tell something new."""
        stats = field.engine.stats()
        if now < self.next_at or stats["n_vectors"] < _FEWEST_VECTORS or stats["n_tail"] or stats["training"] == "running":
            return False
        state = stats["codec"], stats["window"]
        if state != self._state:
            self._state = state
            self.shares.clear()
        is_new = stats["n_searches"] != self._n_seen or len(self.shares) < _KEPT
        self._n_seen = stats["n_searches"]
        return is_new

    def take(self, shares: list[float], now: float, loop_seconds: float) -> None:
        """Adds a round; the next comes so much later that rounds stay cheap."""
        self.shares.extend(shares)
        self.measured_at = now
        self.next_at = now + max(_PERIOD, loop_seconds / _SHARE)

    def pairs(self) -> list:
        """For FT.INFO: the estimate, its interval, how many queries it is made of and how many seconds old it is."""
        if not self.shares:
            return []
        recall, low, high = interval(list(self.shares), 10)
        return [("recall_estimate", round(recall, 4)), ("recall_low", round(low, 4)), ("recall_high", round(high, 4)),
                ("recall_queries", len(self.shares)), ("recall_age", round(time.monotonic() - self.measured_at, 1))]


def probe(manager) -> None:
    """Starts the next round where one is due; to be called every few seconds."""
    n = manager.server.config["search-recall-probe"]
    if not n or manager.jobs.running or manager.turns.n_pending:
        return
    now = time.monotonic()
    for index in manager.indexes.values():
        for field in index.vector_fields:
            estimate = field.estimate
            if field.algorithm == "FLAT" or not estimate.is_due(field, now):
                continue
            measurement = Measurement(index, field, 10, n)
            spent = [0.0]

            def timed(work, spent=spent) -> Generator:
                result = None
                while True:
                    started = perf_counter()
                    try:
                        piece = work.send(result)
                    except StopIteration:
                        return
                    spent[0] += perf_counter() - started
                    result = yield piece
            estimate.next_at = now + _PERIOD
            manager.jobs.start(index, [field], timed(measurement.work()),
                               lambda _, e=estimate, m=measurement, s=spent: e.take(m.shares, time.monotonic(), s[0]))
            return
