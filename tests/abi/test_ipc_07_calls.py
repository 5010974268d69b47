"""IPC.md 7.2, 7.4: what the functions return, in which order they check, and a library's lives."""

from __future__ import annotations

import os
from typing import Any

from smartbus._c.abi import IPC_FUNCTIONS
from tests.abi.ipc import ME, connect, finish, init, let_in, serve_again, table, vanish
from tests.abi.outcomes import Outcomes
from tests.abi.server import OTHER, UNIT
from tests.abi.table import Case
from tests.abi.world import ARG, INFO, PASSWORD, USER, World

TABLE = table()

TOO_BIG = 268_435_456
LONG = 600_000

#: A call: function and arguments.
Call = tuple[Any, ...]


def data(
    dst: tuple[int, int, int] = OTHER, kind: int = 3, size: int = 4, text: bytes | None = b"text"
) -> Call:
    return "SendData", 77, kind, *dst, text, size


def ping(dst: tuple[int, int, int] = OTHER, size: int = 4, text: bytes | None = b"text") -> Call:
    return "SendPing", *dst, text, size


def flow(
    unit: int = 0, process: int = 7, mode: int = 1, length: int = 2, timeout: int = LONG
) -> Call:
    return "RemoteInvokeFlow", unit, process, b"P", b"F", mode, timeout, b"x" * length


def notify(unit: int = 0, process: int = 7, length: int = 4) -> Call:
    return "SendNotify", unit, process, b"P", b"T", 0, 1000, b"x" * length


def gives(section: str, name: str, code: int, *calls: Call) -> None:
    """Calls of a registered client that return `code`, and send nothing."""

    @TABLE.row(section, name)
    def _(world: World) -> None:
        assert [world.library.call(*call) for call in calls] == [code] * len(calls)
        world.nothing_sent()


def before_init(name: str, code: int, *calls: Call) -> None:
    @TABLE.row("7.2", name, fresh=True)
    def _(world: World) -> None:
        assert [world.library.call(*call) for call in calls] == [code] * len(calls)


def before_registration(name: str, code: int, *calls: Call) -> None:
    @TABLE.row("7.2", name, fresh=True)
    def _(world: World) -> None:
        init(world)
        assert [world.library.call(*call) for call in calls] == [code] * len(calls)


# ---- 7 -------------------------------------------------------------------------------------

FUNCTIONS = {
    "SetTrace", "SetTraceStr", "Init", "Release", "SetCallBackFn", "SetCallBackFnArg",
    "SetCallBackFnEx", "CreateConnect", "SendData", "SendPing", "RemoteInvokeFlow", "SendNotify",
}  # fmt: skip


@TABLE.row("7", "the twelve functions are exported", fresh=True)
def _(world: World) -> None:
    assert set(IPC_FUNCTIONS) == FUNCTIONS
    assert world.library.command("missing") == []


# ---- 7.2 Init, CreateConnect ---------------------------------------------------------------


@TABLE.row("7.2", "Init 1 a negative client id", fresh=True)
def _(world: World) -> None:
    for client_type in (18, 1, 0, -1):  # before 2
        for client in (-1, -0x80000000):
            assert world.library.call("Init", client_type, client) == -13
    assert world.library.call(*data()) == -14


@TABLE.row("7.2", "Init 2 a client type of at most 1", fresh=True)
def _(world: World) -> None:
    for client_type in (1, 0, -1, -0x80000000):
        assert world.library.call("Init", client_type, 0) == -17
    assert world.library.call(*data()) == -14
    assert world.library.call("Init", 2, 0) == 0


@TABLE.row("7.2", "Init has no upper limits, the low byte travels", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    assert world.library.call("Init", 300, 0x7FFFFF03) == 0
    world.server = world.serve()
    connect(world)
    world.peer = world.server.peer()
    world.peer.accept()
    assert (world.peer.client.client_type, world.peer.client.client_id) == (300 & 255, 3)
    world.library.expect("connection", ARG, 3, UNIT, 0)


@TABLE.row("7.2", "a second Init is accepted and the last before CreateConnect counts", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    for client_type, client in ((4, 5), (4, 5), (ME.client_type, ME.client_id)):
        assert world.library.call("Init", client_type, client) == 0
    world.server = world.serve()
    connect(world)
    let_in(world)
    assert world.peer.client[1:] == ME[1:]


@TABLE.row(
    "7.2",
    "a second Init of who is connected changes nothing",
    fresh=True,
    vendor="accepts any, and then sends under a name that the server does not know",
)
def _(world: World) -> None:
    world.begin()
    assert world.library.call("Init", ME.client_type, ME.client_id) == 0
    assert world.library.call("Init", ME.client_type, 99) == -10
    assert world.library.call("Init", 99, ME.client_id) == -10
    assert world.library.call(*data()) == 0
    assert world.peer.frame().src == ME


@TABLE.row("7.2", "CreateConnect before Init", fresh=True)
def _(world: World) -> None:
    assert world.library.call("CreateConnect", USER, PASSWORD, INFO) == -1
    assert world.library.call("CreateConnect", None, None, None) == -1


@TABLE.row("7.2", "CreateConnect returns 0 with a server and without", fresh=True)
def _(world: World) -> None:
    init(world)
    connect(world)
    world.library.expect("connection", ARG, ME.client_id, -1, -20)
    assert world.library.call("CreateConnect", USER, PASSWORD, INFO) == -10
    serve_again(world)
    let_in(world)


gives(
    "7.4",
    "CreateConnect while connected is refused",  # the vendor's opens a second connection
    -10,
    ("CreateConnect", USER, PASSWORD, INFO),
    ("CreateConnect", b"other", b"other", b"other"),
)

# ---- 7.2 SendData, SendPing ----------------------------------------------------------------

before_init("SendData 1 cmdtype 0", -16, data(kind=0))
before_init("SendData 1 before 2 to 5", -16, data((48, 0, 0), kind=0, size=TOO_BIG))
gives("7.2", "SendData 1 cmdtype 0 when registered", -16, data(kind=0), data(ME, kind=0))
before_init("2 not initialised", -14, data(), ping(), flow(), notify())
before_init("2 before 3 to 5", -14, data((48, 0, 0), size=TOO_BIG), ping((48, 0, 0), size=TOO_BIG))

for name, send in (("SendData", data), ("SendPing", ping)):
    big = {"size": TOO_BIG}
    before_registration(f"{name} 3 unit above 47", -12, send((48, 0, 0)), send((0x7FFFFFFF, 0, 0)))
    before_registration(f"{name} 3 before 4", -12, send((48, 0, 0), size=TOO_BIG))
    before_registration(f"{name} 4 too large", -15, send(size=TOO_BIG), send(size=0x7FFFFFFF))
    before_registration(f"{name} 4 before 5", -15, send((-1, ME.client_id, 0), size=TOO_BIG))
    before_registration(f"{name} 4 the limit passes", -2, send(size=TOO_BIG - 1))
    before_registration(f"{name} 5 the own unit is -1 first", -11, send((-1, ME.client_id, 0)))
    before_registration(f"{name} 5 before 6", -11, send((-1, ME.client_id, 99)))
    before_registration(f"{name} 6 not registered", -2, send(), send((-1, 99, 0)), send((0, 3, 0)))
    gives("7.2", f"{name} 3 registered, too", -12, send((48, 0, 0)), send((255, 0, 0)))
    gives("7.2", f"{name} 5 itself, whatever the type", -11, send(ME), send((*ME[:2], 99)))
    negative = send(size=-1), send(size=-21), send(size=-0x80000000)
    gives("7.2", f"{name} negative sizes", -1, *negative)
    gives("7.2", f"{name} a negative size comes after 3", -12, send((48, 0, 0), size=-1))


@TABLE.row("7.2", "negative units pass, and the own one with another client")
def _(world: World) -> None:
    others = (UNIT, 4, 18), (UNIT, ME.client_id + 256, 18)
    for dst in ((-1, 3, 4), (-128, 0, 0), (47, 3, 18), *others):
        for send in (data, ping):
            assert world.library.call(*send(dst)) == 0
            assert world.peer.frame().dst == tuple(part & 255 for part in dst)


@TABLE.row("7.2", "NULL data is empty")  # the vendor's crashes
def _(world: World) -> None:
    for send in (data, ping):
        assert world.library.call(*send(text=None, size=0)) == 0
        assert world.peer.frame().data == b""


gives("7.2", "NULL data with a size is refused", -1, data(text=None), ping(text=None))


@TABLE.row("7.2", "not registered in every state", fresh=True)
def _(world: World) -> None:
    def states(code: int) -> None:
        for call in (data(), ping(), flow(), notify()):
            assert world.library.call(*call) == code

    states(-14)
    init(world)
    states(-2)  # nothing was created yet
    connect(world)
    world.library.expect("connection", ..., ..., ..., -20)
    states(-2)  # it looks for its server
    serve_again(world)
    world.peer = world.server.peer()
    world.peer.registration()
    states(-2)  # it waits for the answer
    world.peer.ack(-6)
    world.library.expect("connection", ..., ..., ..., -6)
    states(-2)  # it was refused
    connect(world)
    let_in(world)
    vanish(world)
    world.peer.close()
    world.library.expect("disconnect")
    world.library.expect("connection", ..., ..., UNIT, -20)
    states(-2)  # it was lost
    world.library.call("Release")
    states(-14)


@TABLE.row("7.2", "100 000 messages waiting are enough", slow=True)
def _(world: World) -> None:
    world.begin()
    world.peer.deaf = True
    (codes,) = world.library.command("call_many", 1, 150_000, *data())
    accepted = codes.index(-7)
    assert accepted >= 100_000  # and what the socket took
    assert set(codes[:accepted]) == {0}
    assert codes[-1] == -7
    for call in (ping(), flow(), notify()):
        assert world.library.call(*call) == -7
    world.peer.deaf = False
    for _ in range(codes.count(0)):
        assert world.peer.frame().data == b"text"
    assert world.library.call(*data()) == 0
    world.peer.frame()


@TABLE.row("7.2", "memory that lacks is -19", fresh=True)
def _(world: World) -> None:
    world.begin()
    for function in (("SendData", 1, 3, *OTHER), ("SendPing", *OTHER)):
        assert world.library.command("call_starved", 200_000_000, *function) == -19
    assert world.library.call(*data()) == 0
    assert world.peer.frame().data == b"text"


# ---- 7.2 RemoteInvokeFlow, SendNotify ------------------------------------------------------

UNITS = flow(16), flow(47), flow(16, length=20_000), notify(16), notify(16, length=20_000)
ITSELF = flow(UNIT, ME.client_id), notify(UNIT, ME.client_id)
ANY = flow(), notify(), flow(-1), notify(-1)
before_init("flows and notifies 1 unit above 15", -12, *UNITS)
before_init("flows 3 too long a parameter", -15, flow(length=16_002))
before_init("notifies 2 too long a text", -15, notify(length=16_000))
before_init("flows and notifies the longest", -14, flow(length=16_001), notify(length=15_999))
gives("7.2", "flows and notifies 1 registered, too", -12, *UNITS)
gives("7.2", "flows 3 registered, too", -15, flow(length=16_002), flow(length=1_000_000))
gives("7.2", "flows 3 before the own address", -15, flow(UNIT, ME.client_id, length=16_002))
gives("7.2", "notifies 2 registered, too", -15, notify(length=16_000), notify(length=1_000_000))
gives("7.2", "notifies 2 before the own address", -15, notify(UNIT, ME.client_id, length=16_000))
gives("7.2", "flows and notifies to itself", -11, *ITSELF)
before_registration("flows and notifies not registered", -2, *ANY)


@TABLE.row("7.2", "the longest texts")
def _(world: World) -> None:
    number = world.library.call(*flow(length=16_001))
    assert len(world.peer.frame().data) == 114 + 16_001
    finish(world, number)
    assert world.library.call(*notify(length=15_999)) > 0
    assert len(world.peer.frame().data) == 150 + 15_999


@TABLE.row("7.2", "5000 results outstanding", fresh=True)
def _(world: World) -> None:
    world.begin()
    (codes,) = world.library.command("call_many", 1, 5001, *flow(mode=0))
    assert codes == [*range(1, 5001), -7]
    for mode in (0, 2, 256):
        assert world.library.call(*flow(mode=mode)) == -7
    assert world.library.call(*flow(mode=0, length=16_002)) == -7  # before the length
    assert world.library.call(*flow(16, mode=0)) == -12
    for _ in range(5000):
        world.peer.frame()


@TABLE.row("7.2", "invoke ids count on, also when sending fails", fresh=True)
def _(world: World) -> None:
    init(world)
    assert [world.library.call(*flow()) for _ in range(2)] == [-2, -2]
    assert [world.library.call(*notify()) for _ in range(3)] == [-2] * 3
    world.server = world.serve()
    connect(world)
    let_in(world)
    assert world.library.call(*flow()) == 3
    assert world.library.call(*notify()) == 4
    assert world.library.call(*flow(UNIT, ME.client_id)) == -11
    assert world.library.call(*notify(UNIT, ME.client_id)) == -11
    assert world.library.call(*flow()) == 5
    assert world.library.call(*notify()) == 6
    for _ in range(4):
        world.peer.frame()
    world.library.call("Release")
    assert world.library.call("Init", ME.client_type, ME.client_id) == 0
    connect(world)
    let_in(world)
    assert world.library.call(*flow()) == 6
    assert world.library.call(*notify()) == 7
    world.peer.frame()
    world.peer.frame()


@TABLE.row("7.2", "NULL parameters are empty")  # the vendor's crashes
def _(world: World) -> None:
    arguments = (UNIT, 0, None, None, 1, LONG, None)
    number = world.library.call("RemoteInvokeFlow", *arguments)
    assert len(world.peer.frame().data) == 114
    finish(world, number)
    assert world.library.call("SendNotify", UNIT, 0, None, None, 0, 0, None) > 0
    assert len(world.peer.frame().data) == 150


# ---- 7.4 -----------------------------------------------------------------------------------


@TABLE.row("7.4", "Release while connected, and a second life with the same callbacks", fresh=True)
def _(world: World) -> None:
    world.begin()
    for _ in range(3):
        world.library.call("Release")
        world.peer.ended()
        assert world.library.call(*data()) == -14
        assert world.library.call("CreateConnect", USER, PASSWORD, INFO) == -1
        assert world.library.call("Init", ME.client_type, ME.client_id) == 0
        assert world.library.call(*data((-1, ME.client_id, 0))) == -11  # without a unit again
        assert world.library.call("CreateConnect", b"new", b"", b"") == 0
        world.peer = world.server.peer()
        assert world.peer.accept().user == b"new"
        world.library.expect("connection", ARG, ME.client_id, UNIT, 0)
        world.peer.data(b"x")
        world.library.expect("data")


@TABLE.row("7.4", "Release before Init and after Init only does nothing", fresh=True)
def _(world: World) -> None:
    world.library.call("Release")
    world.library.call("Release")
    init(world)
    world.library.call("Release")
    world.library.call("Release")
    assert world.library.call(*data()) == -14
    world.begin()


@TABLE.row("7.4", "Release while it looks for its server", slow=True)  # the vendor's crashes
def _(world: World) -> None:
    init(world)
    connect(world)
    world.library.expect("connection", ARG, ME.client_id, -1, -20)
    world.library.call("Release")
    serve_again(world)
    world.watch(2.5)
    world.settle()
    world.library.call("Init", ME.client_type, ME.client_id)
    connect(world)
    let_in(world)


@TABLE.row("7.4", "Release leaves neither threads nor descriptors", fresh=True)
def _(world: World) -> None:
    world.begin()
    world.library.call("Release")
    pid, _, threads = world.library.command("facts")
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(5):
        world.library.call("Init", ME.client_type, ME.client_id)
        connect(world)
        let_in(world)
        world.library.call("Release")
        world.peer.ended()
    assert world.library.command("facts")[2] == threads
    assert len(os.listdir(f"/proc/{pid}/fd")) == descriptors


@TABLE.row("7.4", "CreateConnect after a refusal registers anew", fresh=True)
def _(world: World) -> None:
    init(world)
    world.server = world.serve()
    connect(world)
    world.server.peer().accept(-6)
    world.library.expect("connection", ARG, ME.client_id, ..., -6)
    assert world.library.call("CreateConnect", b"better", b"secret", None) == 0
    world.peer = world.server.peer()
    assert world.peer.accept().user == b"better"
    world.library.expect("connection", ARG, ME.client_id, UNIT, 0)


@TABLE.row("7.4", "what was accepted before Release still leaves", fresh=True)
def _(world: World) -> None:
    world.begin()
    for _ in range(100):
        assert world.library.call(*data()) == 0
    world.library.call("Release")
    for _ in range(100):
        assert world.peer.frame().data == b"text"
    world.peer.ended()


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
