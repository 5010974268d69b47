"""The NET client: one connection to a SmartBus server, as an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from smartbus.arguments import integers, text, whole
from smartbus.errors import AlreadyConnectedError, ArgumentError

from . import runtime as _runtime
from .base import BusClient
from .engine import LINGER
from .log import LOGGER

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Executor

    from typing_extensions import Self

    from .runtime import GlobalConnectCallback, Runtime

__all__ = ["Client"]

_Default = TypeVar("_Default")

_CONNECT_FAILED, _ALREADY_CONNECTED = -20, -10


class Client(BusClient):
    """A NET client: connects to a bus server over TCP, sends and receives.

    Override the ``on_*`` methods you need, then::

        Client.initialize(unit_id=19)
        client = MyClient.create(0, 19, "127.0.0.1", 8089)
        client.activate()

    Handlers run one after the other in one thread of this package, in `event_executor` if one
    is given, or in the loop that `initialize` got. An exception in a handler is logged and
    stops nothing. A handler that takes long holds up the following events (not the
    connection); sending is allowed in handlers and from any thread.

    All times are seconds. Text is sent as GBK, as IPSC has it, except the data of `send_data`.

    Args:
        client_id: Local client id, 0 to 255.
        client_type: Local client type, 2 to 255.
        master_ip: Address of the server: dotted IPv4 or a host name, resolved by `activate`.
        master_port: Its port.
        slave_ip: Address of a second server, if there is one; ``None``, ``""`` or 0 otherwise.
        slave_port: Its port; ``None``, 0 or 0xFFFF if there is none.
        user: User name, if the server wants one.
        password: Its password.
        info: Free text that other clients see in global connect events.
        event_executor: Runs the handlers. It is not shut down here.
        encoding: Codec of received text and of `str` data; kept as `encoding`.

    Raises:
        NotInitializedError: `initialize` was not called.
        ClientExistsError: This process has a client with that id.
        ArgumentError: An argument is out of range.
        TypeError: An argument is of a wrong type.
    """

    _records = LOGGER
    _passing = frozenset((_CONNECT_FAILED, _ALREADY_CONNECTED))
    _runtime: Runtime

    def __init__(
        self,
        client_id: int,
        client_type: int,
        master_ip: str,
        master_port: int,
        slave_ip: str | int | None = None,
        slave_port: int | None = None,
        user: str | None = None,
        password: str | int | None = None,
        info: str | None = None,
        event_executor: Executor | None = None,
        *,
        encoding: str = "utf-8",
    ) -> None:
        integers(master_port=master_port, slave_port=slave_port or 0)
        self._master_ip = text("master_ip", master_ip)
        self._master_port = master_port
        self._slave_ip = str(slave_ip) if slave_ip else None
        self._slave_port = slave_port if slave_port and slave_port != 0xFFFF else None
        servers = f"{master_ip}:{master_port}"
        if self._slave_ip is not None and self._slave_port is not None:
            servers += f" or {self._slave_ip}:{self._slave_port}"
        super().__init__(
            client_id, client_type, servers, user, password, info, event_executor, encoding
        )
        self._use(_runtime.current())
        self._runtime.add(self)

    # ---- the process's library -----------------------------------------------------------

    @classmethod
    def initialize(
        cls,
        unit_id: int,
        global_connect_callback: GlobalConnectCallback | None = None,
        lib_path: str = "",
        *,
        library: str | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        params: str | None = None,
        abi: bool = False,
    ) -> None:
        """Load the library and make this process the unit `unit_id`.

        Calling it again with the same library, loop and params is allowed: it replaces the
        callback and, while there are no clients, the unit. (The C interface would also
        rename a unit whose clients are connected, NET.md 9.1; the server would take their
        packets for forged.)

        Args:
            unit_id: 16 to 47, not used by any other process on the bus.
            global_connect_callback: Called as ``callback(unit_id, client_id, client_type,
                access_unit_id, status_code, info)`` when a client comes (1), is found to be
                there (2) or goes (0). Every connection of this process reports its peers.
            lib_path: The library: a file, a directory with it, ``"core"`` or ``"vendor"``;
                empty for the order that ``python -m smartbus info`` shows.
            library: Another name of `lib_path`.
            loop: Handle all events in this asyncio loop, without threads, and call everything
                else in its thread too. Packets then leave once in a turn of the loop.
            params: ``"key=value;…"`` for the library's InitEx.
            abi: Use even the core through the vendor's C interface.

        Raises:
            UnitIdError: `unit_id` is out of range, or another unit has clients.
            LibraryNotFoundError: No library is usable; it lists what was tried.
            ArgumentError: Initialised already with another library, loop or params.
            TypeError: An argument is of a wrong type.
        """
        if lib_path and library and lib_path != library:
            raise ArgumentError(-1, f"lib_path is {lib_path!r}, but library is {library!r}")
        whole("unit_id", unit_id)
        _runtime.initialize(
            unit_id,
            global_connect_callback,
            str(lib_path or library or ""),
            abi=abi,
            loop=loop,
            params=params or "",
        )

    @classmethod
    def finalize(cls, linger: float = LINGER) -> None:
        """Release all clients and the library; `initialize` is possible again afterwards.

        Does nothing if nothing is initialised. Also happens at exit. The vendor's library
        cannot be released (NET.md 9.1): its connections stay until the process ends, what
        they bring is dropped, and their client ids stay taken.

        Args:
            linger: How long packets that are still queued may take to leave.

        Raises:
            ArgumentError: `linger` is negative or endless.
        """
        _runtime.finalize(linger)

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a client; the arguments are those of the class."""
        return cls._made(*args, **kwargs)

    @overload
    @classmethod
    def find(cls, client_id: int) -> Client | None: ...
    @overload
    @classmethod
    def find(cls, client_id: int, default: _Default) -> Client | _Default: ...
    @classmethod
    def find(cls, client_id: int, default: object = None) -> object:
        """Return this process's client `client_id`, or `default` if there is none."""
        return _runtime.find(client_id, default)

    # ---- what it is ----------------------------------------------------------------------

    @property
    def unit_id(self) -> int:
        """This process's unit."""
        return self._runtime.unit_id

    @property
    def master_ip(self) -> str:
        """Address of the server, as it was given."""
        return self._master_ip

    @property
    def master_port(self) -> int:
        """Port of the server."""
        return self._master_port

    @property
    def slave_ip(self) -> str | None:
        """Address of the second server, or None."""
        return self._slave_ip

    @property
    def slave_port(self) -> int | None:
        """Port of the second server, or None."""
        return self._slave_port

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._client_id} (type {self._client_type}) of unit "
            f"{self.unit_id} at {self._servers}: {self._state()}>"
        )

    # ---- life ----------------------------------------------------------------------------

    def activate(self) -> None:
        """Start to connect, and keep connecting until released; returns at once.

        A connection that could not be made or was lost is made anew without end. A refusal
        by the server ends the attempts (NET.md 2.5); with the core, calling this again then
        tries once more.

        Raises:
            AlreadyConnectedError: It is active.
            ConnectFailedError: A host name has no IPv4 address.
            ArgumentError: A port or a text is bad.
            SmartBusError: The library refused, for instance for the client type.
        """
        self._check_alive()
        master = _runtime.resolve(self._master_ip, self._master_port)
        slave = None
        if self._slave_ip is not None and self._slave_port is not None:
            slave = _runtime.resolve(self._slave_ip, self._slave_port)
        credentials = self._credentials()
        backend = self._runtime.backend
        with self._changed:
            if self._activated and not self._refused:
                raise AlreadyConnectedError(-10, f"client {self._client_id} is active already")
            if self._activated and backend.forgets:
                backend.disconnect(self._client_id)
            code = backend.connect(self._client_id, self._client_type, master, slave, *credentials)
            if code < 0:
                raise self._error(code, f"activate() towards {self._servers}")
            self._activated, self._refused, self._failure = True, False, 0

    def release(self) -> None:
        """Close the connection and forget this client; its id may be used again.

        No event comes any more. The vendor's library cannot forget a client: its connection
        stays, unheard, and the id stays taken. Calling it again does nothing.
        """
        if self._released:
            return
        if self._connected:
            self._runtime.linger()
        self._runtime.clients.pop(self._client_id, None)
        self._runtime.backend.disconnect(self._client_id)
        self._cut_off()

    def _end(self) -> None:
        self.release()
