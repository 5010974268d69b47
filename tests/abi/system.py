"""What rows want to know of the operating system, or to have it refuse, in a library's process."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: Enough for everything but what is meant not to fit (bytes).
_SPARE = 48 << 20


class TcpOptions(NamedTuple):
    """How a connection is set up."""

    no_delay: bool
    keep_alive: bool
    #: Seconds without a byte before the first probe.
    idle: int


def listed(directory: str) -> set[str]:
    """What there is in a directory of Linux's ``/proc/self``; nothing elsewhere."""
    try:
        return set(os.listdir(f"/proc/self/{directory}"))
    except OSError:
        return set()


def _copy(descriptor: int) -> socket.socket:
    """Return another object for the same socket."""
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def tcp_options() -> list[TcpOptions]:
    """The options of each TCP connection of this process."""
    found = []
    for descriptor in map(int, listed("fd")):
        with contextlib.suppress(OSError), _copy(descriptor) as copy:  # no socket, or gone
            if copy.family == socket.AF_INET and copy.type == socket.SOCK_STREAM:
                found.append(
                    TcpOptions(
                        bool(copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
                        bool(copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
                        copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                    )
                )
    return found


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Let this process have some more memory, and no large piece."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _SPARE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
