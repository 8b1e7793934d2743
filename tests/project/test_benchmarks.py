"""The benchmark script runs on small data and writes what it promises; what it measures is nobody's test."""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def test_a_benchmark_writes_its_figures(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2420, 16)).astype("f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    base, queries = vectors[:2400], vectors[2400:]
    np.save(tmp_path / "base.npy", base)
    np.save(tmp_path / "queries.npy", queries)
    np.save(tmp_path / "queries_top100.npy", np.argsort(-(queries @ base.T), axis=1)[:, :100].astype("i4"))
    out = subprocess.run([sys.executable, ROOT / "scripts/benchmarks/run.py", tmp_path, "engine", "inserts", "filters",
                          "--rounds", "1", "--engines", "ours-LVQ8,ours-LVQ9", "--json", tmp_path / "figures.json"],
                         capture_output=True, text=True, timeout=500, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})
    assert out.returncode == 0, out.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures) == {"engine", "inserts", "filters"}
    engine = figures["engine"]["ours-LVQ8"]
    assert engine["vectors_per_s"] > 0 and engine["bytes"] > 0 and max(r for _, r, _ in engine["curve"]) > 0.9
    assert figures["inserts"]["ours-LVQ8"]["rate1"] > 0
    assert figures["filters"]["random 0.1"]["ours-LVQ8"] > 0
    assert "| ours-LVQ8" in out.stdout and "not measured" in out.stdout


def test_a_wrong_name_is_refused(tmp_path):
    out = subprocess.run([sys.executable, ROOT / "scripts/benchmarks/run.py", tmp_path, "speed"], capture_output=True,
                         text=True, timeout=300)
    assert out.returncode == 2 and "there is no benchmark speed" in out.stderr
