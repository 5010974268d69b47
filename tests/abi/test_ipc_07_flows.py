"""IPC.md 5.2, 5.3 and 7.3: flow calls, their acknowledgements, results and time-outs."""

from __future__ import annotations

import time
from typing import Any

from smartbus.wire import Cmd
from tests.abi.ipc import ME, connect, flow_ack, flow_result, frame, table
from tests.abi.library import FIVE, FLOW_ACK, Event, Hook
from tests.abi.outcomes import Outcomes
from tests.abi.server import UNIT
from tests.abi.table import Case
from tests.abi.world import ARG, World

TABLE = table()

#: Time-outs under which nothing times out while a row runs (ms); an ack is waited for 5 s.
LONG = 600_000
#: Time-outs are looked for every 100 ms.
GRAIN = 0.11


def call(world: World, mode: int = 0, timeout: int = LONG, project: bytes | None = b"P") -> int:
    """Call a flow; its invoke id."""
    arguments = (UNIT, 7, project, b"F", mode, timeout, b"[]")
    number: Any = world.library.call("RemoteInvokeFlow", *arguments)
    assert number > 0
    assert world.peer.frame().cmd == Cmd.FLOW_CALL
    return int(number)


def acked(
    world: World, number: int, code: int = 1, text: bytes = b"", project: bytes = b"P"
) -> None:
    """Acknowledge; the callback comes."""
    world.peer.system(Cmd.FLOW_ACK, flow_ack(number, code, text))
    event = world.library.expect("flow_ack", ARG, ME.client_id, ..., project, number, code, text)
    assert event.values[2][2:4] == bytes((Cmd.FLOW_ACK, 1))


def returned(world: World, number: int, text: bytes = b"[]", project: bytes = b"P") -> None:
    """Return; the callback comes."""
    world.peer.system(Cmd.FLOW_RETURN, flow_result(number, text))
    event = world.library.expect("flow_ret", ARG, ME.client_id, ..., project, number, 1, text)
    assert event.values[2][2:4] == bytes((Cmd.FLOW_RETURN, 1))


def timed_out(world: World, *which: tuple[str, int]) -> list[Event]:
    """Wait for these time-outs, in any order."""
    events = [world.library.next() for _ in which]
    assert sorted((event.kind, event.values[4]) for event in events) == sorted(which)
    for event in events:
        assert event.values[:4] == (ARG, ME.client_id, None, b"P")
        assert event.values[5:] == (-25, b"")
    return events


# ---- 5.2 Acknowledge -----------------------------------------------------------------------


@TABLE.row("5.2", "the callback gets the call's project, the ack and the message")
def _(world: World) -> None:
    for code in (1, 0, -8, 5, 0x7FFFFFFF, -0x80000000):
        number = call(world, 1, project=b"Project.Main")
        acked(world, number, code, b"\xc4\xe3 message", b"Project.Main")


@TABLE.row("5.2", "the golden acknowledgements")
def _(world: World) -> None:
    for name, code, text in (
        ("flow_ack_ok", 1, b"started"),
        ("flow_ack_refused", -8, b"no such project"),
    ):
        number = call(world, 1)
        raw = bytearray(frame(name))
        raw[20 + 33 : 20 + 37] = number.to_bytes(4, "little")
        world.peer.send(bytes(raw))
        head = bytes(raw[:20])
        world.library.expect("flow_ack", ARG, ME.client_id, head, b"P", number, code, text)


@TABLE.row("5.2", "fewer than 51 bytes are dropped with a trace", fresh=True)
def _(world: World) -> None:
    world.library.call("SetTraceStr", None, Hook("error"))
    world.begin()
    number = call(world, 1)
    data = flow_ack(number, 1, b"")
    assert len(data) == 51
    for size in (0, 33, 37, 50):
        world.peer.system(Cmd.FLOW_ACK, data[:size])
        world.library.expect_trace("error", b"ack of %d bytes" % size)
    world.nothing_called()
    acked(world, number)


@TABLE.row("5.2", "the channel and the length of the message are not read")
def _(world: World) -> None:
    for channel, length in ((0, 0), (5, -1), (-1, 1_000_000)):
        number = call(world, 1)
        data = bytearray(flow_ack(number, 1, b"whole message"))
        data[0] = 99
        data[37:41] = channel.to_bytes(4, "little", signed=True)
        data[45:49] = length.to_bytes(4, "little", signed=True)
        world.peer.system(Cmd.FLOW_ACK, bytes(data))
        world.library.expect("flow_ack", ..., ..., ..., b"P", number, 1, b"whole message")


@TABLE.row("5.2", "a message without a NUL ends with the data")
def _(world: World) -> None:
    number = call(world, 1)
    world.peer.system(Cmd.FLOW_ACK, flow_ack(number, 1, b"open end")[:-2])
    world.peer.data(b"behind it")
    world.library.expect("flow_ack", ..., ..., ..., b"P", number, 1, b"open end")
    world.library.expect("data", ..., ..., ..., b"behind it")


# ---- 5.3 Result ----------------------------------------------------------------------------


@TABLE.row("5.3", "the callback gets the call's project, 1 and the result")
def _(world: World) -> None:
    for text in (b"", b"[]", b'["\xc4\xe3",1]', b"no JSON", b"x" * 100_000):
        number = call(world, project=b"Project.Main")
        acked(world, number, project=b"Project.Main")
        returned(world, number, text, b"Project.Main")


@TABLE.row("5.3", "the golden result")
def _(world: World) -> None:
    number = call(world)
    acked(world, number)
    raw = bytearray(frame("flow_ret"))
    raw[20 + 33 : 20 + 37] = number.to_bytes(4, "little")
    world.peer.send(bytes(raw))
    world.library.expect("flow_ret", ARG, ..., bytes(raw[:20]), b"P", number, 1, b'["done",3]')


@TABLE.row("5.3", "fewer than 47 bytes are dropped with a trace", fresh=True)
def _(world: World) -> None:
    world.library.call("SetTraceStr", None, Hook("error"))
    world.begin()
    number = call(world)
    data = flow_result(number, b"")
    assert len(data) == 47
    for size in (0, 33, 37, 46):
        world.peer.system(Cmd.FLOW_RETURN, data[:size])
        world.library.expect_trace("error", b"return of %d bytes" % size)
    world.nothing_called()
    returned(world, number)


# ---- 7.3 What is expected ------------------------------------------------------------------


@TABLE.row("7.3", "modes 0 and 2 expect a result")
def _(world: World) -> None:
    for mode in (0, 2, 256, 258):  # the low byte counts
        number = call(world, mode)
        acked(world, number)
        returned(world, number)


@TABLE.row("7.3", "other modes expect none, it is dropped")
def _(world: World) -> None:
    for mode in (1, 3, 255, -1):
        number = call(world, mode)
        world.peer.system(Cmd.FLOW_RETURN, flow_result(number, b"[]"))
        acked(world, number)
        world.peer.system(Cmd.FLOW_RETURN, flow_result(number, b"[]"))
    world.nothing_called()


@TABLE.row("7.3", "a result may come before the acknowledgement")
def _(world: World) -> None:
    number = call(world)
    returned(world, number)
    acked(world, number)


@TABLE.row("7.3", "each comes once, unknown ids are dropped")
def _(world: World) -> None:
    number = call(world)
    for wrong in (number + 1000, 0, -1, -0x80000000):
        world.peer.system(Cmd.FLOW_ACK, flow_ack(wrong, 1, b""))
        world.peer.system(Cmd.FLOW_RETURN, flow_result(wrong, b"[]"))
    world.nothing_called()
    acked(world, number)
    returned(world, number)
    world.peer.system(Cmd.FLOW_ACK, flow_ack(number, 1, b""))
    world.peer.system(Cmd.FLOW_RETURN, flow_result(number, b"[]"))
    world.nothing_called()


@TABLE.row("7.3", "many calls at a time are told apart by their ids")
def _(world: World) -> None:
    numbers = [call(world, project=b"project %d" % index) for index in range(100)]
    for index, number in reversed(list(enumerate(numbers))):
        returned(world, number, b"[%d]" % index, b"project %d" % index)
    for index, number in enumerate(numbers):
        acked(world, number, index, b"", b"project %d" % index)


@TABLE.row("7.3", "the project in the callbacks has 31 characters")
def _(world: World) -> None:
    number = call(world, project=b"p" * 40)
    acked(world, number, project=b"p" * 31)
    returned(world, number, project=b"p" * 31)
    number = call(world, project=None)
    acked(world, number, project=b"")
    returned(world, number, project=b"")


# ---- 7.3 Time-outs -------------------------------------------------------------------------


def ack_timeout(timeout: int, seconds: float) -> None:
    @TABLE.row("7.3", f"the ack of a call with {timeout} ms is waited for {seconds} s", slow=True)
    def _(world: World) -> None:
        world.begin()
        began = time.monotonic()
        number = call(world, 1, timeout)
        (event,) = timed_out(world, ("flow_ack", number))
        assert seconds - 0.05 <= event.at - began
        world.peer.system(Cmd.FLOW_ACK, flow_ack(number, 1, b""))
        world.nothing_called()  # it is too late now


ack_timeout(-5, 1)
ack_timeout(0, 1)
ack_timeout(999, 1)
ack_timeout(2500, 2.5)
ack_timeout(5001, 5)
ack_timeout(LONG, 5)


def result_timeout(timeout: int, seconds: float) -> None:
    @TABLE.row("7.3", f"the result of a call with {timeout} ms is waited for as long", slow=True)
    def _(world: World) -> None:
        world.begin()
        began = time.monotonic()
        number = call(world, 0, timeout)
        world.peer.system(Cmd.FLOW_ACK, flow_ack(number, 1, b""))
        events = {event.kind: event for event in (world.library.next(), world.library.next())}
        assert events["flow_ack"].values[4:6] == (number, 1)
        assert events["flow_ret"].values[2:] == (None, b"P", number, -25, b"")
        assert seconds - 0.05 <= events["flow_ret"].at - began
        world.peer.system(Cmd.FLOW_RETURN, flow_result(number, b"[]"))
        world.nothing_called()


for timeout, seconds in ((-1, 0), (0, 0), (300, 0.3), (1500, 1.5), (6000, 6)):
    result_timeout(timeout, seconds)


@TABLE.row("7.3", "a refusal does not cancel the wait for the result", slow=True)
def _(world: World) -> None:
    world.begin()
    number = call(world, 0, 500)
    acked(world, number, -8, b"no such flow")
    timed_out(world, ("flow_ret", number))


@TABLE.row("7.3", "both waits run independently", slow=True)
def _(world: World) -> None:
    world.begin()
    number = call(world, 2, 300)
    first, second = timed_out(world, ("flow_ret", number), ("flow_ack", number))
    assert first.kind == "flow_ret" or second.at - first.at < GRAIN  # on a machine that stood still


def without(name: str, ack: bool, result: bool) -> None:
    """What has no callback is not waited for."""

    @TABLE.row("7.3", name, slow=True)
    def _(world: World) -> None:
        five = [*FIVE]
        slots: list[Hook | None] = [*five[:3], five[3] if result else None, five[4]]
        world.library.call("SetCallBackFn", *slots, ARG)
        if ack:
            world.library.call("SetCallBackFnEx", *FLOW_ACK)
        assert world.library.call("Init", ME.client_type, ME.client_id) == 0
        world.server = world.serve()
        connect(world)
        world.peer = world.server.peer()
        world.peer.accept()
        world.library.expect("connection")
        number = call(world, 0, 0)
        timed_out(world, *[("flow_ack", number)] * ack, *[("flow_ret", number)] * result)
        world.watch(1.5)
        world.settle()


without("without its callback no acknowledgement is waited for", ack=False, result=True)
without("without its callback no result is waited for", ack=True, result=False)
without("without both nothing is waited for", ack=False, result=False)


@TABLE.row("7.3", "Release ends all waits without a callback", slow=True)
def _(world: World) -> None:
    world.begin()
    for _ in range(3):
        call(world, 0, 1200)
    world.library.call("Release")
    world.watch(2)
    world.settle()


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
