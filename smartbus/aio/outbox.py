"""The bounded queue of frames to be sent, written in batches."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from smartbus.errors import BufferFullError

__all__ = ["Outbox"]

#: Frames gather to chunks of about this size; a full chunk is written at once.
_CHUNK: Final = 64 << 10


class Outbox:
    """Gathers frames and hands them to a transport, as long as it takes them.

    Frames that are pushed in one turn of the event loop leave in few writes. What the
    transport does not take waits here, also across a reconnect: a chunk holds whole frames.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, max_frames: int, max_bytes: int) -> None:
        """Refuse frames above either bound."""
        self._loop = loop
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._chunks: deque[tuple[bytearray, int]] = deque()  # full ones, with their frames
        self._chunk = bytearray()
        self._chunk_frames = 0
        self._frames = 0  # in all chunks
        self._bytes = 0
        self._transport: asyncio.WriteTransport | None = None
        self._paused = False
        self._scheduled = False
        self._waiters: list[asyncio.Future[None]] = []

    def check(self, size: int) -> None:
        """Raise `BufferFullError` if a frame of `size` bytes finds no room."""
        if self._frames >= self._max_frames or (
            self._bytes + size > self._max_bytes and self._bytes
        ):
            raise BufferFullError(
                -7, f"the send queue is full: {self._frames} frames, {self._bytes} bytes"
            )

    def push(self, frame: bytes) -> None:
        """Queue `frame`; raises `BufferFullError` and queues nothing if there is no room."""
        size = len(frame)
        held = self._bytes
        if self._frames >= self._max_frames or (held and held + size > self._max_bytes):
            self.check(size)
        chunk = self._chunk
        chunk += frame
        self._chunk_frames += 1
        self._frames += 1
        self._bytes = held + size
        if len(chunk) >= _CHUNK:
            self._chunks.append((chunk, self._chunk_frames))
            self._chunk = bytearray()
            self._chunk_frames = 0
            self._write()
        elif not self._scheduled and self._transport is not None:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def attach(self, transport: asyncio.WriteTransport, *, paused: bool = False) -> None:
        """Write to `transport` from now on, beginning with what waits."""
        self._transport = transport
        self._paused = paused
        self._flush()

    def detach(self) -> None:
        """Stop writing; keep what waits."""
        self._transport = None

    def pause(self) -> None:
        """The transport wants no more for now."""
        self._paused = True

    def resume(self) -> None:
        """The transport takes more."""
        self._paused = False
        self._flush()

    def finish(self) -> None:
        """Hand everything to the transport, whether it likes it or not: the link is closing."""
        while self._transport is not None and self._frames:
            self._paused = False
            self._flush()

    def clear(self) -> None:
        """Forget everything that waits."""
        self._chunks.clear()
        self._chunk = bytearray()
        self._chunk_frames = self._frames = self._bytes = 0
        self._wake()

    async def drain(self) -> None:
        """Wait until no more than half of either bound is used."""
        while self._above_half():
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def _above_half(self) -> bool:
        return self._frames * 2 > self._max_frames or self._bytes * 2 > self._max_bytes

    def _flush(self) -> None:
        """Write everything, the chunk that is not full included."""
        self._scheduled = False
        if self._transport is None or self._paused:
            return
        if self._chunk_frames:
            self._chunks.append((self._chunk, self._chunk_frames))
            self._chunk = bytearray()
            self._chunk_frames = 0
        self._write()

    def _write(self) -> None:
        """Write full chunks until the transport wants no more."""
        while self._chunks and not self._paused and self._transport is not None:
            chunk, frames = self._chunks.popleft()
            self._frames -= frames
            self._bytes -= len(chunk)
            self._transport.write(chunk)  # may call pause()
        if self._waiters and not self._above_half():
            self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
