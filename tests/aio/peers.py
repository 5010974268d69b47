"""A server that does exactly what a test says, over a real socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from smartbus.aio import Address, SmartBusClient, Timing
from smartbus.testing import wait_until_async as until
from smartbus.testing.waiting import TIMEOUT
from smartbus.wire import (
    Cmd,
    CmdType,
    Frame,
    FrameParser,
    Registration,
    RegistrationAck,
    encode_frame,
    encode_heartbeat_ack,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType

    from typing_extensions import Self

T = TypeVar("T")

#: Nothing here takes so long; what does has failed (seconds).
DEADLINE = TIMEOUT / 2

#: The client of the golden frames, and the one that it talks with.
CLIENT = Address(19, 3, 18)
OTHER = Address(20, 4, 5)
IPSC = Address(0, 7, 2)

#: Short times, so that tests do not wait; `silence` is long because a test may be slow.
QUICK = Timing(heartbeat=0.05, silence=30, retry=0.05, unanswered=0.05, linger=5)


def load_golden() -> dict[str, bytes]:
    data = Path(__file__).parents[1] / "data"
    frames: dict[str, bytes] = {}
    for name in ("vectors-net.json", "vectors-net-2018.json"):
        for vector in json.loads((data / name).read_text(encoding="utf-8"))["vectors"]:
            frames[vector["name"]] = bytes.fromhex(vector["hex"])
    return frames


GOLDEN = load_golden()


async def soon(awaitable: Awaitable[T]) -> T:
    """Await something that must happen before the deadline."""
    return await asyncio.wait_for(awaitable, DEADLINE)


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heartbeats: list[Frame] = []
        self.unit = 1
        self._parser = FrameParser()
        self._frames: list[Frame] = []

    async def frame(self) -> Frame:
        """The next frame that is no heartbeat; heartbeats are noted."""
        return await soon(self._frame(beat=False))

    async def heartbeat(self) -> Frame:
        """The next heartbeat; nothing else may come."""
        return await soon(self._frame(beat=True))

    async def _frame(self, *, beat: bool) -> Frame:
        while True:
            while not self._frames:
                data = await self.reader.read(65536)
                if not data:
                    raise EOFError
                self._frames += self._parser.feed(data)
                assert self._parser.error is None
            frame = self._frames.pop(0)
            if (frame.cmd_type, frame.cmd) == (CmdType.LINK, Cmd.HEARTBEAT):
                self.heartbeats.append(frame)
                if beat:
                    return frame
            else:
                assert not beat, frame
                return frame

    async def registration(self) -> Registration:
        frame = await self.frame()
        assert (frame.cmd_type, frame.cmd) == (CmdType.LINK, Cmd.REGISTER)
        return Registration.decode(frame.data)

    async def accept(self, result: int = 0) -> Registration:
        """Read the registration and answer it."""
        request = await self.registration()
        self.send(RegistrationAck(result).encode(self.unit, CLIENT))
        return request

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    def answer_heartbeat(self, beat: Frame) -> None:
        self.send(encode_heartbeat_ack(self.unit, beat.src, beat.data))

    def data(self, data: bytes, dst: Address = CLIENT, cmd: int = 77, cmd_type: int = 3) -> None:
        self.send(encode_frame(OTHER, dst, cmd, cmd_type, data))

    async def ended(self) -> None:
        """The client closed; what it sent until then is dropped."""
        try:
            while await soon(self.reader.read(65536)):
                pass
        except ConnectionError:
            pass

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        self.writer.transport.abort()


class Server:
    """Accepts connections; the test asks for each."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.connections = 0
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._all: list[Peer] = []

    async def peer(self) -> Peer:
        """The next connection."""
        return await soon(self._peers.get())

    async def accepted(self, result: int = 0) -> Peer:
        """The next connection, its registration answered."""
        peer = await self.peer()
        await peer.accept(result)
        return peer

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        peer = Peer(reader, writer)
        self._all.append(peer)
        await self._peers.put(peer)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for peer in self._all:
            peer.writer.transport.abort()
        self._all.clear()
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.stop()


def client_of(server: Server, **kwargs: Any) -> SmartBusClient:
    """The client of the golden frames, with short times."""
    kwargs.setdefault("timing", QUICK)
    address = kwargs.pop("address", CLIENT)
    return SmartBusClient("127.0.0.1", server.port, *address, **kwargs)


class Events:
    """Everything a client tells, in order."""

    def __init__(self, client: SmartBusClient) -> None:
        self.log: list[Any] = []
        client.on_connect = lambda: self.log.append("connect")
        client.on_disconnect = lambda: self.log.append("disconnect")
        client.on_connect_fail = self.log.append

    async def reach(self, *log: Any) -> None:
        """Wait until exactly these events have happened."""
        await until(lambda: len(self.log) >= len(log))
        assert self.log == list(log)
