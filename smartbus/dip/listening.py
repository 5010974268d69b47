"""Where a server listens, and who may come."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from .address import Address

__all__ = ["bind", "own_file", "peer_uid", "remove_file"]

#: Device and inode of a socket file.
File = tuple[int, int]

_CREDENTIALS: Final = struct.Struct("3i")


def bind(address: Address, mode: int) -> socket.socket:
    """Bind a unix socket whose file has that mode; until it listens nobody gets in.

    The file of a server that is not there any more is replaced.

    Raises:
        OSError: `errno.EADDRINUSE`: a server lives there, or the file is no socket; and others.
    """
    if address.in_file_system:
        _make_room(address)
    sock = address.unix_socket()
    try:
        sock.setblocking(False)
        sock.bind(address.path)
        if address.in_file_system:
            os.chmod(address.path, mode)
    except BaseException:
        sock.close()
        raise
    return sock


def _make_room(address: Address) -> None:
    """Remove the socket file of a server that has ended."""
    try:
        kind = os.stat(address.path).st_mode
    except FileNotFoundError:
        return
    in_use = OSError(errno.EADDRINUSE, "Address already in use", address.path)
    if not stat.S_ISSOCK(kind):
        raise in_use
    with address.unix_socket() as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        except BlockingIOError:  # it lives, and is busy
            raise in_use from None
        else:
            raise in_use
    remove_file(address, own_file(address))


def own_file(address: Address) -> File | None:
    """What tells the socket file that is there now from one that another server puts there."""
    if not address.in_file_system:
        return None
    try:
        found = os.stat(address.path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def remove_file(address: Address, file: File | None) -> None:
    """Remove the socket file, if it is still this one."""
    if file is not None and own_file(address) == file:
        os.unlink(address.path)


def peer_uid(transport: asyncio.Transport) -> int | None:
    """The user at the other end of a unix socket; None where the system does not tell."""
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock.family != socket.AF_UNIX:
        return None
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, uid, _gid = _CREDENTIALS.unpack(raw)
    return int(uid)
