"""``--embedded``: a bus in this process, and a stand-in IPSC beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from smartbus.bus import Bus

__all__ = ["Embedded", "LocalEmbedded"]

STOP_GRACE = 1.0
"""Seconds that the stand-in IPSC has to end."""

SOCKET = "SMARTBUS_IPC_SOCKET"
"""Where IPC clients look for the name of their socket."""

_ROOT = str(Path(__file__).resolve().parent.parent)
_logger = logging.getLogger(__name__)


class Embedded:
    """The bus, and the process with the flow host.

    Args:
        host: Where the bus listens.
        port: Its port.
        flows: Directory of the flow scripts.
        ipc_path: A local socket to listen on as well.
    """

    origin = "masterHost and masterPort of SMARTBUS_CONFIG in settings.py"
    """Where the address comes from, for people."""

    def __init__(self, host: str, port: int, flows: Path, ipc_path: str | None = None) -> None:
        self.bus = Bus(host, port, ipc_path=ipc_path)
        self.flows = flows
        self._ipsc: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start both.

        Raises:
            OSError: The bus cannot listen there, or no process can be started.
            SmartBusError: The C core is missing.
        """
        self.bus.start()
        path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
        # A session of its own keeps the terminal's Ctrl-C from it.
        self._ipsc = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "sbusr.embedded_ipsc", self.bus.address, str(self.flows)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def where(self) -> str:
        """Addresses of the bus."""
        return self.bus.address

    @property
    def ipsc_ended(self) -> int | None:
        """Exit code of the stand-in IPSC, if it has ended."""
        return None if self._ipsc is None else self._ipsc.poll()

    def kill(self) -> None:
        """End the stand-in IPSC at once."""
        if self._ipsc is not None and self._ipsc.poll() is None:
            self._ipsc.kill()

    async def stop(self) -> None:
        """End both."""
        ipsc = self._ipsc
        if ipsc is not None:
            assert ipsc.stdin is not None
            ipsc.stdin.close()
            try:
                await asyncio.to_thread(ipsc.wait, STOP_GRACE)
            except subprocess.TimeoutExpired:
                _logger.warning("the stand-in IPSC does not end; it is killed")
                ipsc.kill()
                ipsc.wait()
        self.bus.close()


class LocalEmbedded(Embedded):
    """The same for IPC clients: the bus listens on a local socket.

    That is the one that ``SMARTBUS_IPC_SOCKET`` names. Where it names none, one in a directory of
    its own takes the place, which the variable then names, for this process and its children.
    (The bus is on a free TCP port as well, for the stand-in IPSC.)

    Args:
        flows: Directory of the flow scripts.
    """

    origin = f"{SOCKET} in the environment"

    def __init__(self, flows: Path) -> None:
        self._directory = None
        path = os.environ.get(SOCKET)
        if not path:
            self._directory = tempfile.mkdtemp(prefix="sbusr-")
            path = os.environ[SOCKET] = str(Path(self._directory, "socket"))
        super().__init__("127.0.0.1", 0, flows, path)

    @property
    def where(self) -> str:
        """See `Embedded`."""
        return f"{self.bus.address}, and {SOCKET}={self.bus.ipc_path}"

    def kill(self) -> None:
        """See `Embedded`."""
        super().kill()
        self._tidy_up()

    async def stop(self) -> None:
        """See `Embedded`."""
        await super().stop()
        self._tidy_up()

    def _tidy_up(self) -> None:
        directory, self._directory = self._directory, None
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
            os.environ.pop(SOCKET, None)
