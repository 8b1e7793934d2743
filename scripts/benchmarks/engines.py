"""The vector engines that are compared, each behind the same few methods. All build with 32 neighbours (M 16) and a
construction window of 200, and search on one thread unless told otherwise."""
import tempfile
from pathlib import Path

import numpy as np

DEGREE, CONSTRUCTION_WINDOW, K = 32, 200, 10
WINDOWS = [10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 68, 80, 112, 160, 230, 330, 500]


class Engine:
    """An index over `base` (n, dim) float32 with labels 0 .. n - 1.
    `settings`: what a curve goes through, from quick to thorough."""

    settings = [{"window": window} for window in WINDOWS]

    def nbytes(self) -> int:
        """Bytes of the index: codes or vectors, graph, labels."""
        raise NotImplementedError

    def search(self, queries: np.ndarray, k: int, window: int = 0) -> np.ndarray:
        """Labels (n, k) int64."""
        raise NotImplementedError

    def tune(self, queries: np.ndarray) -> None:
        """Chooses what can be chosen without a change of the results."""


class Ours(Engine):
    """native.Index with a compression: `ours-LVQ8`, uncompressed `ours-f32`; as a flat scan `ours-flat-LVQ8`."""

    def __init__(self, kind: str, base: np.ndarray, metric: str, **options):
        import native
        algorithm = "FLAT" if kind.startswith("flat-") else "SVS-VAMANA"
        kind = kind.removeprefix("flat-")
        self.index = native.Index(base.shape[1], metric=metric, compression=None if kind == "f32" else kind, algorithm=algorithm,
                                  graph_max_degree=DEGREE, construction_window_size=CONSTRUCTION_WINDOW, **options)
        self.index.add(np.arange(len(base)), base)
        self.index.wait()

    def nbytes(self):
        parts = self.index.nbytes
        return sum(parts.values()) - parts["scratch"]

    def search(self, queries, k, window=0, threads=1, allowed=None):
        return self.index.search(queries, k, window=window or None, threads=threads, allowed=allowed)[0]

    def add(self, labels, vectors):
        self.index.add(labels, vectors)

    def settle(self):
        """Waits until what was added is in the graph."""
        self.index.wait()


class Rescored(Ours):
    """The same with the best candidates scored again by the original vectors: `rescored-LVQ4`. As many as RERANK AUTO takes, and
    with the slack that it has: chosen by tune(), among the queries' nearest by their codes. `count`: of them, 0: there is nothing
    to gain."""

    def __init__(self, kind: str, base: np.ndarray, metric: str, **options):
        import native
        super().__init__(kind, base, metric, **options)
        self.base, self.ruler, self.count, self.slack = base, native.Ruler(base.shape[1], metric), 0, np.inf

    def tune(self, queries):
        from commands.ft.rescore import MEASURED, N_QUERIES, Lateness, enough
        wide, asked, places, late = dict(MEASURED)[K], queries[:N_QUERIES], [], Lateness(K)
        near = nearest(self.base, asked, self.index.metric)
        found, by_codes = self.index.search(asked, wide, window=len(self.base))
        for query, labels, distances, best in zip(asked, found.tolist(), by_codes.tolist(), near.tolist()):
            places += [1 + labels.index(label) if label in labels else wide for label in best]
            exact = self.ruler.distances(query.tobytes(), self.base[labels].tobytes(), wide)
            late.add(distances, exact, sorted(range(wide), key=exact.__getitem__)[:K])
        self.count, self.slack = enough(places, K), late.slack()[0]

    def search(self, queries, k, window=0, count=None):
        count = self.count if count is None else count
        if not count:
            return super().search(queries, k, window)
        candidates, estimates = self.index.search(queries, max(count, k), window=window or None, sure=k)
        return self.ruler.rescore(queries, self.base, candidates, k, estimates, self.slack)[0]


class Svs(Engine):
    """Intel's SVS as published on PyPI; its LVQ and LeanVec run on Intel's processors only."""

    def __init__(self, kind: str, base: np.ndarray, metric: str):
        import svs
        self.scratch = tempfile.TemporaryDirectory()
        self.svs = svs
        self.is_dynamic = kind.startswith("dynamic-")
        kind = kind.removeprefix("dynamic-")
        is_two_level = kind.startswith("lean") or "x" in kind
        capacities = (1, 1.5) if is_two_level else (1,)
        self.settings = [{"window": w, "capacity": int(w * c)} for w in WINDOWS for c in capacities]
        distance = {"L2": svs.DistanceType.L2, "IP": svs.DistanceType.MIP}[metric]
        parameters = svs.VamanaBuildParameters(alpha=1.2 if metric == "L2" else 0.95, graph_max_degree=DEGREE,
                                               window_size=CONSTRUCTION_WINDOW, max_candidate_pool_size=3 * CONSTRUCTION_WINDOW)
        data = base if kind == "f32" else self._loader(kind, base)
        if self.is_dynamic:
            self.index = svs.DynamicVamana.build(parameters, data, np.arange(len(base), dtype=np.uint64), distance, 1)
        else:
            self.index = svs.Vamana.build(parameters, data, distance, 1)
        self.parameters = self.index.search_parameters
        self.parameters.search_buffer_visited_set = True
        self._prefetch(8, 2)

    def _loader(self, kind, base):
        svs, path = self.svs, self.scratch.name + "/base.fvecs"
        svs.write_vecs(base, path)
        data = svs.VectorDataLoader(path, svs.DataType.float32, dims=base.shape[1])
        if kind.startswith("lean"):
            kinds = {"4": svs.LeanVecKind.lvq4, "8": svs.LeanVecKind.lvq8}
            return svs.LeanVecLoader(data, base.shape[1] // 2, primary_kind=kinds[kind[4]], secondary_kind=kinds[kind[6]])
        first, _, second = kind.removeprefix("lvq").partition("x")
        return svs.LVQLoader(data, primary=int(first), residual=int(second or 0))

    def _prefetch(self, lookahead, step):
        self.parameters.prefetch_lookahead, self.parameters.prefetch_step = lookahead, step

    def tune(self, queries):
        from time import perf_counter
        times = {}
        for pair in ((1, 1), (4, 1), (8, 2), (16, 2)) * 2:
            self._prefetch(*pair)
            start = perf_counter()
            self.search(queries, K, 28)
            times[pair] = min(times.get(pair, 1e9), perf_counter() - start)
        self._prefetch(*min(times, key=times.get))

    def nbytes(self):
        parts = [self.scratch.name + "/" + part for part in ("config", "graph", "data")]
        self.index.save(*parts)
        return sum(f.stat().st_size for part in parts[1:] for f in Path(part).rglob("*"))

    def search(self, queries, k, window=0, capacity=0):
        self.parameters.buffer_config = self.svs.SearchBufferConfig(window, capacity or window)
        self.index.search_parameters = self.parameters
        return self.index.search(queries, k)[0].astype(np.int64)

    def add(self, labels, vectors):
        self.index.add(vectors, labels.astype(np.uint64))

    def settle(self):
        pass


class Hnswlib(Engine):
    """hnswlib, M 16 and ef 200; filters are Python functions, the only kind that it takes."""

    def __init__(self, _kind: str, base: np.ndarray, metric: str):
        import hnswlib
        self.index = hnswlib.Index({"L2": "l2", "IP": "ip"}[metric], base.shape[1])
        self.index.init_index(len(base) + 10_000, M=DEGREE // 2, ef_construction=CONSTRUCTION_WINDOW)
        self.index.add_items(base, num_threads=1)
        self.index.set_num_threads(1)

    def nbytes(self):
        return self.index.index_file_size()

    def search(self, queries, k, window=0, allowed=None):
        self.index.set_ef(window)
        if allowed is None:
            return self.index.knn_query(queries, k)[0].astype(np.int64)
        found = np.full((len(queries), k), -1, np.int64)
        passes = allowed.__getitem__
        for i, query in enumerate(queries):
            try:
                found[i] = self.index.knn_query(query, k, filter=passes)[0]
            except RuntimeError:            # fewer than k were found
                pass
        return found

    def add(self, labels, vectors):
        self.index.add_items(vectors, labels, num_threads=1)

    def settle(self):
        pass


class Faiss(Engine):
    """faiss by factory: `faiss-HNSW16`, `faiss-HNSW16_SQ8`, `faiss-Flat`, `faiss-SQ8`, `faiss-IVF256`."""

    def __init__(self, kind: str, base: np.ndarray, metric: str):
        import faiss
        self.faiss, self.kind = faiss, kind
        faiss.omp_set_num_threads(1)
        factory = "IVF256,Flat" if kind == "IVF256" else kind
        self.index = faiss.index_factory(base.shape[1], factory,
                                         {"L2": faiss.METRIC_L2, "IP": faiss.METRIC_INNER_PRODUCT}[metric])
        if kind.startswith("HNSW"):
            faiss.downcast_index(self.index).hnsw.efConstruction = CONSTRUCTION_WINDOW
        elif kind == "IVF256":
            self.settings = [{"window": n} for n in (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)]
        else:
            self.settings = [{}]
        self.index.train(base)
        self.index.add(base)

    def nbytes(self):
        return len(self.faiss.serialize_index(self.index))

    def search(self, queries, k, window=0, allowed=None):
        f = self.faiss
        chosen = {} if allowed is None else {"sel": allowed}
        if self.kind.startswith("HNSW"):
            parameters = f.SearchParametersHNSW(efSearch=window, **chosen)
        elif self.kind == "IVF256":
            parameters = f.SearchParametersIVF(nprobe=window, **chosen)
        else:
            parameters = f.SearchParameters(**chosen) if chosen else None
        return self.index.search(queries, k, params=parameters)[1]


class Usearch(Engine):
    """usearch with vectors kept as f32 or i8."""

    def __init__(self, kind: str, base: np.ndarray, metric: str):
        from usearch.index import Index
        if kind == "i8" and metric == "L2":
            raise NotImplementedError("usearch keeps i8 for unit vectors only")
        self.index = Index(ndim=base.shape[1], metric="cos" if kind == "i8" else {"L2": "l2sq", "IP": "ip"}[metric], dtype=kind,
                           connectivity=DEGREE // 2, expansion_add=CONSTRUCTION_WINDOW)
        self.index.add(np.arange(len(base)), base, threads=1)

    def nbytes(self):
        return self.index.serialized_length

    def search(self, queries, k, window=0):
        self.index.expansion_search = window
        return np.asarray(self.index.search(queries, k, threads=1).keys).astype(np.int64)

    def add(self, labels, vectors):
        self.index.add(labels, vectors, threads=1)

    def settle(self):
        pass


class Numpy(Engine):
    """float32 vectors, a matrix product and a partial sort."""

    settings = [{}]

    def __init__(self, _kind: str, base: np.ndarray, metric: str):
        self.base, self.norms = base, (base**2).sum(axis=1) if metric == "L2" else 0

    def nbytes(self):
        return self.base.nbytes

    def search(self, queries, k, window=0):
        scores = self.norms - 2 * (queries @ self.base.T) if isinstance(self.norms, np.ndarray) else -(queries @ self.base.T)
        best = np.argpartition(scores, k, axis=1)[:, :k]
        return np.take_along_axis(best, np.argsort(np.take_along_axis(scores, best, 1), axis=1), 1)


ENGINES = {"ours": Ours, "rescored": Rescored, "svs": Svs, "hnswlib": Hnswlib, "faiss": Faiss, "usearch": Usearch, "numpy": Numpy}


def make(name: str, base: np.ndarray, metric: str, **options) -> Engine:
    """The engine of a name such as "svs-lvq8"."""
    family, _, kind = name.partition("-")
    return ENGINES[family](kind, base, metric, **options)


def load(directory: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Base (n, dim) and queries (m, dim) as float32, the ten nearest of each query (m, 10), the metric: L2 for bytes, else IP."""
    path = Path(directory)
    metric = "L2" if np.load(path / "base.npy", mmap_mode="r").dtype == np.uint8 else "IP"
    base, queries = (np.ascontiguousarray(np.load(path / name), dtype=np.float32) for name in ("base.npy", "queries.npy"))
    return base, queries, np.load(path / "queries_top100.npy")[:, :K], metric


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of the exact labels that were found; rows need not have the same length."""
    hits = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True))
    return hits / max(exact.size, 1)


def nearest(base: np.ndarray, queries: np.ndarray, metric: str, among: np.ndarray | None = None, k: int = K) -> np.ndarray:
    """The k nearest of each query by brute force, of the rows `among` only."""
    rows = np.arange(len(base)) if among is None else among
    part = base[rows]
    scores = (part**2).sum(axis=1) - 2 * (queries @ part.T) if metric == "L2" else -(queries @ part.T)
    k = min(k, len(rows))
    best = np.argpartition(scores, k - 1, axis=1)[:, :k]
    return rows[np.take_along_axis(best, np.argsort(np.take_along_axis(scores, best, 1), axis=1), 1)]
