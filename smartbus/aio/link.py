"""One TCP connection to a bus: registration, heartbeat, supervision, framing."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from smartbus.wire import (
    Address,
    Cmd,
    Frame,
    FrameParser,
    Heartbeat,
    ProtocolError,
    Registration,
    RegistrationAck,
)

if TYPE_CHECKING:
    from .outbox import Outbox
    from .settings import Timing

__all__ = ["Link", "LinkOwner"]

logger = logging.getLogger(__name__)

#: What one read takes at most. Only what is used of it takes memory.
_RECEIVE_SIZE: Final = 256 << 10


class LinkOwner(Protocol):
    """Who uses a link."""

    def link_registered(self, link: Link) -> None:
        """The server let the client in."""

    def link_received(self, link: Link, frames: list[Frame]) -> None:
        """Frames arrived; those of the link itself go back to `Link.link_frame`."""


class Link(asyncio.BufferedProtocol):
    """Registers as soon as it is connected, and keeps the connection alive and watched.

    Attributes:
        registered: The server let the client in, at some time.
        refusal: The server's code if it did not, or threw the client out.
        access_point: The server's unit, from its answer; -1 before.
        up_since: Loop time of the registration.
        lost: Done when the connection is gone.
    """

    def __init__(
        self,
        owner: LinkOwner,
        outbox: Outbox,
        src: Address,
        registration: Registration,
        access_point: int,
        timing: Timing,
        max_frame: int,
    ) -> None:
        """Prepare a link; it lives from ``connection_made`` to `lost`.

        Args:
            owner: Gets the frames.
            outbox: Attached while the client is registered.
            src: The client's address.
            registration: What to register with; its form is that of the heartbeats, too.
            access_point: Unit of the last server, or -1.
            timing: Intervals.
            max_frame: Largest frame to accept.
        """
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._outbox = outbox
        self._src = src
        self._registration = registration
        self._last_access_point = access_point
        self._timing = timing
        self._parser = FrameParser(max_frame)
        self._space = memoryview(bytearray(_RECEIVE_SIZE))
        self._transport: asyncio.Transport | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._heard = 0.0
        self._beats = 0
        self._write_paused = False
        self._read_paused = False
        self._aborted = False
        self._suspect = False
        self.registered = False
        self.refusal: int | None = None
        self.access_point = -1
        self.up_since = 0.0
        self.lost: asyncio.Future[None] = self._loop.create_future()

    # --- asyncio.BufferedProtocol ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register at once, and begin to beat and to watch (NET.md 2)."""
        # uvloop's transport is no subclass of asyncio.Transport, but has all of it.
        self._transport = cast("asyncio.Transport", transport)
        if self._aborted:
            self._transport.abort()
            return
        _keep_alive(transport.get_extra_info("socket"))
        self._transport.write(self._registration.encode(self._src, self._last_access_point))
        self._heard = self._loop.time()
        self._timers["beat"] = self._loop.call_later(self._timing.heartbeat, self._beat)
        self._timers["watch"] = self._loop.call_later(self._timing.silence, self._watch)

    def get_buffer(self, sizehint: int) -> Any:  # noqa: ARG002
        """Say where to receive into: the event loop would allocate as much for each read."""
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """Take what arrived; a bad stream ends the link after its last good frame."""
        self._heard = self._loop.time()
        frames = self._parser.feed(bytes(self._space[:nbytes]))
        if frames:
            self._owner.link_received(self, frames)
        if self._parser.error is not None:
            logger.warning("%s: closing the link: %s", self, self._parser.error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up."""
        logger.debug("%s: lost: %s", self, exc or "closed")
        self._outbox.detach()
        for timer in self._timers.values():
            timer.cancel()
        if not self.lost.done():
            self.lost.set_result(None)

    def pause_writing(self) -> None:
        """Keep frames in the outbox."""
        self._write_paused = True
        self._outbox.pause()

    def resume_writing(self) -> None:
        """Go on writing."""
        self._write_paused = False
        self._outbox.resume()

    # --- for the owner --------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there is, or was, a connection: `lost` will be done, or is."""
        return self._transport is not None

    @property
    def reading_paused(self) -> bool:
        """Whether nothing is taken from the network at present."""
        return self._read_paused

    def lasted(self) -> float:
        """Return for how many seconds the link has been up, or was until now."""
        return self._loop.time() - self.up_since

    def link_frame(self, frame: Frame) -> None:
        """Take a frame of class 0, which is meant for the link (NET.md 5.2, rule 1)."""
        if frame.cmd != Cmd.REGISTER_ACK:
            return  # a heartbeat ack is a sign of life like any other byte
        try:
            result = RegistrationAck.decode(frame.data).result
        except ProtocolError as error:
            logger.warning("%s: closing the link: %s", self, error)
            self.abort()
            return
        if result != 0:
            self.refusal = result
            self.abort()
        elif not self.registered and self._transport is not None:
            self.registered = True
            self.access_point = frame.src.unit_id
            self.up_since = self._loop.time()
            self._outbox.attach(self._transport, paused=self._write_paused)
            self._owner.link_registered(self)

    def pause_reading(self) -> None:
        """Take no more from the network; the peer feels it."""
        transport = self._transport
        if not self._read_paused and transport is not None and not transport.is_closing():
            self._read_paused = True
            transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        transport = self._transport
        if self._read_paused and transport is not None and not transport.is_closing():
            self._read_paused = False
            self._heard = self._loop.time()  # silence was ours until now
            transport.resume_reading()

    def close(self) -> None:
        """Close when everything that waits in the outbox has left."""
        if self._transport is not None and not self._transport.is_closing():
            self._outbox.finish()
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._aborted = True
        if self._transport is not None:
            self._outbox.detach()
            self._transport.abort()

    def __str__(self) -> str:
        unit, client, kind = self._src
        peer: Any = self._transport.get_extra_info("peername") if self._transport else None
        where = f" to {peer[0]}:{peer[1]}" if peer else ""
        return f"client {unit}/{client}/{kind}{where}"

    # --- timers ---------------------------------------------------------------------------

    def _beat(self) -> None:
        """Send a heartbeat, unless a peer that does not read has enough to do already."""
        assert self._transport is not None
        if self._transport.is_closing():
            return
        if not self._write_paused:
            beat = Heartbeat(self._beats, int(time.time()), form=self._registration.form)
            self._transport.write(beat.encode(self._src, self.access_point))
            self._beats += 1
        self._timers["beat"] = self._loop.call_later(self._timing.heartbeat, self._beat)

    def _watch(self) -> None:
        """Close the link if nothing arrived for too long."""
        now = self._loop.time()
        if self._read_paused:
            self._heard = now
        left = self._heard + self._timing.silence - now
        if left <= 0 and self._suspect:
            logger.warning("%s: nothing heard for %g s", self, self._timing.silence)
            self.abort()
            return
        # Some loops run timers before they read: after a long pause of the whole process, or
        # a callback that blocked, bytes may be waiting. Look again before believing it.
        self._suspect = left <= 0
        self._timers["watch"] = self._loop.call_later(max(left, 0.05), self._watch)


def _keep_alive(sock: Any) -> None:
    """Switch TCP keep-alive on, first probe after 30 s as the vendor has it (NET.md 1)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
