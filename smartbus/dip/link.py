"""One connection of a client in an event loop."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from smartbus.spin import Spinner

from .errors import ConnectionClosed, ReadTimeout
from .replies import ReplyReader
from .sending import Sending

if TYPE_CHECKING:
    import socket

__all__ = ["SPIN", "Link", "LinkOwner"]

SPIN: Final = 0.0001
"""Seconds to stay awake for an answer, where answers come that quickly (`smartbus.spin`)."""


class LinkOwner(Protocol):
    """Who is told about a link."""

    def link_free(self, link: Link) -> None:
        """It has no request any more."""

    def link_lost(self, link: Link) -> None:
        """It has ended."""


class Link(asyncio.BufferedProtocol):
    """Sends frames and gives each answer to the request that it belongs to.

    Args:
        owner: Is told.
        sock: Connected; belongs to the link now.
        timeout: Seconds that each answer may take; None for ever.

    Attributes:
        user: Who has it at the moment.
        held: Its user keeps it although all answers are there.
        batches: The server knows batches.
    """

    def __init__(self, owner: LinkOwner, sock: socket.socket, timeout: float | None) -> None:
        self.user: object = None
        self.held = False
        self.batches = False
        self._owner = owner
        self._sock = sock
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(4096))
        self._expected: deque[Sending] = deque()
        self._replies = ReplyReader()
        self._spinner = Spinner(SPIN)
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    # ---- requests --------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether answers are outstanding."""
        return bool(self._expected)

    @property
    def ended(self) -> bool:
        """Whether it can do no more."""
        return self._ended or (self._transport is not None and self._transport.is_closing())

    def request(self, data: bytes, sending: Sending) -> None:
        """Write a frame; `sending` gets the answer."""
        if self._ended or self._transport is None:
            sending.finish(ConnectionClosed("The connection is closed."))
            return
        sending.when_abandoned(self.abandon)
        if self._timeout is not None and not self._expected:
            self._deadline = self._loop.time() + self._timeout
            # One timer that looks what is due: cheaper than one for each request.
            if self._timer is None:
                self._timer = self._loop.call_at(self._deadline, self._look)
        self._expected.append(sending)
        self._transport.write(data)
        if len(self._expected) == 1:
            self._spinner.sent()

    def ask(self, data: bytes) -> Sending:
        """Write a frame and return what gets the answer."""
        sending = Sending(self._loop)
        self.request(data, sending)
        return sending

    def expect_reports(self) -> None:
        """The server has said that it knows batches."""
        self.batches = self._replies.framed = True

    def abandon(self, sending: Sending) -> None:
        """Nobody waits for that answer any more: it must not be taken for another one."""
        if sending in self._expected:
            self.end(ConnectionClosed("A request over this connection was cancelled."))

    def _look(self) -> None:
        self._timer = None
        if not self._expected or self._timeout is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            self.end(ReadTimeout(f"Server failed to respond after {self._timeout} seconds."))

    # ---- answers ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> Any:  # noqa: ARG002
        """See `asyncio.BufferedProtocol`."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        if self._ended:
            return
        self._spinner.received()
        if not self._expected:
            self.end(ConnectionClosed("The server says something unasked."))
            return
        for failure in self._replies.feed(bytes(self._buffer[:nbytes])):
            if not self._expected:
                self.end(ConnectionClosed("The server gave more answers than it was asked for."))
                return
            self._deadline = self._loop.time() + (self._timeout or 0.0)
            self._expected.popleft().finish(failure)
            if failure is not None and not self._replies.framed:
                # Nothing says where an error's text ends.
                self.end(ConnectionClosed("The server answered with an error."))
                return
        if not self._expected and not self.held:
            self._owner.link_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self.end(ConnectionClosed(f"The server closed the connection ({exc or 'end of stream'})."))

    # ---- the end ---------------------------------------------------------------------------

    def end(self, failure: Exception) -> None:
        """Close the connection; what waits for an answer gets `failure`."""
        if self._ended:
            return
        self._ended = True
        self._spinner.received()  # so that it ends, too
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        else:
            self._sock.close()
        expected = list(self._expected)
        self._expected.clear()
        for sending in expected:
            sending.finish(failure)
        self._owner.link_lost(self)

    def forget(self) -> None:
        """Close only the descriptor: the loop is closed, or it is that of the parent process.

        Closing the transport would take the descriptor out of the selector, which a forked child
        shares with its parent.
        """
        self._ended = True
        fd = self._sock.detach()
        if fd >= 0:
            os.close(fd)
