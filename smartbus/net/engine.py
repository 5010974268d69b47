"""A library in use: its back end, its pump, its clients. What NET and IPC have in common."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

from smartbus._c.core_api import EV_GLOBAL, EV_TRACE
from smartbus._c.events import Event, Item, Packets

from .pumps import LoopPump, Pump, ThreadPump, is_ctrl_c
from .trace import Trace

if TYPE_CHECKING:
    import asyncio

    from smartbus._c.backend import Backend

    from .base import BusClient

#: How long (seconds) finalizing and releasing wait for queued packets to leave.
LINGER: Final = 1.0


def check_loop(loop: asyncio.AbstractEventLoop | None) -> None:
    """Raise `TypeError` for what is no event loop, such as a function that returns one."""
    if loop is not None and not callable(getattr(loop, "call_soon_threadsafe", None)):
        raise TypeError(f"loop must be an asyncio event loop, not {type(loop).__name__}")


class Engine:
    """Pumps the events of a back end to the clients that they are for."""

    def __init__(
        self, backend: Backend, loop: asyncio.AbstractEventLoop | None, logger: logging.Logger
    ) -> None:
        """Start to pump; `backend`, which is initialised, is closed if that fails."""
        self.backend = backend
        self.loop = loop
        self._logger = logger
        self.trace = Trace(backend, logger)
        self._members: dict[int, BusClient] = {}
        self.pump: Pump
        try:
            if loop is None:
                self.pump = ThreadPump(backend, self.dispatch, logger)
            else:
                self.pump = LoopPump(backend, self.dispatch, loop)
            self.trace.set()
            self.pump.start()
        except BaseException:
            backend.close()
            raise

    def linger(self) -> None:
        """Give queued packets a moment to leave, if it is another thread that moves them."""
        self.backend.flush()
        deadline = time.monotonic() + LINGER
        while self.backend.queued() and time.monotonic() < deadline and not self.pump.in_handler():
            time.sleep(0.005)

    def dispatch(self, item: Item) -> None:
        """Hand one event to whom it concerns; never raises, except for Ctrl-C."""
        try:
            self._dispatch(item)
        except BaseException as error:  # a filter of the logger raised, for instance
            if is_ctrl_c(error):
                raise
            with contextlib.suppress(Exception):
                self._logger.exception("an event could not be handled")

    def _dispatch(self, item: Item) -> None:
        if isinstance(item, Packets) or item.kind not in (EV_GLOBAL, EV_TRACE):
            client = self._members.get(item.client)
            if client is not None:  # else it was released meanwhile
                client._receive(item)  # noqa: SLF001 - the other half of this class
        elif item.kind == EV_GLOBAL:
            self._global_change(item)
        else:
            self.trace.take(item)

    def _global_change(self, event: Event) -> None:
        """Take a global connect event, which is about another client on the bus."""
        raise NotImplementedError

    def close(self, linger: float) -> None:
        """End the pump, close what can be closed and cut every client off."""
        self.pump.stop(linger)
        for client in tuple(self._members.values()):
            client._cut_off()  # noqa: SLF001 - the other half of this class
        self._members.clear()
        self.backend.close()

    def abandon(self, why: str) -> None:
        """Forget everything: a fork has left this process without its threads.

        Args:
            why: What has become of the clients.
        """
        self.pump.abandon()
        self.backend.abandon()
        for client in self._members.values():
            client._after_fork(why)  # noqa: SLF001 - as above
        self._members.clear()
