"""Runs of pytest inside of pytest, in processes of their own, as users have them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import smartbus

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Runs pytest with the plugin and further arguments.
    Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the tests in `pytester` with the plugin, installed or not."""
    monkeypatch.setenv("PYTHONPATH", str(Path(smartbus.__file__).parents[1]))
    options = "-p smartbus.testing -p no:cacheprovider -W error::ResourceWarning"
    monkeypatch.setenv("PYTEST_ADDOPTS", options)
    return pytester.runpytest_subprocess
