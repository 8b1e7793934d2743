"""Plain commands through the socket: requests per second of redis-benchmark -c 20 against ours and a redis-server, alternating."""
import re
import shutil
import statistics
import subprocess

from localserver import free_port, our_server, running, table

TESTS = ["ping_mbulk", "set", "get", "hset"]
ROUNDS, REQUESTS = 5, 100_000


def _measure(port: int, test: str) -> float:
    out = subprocess.run(["redis-benchmark", "-p", str(port), "-c", "20", "-n", str(REQUESTS), "-q", "-t", test], capture_output=True,
                         text=True, check=True).stdout
    return float(re.findall(r"([\d.]+) requests per second", out)[-1])


def run(_directory: str, options) -> dict:
    """Prints a table of medians and ratios; needs redis-server and redis-benchmark on the PATH."""
    if not (shutil.which("redis-benchmark") and shutil.which("redis-server")):
        print("commands: not measured: redis-server and redis-benchmark are not installed")
        return {}
    port = free_port()
    rates = {(who, test): [] for who in ("ours", "redis") for test in TESTS}
    with running(["redis-server", "--port", str(port), "--save", "", "--loglevel", "warning"], port), our_server() as (ours, _):
        for _ in range(options.rounds or ROUNDS):
            for test in TESTS:
                rates["ours", test].append(_measure(ours, test))
                rates["redis", test].append(_measure(port, test))
    result = {test: {who: statistics.median(rates[who, test]) for who in ("ours", "redis")} for test in TESTS}
    print(table(["command", "ours /s", "redis-server /s", "ratio"],
                [[t.removesuffix("_mbulk").upper(), f"{r['ours']:,.0f}", f"{r['redis']:,.0f}", f"{r['ours'] / r['redis']:.2f}"]
                 for t, r in result.items()]))
    return result
