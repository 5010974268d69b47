"""IPC.md 1 and 2: transport and frames."""

from __future__ import annotations

import time
from pathlib import Path

from smartbus.wire import Address, Cmd, CmdType, encode_frame
from tests.abi.golden import golden
from tests.abi.ipc import (
    GOLDEN,
    ME,
    begin_golden,
    connect,
    flow_ack,
    flow_result,
    frame,
    full_backlog,
    init,
    let_in,
    serve_again,
    table,
)
from tests.abi.library import Hook
from tests.abi.outcomes import Outcomes
from tests.abi.server import OTHER, UNIT
from tests.abi.table import Case
from tests.abi.world import ARG, World

TABLE = table()

# ---- 1 Transport ---------------------------------------------------------------------------


@TABLE.row("1", "one thread calls back and it is not the caller's", fresh=True)
def _(world: World) -> None:
    world.begin()
    own = world.library.command("facts")[1]
    world.peer.data(b"x")
    threads = {world.library.expect("data").thread}
    call = world.library.call("RemoteInvokeFlow", UNIT, 0, b"P", b"F", 0, 600_000, b"[]")
    world.peer.frame()
    world.peer.system(Cmd.FLOW_ACK, flow_ack(call, 1, b""))
    threads.add(world.library.expect("flow_ack", ..., ..., ..., b"P", call, 1).thread)
    world.peer.system(Cmd.FLOW_RETURN, flow_result(call, b"[]"))
    threads.add(world.library.expect("flow_ret", ..., ..., ..., b"P", call, 1).thread)
    world.peer.ack()
    threads.add(world.library.expect("connection").thread)
    world.peer.send(golden("global_connect_existing"))
    threads.add(world.library.expect("global").thread)
    world.peer.close()
    threads.add(world.library.expect("disconnect").thread)
    let_in(world)
    assert len(threads) == 1
    assert own not in threads


@TABLE.row("1", "a second one reports time-outs, also while a callback runs", fresh=True)
def _(world: World) -> None:
    world.begin()
    world.library.command("hold", "data")
    world.peer.data(b"x")
    network = world.library.expect("data").thread
    call = world.library.call("RemoteInvokeFlow", UNIT, 0, b"P", b"F", 0, 0, b"[]")
    threads = {
        world.library.expect(kind, ARG, ME.client_id, None, b"P", call, -25, b"").thread
        for kind in ("flow_ret", "flow_ack")
    }
    assert len(threads) == 1
    assert not threads & {network, world.library.command("facts")[1]}
    world.library.command("let_go", "data")
    world.peer.frame()
    world.nothing_called()


@TABLE.row("1", "a full backlog is no server, and the next attempt comes 2 s later", slow=True)
def _(world: World) -> None:
    init(world)
    fillers = full_backlog(world)
    began = time.monotonic()
    connect(world)
    world.library.expect("connection", ARG, ME.client_id, -1, -20)
    for filler in fillers:
        filler.close()
    Path(world.path).unlink()
    serve_again(world)
    assert let_in(world).opened - began >= 1.9


# ---- 2 Frame -------------------------------------------------------------------------------


@TABLE.row("2", "the padding of user data is the size modulo 4", fresh=True)
def _(world: World) -> None:
    peer = begin_golden(world)
    for size in range(6):
        data = b"abcde"[:size]
        assert world.library.call("SendData", 100 + size, 3, *_to(GOLDEN, 30, 4), data, size) == 0
        peer.frame()
        assert peer.raw == frame(f"user_data_{size}")


def _to(of: Address, client: int, kind: int) -> Address:
    """Somebody else of the same server."""
    return Address(of.unit_id, client, kind)


@TABLE.row("2", "a ping", fresh=True)
def _(world: World) -> None:
    peer = begin_golden(world)
    assert world.library.call("SendPing", *_to(GOLDEN, 30, 4), b"pingdata", 8) == 0
    peer.frame()
    assert peer.raw == frame("ping")


@TABLE.row("2", "reserved bytes and padding are zero")
def _(world: World) -> None:
    for _ in range(20):
        assert world.library.call("SendData", 1, 3, *OTHER, b"\xff\xff\xff", 3) == 0
        world.peer.frame()
        assert world.peer.raw[10:12] == bytes(2)
        assert world.peer.raw[23:] == bytes(3)


@TABLE.row("2", "ids from 128 to 255 travel as one byte, larger ones as their low byte")
def _(world: World) -> None:
    for client, kind in ((128, 4), (255, 255), (-1, -1), (300, 1000)):
        assert world.library.call("SendData", 1, 3, 20, client, kind, b"", 0) == 0
        assert world.peer.frame().dst == (20, client & 255, kind & 255)


@TABLE.row("2", "any padding is accepted, none included")
def _(world: World) -> None:
    for size in range(9):
        for padding in range(9):
            raw = bytearray(encode_frame(OTHER, ME, 1, CmdType.USER, bytes(size)))
            raw = raw[: 20 + size] + b"\xff" * padding
            raw[12:16] = len(raw).to_bytes(4, "little")
            world.peer.send(bytes(raw))
            world.library.expect("data", ARG, ME.client_id, bytes(raw[:20]), ..., size)


# ---- 2.1 What arrives ----------------------------------------------------------------------


@TABLE.row("2.1", "any split of the stream")
def _(world: World) -> None:
    text = b"0123456789" * 3
    stream = b"".join(encode_frame(OTHER, ME, n, CmdType.USER, text[:n]) for n in range(30))
    for pieces in (1, 2, 7, len(stream)):
        step = -(-len(stream) // pieces)
        for start in range(0, len(stream), step):
            world.peer.send(stream[start : start + step])
        for n in range(30):
            world.library.expect("data", ..., ..., ..., text[:n] or None, n)


@TABLE.row("2.1", "a split with a pause in the header and one in the data", fresh=True)
def _(world: World) -> None:
    world.begin()
    raw = encode_frame(OTHER, ME, 1, CmdType.USER, b"whole")
    for start, end in ((0, 1), (1, 13), (13, 22), (22, None)):
        world.peer.send(raw[start:end])
        if end is not None:
            world.watch(0.2)
            assert not world.library.events
    world.library.expect("data", ..., ..., ..., b"whole", 5)


@TABLE.row("2.1", "size 0 has a NULL pointer")
def _(world: World) -> None:
    head = world.peer.data(b"")
    world.library.expect("data", ARG, ME.client_id, head, None, 0)


@TABLE.row("2.1", "the destination is not looked at")
def _(world: World) -> None:
    for number, dst in enumerate(((40, 200, 30), (0, 0, 0), (-1, -1, -1), (UNIT, 4, 18))):
        world.peer.data(b"%d" % number, Address(*dst))
        world.library.expect("data", ..., ..., ..., b"%d" % number)


@TABLE.row("2.1", "a frame of 9 MB", fresh=True)
def _(world: World) -> None:
    world.begin()
    data = bytes(range(256)) * (9 * 4096)
    world.peer.data(data)
    world.library.expect("data", ..., ..., ..., data, len(data))


@TABLE.row("2.1", "cmdtype 0 other than cmd 2 is ignored")
def _(world: World) -> None:
    for cmd in range(256):
        if cmd != Cmd.REGISTER_ACK:
            world.peer.send(encode_frame(OTHER, ME, cmd, 0, b"data"))
    world.nothing_called()
    world.nothing_sent()


def bad(name: str, offset: int, size: int, value: int, vendor: str) -> None:
    """A frame that ends the connection: what came before it is delivered, the next one counts."""

    @TABLE.row("2.1", name, fresh=True, vendor=vendor)
    def _(world: World) -> None:
        world.library.call("SetTraceStr", None, Hook("error"))
        world.begin()
        good = encode_frame(OTHER, ME, 1, CmdType.USER, b"good")
        broken = bytearray(encode_frame(OTHER, ME, 1, CmdType.USER, b"never heard of"))
        broken[offset : offset + size] = value.to_bytes(size, "little", signed=True)
        world.peer.send(good, bytes(broken), good)
        world.library.expect("data", ..., ..., ..., b"good")
        world.library.expect("disconnect", ARG, ME.client_id)
        world.library.expect_trace("error", b"closed")
        let_in(world)
        world.peer.data(b"again")
        world.library.expect("data", ..., ..., ..., b"again")


DROPS = "drops what is buffered, and goes on in the middle of frames"
bad("a wrong flag ends the connection", 0, 2, 0x1234, DROPS)
bad("packet size 0 ends the connection", 12, 4, 0, "loops for ever")
bad("packet size below 20 ends the connection", 12, 4, 19, "loops for ever")
bad("a negative packet size ends the connection", 12, 4, -20, "loops for ever")
bad("data larger than the packet ends the connection", 16, 4, 20, "reads past the frame")
bad("a negative data size ends the connection", 16, 4, -1, "calls back with that size")


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
