"""The functions that flow scripts have, and how to write a flow script.

A flow script is an ordinary Python module, run from top to bottom for each call of the
flow. Besides the built-ins it finds in its namespace:

``params``
    The list of parameters that the flow was called with.
``result``
    To be set by the script: what the flow returns, a list that JSON can say (any other
    value is returned as the only item of a list; without it the flow returns ``[]``).
    A script that ends by an exception returns ``[{"error": {"type": …, "message": …}}]``, and
    its traceback is logged. ``sys.exit()`` just ends it.
``json``
    The module.
``smartbusSendData``, ``SmartbusWaitNotify``, ``AsynchInvoke``, ``Trace``, ``TraceErr``,
``GetSvrNodeID``, ``SmartbusGetNodeInfo``, ``uuid``, ``randchoice``
    The functions below, as methods of `ScriptFunctions`. ``SmartbusSendData`` is another
    spelling of ``smartbusSendData``.

The real IPSC demands that a line with ``AsynchInvoke`` is not broken; so keep it on one line.
"""

from __future__ import annotations

import json
import logging
import random
import uuid as uuid_module
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from smartbus.arguments import LONGEST
from smartbus.encoding import decode_text, encode_text
from smartbus.errors import ArgumentError, SmartBusTimeoutError
from smartbus.wire.system import MAX_TITLE

from .mailbox import MailboxClosed

if TYPE_CHECKING:
    from smartbus.aio import Node

    from .mailbox import Mailbox

__all__ = ["FlowStopped", "ScriptFunctions", "Services", "WaitNotify", "title_of"]

#: Where ``Trace`` and ``TraceErr`` write to.
trace_logger = logging.getLogger("smartbus.ipsc.flow")

_TIMEOUT: Final = -25
_T = TypeVar("_T")


class FlowStopped(BaseException):
    """The IPSC is closing; ends a script that waits. Not meant to be caught."""


class Services(Protocol):
    """What the functions need from the IPSC; all of it thread-safe."""

    @property
    def mailbox(self) -> Mailbox:
        """The notifies."""

    @property
    def unit_id(self) -> int:
        """The IPSC's unit."""

    def known_nodes(self) -> list[Node]:
        """Who is on the bus."""

    def send(
        self, cmd: int, cmd_type: int, unit_id: int, client_id: int, client_type: int, data: bytes
    ) -> None:
        """Queue a packet, or raise."""


class WaitNotify(NamedTuple):
    """A wait that `ScriptFunctions.AsynchInvoke` is to do."""

    title: str
    mode: int
    seconds: float


class ScriptFunctions:
    """The functions for one run; `namespace` makes them visible to the script.

    Their names, and the order of their arguments, are those of IPSC.
    """

    def __init__(self, services: Services, label: str) -> None:
        """Serve a run that calls itself `label` in traces."""
        self._services = services
        self._label = label

    def namespace(self) -> dict[str, Any]:
        """Return the functions by the names that scripts know."""
        functions: list[Callable[..., Any]] = [
            self.smartbusSendData,
            self.SmartbusWaitNotify,
            self.AsynchInvoke,
            self.Trace,
            self.TraceErr,
            self.GetSvrNodeID,
            self.SmartbusGetNodeInfo,
            self.uuid,
            self.randchoice,
        ]
        names: dict[str, Any] = {function.__name__: function for function in functions}
        return names | {"SmartbusSendData": self.smartbusSendData, "json": json}

    def smartbusSendData(  # noqa: N802
        self,
        unitid: int,
        clientid: int,
        clienttype: int,
        cmd: int,
        cmdtype: int,
        data: str | bytes,
    ) -> int:
        """Send a packet; do not wait for anything.

        Args:
            unitid: Receiver's unit, or -1 for any.
            clientid: Receiver's client id, or -1 for all.
            clienttype: Receiver's client type, or -1 for any.
            cmd: Command, 0..255.
            cmdtype: Command class, 1..255; 211 is a JSON-RPC request to sbusr.
            data: Text, which leaves in UTF-8, or bytes, which leave as they are.

        Returns:
            0.

        Raises:
            SmartBusError: It cannot be sent; `NotConnectedError` if the bus is away.
        """
        raw = data.encode() if isinstance(data, str) else bytes(data)
        self._services.send(cmd, cmdtype, unitid, clientid, clienttype, raw)
        return 0

    def SmartbusWaitNotify(self, id: object, mode: int, ms: float) -> WaitNotify:  # noqa: A002, N802
        """Describe a wait for a notify; hand it to `AsynchInvoke`, which waits.

        A notify that came before is not missed, until its sender's time for it is over.

        Args:
            id: The notify's title; of an RPC, the request's id.
            mode: What `AsynchInvoke` returns: 0 the text; 1 a pair of a code and the text.
            ms: Wait so many milliseconds, counted from `AsynchInvoke` on.

        Raises:
            ArgumentError: `id` is empty, `mode` neither 0 nor 1, or `ms` no such number.
        """
        title = str(id)
        usable = issubclass(type(ms), (int, float)) and 0 <= ms <= LONGEST * 1000
        if not title or mode not in (0, 1) or not usable:
            raise ArgumentError(-1, f"bad SmartbusWaitNotify({id!r}, {mode!r}, {ms!r})")
        return WaitNotify(title, mode, ms / 1000)

    def AsynchInvoke(self, wait: WaitNotify) -> str | tuple[int, str | None]:  # noqa: N802
        """Do the wait that `SmartbusWaitNotify` described.

        Returns:
            With mode 0 the notify's text. With mode 1 ``(1, text)``, or ``(-25, None)`` if
            none came in time.

        Raises:
            SmartBusTimeoutError: With mode 0: none came in time. It is a `TimeoutError`.
            TypeError: `wait` is no such wait.
        """
        if not isinstance(wait, WaitNotify):
            raise TypeError(f"AsynchInvoke takes SmartbusWaitNotify(…), not {wait!r}")
        try:
            raw = self._services.mailbox.wait(title_of(wait.title), wait.seconds)
        except MailboxClosed:
            raise FlowStopped from None
        if raw is None:
            if wait.mode == 1:
                return _TIMEOUT, None
            message = f"no notify {wait.title!r} within {wait.seconds * 1000:g} ms"
            raise SmartBusTimeoutError(_TIMEOUT, message)
        text = decode_text(raw)
        return (1, text) if wait.mode == 1 else text

    def Trace(self, msg: object) -> None:  # noqa: N802
        """Log a message, to the logger ``smartbus.ipsc.flow``."""
        trace_logger.info("%s: %s", self._label, msg)

    def TraceErr(self, msg: object) -> None:  # noqa: N802
        """Log an error likewise."""
        trace_logger.error("%s: %s", self._label, msg)

    def GetSvrNodeID(self) -> int:  # noqa: N802
        """Return the unit id of this IPSC's server."""
        return self._services.unit_id

    def SmartbusGetNodeInfo(self, unitid: int = -1, clientid: int = -1) -> list[dict[str, Any]]:  # noqa: N802
        """Return who is on the bus, as far as the server has told, this IPSC excepted.

        Args:
            unitid: Only this unit; -1 all.
            clientid: Only this client id; -1 all.

        Returns:
            One dict for each, with ``unitid``, ``clientid``, ``clienttype``,
            ``accesspoint`` (the unit of its server) and ``info``.
        """
        return [
            {
                "unitid": node.unit_id,
                "clientid": node.client_id,
                "clienttype": node.client_type,
                "accesspoint": node.access_point,
                "info": node.info,
            }
            for node in self._services.known_nodes()
            if unitid in (-1, node.unit_id) and clientid in (-1, node.client_id)
        ]

    def uuid(self) -> str:
        """Return a new random UUID as text."""
        return str(uuid_module.uuid4())

    def randchoice(self, seq: Sequence[_T]) -> _T:
        """Return one of the items of `seq` at random; raises `IndexError` if there is none."""
        return random.choice(seq)  # noqa: S311 - as the real one: no secret depends on it


def title_of(text: str) -> bytes:
    """Return a title as it travels: GBK, cut as every sender has to cut it."""
    return encode_text(text)[:MAX_TITLE]
