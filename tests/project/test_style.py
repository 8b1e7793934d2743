"""What the sources have in common beside the language: no line is longer than an editor window is wide."""
import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 130           # characters; pyproject.toml tells ruff the same
FOLDERS = ("commands", "native", "respserver", "scripts", "tests")


def is_source(path: Path) -> bool:
    """Whether a file is written by hand, and for people."""
    if path.suffix in (".py", ".c", ".h"):
        return True
    return path.parent.name == "scripts" and not path.suffix and path.is_file()


def sources(folder: str):
    return (path for path in sorted((ROOT / folder).rglob("*")) if is_source(path) and ".build" not in str(path))


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_line_is_too_long(folder):
    long = [f"{path.relative_to(ROOT)}:{number}: {len(line)}" for path in sources(folder)
            for number, line in enumerate(path.read_text().split("\n"), 1) if len(line) > LONGEST]
    assert not long, f"lines of more than {LONGEST} characters: " + ", ".join(long)


@pytest.mark.parametrize("package", ["commands/ft", "respserver"])
def test_maps_name_every_module(package):
    """What a package's docstring says of where things are is all there is."""
    words = set(re.findall(r"[\w/]+", ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))))
    there = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    there |= {path.parent.name + "/" for path in (ROOT / package).glob("*/__init__.py")}
    assert there <= words, f"not in the docstring of {package}: {sorted(there - words)}"
