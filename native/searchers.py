"""Searches by several threads: a pool that tells when it is done, and a crew that works on one call together."""
from native import NativeError, _check, _error, _query
from native._vec import ffi, lib


class Pool:
    """Threads that search. fileno() is readable when jobs are done: then call completed()."""

    def __init__(self, threads):
        out = ffi.new("vec_pool **")
        _check(lib.vec_pool_create(threads, out))
        self._ptr = ffi.gc(out[0], lib.vec_pool_free)
        self._jobs = {}                 # job id -> (index, filter) kept alive while it runs

    def fileno(self):
        """The eventfd to watch for reading."""
        return lib.vec_pool_fd(self._ptr)

    def submit(self, index, blobs, k, window=0, capacity=0, allowed=None, timeout_us=0, sure=0):
        """Queues one search per blob, all on one index with one filter; returns the job's id. The timeout is per query.
        sure: see Query."""
        job = ffi.new("uint64_t *")
        q = _query(k, window, capacity, allowed, timeout_us, sure)
        _check(lib.vec_pool_submit(self._ptr, index._ptr, b"".join(blobs), len(blobs), q, job))
        self._jobs[job[0]] = (index, allowed)
        return job[0]

    def submit_range(self, index, blob, radius, epsilon=None, allowed=None, timeout_us=0):
        """Queues a search for everything within radius of one query, as Index.range_blob; returns the job's id. Its list of
        answers has one entry."""
        job = ffi.new("uint64_t *")
        q = _query(0, 0, 0, allowed, timeout_us)
        q.radius, q.epsilon = radius, -1 if epsilon is None else epsilon
        _check(lib.vec_pool_range(self._ptr, index._ptr, blob, q, job))
        self._jobs[job[0]] = (index, allowed)
        return job[0]

    def _next(self):
        job, code, n, k, took_ns = (ffi.new(t) for t in ("uint64_t *", "int *", "uint64_t *", "uint32_t *", "uint64_t *"))
        labels, distances, counts = ffi.new("const uint64_t **"), ffi.new("const double **"), ffi.new("const uint32_t **")
        if not lib.vec_pool_next(self._ptr, job, code, n, k, took_ns, labels, distances, counts):
            return None
        if code[0] < 0:
            result = _error(code[0])
        else:
            result = [(ffi.unpack(labels[0] + i * k[0], counts[0][i]), ffi.unpack(distances[0] + i * k[0], counts[0][i]))
                      for i in range(n[0])]
        lib.vec_pool_drop(self._ptr, job[0])
        del self._jobs[job[0]]
        return job[0], result, took_ns[0]

    def completed(self):
        """The finished jobs: list of (job id, list of (labels, distances) per query, or the NativeError that ended it, ns that
        its thread took of a processor)."""
        done = []
        while (one := self._next()) is not None:
            done.append(one)
        return done

    def wait(self, job):
        """Blocks until this job is done and returns its results (completed() will not give it again); raises what ended it."""
        _check(lib.vec_pool_wait(self._ptr, job))
        _, result, _ = self._next()
        if isinstance(result, NativeError):
            raise result
        return result

    def close(self):
        """Stops the threads; jobs that wait are dropped."""
        if self._ptr is not None:
            ffi.release(self._ptr)
            self._ptr = None
            self._jobs.clear()


class Query:
    """What searches that differ only in their vector have in common: `k` results, window and capacity (0: the index's choice),
    a filter (None: all), microseconds that each may take (0: any). sure: for so many of the k the window is to be wide enough
    (0: all); the others only come near, as candidates to be measured again."""
    __slots__ = ("_pointer", "_allowed")

    def __init__(self, k, window=0, capacity=0, allowed=None, timeout_us=0, sure=0):
        self._allowed = allowed         # kept alive
        self._pointer = _query(k, window, capacity, allowed, timeout_us, sure)


class Crew:
    """The caller's thread and `threads` helpers, which do the searches of one call together. Helpers look out for the next call
    for spin_us microseconds before they sleep. Results stay until the next search. To be used by one thread."""

    def __init__(self, threads=0, spin_us=50):
        self._ptr = ffi.NULL
        if threads:
            out = ffi.new("vec_crew **")
            _check(lib.vec_crew_create(threads, spin_us, out))
            self._ptr = ffi.gc(out[0], lib.vec_crew_free)
        self.threads = threads
        self._n = self._k = self._n_cells = self._n_counts = 0
        self._labels = self._distances = self._counts = self._ends = ffi.NULL
        self._text, self._size = ffi.new("char[]", 4096), 4096
        self._late = []                 # what helpers may still read that were interrupted

    def alert(self):
        """Searches are about to come: wakes a helper."""
        if self.threads:
            lib.vec_crew_alert(self._ptr)

    def search(self, index, query, vectors, n=1):
        """Searches for n vectors given as bytes behind one another."""
        q = query._pointer
        self._make_room(n, q.k)
        if lib.vec_search_together(self._ptr, index._ptr, vectors, n, q, self._labels, self._distances, self._counts):
            self._late.append((query, vectors))
        elif self._late:
            self._late.clear()

    def search_each(self, index, queries, vectors, is_alone=False):
        """Searches for as many vectors, given as bytes behind one another, as there are queries,
        each by its own. is_alone: without helpers."""
        n = len(queries)
        each = ffi.new("vec_query[]", n)
        for i, query in enumerate(queries):
            each[i] = query._pointer[0]
        k = max(query._pointer.k for query in queries)
        self._make_room(n, k)
        if lib.vec_search_each(ffi.NULL if is_alone else self._ptr, index._ptr, vectors, n, each, k, self._labels,
                               self._distances, self._counts):
            self._late.append((queries, vectors))
        elif self._late and not is_alone:
            self._late.clear()

    def _make_room(self, n, k):
        self._n, self._k = n, k
        if n * k > self._n_cells:
            self._n_cells = n * k
            self._labels, self._distances = ffi.new("uint64_t[]", n * k), ffi.new("double[]", n * k)
        if n > self._n_counts:
            self._n_counts = n
            self._counts, self._ends = ffi.new("int64_t[]", n), ffi.new("uint64_t[]", n)

    def result(self, i=0):
        """What the i-th of them found: (list of labels, list of distances), nearest first, ties by label. Raises NativeError."""
        n, at = self._counts[i], i * self._k
        if n < 0:
            raise _error(n)
        return ffi.unpack(self._labels + at, n), ffi.unpack(self._distances + at, n)

    def replies(self, names, form, order, first=0, n=None):
        """The replies of n searches from the first-th on (None: of all), list of bytes: empty for one that failed. order: int64
        array by label, which labels with equal distances go by."""
        n = self._n if n is None else n
        at = first * self._k
        by = ffi.from_buffer("int64_t[]", order)
        while (size := lib.vec_write_replies(names._ptr, form._pointer, by, n, self._k, self._labels + at, self._distances + at,
                                             self._counts + first, self._text, self._size, self._ends)) < 0:
            self._size = max(2 * self._size, -size)
            self._text = ffi.new("char[]", self._size)
        text = ffi.unpack(self._text, size)
        if n == 1:
            return [text]
        start, replies = 0, []
        for end in ffi.unpack(self._ends, n):
            replies.append(text[start:end])
            start = end
        return replies

    def close(self):
        """Ends the helpers; searches are done without them from then on."""
        if self.threads:
            ffi.release(self._ptr)
            self._ptr, self.threads = ffi.NULL, 0
