"""NET.md 10: exported functions, callbacks' signatures, error codes, signedness."""

from __future__ import annotations

import struct

from smartbus._c.abi import NET_FUNCTIONS
from smartbus.errors import ERRORS
from smartbus.wire import Address, Cmd, CmdType, FlowAck, GlobalConnect, encode_frame
from tests.abi.outcomes import Outcomes
from tests.abi.server import OTHER, UNIT
from tests.abi.table import Case, Table
from tests.abi.world import ARG, CLIENT, World

TABLE = Table("NET.md")

FUNCTIONS = {
    "Init", "InitEx", "Release", "SetCallBackFn", "SetCallBackFnArg", "SetCallBackFnEx", "SetTrace",
    "SetTraceStr", "CreateConnect", "SendData", "SendPing", "RemoteInvokeFlow", "SendNotify",
}  # fmt: skip


@TABLE.row("10", "the thirteen functions are exported", fresh=True)
def _(world: World) -> None:
    assert set(NET_FUNCTIONS) == FUNCTIONS
    assert world.library.command("missing") == []


@TABLE.row("10", "64-bit arguments reach the callbacks whole")
def _(world: World) -> None:
    big = 0x7123_4567_89AB_CDEF
    world.library.call("SetCallBackFnArg", big)
    world.peer.data(b"x")
    world.library.expect("data", big, 3)
    world.library.call("SetCallBackFnArg", ARG)


@TABLE.row("10", "connection: arg client unit ack", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    server = world.serve()
    world.create(server, 200)
    peer = server.peer()
    peer.accept(0x12345678, unit=5)
    event = world.library.expect("connection")
    assert event.values == (ARG, 200, 5, 0x12345678)


@TABLE.row("10", "disconnect: arg client", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    world.join(200).close()
    assert world.library.expect("disconnect").values == (ARG, 200)


@TABLE.row("10", "data: arg client head data size")
def _(world: World) -> None:
    head = world.peer.data(b"text")
    assert world.library.expect("data").values == (ARG, 3, head, b"text", 4)


@TABLE.row("10", "flow ack and return: arg client head project id code text", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    number = world.library.call("RemoteInvokeFlow", 3, 0, 7, b"p", b"f", 1, 600_000, b"")
    peer.frame()
    world.watch(0.02)
    frame = encode_frame(OTHER, CLIENT, Cmd.FLOW_ACK, 1, FlowAck(b"", number, -5, b"msg").encode())
    peer.send(frame)
    event = world.library.expect("flow_ack")
    assert event.values == (ARG, 3, frame[:20], b"p", number, -5, b"msg")


@TABLE.row("10", "global connect: arg and five characters and info")
def _(world: World) -> None:
    body = GlobalConnect(1, 2, 3, 4, 5, b"info").encode(OTHER, CLIENT, Cmd.GLOBAL_CONNECT_ANSWER)
    world.peer.system(Cmd.GLOBAL_CONNECT_ANSWER, body)
    assert world.library.expect("global").values == (ARG, 1, 2, 3, 4, 5, b"info")


@TABLE.row("10.1", "every code that a server may send is passed on", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    codes = sorted(set(ERRORS) - {-10, -5, -6})  # 2.5 has these three
    assert len(codes) > 20
    # So many clients as the vendor's library takes (NET-2018.md 3).
    for client, code in enumerate(codes[:15]):
        server = world.serve()
        world.create(server, client)
        server.peer().accept(code)
        world.library.expect("connection", ARG, client, UNIT, code)


@TABLE.row("10.1", "memory that lacks is -19", fresh=True)
def _(world: World) -> None:
    """The other codes that a client makes up stand in the sections of their functions."""
    peer = world.begin()
    for function in (("SendData", 3, 1, 3, *OTHER), ("SendPing", 3, *OTHER)):
        assert world.library.command("call_starved", 200_000_000, *function) == -19
    assert world.library.call("SendData", 3, 1, 3, *OTHER, b"x", 1) == 0
    assert peer.frame().data == b"x"


@TABLE.row("10.2", "the header has 20 bytes with 32-bit sizes")
def _(world: World) -> None:
    head = world.peer.data(b"abcde")
    event = world.library.expect("data", ARG, 3, head)
    assert struct.unpack_from("<ii", event.values[2], 12) == (26, 5)
    assert event.values[3] == b"abcde"


@TABLE.row("10.2", "Init and CreateConnect return 0 for success", fresh=True)
def _(world: World) -> None:
    assert world.library.call("Init", 19) == 0
    assert world.create(world.serve()) == 0


@TABLE.row("10.3", "1 address bytes are signed in events and plain in the header")
def _(world: World) -> None:
    src = Address(200, 255, 129)
    head = encode_frame(src, CLIENT, 200, 255, b"x")
    world.peer.send(head)
    event = world.library.expect("data", ARG, 3)
    assert event.values[2][2:10] == bytes([200, 255, 129, 200, 255, 18, 19, 3])


@TABLE.row("10.3", "2 client ids are unsigned in callbacks", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    peer = world.join(255, 18)
    peer.data(b"x", Address(19, 255, 18))
    world.library.expect("data", ARG, 255)
    peer.close()
    world.library.expect("disconnect", ARG, 255)


@TABLE.row("10.3", "3 unit 255 must be passed as -1")
def _(world: World) -> None:
    assert world.library.call("SendData", 3, 1, 3, 255, -1, -1, b"x", 1) == -12
    assert world.library.call("SendData", 3, 1, 3, -1, 255, 255, b"x", 1) == 0
    assert world.peer.frame().dst == (255, 255, 255)


@TABLE.row("10.3", "7 nothing is aligned")
def _(world: World) -> None:
    # Odd sizes shift whatever comes next in the stream.
    for size in range(1, 64):
        world.peer.send(
            encode_frame(OTHER, CLIENT, 1, CmdType.USER, bytes(size)),
            encode_frame(OTHER, CLIENT, 2, CmdType.USER, b"y" * size),
        )
        world.library.expect("data", ARG, 3, ..., bytes(size), size)
        world.library.expect("data", ARG, 3, ..., b"y" * size, size)


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
