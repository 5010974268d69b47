"""One of the clients of ``chaos.py``: sends numbered messages to all others and counts theirs.

The parent steers it over a pipe. A *window* is a time of sending between two moments of rest.
Within a window the messages from one client to another are numbered from 0 without a gap: a
number is used up when `send_data` has accepted it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import sys
import threading
import time
import zlib
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from struct import Struct
from typing import TYPE_CHECKING, Final

from common import PATIENCE, ROOT, BusProcess

sys.path.insert(0, str(ROOT))

from smartbus import ipc, net
from smartbus.errors import BufferFullError, ClientNotFoundError, NotConnectedError
from smartbus.net.base import BusClient

if TYPE_CHECKING:
    from smartbus.head import Head

CMD, CMD_TYPE, ANY = 1, 3, -1
CLIENT_TYPE: Final = 18
#: The first so many clients come over TCP, each as a unit of its own; the others locally.
TCP_CLIENTS: Final = 16
FIRST_UNIT: Final = 16

#: Checksum of the rest, sender, its life, window, number.
HEADER: Final = Struct("<IIIII")
MAX_PADDING: Final = 2000
BURST: Final = 10  # messages to one receiver
PAUSE: Final = 0.02  # seconds between bursts
BREATHER: Final = 0.001


def address(index: int) -> tuple[int, int]:
    """Return unit and client id of client `index`."""
    return (FIRST_UNIT + index, index) if index < TCP_CLIENTS else (0, 100 + index)


@dataclass
class Received:
    """What came from one sender in one window."""

    life: int = 0  #: of the sender; another one begins anew
    count: int = 0
    next: int = 0  #: the number that should come
    missing: int = 0  #: numbers that were left out
    faults: list[str] = field(default_factory=list)


class Member(BusClient):
    """Counts what comes and when it was connected."""

    def prepare(self) -> None:
        """Forget everything."""
        self.lock = threading.Lock()
        self.window = -1
        self.received: dict[int, Received] = {}
        self.disconnects = 0
        self.connected_at = 0.0

    def begin(self, window: int) -> None:
        """Count for another window from now on."""
        with self.lock:
            self.window = window
            self.received = {}
            self.disconnects = 0

    def on_connect(self) -> None:
        """See `Client`."""
        self.connected_at = time.monotonic()

    def on_disconnect(self) -> None:
        """See `Client`."""
        self.disconnects += 1

    def on_data(self, head: Head, data: bytes) -> None:
        """See `Client`."""
        checksum, sender, life, window, number = HEADER.unpack_from(data)
        with self.lock:
            if window != self.window:
                return  # from before a restart of the bus, which nothing is promised about
            now = self.received.setdefault(sender, Received(life))
            if life != now.life:
                now = self.received[sender] = Received(life)
            if zlib.crc32(data[4:]) != checksum:
                now.faults.append(f"message {number} is damaged")
            if (head.src_unit_id, head.src_unit_client_id) != address(sender):
                now.faults.append(f"message {number} came as {head!r}")
            if number < now.next:
                now.faults.append(f"message {number} came after {now.next - 1}")
            else:
                now.missing += number - now.next
                now.next = number + 1
            now.count += 1


class NetMember(Member, net.Client):
    """Over TCP."""


class IpcMember(Member, ipc.Client):
    """Over the local socket."""


def _client(index: int, bus: BusProcess) -> Member:
    member: Member
    if index < TCP_CLIENTS:
        unit, client_id = address(index)
        net.Client.initialize(unit, library="core")
        member = NetMember(client_id, CLIENT_TYPE, "127.0.0.1", bus.port)
    else:
        os.environ["SMARTBUS_IPC_SOCKET"] = bus.local
        member = IpcMember(address(index)[1], CLIENT_TYPE, library="core")
    member.prepare()
    member.activate()
    return member


class Sending:
    """Sends bursts to random others until the pipe has something to say."""

    def __init__(self, member: Member, index: int, life: int, count: int, seed: int) -> None:
        """Be client `index` of `count`, in its `life`-th life."""
        self._member = member
        self._me = (index, life)
        self._others = [other for other in range(count) if other != index]
        self._random = random.Random(f"{seed} {index} {life}")  # noqa: S311 - no secret
        self._padding = self._random.randbytes(MAX_PADDING)

    def run(self, pipe: Connection, window: int) -> dict[int, int]:
        """Return how many messages were accepted for each other."""
        accepted = dict.fromkeys(self._others, 0)
        while not pipe.poll(self._random.uniform(0, 2 * PAUSE)):
            other = self._random.choice(self._others)
            with contextlib.suppress(NotConnectedError, ClientNotFoundError):
                for _ in range(self._random.randint(1, 2 * BURST)):
                    self._send(other, window, accepted[other])
                    accepted[other] += 1
        return accepted

    def _send(self, other: int, window: int, number: int) -> None:
        rest = HEADER.pack(0, *self._me, window, number)[4:]
        rest += self._padding[: self._random.randint(0, MAX_PADDING)]
        data = zlib.crc32(rest).to_bytes(4, "little") + rest
        while True:
            try:
                self._member.send_data(CMD, CMD_TYPE, *address(other), ANY, data)
                return
            except BufferFullError:  # noqa: PERF203 - the way to wait
                time.sleep(BREATHER)


def run(pipe: Connection, bus: BusProcess, index: int, life: int, count: int, seed: int) -> None:
    """Do what the parent says, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    logging.getLogger("smartbus").setLevel(logging.ERROR)  # lost connections are no news here
    member = _client(index, bus)
    sending = Sending(member, index, life, count, seed)
    try:
        while True:
            what, *args = pipe.recv()
            if what == "connect":
                member.wait_connected(args[0])
                pipe.send(member.connected_at)
            elif what == "begin":
                member.begin(*args)
                pipe.send(None)
            elif what == "send":
                accepted = sending.run(pipe, *args)
                pipe.recv()
                pipe.send((accepted, member.disconnects))
            elif what == "settle":
                pipe.send(_settle(member, *args))
    except EOFError:
        pass
    finally:
        if index < TCP_CLIENTS:
            net.Client.finalize(0)
        else:
            ipc.Client.destroy()


def _settle(member: Member, expected: dict[int, int]) -> dict[int, Received]:
    """Wait until so many messages have come, and return what came by sender."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with member.lock:
            came = {sender: now.next for sender, now in member.received.items()}
        if all(came.get(sender, 0) >= count for sender, count in expected.items()):
            break
        time.sleep(0.01)
    with member.lock:
        return dict(member.received)
