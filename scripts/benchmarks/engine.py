"""The engine in process, one thread: recall against queries per second, ours beside its peers in one alternating run."""
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from localserver import ROOT, Progress, table

PEER = Path(__file__).with_name("peer.py")
OURS = ["ours-LVQ8", "ours-LVQ4x4", "ours-f32"]
PEERS = ["svs-lvq8", "svs-lvq4x4", "svs-lvq4x8", "svs-lean4x8", "svs-int8", "svs-f32", "hnswlib"]
LEVELS = [0.90, 0.95, 0.99]
ROUNDS = 5


class Engine:
    """A peer.py process: builds at start, measures on demand."""

    def __init__(self, name: str, directory: str):
        self.name = name
        self.process = subprocess.Popen([sys.executable, str(PEER), name, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
        line = self.process.stdout.readline()
        self.built = json.loads(line) if line.startswith("{") else None
        self.failure = None
        if self.built is None:
            self.process.kill()
            said = (line + self.process.communicate()[1]).strip().splitlines()
            self.failure = said[-1] if said else f"exit status {self.process.returncode}"
        self.curves = []

    def measure(self) -> None:
        self.process.stdin.write("measure\n")
        self.process.stdin.flush()
        self.curves.append(json.loads(self.process.stdout.readline()))

    def curve(self) -> list[tuple[int, float, float]]:
        """(window, recall, median QPS) of every window."""
        return [(p[0][0], p[0][1], statistics.median(x[2] for x in p)) for p in zip(*self.curves, strict=True)]

    def qps_at(self, recall: float) -> float | None:
        """QPS at a recall, interpolated (log QPS, linear in recall); None if it is not reached. At the smallest window's speed where
        even that window gives more."""
        points = sorted((r, q) for _, r, q in self.curve())
        best = {}
        for r, q in points:
            best[r] = max(q, best.get(r, 0))
        recalls = sorted(best)
        if recalls[-1] < recall:
            return None
        return float(np.exp(np.interp(recall, recalls, [np.log(best[r]) for r in recalls])))


def run(directory: str, engines: list[str] | None = None) -> dict:
    """Builds every engine, alternates measurements, prints the table; returns {engine: {...}}."""
    alive = []
    names = engines or OURS + PEERS
    progress = Progress("building", len(names))
    for done, name in enumerate(names, 1):
        engine = Engine(name, directory)
        progress(done)
        if engine.failure:
            print(f"{name}: not measured: {engine.failure}")
        else:
            alive.append(engine)
    progress = Progress("searching", ROUNDS * len(alive))
    for turn in range(ROUNDS):
        for i, engine in enumerate(alive, 1):
            engine.measure()
            progress(turn * len(alive) + i)
    for engine in alive:
        engine.process.kill()
    rows, result = [], {}
    for e in alive:
        at = [e.qps_at(level) for level in LEVELS]
        result[e.name] = {**e.built, "qps": dict(zip(map(str, LEVELS), at, strict=True)), "curve": e.curve()}
        rows.append([e.name, f"{e.built['bytes']:,.0f}", f"{e.built['vectors_per_s']:,.0f}", f"{max(r for _, r, _ in e.curve()):.4f}",
                     *[f"{q:,.0f}" if q else "-" for q in at]])
    print(table(["engine", "bytes/vector", "build vectors/s", "best recall", *[f"QPS @{level}" for level in LEVELS]], rows))
    ours = [e for e in alive if e.name.startswith("ours")]
    peers = [e for e in alive if not e.name.startswith("ours")]
    for level in LEVELS:
        a = max((e.qps_at(level) or 0 for e in ours), default=0)
        b = max((e.qps_at(level) or 0 for e in peers), default=0)
        if a and b:
            print(f"best of ours / best of the peers at recall {level}: {a / b:.2f}")
    return result
