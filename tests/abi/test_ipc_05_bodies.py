"""IPC.md 5.1 and 5.4: what flow calls and notifies look like."""

from __future__ import annotations

from typing import Any

from smartbus.wire import Address, Cmd, CmdType, FlowCall, Notify
from tests.abi.ipc import ME, begin_golden, finish, frame, table
from tests.abi.outcomes import Outcomes
from tests.abi.server import UNIT
from tests.abi.table import Case
from tests.abi.world import World

TABLE = table()

#: Time-outs under which nothing times out while a row runs (ms).
LONG = 600_000
NODE = Address(UNIT, 0, 1)
#: Commands with callbacks of their own.
SPECIAL = (Cmd.GLOBAL_CONNECT, Cmd.GLOBAL_CONNECT_ANSWER, Cmd.FLOW_RETURN, Cmd.FLOW_ACK)


# ---- 5.1 Flow call, 5.4 Notify -------------------------------------------------------------


def call(world: World, **changes: Any) -> FlowCall:
    """Call a flow; what the server gets."""
    given: dict[str, Any] = {
        "unit": UNIT, "process": 0, "project": b"P", "flow": b"F", "mode": 1, "timeout": LONG,
        "params": b"[]", **changes,
    }  # fmt: skip
    number = world.library.call("RemoteInvokeFlow", *given.values())
    assert number > 0
    got = world.peer.frame()
    assert (got.cmd, got.cmd_type, got.src) == (Cmd.FLOW_CALL, CmdType.SYSTEM, ME)
    assert got.dst == (given["unit"] & 255, given["process"] & 255, 2)
    decoded = FlowCall.decode(got.data)
    assert decoded.invoke_id == number
    finish(world, number)
    return decoded


def notify(world: World, **changes: Any) -> Notify:
    """Notify; what the server gets."""
    given: dict[str, Any] = {
        "unit": UNIT, "process": 0, "project": b"P", "title": b"T", "mode": 0, "expires": 1000,
        "text": b"text", **changes,
    }  # fmt: skip
    number = world.library.call("SendNotify", *given.values())
    assert number > 0
    got = world.peer.frame()
    assert (got.cmd, got.cmd_type, got.src) == (Cmd.NOTIFY, CmdType.SYSTEM, ME)
    assert got.dst == (given["unit"] & 255, given["process"] & 255, 2)
    decoded = Notify.decode(got.data)
    assert decoded.invoke_id == number
    return decoded


@TABLE.row("5.1", "the golden calls and notify", fresh=True)
def _(world: World) -> None:
    peer = begin_golden(world)
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("flow_call", (3, 0, b"Project.Main", b"flow_One", 0, 30_000, b'["a",1]')),
        ("flow_call_no_return", (3, 0, b"P", b"F", 1, 30_000, b"[]")),
    ]
    for number, (name, arguments) in enumerate(calls, 1):
        assert world.library.call("RemoteInvokeFlow", *arguments) == number
        peer.frame()
        assert peer.raw == frame(name)
    arguments = (3, 5, b"Project.Main", b"my.title", 2, 4000, b"payload")
    assert world.library.call("SendNotify", *arguments) == 1
    peer.frame()
    assert peer.raw == frame("notify")


@TABLE.row("5.1", "ids have 31 bytes at most and NULL is empty")
def _(world: World) -> None:
    assert call(world, project=b"p" * 40, flow=b"f" * 40)[:2] == (b"p" * 31, b"f" * 31)
    assert call(world, project=b"p" * 31, flow=b"f" * 31)[:2] == (b"p" * 31, b"f" * 31)
    assert call(world, project=None, flow=None)[:2] == (b"", b"")
    assert call(world, project=b"", flow=b"\xff\xfe")[:2] == (b"", b"\xff\xfe")


@TABLE.row("5.1", "the mode travels as its low byte, the event channel is -1")
def _(world: World) -> None:
    for mode in (1, 3, 255, 257, -1):
        got = call(world, mode=mode)
        assert (got.mode, got.event_ch) == (mode & 255, -1)


@TABLE.row("5.1", "the time-out is not on the wire")
def _(world: World) -> None:
    frames = []
    for timeout in (5000, 70_000):
        call(world, timeout=timeout)
        raw = bytearray(world.peer.raw)
        raw[20 + 70 : 20 + 74] = bytes(4)  # the invoke id
        frames.append(bytes(raw))
    assert frames[0] == frames[1]


@TABLE.row("5.1", "unused bytes are zero and a NUL is behind the parameters")
def _(world: World) -> None:
    call(world, params=b"[123]")
    data = world.peer.raw[20:]
    assert data[78:112] == bytes(34)
    assert data[112:119] == b"[123]\0\0"
    assert int.from_bytes(world.peer.raw[16:20], "little") == 114 + 5


@TABLE.row("5.1", "any server unit and process")
def _(world: World) -> None:
    for unit in (*range(16), -1):
        call(world, unit=unit, process=200)
    for process in (0, 255, 256, -1):
        call(world, process=process)


@TABLE.row("5.4", "project and title are cut, NULL and empty texts allowed")
def _(world: World) -> None:
    got = notify(world, project=b"p" * 40, title=b"t" * 200)
    assert got[:2] == (b"p" * 31, b"t" * 101)
    assert notify(world, project=None, title=None, text=None)[:3] == (b"", b"", b"")
    assert notify(world, project=b"", title=b"", text=b"")[:3] == (b"", b"", b"")
    assert notify(world, text=b"\xff" * 15999).text == b"\xff" * 15999


@TABLE.row("5.4", "mode, expires and ids as given")
def _(world: World) -> None:
    for mode, expires in ((0, 0), (2, 4000), (255, -1), (256, 0x7FFFFFFF), (-1, -0x80000000)):
        got = notify(world, mode=mode, expires=expires, process=expires)
        assert (got.mode, got.expires) == (mode & 255, expires)


@TABLE.row("5.4", "flows and notifies count their ids separately")
def _(world: World) -> None:
    flow, note = call(world).invoke_id, notify(world).invoke_id
    for number in range(1, 4):
        assert call(world).invoke_id == flow + number
        assert notify(world).invoke_id == note + number


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
