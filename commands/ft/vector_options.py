"""`VECTOR <algorithm> <count> <name value>...` of FT.CREATE and FT.ALTER, with Redis's order of checks."""
from __future__ import annotations

from typing import Callable, Collection

from . import errors
from .errors import fail
from .options import Words, keyword
from .specs import DTYPE_SIZES, VectorSpec

__all__ = ["parse_vector", "element_size", "COMPRESSIONS", "DEFAULT_TRAINING_THRESHOLD"]

#: The COMPRESSION names of Redis by upper case.
COMPRESSIONS = {name.upper(): name for name in ("LVQ4", "LVQ8", "LVQ4x4", "LVQ4x8", "LeanVec4x8", "LeanVec8x8")}
DEFAULT_TRAINING_THRESHOLD = 10240
MIN_TRAINING_THRESHOLD = 1024
#: Most candidates that RERANK may name.
MAX_RERANK = 1_000_000
#: What TARGET_RECALL may be.
TARGETS = (0.5, 0.999)

#: Whether HNSW indexes have to be as those that Redis keeps on disk: set by flex.install.
is_on_disk = False

_ALGORITHMS = {"FLAT": "FLAT", "HNSW": "HNSW", "SVS-VAMANA": "SVS-VAMANA"}
_TYPES = {name: name for name in DTYPE_SIZES}
_SVS_TYPES = ("FLOAT16", "FLOAT32")
_METRICS = {"L2": "L2", "IP": "IP", "COSINE": "COSINE"}
_UNTRAINED = "SQ8"                               # what Redis has for HNSW, with a threshold that may be anything
REDUCTIONS = {name: name for name in ("PCA", "OOD", "PREFIX", "RANDOM")}


def parse_vector(cursor: Words, path: bytes, name: bytes, compressions: Collection[str], memory_limit: int) -> VectorSpec:
    """Read what follows the word VECTOR; the cursor is then behind the last argument.

    compressions: the engine's names, to take besides Redis's six; FLAT and HNSW have a COMPRESSION if there are any.
    memory_limit: bytes for one block of vectors, 0 = no check.
    """
    algorithm = cursor.choice("vector similarity algorithm", _ALGORITHMS)
    count = cursor.integer("vector similarity number of parameters")
    spec = VectorSpec(path=path, name=name, algorithm=algorithm)
    if algorithm == "HNSW" and errors.has_codes:                 # before which all were read alike
        if count > cursor.left:
            raise fail(errors.VECTOR_FEW)
        arguments = Words(cursor.words, cursor.at, cursor.at + count)
        cursor.at += count
    else:
        if count % 2:
            raise fail(errors.VECTOR_ODD, count)
        arguments = cursor
    seen = _read(arguments, spec, count, compressions)
    for required in ("TYPE", "DIM", "DISTANCE_METRIC"):
        if required not in seen:
            raise fail(errors.VECTOR_REQUIRED, algorithm, required)
    if is_on_disk and algorithm == "HNSW" and "RERANK" not in seen:
        raise fail(errors.VECTOR_RERANK_NEEDED)
    if spec.compression is None:
        for only in ("TRAINING_THRESHOLD", "REDUCE", "REDUCTION"):
            if only in seen and algorithm != "SVS-VAMANA":
                raise fail(errors.VECTOR_NAME, algorithm, only)
        if spec.training_threshold is not None:
            raise fail(errors.VECTOR_THRESHOLD_ALONE)
    elif spec.training_threshold is None:
        spec.training_threshold = DEFAULT_TRAINING_THRESHOLD
    elif spec.training_threshold < MIN_TRAINING_THRESHOLD and spec.compression != _UNTRAINED:
        raise fail(errors.VECTOR_THRESHOLD)
    if not (spec.compression or "").startswith("LeanVec"):
        if spec.reduce is not None:
            raise fail(errors.VECTOR_REDUCE_ALONE)
        if spec.reduction is not None:
            raise fail(errors.VECTOR_REDUCTION_ALONE)
    fixed = "SEARCH_WINDOW_SIZE" if spec.search_window_size else "EF_RUNTIME" if spec.ef_runtime != 10 else None
    if spec.target_recall and fixed:
        raise fail(errors.VECTOR_TARGET_WINDOW, fixed)
    size = element_size(spec)
    if memory_limit and memory_limit < size:
        raise fail(errors.VECTOR_ELEMENT, size, 0)
    return spec


def element_size(spec: VectorSpec) -> int:
    """Bytes that Redis counts for one element of the index: what its memory check at creation compares with the limit."""
    if spec.algorithm == "FLAT":
        return spec.blob_size + 16
    if spec.algorithm == "HNSW":
        return spec.blob_size + 2 * spec.m * 4 + 91
    links = 4 * (spec.graph_max_degree + 1)
    bits = {None: 0, "LVQ4": 4, "LVQ4x4": 8, "LVQ4x8": 12, "LeanVec4x8": 12, "LeanVec8x8": 16}.get(spec.compression, 8)
    return (spec.dim * bits + 7) // 8 + links if bits else spec.blob_size + links


def _read(cursor: Words, spec: VectorSpec, count: int, compressions: Collection[str]) -> set[str]:
    """Read name and value until `count` words are used; returns the names seen."""
    readers = _READERS[spec.algorithm]
    codecs = _compression_names(spec.algorithm, compressions)
    seen: set[str] = set()
    used = 0
    while used < count and cursor:
        word = cursor.next()
        name = keyword(word).decode("utf-8", "replace")
        label = f"vector similarity {spec.algorithm} index `{name}`"
        if name == "COMPRESSION" and codecs:
            spec.compression = cursor.choice(label, codecs)
        elif name in readers:
            if name == "RERANK" and name in seen:
                raise fail(errors.VECTOR_RERANK_TWICE)
            readers[name](cursor, spec, label)
        else:
            raise fail(errors.VECTOR_NAME, spec.algorithm, word)
        seen.add(name)
        used += 2
    if used < count:
        raise fail(errors.VECTOR_COUNT, count, used)
    return seen


def _compression_names(algorithm: str, compressions: Collection[str]) -> dict[str, str]:
    """Upper case -> canonical spelling of the COMPRESSION values of an algorithm; empty if it has no COMPRESSION."""
    if algorithm == "SVS-VAMANA" or compressions:
        return COMPRESSIONS | {name.upper(): name for name in compressions}
    return {}


# ---------------------------------------------------------------------------------------------------- values

_Reader = Callable[[Words, VectorSpec, str], None]


def _dtype(cursor: Words, spec: VectorSpec, label: str) -> None:
    spec.dtype = cursor.choice(label, _TYPES)
    if spec.algorithm == "SVS-VAMANA" and spec.dtype not in _SVS_TYPES:
        raise fail(errors.VECTOR_SVS_TYPE)


def _metric(cursor: Words, spec: VectorSpec, label: str) -> None:
    spec.metric = cursor.choice(label, _METRICS)


def _threshold(cursor: Words, spec: VectorSpec, label: str) -> None:
    spec.training_threshold = cursor.integer(label, 0 if spec.algorithm == "HNSW" else 1)
    if spec.algorithm != "HNSW" and spec.training_threshold < MIN_TRAINING_THRESHOLD:
        raise fail(errors.VECTOR_THRESHOLD)


def _epsilon(cursor: Words, spec: VectorSpec, label: str) -> None:
    spec.epsilon = cursor.double(label, 0.0) or 0.01             # 0 means the default


def _rerank(cursor: Words, spec: VectorSpec, label: str) -> None:
    """RERANK AUTO | OFF | n. TRUE and FALSE are Redis's, for indexes that it keeps on disk."""
    if not cursor:
        raise fail(errors.VECTOR_RERANK_ARGUMENT if is_on_disk or spec.algorithm != "HNSW" else errors.VECTOR_RERANK_DISK)
    word = keyword(cursor.next())
    if word in (b"TRUE", b"FALSE"):
        if spec.algorithm != "HNSW":
            raise fail(errors.VECTOR_NAME, spec.algorithm, "RERANK")
        if not is_on_disk:
            raise fail(errors.VECTOR_RERANK_DISK)
        spec.rerank = "AUTO" if word == b"TRUE" else "OFF"
    elif word in (b"AUTO", b"OFF"):
        spec.rerank = word.decode()
    elif word.isdigit() and 0 < int(word[:10]) <= MAX_RERANK:
        spec.rerank = int(word[:10])
    else:
        raise fail(errors.VECTOR_RERANK_VALUE if spec.algorithm == "HNSW" else errors.VECTOR_RERANK_CHOICE, MAX_RERANK)


def _target(cursor: Words, spec: VectorSpec, label: str) -> None:
    spec.target_recall = cursor.double(label)
    if not TARGETS[0] <= spec.target_recall <= TARGETS[1]:
        raise fail(errors.VECTOR_TARGET)


def _originals(cursor: Words, spec: VectorSpec, label: str) -> None:
    spec.originals = cursor.choice(label, {"MEMORY": "memory", "DISK": "disk"})


def _count(attribute: str, low: int = 1) -> _Reader:
    return lambda cursor, spec, label: setattr(spec, attribute, cursor.integer(label, low))


def _reduction(cursor: Words, spec: VectorSpec, label: str) -> None:
    spec.reduction = cursor.choice(label, REDUCTIONS)


_COMMON: dict[str, _Reader] = {"TYPE": _dtype, "DIM": _count("dim"), "DISTANCE_METRIC": _metric,
                              "ORIGINALS": _originals}
_COMPRESSED: dict[str, _Reader] = {"TRAINING_THRESHOLD": _threshold, "REDUCE": _count("reduce"), "REDUCTION": _reduction}
_READERS: dict[str, dict[str, _Reader]] = {
    "FLAT": _COMMON | _COMPRESSED | {
        "INITIAL_CAP": _count("initial_cap", 0), "BLOCK_SIZE": _count("block_size"), "RERANK": _rerank},
    "HNSW": _COMMON | _COMPRESSED | {
        "INITIAL_CAP": _count("initial_cap", 0), "M": _count("m"), "EF_CONSTRUCTION": _count("ef_construction"),
        "EF_RUNTIME": _count("ef_runtime"), "EPSILON": _epsilon, "RERANK": _rerank, "TARGET_RECALL": _target},
    "SVS-VAMANA": _COMMON | _COMPRESSED | {
        "GRAPH_MAX_DEGREE": _count("graph_max_degree"), "CONSTRUCTION_WINDOW_SIZE": _count("construction_window_size"),
        "SEARCH_WINDOW_SIZE": _count("search_window_size"), "EPSILON": _epsilon, "RERANK": _rerank, "TARGET_RECALL": _target},
}
