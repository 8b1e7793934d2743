"""Rescoring: the best candidates of a search measured again with the original vectors, which the documents hold anyway.

A compressed field finds candidates by its codes; rescoring puts them into their true order and gives their true
distances. How many candidates it takes is measured: sample queries are answered from the codes with many candidates,
all of them are measured exactly, and the number is the place among the codes' order at which (nearly) all of the true
nearest have come. Where the codes' own first k are as good, nothing is rescored.

Of these candidates, what comes late is seldom near: they are measured in the order of their codes' distances until the next one's
is so far beyond the k-th nearest that hardly any true one lies there. How far that is, is measured likewise, in errors of the
codes' distances (see native/src/rescore.h). And of those that are far down by their codes a walk comes past most without looking
for them: the window is as wide as the recall asks for that is measured with rescoring, where it would have to be as wide as there
are candidates otherwise.

What lies on disk is read for AUTO only where the codes alone cannot reach the recall that is aimed at (TARGET_RECALL, or 0.95):
otherwise the window, if it is the server's to choose, is chosen so wide that they do. Reading from a disk costs more than a wider
window."""
import math
import random
from array import array
from bisect import bisect_right
from collections.abc import Generator
from heapq import nlargest
from itertools import accumulate
from typing import NamedTuple

import numpy as np

import native

from respserver.values.slots import slot_of, store_of

from .originals import blobs_of, distances_on_disk, held
from .sources import HashSource, held_json, json_blobs

#: The share of the true nearest that must be among the candidates.
COVERAGE = 0.998
#: With this share among the codes' own first k there is nothing to do.
GOOD_ENOUGH = 0.995
#: Queries that a measurement asks.
N_QUERIES = 200
#: What is aimed at where nobody has said it, as in the engine.
TARGET = 0.95
#: The share of the true nearest that the codes find must be so much above what is aimed at: it is measured on a sample.
MARGIN = 0.005
#: Results for which it is done, and candidates looked at for each.
MEASURED = ((1, 64), (10, 320), (100, 800))
#: The share of the true nearest that is to lie within the slack.
WITHIN = 0.995
#: Windows whose recall is measured with rescoring, and the k of that.
WINDOWS, WINDOWS_K = (10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 68, 80, 96, 112, 136, 160, 192, 224, 272, 320), 10
#: Such a window is to find this share of what may be missed more than is aimed at, for it is measured on a sample;
#: at least so much.
SAFETY, LEAST_SAFETY = 0.15, 0.004
#: Errors kept of a measurement: more than 1 - COVERAGE of all.
_GREATEST = 512
#: Vectors measured in one call.
_PIECE = 512
#: Fewer vectors than this are not measured.
FEWEST = 1000
#: Until it has been measured: candidates per result, by bits per dimension of the finest code.
GUESSES = ((2, 10.0), (5, 4.0))


class Order(NamedTuple):
    """What a search is to do: `n` candidates to rescore at most (0: none), the window to search with (0: the index's own), for
    how many of the candidates it is to be wide enough (0: all), the slack of Ruler.rescore, and how many are usually measured
    then."""
    n: int = 0
    window: int = 0
    sure: int = 0
    slack: float = math.inf
    usual: int = 0


NOTHING = Order()


class Rescorer:
    """Rescoring of one vector field. `policy`: "AUTO", "OFF", or the number of candidates."""

    def __init__(self, docs, field, source=HashSource):
        spec = field.spec
        self.docs = docs
        self.field = field
        self.source = source
        self.policy = spec.rerank
        self.path = spec.path
        self.blob_bytes = spec.blob_size
        self.ruler = native.Ruler(spec.dim, spec.metric, spec.dtype)
        #: (k, candidates) as measured, k ascending; a 0: nothing to do.
        self.measured: list[tuple[int, int]] = []
        self.shares: list[tuple[int, float]] = []   # (k, share of the true nearest among the codes' own first k)
        self.slacks: list[tuple[int, float, float]] = []    # (k, slack, how many are measured then on average)
        self.windows: list[tuple[int, float]] = []  # (window, recall with rescoring), both ascending; empty: not measured
        self.is_on_disk = False                 # whether the documents' vectors belong on disk
        self.measured_codec = ("", 0)           # and the number of its training
        self.measured_at = 0                    # vectors there were
        self.error = 0.0                        # what hardly any distance by codes is off by
        self.last = (0, 0, 0)                   # of the last search: candidates, rescored, places that changed
        self._chosen: dict[int, int] = {}       # k -> what `_auto` says
        self._share_of: dict[int, float] = {}   # k -> what `_share` says
        self._slack_of: dict[int, tuple] = {}   # k -> what `_slack` says

    def state(self) -> tuple:
        """What has been measured, in plain values."""
        return self.measured, self.shares, self.measured_at, self.error, self.slacks, self.windows

    def restore(self, state: tuple) -> None:
        """Takes over what was measured of the same vectors."""
        measured, shares, self.measured_at, self.error, *more = state
        slacks, windows = more or ((), ())          # images had none before
        self.measured, self.shares, self.slacks, self.windows = (
            [tuple(one) for one in found] for found in (measured, shares, slacks, windows))
        stats = self.field.engine.stats()
        self.measured_codec = stats["codec"], stats["n_epochs"]

    @property
    def _has_window(self) -> bool:
        """Whether FT.CREATE has said which window to search with."""
        return bool(self.field.spec.search_window_size) or self.field.spec.ef_runtime != 10

    # ------------------------------------------------------------------------------------------------- how many

    def candidates(self, k: int, asked=None) -> int:
        """How many candidates a search for k is to rescore: 0, or at least k. `asked`: what the query says: None,
        "AUTO", "OFF", a number of candidates, or a float: so many times k."""
        if asked is None:
            asked = self.policy
        if asked == "OFF" or not k:
            return 0
        if asked == "AUTO":
            if self.field.spec.compression is None:
                return 0
            n = self._chosen.get(k)
            if n is None:
                if len(self._chosen) > 1000:
                    self._chosen.clear()
                n = self._chosen[k] = self._auto(k)
            return n
        return max(k, math.ceil(asked * k) if type(asked) is float else asked)

    def _auto(self, k: int) -> int:
        if not self.measured:
            bits = native.COMPRESSIONS[self.field.spec.compression]["bits"]
            factor = next((factor for most, factor in GUESSES if bits < most), 0)
            return math.ceil(factor * k)
        if all(not n for _, n in self.measured):
            return 0
        ks = [math.log(at) for at, _ in self.measured]
        ratios = [math.log(max(n / at, 1)) for at, n in self.measured]
        return math.ceil(k * math.exp(float(np.interp(math.log(k), ks, ratios))) - 1e-6)

    def plan(self, k: int, window: int, target: float | None, asked=None) -> Order:
        """`window`: what the query says, or 0; `target`: its TARGET_RECALL, or None; `asked`: as in `candidates`."""
        n, engine = self.candidates(k, asked), self.field.engine
        is_auto = n and (self.policy if asked is None else asked) == "AUTO"
        if is_auto and not window and self.is_on_disk:
            aim, share = target or self.field.spec.target_recall or TARGET, self._share(k)
            if share >= aim + MARGIN and self.field.algorithm != "FLAT":
                return Order(0, engine.window_for(k, min(aim / share, 0.999)))
        is_chosen = target is not None or (n and not window and not self._has_window)
        if target is not None:
            window = engine.window_for(k, target)
        elif n and not window:
            window = engine.default_window(k)
        if not is_auto or not self.slacks:
            return Order(n, window)
        slack, usual = self._slack(k)
        wide = self._window(k, target or self.field.spec.target_recall or TARGET) if is_chosen and window < n else n
        if wide >= n:
            return Order(n, window, 0, slack, usual)
        return Order(n, max(window, wide), k, slack, usual)

    def _slack(self, k: int) -> tuple[float, int]:
        """(slack, how many are usually measured) for k results."""
        found = self._slack_of.get(k)
        if found is None:
            if len(self._slack_of) > 1000:
                self._slack_of.clear()
            ks = [math.log(at) for at, _, _ in self.slacks]
            slack = float(np.interp(math.log(k), ks, [slack for _, slack, _ in self.slacks]))
            ratio = float(np.interp(math.log(k), ks, [math.log(max(n / at, 1)) for at, _, n in self.slacks]))
            found = self._slack_of[k] = slack, math.ceil(k * math.exp(ratio))
        return found

    def _window(self, k: int, target: float) -> int:
        """The window that finds this share of the k nearest, rescored, whatever lies far down by its code; more than there are
        candidates if none was measured that does."""
        aim = target + max(SAFETY * (1 - target), LEAST_SAFETY)
        at, share = next(((i, share) for i, (_, share) in enumerate(self.windows) if share >= aim), (0, 0.0))
        if not share:
            return 1 << 32
        window = self.windows[at][0]
        if at:
            before, less = self.windows[at - 1]
            window = math.ceil(before + (window - before) * (aim - less) / (share - less))
        return window + max(0, k - WINDOWS_K) * 5 // 4

    def _share(self, k: int) -> float:
        """The share of the k nearest that the codes' own first k hold; 0 before it is measured."""
        if not self.shares:
            return 0.0
        share = self._share_of.get(k)
        if share is None:
            if len(self._share_of) > 1000:
                self._share_of.clear()
            share = float(np.interp(math.log(k), [math.log(at) for at, _ in self.shares], [share for _, share in self.shares]))
            self._share_of[k] = share
        return share

    # ------------------------------------------------------------------------------------------------- rescoring

    def originals(self, rows: list[int]) -> list[bytes | memoryview | None]:
        """The documents' own vectors; None where a document, its field or a vector of the right size is gone."""
        if self.field.spec.is_multi:
            return [found[0] if len(found) == 1 else None for found in json_blobs(self.docs.values, self.field.spec, rows)]
        return blobs_of(*self._held(rows), self.blob_bytes)

    def _held(self, rows: list[int]) -> tuple[list[bytes | None], list[int]]:
        """As originals.held, for documents of either kind."""
        if self.source.is_json:
            return held_json(self.docs.values, self.field.spec, rows)
        return held(self.docs.values, self.path, rows)

    def all_originals(self, rows: list[int]) -> list[list[bytes | memoryview]]:
        """Likewise, where a document may have several: those of each row, in the order in which they were indexed."""
        if self.source.is_json:
            return json_blobs(self.docs.values, self.field.spec, rows)
        return [[] if blob is None else [blob] for blob in self.originals(rows)]

    def find_places(self, rows: list[int]) -> bool:
        """Takes down where the documents' own vectors are; False if they are made anew each time."""
        places, width = self.field.places, self.blob_bytes
        found, refs = self._held(rows)
        if self.source.is_json and len(refs) + found.count(None) < len(found):
            return False
        for i in refs:
            store = store_of(found[i])
            if store.width == width:
                places.put_slot(rows[i], store.reader, slot_of(found[i]))
            else:
                places.put(rows[i], None)
        in_file = set(refs)
        for i, (row, raw) in enumerate(zip(rows, found)):
            if i not in in_file:
                places.put(row, raw if raw is not None and len(raw) == width else None)
        return True

    def rescore(self, blob: bytes, rows: list[int], distances: list[float], n: int, k: int, slack: float = math.inf,
                usual: int = 0) -> tuple[list[int], list[float]]:
        """The k nearest of the candidates, ties by row; the first n by their exact distances. One whose original is
        gone, or is not finite, keeps the distance of its code. slack: as in Ruler.rescore, distances
        ascending; usual: as in Order."""
        new = self.measured_distances(blob, rows, distances, n, k, slack, usual)
        n_measured = min(n, len(rows), len(new))
        order = sorted(zip(new, rows))[:k]
        after = [row for _, row in order]
        self.last = (len(rows), n_measured, sum(a != b for a, b in zip(after, rows)))
        return after, [distance for distance, _ in order]

    def measured_distances(self, blob: bytes, rows: list[int], distances: list[float], n: int, k: int, slack: float = math.inf,
                           usual: int = 0) -> list[float]:
        """The distances by which `rescore` orders: of all rows, or of the first few, beyond which none comes
        among the k nearest."""
        if slack == math.inf:
            return self.exact(blob, rows[:n], distances) + distances[n:]
        n, new, by_code = min(n, len(rows)), [], native.as_doubles(distances)
        while (end := native.rescore_reach(by_code, new, n, k, slack)) > len(new):
            end, start = min(n, max(end, usual)), len(new)
            new += self.exact(blob, rows[start:end], distances[start:end])
        return new

    def radius(self, radius: float, asked=None) -> float:
        """How far a range search has to look by codes so that what lies within the radius is among what it finds."""
        return radius + self.error if self.candidates(1, asked) else radius

    def within(self, blob: bytes, rows: list[int], distances: list[float], radius: float, asked=None) -> Generator:
        """Work that returns, of what a range search found, the rows within the radius and their distances (none if the index is
        dropped meanwhile). AUTO measures all of it."""
        n = self.candidates(1, asked)
        if not n:
            return rows, distances
        if (self.policy if asked is None else asked) == "AUTO":
            n = len(rows)
        elif n < len(rows):
            nearest = sorted(zip(distances, rows))
            rows, distances = [row for _, row in nearest], [distance for distance, _ in nearest]
        new = []
        for at in range(0, n, _PIECE):
            if at:
                yield
                if not self.field.is_open:
                    return [], []
            end = min(at + _PIECE, n)
            new += self.exact(blob, rows[at:end], distances[at:end])
        new += distances[n:]
        order = sorted((distance, row) for distance, row in zip(new, rows) if distance <= radius)
        after = [row for _, row in order]
        self.last = (len(rows), min(n, len(rows)), sum(a != b for a, b in zip(after, rows)))
        return after, [distance for distance, _ in order]

    def exact(self, blob: bytes, rows: list[int], distances: list[float]) -> list[float]:
        """The exact distances of rows; those of their codes where there is none."""
        if self.field.spec.is_multi:
            return self._measured_multi(blob, rows, distances)
        new = []
        for start in range(0, len(rows), _PIECE):
            part, exact = rows[start:start + _PIECE], None
            found, refs = self._held(part)
            exact = distances_on_disk(found, refs, self.blob_bytes, self.ruler, blob)
            vectors = blobs_of(found, refs, self.blob_bytes) if exact is None else ()
            if exact is not None:
                there = range(start, start + len(part))
            else:
                there = [i for i, one in enumerate(vectors, start) if one is not None]
                if len(there) < len(vectors):
                    vectors = [one for one in vectors if one is not None]
                exact = self.ruler.distances(blob, b"".join(vectors), len(vectors))
            if len(there) == min(_PIECE, len(rows) - start) and not any(map(math.isnan, exact)):
                new += exact
                continue
            piece = distances[start:min(start + _PIECE, len(rows))]
            for i, distance in zip(there, exact):
                if distance == distance:
                    piece[i - start] = distance
            new += piece
        return new

    def _measured_multi(self, blob: bytes, rows: list[int], distances: list[float]) -> list[float]:
        """Likewise, where a row may have several vectors: the distance of the nearest of them."""
        new = []
        for start in range(0, len(rows), _PIECE):
            of_rows = self.all_originals(rows[start:start + _PIECE])
            flat = [one for found in of_rows for one in found]
            exact = iter(self.ruler.distances(blob, b"".join(flat), len(flat)) if flat else ())
            for found, by_code in zip(of_rows, distances[start:]):
                nearest = min((next(exact) for _ in found), default=by_code)
                new.append(nearest if nearest == nearest else by_code)
        return new

    # ------------------------------------------------------------------------------------------------- measuring

    def start_over(self) -> None:
        """Forgets what was measured: the codes, or what they are of, have changed."""
        self.measured, self.measured_at, self.slacks, self.windows = [], 0, [], []
        self._chosen.clear()

    def is_due(self) -> bool:
        """Whether the number of candidates should be measured (again): another codec, or half as many vectors more."""
        if self.field.spec.compression is None or self.policy != "AUTO":
            return False
        stats = self.field.engine.stats()
        n = stats["n_vectors"]
        if n < FEWEST or stats["training"] == "running" or stats["n_tail"] > n // 10:
            return False
        return ((stats["codec"], stats["n_epochs"]) != self.measured_codec or n >= 1.5 * self.measured_at
                or n < self.measured_at // 4)

    def measure(self) -> Generator:
        """Measures in small pieces; to be run in the background."""
        stats = self.field.engine.stats()
        codec, n_vectors = (stats["codec"], stats["n_epochs"]), stats["n_vectors"]
        queries = list(self._queries())
        found, shares, slacks, windows, errors, n_errors = [], [], [], [], [], 0
        for k, wide in MEASURED:
            if n_vectors < 2 * wide or not queries:
                break
            places, late = [], Lateness(k)
            for blob in queries:
                yield
                if not self.field.is_open:
                    return
                rows, by_code = self.field.engine.search_blob(blob, wide)
                exact = self.exact(blob, rows, by_code)
                errors = nlargest(_GREATEST, errors + [abs(a - b) for a, b in zip(exact, by_code)])
                n_errors += len(rows)
                order = sorted(zip(exact, rows, range(1, len(rows) + 1)))
                places += [place for _, _, place in order[:k]]
                late.add(by_code, exact, [place - 1 for _, _, place in order[:k]])
            found.append((k, enough(places, k)))
            shares.append((k, sum([place <= k for place in places]) / max(len(places), 1)))
            if late.is_known:
                slacks.append((k, *late.slack()))
        n, slack = dict(found).get(WINDOWS_K), {k: slack for k, slack, _ in slacks}.get(WINDOWS_K)
        if n and slack is not None and self.field.algorithm != "FLAT" and not self.field.spec.is_multi:
            windows = yield from self._measure_windows(n, slack)
            if not self.field.is_open:
                return
        self.measured_codec, self.measured_at = codec, n_vectors
        if found:
            self.measured, self.shares, self.windows = found, shares, windows
            self.slacks = slacks if not self.field.spec.is_multi else []
            self.error = errors[min(math.floor((1 - COVERAGE) * n_errors), len(errors) - 1)]
            self._chosen.clear()
            self._share_of.clear()
            self._slack_of.clear()

    def _measure_windows(self, n: int, slack: float) -> Generator:
        """Work that returns (window, recall) for windows below n, searched for documents as if they were not stored."""
        k, wide = WINDOWS_K, dict(MEASURED)[WINDOWS_K]
        windows = [window for window in WINDOWS if window < n]
        right, asked = [0] * len(windows), 0
        live, engine = self.docs.live, self.field.engine
        rng = random.Random(2)
        for _ in range(N_QUERIES):
            yield
            if not self.field.is_open or not len(live):
                return []
            own = live[rng.randrange(len(live))]
            blob = self.originals([own])[0]
            if blob is None:
                continue
            blob = bytes(blob)
            rows, by_code = engine.search_without(blob, own, wide)
            exact = self.exact(blob, rows, by_code)
            nearest = sorted(zip(exact, rows))[:k]
            if len(nearest) < k:
                continue
            asked += k
            true, last = {row for _, row in nearest}, nearest[-1][0] + slack * scale_of(by_code, exact, k)
            for i, window in enumerate(windows):
                found = engine.search_without(blob, own, n, window, k)
                right[i] += sum([row in true and away <= last for row, away in zip(*found)])
        return list(zip(windows, accumulate([one / asked for one in right], max))) if asked else []

    def _queries(self):
        """Vectors that nobody has stored, near to those that somebody has: 0.7 of one document's, 0.3 of another's."""
        spec = self.field.spec
        live = self.docs.live
        n = len(live)
        if n < 2:
            return
        rng = random.Random(1)                  # numpy's would be the only use of a module of some megabytes
        for _ in range(N_QUERIES):
            of_rows = self.all_originals([live[rng.randrange(n)], live[rng.randrange(n)]])
            if all(of_rows):
                yield _mixed([rng.choice(blobs) for blobs in of_rows], spec.dtype)


def _mixed(blobs: list[bytes], dtype: str) -> bytes:
    kind = native.DTYPES[dtype][1]
    if dtype == "BFLOAT16":
        x, y = ((np.frombuffer(blob, kind).astype("<u4") << 16).view("<f4") for blob in blobs)
        return ((0.7 * x + 0.3 * y).astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    x, y = (np.frombuffer(blob, kind).astype(np.float64) for blob in blobs)
    mixed = 0.7 * x + 0.3 * y
    return (np.rint(mixed) if dtype in ("INT8", "UINT8") else mixed).astype(kind).tobytes()


def enough(places: list[int], k: int) -> int:
    """The number of candidates that holds COVERAGE of the places; 0 if k are good enough."""
    at = sorted(places)
    if not at or bisect_right(at, k) >= GOOD_ENOUGH * len(at):
        return 0
    return max(k + 1, int(at[math.ceil(COVERAGE * len(at)) - 1]))


def scale_of(by_code: list[float], exact: list[float], k: int) -> float:
    """The error of the first distances by codes, as native/src/rescore.h has it."""
    first = max(k + 8, 24)
    off = [a - b for a, b in zip(by_code[:first], exact)]
    mean = sum(off) / len(off)
    return sum([abs(one - mean) for one in off]) / len(off)


class Lateness:
    """How far beyond the k-th nearest the true nearest lie by their codes, in errors of the codes."""

    def __init__(self, k: int):
        self.k = k
        self._needed: list[float] = []
        self._seen: list[tuple] = []                # (distances by codes, the k-th exact one, scale) of each query

    def add(self, by_code: list[float], exact: list[float], nearest: list[int]) -> None:
        """What one query has found; nearest: at which places the k nearest are, nearest first."""
        if len(nearest) < self.k:
            return
        last, scale = exact[nearest[-1]], scale_of(by_code, exact, self.k)
        self._needed += [max(by_code[at] - last, 0.0) / scale if scale else 0.0 for at in nearest]
        self._seen.append((array("d", by_code), last, scale))

    @property
    def is_known(self) -> bool:
        """Whether any query has found enough."""
        return bool(self._seen)

    def slack(self) -> tuple[float, float]:
        """The slack that WITHIN of them have room in, and how many candidates are then measured on average."""
        needed = sorted(self._needed)
        slack = needed[math.ceil(WITHIN * len(needed)) - 1]
        counts = [bisect_right(by_code, last + slack * scale) for by_code, last, scale in self._seen]
        return slack, max(sum(counts) / len(counts), self.k)
