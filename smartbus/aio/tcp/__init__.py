"""A TCP client, and servers for one client, that read and write lines, JSON and C structures.

    async with TcpClient("127.0.0.1", 50010, on_message) as client:
        await client.write_message(MsgType.Command, "power", {"status": True})

They do what ``TcpClient`` of LSST's ts_m2com does and the classes of ts_tcpip below it, with the
same names, bytes and exceptions; ``docs/tcp.md`` says where they do better.

- ``tcpclient``: `TcpClient`, with its ``readloop``, ``messages`` and ``rate``.
- ``client``, ``server``, ``readserver``: `Client`, `OneClientServer`, `OneClientReadLoopServer`.
- ``endpoint``: what they share, on top of ``exchange``, reading and writing.
- ``stream``: one connection, with ``inbound`` and ``outbound`` bytes.
- ``settings``: bounds and times.
"""

from __future__ import annotations

from .client import Client
from .messages import MsgType, index_generator
from .readserver import OneClientReadLoopServer
from .server import OneClientServer
from .settings import KeepAlive
from .tcpclient import TcpClient

__all__ = [
    "Client",
    "KeepAlive",
    "MsgType",
    "OneClientReadLoopServer",
    "OneClientServer",
    "TcpClient",
    "index_generator",
]
