"""Images: what is saved comes back, whatever goes on meanwhile; what is damaged is refused with a reason."""
import os
import re
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
from common import SMALL, brute, clustered, recall

import native
from native._vec import lib

N, DIM = (500, 24) if SMALL else (1500, 40)
X, QUERIES = clustered(N + 50, DIM)[:N], clustered(N + 50, DIM)[N:]
PAGE = 4096


def same_answers(a, b, queries=QUERIES, window=64):
    for got, want in zip(b.search(queries, 10, window=window), a.search(queries, 10, window=window), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("algorithm", ["FLAT", "SVS-VAMANA"])
@pytest.mark.parametrize("compression", [None, *native.COMPRESSIONS])
def test_round_trip(tmp_path, compression, algorithm, copy):
    ix = native.Index(DIM, "IP" if compression == "LVQ8" else "L2", algorithm=algorithm, compression=compression,
                      training_threshold=N // 2)
    ix.add(np.arange(N) * 3, X)
    ix.remove(np.arange(100) * 3)
    ix.wait()
    ix.save(tmp_path / "a")
    got = native.Index.load(tmp_path / "a", copy=copy)
    got.wait()
    got.validate()
    assert (got.dim, got.metric, got.dtype, got.algorithm, got.compression) == (DIM, ix.metric, "FLOAT32", algorithm, compression)
    same_answers(ix, got)
    old, new = ix.stats(), got.stats()
    for name in ("n_vectors", "n_linked", "codec", "is_trained", "training", "code_bytes", "residual_bytes",
                 "is_calibrated", "window"):
        assert new[name] == old[name], name
    chunks = -(-new["n_slots"] // 1024)
    for name, least in (("codes", new["code_bytes"]), ("residuals", new["residual_bytes"]),
                        ("graph", 128 if algorithm != "FLAT" else 0)):
        assert chunks * 1024 * least <= new["bytes"][name] <= chunks * 1024 * least + 16384
    # It goes on living: additions, replacements, removals.
    got.add(np.arange(4 * N, 4 * N + 50), QUERIES)
    got.add([300], QUERIES[:1] * 0.5)
    got.remove([301 * 3])
    got.wait()
    got.validate()
    assert len(got) == N - 100 + 50 - 1
    assert native.Index.load(tmp_path / "a").stats()["n_vectors"] == N - 100     # the file is as it was


@pytest.mark.parametrize("dtype", list(native.DTYPES))
def test_round_trip_of_every_type(tmp_path, dtype):
    x = np.round(X * 100) if dtype.endswith("INT8") else X
    x = np.abs(x) if dtype == "UINT8" else x
    ix = native.Index(DIM, "COSINE", dtype, "HNSW")
    ix.add(np.arange(N), x)
    ix.wait()
    ix.save(tmp_path / "a")
    got = native.Index.load(tmp_path / "a")
    got.wait()
    got.validate()
    same_answers(ix, got, x[:20])


def test_before_training_and_linking(tmp_path):
    """What was not linked or trained when the image was taken is taken up after loading."""
    ix = native.Index(DIM, "L2", compression="LeanVec4x8", training_threshold=N + 1)
    ix.add(np.arange(N), X)
    ix.save(tmp_path / "a")                     # part of it is in the tail
    got = native.Index.load(tmp_path / "a")
    assert len(got) == N
    assert recall(got.search(QUERIES, 10, window=128)[0], brute("L2", QUERIES, X), 10) > 0.9
    got.wait()
    got.validate()
    assert got.stats()["n_linked"] == N and got.stats()["codec"] == "LVQ8x8"
    got.add([N], X[:1])
    got.wait()
    got.validate()
    assert got.stats()["codec"] == "LeanVec4x8"


def test_empty(tmp_path):
    for algorithm in ("FLAT", "SVS-VAMANA"):
        ix = native.Index(3, algorithm=algorithm)
        ix.save(tmp_path / "a")
        got = native.Index.load(tmp_path / "a")
        got.validate()
        assert len(got) == 0
        got.add([7], [[1, 2, 3]])
        assert got.search([[1, 2, 3]], 1)[0].tolist() == [[7]]
        got.remove([7])
        got.save(tmp_path / "b")
        assert len(native.Index.load(tmp_path / "b")) == 0


def test_labels_far_apart(tmp_path):
    labels = np.concatenate([np.arange(100), np.arange(100) * 10**12 + 10**9, [2**62 - 1]])
    ix = native.Index(DIM, algorithm="FLAT")
    ix.add(labels, X[:len(labels)])
    ix.save(tmp_path / "a")
    got = native.Index.load(tmp_path / "a")
    got.validate()
    same_answers(ix, got)
    assert np.isfinite(got.distances(X[0].tobytes(), labels.tolist())).all()


@pytest.mark.parametrize("compression", [None, "LVQ4x8"])
def test_save_while_everything_moves(tmp_path, compression):
    """Labels below half stay and must all be in every image, in one version of the two that each has; the others come and go;
    training happens on the way."""
    half = N // 2
    ix = native.Index(DIM, "L2", compression=compression, training_threshold=half + 100, threads=2)
    ix.add(np.arange(half), X[:half])
    stop = threading.Event()

    def churn():
        rng = np.random.default_rng(1)
        while not stop.is_set():
            batch = rng.integers(half, N, 20)
            ix.add(np.unique(batch), X[np.unique(batch)])
            ix.remove(rng.integers(half, N, 10))
            keep = rng.integers(0, half, 10)
            ix.add(np.unique(keep), X[np.unique(keep)])

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for i in range(3 if SMALL else 8):
            ix.save(tmp_path / str(i))
    finally:
        stop.set()
        thread.join()
    for i in range(3 if SMALL else 8):
        got = native.Index.load(tmp_path / str(i), verify=i % 2 == 0)
        there = np.array(got.distances(QUERIES[0].tobytes(), list(range(N))))
        assert np.isfinite(there[:half]).all()
        want = brute("L2", QUERIES[:1], X)[0]
        known = np.isfinite(there)
        np.testing.assert_allclose(there[known], want[known], atol=0.01)
        got.wait()
        got.validate()
        assert recall(got.search(X[:half:20], 1, window=64)[0], brute("L2", X[:half:20], X), 1) > 0.95


READ = """
import sys
import numpy as np
import native

x = np.random.default_rng(3).standard_normal((10, int(sys.argv[1]))).astype("f4")
for path in sys.argv[2:]:
    labels, distances = native.Index.load(path).search(x, 5, window=64)
    print(labels.tolist(), [[round(d, 4) for d in row] for row in distances.tolist()])
"""


def test_every_instruction_set_reads_it(tmp_path):
    names = [name for name in native.COMPRESSIONS if name not in ("LVQ8x8", "LeanVec8x8")]
    for name in names:
        ix = native.Index(DIM, "L2", compression=name, algorithm="FLAT", training_threshold=N // 2)
        ix.add(np.arange(N), X)
        ix.wait()
        ix.save(tmp_path / name)
    said = set()
    for isa in ("scalar", native.isa()):
        done = subprocess.run([sys.executable, "-c", READ, str(DIM), *(str(tmp_path / name) for name in names)],
                              capture_output=True, text=True, env={**os.environ, "VAMANA_ISA": isa}, check=True)
        said.add(done.stdout)
    assert len(said) == 1 and len(said.pop().splitlines()) == len(names)


def test_no_place_to_write(tmp_path):
    ix = native.Index(3)
    with pytest.raises(native.ImageError, match="nowhere"):
        ix.save(tmp_path / "nowhere" / "a")
    (tmp_path / "d").mkdir()
    with pytest.raises(native.ImageError, match="cannot write"):
        ix.save(tmp_path / "d")
    assert [p.name for p in tmp_path.iterdir()] == ["d"]        # no leavings
    with pytest.raises(native.ImageError, match="cannot open"):
        native.Index.load(tmp_path / "none")
    with pytest.raises(native.ImageError, match="regular"):
        native.Index.load(tmp_path / "d")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A small image with every section, and a path to write damaged ones to."""
    ix = native.Index(24, "L2", compression="LeanVec4x8", training_threshold=200)
    ix.add(np.arange(300), clustered(300, 24))
    ix.remove(np.arange(30))
    ix.wait()
    path = tmp_path_factory.mktemp("images") / "a"
    ix.save(path)
    return path.read_bytes(), path.with_name("b")


def refusal(data, path, verify=True):
    path.write_bytes(data)
    with pytest.raises(native.ImageError) as caught:
        native.Index.load(path, verify=verify)
    assert caught.value.code in (lib.VEC_EIMAGE, lib.VEC_EIO) and str(caught.value)
    return str(caught.value)


def test_foreign_files(image):
    data, path = image
    assert "truncated" in refusal(b"", path)
    assert "not an image" in refusal(b"REDIS0011" + bytes(PAGE), path)
    assert "not an image" in refusal(bytes(len(data)), path)
    assert "byte order" in refusal(data[:8] + data[8:12][::-1] + data[12:], path)
    assert "version 99" in refusal(data[:12] + struct.pack("<I", 99) + data[16:], path)


def test_truncations(image):
    data, path = image
    for size in [*range(0, PAGE, 500), *range(PAGE, len(data), PAGE), len(data) - 1]:
        assert "truncated" in refusal(data[:size], path)
    assert "truncated or damaged" in refusal(data + b"\0", path)


def test_bit_flips(image):
    """A flipped bit anywhere, in each page of each section, is noticed."""
    data, path = image
    rng = np.random.default_rng(0)
    places = [int(p) for start in range(0, len(data), PAGE) for p in rng.integers(start, start + PAGE, 2)]
    reasons = set()
    for place in places:
        bad = bytearray(data)
        bad[place] ^= 1 << rng.integers(8)
        reasons.add(refusal(bytes(bad), path))
    assert {f"section {name} is damaged" for name in ("rows", "meta", "primary", "residual", "coder")} <= reasons
    assert "the header is damaged" in reasons


# Where the header keeps what the next test bends (see native/src/image.h); sections are (offset, bytes, crc, 0) from SECTIONS on.
FIELDS = {"dim": 20, "metric": 24, "dtype": 28, "algorithm": 32, "reduce": 36, "max_degree": 44, "threads": 56, "alpha": 60,
          "wanted": 72, "codec": 96, "primary_stride": 120, "is_trained": 144, "n_slots": 148, "n_linked": 152, "n_deleted": 160,
          "most_norm2": 164, "window": 168, "n_seeds": 180, "first_seed": 184,
          "usual_norm2": 440}
HEADER_CRC, SECTIONS = 16, 448
ROWS, META, CODER = 0, 1, 4


def crc32c(data, table=[]):
    """The images' check sum, to make files that are whole but wrong."""
    if not table:
        for i in range(256):
            for _ in range(8):
                i = i >> 1 ^ 0x82F63B78 * (i & 1)
            table.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def section_of(data, which):
    return struct.unpack_from("<QQ", data, SECTIONS + 24 * which)


def bent(data, changes, section=None):
    """The image with some bytes changed and the check sums put right."""
    data = bytearray(data)
    for at, value in changes:
        data[at:at + len(value)] = value
    if section is not None:
        start, size = section_of(data, section)
        struct.pack_into("<I", data, SECTIONS + 24 * section + 16, crc32c(data[start:start + size]))
    struct.pack_into("<I", data, HEADER_CRC, 0)
    struct.pack_into("<I", data, HEADER_CRC, crc32c(data[:PAGE]))
    return bytes(data)


def test_check_sums_are_crc32c(image):
    assert crc32c(b"123456789") == 0xE3069283
    data, path = image
    path.write_bytes(bent(data, [], META))
    assert path.read_bytes() == data


@pytest.mark.parametrize("field, value, reason", [
    ("dim", 0, "out of range"), ("dim", 40000, "out of range"), ("dim", 25, "layout|part"), ("metric", 3, "out of range"),
    ("dtype", 6, "out of range"), ("algorithm", 2, "out of range"), ("reduce", 25, "out of range"),
    ("max_degree", 33, "section 0"), ("max_degree", 0, "section 0"), ("threads", 0, "out of range"),
    ("alpha", 0x7FC00000, "out of range"),
    ("wanted", 0x51465050, "unknown compression"), ("codec", 0x51465050, "does not go with"),
    ("primary_stride", 1 << 30, "layout"),
    ("is_trained", 0, "does not go with"), ("n_slots", 1 << 29, "section 0"), ("n_slots", 2**32 - 1, "out of range"),
    ("n_linked", 2**32 - 1, "out of range"), ("n_linked", 1, "counts"), ("n_deleted", 1, "counts|out of range"),
    ("most_norm2", 0x7FC00000, "out of range"), ("usual_norm2", 0x7FC00000, "out of range"),
    ("window", 2**32 - 1, "out of range"), ("n_seeds", 65, "out of range"),
    ("first_seed", 300, "seed"), ("first_seed", 2**32 - 1, "seed")])
def test_wrong_headers(image, field, value, reason):
    data, path = image
    assert re.search(reason, refusal(bent(data, [(FIELDS[field], struct.pack("<I", value))]), path))


def test_wrong_sections(image):
    data, path = image
    rows, meta, coder = (section_of(data, which)[0] for which in (ROWS, META, CODER))
    assert "leads nowhere" in refusal(bent(data, [(rows + 128 * 100, struct.pack("<I", 300))], ROWS), path)
    assert "there twice" in refusal(bent(data, [(meta + 8 * 100, data[meta + 8 * 101:meta + 8 * 102])], META), path)
    assert "counts" in refusal(bent(data, [(meta + 8 * 100, bytes(8))], META), path)
    assert "part 0" in refusal(bent(data, [(coder, struct.pack("<Q", 2**63))], CODER), path)
    assert "missing" in refusal(bent(data, [(coder, bytes(8))], CODER), path)
    assert "not where" in refusal(bent(data, [(SECTIONS, struct.pack("<Q", 8192))]), path)
    assert "section primary is damaged" in refusal(bent(data, [(section_of(data, 2)[0], b"\xff\xff\xff")]), path)
    path.write_bytes(bent(data, [(section_of(data, 2)[0], b"\xff\xff\xff")]))
    assert len(native.Index.load(path, verify=False)) == 270    # codes are only numbers: this is what leaving the check out means


def test_a_save_is_of_the_moment_that_it_was_begun(tmp_path):
    """Whatever has been added between its preparation and that moment."""
    vectors = np.random.default_rng(5).standard_normal((3000, 4), np.float32)
    index = native.Index(4, algorithm="FLAT")
    index.add(np.arange(10), vectors[:10])
    saver = index.prepare_save()
    index.add(np.arange(10, 2500), vectors[10:2500])            # more than there was room for
    saver.begin()
    with pytest.raises(native.NativeError):
        saver.begin()
    index.add(np.arange(2500, 3000), vectors[2500:])
    saver.write(tmp_path / "image")
    assert len(native.Index.load(tmp_path / "image")) == 2500
    index.prepare_save().cancel()
    with pytest.raises(native.ImageError):
        index.prepare_save().write(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    index.close()
    with pytest.raises(native.NativeError):
        index.prepare_save()
