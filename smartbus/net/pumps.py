"""What moves events from the library to the handlers: a thread, or an asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from smartbus._c.backend import Backend
from smartbus._c.events import Item
from smartbus.errors import OtherError

#: An asyncio pump lets other callbacks of its loop run after this many seconds of handlers.
FAIR_SHARE: Final = 0.005
#: Stopping waits so long (seconds) for a handler that is still running.
STOP_PATIENCE: Final = 5.0

Dispatch = Callable[[Item], None]


def is_ctrl_c(error: BaseException) -> bool:
    """Whether `error` is Ctrl-C: handlers may run in the thread where it arrives, in a loop."""
    in_main = threading.current_thread() is threading.main_thread()
    return in_main and isinstance(error, KeyboardInterrupt)


class Pump(Protocol):
    """Takes events out of a back end and hands each one to its dispatch function."""

    #: False: after sending, `flush_soon` must be called.
    flush_due: bool

    def start(self) -> None:
        """Begin."""
        ...

    def flush_soon(self) -> None:
        """Have packets that were held back leave in this turn of the loop."""
        ...

    def in_handler(self) -> bool:
        """Whether the caller runs where the handlers run."""
        ...

    def stop(self, linger: float) -> None:
        """End, after giving packets `linger` seconds to leave; no dispatch begins afterwards."""
        ...

    def abandon(self) -> None:
        """Forget everything without touching it: this is a forked child."""
        ...


def _linger(backend: Backend, seconds: float) -> None:
    """Let queued packets leave, for at most `seconds`; events that come in are dropped."""
    deadline = time.monotonic() + seconds
    while backend.queued() and (left := deadline - time.monotonic()) > 0:
        if backend.step(min(left, 0.05)) < 0:
            return
        backend.drain()


class ThreadPump:
    """One thread that waits in the library, without the interpreter lock, and dispatches.

    It is the executor of one thread in which handlers run by default. With the core it is
    also the thread that reads and writes the sockets: no I/O thread stands between.
    """

    def __init__(self, backend: Backend, dispatch: Dispatch, logger: logging.Logger) -> None:
        """Prepare; `start` starts the thread."""
        self.flush_due = True  # packets are not held back, so there is never anything to do
        self._backend = backend
        self._dispatch = dispatch
        self._stopping = threading.Event()
        self._linger = 0.0
        self._logger = logger
        # A daemon: a handler that never returns must not keep the process from ending. The
        # runtime stops it in an atexit hook.
        self._thread = threading.Thread(target=self._run, name="smartbus-net", daemon=True)

    def start(self) -> None:
        """See `Pump`."""
        self._thread.start()

    def flush_soon(self) -> None:
        """See `Pump`."""

    def in_handler(self) -> bool:
        """See `Pump`."""
        return threading.current_thread() is self._thread

    def stop(self, linger: float) -> None:
        """See `Pump`."""
        self._linger = linger
        self._stopping.set()
        self._backend.wake()
        if self.in_handler():
            _linger(self._backend, linger)
            return
        self._thread.join(linger + STOP_PATIENCE)
        if self._thread.is_alive():
            self._logger.warning(
                "a handler still runs after %.0f s; not waiting for it", STOP_PATIENCE
            )

    def abandon(self) -> None:
        """See `Pump`."""
        self._stopping.set()

    def _run(self) -> None:
        backend = self._backend
        stopping = self._stopping.is_set
        while not stopping():
            events = backend.step(None)
            if events < 0:
                return
            if events:
                for item in backend.drain():
                    if stopping():
                        break
                    self._dispatch(item)
        _linger(backend, self._linger)


class LoopPump:
    """Events in an asyncio loop, without a thread.

    Packets sent from the loop's thread are held back and leave together once in a turn of
    the loop.
    """

    def __init__(
        self, backend: Backend, dispatch: Dispatch, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Prepare; `start` registers with `loop`.

        Raises:
            OtherError: The platform's core has no descriptor that a loop can watch.
        """
        self.flush_due = True  # until the loop has taken over
        self._backend = backend
        self._dispatch = dispatch
        self._loop = loop
        self._fd = backend.fileno()
        self._thread_id: int | None = None
        self._pending: Iterator[Item] | None = None
        self._stopping = threading.Event()
        if self._fd < 0:
            raise OtherError(
                -99, "this library has no descriptor for an event loop; initialize without loop="
            )

    def start(self) -> None:
        """See `Pump`; takes effect at once in the loop's own thread, else as soon as it can."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            self._begin()
        else:
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        if self._stopping.is_set():
            return
        self._thread_id = threading.get_ident()
        self._backend.cork(True)
        self._loop.add_reader(self._fd, self._readable)
        self.flush_due = False
        self._readable()

    def flush_soon(self) -> None:
        """See `Pump`."""
        if threading.get_ident() == self._thread_id:  # others are not held back
            self.flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self.flush_due = False
        self._backend.flush()

    def in_handler(self) -> bool:
        """See `Pump`."""
        return threading.get_ident() == self._thread_id

    def _readable(self) -> None:
        if self._pending is None:
            self._turn()

    def _turn(self) -> None:
        """Work off what is there, until nothing is left or the fair share of time is used up."""
        deadline = time.monotonic() + FAIR_SHARE
        self.flush_due = True
        pending, self._pending = self._pending, None
        stopping = self._stopping.is_set
        while not stopping():
            if pending is None:
                # Every step also sends what the handlers left. The last one finds nothing.
                if self._backend.step(0) <= 0:
                    break
                pending = iter(self._backend.drain())
            for item in pending:
                self._dispatch(item)
                if stopping():
                    return
                if time.monotonic() > deadline:
                    self._pending = pending
                    self._loop.call_soon(self._turn)
                    self._flush()
                    return
            pending = None
        self.flush_due = stopping()

    def stop(self, linger: float) -> None:
        """See `Pump`; from another thread this waits for the running loop."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self.flush_due = True
        if self._loop.is_running() and not self.in_handler():
            removed = threading.Event()
            with contextlib.suppress(RuntimeError):  # closed meanwhile, and its readers with it
                self._loop.call_soon_threadsafe(self._remove_reader, removed)
                # The descriptor's number may be another's as soon as the back end is closed.
                removed.wait(STOP_PATIENCE)
        elif not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._backend.cork(False)
        _linger(self._backend, linger)

    def _remove_reader(self, removed: threading.Event) -> None:
        self._loop.remove_reader(self._fd)
        removed.set()

    def abandon(self) -> None:
        """See `Pump`."""
        self._stopping.set()
