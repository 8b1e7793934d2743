"""Query vectors that cannot be searched for, alone and among good ones."""
import struct
import sys
from pathlib import Path

import pytest
import redis

sys.path.insert(0, str(Path(__file__).parent))

from samples import create, fill, vectors  # noqa: E402

NAN = struct.pack("<8f", float("nan"), *range(7))
INFINITE = struct.pack("<8f", *range(7), float("inf"))
RANGE = "@v:[VECTOR_RANGE 100 $b]=>{$YIELD_DISTANCE_AS: d}"


@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW", "SVS-VAMANA"])
@pytest.mark.parametrize("query", ["*=>[KNN 3 @v $b AS d]", "@num:[0 40]=>[KNN 3 @v $b AS d]",
                                   "@num:[0 40]=>[KNN 3 @v $b HYBRID_POLICY ADHOC_BF AS d]", RANGE, "@num:[0 40] " + RANGE])
def test_a_query_vector_that_is_not_finite_is_refused(both, algorithm, query):
    create(both, algorithm=algorithm)
    fill(both, vectors(60, 8))
    for blob in (NAN, INFINITE):
        with pytest.raises(redis.ResponseError, match="not a finite number"):
            both.execute_command("FT.SEARCH", "idx", query, "PARAMS", "2", "b", blob, "SORTBY", "d", "DIALECT", "2")


def test_one_bad_vector_does_not_spoil_the_others_of_its_turn(server, raw, r2):
    base = vectors(60, 8)
    create(r2, algorithm="FLAT")
    fill(r2, base)
    blobs = [base[i % 60].tobytes() if i % 5 else NAN for i in range(400)]
    for _ in range(3):      # more and more of them go to the pool
        raw.send(b"".join(_encode(b"FT.SEARCH", b"idx", b"*=>[KNN 1 @v $b AS d]", b"PARAMS", b"2", b"b", blob, b"SORTBY", b"d",
                                  b"NOCONTENT", b"DIALECT", b"2") for blob in blobs))
        for i, blob in enumerate(blobs):
            reply = raw.read()
            if blob is NAN:
                assert b"not a finite number" in str(reply).encode()
            else:
                assert reply == [1, b"d:%d" % (i % 60)]


def _encode(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
