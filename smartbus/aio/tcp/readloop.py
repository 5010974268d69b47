"""The loop of a `TcpClient`: lines of JSON to a callback, one after the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from .client import HEARTBEAT
from .jsontext import loads

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable

    from .inbound import Inbound
    from .rate import MessageRate

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
        callback: Callable[..., Awaitable[object]],
        rate: MessageRate | None,
        log: logging.Logger,
    ) -> None:
        """Prepare the loop.

        Args:
            inbound: Where the lines come from.
            encoding: Of the lines.
            terminator: Ends each.
            callback: Gets each message, as ``message``. What it raises goes to the log.
            rate: Counts messages.
            log: Gets what went wrong.
        """
        self._inbound = inbound
        self._encoding = encoding
        self._terminator = terminator
        self._callback = callback
        self._rate = rate
        self._skipping = False
        self.log = log
        self.stopped = False

    async def run(self) -> None:
        """Run until `stopped`.

        Raises:
            asyncio.IncompleteReadError: The peer has closed; everything before was processed.
            ConnectionError: The connection broke; likewise.
        """
        inbound = self._inbound
        while not self.stopped:
            line = None if self._skipping else inbound.next_line(self._terminator)
            if line is not None:
                await self._process(line)
            elif not inbound.free or not self._look():
                await inbound.listen()

    def _look(self) -> bool:
        """Find out why there is no next line; returns whether to try again at once."""
        if self._skipping:
            self._skipping = not self._inbound.discard_until(self._terminator)
            if not self._skipping:
                return True
            if not self._inbound.eof:
                return False
        try:
            self._inbound.take_until(self._terminator)
        except asyncio.LimitOverrunError as error:
            self._ignored("Line too long", error)
            self._skipping = True
            return True
        return False

    async def _process(self, line: bytearray) -> None:
        try:
            message = loads(line.decode(self._encoding))
        except (ValueError, RecursionError) as error:  # the second: nested too deep
            if line != HEARTBEAT:
                shown = line if len(line) <= _SHOWN else line[:_SHOWN] + b"..."
                self._ignored(repr(bytes(shown)), error)
            return
        if self._rate is not None:
            self._rate.count()
        try:
            await self._callback(message=message)
        except Exception:
            self.log.exception("Error in processing the message: %.200r", message)

    def _ignored(self, what: str, error: Exception) -> None:
        self.log.error("%s: %s. Ignoring the received message.", what, error)
