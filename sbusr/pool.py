"""The pool of worker processes: who gets which requests, and who succeeds whom."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from .jsonrpc import TASK_TIMEOUT, WORKER_DIED, WORKER_UNAVAILABLE, Error
from .metrics import Measured
from .process import Answer, Item, State, WorkerProcess
from .protocol import Config
from .watchdog import Watchdog

__all__ = ["Pool", "PoolOwner", "ResetError"]

DEEP = 4096
"""Requests that a worker may have at a time when it is the only one."""
BATCH_BYTES = 256 * 1024
"""Bytes of requests that are sent at a time (or one request, if it is larger)."""
AHEAD = 0.0015
"""Seconds of work that a worker may have at a time when there are others."""
WORTH = 0.0001
"""Seconds of work that are worth waking another worker for."""
UNKNOWN_SERVICE = 0.001
"""Seconds that a request is taken to need while nothing is known."""
BACKOFF = (0.1, 5.0)
"""Seconds until a worker that could not start is tried again: at first, at most."""
RESET_TIMEOUT = 60.0
"""Seconds that a successor may need to become ready in a reset."""

_logger = logging.getLogger(__name__)


class ResetError(Exception):
    """New workers do not start, so the old ones go on.

    Attributes:
        traceback: What the methods package raised, if it was that.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message, traceback)
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        return self.message


class PoolOwner(Protocol):
    """Who gets what the pool produces; called in the loop."""

    def answered(self, answers: list[Answer]) -> None:
        """Replies of methods."""

    def failed(self, items: Sequence[Item], error: Error) -> None:
        """These requests will have no reply of a method."""

    def logged(self, record: logging.LogRecord) -> None:
        """A worker's log record."""

    def measured(self, measured: list[Measured]) -> None:
        """What a worker has counted since the last time."""


class RecycleBudget:
    """Keeps recycling from eating the machine.

    To start a process costs some 60 ms of processor time. With a small maximum of tasks and many
    requests nothing else would be done; so `SHARE` of one processor may go into it, after a
    reserve of `RESERVE` starts.
    """

    RESERVE = 5.0
    SHARE = 0.1

    def __init__(self) -> None:
        self._credit = self.RESERVE
        self._counted_at = time.monotonic()
        self.cost = 0.06
        """Seconds that a start takes, as measured."""

    def take(self) -> bool:
        """Spend one start, if the budget allows it."""
        now = time.monotonic()
        earned = (now - self._counted_at) * self.SHARE / self.cost
        self._credit = min(self.RESERVE, self._credit + earned)
        self._counted_at = now
        if self._credit < 1:
            return False
        self._credit -= 1
        return True


class Slot:
    """A place for one worker at work, and for its successor."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.current: WorkerProcess | None = None
        """Takes requests."""
        self.next: WorkerProcess | None = None
        """Starts, or is ready and waits."""
        self.hurry = False
        """`next` takes over as soon as it is ready."""
        self.firm = False
        """`current` must not exceed its maximum of tasks; it waits for `next` instead."""
        self.budget = RecycleBudget()
        self.failures = 0
        """Starts that failed in a row."""
        self.told = ""
        """The failure that was logged last."""
        self.retry: asyncio.TimerHandle | None = None


class Pool:
    """Local worker processes as the executor's backend.

    Args:
        loop: Everything happens in it.
        owner: Gets the results.
        config: What workers are told; each gets a name of its own.
        processes: How many work at a time.
        max_tasks: A worker is succeeded by another after so many requests; None: never.
        task_timeout: Seconds that a call may take; then its worker is ended and succeeded. None:
            as long as it likes.
        max_rss: Bytes of memory above which a worker is succeeded by another; None: never.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        owner: PoolOwner,
        config: Config,
        processes: int,
        max_tasks: int | None,
        *,
        task_timeout: float | None = None,
        max_rss: int | None = None,
    ) -> None:
        self._loop = loop
        self._owner = owner
        self._config = config
        self._max_tasks = max_tasks
        self._slots = [Slot(number) for number in range(1, processes + 1)]
        self._alone = processes == 1
        self._queue: deque[Item] = deque()
        self._workers: dict[WorkerProcess, Slot] = {}
        """All whose process has not ended, those that leave too."""
        self._watchdog = Watchdog(
            loop, lambda: self._workers, task_timeout, max_rss, self._overdue, self._grown
        )
        self._stopping = False
        self._resetting = asyncio.Lock()
        self._problem: Error | None = None
        """Why nothing can be executed."""

    # ---- what the executor uses --------------------------------------------------------------

    @property
    def workers(self) -> list[WorkerProcess]:
        """The processes that have not ended."""
        return list(self._workers)

    def start(self) -> None:
        """Start the workers."""
        for slot in self._slots:
            self._start_next(slot)

    async def wait_ready(self) -> None:
        """Wait until a worker is ready.

        Raises:
            Error: (``WORKER_UNAVAILABLE``) None can be started.
        """
        while not any(slot.current for slot in self._slots):
            starting = [slot.next.ready for slot in self._slots if slot.next]
            if not starting:
                raise self._problem or Error(code=WORKER_UNAVAILABLE, message="not started")
            await asyncio.wait(starting, return_when=asyncio.FIRST_COMPLETED)

    def submit(self, items: list[Item], size: int) -> None:
        """Execute requests, whose bodies have ``size`` bytes altogether."""
        if self._problem is not None:
            self._owner.failed(items, self._problem)
            return
        if self._alone and not self._queue:
            slot = self._slots[0]
            if len(items) <= self._room(slot) and (size <= BATCH_BYTES or len(items) == 1):
                self._send(slot, items)
                return
        self._queue.extend(items)
        self._pump()

    async def reset(self) -> list[int]:
        """Replace all workers, one after the other; each successor is ready before it takes over.

        Successors import every module of the methods package before they are ready.

        Returns:
            The process ids of the new workers.

        Raises:
            ResetError: A successor does not start; the workers not yet replaced go on.
        """
        async with self._resetting:
            pids = []
            for slot in self._slots:
                if self._stopping:
                    raise ResetError("the daemon is stopping")
                if slot.next is not None:  # it has the old code
                    self._discard(slot)
                slot.hurry = True
                # It is the probe, too: a module that is broken must show now, not in a call.
                self._start_next(slot, whole=True)
                successor = slot.next
                if successor is None:
                    raise ResetError(str(self._problem))
                await asyncio.wait([successor.ready], timeout=RESET_TIMEOUT)
                if not successor.was_ready:
                    slot.hurry = False
                    if slot.next is successor:
                        self._discard(slot)
                    raise ResetError(successor.problem or "stopped", successor.traceback)
                pids.append(successor.pid)
            return pids

    async def close(self, grace: float) -> list[Item]:
        """End all workers; those that still execute, or do not end within ``grace`` s, are killed.

        Returns:
            The requests that are not answered.
        """
        self._stopping = True
        self._watchdog.stop()
        left = list(self._queue)
        self._queue.clear()
        for slot in self._slots:
            if slot.retry is not None:
                slot.retry.cancel()
            if slot.next is not None:
                slot.next.kill()
        for worker in self._workers:
            if unanswered := worker.take_pending():
                left += unanswered
                worker.kill()
            else:
                worker.drain()
        exits = [worker.exited for worker in self._workers]
        if exits:
            await asyncio.wait(exits, timeout=grace)
            for worker in self._workers:
                _logger.warning("worker %s (pid %d) is killed", worker.name, worker.pid)
                worker.kill()
            await asyncio.gather(*exits)
        return left

    # ---- who gets what -----------------------------------------------------------------------

    def _pump(self) -> None:
        """Give waiting requests to workers that have room."""
        queue = self._queue
        while queue:
            free = [(slot, room) for slot in self._slots if (room := self._room(slot)) > 0]
            if not free:
                return
            slot, room = min(free, key=_load)
            if not self._alone:
                assert slot.current is not None
                share = -(-len(queue) // len(free))
                worth = int(WORTH / (slot.current.service or UNKNOWN_SERVICE))
                room = min(room, max(share, worth))
            items = [queue.popleft()]
            size = len(items[0][3])
            while queue and len(items) < room and (size := size + len(queue[0][3])) <= BATCH_BYTES:
                items.append(queue.popleft())
            self._send(slot, items)

    def _room(self, slot: Slot) -> int:
        """How many requests the slot's worker may get now."""
        worker = slot.current
        if worker is None or not worker.writable:
            return 0
        if self._alone:
            room = DEEP - len(worker.pending)
        elif worker.stalled:
            return 0
        else:
            window = int(AHEAD / (worker.service or UNKNOWN_SERVICE))
            room = max(1, min(DEEP, window)) - len(worker.pending)
        return room if self._max_tasks is None else min(room, self._quota(slot, self._max_tasks))

    def _send(self, slot: Slot, items: list[Item]) -> None:
        worker = slot.current
        assert worker is not None
        worker.submit(items)
        self._watchdog.wake()
        if self._max_tasks is not None:
            self._recycle(slot, self._max_tasks)

    # ---- succession --------------------------------------------------------------------------

    def _quota(self, slot: Slot, max_tasks: int) -> int:
        """How many requests the slot's worker may get until its successor takes over."""
        assert slot.current is not None
        left = max_tasks - slot.current.dispatched
        if slot.next is None:
            # Before the maximum it is known how many; at the maximum the budget has said no.
            return left if left > 0 else DEEP
        return left if slot.firm else DEEP

    def _recycle(self, slot: Slot, max_tasks: int) -> None:
        """Prepare a successor in time, and let it take over when the maximum is reached."""
        worker = slot.current
        if worker is None or self._stopping:
            return
        if (
            slot.next is None
            and slot.retry is None
            and 2 * worker.dispatched >= max_tasks
            and slot.budget.take()
        ):
            slot.firm = worker.dispatched <= max_tasks
            self._start_next(slot)
        if worker.dispatched >= max_tasks:
            self._take_over(slot)

    def _start_next(self, slot: Slot, *, whole: bool = False) -> None:
        if slot.retry is not None:
            slot.retry.cancel()
            slot.retry = None
        name = f"sbusr-worker-{slot.number}"
        config = msgspec.structs.replace(self._config, name=name, whole=whole)
        try:
            slot.next = WorkerProcess(self._loop, self, config)
        except OSError as exc:
            self._start_failed(slot, f"cannot start a process: {exc}", "")
            return
        self._workers[slot.next] = slot
        worker = slot.next
        worker.exited.add_done_callback(lambda _: self._workers.pop(worker))

    def _take_over(self, slot: Slot) -> None:
        """The successor, if it is ready, takes the place of the current worker."""
        if slot.next is None or slot.next.state is not State.READY:
            return
        if slot.current is not None:
            slot.current.drain()
        slot.current, slot.next = slot.next, None
        slot.hurry = slot.firm = False
        if self._max_tasks is not None:
            self._recycle(slot, self._max_tasks)

    def _discard(self, slot: Slot) -> None:
        """End a successor that has not taken over."""
        if slot.next is not None:
            slot.next.kill()
            slot.next = None

    def _start_failed(self, slot: Slot, problem: str, traceback: str) -> None:
        slot.failures += 1
        told, slot.told = slot.told, f"{problem}\n{traceback}"
        if slot.failures > 1 and slot.told == told:
            _logger.error("worker %d still does not start: %s", slot.number, problem)
        else:
            _logger.error("worker %d does not start: %s", slot.number, slot.told.rstrip())
        if slot.current is None:
            delay = min(BACKOFF[1], BACKOFF[0] * 2 ** (slot.failures - 1))
            slot.retry = self._loop.call_later(delay, self._start_next, slot)
        if not any(slot.current for slot in self._slots):
            self._problem = Error(code=WORKER_UNAVAILABLE, message=f"No worker: {problem}")
            items = list(self._queue)
            self._queue.clear()
            self._owner.failed(items, self._problem)

    # ---- what the watchdog sees --------------------------------------------------------------

    def _overdue(self, worker: WorkerProcess, limit: float) -> None:
        """A call takes too long: end its worker. What waits behind it goes to the successor."""
        if worker.overdue is None:
            text = "worker %s (pid %d): a call takes longer than %g s: killing it"
            _logger.error(text, worker.name, worker.pid, limit)
        worker.kill_overdue()

    def _grown(self, worker: WorkerProcess, size: int) -> None:
        """A worker is too large: a successor takes its place."""
        slot = self._workers[worker]
        if slot.current is worker and slot.next is None and slot.budget.take():
            text = "worker %s (pid %d) has %d MiB of memory: it will be succeeded"
            _logger.warning(text, worker.name, worker.pid, size >> 20)
            slot.hurry = True
            self._start_next(slot)

    # ---- what workers tell (see process.Owner) -----------------------------------------------

    def worker_ready(self, worker: WorkerProcess) -> None:
        """A successor is ready."""
        slot = self._workers[worker]
        slot.failures = 0
        slot.budget.cost = max(0.01, worker.start_seconds)
        self._problem = None
        _logger.info("worker %s (pid %d) is ready", worker.name, worker.pid)
        if slot.next is worker:
            current = slot.current
            if current is None or slot.hurry or current.dispatched >= (self._max_tasks or 1 << 62):
                self._take_over(slot)
            self._pump()

    def worker_answered(self, answers: list[Answer]) -> None:
        """Requests are done."""
        self._owner.answered(answers)

    def worker_returned(self, items: list[Item]) -> None:
        """A worker returns what waits behind a long call."""
        self._queue.extendleft(reversed(items))
        self._pump()

    def worker_moved(self) -> None:
        """A worker may have room."""
        if self._queue:
            self._pump()

    def worker_retires(self, worker: WorkerProcess) -> None:
        """Somebody asked a worker to make place (SIGTERM)."""
        slot = self._workers[worker]
        if self._stopping or slot.current is not worker:
            return
        _logger.info("worker %s (pid %d) was asked to end", worker.name, worker.pid)
        slot.hurry = True
        if slot.next is None:
            self._start_next(slot)
        self._take_over(slot)

    def worker_logged(self, record: logging.LogRecord) -> None:
        """A worker has logged something."""
        self._owner.logged(record)

    def worker_measured(self, measured: list[Measured]) -> None:
        """A worker has counted something."""
        self._owner.measured(measured)

    def worker_gone(self, worker: WorkerProcess, lost: list[Item], unstarted: list[Item]) -> None:
        """A worker has ended, as it should or not."""
        slot = self._workers[worker]
        if worker.overdue is not None:
            late = [item for item in lost if item is worker.overdue]
            lost = [item for item in lost if item is not worker.overdue]
            self._owner.failed(late, Error(code=TASK_TIMEOUT, message="The call took too long."))
        if lost:
            self._owner.failed(lost, Error(code=WORKER_DIED, message="The worker process died."))
        self._queue.extendleft(reversed(unstarted))
        if slot.next is worker:
            slot.next = None
            if not self._stopping and not worker.was_ready:
                self._start_failed(slot, worker.problem, worker.traceback)
        elif slot.current is worker:
            slot.current = None
            if not self._stopping:
                _logger.error("worker %s (pid %d) died", worker.name, worker.pid)
                if slot.next is not None:
                    self._take_over(slot)
                elif worker.dispatched:
                    self._start_next(slot)
                else:  # it has lived for nothing, and so may the next one
                    slot.retry = self._loop.call_later(BACKOFF[0], self._start_next, slot)
        self._pump()


def _load(candidate: tuple[Slot, int]) -> int:
    worker = candidate[0].current
    return len(worker.pending) if worker is not None else 0
