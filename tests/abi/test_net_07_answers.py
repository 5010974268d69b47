"""NET.md 7.2 to 7.4 (with NET-2018.md 4): acks, returns and time-outs."""

from __future__ import annotations

import time

from smartbus.wire import Address, Cmd, CmdType, FlowAck, FlowReturn, encode_frame
from tests.abi.flows import DELAY, IPSC, LONG, ack, call, finish, give_back, received
from tests.abi.golden import golden
from tests.abi.library import Hook
from tests.abi.outcomes import Outcomes
from tests.abi.table import Case, Table
from tests.abi.world import ARG, World

TABLE = Table("NET.md")

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


@TABLE.row("7.4", "an ack is waited for 5 s at most", slow=True)
def _(world: World) -> None:
    peer = world.begin()
    start = time.monotonic()
    number = call(world, timeout=LONG)
    received(peer)
    event = world.library.expect("flow_ack", ARG, 3, None, b"Project1", number, -25, b"")
    assert event.at - start > 4.85  # not 600 s, which the row would not wait for
    give_back(peer, number)
    world.library.expect("flow_ret", ARG, 3, ..., b"Project1", number, 1, b"[]")


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
