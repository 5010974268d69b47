"""Bounds and times of one connection."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any, Final

from smartbus.arguments import seconds, seconds_or_none, whole

__all__ = ["DEFAULT_LIMIT", "DEFAULT_SPIN", "KeepAlive", "Settings"]

#: Longest line, without its terminator, unless told otherwise (bytes); asyncio's default.
DEFAULT_LIMIT: Final = 1 << 16

#: See `smartbus.spin.Spinner` (seconds).
DEFAULT_SPIN: Final = 0.0001


@dataclass(frozen=True)
class KeepAlive:
    """How TCP finds out that a host has vanished: after `idle` + `count` * `interval` seconds.

    Attributes:
        idle: Seconds of silence before the first probe.
        count: Probes without an answer that end the connection.
        interval: Seconds between two probes.
    """

    idle: int = 60
    count: int = 4
    interval: int = 15

    def __post_init__(self) -> None:
        """Raise `ArgumentError` or `TypeError` for what no system takes."""
        for name, most in (("idle", 32767), ("count", 127), ("interval", 32767)):
            whole(name, getattr(self, name), 1, most)

    def apply(self, sock: Any) -> None:
        """Set the options on a connected socket, as far as the platform has them."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for names, value in (
            (("TCP_KEEPIDLE", "TCP_KEEPALIVE"), self.idle),  # the second is macOS's name
            (("TCP_KEEPCNT",), self.count),
            (("TCP_KEEPINTVL",), self.interval),
        ):
            option = next((getattr(socket, name) for name in names if hasattr(socket, name)), None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


@dataclass(frozen=True)
class Settings:
    """What clients and servers have in common; their arguments of these names explain it."""

    encoding: str = "utf-8"
    terminator: bytes = b"\r\n"
    limit: int = DEFAULT_LIMIT
    timeout: float | None = None
    write_timeout: float | None = None
    close_timeout: float = 5.0
    allow_nan: bool = True
    spin: float = DEFAULT_SPIN
    keep_alive: KeepAlive | None = KeepAlive()

    def __post_init__(self) -> None:
        """Refuse what could not work.

        Raises:
            ValueError: Unknown encoding, terminator that is empty or no bytes, limit below 1.
            ArgumentError: A time is out of range.
            TypeError: A time is no number.
        """
        seconds_or_none("timeout", self.timeout)
        seconds_or_none("write_timeout", self.write_timeout)
        seconds("close_timeout", self.close_timeout)
        seconds("spin", self.spin)
        terminator: object = self.terminator
        try:
            "".encode(self.encoding)
        except (LookupError, TypeError) as error:
            raise ValueError(f"encoding={self.encoding!r} is no text encoding") from error
        if not isinstance(terminator, bytes) or not terminator:
            raise ValueError(f"terminator={self.terminator!r} must be bytes, at least one")
        if self.limit < 1:
            raise ValueError(f"limit={self.limit!r} must be positive")
