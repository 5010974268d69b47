"""The library's trace, which becomes log records."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final, Literal

from smartbus._c.flood import FloodGate
from smartbus.encoding import decode_wire_text

if TYPE_CHECKING:
    from smartbus._c.backend import Backend
    from smartbus._c.events import Event

#: What `Client.set_trace` takes.
TraceLevel = Literal["off", "errors", "all"]

#: Information lines that get through in one second. They come only if somebody wants them.
INFORMATION_LINES: Final = 2000

_LEVELS: Final[dict[str, int]] = {"off": 0, "errors": 1, "all": 2}
#: Lines show bytes of packets: whatever moves a cursor or begins a new line is escaped.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Trace:
    """Logs the lines of a library, which anybody on the bus may cause, in bounded numbers.

    Information lines have the level ``DEBUG``. Error lines have ``WARNING`` if they are the
    vendor's; ``INFO`` if the core's, which reports by an event or an exception as well what
    concerns the program.
    """

    def __init__(self, backend: Backend, logger: logging.Logger) -> None:
        """Log what `backend` traces to `logger`, from `set` on."""
        self._backend = backend
        self._logger = logger
        self._error_level = logging.WARNING if backend.kind == "vendor" else logging.INFO
        self._errors = FloodGate(logger)
        self._information = FloodGate(logger, INFORMATION_LINES)

    def set(self, level: TraceLevel | None = None) -> None:
        """Have the library report these lines; None is what the logger's level asks for.

        Raises:
            ValueError: There is no such level.
        """
        if level is None:
            number = (
                2
                if self._logger.isEnabledFor(logging.DEBUG)
                else int(self._logger.isEnabledFor(self._error_level))
            )
        elif level in _LEVELS:
            number = _LEVELS[level]
        else:
            raise ValueError(f"a trace level is one of {', '.join(_LEVELS)}, not {level!r}")
        self._backend.trace(number)

    def take(self, event: Event) -> None:
        """Log a line."""
        if not event.payload:  # a wake-up, not a line
            return
        gate, level = (
            (self._errors, self._error_level) if event.code else (self._information, logging.DEBUG)
        )
        if self._logger.isEnabledFor(level):
            text = _CONTROL.sub(_escaped, decode_wire_text(event.payload))
            gate.log(level, "library: %s", text)


def _escaped(match: re.Match[str]) -> str:
    return repr(match[0])[1:-1]
