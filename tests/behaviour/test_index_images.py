"""Images of indexes: a restart searches at once, as before; without a good image the index is built again."""
import json
import random
import signal
import struct
from pathlib import Path

import pytest

from everything import client_of
from helpers import running_server, wait_until

DIM, N = 16, 1500


def vector(seed: int) -> bytes:
    chance = random.Random(seed)
    return struct.pack(f"<{DIM}f", *[chance.gauss(0, 1) for _ in range(DIM)])


def fill(r) -> None:
    r.execute_command("FT.CREATE", "ix", "PREFIX", 1, "d:", "SCHEMA", "tag", "TAG", "n", "NUMERIC", "SORTABLE", "t",
                      "TEXT", "v", "VECTOR", "SVS-VAMANA", 10, "TYPE", "FLOAT32", "DIM", DIM, "DISTANCE_METRIC", "L2",
                      "COMPRESSION", "LVQ8", "TRAINING_THRESHOLD", 1024)
    r.execute_command("FT.CREATE", "js", "ON", "JSON", "PREFIX", 1, "j:", "SCHEMA", "$.v[*]", "AS", "v", "VECTOR", "FLAT", 6,
                      "TYPE", "FLOAT32", "DIM", 2, "DISTANCE_METRIC", "L2", "$.t", "AS", "t", "TAG")
    with r.pipeline(transaction=False) as pipe:
        for i in range(N):
            pipe.hset(f"d:{i}", mapping={"tag": f"t{i % 7}", "n": i, "t": f"word{i % 13} common", "v": vector(i)})
        for i in range(50):
            pipe.execute_command("JSON.SET", f"j:{i}", "$", f'{{"t":"x{i % 3}","v":[[{i},0],[0,{i}]]}}')
        for i in range(0, 100, 9):
            pipe.delete(f"d:{i}")
        pipe.hset("d:1", "n", 77777)
        pipe.execute()


def answers(r) -> list:
    found = [r.execute_command("FT.SEARCH", "ix", "*=>[KNN 10 @v $q]", "PARAMS", 2, "q", vector(10**6 + i), "NOCONTENT",
                               "DIALECT", 2) for i in range(20)]
    found += [r.execute_command("FT.SEARCH", "ix", query, "SORTBY", "n", "LIMIT", 0, 20)
              for query in ("@tag:{t3}", "@n:[100 120]", "word5", "common @tag:{t1}", "@n:[77777 77777]")]
    found.append(r.execute_command("FT.SEARCH", "js", "@t:{x1}=>[KNN 3 @v $q]", "PARAMS", 2, "q",
                                   struct.pack("<2f", 7, 0.5), "DIALECT", 2))
    return found


def linked(r) -> bool:
    return "'flat_buffer_size', 0" in str(r.execute_command("FT.INFO", "ix")).replace("b'", "'")


def is_measured(r) -> bool:
    return "'rerank_measured', 1" in str(r.execute_command("FT.INFO", "ix")).replace("b'", "'")


def dict_of(flat) -> dict:
    return dict(zip(flat[::2], flat[1::2]))


def saved(handle, r) -> None:
    """Waits until all is linked and it is known how many candidates to measure again, then has images written."""
    wait_until(lambda: linked(r) and is_measured(r))
    n = handle.log().count("Index images saved")
    assert r.bgrewriteaof()
    wait_until(lambda: handle.log().count("Index images saved") > n and not r.info("persistence")["aof_rewrite_in_progress"])


def test_searches_are_as_before(tmp_path):
    options = ["--appendonly", "yes", "--dir", str(tmp_path)]
    with running_server(*options) as handle:
        r = client_of(handle)
        fill(r)
        saved(handle, r)
        # What follows in the log comes on top.
        r.hset("d:5", mapping={"tag": "late", "v": vector(5)}), r.delete("d:7")
        r.hset("d:new", mapping={"n": -1, "t": "late", "v": vector(10**6)})
        r.execute_command("FT.CREATE", "after", "PREFIX", 1, "d:", "SCHEMA", "tag", "TAG")
        before = answers(r)
        handle.stop(signal.SIGKILL)
    for _ in range(2):
        with running_server(*options) as handle:
            r = client_of(handle)
            assert handle.log().count("from its image") >= 2
            assert dict_of(r.execute_command("FT.INFO", "ix"))[b"index_image"] == b"taken up"
            assert answers(r) == before
            assert r.execute_command("FT.SEARCH", "after", "@tag:{late}", "NOCONTENT") == [1, b"d:5"]
            assert r.execute_command("FT.SEARCH", "ix", "late", "NOCONTENT") == [1, b"d:new"]
            assert handle.stop() == 0                       # writes images of this moment
            assert "Index images saved" in handle.log() or "from its image" in handle.log()
    assert len(list((tmp_path / "vamana-images").glob("*.state"))) == 1


def test_snapshots_have_images_too(tmp_path):
    with running_server("--dir", str(tmp_path)) as handle:
        r = client_of(handle)
        fill(r)
        wait_until(lambda: linked(r) and is_measured(r))
        assert r.bgsave()
        wait_until(lambda: "Index images saved" in handle.log() and not r.info("persistence")["rdb_bgsave_in_progress"])
        before = answers(r)
        handle.stop(signal.SIGKILL)
    with running_server("--dir", str(tmp_path)) as handle:
        r = client_of(handle)
        assert handle.log().count("from its image") == 2 and answers(r) == before


@pytest.mark.parametrize("suffix, position",
                         [(".state", 40), (".state", 4), (".state", -12), (".vec", 5000), (".vec", 10), ("gone", 0)])
def test_a_bad_image_means_building_again(tmp_path, suffix, position):
    options = ["--appendonly", "yes", "--dir", str(tmp_path)]
    with running_server(*options) as handle:
        r = client_of(handle)
        fill(r)
        saved(handle, r)
        before = answers(r)
        handle.stop(signal.SIGKILL)
    for path in Path(tmp_path, "vamana-images").iterdir():
        if suffix == "gone" and path.suffix == ".vec":
            path.unlink()
        elif path.suffix == suffix:
            text = bytearray(path.read_bytes())
            text[position] ^= 0x55
            path.write_bytes(text if position > 0 else text[:-position])
    with running_server(*options) as handle:
        r = client_of(handle)
        assert "built again" in handle.log() and b"built again" in dict_of(r.execute_command("FT.INFO", "ix"))[b"index_image"]
        wait_until(lambda: linked(r))
        found = answers(r)
        assert found[20:] == before[20:]
        assert sum(len(set(a[1:]) & set(b[1:])) for a, b in zip(found[:20], before)) >= 170  # of 200: it may be linked otherwise


@pytest.mark.parametrize("has_image", [True, False])
def test_originals_on_disk_come_back(tmp_path, has_image):
    options = ["--appendonly", "yes", "--dir", str(tmp_path), "--search-vector-originals", "disk"]

    def document(i):                                        # in a file of its own: twice as many numbers
        return {"t": "x", "v": [*struct.unpack(f"<{DIM}f", vector(i)), *struct.unpack(f"<{DIM}f", vector(i + 1))]}

    with running_server(*options) as handle:
        r = client_of(handle)
        fill(r)
        r.execute_command("FT.CREATE", "wide", "ON", "JSON", "PREFIX", 1, "w:", "SCHEMA", "$.v", "AS", "v", "VECTOR",
                          "SVS-VAMANA", 8, "TYPE", "FLOAT32", "DIM", 2 * DIM, "DISTANCE_METRIC", "L2", "COMPRESSION", "LVQ8")
        for i in range(100):
            r.execute_command("JSON.SET", f"w:{i}", "$", json.dumps(document(i)))
        if has_image:
            saved(handle, r)
        for i in range(200, 260):                           # slots are freed and used again while a child reads them
            r.hset(f"d:{i}", "v", vector(2 * 10**6 + i))
            r.execute_command("JSON.SET", f"w:{i - 180}", "$.v", json.dumps(document(2 * 10**6 + i)["v"]))
            if i == 230:
                assert r.bgsave()
        r.hset("d:300", "v", vector(10**6))
        wait_until(lambda: not r.info("persistence")["rdb_bgsave_in_progress"])
        before = {i: r.hget(f"d:{i}", "v") for i in range(190, 310)}
        assert (r.info("search_originals")["search_originals_on_disk"]
                == r.execute_command("FT.SEARCH", "ix", "*", "LIMIT", 0, 0)[0] + 100)
        handle.stop(signal.SIGKILL)
    with running_server(*options) as handle:
        r = client_of(handle)
        assert {i: r.hget(f"d:{i}", "v") for i in range(190, 310)} == before
        assert r.execute_command("FT.SEARCH", "ix", "*=>[KNN 1 @v $q]", "PARAMS", 2, "q", vector(10**6), "NOCONTENT",
                                 "DIALECT", 2)[1] == b"d:300"
        for i in range(100):
            wanted = document(i if i < 20 or i >= 80 else 2 * 10**6 + i + 180)
            assert json.loads(r.execute_command("JSON.GET", f"w:{i}")) == wanted
        found = r.execute_command("FT.SEARCH", "wide", "*=>[KNN 1 @v $q]", "PARAMS", 2, "q", vector(5) + vector(6),
                                  "NOCONTENT", "DIALECT", 2)
        assert found[1] == b"w:5"
        assert (r.info("search_originals")["search_originals_on_disk"]
                == r.execute_command("FT.SEARCH", "ix", "*", "LIMIT", 0, 0)[0] + 100)
        assert any(path.name.startswith("originals-") and path.stat().st_size > 64 * N for path in tmp_path.iterdir())
        assert b"disk" in str(r.execute_command("FT.INFO", "ix")).encode()
    text = (tmp_path / "dump.rdb").read_bytes()
    assert all(vector(i) in text for i in range(400, 420)) and vector(2 * 10**6 + 200) in text
