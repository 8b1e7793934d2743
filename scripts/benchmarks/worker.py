"""One engine of one benchmark in a process of its own: `python worker.py PART ENGINE DATA_DIR OPTIONS`, started by rounds.Worker.

PART is a module with prepare(engine, directory, **options) -> (facts, measure). Writes the facts as a line of JSON, then
answers each line of standard input with one line {"measure": ...}."""
import importlib
import json
import os
import sys


def main() -> None:
    part, name, directory, options = sys.argv[1:]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        facts, measure = importlib.import_module(part).prepare(name, directory, **json.loads(options))
        print(json.dumps(facts), flush=True)
        for _ in sys.stdin:
            print(json.dumps({"measure": measure()}), flush=True)
    except Exception as error:
        text = str(error).strip()
        print(json.dumps({"failure": f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"}), flush=True)
        raise


if __name__ == "__main__":
    main()
