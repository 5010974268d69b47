"""Whether descriptors, threads and memory of processes stay what they were."""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

from processes import descriptors, rss_kb, threads

#: Memory may grow by so much (KB) between the first and the last third of a process's samples.
GROWTH_BOUND: Final = 2048
#: Fewer samples of one process say nothing about its memory.
ENOUGH: Final = 9
#: Counts are looked at again within so many seconds: a thread that ends needs a moment.
SETTLING: Final = 2.0


class Flatness:
    """Samples by name and life: a name is played by one process after another."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._counts: dict[str, tuple[int, int]] = {}
        self._memory: dict[tuple[str, tuple[int, ...]], list[tuple[float, int]]] = {}
        self._faults: list[str] = []

    def sample(self, name: str, life: tuple[int, ...], pid: int) -> None:
        """Look at `pid`, which is `name` for one `life`, in a moment of rest."""
        counts = descriptors(pid), threads(pid)
        usual = self._counts.setdefault(name, counts)
        deadline = time.monotonic() + SETTLING
        while counts != usual and time.monotonic() < deadline:
            time.sleep(0.01)
            counts = descriptors(pid), threads(pid)
        if counts != usual:
            self._faults.append(f"{name}: {counts} descriptors and threads, not {usual}")
        self._memory.setdefault((name, life), []).append((time.monotonic(), rss_kb(pid)))

    def _growths(self) -> dict[str, tuple[int, float]]:
        """Return by name the largest growth (KB) in one life, and how fast that was (KB/min)."""
        found: dict[str, tuple[int, float]] = {}
        for (name, _), samples in self._memory.items():
            third = len(samples) // 3
            if len(samples) < ENOUGH:
                continue
            first, last = samples[:third], samples[-third:]
            growth = round(statistics.median(kb for _, kb in last)) - round(
                statistics.median(kb for _, kb in first)
            )
            minutes = (last[third // 2][0] - first[third // 2][0]) / 60
            if name not in found or growth > found[name][0]:
                found[name] = growth, round(growth / minutes, 1)
        return found

    def faults(self) -> list[str]:
        """Return what was not flat."""
        return self._faults + [
            f"{name}: memory grew by {growth} KB"
            for name, (growth, _) in self._growths().items()
            if growth > GROWTH_BOUND
        ]

    def summary(self) -> dict[str, Any]:
        """Return the figures for the report."""
        return {
            "descriptors_threads": self._counts,
            "largest_rss_kb": {
                name: max(
                    kb for (n, _), all_ in self._memory.items() if n == name for _, kb in all_
                )
                for name in self._counts
            },
            "growth_kb_and_per_minute": self._growths(),
        }
