"""What the benchmark scripts share: medians of runs, percentiles, JSON lines, child processes."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent

#: Seconds that a child process gets to start or to end by itself.
PATIENCE: Final = 10.0

_spawn = multiprocessing.get_context("spawn")


# ---- figures ------------------------------------------------------------------------------


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


def better(
    figure: str, ours: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]]
) -> float:
    """Return how many times better our median is: more of a rate, less of a time."""
    mine, other = medians(ours)[figure], medians(theirs)[figure]
    return round(other / mine if figure.endswith("_us") else mine / other, 2)


def print_line(line: dict[str, Any]) -> None:
    """Print one JSON line."""
    sys.stdout.write(json.dumps({**line, "python": platform.python_version()}) + "\n")
    sys.stdout.flush()


def report(case: str, runs: Sequence[dict[str, float]], **facts: Any) -> dict[str, float]:
    """Print one JSON line for a case and return its medians."""
    middle = medians(runs)
    print_line({"case": case, **middle, "runs": len(runs), **facts})
    return middle


# ---- processes ----------------------------------------------------------------------------


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


@dataclass(frozen=True)
class BusProcess:
    """A bus server in a process of its own."""

    pid: int
    port: int
    local: str  #: path of its local socket

    def kill(self) -> None:
        """End it as a crash would. The context manager that made it cleans up."""
        os.kill(self.pid, signal.SIGKILL)


@contextlib.contextmanager
def bus_process(port: int = 0, local: str = "", *, quiet: bool = False) -> Iterator[BusProcess]:
    """Run ``python -m smartbus bus`` while the body runs; 0 and "" pick a port and a path.

    If it is `quiet`, nobody sees what it logs.
    """
    with contextlib.ExitStack() as stack:
        path = local or f"{stack.enter_context(tempfile.TemporaryDirectory())}/bus"
        command = [sys.executable, "-m", "smartbus", "bus", "--ipc", path]
        bus = stack.enter_context(
            child(
                [*command, "--listen", f"127.0.0.1:{port}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL if quiet else None,
                cwd=ROOT,
            )
        )
        assert bus.stdout is not None
        line = bus.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if found is None:
            raise RuntimeError(f"the bus did not start: {line!r}")
        yield BusProcess(bus.pid, int(found[1]), path)


class Worker:
    """The parent's end of a process made by `worker`."""

    def __init__(self, process: Any, connection: Connection) -> None:
        """Talk with `process` over `connection`."""
        self._process = process
        self._connection = connection

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._process.pid)

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()

    def tell(self, *message: Any) -> None:
        """Send `message`."""
        self._connection.send(message)

    def hear(self, patience: float = 3 * PATIENCE) -> Any:
        """Return what it sends next, within `patience` seconds.

        Raises:
            RuntimeError: It ended, failed or said nothing.
        """
        if not self._connection.poll(patience):
            raise RuntimeError(f"process {self.pid} says nothing for {patience} s")
        try:
            return self._connection.recv()
        except EOFError:
            raise RuntimeError(f"process {self.pid} has ended") from None

    def ask(self, *message: Any) -> Any:
        """Send `message` and return the answer."""
        self.tell(*message)
        return self.hear()


@contextlib.contextmanager
def worker(target: Callable[..., None], *args: Any) -> Iterator[Worker]:
    """Run ``target(connection, *args)`` in a process of its own while the body runs."""
    ours, theirs = _spawn.Pipe()
    process = _spawn.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Worker(process, ours)
    finally:
        process.terminate()
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
        ours.close()


def environment() -> dict[str, str]:
    """Return the environment of child processes that import ``smartbus`` from elsewhere."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
