"""The SmartBus for asyncio, in pure Python: no C library, any event loop.

    async with SmartBusClient("127.0.0.1", 8089, 20, 0, 20) as client:
        client.send_data(1, 211, 19, 0, -1, b"…")
        async for packet in client:
            print(packet.head, packet.data)

- ``client``: `SmartBusClient`.
- ``receiver``: what it hears; ``sender``, ``caller``: what it says to the bus, and its flow calls,
  which ``flows`` keeps.
- ``connection``: keeps one ``link`` up, between ``outbox`` and ``packets``.
- ``settings``: its bounds and times.
"""

from __future__ import annotations

from smartbus.errors import FlowError, FlowTimeout
from smartbus.wire import Address, FlowCall, Frame, Notify

from .client import SmartBusClient
from .receiver import Node
from .settings import Limits, Timing

__all__ = [
    "Address",
    "FlowCall",
    "FlowError",
    "FlowTimeout",
    "Frame",
    "Limits",
    "Node",
    "Notify",
    "SmartBusClient",
    "Timing",
]
