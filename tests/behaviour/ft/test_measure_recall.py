"""VAMANA.RECALL, TARGET_RECALL and what FT.INFO says about recall."""
import math
import threading
import time

import numpy as np
import pytest
import redis

from helpers import client as patient_client
from helpers import wait_until

DIM = 24


def vectors(n, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((40, DIM))
    return (centres[rng.integers(0, 40, n)] + 0.6 * rng.standard_normal((n, DIM))).astype("<f4")


def create(client, *options, algorithm="SVS-VAMANA", metric="L2", name="i"):
    words = ["TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", metric, *options]
    client.execute_command("FT.CREATE", name, "SCHEMA", "v", "VECTOR", algorithm, len(words), *words)


def fill(client, data):
    pipe = client.pipeline(False)
    for i, vector in enumerate(data):
        pipe.hset(f"d{i}", "v", vector.tobytes())
    pipe.execute()
    client.execute_command("_FT.DEBUG", "WORKERS", "DRAIN")
    before, deadline = None, time.monotonic() + 10
    while time.monotonic() < deadline:          # what it measures about itself comes when all is linked
        now = info(client)
        shown = [now.get(name) for name in (b"search_window_size", b"window_recall", b"rerank_measured", b"rerank_candidates")]
        if shown == before and (shown[2] != 0 or len(data) < 1000):
            break
        before = shown
        time.sleep(0.3)


def knn(client, vector, attributes=""):
    reply = client.execute_command("FT.SEARCH", "i", f"*=>[KNN 10 @v $q]{attributes}", "PARAMS", 2, "q", vector.tobytes(),
                                   "NOCONTENT", "DIALECT", 2)
    return {row[b"id"] for row in reply[b"results"]} if isinstance(reply, dict) else set(reply[1:])


def recall(client, *words):
    reply = client.execute_command("VAMANA.RECALL", "i", "v", *words)
    return {k.decode(): v for k, v in (reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2]))}


def info(client):
    reply = client.execute_command("FT.INFO", "i")
    attributes = (reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2])))[b"attributes"][0]
    if isinstance(attributes, dict):
        return attributes
    return dict(zip(attributes[::2], attributes[1::2]))


def truth(client, data, queries, attributes=""):
    shares = []
    for query in queries:
        nearest = np.argsort(((data - query) ** 2).sum(1), kind="stable")[:10]
        shares.append(len(knn(client, query, attributes) & {b"d%d" % i for i in nearest}) / 10)
    return np.mean(shares)


@pytest.mark.parametrize("options", [("COMPRESSION", "LVQ8", "TRAINING_THRESHOLD", 1024),
                                     ("GRAPH_MAX_DEGREE", 16, "SEARCH_WINDOW_SIZE", 10)])
def test_measured_recall_is_the_true_one(both, options):
    data, queries = np.split(vectors(6300), [6000])
    create(both, *options)
    fill(both, data)
    by_documents = recall(both, "SAMPLE", 300)
    assert by_documents["source"] == b"documents"
    true = truth(both, data, queries)
    found = recall(both, "SAMPLE", 300)
    assert found["source"] == b"recent queries" and found["exact_by"] == b"originals" and int(found["queries"]) == 300
    assert abs(float(found["recall"]) - true) < 0.005
    assert float(found["low"]) - 0.005 <= true <= float(found["high"]) + 0.005
    assert float(found["high"]) - float(found["low"]) < 0.1
    # A document that the walk goes round leaves a gap: on such clusters measured 0.013 too low, and 300 of them are off by 0.006
    # more. (With 8 neighbours whole clusters are out of reach of a narrow window, and no small sample says how many.)
    assert -0.09 < float(by_documents["recall"]) - true < 0.06
    assert int(found["k"]) == 10 and int(found["window"]) >= 10 and float(found["ms"]) > 0
    wide = recall(both, "K", 5, "SEARCH_WINDOW_SIZE", 500, "RERANK", 50, "SOURCE", "QUERIES")
    assert float(wide["recall"]) > 0.99 and int(wide["window"]) == 500 and int(wide["rerank"]) == 50 and int(wide["k"]) == 5
    assert recall(both, "SOURCE", "documents", "SAMPLE", 10)["source"] == b"documents"


@pytest.mark.parametrize("n, is_equal", [(0, False), (1, False), (5, False), (30, True), (3000, True)])
def test_degenerate(both, n, is_equal):
    create(both)
    fill(both, np.ones((n, DIM), "<f4") if is_equal else vectors(n))
    found = recall(both, "SAMPLE", 50)
    if n < 2:
        assert int(found["queries"]) == 0 and math.isnan(float(found["recall"]))
    else:
        assert float(found["recall"]) == 1 and int(found["queries"]) == min(n, 50)
    assert float(found["low"]) <= 1 and float(found["high"]) == 1


@pytest.mark.parametrize("algorithm, options", [("FLAT", ()), ("HNSW", ("M", 8)), ("SVS-VAMANA", ("COMPRESSION", "LVQ4"))])
def test_every_algorithm(r3, algorithm, options):
    create(r3, *options, algorithm=algorithm, metric="COSINE")
    fill(r3, vectors(1500))
    found = recall(r3, "SAMPLE", 40)
    assert found["recall"] == 1 if algorithm == "FLAT" else found["recall"] > 0.8


@pytest.mark.parametrize("words, text", [
    (("X", 1), "Unknown argument `X`: there are K, SAMPLE"), (("K", 0), "K must be an integer from 1 to 1000"),
    (("K",), "K must be"), (("SAMPLE", "many"), "SAMPLE must be an integer from 1 to 10000"),
    (("SEARCH_WINDOW_SIZE", -1), "SEARCH_WINDOW_SIZE must be an integer from 1 to 1048576"),
    (("RERANK", "TRUE"), "RERANK must be AUTO, OFF"),
    (("SOURCE", "X"), "SOURCE must be QUERIES or DOCUMENTS"), (("SOURCE",), "SOURCE must be")])
def test_bad_arguments_name_what_is_allowed(both, words, text):
    create(both)
    with pytest.raises(redis.ResponseError, match=text):
        recall(both, *words)


def test_what_is_not_there(both):
    with pytest.raises(redis.ResponseError, match="(?i)not found|no such"):
        recall(both)
    both.execute_command("FT.CREATE", "i", "SCHEMA", "v", "NUMERIC")
    with pytest.raises(redis.ResponseError, match="Not a vector field"):
        recall(both)
    with pytest.raises(redis.ResponseError, match="No such field"):
        both.execute_command("VAMANA.RECALL", "i", "w")


def test_not_inside_a_transaction(raw):
    raw.call("FT.CREATE", "i", "SCHEMA", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", "L2")
    raw.call("MULTI")
    assert "not allowed inside a transaction" in str(raw.call("VAMANA.RECALL", "i", "v"))


def test_an_index_that_is_dropped_meanwhile(server, r3, connect):
    create(r3)
    fill(r3, vectors(4000))
    asking = [connect() for _ in range(5)]
    for one in asking:
        one.send(b"VAMANA.RECALL i v SAMPLE 4000\r\n" * 20)
    asking[0].read()
    r3.execute_command("FT.DROPINDEX", "i")
    replies = [one.read() for one in asking for _ in range(19 if one is asking[0] else 20)]
    refused = [str(reply) for reply in replies if not isinstance(reply, list)]
    assert refused and all("dropped" in reply or "not found" in reply.lower() or "No such index" in reply for reply in refused)
    assert r3.ping()


def test_a_client_that_goes_meanwhile(r3, connect):
    create(r3)
    fill(r3, vectors(3000))
    asking = connect()
    asking.send(b"VAMANA.RECALL i v SAMPLE 3000\r\n")
    time.sleep(0.02)
    asking.close()
    assert float(recall(r3, "SAMPLE", 20)["recall"]) > 0.8


def test_beside_writes_and_deletions(server, r3):
    data = vectors(4000)
    create(r3, "COMPRESSION", "LVQ8", "TRAINING_THRESHOLD", 1024)
    fill(r3, data)
    stop = threading.Event()

    def write():
        with patient_client(server) as client:
            rng = np.random.default_rng(3)
            while not stop.is_set():
                i = int(rng.integers(0, 5000))
                if i % 3:
                    client.hset(f"d{i}", "v", data[i % 4000].tobytes())
                else:
                    client.delete(f"d{i}")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            found = recall(r3, "SAMPLE", 200)
            assert float(found["recall"]) > 0.75, found     # the window aims at 0.95 on an index that rests
    finally:
        stop.set()
        writer.join()


def test_target_recall(both):
    data, queries = np.split(vectors(8200), [8000])
    create(both, "GRAPH_MAX_DEGREE", 8, "TARGET_RECALL", "0.8")
    fill(both, data)
    shown = wait_until(lambda: b"window_recall" in info(both) and info(both))
    assert float(shown[b"target_recall"]) == 0.8 and float(shown[b"window_recall"]) >= 0.8
    assert truth(both, data, queries) >= 0.7        # 0.85 as a rule: how it is linked is up to the threads
    few, many = (truth(both, data, queries, "=>{$TARGET_RECALL: %s}" % target) for target in ("0.8", "0.98"))
    assert many >= 0.92 and few < many
    pipelined = both.execute_command("FT.SEARCH", "i", "*=>[KNN 3 @v $q TARGET_RECALL $t]", "PARAMS", 4, "q",
                                     queries[0].tobytes(), "t", "0.9", "NOCONTENT", "DIALECT", 2)
    assert len(pipelined[b"results"] if isinstance(pipelined, dict) else pipelined[1:]) == 3


@pytest.mark.parametrize("value", ["0.4", "1", "x", "-1"])
def test_bad_targets(both, value):
    with pytest.raises(redis.ResponseError, match="TARGET_RECALL"):
        create(both, "TARGET_RECALL", value)
    create(both)
    fill(both, vectors(10))
    with pytest.raises(redis.ResponseError, match="0.5 to 0.999"):
        knn(both, vectors(1)[0], "=>{$TARGET_RECALL: %s}" % value)


def test_a_target_and_a_window_exclude_each_other(both):
    with pytest.raises(redis.ResponseError, match="exclude each other"):
        create(both, "TARGET_RECALL", "0.9", "SEARCH_WINDOW_SIZE", 20)
    create(both)
    fill(both, vectors(10))
    with pytest.raises(redis.ResponseError, match="exclude each other"):
        knn(both, vectors(1)[0], "=>{$TARGET_RECALL: 0.9; $SEARCH_WINDOW_SIZE: 20}")


def test_the_running_estimate(own_server, r3):
    r3.config_set("search-recall-probe", 16)
    create(r3)
    fill(r3, vectors(3000))
    shown = wait_until(lambda: b"recall_estimate" in info(r3) and info(r3))
    assert 0.8 < shown[b"recall_estimate"] <= 1 and shown[b"recall_low"] <= shown[b"recall_estimate"] <= shown[b"recall_high"]
    assert shown[b"recall_queries"] == 16 and shown[b"recall_age"] < 100
