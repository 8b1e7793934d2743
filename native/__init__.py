"""The vector engine's Python face: numpy in, numpy out, exceptions. Only this folder touches the C library.

`Index` is one vector field; `Pool` runs searches on threads of its own and tells through a file descriptor when they are done.
Labels are integers 0 .. 2**62 - 1. Distances are Redis's: squared L2, 1 - dot product (IP), 1 - cosine (COSINE)."""
import math
import os
import threading

import numpy as np

from native._vec import ffi, lib

__all__ = ["Index", "Pool", "Crew", "Query", "Names", "Form", "Lanes", "Lane", "Road", "Places", "Ruler", "Allowed",
           "as_doubles", "rescore_reach",
           "NativeError", "NonFiniteError", "SearchTimeout", "ImageError", "COMPRESSIONS", "DTYPES", "isa",
           "bytes_per_vector", "distance_text", "crc32c", "crc64", "SlotReader", "TextTop", "Words", "rows_of", "estimate",
           "GroupForm", "GroupOrder", "GroupPlan", "Groups", "are_ascending", "first_rows"]

METRICS = {"L2": lib.VEC_L2, "IP": lib.VEC_IP, "COSINE": lib.VEC_COSINE}
# Redis's type names -> (code, numpy type of the elements); bfloat16 has no numpy type and travels as its 16 bits.
DTYPES = {"FLOAT32": (lib.VEC_FLOAT32, np.dtype("<f4")), "FLOAT64": (lib.VEC_FLOAT64, np.dtype("<f8")),
          "FLOAT16": (lib.VEC_FLOAT16, np.dtype("<f2")), "BFLOAT16": (lib.VEC_BFLOAT16, np.dtype("<u2")),
          "INT8": (lib.VEC_INT8, np.dtype("i1")), "UINT8": (lib.VEC_UINT8, np.dtype("u1"))}
ALGORITHMS = {"FLAT": lib.VEC_FLAT, "HNSW": lib.VEC_GRAPH, "SVS-VAMANA": lib.VEC_GRAPH}
PLANS = {lib.VEC_PLAN_NONE: "none", lib.VEC_PLAN_SCAN: "scan", lib.VEC_PLAN_GRAPH: "graph",
         lib.VEC_PLAN_FILTER_EXACT: "filter-exact", lib.VEC_PLAN_FILTER_WALK: "filter-walk",
         lib.VEC_PLAN_FILTER_POST: "filter-post"}
REDUCTIONS = {"PCA": lib.VEC_REDUCE_PCA, "OOD": lib.VEC_REDUCE_OOD, "PREFIX": lib.VEC_REDUCE_PREFIX,
              "RANDOM": lib.VEC_REDUCE_RANDOM}
_REDUCTION_NAMES = {code: name for name, code in REDUCTIONS.items()}
TRAINING = {lib.VEC_TRAIN_IDLE: "idle", lib.VEC_TRAIN_RUNNING: "running", lib.VEC_TRAIN_DONE: "done"}
PARTS = ("codes", "residuals", "graph", "labels", "tail", "scratch", "codec", "other")


class NativeError(Exception):
    """The engine refused or failed; `code` is its VEC_* number."""

    def __init__(self, code, text=None):
        super().__init__(text or ffi.string(lib.vec_strerror(code)).decode())
        self.code = code


class NonFiniteError(NativeError):
    """A vector or query holds nan or infinity."""


class SearchTimeout(NativeError):
    """A search did not end within its timeout."""


class ImageError(NativeError):
    """A file is not an intact image, or cannot be read or written; the text says why."""


_LOCK = threading.Lock()        # of the holds of all indexes


def _error(code):
    kind = {lib.VEC_ENONFINITE: NonFiniteError, lib.VEC_ETIMEOUT: SearchTimeout}.get(code, NativeError)
    return kind(code)


def _check(code):
    if code < 0:
        raise _error(code)
    return code


def _start():
    why = ffi.new("const char **")
    if lib.vec_start(why) < 0:
        raise NativeError(lib.VEC_EISA, ffi.string(why[0]).decode())


def _compressions():
    found, bits, reduces = {}, ffi.new("int *"), ffi.new("int *")
    while (name := lib.vec_codec_name(len(found), bits, reduces)) != ffi.NULL:
        found[ffi.string(name).decode()] = {"bits": bits[0], "needs_reduce": bool(reduces[0])}
    return found


_start()
COMPRESSIONS = _compressions()      # name -> {"bits": per dimension over both levels, "needs_reduce": whether REDUCE applies}


def _reduction(name):
    """The number of a reduction's name; -1 for None."""
    if name is None:
        return -1
    if name not in REDUCTIONS:
        raise NativeError(lib.VEC_EARG, f"unknown reduction {name}; there are " + ", ".join(REDUCTIONS))
    return REDUCTIONS[name]


def isa():
    """Name of the instruction set in use: amx (tiles for batches of scans, the rest is avx512), avx512, avx2, neon or scalar.

    The environment variable VAMANA_ISA forces one; amx-emulated, for tests, is amx's kernel on plain C."""
    return ffi.string(lib.vec_isa()).decode()


def keep_from_children():
    """From now on processes that are forked off get no large blocks of the engine's memory: a fork takes less time, and neither
    the blocks' huge pages nor their writers suffer from it. Such a process must not touch an index."""
    lib.vec_keep_from_children()


def bytes_per_vector(dim, dtype="FLOAT32", compression=None, reduce=None, metric="COSINE"):
    """Bytes that the codes of one vector take once trained: both levels, constants and padding; no graph, no labels."""
    name = ffi.new("char[]", (compression or "").encode())
    params = ffi.new("vec_params *",
                     dict(dim=dim, metric=METRICS[metric], dtype=DTYPES[dtype][0], compression=name, reduce=reduce or 0))
    return _check(lib.vec_bytes_per_vector(params))


def estimate(n, dim, metric="COSINE", dtype="FLOAT32", algorithm="SVS-VAMANA", compression=None, reduce=None,
             training_threshold=10240, graph_max_degree=32, construction_window_size=200,
             threads=1, reduction=None, search_threads=1, widest=64, **_):
    """What an Index with these arguments will take with n vectors under labels 0 .. n - 1: a dict as Index.nbytes, with two
    more entries: peak_training, the most in all that is taken on the way there (if during the training as many come again as
    were there), and peak_retraining, the most while all of it is trained again. search_threads: that search at the same time,
    one of them with a window as wide as `widest`. Raises NativeError."""
    name = ffi.new("char[]", (compression or "").encode())
    params = ffi.new("vec_params *", dict(
        dim=dim, metric=METRICS[metric], dtype=DTYPES[dtype][0], algorithm=ALGORITHMS[algorithm], compression=name,
        reduce=reduce or 0, training_threshold=training_threshold, max_degree=graph_max_degree,
        build_window=construction_window_size, threads=threads, alpha=1,
        reduction=max(_reduction(reduction), 0)))
    parts, first, again = ffi.new("uint64_t[8]"), ffi.new("uint64_t *"), ffi.new("uint64_t *")
    _check(lib.vec_estimate(params, n, ffi.new("vec_searchers *", (search_threads, widest)), parts, first, again))
    return dict(zip(PARTS, parts, strict=True)) | {"peak_training": first[0], "peak_retraining": again[0]}


def crc64(data, crc=0):
    """The CRC-64 of bytes that Redis's files have (Jones polynomial), going on from that of the bytes before them."""
    return lib.vec_crc64(crc, ffi.from_buffer(data), len(data))


def crc32c(data, crc=0):
    """Extends a CRC-32C (0 at the start) by bytes or any buffer."""
    return lib.vec_crc32c(crc, ffi.from_buffer(data), len(data))


class SlotReader:
    """Reads values of `width` bytes from an open file of slots that begins at byte `base` (respserver/values/slots.py)."""

    def __init__(self, fd, base, stride, width):
        out = ffi.new("vec_slots **")
        _check(lib.vec_slots_open(fd, base, stride, width, out))
        self._ptr = ffi.gc(out[0], lib.vec_slots_close)
        self.width = width

    def read(self, slots):
        """The values in these slots, given as the bytes of 32-bit numbers: a list of memoryviews, None for a slot that is
        damaged or cannot be read. While reading waits for the disk, it is asked for all of a batch at once."""
        n, width = len(slots) // 4, self.width
        values, states = bytearray(n * width), bytearray(n)
        _check(lib.vec_slots_read(self._ptr, ffi.from_buffer("uint32_t[]", slots), n, ffi.from_buffer("char[]", values),
                                  ffi.from_buffer("char[]", states)))
        view = memoryview(values)
        return [view[start:start + width] if state else None for start, state in zip(range(0, n * width, width), states)]

    def distances(self, slots, ruler, query):
        """The distances of the vectors in these slots to one query given as bytes, by a Ruler for their width: (list, nan as in
        Ruler.distances, and for a slot that is damaged or cannot be read; how many those are). Raises NonFiniteError if the
        query is."""
        n = len(slots) // 4
        out = ffi.new("double[]", n)
        n_bad = _check(lib.vec_slots_measure(self._ptr, ffi.from_buffer("uint32_t[]", slots), n, ruler._ptr, query, out))
        return ffi.unpack(out, n), n_bad

    def rest(self):
        """To be called now and then: lets go of the pages that were read, unless that was since the last time. They count as
        this process's memory until then; the system may keep them."""
        lib.vec_slots_rest(self._ptr)

    def close(self):
        """Gives the map back; the file stays open."""
        ffi.release(self._ptr)


class Allowed:
    """A filter: a bitmap over labels (uint64 words, bit i of word w stands for label 64 * w + i) and how many bits are set.

    The words must not change while a search uses them."""
    __slots__ = ("words", "count", "pointer", "n_words")

    def __init__(self, words, count=None):
        words = np.ascontiguousarray(words, dtype="<u8")
        self.words = words
        self.n_words = len(words)
        self.count = int(np.unpackbits(words.view(np.uint8)).sum()) if count is None else count
        self.pointer = ffi.from_buffer("uint64_t[]", words) if len(words) else ffi.new("uint64_t[1]")

    @classmethod
    def of_rows(cls, rows, n_rows):
        """The filter that lets these labels pass: (n,) uint32, each once, below n_rows."""
        allowed = cls(np.zeros((n_rows + 63) // 64, dtype="<u8"), len(rows))
        lib.vec_set_bits(allowed.pointer, ffi.from_buffer("uint32_t[]", rows), len(rows))
        return allowed

    @classmethod
    def of_labels(cls, labels):
        """The filter that lets exactly these labels pass."""
        labels = np.unique(np.asarray(labels, dtype=np.int64))
        bits = np.zeros((int(labels[-1]) // 64 + 1) * 64 if len(labels) else 0, np.uint8)
        bits[labels] = 1
        return cls(np.packbits(bits, bitorder="little").view("<u8"), len(labels))


def _query(k, window, capacity, allowed, timeout_us, sure=0):
    q = ffi.new("vec_query *")
    q.k, q.sure, q.window, q.capacity, q.timeout_us, q.epsilon = k, sure or 0, window or 0, capacity or 0, timeout_us, -1
    if allowed is not None:
        q.allowed, q.n_words, q.n_allowed = allowed.pointer, allowed.n_words, allowed.count
    return q


class Index:
    """One vector field: vectors of `dim` elements of type `dtype` under integer labels.

    algorithm: FLAT (exact), SVS-VAMANA or HNSW (both the same graph). compression: None or one of COMPRESSIONS. reduce:
    dimensions of LeanVec's projection (None: dim / 2). search_window_size None or 0: calibrated by the index itself. threads:
    how many link new vectors at the same time. alpha: of pruning, on squared distances; None: 1.2 for L2, 1.1 for IP and COSINE
    (measured best on SIFT and on text embeddings). target_recall: what the calibrated window is to find of the ten nearest,
    below 1; None: 0.95. Raises NativeError for parameters out of range and for a compression that is not there. Thread-safe
    except close()."""

    def __init__(self, dim, metric="COSINE", dtype="FLOAT32", algorithm="SVS-VAMANA", compression=None, reduce=None,
                 training_threshold=10240, graph_max_degree=32, construction_window_size=200,
                 search_window_size=None, epsilon=0.01, threads=1, alpha=None, target_recall=None, reduction=None):
        if compression and compression not in COMPRESSIONS:
            raise NativeError(lib.VEC_EUNAVAILABLE,
                              f"compression {compression} is not yet available; there are " + ", ".join(COMPRESSIONS))
        for what, value, known in (("metric", metric, METRICS), ("type", dtype, DTYPES), ("algorithm", algorithm, ALGORITHMS)):
            if value not in known:
                raise NativeError(lib.VEC_EARG, f"unknown {what} {value}; there are " + ", ".join(known))
        code = _reduction(reduction)
        if reduction and not (compression and COMPRESSIONS[compression]["needs_reduce"]):
            raise NativeError(lib.VEC_EARG, "a reduction is for LeanVec compressions only")
        self.dim, self.metric, self.dtype, self.algorithm, self.compression = dim, metric, dtype, algorithm, compression
        self._dtype = DTYPES[dtype][1]
        self.vector_bytes = dim * self._dtype.itemsize
        alpha = alpha or (1.2 if metric == "L2" else 1.1)
        name = ffi.new("char[]", (compression or "").encode())
        params = ffi.new("vec_params *", dict(
            dim=dim, metric=METRICS[metric], dtype=DTYPES[dtype][0], algorithm=ALGORITHMS[algorithm],
            compression=name if compression else ffi.NULL, reduce=reduce or 0, training_threshold=training_threshold,
            max_degree=graph_max_degree, build_window=construction_window_size, search_window=search_window_size or 0,
            epsilon=epsilon, alpha=alpha, threads=threads, target_recall=target_recall or 0, reduction=max(code, 0)))
        out = ffi.new("vec_index **")
        _check(lib.vec_create(params, out))
        self._own(out[0])

    def _own(self, pointer):
        self._ptr = ffi.gc(pointer, lib.vec_free)
        self._n_holds, self._is_closing = 0, False
        self._spare = []                # (labels, distances, rows) result buffers, reused by search_blob

    def hold(self):
        """Keeps close() from freeing the index until let_go(): for threads that call it. Returns whether it is still open."""
        with _LOCK:
            self._n_holds += not self._is_closing
            return not self._is_closing

    def let_go(self):
        """Ends a hold(); frees the index if it was closed meanwhile."""
        with _LOCK:
            self._n_holds -= 1
            is_last = self._is_closing and not self._n_holds
        if is_last:
            self.close()

    def close(self):
        """Frees the index, or has the last let_go() do it; nothing else may be called afterwards. Waits for jobs of pools that
        still use it."""
        with _LOCK:
            self._is_closing = True
            if self._n_holds:
                return
        if self._ptr is not None:
            ffi.release(self._ptr)
            self._ptr = None

    # Writing

    def _matrix(self, vectors):
        """(n, dim) contiguous array of the index's type; floats are converted, also to bfloat16 bits."""
        a = np.asarray(vectors)
        if self.dtype == "BFLOAT16" and a.dtype != self._dtype:
            bits = np.ascontiguousarray(a, np.float32).view(np.uint32)
            a = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
        a = np.ascontiguousarray(a, self._dtype)
        if a.ndim == 1:
            a = a[None]
        if a.ndim != 2 or a.shape[1] != self.dim:
            raise NativeError(lib.VEC_EARG, f"vectors of shape {a.shape} do not have {self.dim} dimensions")
        return a

    def add(self, labels, vectors):
        """Stores vectors (n, dim) under labels (n,); a label that exists is replaced. Searchable on return.

        Raises NonFiniteError at the first vector with nan or infinity; those before it are stored."""
        labels = np.ascontiguousarray(labels, np.uint64)
        vectors = self._matrix(vectors)
        if labels.shape != (len(vectors),):
            raise NativeError(lib.VEC_EARG, f"{labels.shape} labels for {len(vectors)} vectors")
        done = ffi.new("size_t *")
        _check(lib.vec_add(self._ptr, ffi.from_buffer("uint64_t[]", labels), ffi.from_buffer(vectors), len(vectors), done))

    def add_blob(self, label, blob):
        """Stores one vector given as its bytes; the caller has checked their number."""
        code = lib.vec_add_one(self._ptr, label, blob)
        if code < 0:
            raise _error(code)

    def remove(self, labels):
        """Forgets labels; returns how many were known."""
        labels = np.ascontiguousarray(labels, np.uint64)
        removed = ffi.new("size_t *")
        _check(lib.vec_remove(self._ptr, ffi.from_buffer("uint64_t[]", labels), len(labels), removed))
        return removed[0]

    def remove_one(self, label):
        """Forgets one label; returns whether it was known."""
        removed = ffi.new("size_t *")
        _check(lib.vec_remove(self._ptr, ffi.new("uint64_t *", label), 1, removed))
        return bool(removed[0])

    def retrain(self, reduction=None, compression=None, reduce=None):
        """Learns anew and encodes everything again in the background; searches, additions and removals go on.

        None: as it is. reduction: PCA, OOD (what matters to recent queries, of which a sample is kept; PCA while there are
        fewer than 200), PREFIX or RANDOM, of LeanVec compressions; compression: another codec, or NONE (FLOAT32 only); reduce:
        LeanVec's dimensions. What codes have lost stays lost: from LVQ4 nothing finer can be made; retrain_begin() starts from
        the vectors themselves. wait() waits for the end. Raises NativeError while it trains already, and for an index that
        neither has nor gets a compression."""
        _check(lib.vec_retrain(self._ptr, self._next_codec(compression), reduce or 0, _reduction(reduction)))
        self._take_compression(compression)

    def retrain_begin(self, sample, reduction=None, compression=None, reduce=None):
        """Begins to retrain() from the vectors as they were given: learns from a sample of them, (n, dim) or its bytes, before
        it returns. recode() is then to be called with all of them, then retrain_end(). Until that the index counts as
        training."""
        sample = self._blob(sample)
        _check(lib.vec_retrain_begin(self._ptr, self._next_codec(compression), reduce or 0, _reduction(reduction),
                                     ffi.from_buffer(sample), sample.nbytes // self.vector_bytes))
        self._next_compression = compression

    def recode(self, labels, vectors):
        """Gives vectors (n, dim), or their bytes, after retrain_begin(): each is encoded anew. Labels that are not there, or
        were added since, are passed over. Raises NativeError when nothing is being retrained."""
        labels, vectors = np.ascontiguousarray(labels, np.uint64), self._blob(vectors)
        if labels.size * self.vector_bytes != vectors.nbytes:
            raise NativeError(lib.VEC_EARG, f"{labels.size} labels for {vectors.nbytes} bytes of vectors")
        _check(lib.vec_recode(self._ptr, ffi.from_buffer("uint64_t[]", labels), ffi.from_buffer(vectors), labels.size))

    def retrain_end(self, is_given_up=False):
        """Has the background take what recode() was not given from the codes, then puts the new codes into effect;
        or forgets them all."""
        _check(lib.vec_retrain_end(self._ptr, is_given_up))
        if not is_given_up:
            self._take_compression(self._next_compression)

    def _next_codec(self, compression):
        if compression is not None and compression not in COMPRESSIONS and compression != "NONE":
            raise NativeError(lib.VEC_EUNAVAILABLE,
                              f"compression {compression} is not yet available; there are NONE, " + ", ".join(COMPRESSIONS))
        return ffi.new("char[]", (compression or "").encode())

    def _take_compression(self, compression):
        if compression:
            self.compression = None if compression == "NONE" else compression

    def _blob(self, vectors):
        return (memoryview(vectors).cast("B") if isinstance(vectors, (bytes, bytearray, memoryview))
                else memoryview(self._matrix(vectors)).cast("B"))

    def recalibrate(self):
        """Has the background measure anew what recall each window gives on the vectors that there are."""
        lib.vec_recalibrate(self._ptr)

    def wait(self, timeout=None):
        """Blocks until everything is linked, trained and cleaned up; False if that took longer than timeout seconds."""
        return lib.vec_wait(self._ptr, 0 if timeout is None else max(1, int(timeout * 1e6))) == 0

    def hold_linking(self, is_held=True):
        """Has vectors wait for the graph, and clean-ups for later, until it is called with False; searches scan what waits.
        wait() would wait for that, too."""
        lib.vec_hold(self._ptr, is_held)

    # Images

    def save(self, path):
        """Writes the index, as it is at one moment of the call, into a file that replaces `path` when it is complete.

        Searches, additions and removals may go on meanwhile. Raises ImageError when the file cannot be written; `path` is then
        as it was."""
        why = ffi.new("char[]", 512)
        code = lib.vec_save(self._ptr, os.fsencode(path), why, len(why))
        if code < 0:
            raise ImageError(code, ffi.string(why).decode(errors="replace"))

    def prepare_save(self):
        """Makes ready what writes the index as it is at a later moment: see Saver. On any thread. Raises NativeError."""
        return Saver(self)

    @classmethod
    def load(cls, path, verify=True, copy=False):
        """An index from a file that save() wrote. What was stored but not linked yet, or not trained, is taken up in the
        background.

        The file is mapped: it may be replaced by another, but not written to. verify=False leaves out the check sums of the
        codes, which are most of the file. copy=True reads the file into memory (huge pages: searches are a little faster). HNSW
        comes back as SVS-VAMANA, which is the same graph. Raises ImageError with the reason for a file that is not an intact
        image."""
        out, why = ffi.new("vec_index **"), ffi.new("char[]", 512)
        flags = (0 if verify else lib.VEC_LOAD_UNCHECKED) | (lib.VEC_LOAD_COPY if copy else 0)
        code = lib.vec_load(os.fsencode(path), flags, out, why, len(why))
        if code < 0:
            raise ImageError(code, ffi.string(why).decode(errors="replace"))
        self = cls.__new__(cls)
        self._own(out[0])
        params = ffi.new("vec_params *")
        lib.vec_describe(self._ptr, params)
        self.dim = params.dim
        self.metric = {code: name for name, code in METRICS.items()}[params.metric]
        self.dtype = {code: name for name, (code, _) in DTYPES.items()}[params.dtype]
        self.algorithm = "FLAT" if params.algorithm == lib.VEC_FLAT else "SVS-VAMANA"
        self.compression = ffi.string(params.compression).decode() if params.compression != ffi.NULL else None
        self._dtype = DTYPES[self.dtype][1]
        self.vector_bytes = self.dim * self._dtype.itemsize
        return self

    # Searching

    def search(self, queries, k, window=None, threads=1, allowed=None, capacity=None, timeout_us=0, sure=None):
        """The k nearest of each query (nq, dim): labels (nq, k) int64, -1 where there are fewer,
        and distances (nq, k), inf there. sure: see Query."""
        queries = self._matrix(queries)
        n = len(queries)
        labels, distances = np.full((n, k), -1, np.int64), np.full((n, k), np.inf)
        counts = np.zeros(n, np.uint32)

        def part(a, b):
            q = _query(k, window, capacity, allowed, timeout_us, sure)
            return lib.vec_search_many(
                self._ptr, ffi.from_buffer(queries[a:b]), b - a, q, ffi.cast("uint64_t *", labels[a:b].ctypes.data),
                ffi.cast("double *", distances[a:b].ctypes.data), ffi.cast("uint32_t *", counts[a:b].ctypes.data))
        if n and k:
            if threads > 1:
                from concurrent.futures import ThreadPoolExecutor
                edges = [n * i // threads for i in range(threads + 1)]
                with ThreadPoolExecutor(threads) as pool:
                    codes = list(pool.map(part, edges[:-1], edges[1:]))
            else:
                codes = [part(0, n)]
            _check(min(codes))
        return labels, distances

    def search_blob(self, blob, k, window=0, capacity=0, allowed=None, timeout_us=0, sure=0):
        """The k nearest of one query given as bytes: (list of labels, list of distances), nearest first, ties by
        label. sure: see Query."""
        try:
            labels, distances, rows = self._spare.pop()
        except IndexError:
            labels, distances, rows = None, None, 0
        if rows < k:
            n = len(self)
            if k > n:
                k = n
            rows = max(k, 16)
            labels, distances = ffi.new("uint64_t[]", rows), ffi.new("double[]", rows)
        if allowed is None and not sure:
            n = lib.vec_search_one(self._ptr, blob, k, window, capacity, timeout_us, labels, distances)
        else:
            n = lib.vec_search(self._ptr, blob, _query(k, window, capacity, allowed, timeout_us, sure), labels, distances)
        self._spare.append((labels, distances, rows))
        if n < 0:
            raise _error(n)
        return ffi.unpack(labels, n), ffi.unpack(distances, n)

    def search_without(self, blob, label, k, window=0, sure=0):
        """As search_blob, but as if the vector of this label were not stored: what a search for it would have found before."""
        k = min(k, len(self))
        labels, distances = ffi.new("uint64_t[]", k + 1), ffi.new("double[]", k + 1)
        n = _check(lib.vec_search_without(self._ptr, blob, label, k, sure, window, labels, distances))
        return ffi.unpack(labels, n), ffi.unpack(distances, n)

    def default_window(self, k):
        """The window that a search for k has if it names none."""
        return lib.vec_default_window(self._ptr, k)

    def range_blob(self, blob, radius, epsilon=None, allowed=None, timeout_us=0, window=0):
        """Everything within radius of one query: (list of labels, list of distances), nearest first. epsilon: how far beyond the
        radius the walk still goes, relative to it; None: the index's."""
        q = _query(0, window, 0, allowed, timeout_us)
        q.radius, q.epsilon = radius, -1 if epsilon is None else epsilon
        labels, distances = ffi.new("uint64_t **"), ffi.new("double **")
        n = _check(lib.vec_range(self._ptr, blob, q, labels, distances))
        try:
            return ffi.unpack(labels[0], n), ffi.unpack(distances[0], n)
        finally:
            lib.vec_release(labels[0])
            lib.vec_release(distances[0])

    def range_search(self, query, radius, epsilon=None, allowed=None):
        """Everything within radius of one query (dim,): labels (n,) int64 and distances (n,), nearest first."""
        labels, distances = self.range_blob(self._matrix(query)[0].tobytes(), radius, epsilon, allowed)
        return np.array(labels, np.int64), np.array(distances)

    def iterator(self, query, batch=100, window=None, timeout_us=0):
        """Yields all vectors from the nearest to `query` on, (labels, distances) arrays of at most `batch` at a time.

        query: an array (dim,) or its bytes. Each batch is in order; a later one may hold what an earlier search missed; no
        label comes twice. window: of the first search (None: the index's default); later ones are wider. Between two batches
        the index may change: what is removed does not come, what is added may. timeout_us: per batch; raises SearchTimeout."""
        blob = bytes(query) if isinstance(query, (bytes, bytearray, memoryview)) else self._matrix(query)[0].tobytes()
        if len(blob) != self.vector_bytes or batch < 1:
            raise NativeError(lib.VEC_EARG)
        out = ffi.new("vec_iterator **")
        _check(lib.vec_iterator_new(self._ptr, blob, window or 0, out))
        return self._batches(ffi.gc(out[0], lib.vec_iterator_free), batch, timeout_us)

    def _batches(self, iterator, batch, timeout_us):
        while True:
            labels, distances = np.empty(batch, np.int64), np.empty(batch)
            if self._ptr is None:
                raise NativeError(lib.VEC_EARG, "the index is closed")
            n = _check(lib.vec_iterator_next(iterator, batch, timeout_us, ffi.cast("uint64_t *", labels.ctypes.data),
                                             ffi.cast("double *", distances.ctypes.data)))
            if not n:
                return
            yield labels[:n], distances[:n]

    def distances(self, blob, labels):
        """Distances of these labels to one query given as bytes; nan for labels that are not there."""
        n = len(labels)
        if not n:
            return []
        out = ffi.new("double[]", n)
        _check(lib.vec_distances(self._ptr, blob, ffi.new("uint64_t[]", list(labels)), n, out))
        return ffi.unpack(out, n)

    # Looking

    def __len__(self):
        return self.stats()["n_vectors"]

    def stats(self):
        """Counters and states as a dict: n_vectors, n_linked, n_tail, n_deleted, n_linkings (since the start), is_trained,
        training, progress, codec (in effect), window (default in effect for k = 10), is_calibrated, target_recall (of that
        window) and window_recall (measured against the codes; 0: not measured), build_rate (vectors linked per CPU second),
        bytes (by part), code_bytes and residual_bytes (per vector), n_searches, n_scored, last_plan, reduction (in effect, of
        LeanVec), n_queries (recent ones at hand for OOD)."""
        s = ffi.new("vec_stats_t *")
        lib.vec_stats(self._ptr, s)
        return {"n_vectors": s.n_vectors, "n_linked": s.n_linked, "n_tail": s.n_tail, "n_deleted": s.n_deleted,
                "n_slots": s.n_slots, "n_linkings": s.n_linkings, "is_trained": bool(s.is_trained),
                "training": TRAINING[s.training], "progress": s.progress, "codec": ffi.string(s.codec).decode(),
                "window": s.window, "is_calibrated": bool(s.is_calibrated), "target_recall": s.target_recall,
                "window_recall": s.window_recall, "build_rate": s.n_linkings / (s.link_ns * 1e-9) if s.link_ns else 0.0,
                "code_bytes": s.code_bytes, "residual_bytes": s.residual_bytes, "n_searches": s.n_searches,
                "n_scored": s.n_scored, "last_plan": PLANS[s.last_plan], "reduction": _REDUCTION_NAMES[s.reduction],
                "n_queries": s.n_queries, "n_epochs": s.n_epochs, "n_since_training": s.n_since_training,
                "n_to_relink": s.n_to_relink, "drift": s.drift, "distance_error": s.distance_error,
                "trained_error": s.trained_error, "mean_shift": s.mean_shift, "energy": s.energy,
                "trained_energy": s.trained_energy, "clipped": s.clipped, "bytes": dict(zip(PARTS, s.bytes, strict=True))}

    @property
    def nbytes(self):
        """Bytes allocated now, by part."""
        return self.stats()["bytes"]

    def window_for(self, k, target_recall):
        """The least window that was measured to find this share (0.5 .. 0.999) of the k nearest, or as near to it as more work
        brings. Before anything is measured: a wide one."""
        return lib.vec_window(self._ptr, k, target_recall)

    def validate(self):
        """Checks the invariants of graph, maps and counters (slow; for tests); raises NativeError with the broken one."""
        what = ffi.new("const char **")
        code = lib.vec_validate(self._ptr, what)
        if code < 0:
            raise NativeError(code, ffi.string(what[0]).decode())


class Ruler:
    """Exact distances between a query and vectors given as bytes, in one type and metric:
    what an uncompressed index would give."""

    def __init__(self, dim, metric="COSINE", dtype="FLOAT32"):
        params = ffi.new("vec_params *", dict(dim=dim, metric=METRICS[metric], dtype=DTYPES[dtype][0]))
        self.dim, self.dtype = dim, DTYPES[dtype][1]
        out = ffi.new("vec_ruler **")
        _check(lib.vec_ruler_create(params, out))
        self._ptr = ffi.gc(out[0], lib.vec_ruler_free)

    def distances(self, query, vectors, n):
        """Distances of n vectors, given one behind the other in one buffer (n * dim elements), to one query given as bytes: a
        list; nan for a vector that holds nan or infinity. Raises NonFiniteError if the query does. The caller checks the
        lengths."""
        out = ffi.new("double[]", n)
        _check(lib.vec_ruler_distances(self._ptr, query, vectors, n, out))
        return ffi.unpack(out, n)

    def rescore(self, queries, vectors, candidates, k, estimates=None, slack=math.inf):
        """The k nearest of each query's candidates, by their originals: (labels, distances), each (n, k), ties in the
        candidates' order.

        queries: (n, dim) and vectors: (rows, dim), of the ruler's type; candidates: (n, m) rows of vectors, -1 where there is
        none, as Index.search gives them. Where a query has fewer than k: -1 and inf. estimates: the candidates' distances by
        their codes (n, m), ascending, as Index.search gives them, too: then only those are measured that are within `slack` of
        coming among the k nearest, in mean errors of the estimates. Raises NonFiniteError if a query is not finite, and
        ValueError for other shapes or types."""
        queries, vectors = np.ascontiguousarray(queries), np.ascontiguousarray(vectors)
        candidates = np.ascontiguousarray(candidates, np.int64)
        for name, array in (("queries", queries), ("vectors", vectors)):
            if array.ndim != 2 or array.shape[1] != self.dim or array.dtype != self.dtype:
                raise ValueError(f"{name} must be (n, {self.dim}) of {self.dtype}, not {array.shape} of {array.dtype}")
        if candidates.ndim != 2 or len(candidates) != len(queries):
            raise ValueError(f"candidates must be ({len(queries)}, m), not {candidates.shape}")
        if candidates.size and not -1 <= candidates.min() <= candidates.max() < len(vectors):
            raise ValueError(f"candidates must be -1 or rows of vectors, 0 .. {len(vectors) - 1}")
        if estimates is not None:
            estimates = np.ascontiguousarray(estimates, np.float64)
            if estimates.shape != candidates.shape:
                raise ValueError(f"estimates must be {candidates.shape}, not {estimates.shape}")
        n, m = candidates.shape
        labels, distances = np.empty((n, k), np.int64), np.empty((n, k))
        self.n_measured = _check(lib.vec_ruler_rescore(
            self._ptr, ffi.cast("char *", queries.ctypes.data), n, ffi.cast("char *", vectors.ctypes.data),
            ffi.cast("int64_t *", candidates.ctypes.data),
            ffi.NULL if estimates is None else ffi.cast("double *", estimates.ctypes.data), m, k, slack,
            ffi.cast("int64_t *", labels.ctypes.data), ffi.cast("double *", distances.ctypes.data)))
        return labels, distances


def as_doubles(numbers):
    """A list of floats as rescore_reach takes them."""
    return ffi.new("double[]", numbers)


def rescore_reach(estimates, distances, n, k, slack):
    """Up to where candidates are to be measured of which the first len(distances) have been (a list; nan: there is none, and the
    estimate counts). estimates: of n candidates, ascending, from as_doubles(); slack: as in Ruler.rescore."""
    done = ffi.new("double[]", len(distances) + k)          # and room to work in
    done[0:len(distances)] = distances
    return lib.vec_rescore_reach(estimates, done, len(distances), n, k, slack, done + len(distances))


class Saver:
    """An index as it is when `begin` is called, for which memory is made ready before. Either
    `write` or `cancel` has to be called, once; it keeps the index from being freed till then.
    Everything but `begin` takes a while, and may be done on any thread. Raises NativeError."""

    def __init__(self, index):
        out = ffi.new("vec_saver **")
        if not index.hold():
            raise NativeError(lib.VEC_EARG, "the index is closed")
        try:
            _check(lib.vec_save_prepare(index._ptr, out))
        except NativeError:
            index.let_go()
            raise
        self._ptr, self._index = out[0], index

    def begin(self):
        """Notes the index as it is now: about a millisecond per million vectors.
        Raises NativeError; then it can only be cancelled."""
        _check(lib.vec_save_begin(self._ptr))

    def write(self, path):
        """Writes the image to a file that replaces `path` when it is complete. Raises ImageError, with `path` as it was."""
        why = ffi.new("char[]", 512)
        code = lib.vec_save_end(self._ptr, os.fsencode(path), why, len(why))
        self._index.let_go()
        self._ptr = self._index = None
        if code < 0:
            raise ImageError(code, ffi.string(why).decode(errors="replace"))

    def cancel(self):
        """Writes nothing."""
        lib.vec_save_end(self._ptr, ffi.NULL, ffi.NULL, 0)
        self._index.let_go()
        self._ptr = self._index = None


from native.groups import (GroupForm, GroupOrder, GroupPlan, Groups, are_ascending,  # noqa: E402 (these use what is above)
                           first_rows)
from native.lanes import Lane, Lanes, Places, Road  # noqa: E402
from native.replies import Form, Names, distance_text  # noqa: E402
from native.searchers import Crew, Pool, Query  # noqa: E402
from native.text import TextTop, rows_of  # noqa: E402
from native.words import Words  # noqa: E402
