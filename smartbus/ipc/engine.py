"""The IPC client library of this process, with its one client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smartbus._c import opening
from smartbus.arguments import text
from smartbus.errors import error_for
from smartbus.net.engine import Engine, check_loop
from smartbus.net.sending import HINTS

from .log import LOGGER

if TYPE_CHECKING:
    import asyncio

    from smartbus._c.backend import IpcBackend
    from smartbus._c.events import Event

    from .client import Client


class IpcEngine(Engine):
    """An IPC library in use."""

    backend: IpcBackend

    def __init__(
        self,
        client: Client,
        lib_path: str,
        *,
        abi: bool,
        loop: asyncio.AbstractEventLoop | None,
        params: str,
    ) -> None:
        """Load the library, initialise it for `client` and start to pump.

        Raises:
            LibraryNotFoundError: No library is usable.
            SmartBusError: The library refused, for instance the client type.
        """
        check_loop(loop)
        text("params", params)
        backend = opening.open_ipc(lib_path, abi=abi)
        code = backend.init(client.client_id, client.client_type, params)
        if code < 0:
            backend.close()
            raise error_for(
                code,
                f"initialising {backend.path} for client {client.client_id} of type "
                f"{client.client_type} failed: {HINTS.get(code) or error_for(code).message}",
            )
        if params and not backend.takes_params:
            LOGGER.warning("%s takes no params; %r is ignored", backend.path, params)
        super().__init__(backend, loop, LOGGER)
        self._members[client.client_id] = client

    def _global_change(self, event: Event) -> None:
        for client in tuple(self._members.values()):
            client._receive(event)  # noqa: SLF001 - the other half of that class
