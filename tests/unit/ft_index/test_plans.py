"""What an index keeps of searches stays within its bounds."""
from types import SimpleNamespace

from commands.ft import plans


class Hot(SimpleNamespace):
    """A search that keeps something."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def give_up(self):
        self.is_gone = True


def hots(n, is_used):
    return [Hot(is_used=is_used, is_gone=False) for _ in range(n)]


def test_what_was_not_used_goes_first(monkeypatch):
    monkeypatch.setattr(plans, "MAX_BYTES", 800)
    kept, idle, busy = plans.Plans(), hots(6, False), hots(6, True)
    assert [kept.note_size(hot, 100, 0) for pair in zip(busy, idle) for hot in pair] == [False] * 8 + [True] * 4
    kept.evict(0)
    assert kept.n_bytes == 700 and not any(hot.is_gone for hot in busy) and sum(hot.is_gone for hot in idle) == 5
    assert not kept.note_size(busy[0], 150, 0) and not kept.note_size(busy[1], 0, 0) and kept.n_bytes == 650
    assert kept.note_size(busy[2], 1000, 0)
    kept.evict(0)                               # all were asked once: now they go
    assert kept.n_bytes <= 700 and busy[2].is_gone
    assert not kept.note_size(Hot(is_used=True), 31_000, 1000)      # 32 bytes for each document


def test_what_is_wrong_is_forgotten():
    kept, (hot,) = plans.Plans(), hots(1, True)
    kept["a"] = 1
    kept.note_size(hot, 10, 0)
    kept.clear()
    assert (dict(kept), kept.n_bytes, kept.version) == ({}, 0, 1)
    kept.evict(0)
    assert not hot.is_gone
