"""The IPC back end over the vendor's interface ``SmartBusIpcCli_*`` (IPC.md 7).

The library behind it may be the vendor's, or the core used through the same interface. What
a wrapper can keep away from the vendor's defects is kept away here:

- strings are never NULL, and data always has a NUL behind it (7.2);
- ``CreateConnect`` is not called while there is a connection: it would open a second one (7.4);
- ``Release`` is not called while the library looks for its server: it crashes then (7.4);
- the arguments of callbacks stay valid for good, as a callback may be running.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Final

from smartbus.errors import OtherError

from .abi import IpcAbi
from .backend import Notify, Sender
from .core_api import EV_CONNECTED, EV_DISCONNECTED, Core
from .events import Item, Packets
from .vendor_base import CLOSED, VendorBase, leave_before_destructors

_BAD_ARGUMENT, _ALREADY_CONNECTED, _CONNECT_FAILED = -1, -10, -20
_OK: Final = 0


class VendorIpc(VendorBase):
    """An `IpcBackend` over the vendor's interface."""

    takes_params = False

    def __init__(self, path: str, core: Core | None, *, is_core: bool) -> None:
        """Load the library at `path`; see `VendorBase`.

        Raises:
            OSError: It cannot be loaded.
            AttributeError: It lacks a function.
        """
        self._abi = IpcAbi(ctypes.CDLL(path))
        super().__init__(path, core, self._abi, is_core=is_core)
        self._active = False  # it is connected, or tries to be
        self._connected = False
        self._leaves_early = False

    def init(self, client: int, client_type: int, params: str = "") -> int:
        """See `IpcBackend`: this interface takes no parameters."""
        del params
        self._check_fork()
        if self._running and self._source is None:
            raise OtherError(
                -99,
                f"{self.path} still looks for the server of a client that was released; it "
                "cannot be stopped (IPC.md 7.4)",
            )
        self._listen()
        code = self._abi.Init(client_type, client)
        if code == _OK:
            self._running = True
        return code

    def connect(self, user: bytes, password: bytes, info: bytes) -> int:
        """See `IpcBackend`."""
        if not self._running:
            return CLOSED
        if self._active:
            return _ALREADY_CONNECTED
        if not self._is_core and not self._leaves_early:
            leave_before_destructors()
            self._leaves_early = True
        self._active = True
        code = self._abi.CreateConnect(user, password, info)
        if code != _OK:
            self._active = False
        return code

    def sender(self, client: int) -> Sender:
        """See `Backend`; `client` is the one client here as below."""
        del client
        return self._abi.SendData

    def ping(self, client: int, unit: int, dst: int, dst_type: int, data: bytes) -> int:
        """See `Backend`."""
        del client
        return self._abi.SendPing(unit, dst, dst_type, data, len(data))

    def call_flow(
        self,
        client: int,
        unit: int,
        process: int,
        project: bytes,
        flow: bytes,
        mode: int,
        timeout_ms: int,
        params: bytes,
    ) -> int:
        """See `Backend`."""
        del client
        return self._abi.RemoteInvokeFlow(unit, process, project, flow, mode, timeout_ms, params)

    def notify(
        self,
        client: int,
        unit: int,
        process: int,
        project: bytes,
        title: bytes,
        mode: int,
        expires_ms: int,
        text: bytes,
    ) -> int:
        """See `Backend`."""
        del client
        return self._abi.SendNotify(unit, process, project, title, mode, expires_ms, text)

    def notify_many(
        self, client: int, notifies: Sequence[Notify], expires_ms: int
    ) -> Sequence[int]:
        """See `Backend`; as with NET, a batch takes no empty title or text."""
        del client
        send = self._abi.SendNotify
        return [
            send(unit, process, b"", title, 0, expires_ms, text)
            if title and text
            else _BAD_ARGUMENT
            for unit, process, title, text in notifies
        ]

    def drain(self) -> list[Item]:
        """See `Backend`; what happens to the connection decides about `close`."""
        items = super().drain()
        for item in items:
            if isinstance(item, Packets):
                continue
            if item.kind == EV_CONNECTED:
                self._connected = item.code == _OK
                self._active = item.code in (_OK, _CONNECT_FAILED)
            elif item.kind == EV_DISCONNECTED:
                self._connected = False
        return items

    def _release(self) -> None:
        if self._is_core or self._connected or not self._active:
            self._abi.Release()
            self._running = self._active = self._connected = False
