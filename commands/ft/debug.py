"""_FT.DEBUG: VECSIM_INFO, WORKERS, and what debug_dump.py adds."""
from respserver.protocol.errors import WRONG_ARITY, CommandError
from respserver.protocol.reply import OK, Pairs, Simple
from respserver.registry import command

from . import errors
from .debug_dump import WORDS as DUMPS
from .debug_timeout import ft_aggregate, ft_hybrid, ft_search
from .fields import VectorField

_QUANT_BITS = {"LVQ4": "4", "LVQ8": "8", "LVQ4x4": "4x4", "LVQ4x8": "4x8", "LVQ8x8": "8x8", "LeanVec4x8": "4x8_LeanVec",
               "LeanVec8x8": "8x8_LeanVec",
               "SQ8": "Scalar", "BIN": "1"}
#: How long VECSIM_INFO waits for vectors that are being linked. Seconds.
_PATIENCE = 5.0
_ALPHA = {"L2": 1.2, "IP": 0.95, "COSINE": 0.95}


def _flat(pairs) -> list:
    return [word for name, value in pairs for word in (name, value)]


def _head(field: VectorField, algorithm: str, size: int, memory: int, n_labels: int | None = None) -> list:
    """What every index and each of its two parts begins with. `size`: vectors, with those that are marked as deleted;
    `n_labels`: without them, None: there are none."""
    spec = field.spec
    return [("ALGORITHM", algorithm), ("TYPE", spec.dtype), ("DIMENSION", spec.dim), ("METRIC", spec.metric),
            ("IS_MULTI_VALUE", int(spec.is_multi)),
            *([("IS_DISK", 0)] if errors.has_codes else []),        # which came with the codes
            ("INDEX_SIZE", size), ("INDEX_LABEL_COUNT", size if n_labels is None else n_labels), ("MEMORY", memory),
            ("LAST_SEARCH_MODE", field.last_search_mode)]


def vecsim_info(field: VectorField) -> list:
    """The flat list of VECSIM_INFO, in Redis's order. FRONTEND_INDEX stands for the vectors that are not yet linked
    into the graph, or whose field waits for enough of them to be trained on."""
    spec = field.spec
    stats = field.engine.stats()
    n, n_tail, n_deleted, n_linked = stats["n_vectors"], stats["n_tail"], stats["n_deleted"], stats["n_linked"]
    memory = field.nbytes
    if spec.algorithm == "FLAT":
        return _flat([*_head(field, "FLAT", n, memory), ("BLOCK_SIZE", spec.block_size or 1024), *_shared()])
    threshold = min(spec.training_threshold or 1024, 102400)
    if spec.algorithm == "SVS-VAMANA" and stats["n_slots"] < threshold:
        # There have never been enough to train on: searches scan them, or walk codes that are not yet those asked for.
        n_tail, n_linked, n_deleted = n, 0, 0
    tail_memory = n_tail * spec.blob_size
    front = _flat([*_head(field, "FLAT", n_tail, tail_memory), ("BLOCK_SIZE", 1024)])
    back_memory = memory - tail_memory
    if spec.algorithm == "HNSW":
        back = [*_head(field, "HNSW", n_linked + n_deleted, back_memory, n_linked), ("BLOCK_SIZE", 1024), ("M", spec.m),
                ("EF_CONSTRUCTION", spec.ef_construction),
                ("EF_RUNTIME", spec.ef_runtime), ("MAX_LEVEL", 0 if n else -1), ("ENTRYPOINT", -1 if not n else 0),
                ("EPSILON", float(spec.epsilon)),
                ("NUMBER_OF_MARKED_DELETED", n_deleted)]
        tail = [("TIERED_HNSW_SWAP_JOBS_THRESHOLD", 1024)]
    else:
        window = stats["window"]
        back = [*_head(field, "SVS", n_linked + n_deleted, back_memory, n_linked), ("BLOCK_SIZE", 1024),
                ("QUANT_BITS", _QUANT_BITS.get(stats["codec"], "NONE")),
                ("ALPHA", _ALPHA[spec.metric]), ("GRAPH_MAX_DEGREE", spec.graph_max_degree),
                ("CONSTRUCTION_WINDOW_SIZE", spec.construction_window_size),
                ("MAX_CANDIDATE_POOL_SIZE", 3 * spec.construction_window_size),
                ("PRUNE_TO", max(1, spec.graph_max_degree - 4)),
                ("USE_SEARCH_HISTORY", 1), ("NUM_THREADS", 1), ("LAST_RESERVED_NUM_THREADS", 1),
                ("NUMBER_OF_MARKED_DELETED", n_deleted),
                ("SEARCH_WINDOW_SIZE", window), ("SEARCH_BUFFER_CAPACITY", window),
                ("LEANVEC_DIMENSION", spec.reduce or 0), ("EPSILON", float(spec.epsilon))]
        tail = [("TIERED_SVS_TRAINING_THRESHOLD", threshold),
                ("TIERED_SVS_UPDATE_THRESHOLD", 1024),
                ("TIERED_SVS_THREADS_RESERVE_TIMEOUT", 5000)]
    return _flat([*_head(field, "TIERED", n, memory), ("MANAGEMENT_LAYER_MEMORY", 0),
                  ("BACKGROUND_INDEXING", int(stats["n_tail"] > 0 or stats["training"] == "running")),
                  ("TIERED_BUFFER_LIMIT", 1024), ("FRONTEND_INDEX", front), ("BACKEND_INDEX", _flat(back)), *tail, *_shared()])


def _shared() -> list:
    """The memory that fields share for their threads: none here. It came with the codes."""
    return [("SHARED_MEMORY", 0)] if errors.has_codes else []


def _vecsim(client, words):
    if len(words) != 2:
        raise CommandError(WRONG_ARITY.format("_FT.DEBUG|VECSIM_INFO"))
    manager = client.server.search

    def field() -> VectorField:
        found = manager.find(words[0]).by_name.get(words[1])
        if type(found) is not VectorField:
            raise CommandError(errors.NO_VECTOR_INDEX)
        return found

    def is_linked() -> bool:
        return not field().engine.stats()["n_tail"]

    if manager.turns.n_threads or manager.is_held or client.in_exec or is_linked():
        return vecsim_info(field())
    # Without workers Redis links a vector before it answers the write; here the engine's own thread may be at it still.
    return manager.when(is_linked, lambda: vecsim_info(field()), _PATIENCE)


def _workers(client, words):
    """WORKERS: the background of all indexes, and the threads that searches may go to. PAUSE lets vectors wait for their
    graph, and queries for one of those threads."""
    manager = client.server.search
    if len(words) != 1:
        raise CommandError(WRONG_ARITY.format("_FT.DEBUG|WORKERS"))
    action = words[0].upper()
    if action == b"STATS":
        return Pairs([(Simple("totalJobsDone"), manager.turns.n_workers_jobs),
                      (Simple("totalPendingJobs"), manager.turns.n_pending + manager.n_waiting_vectors()),
                      (Simple("highPriorityPendingJobs"), manager.turns.n_pending),
                      (Simple("lowPriorityPendingJobs"), manager.n_waiting_vectors()),
                      (Simple("numThreadsAlive"), manager.turns.n_threads if manager.turns.pool is not None else 0),
                      (Simple("numJobsInProgress"), manager.turns.n_running)])
    if action == b"N_THREADS":
        return manager.turns.n_threads
    if action == b"DRAIN":
        if manager.is_held:
            raise CommandError(errors.WORKERS_ARE_PAUSED)
        return manager.drain(client)
    if action in (b"PAUSE", b"RESUME"):
        if manager.is_held == (action == b"PAUSE"):
            raise CommandError(errors.WORKERS_ALREADY.format("not running" if manager.is_held else "already running"))
        manager.turns.wake()                        # there are threads to be held as soon as there is work for them
        manager.hold(action == b"PAUSE")
        return OK
    raise CommandError(errors.BAD_WORKERS)


_WORDS = {b"VECSIM_INFO": _vecsim, b"FT.SEARCH": ft_search, b"FT.AGGREGATE": ft_aggregate, b"FT.HYBRID": ft_hybrid,
          b"WORKERS": _workers, **DUMPS}


@command("_FT.DEBUG", arity=-2, group="search", since="1.0.0", flags="readonly admin", categories="admin slow dangerous",
         summary="Shows the inside of indexes", complexity="O(1)")
def ft_debug(client, word, *words):
    action = _WORDS.get(word.upper())
    if action is None:
        raise CommandError(errors.NO_SUCH_SUBCOMMAND)
    return action(client, words)


@command("FT.DEBUG", arity=-2, group="search", since="1.0.0", flags="readonly admin", categories="admin slow dangerous",
         summary="The same as _FT.DEBUG",
         complexity="O(1)")
def ft_debug_old(client, *words):
    return ft_debug(client, *words)
