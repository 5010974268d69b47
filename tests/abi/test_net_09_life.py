"""NET.md 9.1, 9.2, 9.5 and 9.6: Init and Release, CreateConnect, threads, callbacks."""

from __future__ import annotations

from typing import Any

from smartbus.wire import Cmd, FlowAck, FlowReturn
from tests.abi.golden import golden
from tests.abi.library import FIVE, FLOW_ACK, Hook
from tests.abi.outcomes import Outcomes
from tests.abi.server import UNIT
from tests.abi.table import Case, Table
from tests.abi.world import ARG, World

TABLE = Table("NET.md")

SEND = ("SendData", 3, 1, 3, 20, 4, 5, b"sent", 4)
CALL = ("RemoteInvokeFlow", 3, 0, 7, b"p", b"f", 0, 600_000, b"[]")
NOTIFY = ("SendNotify", 3, 0, 7, b"p", b"t", 0, 1, b"text")
PING = ("SendPing", 3, 20, 4, 5, b"ping", 4)

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


# ---- 9.5 ---------------------------------------------------------------------------------


@TABLE.row("9.5", "all callbacks of the network come on one thread not the caller's", fresh=True)
def _(world: World) -> None:
    first = world.begin()
    assert world.create(world.server, 4) == 0
    second = world.server.peer()
    second.accept()
    threads = {world.library.expect("connection").thread}
    for peer in (first, second):
        peer.data(b"x")
        threads.add(world.library.expect("data").thread)
        peer.send(golden("global_connect_existing"))
        threads.add(world.library.expect("global").thread)
    number = world.library.call(*CALL)
    first.frame()
    world.watch(0.02)  # the vendor's loses answers that come at once
    first.system(Cmd.FLOW_ACK, FlowAck(b"", number, 1).encode())
    threads.add(world.library.expect("flow_ack").thread)
    first.system(Cmd.FLOW_RETURN, FlowReturn(b"", number).encode())
    threads.add(world.library.expect("flow_ret").thread)
    first.close()
    threads.add(world.library.expect("disconnect").thread)
    assert len(threads) == 1
    assert world.library.command("facts")[1] not in threads


def may_call(kind: str, name: str) -> None:
    """Every function works within a callback."""

    @TABLE.row("9.5", f"the library may be called in {name}", fresh=True)
    def _(world: World) -> None:
        peer = world.begin()
        world.library.command("inside", kind, SEND, PING, CALL, NOTIFY)
        if kind == "connection":
            peer.ack()
        elif kind == "data":
            peer.data(b"x")
        elif kind == "global":
            peer.send(golden("global_connect_existing"))
        elif kind in ("flow_ack", "flow_ret"):
            number = world.library.call(*CALL)
            peer.frame()
            world.watch(0.02)
            body = FlowAck(b"", number, 1) if kind == "flow_ack" else FlowReturn(b"", number)
            peer.system(Cmd.FLOW_ACK if kind == "flow_ack" else Cmd.FLOW_RETURN, body.encode())
        world.library.expect(kind)
        sent, pinged, called, notified = world.library.expect("inside").values
        assert (sent, pinged, notified) == (0, 0, 1)
        assert called > 0
        commands = [peer.frame().cmd for _ in range(4)]
        assert commands == [1, Cmd.PING, Cmd.FLOW_CALL, Cmd.NOTIFY]


for some_kind in ("connection", "data", "global", "flow_ack", "flow_ret"):
    may_call(some_kind, f"the {some_kind.replace('_', ' ')} callback")


@TABLE.row("9.5", "the library may be called in a time-out", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    world.library.command("inside", "flow_ret", SEND)
    number = world.library.call(*CALL[:-2], 10, b"[]")
    peer.frame()
    world.library.expect("flow_ret", ARG, 3, None, b"p", number, -25)
    assert world.library.expect("inside").values == (0,)
    assert peer.frame().data == b"sent"
    world.library.expect("flow_ack", ARG, 3, None, b"p", number, -25)


@TABLE.row("9.5", "in a refusal it returns -2", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    server = world.serve()
    world.create(server)
    world.library.command("inside", "connection", SEND)
    server.peer().accept(-4)
    world.library.expect("connection", ARG, 3, UNIT, -4)
    assert world.library.expect("inside").values == (-2,)


@TABLE.row("9.5", "in the disconnect callback it is sent after the next registration", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    world.library.command("inside", "disconnect", SEND, CALL)
    peer.close()
    world.library.expect("disconnect", ARG, 3)
    sent, called = world.library.expect("inside").values
    assert (sent, called) == (0, 1)
    again = world.server.peer()
    again.registration()
    assert not again.frames
    again.ack()
    world.library.expect("connection", ARG, 3, UNIT, 0)
    assert again.frame().data == b"sent"
    assert again.frame().cmd == Cmd.FLOW_CALL


@TABLE.row("9.5", "in the callback of a failed connect", fresh=True, vendor="deadlocks for good")
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    nobody = world.serve()
    nobody.stop()
    server = world.serve()
    other = ("CreateConnect", 4, 18, server.host, server.port, None, 0, None, None, None)
    world.library.command("inside", "connection", SEND, CALL, NOTIFY, other)
    world.create(nobody)
    world.library.expect("connection", ARG, 3, -1, -20)
    assert world.library.expect("inside").values == (-2, -2, -2, 0)
    server.peer().accept()
    world.library.expect("connection", ARG, 4, UNIT, 0)


@TABLE.row("9.5", "while a callback runs nothing else is received", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    world.library.command("hold", "data")
    peer.data(b"one")
    world.library.expect("data", ARG, 3, ..., b"one")
    peer.data(b"two")
    peer.send(golden("global_connect_existing"))
    world.watch(0.5)
    world.settle()
    assert world.library.call(*SEND) == 0  # another thread may go on
    world.library.command("let_go", "data")
    world.library.expect("data", ARG, 3, ..., b"two")
    world.library.expect("global")
    assert peer.frame().data == b"sent"


@TABLE.row(
    "9.5",
    "a long callback does not lose the link",
    slow=True,
    vendor="beats on the same thread: it is the server that gives up",
)
def _(world: World) -> None:
    peer = world.begin()
    world.library.command("hold", "data")
    peer.data(b"x")
    world.library.expect("data")
    count = peer.beat_count
    world.watch(4.5)
    assert peer.beat_count > count + 1
    world.library.command("let_go", "data")
    world.nothing_called()


# ---- 9.6 ---------------------------------------------------------------------------------


@TABLE.row("9.6", "a callback is set once and never replaced", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    second = [Hook(hook.kind, "second") for hook in FIVE]
    world.library.call("SetCallBackFn", *second, ARG)
    world.library.call("SetCallBackFnEx", FLOW_ACK[0], Hook("flow_ack", "second"))
    labels = set()
    peer = world.begin()  # sets them all once more
    peer.data(b"x")
    labels.add(world.library.expect("data").label)
    peer.send(golden("global_connect_existing"))
    labels.add(world.library.expect("global").label)
    number = world.library.call(*CALL)
    peer.frame()
    world.watch(0.02)
    peer.system(Cmd.FLOW_ACK, FlowAck(b"", number, 1).encode())
    labels.add(world.library.expect("flow_ack").label)
    peer.system(Cmd.FLOW_RETURN, FlowReturn(b"", number).encode())
    labels.add(world.library.expect("flow_ret").label)
    peer.ack()
    labels.add(world.library.expect("connection").label)
    peer.close()
    labels.add(world.library.expect("disconnect").label)
    assert labels == {""}


@TABLE.row("9.6", "NULL leaves a slot open for later", fresh=True)
def _(world: World) -> None:
    world.library.call("SetCallBackFn", None, None, None, None, None, ARG)
    world.library.call("SetCallBackFnEx", FLOW_ACK[0], None)
    world.library.call("SetCallBackFn", Hook("connection", "later"), None, None, None, None, ARG)
    world.library.call("Init", 19)
    peer = world.join()
    world.library.call("SetCallBackFn", *(Hook(hook.kind, "last") for hook in FIVE), ARG)
    peer.data(b"x")
    assert world.library.expect("data").label == "last"
    peer.ack()
    assert world.library.expect("connection").label == "later"


@TABLE.row("9.6", "the argument is always replaced", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    for arg in (1, 0x7FFF_FFFF_FFFF_FFFF, None):
        world.library.call("SetCallBackFnArg", arg)
        peer.data(b"x")
        world.library.expect("data", arg, 3)
        world.library.call("SetCallBackFn", None, None, None, None, None, arg and arg - 1)
        peer.data(b"x")
        world.library.expect("data", (arg and arg - 1) or None, 3)


NAMES = {
    b"smartbus_cli_connection_cb": "connection",
    b"smartbus_cli_disconnect_cb": "disconnect",
    b"smartbus_cli_recvdata_cb": "data",
    b"smartbus_invokeflow_ack_cb": "flow_ack",
    b"smartbus_invokeflow_ret_cb": "flow_ret",
    b"smartbus_global_connect_cb": "global",
}


@TABLE.row("9.6", "all six can be set by name", fresh=True)
def _(world: World) -> None:
    for name, kind in NAMES.items():
        world.library.call("SetCallBackFnEx", name, Hook(kind, "named"))
        world.library.call("SetCallBackFnEx", name, Hook(kind, "again"))
    peer = world.begin()  # sets them all, too late
    kinds = {"connection"}
    number = world.library.call(*CALL)
    peer.frame()
    world.watch(0.02)
    peer.data(b"x")
    peer.send(golden("global_connect_existing"))
    peer.system(Cmd.FLOW_ACK, FlowAck(b"", number, 1).encode())
    peer.system(Cmd.FLOW_RETURN, FlowReturn(b"", number).encode())
    world.library.command("facts")
    peer.close()
    for _kind in range(5):
        event = world.library.next()
        assert event.label == "named"
        kinds.add(event.kind)
    assert kinds == set(NAMES.values())


@TABLE.row("9.6", "NULL empty and unknown names change nothing", fresh=True)
def _(world: World) -> None:
    for name in (None, b"", b"no_such_cb", b"smartbus_cli_recvdata_cb ", b"x" * 5000):
        world.library.call("SetCallBackFnEx", name, Hook("data", "wrong"))
    peer = world.begin()
    peer.data(b"x")
    assert world.library.expect("data", ARG, 3).label == ""


@TABLE.row("9.6", "after Init and CreateConnect is early enough", fresh=True)
def _(world: World) -> None:
    world.library.call("Init", 19)
    server = world.serve()
    world.create(server)
    peer = server.peer()
    peer.registration()
    world.library.hook_all(ARG)
    peer.ack()
    world.library.expect("connection", ARG, 3, UNIT, 0)


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
