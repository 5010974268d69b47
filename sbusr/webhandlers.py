"""The HTTP interface: ``POST /api/flow`` starts a flow, ``/sys/reset`` reloads the methods.

What is there for watching the daemon is in `monitoring`.

Every answer is a JSON object; those about errors are ``{"error": {"status": …, "message": …}}``
with more members where there is more to say.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, ClassVar, NoReturn

import tornado.web

from smartbus.encoding import encode_text

from .executor import Executor, ResetError
from .exposition import DaemonCollector
from .flows import (
    AckTable,
    FlowAckTimeoutError,
    FlowCall,
    FlowError,
    FlowInvokeAck,
    FlowLauncher,
    FlowRefusedError,
    FlowResultError,
    FlowResultTimeoutError,
    NoIpscError,
    ParamsError,
    Started,
    UnknownIpscError,
)
from .jsonhandler import JsonHandler, NotFoundHandler, RequestError
from .monitoring import HealthHandler, MetricsHandler, ReadyHandler
from .openapi import OpenApiHandler, document
from .rpchandler import RpcHandler
from .tokens import Tokens

__all__ = [
    "FlowHandler",
    "FlowInvokeAck",
    "JsonHandler",
    "RequestError",
    "ResetHandler",
    "make_app",
]

_ID_LIMIT = 31
"""Longest project or flow id, in bytes as GBK (NET.md 7.1)."""

_WAIT, _LONGEST_WAIT = 30.0, 3600
"""Seconds that a request waits for a flow's result, and may wait at most."""

_logger = logging.getLogger(__name__)


class FlowHandler(JsonHandler):
    """``POST /api/flow``: start a flow, wait for IPSC's acknowledgement."""

    scope = "flow"
    acts = True

    acks: ClassVar[AckTable] = AckTable()
    """The calls that wait for their acknowledgement."""

    outcomes: ClassVar[Counter[str]] = Counter()
    """Requests answered, by HTTP status."""

    _launch: asyncio.Task[Started] | None = None

    def on_finish(self) -> None:
        """Note how the request was answered."""
        super().on_finish()
        self.outcomes[str(self.get_status())] += 1

    @classmethod
    def set_flow_ack(cls, ack: FlowInvokeAck) -> None:
        """Hand over an acknowledgement that came from the bus."""
        if not cls.acks.set(ack):
            _logger.debug("nobody waits for %r", ack)

    async def post(self) -> None:
        """Start the flow that the body describes.

        The body is a JSON object with ``project`` and ``flow``, and optionally ``params`` (a list),
        ``server`` (unit id) and ``process`` (process index) of the IPSC; without them one of the
        matching IPSC processes is taken at random. With ``"wait": true`` the answer comes when the
        flow has returned, and has its ``result``; it may take ``timeout`` seconds (30).

        Answers 200 when the flow has started (or returned); 400 for a bad body, 404 for an unknown
        server or process, 502 when IPSC refuses (with its ``code``) or the result is no list, 503
        when there is no IPSC, 504 when it does not acknowledge within ``FLOW_ACK_TIMEOUT``
        seconds, or does not return in time.
        """
        launcher: FlowLauncher = self.settings["launcher"]
        call = parse_flow_call(self.body)
        self.begin()
        self._launch = asyncio.ensure_future(launcher.launch(call))
        try:
            await asyncio.wait([self._launch])
            if self._launch.cancelled():  # nobody is there any more to be answered
                return
            started = self._launch.result()
        except FlowRefusedError as exc:
            raise RequestError(502, str(exc), code=exc.ack, msg=exc.msg) from exc
        except FlowError as exc:
            details = {"field": "params"} if isinstance(exc, ParamsError) else {}
            raise RequestError(_STATUS[type(exc)], str(exc), **details) from exc
        answer = {
            "server": started.server,
            "process": started.process,
            "project": call.project,
            "flow": call.flow,
            "invokeid": started.invoke_id,
            "ack": 1,
            "msg": started.msg,
        }
        self.answer(answer if started.result is None else {**answer, "result": started.result})

    def on_connection_close(self) -> None:
        """The caller went away: stop waiting for the acknowledgement."""
        super().on_connection_close()
        if self._launch is not None:
            self._launch.cancel()


_STATUS: dict[type[FlowError], int] = {
    NoIpscError: 503,
    UnknownIpscError: 404,
    ParamsError: 400,
    FlowAckTimeoutError: 504,
    FlowResultTimeoutError: 504,
    FlowResultError: 502,
}


class ResetHandler(JsonHandler):
    """``/sys/reset``: replace the worker processes, so that methods are loaded anew."""

    scope = "reset"
    acts = True

    async def get(self) -> None:
        """As `post`: the sbusr document has it so."""
        await self.post()

    async def post(self) -> None:
        """Answer 200 when all workers are new, 409 when the new code does not start."""
        self.begin()
        _logger.info("reset by HTTP: %s %s", self.request.remote_ip, self.caller)
        executor: Executor = self.settings["executor"]
        try:
            workers = await executor.reset()
        except ResetError as exc:
            raise RequestError(
                409,
                f"the new workers do not start, the old ones go on: {exc}",
                traceback=exc.traceback,
            ) from exc
        self.answer({"workers": workers})


def parse_flow_call(body: bytes) -> FlowCall:
    """Read the body of ``POST /api/flow``.

    Raises:
        RequestError: (400) What is wrong, and in which field.
    """
    try:
        fields = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        raise RequestError(400, f"the body is not UTF-8: {exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise RequestError(400, f"the body is not JSON: {exc}") from exc
    if not isinstance(fields, dict):
        raise RequestError(400, "the body must be a JSON object")
    for name in fields:
        if name not in FlowCall._fields:
            known = ", ".join(FlowCall._fields)
            raise RequestError(400, f"unknown field {name!r}; there are {known}", field=name)
    params = fields.get("params")
    if not isinstance(params, (list, type(None))):
        raise _bad("params", "must be a list")
    return FlowCall(
        project=_identifier(fields, "project"),
        flow=_identifier(fields, "flow"),
        params=params or [],
        server=_number(fields, "server", 15),
        process=_number(fields, "process", 255),
        wait=_flag(fields, "wait"),
        timeout=_seconds(fields, "timeout"),
    )


def _no_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python's parser takes for JSON."""
    raise ValueError(f"{name} is no JSON")


def _identifier(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        raise _bad(name, "is missing")
    if not isinstance(value, str):
        raise _bad(name, "must be a string")
    try:
        size = len(encode_text(value))
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= _ID_LIMIT or "\0" in value:
        raise _bad(name, f"must be a text of 1 to {_ID_LIMIT} bytes (as GBK)")
    return value


def _number(fields: dict[str, Any], name: str, highest: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= highest:
        raise _bad(name, f"must be an integer from 0 to {highest}")
    return value


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, (bool, type(None))):
        raise _bad(name, "must be true or false")
    return bool(value)


def _seconds(fields: dict[str, Any], name: str) -> float:
    value = fields.get(name)
    if value is None:
        return _WAIT
    if type(value) not in (int, float) or not 0 < value <= _LONGEST_WAIT:
        raise _bad(name, f"must be a number of seconds above 0, {_LONGEST_WAIT} at most")
    if not fields.get("wait"):
        raise _bad(name, "is for flows that are waited for")
    return float(value)


def _bad(name: str, problem: str) -> RequestError:
    return RequestError(400, f"{name} {problem}", field=name)


def make_app(
    executor: Executor,
    launcher: FlowLauncher,
    clients: Callable[[], list[Any]],
    ipsc_set: Collection[tuple[int, int]],
    *,
    tokens: Tokens | None = None,
    local: bool = True,
    rpc: bool = False,
) -> tornado.web.Application:
    """The HTTP application.

    Args:
        executor: To be reset, and watched.
        launcher: Starts flows.
        clients: Returns the bus clients.
        ipsc_set: The IPSC processes on the bus.
        tokens: Who may do what; None is everybody everything.
        local: It is served to this machine alone.
        rpc: There is ``/api/rpc``.
    """
    handlers: list[Any] = [
        (r"/api/flow", FlowHandler),
        (r"/sys/reset", ResetHandler),
        (r"/healthz", HealthHandler),
        (r"/readyz", ReadyHandler),
        (r"/metrics", MetricsHandler),
        (r"/openapi\.json", OpenApiHandler),
    ]
    if rpc:
        handlers.append((r"/api/rpc", RpcHandler))
    return tornado.web.Application(
        handlers,
        default_handler_class=NotFoundHandler,
        executor=executor,
        launcher=launcher,
        openapi=document(tokens=tokens is not None, rpc=rpc),
        tokens=tokens,
        local=local,
        clients=clients,
        collector=DaemonCollector(executor, clients, ipsc_set, FlowHandler.outcomes),
    )
