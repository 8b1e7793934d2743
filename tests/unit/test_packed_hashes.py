"""Hashes, packed or not, with values in memory and in a file, against a plain dict."""
import random

import pytest

from respserver.values import shape, slots
from respserver.values.hash import Hash, raw_of_many
from respserver.values.slots import SlotStore

NAMES = [b"a", b"title", b"vec", b"", b"n\x00\xff", b"long" * 60]


def is_packed(value: Hash) -> bool:
    return value._shape is not None


def some_value(rng, name):
    if name == b"vec":
        return rng.randbytes(400)
    return rng.randbytes(rng.choice([0, 1, 3, 5, 30, 254, 255, 256, 700]))


def check(value: Hash, model: dict):
    assert len(value) == len(model) and bool(value) == bool(model)
    assert list(value.keys()) == list(model) and list(value.values()) == list(model.values())
    assert list(value.items()) == list(model.items())
    for name in NAMES:
        assert value.get(name) == model.get(name) and (name in value) == (name in model)
        assert value.length_of(name) == len(model.get(name, b"")) and value.previous(name) == model.get(name)
    assert value.many(NAMES) == [model.get(name) for name in NAMES]
    if model:
        assert value.random_field() in model


@pytest.fixture
def store(tmp_path):
    store = SlotStore(str(tmp_path / "slots"), 400)
    yield store
    store.close()


class Everything(set):
    def __contains__(self, mark):
        return True


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("place", ["memory", "file"])
def test_a_hash_is_a_dict(store, seed, place, monkeypatch):
    if seed % 2:
        monkeypatch.setattr(shape, "_seen", Everything())       # pack at once, not from the second hash on
    rng = random.Random(seed)
    names = NAMES[:rng.choice([2, 4, 6])] if seed % 3 else NAMES
    n_packed = 0
    for _ in range(20):
        model, times = {}, {}
        pairs = [(name, some_value(rng, name)) for name in rng.sample(names, rng.randint(0, len(names)))]
        value = Hash.from_flat(tuple(word for pair in pairs for word in pair)) if rng.random() < 0.5 else Hash(pairs)
        model.update(pairs)
        for step in range(30):
            n_packed += is_packed(value)
            name = rng.choice(names)
            match rng.randrange(12 if seed % 5 == 0 else 8):
                case 0 | 1:
                    text = some_value(rng, name)
                    assert value.put(name, text) == model.get(name)
                    model[name] = text
                    times.pop(name, None)
                case 2 | 3:
                    words = tuple(word for name in rng.choices(names, k=rng.randint(1, 4))
                                  for word in (name, some_value(rng, name)))
                    if rng.random() < 0.3:
                        words = tuple(word for name in model for word in (name, some_value(rng, name)))
                    before = {name: model.get(name) for name in words[::2]}
                    assert value.update_flat(words) == before
                    for name, text in zip(words[::2], words[1::2]):
                        model[name] = text
                        times.pop(name, None)
                case 4:
                    assert value.pop(name) == model.pop(name, None)
                    times.pop(name, None)
                case 5:
                    assert value.delete(name) == (model.pop(name, None) is not None)
                    times.pop(name, None)
                case 6:
                    text = some_value(rng, name)
                    assert value.set(name, text, keep_time=True) == (name not in model)
                    model[name] = text
                case 7:
                    twin = value.copy()
                    check(twin, model)
                    assert not twin.refs() and twin.times() == value.times()
                    if rng.random() < 0.5:
                        value = twin
                case 8 | 9:
                    if name in model:
                        when = rng.choice([None, rng.randrange(100)])
                        value.expire_at(name, when)
                        times.pop(name, None)
                        if when is not None:
                            times[name] = when
                case 10:
                    now = rng.randrange(100)
                    gone = {name: model[name] for name, when in times.items() if when <= now}
                    assert value.purge(now) == gone
                    for name in gone:
                        del model[name], times[name]
                case 11:
                    cursor, found = value.scan(0, 100)
                    assert cursor == 0 and sorted(found) == sorted(model)
            raw = value.raw(b"vec")
            if place == "file" and raw is not None and type(raw) is bytes and len(raw) == 400 and rng.random() < 0.7:
                assert value.exchange(b"vec", store.write(raw)) == raw
                assert [name for name, _ in value.refs()] == [b"vec"]
            assert store.n_used == len(value.refs())
            check(value, model)
            assert value.times() == times
        value = twin = None
        assert store.n_used == 0
    assert n_packed > 50 or not seed % 2


def test_what_many_hashes_hold(store):
    rng = random.Random(7)
    made = []
    for i in range(300):
        names = NAMES[rng.choice([0, 2]):rng.choice([2, 4, 6])] + [b"f%d" % j for j in range(rng.choice([0, 0, 40]))]
        value = Hash([(name, some_value(rng, name)) for name in names])
        raw = value.raw(b"vec")
        if raw is not None and rng.random() < 0.5:
            value.exchange(b"vec", store.write(raw))
        made.append(rng.choice([value, value, None]))
    rng.shuffle(made)
    assert len({value._shape for value in made if value is not None}) > 5
    for name in (b"vec", b"title", b"", b"f7", b"none"):
        found, refs = raw_of_many(iter(made), name)
        assert found == [None if value is None else value.raw(name) for value in made]
        assert refs == [i for i, value in enumerate(made) if value is not None and type(value.raw(name)) is slots.Ref]
    assert raw_of_many([], b"vec") == ([], []) and raw_of_many([None], b"vec") == ([None], [])


def test_a_value_replaced_in_place():
    """Of every kind by every kind, beside values of every kind."""
    sizes = [0, 1, 254, 255, 256, 600]
    for _ in range(2):                                          # packed from the second time on
        for before in sizes:
            for after in sizes:
                value = Hash([(b"x", b"1" * 300), (b"y", b"2" * before), (b"z", b"3" * 7)])
                assert value.put(b"y", b"4" * after) == b"2" * before
                assert list(value.items()) == [(b"x", b"1" * 300), (b"y", b"4" * after), (b"z", b"3" * 7)]
    assert is_packed(value)


def test_hashes_with_many_fields_are_dicts():
    for _ in range(2):
        value = Hash()
        for i in range(100):
            value.put(b"f%d" % i, b"%d" % i)
        assert list(value.items()) == [(b"f%d" % i, b"%d" % i) for i in range(100)]
    assert not is_packed(value)


def test_names_that_nobody_shares_do_not_make_shapes():
    n = len(shape._shapes)
    made = [Hash([(b"only-%d" % i, b"v")]) for i in range(1000)]
    assert len(shape._shapes) == n and made[999].get(b"only-999") == b"v"


def test_too_many_shapes_are_forgotten_but_stay_in_use(monkeypatch):
    monkeypatch.setattr(shape, "_MAX_SHAPES", 8)
    for name in ("_shapes", "_latest"):
        monkeypatch.setattr(shape, name, {})
    monkeypatch.setattr(shape, "_seen", set())
    made = [Hash([(b"s%d" % (i % 50), b"%d" % i)]) for i in range(500)]
    assert len(shape._shapes) <= 8 and all(value.get(b"s%d" % (i % 50)) == b"%d" % i for i, value in enumerate(made))


def test_equal_names_in_one_call():
    for _ in range(3):
        value = Hash.from_flat((b"a", b"1", b"b", b"2", b"a", b"3"))
        assert list(value.items()) == [(b"a", b"3"), (b"b", b"2")]


def test_a_packed_hash_is_small():
    pairs = [(b"title", b"x" * 46), (b"section", b"admin"), (b"size", b"123")]
    made = [Hash(pairs) for _ in range(3)]
    assert is_packed(made[2]) and made[2].memory() < 150 < made[0].memory()


def test_what_a_hash_says_of_a_damaged_value(store, tmp_path):
    value = Hash([(b"vec", b"x" * 400), (b"a", b"1")])
    value.exchange(b"vec", store.write(value.raw(b"vec")))
    other = store.write(b"y" * 400)                            # so that it is read from the file
    with open(store.path, "r+b") as file:
        file.seek(store._offset(slots.slot_of(value.raw(b"vec"))) + 100)
        file.write(b"!")
    for read in (lambda: value.get(b"vec"), value.values, value.items, value.copy, lambda: value.many([b"vec"])):
        with pytest.raises(slots.CommandError, match="damaged"):
            read()
    assert value.get(b"a") == b"1" and value.length_of(b"vec") == 400 and value.previous(b"vec") == b""
    assert value.put(b"vec", b"new") == b"" and value.get(b"vec") == b"new"
    slots.discard(other)
    assert store.n_used == 0
