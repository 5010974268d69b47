"""Connecting: sockets whose owner is the caller, so that a forked child can let go of them.

Two ways that do the same: in an event loop, and without one.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .address import Address

__all__ = ["connect", "connect_blocking"]

#: Seconds until the next try when the server has not accepted those before us yet.
_RETRY: Final = 0.005


async def connect(address: Address, timeout: float | None) -> socket.socket:
    """Connect within `timeout` seconds (None: for ever); the socket does not block.

    Raises:
        OSError: What the connect raised; `TimeoutError` when time is over.
    """
    if not address.path:
        try:
            return await asyncio.wait_for(_connect_tcp(address), timeout)
        except asyncio.TimeoutError:
            raise TimeoutError(f"no connection to {address} within {timeout} s") from None
    deadline = _deadline(timeout)
    while (sock := _try_unix(address)) is None:
        _check(address, deadline, timeout)
        await asyncio.sleep(_RETRY)
    return sock


def connect_blocking(address: Address, timeout: float | None) -> socket.socket:
    """Connect as `connect` does; the socket has `timeout` for each call."""
    if not address.path:
        sock = socket.create_connection((address.host, address.port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    deadline = _deadline(timeout)
    while (unix := _try_unix(address)) is None:
        _check(address, deadline, timeout)
        time.sleep(_RETRY)
    unix.settimeout(timeout)
    return unix


async def _connect_tcp(address: Address) -> socket.socket:
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    error: OSError = ConnectionError(f"{address.host} has no address")
    for family, kind, proto, _, where in infos:
        sock = socket.socket(family, kind, proto)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, where)
        except OSError as exc:
            sock.close()
            error = exc
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error


def _try_unix(address: Address) -> socket.socket | None:
    """Connect; None when the server's backlog is full.

    `loop.sock_connect` and a socket with a timeout take that for a connection on its way, wait for
    nothing and have a socket that is not connected.
    """
    sock = address.unix_socket()
    try:
        sock.setblocking(False)
        sock.connect(address.path)
    except BlockingIOError:
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    return sock


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _check(address: Address, deadline: float | None, timeout: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise TimeoutError(f"{address} accepted no connection within {timeout} s")
