"""The worker process: receives batches of requests, executes them in order, sends replies back.

Started by `sbusr.process` as ``python -m sbusr.worker FD PROGRESS_FD``. The main thread alone
executes requests. A helper thread comes in when one call takes long: it sends the replies that
wait behind that call, gives requests back that wait behind it (other workers may execute them),
and ends the process when the parent is gone. Otherwise it sleeps.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import mmap
import os
import select
import signal
import socket
import sys
import threading
import time
from argparse import Namespace
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from . import globalvars
from .calls import Calls
from .importing import import_traceback
from .loggingqueue import QueueHandler
from .protocol import (
    CONFIG,
    FAILED,
    LOG,
    METRICS,
    READY,
    REQUESTS,
    RETIRE,
    SHARED_SIZE,
    STOP,
    Config,
    FrameReader,
    frame,
    pack_answers,
    pack_back,
    requests_range,
    unpack_requests,
)
from .resolver import Resolver

__all__ = ["EXIT_IMPORT_FAILED", "Link", "Worker", "main"]

EXIT_IMPORT_FAILED = 3
"""Exit code when the methods package does not import."""

SLICE = 0.0005
"""Finished replies are sent after this time (seconds) while work goes on."""
TICK_MS = 1
"""How often (milliseconds) the helper thread looks while there is work."""
REPORT_EVERY = 1.0
"""Seconds between two reports of what was counted."""
ORPHAN_GRACE = 0.5
"""Time (seconds) that the main thread has to end by itself when the parent is gone."""


class Link:
    """The worker's end of the socket pair. Sending is safe in every thread."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.frames: deque[tuple[int, bytes]] = deque()
        """Received and not yet handled."""
        self.inbox = threading.Lock()
        """Hold it to receive and to take from `frames`."""
        self._reader = FrameReader()
        self._sending = threading.Lock()
        self._answers: list[tuple[int, bytes, bytes]] = []
        self.add = self._answers.append
        """Add a finished task: its number, the reply's title and text."""
        self._since = 0.0

    def receive(self, flags: int = 0) -> bool:
        """Receive once; False when the parent is gone."""
        frames = self._reader.receive(self.sock, flags)
        if frames is None:
            return False
        self.frames.extend(frames)
        return True

    def send(self, data: bytes) -> None:
        """Send a complete frame."""
        with self._sending:
            self.sock.sendall(data)

    def send_json(self, tag: int, value: Any) -> None:
        """Send a frame with a JSON body; what has no JSON form is sent as its ``repr``."""
        self.send(frame(tag, msgspec.json.encode(value, enc_hook=repr)))

    def start_clock(self) -> None:
        """Work begins now: from here counts the busy time that replies report."""
        self._since = time.perf_counter()

    def flush(self) -> None:
        """Send the finished replies."""
        with self._sending:
            # The main thread may add one meanwhile: take exactly what is there now.
            answers = self._answers[:]
            if answers:
                del self._answers[: len(answers)]
                now = time.perf_counter()
                busy, self._since = now - self._since, now
                self.sock.sendall(pack_answers(answers, int(busy * 1e9)))


class Worker:
    """Executes what comes over the link until told to stop.

    Args:
        link: To the parent.
        calls: Executes requests.
        progress: A number in shared memory. That of the task in execution is kept there, so that
            the parent knows which ones this process has not started, should it die.
        give_back: Return requests that wait behind a slow call.
    """

    def __init__(
        self, link: Link, calls: Calls, progress: memoryview, *, give_back: bool = False
    ) -> None:
        self._link = link
        self._calls = calls
        calls.announce = self._limit_call
        self._unreported = False
        self._report_at = 0.0
        self._progress = progress
        self._give_back = give_back
        self._batch: tuple[Iterator[bytes], int] = iter(()), 0
        """What is left of the batch in execution, and the task number after its last one."""
        self._busy = False
        self._helped = False
        """The helper thread is awake."""
        self._done = False
        self._signals, self._signals_in = socket.socketpair()
        self._wake, self._wake_in = socket.socketpair()
        for end in (self._signals, self._signals_in, self._wake, self._wake_in):
            end.setblocking(False)

    def catch_signals(self) -> None:
        """Make SIGINT and SIGTERM harmless: the parent decides when this process ends.

        A service manager sends them to all processes of the daemon. SIGTERM asks the parent for
        a successor, so that ``kill PID`` reloads this worker without losing a request.
        """
        # A handler that does nothing: SIG_IGN would be inherited by programs that methods start.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._signals_in.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        """Work until STOP, or until the parent is gone."""
        threading.Thread(target=self._help, name="sbusr-helper", daemon=True).start()
        link = self._link
        frames = link.frames
        signals = self._signals.fileno()
        poll = select.poll()
        poll.register(link.sock, select.POLLIN)
        poll.register(signals, select.POLLIN)
        while True:
            with link.inbox:
                ready = poll.poll(REPORT_EVERY * 1000 if self._unreported else None)
                for fd, _ in ready:
                    if fd == signals:
                        self._signalled()
                    elif not link.receive():
                        return
            if not ready:
                self._report()
                continue
            link.start_clock()
            self._busy = True
            while frames:
                with link.inbox:
                    # The helper may have taken it meanwhile.
                    tag, body = frames.popleft() if frames else (0, b"")
                if tag == REQUESTS:
                    self._work(body)
                elif tag == STOP:
                    link.flush()
                    self._report()
                    self._done = True
                    return
            link.flush()
            if self._unreported and time.perf_counter() > self._report_at:
                self._report()
            self._busy = False

    def _report(self) -> None:
        """Tell the parent what was counted."""
        self._unreported = False
        self._report_at = time.perf_counter() + REPORT_EVERY
        if measured := self._calls.metrics.take():
            self._link.send_json(METRICS, measured)

    def _work(self, body: bytes) -> None:
        first, encoding, bodies = unpack_requests(body)
        if not self._helped and (self._give_back or len(bodies) > 1):
            self._helped = True
            self._wake_in.send(b"x")
        calls = self._calls
        execute, add, progress, clock = (
            calls.execute,
            self._link.add,
            self._progress,
            time.perf_counter,
        )
        # Both threads take from this iterator; each request goes to one of them.
        rest = iter(bodies)
        self._batch = rest, first + len(bodies)
        self._unreported = True
        began = clock()
        due = began + SLICE
        for number, request in enumerate(rest, first):
            progress[0] = number
            title, text = execute(request, encoding)
            add((number, title, text))
            now = clock()
            calls.histogram.note(now - began)
            if now > due:
                self._link.flush()
                now = clock()
                due = now + SLICE
            began = now

    def _limit_call(self, seconds: float) -> None:
        """Let the parent know how long the call that follows may take."""
        self._progress[1] = int(seconds * 1e6)

    def _signalled(self) -> None:
        if signal.SIGTERM in self._signals.recv(4096):
            self._link.send(frame(RETIRE))

    def _help(self) -> None:
        """The helper thread: asleep until the main thread has work."""
        poll = select.poll()
        poll.register(self._link.sock, 0)  # tells only that the parent is gone
        poll.register(self._wake, select.POLLIN)
        with contextlib.suppress(ConnectionError):  # the main thread will see it too
            self._help_for_ever(poll)

    def _help_for_ever(self, poll: select.poll) -> None:
        while True:
            self._pause(poll, None)
            while True:
                self._watch(poll)
                # The main thread sets `_busy` before it looks at `_helped`, here it is the other
                # way round: at least one of the two sees the other.
                self._helped = False
                if not self._busy:
                    break
                self._helped = True

    def _watch(self, poll: select.poll) -> None:
        """Come in when a call takes long; return when the main thread has nothing to do."""
        seen = noticed = 0
        while self._busy:
            self._pause(poll, TICK_MS)
            task = self._progress[0]
            if task == seen:
                if self._give_back:
                    self._return_requests(notice=task != noticed)
                    noticed = task
                self._link.flush()
            seen = task

    def _pause(self, poll: select.poll, timeout: int | None) -> None:
        """Wait for the time to pass, or for being woken; end the process if the parent is gone."""
        for fd, _ in poll.poll(timeout):
            if fd == self._wake.fileno():
                self._wake.recv(64)
            else:
                time.sleep(ORPHAN_GRACE)
                if not self._done:
                    os._exit(0)
                poll.unregister(fd)

    def _return_requests(self, *, notice: bool) -> None:
        """Give back all requests that wait behind the call in execution.

        Args:
            notice: Tell the parent that a call takes long, even if nothing waits behind it.
        """
        link = self._link
        rest, end = self._batch
        count = len(list(rest))
        ranges = [(end - count, end)] if count else []
        if link.inbox.acquire(blocking=False):  # else the main thread is just about to receive
            try:
                with contextlib.suppress(BlockingIOError):
                    link.receive(socket.MSG_DONTWAIT)
                while link.frames and link.frames[0][0] == REQUESTS:
                    ranges.append(requests_range(link.frames.popleft()[1]))
            finally:
                link.inbox.release()
        if ranges or notice:
            link.send(pack_back(ranges))


def _plain(value: Any) -> Any:
    """A member of a log record in a form that JSON can take, whatever it is."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    try:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001 - an object of any making
        return f"<{type(value).__name__}>"


def _set_up_logging(link: Link, config: Config) -> None:
    class _Queue:
        @staticmethod
        def put_nowait(record: logging.LogRecord) -> None:
            record.processName = config.name
            with contextlib.suppress(OSError):  # the parent is gone, or has let go of this one
                try:
                    link.send_json(LOG, record.__dict__)
                except Exception:  # noqa: BLE001 - a lone surrogate; an object without a repr
                    link.send_json(LOG, {k: _plain(v) for k, v in record.__dict__.items()})

    root = logging.getLogger()
    root.addHandler(QueueHandler(_Queue()))  # type: ignore[arg-type] # all it needs
    for name, level in config.log_levels.items():
        logging.getLogger(name or None).setLevel(level)


def main(argv: list[str]) -> int:
    """Run a worker process.

    Args:
        argv: Descriptor of the socket to the parent; descriptor of the shared progress bytes.

    Returns:
        Exit code.
    """
    descriptors = [int(arg) for arg in argv]
    for fd in descriptors:
        os.set_inheritable(fd, False)
    sock = socket.socket(fileno=descriptors[0])
    # A process that a method forks must not speak in the name of this one.
    os.register_at_fork(after_in_child=sock.close)
    progress = memoryview(mmap.mmap(descriptors[1], SHARED_SIZE)).cast("Q")
    with contextlib.suppress(ConnectionError):  # the parent is gone
        return _run(Link(sock), progress)
    return 0


def _run(link: Link, progress: memoryview) -> int:
    while not link.frames:
        if not link.receive():
            return 0
    tag, body = link.frames.popleft()
    assert tag == CONFIG
    config = msgspec.json.decode(body, type=Config)
    sys.path[:] = config.path
    globalvars.prog_args = None if config.prog_args is None else Namespace(**config.prog_args)
    _set_up_logging(link, config)
    methods = Resolver(config.methods)
    calls = Calls(methods, limit=config.reply_limit, verbose=config.verbose)
    worker = Worker(link, calls, progress, give_back=config.give_back)
    worker.catch_signals()
    try:
        methods.load(whole=config.whole)
    except BaseException as exc:  # noqa: BLE001 - SystemExit too
        message = f"{type(exc).__name__}: {exc}"
        link.send_json(FAILED, {"message": message, "traceback": import_traceback(exc)})
        return EXIT_IMPORT_FAILED
    gc.collect()
    gc.freeze()
    link.send_json(READY, {"pid": os.getpid()})
    try:
        worker.run()
    finally:
        calls.close()
        # What follows (atexit handlers of methods, threads that they started) must not keep the
        # parent waiting, nor those whose requests are lost if this is an exception.
        with contextlib.suppress(OSError):
            link.sock.shutdown(socket.SHUT_WR)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
