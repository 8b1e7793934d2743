"""The layers: who may import whom, read from the source."""
import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STANDARD = set(sys.stdlib_module_names)
#: The grammar of the search module. What these import from commands.ft is grammar too.
GRAMMAR = ("errors", "options", "create_options", "query", "explain", "expr")


def imported(path: Path):
    """The absolute dotted names that a file imports, type-checking imports included."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = list(package[:len(package) - node.level + 1]) if node.level else []
            base += (node.module or "").split(".") if node.module else []
            if node.level and not node.module:
                for alias in node.names:
                    yield ".".join([*base, alias.name])
            else:
                yield ".".join(base)


def grammar() -> set[str]:
    """The module names of the grammar: GRAMMAR and all that it imports from commands.ft."""
    found, waiting = set(), list(GRAMMAR)
    while waiting:
        name = waiting.pop()
        path = ROOT / "commands" / "ft" / f"{name}.py"
        if name not in found and path.exists():
            found.add(name)
            waiting += [other.split(".")[2] for other in imported(path) if other.startswith("commands.ft.")]
    return found


def allowed(path: Path) -> tuple[str, ...]:
    """What a file may import besides the standard library, as prefixes."""
    parts = path.relative_to(ROOT).parts
    if parts[0] == "native":
        return ("native", "numpy", "setuptools", "cffi") if path.name == "build_ext.py" else ("native", "numpy")
    if parts[:2] == ("respserver", "protocol"):
        return ("respserver.protocol", "hiredis")
    if parts[0] == "respserver":
        more = ({"__main__.py": ("commands",), "lua.py": ("lupa",), "lua_pack.py": ("lupa",)}.get(path.name, ())
                if len(parts) == 2 else ())
        return ("respserver", "hiredis", "uvloop", *more)
    if parts[:2] == ("commands", "ft"):
        if len(parts) == 3 and path.stem in grammar():
            return tuple(f"commands.ft.{name}" for name in grammar()) + ("respserver.protocol.errors",)
        return ("commands", "respserver", "native", "numpy", "pyroaring", "Stemmer", "metaphone", "shapely")
    if parts[:2] == ("commands", "json"):
        return ("commands.json", "commands.arguments", "respserver", "orjson")
    return ("commands", "respserver")


FILES = sorted(path for folder in ("native", "respserver", "commands") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layer(path):
    prefixes = allowed(path)
    for name in imported(path):
        top = name.partition(".")[0]
        if top in STANDARD:
            assert not (path.relative_to(ROOT).parts[:2] == ("respserver", "protocol") and top in ("asyncio", "socket")), name
            continue
        assert any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes), f"{name} is imported"


def test_core_groups_do_not_know_the_search_module():
    for path in FILES:
        if path.relative_to(ROOT).parts[0] == "commands" and path.parent == ROOT / "commands" and path.name != "__init__.py":
            assert not any(name.startswith("commands.ft") for name in imported(path)), path.name


def test_search_does_not_touch_sockets():
    for path in FILES:
        if path.relative_to(ROOT).parts[:2] == ("commands", "ft"):
            for name in imported(path):
                assert name not in ("socket", "asyncio", "respserver.connection", "respserver.server"), f"{path.name}: {name}"
