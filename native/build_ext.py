"""Builds native._vec: cuts the cffi declarations out of native/include/vec.h, so that no prototype is written twice, generates
the wrapper beside the build and compiles it with every C file under native/src. VAMANA_SANITIZE=address,undefined|thread adds
sanitizers; nothing depends on the building machine's instruction set (kernels carry their own target pragmas)."""
import copy
import os
from pathlib import Path

from cffi import FFI
from setuptools.command.build_ext import build_ext

NATIVE = Path(__file__).parent
BEGIN, END = "/* cffi: begin */", "/* cffi: end */"


def declarations() -> str:
    """The text between the two markers of vec.h: prototypes, enums and plain structs."""
    return (NATIVE / "include" / "vec.h").read_text().split(BEGIN)[1].split(END)[0]


class BuildExt(build_ext):
    def build_extension(self, ext):
        ext = copy.copy(ext)
        temp = Path(self.build_temp)
        temp.mkdir(parents=True, exist_ok=True)
        wrapper = temp / "_vec.c"
        ffi = FFI()
        ffi.cdef(declarations())
        ffi.set_source("native._vec", '#include "vec.h"')
        ffi.emit_c_code(str(wrapper))
        sources = sorted(str(path) for path in (NATIVE / "src").rglob("*.c"))
        ext.sources = [str(wrapper), *sources]
        ext.depends = [str(path) for path in NATIVE.rglob("*.h")]
        ext.include_dirs = [str(NATIVE / "include"), str(NATIVE / "src")]
        ext.define_macros = [("Py_LIMITED_API", "0x030B0000"), ("_GNU_SOURCE", None)]
        # The generated wrapper casts function pointers and leaves parameters unused; the strict warning set is checked by
        # scripts/check-c.
        ext.extra_compile_args = ["-std=c11", "-O3", "-g", "-pthread", "-fvisibility=hidden", "-fno-math-errno"]
        ext.extra_link_args = ["-pthread", "-lm"]
        sanitize = os.environ.get("VAMANA_SANITIZE")
        if sanitize:
            ext.extra_compile_args += [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-O1"]
            ext.extra_link_args += [f"-fsanitize={sanitize}"]
        super().build_extension(ext)
