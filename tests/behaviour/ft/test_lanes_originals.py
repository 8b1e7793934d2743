"""Lanes that score candidates again with vectors on disk: exact at every moment,
wherever the vectors are and whatever is written."""
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from helpers import pack, wait_until  # noqa: E402
from samples import create, distances, vectors  # noqa: E402

DIM, K = 32, 10
#: Without a pool, to which searches go that take long: how fast the machine is must not decide who gets a lane.
SERVER_OPTIONS = ["--search-workers", "0"]
OPTIONS = ("COMPRESSION", "LVQ4", "RERANK", "1000")


class LaneClient:
    """Asks for the nearest, always in the same words."""

    def __init__(self, raw, client):
        self.raw, self.client = raw, client

    def ask(self, query):
        """[(key, distance)], as the server says."""
        reply = self.raw.send(pack("FT.SEARCH", "idx", f"*=>[KNN {K} @v $b AS d]", "PARAMS", "2", "b", query.tobytes(),
                                   "SORTBY", "d", "RETURN", "1", "d", "DIALECT", "2")).read()
        return [(key, float(pair[1])) for key, pair in zip(reply[1::2], reply[2::2])]

    def is_on_lane(self):
        return self.client.info("search")["search_lane_clients"] == 1

    def settle(self, query):
        for i in range(600):
            self.ask(query)
            if i % 8 == 7 and self.is_on_lane():
                return
        raise AssertionError("it got no lane")

    def check(self, model, query):
        """The answer is that of brute force over {key: vector}."""
        keys = list(model)
        exact = distances(np.array([model[key] for key in keys]), query, "L2")
        found = self.ask(query)
        assert [distance for _, distance in found] == pytest.approx(np.sort(exact)[:K].tolist(), rel=1e-5, abs=1e-9)
        of_key = dict(zip(keys, exact))
        assert all(distance == pytest.approx(of_key[key.decode()], rel=1e-5, abs=1e-9) for key, distance in found)


@pytest.fixture
def lane(own_server, raw, r2):
    yield LaneClient(raw, r2)
    r2.config_set("search-vector-originals", "memory")


def fill(client, base):
    with client.pipeline(transaction=False) as pipe:
        for i, row in enumerate(base):
            pipe.hset(f"d:{i}", mapping={"v": row.tobytes(), "num": i})
        pipe.execute()
    return {f"d:{i}": row for i, row in enumerate(base)}


def on_disk(client):
    return client.info("search_originals")["search_originals_on_disk"]


def test_answers_are_exact_whatever_is_written(r2, lane):
    base = vectors(150, DIM)
    create(r2, algorithm="SVS-VAMANA", dim=DIM, metric="L2", options=OPTIONS)
    model = fill(r2, base)
    rng = np.random.default_rng(4)
    for place in ("disk", "memory", "disk"):
        r2.config_set("search-vector-originals", place)
        lane.settle(base[0])
        for step in range(120):
            key = f"d:{rng.integers(165)}"
            vector = vectors(1, DIM, seed=int(rng.integers(1 << 30)))[0]
            kind = rng.integers(7)
            if kind == 0:
                r2.delete(key)
                model.pop(key, None)
            elif kind == 1:
                r2.hdel(key, "v")
                model.pop(key, None)
            elif kind == 2 and key in model:
                other = f"d:{rng.integers(165)}"
                if other != key:
                    r2.rename(key, other)
                    model[other] = model.pop(key)
            elif kind == 3 and key in model:
                other = f"d:{rng.integers(165)}"
                if other != key:
                    r2.copy(key, other, replace=True)
                    model[other] = model[key]
            elif kind == 4 and key in model:
                r2.hset(key, mapping={"v": model[key].tobytes(), "num": step})      # the same once more: another slot
            else:
                r2.hset(key, "v", vector.tobytes())
                model[key] = vector
            lane.check(model, vector)
            lane.check(model, base[rng.integers(150)])
        lane.settle(base[0])
        wait_until(lambda: on_disk(r2) == (len(model) if place == "disk" else 0), what="all moved")


def test_answers_are_exact_over_json_documents(r2, lane):
    base = vectors(150, DIM)
    words = ["TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", "L2", *OPTIONS, "ORIGINALS", "DISK"]
    r2.execute_command("FT.CREATE", "idx", "ON", "JSON", "SCHEMA", "$.v", "AS", "v", "VECTOR", "SVS-VAMANA", len(words), *words)
    model = {}

    def write(key, vector):
        r2.execute_command("JSON.SET", key, "$", json.dumps({"v": vector.tolist(), "n": 1}))
        model[key] = vector

    for i, row in enumerate(base):
        write(f"d:{i}", row)
    lane.settle(base[0])
    rng = np.random.default_rng(5)
    for step in range(150):
        key, kind = f"d:{rng.integers(165)}", rng.integers(6)
        vector = vectors(1, DIM, seed=int(rng.integers(1 << 30)))[0]
        if kind == 0 or key not in model:
            write(key, vector)
        elif kind == 1:
            write(key, model[key])                          # the same once more: another slot
        elif kind == 2:
            r2.execute_command("JSON.SET", key, "$.v[3]", "0.5")
            model[key] = np.where(np.arange(DIM) == 3, np.float32(0.5), model[key])
        elif kind == 3:
            r2.execute_command("JSON.DEL", key, "$.v")
            del model[key]
        else:
            r2.execute_command("JSON.NUMINCRBY", key, "$.n", 1)
        lane.check(model, vector)
        lane.check(model, base[rng.integers(150)])
    lane.settle(base[0])
    assert on_disk(r2) == len(model)


def test_answers_are_exact_while_the_file_is_compacted(own_server, r2, lane):
    base = vectors(10_000, DIM)
    create(r2, dim=DIM, metric="L2", options=("COMPRESSION", "LVQ8", "RERANK", "60", "ORIGINALS", "DISK"))
    model = fill(r2, base[:6000])
    lane.settle(base[0])
    for row in range(0, 6000, 30):                          # the places of many are known
        lane.check(model, base[row])
    with r2.pipeline(transaction=False) as pipe:
        for i in range(6000):
            if i % 6:
                pipe.delete(f"d:{i}")
        pipe.execute()
    model = {f"d:{i}": base[i] for i in range(0, 6000, 6)}
    path = os.path.join(own_server.dir, f"originals-{4 * DIM}.slots")
    one_segment = 4096 + 4096 * (4 * DIM + 16)
    for row in np.random.default_rng(6).integers(6000, size=5000):
        lane.check(model, base[row])
        if os.path.getsize(path) <= one_segment:
            break
    assert os.path.getsize(path) <= one_segment
    with r2.pipeline(transaction=False) as pipe:            # slots that were given up are used again
        for i in range(6000, 10_000):
            pipe.hset(f"d:{i}", "v", base[i].tobytes())
            model[f"d:{i}"] = base[i]
        pipe.execute()
    for row in range(0, 6000, 60):
        lane.check(model, base[row])
    assert os.path.getsize(path) > one_segment
    lane.settle(base[0])


def test_a_damaged_vector_is_told_of_and_measured_by_its_code(own_server, r2, lane):
    base = vectors(200, DIM)
    create(r2, algorithm="SVS-VAMANA", dim=DIM, metric="L2", options=(*OPTIONS, "ORIGINALS", "DISK"))
    model = fill(r2, base)
    lane.settle(base[0])
    lane.check(model, base[8])
    with open(os.path.join(own_server.dir, f"originals-{4 * DIM}.slots"), "r+b") as file:
        at = file.read().index(base[3].tobytes())
        file.seek(at + 50)
        file.write(b"?")
    before = r2.info("search_originals")["search_originals_damaged"]
    found = lane.ask(base[3])
    assert found[0][0] == b"d:3" and found[0][1] == pytest.approx(0, abs=2)
    assert [key for key, _ in lane.ask(base[8])][0] == b"d:8"
    assert r2.info("search_originals")["search_originals_damaged"] > before and "is damaged" in own_server.log()
    r2.hset("d:3", "v", base[3].tobytes())
    lane.settle(base[0])
    lane.check(model, base[3])
