"""NET.md 9.1 and 9.2: Init and Release, CreateConnect."""

from __future__ import annotations

from typing import Any

from smartbus.wire import Cmd
from tests.abi.calls import CALL, NOTIFY, PING, SEND
from tests.abi.library import FIVE, Hook
from tests.abi.outcomes import Outcomes
from tests.abi.server import UNIT
from tests.abi.table import Case, Table
from tests.abi.world import ARG, World

TABLE = Table("NET.md")


# ---- 9.1 ---------------------------------------------------------------------------------


def initialises(name: str, *function: Any) -> None:
    @TABLE.row("9.1", name, fresh=True)
    def _(world: World) -> None:
        for unit in (0, 15, 48, 128, 255):
            assert world.library.call(function[0], unit, *function[1:]) == -12
            assert world.library.call(*SEND) == -14
        for unit in (16, 47, 19, 19):
            assert world.library.call(function[0], unit, *function[1:]) == 0
        assert world.library.call(*SEND) == -9
        assert world.library.call(function[0], 15, *function[1:]) == -12
        assert world.library.call("SendData", 3, 1, 3, 19, 4, 5, b"", 0) == -11  # still 19


initialises("Init takes 16 to 47", "Init")
initialises("InitEx with NULL is Init", "InitEx", None)
initialises("InitEx with an empty text is Init", "InitEx", b"")


def understands(params: bytes) -> None:
    @TABLE.row("9.1", f"InitEx {params.decode()}", fresh=True)
    def _(world: World) -> None:
        world.library.hook_all(ARG)
        assert world.library.call("InitEx", 15, params) == -12
        assert world.library.call("InitEx", 19, params) == 0
        peer = world.join()
        assert world.library.call(*SEND) == 0
        assert peer.frame().data == b"sent"


for some_params in (
    b"NewLoop=1",
    b"TraceHeartbeat=0",
    b" NewLoop = 0 ; TraceHeartbeat = 0 ",
    b"Unknown=7;;=;novalue;newloop=1",
    b";" * 300 + b"x" * 3000 + b"=" + b"y" * 3000,
):
    understands(some_params[:60] if len(some_params) < 60 else some_params)


@TABLE.row("9.1", "Init again changes the unit of all later frames", slow=True)
def _(world: World) -> None:
    peer = world.begin()
    assert world.library.call("Init", 33) == 0
    for call in (SEND, PING, CALL, NOTIFY):
        assert world.library.call(*call) >= 0
        assert peer.frame().src == (33, 3, 18)
    count = len(peer.beats)
    world.until(lambda: len(peer.beats) > count, "a heartbeat")
    assert peer.beats[-1][1].src == (33, 3, 18)
    assert world.library.call("SendData", 3, 1, 3, 33, 4, 5, b"", 0) == -11
    assert world.library.call("SendData", 3, 1, 3, 19, 4, 5, b"", 0) == 0


@TABLE.row("9.1", "Release before Init and without connections", fresh=True)
def _(world: World) -> None:
    world.library.call("Release")
    world.library.call("Release")
    assert world.library.call("Init", 19) == 0
    assert world.library.call(*SEND) == -9
    world.library.call("Release")
    assert world.library.call(*SEND) == -14
    assert world.library.call("Init", 20) == 0
    assert world.library.call(*SEND) == -11


CRASHES = "crashes soon after a Release with connections"


@TABLE.row("9.1", "Release closes quietly and Init works again", fresh=True, vendor=CRASHES)
def _(world: World) -> None:
    for _life in range(3):
        peer = world.begin()
        facts = world.library.command("facts")
        world.library.call("Release")
        peer.ended()
        for call in (SEND, PING, CALL, NOTIFY):
            assert world.library.call(*call) == -14
        assert world.library.command("facts")[2] < facts[2]  # threads
        world.settle()
        del world.server


@TABLE.row("9.1", "Release sends what was queued", fresh=True, vendor=CRASHES)
def _(world: World) -> None:
    peer = world.begin()
    (results,) = world.library.command("call_many", 1, 1000, *SEND)
    world.library.call("Release")
    assert results == [0] * 1000
    assert [peer.frame().data for _ in results] == [b"sent"] * 1000


@TABLE.row("9.1", "Release while it connects and waits", fresh=True, vendor=CRASHES)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    unanswered, nobody = world.serve(), world.serve()
    nobody.stop()
    world.create(unanswered, 1)
    world.create(nobody, 2)
    unanswered.peer().registration()
    world.library.expect("connection", ARG, 2, -1, -20)
    world.library.call("Release")
    world.watch(2.5)  # the next attempt would be due
    world.settle()


@TABLE.row("9.1", "Release in a callback", fresh=True, vendor=CRASHES)
def _(world: World) -> None:
    peer = world.begin()
    world.library.command("inside", "data", ("Release",), SEND)
    peer.data(b"go")
    world.library.expect("data", ARG, 3, ..., b"go")
    assert world.library.expect("inside").values == (None, -14)
    peer.ended()
    world.settle()


@TABLE.row("9.1", "Release in a time-out", fresh=True, vendor=CRASHES)
def _(world: World) -> None:
    peer = world.begin()
    world.library.command("inside", "flow_ret", ("Release",), SEND)
    number = world.library.call(*CALL[:-2], 10, b"[]")
    world.library.expect("flow_ret", ARG, 3, None, b"p", number, -25)
    assert world.library.expect("inside").values == (None, -14)
    assert peer.frame().cmd == Cmd.FLOW_CALL
    peer.ended()
    world.settle()


@TABLE.row("9.1", "waiting flow calls end silently with Release", slow=True, vendor=CRASHES)
def _(world: World) -> None:
    peer = world.begin()
    assert world.library.call(*CALL[:-2], 300, b"[]") == 1
    peer.frame()
    world.library.call("Release")
    world.watch(1.5)
    world.settle()


@TABLE.row("9.1", "callbacks outlive Release", fresh=True, vendor=CRASHES)
def _(world: World) -> None:
    world.begin()
    world.library.call("Release")
    world.library.call("SetCallBackFn", *(Hook(hook.kind, "second") for hook in FIVE), 0x77)
    world.library.call("Init", 19)
    del world.server
    peer = world.join()
    peer.data(b"x")
    event = world.library.expect("data", 0x77, 3)
    assert event.label == ""


# ---- 9.2 ---------------------------------------------------------------------------------


def connect(world: World, **changes: Any) -> Any:
    """Call CreateConnect; nobody listens where it goes."""
    values = {
        "client": 3,
        "kind": 18,
        "ip": b"127.0.0.1",
        "port": 1,
        "slave_ip": None,
        "slave_port": 0,
        **changes,
    }
    return world.library.call("CreateConnect", *values.values(), b"u", b"p", b"i")


@TABLE.row("9.2", "before Init", fresh=True, vendor="crashes")
def _(world: World) -> None:
    assert connect(world) == -14
    assert connect(world, kind=1) == -14


@TABLE.row("9.2", "returns 0 also when nobody listens", fresh=True)
def _(world: World) -> None:
    world.library.call("Init", 19)
    assert connect(world) == 0


@TABLE.row("9.2", "1 client type below 2", fresh=True)
def _(world: World) -> None:
    world.library.call("Init", 19)
    for kind in (1, 0, -1, -0x80000000):
        assert connect(world, kind=kind) == -17
    assert connect(world, kind=1, ip=None) == -17
    assert connect(world, kind=1, port=0) == -17
    assert connect(world, kind=2) == 0
    assert connect(world, kind=1) == -17  # before 4


@TABLE.row("9.2", "2 master address NULL or empty", fresh=True)
def _(world: World) -> None:
    world.library.call("Init", 19)
    assert connect(world, ip=None) == -1
    assert connect(world, ip=b"") == -1


@TABLE.row("9.2", "3 master port 0 or 65535", fresh=True)
def _(world: World) -> None:
    world.library.call("Init", 19)
    assert connect(world, port=0) == -1
    assert connect(world, port=65535) == -1
    assert connect(world, port=65534) == 0


@TABLE.row("9.2", "4 client id in use", fresh=True)
def _(world: World) -> None:
    world.library.call("Init", 19)
    assert connect(world) == 0
    assert connect(world) == -1
    assert connect(world, kind=19, port=2) == -1
    assert connect(world, client=4) == 0


@TABLE.row("9.2", "a refused client id stays in use", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    server = world.serve()
    assert world.create(server) == 0
    server.peer().accept(-4)
    world.library.expect("connection", ARG, 3, UNIT, -4)
    assert world.create(server) == -1
    assert world.create(server, 4) == 0
    server.peer().accept()
    world.library.expect("connection", ARG, 4, UNIT, 0)


ANYTHING = "of 2018 takes it as 0.0.0.0, those of 2015 agree"


@TABLE.row("9.2", "only dotted IPv4", fresh=True, vendor=ANYTHING)
def _(world: World) -> None:
    world.library.call("Init", 19)
    for ip in (b"localhost", b"::1", b"256.1.1.1", b"1.2.3", b"127.0.0.1 ", b"no.such.host"):
        assert connect(world, ip=ip) == -1
        assert connect(world, slave_ip=ip, slave_port=1) == -1
    # A replacement need not block the id.
    assert connect(world) == 0


@TABLE.row("9.2", "client ids 0 and 255", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    for client in (0, 255):
        peer = world.join(client)
        assert peer.client == (19, client, 18)
        peer.data(b"x")
        world.library.expect("data", ARG, client, ..., b"x")


@TABLE.row("9.2", "the client id is its low byte", fresh=True)
def _(world: World) -> None:
    # The C function takes an unsigned char; 3 + 256 is what a careless caller passes.
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    assert world.join(3 + 256 - 256).client == (19, 3, 18)
    assert connect(world, client=3 + 256) == -1


@TABLE.row("9.2", "only the low byte of the type travels", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    for client, kind, low in ((1, 2, 2), (2, 255, 255), (3, 300, 44), (4, 256, 0)):
        assert world.join(client, kind).client == (19, client, low)


@TABLE.row("9.2", "48 client ids", fresh=True, vendor="of 2018: 16 and then -1, of 2015: no check")
def _(world: World) -> None:
    world.library.call("Init", 19)
    assert [connect(world, client=client) for client in range(48)] == [0] * 48
    assert connect(world, client=48) == -21
    assert connect(world, client=47) == -1


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
