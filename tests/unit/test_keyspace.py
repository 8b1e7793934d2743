"""The keyspace without a server: changes, expiry, scans."""
import random

import pytest

from respserver.keyspace import Change, Keyspace
from respserver.protocol.errors import WRONG_TYPE, CommandError
from respserver.values.buffer import Buffer
from respserver.values.hash import Hash
from respserver.values.order import Order


class Log:
    def __init__(self):
        self.changes: list[Change] = []
        self.others = []

    def key_changed(self, change):
        self.changes.append(change)

    def flushed(self, db):
        self.others.append(("flushed", db))

    def swapped(self, first, second):
        self.others.append(("swapped", first, second))

    def events(self):
        return [(change.event, change.key) for change in self.changes]


@pytest.fixture
def keyspace():
    keyspace = Keyspace()
    keyspace.time = 1_000_000
    keyspace.now_ms = lambda: keyspace.time
    keyspace.log = Log()
    keyspace.listeners.append(keyspace.log)
    return keyspace


@pytest.fixture
def db(keyspace):
    return keyspace.databases[0]


def test_each_write_is_one_change(keyspace, db):
    db.set(b"k", b"1")
    db.set(b"k", b"2")
    assert db.delete(b"k") and not db.delete(b"k")
    assert keyspace.log.changes == [
        (0, b"k", "set", None, b"1", None), (0, b"k", "set", b"1", b"2", None), (0, b"k", "del", b"2", None, None)]
    assert keyspace.dirty == 3


def test_a_command_that_empties_a_key_is_two_notifications(keyspace, db):
    db.set(b"h", Hash([(b"f", b"v")]), "hset")
    db.delete(b"h", "hdel")
    assert [change.notifications for change in keyspace.log.changes] == [("hset",), ("hdel", "del")]
    db.set(b"k", b"v")
    db.delete(b"k")
    assert keyspace.log.changes[-1].notifications == ("del",)


def test_type_is_checked(db):
    db.set(b"k", b"v")
    with pytest.raises(CommandError) as refusal:
        db.get_as(b"k", Hash)
    assert refusal.value.text == WRONG_TYPE
    assert db.get_as(b"absent", Hash) is None


def test_keys_expire_when_read_and_in_the_cycle(keyspace, db):
    for i in range(100):
        db.set(b"%d" % i, b"v")
        db.expire_at(b"%d" % i, keyspace.time + 100)
    db.set(b"stays", b"v")
    keyspace.time += 99
    assert db.get(b"5") == b"v" and keyspace.expire_cycle() == 0
    keyspace.time += 1
    keyspace.log.changes.clear()
    assert db.get(b"5") is None and not db.delete(b"6")
    assert keyspace.log.events() == [("expired", b"5"), ("expired", b"6")]
    assert keyspace.expire_cycle(100_000) == 98
    assert list(db.data) == [b"stays"] and not db.expires and keyspace.n_expired == 100


def test_a_replica_leaves_expiry_alone(keyspace, db):
    db.set(b"k", b"v", when_ms=keyspace.time - 1)
    keyspace.expiry_enabled = False
    assert keyspace.expire_cycle() == 0 and b"k" in db.data


def test_fields_expire_when_the_hash_is_read(keyspace, db):
    value = Hash([(b"a", b"1"), (b"b", b"2")])
    db.set(b"h", value, "hset")
    value.expire_at(b"a", keyspace.time + 10)
    db.note_field_expiry(b"h", value)
    keyspace.log.changes.clear()
    keyspace.time += 10
    assert list(db.get_as(b"h", Hash).items()) == [(b"b", b"2")]
    assert keyspace.log.changes == [(0, b"h", "hexpired", value, value, {b"a": b"1"})]
    assert not db.field_expires and keyspace.n_expired_fields == 1


def test_fields_expire_in_the_cycle_and_the_last_takes_the_key_along(keyspace, db):
    for i in range(50):
        value = Hash([(b"a", b"1")])
        value.expire_at(b"a", keyspace.time + 10)
        db.set(b"%d" % i, value, "hset")
    keyspace.time += 10
    assert keyspace.expire_cycle(100_000) == 50
    assert not db.data and not db.field_expires
    assert keyspace.log.changes[-1].notifications == ("hexpired", "del")


def test_field_times_follow_the_key(keyspace, db):
    value = Hash([(b"a", b"1"), (b"b", b"2")])
    value.expire_at(b"a", keyspace.time + 10)
    db.set(b"h", value, "hset")
    taken, when = db.take(b"h", "rename_from")
    assert not db.field_expires and when is None
    db.set(b"other", taken, "rename_to")
    assert db.field_expires == {b"other": keyspace.time + 10}
    db.set(b"other", b"text")
    assert not db.field_expires


def test_a_field_that_is_set_again_does_not_expire(keyspace, db):
    value = Hash([(b"a", b"1")])
    value.expire_at(b"a", keyspace.time + 10)
    db.set(b"h", value, "hset")
    value.update_flat([b"a", b"2"])
    keyspace.time += 10
    assert db.get(b"h") is value and value.get(b"a") == b"2" and not db.field_expires


def test_many_changes_of_a_field_time_do_not_pile_up():
    value = Hash([(b"a", b"1")])
    for i in range(10_000):
        value.expire_at(b"a", i)
    assert len(value._data.due) < 200 and value.next_expiry() == 9999
    assert value.purge(9998) == {} and value.purge(9999) == {b"a": b"1"}


def test_swap_and_flush(keyspace, db):
    other = keyspace.databases[1]
    db.set(b"k", b"v", when_ms=keyspace.time + 5)
    assert db.scan(0, 10) == (0, [b"k"]) and other.scan(0, 10) == (0, [])
    keyspace.swap(0, 1)
    assert not db.data and other.expires and other.scan(0, 10) == (0, [b"k"])
    other.set(b"l", b"v")
    assert sorted(other.scan(0, 10)[1]) == [b"k", b"l"]
    assert keyspace.flush_all() == 2 and other.scan(0, 10) == (0, [])
    assert ("swapped", 0, 1) in keyspace.log.others and ("flushed", 1) in keyspace.log.others


def test_long_strings_are_edited_in_place(db):
    assert db.edit_text(b"k", 0, b"x" * 100_000, "setrange") == 100_000
    value = db.data[b"k"]
    assert type(value) is Buffer
    assert db.edit_text(b"k", 100_010, b"end", "setrange") == 100_013 and db.data[b"k"] is value
    assert db.get_text(b"k") is value
    assert db.get_as(b"k", bytes) == b"x" * 100_000 + bytes(10) + b"end" and type(db.data[b"k"]) is bytes
    with pytest.raises(CommandError):
        db.set(b"h", Hash(), "hset")
        db.get_text(b"h")


@pytest.mark.parametrize("seed", range(5))
def test_a_scan_misses_nothing_that_stays(db, seed):
    rng = random.Random(seed)
    staying = {b"stay%d" % i for i in range(300)}
    passing = [b"pass%d" % i for i in range(600)]
    for key in rng.sample([*staying, *passing], 900):
        db.set(key, b"v")
    cursor, found, n_steps = 0, [], 0
    while True:
        cursor, page = db.scan(cursor, 7)
        found += page
        n_steps += 1
        if cursor == 0:
            break
        for _ in range(20):
            key = rng.choice(passing)
            if rng.random() < 0.6:
                db.delete(key)
            else:
                db.set(key, b"v")
    assert staying <= set(found)
    assert n_steps < 300


def test_a_quiet_scan_repeats_nothing(db):
    rng = random.Random(1)
    keys = [b"%d" % i for i in range(500)]
    for key in keys:
        db.set(key, b"v")
    db.scan(0, 1)
    for _ in range(5000):
        key = rng.choice(keys)
        (db.delete if rng.random() < 0.5 else lambda k: db.set(k, b"v"))(key)
    found, cursor = [], None
    while cursor != 0:
        cursor, page = db.scan(cursor or 0, 10)
        found += page
    assert sorted(found) == sorted(db.data)


def test_an_order_stays_small_and_random_keys_are_there():
    mapping, rng = {}, random.Random(3)
    order = Order(mapping)
    for i in range(20_000):
        key = rng.randrange(50)
        if key in mapping:
            del mapping[key]
            order.removed(key)
        else:
            mapping[key] = None
            order.added(key)
        if mapping and i % 50 == 0:
            assert order.random() in mapping
    assert len(order._keys) < 300 and len(order._moved) < 300
    counts = {key: 0 for key in mapping}
    for _ in range(4000):
        counts[order.random()] += 1
    assert min(counts.values()) > 0


def test_a_scan_takes_any_cursor(db):
    for i in range(20):
        db.set(b"%d" % i, b"v")
    assert db.scan(2**64 - 1, 5)[0] == 15


def test_random_key_of_an_empty_database(keyspace, db):
    assert db.random_key() is None
    db.set(b"k", b"v", when_ms=keyspace.time - 1)
    assert db.random_key() is None and not db.data


def test_flush_hands_its_values_over():
    keyspace = Keyspace(1)
    handed = []
    keyspace.discard = handed.append
    keyspace.databases[0].set(b"a", b"1")
    assert keyspace.flush_all() == 1 and handed == [{b"a": b"1"}] and keyspace.databases[0].get(b"a") is None
