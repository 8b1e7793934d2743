"""Indexes that go while they are searched."""
import shutil
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import helpers  # noqa: E402
from helpers import RawConnection, pack, running_server, wait_until  # noqa: E402
from samples import create, fill, vectors  # noqa: E402

N_SEARCHES = 60


@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW", "SVS-VAMANA"])
@pytest.mark.parametrize("end", [("FT.DROPINDEX", "idx"), ("FLUSHALL",)], ids=["drop", "flush"])
def test_every_search_is_answered_when_its_index_is_dropped(connect, r2, algorithm, end):
    base = vectors(3000, 8)
    search = pack("FT.SEARCH", "idx", "*=>[KNN 50 @v $b AS d]", "PARAMS", "2", "b", base[5].tobytes(), "SORTBY", "d", "NOCONTENT",
                  "LIMIT", "0", "50", "DIALECT", "2")
    searchers = [connect() for _ in range(5)]
    other = connect()
    for _ in range(4):
        create(r2, algorithm=algorithm)
        fill(r2, base)
        for _ in range(2):              # the first ones make the turns busy, so that the pool gets its share of the second
            for one in searchers:
                one.send(search * N_SEARCHES)
        other.send(pack(*end))
        assert other.read() == "OK"
        for one in searchers:
            for _ in range(2 * N_SEARCHES):
                reply = one.read()
                if isinstance(reply, list):
                    assert len(reply) == 51 and reply[0] == 50
                else:
                    assert "Index not found" in str(reply) or "dropped" in str(reply)
        assert other.call("PING") == "PONG"


@pytest.mark.parametrize("transaction", [False, True])
def test_documents_that_go_with_their_index_are_gone_when_it_is(r2, transaction):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT")
    setting = r2.pipeline(transaction=False)
    for i in range(20000):              # more than are deleted at once
        setting.hset(f"d:{i}", mapping={"t": "old", "u": "x"})
    setting.execute()
    dropping = r2.pipeline(transaction=transaction)
    dropping.execute_command("FT.DROPINDEX", "idx", "DD").hset("d:19999", "t", "new").dbsize()
    assert dropping.execute()[1:] == [1, 1]
    assert r2.hgetall("d:19999") == {b"t": b"new"}


def test_the_end_of_the_server_in_the_midst_of_writes_and_searches():
    rows = [row.tobytes() for row in vectors(200, 8)]
    write = b"".join(pack("HSET", f"d:{i}", "v", row) for i, row in enumerate(rows)) * 40
    search = pack("FT.SEARCH", "idx", "*=>[KNN 50 @v $b]", "PARAMS", "2", "b", rows[0], "NOCONTENT", "DIALECT", "2") * 2000
    with running_server() as server:
        with helpers.client(server) as client:
            create(client, algorithm="SVS-VAMANA", options=["COMPRESSION", "LVQ8", "TRAINING_THRESHOLD", 1024])
        busy = [RawConnection(server.host, server.port) for _ in range(6)]
        for one, work in zip(busy, (search, search, write, write, write, write)):
            one.send(work)
        for one in busy:            # there is work left for far more turns than it takes to answer the first
            one.read()
        assert server.stop() == 0
        assert "Traceback" not in server.log() and "failed" not in server.log()
        for one in busy:
            one.close()


def test_many_documents_are_gone_when_the_reply_is_there(tmp_path):
    """What is written to their keys afterwards stays, in a log that is read, too."""
    n = 8000
    definition = ("FT.CREATE", "many", "PREFIX", 1, "m:", "SCHEMA", "t", "TAG")
    documents = [pack("HSET", f"m:{i}", "t", "a") for i in range(n)]
    with running_server("--dir", str(tmp_path), "--appendonly", "yes") as handle, RawConnection(port=handle.port) as raw:
        for again in range(3):
            raw.call(*definition)
            raw.send(b"".join(documents))
            assert [raw.read() for _ in documents] == [1] * n
            if again < 2:
                raw.send(pack("FT.DROPINDEX", "many", "DD") + pack("DBSIZE"))
                assert (raw.read(), raw.read()) == ("OK", 0)
            else:
                raw.call("MULTI"), raw.call("FT.DROPINDEX", "many", "DD"), raw.call("DBSIZE")
                assert raw.call("EXEC") == ["OK", 0]
        raw.call("HSET", "m:1", "t", "b")
        wait_until(lambda: "aof_buffer_length:0" in str(raw.call("INFO", "persistence")))
        handle.stop(signal.SIGKILL)
    log = b"".join([pack(*definition), *documents, pack("FT.DROPINDEX", "many", "DD"), *documents])
    with running_server("--dir", str(tmp_path), "--appendonly", "yes") as handle, RawConnection(port=handle.port) as raw:
        wait_until(lambda: raw.call("PING") == "PONG")                      # it is read by then
        assert raw.call("FT._LIST") == [] and raw.call("KEYS", "*") == [b"m:1"]
        handle.stop(signal.SIGKILL)
    shutil.rmtree(tmp_path / "appendonlydir")
    (tmp_path / "appendonly.aof").write_bytes(log)
    with running_server("--dir", str(tmp_path), "--appendonly", "yes") as handle, RawConnection(port=handle.port) as raw:
        wait_until(lambda: raw.call("PING") == "PONG")
        assert raw.call("FT._LIST") == [] and raw.call("DBSIZE") == n
