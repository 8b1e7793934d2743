"""VAMANA.TUNE: what each compression would make of a field, tried on a sample of its vectors beside the traffic."""
from collections.abc import Generator
from time import perf_counter, thread_time

import numpy as np

import native
from respserver.protocol.reply import Pairs, Simple
from respserver.registry import command

from .. import errors
from ..errors import fail
from ..fields.vector import engine_options
from ..options import Words
from ..plan import refusal, row_array
from ..rescore import enough
from .arguments import find_field, read_number, read_options

DEFAULT_SAMPLE, MAX_SAMPLE = 10_000, 50_000
MAX_K = 100
#: Fewer vectors than this tell nothing.
FEWEST = 500
#: What the sample's vectors may take, as clients send them. Bytes.
_SAMPLE_BYTES = 192 << 20
LEVELS = (0.90, 0.95, 0.99)
#: Queries that are asked; with fewer recent ones than the latter, vectors that are left out of the sample.
_MOST_QUERIES, _FEWEST_RECENT = 300, 50
#: Windows that are tried, until they find no more.
_WINDOWS = (10, 12, 14, 17, 20, 24, 28, 34, 40, 56, 80, 112, 160, 240)
#: Results per k among which what rescoring would find is looked for.
_WIDE = 32
#: Rows read in one piece on the loop thread, in bytes; vectors handed over in one piece; seconds waited for the engine in one
#: piece.
_READ_BYTES = 192 << 10
_ADDED = 512
_WAIT = 0.05
#: Searches whose rescoring is timed on the loop thread.
_TIMED = 8
#: Queries without which a projection is not learnt from queries.
_FEWEST_LEARNT = 200
#: The time of a setting is the least of so many measurements.
_REPEATED = 3


@command("VAMANA.TUNE", arity=-3, group="search", since="8.10.0", flags="readonly no_multi", categories="read",
         summary="Tries every compression on a sample of a vector field: recall, bytes, time and build rate of each, beside "
                 "the traffic",
         complexity="O(SAMPLE)")
def vamana_tune(client, name, field_name, *words):
    index, field = find_field(client, name, field_name)
    allowed = {"K": (1, MAX_K), "SAMPLE": (FEWEST, MAX_SAMPLE)}
    values = read_options(Words(words), {"K": 10, "SAMPLE": DEFAULT_SAMPLE},
                          lambda cursor, option: read_number(cursor, option, *allowed[option]))
    jobs = client.server.search.jobs
    return jobs.reply(index, [field], Tuning(jobs, index, field, values["K"], values["SAMPLE"]).reply())


class Trial:
    """What one compression made of the sample."""

    def __init__(self, compression: str | None, n_bytes: int, index_bytes: int, build_rate: float):
        self.compression, self.n_bytes, self.index_bytes, self.build_rate = compression, n_bytes, index_bytes, build_rate
        self.rerank = 0                                         # candidates to rescore; 0: there is nothing to gain
        self.ceilings = [0.0, 0.0]                              # recall at best: by the codes, rescored
        self.curves: list[list[tuple[float, float]]] = [[], []]     # (recall, us of a query) by window: by the codes, rescored

    def us_at(self, recall: float, is_rescored: bool) -> float | None:
        """Microseconds of a query at a recall, between what was measured; None where it was not reached."""
        before = None
        for r, us in self.curves[is_rescored]:
            if r >= recall:
                if before is None or r <= before[0]:
                    return us
                return before[1] + (us - before[1]) * (recall - before[0]) / (r - before[0])
            before = r, us
        return None

    def pairs(self) -> list:
        pairs = [("compression", Simple(self.compression or "NO_COMPRESSION")), ("bytes_per_vector", self.n_bytes),
                 ("index_bytes", self.index_bytes), ("build_rate", round(self.build_rate))]
        for is_rescored, prefix in ((False, ""), (True, "rerank_")):
            if is_rescored:
                pairs.append(("rerank", self.rerank))
                if not self.rerank:
                    break
            pairs.append((prefix + "recall_at_best", round(self.ceilings[is_rescored], 4)))
            for level in LEVELS:
                us = self.us_at(level, is_rescored)
                pairs.append((f"{prefix}us_at_{level:.2f}", None if us is None else round(us, 1)))
        return pairs


class Tuning:
    """One comparison of all compressions for a field.

    A sample of its vectors is indexed once for each, with the field's own graph and training, by the engine's threads at low
    priority. Recall is counted against the sample's exact nearest; time is processor time of searches on one thread, one behind
    the other, and of rescoring from the documents. In an index of many times the sample's size recall is lower and time longer,
    for all of them."""

    def __init__(self, jobs, index, field, k: int, sample: int):
        self.jobs, self.index, self.field, self.k = jobs, index, field, k
        self.target = field.spec.target_recall or 0.95
        live = row_array(index.docs.live)
        n = min(sample, len(live), max(FEWEST, _SAMPLE_BYTES // field.spec.blob_size))
        self._rows = np.random.default_rng().choice(live, n, replace=False)
        self.n_live = len(live)
        recent = list(dict.fromkeys(field.recent))
        self.is_recent = len(recent) >= _FEWEST_RECENT
        self._recent = recent[-_MOST_QUERIES:] if self.is_recent else []
        self._learnt_from = recent[:-_MOST_QUERIES]             # what a projection for queries may learn from
        self.trials: list[Trial] = []

    def reply(self) -> Generator:
        """The work, with the command's reply; for a Job."""
        started = perf_counter()
        vectors, rows = yield from self._read()
        if self._recent:
            queries = np.frombuffer(b"".join(self._recent), vectors.dtype).reshape(len(self._recent), -1)
        else:
            n = min(_MOST_QUERIES, len(vectors) // 10)
            queries, vectors, rows = vectors[:n], vectors[n:], rows[n:]
        if len(vectors) < FEWEST // 2:
            raise fail(errors.TUNE_FEW, len(vectors), FEWEST)
        try:
            exact = yield from self._exact(vectors, queries)
            for compression in (None, *native.COMPRESSIONS):
                yield from self._try(compression, vectors, queries, exact, rows)
        except native.NativeError as error:
            raise refusal(error) from None
        return self._shown(len(vectors), len(queries), perf_counter() - started)

    def _read(self) -> Generator:
        """The sample's vectors (n, dim) and their rows."""
        spec = self.field.spec
        vectors = np.empty((len(self._rows), spec.dim), native.DTYPES[spec.dtype][1])
        rows, step, n = [], max(1, _READ_BYTES // spec.blob_size), 0
        for at in range(0, len(self._rows), step):
            some = self._rows[at:at + step].tolist()
            blobs = [(row, blob) for row, blobs in zip(some, self.field.rescorer.all_originals(some))
                     for blob in blobs][:len(vectors) - n]
            values = np.frombuffer(b"".join([blob for _, blob in blobs]), vectors.dtype)
            vectors[n:n + len(blobs)] = values.reshape(len(blobs), -1)
            rows += [row for row, _ in blobs]
            n += len(blobs)
            yield
        return vectors[:n], rows

    def _exact(self, vectors, queries) -> Generator:
        """The rows of the sample that are nearest to each query: (n, k)."""
        spec = self.field.spec
        flat = native.Index(spec.dim, metric=spec.metric, dtype=spec.dtype, algorithm="FLAT")
        try:
            for at in range(0, len(vectors), _ADDED):
                yield lambda at=at: flat.add(np.arange(at, min(at + _ADDED, len(vectors))), vectors[at:at + _ADDED])
            found = []
            for at in range(0, len(queries), 32):
                found.append((yield lambda at=at: flat.search(queries[at:at + 32], self.k)[0]))
            return np.concatenate(found)
        finally:
            self._dispose(flat)

    def _try(self, compression, vectors, queries, exact, rows) -> Generator:
        spec = self.field.spec
        options = engine_options(spec) | {"compression": compression, "training_threshold": len(vectors) // 2}
        needs_reduce = bool(compression) and native.COMPRESSIONS[compression]["needs_reduce"]
        options = {name: value for name, value in options.items() if needs_reduce or name not in ("reduce", "reduction")}
        if spec.algorithm != "FLAT":
            options["search_window_size"] = _WINDOWS[0]         # one that is given is not calibrated
        engine = native.Index(spec.dim, metric=spec.metric, dtype=spec.dtype, algorithm=spec.algorithm, **options)
        try:
            half = len(vectors) // 2
            yield from self._fill(engine, vectors[:half])
            before = engine.stats()
            if options.get("reduction") == "OOD" and len(self._learnt_from) >= _FEWEST_LEARNT:
                learnt = np.frombuffer(b"".join(self._learnt_from), vectors.dtype).reshape(len(self._learnt_from), -1)
                yield lambda: (engine.search(learnt, 1), engine.retrain(reduction="OOD"))
                yield from self._settle(engine)
            seconds = yield from self._fill(engine, vectors[half:], half)
            stats = engine.stats()
            index_bytes = native.estimate(self.n_live, spec.dim, spec.metric, spec.dtype, spec.algorithm,
                                          **options | {"training_threshold": spec.training_threshold or 1})
            trial = Trial(compression, stats["code_bytes"] + stats["residual_bytes"],
                          sum(index_bytes[part] for part in native.PARTS),
                          (len(vectors) - half) / (seconds + _link_seconds(stats) - _link_seconds(before)))
            wide = min(_WIDE * self.k, len(vectors))
            # so wide that it scans: all by their codes
            found = yield lambda: engine.search(queries, wide, window=len(vectors))[0]
            places = yield lambda: _places(found, exact, len(vectors))
            trial.ceilings[0] = float((places < self.k).mean())
            trial.rerank = enough((1 + places.ravel()).tolist(), self.k) if compression else 0
            per_rescoring = 0.0
            if trial.rerank:
                trial.ceilings[1] = float((places < trial.rerank).mean())
                per_rescoring = yield from self._time_rescoring(queries, found, trial.rerank, rows)
            for is_rescored in (False, True) if trial.rerank else (False,):
                yield from self._climb(engine, trial, queries, exact, is_rescored, per_rescoring)
            self.trials.append(trial)
        finally:
            self._dispose(engine)

    def _fill(self, engine, vectors, first: int = 0) -> Generator:
        """Adds vectors, waits until they are linked; the seconds of processor time that adding took."""
        def add(at: int) -> float:
            started = thread_time()
            some = vectors[at:at + _ADDED]
            engine.add(np.arange(first + at, first + at + len(some)), some)
            return thread_time() - started
        seconds = 0.0
        for at in range(0, len(vectors), _ADDED):
            seconds += yield lambda at=at: add(at)
        yield from self._settle(engine)
        return seconds

    @staticmethod
    def _settle(engine) -> Generator:
        while not (yield lambda: engine.wait(_WAIT)):
            pass

    def _climb(self, engine, trial, queries, exact, is_rescored: bool, per_rescoring: float) -> Generator:
        """Fills the curve, smallest window first, as far as it rises."""
        k = trial.rerank if is_rescored else self.k
        curve, n = trial.curves[is_rescored], len(engine)

        def ask(window) -> tuple:
            times = []
            for _ in range(_REPEATED):
                started = thread_time()
                labels = engine.search(queries, k, window=window)[0]
                times.append(thread_time() - started)
            return float((_places(labels, exact, n) < k).mean()), 1e6 * min(times) / len(queries)
        for window in _WINDOWS if self.field.algorithm != "FLAT" else (0,):
            recall, us = yield lambda window=window: ask(window)
            curve.append((recall, us + (per_rescoring if is_rescored else 0)))
            if recall >= max(LEVELS[-1], self.target) or (len(curve) > 3 and recall - curve[-4][0] < 0.001 and window > self.k):
                break

    def _time_rescoring(self, queries, found, n: int, rows) -> Generator:
        """Microseconds that scoring n candidates again takes, their vectors read from the documents."""
        times = []
        for i in range(min(_TIMED, len(queries))):
            candidates = [rows[j] for j in found[i, :n].tolist() if j >= 0]
            blob = queries[i].tobytes()
            for at in range(0, len(candidates), 64):            # short pieces: this is the loop thread
                some = candidates[at:at + 64]
                started = thread_time()
                self.field.rescorer.exact(blob, some, [0.0] * len(some))
                times.append((thread_time() - started) / len(some))
                yield
        return 1e6 * n * float(np.median(times)) if times else 0.0

    def _dispose(self, engine) -> None:
        """Frees a trial's index without waiting: it may be training."""
        try:
            self.jobs.threads.submit(engine.close)
        except RuntimeError:                    # the server ends
            engine.close()

    def _best(self, key) -> tuple:
        """The trial, and how many candidates it rescores, that reaches the target with the least of `key`(trial, us)."""
        reached = [(key(trial, us), i, trial, trial.rerank if is_rescored else 0) for i, trial in enumerate(self.trials)
                   for is_rescored in (False, True) if (us := trial.us_at(self.target, is_rescored)) is not None]
        return min(reached, default=(None, None, None, 0))[2:]

    def _shown(self, n_vectors: int, n_queries: int, seconds: float) -> Pairs:
        pairs = [("vectors", n_vectors), ("queries", n_queries),
                 ("source", Simple("recent queries" if self.is_recent else "documents")), ("k", self.k),
                 ("target_recall", float(self.target))]
        for name, key in (("smallest", lambda trial, us: (trial.n_bytes, us)),
                          ("fastest", lambda trial, us: (us, trial.n_bytes))):
            trial, rerank = self._best(key)
            pairs += [(name, Simple(trial.compression or "NO_COMPRESSION") if trial else None), (name + "_rerank", rerank)]
        pairs += [("compressions", [Pairs([(Simple(name), value) for name, value in trial.pairs()]) for trial in self.trials]),
                  ("ms", round(1000 * seconds, 1))]
        return Pairs([(Simple(name), value) for name, value in pairs])


def _link_seconds(stats: dict) -> float:
    """Processor time that linking took so far."""
    return stats["n_linked"] / stats["build_rate"] if stats["build_rate"] else 0.0


def _places(found: np.ndarray, exact: np.ndarray, n: int) -> np.ndarray:
    """Where each of the exact labels, all below n, stands among those found, -1 for none: counted from 0, n where it does not."""
    places, place = np.empty_like(exact), np.full(n + 1, n)
    for labels, wanted, out in zip(found, exact, places):
        place[labels] = np.arange(len(labels))
        place[-1] = n
        out[:] = place[wanted]
        place[labels] = n
    return places
