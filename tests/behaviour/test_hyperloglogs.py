"""The HyperLogLog commands. The strings are those that Redis 7.0 makes."""
import pytest

#: PFADD of a, b, c, foo and bar: the string and its runs.
FIVE = b'HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\\\xb3\x90D>\x80F!\x80J\x8e\x84K\xfb\x80BZ'
RUNS = b"Z:7348 v:5,1 Z:1087 v:1,1 Z:1570 v:1,1 Z:2703 v:2,1 Z:3068 v:1,1 Z:603"


def test_counts(raw):
    assert raw.call("PFADD", "h", "a", "b", "c") == 1 and raw.call("PFADD", "h", "c", "a") == 0 and raw.call("PFCOUNT", "h") == 3
    assert raw.call("PFADD", "new") == 1 and raw.call("PFADD", "new") == 0 and raw.call("PFCOUNT", "new") == 0
    assert raw.call("GET", "new") == b"HYLL\x01" + bytes(10) + b"\x00\x7f\xff"
    raw.call("PFADD", "other", "c", "d")
    assert raw.call("PFCOUNT", "h", "other", "none") == 4 and raw.call("PFCOUNT", "none") == 0
    assert raw.call("PFMERGE", "to", "h", "other") == "OK" and raw.call("PFCOUNT", "to") == 4
    assert raw.call("PFMERGE", "to") == "OK" and raw.call("PFCOUNT", "to") == 4
    assert raw.call("EXPIRE", "h", 100) == 1 and raw.call("PFADD", "h", "z") == 1 and raw.call("TTL", "h") == 100


def test_what_is_stored(raw):
    raw.call("PFADD", "h", "a", "b", "c", "foo", "bar")
    assert raw.call("PFDEBUG", "DECODE", "h") == RUNS
    assert raw.call("GET", "h") == FIVE
    assert raw.call("PFCOUNT", "h") == 5 and raw.call("GET", "h")[8:16] == b"\x05" + bytes(7)
    raw.call("SET", "copy", FIVE)
    assert raw.call("PFCOUNT", "copy") == 5
    sparse = raw.call("PFDEBUG", "GETREG", "h")
    assert raw.call("PFDEBUG", "TODENSE", "h") == 1 and raw.call("PFDEBUG", "TODENSE", "h") == 0
    assert raw.call("STRLEN", "h") == 12304
    assert raw.call("PFDEBUG", "ENCODING", "h") == "dense" and raw.call("PFDEBUG", "GETREG", "h") == sparse
    assert sum(map(bool, sparse)) == 5
    assert raw.call("PFADD", "h", "a") == 0 and raw.call("PFADD", "h", "x") == 1 and raw.call("PFCOUNT", "h") == 6
    assert raw.call("SETRANGE", "h", 12303, b"\0") == 12304 and raw.call("PFADD", "h", "y") == 1 and raw.call("PFCOUNT", "h") == 7
    assert raw.call("PFSELFTEST") == "OK"


@pytest.mark.parametrize("limit", [3000, 100, 20])
def test_sparse_or_dense_is_the_same(raw, limit):
    raw.call("CONFIG", "SET", "hll-sparse-max-bytes", limit)
    try:
        raw.call("PFADD", "dense")
        raw.call("PFDEBUG", "TODENSE", "dense")
        for start in range(0, 2000, 100):
            for key in ("h", "dense"):
                raw.call("PFADD", key, *range(start, start + 100))
            assert raw.call("PFCOUNT", "h") == raw.call("PFCOUNT", "dense")
        assert raw.call("PFDEBUG", "ENCODING", "h") == "dense" and abs(raw.call("PFCOUNT", "h") - 2000) < 100
        assert raw.call("PFDEBUG", "GETREG", "h") == raw.call("PFDEBUG", "GETREG", "dense")
    finally:
        raw.call("CONFIG", "SET", "hll-sparse-max-bytes", 3000)


def test_damaged(raw):
    wrong = "WRONGTYPE Key is not a valid HyperLogLog string value."
    raw.call("PFADD", "h", "a")
    raw.call("APPEND", "h", "x")
    raw.call("PFDEBUG", "ENCODING", "h")
    assert raw.call("PFCOUNT", "h") == raw.call("PFMERGE", "to", "h") == "INVALIDOBJ Corrupted HLL object detected"
    raw.call("SETRANGE", "h", 4, "x")
    raw.call("SET", "s", "HYLL")
    raw.call("RPUSH", "l", "x")
    for key in ("h", "s"):
        assert raw.call("PFADD", key, "a") == raw.call("PFCOUNT", key) == raw.call("PFMERGE", key) == wrong
    assert raw.call("PFCOUNT", "l") == "WRONGTYPE Operation against a key holding the wrong kind of value"
    assert raw.call("PFDEBUG", "ENCODING", "none") == "ERR The specified key does not exist"
