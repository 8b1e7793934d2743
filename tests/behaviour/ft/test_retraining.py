"""VAMANA.RETRAIN, drift in FT.INFO, and search-retrain."""
import json
import threading
import time

import numpy as np
import pytest
import redis

from helpers import PATIENCE, client, wait_until

DIM = 96
SCALE = 1 / np.sqrt(1 + np.arange(DIM))
CENTRES = np.random.default_rng(99).standard_normal((40, DIM)) * SCALE


def clustered(n, seed=0, spread=0.5):
    rng = np.random.default_rng(seed)
    return (CENTRES[rng.integers(0, 40, n)] + spread * rng.standard_normal((n, DIM)) * SCALE).astype("<f4")


def foreign(n, seed=1):
    """Vectors that lie where those of clustered() hardly do."""
    return np.ascontiguousarray(0.5 + 2 * clustered(n, seed)[:, ::-1])


def create(r2, *options, algorithm="SVS-VAMANA", dtype="FLOAT32"):
    words = ["TYPE", dtype, "DIM", DIM, "DISTANCE_METRIC", "L2", *options]
    r2.execute_command("FT.CREATE", "i", "SCHEMA", "v", "VECTOR", algorithm, len(words), *words)


def fill(r2, data, first=0):
    pipe = r2.pipeline(False)
    for i, vector in enumerate(data, first):
        pipe.hset(f"d{i}", "v", vector.tobytes())
    pipe.execute()


def info(r2):
    reply = r2.execute_command("FT.INFO", "i")
    reply = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))
    attribute = reply[b"attributes"][0]
    return attribute if isinstance(attribute, dict) else dict(zip(attribute[::2], attribute[1::2]))


def wait_for(r2, condition):
    now = None

    def holds():
        nonlocal now
        now = info(r2)
        return condition(now)
    wait_until(holds)
    return now


def is_trained(now):
    return now.get(b"training", b"done") != b"running"


def settled(now):
    return is_trained(now) and now.get(b"pending_vectors", 0) == 0


def retrain(r2, *words, until=settled):
    listener = r2.pubsub()
    listener.subscribe("__vamana__:i")
    listener.get_message(timeout=PATIENCE)
    assert r2.execute_command("VAMANA.RETRAIN", "i", "v", *words) == b"OK"
    told = messages(listener, "retrained")
    listener.close()
    assert "COMPRESSION" not in words or told["compression"] == words[words.index("COMPRESSION") + 1]
    return wait_for(r2, until)


def recall(r2, data, queries, attributes="{$SEARCH_WINDOW_SIZE: 100; $RERANK: OFF}"):
    right = 0
    for query in queries:
        exact = np.argsort(((data - query) ** 2).sum(1))[:10]
        reply = r2.execute_command("FT.SEARCH", "i", f"*=>[KNN 10 @v $q]=>{attributes}", "PARAMS", 2,
                                       "q", query.tobytes(), "NOCONTENT", "DIALECT", 2)
        ids = [row[b"id"] for row in reply[b"results"]] if isinstance(reply, dict) else reply[1:]
        right += len({int(i[1:]) for i in ids} & set(exact.tolist()))
    return right / 10 / len(queries)


def messages(pubsub, kind):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        message = pubsub.get_message(timeout=0.1)
        if message and message["type"] == "message":
            told = json.loads(message["data"])
            assert told["event"] != "retraining-failed", told
            if told["event"] == kind:
                return told
    raise AssertionError(f"no {kind} event")


@pytest.mark.parametrize("algorithm", ["SVS-VAMANA", "HNSW", "FLAT"])
def test_compression_of_a_live_index_changes_through_all_kinds(r2, algorithm):
    data = clustered(3000)
    queries = clustered(40, 7)
    create(r2, algorithm=algorithm)
    fill(r2, data)
    wait_for(r2, settled)
    least = {"LVQ8": 0.93, "LVQ4": 0.55, "LeanVec4x8": 0.85, "BIN": 0.15, "NONE": 0.93, "SQ8": 0.9, "LVQ4x8": 0.9}
    for compression in ("LVQ4", "LVQ4x8", "BIN", "LeanVec4x8", "SQ8", "NONE", "LVQ8"):
        now = retrain(r2, "COMPRESSION", compression)
        if compression != "NONE":
            assert now[b"effective_compression"].decode() == compression
        window = {"FLAT": "", "HNSW": "$EF_RUNTIME: 100; "}.get(algorithm, "$SEARCH_WINDOW_SIZE: 100; ")
        assert recall(r2, data, queries, f"{{{window}$RERANK: OFF}}") >= least[compression], compression


def test_what_coarse_codes_lost_comes_back_from_the_documents(r2):
    data = clustered(3000)
    queries = clustered(60, 7)
    create(r2, "COMPRESSION", "BIN", "TRAINING_THRESHOLD", 1024)
    fill(r2, data)
    wait_for(r2, lambda now: settled(now) and now[b"effective_compression"] == b"BIN")
    coarse = recall(r2, data, queries)
    retrain(r2, "COMPRESSION", "LVQ8")
    assert coarse < 0.8 < 0.93 <= recall(r2, data, queries)


def test_reduce_and_reduction(r2):
    create(r2, "COMPRESSION", "LeanVec4x8", "TRAINING_THRESHOLD", 1024)
    fill(r2, clustered(1500))
    wait_for(r2, lambda now: settled(now) and now[b"trained"] == 1)
    now = retrain(r2, "REDUCE", 32, "REDUCTION", "RANDOM")
    assert (int(now[b"reduce"]), now[b"reduction"], now[b"effective_reduction"]) == (32, b"RANDOM", b"RANDOM")
    assert 0 < float(now[b"captured_energy"]) < 1
    now = retrain(r2, "REDUCTION", "PREFIX")
    assert (int(now[b"reduce"]), now[b"reduction"]) == (32, b"PREFIX")


def test_retraining_while_documents_come_and_go(r2, server):
    data = clustered(4000)
    create(r2, "COMPRESSION", "LVQ4", "TRAINING_THRESHOLD", 1024)
    fill(r2, data)
    wait_for(r2, lambda now: settled(now) and now[b"trained"] == 1)
    current = dict(enumerate(data))
    stop, failures = threading.Event(), []

    def write():
        mine = client(server)
        rng = np.random.default_rng(3)
        try:
            while not stop.is_set():
                i = int(rng.integers(0, 4000))
                if rng.random() < 0.3:
                    mine.delete(f"d{i}")
                    current.pop(i, None)
                else:
                    vector = clustered(1, int(rng.integers(1 << 30)))[0]
                    mine.hset(f"d{i}", "v", vector.tobytes())
                    current[i] = vector
                time.sleep(0.001)
        except Exception as error:              # told by the test
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for compression in ("LVQ4x8", "LeanVec8x8", "LVQ8"):
            retrain(r2, "COMPRESSION", compression, until=is_trained)
    finally:
        stop.set()
        writer.join()
    assert not failures
    wait_for(r2, settled)
    ids, rows = np.array(list(current)), np.array(list(current.values()))
    places = np.full((4000, DIM), 1e3, "<f4")   # those that are gone: far from everything
    places[ids] = rows
    assert r2.dbsize() == len(ids) and recall(r2, places, clustered(40, 7)) >= 0.88


def test_drift_is_noticed_told_and_mended(r2):
    r2.config_set("search-retrain", "auto")
    listener = r2.pubsub()
    listener.subscribe("__vamana__:i")
    create(r2, "COMPRESSION", "LeanVec4x8", "REDUCE", 32, "TRAINING_THRESHOLD", 2000)
    fill(r2, clustered(3000))
    now = wait_for(r2, lambda now: settled(now) and now[b"trained"] == 1)
    assert int(now[b"epoch"]) == 1
    fill(r2, clustered(3000, 5), 3000)
    assert float(wait_for(r2, settled)[b"drift"]) < 1.4
    fill(r2, foreign(3000), 6000)
    told = messages(listener, "drift")
    assert told["field"] == "v" and told["drift"] >= 1.4 and told["epoch"] == 1
    assert messages(listener, "retraining")["why"].startswith("drift")
    done = messages(listener, "retrained")
    assert done["epoch"] == 2 and done["compression"] == "LeanVec4x8"
    now = wait_for(r2, settled)
    assert int(now[b"epoch"]) == 2 and float(now[b"captured_energy_trained"]) > 0
    listener.close()


def test_manual_only_tells(r2):
    r2.config_set("search-retrain", "manual")
    try:
        listener = r2.pubsub()
        listener.subscribe("__vamana__:i")
        create(r2, "COMPRESSION", "SQ8", "TRAINING_THRESHOLD", 1024)
        fill(r2, clustered(2000))
        wait_for(r2, lambda now: settled(now) and now[b"trained"] == 1)
        fill(r2, foreign(3000), 2000)
        assert messages(listener, "drift")["drift"] >= 1.4
        time.sleep(1.5)
        now = info(r2)
        assert int(now[b"epoch"]) == 1 and float(now[b"clip_rate"]) > 0.001
        now = retrain(r2)
        assert float(now[b"drift"]) < 1.4 and float(now[b"clip_rate"]) < 0.001
        listener.close()
    finally:
        r2.config_set("search-retrain", "auto")


def test_an_index_dropped_meanwhile_ends_it(r2):
    create(r2, "COMPRESSION", "LVQ8")
    fill(r2, clustered(3000))
    r2.execute_command("VAMANA.RETRAIN", "i", "v", "COMPRESSION", "LVQ4x4")
    r2.execute_command("FT.DROPINDEX", "i")
    assert r2.ping()
    create(r2, "COMPRESSION", "LVQ8")
    wait_for(r2, settled)
    retrain(r2, "COMPRESSION", "LVQ4x4")


@pytest.mark.parametrize("words, reason", [
    (("COMPRESSION", "LVQ9"), "COMPRESSION must be one of NONE, LVQ4"), (("COMPRESSION",), "COMPRESSION must be one of"),
    (("REDUCE", 8), "REDUCE is irrelevant"),
    (("COMPRESSION", "LeanVec4x8", "REDUCE", DIM + 1), f"REDUCE must be an integer from 1 to {DIM}"),
    (("COMPRESSION", "LeanVec4x8", "REDUCTION", "SOME"), "REDUCTION must be one of PCA, OOD, PREFIX, RANDOM"),
    (("REDUCTION", "PCA"), "REDUCTION"), (("WINDOW", 5), "there are COMPRESSION, REDUCE, REDUCTION"),
    ((), "no vectors to learn from")])
def test_what_it_refuses(r2, words, reason):
    create(r2, "COMPRESSION", "LVQ8")
    with pytest.raises(redis.ResponseError, match=reason):
        r2.execute_command("VAMANA.RETRAIN", "i", "v", *words)
    with pytest.raises(redis.ResponseError):
        r2.execute_command("VAMANA.RETRAIN", "i", "nothing")


def test_none_is_for_float32_and_for_what_has_a_compression(r2):
    create(r2, dtype="FLOAT16")
    r2.hset("d1", "v", np.ones(DIM, "<f2").tobytes())
    with pytest.raises(redis.ResponseError, match="COMPRESSION must name one"):
        r2.execute_command("VAMANA.RETRAIN", "i", "v")
    retrain(r2, "COMPRESSION", "LVQ8")
    with pytest.raises(redis.ResponseError, match="TYPE FLOAT32"):
        r2.execute_command("VAMANA.RETRAIN", "i", "v", "COMPRESSION", "NONE")


def test_documents_of_several_vectors(r2):
    """Trained again, compared and measured by all of their vectors."""
    data = clustered(1200).reshape(600, 2, DIM)
    r2.execute_command("FT.CREATE", "i", "ON", "JSON", "SCHEMA", "$.v[*]", "AS", "v", "VECTOR", "SVS-VAMANA", 8,
                       "TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", "L2", "COMPRESSION", "LVQ8")
    for i, vectors in enumerate(data):
        r2.execute_command("JSON.SET", f"d{i}", "$", json.dumps({"v": vectors.tolist()}))
    wait_for(r2, settled)
    for compression in ("LeanVec4x8", "LVQ4", "NONE"):
        retrain(r2, "COMPRESSION", compression)
        now = info(r2)
        assert now[b"compression"].decode() == compression.replace("NONE", "NO_COMPRESSION") and now.get(b"trained", 1) == 1
        right = 0
        for query in clustered(20, 7):
            exact = np.argsort(((data - query) ** 2).sum(2).min(1))[:10]
            found = r2.execute_command("FT.SEARCH", "i", "*=>[KNN 10 @v $q]", "PARAMS", 2, "q", query.tobytes(), "NOCONTENT",
                                       "DIALECT", 2)[1:]
            right += len({int(i[1:]) for i in found} & set(exact.tolist()))
        assert right >= 160
    measured = dict(zip(*[iter(r2.execute_command("VAMANA.RECALL", "i", "v", "SAMPLE", 50, "SOURCE", "DOCUMENTS"))] * 2))
    assert measured[b"exact_by"] == b"originals" and float(measured[b"recall"]) >= 0.85 and measured[b"queries"] == 50
    compared = dict(zip(*[iter(r2.execute_command("VAMANA.TUNE", "i", "v", "SAMPLE", 500))] * 2))
    assert compared[b"smallest"] and compared[b"vectors"] >= 250
