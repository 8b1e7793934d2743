"""The server is killed under load: what it had acknowledged is there. scripts/crash does it a thousand times."""
import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("crash", Path(__file__).resolve().parents[2] / "scripts" / "crash.py")
crash = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(crash)


@pytest.mark.parametrize("fsync, rounds", [("always", 12), ("everysec", 8)])
def test_kills_lose_nothing(tmp_path, fsync, rounds):
    assert crash.run(rounds, fsync, 1, str(tmp_path), quiet=True) == []
