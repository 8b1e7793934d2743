"""One engine in a process of its own, driven over its standard input: `python peer.py ENGINE DATA_DIR`.

Builds, prints a line of JSON ({"build_s":.., "bytes":..}), then answers each line "measure" with one line of JSON: for every search
window [window, recall@10, queries per second of one pinned thread]. A process per engine keeps a peer's threads, allocator and crashes
away from the others, and lets the caller alternate measurements."""
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WINDOWS = [10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 68, 80, 112, 160, 230, 330, 500]
DEGREE, CONSTRUCTION_WINDOW, K = 32, 200, 10


class Ours:
    """native.Index with a compression, SVS-VAMANA."""

    def __init__(self, compression: str, base: np.ndarray, metric: str):
        import native
        self.index = native.Index(base.shape[1], metric=metric, compression=None if compression == "f32" else compression,
                                  graph_max_degree=DEGREE, construction_window_size=CONSTRUCTION_WINDOW)
        self.index.add(np.arange(len(base)), base)
        self.index.wait()

    def nbytes(self):
        return sum(self.index.nbytes.values())

    def search(self, queries, window):
        return self.index.search(queries, K, window=window)[0]


class Svs:
    """Intel's SVS as published on PyPI, degree and window as ours; its LVQ and LeanVec run on Intel's processors only."""

    def __init__(self, kind: str, base: np.ndarray, metric: str):
        import svs
        self.scratch = tempfile.TemporaryDirectory()
        path = self.scratch.name + "/base.fvecs"
        svs.write_vecs(base, path)
        data = svs.VectorDataLoader(path, svs.DataType.float32, dims=base.shape[1])
        self.scale = None
        if kind == "f32":
            loader = base
        elif kind == "int8":
            self.scale = 127 / np.abs(base).max()
            loader = self._int8(base)
        elif kind.startswith("lean"):
            kinds = {"4": svs.LeanVecKind.lvq4, "8": svs.LeanVecKind.lvq8}
            loader = svs.LeanVecLoader(data, base.shape[1] // 2, primary_kind=kinds[kind[4]], secondary_kind=kinds[kind[6]])
        else:
            first, _, second = kind.removeprefix("lvq").partition("x")
            loader = svs.LVQLoader(data, primary=int(first), residual=int(second or 0))
        distance = {"L2": svs.DistanceType.L2, "IP": svs.DistanceType.MIP}[metric]
        parameters = svs.VamanaBuildParameters(alpha=1.2 if metric == "L2" else 0.95, graph_max_degree=DEGREE,
                                               window_size=CONSTRUCTION_WINDOW, max_candidate_pool_size=3 * CONSTRUCTION_WINDOW)
        self.index = svs.Vamana.build(parameters, loader, distance, 1)
        self.parameters = self.index.search_parameters
        self.parameters.search_buffer_visited_set = True
        self.parameters.prefetch_lookahead, self.parameters.prefetch_step = 8, 2
        self.buffer = svs.SearchBufferConfig

    def _int8(self, x):
        return np.clip(np.rint(x * self.scale), -127, 127).astype(np.int8)

    def nbytes(self):
        parts = [self.scratch.name + "/" + part for part in ("config", "graph", "data")]
        self.index.save(*parts)
        return sum(f.stat().st_size for part in parts[1:] for f in Path(part).rglob("*"))

    def search(self, queries, window):
        self.parameters.buffer_config = self.buffer(window, window)
        self.index.search_parameters = self.parameters
        return self.index.search(queries if self.scale is None else self._int8(queries), K)[0].astype(np.int64)


class Hnswlib:
    """hnswlib, M 16 and ef 200."""

    def __init__(self, _kind: str, base: np.ndarray, metric: str):
        import hnswlib
        self.index = hnswlib.Index({"L2": "l2", "IP": "ip"}[metric], base.shape[1])
        self.index.init_index(len(base), M=16, ef_construction=CONSTRUCTION_WINDOW)
        self.index.add_items(base, num_threads=1)
        self.index.set_num_threads(1)

    def nbytes(self):
        return self.index.index_file_size()

    def search(self, queries, window):
        self.index.set_ef(window)
        return self.index.knn_query(queries, K)[0].astype(np.int64)


ENGINES = {"ours": Ours, "svs": Svs, "hnswlib": Hnswlib}


def main() -> None:
    name, directory = sys.argv[1], Path(sys.argv[2])
    metric = "L2" if np.load(directory / "base.npy", mmap_mode="r").dtype == np.uint8 else "IP"
    base = np.ascontiguousarray(np.load(directory / "base.npy"), dtype=np.float32)
    queries = np.ascontiguousarray(np.load(directory / "queries.npy"), dtype=np.float32)
    exact = np.load(directory / "queries_top100.npy")[:, :K]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    engine, _, kind = name.partition("-")
    start = time.process_time()
    index = ENGINES[engine](kind, base, metric)
    built = time.process_time() - start
    print(json.dumps({"build_s": built, "vectors_per_s": len(base) / built, "bytes": index.nbytes() / len(base)}), flush=True)
    for _ in sys.stdin:
        curve = []
        for window in WINDOWS:
            start = time.perf_counter()
            found = index.search(queries, window)
            elapsed = time.perf_counter() - start
            hits = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True))
            curve.append([window, hits / exact.size, len(queries) / elapsed])
        print(json.dumps(curve), flush=True)


if __name__ == "__main__":
    main()
