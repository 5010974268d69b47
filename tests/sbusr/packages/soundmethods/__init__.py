"""Methods for tests of resets: unlike ``rpcmethods``, every module imports."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def echo(value: Any) -> Any:
    return value


def wait_for(started: str, path: str) -> None:
    """Execute until the file ``path`` exists."""
    Path(started).touch()
    while not Path(path).exists():
        time.sleep(0.01)
