"""What a server means by refusing a client, and what to do about it."""

from __future__ import annotations

from typing import Final

from .errors import SmartBusError, error_for

__all__ = ["refusal"]

_TAKEN: Final = (
    "another process is registered with this client id: choose another client id (or unit), or "
    "end that process"
)

# -10 is what older servers say of a client id that is taken (NET.md 2.5), -22 what an IPC
# client is told (IPC.md 3.2), -24 what a NET client is told (NET-2018.md 1.2).
_ADVICE: Final = {
    -4: "ask who runs the server",
    -5: "is user= right?",
    -6: "is password= right?",
    -10: _TAKEN,
    -12: "choose another unit",
    -22: _TAKEN,
    -24: _TAKEN,
}


def refusal(code: int, server: str, who: str) -> SmartBusError:
    """Return the error for the registration of `who` that `server` answered with `code`."""
    advice = f"; {_ADVICE[code]}" if code in _ADVICE else ""
    why = error_for(code).message
    return error_for(code, f"{server} refused {who}: {why}{advice}")
