"""Flow calls that wait for their ack or their return (NET.md 7.4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from smartbus.encoding import decode_wire_text
from smartbus.errors import (
    ArgumentError,
    BufferFullError,
    FlowError,
    FlowTimeout,
    SmartBusError,
)

if TYPE_CHECKING:
    from smartbus.wire import FlowAck, FlowReturn

    from .settings import Limits, Timing

__all__ = ["FlowTable", "PendingFlow"]

_MAX_ID: Final = 2**31 - 1


class PendingFlow:
    """One call; its outcomes are values, errors among them, because nobody may look at them.

    Attributes:
        ack: Done when IPSC acknowledged (None) or refused, or did neither in time.
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
        self.ack: asyncio.Future[SmartBusError | None] = loop.create_future()
        self.result: asyncio.Future[SmartBusError | bytes] | None = (
            loop.create_future() if wants_return else None
        )
        self.ack_timer: asyncio.TimerHandle | None = None
        self.result_timer: asyncio.TimerHandle | None = None

    def late(self, what: str, after: float) -> FlowTimeout:
        """Return the error for what did not come in `after` seconds."""
        return FlowTimeout(-25, f"no {what} within {after:g} s", self.invoke_id, self.project)

    def end(self, outcome: SmartBusError) -> None:
        """Settle whatever is still open."""
        if not self.ack.done():
            self.ack.set_result(outcome)
        if self.result is not None and not self.result.done():
            self.result.set_result(outcome)


class FlowTable:
    """All calls of one client; an entry goes when its call is over, or by its time-out."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, timing: Timing) -> None:
        """Hold as many calls and wait as long as the settings say."""
        self._loop = loop
        self._limits = limits
        self._timing = timing
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

    def find(self, invoke_id: int) -> PendingFlow:
        """Return the call whose return can still be taken; raises `ArgumentError` without it."""
        try:
            return self._results[invoke_id]
        except KeyError:
            raise ArgumentError(-1, f"no return is kept for the flow call {invoke_id}") from None

    def remove(self, flow: PendingFlow) -> None:
        """Forget a call and its timers."""
        self._acks.pop(flow.invoke_id, None)
        self._results.pop(flow.invoke_id, None)
        for timer in (flow.ack_timer, flow.result_timer):
            if timer is not None:
                timer.cancel()

    def acked(self, ack: FlowAck) -> bool:
        """Take an ack; False if no call waits for it."""
        flow = self._acks.pop(ack.invoke_id, None)
        if flow is None:
            return False
        if flow.ack_timer is not None:
            flow.ack_timer.cancel()
        if ack.ack != 1:
            self._results.pop(ack.invoke_id, None)
            why = decode_wire_text(ack.message)
            self._end(flow, FlowError(ack.ack, why, flow.invoke_id, flow.project))
        elif not flow.ack.done():
            flow.ack.set_result(None)
        return True

    def returned(self, ret: FlowReturn) -> bool:
        """Take a return; False if no call waits for it. It is kept until its time-out."""
        flow = self._results.get(ret.invoke_id)
        if flow is None or flow.result is None or flow.result.done():
            return False
        flow.result.set_result(ret.result)
        return True

    def close(self, error: SmartBusError) -> None:
        """End all calls with `error`."""
        for flow in {**self._acks, **self._results}.values():
            self.remove(flow)
            flow.end(error)

    def _end(self, flow: PendingFlow, error: SmartBusError) -> None:
        if flow.result_timer is not None:
            flow.result_timer.cancel()
        flow.end(error)

    def _no_ack(self, flow: PendingFlow, after: float) -> None:
        self._acks.pop(flow.invoke_id, None)
        result = flow.result
        if result is not None and result.done() and isinstance(result.result(), bytes):
            flow.ack.set_result(None)  # what returned was started; the ack got lost
            return
        self._results.pop(flow.invoke_id, None)
        self._end(flow, flow.late("ack", after))

    def _no_return(self, flow: PendingFlow, after: float) -> None:
        self._results.pop(flow.invoke_id, None)
        if flow.result is not None and not flow.result.done():
            flow.result.set_result(flow.late("return", after))
