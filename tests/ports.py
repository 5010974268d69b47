"""Ports for servers that cannot choose one themselves."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """A port that nobody has, and that no test is given for port 0 meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - below those that systems give out
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
