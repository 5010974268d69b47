"""``call``: one request over the bus, sent and awaited as a flow does it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import uuid
from typing import Any, Final

from sbusr import exits
from sbusr.config import IpcSettings, Settings, SettingsError, load
from smartbus.aio import FlowCall, Frame, Notify, SmartBusClient, Timing
from smartbus.errors import SmartBusError
from smartbus.wire import IPSC, Cmd, CmdType

from .output import add_json, complain, paint, put, put_json

__all__ = ["add_arguments", "run"]

RPC_COMMAND: Final = 211
"""``cmd_type`` of packets that carry a JSON-RPC request."""
NO_FLOWS: Final = -1
"""How flow calls are refused: there are no flows here."""
REFUSE_AFTER: Final = 0.02
"""Seconds: the vendor's library loses quicker answers (NET.md 7.4)."""

EPILOG = """\
Each PARAM is a JSON value and one argument, by position; with --named it is NAME=VALUE. Mind the
shell's quotes: call echo '"a text"'.

Replies go to IPSC processes only. So the command registers as one: client type 2 in the bus's unit,
with the number --process. Whoever starts flows on any IPSC process may pick it in the meantime; it
refuses.

exit codes:
  0  the result, which is printed
  1  an error reply, which is printed
  2  wrong arguments
  3  the settings cannot be used
  4  the bus cannot be reached, or there is no reply in time
"""


class _ArgumentsError(Exception):
    """The command line makes no sense."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to `parser`."""
    parser.epilog = EPILOG
    parser.add_argument("method", metavar="METHOD", help="such as mymodule.MyClass.mymethod")
    parser.add_argument("params", metavar="PARAM", nargs="*", help="an argument, as JSON")
    parser.add_argument("--named", action="store_true", help="PARAMs are NAME=VALUE")
    parser.add_argument(
        "--timeout",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long to wait for the bus, and for the reply (default: %(default)g)",
    )
    parser.add_argument("--bus", metavar="HOST:PORT", help="the bus (default: as settings.py says)")
    parser.add_argument(
        "--to",
        metavar="UNIT:CLIENT",
        help="the daemon's unit and client id (default: as settings.py says)",
    )
    parser.add_argument(
        "--unit", type=int, default=0, metavar="N", help="unit of the bus, 0 to 15 (default: 0)"
    )
    parser.add_argument(
        "--process",
        type=int,
        default=254,
        metavar="N",
        help="number of the IPSC process that this is, unused on the bus (default: %(default)s)",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        params = _params(args)
        settings = None if args.bus and args.to else load()
        client, to = _client(args, settings)
        reply = asyncio.run(_call(client, to, args.method, params, args.timeout))
    except _ArgumentsError as exc:
        complain(str(exc))
        return exits.USAGE
    except SettingsError as exc:
        complain(str(exc))
        return exits.SETTINGS
    except SmartBusError as exc:
        complain(f"no reply: {exc.message}")
        return exits.UNAVAILABLE
    except asyncio.TimeoutError:
        complain(f"no reply within {args.timeout:g} s")
        return exits.UNAVAILABLE
    if args.json:
        put_json(reply)
    elif "error" in reply:
        error = reply["error"]
        put(f"{paint('error', 'red')} {error['code']}: {error['message']}")
        if "data" in error:
            put(error["data"] if isinstance(error["data"], str) else _pretty(error["data"]))
    else:
        put(_pretty(reply["result"]))
    return exits.FAILED if "error" in reply else exits.OK


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _params(args: argparse.Namespace) -> list[Any] | dict[str, Any]:
    if not args.named:
        return [_value(text) for text in args.params]
    params = {}
    for text in args.params:
        name, equals, value = text.partition("=")
        if not equals:
            raise _ArgumentsError(f"{text!r} is not NAME=VALUE")
        params[name] = _value(value)
    return params


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        quoted = json.dumps(text, ensure_ascii=False)
        raise _ArgumentsError(f"{text!r} is no JSON; as a text it is '{quoted}'") from None


def _client(
    args: argparse.Namespace, settings: Settings | None
) -> tuple[SmartBusClient, tuple[int, int]]:
    """The client that sends the request; and unit and client id of the daemon."""
    user = password = None
    host, port, to = "", 0, (0, 0)
    if settings is not None and isinstance(settings.bus, IpcSettings):
        to = args.unit, settings.bus.initialize.clientid
        if not args.bus:
            raise _ArgumentsError(
                "the daemon is an IPC client: --bus HOST:PORT says where its bus is"
            )
    elif settings is not None:
        first = settings.bus.clients[0]
        to = settings.bus.initialize.unitid, first.local_client_id
        host, port = first.master_host, first.master_port
        user = first.author_usr
        password = None if first.author_pwd is None else str(first.author_pwd)
    if args.bus:
        host, _, text = args.bus.rpartition(":")
        port = int(text) if text.isdecimal() else 0
    if args.to:
        unit, _, client = args.to.partition(":")
        if not unit.isdecimal() or not client.isdecimal():
            raise _ArgumentsError(f"--to {args.to!r}: expected UNIT:CLIENT, such as 19:0")
        to = int(unit), int(client)
    try:
        made = SmartBusClient(
            host,
            port,
            args.unit,
            args.process,
            IPSC,
            user=user,
            password=password,
            timing=Timing(connect=args.timeout),
        )
    except SmartBusError as exc:
        raise _ArgumentsError(exc.message) from exc
    return made, to


async def _call(
    client: SmartBusClient,
    to: tuple[int, int],
    method: str,
    params: list[Any] | dict[str, Any],
    timeout: float,
) -> dict[str, Any]:
    """Send the request and wait for the reply that has its id."""
    id_ = uuid.uuid4().hex
    body = json.dumps({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})
    async with client:
        client.send_data(1, RPC_COMMAND, *to, -1, body)
        return await asyncio.wait_for(_reply(client, id_), timeout)


async def _reply(client: SmartBusClient, id_: str) -> dict[str, Any]:
    async for frame in client:
        if frame.cmd_type != CmdType.SYSTEM:
            continue
        if frame.cmd == Cmd.FLOW_CALL:
            _refuse(client, frame)
        elif frame.cmd == Cmd.NOTIFY:
            notify = Notify.decode(frame.data)
            if notify.title == id_.encode():
                reply: dict[str, Any] = json.loads(notify.text)
                return reply
    raise asyncio.TimeoutError


def _refuse(client: SmartBusClient, frame: Frame) -> None:
    """Tell who starts a flow here that there are none."""

    def answer() -> None:
        with contextlib.suppress(SmartBusError):  # the link is lost: the bus tells the caller
            client.send_flow_ack(
                frame.head, call, NO_FLOWS, "this is the command sbusr call, which has no flows"
            )

    call = FlowCall.decode(frame.data)
    asyncio.get_running_loop().call_later(REFUSE_AFTER, answer)
