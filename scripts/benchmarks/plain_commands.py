"""Plain commands through the socket against a redis-server, alternating, with redis-benchmark -c 20: one request at a time;
then writes by pipelines of 16 with an append-only file, where the processor time of the servers is compared, too."""
import os
import re
import shutil
import statistics
import subprocess
import tempfile

from localserver import free_port, our_server, running, table

TESTS = ["ping_mbulk", "set", "get", "hset"]
ROUNDS, REQUESTS = 5, 100_000
#: Writes by pipelines: the default of redis-benchmark (one key, one field) and keys, or fields, out of many.
LOGGED = [("set", []), ("hset", []), ("set", ["-r", "100000"]), ("hset", ["-r", "100000"])]
LOGGED_REQUESTS = 400_000
LOG = ["--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"]


def _measure(port: int, test: str, n: int = REQUESTS, *options: str) -> float:
    """Requests per second."""
    out = subprocess.run(["redis-benchmark", "-p", str(port), "-c", "20", "-n", str(n), "-q", "-t", test,
                          *options], capture_output=True, text=True, check=True).stdout
    return float(re.findall(r"([\d.]+) requests per second", out)[-1])


def _cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, in all threads."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _one_by_one(rounds: int) -> dict:
    port = free_port()
    rates = {(who, test): [] for who in ("ours", "redis") for test in TESTS}
    with running(["redis-server", "--port", str(port), "--save", "", "--loglevel", "warning"], port), our_server() as (ours, _):
        for _ in range(rounds):
            for test in TESTS:
                rates["ours", test].append(_measure(ours, test))
                rates["redis", test].append(_measure(port, test))
    result = {test: {who: statistics.median(rates[who, test]) for who in ("ours", "redis")} for test in TESTS}
    print(table(["command", "ours /s", "redis-server /s", "ratio"],
                [[t.removesuffix("_mbulk").upper(), f"{r['ours']:,.0f}", f"{r['redis']:,.0f}", f"{r['ours'] / r['redis']:.2f}"]
                 for t, r in result.items()]))
    return result


def _logged_pipelines(rounds: int) -> dict:
    port, found = free_port(), {}
    with (tempfile.TemporaryDirectory(prefix="redis-") as directory,
          running(["redis-server", "--port", str(port), "--save", "", "--loglevel", "warning", "--dir", directory, *LOG],
                  port) as theirs,
          our_server("--save", "", *LOG) as (our_port, ours)):
        for _ in range(rounds):
            for test, options in LOGGED:
                for who, where, pid in (("ours", our_port, ours.pid), ("redis", port, theirs.pid)):
                    before = _cpu_seconds(pid)
                    rate = _measure(where, test, LOGGED_REQUESTS, "-P", "16", *options)
                    found.setdefault((who, " ".join([test.upper(), *options])), []).append(
                        (rate, (_cpu_seconds(pid) - before) / LOGGED_REQUESTS * 1e6))
    result = {}
    for (who, name), measured in found.items():
        rate, cpu = (statistics.median(column) for column in zip(*measured, strict=True))
        result.setdefault(name, {})[who] = {"per_second": rate, "cpu_us": cpu}
    print()
    print(table(["pipelines of 16, everysec", "ours /s", "redis-server /s", "ratio", "ours CPU us", "redis-server CPU us",
                 "ratio"], [[name, f"{r['ours']['per_second']:,.0f}", f"{r['redis']['per_second']:,.0f}",
                             f"{r['ours']['per_second'] / r['redis']['per_second']:.2f}", f"{r['ours']['cpu_us']:.2f}",
                             f"{r['redis']['cpu_us']:.2f}", f"{r['redis']['cpu_us'] / r['ours']['cpu_us']:.2f}"]
                            for name, r in result.items()]))
    return result


def run(_directory: str, options) -> dict:
    """Prints tables of medians and ratios; needs redis-server and redis-benchmark on the PATH."""
    if not (shutil.which("redis-benchmark") and shutil.which("redis-server")):
        print("commands: not measured: redis-server and redis-benchmark are not installed")
        return {}
    rounds = options.rounds or ROUNDS
    return {**_one_by_one(rounds), "pipelines": _logged_pipelines(rounds)}
