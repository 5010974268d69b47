"""NET.md 9.5 and 9.6: threads, and how callbacks are set."""

from __future__ import annotations

from smartbus.wire import Cmd, FlowAck, FlowReturn
from tests.abi.calls import CALL, NOTIFY, PING, SEND
from tests.abi.golden import golden
from tests.abi.library import FIVE, FLOW_ACK, Hook
from tests.abi.outcomes import Outcomes
from tests.abi.server import UNIT
from tests.abi.table import Case, Table
from tests.abi.world import ARG, World

TABLE = Table("NET.md")


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


@TABLE.row("9.5", "time-outs come on a second thread also while a callback runs", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    world.library.command("hold", "data")
    peer.data(b"one")
    network = world.library.expect("data", ARG, 3, ..., b"one").thread
    number = world.library.call(*CALL[:-2], 10, b"[]")
    threads = {
        world.library.expect(kind, ARG, 3, None, b"p", number, -25, b"").thread
        for kind in ("flow_ret", "flow_ack")
    }
    assert len(threads) == 1
    assert not threads & {network, world.library.command("facts")[1]}
    world.library.command("let_go", "data")
    peer.frame()
    world.nothing_called()


@TABLE.row("9.5", "callbacks come while a time-out runs", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    world.library.command("hold", "flow_ret")
    number = world.library.call(*CALL[:-2], 10, b"[]")
    peer.frame()
    world.library.expect("flow_ret", ARG, 3, None, b"p", number, -25, b"")
    peer.data(b"one")
    world.library.expect("data", ARG, 3, ..., b"one")
    world.library.command("let_go", "flow_ret")
    world.library.expect("flow_ack", ARG, 3, None, b"p", number, -25, b"")


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
