"""The IPC client: the connection of this process to the bus server of its machine."""

from __future__ import annotations

import os
from dataclasses import astuple
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from smartbus._c.abi import IPC_SOCKET, IPC_SOCKET_ENVIRONMENT
from smartbus.arguments import seconds
from smartbus.errors import AlreadyConnectedError, ArgumentError
from smartbus.events import Connected, GlobalConnect
from smartbus.net.base import BusClient
from smartbus.net.engine import LINGER
from smartbus.net.sending import HINTS

from . import instance as _instance
from .engine import IpcEngine
from .log import LOGGER

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Executor

    from typing_extensions import Self

    from smartbus.events import Event

__all__ = ["Client"]

_CONNECT_FAILED = -20


class Client(BusClient):
    """An IPC client: connects to the bus server over its local socket, sends and receives.

    A process has one at a time. Override the ``on_*`` methods you need, then::

        client = MyClient.create(10, 18)
        client.activate()
        ...
        MyClient.destroy()

    The socket is ``/tmp/smartbus_ipc``, or what the environment's ``SMARTBUS_IPC_SOCKET``
    names. The server gives the client its unit, which is the server's own (IPC.md 3.2).

    Handlers run one after the other in one thread of this package, in `event_executor` if one
    is given, or in `loop`. An exception in a handler is logged and stops nothing. A handler
    that takes long holds up the following events; sending is allowed in handlers and from any
    thread.

    All times are seconds. Text is sent as GBK, as IPSC has it, except the data of `send_data`.

    Args:
        client_id: Client id, 0 to 255.
        client_type: Client type, 2 to 255.
        user: User name, if the server wants one.
        password: Its password.
        info: Free text that other clients see in global connect events.
        lib_path: The library: a file, a directory with it, ``"core"`` or ``"vendor"``; empty
            for what ``SMARTBUS_IPCCLI_LIB`` names, ``busipccli`` on the system's search path,
            or the core, in this order.
        event_executor: Runs the handlers. It is not shut down here.
        library: Another name of `lib_path`.
        loop: Handle all events in this asyncio loop, without threads, and call everything
            else in its thread too. Packets then leave once in a turn of the loop.
        encoding: Codec of received text and of `str` data; kept as `encoding`.
        params: ``"key=value;…"`` for the core, as those of `smartbus.net.Client.initialize`:
            ``FlowAckTimeout=ms`` is how long `launch_flow` waits for the acknowledgement. The
            vendor's interface takes none; they are ignored there, with a warning.
        abi: Use even the core through the vendor's C interface.

    Raises:
        ClientExistsError: This process has its IPC client already.
        LibraryNotFoundError: No library is usable; it lists what was tried.
        ClientTypeError: `client_type` is too small.
        ArgumentError: Another argument is out of range.
    """

    _records = LOGGER
    _passing = frozenset((_CONNECT_FAILED,))
    _hints = MappingProxyType({**HINTS, -11: "the destination is this client itself"})
    _runtime: IpcEngine

    def __init__(
        self,
        client_id: int,
        client_type: int,
        user: str | None = None,
        password: str | int | None = None,
        info: str | None = None,
        lib_path: str = "",
        event_executor: Executor | None = None,
        *,
        library: str | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        encoding: str = "utf-8",
        params: str | None = None,
        abi: bool = False,
    ) -> None:
        if lib_path and library and lib_path != library:
            raise ArgumentError(-1, f"lib_path is {lib_path!r}, but library is {library!r}")
        servers = os.environ.get(IPC_SOCKET_ENVIRONMENT) or IPC_SOCKET
        super().__init__(
            client_id, client_type, servers, user, password, info, event_executor, encoding
        )
        self._unit_id: int | None = None
        if event_executor is not None and loop is not None:
            raise ArgumentError(-1, "with loop= handlers run in the loop: no event_executor then")
        with _instance.lock:
            _instance.check_free()
            library = str(lib_path or library or "")
            self._use(IpcEngine(self, library, abi=abi, loop=loop, params=params or ""))
            _instance.take(self)  # from here on others find it, whole

    # ---- the one of this process ---------------------------------------------------------

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> Self:
        """Make this process's client; the arguments are those of the class.

        Raises:
            ClientExistsError: There is one.
        """
        return cls._made(*args, **kwargs)

    @classmethod
    def get(cls) -> Self:
        """Return this process's client.

        Raises:
            NotInitializedError: There is none.
            TypeError: It is not of this class.
        """
        client = _instance.require()
        if not isinstance(client, cls):
            raise TypeError(f"the IPC client is a {type(client).__name__}, no {cls.__name__}")
        return client

    @classmethod
    def instance(cls) -> Self:
        """Return this process's client; another name of `get`."""
        return cls.get()

    @classmethod
    def get_or_create(cls, *args: Any, **kwargs: Any) -> Self:
        """Return this process's client, or make it if there is none.

        Raises:
            TypeError: There is one, but not of this class.
        """
        with _instance.lock:
            return cls.get() if _instance.current() is not None else cls.create(*args, **kwargs)

    @classmethod
    def destroy(cls) -> None:
        """Dispose of this process's client, if there is one; `create` is possible again."""
        client = _instance.current()
        if client is not None:
            client.dispose()

    # ---- what it is ----------------------------------------------------------------------

    @property
    def unit_id(self) -> int | None:
        """Unit that the server gave this client, its own one; None before the first time."""
        return self._unit_id

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._client_id} (type {self._client_type}) at "
            f"{self._servers}: {self._state()}>"
        )

    # ---- life ----------------------------------------------------------------------------

    def activate(self) -> None:
        """Start to connect, and keep connecting until disposed of; returns at once.

        A connection that could not be made or was lost is made anew without end. A refusal
        by the server ends the attempts (IPC.md 3.2); calling this again then tries once more.

        Raises:
            AlreadyConnectedError: It is active.
            ArgumentError: A text or the socket's name is bad.
            ClientNotFoundError: It was disposed of.
        """
        self._check_alive()
        credentials = self._credentials()
        with self._changed:
            if self._activated and not self._refused:
                raise AlreadyConnectedError(-10, f"client {self._client_id} is active already")
            self._servers = os.environ.get(IPC_SOCKET_ENVIRONMENT) or IPC_SOCKET
            code = self._runtime.backend.connect(*credentials)
            if code < 0:
                raise self._error(code, f"activate() towards {self._servers}")
            self._activated, self._refused, self._failure = True, False, 0

    def dispose(self, linger: float = LINGER) -> None:
        """Close the connection and free the library; needed before another client is made.

        No event comes any more. Also happens at exit, with a warning. Calling it again does
        nothing.

        Args:
            linger: How long packets that are still queued may take to leave.

        Raises:
            ArgumentError: `linger` is negative, endless or no number.
            TypeError: It is of another type.
        """
        seconds("linger", linger)  # before anything ends
        with self._changed:
            if self._released:
                return
            self._released = True
        try:
            self._runtime.close(linger)
        finally:
            _instance.leave(self)

    def _end(self) -> None:
        self.dispose()

    def _abandon(self, why: str) -> None:
        """Forget the library: this is a forked child of its process."""
        self._runtime.abandon(why)

    # ---- receiving -----------------------------------------------------------------------

    def on_global_connect_state_changed(
        self,
        unit_id: int,
        client_id: int,
        client_type: int,
        access_unit_id: int,
        status_code: int,
        info: str,
    ) -> None:
        """Another client has come to the bus, or left it.

        Args:
            unit_id: Its unit.
            client_id: Its client id.
            client_type: Its client type.
            access_unit_id: Unit of the server that it is connected to.
            status_code: 0 it left, 1 it came, 2 it was there before.
            info: The text that it came with.
        """

    def _handle(self, event: Event) -> None:
        if isinstance(event, GlobalConnect):
            self.on_global_connect_state_changed(*astuple(event))
        else:
            super()._handle(event)

    def _note(self, event: Event) -> None:
        if isinstance(event, Connected):
            self._unit_id = event.access_unit_id
        super()._note(event)
