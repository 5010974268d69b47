"""The daemon's bus clients: packets to the executor, acknowledgements to the HTTP handlers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from smartbus import net
from smartbus.errors import AlreadyConnectedError
from smartbus.head import Head

from . import globalvars
from .config import ClientSettings
from .executor import Executor
from .flows import FlowInvokeAck
from .webhandlers import FlowHandler

__all__ = ["RPC_COMMAND", "BusClient", "note_global_connect"]

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


class BusClient(net.Client):
    """A NET client as one member of ``SMARTBUS_CONFIG["clients"]`` describes it.

    Args:
        settings: That member.
        executor: Gets the requests.
        loop: The loop of the daemon, in which all events are handled.
    """

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
        )
        self._put_many = executor.put_many
        self._loop = loop
        self._retry: asyncio.TimerHandle | None = None

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
        """Forget who is on the bus, once nothing is connected: the bus will tell again."""
        if not any(client.connected for client in globalvars.net_smartbusclients):
            globalvars.ipsc_set.clear()

    def on_connect_fail(self, error_code: int) -> None:
        """Try again after a refusal; after other failures the library does so itself."""
        if error_code != _UNREACHABLE and self._retry is None:
            self._retry = self._loop.call_later(_RETRY_REFUSED, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        with contextlib.suppress(AlreadyConnectedError):
            self.activate()

    def stop_retrying(self) -> None:
        """Leave no timer behind."""
        if self._retry is not None:
            self._retry.cancel()


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
