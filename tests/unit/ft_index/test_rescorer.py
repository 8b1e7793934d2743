"""Rescoring apart from any server: what becomes of candidates whose original is not there."""
import numpy as np
import pytest

from commands.ft.documents import DocumentTable
from commands.ft.fields.vector import VectorField
from commands.ft.plan import to_end
from commands.ft.rescore import Rescorer, enough
from commands.ft.specs import VectorSpec
from respserver.values.hash import Hash

DIM = 8
VECTORS = np.random.default_rng(2).normal(size=(20, DIM)).astype("<f4")


@pytest.fixture
def rescorer():
    docs = DocumentTable()
    field = VectorField(VectorSpec(path=b"v", name=b"v", algorithm="FLAT", dtype="FLOAT32", dim=DIM, metric="L2"))
    for i, vector in enumerate(VECTORS):
        docs.add(b"d%d" % i, Hash([(b"v", vector.tobytes())]))
    yield Rescorer(docs, field)
    field.close()


def exact(row):
    return float(((VECTORS[row] - VECTORS[0]) ** 2).sum())


def test_order_and_distances_are_exact(rescorer):
    rows, distances = rescorer.rescore(VECTORS[0].tobytes(), list(range(19, -1, -1)), [9.0] * 20, 20, 5)
    assert rows == sorted(range(20), key=exact)[:5]
    assert distances == pytest.approx([exact(row) for row in rows], rel=1e-6)
    assert rescorer.last[:2] == (20, 20)


def test_without_an_original_the_distance_of_the_code_stays(rescorer):
    values = rescorer.docs.values
    values[3].put(b"v", b"short")
    values[4].delete(b"v")
    values[5].put(b"v", np.full(DIM, np.nan, "<f4").tobytes())
    values[6] = None
    rows, distances = rescorer.rescore(VECTORS[0].tobytes(), [0, 3, 4, 5, 6, 7], [1.0, 0.5, 0.25, 0.125, 0.0625, 0.1], 6, 6)
    found = dict(zip(rows, distances))
    assert found == pytest.approx({0: 0.0, 3: 0.5, 4: 0.25, 5: 0.125, 6: 0.0625, 7: exact(7)}, rel=1e-6)
    assert distances == sorted(distances)


def test_candidates_beyond_n_keep_their_distances(rescorer):
    rows, distances = rescorer.rescore(VECTORS[0].tobytes(), [0, 1, 2], [0.1, 0.2, 0.3], 1, 3)
    assert (rows, distances) == ([0, 1, 2], [0.0, 0.2, 0.3])


def test_a_long_range_is_measured_in_pieces(rescorer):
    rows = list(range(20)) * 60
    rescorer.docs.values[7] = None
    found, distances = to_end(rescorer.within(VECTORS[0].tobytes(), rows, [0.0] * len(rows), 1e9, len(rows)))
    assert len(found) == len(rows)
    assert distances == pytest.approx([0.0 if row == 7 else exact(row) for row in found], rel=1e-6)


def test_how_many_hold_the_share_asked_for():
    assert enough([1, 2, 3, 4], 4) == 0
    assert enough([], 10) == 0
    assert enough([*range(1, 10), 30], 10) == 30
    assert enough([1] * 999 + [50], 1) == 0          # one in a thousand is good enough


def test_how_many_candidates(rescorer):
    assert rescorer.candidates(10) == rescorer.candidates(10, "AUTO") == rescorer.candidates(10, "OFF") == 0
    assert rescorer.candidates(10, 4) == 10 and rescorer.candidates(10, 2.5) == 25 and rescorer.candidates(0, 5) == 0


class FakeEngine:
    def window_for(self, k, target):
        return round(1000 * target)

    def default_window(self, k):
        return 50


@pytest.fixture
def planner():
    docs = DocumentTable()
    field = VectorField(VectorSpec(path=b"v", name=b"v", algorithm="SVS-VAMANA", dtype="FLOAT32", dim=DIM, metric="L2",
                                   compression="LVQ4"))
    made, engine = Rescorer(docs, field), field.engine
    made.measured, made.shares = [(1, 3), (10, 20), (100, 150)], [(1, 0.9), (10, 0.96), (100, 0.99)]
    field.engine = FakeEngine()
    yield made
    field.engine = engine
    field.close()


def test_what_lies_on_disk_is_read_where_codes_do_not_reach_the_target(planner):
    assert planner.plan(10, 0, None) == (20, 50) and planner.plan(10, 0, 0.9) == (20, 900)
    planner.is_on_disk = True
    assert planner.plan(10, 0, None) == planner.plan(10, 0, None, "AUTO") == (0, 990)      # 0.96 of 0.99 is 0.95
    assert planner.plan(10, 0, 0.9) == (0, 938) and planner.plan(10, 0, 0.99) == (20, 990)
    assert planner.plan(1, 0, None) == (3, 50) and planner.plan(100, 0, 0.98) == (0, 990)
    assert planner.plan(10, 70, None) == (20, 70)                   # the window is not the server's to choose
    assert planner.plan(10, 0, None, 30) == (30, 50) and planner.plan(10, 0, None, 2.5) == (25, 50)
    assert planner.plan(10, 0, None, "OFF") == (0, 0)
    planner.field.spec.target_recall = 0.99
    assert planner.plan(10, 0, None) == (20, 50)
    planner.shares = []
    assert planner.plan(10, 0, 0.9) == (20, 900)                    # not measured yet
