"""The NET client: one connection to a SmartBus server, as an object."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from smartbus._c.abi import MAX_DATA, MAX_TITLE
from smartbus._c.core_api import (
    EV_CONNECTED,
    EV_DISCONNECTED,
    EV_FLOW_ACK,
    EV_FLOW_RETURN,
)
from smartbus._c.events import Event, Item, Packet, Packets, texts
from smartbus.encoding import decode_text, decode_wire_text, dumps_ascii
from smartbus.errors import (
    AlreadyConnectedError,
    ArgumentError,
    ClientNotFoundError,
    CommandTypeError,
    NotConnectedError,
    SmartBusTimeoutError,
    TooLargeError,
    error_for,
)
from smartbus.head import Head
from smartbus.utils import LoggerMixin

from . import runtime as _runtime
from .lane import Lane
from .log import LOGGER
from .text import (
    MAX_ID,
    MAX_INFO,
    MAX_PASSWORD,
    MAX_USER,
    milliseconds,
    whole,
    wire_text,
)

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Executor
    from types import TracebackType

    from typing_extensions import Buffer, Self

    from .runtime import GlobalConnectCallback, Runtime

__all__ = ["Client"]

_Default = TypeVar("_Default")

#: ``on_flow_error`` gets this code when a flow's result is no JSON array (``OtherError``).
BAD_RESULT = -99

_TIMEOUT, _CONNECT_FAILED, _ALREADY_CONNECTED = -25, -20, -10
_RETURNED = 1

# What a code most likely means where it comes back, beside its general text.
_HINTS = {
    -1: "an argument is empty or out of range",
    -7: "too much is queued; the server does not read fast enough",
    -9: "the client was not activated",
    -11: "the destination is this client's own unit",
    -12: "unit ids go up to 47, those of servers up to 15; -1 is any",
    -15: "the data is too large",
    -16: "cmd_type 0 is the bus's own",
    -17: "client types start at 2",
    -21: "too many clients in this process",
    -22: "the vendor's library never forgets a client id, and this one was used before",
}


class Client(LoggerMixin):
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
    """

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
        self._client_id = whole("client_id", client_id, 0, 255)
        self._client_type = whole("client_type", client_type, 0, 255)
        self._master_ip = master_ip
        self._master_port = master_port
        self._slave_ip = str(slave_ip) if slave_ip else None
        self._slave_port = slave_port if slave_port and slave_port != 0xFFFF else None
        self._user = user
        self._password = password
        self._info = info
        self._executor = event_executor
        self.encoding = encoding
        self._lane = Lane(event_executor) if event_executor is not None else None
        self._changed = threading.Condition()
        self._activated = False
        self._connected = False
        self._failure = 0  # the last code that connecting brought
        self._refused = False
        self._released = False
        self._runtime: Runtime = _runtime.current()
        if self._executor is not None and self._runtime.loop is not None:
            raise ArgumentError(-1, "with loop= handlers run in the loop: no event_executor then")
        self._pump = self._runtime.pump
        self._send = self._runtime.backend.sender(self._client_id)
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
    def finalize(cls, linger: float = _runtime.LINGER) -> None:
        """Release all clients and the library; `initialize` is possible again afterwards.

        Does nothing if nothing is initialised. Also happens at exit. The vendor's library
        cannot be released (NET.md 9.1): its connections stay until the process ends, what
        they bring is dropped, and their client ids stay taken.

        Args:
            linger: How long packets that are still queued may take to leave.
        """
        _runtime.finalize(linger)

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a client; the arguments are those of the class."""
        return cls(*args, **kwargs)

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
    def client_id(self) -> int:
        """Local client id."""
        return self._client_id

    @property
    def client_type(self) -> int:
        """Local client type."""
        return self._client_type

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

    @property
    def user(self) -> str | None:
        """User name."""
        return self._user

    @property
    def password(self) -> str | int | None:
        """Password."""
        return self._password

    @property
    def info(self) -> str | None:
        """Free text about this client."""
        return self._info

    @property
    def event_executor(self) -> Executor | None:
        """What runs the handlers; None for this package's own thread or loop."""
        return self._executor

    @property
    def connected(self) -> bool:
        """Whether the server has accepted this client and the connection stands."""
        return self._connected

    def __repr__(self) -> str:
        state = (
            "connected" if self._connected else "released" if self._released else "not connected"
        )
        return (
            f"<{type(self).__name__} {self._client_id} (type {self._client_type}) of unit "
            f"{self.unit_id} at {self._servers()}: {state}>"
        )

    def _servers(self) -> str:
        slave = f" or {self._slave_ip}:{self._slave_port}" if self._has_slave() else ""
        return f"{self._master_ip}:{self._master_port}{slave}"

    def _has_slave(self) -> bool:
        return self._slave_ip is not None and self._slave_port is not None

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
        user = wire_text("user", self._user or "", MAX_USER)
        password = self._password if self._password is not None else ""
        secret = wire_text("password", str(password), MAX_PASSWORD)
        info = wire_text("info", self._info or "")[:MAX_INFO]
        backend = self._runtime.backend
        with self._changed:
            if self._activated and not self._refused:
                raise AlreadyConnectedError(-10, f"client {self._client_id} is active already")
            if self._activated and backend.forgets:
                backend.disconnect(self._client_id)
            code = backend.connect(
                self._client_id, self._client_type, master, slave, user, secret, info
            )
            if code < 0:
                raise self._error(code, f"activate() towards {self._servers()}")
            self._activated, self._refused, self._failure = True, False, 0

    def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until the client is connected.

        Args:
            timeout: How long to wait at most; None for ever.

        Raises:
            SmartBusTimeoutError: Not connected in time; the message has the last failure.
            SmartBusError: The server refused; the class tells why, as `PasswordError`.
            NotConnectedError: The client was not activated.
            ClientNotFoundError: It was released.
            RuntimeError: Called where the handlers run: nothing could ever come in.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._connected:
                self._check_alive()
                if not self._activated:
                    raise NotConnectedError(-2, f"client {self._client_id} was not activated")
                if self._refused:
                    why = error_for(self._failure).message
                    raise error_for(
                        self._failure, f"{self._servers()} refused client {self._client_id}: {why}"
                    )
                if self._pump.in_handler():
                    raise RuntimeError("wait_connected() would block the events it waits for")
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    why = f": {error_for(self._failure)}" if self._failure else ""
                    raise SmartBusTimeoutError(
                        _TIMEOUT,
                        f"client {self._client_id} is not connected to {self._servers()} "
                        f"after {timeout} s{why}",
                    )
                self._changed.wait(left)

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

    def _cut_off(self) -> None:
        """End this object's part; the runtime does the rest."""
        self._send = _released
        if self._lane is not None:
            self._lane.close()
        with self._changed:
            self._released, self._connected = True, False
            self._changed.notify_all()

    def __enter__(self) -> Self:
        """Activate, if not done yet."""
        if not self._activated:
            self.activate()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release."""
        self.release()

    def _check_alive(self) -> None:
        if self._released:
            raise ClientNotFoundError(-9, f"client {self._client_id} was released")

    # ---- sending -------------------------------------------------------------------------

    def send_data(
        self,
        cmd: int,
        cmd_type: int,
        dst_unit_id: int,
        dst_client_id: int,
        dst_client_type: int,
        data: str | Buffer | None,
    ) -> None:
        """Queue a packet. Success means queued; the bus delivers at most once.

        Args:
            cmd: Command, 0 to 255, of your choice.
            cmd_type: Command class, 1 to 255; 3 is user data (NET.md 1.2).
            dst_unit_id: Unit of the receiver; -1 is any.
            dst_client_id: Client id of the receiver; -1 is all that fit.
            dst_client_type: Client type of the receiver; -1 is any.
            data: Bytes, or text, which is encoded with this client's `encoding`.

        Raises:
            NotConnectedError: Not connected at the moment.
            BufferFullError: Too much is queued already.
            OwnUnitError: The destination is this client's own unit.
            SmartBusError: Another argument is bad.
            TypeError: A number is no ``int``, or `data` is no text and no bytes.
        """
        # Once for each message, so: two comparisons check five numbers, `|` their types.
        try:
            usual = (
                0 <= cmd | cmd_type <= 255
                and -1 <= dst_unit_id | dst_client_id | dst_client_type <= 255
            )
        except TypeError:
            usual = False
        if not usual:
            self._check_address(cmd, cmd_type, dst_unit_id, dst_client_id, dst_client_type)
        if type(data) is not bytes:
            data = self._as_bytes(data)
        size = len(data)
        if size > MAX_DATA:
            raise TooLargeError(-15, f"{size} bytes of data; {MAX_DATA} fit into a packet")
        code = self._send(cmd, cmd_type, dst_unit_id, dst_client_id, dst_client_type, data, size)
        if code < 0:
            raise self._error(
                code,
                f"send_data(cmd {cmd}, cmd_type {cmd_type}, to unit {dst_unit_id}, client "
                f"{dst_client_id}, type {dst_client_type}, {size} bytes)",
            )
        if not self._pump.flush_due:
            self._pump.flush_soon()

    def ping(
        self,
        dst_unit_id: int,
        dst_client_id: int,
        dst_client_type: int,
        data: str | Buffer | None = None,
    ) -> None:
        """Send a ping. The answer comes to `on_data` with cmd_type 1, cmd 8 (NET.md 6).

        Raises:
            SmartBusError: As `send_data`.
        """
        raw = self._as_bytes(data)
        self._check_alive()
        code = self._runtime.backend.ping(
            self._client_id,
            whole("dst_unit_id", dst_unit_id),
            whole("dst_client_id", dst_client_id, -1, 255),
            whole("dst_client_type", dst_client_type, -1, 255),
            raw,
        )
        self._sent(code, f"ping(unit {dst_unit_id}, client {dst_client_id}, {len(raw)} bytes)")

    def launch_flow(
        self,
        server_unit_id: int,
        process_index: int,
        project_id: str,
        flow_id: str,
        mode: int,
        timeout: float,
        params: Sequence[Any] | None,
    ) -> int:
        """Start a flow on an IPSC process (NET.md 7).

        `on_flow_ack` tells whether it started; with mode 0 `on_flow_resp` brings its result
        or `on_flow_timeout` says that none came.

        Args:
            server_unit_id: Unit of the IPSC server, 0 to 15.
            process_index: Index of the IPSC process; this is its client id.
            project_id: Project, at most 31 bytes.
            flow_id: Flow, at most 31 bytes.
            mode: 0 the flow returns a result, 1 it does not.
            timeout: How long to wait for the result. The ack is waited for as long, but at
                least 1 s and at most 5 s.
            params: The flow's parameters: a list of simple values, sent as a JSON array of at
                most 8001 bytes (vendor's library) or 16001 bytes (core). None is an empty list.

        Returns:
            The invoke id that the events about this call carry.

        Raises:
            TooLargeError: The parameters are too long.
            TypeError: `params` is no list, or holds what JSON does not know.
            SmartBusError: As `send_data`.
        """
        if params is not None and not isinstance(params, (list, tuple)):
            raise TypeError(f"params must be a list, not {type(params).__name__}")
        self._check_alive()
        code = self._runtime.backend.call_flow(
            self._client_id,
            whole("server_unit_id", server_unit_id),
            whole("process_index", process_index, -1, 255),
            wire_text("project_id", project_id, MAX_ID),
            wire_text("flow_id", flow_id, MAX_ID),
            whole("mode", mode, 0, 255),
            milliseconds("timeout", timeout),
            dumps_ascii(list(params or ())).encode("ascii"),
        )
        return self._sent(
            code,
            f"launch_flow(unit {server_unit_id}, process {process_index}, {project_id!r}, "
            f"{flow_id!r}, mode {mode}, {timeout} s)",
        )

    def notify(
        self,
        server_unit_id: int,
        process_index: int,
        project_id: str,
        title: str | bytes,
        mode: int,
        expires: float,
        txt: str | bytes,
    ) -> int:
        """Send a notification message to an IPSC process, where a flow waits for its title.

        Args:
            server_unit_id: Unit of the IPSC server, 0 to 15.
            process_index: Index of the IPSC process.
            project_id: Project; may be empty.
            title: What the flow waits for; 1 to 101 bytes.
            mode: 0.
            expires: How long the message stays valid, in seconds.
            txt: The message; 1 to 15999 bytes.

        Returns:
            The id of this notification.

        Raises:
            SmartBusError: As `send_data`.
        """
        self._check_alive()
        code = self._runtime.backend.notify(
            self._client_id,
            whole("server_unit_id", server_unit_id),
            whole("process_index", process_index, -1, 255),
            wire_text("project_id", project_id, MAX_ID),
            wire_text("title", title, MAX_TITLE),
            whole("mode", mode, 0, 255),
            milliseconds("expires", expires),
            wire_text("txt", txt),
        )
        return self._sent(
            code, f"notify(unit {server_unit_id}, process {process_index}, {title!r}, {expires} s)"
        )

    def notify_many(
        self, notifies: Iterable[tuple[int, int, str | bytes, str | bytes]], expires: float
    ) -> Sequence[int]:
        """Send many notifications, with empty project and mode 0, in one call.

        Args:
            notifies: For each one server unit, process index, title and text, as `notify`.
            expires: How long they stay valid, in seconds.

        Returns:
            For each one its id, or the negative code of its error, which costs only that one.

        Raises:
            ClientNotFoundError: The client was released.
            TypeError: A title or text is no text and no bytes.
        """
        self._check_alive()
        batch = [
            (
                unit,
                process,
                title if type(title) is bytes else wire_text("title", title),
                text if type(text) is bytes else wire_text("txt", text),
            )
            for unit, process, title, text in notifies
        ]
        codes = self._runtime.backend.notify_many(
            self._client_id, batch, milliseconds("expires", expires)
        )
        if not self._pump.flush_due:
            self._pump.flush_soon()
        return codes

    def _sent(self, code: int, what: str) -> int:
        if code < 0:
            raise self._error(code, what)
        if not self._pump.flush_due:
            self._pump.flush_soon()
        return code

    def _error(self, code: int, what: str) -> Exception:
        if self._released:
            hint = "the client was released"
        elif code == -2:
            hint = f"not connected to {self._servers()}"
        else:
            hint = _HINTS.get(code) or error_for(code).message
        return error_for(code, f"client {self._client_id}: {what}: {hint}")

    @staticmethod
    def _check_address(cmd: int, cmd_type: int, unit: int, client: int, client_type: int) -> None:
        """Raise for what `send_data` found to be out of range, if it is."""
        whole("cmd", cmd, 0, 255)
        if whole("cmd_type", cmd_type, 0, 255) == 0:
            raise CommandTypeError(-16, "cmd_type 0 is the bus's own")
        whole("dst_unit_id", unit)  # the library knows which ones it takes
        whole("dst_client_id", client, -1, 255)
        whole("dst_client_type", client_type, -1, 255)

    def _as_bytes(self, data: str | Buffer | None) -> bytes:
        if data is None:
            return b""
        if isinstance(data, str):
            return data.encode(self.encoding)
        return bytes(memoryview(data))  # bytes() alone would take numbers, too

    # ---- receiving -----------------------------------------------------------------------

    def _receive(self, item: Item) -> None:
        """Take an event from the pump; never raises."""
        if isinstance(item, Packets):
            packets = item.packets
            if self._lane is None:
                self._guard(self.on_data_batch, packets)
            else:
                size = sum(len(data) for _, data in packets)
                self._lane.submit(
                    partial(self._guard, self.on_data_batch, packets), len(packets), size
                )
            return
        self._note(item)
        if self._lane is None:
            self._guard(self._handle, item)
        else:
            self._lane.submit(partial(self._guard, self._handle, item), 1, len(item.payload))

    def _guard(self, handler: Callable[..., None], *args: object) -> None:
        try:
            handler(*args)
        except (Exception, SystemExit):  # noqa: BLE001 - foreign code must not stop the pump
            LOGGER.exception("client %d: a handler raised", self._client_id)

    def _note(self, event: Event) -> None:
        """Keep track of the connection, whoever runs the handlers and whenever."""
        if event.kind == EV_CONNECTED:
            with self._changed:
                self._connected = event.code == 0
                self._failure = event.code
                self._refused = event.code not in (0, _CONNECT_FAILED, _ALREADY_CONNECTED)
                self._changed.notify_all()
            if event.code == 0:
                LOGGER.info("client %d connected to %s", self._client_id, self._servers())
            else:
                LOGGER.log(
                    logging.ERROR if self._refused else logging.WARNING,
                    "client %d: connecting to %s failed: %s%s",
                    self._client_id,
                    self._servers(),
                    error_for(event.code),
                    "; not trying again" if self._refused else "; trying again",
                )
        elif event.kind == EV_DISCONNECTED:
            with self._changed:
                self._connected = False
                self._changed.notify_all()
            LOGGER.warning("client %d lost its connection to %s", self._client_id, self._servers())

    def _handle(self, event: Event) -> None:
        """Call the handler of `event`."""
        if event.kind == EV_CONNECTED:
            if event.code == 0:
                self.on_connect()
            else:
                self.on_connect_fail(event.code)
        elif event.kind == EV_DISCONNECTED:
            self.on_disconnect()
        elif event.kind in (EV_FLOW_ACK, EV_FLOW_RETURN):
            head = Head(event.head) if event.head is not None else None
            project, text = texts(event.payload, 2)
            about = (head, decode_wire_text(project), event.id)
            if event.kind == EV_FLOW_ACK:
                self.on_flow_ack(*about, event.code, decode_wire_text(text))
            elif event.code == _TIMEOUT:
                self.on_flow_timeout(*about)
            elif event.code != _RETURNED:
                self.on_flow_error(*about, event.code)
            else:
                try:
                    result = _flow_result(decode_text(text, self.encoding))
                except ValueError as error:
                    LOGGER.error(
                        "client %d: result of flow call %d: %s", self._client_id, event.id, error
                    )
                    self.on_flow_error(*about, BAD_RESULT)
                else:
                    self.on_flow_resp(*about, result)

    # ---- events to override --------------------------------------------------------------

    def on_connect(self) -> None:
        """The server has accepted this client; also after every reconnection."""

    def on_connect_fail(self, error_code: int) -> None:
        """Connecting failed.

        Args:
            error_code: -20 if the server could not be reached; this comes once, and connecting
                goes on. Other codes are the server's refusal, and connecting ends.
        """

    def on_disconnect(self) -> None:
        """The connection is lost; reconnecting has begun. Not called after `release`."""

    def on_data(self, head: Head, data: bytes) -> None:
        """A packet came in.

        Pings (cmd_type 1, cmd 7, already answered) and their answers (cmd 8) come here too.

        Args:
            head: Sender, receiver, command.
            data: What was sent.
        """

    def on_data_batch(self, batch: list[Packet]) -> None:
        """Consecutive packets came in; calls `on_data` for each of them.

        Override it instead of `on_data` where speed matters.

        Args:
            batch: For each packet its raw 20-byte header (see `Head`) and its data.
        """
        for head, data in batch:
            self._guard(self.on_data, Head(head), data)

    def on_flow_ack(
        self, head: Head | None, project_id: str, invoke_id: int, status_code: int, msg: str
    ) -> None:
        """IPSC has started a flow, or not.

        Args:
            head: The packet's; None with status -25.
            project_id: The project of the call.
            invoke_id: What `launch_flow` returned.
            status_code: 1 the flow started; -25 no ack came in time; else IPSC's error.
            msg: IPSC's message.
        """

    def on_flow_resp(
        self, head: Head | None, project_id: str, invoke_id: int, params: list[Any]
    ) -> None:
        """A flow has returned.

        Args:
            head: The packet's.
            project_id: The project of the call.
            invoke_id: What `launch_flow` returned.
            params: The flow's result; empty if it returned no text at all.
        """

    def on_flow_error(
        self, head: Head | None, project_id: str, invoke_id: int, error_code: int
    ) -> None:
        """A flow has ended in an error.

        Args:
            head: The packet's.
            project_id: The project of the call.
            invoke_id: What `launch_flow` returned.
            error_code: The library's code; -99 if the result was no JSON array (it is logged).
        """

    def on_flow_timeout(self, head: Head | None, project_id: str, invoke_id: int) -> None:
        """No result of a flow came within the call's timeout.

        Args:
            head: None: there is no packet.
            project_id: The project of the call.
            invoke_id: What `launch_flow` returned.
        """


def _released(*_: object) -> int:
    return -9


def _flow_result(text: str) -> list[Any]:
    if not text:
        return []
    try:
        result = json.loads(text)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}: {text[:200]!r}") from None
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    if not isinstance(result, list):
        raise ValueError(f"no JSON array: {text[:200]!r}")  # noqa: TRY004 - a value from outside
    return result
