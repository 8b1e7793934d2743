"""Runs the benchmarks named on the command line against one data directory; started by scripts/bench."""
import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


import engine  # noqa: E402
import plain_commands  # noqa: E402
import socket_search  # noqa: E402

BENCHMARKS = {"engine": engine.run, "commands": plain_commands.run, "socket": socket_search.run}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("data", help="a directory with base.npy, queries.npy and queries_top100.npy (rows of the exact 100 nearest)")
    parser.add_argument("what", nargs="*", help="engine, commands, socket (default: all of them)")
    parser.add_argument("--json", metavar="FILE", help="also write every figure there")
    arguments = parser.parse_args()
    unknown = set(arguments.what) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}")
    results = {}
    for name in arguments.what or BENCHMARKS:
        print(f"\n## {name}: {sys.modules[BENCHMARKS[name].__module__].__doc__.splitlines()[0]}\n", flush=True)
        results[name] = BENCHMARKS[name](arguments.data)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
