"""VAMANA.ESTIMATE: what it says an index will take is what FT.INFO then shows."""
import json
import time

import numpy as np
import pytest
import redis

import helpers
import native

DIM, N = 96, 4500
VECTOR = ("TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", "L2")


def as_dict(reply):
    return {k.decode(): v for k, v in (reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2]))}


def schema(algorithm, *options):
    return ("ON", "HASH", "PREFIX", 1, "doc:", "SCHEMA", "tag", "TAG", "price", "NUMERIC", "SORTABLE", "title", "TEXT",
            "NOSTEM", "SORTABLE", "v", "VECTOR", algorithm, len(VECTOR) + len(options), *VECTOR, *options)


def estimate(client, *words):
    return as_dict(client.execute_command("VAMANA.ESTIMATE", *words))


@pytest.fixture(scope="module")
def filled(module_server):
    """A client and a function that fills an index; documents stay from one test to the next."""
    with helpers.client(module_server, 3) as client:
        client.flushall()
        vectors = np.random.default_rng(1).standard_normal((N, DIM)).astype("<f4")
        pipe = client.pipeline(False)
        for i, vector in enumerate(vectors):
            pipe.hset(f"doc:{i:05d}", mapping={"tag": f"tag-{i % 500:04d}", "price": i,
                                               "title": f"of {i % 300:03d} and {i % 77:04d}", "v": vector.tobytes()})
        pipe.execute()

        def make(*words):
            client.execute_command("FT.CREATE", "i", *words)
            while True:
                info = client.execute_command("FT.INFO", "i")
                if info[b"num_docs"] == N and not info[b"indexing"]:
                    break
            client.execute_command("_FT.DEBUG", "WORKERS", "DRAIN")
            for query in ("*=>[KNN 10 @v $q]", "@price:[1 2000]"):
                client.execute_command("FT.SEARCH", "i", query, "PARAMS", 2, "q", vectors[0].tobytes(), "NOCONTENT", "DIALECT", 2)
            while any(one.get(b"training_threshold", N) < N and not one[b"trained"]
                      for one in client.execute_command("FT.INFO", "i")[b"attributes"]):
                time.sleep(0.01)
            return client.execute_command("FT.INFO", "i")
        yield client, make
        client.flushall()


def _sizes(said, shown):
    """Yields (name, what VAMANA.ESTIMATE said, what FT.INFO shows) in bytes."""
    by_type = {bytes(field[b"type"]): field for field in said["fields"]}
    for name, size in (("total_index_memory_sz_mb", said["bytes"]), ("vector_index_sz_mb", by_type[b"VECTOR"][b"bytes"]),
                       ("inverted_sz_mb offset_vectors_sz_mb text_overhead_sz_mb tag_overhead_sz_mb",
                        by_type[b"NUMERIC"][b"bytes"] + by_type[b"TAG"][b"bytes"] + said["text_index"]),
                       ("sortable_values_size_mb", by_type[b"TEXT"][b"bytes"]),
                       ("doc_table_size_mb key_table_size_mb", said["document_table"])):
        yield name, size, sum(shown[one.encode()] for one in name.split()) * (1 << 20)


@pytest.mark.parametrize("algorithm, options", [
    ("SVS-VAMANA", ()), ("HNSW", ("M", 8)), ("FLAT", ()),
    *[("SVS-VAMANA", ("COMPRESSION", name, "TRAINING_THRESHOLD", 1024)) for name in native.COMPRESSIONS],
    ("HNSW", ("COMPRESSION", "SQ8", "TRAINING_THRESHOLD", 0)), ("SVS-VAMANA", ("COMPRESSION", "LeanVec4x8", "REDUCE", 32)),
    ("SVS-VAMANA", ("COMPRESSION", "LVQ4"))])
def test_it_takes_that(filled, algorithm, options):
    client, make = filled
    said = estimate(client, N, "ASSUME", 16, "KEY_BYTES", 9, "TAG_VALUES", 500, "TAG_BYTES", 8, "SORTABLE_BYTES", 15,
                    "TEXT_WORDS", 2, "TEXT_POSTINGS", 2, "TEXT_TERMS", 377, "TEXT_TERM_BYTES", 3, "i",
                    *schema(algorithm, *options))
    try:
        shown = make(*schema(algorithm, *options))
        # what was trained on goes when its last reader has gone; what searches take comes with them
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and any(size != pytest.approx(held, rel=0.05) for _, size, held in _sizes(said, shown)):
            time.sleep(0.05)
            shown = client.execute_command("FT.INFO", "i")
    finally:
        client.execute_command("FT.DROPINDEX", "i")
    for name, size, held in _sizes(said, shown):
        assert size == pytest.approx(held, rel=0.05), (name, said)
    assert said["peak_training"] >= said["bytes"] and said["peak_retraining"] >= said["bytes"]
    assert said["originals_bytes"] == N * DIM * 4


def test_the_reply(both):
    said = estimate(both, 1_000_000, "idx", *schema("SVS-VAMANA", "COMPRESSION", "LVQ4x4"))
    assert list(said) == ["documents", "bytes", "bytes_per_document", "document_table", "text_index", "peak_training",
                          "peak_retraining", "originals_bytes", "fields", "assumed"]
    fields = [as_dict(one) for one in said["fields"]]
    assert [one["attribute"] for one in fields] == [b"tag", b"price", b"title", b"v"]
    vector = fields[-1]
    assert list(vector)[4:] == ["bytes", "bytes_per_vector", *native.PARTS, "peak_training", "peak_retraining", "originals",
                                "originals_bytes"]
    assert sum(vector[part] for part in native.PARTS) == vector["bytes"]
    assert said["bytes"] == said["document_table"] + said["text_index"] + sum(one["bytes"] for one in fields)
    assert as_dict(said["assumed"]) == {"KEY_BYTES": 16, "TAG_VALUES": 1000, "TAG_BYTES": 10, "TAGS_PER_DOCUMENT": 1,
                                        "TEXT_WORDS": 20, "TEXT_POSTINGS": 25, "TEXT_TERMS": 50000, "TEXT_TERM_BYTES": 7,
                                        "SORTABLE_BYTES": 16}
    small = estimate(both, 1_000_000, "idx", "SCHEMA", "v", "VECTOR", "FLAT", 6, *VECTOR)
    assert list(as_dict(small["assumed"])) == ["KEY_BYTES"]
    assert not both.execute_command("FT._LIST")


def test_several_vectors_of_a_document(r3):
    schema = ("ON", "JSON", "SCHEMA", "$.v[*]", "AS", "v", "VECTOR", "HNSW", 6, *VECTOR)
    said = estimate(r3, 1500, "ASSUME", 4, "VECTORS_PER_DOCUMENT", 3, "KEY_BYTES", 5, "i", *schema)
    assert said["assumed"] == {b"KEY_BYTES": 5, b"VECTORS_PER_DOCUMENT": 3} and said["originals_bytes"] == 4500 * DIM * 4
    r3.execute_command("FT.CREATE", "i", *schema)
    vectors = np.random.default_rng(1).standard_normal((1500, 3, DIM)).round(3).tolist()
    pipe = r3.pipeline(False)
    for i, one in enumerate(vectors):
        pipe.execute_command("JSON.SET", f"{i:05d}", "$", json.dumps({"v": one}))
    pipe.execute()
    r3.execute_command("_FT.DEBUG", "WORKERS", "DRAIN")
    assert said["bytes"] == pytest.approx(r3.execute_command("FT.INFO", "i")[b"total_index_memory_sz_mb"] * (1 << 20), rel=0.05)


def test_originals_on_disk(both):
    said = estimate(both, 1000, "idx", *schema("FLAT", "ORIGINALS", "DISK"))
    assert as_dict(said["fields"][-1])["originals"] == b"disk"


@pytest.mark.parametrize("words, text", [
    (("many", "i", *schema("FLAT")), "The number of documents must be an integer from 1 to 1073741824"),
    ((0, "i", *schema("FLAT")), "The number of documents must be"),
    ((10, "ASSUME", 2, "X", 1, "i", *schema("FLAT")), "Unknown argument `X`: there are KEY_BYTES, TAG_VALUES"),
    ((10, "ASSUME", 2, "KEY_BYTES", "x", "i", *schema("FLAT")), "KEY_BYTES must be an integer from 0"),
    ((10, "ASSUME", 9, "KEY_BYTES", 1), "ASSUME"),
    ((10, "ASSUME", 2, "KEY_BYTES", 1), "VAMANA.ESTIMATE"),
    ((10, "i", *schema("SVS-VAMANA", "COMPRESSION", "LVQ5")), "COMPRESSION"),
    ((10, "i", "SCHEMA", "v", "VECTOR", "FLAT", 2, "DIM", 3), "TYPE"),
    ((10, "i", *schema("SVS-VAMANA", "GRAPH_MAX_DEGREE", 100000)), "argument out of range"),
    ((10, "i", "SCHEMA", "v", "BLOB"), "Invalid field type for field `v`")])
def test_bad_arguments(both, words, text):
    with pytest.raises(redis.ResponseError, match=text):
        both.execute_command("VAMANA.ESTIMATE", *words)
