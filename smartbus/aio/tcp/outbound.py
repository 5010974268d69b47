"""Bytes on their way out: few system calls for many small writes, and waiting for the peer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from smartbus.spin import Spinner

__all__ = ["Outbound"]

#: Small writes of one turn of the event loop gather to chunks of about this size (bytes).
_CHUNK: Final = 1 << 16


class Outbound:
    """Hands bytes to a transport.

    The first write after something was received leaves at once, so that an answer does not wait.
    Those that follow in the same turn of the event loop leave together when the turn ends, or
    when a chunk is full: a system call for each would cost as much as all the rest of writing it.

    Attributes:
        full: The transport wants no more for now.
    """

    def __init__(self, transport: asyncio.WriteTransport, spinner: Spinner) -> None:
        """Write to `transport`; `spinner` is told what is written alone."""
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._spinner = spinner
        self._held: list[bytes] = []
        self._size = 0
        self._at_once = True
        self._scheduled = False
        self._lost = False
        self._waiters: list[asyncio.Future[None]] = []
        self.full = False

    def send(self, data: bytes) -> None:
        """Send `data` after everything before it."""
        if self._at_once:
            self._at_once = False
            self._transport.write(data)
            self._spinner.sent()
            return
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)
        self._held.append(data)
        self._size += len(data)
        if self._size >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the transport."""
        if self._held and not self._lost:
            data = b"".join(self._held)
            self._held.clear()
            self._size = 0
            self._transport.write(data)

    def _end_turn(self) -> None:
        self._scheduled = False
        self._at_once = True
        self.flush()

    def refresh(self) -> None:
        """Something was received, so another turn of the event loop has begun."""
        if not self._held:
            self._at_once = True

    # --- for the transport ----------------------------------------------------------------

    def pause(self) -> None:
        """The transport wants no more."""
        self.full = True

    def resume(self) -> None:
        """The transport takes more."""
        self.full = False
        self._wake()

    def lose(self) -> None:
        """Nothing can be sent any more."""
        self._lost = True
        self._held.clear()
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # --- waiting --------------------------------------------------------------------------

    async def drain(self, timeout: float | None) -> None:
        """Wait until the transport takes more.

        Raises:
            asyncio.TimeoutError: It does not within `timeout` seconds.
            ConnectionResetError: The connection was lost.
        """
        deadline = None if timeout is None else self._loop.time() + timeout
        while self.full and not self._lost:
            left = None if deadline is None else deadline - self._loop.time()
            if left is not None and left <= 0:
                raise asyncio.TimeoutError(f"the peer took nothing for {timeout:g} s")
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await asyncio.wait({waiter}, timeout=left)
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        if self._lost:
            raise ConnectionResetError("Connection lost")
