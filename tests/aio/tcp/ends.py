"""Clients and servers for the tests of ``smartbus.aio.tcp``."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from contextlib import asynccontextmanager
from ctypes import Structure, c_double, c_int16, c_uint8
from typing import TYPE_CHECKING, Any

from smartbus.aio.tcp import Client, OneClientReadLoopServer, OneClientServer, TcpClient
from smartbus.testing import wait_until_async as until
from tests.aio.peers import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.aio.peers import Peer, Server

LOG = logging.getLogger("test")
HOST = "127.0.0.1"
NOT_CONNECTED = r"^Not connected$"


class Position(Structure):
    """A structure with padding."""

    _fields_ = (("axis", c_uint8), ("raw", c_int16), ("value", c_double))


class Inbox:
    """A callback of a `TcpClient` that keeps what comes."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def __call__(self, *, message: Any) -> None:
        self.messages.append(message)

    async def reach(self, *messages: Any) -> None:
        """Wait until exactly these have come."""
        await until(lambda: len(self.messages) >= len(messages))
        assert self.messages == list(messages)


class States:
    """A connect callback that notes every `connected` it is called with."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    async def __call__(self, end: Client | OneClientServer) -> None:
        self.seen.append(end.connected)

    async def reach(self, *seen: bool) -> None:
        """Wait until it was called with exactly these."""
        await until(lambda: len(self.seen) >= len(seen))
        assert self.seen == list(seen)


class Echo(OneClientReadLoopServer):
    """Sends lines back."""

    async def read_and_dispatch(self) -> None:
        await self.write_str(await self.read_str())


@asynccontextmanager
async def pair(server: Server, **kwargs: Any) -> AsyncIterator[tuple[Client, Peer]]:
    """A `Client`, and the other end of its connection."""
    client = Client(HOST, server.port, LOG, **kwargs)
    async with client:
        yield client, await server.peer()


@asynccontextmanager
async def tcp_pair(
    server: Server, callback: Any = None, *args: Any, **kwargs: Any
) -> AsyncIterator[tuple[TcpClient, Peer]]:
    """A `TcpClient`, and the other end of its connection."""
    client = TcpClient(HOST, server.port, callback or Inbox(), *args, **kwargs)
    async with client:
        yield client, await server.peer()


def reset(peer: Peer) -> None:
    """Break the connection as a host does that knows nothing of it (RST)."""
    sock = peer.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.writer.transport.abort()


async def received(peer: Peer, size: int) -> bytes:
    """Read what the client sent."""
    return await soon(peer.reader.readexactly(size))


async def fill(end: Client | OneClientServer) -> asyncio.Task[None]:
    """Write more than all buffers hold to a peer that does not read; return that writing."""
    writing = asyncio.create_task(end.write(bytes(32 << 20)))
    await asyncio.sleep(0)
    assert not writing.done()
    return writing
