"""The IPC back end over the core's own interface: an ``sb_net`` with one local client."""

from __future__ import annotations

import os
from typing import Final

from .abi import IPC_SOCKET, IPC_SOCKET_ENVIRONMENT
from .core_api import NET_LOCAL
from .core_base import NOT_INITIALIZED, CoreBase

_ALREADY_CONNECTED: Final = -10
_CLIENT_TYPE: Final = -17


class CoreIpc(CoreBase):
    """An `IpcBackend` over ``sb_net``."""

    takes_params = True

    _client = -1
    _client_type = -1

    def init(self, client: int, client_type: int, params: str = "") -> int:
        """See `IpcBackend`."""
        if self._net is not None:
            return _ALREADY_CONNECTED
        if client_type <= 1:
            return _CLIENT_TYPE
        self._client, self._client_type = client, client_type
        self._open(0, params.encode("ascii", "replace"), NET_LOCAL)
        return 0

    def connect(self, user: bytes, password: bytes, info: bytes) -> int:
        """See `IpcBackend`."""
        if self._net is None:
            return NOT_INITIALIZED
        path = os.environ.get(IPC_SOCKET_ENVIRONMENT) or IPC_SOCKET
        if self._core.net_refused(self._net, self._client):
            self._core.net_disconnect(self._net, self._client)
        return int(
            self._core.net_connect_local(
                self._net,
                self._client,
                self._client_type,
                os.fsencode(path),
                user,
                password,
                info,
            )
        )

    def close(self) -> None:
        """See `Backend`."""
        if self._net is not None:
            self._core.net_disconnect(self._net, self._client)
        super().close()
