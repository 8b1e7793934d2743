"""VAMANA.TUNE: what each compression would make of a field."""
import time

import numpy as np
import pytest
import redis

import native

DIM = 32


def vectors(n, seed=0, kind="<f4"):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, DIM))
    x = centres[rng.integers(0, 20, n)] + 0.5 * rng.standard_normal((n, DIM))
    if np.dtype(kind) == "<u2":                 # BFLOAT16
        return (x.astype("<f4").view("<u4") >> 16).astype("<u2")
    return x.astype(kind) if np.dtype(kind).kind == "f" else np.clip(np.rint(40 * x), -127, 127).astype(kind)


def fill(client, n, algorithm="SVS-VAMANA", *options, kind="FLOAT32", metric="L2"):
    words = ("TYPE", kind, "DIM", DIM, "DISTANCE_METRIC", metric, *options)
    client.execute_command("FT.CREATE", "i", "SCHEMA", "v", "VECTOR", algorithm, len(words), *words)
    pipe = client.pipeline(False)
    data = vectors(n, kind=native.DTYPES[kind][1])
    for i, vector in enumerate(data):
        pipe.hset(f"d{i}", "v", vector.tobytes())
    pipe.execute()
    client.execute_command("_FT.DEBUG", "WORKERS", "DRAIN")
    return data


def as_dict(reply):
    return {k.decode(): v for k, v in (reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2]))}


def tune(client, *words):
    how = {name: client.connection_pool.connection_kwargs[name] for name in ("host", "port", "protocol")}
    with redis.Redis(**how, socket_timeout=None) as patient:            # a busy machine makes it wait
        found = as_dict(patient.execute_command("VAMANA.TUNE", "i", "v", *words))
    return found, {one["compression"].decode(): one for one in map(as_dict, found["compressions"])}


def test_the_reply(both):
    fill(both, 1500)
    found, trials = tune(both, "K", 5, "SAMPLE", 1000)
    assert list(found) == ["vectors", "queries", "source", "k", "target_recall", "smallest", "smallest_rerank", "fastest",
                           "fastest_rerank", "compressions", "ms"]
    assert int(found["vectors"]) == 900 and int(found["queries"]) == 100 and found["source"] == b"documents"
    assert int(found["k"]) == 5
    assert float(found["target_recall"]) == 0.95
    assert list(trials) == ["NO_COMPRESSION", *native.COMPRESSIONS]
    for name, one in trials.items():
        compression = None if name == "NO_COMPRESSION" else name
        assert int(one["bytes_per_vector"]) == native.bytes_per_vector(DIM, compression=compression, metric="L2")
        assert int(one["index_bytes"]) > 1500 * int(one["bytes_per_vector"]) and int(one["build_rate"]) > 100
        assert 0 < float(one["recall_at_best"]) <= 1
        assert (int(one["rerank"]) > 0) == ("rerank_us_at_0.95" in one)
        if int(one["rerank"]):
            assert float(one["rerank_recall_at_best"]) >= max(0.99, float(one["recall_at_best"]))
        times = [one[f"us_at_{level}"] for level in ("0.90", "0.95", "0.99")]
        known = [float(us) for us in times if us is not None]
        assert known == sorted(known) and all(us is None for us in times[len(known):])
    assert float(trials["NO_COMPRESSION"]["recall_at_best"]) == 1
    assert float(trials["BIN"]["recall_at_best"]) < float(trials["LVQ8"]["recall_at_best"]) > 0.97
    for best in ("smallest", "fastest"):
        one = trials[found[best].decode()]
        assert int(found[best + "_rerank"]) in (0, int(one["rerank"]))
        assert one["rerank_us_at_0.95" if int(found[best + "_rerank"]) else "us_at_0.95"] is not None
    reached = [int(one["bytes_per_vector"]) for one in trials.values() if one["us_at_0.95"] or one.get("rerank_us_at_0.95")]
    assert int(trials[found["smallest"].decode()]["bytes_per_vector"]) == min(reached)


def test_recent_queries_and_target(r3):
    fill(r3, 1200, "SVS-VAMANA", "TARGET_RECALL", "0.9", "COMPRESSION", "LeanVec4x8", "REDUCE", 16)
    for query in vectors(60, 3):
        r3.execute_command("FT.SEARCH", "i", "*=>[KNN 3 @v $q]", "PARAMS", 2, "q", query.tobytes(), "NOCONTENT", "DIALECT", 2)
    found, trials = tune(r3, "SAMPLE", 800)
    assert found["source"] == b"recent queries" and found["queries"] == 60 and found["vectors"] == 800
    assert found["target_recall"] == 0.9
    expected = native.bytes_per_vector(DIM, compression="LeanVec4x8", reduce=16, metric="L2")
    assert trials["LeanVec4x8"]["bytes_per_vector"] == expected


@pytest.mark.parametrize("algorithm, options, kind, metric", [
    ("FLAT", (), "FLOAT32", "IP"), ("HNSW", ("M", 8), "INT8", "COSINE"), ("FLAT", (), "BFLOAT16", "COSINE"),
    ("HNSW", (), "FLOAT64", "L2"),
    ("SVS-VAMANA", ("COMPRESSION", "LVQ4", "SEARCH_WINDOW_SIZE", 20), "FLOAT16", "IP")])
def test_every_kind_of_field(r3, algorithm, options, kind, metric):
    fill(r3, 700, algorithm, *options, kind=kind, metric=metric)
    found, trials = tune(r3)
    assert len(trials) == 1 + len(native.COMPRESSIONS) and found["smallest"] is not None
    assert trials["NO_COMPRESSION"]["recall_at_best"] == 1 and trials["LVQ8x8"]["recall_at_best"] > 0.97


@pytest.mark.parametrize("words, text", [
    (("X", 1), "Unknown argument `X`: there are K, SAMPLE"), (("K", 0), "K must be an integer from 1 to 100"),
    (("SAMPLE",), "SAMPLE must be"),
    (("SAMPLE", 10), "SAMPLE must be an integer from 500 to 50000")])
def test_bad_arguments(both, words, text):
    fill(both, 3)
    with pytest.raises(redis.ResponseError, match=text):
        tune(both, *words)


def test_too_few_vectors(both):
    fill(both, 100)
    with pytest.raises(redis.ResponseError, match="There are 90 vectors; a comparison takes at least 500"):
        tune(both)


def test_a_client_that_goes_and_an_index_that_is_dropped(r3, connect):
    fill(r3, 6000)
    gone, asking = connect(), connect()
    gone.send(b"VAMANA.TUNE i v\r\n")
    asking.send(b"VAMANA.TUNE i v\r\n")
    time.sleep(0.2)
    gone.close()
    for _ in range(100):                        # which have their turns between: in one piece it would be done before the second
        r3.ping()
    r3.execute_command("FT.DROPINDEX", "i")
    assert "dropped" in str(asking.read())
    assert r3.ping()
