"""Log records as JSON, one object a line, for those who collect logs."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone

__all__ = ["JsonFormatter"]


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of ASCII JSON.

    Members: ``time`` (ISO 8601, UTC, microseconds), ``level``, ``logger``, ``process`` (its name:
    ``MainProcess``, or that of a worker), ``message``, and ``exception`` (the traceback) if there
    is one. Worker processes have put their tracebacks into the message.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(
                timespec="microseconds"
            ),
            "level": record.levelname,
            "logger": record.name,
            "process": record.processName,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            entry["exception"] = record.exc_text
        return json.dumps(entry)
