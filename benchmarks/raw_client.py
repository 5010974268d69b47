"""A client made of a socket and the wire's encoders: light enough to have hundreds in a process."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

from common import PATIENCE, ROOT, BusProcess

sys.path.insert(0, str(ROOT))

from smartbus.wire import Address, FrameParser, Registration, RegistrationAck, encode_frame

CLIENT_TYPE: Final = 18
CMD, CMD_TYPE = 1, 3


class RawClient:
    """A registered connection."""

    def __init__(self, bus: BusProcess, unit: int, client_id: int, *, local: bool = False) -> None:
        """Connect and register, over the local socket (then `unit` is the bus's own, 0) or TCP.

        Raises:
            RuntimeError: The bus refused.
        """
        self.address = Address(0 if local else unit, client_id, CLIENT_TYPE)
        if local:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(bus.local)
        else:
            self.socket = socket.create_connection(("127.0.0.1", bus.port))
        registration = Registration(info=b"benchmark", pid=0 if local else os.getpid())
        self.socket.sendall(registration.encode(self.address))
        self.parser = FrameParser()
        self.socket.settimeout(PATIENCE)
        frames = self.parser.feed(self.socket.recv(1 << 16))
        result = RegistrationAck.decode(frames[0].data).result if frames else None
        if result != 0:
            raise RuntimeError(f"{self.address} was refused: {result}")

    def frame(self, to: Address, data: bytes) -> bytes:
        """Return a packet with `data`."""
        return encode_frame(self.address, to, CMD, CMD_TYPE, data)

    def close(self) -> None:
        """Leave."""
        self.socket.close()


def read_all(clients: Sequence[RawClient], quiet: float) -> int:
    """Read what comes to `clients`, until nothing comes for `quiet` seconds; returns bytes."""
    poll = select.poll()
    by_fd = {client.socket.fileno(): client for client in clients}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    size = 0
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and (ready := poll.poll(quiet * 1000)):
        for fd, _ in ready:
            data = by_fd[fd].socket.recv(1 << 18)
            if not data:
                raise RuntimeError(f"the bus closed the connection of {by_fd[fd].address}")
            size += len(data)
    return size
