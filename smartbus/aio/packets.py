"""The bounded queue of received packets."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartbus.wire import Frame

__all__ = ["PacketQueue"]


class PacketQueue:
    """Packets between the link and their readers.

    It does not refuse: whoever fills it looks at `full` after each batch and stops reading
    from the network, so that it exceeds its bounds by one batch at most.
    """

    def __init__(self, max_packets: int, max_bytes: int) -> None:
        """Be full from either bound on."""
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._closed = False
        self._readers: deque[asyncio.Future[None]] = deque()
        self.read = False
        """Whether somebody ever asked for a packet."""

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def full(self) -> bool:
        """Whether either bound is reached."""
        return len(self._frames) >= self._max_packets or self._bytes >= self._max_bytes

    @property
    def low(self) -> bool:
        """Whether no more than half of either bound is used."""
        return len(self._frames) * 2 <= self._max_packets and self._bytes * 2 <= self._max_bytes

    def put(self, frame: Frame) -> None:
        """Add a packet."""
        self._frames.append(frame)
        self._bytes += len(frame[1]) + 20
        if self._readers:
            self._wake()

    def close(self) -> None:
        """End: packets that are here can still be taken."""
        self._closed = True
        for reader in self._readers:
            if not reader.done():
                reader.set_result(None)

    async def get(self) -> Frame | None:
        """Take the next packet; wait for it if necessary. None after `close`.

        A cancelled `get` has taken nothing.
        """
        self.read = True
        while not self._frames:
            if self._closed:
                return None
            reader = asyncio.get_running_loop().create_future()
            self._readers.append(reader)
            try:
                await reader
            except asyncio.CancelledError:
                if reader in self._readers:
                    self._readers.remove(reader)
                elif self._frames:
                    self._wake()  # it was woken for a packet that it does not take
                raise
        frame = self._frames.popleft()
        self._bytes -= len(frame[1]) + 20
        return frame

    def _wake(self) -> None:
        """Wake the reader that waits longest."""
        while self._readers:
            reader = self._readers.popleft()
            if not reader.done():
                reader.set_result(None)
                return
