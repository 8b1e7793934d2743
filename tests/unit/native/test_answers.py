"""Names, distances as text, and replies written by the engine."""
import math
import random
import struct

import numpy as np
import pytest

import native


def as_text(distance):
    """What commands/ft/reply.distance_text says."""
    if distance == distance and -1e17 < distance < 1e17 and distance == int(distance):
        return b"%d" % distance
    return b"%.12g" % distance


EDGES = [0.0, -0.0, 1.0, -1.0, 2.0**53, 1e16, 1e17, -1e17, 1.5e17, 1e300, 5e-324, 1e-4, 9.99999999999949e-5, 9.9999999999995e-5,
         0.1, 0.001, 0.00099999999999999, 0.5, 0.25, 99999999999.9, 99999999999.96, 9.9999999999996, 0.9999999999996,
         1.0000000000005, 123456789012.5, 12345678901.25, 0.0001220703125, math.inf, -math.inf, math.nan, -math.nan]


def test_distances_are_written_as_python_writes_them():
    r = random.Random(3)
    values = list(EDGES)
    for _ in range(20_000):
        values += [r.random() * 2, 10 ** r.uniform(-6, 18) * r.choice((1, -1)), struct.unpack("d", r.randbytes(8))[0],
                   round(r.random() * 10 ** r.randint(0, 11), r.randint(0, 13)), r.randint(0, 2**44) / 2 ** r.randint(0, 44),
                   math.nextafter(10.0 ** r.randint(-5, 12), r.choice((0, 1e300)))]
    assert [v for v in values if native.distance_text(v) != as_text(v)] == []


def test_names():
    names = native.Names()
    assert names[0] == names[10**6] == b""
    r = random.Random(1)
    kept = {}
    for _ in range(5000):
        label = r.randrange(2000)
        kept[label] = r.randbytes(r.choice((0, 1, 30, 31, 32, 33, 200)))
        names[label] = kept[label]
    assert all(names[label] == kept.get(label, b"") for label in range(2100))
    before = names.nbytes
    names[5] = b"x" * 100_000
    assert names.nbytes >= before + 99_000
    names[5] = b""
    assert names.nbytes <= before + 200
    keys = [None if i % 9 == 4 else r.randbytes(r.choice((0, 3, 9, 24, 25, 26, 100, 3000))) for i in range(500)]
    names, kept = native.Names(), [b"%d" % i for i in range(70_000)]        # narrow places, too many to be made wide at once
    names.fill(b"".join(kept), np.array(list(map(len, kept)), np.uint32))
    kept = [b"$%d\r\n%b\r\n" % (len(key), key) for key in kept]
    narrow = names.nbytes
    for label in (3, 69_999, 20):
        names[label] = kept[label] = b"of twenty characters"
    assert narrow < names.nbytes < narrow + 100
    while names.nbytes < 1.5 * narrow:                                      # until the table grows
        names[len(kept)] = b"of twenty characters"
        kept.append(b"of twenty characters")
    names[5] = kept[5] = b""
    assert [names[i] for i in range(len(kept))] == kept and names.nbytes == native.Names.bytes_of(len(kept), 20)
    names = native.Names()
    names.fill(b"".join(key for key in keys if key is not None),
               np.array([2**32 - 1 if key is None else len(key) for key in keys], np.uint32))
    assert [names[i] for i in range(501)] == [b"" if key is None else b"$%d\r\n%b\r\n" % (len(key), key) for key in [*keys, None]]


ORDER = np.arange(1000)
FORMS = [
    (native.Form(b"*", b"\r\n:", b"", b"*2\r\n$1\r\nd\r\n", b"", b"", b"\r\n", 2, True, True),
     lambda rows: b"*%d\r\n:%d\r\n" % (1 + 2 * len(rows), len(rows))
     + b"".join(b"%b*2\r\n$1\r\nd\r\n$%d\r\n%b\r\n" % (name, len(as_text(d)), as_text(d)) for name, d in rows)),
    (native.Form(b"*", b"\r\n:", b"", b"", b"", b"", b"\r\n", 1, True, False),
     lambda rows: b"*%d\r\n:%d\r\n" % (1 + len(rows), len(rows)) + b"".join(name for name, _ in rows)),
    (native.Form(b"%2\r\n+rows\r\n*", b"\r\n", b"<", b"|", b">", b"+n\r\n:", b"\r\n.", 1, False, True),
     lambda rows: b"%%2\r\n+rows\r\n*%d\r\n" % len(rows)
     + b"".join(b"<%b|$%d\r\n%b\r\n>" % (name, len(as_text(d)), as_text(d)) for name, d in rows) + b"+n\r\n:%d\r\n." % len(rows)),
]


@pytest.mark.parametrize("form, expected", FORMS)
@pytest.mark.parametrize("metric", ["L2", "COSINE", "IP"])
def test_replies(form, expected, metric):
    rng = np.random.default_rng(2)
    n = 300
    index, names = native.Index(6, metric=metric), native.Names()
    index.add(np.arange(n), rng.normal(size=(n, 6)).astype(np.float32) * 100)
    for label in range(n):
        names[label] = b"$%d\r\n%b\r\n" % (label % 60, b"k" * (label % 60))
    crew = native.Crew(1)
    for k in (1, 10, 299, 1000):
        queries = rng.normal(size=(9, 6)).astype(np.float32)
        crew.search(index, native.Query(k, window=k), b"".join(q.tobytes() for q in queries), 9)
        for i, reply in enumerate(crew.replies(names, form, ORDER)):
            labels, distances = crew.result(i)
            assert len(labels) == min(k, n)
            assert reply == expected([(names[label], d) for label, d in zip(labels, distances)])


def test_rows_with_more_than_their_distance_and_no_reply_where_that_is_unknown():
    index, names, rest = native.Index(2, metric="L2"), native.Names(), native.Names()
    index.add([0, 1, 2], np.array([[0, 0], [1, 0], [3, 0]], np.float32))
    for label in range(3):
        names[label] = b"%d" % label
    rest[0], rest[1] = b"zero", b"one" * 50
    form = native.Form(b"*", b";", b"<", b"|", b">", b"", b".", 1, True, True, rest)
    crew = native.Crew()
    crew.search(index, native.Query(2), np.array([[0, 0], [2.5, 0], [0.4, 0]], np.float32).tobytes(), 3)
    written = [b"*3;2.<0|$1\r\n0\r\nzero><1|$1\r\n1\r\n" + b"one" * 50 + b">"]
    replies = crew.replies(names, form, ORDER)
    assert replies[0] == written[0] and not replies[1] and replies[2].startswith(b"*3;2.<0|")
    assert crew.replies(names, form, ORDER, 1, 2) == replies[1:] and crew.replies(names, form, ORDER, 0, 1) == written
    rest.clear()
    assert crew.replies(names, form, ORDER) == [b""] * 3 and not rest.nbytes


def test_ties_come_by_the_given_order_and_there_is_no_reply_for_errors():
    index, names = native.Index(2, metric="L2"), native.Names()
    index.add([0, 1, 2, 3], np.array([[0, 0], [1, 0], [0, 1], [-1, 0]], np.float32))
    for label in range(4):
        names[label] = b"%d" % label
    form, expected = FORMS[1]
    crew = native.Crew()
    queries = np.array([[0.3, 0.1], [0, 0], [np.nan, 0]], np.float32)
    crew.search(index, native.Query(4), queries.tobytes(), 3)
    for order, tied in ((ORDER, b"0123"), (-ORDER, b"0321"), (np.array([9, 5, 4, 6]), b"0213")):
        replies = crew.replies(names, form, order)
        assert replies[0].endswith(b"0123") and replies[1].endswith(tied) and not replies[2]
    index.remove([0, 1, 2, 3])
    crew.search(index, native.Query(3), queries[0].tobytes())
    assert crew.replies(names, form, ORDER) == [expected([])]
