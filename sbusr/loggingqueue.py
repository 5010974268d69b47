"""Logging through a queue, so that one process (or thread) alone writes the log.

Worker processes log with a `QueueHandler` whose queue is their link to the main process. There a
`QueueListener` hands the records to the loggers of their names.
"""

from __future__ import annotations

import logging
import logging.handlers
from queue import Full, Queue

__all__ = ["LoggerHandler", "QueueHandler", "QueueListener", "drop_when_full"]


class QueueHandler(logging.handlers.QueueHandler):
    """Sends records to a queue: anything that has ``put_nowait(record)``.

    ``prepare`` merges message, arguments and traceback into text, so that a record can leave
    the process. Override ``enqueue`` or ``prepare`` for another queue or another form.
    """


class QueueListener(logging.handlers.QueueListener):
    """Takes records from a queue in a thread of its own and passes them to handlers.

    ``start`` begins; ``stop`` waits until everything that was in the queue is handled.
    """


class LoggerHandler(logging.Handler):
    """Hands a record to the logger of its name, as if it had been logged in this process."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on, if that logger wants its level."""
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


class drop_when_full:  # noqa: N801 - used like a function
    """A log sink that never blocks: records that find the queue full are counted and dropped.

    The next record that finds place is followed by a warning with their number.
    """

    def __init__(self, queue: Queue[logging.LogRecord]) -> None:
        self._queue = queue
        self._dropped = 0

    def __call__(self, record: logging.LogRecord) -> None:
        """Queue a record."""
        try:
            self._queue.put_nowait(record)
        except Full:
            self._dropped += 1
            return
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            logging.getLogger(__name__).warning("%d log records were dropped", dropped)
