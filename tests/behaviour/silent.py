"""A server that lets everybody in and then never says anything again."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from smartbus.wire import Cmd, CmdType, FrameParser, RegistrationAck

if TYPE_CHECKING:
    from typing_extensions import Self


class SilentServer:
    """Answers registrations of unit 0; reads and drops everything else."""

    def __init__(self) -> None:
        #: When each unit registered (monotonic seconds).
        self.registrations: dict[int, list[float]] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wake.close()
        self._thread.join()

    def _run(self) -> None:
        parsers: dict[socket.socket, FrameParser] = {}
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            stopping = False
            while not stopping:
                for key, _ in selector.select():
                    connection = key.fileobj
                    assert isinstance(connection, socket.socket)
                    if connection is self._woken:
                        stopping = True
                    elif connection is self._listener:
                        accepted, _ = connection.accept()
                        selector.register(accepted, selectors.EVENT_READ)
                        parsers[accepted] = FrameParser()
                    elif not self._read(connection, parsers[connection]):
                        selector.unregister(connection)
                        connection.close()
                        del parsers[connection]
        for connection in (*parsers, self._listener, self._woken):
            connection.close()

    def _read(self, connection: socket.socket, parser: FrameParser) -> bool:
        try:
            data = connection.recv(1 << 16)
        except ConnectionError:
            return False
        for frame in parser.feed(data):
            if (frame.cmd_type, frame.cmd) == (CmdType.LINK, Cmd.REGISTER):
                self.registrations.setdefault(frame.src.unit_id, []).append(time.monotonic())
                ack = RegistrationAck(0).encode(0, frame.src)
                connection.sendall(ack)
        return bool(data)
