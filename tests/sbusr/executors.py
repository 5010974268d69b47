"""What tests of the executor have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from sbusr.executor import Executor

PACKAGES = Path(__file__).parent / "packages"
"""Where ``rpcmethods`` is, the tests' methods package."""

Make = Callable[..., Awaitable[Executor]]
"""Starts an executor; the fixture ``make``."""
