"""Builds native._vec in the checkout, in place: `python scripts/build_native.py`.
Does nothing when the library is newer than its sources."""
import os
import sys
import tempfile
import warnings
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent.parent


def is_current() -> bool:
    """Whether the built library is newer than every file it is made of."""
    built = [p.stat().st_mtime for p in (ROOT / "native").glob("_vec*.so")]
    sources = [p for pattern in ("include/*.h", "src/**/*.[ch]", "build_ext.py") for p in (ROOT / "native").glob(pattern)]
    return bool(built) and max(p.stat().st_mtime for p in sources) < min(built)


if __name__ == "__main__":
    if "--force" in sys.argv or not is_current():
        print("building the C library", file=sys.stderr)
        warnings.filterwarnings("ignore", message=".*is still \\*experimental\\*")  # of setuptools: ext-modules in pyproject.toml
        os.chdir(ROOT)
        with tempfile.TemporaryDirectory(dir=ROOT / "native", prefix=".build-") as scratch:
            # Everything else is in pyproject.toml.
            setup(script_args=["-q", "build_ext", "--force", "--build-lib", scratch, "--build-temp", scratch])
            for built in (Path(scratch) / "native").glob("_vec*.so"):
                os.replace(built, ROOT / "native" / built.name)  # a server that runs from the checkout keeps the file it has open
