"""From C's events to those of `smartbus.events`."""

from __future__ import annotations

from typing import Final

from smartbus._c import events as raw
from smartbus._c.core_api import (
    EV_CONNECTED,
    EV_DISCONNECTED,
    EV_FLOW_ACK,
    EV_FLOW_RETURN,
    EV_GLOBAL,
)
from smartbus.encoding import decode_wire_text, loads_array
from smartbus.errors import error_for
from smartbus.events import (
    Connected,
    ConnectFailed,
    Disconnected,
    Event,
    FlowAcknowledged,
    FlowEvent,
    FlowFailed,
    FlowReturned,
    FlowTimedOut,
    GlobalConnect,
)
from smartbus.head import Head

#: A flow fails with this code when its result is no JSON array (``OtherError``).
BAD_RESULT: Final = -99

_TIMEOUT: Final = -25
_RETURNED: Final = 1


def read(event: raw.Event, encoding: str) -> Event:
    """Return what `event` says.

    Args:
        event: Any but data, traces and a bus's own.
        encoding: Codec of a flow's result; others are tried after it.
    """
    if event.kind == EV_CONNECTED:
        return Connected(event.id) if event.code == 0 else ConnectFailed(event.code)
    if event.kind == EV_DISCONNECTED:
        return Disconnected()
    if event.kind == EV_GLOBAL:
        return read_global(event)
    if event.kind in (EV_FLOW_ACK, EV_FLOW_RETURN):
        return _read_flow(event, encoding)
    raise AssertionError(f"an event of kind {event.kind} is not for a client")


def read_global(event: raw.Event) -> GlobalConnect:
    """Return what a global connect event says."""
    unit, client_id, client_type, access_unit, status = (event.head or bytes(5))[:5]
    (info,) = raw.texts(event.payload, 1)
    return GlobalConnect(unit, client_id, client_type, access_unit, status, decode_wire_text(info))


def _read_flow(event: raw.Event, encoding: str) -> FlowEvent:
    head = Head(event.head) if event.head is not None else None
    project, text = raw.texts(event.payload, 2)
    project_id = decode_wire_text(project)
    if event.kind == EV_FLOW_ACK:
        return FlowAcknowledged(head, project_id, event.id, event.code, decode_wire_text(text))
    if event.code == _TIMEOUT:
        return FlowTimedOut(head, project_id, event.id)
    if event.code != _RETURNED:
        return FlowFailed(head, project_id, event.id, event.code, error_for(event.code).message)
    try:
        result = loads_array(text, encoding)
    except ValueError as error:
        return FlowFailed(head, project_id, event.id, BAD_RESULT, str(error))
    return FlowReturned(head, project_id, event.id, result)
