"""What a process holds, read from /proc (Linux only)."""

from __future__ import annotations

import os
from pathlib import Path


def rss_kb(pid: int) -> int:
    """Return the resident memory of process `pid`, in KB."""
    return _status(pid, "VmRSS")


def threads(pid: int) -> int:
    """Return how many threads process `pid` has."""
    return _status(pid, "Threads")


def descriptors(pid: int) -> int:
    """Return how many descriptors process `pid` has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no {name}")
