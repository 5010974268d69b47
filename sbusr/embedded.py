"""``--embedded``: a bus in this process, and a stand-in IPSC beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

from smartbus.bus import Bus

__all__ = ["Embedded"]

STOP_GRACE = 1.0
"""Seconds that the stand-in IPSC has to end."""

_ROOT = str(Path(__file__).resolve().parent.parent)
_logger = logging.getLogger(__name__)


class Embedded:
    """The bus, and the process with the flow host.

    Args:
        host: Where the bus listens.
        port: Its port.
        flows: Directory of the flow scripts.
    """

    def __init__(self, host: str, port: int, flows: Path) -> None:
        self.bus = Bus(host, port)
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
