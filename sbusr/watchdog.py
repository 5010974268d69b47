"""Looks after worker processes: calls that take too long, processes that have grown too large."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .process import WorkerProcess

__all__ = ["Watchdog", "resident"]

TICK = 0.1
"""Seconds between two looks at what workers execute, while they execute."""
RSS_EVERY = 1.0
"""Seconds between two looks at their memory."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Watchdog:
    """Watches from the first `wake` on, for as long as there is anything to watch.

    A call is timed from when it is first seen, so it may take one `TICK` longer than allowed. A
    worker that has requests and does not begin with them (it was stopped, say) is overdue too.

    Args:
        loop: Everything happens in it.
        workers: Returns the workers.
        task_timeout: Seconds that a call may take, where its method says nothing else; None: any.
        max_rss: Bytes of memory that a worker may have; None: any. (Linux only.)
        overdue: Called with a worker whose call takes too long, and its time limit.
        grown: Called with a worker that is too large, and its size, at every look.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workers: Callable[[], Iterable[WorkerProcess]],
        task_timeout: float | None,
        max_rss: int | None,
        overdue: Callable[[WorkerProcess, float], None],
        grown: Callable[[WorkerProcess, int], None],
    ) -> None:
        self._loop = loop
        self._workers = workers
        self._task_timeout = task_timeout
        self._max_rss = max_rss
        self._overdue = overdue
        self._grown = grown
        self._tick = TICK if task_timeout is None else min(TICK, task_timeout / 4)
        self._timer: asyncio.TimerHandle | None = None
        self._rss_at = 0.0
        self._seen: dict[WorkerProcess, tuple[int, float]] = {}
        """The task that each was last seen with, and since when."""

    def wake(self) -> None:
        """There is something to do for a worker."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick, self._look)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._seen.clear()

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        busy = [worker for worker in self._workers() if worker.pending]
        seen, self._seen = self._seen, {}
        for worker in busy:
            task = worker.progress
            last, since = seen.get(worker, (-1, now))
            self._seen[worker] = (task, since if task == last else now)
            limit = worker.call_timeout or self._task_timeout
            if task == last and limit is not None and now - since > limit:
                self._overdue(worker, limit)
        if self._max_rss is not None and now >= self._rss_at:
            self._rss_at = now + RSS_EVERY
            for worker in list(self._workers()):
                size = resident(worker.pid)
                if size > self._max_rss:
                    self._grown(worker, size)
        if busy:
            self.wake()


def resident(pid: int) -> int:
    """Bytes of memory that a process has (RSS); 0 where that is not known."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE
    return 0
