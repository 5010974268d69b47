"""What a test and the process of a library under test tell each other."""

from __future__ import annotations

from typing import Any, NamedTuple


class Hook(NamedTuple):
    """Stands for a C callback among a call's arguments.

    `kind` is one of connection, data, disconnect, flow_ack, flow_ret, global, or, for traces,
    info, error (finished strings), info_format, error_format (as printf gets it). The same
    hook is the same C function; another `label` makes another function.
    """

    kind: str
    label: str = ""


class Event(NamedTuple):
    """A call of a callback.

    ``values`` are the callback's arguments in C's order (NET.md 10): ``arg`` an integer or
    None, ``head`` the 20 raw bytes or None, texts bytes or None, ``data`` bytes or None.
    A trace has its text, or the format and, if that is "%s", the text.
    """

    kind: str
    label: str
    values: tuple[Any, ...]
    #: Of the operating system.
    thread: int
    #: When (`time.monotonic`, the same clock in all processes).
    at: float
