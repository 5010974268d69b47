"""What is said twice in this repository is said alike."""

from __future__ import annotations

import re
import sys

import pytest

import smartbus
from tools.build_wheel import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_requirements_are_the_daemons() -> None:
    text = (ROOT / "requirements.txt").read_text()
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    # Editable: `sbusr_run.py` imports the packages beside it, so the core must be built there.
    wanted = [*PROJECT["optional-dependencies"]["daemon"], "-e ."]
    assert [line for line in lines if line] == wanted


def test_the_library_alone_needs_nothing() -> None:
    assert PROJECT["dependencies"] == []


def test_core_and_package_have_one_version() -> None:
    header = (ROOT / "native" / "include" / "smartbus_core.h").read_text()
    assert re.findall(r'#define SB_VERSION "(.+)"', header) == [smartbus.__version__]


def test_the_pytest_plugin_has_the_name_of_its_module() -> None:
    # Else `-p smartbus.testing` and the entry point would be two plugins.
    assert PROJECT["entry-points"]["pytest11"] == {"smartbus.testing": "smartbus.testing"}
