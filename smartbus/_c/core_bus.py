"""The bus server over the core's interface: ``sb_bus_*``, as Python values."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from ctypes import c_void_p
from dataclasses import dataclass, fields
from typing import Final

from smartbus.encoding import decode_wire_text
from smartbus.errors import ClientNotFoundError, NotInitializedError, OutOfMemoryError

from .core_api import BusClient, BusOptions, BusStats, Core
from .inbox import Inbox

_NO_CLIENT: Final = -9
#: How the peers of local connections begin: instead of an address.
_LOCAL: Final = "local "


@dataclass(frozen=True)
class Stats:
    """Counters of a bus; frames are packets, and links are connections."""

    links: int  #: connections open now
    clients: int  #: clients registered now
    accepted: int  #: connections ever accepted
    registered: int  #: registrations ever accepted
    refused: int  #: registrations ever refused
    frames_in: int  #: frames from registered clients, heartbeats not counted
    frames_out: int  #: frames delivered, every copy of a broadcast counted
    bytes_in: int
    bytes_out: int
    undeliverable: int  #: frames without a receiver
    unregistered: int  #: frames before registration, ignored
    forged: int  #: frames whose source was not the sender's, corrected
    bad: int  #: connections closed for bad input
    slow: int  #: connections closed because nobody read
    idle: int  #: connections closed for silence
    heartbeats: int
    queued_bytes: int  #: waiting to be written now, for each receiver
    memory: int  #: bytes that queues and unfinished packets take; what queues share counts once
    crowded_out: int  #: connections closed before they registered, to make way for others


@dataclass(frozen=True)
class ClientInfo:
    """A client that is registered."""

    unit_id: int
    client_id: int
    client_type: int
    links: int  #: 2 if its slave connection comes here too
    link: int  #: number of its first connection
    pid: int  #: its process, 0 if it does not say
    since: float  #: when it came, Unix time in seconds
    frames_in: int  #: frames from it
    frames_out: int  #: frames to it
    queued_bytes: int  #: waiting to be written to it now
    version: str  #: version of its library, empty if it does not say
    peer: str  #: address of the other end
    info: str  #: the text that it came with

    @property
    def local(self) -> bool:
        """Whether it came over the local socket (IPC); its unit is the bus's then."""
        return self.peer.startswith(_LOCAL)


class CoreBus:
    """One ``sb_bus``. Calls may come from any thread, also while it is being closed."""

    def __init__(self, core: Core, options: dict[str, int]) -> None:
        """Make a bus; `options` are fields of ``sb_bus_options``.

        Raises:
            OutOfMemoryError: No memory or no descriptor left.
        """
        self._core = core
        self._lock = threading.Lock()
        handle = core.bus_new(ctypes.byref(BusOptions(**options)))
        if not handle:
            raise OutOfMemoryError(-19, "no memory or no file descriptor left for the bus")
        self._bus: c_void_p | None = c_void_p(handle)
        self.inbox = Inbox(core, c_void_p(core.bus_inbox(self._bus)), keep_alive=self)
        _open.add(self)

    def listen(self, ip: str, port: int) -> int:
        """Listen; returns the port.

        Raises:
            OSError: The address cannot be listened on.
        """
        with self._lock:
            result = self._core.bus_listen(self._handle(), ip.encode("ascii"), port)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return int(result)

    def listen_local(self, path: bytes, mode: int) -> None:
        """Listen on the local socket `path` too, with the file mode `mode`.

        Raises:
            OSError: It cannot be made, or somebody listens there.
        """
        with self._lock:
            result = self._core.bus_listen_local(self._handle(), path, mode)
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def run(self) -> None:
        """Serve what `listen` and `listen_local` prepared, in a thread of C.

        Raises:
            OutOfMemoryError: No thread could be started.
        """
        with self._lock:
            if self._core.bus_start(self._handle()) < 0:
                raise OutOfMemoryError(-19, "the bus's thread could not be started")

    def decide(self, link: int, code: int) -> bool:
        """Answer the registration that `link` waits with; False: it does not wait any more."""
        with self._lock:
            if self._bus is None:
                return False
            return int(self._core.bus_decide(self._bus, link, code)) == 0

    def kick(self, link: int) -> None:
        """Close the connection `link`.

        Raises:
            ClientNotFoundError: There is none.
        """
        with self._lock:
            if self._core.bus_kick(self._handle(), link) == _NO_CLIENT:
                raise ClientNotFoundError(-9, f"connection {link} is gone")

    def stats(self) -> Stats:
        """Return the counters."""
        stats = BusStats()
        with self._lock:
            self._core.bus_stats(self._handle(), ctypes.byref(stats))
        return Stats(**{field.name: getattr(stats, field.name) for field in fields(Stats)})

    def clients(self) -> list[ClientInfo]:
        """Return the clients that are registered."""
        room = 64
        while True:
            array = (BusClient * room)()
            with self._lock:
                count = self._core.bus_clients(self._handle(), array, room)
            if count <= room:
                return [_client_info(array[i]) for i in range(count)]
            room = count + 16

    def _handle(self) -> c_void_p:
        if self._bus is None:
            raise NotInitializedError(-14, "the bus is closed")
        return self._bus

    def stop(self) -> None:
        """Close every connection and end the thread of C; `inbox` then has all its reports."""
        with self._lock:
            if self._bus is not None:
                self._core.bus_stop(self._bus)

    def close(self) -> None:
        """Close everything and free. The reader of `inbox` must have stopped."""
        with self._lock:
            bus, self._bus = self._bus, None
        if bus is not None:
            self._core.bus_free(bus)

    def abandon(self) -> None:
        """Close the inherited descriptors: this is a forked child of the bus's process."""
        self._lock = threading.Lock()  # a thread that is not here any more may have held it
        if self._bus is not None:
            self._core.bus_abandon(self._bus)
            self._bus = None


_open: weakref.WeakSet[CoreBus] = weakref.WeakSet()


def _after_fork() -> None:
    for bus in tuple(_open):
        bus.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _client_info(client: BusClient) -> ClientInfo:
    return ClientInfo(
        unit_id=client.unit,
        client_id=client.client,
        client_type=client.type,
        links=client.links,
        link=client.link,
        pid=client.pid,
        since=client.since,
        frames_in=client.frames_in,
        frames_out=client.frames_out,
        queued_bytes=client.queued_bytes,
        version=decode_wire_text(client.version),
        peer=decode_wire_text(client.peer),
        info=decode_wire_text(client.info),
    )
