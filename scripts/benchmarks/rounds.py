"""Measuring in rounds: one process per engine, pinned to one processor, asked in turn,
so that what disturbs the machine disturbs all."""
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from localserver import ROOT, Progress

WORKER = Path(__file__).with_name("worker.py")


class Worker:
    """A process that runs one benchmark's part for one engine: prepares at start, measures on demand.
    `failure`: why it cannot."""

    def __init__(self, part: str, name: str, directory: str, **options):
        self.name = name
        environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": f"{ROOT}:{WORKER.parent}:{WORKER.parent.parent}",
                       "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen([sys.executable, str(WORKER), part, name, directory, json.dumps(options)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment)
        self.measures: list = []
        self.failure = None
        self.built = self._answer()

    def _answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                self.failure = answer.pop("failure", None)
                if self.failure:
                    self.process.kill()
                return answer
        lines = self.process.communicate()[1].strip().splitlines()
        self.failure = lines[-1] if lines else f"exit status {self.process.returncode}"
        return None

    def measure(self) -> None:
        """One more measurement into `measures`."""
        if self.failure:
            return
        try:
            self.process.stdin.write("measure\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._answer()
        if not self.failure:
            self.measures.append(answer["measure"])

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def alternate(part: str, names: list[str], directory: str, rounds: int, **options) -> list[Worker]:
    """Prepares each engine, then measures them in turn; those that cannot be measured are named with the reason."""
    workers, progress = [], Progress(f"{part}: preparing", len(names))
    for done, name in enumerate(names, 1):
        workers.append(Worker(part, name, directory, **options))
        progress(done)
    alive = [worker for worker in workers if not worker.failure]
    progress = Progress(f"{part}: measuring", rounds * len(alive))
    for turn in range(rounds):
        for done, worker in enumerate(alive, 1):
            worker.measure()
            progress(turn * len(alive) + done)
    for worker in workers:
        if worker.failure:
            print(f"{worker.name}: not measured: {worker.failure}")
        worker.close()
    return [worker for worker in alive if not worker.failure]


def median_of(measures: list[dict]) -> dict:
    """The median of each number over several measurements with the same names."""
    return {name: statistics.median(one[name] for one in measures) for name in measures[0]}


def at_recall(points: list[tuple[float, float]], recall: float) -> float | None:
    """Queries per second at a recall from (recall, QPS) points: interpolated (log QPS, linear in recall) on what is best at
    least that recall; None where it is not reached. Below the first point: the first point's."""
    kept: list[tuple[float, float]] = []
    for r, qps in sorted(points, key=lambda point: (-point[0], -point[1])):        # what no other point beats in both
        if not kept or qps > kept[-1][1]:
            kept.append((r, qps))
    kept.reverse()
    if not kept or kept[-1][0] < recall:
        return None
    return float(np.exp(np.interp(recall, [r for r, _ in kept], [np.log(qps) for _, qps in kept])))


def best(values: dict[str, float | None], ours: bool) -> tuple[str, float] | None:
    """The engine with the most, of ours or of the peers."""
    found = [(value, name) for name, value in values.items() if value and name.startswith("ours") == ours]
    return (max(found)[1], max(found)[0]) if found else None


def print_ratio(what: str, values: dict[str, float | None]) -> float | None:
    """Prints and returns the best of ours over the best of the peers."""
    ours, peers = best(values, True), best(values, False)
    if not (ours and peers):
        print(f"{what}: no ratio: " + ("no peer" if ours else "none of ours") + " was measured there")
        return None
    print(f"{what}: {ours[0]} / {peers[0]} = {ours[1] / peers[1]:.2f}")
    return ours[1] / peers[1]


def number(value: float | None, digits: int = 0) -> str:
    return f"{value:,.{digits}f}" if value is not None else "-"
