"""Taking events out of C in batches: a copy or a view of a whole batch, then plain slicing.

A callback from C into Python costs 8 µs and, while the interpreter computes, 5 ms of
waiting; an event of a drained batch costs about 0.2 µs (BASELINES.md, "What one message
costs"). Memory of C is copied before the call returns, so nothing here outlives it.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_void_p, string_at
from typing import Final

from .core_api import (
    BATCH,
    DATA_EVENT,
    EV_BUS_ASK,
    EV_DATA,
    EV_GLOBAL,
    EVENT,
    HAS_HEAD,
    Callbacks,
    Core,
)
from .events import Event, Item, Packet, Packets

#: A run of packets is not made longer than this, so that a host can share its time fairly.
MAX_RUN: Final = 1024
#: Above this average payload a view of C's memory is cheaper than a copy of all of it.
_VIEW_PAYLOAD: Final = 2048
#: Above this one each packet is a run of its own.
_BIG_PAYLOAD: Final = 8192

_EVENT_SIZE = EVENT.size
_CLIENT = 1  # its place in an event
#: Stands for any amount of C's memory; a type for each size would be made anew each time.
_Memory = ctypes.c_char * 0x7FFFFFFF


def decode(raw: bytes, data: bytes | memoryview) -> list[Item]:
    """Return the events of a batch: `raw` its ``sb_event`` array, `data` their payloads."""
    count = len(raw) // _EVENT_SIZE
    longest = MAX_RUN if len(data) <= count * _BIG_PAYLOAD else 1
    client = raw[_CLIENT]
    if (
        raw[::_EVENT_SIZE].count(EV_DATA) == count
        and raw[_CLIENT::_EVENT_SIZE].count(client) == count
    ):
        packets = _packets(raw, data)
        if count <= longest:
            return [Packets(client, packets)]
        starts = range(0, count, longest)
        return [Packets(client, packets[start : start + longest]) for start in starts]
    return _mixed(raw, data, longest)


def _packets(raw: bytes, data: bytes | memoryview) -> list[Packet]:
    """Return the packets of a batch that has no other events: what most batches are."""
    fields = DATA_EVENT.iter_unpack(raw)
    if isinstance(data, bytes):
        return [(head, data[offset : offset + size]) for size, offset, head in fields]
    return [(head, data[offset : offset + size].tobytes()) for size, offset, head in fields]


def _mixed(raw: bytes, data: bytes | memoryview, longest: int) -> list[Item]:
    items: list[Item] = []
    run: list[Packet] = []
    of_client = -1
    for kind, client, flags, code, ident, size, offset, head in EVENT.iter_unpack(raw):
        payload = bytes(data[offset : offset + size])
        if kind == EV_DATA:
            if client != of_client or len(run) == longest:
                run = []
                of_client = client
                items.append(Packets(client, run))
            run.append((head, payload))
        else:
            of_client = -1
            items.append(_event(kind, client, flags, code, ident, head, payload))
    return items


def _event(
    kind: int, client: int, flags: int, code: int, ident: int, head: bytes, payload: bytes
) -> Event:
    # Global connect and bus events keep addresses in the place of the head, without the flag.
    meaningful = flags & HAS_HEAD or kind == EV_GLOBAL or kind >= EV_BUS_ASK
    return Event(kind, client, code, ident, head if meaningful else None, payload)


class Inbox:
    """The consumer's side of one ``sb_inbox``. One thread at a time drains it."""

    def __init__(self, core: Core, handle: c_void_p, *, keep_alive: object = None) -> None:
        """Wrap `handle`; `keep_alive` is the owner of an inbox that is not to be freed here."""
        self._core = core
        self.handle = handle
        self._owner = keep_alive
        self._traces = False
        self._batch = ctypes.create_string_buffer(BATCH.size)
        self._batch_ref = byref(self._batch)
        self._drain = core.inbox_drain

    @classmethod
    def new(cls, core: Core, max_events: int, max_bytes: int) -> Inbox:
        """Make an inbox that holds back its producers above either bound.

        Raises:
            MemoryError: No memory or no descriptor left.
        """
        handle = core.inbox_new(max_events, max_bytes)
        if not handle:
            raise MemoryError("no memory or descriptor for an inbox")
        return cls(core, c_void_p(handle))

    def fileno(self) -> int:
        """Return the descriptor that is readable while events wait."""
        return int(self._core.inbox_fileno(self.handle))

    def wait(self, timeout_ms: int) -> int:
        """Wait for events: 1 there are, 0 time-out, negative the inbox is closed."""
        return int(self._core.inbox_wait(self.handle, timeout_ms))

    def drain(self) -> list[Item]:
        """Take all events."""
        count = self._drain(self.handle, self._batch_ref)
        if count <= 0:
            return []
        events, data, _, size = BATCH.unpack(self._batch)
        raw = string_at(events, count * _EVENT_SIZE)
        if size > count * _VIEW_PAYLOAD:
            return decode(raw, memoryview(_Memory.from_address(data))[:size])
        return decode(raw, string_at(data, size) if size else b"")

    @property
    def callbacks(self) -> Callbacks:
        """C functions that fill this inbox when they get `arg`."""
        return self._core.callbacks

    @property
    def arg(self) -> c_void_p:
        """The argument that the callbacks need."""
        return self.handle

    def take_traces(self) -> None:
        """Have lines of the trace callbacks, which carry no argument, land here."""
        self._core.trace_inbox(self.handle)
        self._traces = True

    def wake(self) -> None:
        """Make a waiting `wait` return; leaves an empty trace if traces land here."""
        self._core.on_trace(b"")

    @property
    def lost(self) -> int:
        """Events that found no place and could not wait."""
        return int(self._core.inbox_lost(self.handle))

    def close(self) -> None:
        """Refuse further events and let waiting producers go. The memory stays."""
        if self._traces:
            self._core.trace_inbox(None)
            self._traces = False
        self._core.inbox_close(self.handle)

    def free(self) -> None:
        """Give the memory back; only when no C thread can reach the inbox any more."""
        if self._owner is None and self.handle.value:
            self._core.inbox_free(self.handle)
            self.handle = c_void_p()
