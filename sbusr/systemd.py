"""What the service manager is told (``Type=notify``): the protocol of sd_notify(3).

Lines ``NAME=value`` go in datagrams to the socket that ``NOTIFY_SOCKET`` names.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping

__all__ = ["Notifier", "ServiceReport"]

LOOK_EVERY = 0.2
"""Seconds between two looks at how the daemon is."""

_logger = logging.getLogger(__name__)


class Notifier:
    """The way to the service manager; without one, everything does nothing.

    Args:
        environ: The process's environment. The variables of the protocol are taken out of it:
            they are not for the processes that it starts.

    Attributes:
        active: Whether there is a service manager that wants to know.
        watchdog: Seconds after which it takes the daemon for dead; 0: never.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        usec = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        self.active = address.startswith(("/", "@"))
        meant = pid in {"", str(os.getpid())}
        self.watchdog = int(usec) / 1e6 if self.active and meant and usec.isdigit() else 0.0
        self._socket: socket.socket | None = None
        if self.active:
            self._address = f"\0{address[1:]}" if address[0] == "@" else address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def send(self, *lines: str) -> None:
        """Send one message; what cannot be sent is lost, for the daemon does not wait for it."""
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as exc:
            _logger.debug("the service manager does not hear: %s", exc)

    def close(self) -> None:
        """Send no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class ServiceReport:
    """Keeps the service manager informed, in the loop that does the work.

    Args:
        loop: That loop: if it stands still, the watchdog gets nothing.
        notifier: The way to the service manager.
        missing: Returns what the daemon lacks to be ready.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        notifier: Notifier,
        missing: Callable[[], list[str]],
    ) -> None:
        self._loop = loop
        self._notifier = notifier
        self._missing = missing
        self._ready = False
        self._told = ""
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Begin."""
        if self._notifier.active:
            self._look()
        if self._notifier.watchdog:
            self._feed()

    def _look(self) -> None:
        self._timers["look"] = self._loop.call_later(LOOK_EVERY, self._look)
        missing = self._missing()
        if not (missing or self._ready):
            self._ready = True
            self._notifier.send("READY=1")
        status = f"not ready: {'; '.join(missing)}" if missing else "ready"
        if status != self._told:
            self._told = status
            self._notifier.send(f"STATUS={status}")

    def _feed(self) -> None:
        self._timers["feed"] = self._loop.call_later(self._notifier.watchdog / 2, self._feed)
        self._notifier.send("WATCHDOG=1")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell that the daemon reloads, for as long as it does."""
        self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if self._ready:
                self._notifier.send("READY=1")

    def stopping(self) -> None:
        """Tell that the daemon stops; the watchdog goes on until `close`."""
        timer = self._timers.pop("look", None)
        if timer is not None:
            timer.cancel()
        self._notifier.send("STOPPING=1", "STATUS=stopping")

    def close(self) -> None:
        """Tell no more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._notifier.close()
