"""Every kernel on every instruction set that this machine has, against the scalar one and against numpy."""
import os
import subprocess
import sys

import numpy as np
import pytest

from native._vec import ffi, lib

DIMS = (1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 96, 100, 127, 128, 160, 200, 256, 384, 771)


def names(of):
    i = 0
    while (name := of(i)) != ffi.NULL:
        yield ffi.string(name).decode()
        i += 1


ISAS, KERNELS = list(names(lib.vec_isa_name)), list(names(lib.vec_kernel_name))
QUERY = {"dot_f32": "f4", "l2_f32": "f4", "dot_f16": "f4", "l2_f16": "f4", "dot_bf16": "f4", "l2_bf16": "f4", "dot_f64": "f8",
         "l2_f64": "f8", "dot_i8": "i1", "dot_u8": "u1", "dot_u8s8": "i1", "dot_u4s8": "i1", "dot_u1s8": "i1"}
RECORD = dict(QUERY, dot_f16="f2", l2_f16="f2", dot_bf16="u2", l2_bf16="u2", dot_u8s8="u1", dot_u4s8="u1", dot_u1s8="u1")


def run(isa, kernel, query, records, dim):
    """The kernel's results, or None where the machine lacks the instruction set."""
    kind = "i4" if QUERY[kernel][0] in "iu" else "f8" if QUERY[kernel] == "f8" else "f4"
    out = np.zeros(len(records), kind)
    code = lib.vec_run_kernel(isa.encode(), kernel.encode(), ffi.from_buffer(query), ffi.from_buffer(records), records.strides[0],
                              len(records), dim, ffi.from_buffer(out))
    assert code in (lib.VEC_OK, lib.VEC_EISA)
    return out if code == lib.VEC_OK else None


def extreme(rng, kind, shape):
    """Random integers with both ends of the range well represented."""
    info = np.iinfo(kind)
    a = rng.integers(info.min, info.max, shape, endpoint=True)
    ends = rng.random(shape)
    return np.where(ends < 0.2, info.min, np.where(ends > 0.8, info.max, a)).astype(kind)


def operands(kernel, dim, n, rng):
    q, r = np.dtype(QUERY[kernel]), np.dtype(RECORD[kernel])
    query = extreme(rng, q, dim) if q.kind in "iu" else rng.standard_normal(dim).astype(q)
    if kernel.endswith("bf16"):
        records = (rng.standard_normal((n, dim)).astype("f4").view("u4") >> 16).astype("u2")
    elif r.kind in "iu":
        records = extreme(rng, r, (n, dim // {"dot_u4s8": 2, "dot_u1s8": 8}.get(kernel, 1)))
    else:
        records = rng.standard_normal((n, dim)).astype(r)
    return query, np.ascontiguousarray(records)


def unpack_u4(records, dim):
    out, at = [], 0
    for start in range(0, dim, 128):
        half = min(128, dim - start) // 2
        block = records[:, at:at + half]
        out += [block & 15, block >> 4]
        at += half
    return np.concatenate(out, axis=1)


def expected(kernel, query, records, dim):
    if kernel == "dot_u4s8":
        records = unpack_u4(records, dim)
    if kernel == "dot_u1s8":
        records = np.unpackbits(records, axis=1, bitorder="little")
    if kernel.endswith("bf16"):
        records = (records.astype("u4") << 16).view("f4")
    kind = "i8" if QUERY[kernel][0] in "iu" else "f8"
    a, b = query.astype(kind), records.astype(kind)
    return ((a - b) ** 2).sum(1) if kernel.startswith("l2") else b @ a


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_is_right(isa, kernel):
    rng = np.random.default_rng(len(kernel))
    step = {"dot_u8s8": 16, "dot_u4s8": 32, "dot_u1s8": 64}.get(kernel, 1)
    for dim in sorted({-(-d // step) * step for d in DIMS}):
        for n in (1, 3, 4, 9):
            query, records = operands(kernel, dim, n, rng)
            got = run(isa, kernel, query, records, dim)
            if got is None:
                pytest.skip(f"no {isa} here")
            want = expected(kernel, query, records, dim)
            if got.dtype.kind == "i":
                np.testing.assert_array_equal(got, want)
            else:
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-4 if got.dtype == "f4" else 1e-11)


def test_one_at_a_time_and_four_at_a_time_agree():
    rng = np.random.default_rng(3)
    for isa in ISAS:
        for kernel in KERNELS:
            query, records = operands(kernel, 192, 8, rng)
            if (many := run(isa, kernel, query, records, 192)) is not None:
                single = np.concatenate([run(isa, kernel, query, records[i:i + 1], 192) for i in range(8)])
                np.testing.assert_allclose(many, single, rtol=1e-6 if many.dtype.kind == "f" else 0)


def test_every_kernel_has_a_scalar_body():
    rng = np.random.default_rng(4)
    for kernel in KERNELS:
        query, records = operands(kernel, 64, 1, rng)
        assert run("scalar", kernel, query, records, 64) is not None


SCRIPT = """
import numpy as np, native, sys
rng = np.random.default_rng(5)
x = rng.standard_normal((400, 50)).astype("f4")
print(native.isa())
for compression in native.COMPRESSIONS:
    ix = native.Index(50, compression=compression, algorithm="FLAT", training_threshold=100)
    for part in (slice(0, 100), slice(100, 400)):
        ix.add(np.arange(400)[part], x[part])
        ix.wait()           # what training sees does not depend on how fast it starts
    labels, distances = ix.search(x[:20], 5)
    print(compression, labels.tolist(), [[round(d, 3) + 0.0 for d in row] for row in distances.tolist()])
"""


def test_every_instruction_set_answers_the_same():
    answers = {}
    for isa in ISAS:
        done = subprocess.run([sys.executable, "-c", SCRIPT], env={**os.environ, "VAMANA_ISA": isa},
                              capture_output=True, text=True)
        if done.returncode == 0:
            first, *rest = done.stdout.splitlines()
            assert first == isa
            answers[isa] = rest
    assert len(answers) >= 1
    for rest in answers.values():
        assert rest == answers["scalar"]


def test_an_unknown_instruction_set_is_an_error():
    done = subprocess.run([sys.executable, "-c", "import native"], env={**os.environ, "VAMANA_ISA": "pentium"},
                          capture_output=True, text=True)
    assert done.returncode != 0 and "pentium" in done.stderr and "scalar" in done.stderr
