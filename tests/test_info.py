"""``python -m smartbus info``: what it finds, and what it says is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import smartbus
from smartbus._c import lookup
from smartbus.testing.waiting import TIMEOUT

if TYPE_CHECKING:
    from smartbus.testing import BusFactory

ROOT = Path(__file__).parents[1]
DEADLINE = 1.5 * TIMEOUT
CORE = str(lookup.core_path())

#: Section, its variable, the vendor's name of the library, how many functions it has.
FAMILIES = [
    ("net", "SMARTBUS_NETCLI_LIB", "libbusnetcli", 13),
    ("ipc", "SMARTBUS_IPCCLI_LIB", "libbusipccli", 12),
]


def info(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if "SMARTBUS_" not in name}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "smartbus", "info", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env={**variables, "SMARTBUS_IPC_SOCKET": "/nowhere/at/all", **environment},
    )


def facts(**environment: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(info("--json", **environment).stdout)
    return found


def sections(text: str) -> dict[str, str]:
    """What stands about NET and about IPC."""
    _, net, ipc = text.split(" client libraries, in the order of the search:")
    return {"net": net, "ipc": ipc}


def test_text() -> None:
    done = info()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"smartbus {smartbus.__version__}" in done.stdout
    for name, variable, vendor, count in FAMILIES:
        section = sections(done.stdout)[name]
        assert f"-> {CORE}" in section
        assert f"{count} functions bound" in section
        assert f"{vendor}{lookup.file_name('')[3:]}: " in section  # on the search path, or why not
        assert variable not in section


def test_json() -> None:
    found = facts()
    assert found["smartbus"] == smartbus.__version__
    for name, variable, _, count in FAMILIES:
        about = found[name]
        assert about["used"] == CORE
        assert about["environment"] == {variable: None}
        core = next(library for library in about["libraries"] if library["path"] == CORE)
        assert (core["rule"], core["kind"]) == ("bundled", "core")
        assert len(core["bound"]) == count
        assert core["missing"] == []


@pytest.mark.parametrize(("name", "variable", "vendor", "count"), FAMILIES)
def test_one_that_is_named_and_cannot_be_used(
    name: str, variable: str, vendor: str, count: int, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.so"
    bad.write_text("nonsense")
    done = info(**{variable: str(bad)})
    section = sections(done.stdout)[name]
    assert f"environment {bad}: " in section
    # Nor is another one used in its place, though there are others.
    assert done.returncode == 1
    assert CORE in section
    assert "->" not in section
    assert f"none is used, because {variable} names one that is not usable" in section
    other = sections(done.stdout)["net" if name == "ipc" else "ipc"]
    assert f"-> {CORE}" in other


@pytest.mark.parametrize(("name", "variable", "vendor", "count"), FAMILIES)
def test_one_that_is_named(
    name: str, variable: str, vendor: str, count: int, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.so"
    mine.write_bytes(Path(CORE).read_bytes())
    done = info(**{variable: str(mine)})
    assert done.returncode == 0
    assert f"-> {mine}\n     given by {variable}; core" in sections(done.stdout)[name]


def test_the_local_socket(smartbus_bus_factory: BusFactory, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    about = facts(SMARTBUS_IPC_SOCKET=path)["ipc"]
    assert (about["socket"], about["server"]) == (path, "no server: No such file or directory")
    smartbus_bus_factory(ipc_path=path)
    assert facts(SMARTBUS_IPC_SOCKET=path)["ipc"]["server"] == "a server listens"
    assert "no server: " in facts(SMARTBUS_IPC_SOCKET="x" * 200)["ipc"]["server"]
    assert f"{path}, a server listens\n" in info(SMARTBUS_IPC_SOCKET=path).stdout
