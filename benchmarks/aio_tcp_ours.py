"""Our ends of ``aio_tcp.py``: `TcpClient` and `OneClientServer`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

from aio_tcp_work import Block, Counter, Listening, block_of, details_of, message_of
from common import ROOT

sys.path.insert(0, str(ROOT))

from smartbus.aio.tcp import MsgType, OneClientServer, TcpClient


async def serve(case: str, count: int, listening: Listening) -> Counter:
    """Be the server's end of `case`, for one client."""
    counter = Counter(count)
    async with OneClientServer("127.0.0.1", 0, logging.getLogger()) as server:
        listening(server.port)
        await server.connected_task
        try:
            if case == "down":
                for number in range(count):
                    await server.write_json(message_of(number))
                await server.read(-1)
            elif case == "struct":
                block = Block()
                for _ in range(count):
                    await server.read_into(block)
                    counter.count(block.number)
            else:
                while True:
                    message = await server.read_json()
                    counter.count(message["n"])
                    if case == "rt":
                        await server.write_json(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
    return counter


async def connect(case: str, count: int, port: int, begin: Callable[[], None]) -> Counter:
    """Be the client's end of `case`."""
    counter = Counter(count)

    async def receive(*, message: Any) -> None:
        counter.count(message["n"])
        if case == "rt" and not counter.done.is_set():
            await client.write_json(message_of(counter.counted))

    client = TcpClient("127.0.0.1", port, receive)
    await client.connect()
    begin()
    if case in ("down", "rt"):
        if case == "rt":
            await client.write_json(message_of(0))
        await counter.done.wait()
    elif case == "struct":
        for number in range(count):
            await client.write_from(block_of(number))
    elif case == "up":
        for number in range(count):
            await client.write_json(message_of(number))
    else:
        for number in range(count):
            await client.write_message(
                MsgType.Telemetry, "position", details_of(number), comp_name="MTM2"
            )
    await client.close()
    return counter
