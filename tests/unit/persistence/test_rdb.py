"""RDB: what is written is read again, and damaged bytes are refused, not believed."""
import random

import pytest

from respserver.keyspace import Keyspace
from respserver.persistence import crc64, packed, rdb_read, rdb_write, snapshots
from respserver.values import shape
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


@pytest.mark.parametrize("decode",
                         [packed.listpack, packed.ziplist, packed.intset, packed.zipmap, lambda data: packed.lzf(data, 100)])
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


def snapshot(pairs) -> bytes:
    text = b"".join(rdb_write.whole([Database(pairs)], []))
    return text + crc64.crc64(text).to_bytes(8, "little")


class Database:
    index, expires, field_expires = 0, {}, {}

    def __init__(self, pairs):
        self.data = pairs


def read(text: bytes, n_bytes: int | None = None) -> dict:
    found = {}
    for item in rdb_read.File(text[:n_bytes]).items():
        pairs = zip(item.keys, item.values) if type(item) is rdb_read.Run else [(item.key, item.value)]
        for key, value in pairs:
            assert key not in found
            found[key] = plain(value), type(value) is Hash and value.shape
    return found


@pytest.fixture
def scanner():
    import native
    from native.loading import HashScanner
    assert HashScanner.INLINE == shape.INLINE
    rdb_read.use(HashScanner)
    crc64.use(native.crc64)
    yield
    rdb_read.use(None)
    crc64.use(crc64.plain)


def hashes_alike() -> dict:
    """Runs of hashes of several forms, with others in between."""
    chance = random.Random(5)
    data: dict = {}
    forms = [lambda i: [(b"v", chance.randbytes(512))],
             lambda i: [(b"n", b"%d" % i), (b"t", b"x" * (i % 256)), (b"v", chance.randbytes(1024))],
             lambda i: [(b"a", chance.randbytes(16_400)), (b"n", b""), (b"b", chance.randbytes(256))],
             lambda i: [(b"n", b"%d" % i), (b"m", b"five5")]]
    for form in forms * 2:
        for i in range(chance.choice((3, 40, 600))):
            data[b"key:%d" % len(data) if i % 50 else b"k" * (64 + len(data))] = Hash(form(i))
            if chance.random() < 0.005:
                data[b"other:%d" % len(data)] = chance.choice(values())
    return data


def test_hashes_that_are_alike_are_read_at_once(scanner):
    data = hashes_alike()
    text = snapshot(data)
    found = read(text)
    assert any(type(item) is rdb_read.Run and len(item.keys) > 100 for item in rdb_read.File(text).items())
    rdb_read.use(None)
    assert found == read(text) and list(found) == list(data)


def test_damage_to_hashes_that_are_alike(scanner):
    chance = random.Random(6)
    text = snapshot({b"key:%d" % i: Hash([(b"n", b"%d" % i), (b"v", chance.randbytes(300))]) for i in range(60)})
    for _ in range(300):
        damaged = bytearray(text)
        damaged[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
        with pytest.raises(rdb_read.RdbError):
            read(bytes(damaged))
    for n in range(len(text) - 1500, len(text), 7):
        with pytest.raises(rdb_read.RdbError):
            read(text, n)


def test_a_key_that_comes_twice_is_noticed():
    for quiet in (True, False):
        keyspace = Keyspace()
        keyspace.is_quiet = quiet
        db = keyspace.databases[0]
        made = [Hash([(b"a", b"1")]) for _ in range(3)]
        assert snapshots.put_many(db, [b"a", b"b", b"c"], made) is None and keyspace.dirty == 3 and db.data[b"b"] is made[1]
        assert snapshots.put_many(db, [b"d", b"b", b"e"], made) == b"b"
        assert snapshots.put_many(db, [b"f", b"g", b"f"], made) == b"f"
