"""Bounds and times of a client."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from smartbus.arguments import seconds

__all__ = ["Limits", "Timing"]


@dataclass(frozen=True)
class Limits:
    """How much a client holds at most; all are checked before anything grows.

    Attributes:
        send_frames: Frames that wait to be sent; above it sending raises `BufferFullError`.
        send_bytes: The same in bytes. One frame is always accepted by an empty queue.
        packets: Received packets that wait for their reader; from here on the client
            stops reading from the network.
        packet_bytes: The same in bytes.
        frame_bytes: The largest frame accepted from the network; a larger one ends the link.
            A server's answer to the registration takes 5580.
        flows: Flow calls that wait for an ack, and as many that wait for a return (NET.md 7.1).
    """

    send_frames: int = 100_000
    send_bytes: int = 8 << 20
    packets: int = 10_000
    packet_bytes: int = 8 << 20
    frame_bytes: int = 64 << 20
    flows: int = 5000


@dataclass(frozen=True)
class Timing:
    """The life of a link in seconds (NET.md 3.3, 9.4, 12).

    Attributes:
        heartbeat: Interval of heartbeats, from the TCP connect on.
        silence: A link on which nothing arrives for so long is closed.
        retry: Wait after a failed connect, and after a refusal with -10.
        unanswered: Wait after a link that closed before its registration was answered.
        connect: A TCP connect may take so long.
        linger: `close()` gives unsent frames so long to leave.
        ack_min: Least time to wait for a flow's ack, whatever the call's time-out.
        ack_max: Most time to wait for a flow's ack.

    Raises:
        ArgumentError: One is negative, endless or no number.
        TypeError: One is of another type.
    """

    heartbeat: float = 1.0
    silence: float = 15.0
    retry: float = 2.0
    unanswered: float = 1.0
    connect: float = 10.0
    linger: float = 1.0
    ack_min: float = 1.0
    ack_max: float = 5.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            seconds(name, value)
