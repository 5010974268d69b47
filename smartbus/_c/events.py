"""What comes out of C, as Python values: the same for every library and either way in."""

from __future__ import annotations

from typing import NamedTuple

#: A packet: its raw 20-byte header and its data.
Packet = tuple[bytes, bytes]


class Packets(NamedTuple):
    """Consecutive data events of one local client."""

    client: int
    packets: list[Packet]


class Event(NamedTuple):
    """Any other event; `kind` is one of ``core_api.EV_*``, which say what the fields mean."""

    kind: int
    client: int
    code: int
    id: int
    head: bytes | None  #: 20 bytes; None where C had NULL (time-outs)
    payload: bytes


Item = Packets | Event


def texts(payload: bytes, count: int) -> list[bytes]:
    """Return the first `count` NUL-terminated strings of `payload`; missing ones are empty."""
    parts = payload.split(b"\0", count)[:count]
    return parts + [b""] * (count - len(parts))
