"""The file of slots: values come back, damage is noticed, free slots are used again,
the file becomes shorter, errors change nothing."""
import os
import random
import resource
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest

import native
from respserver.values import slots
from respserver.values.slots import PLAIN, SEGMENT_SLOTS, CommandError, Method, Ref, SlotError, SlotStore

METHODS = {"plain": PLAIN, "engine": Method(b"crc32c", native.crc32c, native.SlotReader)}


@pytest.fixture(params=METHODS)
def store(request, tmp_path):
    store = SlotStore(str(tmp_path / "s"), 100, METHODS[request.param])
    yield store
    store.close()


def spoil(store, ref, at, data=b"\xff"):
    with open(store.path, "r+b") as file:
        file.seek(store._offset(slots.slot_of(ref)) + at)
        file.write(data)


def test_values_come_back(store):
    rng = random.Random(1)
    model = {}
    for step in range(20_000):
        if model and rng.random() < 0.45:
            ref = rng.choice(list(model)) if step % 50 == 0 else next(iter(model))
            del model[ref]
            slots.discard(ref)
        else:
            value = rng.randbytes(100)
            ref = store.write(value)
            assert type(ref) is Ref and ref not in model and slots.fetch(ref) == value and slots.length(ref) == 100
            model[ref] = value
        assert store.n_used == len(model)
    refs = list(model)
    assert [slots.fetch(ref) for ref in refs] == list(model.values())
    assert list(map(bytes, store.read_many(refs))) == list(model.values())
    assert store.read_many([]) == [] and store.n_damaged == 0
    assert 0 < store.file_bytes <= (store.n_slots + SEGMENT_SLOTS) * store.stride
    store.rest(), store.rest(), store.rest()
    assert bytes(store.read_many(refs[:1])[0]) == model[refs[0]]


def test_the_file_says_what_it_is(store):
    with open(store.path, "rb") as file:
        head = file.read(48)
    magic, version, base, width, stride, segment, name, check = struct.unpack("<8sIIIII12sI", head[:44])
    assert (magic, version, base, width, stride, segment) == (b"VAMANASL", 1, 4096, 100, 128, SEGMENT_SLOTS)
    assert name.rstrip(b"\0") in (b"crc32", b"crc32c") and check == zlib.crc32(head[:40])


def test_generations_grow(store):
    def head(ref):
        with open(store.path, "rb") as file:
            file.seek(store._offset(slots.slot_of(ref)))
            return struct.unpack("<IIII", file.read(16))
    first = store.write(b"a" * 100)
    generation = head(first)[2]
    slots.discard(first)
    again = store.write(b"b" * 100)
    assert again == first and head(again)[1:] == (slots.slot_of(first), generation + 1, 0)


@pytest.mark.parametrize("at", [0, 3, 4, 8, 12, 16, 60, 115])
def test_any_damaged_byte_is_noticed(store, at, caplog):
    refs = [store.write(bytes([i]) * 100) for i in range(10)]
    spoil(store, refs[4], at)
    with pytest.raises(CommandError, match="damaged on disk.*slot 4"):
        slots.fetch(refs[4])
    found = store.read_many(refs)
    assert found[4] is None
    assert [bytes(one) for i, one in enumerate(found) if i != 4] == [bytes([i]) * 100 for i in range(10) if i != 4]
    assert store.n_damaged == 2 and slots.previous(refs[4]) == b""
    slots.discard(refs[4])
    assert store.write(b"new" + b"." * 97) == refs[4] and store.write(b"x" * 100) and slots.fetch(refs[4])[:3] == b"new"


def test_a_slot_in_another_place_is_noticed(store):
    first, second, _ = store.write(b"a" * 100), store.write(b"b" * 100), store.write(b"c" * 100)
    with open(store.path, "rb") as file:
        file.seek(store._offset(slots.slot_of(first)))
        spoil(store, second, 0, file.read(store.stride))
    with pytest.raises(CommandError):
        slots.fetch(second)
    assert store.read_many([second]) == [None]


def test_a_file_that_was_cut_is_an_error(store):
    refs = [store.write(bytes([i]) * 100) for i in range(200)]
    assert None not in store.read_many(refs)            # mapped now
    os.truncate(store.path, 4096 + 100 * store.stride)
    found = store.read_many(refs)
    assert found[199] is None and bytes(found[0]) == b"\0" * 100
    with pytest.raises(CommandError):
        slots.fetch(refs[198])


def test_the_file_becomes_shorter(store):
    refs = [store.write(struct.pack("<Q", i) + b"." * 92) for i in range(3 * SEGMENT_SLOTS)]
    rng = random.Random(2)
    kept = {i: refs[i] for i in rng.sample(range(len(refs)), 1000)}
    for i, ref in enumerate(refs):
        if i not in kept:
            slots.discard(ref)
    assert store.n_slots == 3 * SEGMENT_SLOTS and store.bound == SEGMENT_SLOTS
    for i, ref in kept.items():
        if store.is_high(ref):
            kept[i] = store.write(store.read_ref(ref))
            slots.discard(ref)
    assert store.trim() == 2 and store.n_slots == SEGMENT_SLOTS
    assert os.path.getsize(store.path) == 4096 + SEGMENT_SLOTS * store.stride
    assert all(slots.fetch(ref)[:8] == struct.pack("<Q", i) for i, ref in kept.items())
    assert all(bytes(found)[:8] == struct.pack("<Q", i) for i, found in zip(kept, store.read_many(kept.values())))
    for ref in kept.values():
        slots.discard(ref)
    store.trim()
    assert store.n_slots == 0 and slots.fetch(store.write(b"z" * 100)) == b"z" * 100


def test_a_file_in_use_is_refused_and_an_old_one_replaced(store, tmp_path):
    with pytest.raises(SlotError):
        SlotStore(store.path, 100)
    assert not slots.remove_stale(store.path) and os.path.exists(store.path)
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    assert not slots.remove_stale(str(other)) and other.exists()
    other.write_bytes(slots.MAGIC + b"...")
    assert slots.remove_stale(str(other)) and not other.exists() and not slots.remove_stale(str(other))
    with pytest.raises(SlotError, match="No such file or directory"):
        SlotStore(str(tmp_path / "none" / "s"), 100)


def test_a_full_disk_changes_nothing(tmp_path):
    """In a process of its own, whose files may not grow beyond a limit."""
    code = textwrap.dedent("""
        import resource, sys
        from respserver.values import slots
        from respserver.values.slots import SEGMENT_SLOTS, SlotError, SlotStore
        store = SlotStore(sys.argv[1], 100)
        limit = 4096 + SEGMENT_SLOTS * store.stride
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        refs = [store.write(b"%100d" % i) for i in range(SEGMENT_SLOTS)]
        for _ in range(3):
            try:
                store.write(b"x" * 100)
            except SlotError as error:
                print(error.text)
        assert store.n_used == SEGMENT_SLOTS and all(slots.fetch(ref) == b"%100d" % i for i, ref in enumerate(refs))
        slots.discard(refs[7])
        assert store.write(b"y" * 100) == refs[7] and slots.fetch(refs[7]) == b"y" * 100
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096 + 50 * store.stride + 60, limit))
        slots.discard(refs[50])
        try:
            store.write(b"z" * 100)                             # only a part of it fits
        except SlotError as error:
            print(error.text)
        assert store.n_used == SEGMENT_SLOTS - 1 and slots.fetch(refs[51]) == b"%100d" % 51
    """)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], cwd=Path(__file__).resolve().parents[2],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cannot be written to disk") == 4 and "File too large" in done.stdout


def test_reading_many_keeps_no_memory(tmp_path):
    store = SlotStore(str(tmp_path / "s"), 4000, METHODS["engine"])
    refs = [store.write(os.urandom(4000)) for _ in range(3000)]

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    store.read_many(refs[:10])
    before = resident()
    for start in range(0, 3000, 100):
        store.read_many(refs[start:start + 100])
    store.rest(), store.rest()
    assert resident() < before + (4 << 20)
    store.close()


@pytest.mark.parametrize("dtype, metric", [("FLOAT32", "L2"), ("FLOAT32", "COSINE"), ("FLOAT16", "IP"), ("INT8", "L2")])
def test_distances_are_those_of_the_values(tmp_path, dtype, metric):
    kind = native.DTYPES[dtype][1]
    vectors = np.random.default_rng(4).integers(-9, 9, (70, 40)).astype(kind)
    store = SlotStore(str(tmp_path / "s"), vectors[0].nbytes, METHODS["engine"])
    refs = [store.write(vector.tobytes()) for vector in vectors]
    ruler, query = native.Ruler(40, metric, dtype), vectors[5].tobytes()
    expected = ruler.distances(query, vectors.tobytes(), 70)
    for some in ([], [3], [69, 0, 0, 33], range(70)):
        assert store.reader.distances(store.slots_of([refs[i] for i in some]), ruler, query) == ([expected[i] for i in some], 0)
    spoil(store, refs[60], 30)
    found, n_bad = store.reader.distances(store.slots_of(refs), ruler, query)
    assert n_bad == 1 and np.isnan(found[60]) and found[:60] + found[61:] == expected[:60] + expected[61:]
    if dtype == "FLOAT32":
        bad = store.write(np.full(40, np.nan, kind).tobytes())
        found, n_bad = store.reader.distances(store.slots_of([refs[1], bad]), ruler, query)
        assert n_bad == 0 and found[0] == expected[1] and np.isnan(found[1])
        with pytest.raises(native.NonFiniteError):
            store.reader.distances(store.slots_of(refs), ruler, np.full(40, np.inf, kind).tobytes())
    store.close()
