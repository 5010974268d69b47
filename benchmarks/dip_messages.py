"""``smartbus.dip`` beside the real ``dip`` (deepfos-ipc): messages per second over a unix socket.

Run it as ``.venv/bin/python benchmarks/dip_messages.py``. Servers and clients are processes of
their own; the message is JSON of 100 bytes; the real one's logging is off, to be fair. Rounds are
interleaved, since machines are noisy: compare only figures of one call. One JSON line a case:
medians of the rounds. ``vs_real`` is our median divided by the real one's in the same case; one-way
batches, which the real one has not, are compared with its best way to move the same messages.

- rt1: one client, one message after the other; in an event loop, and for ours also without one
- conc16: one client with 16 messages on the way
- procs4: four client processes, each as rt1; the sum
- batches: one client, ``send_many``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Final

from common import ROOT, Worker, better, medians, report, worker

sys.path.insert(0, str(ROOT))

MESSAGE: Final = {"text": "x" * 88}  # 100 bytes
REAL: Final = "dip"
OURS: Final = "smartbus.dip"


# ---- in processes of their own ------------------------------------------------------------


def load(library: str) -> Any:
    """Import a ``dip``; the real one's logging is switched off."""
    if library == REAL:
        importlib.import_module("loguru").logger.remove()
    return importlib.import_module(library)


def serve(connection: Connection, library: str, path: str) -> None:
    """Count messages, until told to end."""
    asyncio.run(_serve(connection, load(library), path))


async def _serve(connection: Connection, dip: Any, path: str) -> None:
    count = 0

    def callback(_id: object, _mtype: str, _data: object) -> None:
        nonlocal count
        count += 1

    def answer() -> None:
        while True:
            connection.recv()
            connection.send(count)

    server = dip.Server(path, callback=callback)
    await server.start()
    threading.Thread(target=answer, daemon=True).start()
    connection.send("ready")
    await asyncio.Event().wait()


def send(connection: Connection, library: str, path: str) -> None:
    """Send as it is told, and answer how many were acknowledged in how many seconds."""
    dip = load(library)
    ways: dict[str, Callable[[float], tuple[int, float]]] = {
        "1": lambda seconds: asyncio.run(_awaited(dip, path, 1, seconds)),
        "16": lambda seconds: asyncio.run(_awaited(dip, path, 16, seconds)),
        "plain": lambda seconds: _plain(dip, path, seconds),
        "batches": lambda seconds: _batches(dip, path, seconds),
    }
    while True:
        way, seconds = connection.recv()
        connection.send(ways[way](seconds))


async def _awaited(dip: Any, path: str, in_flight: int, seconds: float) -> tuple[int, float]:
    client = dip.Client(path)
    await client.send_json(MESSAGE)
    for _ in range(in_flight):  # one by one: many at once on a new client hang the real one
        await client.send_json(MESSAGE)
    count = 1 + in_flight
    begin = time.perf_counter()
    end = begin + seconds

    async def one() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await client.send_json(MESSAGE)
            count += 1

    await asyncio.gather(*(one() for _ in range(in_flight)))
    taken = time.perf_counter() - begin
    client.quit()
    return count, taken


def _plain(dip: Any, path: str, seconds: float) -> tuple[int, float]:
    client = dip.Client(path)
    count = 0
    begin = time.perf_counter()
    end = begin + seconds
    while time.perf_counter() < end:
        client.send_json(MESSAGE)
        count += 1
    client.quit()
    return count, time.perf_counter() - begin


def _batches(dip: Any, path: str, seconds: float) -> tuple[int, float]:
    client = dip.Client(path)
    count = 0
    begin = time.perf_counter()
    end = begin + seconds

    def messages() -> Iterator[object]:
        nonlocal count
        while count % 64 or time.perf_counter() < end:
            count += 1
            yield MESSAGE

    client.send_many("J", messages())
    client.quit()
    return count, time.perf_counter() - begin


# ---- what is measured ---------------------------------------------------------------------


class Side:
    """A server and its clients, of one library."""

    def __init__(self, server: Worker, clients: list[Worker]) -> None:
        """Use processes that run `serve` and `send`."""
        self._server = server
        self._clients = clients

    def rate(self, way: str, clients: int, seconds: float) -> dict[str, float]:
        """Let so many clients send for some seconds, and check that everything has arrived."""
        before = self._server.ask("count")
        chosen = self._clients[:clients]
        for client in chosen:
            client.tell(way, seconds)
        runs = [client.hear() for client in chosen]
        sent, arrived = sum(count for count, _ in runs), self._server.ask("count") - before
        if sent != arrived:
            raise RuntimeError(f"{sent} messages were sent, {arrived} arrived")
        return {"per_second": sum(count / taken for count, taken in runs)}


@contextlib.contextmanager
def side(library: str) -> Iterator[Side]:
    """Start a server and four clients."""
    with contextlib.ExitStack() as stack:
        path = f"{stack.enter_context(tempfile.TemporaryDirectory())}/dip"
        server = stack.enter_context(worker(serve, library, path))
        server.hear()
        clients = [stack.enter_context(worker(send, library, path)) for _ in range(4)]
        yield Side(server, clients)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run (default 1)")
    args = parser.parse_args()
    cases = {
        "rt1": ("1", 1),
        "rt1 without a loop": ("plain", 1),
        "conc16": ("16", 1),
        "procs4": ("1", 4),
        "procs4 without a loop": ("plain", 4),
        "batches": ("batches", 1),
    }
    of_real = {"rt1": ("1", 1), "conc16": ("16", 1), "procs4": ("1", 4)}
    ours: dict[str, list[dict[str, float]]] = {case: [] for case in cases}
    real: dict[str, list[dict[str, float]]] = {case: [] for case in of_real}
    with side(OURS) as our_side, side(REAL) as real_side:
        for _ in range(args.rounds):
            for case, how in cases.items():
                ours[case].append(our_side.rate(*how, args.seconds))
                if case in of_real:
                    real[case].append(real_side.rate(*how, args.seconds))
    best = max(("rt1", "conc16"), key=lambda case: medians(real[case])["per_second"])
    for case in of_real:
        report(f"real dip, {case}", real[case])
    for case in cases:
        beside = case.split()[0] if case != "batches" else best
        report(
            f"smartbus.dip, {case}",
            ours[case],
            vs_real=better("per_second", ours[case], real[beside]),
        )


if __name__ == "__main__":
    main()
