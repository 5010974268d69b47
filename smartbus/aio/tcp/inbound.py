"""Bytes that arrived and were not read yet, with asyncio's ways of reading them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inbound"]

T = TypeVar("T")


class Inbound:
    """A buffer with one reader at a time, and one listener for when nobody reads.

    The methods of `asyncio.StreamReader` have the same results and exceptions here. Apart from
    that, what arrived before a connection broke can still be read.

    Attributes:
        eof: No more will come.
        error: Why, if the connection broke.
    """

    def __init__(
        self, limit: int, transport: asyncio.ReadTransport, on_end: Callable[[], None]
    ) -> None:
        """Begin empty.

        Args:
            limit: Longest line in bytes. Reading from the network pauses at the double of it.
            transport: Where the bytes come from.
            on_end: Called when no more will come and everything has been read.
        """
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._transport = transport
        self._on_end = on_end
        self._buffer = bytearray()
        self._begin = 0  # what is before it has been read
        self._scanned = 0  # `_separator` does not begin before it
        self._separator = b""
        self._paused = False
        self._reading = False
        self._reader: asyncio.Future[bool] | None = None
        self._listener: asyncio.Future[None] | None = None
        self.eof = False
        self.error: ConnectionError | None = None

    def __len__(self) -> int:
        return len(self._buffer) - self._begin

    # --- for the transport ----------------------------------------------------------------

    def feed(self, data: memoryview) -> None:
        """Take what arrived."""
        if self._begin:
            del self._buffer[: self._begin]
            self._scanned -= self._begin
            self._begin = 0
        self._buffer += data
        if len(self._buffer) > 2 * self._limit and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def end(self, error: ConnectionError | None = None) -> None:
        """No more will come."""
        if self.error is None:
            self.error = error
        self.eof = True
        self._wake()
        if not len(self):
            self._on_end()

    # --- taking without waiting -----------------------------------------------------------

    def next_line(self, separator: bytes) -> bytearray | None:
        """Take what is there up to `separator`, which is dropped; None if that needs more.

        More than a few operations: the line has not come yet or is too long, or somebody reads.
        """
        begin = self._begin
        found = self._buffer.find(separator, self._unscanned(separator))
        if found < 0 or found - begin > self._limit or self._reading:
            return None
        line = self._buffer[begin:found]
        self._move(found + len(separator))
        return line

    def next_bytes(self, count: int) -> bytearray | None:
        """Take `count` bytes; None if they have not come yet, or somebody reads."""
        begin, end = self._begin, self._begin + count
        if end > len(self._buffer) or self._reading:
            return None
        taken = self._buffer[begin:end]
        self._move(end)
        return taken

    def _unscanned(self, separator: bytes) -> int:
        """Return where to look for `separator`."""
        if separator != self._separator:
            self._separator = separator
            self._scanned = 0
        return max(self._begin, self._scanned)

    def _move(self, begin: int) -> None:
        """Forget what is before `begin`."""
        self._begin = begin
        if self._paused and len(self) <= self._limit:
            self._resume()
        if self.eof and begin == len(self._buffer):
            self._on_end()

    def _consume(self, count: int) -> bytes:
        """Remove and return the first `count` bytes."""
        chunk = bytes(self._buffer[self._begin : self._begin + count])
        self._move(self._begin + count)
        return chunk

    def _incomplete(self, expected: int | None) -> ConnectionError | asyncio.IncompleteReadError:
        """Return what to raise when the end came too early; the rest of the bytes is gone."""
        rest = self._consume(len(self))
        return self.error or asyncio.IncompleteReadError(rest, expected)

    def take_until(self, separator: bytes) -> bytes | None:
        """Take everything up to and including `separator`; None if it has not come yet.

        Raises:
            asyncio.LimitOverrunError: The limit was passed before it. Nothing was taken.
            asyncio.IncompleteReadError: It will not come; `partial` has what was there.
            ConnectionError: It will not come, because the connection broke.
        """
        start = self._unscanned(separator)
        found = self._buffer.find(separator, start)
        if found < 0:
            self._scanned = max(start, len(self._buffer) + 1 - len(separator))
            if self._scanned - self._begin > self._limit:
                raise asyncio.LimitOverrunError(
                    f"no separator within the limit of {self._limit} bytes",
                    self._scanned - self._begin,
                )
            if self.eof:
                raise self._incomplete(None)
            return None
        size = found - self._begin
        if size > self._limit:
            raise asyncio.LimitOverrunError(
                f"the separator comes after the limit of {self._limit} bytes", size
            )
        return self._consume(size + len(separator))

    def discard_until(self, separator: bytes) -> bool:
        """Drop what is there up to and including `separator`; False if it has not come yet."""
        found = self._buffer.find(separator, self._begin)
        if found >= 0:
            self._move(found + len(separator))
            return True
        keep = len(separator) - 1  # it may have come in part
        self._move(max(self._begin, len(self._buffer) - keep))
        return False

    def _take_exactly(self, count: int) -> bytes | None:
        if len(self) >= count:
            return self._consume(count)
        if self.eof:
            raise self._incomplete(count)
        return None

    def _take_some(self, count: int) -> bytes | None:
        if len(self) or count == 0:
            return self._consume(min(count, len(self)))
        if self.error is not None:
            raise self.error
        return b"" if self.eof else None

    def _take_all(self) -> bytes | None:
        if self.error is not None:
            raise self.error
        return self._consume(len(self)) if self.eof else None

    # --- waiting --------------------------------------------------------------------------

    @property
    def free(self) -> bool:
        """Whether nobody reads, so that a listener may take something."""
        return not self._reading

    async def listen(self) -> None:
        """Wait until something has changed, and nobody reads."""
        self._resume()
        self._listener = self._loop.create_future()
        try:
            await self._listener
        finally:
            self._listener = None

    async def _take(self, take: Callable[[], T | None], timeout: float | None) -> T:
        """Call `take` until it returns something; wait for more bytes in between."""
        if self._reading:
            raise RuntimeError("another coroutine is already waiting for incoming data")
        taken = take()
        if taken is not None:
            return taken
        deadline = None if timeout is None else self._loop.time() + timeout
        self._reading = True
        try:
            while taken is None:
                await self._more(deadline)
                taken = take()
            return taken
        finally:
            self._reading = False
            self._wake()  # the listener: there may be something left

    async def _more(self, deadline: float | None) -> None:
        self._resume()
        self._reader = reader = self._loop.create_future()
        timer = None
        if deadline is not None:
            timer = self._loop.call_at(deadline, _settle, reader, False)
        try:
            if not await reader:
                raise asyncio.TimeoutError("nothing came in time")
        finally:
            self._reader = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._reader is not None:
            _settle(self._reader, True)
        elif self._listener is not None and not self._reading and not self._listener.done():
            self._listener.set_result(None)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    # --- reading --------------------------------------------------------------------------

    async def read(self, count: int, timeout: float | None) -> bytes:
        """Return up to `count` bytes, b"" at the end; for -1 all up to the end."""
        if count < 0:
            return await self._take(self._take_all, timeout)
        return await self._take(partial(self._take_some, count), timeout)

    async def readexactly(self, count: int, timeout: float | None) -> bytes:
        """Return exactly `count` bytes."""
        if count < 0:
            raise ValueError("the number of bytes must not be negative")
        return await self._take(partial(self._take_exactly, count), timeout)

    async def readuntil(self, separator: bytes, timeout: float | None) -> bytes:
        """Return everything up to and including `separator`."""
        if not separator:
            raise ValueError("the separator must have at least one byte")
        return await self._take(partial(self.take_until, separator), timeout)

    async def readline(self, timeout: float | None) -> bytes:
        r"""Return everything up to and including ``\n``, or up to the end."""
        try:
            return await self.readuntil(b"\n", timeout)
        except asyncio.IncompleteReadError as error:
            return error.partial
        except asyncio.LimitOverrunError as error:
            # As asyncio has it: the line is lost, or what has come of it.
            if self._buffer.startswith(b"\n", self._begin + error.consumed):
                self._consume(error.consumed + 1)
            else:
                self._consume(len(self))
            raise ValueError(error.args[0]) from None


def _settle(future: asyncio.Future[bool], value: bool) -> None:
    if not future.done():
        future.set_result(value)
