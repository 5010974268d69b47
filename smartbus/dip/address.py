"""Where a server is: a path of a unix socket, or host and port."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from typing import Final

__all__ = ["LOCALHOST", "Address", "SockName"]

LOCALHOST: Final = "127.0.0.1"
"""The host of an address that is only a port: nobody on other machines."""

SockName = str | int | os.PathLike[str] | tuple[str, int]
"""What `Server` and `Client` take as address."""

_HOST_PORT: Final = re.compile(r"(?:tcp://)?(?:\[([^\]/]+)\]|([^:/]*)):(\d+)/?")


@dataclass(frozen=True)
class Address:
    """An address, parsed; either `path` or `host` and `port` count."""

    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, sockname: SockName) -> Address:
        """Read an address.

        Args:
            sockname: A port of this machine; ``(host, port)``; ``"host:port"``; a URL
                (``tcp://host:port``, ``unix:/path``); else the path of a unix socket.

        Raises:
            TypeError: It is none of these.
            ValueError: The port is out of range, or the path is empty.
        """
        if isinstance(sockname, int) and not isinstance(sockname, bool):
            return cls._tcp(LOCALHOST, sockname)
        if isinstance(sockname, tuple):
            host, port = sockname
            return cls._tcp(host, port)
        if not isinstance(sockname, (str, os.PathLike)):
            raise TypeError(f"not an address: {sockname!r}")
        text = os.fspath(sockname)
        found = _HOST_PORT.fullmatch(text)
        if found is not None:
            return cls._tcp(found[1] or found[2] or LOCALHOST, int(found[3]))
        for scheme in ("unix://", "unix:"):
            text = text.removeprefix(scheme)
        if not text:
            raise ValueError(f"not an address: {sockname!r}")
        return cls(path=text)

    @classmethod
    def _tcp(cls, host: str, port: int) -> Address:
        if not 0 <= port <= 0xFFFF:
            raise ValueError(f"not a port: {port}")
        return cls(host=host, port=port)

    @property
    def in_file_system(self) -> bool:
        """Whether it is a file; unix sockets of Linux may also have abstract names."""
        return bool(self.path) and not self.path.startswith("\0")

    def unix_socket(self) -> socket.socket:
        """Make a socket for it; raises OSError where there are no unix sockets."""
        family = getattr(socket, "AF_UNIX", None)
        if family is None:
            raise OSError("this platform has no unix sockets: give a port")
        return socket.socket(family, socket.SOCK_STREAM)

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"
