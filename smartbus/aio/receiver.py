"""What arrives: who is told, what is answered by itself, what waits to be taken."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from smartbus import wire
from smartbus.encoding import decode_wire_text
from smartbus.errors import SmartBusError
from smartbus.events import Connected, ConnectFailed, Disconnected, Event, GlobalConnect, Packet
from smartbus.subscriptions import Subscribable, Subscribers
from smartbus.wire import Address, Cmd, CmdType, Frame, ProtocolError, encode_frame

from .caller import FlowCaller
from .packets import PacketQueue
from .sender import MAX_SERVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from .link import Link
    from .settings import Limits

__all__ = ["Node", "Receiver"]

logger = logging.getLogger(__name__)


class Node(NamedTuple):
    """Somebody on the bus (NET.md 4)."""

    unit_id: int
    client_id: int
    client_type: int
    access_point: int  # unit of the server that it is attached to
    status: int  # 0 gone, 1 new, 2 already there
    info: str


class Receiver(FlowCaller, Subscribable):
    """What of a client receives.

    Events are plain functions, assigned to the attributes below or overridden in a subclass.
    They are called in the event loop; an exception in one is logged and does no other harm.
    Without `on_packet`, received packets wait for ``async for packet in client``; if their
    queue is full, the client stops reading from the network until somebody takes some. If
    nobody ever took one, packets that find the queue full are dropped (see `dropped`), and none
    are kept where somebody has subscribed to them. Subscribers (`subscribe`) are called after
    the plain functions.

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

    def __init__(self, info: bytes, limits: Limits) -> None:
        """Tell others `info`; keep as many packets as `limits` allow."""
        self.nodes: dict[tuple[int, int], Node] = {}
        self.dropped = 0
        self._info = info
        self._subscribers = Subscribers()
        self._packets = PacketQueue(limits.packets, limits.packet_bytes)

    def _check_alive(self) -> None:
        self._connection.check_open()

    # --- for who iterates -----------------------------------------------------------------

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
        self._tell_event(Connected(self._connection.access_point))

    def connection_down(self) -> None:
        """Tell that the link is lost."""
        self.nodes.clear()
        self._tell(self.on_disconnect)
        self._tell_event(Disconnected())

    def connection_failed(self, code: int) -> None:
        """Tell that there is no connection."""
        self._tell(self.on_connect_fail, code)
        self._tell_event(ConnectFailed(code))

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
            else:
                self._keep(frame, link)
            if self._subscribers.of(Packet):
                self._tell_event(Packet(frame.head, frame.data))
        if packets.read and packets.full:
            link.pause_reading()

    def _keep(self, frame: Frame, link: Link) -> None:
        """Let a packet wait for who iterates, if that may still happen."""
        packets = self._packets
        if packets.read or not (packets.full or self._subscribers.of(Packet)):
            packets.put(frame)
        elif packets.full:
            if not self.dropped:
                logger.warning("%s: nobody takes packets: dropping them", link)
            self.dropped += 1

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
        event = wire.GlobalConnect.decode(frame.data)
        node = Node(*event[:5], decode_wire_text(event.info))
        newcomer = Address(*event[:3])
        if node.status == 0:
            self.nodes.pop(newcomer[:2], None)
        else:
            self.nodes[newcomer[:2]] = node
        self._tell(self.on_global_connect, node)
        self._tell_event(GlobalConnect(*node))
        if frame.cmd == Cmd.GLOBAL_CONNECT and node.status == 1 and self._reachable(newcomer):
            own, cmd = self.address, Cmd.GLOBAL_CONNECT_ANSWER
            body = wire.GlobalConnect(*own, self._connection.access_point, 2, self._info)
            data = body.encode(own, newcomer, cmd)
            self._push(encode_frame(own, newcomer, cmd, CmdType.SYSTEM, data))

    def _reachable(self, who: Address) -> bool:
        """Whether an answer to `who` may be sent: not to oneself, nor within a client's unit."""
        own = self.address
        return who.unit_id != own.unit_id or (own.unit_id <= MAX_SERVER and who[:2] != own[:2])

    def _push(self, frame: bytes) -> None:
        """Queue an automatic answer, if there is a server that would take it."""
        if self._connection.up:
            self._connection.outbox.push(frame)

    def _tell(self, callback: Callable[..., object] | None, *args: Any) -> None:
        """Call one of the user's functions."""
        if callback is not None:
            try:
                callback(*args)
            except Exception:
                logger.exception("exception in %r", callback)

    def _tell_event(self, event: Event) -> None:
        """Call who subscribed to events of this class."""
        for subscription in self._subscribers.of(type(event)):
            if not subscription.closed:
                self._tell(subscription.handler, event)
