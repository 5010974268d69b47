"""Round trips of 100 bytes between two processes, through a bus in a third.

Run it as ``.venv/bin/python benchmarks/pingpong.py``. Over TCP (`smartbus.net.Client`) and over the
local socket (`smartbus.ipc.Client`). Both ends answer where their handlers run: in the library's
thread (``thread``, its default) or in an asyncio loop (``loop``). Beside them, in the same call,
the vendor's library on the same bus and pyzmq through ``zmq.proxy``. Rounds are interleaved, since
machines are noisy: compare only figures of one call. One JSON line a case: medians of the rounds;
``vs_zmq`` is how many times quicker it is than pyzmq over the same kind of socket.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final, TypeVar

import traffic_zmq
import zmq
from common import PATIENCE, ROOT, BusProcess, better, bus_process, microseconds, report, worker

sys.path.insert(0, str(ROOT))

from smartbus import ipc, net
from smartbus.net.base import BusClient

if TYPE_CHECKING:
    from smartbus.head import Head

_T = TypeVar("_T")

CALLER, ECHO = 21, 22  # units over TCP, client ids over the local socket
CMD, CMD_TYPE, ANY = 1, 3, -1
PADDING: Final = b"x" * 92

#: Case: transport, library, mode of both ends.
OURS: Final = {
    "tcp, thread": ("tcp", "core", "thread"),
    "tcp, loop": ("tcp", "core", "loop"),
    "local, thread": ("local", "core", "thread"),
    "local, loop": ("local", "core", "loop"),
    "vendor, tcp, thread": ("tcp", "vendor", "thread"),
}
PEERS: Final = {"zmq, tcp": "tcp", "zmq, local": "local"}


# ---- our ends -----------------------------------------------------------------------------


class Echo(BusClient):
    """Sends back what comes."""

    def on_data(self, head: Head, data: bytes) -> None:
        """See `Client`."""
        self.send_data(CMD, CMD_TYPE, head.src_unit_id, head.src_unit_client_id, ANY, data)


class Caller(BusClient):
    """Sends the next request when an answer has come."""

    to: tuple[int, int]
    times: list[float]
    fault: str

    def begin(self, seconds: float) -> None:
        """Go on for so long, and then set `done`."""
        self.times = []
        self.fault = ""
        self.done = threading.Event()
        self._until = time.perf_counter() + seconds
        self._next()

    def _next(self) -> None:
        self._expected = b"%08d" % len(self.times) + PADDING
        self._sent_at = time.perf_counter()
        self.send_data(CMD, CMD_TYPE, *self.to, ANY, self._expected)

    def on_data(self, head: Head, data: bytes) -> None:
        """See `Client`."""
        now = time.perf_counter()
        self.times.append(now - self._sent_at)
        if data != self._expected or head.src_unit_client_id != self.to[1]:
            self.fault = f"answer {len(self.times)} is {data!r}"
            self.done.set()
        elif now < self._until:
            self._next()
        else:
            self.done.set()


class NetEcho(Echo, net.Client):
    """Over TCP."""


class IpcEcho(Echo, ipc.Client):
    """Over the local socket."""


class NetCaller(Caller, net.Client):
    """Over TCP."""


class IpcCaller(Caller, ipc.Client):
    """Over the local socket."""


class Place:
    """Where the handlers of one end run."""

    def __init__(self, mode: str) -> None:
        """Start a loop in a thread of its own if `mode` is ``loop``."""
        self.loop = asyncio.new_event_loop() if mode == "loop" else None
        if self.loop is not None:
            threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, call: Callable[[], _T]) -> _T:
        """Call where clients are to be used."""
        if self.loop is None:
            return call()

        async def later() -> _T:
            return call()

        return asyncio.run_coroutine_threadsafe(later(), self.loop).result(PATIENCE)


def _client(place: Place, bus: BusProcess, transport: str, library: str, name: int) -> BusClient:
    """Make and activate one end: unit or client id `name`."""

    def make() -> BusClient:
        client: BusClient
        if transport == "tcp":
            net.Client.initialize(name, library=library, loop=place.loop)
            kind = NetCaller if name == CALLER else NetEcho
            client = kind(0, 18, "127.0.0.1", bus.port)
        else:
            os.environ["SMARTBUS_IPC_SOCKET"] = bus.local
            local_kind = IpcCaller if name == CALLER else IpcEcho
            client = local_kind(name, 18, library=library, loop=place.loop)
        client.activate()
        return client

    client = place.run(make)
    client.wait_connected(PATIENCE)
    return client


def _finish(transport: str) -> None:
    if transport == "tcp":
        net.Client.finalize()
    else:
        ipc.Client.destroy()


def echo(pipe: Connection, bus: BusProcess, transport: str, library: str, mode: str) -> None:
    """Be the answering end, until the pipe closes."""
    place = Place(mode)
    _client(place, bus, transport, library, ECHO)
    pipe.send("ready")
    with contextlib.suppress(EOFError):
        pipe.recv()
    place.run(functools.partial(_finish, transport))


def call(pipe: Connection, bus: BusProcess, transport: str, library: str, mode: str) -> None:
    """Be the calling end, until the pipe closes."""
    place = Place(mode)
    client = _client(place, bus, transport, library, CALLER)
    assert isinstance(client, Caller)
    client.to = (ECHO, 0) if transport == "tcp" else (0, ECHO)
    pipe.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            (seconds,) = pipe.recv()
            place.run(functools.partial(client.begin, seconds))
            if not client.done.wait(seconds + PATIENCE):
                client.fault = f"no answer to request {len(client.times) + 1}"
            pipe.send((client.times, client.fault))
    place.run(functools.partial(_finish, transport))


def our_run(transport: str, library: str, mode: str, seconds: float) -> dict[str, float]:
    """Measure over our bus."""
    with (
        bus_process() as bus,
        worker(echo, bus, transport, library, mode) as answering,
        worker(call, bus, transport, library, mode) as calling,
    ):
        answering.hear()
        calling.hear()
        calling.ask(seconds / 4)  # warm up
        times, fault = calling.ask(seconds)
    if fault:
        raise RuntimeError(fault)
    return microseconds(times)


# ---- pyzmq --------------------------------------------------------------------------------


def zmq_echo(_pipe: Connection, address: str) -> None:
    """Be the answering end, for ever."""
    socket = zmq.Context().socket(zmq.DEALER)
    socket.connect(address)
    while True:
        socket.send_multipart(socket.recv_multipart())


def zmq_run(transport: str, seconds: float) -> dict[str, float]:
    """Measure over ``zmq.proxy``, calling from this process."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory()) if transport == "local" else ""
        proxy = stack.enter_context(worker(traffic_zmq.proxy, "router", folder))
        front, back = proxy.hear()
        stack.enter_context(worker(zmq_echo, back))
        context = stack.enter_context(zmq.Context())
        socket = stack.enter_context(context.socket(zmq.DEALER))
        socket.connect(front)
        _zmq_times(socket, seconds / 4)  # warm up
        return microseconds(_zmq_times(socket, seconds))


def _zmq_times(socket: zmq.Socket[bytes], seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        expected = b"%08d" % len(times) + PADDING
        socket.send(expected)
        if not socket.poll(int(PATIENCE * 1000)) or socket.recv() != expected:
            raise RuntimeError("no answer, or a wrong one")
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run (default 2)")
    parser.add_argument("--only", default="", help="cases whose names have this in them")
    args = parser.parse_args()
    cases: dict[str, Callable[[float], dict[str, float]]] = {}
    for name, (transport, library, mode) in OURS.items():
        cases[name] = functools.partial(our_run, transport, library, mode)
    for name, transport in PEERS.items():
        cases[name] = functools.partial(zmq_run, transport)
    runs: dict[str, list[dict[str, float]]] = {}
    for _ in range(args.rounds):
        for name, case in cases.items():
            if args.only in name:
                runs.setdefault(name, []).append(case(args.seconds))
    for name, found in runs.items():
        peer = next(p for p, transport in PEERS.items() if transport in name)
        ratios = {"vs_zmq": better("p50_us", found, runs[peer])} if peer in runs else {}
        report(name, found, **({} if name in PEERS else ratios))


if __name__ == "__main__":
    main()
