"""A client's state and what keeps it up to date; NET and IPC clients add how they connect."""

from __future__ import annotations

import codecs
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from smartbus._c import events as raw
from smartbus.arguments import seconds_or_none, whole
from smartbus.errors import ArgumentError, NotConnectedError, SmartBusTimeoutError, error_for
from smartbus.events import (
    Connected,
    ConnectFailed,
    Disconnected,
    Event,
    FlowEvent,
    FlowFailed,
    Packet,
)
from smartbus.head import Head
from smartbus.refusals import refusal
from smartbus.subscriptions import Subscribable, Subscribers

from .batches import BatchMethods, cut_off_batch
from .flowcalls import FlowCallMethods, FlowCalls
from .handlers import EventHandlers
from .lane import Lane, check_executor
from .reading import BAD_RESULT, read
from .sending import cut_off
from .text import MAX_INFO, MAX_PASSWORD, MAX_USER, wire_text

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from types import TracebackType

    from typing_extensions import Self

    from .engine import Engine
    from .trace import TraceLevel

_TIMEOUT = -25
_NO_ANSWER = "nobody has answered there (is it a SmartBus server?)"


class BusClient(EventHandlers, BatchMethods, FlowCallMethods, Subscribable):
    """What NET and IPC clients have in common."""

    #: Failures to connect after which the library goes on trying; any other is a refusal.
    _passing: ClassVar[frozenset[int]]

    def __init__(
        self,
        client_id: int,
        client_type: int,
        servers: str,
        user: str | None,
        password: str | int | None,
        info: str | None,
        event_executor: Executor | None,
        encoding: str,
    ) -> None:
        self._client_id = whole("client_id", client_id, 0, 255)
        self._client_type = whole("client_type", client_type, 0, 255)
        check_executor(event_executor)
        codecs.lookup(encoding)
        self._servers = servers
        self._user = user
        self._password = password
        self._info = info
        self._executor = event_executor
        self.encoding = encoding
        self._lane = Lane(event_executor, self._records) if event_executor is not None else None
        self._flow_calls = FlowCalls()
        self._subscribers = Subscribers()
        self._changed = threading.Condition()
        self._activated = False
        self._connected = False
        self._failure = 0  # the last code that connecting brought
        self._refused = False
        self._released = False
        self._ended = "was released"

    def _use(self, engine: Engine) -> None:
        """Send and receive through `engine`."""
        if self._executor is not None and engine.loop is not None:
            raise ArgumentError(-1, "with loop= handlers run in the loop: no event_executor then")
        self._runtime = engine
        self._pump = engine.pump
        self._send = engine.backend.sender(self._client_id)
        self._send_batch = engine.backend.batch_sender(self._client_id)

    @classmethod
    def _made(cls, *args: Any, **kwargs: Any) -> Self:
        client = cls(*args, **kwargs)
        if "_pump" not in vars(client):
            raise TypeError(f"{cls.__qualname__}.__init__ must call super().__init__()")
        return client

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies would send and receive as this one, but know nothing of its end.
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled")

    # ---- what it is ----------------------------------------------------------------------

    @property
    def client_id(self) -> int:
        """Local client id."""
        return self._client_id

    @property
    def client_type(self) -> int:
        """Local client type."""
        return self._client_type

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

    def _credentials(self) -> tuple[bytes, bytes, bytes]:
        """Return user, password and info as the libraries take them.

        Raises:
            ArgumentError: One is bad.
        """
        user = wire_text("user", self._user or "", MAX_USER)
        password = self._password if self._password is not None else ""
        if isinstance(password, int):
            password = str(password)
        secret = wire_text("password", password, MAX_PASSWORD)
        return user, secret, wire_text("info", self._info or "")[:MAX_INFO]

    def _state(self) -> str:
        if self._connected:
            return "connected"
        return "released" if self._released else "not connected"

    # ---- life ----------------------------------------------------------------------------

    def activate(self) -> None:
        """Start to connect."""
        raise NotImplementedError

    def _end(self) -> None:
        """Close the connection and give everything back; may be called again."""
        raise NotImplementedError

    def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until the client is connected.

        Args:
            timeout: How long to wait at most; None for ever.

        Raises:
            SmartBusTimeoutError: Not connected in time; the message has the last failure.
            SmartBusError: The server refused; the class tells why, as `PasswordError`.
            NotConnectedError: The client was not activated.
            ClientNotFoundError: It was released.
            ArgumentError: `timeout` is negative, endless or no number.
            TypeError: It is of another type.
            RuntimeError: Called where the handlers run: nothing could ever come in.
        """
        timeout = seconds_or_none("timeout", timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._connected:
                self._check_alive()
                if not self._activated:
                    raise NotConnectedError(
                        -2, f"client {self._client_id} was not activated: call activate() first"
                    )
                if self._refused:
                    raise refusal(self._failure, self._servers, f"client {self._client_id}")
                if self._pump.in_handler():
                    raise RuntimeError("wait_connected() would block the events it waits for")
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    why = error_for(self._failure) if self._failure else _NO_ANSWER
                    raise SmartBusTimeoutError(
                        _TIMEOUT,
                        f"client {self._client_id} is not connected to {self._servers} "
                        f"after {timeout} s: {why}",
                    )
                self._changed.wait(left)

    def _cut_off(self) -> None:
        """End this object's part; the engine does the rest."""
        self._send, self._send_batch = cut_off, cut_off_batch
        if self._lane is not None:
            self._lane.close()
        with self._changed:
            self._released, self._connected = True, False
            self._changed.notify_all()
        self._flow_calls.close(self._ended)

    def _after_fork(self, why: str) -> None:
        """Cut off in a forked child, where whoever held a lock is not any more."""
        self._ended = why
        self._changed = threading.Condition()
        self._flow_calls.abandon()
        if self._lane is not None:
            self._lane.abandon()
        self._cut_off()

    def __enter__(self) -> Self:
        """Activate, if not done yet."""
        self._check_alive()
        if not self._activated:
            self.activate()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection and forget this client."""
        self._end()

    def set_trace(self, level: TraceLevel | None = None) -> None:
        """Choose which lines of its trace the library reports as log records.

        They go to the logger ``smartbus.netclient.client.Client`` (or ``smartbus.ipcclient…``),
        error lines as ``WARNING`` from the vendor's library and ``INFO`` from the core,
        information lines as ``DEBUG``, "library: " before each. Error lines are left out
        beyond 20 a second, and information lines beyond 2000; a record tells how many.

        The trace belongs to the library: this is for all clients of the process that use it.
        The information lines of the vendor's library show the beginning of everything that is
        sent (NET-2018.md 5).

        Args:
            level: ``"off"``, ``"errors"`` or ``"all"``. None, which is also how it begins:
                what the logger's level lets through; to be called when that has changed.

        Raises:
            ValueError: There is no such level.
            ClientNotFoundError: The client was released.
        """
        self._check_alive()
        self._runtime.trace.set(level)

    # ---- receiving -----------------------------------------------------------------------

    def _receive(self, item: raw.Item) -> None:
        """Take an event from the pump; never raises."""
        if isinstance(item, raw.Packets):
            packets = item.packets
            if self._lane is None:
                self._take_packets(packets)
            else:
                size = sum(len(data) for _, data in packets)
                self._lane.submit(partial(self._take_packets, packets), len(packets), size)
            return
        event = read(item, self.encoding)
        self._note(event)
        if self._lane is None:
            self._take_event(event)
        else:
            self._lane.submit(partial(self._take_event, event), 1, len(item.payload))

    def _take_packets(self, packets: list[raw.Packet]) -> None:
        self._guard(self.on_data_batch, packets)
        for subscription in self._subscribers.of(Packet):
            for head, data in packets:
                if subscription.closed:
                    break
                self._guard(subscription.handler, Packet(Head(head), data))

    def _take_event(self, event: Event) -> None:
        self._guard(self._handle, event)
        for subscription in self._subscribers.of(type(event)):
            if not subscription.closed:
                self._guard(subscription.handler, event)

    def _note(self, event: Event) -> None:
        """Keep track of what happens, whoever runs the handlers and whenever."""
        match event:
            case Connected():
                self._note_connection(0)
                self._records.info("client %d connected to %s", self._client_id, self._servers)
            case ConnectFailed(error_code=code):
                self._note_connection(code)
                if not self._refused:
                    self._records.warning(
                        "client %d: connecting to %s failed: %s; trying again",
                        self._client_id,
                        self._servers,
                        error_for(code),
                    )
                else:
                    error = refusal(code, self._servers, f"client {self._client_id}")
                    self._records.error("%s; not trying again", error)
                    self._flow_calls.fail(code, error.message)
            case Disconnected():
                with self._changed:
                    self._connected = False
                    self._changed.notify_all()
                self._records.warning(
                    "client %d lost its connection to %s", self._client_id, self._servers
                )
            case FlowEvent():
                if isinstance(event, FlowFailed) and event.error_code == BAD_RESULT:
                    self._records.error(
                        "client %d: flow call %d: %s", self._client_id, event.invoke_id, event.msg
                    )
                self._flow_calls.take(event)

    def _note_connection(self, code: int) -> None:
        with self._changed:
            self._connected = code == 0
            self._failure = code
            self._refused = code != 0 and code not in self._passing
            self._changed.notify_all()
