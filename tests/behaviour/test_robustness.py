"""The short versions of scripts/fuzz, scripts/fuzz-queries, scripts/fuzz-files and scripts/soak."""
import subprocess
import sys

import pytest
from helpers import ROOT


@pytest.fixture(autouse=True)
def only_ours(request):
    if request.config.getoption("--server"):
        pytest.skip("starts servers of its own")


@pytest.mark.parametrize("words", [("fuzz.py", "--inputs", "8000", "--seed", "5"),
                                   ("queries.py", "--inputs", "2500", "--seed", "2"), ("files.py", "--inputs", "1000"),
                                   ("soak.py", "--minutes", "0.08", "--clients", "4")], ids=lambda words: words[0])
def test_short(words):
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "robustness" / words[0]), *words[1:]],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
