"""Buses for tests, each with a local socket of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from smartbus._c.abi import IPC_SOCKET_ENVIRONMENT
from smartbus.bus import Bus

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["BusFactory"]

#: The names of sockets are short: 104 bytes on some systems, the end among them.
_LONGEST: Final = 103


class BusFactory:
    """Starts buses, and closes them in the end, the last one first.

    ``smartbus_bus_factory`` gives one to a test; elsewhere it is a context manager.
    """

    def __init__(self) -> None:
        """Have no bus yet."""
        self._stack = ExitStack()

    def __call__(self, *, ipc_default: bool = False, **options: Any) -> Bus:
        """Start a bus on a free port of 127.0.0.1 and on a local socket.

        Args:
            ipc_default: Let this test's IPC clients, and those of processes that it starts,
                find this bus (sets ``SMARTBUS_IPC_SOCKET`` until the end).
            options: As `smartbus.bus.Bus` takes them. Without ``ipc_path`` the socket has a
                name of its own; ``ipc_path=None`` leaves it out.

        Raises:
            SmartBusError: As `smartbus.bus.Bus`.
            OSError: Likewise.
        """
        if "ipc_path" not in options:
            options["ipc_path"] = self._socket_name()
        bus: Bus = self._stack.enter_context(Bus(**options))
        if ipc_default and bus.ipc_path is not None:
            self._stack.callback(_set_environment, os.environ.get(IPC_SOCKET_ENVIRONMENT))
            os.environ[IPC_SOCKET_ENVIRONMENT] = bus.ipc_path
        return bus

    def close(self) -> None:
        """Close every bus. May be called again."""
        self._stack.close()

    def __enter__(self) -> Self:
        """Do nothing yet."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every bus."""
        self.close()

    def _socket_name(self) -> str:
        """Return a name in a directory that only this user can enter and that goes in the end."""
        # Not in pytest's own directories, whose names are long.
        directory = tempfile.mkdtemp(prefix="smartbus-")
        self._stack.callback(shutil.rmtree, directory)
        if len(os.fsencode(os.path.join(directory, "socket"))) > _LONGEST:
            directory = tempfile.mkdtemp(prefix="smartbus-", dir="/tmp")
            self._stack.callback(shutil.rmtree, directory)
        return os.path.join(directory, "socket")


def _set_environment(value: str | None) -> None:
    if value is None:
        os.environ.pop(IPC_SOCKET_ENVIRONMENT, None)
    else:
        os.environ[IPC_SOCKET_ENVIRONMENT] = value
