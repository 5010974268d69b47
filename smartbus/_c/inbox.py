"""Taking events out of C in batches: two copies for a whole batch, then plain slicing.

A callback from C into Python costs 8 µs and, while the interpreter computes, 5 ms of
waiting; an event of a drained batch costs about 0.2 µs (BASELINES.md, "What one message
costs"). Memory of C is copied before the call returns, so nothing here outlives it.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_void_p, string_at
from typing import Final

from .core_api import BATCH, EV_BUS_ASK, EV_DATA, EV_GLOBAL, EVENT, HAS_HEAD, Callbacks, Core
from .events import Event, Item, Packet, Packets

#: A run of packets is not made longer than this, so that a host can share its time fairly.
MAX_RUN: Final = 1024
#: Above this average payload one copy for each event is cheaper than two for all.
_BIG_PAYLOAD: Final = 8192

_EVENT_SIZE = EVENT.size


def decode(raw: bytes, data: bytes) -> list[Item]:
    """Return the events of a batch: `raw` its ``sb_event`` array, `data` their payloads."""
    items: list[Item] = []
    run: list[Packet] = []
    of_client = -1
    for kind, client, flags, code, ident, size, offset, head in EVENT.iter_unpack(raw):
        payload = data[offset : offset + size]
        if kind == EV_DATA:
            if client != of_client or len(run) == MAX_RUN:
                run = []
                of_client = client
                items.append(Packets(client, run))
            run.append((head, payload))
        else:
            of_client = -1
            items.append(_event(kind, client, flags, code, ident, head, payload))
    return items


def decode_big(raw: bytes, address: int) -> list[Item]:
    """Do the same for big payloads, copying each one by itself from `address`."""
    items: list[Item] = []
    for kind, client, flags, code, ident, size, offset, head in EVENT.iter_unpack(raw):
        payload = string_at(address + offset, size) if size else b""
        if kind == EV_DATA:
            items.append(Packets(client, [(head, payload)]))
        else:
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
        if size > count * _BIG_PAYLOAD:
            return decode_big(raw, data)
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
