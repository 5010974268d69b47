"""What ``send_*`` return: awaitable, and honest about failures that nobody awaits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

__all__ = ["DELIVERED", "Delivered", "Sending", "Sent"]

_logger = logging.getLogger("smartbus.dip")


class Sent(Coroutine[Any, Any, None]):
    """What ``send_*`` return: to be awaited in an event loop, done already without one.

    It has all that coroutines have, so that `asyncio.create_task` takes it.
    """

    __slots__ = ()


class Delivered(Sent):
    """A message that is acknowledged already: there is nothing to wait for."""

    __slots__ = ()

    def send(self, value: None) -> Any:  # noqa: ARG002
        """See `Sending.send`."""
        raise StopIteration

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> Any:
        """See `Sending.throw`."""
        raise _exception(typ, val, tb)

    def close(self) -> None:
        """See `Sending.close`."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()

    def __repr__(self) -> str:
        return "<delivered>"


DELIVERED: Final = Delivered()


class Sending(Sent):
    """A message on its way. It goes whether somebody awaits this or not.

    Await it for the acknowledgement or the error. An error that nobody awaits becomes a log line.
    Cancelling who awaits it closes the connection, because the answer may still come.
    """

    __slots__ = ("_abandon", "_awaited", "_future", "_keep", "_steps")

    def __init__(self, loop: asyncio.AbstractEventLoop, keep: object = None) -> None:
        """Begin.

        Args:
            loop: The running one.
            keep: What must not become garbage before it is decided.
        """
        self._keep = keep
        self._steps: Generator[Any, None, None] | None = None
        self._awaited = False
        self._abandon: Callable[[Sending], object] | None = None
        self._future: asyncio.Future[None] = loop.create_future()

    @classmethod
    def failed(cls, loop: asyncio.AbstractEventLoop, exc: Exception) -> Sending:
        """One that has failed before it could begin."""
        sending = cls(loop)
        sending.finish(exc)
        return sending

    def when_abandoned(self, abandon: Callable[[Sending], object]) -> None:
        """Have `abandon` called when nobody waits any more."""
        self._abandon = abandon

    @property
    def done(self) -> bool:
        """Whether it is decided: acknowledged, failed or cancelled."""
        return self._future.done()

    def finish(self, failure: BaseException | None) -> None:
        """Decide it, unless it is."""
        future = self._future
        if future.done():
            return
        if failure is None:
            future.set_result(None)
        elif isinstance(failure, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(failure)
            future.exception()  # if nobody awaits it, this class says so, not asyncio

    def follow(self, task: asyncio.Task[None]) -> None:
        """The task that should decide it has ended, perhaps before it could begin."""
        if task.cancelled():
            self.finish(asyncio.CancelledError())

    def __await__(self) -> Generator[Any, None, None]:
        self._awaited = True
        try:
            yield from self._future
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        if self._abandon is not None:
            self._abandon(self)

    def send(self, value: None) -> Any:
        """Advance, as coroutines do."""
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.send(value)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> Any:
        """Raise an exception where it waits, as coroutines do."""
        exc = _exception(typ, val, tb)
        if self._steps is None:
            self._awaited = True
            self._give_up()
            raise exc
        return self._steps.throw(exc)

    def close(self) -> None:
        """End, as coroutines do."""
        if self._steps is not None:
            self._steps.close()

    def __del__(self) -> None:
        future = self._future
        if self._awaited or not future.done() or future.cancelled():
            return
        exc = future.exception()
        if exc is not None:
            _logger.error(
                "A message was not delivered and nobody waited for it: %s: %s",
                type(exc).__name__,
                exc,
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'done' if self.done else 'on its way'}>"


def _exception(typ: Any, val: Any, tb: TracebackType | None) -> BaseException:
    """The exception that the arguments of ``throw`` mean."""
    exc: Any = typ if isinstance(typ, BaseException) else val
    if not isinstance(exc, BaseException):
        exc = typ() if exc is None else typ(exc)
    return cast("BaseException", exc if tb is None else exc.with_traceback(tb))
