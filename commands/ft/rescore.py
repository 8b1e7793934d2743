"""Rescoring: the best candidates of a search measured again with the original vectors, which the documents hold anyway.

A compressed field finds candidates by its codes; rescoring puts them into their true order and gives their true
distances. How many candidates it takes is measured: sample queries are answered from the codes with many candidates,
all of them are measured exactly, and the number is the place among the codes' order at which (nearly) all of the true
nearest have come. Where the codes' own first k are as good, nothing is rescored.

What lies on disk is read for AUTO only where the codes alone cannot reach the recall that is aimed at (TARGET_RECALL, or 0.95): otherwise
the window, if it is the server's to choose, is chosen so wide that they do. Reading from a disk costs more than a wider window."""
import math
import random
from collections.abc import Generator

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
#: Vectors measured in one call.
_PIECE = 512
#: Fewer vectors than this are not measured.
FEWEST = 1000
#: Until it has been measured: candidates per result, by bits per dimension of the finest code.
GUESSES = ((2, 10.0), (5, 4.0))


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
        self.is_on_disk = False                 # whether the documents' vectors belong on disk
        self.measured_codec = ("", 0)           # and the number of its training
        self.measured_at = 0                    # vectors there were
        self.error = 0.0                        # what hardly any distance by codes is off by
        self.last = (0, 0, 0)                   # of the last search: candidates, rescored, places that changed
        self._chosen: dict[int, int] = {}       # k -> what `_auto` says
        self._share_of: dict[int, float] = {}   # k -> what `_share` says

    def state(self) -> tuple:
        """What has been measured, in plain values."""
        return self.measured, self.shares, self.measured_at, self.error

    def restore(self, state: tuple) -> None:
        """Takes over what was measured of the same vectors."""
        measured, shares, self.measured_at, self.error = state
        self.measured, self.shares = [tuple(pair) for pair in measured], [tuple(pair) for pair in shares]
        stats = self.field.engine.stats()
        self.measured_codec = stats["codec"], stats["n_epochs"]

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

    def plan(self, k: int, window: int, target: float | None, asked=None) -> tuple[int, int]:
        """(candidates to rescore as `candidates` says, the window to search with; 0: the index's own). `window`: what the query says, or
        0; `target`: its TARGET_RECALL, or None."""
        n, engine = self.candidates(k, asked), self.field.engine
        if n and not window and self.is_on_disk and (self.policy if asked is None else asked) == "AUTO":
            aim, share = target or self.field.spec.target_recall or TARGET, self._share(k)
            if share >= aim + MARGIN and self.field.algorithm != "FLAT":
                return 0, engine.window_for(k, min(aim / share, 0.999))
        if target is not None:
            window = engine.window_for(k, target)
        elif n and not window:
            window = engine.default_window(k)
        return n, window

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

    def rescore(self, blob: bytes, rows: list[int], distances: list[float], n: int,
                k: int) -> tuple[list[int], list[float]]:
        """The k nearest of the candidates, ties by row; the first n by their exact distances. One whose original is
        gone, or is not finite, keeps the distance of its code."""
        new = self.exact(blob, rows[:n], distances)
        if len(rows) > n:
            new += distances[n:]
        order = sorted(zip(new, rows))[:k]
        after = [row for _, row in order]
        self.last = (len(rows), min(n, len(rows)), sum(a != b for a, b in zip(after, rows)))
        return after, [distance for distance, _ in order]

    def radius(self, radius: float, asked=None) -> float:
        """How far a range search has to look by codes so that what lies within the radius is among what it finds."""
        return radius + self.error if self.candidates(1, asked) else radius

    def within(self, blob: bytes, rows: list[int], distances: list[float], radius: float, asked=None) -> Generator:
        """Work that returns, of what a range search found, the rows within the radius and their distances (none if the index is dropped
        meanwhile). AUTO measures all of it."""
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
        self.measured, self.measured_at = [], 0
        self._chosen.clear()

    def is_due(self) -> bool:
        """Whether the number of candidates should be measured (again): another codec, or half as many vectors more."""
        if self.field.spec.compression is None or self.policy != "AUTO":
            return False
        stats = self.field.engine.stats()
        n = stats["n_vectors"]
        if n < FEWEST or stats["training"] == "running" or stats["n_tail"] > n // 10:
            return False
        return (stats["codec"], stats["n_epochs"]) != self.measured_codec or n >= 1.5 * self.measured_at or n < self.measured_at // 4

    def measure(self) -> Generator:
        """Measures in small pieces; to be run in the background."""
        stats = self.field.engine.stats()
        codec, n_vectors = (stats["codec"], stats["n_epochs"]), stats["n_vectors"]
        queries = list(self._queries())
        found, shares, errors = [], [], []
        for k, wide in MEASURED:
            if n_vectors < 2 * wide or not queries:
                break
            places = []
            for blob in queries:
                yield
                if not self.field.is_open:
                    return
                rows, by_code = self.field.engine.search_blob(blob, wide)
                exact = self.exact(blob, rows, by_code)
                errors.append(np.abs(np.subtract(exact, by_code)))
                order = sorted(zip(exact, rows, range(1, len(rows) + 1)))
                places += [place for _, _, place in order[:k]]
            found.append((k, enough(places, k)))
            shares.append((k, float(np.mean(np.array(places) <= k)) if places else 0.0))
        self.measured_codec, self.measured_at = codec, n_vectors
        if found:
            self.measured, self.shares = found, shares
            self.error = float(np.quantile(np.concatenate(errors), COVERAGE))
            self._chosen.clear()
            self._share_of.clear()

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
    at = np.sort(np.array(places))
    if not len(at) or np.mean(at <= k) >= GOOD_ENOUGH:
        return 0
    return max(k + 1, int(at[min(len(at) - 1, math.ceil(COVERAGE * len(at)) - 1)]))
