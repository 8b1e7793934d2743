"""FT.CREATE and FT.ALTER: words to options, and every refusal of a VECTOR field."""
import pytest

from commands.ft.create_options import (GeoShapeSpec, GeoSpec, NumericSpec, TagSpec, TextSpec, VectorSpec,
                                        parse_alter, parse_create)
from commands.ft.errors import CommandError
from commands.ft.vector_options import element_size

EXTENSIONS = ("LVQ4", "LVQ8", "LVQ8x8", "SQ8", "BIN")
BASE = "TYPE FLOAT32 DIM 8 DISTANCE_METRIC L2"


def create(text: str, **options):
    return parse_create([word.encode() for word in text.split()], **options)


def refusal(call, *args, **options) -> str:
    with pytest.raises(CommandError) as caught:
        call(*args, **options)
    return caught.value.text


def vector(text: str, **options) -> VectorSpec:
    return create("SCHEMA v VECTOR " + text, **options).fields[0]


# ---------------------------------------------------------------------------------------------------- index options

def test_defaults():
    options = create("SCHEMA t TEXT")
    assert ((options.on, options.prefixes, options.score, options.stopwords, options.temporary)
            == ("HASH", (b"",), 1.0, None, None))
    assert options.fields == [TextSpec(path=b"t", name=b"t")]


def test_every_option_in_any_order_and_the_last_one_wins():
    options = create("nohl STOPWORDS 2 Foo bar score 0.3 ON hash PREFIX 2 a: b: FILTER @n>3 LANGUAGE German LANGUAGE_FIELD "
                     "lang SCORE_FIELD sc PAYLOAD_FIELD pl MAXTEXTFIELDS TEMPORARY 5 NOOFFSETS NOFREQS SKIPINITIALSCAN ASYNC "
                     "NOSCOREIDX INDEXALL ENABLE SCORE 0.7 SCHEMA t TEXT")
    assert ((options.prefixes, options.filter, options.language, options.language_field)
            == ((b"a:", b"b:"), b"@n>3", "german", b"lang"))
    assert (options.score, options.score_field, options.payload_field, options.temporary) == (0.7, b"sc", b"pl", 5.0)
    assert options.stopwords == (b"foo", b"bar") and options.index_all and options.skip_initial_scan and options.max_text_fields
    assert options.no_highlight and options.no_offsets and options.no_freqs and not options.no_fields


@pytest.mark.parametrize("text, message", [
    ("ON FOO SCHEMA t TEXT", "SEARCH_ADD_ARGS Invalid rule type: FOO"),
    ("ON SCHEMA t TEXT", "SEARCH_ADD_ARGS Invalid rule type: SCHEMA"),
    ("LANGUAGE klingon SCHEMA t TEXT", "SEARCH_ADD_ARGS Invalid language"),
    ("SCORE 2 SCHEMA t TEXT", "SEARCH_ADD_ARGS Invalid score"),
    ("SCORE x SCHEMA t TEXT", "SEARCH_ADD_ARGS Invalid score"), ("SCORE SCHEMA t TEXT", "SEARCH_ADD_ARGS Invalid score"),
    ("SCORE 1x SCHEMA t TEXT", "SEARCH_ADD_ARGS Invalid score"),
    ("SCORE 1.0SCHEMA t TEXT", "SEARCH_ARG_UNRECOGNIZED Unknown argument `t`"),
    ("INDEXALL SCHEMA t TEXT", "SEARCH_ADD_ARGS Invalid argument for `INDEXALL`, use ENABLE/DISABLE"),
    ("NOFIELDS MAXTEXTFIELDS SCHEMA t TEXT", "SEARCH_QUERY_BAD MAXTEXTFIELDS cannot be used with NOFIELDS"),
    ("FOO SCHEMA t TEXT", "SEARCH_ARG_UNRECOGNIZED Unknown argument `FOO`"),
    ("STOPWORDS 3 a b SCHEMA t TEXT", "SEARCH_ARG_UNRECOGNIZED Unknown argument `t`"),
    ("STOPWORDS abc SCHEMA t TEXT", "SEARCH_PARSE_ARGS Bad arguments for STOPWORDS: Could not convert argument to expected type"),
    ("PREFIX -1 a SCHEMA t TEXT", "SEARCH_PARSE_ARGS Bad arguments for PREFIX: Value is outside acceptable bounds"),
    ("PREFIX 9 a SCHEMA t TEXT", "SEARCH_PARSE_ARGS Bad arguments for PREFIX: Expected an argument, but none provided"),
    ("TEMPORARY abc SCHEMA t TEXT", "SEARCH_PARSE_ARGS Bad arguments for TEMPORARY: Could not convert argument to expected type"),
    ("ON HASH PREFIX 1 a:", "SEARCH_PARSE_ARGS No schema found"),
    ("NOHL SCHEMA", "SEARCH_PARSE_ARGS Fields arguments are missing"),
    ("SCHEMA a AS", "SEARCH_PARSE_ARGS AS requires an argument"),
    ("SCHEMA a AS b", "SEARCH_PARSE_ARGS Field `b` does not have a type"),
    ("SCHEMA t FOO", "SEARCH_PARSE_ARGS Invalid field type for field `t`"),
    ("SCHEMA t TEXT t TAG", "SEARCH_QUERY_BAD Duplicate field in schema - t"),
    ("SCHEMA t TEXT NOINDEX INDEXMISSING", "SEARCH_PARSE_ARGS Field `INDEXMISSING` does not have a type"),
    ("SCHEMA t TEXT INDEXMISSING NOINDEX",
     "SEARCH_PARSE_ARGS 'Field cannot be defined with both `NOINDEX` and `INDEXMISSING` `t` '"),
    ("SCHEMA t TEXT PHONETIC", "SEARCH_PARSE_ARGS PHONETIC requires an argument"),
    ("SCHEMA t TEXT WEIGHT x", "SEARCH_PARSE_ARGS Bad arguments for weight: Could not convert argument to expected type"),
    ("SCHEMA t TAG SEPARATOR ab", "SEARCH_PARSE_ARGS Tag separator must be a single character. Got `ab`"),
    ("SCHEMA s GEOSHAPE FLAT SPHERICAL", "SEARCH_PARSE_ARGS Field `SPHERICAL` does not have a type"),
    ("SCHEMA n NUMERIC INDEXEMPTY", "SEARCH_PARSE_ARGS Field `INDEXEMPTY` does not have a type"),
])
def test_refusals(text, message):
    assert refusal(create, text) == message


def test_field_names_of_bytes():
    def names(*words):
        return refusal(parse_create, [b"SCHEMA", *words])
    assert names(b"", b"TEXT") == "SEARCH_QUERY_BAD Field name cannot be empty"
    assert names(b"p", b"AS", b"a\0b", b"TEXT") == "SEARCH_QUERY_BAD Field name cannot contain null bytes"
    assert names(b"a\0b", b"AS", b"n", b"TEXT") == "SEARCH_QUERY_BAD Field path cannot contain null bytes"
    assert names(b"t", b"TEXT", b"PHONETIC", b"xx:en").startswith("SEARCH_QUERY_BAD Matcher Format: <2 chars algorithm>")
    assert parse_create([b"SCHEMA", b"\xff", b"TEXT"]).fields[0].name == b"\xff"
    assert names(b"\xff") == "SEARCH_PARSE_ARGS Field `\udcff` does not have a type"


def test_limits():
    assert len(create("SCHEMA " + " ".join(f"f{i} NUMERIC" for i in range(1024))).fields) == 1024
    assert refusal(create, "SCHEMA " + " ".join(f"f{i} NUMERIC"
                                                for i in range(1025))) == "SEARCH_LIMIT_OVER Schema is limited to 1024 fields"
    assert (refusal(create, "SCHEMA " + " ".join(f"f{i} TEXT" for i in range(129)))
            == "SEARCH_LIMIT_OVER Schema is limited to 128 TEXT fields")
    assert refusal(create, "PREFIX 1000001 " + "p " * 1000001 + "SCHEMA t TEXT").endswith(
        "(1000001) exceeds maximum allowed (1000000)")


def test_json_can_be_refused():
    assert (create("ON JSON SCHEMA $.a AS a NUMERIC SORTABLE").fields
            == [NumericSpec(path=b"$.a", name=b"a", sortable=True, unf=True)])
    assert refusal(create, "ON JSON SCHEMA t TEXT", json=False) == "SEARCH_ADD_ARGS Invalid rule type: JSON"


# ---------------------------------------------------------------------------------------------------- fields

def test_field_types():
    fields = create("SCHEMA t AS x TEXT NOSTEM WEIGHT 2.5 PHONETIC dm:fr WITHSUFFIXTRIE INDEXEMPTY INDEXMISSING SORTABLE UNF "
                    "g TAG SEPARATOR | CASESENSITIVE INDEXEMPTY SORTABLE n NUMERIC SORTABLE NOINDEX l GEO INDEXMISSING "
                    "s GEOSHAPE FLAT INDEXMISSING s2 GEOSHAPE SORTABLE v VECTOR FLAT 6 TYPE FLOAT16 DIM 4 DISTANCE_METRIC "
                    "COSINE INDEXMISSING").fields
    assert fields == [TextSpec(path=b"t", name=b"x", weight=2.5, no_stem=True, phonetic="dm:fr", suffix_trie=True,
                               index_empty=True, index_missing=True, sortable=True, unf=True),
                      TagSpec(path=b"g", name=b"g", separator=b"|", case_sensitive=True, index_empty=True, sortable=True,
                              unf=True), NumericSpec(path=b"n", name=b"n", sortable=True, unf=True, no_index=True),
                      GeoSpec(path=b"l", name=b"l", index_missing=True),
                      GeoShapeSpec(path=b"s", name=b"s", coord_system="FLAT", index_missing=True),
                      GeoShapeSpec(path=b"s2", name=b"s2", sortable=True),
                      VectorSpec(path=b"v", name=b"v", algorithm="FLAT", dtype="FLOAT16",
                                 dim=4, metric="COSINE", index_missing=True)]
    assert fields[-1].blob_size == 8 and [spec.type for spec in fields[-3:]] == ["GEOSHAPE", "GEOSHAPE", "VECTOR"]


def test_alter():
    existing = create("SCHEMA a TEXT").fields
    options = parse_alter(b"SKIPINITIALSCAN SCHEMA ADD b TAG c NUMERIC".split(), existing=existing)
    assert options.skip_initial_scan and [spec.name for spec in options.fields] == [b"b", b"c"]
    for text, message in [(b"FOO ADD z", "ALTER must be followed by SCHEMA"),
                          (b"SCHEMA DEL z", "Unknown action passed to ALTER SCHEMA"), (b"SCHEMA ADD", "No fields provided")]:
        assert refusal(parse_alter, text.split()) == "SEARCH_PARSE_ARGS " + message
    assert (refusal(parse_alter, b"SCHEMA ADD a TAG".split(), existing=existing)
            == "SEARCH_QUERY_BAD Duplicate field in schema - a")


# ---------------------------------------------------------------------------------------------------- VECTOR

@pytest.mark.parametrize("dtype", ["FLOAT32", "FLOAT64", "FLOAT16", "BFLOAT16", "INT8", "UINT8"])
@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW", "SVS-VAMANA"])
def test_types_by_algorithm(algorithm, dtype):
    text = f"{algorithm} 6 TYPE {dtype} DIM 8 DISTANCE_METRIC COSINE"
    if algorithm == "SVS-VAMANA" and dtype not in ("FLOAT16", "FLOAT32"):
        assert refusal(vector, text) == "SEARCH_PARSE_ARGS Not supported data type is given. Expected: FLOAT16, FLOAT32"
    else:
        assert vector(text).dtype == dtype


def test_vector_defaults():
    spec = vector(f"SVS-VAMANA 6 {BASE}")
    assert (spec.graph_max_degree, spec.construction_window_size, spec.search_window_size, spec.epsilon) == (32, 200, None, 0.01)
    assert (spec.compression, spec.training_threshold, spec.reduce) == (None, None, None)
    spec = vector(f"HNSW 6 {BASE}")
    assert (spec.m, spec.ef_construction, spec.ef_runtime, spec.epsilon) == (16, 200, 10, 0.01)


def test_vector_arguments():
    spec = vector(
        "hnsw 16 type float32 dim 8 distance_metric cosine M 8 EF_CONSTRUCTION 50 EF_RUNTIME 7 EPSILON 0.1 INITIAL_CAP 5")
    assert ((spec.algorithm, spec.metric, spec.m, spec.ef_construction, spec.ef_runtime, spec.epsilon)
            == ("HNSW", "COSINE", 8, 50, 7, 0.1))
    spec = vector(f"SVS-VAMANA 18 REDUCE 4.0 TRAINING_THRESHOLD 2048 {BASE} COMPRESSION leanvec4X8 GRAPH_MAX_DEGREE 64 EPSILON "
                  f"0 SEARCH_WINDOW_SIZE 30")
    assert (spec.compression, spec.reduce, spec.training_threshold, spec.graph_max_degree) == ("LeanVec4x8", 4, 2048, 64)
    assert (spec.epsilon, spec.search_window_size) == (0.01, 30)
    assert vector(f"SVS-VAMANA 10 {BASE} COMPRESSION LVQ8 COMPRESSION LVQ4").compression == "LVQ4"
    assert vector(f"SVS-VAMANA 8 {BASE} COMPRESSION LVQ8").training_threshold == 10240
    assert vector(f"SVS-VAMANA 10 {BASE} COMPRESSION LVQ8 TRAINING_THRESHOLD 10000000").training_threshold == 10000000
    assert vector(f"FLAT 10 {BASE} BLOCK_SIZE 5 INITIAL_CAP 0").block_size == 5
    assert vector("FLAT 8 TYPE FLOAT32 DIM 10.0 DISTANCE_METRIC L2 DIM 9").dim == 9


@pytest.mark.parametrize("name", ["LVQ4", "LVQ8", "LVQ4x4", "LVQ4x8", "LeanVec4x8", "LeanVec8x8"])
def test_redis_compressions_are_always_read(name):
    assert vector(f"SVS-VAMANA 8 {BASE} COMPRESSION {name.upper()}").compression == name


@pytest.mark.parametrize("name", ["LVQ8x8", "SQ8", "BIN"])
def test_extended_compressions_need_the_engine(name):
    assert vector(f"SVS-VAMANA 8 {BASE} COMPRESSION {name.lower()}", compressions=EXTENSIONS).compression == name
    assert refusal(vector, f"SVS-VAMANA 8 {BASE} COMPRESSION {name}") == \
        "SEARCH_PARSE_ARGS Bad arguments for vector similarity SVS-VAMANA index `COMPRESSION`: Unknown argument"


def test_hnsw_takes_sq8_where_the_engine_has_it():
    spec = vector(f"HNSW 10 {BASE} COMPRESSION SQ8 TRAINING_THRESHOLD 0", compressions=EXTENSIONS)
    assert (spec.compression, spec.training_threshold) == ("SQ8", 0)
    for text in (f"HNSW 8 {BASE} COMPRESSION LVQ8", f"FLAT 8 {BASE} COMPRESSION LVQ8"):
        assert refusal(vector, text).endswith(f"Bad arguments for algorithm {text[:4]}: COMPRESSION")
    assert refusal(vector, f"HNSW 8 {BASE} COMPRESSION SQ8").endswith("Bad arguments for algorithm HNSW: COMPRESSION")
    assert refusal(vector, f"HNSW 8 {BASE} TRAINING_THRESHOLD 2000", compressions=EXTENSIONS).endswith(
        "algorithm HNSW: TRAINING_THRESHOLD")


@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW", "SVS-VAMANA"])
@pytest.mark.parametrize("name", ["LVQ4", "LVQ8", "LVQ4x4", "LVQ4x8", "LVQ8x8", "LeanVec4x8", "LeanVec8x8", "SQ8", "BIN"])
def test_every_algorithm_takes_every_compression(algorithm, name):
    spec = vector(f"{algorithm} 10 {BASE} COMPRESSION {name.lower()} TRAINING_THRESHOLD 2000", compressions=EXTENSIONS)
    assert (spec.compression, spec.training_threshold, spec.reduce, spec.reduction) == (name, 2000, None, None)
    assert vector(f"{algorithm} 8 {BASE} COMPRESSION {name}", compressions=EXTENSIONS).training_threshold == 10240
    message = refusal(vector, f"{algorithm} 8 {BASE} COMPRESSION PQ99", compressions=EXTENSIONS)
    assert message.endswith(f"vector similarity {algorithm} index `COMPRESSION`: Unknown argument")
    if name != "SQ8":
        assert "TRAINING_THRESHOLD" in refusal(vector, f"{algorithm} 10 {BASE} COMPRESSION {name} TRAINING_THRESHOLD 0",
                                               compressions=EXTENSIONS)
    if name.startswith("LeanVec"):
        for reduction in ("PCA", "OOD", "PREFIX", "RANDOM"):
            spec = vector(f"{algorithm} 12 {BASE} COMPRESSION {name} REDUCE 4 REDUCTION {reduction.lower()}",
                          compressions=EXTENSIONS)
            assert (spec.reduce, spec.reduction) == (4, reduction)
        assert refusal(vector, f"{algorithm} 10 {BASE} COMPRESSION {name} REDUCTION SVD", compressions=EXTENSIONS).endswith(
            "index `REDUCTION`: Unknown argument")
    else:
        for words in ("REDUCE 4", "REDUCTION OOD"):
            assert refusal(vector, f"{algorithm} 10 {BASE} COMPRESSION {name} {words}", compressions=EXTENSIONS).endswith(
                "is irrelevant when compression is not of type LeanVec")


def test_words_of_compressions_want_one():
    for words in ("REDUCE 4", "REDUCTION OOD", "TRAINING_THRESHOLD 2000"):
        for algorithm in ("FLAT", "HNSW"):
            assert refusal(vector, f"{algorithm} 8 {BASE} {words}", compressions=EXTENSIONS).endswith(
                f"algorithm {algorithm}: {words.split()[0]}")
    assert refusal(vector, f"SVS-VAMANA 8 {BASE} REDUCTION OOD", compressions=EXTENSIONS).endswith("not of type LeanVec")


ODD = "got {} but expected even number as algorithm parameters (should be submitted as named arguments)"


@pytest.mark.parametrize("text, message", [
    ("", "Bad arguments for vector similarity algorithm: Expected an argument, but none provided"),
    ("SVS 6", "Bad arguments for vector similarity algorithm: Unknown argument"),
    ("6 TYPE FLOAT32", "Bad arguments for vector similarity algorithm: Unknown argument"),
    ("HNSW", "Bad arguments for vector similarity number of parameters: Expected an argument, but none provided"),
    ("FLAT x", "Bad arguments for vector similarity number of parameters: Could not convert argument to expected type"),
    ("HNSW -1", "Bad arguments for vector similarity number of parameters: Value is outside acceptable bounds"),
    ("FLAT 1 SIZE", "Bad number of arguments for vector similarity index: " + ODD.format(1)),
    ("SVS-VAMANA 1 SIZE", "Bad number of arguments for vector similarity index: " + ODD.format(1)),
    ("HNSW 6", "Bad arguments for vector similarity: not enough arguments"),
    ("HNSW 7 " + BASE, "Bad arguments for vector similarity: not enough arguments"),
    ("HNSW 5 TYPE FLOAT32 DIM 8 DISTANCE_METRIC",
     "Bad arguments for vector similarity HNSW index `DISTANCE_METRIC`: Expected an argument, but none provided"),
    ("FLAT 6", "Expected 6 parameters but got 0"),
    ("SVS-VAMANA 6", "Expected 6 parameters but got 0"),
    ("SVS-VAMANA 8 " + BASE, "Expected 8 parameters but got 6"),
    ("FLAT 2 SIZE 5", "Bad arguments for algorithm FLAT: SIZE"),
    ("HNSW 2 SIZE 100", "Bad arguments for algorithm HNSW: SIZE"),
    ("SVS-VAMANA 2 SIZE 5", "Bad arguments for algorithm SVS-VAMANA: SIZE"),
    (f"SVS-VAMANA 8 {BASE} INITIAL_CAP 10", "Bad arguments for algorithm SVS-VAMANA: INITIAL_CAP"),
    (f"SVS-VAMANA 8 {BASE} SEARCH_BUFFER_CAPACITY 10", "Bad arguments for algorithm SVS-VAMANA: SEARCH_BUFFER_CAPACITY"),
    (f"SVS-VAMANA 8 {BASE} RERANK TRUE", "Bad arguments for algorithm SVS-VAMANA: RERANK"),
    (f"HNSW 8 {BASE} BLOCK_SIZE 5", "Bad arguments for algorithm HNSW: BLOCK_SIZE"),
    (f"FLAT 8 {BASE} M 4", "Bad arguments for algorithm FLAT: M"),
    ("FLAT 6 TYPE FOO DIM 8 DISTANCE_METRIC L2", "Bad arguments for vector similarity FLAT index `TYPE`: Unknown argument"),
    ("HNSW 6 TYPE FLOAT32 DIM 8 DISTANCE_METRIC FOO",
     "Bad arguments for vector similarity HNSW index `DISTANCE_METRIC`: Unknown argument"),
    ("FLAT 6 TYPE FLOAT32 DIM 0 DISTANCE_METRIC L2",
     "Bad arguments for vector similarity FLAT index `DIM`: Value is outside acceptable bounds"),
    ("FLAT 6 TYPE FLOAT32 DIM 3.14 DISTANCE_METRIC L2",
     "Bad arguments for vector similarity FLAT index `DIM`: Could not convert argument to expected type"),
    ("FLAT 6 TYPE FLOAT32 DIM 8 DISTANCE_METRIC",
     "Bad arguments for vector similarity FLAT index `DISTANCE_METRIC`: Expected an argument, but none provided"),
    (f"HNSW 8 {BASE} EPSILON -0.1",
     "Bad arguments for vector similarity HNSW index `EPSILON`: Value is outside acceptable bounds"),
    ("FLAT 0", "Missing mandatory parameter: cannot create FLAT index without specifying TYPE argument"),
    ("HNSW 2 TYPE FLOAT32", "Missing mandatory parameter: cannot create HNSW index without specifying DIM argument"),
    ("SVS-VAMANA 4 TYPE FLOAT32 DIM 8",
     "Missing mandatory parameter: cannot create SVS-VAMANA index without specifying DISTANCE_METRIC argument"),
    (f"SVS-VAMANA 10 {BASE} COMPRESSION LVQ8 TRAINING_THRESHOLD 1023",
     "Invalid TRAINING_THRESHOLD: cannot be lower than DEFAULT_BLOCK_SIZE (1024)"),
    (f"SVS-VAMANA 10 {BASE} COMPRESSION LVQ8 TRAINING_THRESHOLD 0",
     "Bad arguments for vector similarity SVS-VAMANA index `TRAINING_THRESHOLD`: " "Value is outside acceptable bounds"),
    (f"SVS-VAMANA 8 {BASE} TRAINING_THRESHOLD 2048", "TRAINING_THRESHOLD is irrelevant when compression was not requested"),
    (f"SVS-VAMANA 8 {BASE} REDUCE 4", "REDUCE is irrelevant when compression is not of type LeanVec"),
    (f"SVS-VAMANA 10 {BASE} COMPRESSION LVQ4x4 REDUCE 4", "REDUCE is irrelevant when compression is not of type LeanVec"),
    (f"SVS-VAMANA 10 {BASE} REDUCE 4 TRAINING_THRESHOLD 2048",
     "TRAINING_THRESHOLD is irrelevant when compression was not requested"),
    (f"HNSW 8 {BASE} RERANK maybe", "Syntax error: RERANK value must be TRUE or FALSE"),
    (f"SVS-VAMANA 8 {BASE} RERANK", "RERANK requires an argument"),
    (f"HNSW 10 {BASE} RERANK AUTO RERANK AUTO", "Duplicate RERANK parameter"),
    (f"SVS-VAMANA 6 {BASE} SORTABLE", "Field `SORTABLE` does not have a type"),
])
def test_vector_refusals(text, message):
    assert refusal(vector, text) == "SEARCH_PARSE_ARGS " + message


def test_rerank_is_for_disks():
    assert (refusal(vector, f"HNSW 8 {BASE} RERANK TRUE")
            == "SEARCH_QUERY_BAD RERANK is only supported for disk-based vector indexes")


def test_order_of_checks():
    # A bad value is reported when it is read; the count comes next, then the required names.
    assert ("TRAINING_THRESHOLD: cannot be lower"
            in refusal(vector, "SVS-VAMANA 10 TYPE FLOAT32 DIM 8 COMPRESSION LVQ8 REDUCE 4 TRAINING_THRESHOLD 5"))
    assert "Expected 6 parameters but got 4" in refusal(vector, "SVS-VAMANA 6 TYPE FLOAT32 DIM 8")
    assert "DISTANCE_METRIC argument" in refusal(vector, "SVS-VAMANA 6 TYPE FLOAT32 DIM 8 TRAINING_THRESHOLD 2048")


@pytest.mark.parametrize("algorithm, dim, size", [("FLAT", 300, 1216), ("HNSW", 8, 251), ("HNSW", 300, 1419),
                                                  ("SVS-VAMANA", 8, 164), ("SVS-VAMANA", 300, 1332)])
def test_memory_check(algorithm, dim, size):
    text = f"{algorithm} 6 TYPE FLOAT32 DIM {dim} DISTANCE_METRIC L2"
    assert element_size(vector(text)) == size
    assert vector(text, memory_limit=size)
    assert refusal(vector, text, memory_limit=size - 1) == \
        f"SEARCH_LIMIT_OVER Vector index element size {size} exceeded maximum size allowed by server limit which is 0"
