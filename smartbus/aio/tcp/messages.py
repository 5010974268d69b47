"""Commands, events and telemetry as M2 controllers understand them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MsgType", "index_generator", "message_of"]


class MsgType(IntEnum):
    """Kinds of messages."""

    Command = 1
    Event = 2
    Telemetry = 3


def index_generator(imin: int = 1, imax: int = 2**31 - 1) -> Iterator[int]:
    """Count from `imin` to `imax`, and again, for ever."""
    while True:
        yield from range(imin, imax + 1)


def message_of(
    msg_type: int, name: str, details: dict[str, Any] | None, comp_name: str | None
) -> dict[str, Any]:
    """Make a message, without the sequence id that a command needs.

    Raises:
        ValueError: "id" is in the details, or the type is not supported.
    """
    if details is not None and "id" in details:
        raise ValueError("'id' must not be in the message details")
    message = {} if details is None else details.copy()
    if msg_type == MsgType.Command:
        message["id"] = "cmd_" + name
        return message
    if msg_type == MsgType.Telemetry:
        message["id"] = "tel_" + name
    elif msg_type == MsgType.Event:
        message["id"] = "evt_" + name
    else:
        raise ValueError(f"message type {msg_type!r} is not supported")
    if comp_name is not None:
        message["compName"] = comp_name
    return message
