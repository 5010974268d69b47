"""The NET back end over the core's own interface: ``sb_net_*``."""

from __future__ import annotations

from .core_api import Core
from .core_base import NOT_INITIALIZED, CoreBase


class CoreNet(CoreBase):
    """A `NetBackend` over ``sb_net``."""

    forgets = True

    def __init__(self, core: Core) -> None:
        """Prepare; nothing is opened before `init`."""
        super().__init__(core)
        self._clients: set[int] = set()

    def init(self, unit: int, params: str = "") -> int:
        """See `NetBackend`; a second call changes the unit (NET.md 9.1)."""
        if self._net is not None:
            self._core.net_set_unit(self._net, unit)
        else:
            self._open(unit, params.encode("ascii", "replace"), 0)
        return 0

    def connect(
        self,
        client: int,
        client_type: int,
        master: tuple[bytes, int],
        slave: tuple[bytes, int] | None,
        user: bytes,
        password: bytes,
        info: bytes,
    ) -> int:
        """See `NetBackend`."""
        second = slave or (None, 0)
        if self._net is None:
            return NOT_INITIALIZED
        code: int = self._core.net_connect(
            self._net, client, client_type, *master, *second, user, password, info
        )
        if code == 0:
            self._clients.add(client)
        return code

    def disconnect(self, client: int) -> int:
        """See `NetBackend`."""
        if self._net is None:
            return NOT_INITIALIZED
        self._clients.discard(client)
        return int(self._core.net_disconnect(self._net, client))

    def close(self) -> None:
        """See `Backend`."""
        for client in tuple(self._clients):
            self.disconnect(client)
        super().close()
