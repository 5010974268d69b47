"""The asyncio client."""

from __future__ import annotations

import asyncio
import codecs
from typing import TYPE_CHECKING, Literal

from smartbus import errors
from smartbus.arguments import integers, text
from smartbus.encoding import encode_text
from smartbus.errors import ArgumentError
from smartbus.wire import Address, Registration

from .connection import Connection
from .flows import FlowTable
from .receiver import Receiver
from .sender import MAX_UNIT
from .settings import Limits, Timing

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from smartbus.wire.link import WireForm

__all__ = ["SmartBusClient"]


class SmartBusClient(Receiver):
    """A client of the bus over TCP, for asyncio; it connects, reconnects and keeps the link alive.

    All methods belong to the event loop in which the client was started. Sending methods
    do not wait: they queue a frame or raise. What is queued leaves when the loop turns.

    Events come to the functions and attributes of `Receiver`, to subscribers, and through
    ``async for packet in client``.
    """

    def __init__(
        self,
        host: str,
        port: int,
        unit_id: int,
        client_id: int,
        client_type: int,
        *,
        user: str | None = None,
        password: str | None = None,
        info: str | None = None,
        wire: Literal["auto", "2015", "2018"] = "auto",
        encoding: str = "utf-8",
        limits: Limits | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Describe a client; nothing happens before `start`.

        Args:
            host: The server's name or address.
            port: The server's port, 1..65534.
            unit_id: Own unit: 16..47, or 0..15 for an IPSC in its server's unit.
            client_id: Own client id, 0..255.
            client_type: Own client type, 2..255.
            user: User name, if the server wants one.
            password: Password; it travels in clear text.
            info: Free text that the others get to see.
            wire: Registration form: the 2018 one, the 2015 one, or whichever the server takes
                (2018 first).
            encoding: Codec of `str` data sent, and the first to try on JSON received.
            limits: Bounds of all queues.
            timing: Times of the link.

        Raises:
            ArgumentError: `host`, `port` or `wire` is unusable.
            UnitIdError: `unit_id` is out of range.
            ClientIdError: `client_id` is out of range.
            ClientTypeError: `client_type` is out of range.
            TypeError: An argument is of a wrong type.
            LookupError: There is no such `encoding`.
        """
        text("host", host)
        integers(port=port, unit_id=unit_id, client_id=client_id, client_type=client_type)
        codecs.lookup(encoding)
        if not 2 <= client_type <= 255:
            raise errors.ClientTypeError(-17, f"client type {client_type} is not in 2..255")
        if not host or not 0 < port < 65535:
            raise ArgumentError(-1, f"bad server address {host!r}, port {port}")
        if not 0 <= unit_id <= MAX_UNIT:
            raise errors.UnitIdError(-12, f"unit {unit_id} is not in 0..{MAX_UNIT}")
        if not 0 <= client_id <= 255:
            raise errors.ClientIdError(-13, f"client id {client_id} is not in 0..255")
        if wire not in ("auto", "2015", "2018"):
            raise ArgumentError(-1, f"wire is auto, 2015 or 2018, not {wire!r}")
        self.host = host
        self.port = port
        self.address = Address(unit_id, client_id, client_type)
        self.encoding = encoding
        info_text = encode_text(info or "")
        self._limits = limits or Limits()
        self._timing = timing or Timing()
        asks = Registration(encode_text(user or ""), encode_text(password or ""), info_text)
        Receiver.__init__(self, info_text, self._limits)
        self._connection = Connection(
            self, host, port, self.address, asks, wire, self._limits, self._timing
        )

    # --- life -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to connect, and do not wait for it; see `wait_connected`.

        A client that a server has refused starts anew; a running one just goes on.

        Raises:
            NotInitializedError: The client was closed.
        """
        self._connection.start()
        if self._flows is None:
            self._flows = FlowTable(
                asyncio.get_running_loop(), self._limits, self._timing, self._tell_event
            )

    async def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until the server has let the client in.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            SmartBusTimeoutError: It did not happen in time.
            SmartBusError: The server refused for good; the class tells why.
            NotInitializedError: The client is not started or was closed.
        """
        await self._connection.wait_up(timeout)

    async def wait_ended(self) -> None:
        """Wait until the client is closed, or ended by itself because a server refused it.

        Raises:
            SmartBusError: A server refused for good; the class tells why.
            NotInitializedError: The client is not started.
        """
        await self._connection.wait_ended()

    async def close(self) -> None:
        """Send what waits (for up to `Timing.linger`), disconnect, end.

        Calls that wait end with a `FlowError` (-9), iterators with what they have. Closing
        again is allowed; a closed client cannot be started again.
        """
        try:
            await self._connection.close()
        finally:
            if self._flows is not None:
                self._flows.close()
            self._packets.close()

    async def __aenter__(self) -> Self:
        """Start and wait until connected, for as long as a TCP connect may take.

        Raises:
            SmartBusError: As `wait_connected`; the client is closed then.
        """
        await self.start()
        try:
            await self.wait_connected(self._timing.connect)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    # --- state ----------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the server has let the client in and the link is up."""
        return self._connection.up

    @property
    def access_point(self) -> int:
        """Unit of the server, of the last one while there is none; -1 before the first."""
        return self._connection.access_point

    @property
    def wire(self) -> WireForm:
        """Registration form of the present or last accepted link, ``"2015"`` or ``"2018"``."""
        return self._connection.form
