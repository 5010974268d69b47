"""One worker process, as its parent sees it: start, requests out, replies in, end."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import itertools
import logging
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from .metrics import Measured
from .protocol import (
    ANSWERS,
    BACK,
    CONFIG,
    FAILED,
    LOG,
    METRICS,
    READY,
    RETIRE,
    SHARED_SIZE,
    STOP,
    Config,
    FrameReader,
    frame,
    pack_requests,
    unpack_answers,
    unpack_back,
)

__all__ = ["Answer", "Item", "Owner", "State", "WorkerProcess"]

Item = tuple[Any, str, bytes, bytes]
"""A request: client, encoding, raw packet head, body. Kept until it is answered."""
Answer = tuple[Item, bytes, bytes]
"""A request, and its reply's title and text (both empty for notifications)."""

START_TIMEOUT = 60.0
"""Seconds within which the methods package must be imported."""
EXIT_GRACE = 2.0
"""Seconds that a process has to end after it has closed its end of the socket pair."""
REAP_EVERY = 0.02
"""Seconds between two looks for the end of a process, where nothing tells."""

_ROOT = str(Path(__file__).resolve().parent.parent)


class State(enum.Enum):
    """A worker's life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    """Finishes what it has, then ends."""
    GONE = "gone"


class Owner(Protocol):
    """Who is told about a worker's life. Everything is called in the loop."""

    def worker_ready(self, worker: WorkerProcess) -> None:
        """It can take requests."""

    def worker_answered(self, answers: list[Answer]) -> None:
        """These are done."""

    def worker_returned(self, items: list[Item]) -> None:
        """A worker is busy with one long call; what waits behind it (perhaps nothing) is here."""

    def worker_moved(self) -> None:
        """Something was read from a worker or written to it: it may have room."""

    def worker_retires(self, worker: WorkerProcess) -> None:
        """Somebody asked it to make place for a successor."""

    def worker_logged(self, record: logging.LogRecord) -> None:
        """A log record came from a worker."""

    def worker_measured(self, measured: list[Measured]) -> None:
        """A worker tells what it has counted since the last time."""

    def worker_gone(self, worker: WorkerProcess, lost: list[Item], unstarted: list[Item]) -> None:
        """It has ended: some requests may have run, others certainly have not."""


class WorkerProcess:
    """Starts a worker and keeps its accounts.

    Args:
        loop: Everything happens in it.
        owner: Gets the events.
        config: What the worker is told.

    Raises:
        OSError: The process cannot be started.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner, config: Config) -> None:
        self.name = config.name
        self.state = State.STARTING
        self.pending: dict[int, Item] = {}
        """Requests that it has, by task number, oldest first."""
        self.dispatched = 0
        """How many requests it got and did not return."""
        self.stalled = False
        """It is known to be busy with one long call."""
        self.service = 0.0
        """Seconds that a request takes, smoothed; 0 while unknown."""
        self.problem = ""
        """Why it did not become ready."""
        self.traceback = ""
        self.overdue: Item | None = None
        """The request whose call took too long, which is why the process is killed."""
        self.started_at = time.monotonic()
        self.start_seconds = 0.0
        """How long it took to become ready."""
        self.ready: asyncio.Future[None] = loop.create_future()
        """Done when it is ready, or has ended without becoming so."""
        self.exited: asyncio.Future[None] = loop.create_future()
        """Done when the process has ended and everything is closed."""
        self._loop = loop
        self._owner = owner
        self._next = 1
        self._reader = FrameReader()
        self._outgoing = bytearray()
        self._handlers: dict[int, Callable[[bytes], None]] = {
            READY: self._on_ready,
            FAILED: self._on_failed,
            ANSWERS: self._on_answers,
            BACK: self._on_back,
            RETIRE: lambda _: owner.worker_retires(self),
            LOG: self._on_log,
            METRICS: self._on_metrics,
        }
        self._spawn()
        self._timer = loop.call_later(START_TIMEOUT, self._start_timed_out)
        self._write(frame(CONFIG, msgspec.json.encode(config)))

    def _spawn(self) -> None:
        path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
        self._sock, theirs = socket.socketpair()
        shared = _shared_memory()
        self._memory = mmap.mmap(shared, SHARED_SIZE)
        try:
            # A session of its own keeps the terminal's Ctrl-C from it.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "sbusr.worker", str(theirs.fileno()), str(shared)],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), shared),
                start_new_session=True,
            )
        except OSError:
            self._sock.close()
            self._memory.close()
            raise
        finally:
            os.close(shared)
            theirs.close()
        self._progress = memoryview(self._memory).cast("Q")
        self._sock.setblocking(False)
        self._loop.add_reader(self._sock, self._readable)
        self._pidfd = -1
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # an old kernel
                self._pidfd = os.pidfd_open(self._process.pid)
                self._loop.add_reader(self._pidfd, self._ended)

    # ---- requests --------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def progress(self) -> int:
        """Number of the task that it executes, or has executed last."""
        return 0 if self.state is State.GONE else self._progress[0]

    @property
    def call_timeout(self) -> float:
        """Seconds that the call in execution may take as its method says; 0: it says nothing."""
        return 0.0 if self.state is State.GONE else self._progress[1] * 1e-6

    @property
    def writable(self) -> bool:
        """Whether everything sent so far has gone out."""
        return not self._outgoing

    @property
    def was_ready(self) -> bool:
        """Whether it has ever been ready."""
        return self.start_seconds > 0

    def submit(self, items: Sequence[Item]) -> None:
        """Send requests; those of one frame must agree in their encoding, so it may be several."""
        for encoding, group in itertools.groupby(items, _encoding):
            batch = list(group)
            first = self._next
            self._next += len(batch)
            self.pending.update(zip(range(first, self._next), batch, strict=True))
            self.dispatched += len(batch)
            self._write(pack_requests(first, [item[3] for item in batch], encoding))

    def drain(self) -> None:
        """Let it finish what it has and end; it gets no more requests."""
        if self.state in (State.STARTING, State.READY):
            self.state = State.DRAINING
            self._write(frame(STOP))

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()

    def kill_overdue(self) -> None:
        """End it at once because the call that it executes takes too long."""
        self.overdue = self.pending.get(self.progress)
        self.kill()

    def take_pending(self) -> list[Item]:
        """Take all requests back that it has, because their replies are not wanted any more."""
        items = list(self.pending.values())
        self.pending.clear()
        return items

    # ---- the socket ------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        if self._outgoing:
            self._outgoing += data
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # it is gone; the reader will notice
            return
        if sent < len(data):
            self._outgoing += memoryview(data)[sent:]
            self._loop.add_writer(self._sock, self._writable)

    def _writable(self) -> None:
        try:
            sent = self._sock.send(self._outgoing)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._outgoing)
        del self._outgoing[:sent]
        if not self._outgoing:
            self._loop.remove_writer(self._sock)
            self._owner.worker_moved()

    def _readable(self) -> None:
        if self._receive():
            self._owner.worker_moved()
        else:
            self._gone()

    def _receive(self) -> bool:
        """Read once; False when there will be nothing any more."""
        try:
            frames = self._reader.receive(self._sock)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if frames is None:
            return False
        for tag, body in frames:
            self._handlers[tag](body)
        return True

    def _on_ready(self, _: bytes) -> None:
        self._timer.cancel()
        self.start_seconds = time.monotonic() - self.started_at
        if self.state is State.STARTING:
            self.state = State.READY
            self.ready.set_result(None)
            self._owner.worker_ready(self)

    def _on_failed(self, body: bytes) -> None:
        failure = msgspec.json.decode(body)
        self.problem, self.traceback = failure["message"], failure["traceback"]

    def _on_answers(self, body: bytes) -> None:
        busy, answers = unpack_answers(body)
        pop = self.pending.pop
        done = [
            (item, title, text)
            for task, title, text in answers
            if (item := pop(task, None)) is not None
        ]
        self.stalled = False
        if done:
            # Cut: one call of a minute must not be remembered for the next hundred calls.
            service = min(busy / len(done) * 1e-9, 0.01)
            self.service += (service - self.service) * (0.2 if self.service else 1.0)
            self._owner.worker_answered(done)

    def _on_back(self, body: bytes) -> None:
        items = [
            item
            for tasks in unpack_back(body)
            for task in tasks
            if (item := self.pending.pop(task, None)) is not None
        ]
        self.dispatched -= len(items)
        # If nothing is left, the long call has ended and its answer has overtaken this.
        self.stalled = bool(self.pending)
        self._owner.worker_returned(items)

    def _on_log(self, body: bytes) -> None:
        self._owner.worker_logged(logging.makeLogRecord(msgspec.json.decode(body)))

    def _on_metrics(self, body: bytes) -> None:
        self._owner.worker_measured(msgspec.json.decode(body, type=list[Measured]))

    # ---- the end ---------------------------------------------------------------------------

    def _start_timed_out(self) -> None:
        self.problem = f"importing the methods package took more than {START_TIMEOUT:.0f} s"
        self.kill()

    def _ended(self) -> None:
        """The process has ended (its pidfd says so)."""
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self._gone()
        self._reap()

    def _gone(self) -> None:
        """No more will come from it, except what its socket still holds."""
        if self.state is State.GONE:
            return
        if self.pending and self._process.poll() is None:
            # Only when it has ended is it certain what it has not started.
            self.kill()
            self._loop.remove_reader(self._sock)
            if self._pidfd < 0:
                self._loop.call_later(REAP_EVERY, self._gone)
            return
        was_starting = self.state is State.STARTING
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        # A process that a method has started may hold the other end open: until nothing comes.
        while self._holds_more():
            pass
        self.state = State.GONE
        self._sock.close()
        self._timer.cancel()
        progress = self._progress[0]
        self._progress.release()
        self._memory.close()
        lost = [item for task, item in self.pending.items() if task <= progress]
        unstarted = [item for task, item in self.pending.items() if task > progress]
        self.pending.clear()
        if self._process.poll() is None:
            self._timer = self._loop.call_later(EXIT_GRACE, self.kill)
        if was_starting and not self.problem:
            self.problem = f"the worker process ended while starting ({self._how()})"
        if not self.ready.done():
            self.ready.set_result(None)
        self._owner.worker_gone(self, lost, unstarted)
        self._reap()

    def _holds_more(self) -> bool:
        try:
            frames = self._reader.receive(self._sock)
        except OSError:  # nothing there, or reset
            return False
        for tag, body in frames or ():
            if tag != RETIRE:
                self._handlers[tag](body)
        return frames is not None

    def _reap(self) -> None:
        if self.exited.done():
            return
        if self._process.poll() is None:
            if self._pidfd < 0:
                self._loop.call_later(REAP_EVERY, self._reap)
            return
        self._timer.cancel()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self.exited.set_result(None)

    def _how(self) -> str:
        code = self._process.poll()
        if code is None:
            return "it has closed its connection"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.name} pid={self.pid} {self.state.value}>"


def _encoding(item: Item) -> str:
    return item[1]


def _shared_memory() -> int:
    """Descriptor of `SHARED_SIZE` zero bytes that two processes can map."""
    if sys.platform == "linux":
        fd = os.memfd_create("sbusr-progress")
    else:
        fd, name = tempfile.mkstemp(prefix="sbusr-")
        os.unlink(name)
    os.ftruncate(fd, SHARED_SIZE)
    return fd
