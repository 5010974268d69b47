"""The stand-in IPSC."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any, Final, Literal

from smartbus.aio import FlowCall, Frame, Limits, Node, Notify, SmartBusClient, Timing
from smartbus.arguments import integers, seconds
from smartbus.encoding import decode_text, decode_wire_text
from smartbus.errors import (
    AlreadyConnectedError,
    ArgumentError,
    BufferFullError,
    NotConnectedError,
    SmartBusError,
    UnitIdError,
)
from smartbus.wire import IPSC, Cmd, CmdType, ProtocolError

from .functions import FlowStopped
from .handover import Handover, Packet
from .mailbox import Mailbox
from .runs import Run
from .scripts import Scripts

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from smartbus.head import Head

__all__ = ["Ipsc"]

logger = logging.getLogger(__name__)

_STARTED: Final = 1
_RETURNING: Final = (0, 2)  # modes of a flow call that want a return (NET.md 7.1)


class _Call:
    """A flow call that is being answered."""

    def __init__(self, head: Head, call: FlowCall, due: float) -> None:
        self.head = head
        self.call = call
        self.due = due  # loop time before which no answer may leave
        self.result: list[Any] | None = None  # set when the flow has ended


class Ipsc:
    """A stand-in for one IPSC process: it runs flow scripts and answers whoever calls them.

    How to write a flow script stands in `smartbus.ipsc.functions`.

    A call is refused (ack) with -8 if there is no such flow, -1 if its parameters are no list,
    -7 if too many flows run, -99 if the script does not compile; the message says more. No
    answer leaves earlier than `answer_delay` after its call, because the vendor's library
    loses quick answers (NET.md 7.4); other work goes on meanwhile.

    All methods belong to the event loop in which it was started; see `IpscThread` for
    programs without one.
    """

    def __init__(
        self,
        host: str,
        port: int,
        flows_dir: str | os.PathLike[str] = "flows",
        *,
        unit_id: int = 0,
        process_index: int = 0,
        user: str | None = None,
        password: str | None = None,
        info: str | None = None,
        wire: Literal["auto", "2015", "2018"] = "auto",
        max_runs: int = 100,
        answer_delay: float = 0.010,
        stop_timeout: float = 3.0,
        limits: Limits | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Describe an IPSC; nothing happens before `start`.

        Args:
            host: The bus server's name or address.
            port: Its port.
            flows_dir: Where the scripts are: ``<flows_dir>/<project>/<flow>.py``.
            unit_id: The bus server's unit.
            process_index: Index of this IPSC process, which is its client id.
            user: User name, if the server wants one.
            password: Password.
            info: Free text that the others on the bus get to see.
            wire: As in `SmartBusClient`.
            max_runs: Flows that may run at the same time.
            answer_delay: Least time between a call and its answers, in seconds.
            stop_timeout: `close()` waits so long for running scripts, in seconds.
            limits: As in `SmartBusClient`.
            timing: As in `SmartBusClient`.

        Raises:
            ArgumentError: `flows_dir` is no directory, or `host`, `port` or a time is unusable.
            UnitIdError: `unit_id` is no server's unit, 0..15.
            ClientIdError: `process_index` is out of range.
        """
        integers(max_runs=max_runs, unit_id=unit_id)
        if unit_id > 15:
            raise UnitIdError(-12, f"an IPSC lives in a server's unit, 0..15, not {unit_id}")
        self._answer_delay = seconds("answer_delay", answer_delay)
        self._stop_timeout = seconds("stop_timeout", stop_timeout)
        self._scripts = Scripts(flows_dir)
        self._mailbox = Mailbox()
        self._client = SmartBusClient(
            host,
            port,
            unit_id,
            process_index,
            IPSC,
            user=user,
            password=password,
            info=info,
            wire=wire,
            limits=limits,
            timing=timing,
        )
        self._client.on_packet = self._on_packet
        self._client.on_connect = self._on_connect
        self._max_runs = max_runs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._number = 0
        self._runs: dict[Run, _Call] = {}
        self._pending: set[_Call] = set()  # without their ack yet
        self._handover: Handover | None = None
        self._idle = asyncio.Event()  # neither runs nor unanswered calls; for close()

    # --- life -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to connect, and do not wait for it; see `wait_connected`.

        Raises:
            AlreadyConnectedError: It was started before.
        """
        if self._loop is not None:
            raise AlreadyConnectedError(-10, "this IPSC was started already")
        self._loop = asyncio.get_running_loop()
        self._handover = Handover(self._loop, self._send_packet)
        await self._client.start()

    async def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until the bus has let this IPSC in; errors as `SmartBusClient.wait_connected`."""
        await self._client.wait_connected(timeout)

    async def wait_ended(self) -> None:
        """Wait until this IPSC is closed; raise what the bus refused it for good with."""
        await self._client.wait_ended()

    async def close(self) -> None:
        """Refuse further calls, end scripts that wait, wait for the others, disconnect.

        A script that does not end within `stop_timeout` is left behind in its daemon thread,
        with a log line. May be called again.
        """
        self._closing = True
        self._mailbox.close()
        try:
            runs = list(self._runs)
            if self._runs or self._pending:
                self._idle.clear()
                try:
                    await asyncio.wait_for(self._idle.wait(), self._stop_timeout)
                except asyncio.TimeoutError:
                    for run in self._runs:
                        logger.warning("flow %s does not end: leaving it behind", run.label)
            for run in runs:
                if run not in self._runs:
                    run.join()
        finally:
            await self._client.close()

    async def __aenter__(self) -> Self:
        """Start and wait until connected, for up to 10 s; closed if that fails."""
        await self.start()
        try:
            await self.wait_connected(10)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    # --- state ----------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the bus has let this IPSC in and the link is up."""
        return self._client.connected

    @property
    def running(self) -> int:
        """How many flows run."""
        return len(self._runs)

    @property
    def unit_id(self) -> int:
        """This IPSC's unit, its server's."""
        return self._client.address.unit_id

    @property
    def process_index(self) -> int:
        """This IPSC process's index, its client id."""
        return self._client.address.client_id

    @property
    def flows_dir(self) -> Path:
        """Where the scripts are."""
        return self._scripts.directory

    # --- for scripts, in any thread -------------------------------------------------------

    @property
    def mailbox(self) -> Mailbox:
        """Notifies that arrived."""
        return self._mailbox

    def known_nodes(self) -> list[Node]:
        """Who is on the bus, as far as the server has told; thread-safe."""
        return list(self._client.nodes.values())

    def send(
        self, cmd: int, cmd_type: int, unit_id: int, client_id: int, client_type: int, data: bytes
    ) -> None:
        """Queue a packet; thread-safe. Arguments and errors as `SmartBusClient.send_data`."""
        if self._closing:
            raise FlowStopped
        self._client.check_send(cmd_type, unit_id, len(data))
        if not 0 <= cmd <= 255:
            raise ArgumentError(-1, f"command {cmd} is not in 0..255")
        assert self._handover is not None
        self._handover.put(Packet(cmd, cmd_type, unit_id, client_id, client_type, data))

    # --- told by runs, in their threads ---------------------------------------------------

    def run_refused(self, run: Run, error: SmartBusError) -> None:
        """Refuse the call of a script that cannot be run."""
        self._post(self._refused, run, error)

    def run_started(self, run: Run) -> None:
        """Acknowledge the call."""
        self._post(self._started, run)

    def run_ended(self, run: Run, result: list[Any]) -> None:
        """Return the result."""
        self._post(self._ended, run, result)

    def _post(self, function: Callable[..., object], *args: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            logger.debug("a flow ended after its IPSC")

    # --- in the event loop ----------------------------------------------------------------

    def _on_connect(self) -> None:
        unit = self._client.access_point
        if unit != self.unit_id:
            text = "the server is unit %d, but this IPSC is in unit %d, where nobody looks for it"
            logger.warning(text, unit, self.unit_id)

    def _on_packet(self, frame: Frame) -> None:
        if frame.cmd_type != CmdType.SYSTEM:
            logger.debug("a packet from %s (cmd %d) is no flow's business", frame.src, frame.cmd)
            return
        try:
            if frame.cmd == Cmd.FLOW_CALL:
                self._on_call(frame, FlowCall.decode(frame.data))
            elif frame.cmd == Cmd.NOTIFY:
                notify = Notify.decode(frame.data)
                self._mailbox.deliver(notify.title, notify.text, notify.expires / 1000)
        except ProtocolError as error:
            logger.warning("ignoring a packet from %s: %s", frame.src, error)

    def _on_call(self, frame: Frame, call: FlowCall) -> None:
        """Start a flow, or refuse to."""
        assert self._loop is not None
        answer = _Call(frame.head, call, self._loop.time() + self._answer_delay)
        self._pending.add(answer)
        try:
            if self._closing:
                raise NotConnectedError(-2, "this IPSC is closing")
            if len(self._runs) >= self._max_runs:
                raise BufferFullError(-7, f"{self._max_runs} flows run already")
            params = _params(call.params)
            self._number += 1
            names = decode_wire_text(call.project), decode_wire_text(call.flow)
            run = Run(self._number, *names, params, self._scripts, self, self)
            try:
                run.start()
            except RuntimeError as error:
                raise BufferFullError(-7, f"no thread for a flow: {error}") from error
            self._runs[run] = answer
        except SmartBusError as error:
            self._answer(answer, error.code, error.message)

    def _refused(self, run: Run, error: SmartBusError) -> None:
        self._answer(self._runs.pop(run), error.code, error.message)

    def _started(self, run: Run) -> None:
        logger.info("flow %s begins", run.label)
        self._answer(self._runs[run], _STARTED, "")

    def _ended(self, run: Run, result: list[Any]) -> None:
        logger.info("flow %s ended", run.label)
        answer = self._runs.pop(run)
        answer.result = result
        if answer not in self._pending:
            self._return(answer)
        self._check_idle()

    def _answer(self, answer: _Call, code: int, message: str) -> None:
        """Acknowledge a call, as soon as it is due."""
        assert self._loop is not None
        if code != _STARTED:
            names = decode_wire_text(answer.call.project), decode_wire_text(answer.call.flow)
            logger.warning("refused to start flow %r: %s (%d)", "/".join(names), message, code)
        if self._loop.time() < answer.due:
            self._loop.call_at(answer.due, self._acknowledge, answer, code, message)
        else:
            self._acknowledge(answer, code, message)

    def _acknowledge(self, answer: _Call, code: int, message: str) -> None:
        self._pending.discard(answer)
        try:
            self._client.send_flow_ack(answer.head, answer.call, code, message)
        except SmartBusError as error:
            logger.warning("cannot acknowledge a flow call: %s", error)
        if answer.result is not None:
            self._return(answer)
        self._check_idle()

    def _return(self, answer: _Call) -> None:
        if answer.call.mode in _RETURNING and answer.result is not None:
            try:
                self._client.send_flow_return(answer.head, answer.call, answer.result)
            except SmartBusError as error:
                logger.warning("cannot return a flow's result: %s", error)

    def _send_packet(self, packet: Packet) -> None:
        try:
            self._client.send_data(*packet)
        except SmartBusError as error:  # since the script's own check things have changed
            logger.warning("a flow's packet could not be sent: %s", error)

    def _check_idle(self) -> None:
        if not self._runs and not self._pending:
            self._idle.set()


def _params(raw: bytes) -> list[Any]:
    """Read a call's parameters: JSON, or a Python literal as the vendor's wrappers send it."""
    text = decode_text(raw).strip()
    try:
        params = json.loads(text or "[]")
    except (ValueError, RecursionError):
        try:
            params = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise ArgumentError(-1, "the flow's parameters are no list") from None
    if not isinstance(params, (list, tuple)):
        raise ArgumentError(-1, "the flow's parameters are no list")
    return list(params)
