"""Prints what pyproject.toml wants installed: `python scripts/requirements.py group,group`. The sources run from the checkout,
so the project itself is not installed and an edit of a Python file needs no second step."""
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())["project"]
wanted = list(project["dependencies"])
for group in filter(None, sys.argv[1].split(",") if len(sys.argv) > 1 else ()):
    wanted += project["optional-dependencies"][group]
print(" ".join(wanted))
