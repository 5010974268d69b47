"""Builds the C core; everything else about the distribution is in pyproject.toml.

The core is a plain shared library that ctypes opens: no Python ABI, no module, so one
wheel a platform (``py3-none-<platform>``) serves every Python. Where no C compiler works the
installation goes on without it, with a warning.

``SMARTBUS_BUILD_CORE=0`` leaves the core out on purpose; ``SMARTBUS_BUILD_CORE=1`` makes a
failure to build it an error.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from glob import glob
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, CompileError

WISH = os.environ.get("SMARTBUS_BUILD_CORE", "")
if WISH not in {"", "0", "1"}:
    sys.exit(f"SMARTBUS_BUILD_CORE is 0, 1 or nothing, not {WISH!r}")

SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"

# The flags that matter are those of native/Makefile; a user's build stops at no warning.
CORE = Extension(
    "smartbus._c.libsmartbus_core",
    sources=sorted(glob("native/src/*.c")),
    depends=sorted(glob("native/include/*.h") + glob("native/src/*.h")),
    include_dirs=["native/include", "native/src"],
    define_macros=[("_GNU_SOURCE", None)],
    extra_compile_args=["-std=c11", "-fvisibility=hidden", "-pthread"],
    extra_link_args=["-pthread"],
    optional=WISH != "1",
)

EXTENSIONS = [] if WISH == "0" or os.name != "posix" else [CORE]


class BuildCore(build_ext):
    """Builds the core under its plain name and without anything of Python's in it."""

    core_built = False

    def get_ext_filename(self, fullname: str) -> str:
        """Return the library's path: no ABI tag in its name."""
        return os.path.join(*fullname.split(".")) + SUFFIX

    def get_libraries(self, ext: Any) -> list[str]:
        """Return what to link with: never a Python library."""
        return list(ext.libraries)

    def build_extension(self, ext: Extension) -> None:
        """Build the core; an optional extension's failure is reported and passed over."""
        # Python's own flags are kept (architectures, hardening), its directories are not.
        compiler: Any = self.compiler
        compiler.include_dirs = []
        compiler.library_dirs = []
        compiler.linker_so = [
            flag for flag in compiler.linker_so if not flag.startswith(("-L", "-Wl,-rpath"))
        ]
        try:
            super().build_extension(ext)
        except (BaseError, CCompilerError) as error:
            with suppress(FileNotFoundError):  # one of an earlier build
                os.unlink(self.get_ext_fullpath(ext.name))
            raise CompileError(
                f"{error}\n"
                "*** The C core of SmartBus could not be built (no working C compiler?).\n"
                "*** smartbus.aio and the vendor's library work without it; smartbus.bus and the\n"
                '*** library "core" do not. Install a C compiler and reinstall to have them.'
            ) from error
        self.core_built = True


class TagWheel(bdist_wheel):
    """Tags the wheel for the platform only: ctypes needs no Python ABI."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return ``py3-none-<platform>``, or ``py3-none-any`` when it holds no core."""
        build: Any = self.get_finalized_command("build_ext")
        return "py3", "none", super().get_tag()[2] if build.core_built else "any"


setup(ext_modules=EXTENSIONS, cmdclass={"build_ext": BuildCore, "bdist_wheel": TagWheel})
