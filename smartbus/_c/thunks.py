"""The way out of C where the core is missing: ctypes callbacks that fill a bounded queue.

Rules, each with its reason. The thunks are made once and kept for the life of the
process, because a library may call one at any time. They find their queue by the number
that they get as argument, so that no queue has to outlive its use. They copy before they
return, because C's memory is valid only until then. They let no exception out, because
C cannot take one. While the queue is full they wait, so that the SDK stops reading and
the peer feels it; traces are dropped instead, as nobody answers for them.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import select
import threading
from collections.abc import Callable
from ctypes import c_void_p, string_at
from typing import Any, Final

from .abi import (
    HEAD_SIZE,
    ConnectionCallback,
    DataCallback,
    DisconnectCallback,
    FlowCallback,
    GlobalConnectCallback,
    TraceCallback,
)
from .core_api import (
    EV_CONNECTED,
    EV_DATA,
    EV_DISCONNECTED,
    EV_FLOW_ACK,
    EV_FLOW_RETURN,
    EV_GLOBAL,
    EV_TRACE,
    Callbacks,
)
from .events import Event, Item, Packets
from .inbox import MAX_RUN

_BROKEN: Final = -3

_numbers = itertools.count(1)
_queues: dict[int, ThunkInbox] = {}
_trace_queue: list[ThunkInbox] = []  # at most one


class ThunkInbox:
    """A queue with the consumer's side of `inbox.Inbox`, filled by ctypes callbacks."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        """Make an empty queue; producers wait while it is above either bound."""
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._bytes = 0
        self._closed = False
        self.lost = 0  # events that found no place and could not wait
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._number = next(_numbers)
        _queues[self._number] = self

    # -- producers: C threads, inside a thunk --

    def put(self, event: Event) -> None:
        """Append `event`, waiting for room."""
        with self._changed:
            while self._full() and not self._closed:
                self._changed.wait()
            self._append(event)

    def offer(self, event: Event) -> None:
        """Append `event` if there is room."""
        with self._changed:
            self._append(event)

    def _full(self) -> bool:
        return len(self._events) >= self._max_events or self._bytes >= self._max_bytes

    def _append(self, event: Event) -> None:
        if self._closed or self._full():
            self.lost += 1
            return
        self._events.append(event)
        self._bytes += len(event.payload)
        if len(self._events) == 1:
            self._signal()

    def _signal(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it is readable then
            os.write(self._write_end, b"\0")

    # -- the consumer --

    @property
    def callbacks(self) -> Callbacks:
        """The thunks as addresses."""
        return _addresses

    @property
    def arg(self) -> c_void_p:
        """The argument by which the thunks find this queue."""
        return c_void_p(self._number)

    def take_traces(self) -> None:
        """Have lines of the trace callbacks, which carry no argument, land here."""
        _trace_queue[:] = [self]

    def fileno(self) -> int:
        """Return the descriptor that is readable while events wait."""
        return self._read_end

    def wait(self, timeout_ms: int) -> int:
        """Wait for events: 1 there are, 0 time-out, negative closed."""
        if not self._events and not self._closed:
            poll = select.poll()  # select() takes no descriptor above 1023
            poll.register(self._read_end, select.POLLIN)
            poll.poll(timeout_ms)
        if self._events:
            return 1
        return _BROKEN if self._closed else 0

    def drain(self) -> list[Item]:
        """Take all events."""
        with self._changed:
            events, self._events, self._bytes = self._events, [], 0
            if not self._closed:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._read_end, 4096)
            self._changed.notify_all()
        return _runs(events)

    def wake(self) -> None:
        """Make a waiting `wait` return."""
        self.offer(Event(EV_TRACE, 0, 0, 0, None, b""))

    def close(self) -> None:
        """Refuse further events and let waiting producers go."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._signal()
            self._changed.notify_all()
        _queues.pop(self._number, None)
        if self in _trace_queue:
            _trace_queue.clear()

    def free(self) -> None:
        """Close the descriptors; only when no thread waits any more."""
        os.close(self._read_end)
        os.close(self._write_end)


def _runs(events: list[Event]) -> list[Item]:
    """Return `events` with consecutive packets of one client put together."""
    items: list[Item] = []
    last: Packets | None = None
    for event in events:
        if event.kind != EV_DATA:
            items.append(event)
            last = None
            continue
        if last is None or last.client != event.client or len(last.packets) == MAX_RUN:
            last = Packets(event.client, [])
            items.append(last)
        last.packets.append((event.head or bytes(HEAD_SIZE), event.payload))
    return items


# ---- the thunks --------------------------------------------------------------------------


def _put(arg: int | None, make: Callable[[], Event]) -> None:
    """Queue what `make` returns; whatever goes wrong stays in Python and costs that event."""
    queue = _queues.get(arg or 0)
    if queue is None:
        return  # closed: nobody listens any more
    try:
        queue.put(make())
    except BaseException:  # noqa: BLE001 - nothing may go through a C frame
        queue.lost += 1


def _head(address: int | None) -> bytes | None:
    return string_at(address, HEAD_SIZE) if address else None


def _on_connection(arg: int | None, client: int, access_unit: int, ack: int) -> None:
    _put(arg, lambda: Event(EV_CONNECTED, client, ack, access_unit, None, b""))


def _on_disconnect(arg: int | None, client: int) -> None:
    _put(arg, lambda: Event(EV_DISCONNECTED, client, 0, 0, None, b""))


def _on_data(arg: int | None, client: int, head: int | None, data: int | None, size: int) -> None:
    def event() -> Event:
        payload = string_at(data, size) if data and size > 0 else b""
        return Event(EV_DATA, client, 0, 0, _head(head), payload)

    _put(arg, event)


def _flow(kind: int) -> Callable[..., None]:
    def on_flow(
        arg: int | None,
        client: int,
        head: int | None,
        project: bytes | None,
        invoke_id: int,
        code: int,
        text: bytes | None,
    ) -> None:
        payload = b"%b\0%b\0" % (project or b"", text or b"")
        _put(arg, lambda: Event(kind, client, code, invoke_id, _head(head), payload))

    return on_flow


def _on_global_connect(
    arg: int | None,
    unit: bytes,
    client: bytes,
    client_type: bytes,
    access_unit: bytes,
    status: bytes,
    info: bytes | None,
) -> None:
    head = (unit + client + client_type + access_unit + status).ljust(HEAD_SIZE, b"\0")
    _put(arg, lambda: Event(EV_GLOBAL, 0, 0, 0, head, (info or b"") + b"\0"))


def _trace(code: int) -> Callable[[bytes | None], None]:
    def on_trace(text: bytes | None) -> None:
        for queue in tuple(_trace_queue):
            queue.offer(Event(EV_TRACE, 0, code, 0, None, text or b""))

    return on_trace


_thunks: Final[tuple[Any, ...]] = (
    ConnectionCallback(_on_connection),
    DisconnectCallback(_on_disconnect),
    DataCallback(_on_data),
    FlowCallback(_flow(EV_FLOW_ACK)),
    FlowCallback(_flow(EV_FLOW_RETURN)),
    GlobalConnectCallback(_on_global_connect),
    TraceCallback(_trace(0)),
    TraceCallback(_trace(1)),
)
_addresses: Final = Callbacks(*(ctypes.cast(thunk, c_void_p) for thunk in _thunks))
