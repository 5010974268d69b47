"""NET.md 7.1 (with NET-2018.md 4): calling flows."""

from __future__ import annotations

from itertools import chain

from smartbus.wire import FlowCall
from tests.abi.flows import LONG, ack, call, give_back, received
from tests.abi.golden import comparable, golden
from tests.abi.library import Hook
from tests.abi.outcomes import Outcomes
from tests.abi.table import Case, Table
from tests.abi.world import ARG, World

TABLE = Table("NET.md")

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
    world.nothing_called()  # the vendor's forgets the wait when that callback has returned
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


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
