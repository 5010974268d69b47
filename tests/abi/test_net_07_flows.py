"""NET.md 7 (with NET-2018.md 4): flow calls, their acks, returns and time-outs."""

from __future__ import annotations

import time
from itertools import chain
from typing import Any

from smartbus.wire import Address, Cmd, CmdType, FlowAck, FlowCall, FlowReturn, encode_frame
from tests.abi.golden import comparable, golden
from tests.abi.library import Hook
from tests.abi.outcomes import Outcomes
from tests.abi.server import Peer
from tests.abi.table import Case, Table
from tests.abi.world import ARG, World

TABLE = Table("NET.md")

IPSC = Address(0, 7, 2)
#: Time-outs under which nothing times out while a row runs (ms). An ack is waited for 5 s.
LONG = 600_000
#: The vendor's library loses answers that come at once (7.4).
DELAY = 0.02


def call(
    world: World,
    mode: int = 0,
    timeout: int = LONG,
    params: bytes | None = b"[]",
    unit: int = 0,
    client: int = 3,
    project: bytes | None = b"Project1",
    flow: bytes | None = b"flow-a",
    process: int = 7,
) -> Any:
    """Call a flow."""
    arguments = (client, unit, process, project, flow, mode, timeout, params)
    return world.library.call("RemoteInvokeFlow", *arguments)


def received(peer: Peer) -> FlowCall:
    """The next frame is a call."""
    frame = peer.frame()
    assert (frame.cmd_type, frame.cmd) == (CmdType.SYSTEM, Cmd.FLOW_CALL)
    assert frame.dst[2] == 2
    time.sleep(DELAY)
    return FlowCall.decode(frame.data)


def ack(peer: Peer, number: int, code: int = 1, text: bytes = b"") -> None:
    peer.system(Cmd.FLOW_ACK, FlowAck(b"other", number, code, text).encode(), IPSC)


def give_back(peer: Peer, number: int, text: bytes = b"[]") -> None:
    peer.system(Cmd.FLOW_RETURN, FlowReturn(b"other", number, text).encode(), IPSC)


def finish(world: World, peer: Peer, *numbers: int) -> None:
    """Acknowledge these calls and return from them."""
    for number in numbers:
        ack(peer, number)
        world.library.expect("flow_ack", ARG, 3, ..., ..., number, 1, b"")
        give_back(peer, number)
        world.library.expect("flow_ret", ARG, 3, ..., ..., number, 1, b"[]")


# ---- 7.1 ---------------------------------------------------------------------------------


@TABLE.row("7.1", "golden call_flow", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    assert call(world, params=b'["a",1]') == 1
    peer.frame()
    assert comparable(peer.raw, "call_flow", world.kind) == golden("call_flow")


@TABLE.row("7.1", "golden call_flow_gbk_mode1", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    assert call(world) == 1
    peer.frame()
    assert call(world, mode=1, flow=b"flow-b", params='["你好"]'.encode("gbk")) == 2
    peer.frame()
    name = "call_flow_gbk_mode1"
    assert comparable(peer.raw, name, world.kind) == golden(name)


@TABLE.row("7.1", "project and flow are cut to 31 bytes", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    number = call(world, project=b"p" * 40, flow=bytes(range(128, 168)))
    sent = received(peer)
    assert (sent.project, sent.flow) == (b"p" * 31, bytes(range(128, 159)))
    ack(peer, number)
    world.library.expect("flow_ack", ARG, 3, ..., b"p" * 31, number)


@TABLE.row("7.1", "the process is its low byte", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    for process, low in ((0, 0), (255, 255), (-1, 255), (263, 7)):
        assert call(world, process=process) > 0
        assert peer.frame().dst == (0, low, 2)


@TABLE.row("7.1", "negative units pass", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    for unit in (-1, -200):
        assert call(world, unit=unit) > 0
        assert peer.frame().dst == (unit & 255, 7, 2)


@TABLE.row("7.1", "an empty parameter text", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    assert call(world, params=b"") == 1
    assert received(peer).params == b""


@TABLE.row("7.1", "unit above 15")
def _(world: World) -> None:
    for unit in (16, 19, 255, 256):
        assert call(world, unit=unit) == -12
    world.nothing_sent(3)


@TABLE.row("7.1", "the longest parameter text", fresh=True)
def _(world: World) -> None:
    limit = 8001 if world.kind == "vendor" else 16001  # NET-2018.md 4
    peer = world.begin()
    assert call(world, params=b"x" * limit) == 1
    assert received(peer).params == b"x" * limit
    assert call(world, params=b"x" * (limit + 1)) == -15
    assert call(world, params=b"x" * 100_000) == -15
    world.nothing_sent(3)


@TABLE.row("7.1", "order: not initialised comes late", fresh=True)
def _(world: World) -> None:
    assert call(world, unit=16, params=b"x" * 20_000) == -12
    assert call(world, params=b"x" * 20_000) == -15
    assert call(world) == -14


@TABLE.row("7.1", "order: unit then size then client then link", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    server = world.serve()
    world.create(server)
    peer = server.peer()
    peer.registration()
    assert call(world, unit=16, client=9, params=b"x" * 20_000) == -12
    assert call(world, client=9, params=b"x" * 20_000) == -15
    assert call(world, client=9) == -9
    assert call(world) == -2


@TABLE.row("7.1", "NULL project and flow", fresh=True, vendor="crashes, of 2018: takes as empty")
def _(world: World) -> None:
    world.begin()
    assert call(world, project=None) == -1
    assert call(world, flow=None) == -1
    world.nothing_sent(3)


@TABLE.row("7.1", "NULL parameter text", fresh=True, vendor="crashes")
def _(world: World) -> None:
    world.begin()
    assert call(world, params=None) == -1
    assert call(world, params=None, unit=16) == -12
    world.nothing_sent(3)


@TABLE.row("7.1", "ids begin with 1 for all clients together", fresh=True)
def _(world: World) -> None:
    world.begin()
    world.join(4, 18)
    assert [call(world, client=client) for client in (3, 4, 4, 3)] == [1, 2, 3, 4]


@TABLE.row("7.1", "calls that fail late use up an id", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    assert call(world) == 1
    assert call(world, client=9) == -9
    assert call(world, unit=16) == -12
    assert call(world, params=b"x" * 20_000) == -15
    assert call(world) == 3
    assert [received(peer).invoke_id for _ in range(2)] == [1, 3]


@TABLE.row("7.1", "ids survive a reconnect", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    assert call(world) == 1
    peer.close()
    world.library.expect("disconnect", ARG, 3)
    again = world.server.peer()
    again.accept()
    world.library.expect("connection", ARG, 3)
    number = call(world)
    assert number == 2
    assert received(again).invoke_id == number


@TABLE.row("7.1", "ids are unique among threads", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    results = world.library.command(
        "call_many", 4, 200, "RemoteInvokeFlow", 3, 0, 7, b"p", b"f", 0, 0, b"[]"
    )
    assert sorted(chain.from_iterable(results)) == list(range(1, 801))
    assert sorted(FlowCall.decode(peer.frame().data).invoke_id for _ in range(800)) == list(
        range(1, 801)
    )


@TABLE.row("7.1", "at most so many returns are waited for", fresh=True)
def _(world: World) -> None:
    most = 3000 if world.kind == "vendor" else 5000  # NET-2018.md 4
    # Without an ack callback, so that only returns are waited for.
    connection, data, ret = map(Hook, ("connection", "data", "flow_ret"))
    world.library.call("SetCallBackFn", connection, data, None, ret, None, ARG)
    world.library.call("Init", 19)
    peer = world.join()
    arguments = ("RemoteInvokeFlow", 3, 0, 7, b"p", b"f", 0, LONG, b"[]")
    (results,) = world.library.command("call_many", 1, most, *arguments)
    assert results == list(range(1, most + 1))
    assert call(world) == -7
    assert call(world, mode=2) == -7
    assert call(world, unit=16) == -12
    assert call(world, client=9, params=b"x" * 20_000) == -7
    for _number in range(most):
        peer.frame()
    give_back(peer, 1)
    world.library.expect("flow_ret", ARG, 3, ..., b"p", 1, 1, b"[]")
    assert call(world) == most + 1
    # Other modes wait for none.
    assert call(world, mode=1) == most + 2


@TABLE.row("7.1", "at most so many acks are waited for", fresh=True)
def _(world: World) -> None:
    most = 3000 if world.kind == "vendor" else 5000
    world.library.call("SetCallBackFn", Hook("connection"), None, None, None, None, ARG)
    world.library.call("SetCallBackFnEx", b"smartbus_invokeflow_ack_cb", Hook("flow_ack"))
    world.library.call("Init", 19)
    world.join()
    arguments = ("RemoteInvokeFlow", 3, 0, 7, b"p", b"f", 1, LONG, b"[]")
    (results,) = world.library.command("call_many", 1, most + 1, *arguments)
    # Under a load so heavy that this took 5 s, some would have timed out already.
    if not world.library.events:
        assert results == [*range(1, most + 1), -7]


def waits(mode: int, *, wanted: bool) -> None:
    what = "waits for its return" if wanted else "does not wait for a return"

    @TABLE.row("7.1", f"mode {mode} {what}", fresh=True)
    def _(world: World) -> None:
        peer = world.begin()
        number = call(world, mode=mode)
        assert received(peer).mode == mode & 255
        give_back(peer, number)
        if wanted:
            world.library.expect("flow_ret", ARG, 3, ..., b"Project1", number, 1, b"[]")
        ack(peer, number)
        world.library.expect("flow_ack", ARG, 3, ..., b"Project1", number, 1, b"")
        world.nothing_called()


for some_mode in (0, 2, 256, 258, -256):
    waits(some_mode, wanted=True)
for some_mode in (1, 3, 255, 257, -1):
    waits(some_mode, wanted=False)


@TABLE.row(
    "7.1", "modes in any order", fresh=True, vendor="of 2018: -7 after a change (NET-2018.md 4.2)"
)
def _(world: World) -> None:
    world.begin()
    assert [call(world, mode=mode) for mode in (1, 0, 0, 1, 2, 0)] == [1, 2, 3, 4, 5, 6]


# ---- 7.2, 7.3 ----------------------------------------------------------------------------


@TABLE.row("7.2", "golden flow_ack_ok then golden flow_ret", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    assert call(world) == 1
    received(peer)
    frame = golden("flow_ack_ok")
    peer.send(frame)
    world.library.expect("flow_ack", ARG, 3, frame[:20], b"Project1", 1, 1, b"")
    frame = golden("flow_ret")
    peer.send(frame)
    world.library.expect("flow_ret", ARG, 3, frame[:20], b"Project1", 1, 1, b'["done",0]')
    world.nothing_called()


@TABLE.row("7.2", "golden flow_ack_error", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    assert [call(world), call(world)] == [1, 2]
    received(peer)
    received(peer)
    frame = golden("flow_ack_error")
    peer.send(frame)
    world.library.expect("flow_ack", ARG, 3, frame[:20], b"Project1", 2, -8, b"no such flow")


@TABLE.row("7.2", "a body of less than 51 bytes is refused")
def _(world: World) -> None:
    number = call(world)
    received(world.peer)
    body = FlowAck(b"", number, 1).encode()
    assert len(body) == 51
    world.peer.system(Cmd.FLOW_ACK, body[:50])
    world.peer.system(Cmd.FLOW_ACK, b"")
    world.nothing_called()
    finish(world, world.peer, number)


@TABLE.row("7.3", "a body of less than 47 bytes is refused")
def _(world: World) -> None:
    number = call(world)
    received(world.peer)
    body = FlowReturn(b"", number).encode()
    assert len(body) == 47
    world.peer.system(Cmd.FLOW_RETURN, body[:46])
    world.peer.system(Cmd.FLOW_RETURN, b"")
    world.nothing_called()
    finish(world, world.peer, number)


@TABLE.row("7.2", "its first byte project channel and length are not looked at")
def _(world: World) -> None:
    number = call(world)
    received(world.peer)
    body = bytearray(FlowAck(b"x" * 31, number, 77, b"text", invoker_ch=5).encode())
    body[0], body[45:49] = 99, b"\xff\xff\xff\x7f"
    world.peer.system(Cmd.FLOW_ACK, bytes(body))
    world.library.expect("flow_ack", ARG, 3, ..., b"Project1", number, 77, b"text")
    body = bytearray(FlowReturn(b"x" * 31, number, b"text", invoker_ch=5).encode())
    body[0], body[41:45] = 99, b"\xff\xff\xff\x7f"
    world.peer.system(Cmd.FLOW_RETURN, bytes(body))
    world.library.expect("flow_ret", ARG, 3, ..., b"Project1", number, 1, b"text")


@TABLE.row("7.2", "a text without its end is cut", vendor="reads on behind the frame")
def _(world: World) -> None:
    number = call(world)
    received(world.peer)
    world.peer.system(Cmd.FLOW_ACK, FlowAck(b"", number, 1, b"mmm").encode()[:-2] + b"mm")
    world.library.expect("flow_ack", ARG, 3, ..., ..., number, 1, b"mmmmm")
    world.peer.system(Cmd.FLOW_RETURN, FlowReturn(b"", number, b"rrr").encode()[:-2] + b"rr")
    world.library.expect("flow_ret", ARG, 3, ..., ..., number, 1, b"rrrrr")


@TABLE.row("7.3", "texts come byte for byte and long")
def _(world: World) -> None:
    number = call(world)
    received(world.peer)
    text = bytes(range(1, 256)) * 400
    ack(world.peer, number, -0x80000000, text)
    world.library.expect("flow_ack", ARG, 3, ..., ..., number, -0x80000000, text)
    give_back(world.peer, number, text)
    world.library.expect("flow_ret", ARG, 3, ..., ..., number, 1, text)


# ---- 7.4 ---------------------------------------------------------------------------------


@TABLE.row("7.4", "matching is by id alone")
def _(world: World) -> None:
    number = call(world)
    received(world.peer)
    stranger = Address(33, 200, 99)
    for cmd, body in (
        (Cmd.FLOW_ACK, FlowAck(b"?", number, 1).encode()),
        (Cmd.FLOW_RETURN, FlowReturn(b"?", number).encode()),
    ):
        dst = Address(44, 100, 99)
        world.peer.send(encode_frame(stranger, dst, cmd, CmdType.SYSTEM, body))
    world.library.expect("flow_ack", ARG, 3, ..., b"Project1", number, 1)
    world.library.expect("flow_ret", ARG, 3, ..., b"Project1", number, 1)


@TABLE.row("7.4", "the filter applies to answers")
def _(world: World) -> None:
    number = call(world)
    received(world.peer)
    body = FlowAck(b"?", number, 1).encode()
    dst = Address(-1, -1, 99)
    world.peer.send(encode_frame(IPSC, dst, Cmd.FLOW_ACK, CmdType.SYSTEM, body))
    world.nothing_called()
    finish(world, world.peer, number)


@TABLE.row("7.4", "an answer on another client's link is the caller's", fresh=True)
def _(world: World) -> None:
    caller, other = world.begin(), world.join(4, 18)
    number = call(world)
    received(caller)
    ack(other, number)
    world.library.expect("flow_ack", ARG, 3, ..., b"Project1", number, 1)
    give_back(other, number)
    world.library.expect("flow_ret", ARG, 3, ..., b"Project1", number, 1)


@TABLE.row("7.4", "a return may come before its ack")
def _(world: World) -> None:
    number = call(world)
    received(world.peer)
    give_back(world.peer, number)
    world.library.expect("flow_ret", ARG, 3, ..., ..., number, 1)
    ack(world.peer, number)
    world.library.expect("flow_ack", ARG, 3, ..., ..., number, 1)


@TABLE.row("7.4", "repeated and unknown answers are swallowed")
def _(world: World) -> None:
    number = call(world)
    received(world.peer)
    finish(world, world.peer, number)
    for wrong in (number, number + 1000, 0, -1):
        ack(world.peer, wrong)
        give_back(world.peer, wrong)
    world.nothing_called()


@TABLE.row("7.4", "answers of many calls in any order")
def _(world: World) -> None:
    numbers = [call(world) for _ in range(200)]
    for _number in numbers:
        world.peer.frame()
    time.sleep(DELAY)
    for number in reversed(numbers):
        give_back(world.peer, number, b"%d" % number)
        world.library.expect("flow_ret", ARG, 3, ..., ..., number, 1, b"%d" % number)
    for number in numbers:
        ack(world.peer, number)
        world.library.expect("flow_ack", ARG, 3, ..., ..., number, 1)


@TABLE.row("7.4", "answers that come at once are not lost", vendor="loses 1 to 15 in a hundred")
def _(world: World) -> None:
    for _round in range(300):
        number = call(world)
        world.peer.frame()
        finish(world, world.peer, number)


@TABLE.row("7.4", "a negative ack does not cancel the return", slow=True)
def _(world: World) -> None:
    peer = world.begin()
    start = time.monotonic()
    number = call(world, timeout=5000)
    received(peer)
    ack(peer, number, -8)
    world.library.expect("flow_ack", ARG, 3, ..., ..., number, -8)
    event = world.library.expect("flow_ret", ARG, 3, None, b"Project1", number, -25, b"")
    assert event.at - start > 4.8


@TABLE.row("7.4", "loss of the link does not cancel", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    number = call(world)
    received(peer)
    peer.close()
    world.library.expect("disconnect", ARG, 3)
    again = world.server.peer()
    again.accept()
    world.library.expect("connection", ARG, 3)
    finish(world, again, number)


@TABLE.row("7.4", "without an ack callback no ack is waited for", slow=True)
def _(world: World) -> None:
    connection, data, ret = map(Hook, ("connection", "data", "flow_ret"))
    world.library.call("SetCallBackFn", connection, data, None, ret, None, ARG)
    world.library.call("Init", 19)
    peer = world.join()
    number = call(world, timeout=1500)
    received(peer)
    # The ack would have timed out with it.
    world.library.expect("flow_ret", ARG, 3, None, b"Project1", number, -25, b"")
    world.watch(1)
    world.settle()


@TABLE.row("7.4", "without a return callback no return is waited for", slow=True)
def _(world: World) -> None:
    world.library.call("SetCallBackFn", Hook("connection"), Hook("data"), None, None, None, ARG)
    world.library.call("SetCallBackFnEx", b"smartbus_invokeflow_ack_cb", Hook("flow_ack"))
    world.library.call("Init", 19)
    peer = world.join()
    number = call(world, timeout=1500)
    received(peer)
    world.library.expect("flow_ack", ARG, 3, None, b"Project1", number, -25, b"")
    world.watch(1)
    world.settle()


#: Time-out argument, and when the ack and the return time out (ms).
TIMES = [
    (0, 1000, 0),
    (1, 1000, 1),
    (300, 1000, 300),
    (1000, 1000, 1000),
    (1500, 1500, 1500),
    (3000, 3000, 3000),
    (6000, 5000, 6000),
    (-5, 1000, 0),
]


@TABLE.row("7.4", "when acks and returns time out", slow=True)
def _(world: World) -> None:
    peer = world.begin()
    due: dict[tuple[str, int], float] = {}
    for timeout, ack_after, return_after in TIMES:
        start = time.monotonic()
        number = call(world, timeout=timeout)
        assert number > 0
        peer.frame()
        if timeout > 0 or world.kind == "core":  # NET-2018.md 4.3: else it waits for nothing
            due["flow_ack", number] = start + ack_after / 1000
            due["flow_ret", number] = start + return_after / 1000
    caller = world.library.command("facts")[1]
    while due:
        event = world.library.next()
        arg, client, head, project, number, code, text = event.values
        assert (arg, client, head, project, code, text) == (ARG, 3, None, b"Project1", -25, b"")
        # Checked every 100 ms; late only if the machine is.
        assert -0.15 < event.at - due.pop((event.kind, number)) < 20
        assert event.thread != caller
    world.settle()


@TABLE.row("7.4", "an answer after the time-out is swallowed", slow=True)
def _(world: World) -> None:
    peer = world.begin()
    number = call(world, timeout=300)
    received(peer)
    world.library.expect("flow_ret", ARG, 3, None, b"Project1", number, -25, b"")
    world.library.expect("flow_ack", ARG, 3, None, b"Project1", number, -25, b"")
    ack(peer, number)
    give_back(peer, number)
    world.nothing_called()


@TABLE.row("7.4", "time-outs are the caller's also while it is not connected", slow=True)
def _(world: World) -> None:
    world.begin()
    peer = world.join(4, 18)
    number = call(world, client=4, timeout=1000)
    received(peer)
    world.server.stop()
    peer.close()
    world.library.expect("disconnect", ARG, 4)
    kinds: set[str] = set()
    while len(kinds) < 2:
        event = world.library.next()
        if event.kind != "connection":
            assert event.values[1:] == (4, None, b"Project1", number, -25, b"")
            kinds.add(event.kind)
    assert kinds == {"flow_ack", "flow_ret"}


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
