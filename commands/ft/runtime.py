"""The runtime attributes of vector clauses: what a KNN or a range query asks of the index, checked against the field's algorithm.

Checks go through the attributes in the order given and stop at the first bad one; what attributes say together is checked last.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable

from . import errors
from .errors import fail
from .options import to_float
from .specs import VectorSpec
from .vector_options import MAX_RERANK, TARGETS
from .tree import Knn, VectorAttribute, VectorRange

__all__ = ["KnnRuntime", "RangeRuntime", "knn_runtime", "range_runtime", "check_blob", "MAX_K"]

MAX_K = 1 << 58
#: What larger numbers are taken for: an index holds fewer vectors than this.
MOST = (1 << 32) - 1
_GRAPHS = ("HNSW", "SVS-VAMANA")
_INTEGER = re.compile(rb"[ \t\n\v\f\r]*\+?(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))")
_HISTORY = (b"ON", b"OFF", b"AUTO")


@dataclass(slots=True)
class RangeRuntime:
    """None = not given: the index's own value."""
    radius: float = 0.0
    epsilon: float | None = None
    window: int | None = None                    # SEARCH_WINDOW_SIZE
    capacity: int | None = None                  # SEARCH_BUFFER_CAPACITY, at least the window
    history: str | None = None                   # ON | OFF | AUTO
    rerank: str | int | float | None = None      # AUTO | OFF | candidates | OVERSAMPLING's factor, a float


@dataclass(slots=True)
class KnnRuntime:
    """None = not given: the index's own value."""
    k: int = 0
    window: int | None = None                    # SEARCH_WINDOW_SIZE
    capacity: int | None = None                  # SEARCH_BUFFER_CAPACITY, at least the window
    history: str | None = None                   # ON | OFF | AUTO
    rerank: str | int | float | None = None      # AUTO | OFF | candidates | OVERSAMPLING's factor, a float
    ef_runtime: int | None = None
    batch_size: int | None = None
    policy: str | None = None                    # BATCHES | ADHOC_BF
    target: float | None = None                  # TARGET_RECALL: sets the window
    shard_k_ratio: float | None = None           # has no effect on one server


def check_blob(blob: bytes, spec: VectorSpec) -> None:
    """Raise CommandError unless the query vector has the size of the field's vectors."""
    if len(blob) != spec.blob_size:
        raise fail(errors.QUERY_BLOB, len(blob), spec.blob_size)


def knn_runtime(knn: Knn, spec: VectorSpec, *, filtered: bool) -> KnnRuntime:
    """What a bound KNN clause asks for. filtered: whether there is a filter before the arrow. Raises CommandError."""
    runtime = KnnRuntime(knn.k)
    _apply(knn.runtime, spec.algorithm, runtime, "filtered" if filtered else "plain")
    if knn.k > MAX_K:
        raise fail(errors.K_TOO_LARGE, MAX_K)
    runtime.k = min(knn.k, MOST)
    if runtime.policy == "ADHOC_BF":
        if runtime.batch_size is not None:
            raise fail(errors.RUNTIME_ADHOC_BATCH)
        if runtime.ef_runtime is not None:
            raise fail(errors.RUNTIME_ADHOC_EF)
    return runtime


def range_runtime(node: VectorRange, spec: VectorSpec) -> RangeRuntime:
    """What a bound VECTOR_RANGE clause asks for. Raises CommandError."""
    if node.radius < 0:
        raise fail(errors.NEGATIVE_RADIUS, "%g" % node.radius)
    runtime = RangeRuntime(node.radius)
    _apply(node.runtime, spec.algorithm, runtime, "range")
    return runtime


def _apply(attributes: tuple[VectorAttribute, ...], algorithm: str, runtime, use: str) -> None:
    seen: set[bytes] = set()
    for attribute in attributes:
        name = attribute.name.upper()
        rule = _RULES.get(name)
        if rule is None or algorithm not in rule.algorithms or name == SHARD_RATIO and not attribute.block:
            # In a block Redis knows none of the SVS attributes; here they are an extension, of SVS-VAMANA fields only.
            raise fail(errors.ATTRIBUTE_NAME, name) if attribute.block and name in _SVS else fail(errors.RUNTIME_OPTION)
        if use not in rule.uses:
            raise fail(rule.misuse)
        if name in seen:
            raise fail(errors.RUNTIME_TWICE)
        seen.add(name)
        if b"TARGET_RECALL" in seen and not seen.isdisjoint((b"SEARCH_WINDOW_SIZE", b"EF_RUNTIME")):
            raise fail(errors.RUNTIME_TARGET_WINDOW)
        if {b"RERANK", b"OVERSAMPLING"} <= seen:
            raise fail(errors.RUNTIME_BOTH_RERANK)
        rule.read(attribute.value, runtime)
    capacity, window = runtime.capacity, runtime.window
    if capacity is not None and window is not None and capacity < window:
        runtime.capacity = window                # a buffer must hold its window


# ---------------------------------------------------------------------------------------------------- values

def _positive(value: bytes) -> int:
    """An integer > 0 by C's base-0 rules: 32, 0x20, 040."""
    match = _INTEGER.fullmatch(value)
    number = 0
    if match:
        hexadecimal, octal, decimal = match.groups()
        digits, base = (hexadecimal, 16) if hexadecimal else (octal or b"0", 8) if octal is not None else (decimal, 10)
        number = int(digits, base) if len(digits) < 24 else 0
    if not 0 < number < 1 << 63:
        raise fail(errors.RUNTIME_VALUE)
    return number


def _integer(attribute: str) -> Callable[[bytes, object], None]:
    return lambda value, runtime: setattr(runtime, attribute, min(_positive(value), MOST))


def _epsilon(value: bytes, runtime: RangeRuntime) -> None:
    number = to_float(value)
    if number is None or number <= 0:
        raise fail(errors.RUNTIME_VALUE)
    runtime.epsilon = number


def _policy(value: bytes, runtime: KnnRuntime) -> None:
    word = value.upper()
    if word not in (b"BATCHES", b"ADHOC_BF"):
        raise fail(errors.RUNTIME_POLICY)
    runtime.policy = word.decode()


def _history(value: bytes, runtime) -> None:
    word = value.upper()
    if word not in _HISTORY:
        raise fail(errors.RUNTIME_VALUE)
    runtime.history = word.decode()


def _rerank(value: bytes, runtime) -> None:
    word = value.upper()
    if word in (b"AUTO", b"OFF"):
        runtime.rerank = word.decode()
    elif word in (b"TRUE", b"FALSE"):            # Redis's words, for indexes that it keeps on disk
        raise fail(errors.RUNTIME_OPTION)
    elif word.isdigit() and 0 < int(word[:10]) <= MAX_RERANK:
        runtime.rerank = int(word[:10])
    else:
        raise fail(errors.RUNTIME_RERANK, MAX_RERANK)


def _oversampling(value: bytes, runtime) -> None:
    number = to_float(value)
    if number is None or not 1 <= number <= 1000:
        raise fail(errors.RUNTIME_OVERSAMPLING)
    runtime.rerank = float(number)


def _target(value: bytes, runtime) -> None:
    number = to_float(value)
    if number is None or not TARGETS[0] <= number <= TARGETS[1]:
        raise fail(errors.RUNTIME_TARGET)
    runtime.target = number


#: What says to clusters which share of K each shard is asked for.
SHARD_RATIO = b"SHARD_K_RATIO"


def parse_ratio(value: bytes) -> float:
    """The value of SHARD_K_RATIO. Raises CommandError."""
    number = to_float(value)
    if number is None:
        raise fail(errors.SHARD_RATIO_VALUE, value)
    if not 0 < number <= 1:
        raise fail(errors.SHARD_RATIO_RANGE, "%g" % number)
    return number


def _ratio(value: bytes, runtime) -> None:
    if not errors.has_codes and not errors.has_unstable:     # as before 8.4
        raise fail(errors.SHARD_RATIO_UNSTABLE)
    number = parse_ratio(value)
    if isinstance(runtime, KnnRuntime):
        runtime.shard_k_ratio = number


@dataclass(slots=True, frozen=True)
class _Rule:
    algorithms: tuple[str, ...]
    uses: tuple[str, ...]                        # of plain, filtered (KNN) and range
    misuse: str                                  # the error for another use
    read: Callable[[bytes, object], None]


_ALL = ("FLAT", *_GRAPHS)
_KNN = ("plain", "filtered")
_SVS = (b"SEARCH_WINDOW_SIZE", b"SEARCH_BUFFER_CAPACITY", b"USE_SEARCH_HISTORY")
_RULES = {
    b"EF_RUNTIME": _Rule(("HNSW",), _KNN, errors.RUNTIME_OPTION, _integer("ef_runtime")),
    b"EPSILON": _Rule(_GRAPHS, ("range",), errors.RUNTIME_NOT_RANGE, _epsilon),
    b"BATCH_SIZE": _Rule(_ALL, ("filtered",), errors.RUNTIME_NOT_HYBRID, _integer("batch_size")),
    b"HYBRID_POLICY": _Rule(_ALL, ("filtered",), errors.RUNTIME_NOT_HYBRID, _policy),
    b"SEARCH_WINDOW_SIZE": _Rule(("SVS-VAMANA",), (*_KNN, "range"), errors.RUNTIME_OPTION, _integer("window")),
    b"SEARCH_BUFFER_CAPACITY": _Rule(("SVS-VAMANA",), (*_KNN, "range"), errors.RUNTIME_OPTION, _integer("capacity")),
    b"USE_SEARCH_HISTORY": _Rule(("SVS-VAMANA",), (*_KNN, "range"), errors.RUNTIME_OPTION, _history),
    b"RERANK": _Rule(_ALL, (*_KNN, "range"), errors.RUNTIME_OPTION, _rerank),
    b"TARGET_RECALL": _Rule(_GRAPHS, _KNN, errors.RUNTIME_OPTION, _target),
    b"OVERSAMPLING": _Rule(_ALL, _KNN, errors.RUNTIME_OPTION, _oversampling),
    SHARD_RATIO: _Rule(_ALL, (*_KNN, "range"), errors.RUNTIME_OPTION, _ratio),
}
