"""The project as a newcomer meets it: a clean clone starts with one command, and the README says what the registry says."""
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from helpers import PATIENCE, client as client_of, free_port

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 400     # a virtual environment, its packages and the C library are made first


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="needs a git checkout")
def test_serve_starts_from_a_clean_clone(tmp_path):
    clone, port = tmp_path / "clone", free_port()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    log = (tmp_path / "log").open("w+")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    server = subprocess.Popen([str(clone / "scripts" / "serve"), "--port", str(port), "--dir", str(tmp_path / "data")],
                              stdout=log, stderr=log, env=environment)
    try:
        client = client_of(port, 3)
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                assert client.ping()
                break
            except (redis.ConnectionError, redis.TimeoutError):
                log.seek(0)
                assert server.poll() is None and time.monotonic() < deadline, log.read()
                time.sleep(0.2)
        assert (tmp_path / "data").is_dir()
        client.execute_command("FT.CREATE", "i", "SCHEMA", "v", "VECTOR", "SVS-VAMANA", 8, "TYPE", "FLOAT32", "DIM", 2,
                               "DISTANCE_METRIC", "L2", "COMPRESSION", "LVQ8")
        client.hset("a", "v", bytes(8))
        reply = client.execute_command("FT.SEARCH", "i", "*=>[KNN 1 @v $q]", "PARAMS", 2, "q", bytes(8),
                                       "NOCONTENT", "DIALECT", 2)
        found = reply[b"results"][0][b"id"] if isinstance(reply, dict) else reply[1]
        assert found == b"a"
    finally:
        server.terminate()
        assert server.wait(PATIENCE) == 0


def test_readme_lists_the_registered_commands():
    check = subprocess.run([sys.executable, str(ROOT / "scripts" / "gen_docs.py"), "--check"], capture_output=True, text=True,
                           env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert check.returncode == 0, check.stderr


@pytest.mark.slow
def test_installed_package_serves(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    subprocess.run([str(tmp_path / "venv/bin/pip"), "install", "--quiet", str(tmp_path / "clone")], check=True)
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    server = subprocess.Popen([str(tmp_path / "venv/bin/vamana-server"), "--port", str(port), "--dir", str(tmp_path / "data")],
                              cwd=tmp_path, env=environment)
    try:
        client = client_of(port, 3)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                assert client.ping() and not client.execute_command("FT._LIST")
                break
            except (redis.ConnectionError, redis.TimeoutError):
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        server.terminate()
        assert server.wait(PATIENCE) == 0
