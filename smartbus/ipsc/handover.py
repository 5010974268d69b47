"""Packets on their way from script threads to the event loop."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from smartbus.errors import BufferFullError, NotConnectedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Handover", "Packet"]


class Packet(NamedTuple):
    """The arguments of ``SmartBusClient.send_data``."""

    cmd: int
    cmd_type: int
    unit_id: int
    client_id: int
    client_type: int
    data: bytes


class Handover:
    """A bounded queue from any thread into an event loop, with one wake-up for each burst."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[Packet], object],
        max_packets: int = 10_000,
        max_bytes: int = 8 << 20,
    ) -> None:
        """Let `loop` call `take` for each packet, in order."""
        self._loop = loop
        self._take = take
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._packets: deque[Packet] = deque()
        self._bytes = 0
        self._scheduled = False

    def put(self, packet: Packet) -> None:
        """Hand over a packet.

        Raises:
            BufferFullError: Too much waits already; an empty queue takes any packet.
            NotConnectedError: The loop has ended.
        """
        size = len(packet.data)
        with self._lock:
            count = len(self._packets)
            if count >= self._max_packets or (count and self._bytes + size > self._max_bytes):
                raise BufferFullError(-7, f"{count} packets of scripts wait to be sent already")
            if not self._scheduled:
                try:
                    self._loop.call_soon_threadsafe(self._drain)
                except RuntimeError:
                    raise NotConnectedError(-2, "the IPSC was closed") from None
                self._scheduled = True
            self._packets.append(packet)
            self._bytes += size

    def _drain(self) -> None:
        with self._lock:
            packets, self._packets = self._packets, deque()
            self._bytes = 0
            self._scheduled = False
        for packet in packets:
            self._take(packet)
