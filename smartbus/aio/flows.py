"""Flow calls that wait for their ack or their return (NET.md 7.4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from smartbus.encoding import decode_wire_text, loads_array
from smartbus.errors import (
    ArgumentError,
    BufferFullError,
    FlowError,
    FlowTimeout,
    SmartBusError,
)
from smartbus.events import (
    FlowAcknowledged,
    FlowEvent,
    FlowFailed,
    FlowReturned,
    FlowTimedOut,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from smartbus.head import Head
    from smartbus.wire import FlowAck, FlowReturn

    from .settings import Limits, Timing

__all__ = ["FlowTable", "PendingFlow"]

_MAX_ID: Final = 2**31 - 1
_TIMEOUT: Final = -25
#: What a call fails with when its return is no JSON array, and when its client is closed.
_BAD_RESULT: Final = -99
_RELEASED: Final = -9


class PendingFlow:
    """One call; its outcomes are values, errors among them, because nobody may look at them.

    Attributes:
        ack: Done when IPSC acknowledged (with its message) or refused, or did neither in time.
        result: Done when the flow returned, or cannot return any more. None for a mode
            without return.
    """

    __slots__ = ("ack", "ack_timer", "invoke_id", "project", "result", "result_timer")

    def __init__(
        self, invoke_id: int, project: str, loop: asyncio.AbstractEventLoop, wants_return: bool
    ) -> None:
        """Wait for an ack and, if wanted, for a return."""
        self.invoke_id = invoke_id
        self.project = project
        self.ack: asyncio.Future[SmartBusError | str] = loop.create_future()
        self.result: asyncio.Future[SmartBusError | list[Any]] | None = (
            loop.create_future() if wants_return else None
        )
        self.ack_timer: asyncio.TimerHandle | None = None
        self.result_timer: asyncio.TimerHandle | None = None

    def late(self, what: str, after: float) -> FlowTimeout:
        """Return the error for what did not come in `after` seconds."""
        return FlowTimeout(_TIMEOUT, f"no {what} within {after:g} s", self.invoke_id, self.project)

    @property
    def returned(self) -> bool:
        """Whether a return came, a bad one included."""
        result = self.result
        return result is not None and result.done() and not isinstance(result.result(), FlowTimeout)

    def end_ack(self, outcome: SmartBusError | str) -> None:
        """Settle the ack, if it is still open."""
        if not self.ack.done():
            self.ack.set_result(outcome)

    def end_result(self, outcome: SmartBusError | list[Any]) -> None:
        """Settle the result, if there is one and it is still open."""
        if self.result is not None and not self.result.done():
            self.result.set_result(outcome)


class FlowTable:
    """All calls of one client; an entry goes when its call is over, or by its time-out."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        timing: Timing,
        tell: Callable[[FlowEvent], None],
    ) -> None:
        """Hold as many calls and wait as long as the settings say; `tell` what happens to them."""
        self._loop = loop
        self._limits = limits
        self._timing = timing
        self._tell = tell
        self._last_id = 0
        self._acks: dict[int, PendingFlow] = {}
        self._results: dict[int, PendingFlow] = {}

    def check(self, wants_return: bool) -> None:
        """Raise `BufferFullError` if no further call finds room."""
        most = self._limits.flows
        if len(self._acks) >= most or (wants_return and len(self._results) >= most):
            raise BufferFullError(-7, f"{most} flow calls are waiting already")

    def add(self, project: str, timeout: float, wants_return: bool) -> PendingFlow:
        """Begin a call, before its request is sent: no answer can come too early."""
        self._last_id = self._last_id % _MAX_ID + 1
        flow = PendingFlow(self._last_id, project, self._loop, wants_return)
        self._acks[flow.invoke_id] = flow
        wait = min(max(timeout, self._timing.ack_min), self._timing.ack_max)
        flow.ack_timer = self._loop.call_later(wait, self._no_ack, flow, wait)
        if wants_return:
            self._results[flow.invoke_id] = flow
            flow.result_timer = self._loop.call_later(timeout, self._no_return, flow, timeout)
        return flow

    def find(self, invoke_id: int, what: str = "return") -> PendingFlow:
        """Return the call whose return (or ack) is kept; raises `ArgumentError` without it."""
        flow = self._results.get(invoke_id)
        if flow is None and what == "ack":
            flow = self._acks.get(invoke_id)
        if flow is None:
            raise ArgumentError(-1, f"no {what} is kept for the flow call {invoke_id}")
        return flow

    def remove(self, flow: PendingFlow) -> None:
        """Forget a call and its timers."""
        self._acks.pop(flow.invoke_id, None)
        self._results.pop(flow.invoke_id, None)
        for timer in (flow.ack_timer, flow.result_timer):
            if timer is not None:
                timer.cancel()

    def taken(self, flow: PendingFlow) -> None:
        """Forget a call's result; its ack may still come."""
        self._results.pop(flow.invoke_id, None)
        if flow.result_timer is not None:
            flow.result_timer.cancel()

    def acked(self, head: Head, ack: FlowAck) -> bool:
        """Take an ack; False if no call waits for it."""
        flow = self._acks.pop(ack.invoke_id, None)
        if flow is None:
            return False
        if flow.ack_timer is not None:
            flow.ack_timer.cancel()
        message = decode_wire_text(ack.message)
        if ack.ack == 1:
            flow.end_ack(message)
        else:
            self.taken(flow)
            error = FlowError(ack.ack, message, flow.invoke_id, flow.project)
            flow.end_ack(error)
            flow.end_result(error)
        self._tell(FlowAcknowledged(head, flow.project, flow.invoke_id, ack.ack, message))
        return True

    def returned(self, head: Head, ret: FlowReturn, encoding: str) -> bool:
        """Take a return; False if no call waits for it. It is kept until its time-out."""
        flow = self._results.get(ret.invoke_id)
        if flow is None or flow.result is None or flow.result.done():
            return False
        of = head, flow.project, flow.invoke_id
        try:
            result = loads_array(ret.result, encoding)
        except ValueError as error:
            flow.end_result(FlowError(_BAD_RESULT, str(error), flow.invoke_id, flow.project))
            self._tell(FlowFailed(*of, _BAD_RESULT, str(error)))
        else:
            flow.end_result(result)
            self._tell(FlowReturned(*of, result))
        return True

    def close(self) -> None:
        """End all calls: their client is closed."""
        for flow in {**self._acks, **self._results}.values():
            self.remove(flow)
            error = FlowError(_RELEASED, "the client was closed", flow.invoke_id, flow.project)
            flow.end_ack(error)
            flow.end_result(error)

    def _no_ack(self, flow: PendingFlow, after: float) -> None:
        """Give up waiting for an ack. The return may come all the same: the vendor's loses acks."""
        self._acks.pop(flow.invoke_id, None)
        # What returned was started; the ack got lost.
        flow.end_ack("" if flow.returned else flow.late("ack", after))
        self._tell(FlowAcknowledged(None, flow.project, flow.invoke_id, _TIMEOUT, ""))

    def _no_return(self, flow: PendingFlow, after: float) -> None:
        self._results.pop(flow.invoke_id, None)
        if flow.result is not None and not flow.result.done():
            flow.end_result(flow.late("return", after))
            self._tell(FlowTimedOut(None, flow.project, flow.invoke_id))
