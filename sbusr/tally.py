"""Counting what goes wrong, so that a flood of it does not become a flood of log lines.

Anybody on the bus may cause any number of refused requests and undeliverable replies. To log each
of them would keep the daemon's loop from everything else.
"""

from __future__ import annotations

import logging
import time

__all__ = ["Tally"]

EVERY = 5.0
"""Seconds between two log lines of a tally."""


class Tally:
    """Adds up, and logs the sum: the first time at once, then not more often than `EVERY`.

    Args:
        logger: Where to.
        level: Level of the lines.
        text: The line, with places for the number and for the last reason.
        every: Seconds between two lines.
    """

    def __init__(
        self, logger: logging.Logger, level: int, text: str, *, every: float = EVERY
    ) -> None:
        self._logger = logger
        self._level = level
        self._text = text
        self._every = every
        self._count = 0
        self._why: object = None
        self._logged = float("-inf")

    def add(self, count: int, why: object, *, exc_info: bool = False) -> None:
        """Add ``count`` of them, the last one because of ``why``.

        Args:
            count: How many.
            why: The reason, for people.
            exc_info: Put the traceback of the exception being handled behind the line.
        """
        self._count += count
        self._why = why
        if time.monotonic() - self._logged >= self._every:
            self.close(exc_info=exc_info)

    def close(self, *, exc_info: bool = False) -> None:
        """Log what was counted and not logged yet."""
        if self._count:
            self._logger.log(self._level, self._text, self._count, self._why, exc_info=exc_info)
            self._count = 0
            self._logged = time.monotonic()
