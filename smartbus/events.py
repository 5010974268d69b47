"""What happens to a client, as objects; see ``Client.subscribe``.

Each class stands beside an ``on_*`` method and has its arguments as attributes, under the
same names. All are immutable, compare by value and fit ``match`` statements::

    def heard(event: Event) -> None:
        match event:
            case Packet(head, data):
                ...
            case FlowReturned(invoke_id=number, params=params):
                ...

    subscription = client.subscribe(heard, Packet, FlowReturned)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .head import Head

__all__ = [
    "EVENTS",
    "ConnectFailed",
    "Connected",
    "Disconnected",
    "Event",
    "FlowAcknowledged",
    "FlowEvent",
    "FlowFailed",
    "FlowReturned",
    "FlowTimedOut",
    "GlobalConnect",
    "Packet",
]


@dataclass(frozen=True)
class Event:
    """Any event; who subscribes to this class gets all."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """The server has accepted the client; also after every reconnection.

    Attributes:
        access_unit_id: Unit of the server; -1 if it did not say.
    """

    access_unit_id: int


@dataclass(frozen=True, slots=True)
class ConnectFailed(Event):
    """Connecting failed.

    Attributes:
        error_code: As for ``on_connect_fail``: -20, and connecting goes on; or a refusal.
    """

    error_code: int


@dataclass(frozen=True, slots=True)
class Disconnected(Event):
    """The connection is lost; reconnecting has begun."""


@dataclass(frozen=True, slots=True)
class Packet(Event):
    """A packet came in, a ping or the answer to one among them.

    Attributes:
        head: Sender, receiver, command.
        data: What was sent.
    """

    head: Head
    data: bytes


@dataclass(frozen=True, slots=True)
class FlowEvent(Event):
    """Something that concerns a flow call; who subscribes to this class gets all of them.

    Attributes:
        head: The packet's; None where there was none (time-outs).
        project_id: The project of the call.
        invoke_id: What ``launch_flow`` returned, or the ``invoke_id`` of ``call_flow``'s future.
    """

    head: Head | None
    project_id: str
    invoke_id: int


@dataclass(frozen=True, slots=True)
class FlowAcknowledged(FlowEvent):
    """IPSC has started a flow, or has not; or it said neither in time.

    Attributes:
        status_code: 1 the flow started; -25 no ack came in time; else IPSC's error.
        msg: IPSC's message.
    """

    status_code: int
    msg: str

    @property
    def started(self) -> bool:
        """Whether the flow has started."""
        return self.status_code == 1


@dataclass(frozen=True, slots=True)
class FlowReturned(FlowEvent):
    """A flow has returned.

    Attributes:
        params: The flow's result; empty if it returned no text at all.
    """

    params: list[Any]


@dataclass(frozen=True, slots=True)
class FlowFailed(FlowEvent):
    """A flow has ended in an error.

    Attributes:
        error_code: The library's code; -99 if the result was no JSON array.
        msg: What was wrong, for people.
    """

    error_code: int
    msg: str


@dataclass(frozen=True, slots=True)
class FlowTimedOut(FlowEvent):
    """No result of a flow came within the call's timeout."""


@dataclass(frozen=True, slots=True)
class GlobalConnect(Event):
    """Another client has come to the bus, or left it.

    Over NET every client of a process that subscribes gets what any of them is told.

    Attributes:
        unit_id: Its unit.
        client_id: Its client id.
        client_type: Its client type.
        access_unit_id: Unit of the server that it is connected to.
        status_code: 0 it left, 1 it came, 2 it was there before.
        info: The text that it came with.
    """

    unit_id: int
    client_id: int
    client_type: int
    access_unit_id: int
    status_code: int
    info: str


#: All classes of events that happen; `Event` and `FlowEvent` stand for several.
EVENTS: Final[tuple[type[Event], ...]] = (
    Connected,
    ConnectFailed,
    Disconnected,
    Packet,
    FlowAcknowledged,
    FlowReturned,
    FlowFailed,
    FlowTimedOut,
    GlobalConnect,
)
