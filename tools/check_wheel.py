#!/usr/bin/env python3
"""Builds what is to be published and proves it where a user would have it.

    python3 -m tools.check_wheel            # everything
    python3 -m tools.check_wheel --quick    # a representative part of the test suite

1. Builds the source distribution and the wheel (`tools.build_wheel`), or takes those of
   ``--dist``.
2. Installs the wheel, and what the tests need, in a clean virtual environment. There is no C
   compiler: ``CC`` fails, and ``PATH`` leads to everything except compilers.
3. Runs the test suite from a directory that has the tests but not the package: what is tested
   is the installed copy.
4. Runs ``tests/packaging`` on the two files: what is in them, and what the source distribution
   gives where there is no compiler.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from tools.build_wheel import LITTER, ROOT, Environment, build, one, run, say

#: What the tests need beside themselves. None of it can be imported as `smartbus` or `sbusr`.
DATA: Final = (
    "README.md", "docs", "flows", "methods", "native/include", "pyproject.toml", "sbusr_run.py",
    "settings.py", "tests",
)  # fmt: skip

#: Programs that compile, or that compilers need.
COMPILER: Final = re.compile(
    r"^(.*-)?(as|ld|ld\..*|cc|c\+\+|gcc|g\+\+|cpp|clang|clang\+\+|c89|c99|tcc|zig|collect2)"
    r"([-.\d]*)$"
)

#: Left out here: it builds from the checkout, and is run there.
PACKAGING: Final = "tests/packaging"

#: What --quick runs: what an installation may lack, that is the core, the plugin, the commands.
QUICK: Final = (
    "tests/_c", "tests/bus", "tests/ipc_client", "tests/ipsc", "tests/net", "tests/testing",
    "tests/sbusr/test_cli.py", "tests/sbusr/test_init.py",
)  # fmt: skip


def path_without_compilers(directory: Path) -> str:
    """Fill `directory` with links to all programs of ``PATH`` but compilers; returns it."""
    directory.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        programs = Path(folder).iterdir() if Path(folder).is_dir() else ()
        for program in programs:
            link = directory / program.name
            if not COMPILER.match(program.name) and not link.is_symlink():
                link.symlink_to(program)
    for name in ("cc", "gcc", "clang", "c99"):
        if shutil.which(name, path=str(directory)) is not None:
            sys.exit(f"there is still a compiler: {name}")
    return str(directory)


def copy_tests(directory: Path) -> Path:
    """Copy the tests and what they need to `directory`; returns it."""
    for name in DATA:
        source, target = ROOT / name, directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=LITTER)
        else:
            shutil.copy(source, target)
    return directory


def check_installed(wheel: Path, directory: Path, options: list[str], *, quick: bool) -> None:
    """Install the wheel and run the tests with it, in `directory`."""
    say(f"installing {wheel.name} where there is no compiler")
    environment = Environment(directory / "environment")
    bare = path_without_compilers(directory / "bin")
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SMARTBUS_", "PYTEST_", "PYTHON"))
    }
    env |= {"PATH": f"{environment.bin}{os.pathsep}{bare}", "CC": "/bin/false"}
    environment.install(f"{wheel}[daemon,test,vendor]", env=env)

    say("testing the installed copy")
    tests = copy_tests(directory / "tests")
    where = (
        "import pathlib, sys, sysconfig, smartbus, sbusr\n"
        "site = pathlib.Path(sysconfig.get_path('purelib')).resolve()\n"
        "for package in (smartbus, sbusr):\n"
        "    path = pathlib.Path(package.__file__).resolve()\n"
        "    print(path)\n"
        "    path.is_relative_to(site) or sys.exit(f'this is not in {site}')\n"
    )
    run(environment.python, "-c", where, cwd=tests, env=env)
    run(environment.python, "-m", "smartbus", "info", cwd=tests, env=env)
    selection = QUICK if quick else ("tests", f"--ignore={PACKAGING}")
    pytest = ("-m", "pytest", "-p", "no:cacheprovider", "-q", *options, *selection)
    run(environment.python, *pytest, cwd=tests, env=env)


def check_files(dist: Path, directory: Path, options: list[str]) -> None:
    """Run the tests of the distributions themselves on those in `dist`."""
    say("testing what is in the distributions, and the one of sources without a compiler")
    environment = Environment(directory / "packaging")
    environment.install(f"{one(dist, '*.whl')}[test]")
    env = {**os.environ, "SMARTBUS_TEST_DIST": str(dist.resolve())}
    pytest = ("-m", "pytest", "-p", "no:cacheprovider", "-q", *options, PACKAGING)
    run(environment.python, *pytest, cwd=ROOT, env=env)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Prove the distributions that are published.")
    parser.add_argument("--quick", action="store_true", help="run a part of the suite only")
    parser.add_argument("--dist", type=Path, help="check the two files in this directory")
    parser.add_argument("-n", "--processes", default="4", help="of pytest-xdist (4; 0 for none)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smartbus-check-") as name:
        directory = Path(name)
        dist = args.dist
        if dist is None:
            dist = directory / "dist"
            build(dist)
        options = ["-n", args.processes]
        check_installed(one(dist, "*.whl"), directory, options, quick=args.quick)
        check_files(dist, directory, options)
    say("the distributions are good")


if __name__ == "__main__":
    main()
