"""Starting flows: pick an IPSC process, send the call, wait for its acknowledgement."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from smartbus import errors
from smartbus.errors import ArgumentError, SmartBusError, TooLargeError

__all__ = [
    "STARTED",
    "TIMED_OUT",
    "AckTable",
    "FlowAckTimeoutError",
    "FlowCall",
    "FlowError",
    "FlowInvokeAck",
    "FlowLauncher",
    "FlowRefusedError",
    "FlowResultError",
    "FlowResultTimeoutError",
    "NoIpscError",
    "ParamsError",
    "Started",
    "UnknownIpscError",
]

STARTED = 1
"""Status code of a positive acknowledgement (NET.md 7.2)."""
TIMED_OUT = -25
"""Status code that the client library gives when no acknowledgement came (NET.md 7.4)."""

_NO_RETURN = 1
"""Flow call mode: no result of the flow is wanted (NET.md 7.1)."""


class FlowError(Exception):
    """A flow could not be started."""


class NoIpscError(FlowError):
    """No IPSC process is on the bus, or the bus cannot be reached."""


class UnknownIpscError(FlowError):
    """The IPSC process that was asked for is not on the bus."""


class ParamsError(FlowError):
    """The parameters do not fit into a flow call, or JSON has no form for one of them."""


class FlowAckTimeoutError(FlowError):
    """IPSC did not acknowledge in time; the flow may have started or not."""


class FlowRefusedError(FlowError):
    """IPSC refused to start the flow.

    Attributes:
        ack: IPSC's code.
        msg: IPSC's message.
    """

    def __init__(self, ack: int, msg: str) -> None:
        super().__init__(f"IPSC refused: code {ack}" + (f", {msg}" if msg else ""))
        self.ack = ack
        self.msg = msg


class FlowResultTimeoutError(FlowError):
    """The flow has started, but did not return in time."""


class FlowResultError(FlowError):
    """The flow has started, and returned what is no list."""


class FlowInvokeAck:
    """The acknowledgement of a flow call (seed: "webhandlers module").

    Args:
        packinfo: The packet's head, or None.
        project: Project id.
        invokeid: What ``launch_flow`` returned.
        ack: 1 when the flow has started, else IPSC's error code, or -25 for a time-out.
        msg: IPSC's message.
    """

    def __init__(self, packinfo: Any, project: str, invokeid: int, ack: int, msg: str) -> None:
        self.packinfo = packinfo
        self.project = project
        self.invokeid = invokeid
        self.ack = ack
        self.msg = msg

    def __repr__(self) -> str:
        return (
            f"<FlowInvokeAck project={self.project!r} invokeid={self.invokeid} "
            f"ack={self.ack} msg={self.msg!r}>"
        )


class AckTable:
    """Who waits for which acknowledgement. Used in one event loop's thread."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[FlowInvokeAck]] = {}
        self._results: set[asyncio.Future[None]] = set()
        self._closed: str | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def set(self, ack: FlowInvokeAck) -> bool:
        """Wake who waits for it; False if nobody does (any more)."""
        future = self._waiting.get(ack.invokeid)
        if future is None or future.done():
            return False
        future.set_result(ack)
        return True

    def open(self) -> None:
        """Let waiting begin, also after `close`."""
        self._closed = None

    def close(self, why: str) -> None:
        """End all waiting: ``wait`` and ``result`` raise `NoIpscError`, from now on at once."""
        self._closed = why
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(NoIpscError(why))
        for closed in self._results:
            if not closed.done():
                closed.set_exception(NoIpscError(why))

    async def result(self, future: asyncio.Future[list[Any]]) -> list[Any]:
        """Wait for a flow's result, unless the table is closed before.

        Raises:
            Exception: What the future ends with.
            NoIpscError: The table was closed.
        """
        self._check_open()
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._results.add(closed)
        try:
            either: set[asyncio.Future[Any]] = {future, closed}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if closed.done():
                closed.result()
            return await future
        finally:
            self._results.discard(closed)
            future.cancel()

    async def wait(self, invoke_id: int, timeout: float) -> FlowInvokeAck:
        """Wait for the acknowledgement of a call.

        To be called before the event loop can handle that acknowledgement: right after sending.

        Raises:
            asyncio.TimeoutError: It did not come within ``timeout`` seconds.
            NoIpscError: The table was closed.
        """
        self._check_open()
        future = asyncio.get_running_loop().create_future()
        self._waiting[invoke_id] = future
        try:
            return await asyncio.wait_for(future, timeout)
        finally:
            del self._waiting[invoke_id]

    def _check_open(self) -> None:
        if self._closed is not None:
            raise NoIpscError(self._closed)


class FlowCall(NamedTuple):
    """A flow to be started."""

    project: str
    flow: str
    params: list[Any]
    server: int | None = None
    """Unit of the IPSC server; None for any."""
    process: int | None = None
    """Index (client id) of the IPSC process; None for any."""
    wait: bool = False
    """Wait for what the flow returns."""
    timeout: float = 30.0
    """How long to wait for it, in seconds."""


class Started(NamedTuple):
    """Where a flow was started."""

    server: int
    process: int
    invoke_id: int
    msg: str
    result: list[Any] | None
    """What it returned; None if nobody waited."""


class FlowLauncher:
    """Starts flows through the bus clients of the daemon.

    Args:
        clients: Returns the clients; that of the IPSC's own server is used if it is connected,
            else the first that is.
        ipsc_set: The IPSC processes on the bus: ``(unit id, client id)``.
        acks: Where the clients' ``on_flow_ack`` puts acknowledgements.
        ack_timeout: Seconds to wait for one (``FLOW_ACK_TIMEOUT``).
    """

    def __init__(
        self,
        clients: Callable[[], list[Any]],
        ipsc_set: Collection[tuple[int, int]],
        acks: AckTable,
        ack_timeout: float,
    ) -> None:
        self._clients = clients
        self._ipsc_set = ipsc_set
        self._acks = acks
        self._ack_timeout = ack_timeout

    async def launch(self, call: FlowCall) -> Started:
        """Start a flow and wait until IPSC acknowledges, and, if asked to, until it returns.

        Raises:
            NoIpscError: There is no IPSC process.
            UnknownIpscError: Not the one asked for.
            ParamsError: Its parameters cannot be sent.
            FlowRefusedError: IPSC says no.
            FlowAckTimeoutError: IPSC says nothing.
            FlowResultTimeoutError: The flow does not return in time.
            FlowResultError: It returns no list.
        """
        server, process = self.choose(call.server, call.process)
        invoke_id, outcome = self._send(server, process, call)
        try:
            try:
                ack = await self._acks.wait(invoke_id, self._ack_timeout)
            except asyncio.TimeoutError:
                ack = None
            if ack is None or ack.ack == TIMED_OUT:
                raise FlowAckTimeoutError(
                    f"process {process} of IPSC server {server} did not acknowledge in time"
                )
            if ack.ack != STARTED:
                raise FlowRefusedError(ack.ack, ack.msg)
            result = None if outcome is None else await self._result(outcome, call.timeout)
        finally:
            if outcome is not None:
                _drop(outcome)
        return Started(server, process, invoke_id, ack.msg, result)

    def _send(
        self, server: int, process: int, call: FlowCall
    ) -> tuple[int, asyncio.Future[list[Any]] | None]:
        """Send a flow call; returns its number and, if its result is wanted, a future of that."""
        client = self._towards(server)
        target = server, process, call.project, call.flow
        try:
            if not call.wait:
                number: int = client.launch_flow(
                    *target, _NO_RETURN, self._ack_timeout, call.params
                )
                return number, None
            # The answer in time counts from the acknowledgement on, which may take as long.
            allowed = call.timeout + self._ack_timeout
            future = client.call_flow(*target, call.params, timeout=allowed)
        except TooLargeError as exc:
            raise ParamsError(f"params are too large: {exc}") from exc
        except ArgumentError as exc:  # 1e999 is JSON, but no number for Python
            raise ParamsError(f"params have no JSON form: {exc}") from exc
        except SmartBusError as exc:
            raise NoIpscError(f"the flow call could not be sent: {exc}") from exc
        return future.invoke_id, asyncio.wrap_future(future)

    async def _result(self, outcome: asyncio.Future[list[Any]], timeout: float) -> list[Any]:
        try:
            return await asyncio.wait_for(self._acks.result(outcome), timeout)
        except (asyncio.TimeoutError, errors.FlowTimeout) as exc:
            raise FlowResultTimeoutError(
                f"the flow has started, but did not return within {timeout:g} s"
            ) from exc
        except errors.FlowError as exc:
            raise FlowResultError(f"the flow has started, but {exc.message}") from exc

    def _towards(self, server: int) -> Any:
        """The client to start a flow of an IPSC of unit ``server`` with.

        Raises:
            NoIpscError: None is connected.
        """
        connected = [client for client in self._clients() if client.connected]
        if not connected:
            raise NoIpscError("not connected to the bus")
        # IPSC processes are in their server's unit; servers need not know each other.
        own = (client for client in connected if client.server_unit == server)
        return next(own, connected[0])

    def choose(self, server: int | None, process: int | None) -> tuple[int, int]:
        """Pick at random one of the IPSC processes that match.

        Raises:
            NoIpscError: There are none at all.
            UnknownIpscError: None matches.
        """
        if not self._ipsc_set:
            raise NoIpscError("no IPSC process is on the bus")
        matching = [
            (unit, index)
            for unit, index in self._ipsc_set
            if server in (None, unit) and process in (None, index)
        ]
        if not matching:
            wanted = " ".join(
                f"{name} {value}"
                for name, value in (("server", server), ("process", process))
                if value is not None
            )
            known = ", ".join(f"{unit}/{index}" for unit, index in sorted(self._ipsc_set))
            raise UnknownIpscError(f"no IPSC with {wanted} is on the bus; there are {known}")
        return secrets.choice(matching)


def _drop(outcome: asyncio.Future[list[Any]]) -> None:
    """Wait for a result no longer; an error that it has already is nobody's business any more."""
    if not outcome.cancel() and not outcome.cancelled():
        outcome.exception()
