"""What happened to requests, in numbers: counted in the workers, added up in the parent."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

import msgspec

__all__ = [
    "BOUNDS",
    "EXCEPTION",
    "FAILED",
    "INVALID",
    "OK",
    "Histogram",
    "Measured",
    "Metrics",
    "WorkerMetrics",
]

BOUNDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper bounds of the duration buckets, in seconds; one more bucket has what is longer."""

OK = "ok"
"""The method returned."""
EXCEPTION = "exception"
"""The method raised an exception, or chose an error."""
INVALID = "invalid"
"""No call was made: bad JSON, no such method, parameters that do not fit."""
FAILED = "failed"
"""The method's module does not import, or its result cannot be sent."""


class Histogram:
    """How many requests had one outcome, and how long they took in the worker."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Count from nothing again."""
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)

    def note(self, seconds: float) -> None:
        """Count one request."""
        self.count += 1
        self.seconds += seconds
        # Most take less than the first bound, and this is done for each of them.
        self.buckets[0 if seconds <= 0.0001 else bisect_left(BOUNDS, seconds)] += 1

    def add(self, other: Measured) -> None:
        """Count what somebody else has counted."""
        self.count += other.count
        self.seconds += other.seconds
        for index, count in enumerate(other.buckets):
            self.buckets[index] += count


class Measured(msgspec.Struct, array_like=True):
    """What one worker has counted since its last report, for one method and outcome."""

    method: str
    """Empty where no method was found."""
    outcome: str
    count: int
    seconds: float
    buckets: list[int]


class WorkerMetrics:
    """A worker's histograms. There are no more than four for each method of the package."""

    def __init__(self) -> None:
        self._histograms: dict[tuple[str, str], Histogram] = {}

    def histogram(self, method: str, outcome: str) -> Histogram:
        """The histogram for a method and an outcome; always the same object."""
        return self._histograms.setdefault((method, outcome), Histogram())

    def take(self) -> list[Measured]:
        """What was counted since the last time."""
        found = []
        for (method, outcome), histogram in self._histograms.items():
            if histogram.count:
                found.append(
                    Measured(method, outcome, histogram.count, histogram.seconds, histogram.buckets)
                )
                histogram.clear()
        return found


class Metrics:
    """Everything that was counted since the daemon started.

    Attributes:
        calls: What workers executed, by method and outcome.
        refused: Requests that no worker answered, by error code (`sbusr.jsonrpc`).
    """

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], Histogram] = {}
        self.refused: dict[int, int] = {}

    def add(self, measured: Iterable[Measured]) -> None:
        """Add a worker's report."""
        for each in measured:
            self.calls.setdefault((each.method, each.outcome), Histogram()).add(each)

    def refuse(self, code: int | None, count: int) -> None:
        """Count requests that got an error from the parent."""
        if count and code is not None:
            self.refused[code] = self.refused.get(code, 0) + count
