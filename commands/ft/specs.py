"""What a schema says about each field: one dataclass per field type, made by create_options and kept by the index."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

#: Bytes of one coordinate by TYPE.
DTYPE_SIZES = {"FLOAT32": 4, "FLOAT64": 8, "FLOAT16": 2, "BFLOAT16": 2, "INT8": 1, "UINT8": 1}


@dataclass(slots=True, kw_only=True)
class FieldSpec:
    """What every field has. Not made by itself."""
    type: ClassVar[str] = ""
    path: bytes                                  # the hash field's name, or the JSON path ("identifier" in FT.INFO)
    name: bytes                                  # AS, or the path: the name in queries ("attribute" in FT.INFO)
    sortable: bool = False
    unf: bool = False
    no_index: bool = False
    index_missing: bool = False


@dataclass(slots=True, kw_only=True)
class TextSpec(FieldSpec):
    type: ClassVar[str] = "TEXT"
    weight: float = 1.0
    no_stem: bool = False
    phonetic: str | None = None                  # "dm:en"
    suffix_trie: bool = False
    index_empty: bool = False


@dataclass(slots=True, kw_only=True)
class TagSpec(FieldSpec):
    type: ClassVar[str] = "TAG"
    separator: bytes = b","
    case_sensitive: bool = False
    suffix_trie: bool = False
    index_empty: bool = False


@dataclass(slots=True, kw_only=True)
class NumericSpec(FieldSpec):
    type: ClassVar[str] = "NUMERIC"


@dataclass(slots=True, kw_only=True)
class GeoSpec(FieldSpec):
    type: ClassVar[str] = "GEO"


@dataclass(slots=True, kw_only=True)
class GeoShapeSpec(FieldSpec):
    type: ClassVar[str] = "GEOSHAPE"
    coord_system: str = "SPHERICAL"              # or FLAT


@dataclass(slots=True, kw_only=True)
class VectorSpec(FieldSpec):
    """A VECTOR field. Arguments that the algorithm does not have keep their defaults; None = not given."""
    type: ClassVar[str] = "VECTOR"
    algorithm: str                               # FLAT | HNSW | SVS-VAMANA
    dtype: str = ""
    dim: int = 0
    metric: str = ""                             # L2 | IP | COSINE
    initial_cap: int | None = None               # read and without effect, as in Redis
    block_size: int | None = None                # likewise
    m: int = 16
    ef_construction: int = 200
    ef_runtime: int = 10
    epsilon: float = 0.01
    graph_max_degree: int = 32
    construction_window_size: int = 200
    search_window_size: int | None = None        # None: the engine's own default
    compression: str | None = None               # canonical spelling: "LVQ4x8"
    training_threshold: int | None = None        # as given; with COMPRESSION 10240 if not given
    reduce: int | None = None                    # REDUCE as given; None: the engine's own default for LeanVec
    reduction: str | None = None                 # PCA | OOD | PREFIX | RANDOM, of LeanVec; None: PCA
    target_recall: float | None = None           # what the calibrated window is to find; None: 0.95
    rerank: str | int = "AUTO"                   # AUTO | OFF | candidates that are scored again with the originals
    originals: str | None = None                 # memory | disk; None: as search-vector-originals says
    is_multi: bool = False                       # a JSON path that may find several vectors

    @property
    def blob_size(self) -> int:
        """Bytes of a vector as clients send it."""
        return self.dim * DTYPE_SIZES[self.dtype]
