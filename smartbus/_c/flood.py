"""Log lines of foreign origin: a peer or a library can cause any number of them."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

#: So many lines get through in one second, if nothing else is said.
LINES_PER_SECOND: Final = 20


class FloodGate:
    """Logs, but not more lines in a second; what is left out is counted and said."""

    def __init__(self, logger: logging.Logger, lines_per_second: int = LINES_PER_SECOND) -> None:
        """Log to `logger`."""
        self._logger = logger
        self._most = lines_per_second
        self._lock = threading.Lock()
        self._second = 0
        self._lines = 0

    def log(self, level: int, message: str, *args: object) -> None:
        """Log a line, or leave it out."""
        if not self._logger.isEnabledFor(level):
            return
        suppressed = 0
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                suppressed = self._take_suppressed()
                self._second = second
            self._lines += 1
            through = self._lines <= self._most
        self._say(suppressed)
        if through:
            self._logger.log(level, message, *args)

    def close(self) -> None:
        """Say what was left out and not said yet: no further line may come to do it."""
        with self._lock:
            suppressed = self._take_suppressed()
        self._say(suppressed)

    def _take_suppressed(self) -> int:
        suppressed, self._lines = max(self._lines - self._most, 0), 0
        return suppressed

    def _say(self, suppressed: int) -> None:
        if suppressed:
            self._logger.warning("%d more lines like the last ones were left out", suppressed)
