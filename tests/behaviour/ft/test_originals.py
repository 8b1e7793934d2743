"""Original vectors on disk: the same bytes everywhere, switching, compaction, damage, a full disk."""
import json
import os
import resource

import numpy as np
import pytest
import redis

import helpers
from helpers import running_server, wait_until

DIM = 32
RNG = np.random.default_rng(5)
VECTORS = RNG.normal(size=(64, DIM)).astype("<f4")
BLOBS = [vector.tobytes() for vector in VECTORS]
WIDTH = 4 * DIM
STRIDE = WIDTH + 16


def create(client, originals=None, name="idx", prefix="d:", path="v", dim=DIM, algorithm="FLAT"):
    extra = ["ORIGINALS", originals] if originals else []
    client.execute_command("FT.CREATE", name, "ON", "HASH", "PREFIX", 1, prefix, "SCHEMA", "t", "TAG", path, "VECTOR", algorithm,
                           6 + len(extra), "TYPE", "FLOAT32", "DIM", dim, "DISTANCE_METRIC", "L2", *extra)


def figures(client):
    """The search_originals section: on disk, bytes on disk, damaged, refused."""
    return {name.removeprefix("search_originals_"): value for name, value in client.info("search_originals").items()}


def on_disk(client):
    return figures(client)["on_disk"]


def details(client, name="idx"):
    reply = client.execute_command("FT.INFO", name)
    reply = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))
    attribute = reply[b"attributes"][-1]
    return attribute if isinstance(attribute, dict) else dict(zip(attribute[::2], attribute[1::2]))


def file_of(server, width=WIDTH):
    return os.path.join(server.dir, f"originals-{width}.slots")


def script(client):
    """Replies of everything that can touch a vector field, in an order that does not depend on where it lives."""
    replies = []

    def call(*words):
        try:
            reply = client.execute_command(*words)
            if words[0] == "HTTL":
                reply = [left > 0 for left in reply]    # a second may pass
        except redis.ResponseError as error:
            reply = str(error)
        replies.append((words[:3], reply))
        return reply

    for i in range(8):
        call("HSET", f"d:{i}", "t", "even" if i % 2 == 0 else "odd", "v", BLOBS[i], "n", i)
    call("HMSET", "d:8", "v", BLOBS[8], "t", "x")
    call("HSETNX", "d:9", "v", BLOBS[9]), call("HSETNX", "d:9", "v", BLOBS[10])
    call("HSETEX", "d:10", "FIELDS", 2, "v", BLOBS[10], "t", "x"), call("HSETEX", "d:10", "FNX", "FIELDS", 1, "v", BLOBS[11])
    call("HSETEX", "d:11", "EX", 100_000, "FIELDS", 1, "v", BLOBS[11])
    call("HSETEX", "d:11", "KEEPTTL", "FIELDS", 1, "v", BLOBS[12])
    call("HTTL", "d:11", "FIELDS", 1, "v"), call("HPERSIST", "d:11", "FIELDS", 1, "v")
    call("HSET", "d:12", "v", BLOBS[0], "v", BLOBS[1]), call("HSET", "d:12", "v", BLOBS[2]), call("HSET", "d:12", "v", BLOBS[2])
    call("HSET", "d:13", "v", b"too short", "t", "x"), call("HSET", "other", "v", BLOBS[3])
    for i in range(14):
        key = f"d:{i}"
        call("HGET", key, "v"), call("HGETALL", key), call("HMGET", key, "v", "t", "none"), call("HSTRLEN", key, "v")
        call("HVALS", key)
        call("HKEYS", key), call("HLEN", key), call("HEXISTS", key, "v"), call("OBJECT", "ENCODING", key), call("HSCAN", key, 0)
        call("HRANDFIELD", key, 100, "WITHVALUES"), call("TYPE", key)
        call("HINCRBY", key, "v", 1), call("HINCRBYFLOAT", key, "v", 1)
    call("HGETEX", "d:1", "FIELDS", 2, "v", "t"), call("HGETEX", "d:1", "EX", 100_000, "FIELDS", 1, "v"), call("HGETALL", "d:1")
    call("HPEXPIRE", "d:1", 100_000_000, "FIELDS", 1, "v"), call("HGET", "d:1", "v"), call("HSCAN", "d:1", 0)
    call("HRANDFIELD", "d:1", 9, "WITHVALUES")
    call("HGETDEL", "d:2", "FIELDS", 1, "v"), call("HGETALL", "d:2"), call("HDEL", "d:3", "v"), call("HGETALL", "d:3")
    call("HPEXPIRE", "d:4", 0, "FIELDS", 1, "v"), call("HGETALL", "d:4")
    call("COPY", "d:0", "d:copy"), call("COPY", "d:0", "elsewhere"), call("COPY", "d:1", "d:timed"), call("HGETALL", "d:copy")
    call("HGETALL", "elsewhere"), call("HGETALL", "d:timed"), call("HSET", "d:0", "v", BLOBS[20]), call("HGET", "d:copy", "v")
    call("RENAME", "d:5", "d:renamed"), call("HGETALL", "d:renamed"), call("RENAME", "d:6", "away"), call("HGETALL", "away")
    call("RENAME", "other", "d:other"), call("HGETALL", "d:other"), call("RENAME", "away", "d:6"), call("HGETALL", "d:6")
    call("MOVE", "d:7", 1), call("SELECT", 1), call("HGETALL", "d:7"), call("MOVE", "d:7", 0), call("SELECT", 0)
    call("HGETALL", "d:7")
    call("RPUSH", "list", 7, 0, 6), call("SORT", "list", "BY", "d:*->v", "ALPHA", "GET", "#", "GET", "d:*->v", "GET", "d:*->t")
    call("SORT", "list", "BY", "d:*->n", "GET", "d:*->v", "STORE", "sorted"), call("LRANGE", "sorted", 0, -1)
    with client.pipeline(transaction=True) as pipe:
        pipe.hset("d:20", mapping={"v": BLOBS[30], "t": "x"})
        pipe.hget("d:20", "v")
        pipe.hset("d:20", "t", "y")
        pipe.hgetall("d:20")
        replies.append(("exec", pipe.execute()))
    call("HSET", "d:8", "t", "even"), call("HSET", "d:8", *[word for i in range(40) for word in (f"f{i}", i)])
    call("HGETALL", "d:8")
    call("HSET", "d:8", "v", BLOBS[33]), call("HGET", "d:8", "v"), call("HDEL", "d:8", "v", "t"), call("HLEN", "d:8")
    call("FT.SEARCH", "idx", "*=>[KNN 30 @v $b AS dist]", "PARAMS", 2, "b", BLOBS[2], "SORTBY", "dist", "RETURN", 2, "v",
         "dist", "LIMIT", 0, 50, "DIALECT", 2)
    call("FT.SEARCH", "idx", "*=>[KNN 30 @v $b AS dist]", "PARAMS", 2, "b", BLOBS[2], "SORTBY", "dist", "LIMIT", 0,
         50, "DIALECT", 2)
    call("FT.SEARCH", "idx", "@t:{even}", "RETURN", 1, "v", "DIALECT", 2), call("FT.SEARCH", "idx", "*", "LIMIT", 0, 50)
    call("FT.AGGREGATE", "idx", "*", "LOAD", 3, "@__key", "@v", "@t", "SORTBY", 1, "@__key")
    call("FT.AGGREGATE", "idx", "*", "LOAD", "*")
    call("DEL", "d:0"), call("HGETALL", "d:0"), call("PEXPIRE", "d:9", 0), call("HGETALL", "d:9"), call("SWAPDB", 0, 2)
    call("SELECT", 2)
    call("HGETALL", "d:10"), call("SWAPDB", 0, 2), call("SELECT", 0), call("HGETALL", "d:10"), call("DBSIZE")
    return replies


def test_every_reply_is_the_same(both):
    create(both, "MEMORY")
    expected = script(both)
    assert on_disk(both) == 0
    both.flushall()
    create(both, "DISK")
    wait_until(lambda: on_disk(both) == 0, what="an empty store")
    replies = script(both)
    assert figures(both)["refused"] == figures(both)["damaged"] == 0 < on_disk(both)
    for got, wanted in zip(replies, expected, strict=True):
        if got[0][0] == "FT.SEARCH":                    # as they are, but SWAPDB has indexed all anew
            assert got[1] == wanted[1]
        assert got == wanted
    assert int(both.memory_usage("d:10")) > 0
    both.flushall()
    wait_until(lambda: on_disk(both) == 0, what="free slots")


def test_they_take_less_memory(r2):
    for place in ("MEMORY", "DISK"):
        create(r2, place, dim=2000)
        for i in range(3):
            r2.hset(f"d:{i}", mapping={"v": bytes(8000), "t": "x"})
        size = r2.memory_usage("d:2")
        assert size > 8000 if place == "MEMORY" else size < 400
        r2.flushall()


def test_what_info_says(both):
    create(both, "DISK")
    assert details(both)[b"originals"] == b"disk" and 0 < details(both)[b"originals_disk_bytes"] < 40 * WIDTH + 65536
    for i in range(40):
        both.hset(f"d:{i}", "v", BLOBS[i])
    assert details(both)[b"originals_disk_bytes"] >= 40 * WIDTH
    assert on_disk(both) == 40 and figures(both)["disk_bytes"] >= 40 * WIDTH and figures(both)["used_memory"] > 0
    create(both, None, "plain", "p:")
    assert details(both, "plain")[b"originals"] == b"memory"
    create(both, "DISK", "tiny", "t:", dim=4)           # shorter than what is worth a slot
    assert details(both, "tiny")[b"originals"] == b"memory"


def test_bad_arguments_name_what_is_allowed(r2):
    with pytest.raises(redis.ResponseError):
        create(r2, "TAPE")
    with pytest.raises(redis.ResponseError, match="memory, disk"):
        r2.config_set("search-vector-originals", "tape")


@pytest.fixture
def by_default(r2):
    yield r2
    r2.config_set("search-vector-originals", "memory")


def test_switching_while_writing(by_default):
    client = by_default
    create(client)
    create(client, "MEMORY", "fixed", "m:")
    n = 3000
    rng = np.random.default_rng(1)
    model = {}

    def write(count):
        with client.pipeline(transaction=False) as pipe:
            for i in rng.integers(0, n, count).tolist():
                blob = rng.normal(size=DIM).astype("<f4").tobytes()
                kind = rng.integers(0, 10)
                if kind == 0 and i in model:
                    pipe.delete(f"d:{i}")
                    del model[i]
                elif kind == 1 and i in model:
                    pipe.hdel(f"d:{i}", "v")
                    model[i] = None
                else:
                    pipe.hset(f"d:{i}", mapping={"v": blob, "t": "x"})
                    model[i] = blob
            pipe.execute()

    def check():
        with client.pipeline(transaction=False) as pipe:
            for i in range(n):
                pipe.hget(f"d:{i}", "v")
            assert pipe.execute() == [model.get(i) for i in range(n)]

    for i in range(10):
        client.hset(f"m:{i}", "v", BLOBS[i])
    for i in range(6):
        write(500)
    for place in ("disk", "memory", "disk", "memory"):
        client.config_set("search-vector-originals", place)
        for _ in range(3):
            write(300)
            check()
        there = sum(blob is not None for blob in model.values())
        wait_until(lambda: on_disk(client) == (there if place == "disk" else 0), what=f"all in {place}")
        check()
        assert details(client)[b"originals"] == place.encode() and details(client, "fixed")[b"originals"] == b"memory"
    client.config_set("search-vector-originals", "disk")        # and back before the first is done
    client.config_set("search-vector-originals", "memory")
    wait_until(lambda: on_disk(client) == 0, what="all in memory")
    check()


def test_an_index_over_what_is_there(r2):
    for i in range(20):
        r2.hset(f"d:{i}", mapping={"v": BLOBS[i], "t": "x"})
    create(r2, "DISK")
    wait_until(lambda: on_disk(r2) == 20, what="all on disk")
    r2.execute_command("FT.ALTER", "idx", "SCHEMA", "ADD", "w", "VECTOR", "FLAT", 8, "TYPE", "FLOAT32", "DIM", DIM,
                       "DISTANCE_METRIC", "L2", "ORIGINALS", "DISK")
    r2.hset("d:0", "w", BLOBS[50])
    assert on_disk(r2) == 21 and r2.hmget("d:0", "v", "w") == [BLOBS[0], BLOBS[50]]
    r2.execute_command("FT.DROPINDEX", "idx")
    assert on_disk(r2) == 21 and [r2.hget(f"d:{i}", "v") for i in range(20)] == BLOBS[:20]
    r2.hset("d:1", "v", BLOBS[40])                              # nobody wants it on disk any more
    assert on_disk(r2) == 20 and r2.hget("d:1", "v") == BLOBS[40]
    create(r2, "MEMORY")
    assert (r2.execute_command("FT.SEARCH", "idx", "*=>[KNN 1 @v $b]", "PARAMS", 2, "b", BLOBS[40], "NOCONTENT", "DIALECT", 2)
            == [1, b"d:1"])


def test_expired_and_deleted_ones_free_their_slots(r2):
    create(r2, "DISK")
    for i in range(30):
        r2.hset(f"d:{i}", mapping={"v": BLOBS[i], "t": "x"})
        if i < 10:
            r2.pexpire(f"d:{i}", 20)
        elif i < 20:
            r2.execute_command("HPEXPIRE", f"d:{i}", 20, "FIELDS", 1, "v")
    wait_until(lambda: on_disk(r2) == 10, what="expired ones gone")
    assert r2.hgetall("d:15") == {b"t": b"x"} and r2.hget("d:25", "v") == BLOBS[25]
    r2.execute_command("FT.DROPINDEX", "idx", "DD")
    wait_until(lambda: on_disk(r2) == 0, what="deleted ones gone")


def test_the_file_becomes_shorter(own_server, r2):
    create(r2, "DISK", algorithm="SVS-VAMANA")
    r2.execute_command("FT.CREATE", "json", "ON", "JSON", "PREFIX", 1, "d:", "SCHEMA", "$.v", "AS", "v", "VECTOR", "FLAT", 8,
                       "TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", "L2", "ORIGINALS", "DISK")
    n = 20_000
    vectors = np.random.default_rng(3).normal(size=(n, DIM)).astype("<f4")

    def is_json(i):                                 # some of those that stay
        return i >= n - 2000 and i % 20 == 0

    for start in range(0, n, 1000):
        with r2.pipeline(transaction=False) as pipe:
            for i in range(start, start + 1000):
                if is_json(i):
                    pipe.execute_command("JSON.SET", f"d:{i}", "$", json.dumps({"v": vectors[i].tolist()}))
                else:
                    pipe.hset(f"d:{i}", "v", vectors[i].tobytes())
            pipe.execute()
    assert os.path.getsize(file_of(own_server)) >= n * STRIDE
    for start in range(0, n, 1000):
        with r2.pipeline(transaction=False) as pipe:
            for i in range(start, start + 1000):
                if i % 10:
                    pipe.delete(f"d:{i}")
            pipe.execute()
    wait_until(lambda: os.path.getsize(file_of(own_server)) <= 4096 + 4096 * STRIDE, what="a short file")
    assert on_disk(r2) == n // 10
    assert all(r2.hget(f"d:{i}", "v") == vectors[i].tobytes() for i in range(0, n, 10) if not is_json(i))
    assert all(json.loads(r2.execute_command("JSON.GET", f"d:{i}", "$.v"))[0] == vectors[i].tolist()
               for i in range(0, n, 10) if is_json(i))
    r2.flushall()
    wait_until(lambda: os.path.getsize(file_of(own_server)) == 4096, what="an empty file")


def test_damage_is_an_error_and_can_be_mended(own_server, r2):
    create(r2, "DISK")
    for i in range(10):
        r2.hset(f"d:{i}", mapping={"v": BLOBS[i], "t": "x"})
    with open(file_of(own_server), "r+b") as file:
        data = file.read()
        at = data.index(BLOBS[3])
        file.seek(at + 50)
        file.write(b"?")
    for words in (("HGET", "d:3", "v"), ("HGETALL", "d:3"), ("HVALS", "d:3"), ("COPY", "d:3", "d:30"),
                  ("FT.SEARCH", "idx", "*", "RETURN", 1, "v"), ("FT.AGGREGATE", "idx", "*", "LOAD", 1, "@v")):
        with pytest.raises(redis.ResponseError, match="damaged on disk"):
            r2.execute_command(*words)
    assert figures(r2)["damaged"] > 0 and "is damaged" in own_server.log()
    assert r2.hget("d:3", "t") == b"x" and r2.hstrlen("d:3", "v") == WIDTH and r2.hget("d:4", "v") == BLOBS[4]
    assert not r2.exists("d:30")
    found = r2.execute_command("FT.SEARCH", "idx", "*=>[KNN 3 @v $b]", "PARAMS", 2, "b", BLOBS[3], "NOCONTENT",
                               "SORTBY", "__v_score", "DIALECT", 2)
    assert found[1] == b"d:3"                                   # the index knows it
    r2.hset("d:3", "v", BLOBS[33])
    assert r2.hget("d:3", "v") == BLOBS[33] and r2.hdel("d:3", "v") == 1


#: How the same vector can be stored: in a hash, as numbers of 4 bytes, as numbers of 8 bytes, and the latter among several.
FORMS = ("hash", "singles", "doubles", "several")


def store(client, key, vector, form):
    """Stores a vector; returns its numbers as they are stored."""
    if form == "hash":
        client.hset(key, "v", vector.tobytes())
        return vector
    numbers = vector.tolist() if form == "singles" else vector.astype(float).round(3).tolist()
    client.execute_command("JSON.SET", key, "$",
                           json.dumps({"t": "x", "v": [numbers, numbers] if form == "several" else numbers}))
    return numbers


@pytest.mark.parametrize("form", FORMS)
def test_rescoring_reads_the_file(r2, form):
    vectors = np.random.default_rng(8).normal(size=(400, DIM)).astype("<f4")
    path = {"hash": ("v",), "several": ("$.v[*]", "AS", "v")}.get(form, ("$.v", "AS", "v"))
    r2.execute_command("FT.CREATE", "idx", "ON", "HASH" if form == "hash" else "JSON", "SCHEMA", *path, "VECTOR", "SVS-VAMANA",
                       12, "TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", "L2", "COMPRESSION", "LVQ4", "RERANK", 400,
                       "ORIGINALS", "DISK")
    for i, vector in enumerate(vectors):
        vectors[i] = store(r2, f"d{i}", vector, form)
    assert on_disk(r2) == 800 if form == "several" else 400
    for query in vectors[:5] + np.float32(0.3):
        found = r2.execute_command("FT.SEARCH", "idx", "*=>[KNN 20 @v $b AS d]", "PARAMS", 2, "b", query.tobytes(),
                                   "SORTBY", "d", "RETURN", 1, "d", "LIMIT", 0, 20, "DIALECT", 2)
        exact = ((vectors.astype(float) - query) ** 2).sum(axis=1)
        assert found[1::2] == [b"d%d" % i for i in np.argsort(exact)[:20]]
        assert np.allclose([float(pairs[1]) for pairs in found[2::2]], np.sort(exact)[:20], rtol=1e-5)


def test_json_documents_move(own_server, r2):
    """Both ways, with more of a document than its indexed array, of several indexes,
    and where a number makes it leave the file."""
    vectors = [VECTORS[i].tolist() for i in range(40)]
    for i, vector in enumerate(vectors):
        r2.execute_command("JSON.SET", f"d:{i}", "$", json.dumps({"t": "x", "v": vector, "w": {"other": vectors[0][:20]}}))
    texts = [r2.execute_command("JSON.GET", f"d:{i}") for i in range(40)]
    assert [json.loads(text)["v"] for text in texts] == vectors
    held = r2.memory_usage("d:5")
    for name, kind in (("idx", "FLOAT32"), ("second", "FLOAT64")):
        r2.execute_command("FT.CREATE", name, "ON", "JSON", "SCHEMA", "$.v", "AS", "v", "VECTOR", "FLAT", 6, "TYPE", kind,
                           "DIM", DIM, "DISTANCE_METRIC", "L2")

    def check(n, place):
        wait_until(lambda: on_disk(r2) == n, what=f"{n} on disk")
        assert [r2.execute_command("JSON.GET", f"d:{i}") for i in range(40)] == texts and details(r2)[b"originals"] == place
        found = r2.execute_command("FT.SEARCH", "idx", "*=>[KNN 1 @v $b]", "PARAMS", 2, "b", BLOBS[7], "DIALECT", 2)
        assert found[1:] == [b"d:7", [b"__v_score", b"0", b"$", texts[7]]]

    check(0, b"memory")
    try:
        for place in ("disk", "memory", "disk"):
            r2.config_set("search-vector-originals", place)
            check(40 if place == "disk" else 0, place.encode())
        assert r2.memory_usage("d:5") < held and details(r2)[b"originals_disk_bytes"] > 40 * WIDTH
        r2.execute_command("JSON.SET", "d:3", "$.v[2]", "7")            # no form for a mixture of both
        assert on_disk(r2) == 39
        assert json.loads(r2.execute_command("JSON.GET", "d:3", "$.v"))[0] == [*vectors[3][:2], 7, *vectors[3][3:]]
        r2.execute_command("JSON.DEL", "d:3", "$.v[2]")
        r2.execute_command("JSON.ARRINSERT", "d:3", "$.v", 2, json.dumps(vectors[3][2]))
        r2.execute_command("JSON.MERGE", "d:4", "$", '{"t":"y"}'), r2.execute_command("JSON.SET", "d:4", "$.t", '"x"')
        check(40, b"disk")
        for name in ("idx", "second"):
            r2.execute_command("FT.DROPINDEX", name)
        assert on_disk(r2) == 40 and r2.execute_command("JSON.GET", "d:9") == texts[9]
        r2.execute_command("JSON.SET", "d:9", "$.v", json.dumps(vectors[9]))
        assert on_disk(r2) == 39
        create(r2, "DISK", "hashes")                                    # over the same names
        assert r2.execute_command("JSON.GET", "d:9") == texts[9] and on_disk(r2) == 39
        with open(file_of(own_server), "r+b") as file:
            at = file.read().index(BLOBS[6])
            file.seek(at + 50)
            file.write(b"?")
        for words in (("JSON.GET", "d:6"), ("JSON.GET", "d:6", "$..*"), ("JSON.ARRAPPEND", "d:6", "$.v", "1.5"),
                      ("COPY", "d:6", "d:60"), ("DUMP", "d:6"), ("JSON.RESP", "d:6"), ("JSON.SET", "d:6", "$.v[1]", "0.5"),
                      ("JSON.NUMINCRBY", "d:6", "$.v[*]", 1), ("JSON.DEL", "d:6", "$.v[1]")):
            with pytest.raises(redis.ResponseError, match="damaged on disk"):
                r2.execute_command(*words)
        assert r2.execute_command("JSON.ARRLEN", "d:6", "$.v") == [DIM] and r2.execute_command("JSON.GET", "d:6", ".t") == b'"x"'
        limit_files(own_server, 4096)
        n_refused = figures(r2)["refused"]
        r2.execute_command("FT.CREATE", "idx", "ON", "JSON", "SCHEMA", "$.v", "AS", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32",
                           "DIM", DIM, "DISTANCE_METRIC", "L2")
        assert b"damaged on disk" in str(r2.execute_command("FT.INFO", "idx")).encode()
        r2.execute_command("JSON.SET", "d:6", "$.v", json.dumps(vectors[6]))
        assert figures(r2)["refused"] > n_refused                       # it stays in memory
        assert r2.execute_command("JSON.GET", "d:6") == texts[6]
    finally:
        limit_files(own_server, resource.RLIM_INFINITY)
        r2.config_set("search-vector-originals", "memory")
    wait_until(lambda: on_disk(r2) == 0, what="all in memory")
    assert [r2.execute_command("JSON.GET", f"d:{i}") for i in range(40)] == texts


def test_recall_is_measured_from_the_file(r2):
    vectors = np.random.default_rng(6).normal(size=(1500, DIM)).astype("<f4")
    create(r2, "DISK", algorithm="SVS-VAMANA")
    for i, vector in enumerate(vectors):
        r2.hset(f"d:{i}", "v", vector.tobytes())
    reply = r2.execute_command("VAMANA.RECALL", "idx", "v", "SAMPLE", 50, "SOURCE", "DOCUMENTS")
    found = dict(zip(reply[::2], reply[1::2]))
    assert int(found[b"queries"]) == 50 and float(found[b"recall"]) > 0.9 and found[b"exact_by"] == b"originals"
    assert on_disk(r2) == 1500


def test_a_field_of_several_widths(r2):
    """Two indexes disagree about the width of a field: each finds, and scores again, what is its own."""
    n_damaged = figures(r2)["damaged"]
    r2.config_set("search-vector-originals", "disk")
    try:
        for name, dim in (("narrow", 32), ("wide", 64)):
            r2.execute_command("FT.CREATE", name, "SCHEMA", "v", "VECTOR", "SVS-VAMANA", 10, "TYPE", "FLOAT32", "DIM", dim,
                               "DISTANCE_METRIC", "L2", "COMPRESSION", "LVQ4", "RERANK", 100)
        rng = np.random.default_rng(9)
        vectors = [rng.normal(size=(32, 64)[i % 2]).astype("<f4") for i in range(40)]
        for i, vector in enumerate(vectors):
            r2.hset(f"d{i}", "v", vector.tobytes())
        assert on_disk(r2) == 40
        for i in (6, 7):                                        # what belonged to one belongs to the other now
            vectors[i] = rng.normal(size=(64, 32)[i % 2]).astype("<f4")
            r2.hset(f"d{i}", "v", vectors[i].tobytes())
        for name, dim in (("narrow", 32), ("wide", 64)):
            query = np.zeros(dim, "<f4")
            there = {b"d%d" % i: vector for i, vector in enumerate(vectors) if len(vector) == dim}
            found = r2.execute_command("FT.SEARCH", name, "*=>[KNN 20 @v $b AS d]", "PARAMS", 2, "b", query.tobytes(),
                                       "SORTBY", "d", "RETURN", 1, "d", "LIMIT", 0, 20, "DIALECT", 2)
            assert found[1::2] == sorted(there, key=lambda key: (there[key].astype(float) ** 2).sum())
        assert on_disk(r2) == 40 and figures(r2)["damaged"] == n_damaged
    finally:
        r2.config_set("search-vector-originals", "memory")


def limit_files(server, n_bytes):
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))


def test_a_full_disk_is_an_error_of_the_write(own_server, r2):
    n_refused = figures(r2)["refused"]
    create(r2, "DISK")
    limit_files(own_server, 4096 + 4096 * STRIDE)
    try:
        for i in range(10):
            r2.hset(f"d:{i}", mapping={"v": BLOBS[i], "t": "x"})
        r2.hset("plain", mapping={"v": BLOBS[60]})
        limit_files(own_server, 4096 + 10 * STRIDE)
        for write in (lambda: r2.hset("d:10", mapping={"v": BLOBS[10], "t": "x"}),
                      lambda: r2.hset("d:3", mapping={"t": "new", "v": BLOBS[20]}),
                      lambda: r2.hset("d:3", "v", BLOBS[20]), lambda: r2.hsetnx("d:10", "v", BLOBS[10]),
                      lambda: r2.execute_command("HSETEX", "d:3", "FIELDS", 1, "v", BLOBS[20])):
            with pytest.raises(redis.ResponseError, match="cannot be written to disk.*File too large"):
                write()
        assert not r2.exists("d:10") and r2.hgetall("d:3") == {b"v": BLOBS[3], b"t": b"x"} and on_disk(r2) == 10
        assert r2.hset("d:3", "t", "new") == 0 and r2.hset("d:11", "t", "x") == 1
        r2.copy("d:3", "d:30"), r2.rename("plain", "d:31")      # what is there already stays in memory
        assert r2.hget("d:30", "v") == BLOBS[3] and r2.hget("d:31", "v") == BLOBS[60] and on_disk(r2) == 10
        assert figures(r2)["refused"] == n_refused + 2
        r2.delete("d:5")
        r2.hset("d:10", "v", BLOBS[10])                         # there is a free slot now
        assert r2.hget("d:10", "v") == BLOBS[10] and on_disk(r2) == 10
    finally:
        limit_files(own_server, resource.RLIM_INFINITY)
    r2.hset("d:12", "v", BLOBS[12])
    assert on_disk(r2) == 11


def test_the_file_lives_as_long_as_the_server(tmp_path):
    stale = tmp_path / "originals-512.slots"
    stale.write_bytes(b"VAMANASL and so on")
    (tmp_path / "originals-mine.slots").write_bytes(b"something else")
    with running_server("--dir", str(tmp_path), "--search-vector-originals", "disk") as server:
        assert not stale.exists() and (tmp_path / "originals-mine.slots").exists()
        with helpers.client(server, 3) as client:
            create(client)
            for i in range(50):
                client.hset(f"d:{i}", "v", BLOBS[i])
            assert (tmp_path / f"originals-{WIDTH}.slots").stat().st_size > 4096 and client.config_get("search-vector-*") == {
                "search-vector-originals": "disk"}
            with running_server("--dir", str(tmp_path)) as second, helpers.client(second, 3) as other:
                with pytest.raises(redis.ResponseError, match="cannot be written to disk"):
                    create(other, "DISK")                       # the file belongs to the first
                with pytest.raises(redis.ResponseError):
                    other.execute_command("FT.INFO", "idx")
                create(other)
                with pytest.raises(redis.ResponseError, match="cannot be written to disk"):
                    other.config_set("search-vector-originals", "disk")
                assert other.config_get("search-vector-originals") == {"search-vector-originals": "memory"}
            assert client.hget("d:7", "v") == BLOBS[7]
        assert server.stop() == 0 and not (tmp_path / f"originals-{WIDTH}.slots").exists()
        assert "Traceback" not in server.log() and "ignored" not in server.log()


def test_searches_leave_the_file_alone_where_codes_do(own_server, r2):
    rng = np.random.default_rng(12)
    centres = rng.normal(size=(40, DIM))
    base = (centres[rng.integers(40, size=4000)] + 0.5 * rng.normal(size=(4000, DIM))).astype("<f4")
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "v", "VECTOR", "SVS-VAMANA", 12, "TYPE", "FLOAT32", "DIM", DIM,
                       "DISTANCE_METRIC", "L2", "COMPRESSION", "LVQ4x4", "TRAINING_THRESHOLD", 1024, "ORIGINALS", "DISK")
    with r2.pipeline(transaction=False) as pipe:
        for i, vector in enumerate(base):
            pipe.hset(f"d{i}", "v", vector.tobytes())
        pipe.execute()
    wait_until(lambda: details(r2)[b"rerank_measured"] and int(details(r2)[b"trained"]) and not details(r2)[b"pending_vectors"],
               what="measured")
    queries = (centres[rng.integers(40, size=100)] + 0.5 * rng.normal(size=(100, DIM))).astype("<f4")

    def ask(query, attributes):
        reply = r2.execute_command("FT.PROFILE", "idx", "SEARCH", "QUERY", f"*=>[KNN 10 @v $b]{attributes}", "PARAMS", 2, "b",
                                   query.tobytes(), "NOCONTENT", "LIMIT", 0, 10, "DIALECT", 2)
        text = repr(reply[1])
        return {int(key[1:]) for key in reply[0][1:]}, int(text.split("b'Rescored', ")[1].split(",")[0])

    assert int(details(r2)[b"rerank_candidates"]) == 0
    for attributes, target in (("", 0.95), ("=>{$RERANK: 30}", 0.95), ("=>{$TARGET_RECALL: 0.9}", 0.9)):
        found = [ask(query, attributes) for query in queries]
        shares = [len(keys & set(np.argsort(((base - query) ** 2).sum(axis=1))[:10].tolist()))
                  for (keys, _), query in zip(found, queries)]
        assert np.mean(shares) / 10 > target - 0.05
        assert {rescored for _, rescored in found} == ({30} if "30" in attributes else {0})
