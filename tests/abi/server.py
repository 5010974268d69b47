"""A server that says exactly what a test tells it to, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING

from smartbus.wire import (
    HEADER_SIZE,
    Address,
    Cmd,
    CmdType,
    Frame,
    Registration,
    RegistrationAck,
    decode_frame,
    encode_frame,
    encode_heartbeat_ack,
)

if TYPE_CHECKING:
    from tests.abi.library import Until

#: The server's unit.
UNIT = 1
#: Whom the clients under test talk with.
OTHER = Address(20, 4, 5)

#: So many heartbeats of a connection are kept; the vendor's library sends a thousand a second.
BEATS = 100


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, until: Until, *, answers: bool) -> None:
        self.opened = time.monotonic()
        #: Answer heartbeats.
        self.answers = answers
        #: The first heartbeats and when they came, and how many there were.
        self.beats: list[tuple[float, Frame]] = []
        self.beat_count = 0
        #: When the client closed, or None.
        self.ended_at: float | None = None
        #: Where the client's registration came from.
        self.client = Address(0, 0, 0)
        #: Frames that nobody asked for yet, heartbeats apart, and their bytes.
        self.frames: deque[tuple[Frame, bytes]] = deque()
        #: The bytes of the frame that was asked for last.
        self.raw = b""
        #: Read nothing.
        self.deaf = False
        self._connection = connection
        self._until = until
        self._unread = b""

    # ---- what the client sent ------------------------------------------------------------

    def frame(self) -> Frame:
        """Wait for the next frame that is no heartbeat."""
        self._until(lambda: self.frames or self.ended_at, "a frame")
        assert self.frames, "the client closed the connection instead of sending a frame"
        frame, self.raw = self.frames.popleft()
        return frame

    def registration(self) -> Registration:
        """The next frame is a registration."""
        frame = self.frame()
        assert (frame.cmd_type, frame.cmd) == (CmdType.LINK, Cmd.REGISTER), frame
        self.client = frame.src
        return Registration.decode(frame.data)

    def accept(self, result: int = 0, unit: int = UNIT) -> Registration:
        """Wait for the registration, and answer it."""
        request = self.registration()
        self.ack(result, unit)
        return request

    def ended(self) -> float:
        """Wait until the client has closed; returns when it did."""
        self._until(lambda: self.ended_at, "the client to close")
        assert self.ended_at is not None
        return self.ended_at

    # ---- what it gets ----------------------------------------------------------------------

    def send(self, *frames: bytes) -> None:
        """Send bytes as they are, in one piece."""
        self._connection.setblocking(True)
        self._connection.sendall(b"".join(frames))
        self._connection.setblocking(False)

    def ack(self, result: int = 0, unit: int = UNIT) -> None:
        """Answer a registration."""
        self.send(RegistrationAck(result).encode(unit, self.client))

    def system(self, cmd: int, data: bytes, src: Address = OTHER) -> None:
        """Send a frame of the bus to the client."""
        self.send(encode_frame(src, self.client, cmd, CmdType.SYSTEM, data))

    def data(self, data: bytes, dst: Address | None = None, cmd: int = 77, kind: int = 3) -> bytes:
        """Send user data to the client (or whom `dst` names); returns the frame's header."""
        frame = encode_frame(OTHER, dst or self.client, cmd, kind, data)
        self.send(frame)
        return frame[:20]

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):  # the client was first
            self._connection.shutdown(socket.SHUT_RDWR)

    def half_close(self) -> None:
        """Say that nothing more will come."""
        self._connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.free()

    # ---- what the world uses ---------------------------------------------------------------

    def fileno(self) -> int:
        """Readable when `receive` has something to do; -1 when it will not."""
        return -1 if self.deaf else self._connection.fileno()

    def receive(self) -> None:
        """Take what has come."""
        try:
            data = self._connection.recv(1 << 20)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.ended_at = time.monotonic()
            self.free()
            return
        data, start = self._unread + data, 0
        while len(data) - start >= HEADER_SIZE:
            size = int.from_bytes(data[start + 12 : start + 16], "little")
            if len(data) - start < size:
                break
            raw = data[start : start + size]
            start += size
            frame = decode_frame(raw)
            if (frame.cmd_type, frame.cmd) == (CmdType.LINK, Cmd.HEARTBEAT):
                self._beat(frame)
            else:
                self.frames.append((frame, raw))
        self._unread = data[start:]

    def _beat(self, frame: Frame) -> None:
        if len(self.beats) < BEATS:
            self.beats.append((time.monotonic(), frame))
        # Of the vendor's flood one in a hundred is enough.
        if self.answers and (self.beat_count < BEATS or self.beat_count % 100 == 0):
            with contextlib.suppress(OSError):
                self.send(encode_heartbeat_ack(UNIT, frame.src, frame.data))
        self.beat_count += 1

    def free(self) -> None:
        """Close the socket."""
        self._connection.close()


def _bound(family: int, address: tuple[str, int] | str) -> socket.socket:
    """Return a socket that has this address, which is no obstacle to another one."""
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


class Server:
    """Accepts connections; the test asks for each, in the order of their coming."""

    def __init__(self, until: Until, address: tuple[str, int] | str = ("127.0.0.1", 0)) -> None:
        """Listen on `address`: host and port, or the path of a local socket."""
        #: What to do with the heartbeats of connections from now on.
        self.answers = True
        self._until = until
        self._waiting: deque[Peer] = deque()
        self.peers: list[Peer] = []
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._listener = _bound(family, address)
        self._place: socket.socket | None = None
        self._listener.listen()
        self._listener.setblocking(False)
        name = self._listener.getsockname()
        #: Of TCP.
        self.host: bytes = b"" if isinstance(name, str) else name[0].encode()
        self.port: int = 0 if isinstance(name, str) else name[1]

    def peer(self) -> Peer:
        """Wait for the next connection."""
        self._until(lambda: self._waiting, "a connection")
        return self._waiting.popleft()

    @property
    def waiting(self) -> int:
        """Connections that nobody asked for yet."""
        return len(self._waiting)

    def fileno(self) -> int:
        """Readable when `receive` has something to do."""
        return self._listener.fileno()

    def receive(self) -> Peer | None:
        """Take a connection, if there is one."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return None
        connection.setblocking(False)
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(connection, self._until, answers=self.answers)
        self._waiting.append(peer)
        self.peers.append(peer)
        return peer

    def stop(self) -> None:
        """Close the listener; connections stay, and so does the port, for another `Server`.

        Who knocks there is refused, and no other row's server gets the port, with those who knock.
        """
        self._listener.close()
        if self.port and self._place is None:
            self._place = _bound(socket.AF_INET, (self.host.decode(), self.port))

    def close(self) -> None:
        """Close everything."""
        self._listener.close()
        if self._place is not None:
            self._place.close()
        for peer in self.peers:
            peer.free()
