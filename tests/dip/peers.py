"""The other end: a callback that remembers, raw sockets, and the real dip in its own process."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from smartbus.testing import wait_until_async as until

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Awaitable

    from smartbus.dip import Server

T = TypeVar("T")

ROOT = Path(__file__).parents[2]

#: Nothing here takes so long; what does has failed (seconds).
DEADLINE = 20.0

DEFAULT_ID = "00000000-0000-0000-0000-00000dee9f03"
HELLO = bytes.fromhex("1d00000010") + bytes.fromhex(DEFAULT_ID.replace("-", ""))


async def soon(awaitable: Awaitable[T]) -> T:
    """Await something that must happen before the deadline."""
    return await asyncio.wait_for(awaitable, DEADLINE)


def message(mtype: str, body: bytes) -> bytes:
    """A frame, made by other means than those under test."""
    return mtype.encode("latin1") + struct.pack(">I", len(body)) + body


class Received:
    """A callback that keeps what it gets."""

    server: Server

    def __init__(self) -> None:
        self.calls: list[tuple[uuid.UUID | None, str, Any]] = []

    def __call__(self, connection_id: uuid.UUID | None, mtype: str, data: Any) -> None:
        self.calls.append((connection_id, mtype, data))

    @property
    def data(self) -> list[Any]:
        return [data for _, _, data in self.calls]

    async def count(self, number: int) -> None:
        await until(lambda: len(self.calls) >= number, DEADLINE)

    async def stopped(self) -> None:
        """Wait for the end of a server that has been told to stop."""
        await until(lambda: not self.server.sessions, DEADLINE)


class Raw:
    """A peer that writes and reads bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self, count: int) -> bytes:
        return await soon(self.reader.readexactly(count))

    async def rest(self) -> bytes:
        """What comes until the other end closes."""
        try:
            return await soon(self.reader.read())
        except ConnectionError:
            return b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await soon(self.writer.wait_closed())


@contextlib.asynccontextmanager
async def raw_client(path: str) -> AsyncIterator[Raw]:
    """Connect to a server."""
    raw = Raw(*await asyncio.open_unix_connection(path))
    try:
        yield raw
    finally:
        await raw.close()


class RawServer:
    """A server that does what the test says."""

    def __init__(self) -> None:
        self.peers: asyncio.Queue[Raw] = asyncio.Queue()
        self.all: list[Raw] = []

    async def accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = Raw(reader, writer)
        self.all.append(raw)
        self.peers.put_nowait(raw)

    async def peer(self, *, hello: bool = True) -> Raw:
        """The next client that connects, after its introduction."""
        raw = await soon(self.peers.get())
        if hello:
            assert await raw.read(len(HELLO)) == HELLO
            raw.send(b"ok")
        return raw

    async def request(self, frame: bytes) -> Raw:
        """The next client that connects, after its first message."""
        raw = await self.peer()
        assert await raw.read(len(frame)) == frame
        return raw


@contextlib.asynccontextmanager
async def raw_server(path: str) -> AsyncIterator[RawServer]:
    """Listen at `path`."""
    raw = RawServer()
    server = await asyncio.start_unix_server(raw.accepted, path)
    try:
        yield raw
    finally:
        server.close()
        for peer in raw.all:
            await peer.close()


class Real:
    """The real dip (``real.py``) in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def tell(self, *words: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words).encode() + b"\n")

    async def hear(self) -> Any:
        assert self.process.stdout is not None
        line = await soon(self.process.stdout.readline())
        assert line, "the real dip has ended"
        return json.loads(line)

    async def ask(self, *words: Any) -> Any:
        self.tell(*words)
        return await self.hear()

    async def received(self, count: int) -> list[tuple[str | None, str, Any]]:
        """What the callback of a real server got, as soon as it is so much."""
        calls = await self.ask("received", count)
        return [(connection, mtype, ast.literal_eval(data)) for connection, mtype, data in calls]


@contextlib.asynccontextmanager
async def real(role: str, *arguments: str) -> AsyncIterator[Real]:
    """Run the real dip as a server, client or codec."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("real.py")),
        role,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
        env={**os.environ, "PYTHONPATH": ""},
    )
    peer = Real(process)
    try:
        assert await peer.hear() == "ready"
        yield peer
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await process.stdin.wait_closed()
        await soon(process.wait())
