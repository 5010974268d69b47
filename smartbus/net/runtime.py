"""The NET client library of this process: one unit, its clients, its back end, its pump."""

from __future__ import annotations

import asyncio
import atexit
import ipaddress
import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from smartbus._c import opening
from smartbus._c.abi import MAX_UNIT, MIN_UNIT
from smartbus._c.core_api import EV_GLOBAL, EV_TRACE
from smartbus._c.events import Item, Packets, texts
from smartbus._c.flood import FloodGate
from smartbus.encoding import decode_wire_text
from smartbus.errors import (
    ArgumentError,
    ClientExistsError,
    ConnectFailedError,
    NotInitializedError,
    UnitIdError,
    error_for,
)

from .log import LOGGER
from .pumps import LoopPump, Pump, ThreadPump

if TYPE_CHECKING:
    from .client import Client

#: ``global_connect_callback(unit_id, client_id, client_type, access_unit_id, status_code, info)``.
GlobalConnectCallback = Callable[[int, int, int, int, int, str], None]

#: How long (seconds) finalizing and releasing wait for queued packets to leave.
LINGER: Final = 1.0


class Runtime:
    """What `Client.initialize` makes and `Client.finalize` ends."""

    def __init__(
        self,
        unit_id: int,
        callback: GlobalConnectCallback | None,
        lib_path: str,
        *,
        abi: bool,
        loop: asyncio.AbstractEventLoop | None,
        params: str,
    ) -> None:
        """Load the library, initialise it and start to pump."""
        self.unit_id = unit_id
        self.settings = (lib_path, abi, loop, params)
        self.callback = callback
        self.clients: dict[int, Client] = {}
        self.backend = opening.open_net(lib_path, abi=abi)
        self._traces = FloodGate(LOGGER)
        # What the core calls an error is reported by an event or an exception as well.
        self._error_level = logging.WARNING if self.backend.kind == "vendor" else logging.INFO
        code = self.backend.init(unit_id, params)
        if code < 0:
            self.backend.close()
            raise error_for(code, f"initialising {self.backend.path} as unit {unit_id} failed")
        self.pump: Pump
        try:
            if loop is None:
                self.pump = ThreadPump(self.backend, self.dispatch)
            else:
                self.pump = LoopPump(self.backend, self.dispatch, loop)
            self.backend.trace(2 if LOGGER.isEnabledFor(logging.DEBUG) else 1)
            self.pump.start()
        except BaseException:
            self.backend.close()
            raise
        self.loop = loop

    def add(self, client: Client) -> None:
        """Register `client` under its id.

        Raises:
            ClientExistsError: There is one with that id.
        """
        if self.clients.setdefault(client.client_id, client) is not client:
            raise ClientExistsError(
                -22, f"client id {client.client_id} is used by another client of this process"
            )

    def linger(self) -> None:
        """Give queued packets a moment to leave, if it is another thread that moves them."""
        self.backend.flush()
        deadline = time.monotonic() + LINGER
        while self.backend.queued() and time.monotonic() < deadline and not self.pump.in_handler():
            time.sleep(0.005)

    def dispatch(self, item: Item) -> None:
        """Hand one event to whom it concerns; never raises."""
        if isinstance(item, Packets) or item.kind not in (EV_GLOBAL, EV_TRACE):
            client = self.clients.get(item.client)
            if client is not None:  # else it was released meanwhile
                client._receive(item)  # noqa: SLF001 - the other half of this class
        elif item.kind == EV_TRACE:
            if item.payload:
                level = self._error_level if item.code else logging.DEBUG
                self._traces.log(level, "library: %s", decode_wire_text(item.payload))
        elif self.callback is not None and item.head is not None:
            unit, client_id, client_type, access_unit, status = item.head[:5]
            (info,) = texts(item.payload, 1)
            try:
                self.callback(
                    unit, client_id, client_type, access_unit, status, decode_wire_text(info)
                )
            except Exception:  # noqa: BLE001 - foreign code must not stop the pump
                LOGGER.exception("global_connect_callback raised")

    def close(self, linger: float) -> None:
        """End the pump, close what can be closed and cut every client off."""
        self.pump.stop(linger)
        for client in tuple(self.clients.values()):
            client._cut_off()  # noqa: SLF001
        self.clients.clear()
        self.backend.close()

    def abandon(self) -> None:
        """Forget everything: a fork has left this process without its threads."""
        self.pump.abandon()
        self.backend.abandon()
        for client in tuple(self.clients.values()):
            client._cut_off()  # noqa: SLF001
        self.clients.clear()


# ---- the one of this process --------------------------------------------------------------

_lock = threading.RLock()
_runtime: Runtime | None = None


def current() -> Runtime:
    """Return the runtime.

    Raises:
        NotInitializedError: `Client.initialize` was not called, or not since `finalize` or a fork.
    """
    if _runtime is None:
        raise NotInitializedError(-14, "call Client.initialize(unit_id) first")
    return _runtime


def find(client_id: int, default: object) -> object:
    """Return this process's client `client_id`, or `default`."""
    return default if _runtime is None else _runtime.clients.get(client_id, default)


def initialize(
    unit_id: int,
    callback: GlobalConnectCallback | None,
    lib_path: str,
    *,
    abi: bool,
    loop: asyncio.AbstractEventLoop | None,
    params: str,
) -> None:
    """Do what `Client.initialize` says."""
    global _runtime
    if not MIN_UNIT <= unit_id <= MAX_UNIT:
        raise UnitIdError(-12, f"unit_id is {unit_id}; NET clients have {MIN_UNIT} to {MAX_UNIT}")
    with _lock:
        if _runtime is None:
            _runtime = Runtime(unit_id, callback, lib_path, abi=abi, loop=loop, params=params)
            return
        if _runtime.settings != (lib_path, abi, loop, params):
            raise ArgumentError(
                -1, "already initialized with another library, loop or params: finalize() first"
            )
        if unit_id != _runtime.unit_id:
            if _runtime.clients:
                raise UnitIdError(
                    -12,
                    f"unit {_runtime.unit_id} has clients; release them or finalize() before "
                    f"becoming unit {unit_id}",
                )
            code = _runtime.backend.init(unit_id, params)
            if code < 0:
                raise error_for(
                    code, f"the library still holds connections as unit {_runtime.unit_id}"
                )
            _runtime.unit_id = unit_id
        _runtime.callback = callback


def finalize(linger: float = LINGER) -> None:
    """Do what `Client.finalize` says."""
    global _runtime
    with _lock:
        runtime, _runtime = _runtime, None
    if runtime is not None:
        runtime.close(linger)


def resolve(host: str, port: int) -> tuple[bytes, int]:
    """Return `host` as dotted IPv4, which is all that the libraries understand, and `port`.

    Raises:
        ArgumentError: The port is none.
        ConnectFailedError: The name has no IPv4 address.
    """
    if not 0 < port < 0xFFFF:
        raise ArgumentError(-1, f"port {port} is not in 1..65534")
    try:
        return str(ipaddress.IPv4Address(host)).encode("ascii"), port
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectFailedError(-20, f"{host!r} has no IPv4 address: {error}") from error
    return str(found[0][4][0]).encode("ascii"), port


def _at_exit() -> None:
    if _runtime is not None:
        if _runtime.clients:
            ids = ", ".join(str(client_id) for client_id in sorted(_runtime.clients))
            warnings.warn(
                f"NET client(s) {ids} were not released, nor was Client.finalize() called",
                ResourceWarning,
                stacklevel=2,
            )
        finalize()


def _after_fork() -> None:
    global _runtime, _lock
    _lock = threading.RLock()
    runtime, _runtime = _runtime, None
    if runtime is not None:
        runtime.abandon()
    opening.abandon()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
