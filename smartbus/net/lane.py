"""The way from a pump to a client's ``event_executor``: bounded, and never raising."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Final

#: A lane takes no more while this many events or bytes wait in its executor.
MAX_EVENTS: Final = 65536
MAX_BYTES: Final = 64 << 20


class Lane:
    """Feeds an executor, but only so far ahead.

    Executors queue without bound. When too much waits, `submit` waits too: the pump stops
    draining, the inbox fills, the library stops reading, and the sender feels it.
    """

    def __init__(self, executor: Executor, logger: logging.Logger) -> None:
        """Feed `executor`, which stays the caller's to shut down; say to `logger` what is lost."""
        self._logger = logger
        self._executor = executor
        self._changed = threading.Condition()
        self._events = 0
        self._bytes = 0
        self._closed = False

    def submit(self, call: Callable[[], None], events: int, size: int) -> None:
        """Have the executor run `call`, which stands for `events` events of `size` bytes."""
        with self._changed:
            while not self._closed and (self._events >= MAX_EVENTS or self._bytes >= MAX_BYTES):
                self._changed.wait()
            if self._closed:
                return
            self._events += events
            self._bytes += size
        try:
            future = self._executor.submit(call)
        except RuntimeError as error:  # it was shut down
            self._done(events, size)
            self._logger.error("%d event(s) lost: %s", events, error)  # noqa: TRY400 - no defect
        else:
            future.add_done_callback(partial(self._ended, events, size))

    def _ended(self, events: int, size: int, future: Future[None]) -> None:
        self._done(events, size)
        if future.cancelled():
            self._logger.error("%d event(s) lost: the executor cancelled them", events)
        elif (error := future.exception()) is not None:
            # Handlers raise nothing here: this is the executor, for instance one of processes.
            self._logger.error("%d event(s) lost: the executor failed: %r", events, error)

    def _done(self, events: int, size: int) -> None:
        with self._changed:
            self._events -= events
            self._bytes -= size
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more and let a waiting `submit` go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Forget who may have held the lock: this is a forked child."""
        self._changed = threading.Condition()


def check_executor(executor: Executor | None) -> None:
    """Raise `TypeError` for what is no executor; a class of them is none."""
    if executor is None:
        return
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        kind = executor if isinstance(executor, type) else type(executor)
        what = f"the class {kind.__name__}" if kind is executor else kind.__name__
        raise TypeError(f"event_executor must be an Executor, not {what}")
