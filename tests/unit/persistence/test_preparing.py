"""A snapshot whose fork is being prepared: it counts as one under way, and can be called off."""
from types import SimpleNamespace

import pytest

from respserver.config import Config
from respserver.persistence import keeper as keepers, settings  # noqa: F401 (it registers the directives)
from respserver.protocol.errors import SAVE_IN_PROGRESS, CommandError


@pytest.fixture
def keeper(monkeypatch):
    """One that has a lot of memory; `forks` is what it has forked, `prepared()` ends the preparation."""
    parts = {"gatherer": SimpleNamespace(finish=lambda patience: None),
             "dispatcher": SimpleNamespace(refuse_writes=lambda what, text: None)}
    keeper = keepers.Keeper(SimpleNamespace(config=Config(), **parts))
    works = []
    monkeypatch.setattr(keepers, "used_memory", lambda: keepers._LARGE)
    monkeypatch.setattr(keeper, "in_thread", lambda work, on_done: works.append((work, on_done)))
    monkeypatch.setattr(keeper, "_fork_snapshot", lambda: keeper.forks.append(1))
    keeper.forks = []

    def prepared():
        work, on_done = works.pop()
        work()
        on_done("")
    keeper.prepared = prepared
    return keeper


def test_is_under_way_while_it_is_prepared(keeper):
    ends = []
    assert keeper.background_save(on_started=ends.append) and keeper.is_preparing and keeper.is_busy
    with pytest.raises(CommandError, match=SAVE_IN_PROGRESS.removeprefix("ERR ")):
        keeper.background_save(on_started=ends.append)
    with pytest.raises(CommandError, match=SAVE_IN_PROGRESS.removeprefix("ERR ")):
        keeper.save()
    assert not keeper.rewrite() and keeper.file.is_scheduled
    assert not keeper.forks and not ends
    keeper.prepared()
    assert keeper.forks == [1] and ends == [None] and not keeper.is_preparing


def test_is_called_off(keeper):
    ends = []
    keeper.background_save(on_started=ends.append)
    keeper.kill_child()
    assert not keeper.is_preparing
    keeper.prepared()
    assert not keeper.forks and len(ends) == 1 and isinstance(ends[0], CommandError)


def test_small_ones_and_transactions_fork_at_once(keeper, monkeypatch):
    assert keeper.background_save() and keeper.forks == [1]
    monkeypatch.setattr(keepers, "used_memory", lambda: 0)
    assert keeper.background_save(on_started=None) and not keeper.is_preparing and keeper.forks == [1, 1]
