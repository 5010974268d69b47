"""Flow calls whose result comes as a future."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

from smartbus.arguments import LONGEST, seconds
from smartbus.errors import FlowError, FlowTimeout
from smartbus.events import (
    FlowAcknowledged,
    FlowEvent,
    FlowFailed,
    FlowReturned,
    FlowTimedOut,
)

from .sending import SendingMethods

if TYPE_CHECKING:
    from .pumps import Pump

_T = TypeVar("_T")

_WITH_RESULT: Final = 0  # the mode of a call that returns
_TIMEOUT: Final = -25
_STARTED: Final = 1


class _Answer(Future[_T]):
    """A future that ends with an event. Waiting for it where events are handled raises."""

    def __init__(self, pump: Pump) -> None:
        super().__init__()
        self._pump = pump

    def result(self, timeout: float | None = None) -> _T:
        """Return the result, or raise the error, as every ``Future`` does.

        Raises:
            RuntimeError: This would wait where handlers run: no event could come in meanwhile.
        """
        self._check_place(timeout)
        return super().result(timeout)

    def __await__(self) -> Generator[Any, None, _T]:
        """Wait in a coroutine, as with ``await asyncio.wrap_future(future)``."""
        return asyncio.wrap_future(self).__await__()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the error, None if there is none, as every ``Future`` does.

        Raises:
            RuntimeError: As `result`.
        """
        self._check_place(timeout)
        return super().exception(timeout)

    def _check_place(self, timeout: float | None) -> None:
        # Any that is over is as good as 0, as with every other future.
        if timeout is not None:
            seconds("timeout", timeout, -LONGEST)
        if (timeout is None or timeout > 0) and not self.done() and self._pump.in_handler():
            raise RuntimeError("waiting here would block the events that are waited for")


class FlowFuture(_Answer[list[Any]]):
    """The result of a flow call: the ``concurrent.futures.Future`` that `call_flow` returns.

    It ends with the list that the flow returned, or with a `FlowError`. What is given to
    ``add_done_callback`` runs where events come in, and must not block: in this package's
    thread (also if there is an ``event_executor``), or in the loop. Coroutines ``await`` it, in
    whichever loop they run; what is cancelled then is the future, too.

    Attributes:
        invoke_id: The call's number, which the events about it carry.
        project_id: The call's project.
        acknowledged: Ends when IPSC has started the flow, with IPSC's message (an empty one if
            the result came without it), or with a `FlowError`: IPSC refused, said nothing in
            time (1 to 5 s), or cannot be heard any more.
    """

    invoke_id: int
    project_id: str
    acknowledged: _Answer[str]

    def __init__(self, pump: Pump, calls: FlowCalls, project_id: str) -> None:
        """Belong to a call that is about to be made."""
        super().__init__(pump)
        self._calls = calls
        self.acknowledged = _Answer(pump)
        self.project_id = project_id
        self.invoke_id = 0

    def cancel(self) -> bool:
        """Give the result up; the flow itself goes on.

        Returns:
            Whether it was not too late.
        """
        given_up = super().cancel()
        if given_up:
            self._calls.forget(self.invoke_id)
        return given_up


def _succeed(future: Future[_T] | None, result: _T) -> None:
    if future is not None and future.set_running_or_notify_cancel():
        future.set_result(result)


def _fail(future: Future[_T] | None, code: int, message: str, number: int, project: str) -> None:
    if future is not None and future.set_running_or_notify_cancel():
        kind = FlowTimeout if code == _TIMEOUT else FlowError
        future.set_exception(kind(code, message, number, project))


class FlowCalls:
    """The open calls of one client.

    Whoever takes a future out of here is the one that ends it. The library bounds their
    number: it waits for 5000 answers and refuses further calls (NET.md 7.1).
    """

    def __init__(self) -> None:
        # Held while a call is made, too: no answer comes before the call is known.
        self._lock = threading.Lock()
        self._acks: dict[int, FlowFuture] = {}
        self._results: dict[int, FlowFuture] = {}
        self._closed = False

    def begin(self, future: FlowFuture, launch: Callable[[], int]) -> int:
        """Make a call, unless this is closed; returns its number or a code."""
        with self._lock:
            number = -9 if self._closed else launch()
            if number > 0:
                future.invoke_id = number
                self._acks[number] = self._results[number] = future
        return number

    def forget(self, number: int) -> None:
        """Wait for the result of a call no longer."""
        with self._lock:
            self._results.pop(number, None)

    def take(self, event: FlowEvent) -> None:
        """End what `event` ends, if it belongs to one of these calls."""
        number, project = event.invoke_id, event.project_id
        acked = ended = None
        with self._lock:
            # A time-out says nothing about the ack, nor a late ack about the result; but what
            # returned was started, and what was refused will not return (NET.md 7.4).
            if not isinstance(event, FlowTimedOut):
                acked = self._acks.pop(number, None)
            if not isinstance(event, FlowAcknowledged) or event.status_code not in (
                _STARTED,
                _TIMEOUT,
            ):
                ended = self._results.pop(number, None)
        ack = acked.acknowledged if acked is not None else None
        match event:
            case FlowAcknowledged(status_code=code, msg=msg):
                if code == _STARTED:
                    _succeed(ack, msg)
                else:
                    msg = "no ack came in time" if code == _TIMEOUT else msg
                    _fail(ack, code, msg, number, project)
                    _fail(ended, code, msg, number, project)
            case FlowReturned(params=params):
                _succeed(ack, "")
                _succeed(ended, params)
            case FlowFailed(error_code=code, msg=msg):
                _succeed(ack, "")
                _fail(ended, code, msg, number, project)
            case FlowTimedOut():
                _fail(ended, _TIMEOUT, "no result came in time", number, project)

    def fail(self, code: int, message: str) -> None:
        """End all calls with an error: their answers cannot be heard any more."""
        with self._lock:
            acks, self._acks = self._acks, {}
            results, self._results = self._results, {}
        for number, future in acks.items():
            _fail(future.acknowledged, code, message, number, future.project_id)
        for number, future in results.items():
            _fail(future, code, message, number, future.project_id)

    def abandon(self) -> None:
        """Forget who may have held the lock: this is a forked child."""
        self._lock = threading.Lock()

    def close(self, why: str) -> None:
        """End all calls and begin no more: of the client there is to say `why`."""
        with self._lock:
            self._closed = True
        self.fail(-9, f"no result any more: the client {why}")


class FlowCallMethods(SendingMethods):
    """The method of `Client` that calls flows and waits for their results."""

    _flow_calls: FlowCalls

    def call_flow(
        self,
        server_unit_id: int,
        process_index: int,
        project_id: str,
        flow_id: str,
        params: Sequence[Any] | None = None,
        *,
        timeout: float,
    ) -> FlowFuture:
        """Start a flow on an IPSC process and get its result as a future (NET.md 7).

            future = client.call_flow(0, 0, "Project1", "Sum", [1, 2], timeout=30)
            total = future.result()  # or: await future

        The future ends with the list that the flow returns, or with an error:

        - `FlowTimeout` (a ``TimeoutError``): nothing came within `timeout`;
        - another `FlowError`: IPSC refused, the result is no JSON array, or the client was
          released, or was refused by the server when it reconnected.

        A connection that is lost and comes back ends nothing; what it lost ends by `timeout`.
        An ack that is missing does not end the future either: the vendor's library loses some
        whose flows return all the same. ``future.acknowledged`` tells sooner. Cancelling the
        future only forgets it.

        The ``on_flow_*`` methods and subscribers hear of these calls as of those of
        `launch_flow`, after the future has ended; ``future.invoke_id`` is how to know them.

        Args:
            server_unit_id: As `launch_flow`.
            process_index: As `launch_flow`.
            project_id: As `launch_flow`.
            flow_id: As `launch_flow`.
            params: As `launch_flow`.
            timeout: How long to wait for the result, in seconds.

        Returns:
            The future.

        Raises:
            SmartBusError: The call could not be sent; as `launch_flow`.
            TypeError: As `launch_flow`.
        """
        launch, what = self._flow_launch(
            "call_flow",
            *(server_unit_id, process_index, project_id, flow_id, _WITH_RESULT, timeout, params),
        )
        future = FlowFuture(self._pump, self._flow_calls, project_id)
        self._sent(self._flow_calls.begin(future, launch), what)
        return future
