"""Memory of a bus process: idle, for each further connection, after traffic, after all have left.

Run it as ``.venv/bin/python benchmarks/memory.py``. ``python -m smartbus bus`` gets some hundred
connections, first over TCP, then, a new process, over its local socket. Then each client sends
packets to the next one, and all are read. One JSON line a transport; ends with 1 if one of
the bounds below is broken. Linux only.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

from common import bus_process, print_line
from processes import descriptors, rss_kb, threads
from raw_client import RawClient, read_all

#: What must hold, in KB.
IDLE_BOUND: Final = 40 * 1024
CONNECTION_BOUND: Final = 64

FIRST_UNIT: Final = 16
PER_UNIT: Final = 32
PACKETS, SIZE = 100, 4096


def measure(connections: int, *, local: bool) -> bool:
    """Measure one transport; returns whether the bounds hold."""
    with bus_process() as bus:
        idle = rss_kb(bus.pid)
        fds = descriptors(bus.pid)
        clients: list[RawClient] = []
        try:
            for number in range(connections):
                unit, client_id = divmod(number, 256 if local else PER_UNIT)
                clients.append(RawClient(bus, FIRST_UNIT + unit, client_id, local=local))
                read_all(clients, 0)
            read_all(clients, 0.2)
            connected = rss_kb(bus.pid)
            arrived = 0
            for _ in range(PACKETS // 10):
                for sender, receiver in zip(clients, clients[1:] + clients[:1], strict=True):
                    packet = sender.frame(receiver.address, bytes(SIZE))
                    sender.socket.sendall(packet * 10)
                arrived += read_all(clients, 0.05)
            arrived += read_all(clients, 0.2)
            if arrived < connections * PACKETS * SIZE:
                raise RuntimeError(f"only {arrived} bytes arrived")
            busy = rss_kb(bus.pid)
            held = descriptors(bus.pid) - fds
        finally:
            for client in clients:
                client.close()
        while descriptors(bus.pid) > fds:
            time.sleep(0.05)
        left = rss_kb(bus.pid)
        each = (connected - idle) / connections
        print_line(
            {
                "case": "local" if local else "tcp",
                "connections": connections,
                "idle_kb": idle,
                "each_kb": round(each, 1),
                "each_after_traffic_kb": round((busy - idle) / connections, 1),
                "all_left_kb": left,
                "descriptors_each": round(held / connections, 2),
                "threads": threads(bus.pid),
            }
        )
        return idle <= IDLE_BOUND and max(each, (busy - idle) / connections) <= CONNECTION_BOUND


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=250, help="of each kind (default 250)")
    args = parser.parse_args()
    if not 1 <= args.connections <= 256:
        parser.error("local clients differ in their client id only, so there are 256 at most")
    held = [measure(args.connections, local=local) for local in (False, True)]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
