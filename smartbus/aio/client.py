"""The asyncio client."""

from __future__ import annotations

import asyncio
import codecs
import logging
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from smartbus import errors
from smartbus.arguments import integers, text
from smartbus.encoding import decode_wire_text, encode_text
from smartbus.errors import ArgumentError, NotConnectedError, SmartBusError
from smartbus.wire import (
    Address,
    Cmd,
    CmdType,
    Frame,
    GlobalConnect,
    ProtocolError,
    Registration,
    encode_frame,
)

from .caller import FlowCaller
from .connection import Connection
from .flows import FlowTable
from .packets import PacketQueue
from .sender import MAX_SERVER, MAX_UNIT
from .settings import Limits, Timing

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from smartbus.wire.link import WireForm

    from .link import Link

__all__ = ["Node", "SmartBusClient"]

logger = logging.getLogger(__name__)


class Node(NamedTuple):
    """Somebody on the bus (NET.md 4)."""

    unit_id: int
    client_id: int
    client_type: int
    access_point: int  # unit of the server that it is attached to
    status: int  # 0 gone, 1 new, 2 already there
    info: str


class SmartBusClient(FlowCaller):
    """A client of the bus over TCP, for asyncio; it connects, reconnects and keeps the link alive.

    All methods belong to the event loop in which the client was started. Sending methods
    do not wait: they queue a frame or raise. What is queued leaves when the loop turns.

    Events are plain functions, assigned to the attributes below or overridden in a subclass.
    They are called in the event loop; an exception in one is logged and does no other harm.
    Without `on_packet`, received packets wait for ``async for packet in client``; if their
    queue is full, the client stops reading from the network until somebody takes some. If
    nobody ever took one, packets that find the queue full are dropped (see `dropped`).

    Attributes:
        on_connect: The server let the client in: ``()``.
        on_connect_fail: Connecting failed: ``(code)``: -20 the server cannot be reached (told
            once in the client's life), else the server's refusal.
        on_disconnect: A link that was up is lost: ``()``.
        on_packet: A packet: ``(frame)``. Pings and ping acks come here as well, and flow
            calls and notifies if this client is an IPSC (NET.md 5.2).
        on_global_connect: Somebody came or went: ``(node)``.
        nodes: Who is on the bus, as far as the server tells, by (unit id, client id).
        dropped: Packets dropped because nobody ever asked for one.
    """

    on_connect: Callable[[], object] | None = None
    on_connect_fail: Callable[[int], object] | None = None
    on_disconnect: Callable[[], object] | None = None
    on_packet: Callable[[Frame], object] | None = None
    on_global_connect: Callable[[Node], object] | None = None

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
        self.nodes: dict[tuple[int, int], Node] = {}
        self.dropped = 0
        self._info = encode_text(info or "")
        self._limits = limits or Limits()
        self._timing = timing or Timing()
        asks = Registration(encode_text(user or ""), encode_text(password or ""), self._info)
        self._packets = PacketQueue(self._limits.packets, self._limits.packet_bytes)
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
            self._flows = FlowTable(asyncio.get_running_loop(), self._limits, self._timing)

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

        Calls that wait end with `NotConnectedError`, iterators with what they have. Closing
        again is allowed; a closed client cannot be started again.
        """
        try:
            await self._connection.close()
        finally:
            if self._flows is not None:
                self._flows.close(NotConnectedError(-2, "the client was closed"))
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

    # --- receiving ------------------------------------------------------------------------

    async def receive(self) -> Frame | None:
        """Take the next packet, waiting for it; None when the client is closed and none is left.

        Cancelling it loses no packet. Several may wait; each packet goes to one of them.
        """
        frame = await self._packets.get()
        link = self._connection.link
        if link is not None and link.reading_paused and self._packets.low:
            link.resume_reading()
        return frame

    def __aiter__(self) -> Self:
        """Iterate over the packets as they come, across reconnects, until the client is closed."""
        return self

    async def __anext__(self) -> Frame:
        frame = await self.receive()
        if frame is None:
            raise StopAsyncIteration
        return frame

    # --- what the connection tells --------------------------------------------------------

    def connection_up(self) -> None:
        """Tell that the client is connected."""
        self._tell(self.on_connect)

    def connection_down(self) -> None:
        """Tell that the link is lost."""
        self.nodes.clear()
        self._tell(self.on_disconnect)

    def connection_failed(self, code: int) -> None:
        """Tell that there is no connection."""
        self._tell(self.on_connect_fail, code)

    def connection_received(self, link: Link, frames: list[Frame]) -> None:
        """Sort out arrived frames in the order of NET.md 5.2."""
        own_type = self.address.client_type
        packets = self._packets
        for frame in frames:
            head = frame[0]
            cmd_type = head[3]
            if cmd_type == 0:
                link.link_frame(frame)
                continue
            # For many, but not for our type. The header's bytes are unsigned (NET.md 12).
            meant = head[9] < 0x80 or head[7] == own_type
            if cmd_type == 1 and self._handled(frame, meant):
                continue
            if not meant:
                continue
            if self.on_packet is not None:
                self._tell(self.on_packet, frame)
            elif packets.read or not packets.full:
                packets.put(frame)
            else:
                if not self.dropped:
                    logger.warning("%s: nobody takes packets: dropping them", link)
                self.dropped += 1
        if packets.read and packets.full:
            link.pause_reading()

    def _handled(self, frame: Frame, meant: bool) -> bool:
        """Take a frame of class 1; True if it is none of the application's business."""
        cmd = frame.cmd
        try:
            if cmd == Cmd.PING:
                self._answer_ping(frame)
            elif cmd in (Cmd.GLOBAL_CONNECT, Cmd.GLOBAL_CONNECT_ANSWER):
                self._global_connect(frame)
                return True
            elif cmd in (Cmd.FLOW_ACK, Cmd.FLOW_RETURN):
                if meant:
                    self._flow_answer(frame)
                return True
        except ProtocolError as error:
            logger.warning("ignoring a packet from %s: %s", frame.src, error)
            return True
        except SmartBusError as error:  # the answer finds no room
            logger.warning("cannot answer %s: %s", frame.src, error)
        return False

    def _answer_ping(self, frame: Frame) -> None:
        """Send a ping's data back, whoever it was meant for (NET.md 6)."""
        if self._reachable(frame.src):
            self._push(encode_frame(self.address, frame.src, Cmd.PING_ACK, 1, frame.data))

    def _global_connect(self, frame: Frame) -> None:
        """Note who came or went; answer a newcomer that asks for it (NET.md 4)."""
        if not frame.data:
            return  # ignored silently, as the vendor does
        event = GlobalConnect.decode(frame.data)
        node = Node(*event[:5], decode_wire_text(event.info))
        newcomer = Address(*event[:3])
        if node.status == 0:
            self.nodes.pop(newcomer[:2], None)
        else:
            self.nodes[newcomer[:2]] = node
        self._tell(self.on_global_connect, node)
        if frame.cmd == Cmd.GLOBAL_CONNECT and node.status == 1 and self._reachable(newcomer):
            own, cmd = self.address, Cmd.GLOBAL_CONNECT_ANSWER
            body = GlobalConnect(*own, self.access_point, 2, self._info)
            data = body.encode(own, newcomer, cmd)
            self._push(encode_frame(own, newcomer, cmd, CmdType.SYSTEM, data))

    def _reachable(self, who: Address) -> bool:
        """Whether an answer to `who` may be sent: not to oneself, nor within a client's unit."""
        own = self.address
        return who.unit_id != own.unit_id or (own.unit_id <= MAX_SERVER and who[:2] != own[:2])

    def _push(self, frame: bytes) -> None:
        """Queue an automatic answer, if there is a server that would take it."""
        if self.connected:
            self._connection.outbox.push(frame)

    def _tell(self, callback: Callable[..., object] | None, *args: Any) -> None:
        """Call one of the user's functions."""
        if callback is not None:
            try:
                callback(*args)
            except Exception:
                logger.exception("exception in %r", callback)
