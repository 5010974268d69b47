"""Requests and answers under load: how every request/reply benchmark measures and prints."""

from __future__ import annotations

import time
from typing import Protocol

from common import better, microseconds, report


class Peer(Protocol):
    """A request/reply system under load."""

    def latency(self, seconds: float) -> list[float]:
        """Return the round-trip times (seconds) of one request after the other."""
        ...

    def throughput(self, outstanding: int, seconds: float) -> float:
        """Return requests per second with `outstanding` of them on the way."""
        ...


class Asker:
    """A `Peer` made of a way to ask and a way to take answers."""

    def ask(self, number: int) -> None:
        """Send request `number`."""
        raise NotImplementedError

    def take(self) -> list[bytes]:
        """Return the answers that come next, at least one.

        Raises:
            RuntimeError: None came in time.
        """
        raise NotImplementedError

    def check(self, answer: bytes, number: int) -> None:
        """Raise `RuntimeError` unless `answer` is the one to request `number`."""
        raise NotImplementedError

    def latency(self, seconds: float) -> list[float]:
        """See `Peer`."""
        times: list[float] = []
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            self.ask(len(times))
            (answer,) = self.take()
            times.append(time.perf_counter() - start)
            self.check(answer, len(times) - 1)
        return times

    def throughput(self, outstanding: int, seconds: float) -> float:
        """See `Peer`; answers may come in any order, the last of each batch is checked."""
        sent = answered = 0
        begin = time.perf_counter()
        end = begin + seconds
        while sent < outstanding:
            self.ask(sent)
            sent += 1
        while answered < sent:
            answers = self.take()
            answered += len(answers)
            if time.perf_counter() < end:
                for _ in answers:
                    self.ask(sent)
                    sent += 1
        return answered / (time.perf_counter() - begin)


def compare(
    peers: dict[str, Peer], outstanding: tuple[int, ...], rounds: int, seconds: float
) -> None:
    """Measure all peers in turn, round by round, and print a line for each case.

    The first of `peers` is ours; ``vs_…`` is how many times better it is than another: the
    ratio of requests per second, or the inverse one of p50.
    """
    cases: dict[str, dict[str, list[dict[str, float]]]] = {}
    for peer in peers.values():  # warm up
        peer.throughput(10, seconds / 4)
    for _ in range(rounds):
        for name, peer in peers.items():
            runs = {"1": microseconds(peer.latency(seconds))}
            for count in outstanding:
                runs[str(count)] = {"per_second": peer.throughput(count, seconds)}
            for case, run in runs.items():
                cases.setdefault(case, {}).setdefault(name, []).append(run)
    for case, by_peer in cases.items():
        first, *others = by_peer
        ours = by_peer[first]
        figure = next(iter(ours[0]))
        ratios = {f"vs_{name}": better(figure, ours, by_peer[name]) for name in others}
        report(f"{first}, {case} outstanding", ours, **ratios)
        for name in others:
            report(f"{name}, {case} outstanding", by_peer[name])
