"""A client of a bus over a bare socket."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

from smartbus.bus import Bus
from smartbus.testing.waiting import TIMEOUT
from smartbus.wire import Address, Cmd, CmdType, Frame, FrameParser, RegistrationAck
from smartbus.wire import Registration as Request

if TYPE_CHECKING:
    from typing_extensions import Self

DEADLINE = TIMEOUT


class Raw:
    """A client over a bare socket: it does only what a test says."""

    def __init__(self, bus: Bus | tuple[str, int]) -> None:
        address = (bus.host, bus.port) if isinstance(bus, Bus) else bus
        self.socket = socket.create_connection(address, timeout=DEADLINE)
        host, port = self.socket.getsockname()
        self.address = f"{host}:{port}"
        self._parser = FrameParser()
        self._frames: list[Frame] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def register(self, address: Address, **more: Any) -> None:
        self.socket.sendall(Request(**more).encode(address))

    def receive(self) -> Frame:
        while not self._frames:
            data = self.socket.recv(1 << 16)
            assert data, "the bus closed the connection"
            self._frames += self._parser.feed(data)
        return self._frames.pop(0)

    def ack(self) -> int:
        while True:
            frame = self.receive()
            if (frame.cmd_type, frame.cmd) == (CmdType.LINK, Cmd.REGISTER_ACK):
                return RegistrationAck.decode(frame.data).result

    def join(self, address: Address, **more: Any) -> int:
        self.register(address, **more)
        return self.ack()

    def closed(self) -> bool:
        """Wait until the bus closes; what comes before is ignored."""
        data = b"something"
        with contextlib.suppress(ConnectionError):
            while data:
                data = self.socket.recv(1 << 16)
        return True
