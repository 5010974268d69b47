"""One-way traffic between two processes over our bus: the sender's end, the receiver's end.

What is sent is a cycle of different payloads, and the receiver compares every single one with
what must come: one that is lost, doubled or out of order stops the benchmark. A last packet, `END`,
tells how many there were.
"""

from __future__ import annotations

import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Final

from common import PATIENCE, ROOT

sys.path.insert(0, str(ROOT))

from smartbus.errors import BufferFullError
from smartbus.head import Head
from smartbus.net import Client

#: So many different payloads; prime, so that batches do not fit into it evenly.
CYCLE: Final = 251
END: Final = b"end "
#: So long (seconds) a sender waits when its queue is full.
BREATHER: Final = 0.001

SENDER, RECEIVER = 20, 21  # units
CMD, CMD_TYPE, ANY = 1, 3, -1


def payloads(size: int) -> list[bytes]:
    """Return the cycle of payloads of `size` bytes."""
    return [b"%08d" % number + b"x" * (size - 8) for number in range(CYCLE)]


class Checker:
    """Compares what comes with what must come."""

    def __init__(self, size: int) -> None:
        """Expect payloads of `size` bytes."""
        cycle = payloads(size)
        self._expected = cycle * (2 + 4096 // CYCLE)  # any slice that begins in the first cycle
        self._ended = threading.Event()
        self.begin()

    def begin(self) -> None:
        """Begin anew."""
        self.count = 0
        self.ended_at = 0.0
        self.fault = ""
        self._ended.clear()

    def one(self, data: bytes) -> bool:
        """Take one payload; returns False if it was the last."""
        if data == self._expected[self.count % CYCLE]:
            self.count += 1
            return True
        if not data.startswith(END):
            self.fault = self.fault or f"payload {self.count} is {data[:20]!r}"
            self.count += 1
            return True
        self.ended_at = time.perf_counter()
        if int(data[len(END) :]) != self.count:
            self.fault = self.fault or f"{data!r}, but {self.count} came"
        self._ended.set()
        return False

    def many(self, batch: list[bytes]) -> None:
        """Take many payloads."""
        start = self.count % CYCLE
        if batch == self._expected[start : start + len(batch)]:
            self.count += len(batch)
        else:
            for data in batch:
                self.one(data)

    def wait(self) -> tuple[int, float, str]:
        """Return how many came, when the last one did, and what was wrong."""
        if not self._ended.wait(3 * PATIENCE):
            self.fault = self.fault or f"no end; {self.count} came"
        return self.count, self.ended_at, self.fault


class EachClient(Client):
    """Takes packets one by one."""

    checker: Checker

    def on_data(
        self,
        head: Head,  # noqa: ARG002 - as it is called
        data: bytes,
    ) -> None:
        """See `Client`."""
        self.checker.one(data)


class BatchClient(Client):
    """Takes packets in batches."""

    checker: Checker

    def on_data_batch(self, batch: list[tuple[bytes, bytes]]) -> None:
        """See `Client`."""
        self.checker.many([data for _, data in batch])


def receive(pipe: Connection, port: int, library: str, size: int, *, batch: bool) -> None:
    """Be the receiver, until the pipe closes."""
    Client.initialize(RECEIVER, library=library)
    kind = BatchClient if batch else EachClient
    client = kind(0, 18, "127.0.0.1", port)
    client.checker = Checker(size)
    client.activate()
    client.wait_connected(PATIENCE)
    pipe.send("ready")
    try:
        while pipe.recv():
            client.checker.begin()
            pipe.send("ready")
            pipe.send(client.checker.wait())
    except EOFError:
        Client.finalize()


def _send_each(client: Client, cycle: list[bytes], seconds: float) -> int:
    send = client.send_data
    sent = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for data in cycle:
            while True:
                try:
                    send(CMD, CMD_TYPE, RECEIVER, 0, ANY, data)
                    break
                except BufferFullError:
                    time.sleep(BREATHER)
        sent += len(cycle)
    return sent


def _send_many(client: Client, cycle: list[bytes], seconds: float) -> int:
    sent = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sent += client.send_many(CMD, CMD_TYPE, RECEIVER, 0, ANY, cycle, timeout=PATIENCE)
    return sent


def send(pipe: Connection, port: int, library: str, size: int, *, many: bool) -> None:
    """Be the sender, until the pipe closes."""
    Client.initialize(SENDER, library=library)
    client = Client(0, 18, "127.0.0.1", port)
    client.activate()
    client.wait_connected(PATIENCE)
    cycle = payloads(size)
    pipe.send("ready")
    try:
        while True:
            (seconds,) = pipe.recv()
            begun = time.perf_counter()
            sent = (_send_many if many else _send_each)(client, cycle, seconds)
            last = [END + b"%d" % sent]
            client.send_many(CMD, CMD_TYPE, RECEIVER, 0, ANY, last, timeout=PATIENCE)
            pipe.send((sent, begun))
    except EOFError:
        Client.finalize()
