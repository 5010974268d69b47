"""A server that lets one client in and reads no further until it is told to."""

from __future__ import annotations

import contextlib
import socket
import time
from types import TracebackType
from typing import TYPE_CHECKING

from smartbus.wire import Address, Cmd, CmdType, Frame, FrameParser, RegistrationAck, encode_frame
from tests.net.recorder import DEADLINE, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self


class StuckServer:
    """Unit 0. A client must be on its way before `admit` is called."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE)
        self.host, self.port = self._listener.getsockname()
        self._connection: socket.socket | None = None
        self._parser = FrameParser()
        self._client: Address | None = None  # once it is admitted
        self._spoke = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        if self._connection is not None:
            self._connection.close()

    def admit(self) -> None:
        """Accept a connection and its registration."""
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(DEADLINE)
        request = next(self.frames())
        assert (request.cmd_type, request.cmd) == (CmdType.LINK, Cmd.REGISTER)
        self._connection.sendall(RegistrationAck(0).encode(0, request.src))
        self._client = request.src

    def admitted(self) -> Recorder:
        """Return a client that is connected here, id 1 of type 18."""
        client = Recorder.create(1, 18, self.host, self.port)
        client.activate()
        self.admit()
        client.wait_connected(DEADLINE)
        return client

    def put(self, dst: tuple[int, int, int], cmd: int, cmd_type: int, data: bytes) -> None:
        """Send a frame to the client."""
        assert self._connection is not None
        self._connection.sendall(encode_frame((0, 0, 1), dst, cmd, cmd_type, data))

    def frames(self) -> Iterator[Frame]:
        """Read on, for as long as the next frame is asked for; heartbeats are left out."""
        assert self._connection is not None
        while data := self._connection.recv(1 << 18):
            self._live()
            for frame in self._parser.feed(data):
                if (frame.cmd_type, frame.cmd) != (CmdType.LINK, Cmd.HEARTBEAT):
                    yield frame

    def _live(self) -> None:
        """Say something once a second: reading much may take longer than clients bear silence."""
        if self._client is not None and time.monotonic() - self._spoke > 1:
            self._spoke = time.monotonic()
            with contextlib.suppress(OSError):  # the client was first to close
                self.put(self._client, Cmd.HEARTBEAT_ACK, CmdType.LINK, b"")
