"""Vectors on disk under random commands and sudden death: whatever a client does,
it sees what it would see of vectors in memory."""
import json
import os
import random
import signal
import threading
import time

import numpy as np
import pytest
import redis
import helpers
from helpers import running_server, wait_until
from redis.backoff import NoBackoff
from redis.retry import Retry

DIM = 32
WIDTH = 4 * DIM
KINDS = ("{", "}")                              # the first letter of keys: originals in memory, on disk


def create(client, on="HASH"):
    for kind, place in zip(KINDS, ("MEMORY", "DISK")):
        schema = ["t", "TAG", "v"] if on == "HASH" else ["$.t", "AS", "t", "TAG", "$.v", "AS", "v"]
        vector = ["TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", "L2", "ORIGINALS", place]
        client.execute_command("FT.CREATE", f"idx{place}", "ON", on, "PREFIX", 1, kind, "SCHEMA", *schema, "VECTOR",
                               "FLAT", 8, *vector)
        if on == "JSON":                        # several vectors of a document, and integers
            client.execute_command("FT.CREATE", f"more{place}", "ON", on, "PREFIX", 1, kind, "SCHEMA", "$.c[*].e", "AS", "e",
                                   "VECTOR", "FLAT", 8, *vector, "$.i", "AS", "i", "VECTOR", "FLAT", 8, "TYPE", "INT8",
                                   "DIM", 2 * DIM, *vector[4:])


def on_disk(client):
    return client.info("search_originals")["search_originals_on_disk"]


class Stream:
    """Random commands; `next` gives one as a function of the kind of key."""

    FIELDS = ("v", "v", "v", "t", "n", "f1", "f2")

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.blobs = [np.random.default_rng(i).normal(size=DIM).astype("<f4").tobytes() for i in range(40)]

    def value(self, field):
        rng = self.rng
        if field == "v":
            return rng.choice(self.blobs) if rng.random() < 0.9 else rng.choice([b"short", b"", b"x" * (WIDTH + 1), b"7"])
        return rng.choice([b"a", b"5", b"", b"z" * 300, b"1.5"])

    def pairs(self):
        fields = self.rng.sample(self.FIELDS, self.rng.randint(1, 4))
        return [word for field in fields for word in (field, self.value(field))]

    def next(self):
        rng, field = self.rng, self.rng.choice(self.FIELDS)
        a, b = rng.randrange(12), rng.randrange(12)
        fields = rng.sample(("v", "t", "n", "f1", "absent"), rng.randint(1, 3))
        many = (len(fields), *fields)
        pairs, value, ms = self.pairs(), self.value(field), rng.choice([0, 100_000_000])
        one = rng.choice([
            lambda k: ("HSET", k(a), *pairs), lambda k: ("HSET", k(a), *pairs),
            lambda k: ("HMSET", k(a), *pairs), lambda k: ("HSETNX", k(a), field, value),
            lambda k: ("HSETEX", k(a), "PX", 100_000_000, "FIELDS", len(pairs) // 2, *pairs),
            lambda k: ("HSETEX", k(a), "KEEPTTL", "FIELDS", len(pairs) // 2, *pairs), lambda k: ("HGET", k(a), field),
            lambda k: ("HGETALL", k(a)), lambda k: ("HMGET", k(a), *fields), lambda k: ("HSTRLEN", k(a), field),
            lambda k: ("HVALS", k(a)), lambda k: ("HKEYS", k(a)),
            lambda k: ("HSCAN", k(a), 0), lambda k: ("HRANDFIELD", k(a), 20, "WITHVALUES"), lambda k: ("HEXISTS", k(a), field),
            lambda k: ("HLEN", k(a)), lambda k: ("HINCRBY", k(a), field, 2), lambda k: ("HINCRBYFLOAT", k(a), field, 2),
            lambda k: ("HGETDEL", k(a), "FIELDS", *many), lambda k: ("HGETEX", k(a), "PX", 100_000_000, "FIELDS", *many),
            lambda k: ("HGETEX", k(a), "PERSIST", "FIELDS", *many),
            lambda k: ("HDEL", k(a), *fields), lambda k: ("HPEXPIRE", k(a), ms, "FIELDS", *many),
            lambda k: ("HPERSIST", k(a), "FIELDS", *many), lambda k: ("COPY", k(a), k(b), "REPLACE"),
            lambda k: ("RENAME", k(a), k(b)), lambda k: ("RENAMENX", k(a), k(b)),
            lambda k: ("COPY", k(a), "of" + k(a), "REPLACE"), lambda k: ("RENAME", "of" + k(a), k(b)),
            lambda k: ("HGETALL", "of" + k(a)), lambda k: ("MOVE", k(a), 1), lambda k: ("DEL", k(a)),
            lambda k: ("UNLINK", k(a)), lambda k: ("PEXPIRE", k(a), ms),
            lambda k: ("DUMP", k(a)), lambda k: ("RESTORE", k(b), 0, Dumped(k(a)), "REPLACE"),
            lambda k: ("OBJECT", "ENCODING", k(a)), lambda k: ("TYPE", k(a)), lambda k: ("EXISTS", k(a)),
            lambda k: ("PERSIST", k(a))])
        return one


class JsonStream(Stream):
    """Likewise for JSON documents, with vectors of every form that numbers have."""

    PATHS = ("$.v", "$.v", "$.v", "$.c", "$.c[0].e", "$.c[*].e", "$.i", "$.t", "$", ".v", "$..e", "$.v[3]", "$.v[*]",
             "$.v[-4:]", "$..*", "$.i[?(@>90)]")

    def vector(self):
        rng = self.rng
        floats = np.frombuffer(rng.choice(self.blobs), "<f4")
        return rng.choice([floats.tolist(), floats.tolist(), floats.round(3).astype(float).tolist(),
                           [rng.choice([-0.0, 1e300, 2.5, 1e-320])] * DIM, [*floats.tolist()[1:], 7],
                           [rng.randrange(-100, 100) for _ in range(2 * DIM)], [rng.randrange(1 << 40) for _ in range(DIM)],
                           floats.tolist()[:5], [], [floats.tolist(), floats.tolist()]])

    def document(self):
        rng = self.rng
        parts = {"t": rng.choice(["a", "b"]), "v": self.vector(), "n": 5,
                 "c": [{"e": self.vector(), "x": i} for i in range(rng.randrange(3))],
                 "i": [rng.randrange(-100, 100) for _ in range(2 * DIM)]}
        return {name: parts[name] for name in rng.sample(sorted(parts), rng.randint(2, 5))}

    def next(self):
        rng = self.rng
        a, b, path = rng.randrange(12), rng.randrange(12), rng.choice(self.PATHS)
        document, vector = json.dumps(self.document()), json.dumps(self.vector())
        value = document if path == "$" else rng.choice([vector, vector, "5", "0.5", '"text"', "null", "true",
                                                         '{"e": %s}' % vector])
        number, ms, place = rng.choice(["1", "0.5", "1e300", "-3"]), rng.choice([0, 100_000_000]), rng.randrange(-3, 40)
        return rng.choice([
            *[lambda k: ("JSON.SET", k(a), "$", document)] * 8, *[lambda k: ("JSON.SET", k(a), path, value)] * 4,
            lambda k: ("JSON.SET", k(a), "$.v", vector, "NX"), lambda k: ("JSON.MSET", k(a), "$", document, k(b), path, value),
            lambda k: ("JSON.MERGE", k(a), "$", document), lambda k: ("JSON.MERGE", k(a), path, value),
            lambda k: ("JSON.DEL", k(a), path), *[lambda k: ("JSON.GET", k(a))] * 3, lambda k: ("JSON.GET", k(a), path),
            lambda k: ("JSON.GET", k(a), "INDENT", " ", "$", path),
            lambda k: ("JSON.MGET", k(a), k(b), path), lambda k: ("JSON.TYPE", k(a), path), lambda k: ("JSON.RESP", k(a), path),
            lambda k: ("JSON.ARRLEN", k(a), path), lambda k: ("JSON.ARRAPPEND", k(a), path, number, value),
            lambda k: ("JSON.ARRAPPEND", k(a), path, "0.5"), lambda k: ("JSON.ARRINSERT", k(a), path, place, number),
            lambda k: ("JSON.ARRPOP", k(a), path, place), lambda k: ("JSON.ARRTRIM", k(a), path, 1, place),
            lambda k: ("JSON.ARRINDEX", k(a), path, number), lambda k: ("JSON.NUMINCRBY", k(a), path, number),
            lambda k: ("JSON.NUMMULTBY", k(a), path, number), lambda k: ("JSON.CLEAR", k(a), path),
            lambda k: ("JSON.TOGGLE", k(a), path), lambda k: ("JSON.STRAPPEND", k(a), path, '"x"'),
            lambda k: ("JSON.OBJKEYS", k(a), path), lambda k: ("JSON.STRLEN", k(a), path),
            lambda k: ("COPY", k(a), k(b), "REPLACE"), lambda k: ("RENAME", k(a), k(b)), lambda k: ("RENAMENX", k(a), k(b)),
            lambda k: ("COPY", k(a), "of" + k(a), "REPLACE"), lambda k: ("RENAME", "of" + k(a), k(b)),
            lambda k: ("JSON.GET", "of" + k(a)), lambda k: ("MOVE", k(a), 1), lambda k: ("DEL", k(a)),
            lambda k: ("PEXPIRE", k(a), ms), lambda k: ("DUMP", k(a)),
            lambda k: ("RESTORE", k(b), 0, Dumped(k(a)), "REPLACE"), lambda k: ("TYPE", k(a)), lambda k: ("EXISTS", k(a)),
            lambda k: ("PERSIST", k(a))])


class Dumped(str):
    """A word that stands for the DUMP of a key."""


def answer(client, words):
    try:
        return client.execute_command(*[client.dump(word) or b"" if type(word) is Dumped else word for word in words])
    except redis.ResponseError as error:
        return str(error)


@pytest.mark.parametrize("streams, seed", [(Stream, 0), (Stream, 1), (Stream, 2), (JsonStream, 3), (JsonStream, 4)])
def test_both_kinds_answer_alike(r2, streams, seed):
    is_json = streams is JsonStream
    create(r2, "JSON" if is_json else "HASH")
    stream, history = streams(seed), []
    read = (lambda key: answer(r2, ("JSON.GET", key))) if is_json else r2.hgetall
    for step in range(1500):
        one = stream.next()
        words = [one(lambda number, kind=kind: f"{kind}{number}") for kind in KINDS]
        history.append(words[1])
        in_memory, in_file = (answer(r2, each) for each in words)
        if words[0][0] == "DUMP" and in_memory and in_memory[0] in (0x18, 0x19):    # fields that expire a moment apart
            in_memory, in_file = in_memory[0], in_file[0]
        assert in_file == in_memory, history[-8:]
    for number in range(12):
        for db in (0, 1):
            r2.execute_command("SELECT", db)
            for before in ("", "of"):
                documents = [read(f"{before}{kind}{number}") for kind in KINDS]
                assert documents[0] == documents[1]
        r2.execute_command("SELECT", 0)
    held = 1 if is_json else sum(len(r2.hget(f"}}{number}", "v") or b"") == WIDTH for number in range(12))
    wait_until(lambda: on_disk(r2) >= held, what="all that belongs there on disk")
    figures = r2.info("search_originals")
    assert figures["search_originals_damaged"] == figures["search_originals_refused"] == 0
    found = [r2.execute_command("FT.SEARCH", f"idx{place}", "*=>[KNN 20 @v $b AS d]", "PARAMS", 2, "b", stream.blobs[0],
                                "SORTBY", "d", "RETURN", 2, "d", "v", "DIALECT", 2) for place in ("MEMORY", "DISK")]
    assert found[0][0] == found[1][0] and found[0][2::2] == found[1][2::2]


def blob_of(text):
    numbers = json.loads(text)
    return None if numbers is None else np.array(numbers, "<f4").tobytes()


def vector_of(client, key):
    """The vector that a key holds, of whatever kind it is."""
    if not key.startswith("}j"):
        return client.hget(key, "v")
    text = client.execute_command("JSON.GET", key, ".v") if client.exists(key) else None
    return None if text is None else blob_of(text)


def create_json(client):
    client.execute_command("FT.CREATE", "idxJDISK", "ON", "JSON", "PREFIX", 1, "}j", "SCHEMA", "$.v", "AS", "v", "VECTOR",
                           "FLAT", 8, "TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", "L2", "ORIGINALS", "DISK")


class Writer:
    """Writes vectors, a batch after the other, until the server is gone, and knows what each key may hold then. A third of the
    keys are JSON documents, with their names behind "}j"."""

    BATCH = 20

    def __init__(self, port, seed, model):
        self.port, self.rng = port, np.random.default_rng(seed)
        self.model = model                      # key -> its vector, as acknowledged; None: it has none
        self.maybe = []                         # (key, vector) of the batch that nobody has answered, in order
        self.n_batches = 0
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        rng = self.rng
        try:
            with helpers.client(self.port, 3, retry=Retry(NoBackoff(), 0)) as client:
                while True:
                    pipe = client.pipeline(transaction=False)
                    for i in rng.integers(0, 600, self.BATCH).tolist():
                        key, kind, blob = f"}}{i}", rng.integers(10), rng.normal(size=DIM).astype("<f4").tobytes()
                        if i % 3 == 0:
                            key = f"}}j{i}"
                            pipe.execute_command("JSON.SET", key, "$",
                                                 json.dumps({"v": None if kind < 2 else np.frombuffer(blob, "<f4").tolist()}))
                        elif kind == 0:
                            pipe.delete(key)
                        elif kind == 1:
                            pipe.hdel(key, "v")
                        elif kind == 2:
                            pipe.hset("other", "v", blob), pipe.rename("other", key)
                        else:
                            pipe.hset(key, mapping={"t": "x", "v": blob})
                        self.maybe.append((key, None if kind < 2 else blob))
                    pipe.execute()
                    self.model.update(self.maybe)
                    self.maybe = []
                    self.n_batches += 1
        except (redis.RedisError, OSError):
            pass

    def check(self, client):
        """Everything acknowledged is there; of the rest, the first so many."""
        held = {key: vector_of(client, key) for key in self.model}
        pending = dict.fromkeys(key for key, _ in self.maybe)
        for key, blob in self.model.items():
            if key not in pending:
                assert held[key] == blob
        for key in pending:
            found = vector_of(client, key)
            assert found == self.model.get(key) or (key, found) in self.maybe
            self.model[key] = found
        there = {key: blob for key, blob in self.model.items() if blob is not None}
        wait_until(lambda: on_disk(client) == len(there), what="all vectors on disk")
        for is_json in (False, True):
            self.check_searches({key: blob for key, blob in there.items() if key.startswith("}j") == is_json}, client,
                                "idx" + "J" * is_json + "DISK")
        assert client.info("search_originals")["search_originals_damaged"] == 0

    def check_searches(self, there, client, index):
        """The nearest of some of these vectors are found."""
        vectors = {key: np.frombuffer(blob, "<f4").astype(float) for key, blob in there.items()}
        for key in list(there)[:20]:
            found = client.execute_command("FT.SEARCH", index, "*=>[KNN 5 @v $b AS d]", "PARAMS", 2, "b", there[key],
                                           "SORTBY", "d", "RETURN", 1, "v", "DIALECT", 2)
            nearest = sorted(vectors, key=lambda other: ((vectors[other] - vectors[key]) ** 2).sum())[:5]
            assert [name.decode() for name in found[1::2]] == nearest
            assert ([blob_of(pair[1]) if index == "idxJDISK" else pair[1] for pair in found[2::2]]
                    == [there[name] for name in nearest])


def test_what_was_acknowledged_outlives_kills(tmp_path):
    options = ("--dir", str(tmp_path), "--appendonly", "yes", "--appendfsync", "always")
    writer, model = None, {}
    for round_ in range(4):
        with running_server(*options) as server, helpers.client(server) as client:
            if writer is None:
                create(client)
                create_json(client)
            else:
                writer.check(client)
            if round_ == 3:
                break
            writer = Writer(server.port, round_, model)
            wait_until(lambda: writer.n_batches > 5, what="some batches")
            if round_ in (1, 2):
                client.execute_command("BGREWRITEAOF")
            time.sleep(0.03 * round_)
            assert server.stop(signal.SIGKILL) == -signal.SIGKILL
            writer.thread.join()


def test_snapshots_hold_vectors_on_disk(tmp_path):
    options = ("--dir", str(tmp_path))
    with running_server(*options) as server, helpers.client(server) as client:
        create(client)
        create_json(client)
        writer = Writer(server.port, 7, {})
        wait_until(lambda: writer.n_batches > 20, what="some batches")
        assert client.bgsave()                  # while slots are freed and used
        n = writer.n_batches
        wait_until(lambda: writer.n_batches > n + 20 and client.info("persistence")["rdb_saves"] == 1,
                   what="a snapshot under writes")
        assert client.info("persistence")["rdb_last_bgsave_status"] == "ok"
        assert client.execute_command("DEBUG", "RELOAD") in (b"OK", True)       # between two batches
        client.client_pause(100_000, all=False)
        time.sleep(0.1)
        model = {key: vector_of(client, key.decode()) for key in client.scan_iter(match="}*", count=1000)}
        wait_until(lambda: on_disk(client) == sum(blob is not None for blob in model.values()), what="all on disk")
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        writer.thread.join()
    with running_server(*options) as server, helpers.client(server) as client:
        found = {key: vector_of(client, key.decode()) for key in client.scan_iter(match="}*", count=1000)}
        wait_until(lambda: on_disk(client) == sum(blob is not None for blob in found.values()), what="all on disk")
        assert all(blob is None or len(blob) == WIDTH for blob in found.values()) and len(found) > 100


def test_killed_while_it_writes(tmp_path):
    """Data of a killed server is gone with it, and so is its file; what the next one is told is what it tells."""
    path = tmp_path / f"originals-{WIDTH}.slots"
    rng = np.random.default_rng(2)
    left_over = b""
    for round_ in range(3):
        with running_server("--dir", str(tmp_path)) as server, helpers.client(server) as client:
            assert not path.exists() and client.dbsize() == 0
            create(client)
            vectors = rng.normal(size=(3000, DIM)).astype("<f4")
            for i in range(300):                # into the slots that the one before has had
                client.hset(f"}}{i}", "v", vectors[i].tobytes())
            assert [client.hget(f"}}{i}", "v") for i in range(300)] == [vector.tobytes() for vector in vectors[:300]]
            assert on_disk(client) == 300 and client.info("search_originals")["search_originals_damaged"] == 0

            def write():
                try:
                    with helpers.client(server, 3, retry=Retry(NoBackoff(), 0)) as writer:
                        for start in range(300, 3000, 50):
                            pipe = writer.pipeline(transaction=False)
                            for i in range(start, start + 50):
                                pipe.hset(f"}}{i % 700}", "v", vectors[i].tobytes())
                            pipe.execute()
                except (redis.ConnectionError, OSError):
                    pass
            writing = threading.Thread(target=write)
            writing.start()
            time.sleep(0.02 * round_)
            assert server.stop(signal.SIGKILL) == -signal.SIGKILL
            writing.join()
        assert path.exists() and path.read_bytes() != left_over
        left_over = path.read_bytes()
        with open(path, "r+b") as file:         # and what power loss may make of it
            file.seek(rng.integers(path.stat().st_size))
            file.write(os.urandom(64))
            if round_ == 1:
                file.truncate(10)
