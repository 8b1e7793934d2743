"""INCREX. There is no server to compare with here: what clients expect of Redis 8.8."""
import pytest


def test_increx(raw, raw3):
    call = raw.call
    assert call("INCREX", "n") == [1, 1] and call("INCREX", "n", "BYINT", 9) == [10, 9]
    assert call("INCREX", "n", "BYINT", -3) == [7, -3]
    assert call("INCREX", "n", "BYINT", 5, "UBOUND", 10, "EX", 60) == [7, 0] and call("TTL", "n") == -1
    assert call("INCREX", "n", "BYINT", 5, "UBOUND", 10, "SATURATE", "EX", 60) == [10, 3] and call("TTL", "n") == 60
    assert call("INCREX", "n", "BYINT", -50, "LBOUND", 0, "SATURATE", "EX", 600, "ENX") == [0, -10] and call("TTL", "n") == 60
    assert call("INCREX", "n") == [1, 1] and call("TTL", "n") == 60 and call("INCREX", "n", "PERSIST") == [2, 1]
    assert call("TTL", "n") == -1
    call("SET", "n", 2 ** 63 - 2)
    assert call("INCREX", "n", "BYINT", 2) == [2 ** 63 - 2, 0] and call("INCREX", "n", "BYINT", 2, "SATURATE") == [2 ** 63 - 1, 1]
    call("SET", "x", "1.5")
    assert call("INCREX", "x", "BYFLOAT", "0.25", "LBOUND", 0, "UBOUND", 2) == [b"1.75", b"0.25"]
    assert raw3.call("INCREX", "x", "BYFLOAT", 5, "UBOUND", 2, "SATURATE") == [2.0, 0.25] and call("GET", "x") == b"2"
    assert raw3.call("INCREX", "x", "BYFLOAT", -5, "LBOUND", 0) == [2.0, 0.0]


@pytest.mark.parametrize("words, error", [
    ("BYINT 1 BYFLOAT 1", "ERR syntax error"), ("ENX", "ERR syntax error"), ("EX 1 PERSIST", "ERR syntax error"),
    ("UBOUND", "ERR syntax error"),
    ("BYINT x", "ERR value is not an integer or out of range"), ("BYFLOAT x", "ERR value is not a valid float"),
    ("LBOUND 2 UBOUND 1", "ERR LBOUND must not be greater than UBOUND"), ("EX 0", "ERR invalid expire time in 'increx' command"),
])
def test_increx_refused(raw, words, error):
    assert raw.call("INCREX", "n", *words.split()) == error and raw.call("EXISTS", "n") == 0
