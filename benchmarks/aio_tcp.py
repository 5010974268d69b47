"""Messages per second between a `smartbus.aio.tcp.TcpClient` and a `OneClientServer`.

Run it as ``.venv/bin/python benchmarks/aio_tcp.py``. Each end has a process of its own. Beside
them, in the same call and with the same work, runs a pair of plain asyncio streams, see
``aio_tcp_streams.py``: ``readuntil``, ``json.loads``, a callback; ``write`` and ``await drain``.
All use asyncio's own loop, or with ``--uvloop`` uvloop. JSON of about 100 bytes; what comes is
counted and must be in order.

up: ``write_json`` of the client, one way; up_msg: the same with ``write_message``; down:
``write_json`` of the server to the client's callback; rt: the client's callback asks again when
the server has echoed; struct: ``write_from`` of 1 KiB to ``read_into``.

Rounds are interleaved, since machines are noisy: compare only figures of one call. One JSON line a
case: medians of the rounds; ``vs_streams`` is the ratio to the streams. ``busy_us`` is the
processor time for each message of that end which needs more of it, and ``busy_vs_streams`` how
many times less that is: the figures to look at where others use the machine, too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import time
from collections.abc import Coroutine
from multiprocessing.connection import Connection
from typing import Any, Final

from aio_tcp_work import Counter
from common import Worker, better, report, worker

#: Case: messages per round; "rt" waits for each.
CASES: Final = {"up": 200_000, "up_msg": 200_000, "down": 200_000, "rt": 15_000, "struct": 200_000}
SYSTEMS: Final = {"ours": "aio_tcp_ours", "streams": "aio_tcp_streams"}


def _run(coroutine: Coroutine[Any, Any, Counter], fast_loop: bool) -> tuple[Counter, float]:
    """Return what the coroutine does, and the processor time (seconds) of that."""
    run = importlib.import_module("uvloop").run if fast_loop else asyncio.run
    begun = time.process_time()
    counter = run(coroutine)
    return counter, time.process_time() - begun


def serve(pipe: Connection, system: str, fast_loop: bool) -> None:
    """Be the server's process, until the pipe closes: says the port, then when the last came."""
    module = importlib.import_module(SYSTEMS[system])
    with contextlib.suppress(EOFError):
        while True:
            case, count = pipe.recv()
            counter, busy = _run(module.serve(case, count, pipe.send), fast_loop)
            pipe.send((busy, counter.counted, counter.ended_at))


def connect(pipe: Connection, system: str, fast_loop: bool) -> None:
    """Be the client's process, until the pipe closes: says when it began, and when it ended."""
    module = importlib.import_module(SYSTEMS[system])
    with contextlib.suppress(EOFError):
        while True:
            case, count, port = pipe.recv()
            begun = 0.0

            def begin() -> None:
                nonlocal begun
                begun = time.perf_counter()

            counter, busy = _run(module.connect(case, count, port, begin), fast_loop)
            pipe.send((begun, busy, counter.counted, counter.ended_at))


def measure(server: Worker, client: Worker, case: str, count: int) -> dict[str, float]:
    """Run a case once."""
    port = server.ask(case, count)
    begun, client_busy, *client_saw = client.ask(case, count, port)
    server_busy, *server_saw = server.hear()
    counted, ended_at = client_saw if case in ("down", "rt") else server_saw
    if counted != count:
        raise RuntimeError(f"{case}: {count} sent, {counted} came")
    busy = max(client_busy, server_busy) / count * 1e6
    return {"per_second": count / (ended_at - begun), "busy_us": busy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", choices=CASES, help="only this one")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of messages")
    parser.add_argument("--uvloop", action="store_true", help="for both")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        ends = {
            system: (
                stack.enter_context(worker(serve, system, args.uvloop)),
                stack.enter_context(worker(connect, system, args.uvloop)),
            )
            for system in SYSTEMS
        }
        for case in [args.case] if args.case else CASES:
            count = int(CASES[case] * args.scale)
            runs: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
            for server, client in ends.values():  # warm up
                measure(server, client, case, count // 10)
            for _ in range(args.rounds):
                for system, (server, client) in ends.items():
                    runs[system].append(measure(server, client, case, count))
            ratios = {
                "vs_streams": better("per_second", runs["ours"], runs["streams"]),
                "busy_vs_streams": better("busy_us", runs["ours"], runs["streams"]),
            }
            report(f"ours, {case}", runs["ours"], **ratios)
            report(f"streams, {case}", runs["streams"])


if __name__ == "__main__":
    main()
