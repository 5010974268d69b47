"""Messages per second one way between two processes, through a bus in a third.

Run it as ``.venv/bin/python benchmarks/throughput.py``. Ours and the vendor's library are used on
the same bus as anybody would use them, through `smartbus.net.Client`; beside them, in the same
call and with the same payloads, pyzmq through ``zmq.proxy``. All of it goes over TCP. Every
message is counted and compared, see ``traffic.py``. Rounds are interleaved, since machines are
noisy: compare only figures of one call. One JSON line a case: medians of the rounds; ``vs_…`` is
the ratio to a peer.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
from collections.abc import Callable
from typing import Final

import traffic
import traffic_zmq
from common import Worker, better, bus_process, report, worker

#: Case: library, whether the sender uses `send_many`, whether the receiver takes batches.
OURS: Final = {
    "send_data to on_data": ("core", False, False),
    "send_data to on_data_batch": ("core", False, True),
    "send_many to on_data_batch": ("core", True, True),
    "vendor, send_data to on_data_batch": ("vendor", False, True),
}
PEERS: Final = {"zmq PUSH/PULL": "push", "zmq ROUTER/DEALER": "router"}
RATIOS: Final = {"vs_push": "zmq PUSH/PULL", "vs_router": "zmq ROUTER/DEALER"}


def run(sender: Worker, receiver: Worker, seconds: float) -> dict[str, float]:
    """Measure one case once."""
    sender.tell(seconds / 4)  # warm up
    receiver.ask(True)
    receiver.hear()
    sender.hear()
    receiver.ask(True)
    sent, begun = sender.ask(seconds)
    came, ended, fault = receiver.hear()
    if fault or came != sent:
        raise RuntimeError(f"{sent} sent, {came} received: {fault}")
    return {"per_second": sent / (ended - begun)}


def our_run(library: str, many: bool, batch: bool, size: int, seconds: float) -> dict[str, float]:
    """Measure over our bus."""
    receive = functools.partial(traffic.receive, batch=batch)
    send = functools.partial(traffic.send, many=many)
    with (
        bus_process() as bus,
        worker(receive, bus.port, library, size) as receiver,
        worker(send, bus.port, library, size) as sender,
    ):
        receiver.hear()
        sender.hear()
        return run(sender, receiver, seconds)


def zmq_run(pattern: str, size: int, seconds: float) -> dict[str, float]:
    """Measure over ``zmq.proxy``."""
    with contextlib.ExitStack() as stack:
        front, back = stack.enter_context(worker(traffic_zmq.proxy, pattern)).hear()
        receiver = stack.enter_context(worker(traffic_zmq.receive, back, pattern, size))
        receiver.hear()
        sender = stack.enter_context(worker(traffic_zmq.send, front, pattern, size))
        sender.hear()
        return run(sender, receiver, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run (default 2)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 4096], help="of payloads")
    parser.add_argument("--only", default="", help="cases whose names have this in them")
    args = parser.parse_args()
    cases: dict[str, Callable[[int, float], dict[str, float]]] = {}
    for name, (library, many, batch) in OURS.items():
        cases[name] = functools.partial(our_run, library, many, batch)
    for name, pattern in PEERS.items():
        cases[name] = functools.partial(zmq_run, pattern)
    for size in args.sizes:
        runs: dict[str, list[dict[str, float]]] = {}
        for _ in range(args.rounds):
            for name, case in cases.items():
                if args.only in name:
                    runs.setdefault(name, []).append(case(size, args.seconds))
        for name, found in runs.items():
            ratios = {
                ratio: better("per_second", found, runs[peer])
                for ratio, peer in RATIOS.items()
                if name in OURS and peer in runs
            }
            report(f"{name}, {size} B", found, **ratios)


if __name__ == "__main__":
    main()
