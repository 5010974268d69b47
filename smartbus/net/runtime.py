"""The NET client library of this process: one unit, its clients, its back end, its pump."""

from __future__ import annotations

import asyncio
import atexit
import ipaddress
import os
import socket
import threading
import warnings
from collections.abc import Callable
from dataclasses import astuple
from typing import TYPE_CHECKING, Final, cast

from smartbus._c import opening
from smartbus._c.abi import MAX_UNIT, MIN_UNIT
from smartbus.arguments import seconds, text
from smartbus.errors import (
    ArgumentError,
    ClientExistsError,
    ConnectFailedError,
    NotInitializedError,
    UnitIdError,
    error_for,
)
from smartbus.events import GlobalConnect

from .engine import LINGER, Engine, check_loop
from .log import LOGGER
from .reading import read_global

if TYPE_CHECKING:
    from smartbus._c.backend import NetBackend
    from smartbus._c.events import Event

    from .client import Client

#: ``global_connect_callback(unit_id, client_id, client_type, access_unit_id, status_code, info)``.
GlobalConnectCallback = Callable[[int, int, int, int, int, str], None]


class Runtime(Engine):
    """What `Client.initialize` makes and `Client.finalize` ends."""

    backend: NetBackend

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
        check_loop(loop)
        text("params", params)
        self.unit_id = unit_id
        self.settings = (lib_path, abi, loop, params)
        self.callback = callback
        backend = opening.open_net(lib_path, abi=abi)
        code = backend.init(unit_id, params)
        if code < 0:
            backend.close()
            why = error_for(code).message
            raise error_for(code, f"initialising {backend.path} as unit {unit_id} failed: {why}")
        super().__init__(backend, loop, LOGGER)
        self.clients = cast("dict[int, Client]", self._members)  # `add` is the only way in

    def add(self, client: Client) -> None:
        """Register `client` under its id.

        Raises:
            ClientExistsError: There is one with that id.
        """
        if self._members.setdefault(client.client_id, client) is not client:
            raise ClientExistsError(
                -22,
                f"client id {client.client_id} is used by another client of this process: choose "
                "another, or release() that one first",
            )

    def _global_change(self, event: Event) -> None:
        if self.callback is not None:
            try:
                self.callback(*astuple(read_global(event)))
            except Exception:  # noqa: BLE001 - foreign code must not stop the pump
                LOGGER.exception("global_connect_callback raised")
        for client in tuple(self.clients.values()):
            if client._subscribers.of(GlobalConnect):  # noqa: SLF001 - the other half of that class
                client._receive(event)  # noqa: SLF001 - likewise


# ---- the one of this process --------------------------------------------------------------

_FIRST: Final = "call Client.initialize(unit_id) first"
#: What is said of the library and of its clients in a forked child.
_FORKED: Final = (
    "belongs to the parent of this forked process: call Client.initialize() here, too, with "
    'another unit, and create clients anew; or start processes with multiprocessing\'s "spawn"'
)

_lock = threading.RLock()
_runtime: Runtime | None = None
_missing = _FIRST  # why there is none


def current() -> Runtime:
    """Return the runtime.

    Raises:
        NotInitializedError: `Client.initialize` was not called, or not since `finalize` or a fork.
    """
    if _runtime is None:
        raise NotInitializedError(-14, _missing)
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
    global _runtime, _missing
    _check_callback(callback)
    if not MIN_UNIT <= unit_id <= MAX_UNIT:
        raise UnitIdError(-12, f"unit_id is {unit_id}; NET clients have {MIN_UNIT} to {MAX_UNIT}")
    with _lock:
        if _runtime is None:
            _runtime = Runtime(unit_id, callback, lib_path, abi=abi, loop=loop, params=params)
            _missing = _FIRST
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


def _check_callback(callback: object) -> None:
    if callback is not None and not callable(callback):
        kind = type(callback).__name__
        raise TypeError(f"global_connect_callback must be callable, not {kind}")


def finalize(linger: float = LINGER) -> None:
    """Do what `Client.finalize` says."""
    global _runtime
    seconds("linger", linger)  # before anything ends
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
        apart = " (host and port are two arguments)" if ":" in host or "/" in host else ""
        message = f"{host!r} has no IPv4 address{apart}: {error}"
        raise ConnectFailedError(-20, message) from error
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
    global _runtime, _lock, _missing
    _lock = threading.RLock()
    runtime, _runtime = _runtime, None
    if runtime is not None:
        _missing = f"the library {_FORKED}"
        runtime.abandon(_FORKED)
    opening.abandon()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
