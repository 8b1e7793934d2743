"""Writes what the registry knows into README.md, between its two markers. `--check` exits with 1 if the file is not current."""
import sys
from pathlib import Path

import commands
from respserver.config import Config
from respserver.registry import COMMANDS
from respserver.state import Server

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- commands: begin (scripts/gen_docs) -->", "<!-- commands: end -->"


def command_table() -> str:
    """One row for each group of commands, in alphabetical order."""
    groups: dict[str, list[str]] = {}
    for record in COMMANDS.values():
        names = [record.name] if record.function else []
        if record.subcommands:
            names.append(f"{record.name} " + "\\|".join(sorted(sub.name.split(" ", 1)[1] for sub in record.subcommands.values())))
        groups.setdefault(record.group, []).extend(names)
    rows = [f"| {group} | {', '.join(f'`{name}`' for name in sorted(names))} |" for group, names in sorted(groups.items())]
    return "\n".join(["| group | commands |", "|---|---|", *rows])


def main() -> int:
    commands.load(Server(Config()))         # the search module declares its commands when it is loaded
    text = README.read_text()
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    current = f"{head}{BEGIN}\n{command_table()}\n{END}{tail}"
    if "--check" in sys.argv:
        if current != text:
            print("README.md's table of commands is not current: run scripts/gen_docs", file=sys.stderr)
        return int(current != text)
    README.write_text(current)
    return 0


if __name__ == "__main__":
    sys.exit(main())
