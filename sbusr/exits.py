"""Exit codes of the program, the same for all commands. Scripts and service managers know them."""

from __future__ import annotations

from typing import Final

__all__ = ["FAILED", "FORCED", "INTERRUPTED", "OK", "SETTINGS", "UNAVAILABLE", "USAGE"]

OK: Final = 0
"""Done; the daemon has stopped as it was asked to."""
FAILED: Final = 1
"""The answer is no: not ready, an error reply, code that does not import, still running."""
USAGE: Final = 2
"""Wrong arguments."""
SETTINGS: Final = 3
"""The settings or the methods cannot be used."""
UNAVAILABLE: Final = 4
"""Something cannot be started or reached: an address in use, a missing library, no daemon."""
FORCED: Final = 5
"""Stopped by a second signal, without waiting for requests."""
INTERRUPTED: Final = 130
"""Ctrl-C before the daemon was there."""
