"""One client that never reads, and what the others notice of it.

Run it as ``.venv/bin/python benchmarks/slow_client.py``. Two processes measure their one-way
throughput (``traffic.py``, every packet checked) in turns: alone, and while a third client floods a
fourth one that never reads, is cut off, comes back and is flooded again. One JSON line; ends with 1
unless the two keep 90 % of their throughput, the fourth is cut off each time, and the bus's memory
stays bounded. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

import traffic
from common import PATIENCE, BusProcess, Worker, bus_process, medians, print_line, worker
from processes import descriptors, rss_kb
from raw_client import RawClient
from throughput import run

#: What must hold.
SHARE_BOUND: Final = 0.9
#: The bus's bound for a queue is 8 MB; twice of it is the most that those who send little add.
MEMORY_BOUND_KB: Final = 40 * 1024
CUT_OFF_BOUND: Final = 6.0  # seconds

FLOODING_UNIT, STUCK_UNIT = 30, 31
FLOOD: Final = 2048  # packets of 8 KB: twice what the bus queues


class Flood:
    """Floods one client after the other that does not read."""

    def __init__(self, bus: BusProcess) -> None:
        """Prepare."""
        self.bus = bus
        self.cut_offs: list[float] = []
        self.peak_kb = 0
        self.fault = ""
        self._stop = threading.Event()

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Flood while the body runs."""
        self._stop.clear()
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._once()
        except (OSError, RuntimeError) as error:
            self.fault = str(error)

    def _once(self) -> None:
        stuck = RawClient(self.bus, STUCK_UNIT, 0)
        flooding = RawClient(self.bus, FLOODING_UNIT, 0)
        held = descriptors(self.bus.pid)
        packet = flooding.frame(stuck.address, bytes(8192))
        sender = threading.Thread(target=self._send, args=(flooding, packet))
        begun = time.monotonic()
        sender.start()
        try:
            # Its own end does not notice: the bus's last bytes stand in front of the end.
            while descriptors(self.bus.pid) >= held:
                time.sleep(0.02)
                self.peak_kb = max(self.peak_kb, rss_kb(self.bus.pid))
                if time.monotonic() > begun + PATIENCE:
                    raise RuntimeError("the client that never reads is not cut off")
            self.cut_offs.append(time.monotonic() - begun)
        finally:
            sender.join()
            stuck.close()
            flooding.close()

    def _send(self, flooding: RawClient, packet: bytes) -> None:
        try:
            for _ in range(FLOOD):
                flooding.socket.sendall(packet)
        except OSError as error:
            self.fault = f"flooding: {error}"


def measure(bus: BusProcess, sender: Worker, receiver: Worker, rounds: int, seconds: float) -> bool:
    """Measure, print, and return whether the bounds hold."""
    idle_kb = rss_kb(bus.pid)
    flood = Flood(bus)
    alone, beside = [], []
    for _ in range(rounds):
        alone.append(run(sender, receiver, seconds))
        with flood.going_on():
            beside.append(run(sender, receiver, seconds))
    if flood.fault:
        raise RuntimeError(flood.fault)
    rates = [medians(runs)["per_second"] for runs in (alone, beside)]
    share = rates[1] / rates[0]
    print_line(
        {
            "case": "one client never reads",
            "alone_per_second": rates[0],
            "beside_per_second": rates[1],
            "share": round(share, 3),
            "runs": rounds,
            "cut_offs": len(flood.cut_offs),
            "slowest_cut_off_s": round(max(flood.cut_offs), 2),
            "bus_idle_kb": idle_kb,
            "bus_peak_kb": flood.peak_kb,
        }
    )
    return (
        share >= SHARE_BOUND
        and max(flood.cut_offs) <= CUT_OFF_BOUND
        and flood.peak_kb - idle_kb <= MEMORY_BOUND_KB
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run (default 4)")
    parser.add_argument("--size", type=int, default=100, help="of the payloads (default 100)")
    args = parser.parse_args()
    receive = functools.partial(traffic.receive, batch=True)
    send = functools.partial(traffic.send, many=True)
    with (
        bus_process(quiet=True) as bus,
        worker(receive, bus.port, "core", args.size) as receiver,
        worker(send, bus.port, "core", args.size) as sender,
    ):
        receiver.hear()
        sender.hear()
        held = measure(bus, sender, receiver, args.rounds, args.seconds)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
