"""Runs the benchmarks named on the command line against one data directory; started by scripts/bench."""
import argparse
import importlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

BENCHMARKS = {"engine": "curves", "inserts": "inserts", "filters": "filters", "flat": "flat", "scalar": "scalar",
              "churn": "churn", "threads": "threads", "drift": "drift", "commands": "plain_commands", "socket": "socket_search",
              "targets": "targets", "choosing": "choosing", "binary": "binary", "evidence": "evidence", "limited": "limited",
              "originals": "originals", "estimates": "estimates", "queries": "kinds"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("data",
                        help="a directory with base.npy, queries.npy and queries_top100.npy (rows of the exact 100 nearest)")
    parser.add_argument("what", nargs="*", help=", ".join(BENCHMARKS) + " (default: all but `evidence`, which is some of them)")
    parser.add_argument("--json", metavar="FILE", help="also write every figure there")
    parser.add_argument("--png", metavar="FILE", help="draw the curves of `engine`, or the parts of `evidence`, there")
    parser.add_argument("--engines", type=lambda text: text.split(","),
                        help="only these, by the names in the tables, with commas between")
    parser.add_argument("--rounds", type=int, help="measurements of each engine, of which the median counts")
    parser.add_argument("--peer", type=int,
                        metavar="PORT", help="for `queries`: a server with Redis's search module beside ours; it is emptied")
    options = parser.parse_args()
    unknown = set(options.what) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}")
    results = {}
    for name in options.what or [name for name in BENCHMARKS if name != "evidence"]:
        module = importlib.import_module(BENCHMARKS[name])
        print(f"\n## {name}: {' '.join(module.__doc__.split())}\n", flush=True)
        results[name] = module.run(options.data, options)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))
    for name in ("engine", "evidence"):
        if options.png and name in results:
            importlib.import_module(BENCHMARKS[name]).draw(results[name], options.png, Path(options.data).name)


if __name__ == "__main__":
    main()
