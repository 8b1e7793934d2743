"""When free memory is given back to the system."""
from respserver import memory
from respserver.memory import Trimmer


def test_it_waits_for_peace_and_a_reason(monkeypatch):
    used, trims = [100 << 20], []
    monkeypatch.setattr(memory, "used_memory", lambda: used[0])
    monkeypatch.setattr(memory, "_trim", lambda: trims.append(used[0]))
    trimmer = Trimmer()
    trimmer.look(0, 100, 1.0)
    assert not trims                                        # nothing has happened
    used[0] += 5 << 20
    trimmer.look(1000, 200, 2.0)
    assert not trims                                        # busy
    trimmer.look(3, 200, 3.0)
    assert len(trims) == 1                                  # it has grown
    trimmer.look(3, 200, 1e6)
    assert len(trims) == 1
    trimmer.look(0, 20_000, 2e6)
    assert len(trims) == 2                                  # much was written
    trimmer.look(0, 3, 3e6)                                 # SAVE
    assert len(trims) == 3
    trimmer.is_due = True
    trimmer.look(0, 3, 4e6)
    assert len(trims) == 4 and not trimmer.is_due
    used[0] -= 50 << 20
    trimmer.look(0, 3, 5e6)
    used[0] += 2 << 20
    trimmer.look(0, 3, 6e6)
    assert len(trims) == 5


def test_a_long_one_is_followed_by_a_longer_pause(monkeypatch):
    clock = [50.0]

    def trim():
        clock[0] += 0.1
    monkeypatch.setattr(memory.time, "thread_time", lambda: clock[0])
    monkeypatch.setattr(memory, "_trim", trim)
    trimmer = Trimmer()
    for now, is_done in ((10.0, True), (20.0, False), (109.0, False), (111.0, True)):
        trimmer.is_due = True
        trimmer.look(0, 0, now)
        assert trimmer.is_due != is_done


def test_it_can_be_done():
    memory.purge()
