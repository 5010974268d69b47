"""IPC.md 7.1: callbacks, what they get and how they are set; and the traces of 7.4."""

from __future__ import annotations

import time

from smartbus.wire import Cmd
from tests.abi.ipc import ME, connect, init, let_in, serve_again, table, vanish
from tests.abi.library import FIVE, FLOW_ACK, Hook
from tests.abi.outcomes import Outcomes
from tests.abi.server import OTHER, UNIT
from tests.abi.table import Case
from tests.abi.world import ARG, World

TABLE = table()

DATA = ("SendData", 1, 3, *OTHER, b"inside", 6)
NAMES = [
    b"smartbus_cli_connection_cb",
    b"smartbus_cli_recvdata_cb",
    b"smartbus_cli_disconnect_cb",
    b"smartbus_invokeflow_ret_cb",
    b"smartbus_global_connect_cb",
]


def join(world: World) -> None:
    """Initialise and register with whatever callbacks are set."""
    assert world.library.call("Init", ME.client_type, ME.client_id) == 0
    world.server = world.serve()
    connect(world)
    world.peer = world.server.peer()
    world.peer.accept()


def relabelled(label: str) -> list[Hook]:
    """The five callbacks as other functions."""
    return [Hook(hook.kind, label) for hook in FIVE]


# ---- setting -------------------------------------------------------------------------------


@TABLE.row("7.1", "the first function of a slot stays, arg is replaced", fresh=True)
def _(world: World) -> None:
    world.library.call("SetCallBackFn", *FIVE[:2], None, None, None, 1)
    world.library.call("SetCallBackFn", *relabelled("second"), 2)
    join(world)
    event = world.library.expect("connection", 2, ME.client_id, UNIT, 0)
    assert event.label == ""
    world.peer.data(b"x")
    assert world.library.expect("data", 2).label == ""
    world.library.call("SetCallBackFn", *relabelled("third"), 3)
    world.peer.close()
    assert world.library.expect("disconnect", 3).label == "second"
    world.peer = world.server.peer()
    world.peer.accept()
    world.library.expect("connection", 3)


@TABLE.row("7.1", "by name it is the same", fresh=True)
def _(world: World) -> None:
    for label in ("", "again"):
        for name, hook in zip(NAMES, FIVE, strict=True):
            world.library.call("SetCallBackFnEx", name, Hook(hook.kind, label))
        world.library.call("SetCallBackFnEx", FLOW_ACK[0], Hook("flow_ack", label))
    join(world)
    event = world.library.expect("connection", None, ME.client_id, UNIT, 0)
    assert event.label == ""
    call = world.library.call("RemoteInvokeFlow", UNIT, 0, b"P", b"F", 0, 0, b"[]")
    world.peer.frame()
    assert world.library.expect("flow_ret", None, ME.client_id, None, b"P", call).label == ""
    assert world.library.expect("flow_ack", None, ME.client_id, None, b"P", call).label == ""
    world.peer.close()
    assert world.library.expect("disconnect", None).label == ""
    let_in_unhooked(world)


def let_in_unhooked(world: World) -> None:
    """As `let_in`, where the argument is NULL."""
    world.peer = world.server.peer()
    world.peer.accept()
    world.library.expect("connection", None, ME.client_id, UNIT, 0)


@TABLE.row("7.1", "SetCallBackFnArg replaces arg at any time", fresh=True)
def _(world: World) -> None:
    world.begin()
    for arg in (0x7FFFFFFF, None, 1):
        world.library.call("SetCallBackFnArg", arg)
        world.peer.data(b"x")
        world.library.expect("data", arg, ME.client_id)


@TABLE.row("7.1", "set once holds across Release", fresh=True)
def _(world: World) -> None:
    world.begin()
    world.library.call("Release")
    world.library.call("SetCallBackFn", *relabelled("second"), 2)
    assert world.library.call("Init", ME.client_type, ME.client_id) == 0
    connect(world)
    world.peer = world.server.peer()
    world.peer.accept()
    assert world.library.expect("connection", 2, ME.client_id, UNIT, 0).label == ""


@TABLE.row("7.1", "NULL and empty names are ignored, an unknown one is an error", fresh=True)
def _(world: World) -> None:
    world.library.call("SetTraceStr", None, Hook("error"))
    world.begin()
    for name in (None, b""):
        world.library.call("SetCallBackFnEx", name, Hook("data", "wrong"))
    assert not world.library.traces
    world.library.call("SetCallBackFnEx", b"smartbus_no_such_cb", Hook("data", "wrong"))
    world.library.expect_trace("error", b"smartbus_no_such_cb")
    world.peer.data(b"x")
    assert world.library.expect("data").label == ""


@TABLE.row("7.1", "callbacks may be set while connected", fresh=True)
def _(world: World) -> None:
    join(world)
    world.peer.data(b"unheard")
    world.peer.system(Cmd.PING, b"")
    world.peer.frame()  # it has arrived
    world.library.call("SetCallBackFnEx", NAMES[1], FIVE[1])
    world.library.call("SetCallBackFnArg", ARG)
    world.peer.data(b"heard")
    while (event := world.library.next()).values[3] != b"heard":  # calls may lag behind
        assert event.kind == "data"


# ---- what they get -------------------------------------------------------------------------


@TABLE.row("7.1", "head is the wire header")
def _(world: World) -> None:
    for data in (b"", b"abcde", bytes(1000)):
        head = world.peer.data(data, cmd=200, kind=5)
        world.library.expect("data", ARG, ME.client_id, head, data or None, len(data))


@TABLE.row("7.1", "own_client is one byte", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    assert world.library.call("Init", 200, 200) == 0
    world.server = world.serve()
    connect(world)
    let_in(world, client=200)
    world.peer.data(b"x")
    world.library.expect("data", ARG, 200)


# ---- calls from inside ---------------------------------------------------------------------


@TABLE.row("7.1", "sending inside the connection, data and disconnect callbacks", fresh=True)
def _(world: World) -> None:
    init(world)
    world.server = world.serve()
    world.library.command("inside", "connection", DATA)
    connect(world)
    world.peer = world.server.peer()
    world.peer.accept()
    world.library.expect("connection")
    world.library.expect("inside", 0)
    assert world.peer.frame().data == b"inside"
    world.library.command("inside", "data", DATA, ("SendPing", *OTHER, b"p", 1), FLOW, NOTIFY)
    world.peer.data(b"x")
    world.library.expect("data")
    world.library.expect("inside", 0, 0, 1, 1)
    assert [world.peer.frame().cmd for _ in range(4)] == [1, Cmd.PING, Cmd.FLOW_CALL, Cmd.NOTIFY]
    world.library.command("inside", "disconnect", DATA)
    world.peer.close()
    world.library.expect("disconnect")
    world.library.expect("inside", 0)
    let_in(world)
    assert world.peer.frame().data == b"inside"


FLOW = ("RemoteInvokeFlow", UNIT, 0, b"P", b"F", 1, 600_000, b"[]")
NOTIFY = ("SendNotify", UNIT, 0, b"P", b"T", 0, 0, b"x")


@TABLE.row("7.1", "sending inside the connection callback with -20", fresh=True)
def _(world: World) -> None:
    init(world)
    world.library.command("inside", "connection", DATA, ("CreateConnect", None, None, None))
    connect(world)
    world.library.expect("connection", ..., ..., ..., -20)
    world.library.expect("inside", -2, -10)
    serve_again(world)
    let_in(world)


@TABLE.row("7.1", "CreateConnect inside the connection callback after a refusal", fresh=True)
def _(world: World) -> None:
    init(world)
    world.server = world.serve()
    world.library.command("inside", "connection", ("CreateConnect", b"other", None, None))
    connect(world)
    world.server.peer().accept(-5)
    world.library.expect("connection", ..., ..., ..., -5)
    world.library.expect("inside", 0)
    world.peer = world.server.peer()
    assert world.peer.accept().user == b"other"
    world.library.expect("connection", ..., ..., UNIT, 0)


@TABLE.row("7.4", "Release inside every callback", fresh=True)
def _(world: World) -> None:
    world.begin()
    for kind in ("data", "connection", "flow_ret", "disconnect"):
        world.library.command("inside", kind, ("Release",), DATA)
        if kind == "flow_ret":  # a time-out
            world.library.call("RemoteInvokeFlow", UNIT, 0, b"P", b"F", 0, 0, b"[]")
            world.peer.frame()
        elif kind == "data":
            world.peer.data(b"x")
        elif kind == "connection":
            world.peer.ack()
        else:
            vanish(world)  # or it could be here again before the callback runs
            world.peer.close()
        world.library.expect(kind)
        world.library.expect("inside", None, -14)
        world.peer.ended()
        if kind == "disconnect":
            serve_again(world)
        assert world.library.call("Init", ME.client_type, ME.client_id) == 0
        connect(world)
        let_in(world)


@TABLE.row("7.1", "sending is not held up by a running callback", fresh=True)
def _(world: World) -> None:
    """Nor is what was sent, for long: the vendor's leaves when the callback returns."""
    world.begin()
    world.library.command("hold", "data")
    world.peer.data(b"x")
    world.library.expect("data")
    began = time.monotonic()
    assert world.library.call(*DATA) == 0
    assert world.peer.frame().data == b"inside"
    assert time.monotonic() - began < 20
    world.peer.system(Cmd.PING, b"")  # answered meanwhile, too
    assert world.peer.frame().cmd == Cmd.PING_ACK
    world.library.command("let_go", "data")
    world.library.expect("data")


# ---- traces --------------------------------------------------------------------------------


@TABLE.row("7.4", "SetTrace gets a format and goes before SetTraceStr", fresh=True)
def _(world: World) -> None:
    world.library.call("SetTraceStr", Hook("info"), Hook("error"))
    init(world)
    connect(world)
    world.library.expect_trace("error", world.path.encode())
    world.library.expect("connection")
    assert {event.kind for event in world.library.traces} <= {"info", "error"}
    world.library.call("SetTrace", Hook("info_format"), Hook("error_format"))
    world.library.traces.clear()
    world.library.call("SetCallBackFnEx", b"%s%n%d", Hook("data"))
    event = world.library.expect_trace("error_format", b"%s%n%d")
    assert event.values[0] == b"%s"
    world.library.call("SetTrace", None, None)
    world.library.call("SetCallBackFnEx", b"back again", Hook("data"))
    world.library.expect_trace("error", b"back again")


@TABLE.row("7.4", "the trace of a failed connect names the path alone", fresh=True)
def _(world: World) -> None:
    world.library.call("SetTraceStr", None, Hook("error"))
    init(world)
    connect(world)
    text = world.library.expect_trace("error", world.path.encode()).values[0]
    assert b"connect to %s failed: No such file" % world.path.encode() in text
    world.library.expect("connection")


@TABLE.row("7.4", "lines have 1021 bytes at most", fresh=True)
def _(world: World) -> None:
    world.library.call("SetTraceStr", None, Hook("error"))
    world.begin()
    world.library.call("SetCallBackFnEx", b"x" * 5000, Hook("data"))
    assert len(world.library.expect_trace("error", b"xxx").values[0]) <= 1021


@TABLE.row("7.4", "without trace functions nothing is printed", fresh=True)
def _(world: World) -> None:
    """The vendor's prints to standard output, which is the application's."""
    world.begin()
    vanish(world)
    world.peer.close()
    world.library.expect("disconnect")
    world.library.expect("connection", ..., ..., ..., -20)
    assert world.library.output() == b""


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
