"""Whether the daemon is ready: for ``GET /readyz`` and for the service manager."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .process import State, WorkerProcess

__all__ = ["missing"]


def missing(clients: Iterable[Any], workers: Iterable[WorkerProcess]) -> list[str]:
    """What is missing so that requests that come now are executed, and their replies sent."""
    found = []
    if not any(client.connected for client in clients):
        found.append("no bus client is connected")
    if not any(worker.state is State.READY for worker in workers):
        found.append("no worker process is ready")
    return found
