"""The loop of a `TcpClient`: lines of JSON to a callback, one after the other."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from .client import HEARTBEAT

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable

    from .inbound import Inbound

__all__ = ["ReadLoop"]

#: Characters of a bad line that go to the log.
_SHOWN: Final = 200


class ReadLoop:
    """Takes what nobody else asks for: a pending call of a read method has precedence.

    Lines that are too long, not in the encoding or no JSON are left out, with a log line. So are
    heartbeats, without one.
    """

    def __init__(
        self,
        inbound: Inbound,
        encoding: str,
        terminator: bytes,
        callback: Callable[[Any], Awaitable[object]],
        log: logging.Logger,
    ) -> None:
        """Prepare the loop.

        Args:
            inbound: Where the lines come from.
            encoding: Of the lines.
            terminator: Ends each.
            callback: Gets each message. What it raises goes to the log.
            log: Likewise.
        """
        self._inbound = inbound
        self._encoding = encoding
        self._terminator = terminator
        self._callback = callback
        self.log = log
        self._skipping = False
        self.stopped = False

    async def run(self) -> None:
        """Run until `stopped`.

        Raises:
            asyncio.IncompleteReadError: The peer has closed; everything before was processed.
            ConnectionError: The connection broke; likewise.
        """
        while not self.stopped:
            line = self._next_line() if self._inbound.free else None
            if line is None:
                await self._inbound.listen()
            else:
                await self._process(line[: -len(self._terminator)])

    def _next_line(self) -> bytes | None:
        """Take the next line; None if it has not come yet."""
        if self._skipping:
            self._skipping = not self._inbound.discard_until(self._terminator)
        if self._skipping and not self._inbound.eof:
            return None
        try:
            return self._inbound.take_until(self._terminator)
        except asyncio.LimitOverrunError as error:
            self._ignored("Line too long", error)
            self._skipping = True
            return self._next_line()

    def _ignored(self, what: str, error: Exception) -> None:
        self.log.error("%s: %s. Ignoring the received message.", what, error)

    async def _process(self, line: bytes) -> None:
        try:
            message = json.loads(line.decode(self._encoding))
        except (ValueError, RecursionError) as error:  # the second: nested too deep
            if line == HEARTBEAT:
                return
            shown = line if len(line) <= _SHOWN else line[:_SHOWN] + b"..."
            self._ignored(repr(shown), error)
            return
        try:
            await self._callback(message)
        except Exception:
            self.log.exception("Error in processing the message: %.200r", message)
