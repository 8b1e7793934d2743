"""Rescoring apart from any server: what becomes of candidates whose original is not there."""
import math

import numpy as np
import pytest

from commands.ft.documents import DocumentTable
from commands.ft.fields.vector import VectorField
from commands.ft.plan import to_end
from commands.ft.rescore import Lateness, Rescorer, enough, scale_of
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
    assert planner.plan(10, 0, None)[:2] == (20, 50) and planner.plan(10, 0, 0.9)[:2] == (20, 900)
    planner.is_on_disk = True
    assert planner.plan(10, 0, None)[:2] == planner.plan(10, 0, None, "AUTO")[:2] == (0, 990)      # 0.96 of 0.99 is 0.95
    assert planner.plan(10, 0, 0.9)[:2] == (0, 938) and planner.plan(10, 0, 0.99)[:2] == (20, 990)
    assert planner.plan(1, 0, None)[:2] == (3, 50) and planner.plan(100, 0, 0.98)[:2] == (0, 990)
    assert planner.plan(10, 70, None)[:2] == (20, 70)                   # the window is not the server's to choose
    assert planner.plan(10, 0, None, 30)[:2] == (30, 50) and planner.plan(10, 0, None, 2.5)[:2] == (25, 50)
    assert planner.plan(10, 0, None, "OFF")[:2] == (0, 0)
    planner.field.spec.target_recall = 0.99
    assert planner.plan(10, 0, None)[:2] == (20, 50)
    planner.shares = []
    assert planner.plan(10, 0, 0.9)[:2] == (20, 900)                    # not measured yet


def test_the_window_follows_recall_with_rescoring(planner):
    planner.measured = [(1, 30), (10, 120), (100, 400)]
    assert planner.plan(10, 0, None) == (120, 50, 0, math.inf, 0)                  # not measured: as wide as there are candidates
    planner.slacks = [(1, 3.0, 12.0), (10, 2.0, 50.0), (100, 1.0, 200.0)]
    assert planner.plan(10, 0, None) == (120, 50, 0, 2.0, 50)
    planner.windows = [(10, 0.8), (40, 0.95), (80, 0.97), (100, 0.992)]
    assert planner.plan(10, 0, None) == (120, 56, 10, 2.0, 50)                     # 0.9575 lies between
    assert planner.plan(10, 0, None, "AUTO") == planner.plan(10, 0, None)
    assert planner.plan(10, 0, None, 120) == (120, 50, 0, math.inf, 0)
    assert planner.plan(10, 70, None) == (120, 70, 0, 2.0, 50)                     # given: as many candidates as ever
    planner.field.spec.target_recall = 0.8
    assert planner.plan(10, 0, None) == (120, 50, 10, 2.0, 50)                     # never below the window of the codes
    planner.field.spec.target_recall = 0.995
    assert planner.plan(10, 0, None) == (120, 50, 0, 2.0, 50)                      # none of them finds so much
    planner.field.spec.target_recall = None
    assert planner.plan(100, 0, None)[1:] == (56 + 112, 100, 1.0, 200) and planner.plan(1, 0, None)[2:] == (0, 3.0, 12)
    planner.field.spec.search_window_size = 50
    assert planner.plan(10, 0, None) == (120, 50, 0, 2.0, 50)                      # FT.CREATE has said it
    kept = planner.state()
    planner.start_over()
    assert planner.slacks == planner.windows == []
    planner.field.engine.stats = lambda: {"codec": "LVQ4", "n_epochs": 1}
    planner.restore(kept[:4])                                                      # of an image of before
    assert planner.measured and planner.slacks == planner.windows == []
    planner.restore(kept)
    assert planner.plan(10, 0, None)[3] == 2.0


def test_slack_has_room_for_nearly_all():
    late = Lateness(2)
    by_code, exact = [0.1 * i for i in range(40)], [0.1 * i + (-1) ** i for i in range(40)]
    late.add(by_code, exact, [1, 3])
    scale = scale_of(by_code, exact, 2)
    assert scale == pytest.approx(1.0) and late.is_known
    slack, usual = late.slack()
    assert slack == pytest.approx(1.0, abs=0.01) and usual == sum(x <= exact[3] + slack * scale for x in by_code)
    assert not Lateness(2).is_known


def test_rescoring_in_pieces_measures_what_may_be_near(rescorer, monkeypatch):
    monkeypatch.setattr("commands.ft.rescore._PIECE", 7)
    off = np.random.default_rng(1).normal(size=20) * 0.1
    order = sorted(range(20), key=lambda row: exact(row) + off[row])
    by_code = [exact(row) + off[row] for row in order]
    whole = rescorer.rescore(VECTORS[0].tobytes(), order, by_code, 20, 5)
    assert rescorer.last[:2] == (20, 20)
    assert rescorer.rescore(VECTORS[0].tobytes(), order, by_code, 20, 5, 50.0) == whole
    many, far = order * 2, by_code + [1e6 + i for i in range(20)]
    for usual in (0, 30):
        assert rescorer.rescore(VECTORS[0].tobytes(), many, far, 40, 5, 1.0, usual)[1][0] == 0.0
        assert rescorer.last[:2] == (40, max(24, usual))
    rescorer.docs.values[many[0]] = None                # its estimate counts
    assert rescorer.rescore(VECTORS[0].tobytes(), many[:20], [-1.0, *far[1:20]], 20, 5, 1.0)[1][0] == -1.0
