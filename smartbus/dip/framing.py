"""Frames: one byte tag, four bytes body length (unsigned, big endian), body. No asyncio, no state.

``dip`` speaks them (DIP.md 1.2), and so do the daemon's executor and its worker processes.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

__all__ = [
    "HEAD",
    "MAX_BODY",
    "RECEIVE_SIZE",
    "CutShortError",
    "FrameBuffer",
    "FrameReader",
    "frame",
    "split",
]

HEAD: Final = Struct(">BI")
"""The five bytes before a body: tag and length."""

MAX_BODY: Final = 0xFFFF_FFFF
"""Longest body that a frame can have, in bytes."""

RECEIVE_SIZE: Final = 256 * 1024
"""Bytes that one read takes at most, unless one frame is larger."""

Body = TypeVar("Body")


class CutShortError(ValueError):
    """The last of some frames is not complete."""


def frame(tag: int, body: bytes = b"") -> bytes:
    """A complete frame."""
    return HEAD.pack(tag, len(body)) + body


def split(frames: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Tag and body of each of the frames that fill `frames` exactly; bodies are views of it.

    Raises:
        CutShortError: The last frame is not complete.
    """
    start, end = 0, len(frames)
    while start < end:
        if end - start < 5:
            raise CutShortError(f"{end - start} bytes are no frame")
        tag, length = HEAD.unpack_from(frames, start)
        start += 5
        if length > end - start:
            raise CutShortError(f"a frame of {length} bytes ends after {end - start}")
        yield tag, frames[start : start + length]
        start += length


class FrameBuffer(Generic[Body]):
    """Takes a stream in pieces of any size and gives the frames that are complete.

    Memory grows with the bytes that arrive, to at most twice their number, never with the length
    that a head announces, and shrinks when they are used up.

    Args:
        copy: Makes the body that the caller gets out of a view that will not last.
        limit: Frames with longer bodies are skipped: their bytes are dropped as they come.
        size: Bytes to have room for at first; it becomes `RECEIVE_SIZE` if reads fill it.
    """

    def __init__(
        self,
        copy: Callable[[memoryview], Body],
        *,
        limit: int = MAX_BODY,
        size: int = RECEIVE_SIZE,
    ) -> None:
        self._copy = copy
        self._limit = limit
        self._size = size
        self._buffer = memoryview(bytearray(size))
        self._filled = 0
        self._skip = 0  # bytes still to come of a frame that is too long
        self._skipped = 0  # its tag

    def space(self) -> memoryview:
        """Where to receive into, at least one byte; then tell `received` how many came."""
        return self._buffer[self._filled :] if self._filled else self._buffer

    def received(self, count: int) -> list[tuple[int, Body | None]]:
        """Return the frames that are complete now, perhaps none.

        Args:
            count: How many bytes were put at the beginning of the last `space`.

        Returns:
            Tag and body of each frame; the body is None if it was too long.
        """
        buffer = self._buffer
        filled = self._filled + count
        copy, limit = self._copy, self._limit
        frames: list[tuple[int, Body | None]] = []
        start = 0
        if self._skip:
            start = self._pass_over(0, filled, frames)
        while filled - start >= 5:
            tag, length = HEAD.unpack_from(buffer, start)
            end = start + 5 + length
            if length > limit:
                self._skip, self._skipped = 5 + length, tag
                start = self._pass_over(start, filled, frames)
                continue
            if end > filled:
                break
            frames.append((tag, copy(buffer[start + 5 : end])))
            start = end
        if start == filled < len(buffer) <= self._size:
            self._filled = 0  # as nearly always: nothing is left, the size is right
        else:
            self._keep(start, filled)
        return frames

    def _pass_over(self, start: int, filled: int, frames: list[tuple[int, Body | None]]) -> int:
        """Drop what there is of the frame that is too long; return where the next one begins."""
        passed = min(self._skip, filled - start)
        self._skip -= passed
        if not self._skip:
            frames.append((self._skipped, None))
        return start + passed

    def _keep(self, start: int, filled: int) -> None:
        """Move the beginning of an unfinished frame to the front, and fit the buffer's size."""
        buffer = self._buffer
        rest = filled - start
        full = filled == len(buffer)
        if full and self._size < RECEIVE_SIZE:
            self._size = RECEIVE_SIZE  # it comes faster than it is read
        # A large frame is no reason to keep its space for ever, nor to have it at once.
        wanted = max(self._size, 2 * rest if rest == len(buffer) else rest + 1)
        if wanted > len(buffer) or (not rest and wanted < len(buffer)):
            self._buffer = memoryview(bytearray(wanted))
        if rest and (start or self._buffer is not buffer):
            self._buffer[:rest] = bytes(buffer[start:filled])
        self._filled = rest


class FrameReader(FrameBuffer[bytes]):
    """Receives frames from a socket, many with one system call."""

    def __init__(self) -> None:
        super().__init__(bytes)

    def receive(self, sock: socket.socket, flags: int = 0) -> list[tuple[int, bytes]] | None:
        """Receive once and return the frames that are complete now (perhaps none).

        Returns:
            Tag and body of each frame; ``None`` when the other end has closed.

        Raises:
            OSError: What the socket raises (``BlockingIOError`` included).
        """
        count = sock.recv_into(self.space(), 0, flags)
        if not count:
            return None
        return self.received(count)  # type: ignore[return-value] # no frame is above MAX_BODY
