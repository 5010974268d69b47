"""IPC.md 5: what the commands of cmdtype 1 do on arrival, and how they look."""

from __future__ import annotations

from smartbus.wire import Address, Cmd, CmdType, FlowCall, GlobalConnect, Notify, encode_frame
from tests.abi.ipc import GOLDEN, ME, begin_golden, connect, flow_ack, flow_result, frame, table
from tests.abi.library import FIVE, Hook
from tests.abi.outcomes import Outcomes
from tests.abi.server import OTHER, UNIT
from tests.abi.table import Case
from tests.abi.world import ARG, INFO, World

TABLE = table()

#: Time-outs under which nothing times out while a row runs (ms).
LONG = 600_000
NODE = Address(UNIT, 0, 1)
#: Commands with callbacks of their own.
SPECIAL = (Cmd.GLOBAL_CONNECT, Cmd.GLOBAL_CONNECT_ANSWER, Cmd.FLOW_RETURN, Cmd.FLOW_ACK)


def heard(world: World, data: bytes, cmd: int, kind: int = 1) -> None:
    """The next callback is that of user data with these."""
    head = world.library.expect("data", ARG, ME.client_id, ..., data or None, len(data)).values[2]
    assert head[2:4] == bytes((cmd, kind))


# ---- 5 -------------------------------------------------------------------------------------


@TABLE.row("5", "cmd 7 is answered with its data to its source, then calls back")
def _(world: World) -> None:
    for data in (b"", b"ping", bytes(100_000)):
        world.peer.system(Cmd.PING, data)
        answer = world.peer.frame()
        assert (answer.cmd, answer.cmd_type) == (Cmd.PING_ACK, CmdType.SYSTEM)
        assert (answer.src, answer.dst, answer.data) == (ME, OTHER, data)
        heard(world, data, Cmd.PING)


@TABLE.row("5", "the golden answer to a ping", fresh=True)
def _(world: World) -> None:
    peer = begin_golden(world)
    peer.send(frame("ping_in"))
    peer.frame()
    assert peer.raw == frame("ping_in_answer")
    world.library.expect("data", ARG, GOLDEN.client_id, frame("ping_in")[:20], b"are you there", 13)


@TABLE.row("5", "cmd 8 calls back and is not answered")
def _(world: World) -> None:
    world.peer.system(Cmd.PING_ACK, b"pong")
    heard(world, b"pong", Cmd.PING_ACK)
    world.nothing_sent()


@TABLE.row("5", "every other cmd of cmdtype 1 calls back")
def _(world: World) -> None:
    for cmd in range(256):
        if cmd != Cmd.PING and cmd not in SPECIAL:
            world.peer.system(cmd, b"%d" % cmd)
            heard(world, b"%d" % cmd, cmd)
    world.nothing_sent()


@TABLE.row("5", "cmdtype 2 and up call back with any cmd")
def _(world: World) -> None:
    for kind in range(2, 256):
        for cmd in {1, 7, 9, 12, 13, kind}:
            world.peer.data(b"%d" % cmd, cmd=cmd, kind=kind)
            heard(world, b"%d" % cmd, cmd, kind)
    world.nothing_sent()


@TABLE.row("5", "flow call and notify call back")
def _(world: World) -> None:
    for cmd, data in (
        (Cmd.FLOW_CALL, FlowCall(b"P", b"F", 1).encode()),
        (Cmd.NOTIFY, Notify(b"P", b"title", b"text", 1).encode()),
    ):
        world.peer.system(cmd, data)
        heard(world, data, cmd)


def without(name: str, slots: set[int], cmd: int, data: bytes) -> None:
    """Without these of the five callbacks, and without the ack's, it comes as data."""

    @TABLE.row("5", name, fresh=True)
    def _(world: World) -> None:
        five = [None if slot in slots else hook for slot, hook in enumerate(FIVE)]
        world.library.call("SetCallBackFn", *five, ARG)
        assert world.library.call("Init", ME.client_type, ME.client_id) == 0
        world.server = world.serve()
        connect(world)
        world.peer = world.server.peer()
        world.peer.accept()
        world.library.expect("connection", ARG, ME.client_id, UNIT, 0)
        call = world.library.call("RemoteInvokeFlow", UNIT, 0, b"P", b"F", 0, LONG, b"[]")
        assert call == 1
        world.peer.frame()
        world.peer.system(cmd, data)
        heard(world, data, cmd)


without("without its callback a flow ack calls back as data", set(), 13, flow_ack(1, 1, b"m"))
without("without its callback a flow result calls back as data", {3}, 12, flow_result(1, b"[]"))


@TABLE.row("5", "without a global callback connect events vanish", fresh=True)
def _(world: World) -> None:
    world.library.call("SetCallBackFn", *FIVE[:4], None, ARG)
    assert world.library.call("Init", ME.client_type, ME.client_id) == 0
    world.server = world.serve()
    connect(world)
    world.peer = world.server.peer()
    world.peer.accept()
    world.library.expect("connection", ARG, ME.client_id, UNIT, 0)
    for status in range(3):
        put_global(world, OTHER, status)
        put_global(world, OTHER, status, Cmd.GLOBAL_CONNECT_ANSWER)
    world.nothing_called()
    world.nothing_sent()


@TABLE.row("5", "a ping is answered without any callback", fresh=True)
def _(world: World) -> None:
    assert world.library.call("Init", ME.client_type, ME.client_id) == 0
    world.server = world.serve()
    connect(world)
    world.peer = world.server.peer()
    world.peer.accept()
    world.peer.system(Cmd.PING, b"there?")
    assert world.peer.frame().data == b"there?"


@TABLE.row("5", "a ping from the client itself is not answered but calls back")
def _(world: World) -> None:
    world.peer.system(Cmd.PING, b"mine", ME)
    heard(world, b"mine", Cmd.PING)
    world.nothing_sent()
    world.peer.system(Cmd.PING, b"another's", Address(UNIT, ME.client_id + 1, ME.client_type))
    assert world.peer.frame().data == b"another's"
    heard(world, b"another's", Cmd.PING)


@TABLE.row("5", "before the registration's answer all is heard and nothing answered", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    assert world.library.call("Init", ME.client_type, ME.client_id) == 0
    world.server = world.serve()
    connect(world)
    world.peer = world.server.peer()
    world.peer.registration()
    world.peer.system(Cmd.PING, b"early")
    heard(world, b"early", Cmd.PING)
    put_global(world, OTHER, 1)
    world.library.expect("global", ARG, *OTHER_EVENT, 1, b"newcomer")
    world.peer.data(b"early")
    heard(world, b"early", 77, 3)
    world.peer.ack()
    world.library.expect("connection", ARG, ME.client_id, UNIT, 0)
    world.nothing_sent()


# ---- 5.5 Connect events --------------------------------------------------------------------

#: Who the events are about, as the callback gets it: unit, id, type, access point.
OTHER_EVENT = (*OTHER, 7)


def put_global(
    world: World,
    who: Address,
    status: int,
    cmd: int = Cmd.GLOBAL_CONNECT,
    info: bytes = b"newcomer",
) -> None:
    event = GlobalConnect(*who, 7, status, info)
    world.peer.send(encode_frame(NODE, ME, cmd, CmdType.SYSTEM, event.encode(NODE, ME, cmd)))


@TABLE.row("5.5", "the callback gets five addresses and the info")
def _(world: World) -> None:
    for cmd in (Cmd.GLOBAL_CONNECT, Cmd.GLOBAL_CONNECT_ANSWER):
        for status in (0, 2, 5):
            put_global(world, OTHER, status, cmd, b"\xc4\xe3")
            world.library.expect("global", ARG, *OTHER_EVENT, status, b"\xc4\xe3")
    put_global(world, Address(40, 200, 255), 0, info=b"")
    world.library.expect("global", ARG, 40, 200 - 256, -1, 7, 0, b"")
    put_global(world, OTHER, 0, info=b"i" * 255)
    world.library.expect("global", ARG, *OTHER_EVENT, 0, b"i" * 255)
    world.nothing_sent()


@TABLE.row("5.5", "the inner header is not read")
def _(world: World) -> None:
    for inner in (bytes(20), b"\xff" * 20):
        event = GlobalConnect(*OTHER, 7, 2, b"older").encode(NODE, ME, Cmd.GLOBAL_CONNECT)
        world.peer.system(Cmd.GLOBAL_CONNECT, inner + event[20:], NODE)
        world.library.expect("global", ARG, *OTHER_EVENT, 2, b"older")


@TABLE.row("5.5", "an info without a NUL ends with its field")
def _(world: World) -> None:
    event = GlobalConnect(*OTHER, 7, 2, b"").encode(NODE, ME, Cmd.GLOBAL_CONNECT)
    world.peer.system(Cmd.GLOBAL_CONNECT, event[:25] + b"x" * 256, NODE)
    got = world.library.expect("global", ARG, *OTHER_EVENT, 2).values[-1]
    assert got == b"x" * 255


@TABLE.row("5.5", "another size than 281 is dropped with a trace", fresh=True)
def _(world: World) -> None:
    world.library.call("SetTraceStr", None, Hook("error"))
    world.begin()
    event = GlobalConnect(*OTHER, 7, 1, b"").encode(NODE, ME, Cmd.GLOBAL_CONNECT)
    for data in (b"", event[:-1], event + b"\0"):
        for cmd in (Cmd.GLOBAL_CONNECT, Cmd.GLOBAL_CONNECT_ANSWER):
            world.peer.system(cmd, data, NODE)
        if data:  # nothing at all is not worth a trace, see NET.md 4
            world.library.expect_trace("error", b"%d bytes" % len(data))
    world.nothing_called()
    world.nothing_sent()


@TABLE.row("5.5", "the golden answer to a newcomer", fresh=True)
def _(world: World) -> None:
    peer = begin_golden(world)
    peer.send(frame("global_connect"))
    peer.frame()
    assert peer.raw == frame("global_here_answer")
    world.library.expect("global", ARG, 3, 30, 4, 3, 1, b"newcomer")
    for name, status, info in (
        ("global_existing", 2, b"older"),
        ("global_disconnect", 0, b"newcomer"),
    ):
        peer.send(frame(name))
        world.library.expect("global", ARG, 3, 30, 4, 3, status, info)


@TABLE.row("5.5", "only cmd 9 with status 1 is answered")
def _(world: World) -> None:
    put_global(world, OTHER, 1)
    world.library.expect("global", ARG, *OTHER_EVENT, 1)
    answer = world.peer.frame()
    assert (answer.cmd, answer.src, answer.dst) == (Cmd.GLOBAL_CONNECT_ANSWER, ME, OTHER)
    assert GlobalConnect.decode(answer.data) == (*ME, UNIT, 2, INFO)
    for cmd, status in ((9, 0), (9, 2), (9, 3), (9, -1), (10, 0), (10, 1), (10, 2)):
        put_global(world, OTHER, status, cmd)
        world.library.expect("global", ARG, *OTHER_EVENT, status)
    world.nothing_sent()


@TABLE.row("5.5", "an event about the client itself calls back unanswered")
def _(world: World) -> None:
    put_global(world, ME, 1)
    world.library.expect("global", ARG, *ME, 7, 1)
    world.nothing_sent()


@TABLE.row("5.5", "the answer's info has 255 bytes at most", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    assert world.library.call("Init", ME.client_type, ME.client_id) == 0
    world.server = world.serve()
    assert world.library.call("CreateConnect", None, None, b"i" * 300) == 0
    world.peer = world.server.peer()
    world.peer.accept()
    world.library.expect("connection", ARG, ME.client_id, UNIT, 0)
    put_global(world, OTHER, 1)
    world.library.expect("global")
    assert GlobalConnect.decode(world.peer.frame().data).info == b"i" * 255


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
