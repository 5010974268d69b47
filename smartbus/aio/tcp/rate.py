"""How many messages per second are consumed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging

__all__ = ["MessageRate"]

#: Seconds between two lines.
_PERIOD: Final = 2.0


class MessageRate:
    """Writes the rate into the log, at level DEBUG.

    There is a line every 2 seconds while messages come, and a last one, of 0, when they stop.
    """

    def __init__(self, log: logging.Logger, period: float = _PERIOD) -> None:
        """Begin to count with the first message.

        Args:
            log: Gets the lines.
            period: Seconds between two lines.
        """
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._period = period
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._count = 0

    def count(self) -> None:
        """A message was consumed."""
        self._count += 1
        if self._timer is None:
            self._start()

    def stop(self) -> None:
        """Write no more lines."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self._since = self._loop.time()
        self._timer = self._loop.call_later(self._period, self._tell)

    def _tell(self) -> None:
        count, self._count = self._count, 0
        rate = round(count / (self._loop.time() - self._since), 2)
        self._log.debug("Consumed %s messages/s.", rate)
        self._timer = None
        if count:
            self._start()
