"""FT.HYBRID in pieces: what others may do meanwhile, and what of that it sees."""
import select
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from helpers import pack  # noqa: E402

N = 5200            # enough for the pool to look for vectors
BLOB = np.zeros(2, np.float32).tobytes()


def places_of(n):
    angles = np.arange(n)
    return (angles[:, None] / 100 * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32)


@pytest.fixture
def many(r2):
    """Documents that all have one word, each on its own place of a spiral."""
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "n", "NUMERIC", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32",
                       "DIM", 2, "DISTANCE_METRIC", "L2")
    pipe = r2.pipeline(transaction=False)
    for i, place in enumerate(places_of(N)):
        pipe.hset(f"d{i}", mapping={"t": "word", "n": i, "v": place.tobytes()})
    pipe.execute()
    return r2


def hybrid(*how, window=N, after=()):
    words = ("FT.HYBRID", "idx", "SEARCH", "word", "VSIM", "@v", "$b", *how, "COMBINE", "RRF", 2, "WINDOW", window, *after,
             "PARAMS", 2, "b", BLOB)
    return [str(word) if isinstance(word, int) else word for word in words]


LONG = hybrid("KNN", 2, "K", N, after=("LOAD", 2, "@t", "@n", "APPLY", "@n + 1", "AS", "m", "SORTBY", 2, "@m", "DESC",
                                       "LIMIT", 0, N))


def test_others_are_served_meanwhile_and_rows_are_of_one_moment(many, connect):
    slow, quick = connect(), connect()
    everything = slow.call(*LONG)
    assert everything[1] == N and [row[5] for row in everything[3][:2]] == [b"%d" % N, b"%d" % (N - 1)]
    for _ in range(20):         # this process may itself have to wait while all is done
        slow.send(pack(*LONG))
        n_served = 0
        while not select.select([slow.socket], [], [], 0)[0]:
            assert quick.call("PING") == "PONG"
            n_served += 1
            if n_served == 2:   # at least a page of documents is still to come: one goes, one is new, and one changes its place
                quick.call("DEL", "d7")
                quick.call("HSET", "new", "t", "word", "n", "7", "v", BLOB)
        found = slow.read()
        numbers = [int(dict(zip(row[::2], row[1::2]))[b"n"]) for row in found[3]]
        assert len(set(numbers)) == len(numbers) >= N - 1 and set(range(N)) - set(numbers) <= {7}
        if n_served > 5:
            break
        many.delete("new"), many.hset("d7", mapping={"t": "word", "n": 7, "v": places_of(N)[7].tobytes()})
    assert n_served > 5         # in one piece it would let one come before it, and none between
    slow.send(pack(*LONG))
    assert quick.call("FT.DROPINDEX", "idx") == "OK"
    assert isinstance(slow.read(), list) or slow.call("PING") == "PONG"


HOW = [("KNN", 2, "K", 30), ("KNN", 2, "K", 30, "FILTER", "@n:[100 4000]"),
       ("KNN", 2, "K", 30, "FILTER", 3, "@n:[100 4000]", "POLICY", "ADHOC"),
       ("KNN", 2, "K", 30, "FILTER", 5, "@n:[100 4000]", "POLICY", "BATCHES", "BATCH_SIZE", 1), ("RANGE", 2, "RADIUS", 100),
       ("RANGE", 2, "RADIUS", 2000, "FILTER", "@n:[50 4000]"), ("RANGE", 2, "RADIUS", 100, "FILTER", "@n:[50 70]"),
       ("KNN", 2, "K", 30, "FILTER", "@n:[-2 -1]")]


def test_the_pool_finds_the_same_and_time_is_up_in_both_ways(many, connect):
    one = connect()
    for how in HOW:
        words = hybrid(*how, window=40, after=("LIMIT", 0, 100))
        one.call("MULTI")
        one.call(*words)
        (inside,) = one.call("EXEC")        # where nothing waits for a pool
        found = one.call(*words)
        assert found[:6] == inside[:6] and found[1] > 20, how
    words = LONG[:-4] + ["TIMEOUT", "1", *LONG[-4:]]
    found = one.call(*words)
    assert found[5] and all(warning.startswith("Timeout limit was reached (") for warning in found[5])
    many.config_set("search-on-timeout", "fail")
    try:
        assert one.error(*words) == "SEARCH_TIMEOUT Timeout limit was reached"
        assert one.call(*words[:-6], "TIMEOUT", "0", *words[-4:])[1] == N
    finally:
        many.config_set("search-on-timeout", "return")
