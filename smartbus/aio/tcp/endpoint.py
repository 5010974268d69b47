"""The life of a connection: callbacks, background tasks, closing."""

from __future__ import annotations

import asyncio
import inspect
import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec

from .exchange import Exchange

if TYPE_CHECKING:
    from typing_extensions import Self

    from .settings import Settings
    from .stream import Stream


__all__ = ["ConnectCallback", "Endpoint"]

P = ParamSpec("P")

#: Gets the client or server whose `connected` has changed.
ConnectCallback = Callable[[Any], Awaitable[None]]


class Endpoint(Exchange):
    """A client or a server, with one connection at a time.

    Attributes:
        log: Child of the logger that was given, named after class and `name`.
        name: For log messages.
        monitor_connection_interval: Where positive, a connection that ends is reported even if
            nobody reads or writes. Upstream looks every so many seconds; here the end itself
            says so, at once.
        should_be_connected: There was a connection, and it was not closed by this side: it is
            lost if this is true while `connected` is not.
        start_task: Done when started, with an exception if that failed.
        done_task: Done when closed by `close` or `basic_close`.
    """

    def __init__(
        self,
        settings: Settings,
        log: logging.Logger,
        connect_callback: ConnectCallback | None,
        monitor_connection_interval: float,
        name: str,
    ) -> None:
        """Prepare everything but the start; needs a running loop.

        Raises:
            TypeError: The callback is no coroutine function.
        """
        if connect_callback is not None and not _is_async(connect_callback):
            raise TypeError(f"connect_callback={connect_callback!r} must be a coroutine function")
        super().__init__(settings)
        self._loop = asyncio.get_running_loop()
        self._connect_callback = connect_callback
        self._reported = False
        self._starting = False  # `start_task` has begun to run
        self._started = False  # `start` was called
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.name = name
        self.log = log.getChild(f"{type(self).__name__}({name})")
        self.monitor_connection_interval = monitor_connection_interval
        self.should_be_connected = False
        self.start_task: asyncio.Future[None] = self._loop.create_future()
        self.done_task: asyncio.Future[None] = self._loop.create_future()

    async def __aenter__(self) -> Self:
        """Wait until started.

        Raises:
            Exception: What went wrong with that; it is closed then.
        """
        try:
            await self.start_task
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # --- starting -------------------------------------------------------------------------

    def _begin(self, **kwargs: Any) -> None:
        """Start in the background; the last thing that a constructor does."""
        self.start_task = self._loop.create_task(self._start(**kwargs))
        self.start_task.add_done_callback(self._start_ended)

    async def _start(self, **kwargs: Any) -> None:
        closed = ConnectionAbortedError("closed before it had started")
        if self._closed:
            raise closed
        self._starting = True
        try:
            await self.start(**kwargs)
        except asyncio.CancelledError:
            if self._closed:  # who waits for the start was not cancelled, and must see that
                raise closed from None
            raise

    @abstractmethod
    async def start(self, **kwargs: Any) -> None:
        """Start; the constructor has this done in the background."""

    def _start_ended(self, task: asyncio.Future[None]) -> None:
        """Say in the log why it failed; whoever awaits `start_task` learns it, too."""
        if not task.cancelled() and (error := task.exception()) is not None:
            level = logging.DEBUG if self._closed else logging.WARNING
            self.log.log(level, "start failed: %r", error)

    def _check_first_start(self) -> None:
        if self._started:
            raise RuntimeError("Start already called.")
        self._started = True

    # --- the connection -------------------------------------------------------------------

    async def _watch(self, stream: Stream) -> None:
        """Wait for the end of a connection, close our side, and tell about it."""
        await asyncio.wait({stream.gone})
        await stream.close(self._settings.close_timeout)
        if self.monitor_connection_interval > 0:
            await self.call_connect_callback()

    async def _connection_ended(self) -> None:
        if self._stream is not None:
            await self._stream.close(self._settings.close_timeout)
        await self.call_connect_callback()

    async def call_connect_callback(self) -> None:
        """Call the connect callback if `connected` has changed since the last time.

        Its exceptions go to the log.
        """
        connected = self.connected
        if connected == self._reported:
            return
        self._reported = connected
        if self._connect_callback is None:
            return
        try:
            await self._connect_callback(self)
        except Exception:
            self.log.exception("connect_callback failed")

    # --- background tasks -----------------------------------------------------------------

    def _spawn(
        self, function: Callable[P, Coroutine[Any, Any, None]], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Task[None]:
        """Run a coroutine until it ends or this is closed; what it raises goes to the log."""
        # The coroutine itself is made by the task: one that is cancelled early never is.
        task = self._loop.create_task(self._logged(partial(function, *args, **kwargs)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _logged(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await function()
        except Exception:
            self.log.exception("background task failed; closing the connection")
            if self._stream is not None:
                self._stream.abort()

    def _abandon(self, stream: Stream) -> None:
        """End a connection whose loop was cancelled, unless that was done by `close`."""
        if self.should_be_connected and stream.connected:
            self.log.warning("the read loop was cancelled; closing the connection")
            stream.abort()

    async def _stop(self, tasks: set[asyncio.Task[None]]) -> None:
        """End tasks; not the one that calls this, which has to end by itself."""
        others = {task for task in tasks if task is not asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            # A task that refuses to end must not keep others from closing.
            await asyncio.wait(others, timeout=self._settings.close_timeout)

    # --- closing --------------------------------------------------------------------------

    async def close(self) -> None:
        """End everything: the start, background tasks, the connection.

        What was written is sent first, if the peer takes it within ``close_timeout`` seconds.
        Safe at any time, from callbacks, and repeatedly. If it is cancelled, the connection is
        cut at once.
        """
        self.should_be_connected = False
        try:
            await self._stop(self._tasks)
        except asyncio.CancelledError:
            if self._stream is not None:
                self._stream.abort()
            raise
        finally:
            await self.basic_close()

    async def basic_close(self) -> None:
        """Close the connection and set `done_task`, but leave `should_be_connected` alone."""
        self._closed = True
        stream, self._stream = self._stream, None
        try:
            if not self.start_task.done() and self.start_task is not asyncio.current_task():
                if self._starting:  # else it will see that this is closed
                    self.start_task.cancel()
                await asyncio.wait({self.start_task})
            if stream is not None:
                await stream.close(self._settings.close_timeout)
            await self.call_connect_callback()
        finally:
            if stream is not None:
                stream.abort()  # cancelled; else there is nothing left of it
            if not self.done_task.done():
                self.done_task.set_result(None)


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    )
