"""Distributions built from a copy of the checkout, and clean environments to install them in.

Nothing is downloaded: builds use the setuptools of the environment that runs the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest

from tools.build_wheel import copy_checkout

#: A directory with the source distribution and the wheel to test, instead of such as are built
#: here: what `tools.check_wheel` is about to publish.
READY = os.environ.get("SMARTBUS_TEST_DIST")

Result = subprocess.CompletedProcess[str]


def run_python(
    *args: str | os.PathLike[str],
    cwd: Path,
    python: str | Path = sys.executable,
    env: dict[str, str] | None = None,
) -> Result:
    """Run Python in `cwd` with `env` added to a neutral environment; returns its output."""
    neutral = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "SMARTBUS_BUILD_CORE", "CC", "CFLAGS", "LDFLAGS"}
    }
    return subprocess.run(
        [python, *args],
        cwd=cwd,
        env=neutral | (env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def build(kind: str, source: Path, out: Path, **env: str) -> Result:
    """Build "sdist" or "wheel" from `source` into `out`."""
    return run_python(
        "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, source, cwd=source, env=env
    )


def only(directory: Path, pattern: str) -> Path:
    """Return the one file in `directory` that matches."""
    [path] = directory.glob(pattern)
    return path


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout's sources, free to be built in."""
    return copy_checkout(tmp_path_factory.mktemp("checkout") / "source")


@pytest.fixture(scope="session")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    if READY is not None:
        return only(Path(READY), "*.tar.gz")
    out = tmp_path_factory.mktemp("sdist")
    result = build("sdist", checkout, out)
    assert result.returncode == 0, result.stdout
    return only(out, "*.tar.gz")


def unpack(sdist: Path, where: Path) -> Path:
    """Unpack the source distribution; returns its directory."""
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(where, filter="data")
        else:  # Python 3.10 before 3.10.12
            archive.extractall(where)  # noqa: S202 - we packed it
    return only(where, "smartbus_client_python-*")


@pytest.fixture
def sources(sdist: Path, tmp_path: Path) -> Path:
    """A fresh, unpacked source distribution."""
    return unpack(sdist, tmp_path / "unpacked")


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    if READY is not None:
        return only(Path(READY), "*.whl")
    out = tmp_path_factory.mktemp("wheel")
    source = unpack(sdist, tmp_path_factory.mktemp("unpacked"))
    result = build("wheel", source, out, SMARTBUS_BUILD_CORE="1")
    assert result.returncode == 0, result.stdout
    return only(out, "*.whl")


class CleanEnvironment:
    """A virtual environment with nothing in it."""

    def __init__(self, directory: Path) -> None:
        venv.create(directory, symlinks=True)
        self.directory = directory
        self.interpreter = directory / "bin" / "python"

    def install(self, wheel: Path) -> None:
        """Install a wheel that needs nothing else."""
        result = run_python(
            *("-m", "pip", "--python", self.interpreter, "install", "--no-index", wheel),
            cwd=self.directory,
        )
        assert result.returncode == 0, result.stdout

    def borrow_packages(self) -> None:
        """Let it see what is installed where these tests run, pytest above all."""
        site = only(self.directory / "lib", "python*") / "site-packages"
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def pytest(self, *args: str, code: int = 0) -> str:
        """Run pytest, isolated from this checkout; returns what it prints."""
        env = {"PYTEST_ADDOPTS": "-p no:cacheprovider"}
        result = run_python(
            "-m", "pytest", *args, cwd=self.directory, python=self.interpreter, env=env
        )
        assert result.returncode == code, result.stdout
        return result.stdout

    def run(self, code: str) -> str:
        """Run `code`, isolated from this checkout; returns what it prints."""
        result = run_python("-I", "-c", code, cwd=self.directory, python=self.interpreter)
        assert result.returncode == 0, result.stdout
        return result.stdout.strip()


@pytest.fixture
def clean(tmp_path: Path) -> CleanEnvironment:
    """A clean virtual environment."""
    return CleanEnvironment(tmp_path / "environment")
