"""Eight-bit codes in memory and originals on disk, under memory for everything and for the codes alone (the page cache of the
originals is emptied all the while): requests per second of eight clients and precision@10, with ten and twenty candidates
scored again and without. Published (other data, another machine): 1,000 a second at 0.989 rescored with memory for all; with
memory for the codes 30 at 0.989 rescored and 1,200 at 0.974 without. Needs root for the limit."""
import shutil
import subprocess
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import socket_search
from localserver import our_server, table
from originals import CLIENTS, ColdCache, Loaded, rate
from rounds import median_of

COMPRESSIONS = ["SQ8", "LVQ8", "LVQ4"]
WINDOW, CANDIDATES, ROUNDS = 128, (0, 10, 20), 3
CASES = ["memory for all", "for the codes"]


def _measured(binary: str, server: Loaded, queries: np.ndarray, attributes: str) -> dict:
    """What `rate` returns, for each case: medians of rounds in turn."""
    cases = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, rates in cases.items():
            try:
                if name == CASES[0]:
                    server.file.read_bytes()
                    rate(binary, server, queries, attributes, CLIENTS)
                with ColdCache(server.process.pid, server.file) if name == CASES[1] else nullcontext():
                    rates.append(rate(binary, server, queries, attributes, CLIENTS))
            except OSError as error:
                print(f"{name}: not measured: {error.strerror}")
    return {name: median_of(rates) for name, rates in cases.items() if rates}


def run(directory: str, options=None) -> dict:
    """Prints the table; returns {compression: {candidates: precision, and rates by case}}."""
    if not shutil.which("gcc"):
        print("limited: not measured: gcc is needed for the load generator")
        return {}
    path, result, rows = Path(directory), {}, []
    queries, exact = np.load(path / "queries.npy").astype(np.float32), np.load(path / "queries_top100.npy")[:, :socket_search.K]
    with tempfile.TemporaryDirectory() as scratch:
        binary = scratch + "/loadgen"
        subprocess.run(["gcc", "-O2", "-o", binary, str(Path(__file__).with_name("loadgen.c"))], check=True)
        for compression in (options.engines if options else None) or COMPRESSIONS:
            with our_server("--search-vector-originals", "disk") as one:
                server, result[compression] = Loaded(*one, path, compression), {}
                for n in CANDIDATES:
                    attributes = f"SEARCH_WINDOW_SIZE {WINDOW} RERANK {n or 'OFF'}"
                    precision = socket_search.recall_of(server.r, queries, exact, attributes=attributes)
                    found = _measured(binary, server, queries, attributes)
                    result[compression][n] = found | {"precision": precision}
                    rows.append([compression, n or "-", f"{precision:.4f}",
                                 *(f"{found[name]['qps']:,.0f}" if name in found else "-" for name in CASES),
                                 *(f"{found[name]['cpu_us']:.0f}" if name in found else "-" for name in CASES)])
    print(table(["COMPRESSION", "rescored", "precision@10", *(f"{name}, /s" for name in CASES),
                 *(f"{name}, CPU us" for name in CASES)], rows))
    return result


def draw(result: dict, axes, title: str) -> None:
    """Requests per second to the right, precision upwards; hollow: memory for the codes alone."""
    for compression, figures in result.items():
        for name, fill in zip(CASES, ("full", "none")):
            points = [(one[name]["qps"], one["precision"]) for one in figures.values() if name in one]
            axes.plot([x for x, _ in points], [y for _, y in points], marker="o", fillstyle=fill, label=f"{compression}, {name}")
    axes.set(xlabel="requests per second; published: 1,000 at 0.989 / 30 at 0.989, 1,200 at 0.974",
             ylabel="precision@10", xscale="log", title=title)
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=6)
