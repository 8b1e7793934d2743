"""Runtime attributes of vector clauses: every cell of attribute x place x algorithm."""
import pytest

from commands.ft.binding import bind
from commands.ft.create_options import parse_create
from commands.ft.errors import CommandError
from commands.ft.query import parse_query
from commands.ft.runtime import MAX_K, KnnRuntime, RangeRuntime, check_blob, knn_runtime, range_runtime

TAIL = " (Error parsing vector similarity parameters)"
OPTION = "SEARCH_OPTION_INVALID Invalid option" + TAIL
VALUE = "SEARCH_VALUE_BAD Invalid value was given" + TAIL
TWICE = "SEARCH_PARAM_DUP Parameter was specified twice" + TAIL
NOT_HYBRID = "SEARCH_HYBRID_ATTR_NON_HYBRID hybrid query attributes were sent for a non-hybrid query" + TAIL
NOT_RANGE = "SEARCH_RANGE_ATTR_NON_RANGE range query attributes were sent for a non-range query" + TAIL
POLICY = "SEARCH_HYBRID_POLICY_BAD invalid hybrid policy was given" + TAIL
ADHOC_BATCH = "SEARCH_ADHOC_BATCH_SIZE_IRRELEVANT 'batch size' is irrelevant for the selected policy" + TAIL
ADHOC_EF = "SEARCH_ADHOC_EF_RUNTIME_IRRELEVANT 'EF_RUNTIME' is irrelevant for the selected policy" + TAIL


def fields(algorithm: str):
    words = f"SCHEMA n NUMERIC v VECTOR {algorithm} 6 TYPE FLOAT32 DIM 2 DISTANCE_METRIC L2"
    return {spec.name: spec for spec in parse_create(words.encode().split()).fields}


def run(algorithm: str, place: str, attributes: str):
    """place: plain or filtered with the attributes inside the clause, block or range with them behind it."""
    schema = fields(algorithm)
    text = {"plain": f"*=>[KNN 3 @v $b {attributes}]", "filtered": f"@n>1=>[KNN 3 @v $b {attributes}]",
            "block": f"@n>1=>[KNN 3 @v $b]=>{{{attributes}}}", "range": f"@v:[VECTOR_RANGE 2 $b]=>{{{attributes}}}"}[place]
    node = bind(parse_query(text.encode(), 2, schema), {b"b": b"12345678", b"p": b"7", b"h": b"off"})
    return range_runtime(node, schema[b"v"]) if place == "range" else knn_runtime(node, schema[b"v"], filtered=place != "plain")


def refusal(*args) -> str:
    with pytest.raises(CommandError) as caught:
        run(*args)
    return caught.value.text


ALL, HNSW, SVS, GRAPHS = {"FLAT", "HNSW", "SVS-VAMANA"}, {"HNSW"}, {"SVS-VAMANA"}, {"HNSW", "SVS-VAMANA"}

# attribute, value, algorithms that know it, {place: what is raised there on those}
TABLE = [
    ("EF_RUNTIME", "20", HNSW, {"range": OPTION}),
    ("EPSILON", "0.1", GRAPHS, {"plain": NOT_RANGE, "filtered": NOT_RANGE, "block": NOT_RANGE}),
    ("BATCH_SIZE", "5", ALL, {"plain": NOT_HYBRID, "range": NOT_HYBRID}),
    ("HYBRID_POLICY", "batches", ALL, {"plain": NOT_HYBRID, "range": NOT_HYBRID}),
    ("SEARCH_WINDOW_SIZE", "20", SVS, {}),
    ("SEARCH_BUFFER_CAPACITY", "20", SVS, {}),
    ("USE_SEARCH_HISTORY", "AUTO", SVS, {}),
    ("SHARD_K_RATIO", "0.5", ALL, {"plain": OPTION, "filtered": OPTION}),
    ("RERANK", "TRUE", set(), {}),
]


@pytest.mark.parametrize("algorithm", sorted(ALL))
@pytest.mark.parametrize("place", ["plain", "filtered", "block", "range"])
@pytest.mark.parametrize("name, value, algorithms, raised", TABLE)
def test_table(name, value, algorithms, raised, place, algorithm):
    inline = place in ("plain", "filtered")
    attributes = f"{name} {value}" if inline else f"${name}: {value}"
    if algorithm not in algorithms:
        in_block = not inline and algorithms == SVS          # Redis knows these names only inside the clause
        assert refusal(algorithm, place, attributes) == (f"SEARCH_OPTION_INVALID Invalid attribute {name}"
                                                         if in_block else OPTION)
    elif place in raised:
        assert refusal(algorithm, place, attributes) == raised[place]
    else:
        assert run(algorithm, place, attributes)


@pytest.mark.parametrize("algorithm, place, attributes, message", [
    ("HNSW", "plain", "FOO 3", OPTION),
    ("HNSW", "plain", "EF_RUNTIME 0", VALUE),
    ("HNSW", "plain", "EF_RUNTIME -1", VALUE),
    ("HNSW", "plain", "EF_RUNTIME 1.5", VALUE),
    ("HNSW", "plain", "EF_RUNTIME abc", VALUE),
    ("HNSW", "plain", "EF_RUNTIME 08", VALUE),
    ("HNSW", "plain", "EF_RUNTIME 10 EF_RUNTIME 20", TWICE),
    ("HNSW", "block", "$EF_RUNTIME: 1; $EF_RUNTIME: 2", TWICE),
    ("SVS-VAMANA", "plain", "USE_SEARCH_HISTORY DEFAULT", VALUE),
    ("SVS-VAMANA", "plain", "SEARCH_WINDOW_SIZE 10 SEARCH_WINDOW_SIZE 10", TWICE),
    ("FLAT", "filtered", "HYBRID_POLICY FOO", POLICY),
    ("FLAT", "filtered", "BATCH_SIZE x", VALUE),
    ("FLAT", "plain", "BATCH_SIZE x", NOT_HYBRID),
    ("FLAT", "plain", "HYBRID_POLICY BATCHES EF_RUNTIME 30", NOT_HYBRID),
    ("FLAT", "filtered", "HYBRID_POLICY BATCHES EF_RUNTIME 30", OPTION),
    ("FLAT", "filtered", "BATCH_SIZE 3 HYBRID_POLICY ADHOC_BF", ADHOC_BATCH),
    ("HNSW", "filtered", "HYBRID_POLICY ADHOC_BF EF_RUNTIME 30", ADHOC_EF),
    ("HNSW", "range", "$EPSILON: 0", VALUE),
    ("HNSW", "range", "$EPSILON: -1", VALUE),
    ("HNSW", "range", "$EPSILON: 1; $EPSILON: 2", TWICE),
    ("FLAT", "range", "$EPSILON: 0.1", OPTION),
    ("FLAT", "block", "$SHARD_K_RATIO: x", "SEARCH_VALUE_BAD Invalid shard k ratio value 'x'"),
    ("FLAT", "block", "$SHARD_K_RATIO: 2",
     "SEARCH_VALUE_BAD Invalid shard k ratio value: Shard k ratio must be greater than 0 and at most 1 (got 2)"),
])
def test_refusals(algorithm, place, attributes, message):
    assert refusal(algorithm, place, attributes) == message


def test_values():
    assert run("HNSW", "plain", "EF_RUNTIME 0x20") == KnnRuntime(3, ef_runtime=32)
    assert run("HNSW", "plain", "EF_RUNTIME 010") == KnnRuntime(3, ef_runtime=8)
    assert run("HNSW", "filtered", "HYBRID_POLICY adhoc_bf") == KnnRuntime(3, policy="ADHOC_BF")
    assert run("SVS-VAMANA", "plain", "SEARCH_WINDOW_SIZE $p USE_SEARCH_HISTORY $h") == KnnRuntime(3, window=7, history="OFF")
    assert run("SVS-VAMANA", "range", "$EPSILON: 0.5; $SEARCH_WINDOW_SIZE: 30") == RangeRuntime(2.0, epsilon=0.5, window=30)


def test_a_buffer_holds_its_window():
    assert run("SVS-VAMANA", "plain", "SEARCH_BUFFER_CAPACITY 5 SEARCH_WINDOW_SIZE 30").capacity == 30
    assert run("SVS-VAMANA", "plain", "SEARCH_BUFFER_CAPACITY 50 SEARCH_WINDOW_SIZE 30").capacity == 50


def test_blob_radius_and_k():
    spec = fields("FLAT")[b"v"]
    check_blob(b"12345678", spec)
    with pytest.raises(CommandError) as caught:
        check_blob(b"1234567", spec)
    assert caught.value.text == ("SEARCH_QUERY_BAD Error parsing vector similarity query: query vector blob size (7) does not "
                                 "match index's expected size (8).")
    for text, message in ((b"@v:[VECTOR_RANGE -1 $b]", "negative radius (-1) given in a range query"),
                          (b"*=>[KNN %d @v $b]" % (MAX_K + 1), f"query KNN K parameter is too large, must not exceed {MAX_K}")):
        node = bind(parse_query(text, 2, fields("FLAT")), {b"b": b"12345678"})
        with pytest.raises(CommandError) as caught:
            range_runtime(node, spec) if text.startswith(b"@") else knn_runtime(node, spec, filtered=False)
        assert caught.value.text == "SEARCH_QUERY_BAD Error parsing vector similarity query: " + message
