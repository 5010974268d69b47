"""24 clients on one bus, and random crashes of clients and of the bus.

Run it as ``.venv/bin/python benchmarks/chaos.py --seconds 600``. Each client is a process; two
thirds come over TCP, the others over the local socket. All send to all (``chaos_client.py``). In
each window some clients are killed, and now and then the bus is stopped or killed, and started
anew. Then sending rests, and the books of all senders and receivers are compared:

- between two clients that lived through the window, on a bus that did, exactly the accepted
  messages came, once each, in order;
- whatever happened, no message came twice, damaged or out of order to a client that lived;
- without a restart of the bus no living client lost its connection;
- everyone is back within 3 s after the bus listens again;
- descriptors and threads of bus and clients are always the same at rest, memory does not grow.

Prints one JSON line; ends with 1 if something did not hold. The same ``--seed`` makes the same
decisions, though not at the same instants. Ctrl-C ends it, and its processes. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from typing import Any, Final

import chaos_client
from chaos_client import TCP_CLIENTS
from common import PATIENCE, BusProcess, Worker, bus_process, print_line, worker
from flatness import Flatness

CLIENTS: Final = 24
#: These are never killed, so that their memory tells something: two of each transport.
VETERANS: Final = (0, 1, TCP_CLIENTS, TCP_CLIENTS + 1)
BACK_BOUND: Final = 3.0  # seconds after the bus listens again
MOST_FAULTS: Final = 20  # that are printed


class Town:
    """The bus and its clients."""

    def __init__(self, seed: int) -> None:
        """Start everything."""
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.seed = seed
        self._stack = contextlib.ExitStack()
        self._local = f"{self._stack.enter_context(tempfile.TemporaryDirectory())}/bus"
        self._bus_stack = contextlib.ExitStack()
        self._client_stacks = [contextlib.ExitStack() for _ in range(CLIENTS)]
        self.lives = [0] * CLIENTS
        self.clients: list[Worker] = []
        self.bus_lives = 0
        self.bus: BusProcess
        try:
            self._start_bus(0)
            self.clients = [self._start_client(index) for index in range(CLIENTS)]
        except BaseException:
            self.close()
            raise

    def _start_bus(self, port: int) -> None:
        self.bus = self._bus_stack.enter_context(bus_process(port, self._local, quiet=True))
        self.bus_lives += 1

    def _start_client(self, index: int) -> Worker:
        return self._client_stacks[index].enter_context(
            worker(chaos_client.run, self.bus, index, self.lives[index], CLIENTS, self.seed)
        )

    def restart_bus(self) -> float:
        """Stop or kill the bus and start it again; returns when it listened."""
        if self.random.random() < 0.5:
            self.bus.kill()
        self._bus_stack.close()
        self._start_bus(self.bus.port)
        return time.monotonic()

    def replace_client(self, index: int) -> None:
        """Kill a client and start another one in its place."""
        self.clients[index].kill()
        self._client_stacks[index].close()
        self.lives[index] += 1
        self.clients[index] = self._start_client(index)

    def ask_all(self, who: list[int], *message: Any) -> dict[int, Any]:
        """Send all of them `message` and return their answers."""
        for index in who:
            self.clients[index].tell(*message)
        return {index: self.clients[index].hear() for index in who}

    def close(self) -> None:
        """End everything."""
        for stack in (*self._client_stacks, self._bus_stack, self._stack):
            stack.close()


class Chaos:
    """Runs windows and keeps the books."""

    def __init__(self, town: Town) -> None:
        """Play in `town`."""
        self._town = town
        self._random = town.random
        self.faults: list[str] = []
        self.counts = dict.fromkeys(
            ("windows", "kills", "bus_restarts", "accepted", "promised", "received"), 0
        )
        self.slowest_back = 0.0
        self.flatness = Flatness()

    def window(self) -> None:
        """Let all send, break things, compare the books."""
        town, number = self._town, self.counts["windows"]
        everyone = list(range(CLIENTS))
        town.ask_all(everyone, "connect", PATIENCE)
        self._sample()
        town.ask_all(everyone, "begin", number)
        for index in everyone:
            town.clients[index].tell("send", number)
        killed, listened_at = self._break_things()
        alive = [index for index in everyone if index not in killed]
        if listened_at is not None:
            time.sleep(max(0.0, listened_at + BACK_BOUND - time.monotonic()))
        answers = town.ask_all(alive, "rest")
        if listened_at is not None:
            back = town.ask_all(everyone, "connect", PATIENCE)
            survivors = max(back[index] for index in alive) - listened_at
            self.slowest_back = max(self.slowest_back, survivors)
            if survivors > BACK_BOUND:
                self.faults.append(f"window {number}: the last was back after {survivors:.2f} s")
        self._compare(number, answers, restarted=listened_at is not None)
        self.counts["windows"] += 1

    def _break_things(self) -> tuple[set[int], float | None]:
        """Return who was killed, and when the bus listened again if it was restarted."""
        town, rng = self._town, self._random
        mortal = [index for index in range(CLIENTS) if index not in VETERANS]
        events: list[int | None] = list(rng.sample(mortal, rng.randint(0, 3)))
        if rng.random() < 0.25:
            events.append(None)
        rng.shuffle(events)
        killed: set[int] = set()
        listened_at = None
        time.sleep(rng.uniform(0.2, 1.0))
        for event in events:
            if event is None:
                listened_at = town.restart_bus()
                self.counts["bus_restarts"] += 1
            else:
                town.replace_client(event)
                killed.add(event)
                self.counts["kills"] += 1
            time.sleep(rng.uniform(0, 0.5))
        time.sleep(rng.uniform(0.2, 1.0))
        return killed, listened_at

    def _promises(self, sent: dict[int, dict[int, int]], restarted: bool) -> dict[int, Any]:
        """Return by receiver and sender how many messages must have come."""
        if restarted:
            return {receiver: {} for receiver in sent}
        return {
            receiver: {s: accepted[receiver] for s, accepted in sent.items() if s != receiver}
            for receiver in sent
        }

    def _compare(self, number: int, answers: dict[int, Any], *, restarted: bool) -> None:
        """Compare the books of all that lived through the window."""
        town = self._town
        sent = {index: accepted for index, (accepted, _) in answers.items()}
        if not restarted:
            lost = [index for index, (_, disconnects) in answers.items() if disconnects]
            self.faults += [f"window {number}: {index} was disconnected" for index in lost]
        promised = self._promises(sent, restarted)
        for receiver, due in promised.items():
            town.clients[receiver].tell("settle", due)
        for receiver, due in promised.items():
            received = town.clients[receiver].hear()
            for sender in {*due, *received}:
                now = received.get(sender, chaos_client.Received())
                faults = list(now.faults)
                if sender in sent and now.next > sent[sender][receiver]:
                    faults.append(f"message {now.next - 1} was never accepted")
                if sender in due and (now.count != due[sender] or now.missing):
                    faults.append(f"{due[sender]} accepted, {now.count} came")
                self.faults += [f"window {number}, {sender} to {receiver}: {f}" for f in faults]
                self.counts["received"] += now.count
            self.counts["promised"] += sum(due.values())
        self.counts["accepted"] += sum(sum(accepted.values()) for accepted in sent.values())

    def _sample(self) -> None:
        town = self._town
        self.flatness.sample("bus", (town.bus_lives,), town.bus.pid)
        for index in range(CLIENTS):
            kind = "tcp" if index < TCP_CLIENTS else "local"
            veteran = index in VETERANS
            name = f"{kind} veteran {index}" if veteran else f"{kind} client"
            self.flatness.sample(name, (index, town.lives[index]), town.clients[index].pid)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default 600)")
    parser.add_argument("--seed", type=int, default=None, help="of all decisions")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", file=sys.stderr, flush=True)
    town = Town(seed)
    chaos = Chaos(town)
    begun = time.monotonic()
    interrupted = False
    try:
        while time.monotonic() < begun + args.seconds:
            chaos.window()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        town.close()
    faults = chaos.faults + chaos.flatness.faults()
    print_line(
        {
            "case": "chaos",
            "seed": seed,
            "seconds": round(time.monotonic() - begun, 1),
            "clients": CLIENTS,
            **chaos.counts,
            "slowest_back_s": round(chaos.slowest_back, 2),
            **chaos.flatness.summary(),
            "faults": len(faults),
            "first_faults": faults[:MOST_FAULTS],
            "interrupted": interrupted,
        }
    )
    return 1 if faults or interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
