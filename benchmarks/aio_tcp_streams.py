"""The peer of ``aio_tcp.py``: plain asyncio streams that do the same work."""

from __future__ import annotations

import asyncio
import ctypes
import json
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

from aio_tcp_work import BLOCK, Block, Counter, Listening, block_of, details_of, message_of

Write = Callable[[Any], Awaitable[None]]


def writer_of(writer: asyncio.StreamWriter) -> Write:
    async def write(message: Any) -> None:
        writer.write((json.dumps(message) + "\r\n").encode())
        await writer.drain()

    return write


async def read_loop(reader: asyncio.StreamReader, callback: Write) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        await callback(json.loads(line[:-2].decode()))


async def serve(case: str, count: int, listening: Listening) -> Counter:
    """Be the server's end of `case`, for one client."""
    connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    connected = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda *ends: connected.set_result(ends), "127.0.0.1", 0)
    listening(server.sockets[0].getsockname()[1])
    reader, writer = await connected
    write = writer_of(writer)
    counter = Counter(count)
    try:
        if case == "down":
            for number in range(count):
                await write(message_of(number))
            await reader.read()
        elif case == "struct":
            block = Block()
            for _ in range(count):
                data = await reader.readexactly(ctypes.sizeof(Block))
                BytesIO(data).readinto(block)
                counter.count(block.number)
        else:

            async def receive(message: Any) -> None:
                counter.count(message["n"])
                if case == "rt":
                    await write(message)

            await read_loop(reader, receive)
    except asyncio.IncompleteReadError:
        pass
    writer.close()
    server.close()
    return counter


async def connect(case: str, count: int, port: int, begin: Callable[[], None]) -> Counter:
    """Be the client's end of `case`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    write = writer_of(writer)
    counter = Counter(count)

    async def receive(message: Any) -> None:
        counter.count(message["n"])
        if case == "rt" and not counter.done.is_set():
            await write(message_of(counter.counted))

    reading = asyncio.create_task(read_loop(reader, receive))
    begin()
    if case in ("down", "rt"):
        if case == "rt":
            await write(message_of(0))
        await counter.done.wait()
    elif case == "struct":
        for number in range(count):
            writer.write(bytes(block_of(number)))
            await writer.drain()
    else:
        for number in range(count):
            if case == "up":
                message = message_of(number)
            else:
                message = {**details_of(number), "id": "tel_position", "compName": "MTM2"}
            await write(message)
    reading.cancel()
    writer.close()
    await writer.wait_closed()
    return counter


assert ctypes.sizeof(Block) == BLOCK
