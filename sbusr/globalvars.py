"""Global variables of the daemon, with the names of the sbusr document ("globalvars module").

All are set by `sbusr.server` and valid in the main process only, except `prog_args`, which every
worker process gets too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    from argparse import Namespace
    from queue import Queue

    from .executor import Executor
    from .loggingqueue import QueueListener

__all__ = [
    "executor",
    "ipc_smartbusclient",
    "ipsc_set",
    "main_logging_listener",
    "main_logging_queue",
    "net_smartbusclients",
    "prog_args",
]

executor: Executor | None = None
"""The RPC executor."""

ipc_smartbusclient: Any = None
"""The IPC client, when the daemon is connected through IPC."""

ipsc_set: set[tuple[int, int]] = set()
"""The IPSC processes on the bus: ``(unit id, client id)`` of each."""

main_logging_listener: QueueListener | None = None
"""Writes the log records of the worker processes."""

main_logging_queue: Queue[logging.LogRecord] | None = None
"""Log records of the worker processes, on their way to the listener."""

net_smartbusclients: list[Any] = []
"""The NET clients."""

prog_args: Namespace | None = None
"""The command line's arguments; assigned in worker processes as well."""
