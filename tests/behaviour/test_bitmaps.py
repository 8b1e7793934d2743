"""The bit commands."""
import random

import pytest

NOT_INT = "ERR value is not an integer or out of range"
SYNTAX = "ERR syntax error"
WRONG = "WRONGTYPE Operation against a key holding the wrong kind of value"


def test_single_bits(both, raw):
    assert both.setbit("k", 7, 1) == 0 and both.getbit("k", 7) == 1
    assert both.getbit("k", 6) == both.getbit("k", 1000) == both.getbit("none", 0) == 0
    assert both.setbit("k", 7, 0) == 1 and both.get("k") == b"\0"
    assert both.setbit("k", 20, 1) == 0 and both.get("k") == b"\0\0\x08" and both.setbit("z", 9, 0) == 0
    assert both.get("z") == b"\0\0"
    for words in ("SETBIT k x 1", "SETBIT k -1 1", "GETBIT k -1", "SETBIT k 4294967296 1", "GETBIT k 1.5"):
        assert raw.call(*words.split()) == "ERR bit offset is not an integer or out of range"
    for bit in ("2", "-1", "x", "01"):
        assert raw.call("SETBIT", "k", 0, bit) == "ERR bit is not an integer or out of range"


def test_large_bitmap(both):
    assert both.setbit("k", 8_000_000, 1) == 0 and both.strlen("k") == 1_000_001
    for i in range(0, 8_000_000, 40_000):
        both.setbit("k", i, 1)
    assert both.bitcount("k") == 201 and both.bitpos("k", 1, 1) == 40_000 and both.bitpos("k", 1, -1) == 8_000_000
    assert both.bitop("NOT", "n", "k") == 1_000_001 and both.bitcount("n") == 8_000_008 - 201
    assert both.bitpos("n", 0) == 0


@pytest.mark.parametrize("seed", range(3))
def test_counts_and_positions_against_plain_strings(raw, seed):
    rng = random.Random(seed)
    for _ in range(60):
        size = rng.choice([0, 1, 3, 20])
        text = bytes(rng.choice([0, 0, 255, 255, 16, 7, 128]) for _ in range(size))
        bits = "".join(f"{byte:08b}" for byte in text)
        raw.call("SET", "k", text)
        unit = rng.choice(["BIT", "BYTE"])
        total = len(bits) if unit == "BIT" else size
        start, end = rng.randint(-total - 3, total + 3), rng.randint(-total - 3, total + 3)
        low, high = [max(x + total, 0) if x < 0 else x for x in (start, end)]
        high = min(high, total - 1)
        step = 1 if unit == "BIT" else 8
        part = bits[low * step:(high + 1) * step] if low <= high else ""
        expected = 0 if start < 0 and end < 0 and start > end else part.count("1")
        assert raw.call("BITCOUNT", "k", start, end, unit) == expected
        for bit in "01":
            found = part.find(bit)
            place = found + low * step if found >= 0 else -1
            assert raw.call("BITPOS", "k", bit, start, end, unit) == place, (text, bit, start, end, unit)


def test_count_and_position(both, raw):
    both.set("k", "foobar")
    assert both.bitcount("k") == 26 and both.bitcount("k", 0, 0) == 4 and both.bitcount("k", 5, 30, "BIT") == 17
    assert both.bitcount("none") == 0
    both.set("ones", b"\xff\xff")
    assert both.bitpos("ones", 0) == 16 and both.bitpos("ones", 0, 1) == 16 and both.bitpos("ones", 0, 0, -1) == -1
    assert both.bitpos("ones", 1, 5) == -1
    assert both.bitpos("none", 0) == 0 and both.bitpos("none", 1) == -1
    for words, error in (("BITCOUNT k 1", SYNTAX), ("BITCOUNT k 0 1 FOO", SYNTAX), ("BITCOUNT k x 1", NOT_INT),
                         ("BITPOS k 2", "ERR The bit argument must be 1 or 0."),
                         ("BITPOS k x", NOT_INT), ("BITPOS k 1 0 1 FOO", SYNTAX), ("BITPOS k 1 0 1 BIT x", SYNTAX)):
        assert raw.call(*words.split()) == error


def test_operations(both, raw):
    both.mset({"a": b"\xf0\xff", "b": b"\x3c", "c": b"\x0f\x0f\x0f"})
    for name, keys, result in (("AND", "ab", b"\x30\x00"), ("OR", "ab", b"\xfc\xff"), ("XOR", "abc", b"\xc3\xf0\x0f"),
                               ("NOT", "a", b"\x0f\x00"),
                               ("DIFF", "ab", b"\xc0\xff"), ("DIFF1", "ab", b"\x0c\x00"),
                               ("ANDOR", "abc", b"\x30\x0f\x00"), ("ONE", "abc", b"\xc3\xf0\x0f"),
                               ("and", "a", b"\xf0\xff")):
        assert both.bitop(name, "to", *keys) == len(result) and both.get("to") == result, name
    assert both.bitop("AND", "to", "none", "none") == 0 and not both.exists("to")
    assert raw.call("BITOP", "FOO", "to", "a") == SYNTAX
    assert raw.call("BITOP", "NOT", "to", "a", "b") == "ERR BITOP NOT must be called with a single source key."
    assert raw.call("BITOP", "DIFF", "to", "a") == "ERR BITOP DIFF must be called with at least two source keys."


def test_bitfield(both, raw):
    call = lambda words: raw.call("BITFIELD", "k", *words.split())      # noqa: E731
    assert call("GET u8 0") == [0] and raw.call("EXISTS", "k") == 0 and call("") == []
    assert call("SET u8 0 255 GET u4 0 GET i4 4 GET u8 100") == [0, 15, -1, 0] and raw.call("STRLEN", "k") == 1
    assert call("INCRBY u8 0 10 OVERFLOW SAT INCRBY u8 0 255 OVERFLOW FAIL INCRBY u8 0 1 GET u8 0") == [9, 255, None, 255]
    assert call("SET i64 #1 -9223372036854775808 GET i64 64 INCRBY i64 64 -1") == [0, -2**63, 2**63 - 1]
    assert raw.call("STRLEN", "k") == 16
    assert call("SET u63 3 9223372036854775807 GET u63 3")[1] == 2**63 - 1
    assert call("OVERFLOW SAT SET i5 0 100 GET i5 0 OVERFLOW WRAP SET i5 0 100 GET i5 0")[1::2] == [15, 4]
    for words, error in (
        ("GET u64 0", "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."),
        ("GET i65 0", "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."),
        ("GET u8 -1", "ERR bit offset is not an integer or out of range"),
        ("GET u8 x", "ERR bit offset is not an integer or out of range"), ("SET u8 0 x", NOT_INT),
        ("OVERFLOW FOO", "ERR Invalid OVERFLOW type specified"), ("GET u8", SYNTAX), ("FOO", SYNTAX),
        ("SET u8 4294967296 1", "ERR bit offset is not an integer or out of range")):
        assert call(words) == error, words
    assert raw.call("BITFIELD_RO", "k", "GET", "i5", 0) == [4]
    assert raw.call("BITFIELD_RO", "k", "SET", "u8", 0, 1) == "ERR BITFIELD_RO only supports the GET subcommand"


@pytest.mark.parametrize("words", [
    "SETBIT l 0 1", "GETBIT l 0", "BITCOUNT l", "BITPOS l 1", "BITOP AND to l", "BITFIELD l GET u8 0",
    "BITFIELD l SET u8 0 1", "BITFIELD_RO l GET u8 0"])
def test_wrong_type(raw, words):
    raw.call("RPUSH", "l", "1")
    assert raw.call(*words.split()) == WRONG
