"""One TCP connection, from ``connection_made`` to ``connection_lost``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from smartbus.spin import Spinner

from .inbound import Inbound
from .outbound import Outbound

if TYPE_CHECKING:
    from collections.abc import Callable

    from .settings import Settings

__all__ = ["Stream"]

#: Bytes to receive at a time.
_AREA: Final = 1 << 16


class Stream(asyncio.BufferedProtocol):
    """Both directions of a connection, and its end.

    It receives into one piece of memory: the 256 KiB that an `asyncio.Protocol` gets allocated
    for each receive take more time than all the rest of receiving a short message.

    Attributes:
        inbound: What arrived; there once the connection is made.
        outbound: What leaves; likewise.
        connected: Neither side has closed; what the peer sent before it closed counts as being
            connected, until it is read.
        gone: Done when `connected` has become False.
        lost: Done when nothing is left of the connection.
    """

    inbound: Inbound
    outbound: Outbound

    def __init__(
        self,
        settings: Settings,
        on_made: Callable[[Stream], None] | None = None,
        on_gone: Callable[[Stream], None] | None = None,
    ) -> None:
        """Prepare a connection.

        Args:
            settings: Of it: ``limit``, ``keep_alive`` and ``spin``.
            on_made: Called when the connection is made.
            on_gone: Called when `connected` becomes False.
        """
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._on_made = on_made
        self._on_gone = on_gone
        self._area = memoryview(bytearray(_AREA))
        self._transport: asyncio.Transport | None = None
        self._encrypted = False
        self.connected = False
        self.gone: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    # --- asyncio.BufferedProtocol ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transport is no subclass of asyncio.Transport, but has all of it.
        self._transport = cast("asyncio.Transport", transport)
        self._encrypted = transport.get_extra_info("sslcontext") is not None
        if self._settings.keep_alive is not None:
            self._settings.keep_alive.apply(transport.get_extra_info("socket"))
        self.inbound = Inbound(self._settings.limit, self._transport, self._end)
        self._spinner = Spinner(self._settings.spin)
        self.outbound = Outbound(self._transport, self._spinner)
        self.connected = True
        if self._on_made is not None:
            self._on_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Say where to receive."""
        return self._area

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was received."""
        self._spinner.received()
        self.outbound.refresh()
        self.inbound.feed(self._area[:nbytes])

    def eof_received(self) -> bool:
        """The peer sends no more; stay open for it, if the transport can."""
        self.inbound.end()
        return not self._encrypted

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake everyone who waits for something."""
        self._spinner.received()  # so that it ends, too
        self.inbound.end(_as_connection_error(exc))
        self.outbound.lose()
        self._end()
        if not self.lost.done():
            self.lost.set_result(None)

    def pause_writing(self) -> None:
        """The peer does not take what is sent."""
        self.outbound.pause()

    def resume_writing(self) -> None:
        """The peer takes more."""
        self.outbound.resume()

    def _end(self) -> None:
        if self.connected:
            self.connected = False
            if not self.gone.done():
                self.gone.set_result(None)
            if self._on_gone is not None:
                self._on_gone(self)

    # --- for the owner --------------------------------------------------------------------

    @property
    def readable(self) -> bool:
        """Whether there is something to read, or may still come."""
        return self.connected or len(self.inbound) > 0

    def get_extra_info(self, name: str) -> Any:
        """Return what the transport says about itself."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    async def close(self, timeout: float) -> None:
        """Close when everything has been sent; at once after `timeout` seconds, or if cancelled."""
        if self._transport is None:
            return
        try:
            if not self._transport.is_closing():
                self.outbound.flush()
                self._transport.close()
            self._end()
            await asyncio.wait({self.lost}, timeout=timeout)
        finally:
            if not self.lost.done():
                self._transport.abort()
        await asyncio.wait({self.lost})

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        # asyncio's transport cannot be aborted when it has closed after writing its buffer.
        if self._transport is not None and not self.lost.done():
            self._transport.abort()
            self._end()


def _as_connection_error(error: Exception | None) -> ConnectionError | None:
    """Return `error` as what readers expect; a vanished host comes as ETIMEDOUT, for example."""
    if error is None or isinstance(error, ConnectionError):
        return error
    lost = ConnectionAbortedError(f"connection lost: {error}")
    lost.__cause__ = error
    return lost
