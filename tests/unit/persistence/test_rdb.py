"""RDB: what is written is read again, and damaged bytes are refused, not believed."""
import random

import pytest

from respserver.persistence import crc64, packed, rdb_read, rdb_write
from respserver.values.hash import Hash
from respserver.values.list import List
from respserver.values.set import Set
from respserver.values.sorted_set import SortedSet


def test_check_sums():
    assert crc64.plain(b"123456789") == 0xE9C6D914C4B8D9CA
    native = pytest.importorskip("native")
    text = random.Random(0).randbytes(1000)
    for n in (0, 1, 7, 8, 9, 63, 1000):
        assert native.crc64(text[:n]) == crc64.plain(text[:n])
        assert native.crc64(text[n:], native.crc64(text[:n])) == crc64.plain(text)


def values():
    timed = Hash([(b"a", b"1"), (b"b", b"2")])
    timed.expire_at(b"a", 1_900_000_000_000)
    return [b"", b"text", b"x" * 70000, Hash([(b"f%d" % i, b"v" * i) for i in range(80)]), timed, List([b"1", b"", b"x" * 300]),
            Set([b"1", b"two"]), SortedSet([(b"a", 1.5), (b"b", float("-inf"))])]


def plain(value):
    if type(value) is Hash:
        return dict(value.items()), value.times()
    if type(value) is SortedSet:
        return list(value.items())
    return value if type(value) is bytes else list(value)


def test_values_come_back():
    for value in values():
        kind, text = rdb_write.body(value)
        reader = rdb_read.Reader(text)
        assert plain(reader.value(kind)) == plain(value) and reader.at == len(text)


def test_every_cut_is_noticed():
    for value in values():
        kind, text = rdb_write.body(value)
        for n in {*range(min(len(text), 300)), len(text) - 1}:
            with pytest.raises(rdb_read.RdbError):
                reader = rdb_read.Reader(text[:n])
                reader.value(kind)
                assert reader.at == n


def test_damage_raises_nothing_else():
    chance = random.Random(3)
    payloads = [rdb_write.body(value) for value in values() if value != b"x" * 70000]
    for _ in range(20000):
        kind, text = chance.choice(payloads)
        damaged = bytearray(text)
        for _ in range(chance.randrange(1, 4)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        if chance.random() < 0.3:
            kind = chance.randrange(27)
        try:
            rdb_read.Reader(bytes(damaged)).value(kind)
        except rdb_read.RdbError:
            pass


@pytest.mark.parametrize("decode", [packed.listpack, packed.ziplist, packed.intset, packed.zipmap, lambda data: packed.lzf(data, 100)])
def test_packed_encodings_refuse_noise(decode):
    chance = random.Random(4)
    for _ in range(5000):
        data = bytearray(chance.choices((0, 1, 2, 4, 7, 12, 0xFF, 0xC0, 0xF1, 0xFE, 0x83, 0x20), k=chance.randrange(40)))
        if len(data) > 10:
            data[:4] = len(data).to_bytes(4, "little")
        try:
            decode(bytes(data))
        except ValueError:
            pass
