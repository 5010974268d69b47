"""Reading and writing bytes, lines, JSON and C structures: what clients and servers share."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from .jsontext import dumper, loads

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from ctypes import Structure

    from .settings import Settings
    from .stream import Stream

__all__ = ["Exchange"]

T = TypeVar("T")


class Exchange(ABC):
    """What can be done with one connection.

    One coroutine reads at a time; reading while another one waits raises `RuntimeError`. Any
    number may write: what one call writes stays together.

    Attributes:
        encoding: Of `read_str`, `write_str`, `read_json` and `write_json`.
        terminator: Ends each of their lines. It is sent as it is, whatever the encoding.
        timeout: Seconds that a read method waits before it raises `asyncio.TimeoutError`, with
            what has come left to be read; None: for ever.
        write_timeout: Seconds that a write method waits for a peer that does not read, before it
            raises `asyncio.TimeoutError` and ends the connection; None: for ever.
    """

    def __init__(self, settings: Settings) -> None:
        """Begin without a connection."""
        self._settings = settings
        self._stream: Stream | None = None
        self.encoding = settings.encoding
        self.terminator = settings.terminator
        self.timeout = settings.timeout
        self.write_timeout = settings.write_timeout
        self._dumps = dumper(allow_nan=settings.allow_nan)

    @property
    def connected(self) -> bool:
        """Whether there is a connection that neither side has closed.

        Data that the peer sent before it closed keeps it true until it is read. A peer that
        vanishes without a word is noticed by TCP's keep-alive only.
        """
        return self._stream is not None and self._stream.connected

    @abstractmethod
    async def _connection_ended(self) -> None:
        """Close our side of a connection that reading found at its end."""

    # --- reading --------------------------------------------------------------------------

    def _readable(self) -> Stream:
        if self._stream is None or not self._stream.readable:
            raise ConnectionError("Not connected")
        return self._stream

    async def _guard(self, reading: Coroutine[Any, Any, T]) -> T:
        """Read; if the connection ends meanwhile, close our side of it."""
        try:
            return await reading
        except (asyncio.IncompleteReadError, ConnectionError):
            await self._connection_ended()
            raise

    async def read(self, n: int) -> bytes:
        """Read up to `n` bytes.

        Args:
            n: How many at most; -1: all, until the peer closes.

        Returns:
            At least one byte, or b"" when the peer has closed.

        Raises:
            ConnectionError: Not connected, or the connection broke.
        """
        return await self._guard(self._readable().inbound.read(n, self.timeout))

    async def readexactly(self, n: int) -> bytes:
        """Read exactly `n` bytes.

        Raises:
            ConnectionError: Not connected, or the connection broke.
            asyncio.IncompleteReadError: The peer closed before; `partial` has what came.
        """
        return await self._guard(self._readable().inbound.readexactly(n, self.timeout))

    async def readline(self) -> bytes:
        r"""Read up to and including ``\n``, or what is left when the peer has closed.

        Raises:
            ConnectionError: Not connected, or the connection broke.
            ValueError: The line is longer than the limit; what came of it is lost.
        """
        return await self._guard(self._readable().inbound.readline(self.timeout))

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """Read up to and including `separator`.

        Raises:
            ConnectionError: Not connected, or the connection broke.
            asyncio.IncompleteReadError: The peer closed before; `partial` has what came.
            asyncio.LimitOverrunError: It does not come within the limit. Nothing is lost: what
                is there can be read in other ways.
        """
        return await self._guard(self._readable().inbound.readuntil(separator, self.timeout))

    async def read_str(self) -> str:
        """Read a line, without its terminator.

        Raises:
            ConnectionError: Not connected, or the connection broke.
            asyncio.IncompleteReadError: The peer closed before the line was complete.
            asyncio.LimitOverrunError: The line is longer than the limit; nothing is lost.
            UnicodeError: It is not in `encoding`. The line is lost, the connection stays.
        """
        return (await self._read_line()).decode(self.encoding)

    async def read_json(self) -> Any:
        """Read a line of JSON and return what it says.

        Raises:
            json.JSONDecodeError: It is no JSON; the text has the line. The connection stays.
            Exception: All that `read_str` raises.
        """
        line = (await self._read_line()).decode(self.encoding)
        try:
            return loads(line)
        except json.JSONDecodeError as error:
            message = f"data={line!r} is not valid json"
            raise json.JSONDecodeError(message, error.doc, error.pos) from None

    async def _read_line(self) -> bytes | bytearray:
        """Read a line, without its terminator."""
        line = self._readable().inbound.next_line(self.terminator)
        if line is not None:
            return line
        return (await self.readuntil(self.terminator))[: -len(self.terminator)]

    async def read_into(self, struct: Structure) -> None:
        """Read as many bytes as `struct` has, into it: native byte order and padding.

        Raises:
            ConnectionError: Not connected, or the connection broke.
            asyncio.IncompleteReadError: The peer closed before; `struct` is unchanged.
        """
        view = memoryview(struct).cast("B")
        data: bytes | bytearray | None = self._readable().inbound.next_bytes(len(view))
        if data is None:
            data = await self.readexactly(len(view))
        view[:] = data

    # --- writing --------------------------------------------------------------------------

    def _send(self, data: bytes) -> bool:
        """Send `data`; returns whether the peer is behind, so that the sender has to wait."""
        stream = self._stream
        if stream is None or not stream.connected:
            raise ConnectionError("Not connected")
        outbound = stream.outbound
        outbound.send(data)
        return outbound.full

    async def _drain(self) -> None:
        stream = self._stream
        if stream is not None:
            try:
                await stream.outbound.drain(self.write_timeout)
            except asyncio.TimeoutError:
                stream.abort()
                raise

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write bytes, and wait while the peer does not take what was written before.

        If this is cancelled while it waits, the data is sent nevertheless.

        Raises:
            ConnectionError: Not connected, or the connection broke while waiting.
            asyncio.TimeoutError: The peer read nothing for `write_timeout` seconds. How much it
                got is unknown, so the connection is ended.
        """
        if not isinstance(data, bytes):
            data = b"".join([data])  # it may wait, so the caller must not be able to change it
        if self._send(data):
            await self._drain()

    async def writelines(self, lines: Iterable[bytes]) -> None:
        """Write several pieces of bytes, one after the other; as `write`."""
        if self._send(b"".join(lines)):
            await self._drain()

    async def write_from(self, *structs: Structure) -> None:
        """Write C structures as they are in memory, without anything between them; as `write`."""
        self._structures_begin()
        if self._send(b"".join([bytes(struct) for struct in structs])):
            await self._drain()

    def _structures_begin(self) -> None:  # noqa: B027 - few have to do something about it
        """What is written from now on is no text."""

    async def write_str(self, line: str) -> None:
        """Write a line and its terminator; as `write`.

        Raises:
            UnicodeError: `encoding` cannot say it. Nothing was written.
        """
        if self._send(line.encode(self.encoding) + self.terminator):
            await self._drain()

    async def write_json(self, data: Any) -> None:
        """Write a line of JSON, in ASCII; as `write`.

        Raises:
            TypeError: `data` cannot be said in JSON. Nothing was written.
            ValueError: Likewise; also for NaN and infinities where ``allow_nan`` is False.
        """
        if self._send(self._dumps(data).encode(self.encoding) + self.terminator):
            await self._drain()
