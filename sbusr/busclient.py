"""The daemon's bus clients: packets to the executor, acknowledgements to the HTTP handlers.

`connect` makes them; which ones there are is in `globalvars`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from smartbus import ipc, net
from smartbus.errors import AlreadyConnectedError
from smartbus.events import Connected
from smartbus.head import Head
from smartbus.net.base import BusClient

from . import globalvars
from .config import ClientSettings, IpcSettings, NetSettings
from .executor import Executor
from .flows import FlowInvokeAck
from .webhandlers import FlowHandler

__all__ = ["LINGER", "RPC_COMMAND", "bus_clients", "connect", "note_global_connect"]

LINGER = 0.5
"""Seconds for packets to leave when stopping."""
RPC_COMMAND = 211
"""``cmd_type`` of packets that carry a JSON-RPC request."""

_CMD_TYPE = 3
"""Where the command type is in a packet head (NET.md 1.1)."""
_IPSC = 2
"""Client type of IPSC processes (NET.md 1.2)."""
_GONE = 0
"""Status of a global connect event about a departure (NET.md 4)."""
_UNREACHABLE = -20
_RETRY_REFUSED = 10.0
"""Seconds until a refused client tries again: somebody may have mended the bus's settings."""

_logger = logging.getLogger(__name__)


class _Client(BusClient):
    """What NET and IPC clients of the daemon have in common.

    Args:
        executor: Gets the requests.
        home: The loop of the daemon, in which all events are handled.
    """

    def __init__(
        self, *args: Any, executor: Executor, home: asyncio.AbstractEventLoop, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._put_many = executor.put_many
        self._home = home
        self._retry: asyncio.TimerHandle | None = None
        self.server_unit: int | None = None
        """Unit of the server that it is connected to."""
        self.subscribe(self._note_server, Connected)

    def _note_server(self, event: Connected) -> None:
        self.server_unit = event.access_unit_id

    def on_data_batch(self, batch: list[tuple[bytes, bytes]]) -> None:
        """Execute the requests among these packets."""
        requests = [packet for packet in batch if packet[0][_CMD_TYPE] == RPC_COMMAND]
        if len(requests) < len(batch):
            _logger.debug("%d packets are no requests", len(batch) - len(requests))
        self._put_many(self, requests)

    def on_flow_ack(
        self, head: Head | None, project_id: str, invoke_id: int, status_code: int, msg: str
    ) -> None:
        """Wake the HTTP request that waits for it."""
        FlowHandler.set_flow_ack(FlowInvokeAck(head, project_id, invoke_id, status_code, msg))

    def on_disconnect(self) -> None:
        """Forget who is on that bus, once nothing is connected to it: it will tell again."""
        lost, self.server_unit = self.server_unit, None
        units = {client.server_unit for client in bus_clients() if client.connected}
        if not units:
            globalvars.ipsc_set.clear()
        elif lost not in units:
            gone = [ipsc for ipsc in globalvars.ipsc_set if ipsc[0] == lost]
            globalvars.ipsc_set.difference_update(gone)

    def on_connect_fail(self, error_code: int) -> None:
        """Try again after a refusal; after other failures the library does so itself."""
        if error_code != _UNREACHABLE and self._retry is None:
            self._retry = self._home.call_later(_RETRY_REFUSED, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        with contextlib.suppress(AlreadyConnectedError):
            self.activate()

    def stop_retrying(self) -> None:
        """Leave no timer behind."""
        if self._retry is not None:
            self._retry.cancel()


class NetClient(_Client, net.Client):
    """A NET client as one member of ``SMARTBUS_CONFIG["clients"]`` describes it."""

    def __init__(
        self, settings: ClientSettings, executor: Executor, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            settings.local_client_id,
            settings.local_client_type,
            settings.master_host,
            settings.master_port,
            settings.slaver_host,
            settings.slaver_port,
            settings.author_usr,
            settings.author_pwd,
            settings.ext_info,
            encoding=settings.encoding,
            executor=executor,
            home=loop,
        )


class IpcClient(_Client, ipc.Client):
    """The IPC client that ``SMARTBUS_CONFIG`` describes."""

    def __init__(
        self,
        settings: IpcSettings,
        params: str,
        executor: Executor,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        instance = settings.instance
        super().__init__(
            settings.initialize.clientid,
            settings.initialize.clienttype,
            instance.username,
            instance.password,
            instance.ext_info,
            encoding=instance.encoding,
            params=params,
            loop=loop,
            executor=executor,
            home=loop,
        )

    def on_global_connect_state_changed(
        self,
        unit_id: int,
        client_id: int,
        client_type: int,
        access_unit_id: int,
        status_code: int,
        info: str,
    ) -> None:
        """See `note_global_connect`."""
        note_global_connect(unit_id, client_id, client_type, access_unit_id, status_code, info)


def bus_clients() -> list[Any]:
    """Return the daemon's clients, whichever kind they are."""
    client = globalvars.ipc_smartbusclient
    return globalvars.net_smartbusclients if client is None else [client]


def connect(
    settings: NetSettings | IpcSettings,
    flow_ack_timeout: float,
    executor: Executor,
    loop: asyncio.AbstractEventLoop,
    cleanup: contextlib.AsyncExitStack,
) -> None:
    """Make the clients and have them connect, until `cleanup` ends them.

    Raises:
        SmartBusError: There is no library, or it refuses.
    """
    globalvars.ipsc_set.clear()
    # By itself the library waits 5 s at most for an acknowledgement (NET.md 7.4).
    params = f"FlowAckTimeout={int(flow_ack_timeout * 1000)}"
    if isinstance(settings, IpcSettings):
        client = IpcClient(settings, params, executor, loop)
        globalvars.ipc_smartbusclient = client
        cleanup.callback(_dispose)
        cleanup.callback(client.stop_retrying)
        client.activate()
        return
    net.Client.initialize(settings.initialize.unitid, note_global_connect, loop=loop, params=params)
    cleanup.callback(net.Client.finalize, LINGER)
    for member in settings.clients:
        each = NetClient(member, executor, loop)
        globalvars.net_smartbusclients.append(each)
        cleanup.callback(globalvars.net_smartbusclients.remove, each)
        cleanup.callback(each.stop_retrying)
        each.activate()


def _dispose() -> None:
    globalvars.ipc_smartbusclient.dispose(LINGER)
    globalvars.ipc_smartbusclient = None


def note_global_connect(
    unit_id: int, client_id: int, client_type: int, _access_unit: int, status: int, _info: str
) -> None:
    """Keep `globalvars.ipsc_set` up to date: the ``global_connect_callback``."""
    if client_type != _IPSC:
        return
    ipsc = (unit_id, client_id)
    if status == _GONE:
        globalvars.ipsc_set.discard(ipsc)
    else:
        globalvars.ipsc_set.add(ipsc)
    what: Any = "gone" if status == _GONE else "here"
    _logger.info("IPSC process %d of unit %d is %s", client_id, unit_id, what)
