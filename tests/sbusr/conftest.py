from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = Path(__file__).parent / "packages"


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Makes ``rpcmethods``, the tests' methods package, importable in this process."""
    monkeypatch.syspath_prepend(PACKAGES)
    yield PACKAGES
    for name in [name for name in sys.modules if name.split(".")[0] == "rpcmethods"]:
        del sys.modules[name]
