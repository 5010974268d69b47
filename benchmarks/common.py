"""What the benchmark scripts share: medians of runs, percentiles, JSON lines, child processes."""

from __future__ import annotations

import contextlib
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent

#: Seconds that a child process gets to end by itself.
PATIENCE: Final = 10.0


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0..1) of `sorted_values` lie."""
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def microseconds(times: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99 of `times` (seconds), in microseconds."""
    ordered = sorted(times)
    return {
        "p50_us": round(percentile(ordered, 0.50) * 1e6, 1),
        "p99_us": round(percentile(ordered, 0.99) * 1e6, 1),
    }


def medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure over `runs`."""
    return {name: round(statistics.median(run[name] for run in runs), 1) for name in runs[0]}


def report(case: str, runs: Sequence[dict[str, float]], **facts: Any) -> dict[str, float]:
    """Print one JSON line for a case and return its medians."""
    middle = medians(runs)
    line = {"case": case, **middle, "runs": len(runs), **facts, "python": platform.python_version()}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    return middle


@contextlib.contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run `command` while the body runs, then end it: SIGTERM, and SIGKILL after `PATIENCE`."""
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
