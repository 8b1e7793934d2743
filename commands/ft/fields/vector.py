"""VECTOR: one engine object per field."""
from collections import deque

import numpy as np

import native

from .. import errors, rescore
from ..originals import array_of
from .base import Field, FieldError
from .labels import Labels, MultiEngine

#: The modes that _FT.DEBUG VECSIM_INFO and FT.PROFILE name.
EMPTY_MODE, STANDARD_KNN, HYBRID_ADHOC_BF, HYBRID_BATCHES, RANGE_QUERY = (
    "EMPTY_MODE", "STANDARD_KNN", "HYBRID_ADHOC_BF", "HYBRID_BATCHES", "RANGE_QUERY")

#: Queries that are remembered.
RECENT = 512
#: Waiting vectors that are worth a line in the log.
_MANY_WAITING = 4096


class VectorField(Field):
    """Vectors of one field. The engine's labels are the rows of the document table."""

    type_name = "VECTOR"

    def __init__(self, spec):
        super().__init__(spec)
        self.algorithm: str = spec.algorithm
        self.blob_bytes: int = spec.blob_size
        self.places = native.Places()           # of the documents' own vectors that lanes have measured
        self.rescorer = None                    # set by the index, which knows the documents
        self.is_open = True
        self.recent: deque[bytes] = deque(maxlen=RECENT)    # the latest queries: what recall is measured with
        self.estimate = None                    # of its recall, set by the index
        self.retraining = None                  # under way
        self.alarmed_at = -1                    # the training since which drift was told
        self.cost_us = 0.0                      # what searches took lately, in the engine
        self.had_vectors = False                # whether there has ever been one
        self._mode: str | None = EMPTY_MODE     # None: as the engine's last plan says
        self.batches: tuple[int, int] | None = None     # how many the last HYBRID_POLICY BATCHES took, and their size
        self._is_filtered = False
        self._is_building = False               # the log has said so
        self.engine = native.Index(spec.dim, metric=spec.metric, dtype=spec.dtype, algorithm=spec.algorithm,
                                   **engine_options(spec))
        if spec.is_multi:
            self.engine = MultiEngine(self.engine)

    def take_engine(self, engine: native.Index, labels) -> None:
        """Takes another engine in place of the one there is. `labels`: of a field with several vectors per document, as
        MultiEngine.labels_state has them."""
        before, self.engine = self.engine, engine
        if self.spec.is_multi:
            self.engine = MultiEngine(engine, labels)
        before.close()

    @property
    def last_search_mode(self) -> str:
        """How the last search of this field was done, in Redis's words."""
        if self._mode is not None:
            return self._mode
        if not self._is_filtered:
            return STANDARD_KNN
        return HYBRID_ADHOC_BF if self.engine.stats().get("last_plan") == "filter-exact" else HYBRID_BATCHES

    @last_search_mode.setter
    def last_search_mode(self, mode: str) -> None:
        self._mode = mode
        self.batches = None

    def note_knn(self, is_filtered: bool) -> None:
        """Takes down that a KNN search was left to the engine."""
        self._mode = self.batches = None
        self._is_filtered = is_filtered

    def parse(self, raw: bytes) -> bytes:
        if len(raw) != self.blob_bytes:
            raise FieldError(errors.BLOB_SIZE_MISMATCH.format(len(raw), self.blob_bytes))
        return raw

    @property
    def takes_short_way(self) -> bool:
        """Whether a search may be done as HotKnn does it: there are vectors, and their labels are rows."""
        return self.had_vectors and not self.spec.is_multi

    def put(self, row: int, value: bytes | list[bytes]) -> None:
        """Stores a vector, or those of a document that may have several; they can be found when this returns. Raises
        FieldError for one with coordinates that are not finite."""
        self.places.forget(row)
        try:
            if self.spec.is_multi:
                self.engine.add_blobs(row, value)
            else:
                self.engine.add_blob(row, value)
            self.had_vectors = True
        except native.NonFiniteError:
            raise FieldError(errors.VECTOR_NOT_FINITE) from None

    def clear(self, row: int) -> None:
        self.places.forget(row)
        self.engine.remove_one(row)

    def originals(self, rows) -> tuple[np.ndarray, np.ndarray]:
        """The documents' own vectors, wherever they live: an (n, dim) array in the field's type (BFLOAT16 as its bits), zero
        where there is none, and (n,) whether there is one."""
        return array_of(self.rescorer.originals(rows), self.spec.dim, native.DTYPES[self.spec.dtype][1])

    def log_progress(self, log, index_name: str) -> None:
        """Writes a line while more vectors wait than are linked at once, and one when they all are."""
        stats = self.engine.stats()
        waiting, linked, rate = stats["n_tail"], stats["n_linked"], stats["build_rate"]
        name = f"{index_name}.{self.name.decode('utf-8', 'replace')}"
        if self.algorithm == "FLAT":
            return
        if waiting > _MANY_WAITING or (waiting and self._is_building):
            self._is_building = True
            share = 100 * linked / (linked + waiting)
            log.info("Vector index %s: %d of %d vectors linked (%.0f %%), %.0f vectors/s, %s to go%s", name, linked,
                     linked + waiting, share, rate,
                     f"{waiting / rate:.0f} s" if rate else "unknown", ", training"
                     if stats["training"] == "running" else "")
        elif self._is_building:
            self._is_building = False
            log.info("Vector index %s: all %d vectors are linked", name, linked)

    @classmethod
    def parts_of(cls, spec, n: int, n_threads: int, assumed: dict) -> dict:
        """What the engine will take with the vectors of n documents, searched by so many threads: by part, and at its peaks, as
        native.estimate. Raises NativeError."""
        widest = rescore.MEASURED[-1][1] if spec.compression and spec.rerank == "AUTO" else 64
        n_vectors = n * assumed["VECTORS_PER_DOCUMENT"] if spec.is_multi else n
        parts = native.estimate(n_vectors, spec.dim, spec.metric, spec.dtype, spec.algorithm,
                                search_threads=n_threads, widest=widest, **engine_options(spec))
        if spec.is_multi:
            more = Labels.bytes_of(n, n_vectors)
            parts |= {name: parts[name] + more for name in ("labels", "peak_training", "peak_retraining")}
        return parts

    @property
    def nbytes(self) -> int:
        return sum(self.engine.nbytes.values())

    def close(self) -> None:
        self.is_open = False
        self.engine.close()


def engine_options(spec) -> dict:
    """The engine's options for the algorithm's arguments. HNSW runs on the same graph: twice M neighbours, EF as
    windows. A window that was not given is left to the engine, which knows one that is good enough."""
    if spec.algorithm == "HNSW":
        # EF_RUNTIME 10 is what nobody has asked for: as a window it would not be good enough.
        options = {"graph_max_degree": 2 * spec.m, "construction_window_size": spec.ef_construction,
                   "search_window_size": None if spec.ef_runtime == 10 else spec.ef_runtime}
    elif spec.algorithm == "SVS-VAMANA":
        options = {"graph_max_degree": spec.graph_max_degree, "construction_window_size": spec.construction_window_size,
                   "search_window_size": spec.search_window_size}
    else:
        options = {}
    if spec.algorithm != "FLAT":
        options |= {"epsilon": spec.epsilon, "target_recall": spec.target_recall}
    options |= {"compression": spec.compression, "reduce": spec.reduce, "reduction": spec.reduction,
                "training_threshold": spec.training_threshold}
    if spec.compression and spec.training_threshold == 0:
        # SQ8 that is not to learn a range for all vectors: LVQ8 fits one to each and asks a few hundred for their mean only.
        options |= {"compression": "LVQ8", "training_threshold": 256}
    return {name: value for name, value in options.items() if value is not None}
