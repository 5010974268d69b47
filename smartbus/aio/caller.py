"""Flow calls, from both ends: calling and waiting, and answering as an IPSC does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from smartbus import errors
from smartbus.arguments import seconds, whole
from smartbus.encoding import dumps_ascii, encode_text
from smartbus.errors import ArgumentError, SmartBusError
from smartbus.wire import IPSC, Cmd, CmdType, FlowAck, FlowCall, FlowReturn, Frame
from smartbus.wire.system import MAX_FLOW_PARAMS

from .flows import FlowTable, PendingFlow
from .sender import Sender, check_server

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smartbus.head import Head

__all__ = ["FlowCaller"]

logger = logging.getLogger(__name__)

_RETURNING: Final = (0, 2)  # modes of a flow call that want a return (NET.md 7.1)


class FlowCaller(Sender):
    """What of a client has to do with flows."""

    _flows: FlowTable | None = None

    async def call_flow(
        self,
        server_unit_id: int,
        process_index: int,
        project_id: str,
        flow_id: str,
        params: Iterable[Any] | None = None,
        *,
        timeout: float = 30.0,
        mode: int = 0,
    ) -> list[Any]:
        """Start a flow and wait for what it returns.

        A missing ack ends nothing: the vendor's library loses some whose flows return all the
        same. Nor does a lost link: the answer may come over the next one.

        Args:
            server_unit_id: Unit of the IPSC's server, 0..15, or -1.
            process_index: The IPSC process, or -1.
            project_id: The flow's project; cut to 31 bytes of GBK.
            flow_id: The flow; cut likewise.
            params: The flow's parameters: anything JSON can say, 16001 bytes at most.
            timeout: Seconds to wait for the return.
            mode: 0 or 2.

        Returns:
            The flow's result list; an empty one if it returned no text at all.

        Raises:
            FlowTimeout: There was no return in time.
            FlowError: IPSC refused, the return is no JSON array, or the client was closed.
            UnitIdError: `server_unit_id` is above 15.
            TooLargeError: The parameters are too large.
            ArgumentError: `mode` has no return, `timeout` is not positive, or JSON cannot
                say the parameters.
            TypeError: An argument is of a wrong type; text and dictionaries are no parameters.
            BufferFullError: Too many calls wait already, or the send queue is full.
            NotConnectedError: The client is not connected.
            SmartBusError: As `check_send`.
        """
        if whole("mode", mode) & 255 not in _RETURNING:
            raise ArgumentError(-1, f"a flow called with mode {mode} returns nothing: launch it")
        target = server_unit_id, process_index, project_id, flow_id
        flow = self._call(*target, params, timeout, mode)
        try:
            return await self._result_of(flow)
        except asyncio.CancelledError:
            self._flow_table.remove(flow)
            raise

    async def launch_flow(
        self,
        server_unit_id: int,
        process_index: int,
        project_id: str,
        flow_id: str,
        params: Iterable[Any] | None = None,
        *,
        timeout: float = 30.0,
        mode: int = 0,
    ) -> int:
        """Start a flow and wait until IPSC acknowledges it.

        With mode 0 or 2 the return is kept for `flow_result` until `timeout` is over; pass
        mode 1 if nobody will ask for it. Arguments otherwise as `call_flow`.

        Returns:
            The call's number.

        Raises:
            FlowTimeout: There was no ack within `timeout`, which counts as no less than 1 and
                no more than 5 seconds here. A return may come all the same, for the call
                that the error's ``invoke_id`` names.
            FlowError: IPSC refused, or the client was closed.
            SmartBusError: As `call_flow`.
        """
        target = server_unit_id, process_index, project_id, flow_id
        flow = self._call(*target, params, timeout, mode)
        try:
            await self._ack_of(flow)
        except asyncio.CancelledError:
            self._flow_table.remove(flow)
            raise
        return flow.invoke_id

    def invoke_flow(
        self,
        server_unit_id: int,
        process_index: int,
        project_id: str,
        flow_id: str,
        params: Iterable[Any] | None = None,
        *,
        timeout: float = 30.0,
        mode: int = 0,
    ) -> int:
        """Start a flow and wait for nothing.

        What becomes of it is told to those who subscribed to `smartbus.events.FlowEvent`;
        `flow_acknowledged` waits for the ack and, with mode 0 or 2, `flow_result` for the
        return. Arguments and errors as `call_flow`, but for those of its answer.

        Returns:
            The call's number.
        """
        target = server_unit_id, process_index, project_id, flow_id
        return self._call(*target, params, timeout, mode).invoke_id

    async def flow_acknowledged(self, invoke_id: int) -> str:
        """Wait until IPSC has started a flow; call it right after `invoke_flow`.

        Returns:
            IPSC's message; an empty one if the flow returned without an ack.

        Raises:
            ArgumentError: There is no such call, or it is over.
            FlowTimeout: As `launch_flow`.
            FlowError: As `launch_flow`.
        """
        return await self._ack_of(self._flow_table.find(invoke_id, "ack"))

    async def flow_result(self, invoke_id: int) -> list[Any]:
        """Wait for the return of a flow that was started; it can be taken once.

        A cancelled wait has taken nothing.

        Raises:
            ArgumentError: There is no such call, its time is over, or its return was taken.
            FlowTimeout: The flow did not return in time.
            FlowError: IPSC refused, the return is no JSON array, or the client was closed.
        """
        return await self._result_of(self._flow_table.find(invoke_id))

    def send_flow_ack(self, head: Head, call: FlowCall, ack: int, msg: str = "") -> None:
        """Answer a flow call, as an IPSC does.

        Answer no earlier than some 10 ms after the call: the vendor's library loses quicker
        answers (NET.md 7.4).

        Args:
            head: Head of the call's packet.
            call: The call.
            ack: 1 started, else an error code.
            msg: Says why not.

        Raises:
            SmartBusError: As `check_send`.
        """
        body = FlowAck(call.project, call.invoke_id, ack, encode_text(msg), call.event_ch)
        self._answer(head, Cmd.FLOW_ACK, body.encode())

    def send_flow_return(self, head: Head, call: FlowCall, result: list[Any]) -> None:
        """Return a flow's result to its caller, as an IPSC does; see `send_flow_ack`.

        Raises:
            TypeError: JSON cannot say the result.
            ValueError: Likewise.
            SmartBusError: As `check_send`.
        """
        text = dumps_ascii(result).encode("ascii")
        body = FlowReturn(call.project, call.invoke_id, text, call.event_ch)
        self._answer(head, Cmd.FLOW_RETURN, body.encode())

    @property
    def _flow_table(self) -> FlowTable:
        if self._flows is None:
            raise errors.NotInitializedError(-14, "the client is not running")
        return self._flows

    def _call(
        self,
        server_unit_id: int,
        process_index: int,
        project_id: str,
        flow_id: str,
        params: Iterable[Any] | None,
        timeout: float,
        mode: int,
    ) -> PendingFlow:
        """Send a flow call; checks in the order of NET.md 7.1."""
        check_server(server_unit_id)
        if seconds("timeout", timeout) == 0:
            raise ArgumentError(-1, f"time-out {timeout:g} s is not positive")
        wants_return = whole("mode", mode) & 255 in _RETURNING
        flows = self._flow_table
        flows.check(wants_return)
        if isinstance(params, (str, bytes, Mapping)):
            raise TypeError(f"params must be a list, not {type(params).__name__}")
        try:
            text = dumps_ascii([] if params is None else list(params)).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            raise ArgumentError(-1, f"flow parameters are no JSON: {error}") from error
        if len(text) > MAX_FLOW_PARAMS:
            raise errors.TooLargeError(-15, f"a flow takes {MAX_FLOW_PARAMS} bytes of parameters")
        names = encode_text(project_id), encode_text(flow_id)
        flow = flows.add(project_id, timeout, wants_return)
        try:
            body = FlowCall(*names, flow.invoke_id, text, mode).encode()
            self.send_data(Cmd.FLOW_CALL, CmdType.SYSTEM, server_unit_id, process_index, IPSC, body)
        except BaseException:
            flows.remove(flow)
            raise
        return flow

    async def _ack_of(self, flow: PendingFlow) -> str:
        outcome = await asyncio.shield(flow.ack)
        if isinstance(outcome, SmartBusError):
            raise outcome
        return outcome

    async def _result_of(self, flow: PendingFlow) -> list[Any]:
        assert flow.result is not None
        outcome = await asyncio.shield(flow.result)
        self._flow_table.taken(flow)
        if isinstance(outcome, SmartBusError):
            raise outcome
        return outcome

    def _answer(self, head: Head, cmd: int, body: bytes) -> None:
        to = head.src_unit_id, head.src_unit_client_id, head.src_unit_client_type
        self.send_data(cmd, CmdType.SYSTEM, *to, body)

    def _flow_answer(self, frame: Frame) -> None:
        """Take a flow ack or return; `ProtocolError` if it is malformed."""
        if frame.cmd == Cmd.FLOW_ACK:
            known = self._flow_table.acked(frame.head, FlowAck.decode(frame.data))
        else:
            ret = FlowReturn.decode(frame.data)
            known = self._flow_table.returned(frame.head, ret, self.encoding)
        if not known:
            logger.debug("no flow call waits for a packet from %s (cmd %d)", frame.src, frame.cmd)
