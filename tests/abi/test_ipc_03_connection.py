"""IPC.md 2.2 to 4: registration, keeping the connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from smartbus.wire import Address, Cmd, CmdType, encode_frame
from tests.abi.ipc import (
    GOLDEN,
    ME,
    begin_golden,
    connect,
    flow_ack,
    flow_result,
    frame,
    init,
    let_in,
    serve_again,
    table,
    vanish,
)
from tests.abi.outcomes import Outcomes
from tests.abi.server import OTHER, UNIT, Peer
from tests.abi.table import Case
from tests.abi.world import ARG, INFO, PASSWORD, USER, World

TABLE = table()

# ---- 2.2 What a server must expect ---------------------------------------------------------


@TABLE.row("2.2", "sent inside the disconnect callback, it goes out first", fresh=True)
def _(world: World) -> None:
    """The core sends it after the registration, so that a server need not ignore it."""
    world.begin()
    world.library.command("inside", "disconnect", ("SendData", 1, 3, *OTHER, b"farewell", 8))
    world.peer.close()
    world.library.expect("disconnect")
    world.library.expect("inside", 0)
    let_in(world)
    assert world.peer.frame().data == b"farewell"


@TABLE.row("2.2", "a server that closes before it answers does no harm", slow=True)
def _(world: World) -> None:
    """Neither SIGPIPE, which would end the process, nor attempts without a pause."""
    init(world)
    world.server = world.serve()
    connect(world)
    began = time.monotonic()
    for _ in range(4):
        world.server.peer().close()
    assert time.monotonic() - began >= 1.9
    let_in(world)


# ---- 3.1 Registration ----------------------------------------------------------------------


@TABLE.row("3.1", "the request is the golden frame", slow=True)
def _(world: World) -> None:
    begin_golden(world)
    vanish(world)
    world.peer.close()
    world.library.expect("disconnect")
    world.library.expect("connection", ARG, GOLDEN.client_id, GOLDEN.unit_id, -20)
    serve_again(world)
    world.peer = world.server.peer()
    world.peer.registration()
    want = bytearray(frame("register"))
    want[5] = GOLDEN.unit_id  # the document: garbage; the core: the unit that it had
    assert world.peer.raw == bytes(want)


@TABLE.row("3.1", "the first request has no unit", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.server = world.serve()
    world.library.call("Init", GOLDEN.client_type, GOLDEN.client_id)
    connect(world)
    peer = world.server.peer()
    request = peer.registration()
    assert peer.raw == frame("register")
    assert (request.user, request.password, request.info) == (USER, PASSWORD, INFO)
    assert (request.connect_index, request.form, request.wide) == (0, "2015", False)
    assert len(peer.raw) == 5961


def credentials(name: str, given: tuple[bytes | None, ...], sent: tuple[bytes, ...]) -> None:
    @TABLE.row("3.1", name, fresh=True)
    def _(world: World) -> None:
        init(world)
        world.server = world.serve()
        assert world.library.call("CreateConnect", *given) == 0
        request = world.server.peer().registration()
        assert (request.user, request.password, request.info) == sent


credentials("NULL strings are empty", (None, None, None), (b"", b"", b""))
credentials("empty strings", (b"", b"", b""), (b"", b"", b""))
credentials(
    # The vendor's cuts at 64, 128 and 256, and leaves no room for a NUL.
    "long strings are cut and terminated",
    (b"u" * 300, b"p" * 300, b"i" * 300),
    (b"u" * 63, b"p" * 127, b"i" * 255),
)
credentials(
    "the longest strings",
    (b"u" * 63, b"p" * 127, b"i" * 255),
    (b"u" * 63, b"p" * 127, b"i" * 255),
)
credentials(
    "bytes of any value", (b"\xc4\xe3", b"\xff\x01", b"\x80"), (b"\xc4\xe3", b"\xff\x01", b"\x80")
)

# ---- 3.2 Its answer ------------------------------------------------------------------------


def accepted(name: str, raw: bytes, unit: int) -> None:
    """These bytes let the client in, as a client of this unit."""

    @TABLE.row("3.2", name, fresh=True)
    def _(world: World) -> None:
        init(world)
        world.server = world.serve()
        connect(world)
        peer = world.peer = world.server.peer()
        peer.registration()
        peer.send(raw)
        world.library.expect("connection", ARG, ME.client_id, unit, 0)
        assert world.library.call("SendData", 1, 3, 20, 0, 0, b"x", 1) == 0
        assert peer.frame().src == (unit & 255, ME.client_id, ME.client_type)


def _ack(src: tuple[int, int, int], data: bytes) -> bytes:
    return encode_frame(Address(*src), Address(77, 78, 79), Cmd.REGISTER_ACK, CmdType.LINK, data)


accepted("the golden answer", frame("register_ack_ok"), 3)
accepted("the unit is the header's source unit", _ack((15, 0, 1), bytes(4)), 15)
accepted("unit 0", _ack((0, 0, 1), bytes(4)), 0)
accepted("nothing else of the header and the data counts", _ack((7, 99, 98), bytes(3000)), 7)


def refused(code: int) -> None:
    @TABLE.row("3.2", f"result {code} is a refusal for good", slow=True)
    def _(world: World) -> None:
        init(world)
        world.server = world.serve()
        connect(world)
        peer = world.server.peer()
        peer.accept(code)
        world.library.expect("connection", ARG, ME.client_id, ..., code)
        peer.ended()
        assert world.library.call("SendData", 1, 3, *OTHER, b"x", 1) == -2
        world.watch(3)  # further attempts would come every 2 s
        world.settle()  # and no disconnect callback
        connect(world)  # until it is asked again
        let_in(world)


for code in (-4, -5, -6, -10, -21, -22, 1, 5, -0x80000000):
    refused(code)


@TABLE.row("3.2", "no answer is waited for without a limit", slow=True)
def _(world: World) -> None:
    init(world)
    world.server = world.serve()
    connect(world)
    peer = world.peer = world.server.peer()
    peer.registration()
    for _ in range(3):
        world.watch(4)
        world.settle()
        assert world.library.call("SendData", 1, 3, *OTHER, b"x", 1) == -2
    peer.ack()
    world.library.expect("connection", ARG, ME.client_id, UNIT, 0)


@TABLE.row("3.2", "a second answer 0 calls back again and replaces the unit", fresh=True)
def _(world: World) -> None:
    world.begin()
    world.peer.ack(0, 9)
    world.library.expect("connection", ARG, ME.client_id, 9, 0)
    assert world.library.call("SendData", 1, 3, 20, 0, 0, b"x", 1) == 0
    assert world.peer.frame().src == (9, ME.client_id, ME.client_type)


@TABLE.row("3.2", "a refusal while connected disconnects for good", slow=True)
def _(world: World) -> None:
    world.begin()
    world.peer.ack(-22, 3)
    world.library.expect("connection", ARG, ME.client_id, ..., -22)
    world.library.expect("disconnect", ARG, ME.client_id)
    world.peer.ended()
    world.watch(3)
    world.settle()
    assert world.library.call("SendData", 1, 3, *OTHER, b"x", 1) == -2
    connect(world)
    let_in(world)


# ---- 4 Keeping the connection --------------------------------------------------------------


@TABLE.row("4", "no heartbeat is sent nor expected", slow=True)
def _(world: World) -> None:
    world.begin()
    world.watch(17)  # NET gives up after 15 s of silence
    world.settle()
    assert world.peer.beat_count == 0
    world.nothing_called()


@TABLE.row("4", "cmd 5 and 6 of cmdtype 0 are ignored")
def _(world: World) -> None:
    for cmd in (Cmd.HEARTBEAT, Cmd.HEARTBEAT_ACK):
        for size in (0, 24, 32):
            world.peer.send(encode_frame(OTHER, ME, cmd, CmdType.LINK, bytes(size)))
    world.nothing_called()
    world.nothing_sent()


@TABLE.row("4", "the first failure of a row calls back, attempts come every 2 s", slow=True)
def _(world: World) -> None:
    init(world)
    began = time.monotonic()
    connect(world)  # returns 0 without a server, too
    world.library.expect("connection", ARG, ME.client_id, -1, -20)
    world.watch(5)
    world.settle()
    serve_again(world)
    let_in(world)
    assert world.peer.opened - began >= 5.9
    vanish(world)
    world.peer.close()
    world.library.expect("disconnect", ARG, ME.client_id)
    world.library.expect("connection", ARG, ME.client_id, UNIT, -20)  # a new row, the last unit
    world.watch(5)
    world.settle()
    serve_again(world)
    let_in(world)


@TABLE.row("4", "refused by the file system it is the same", slow=True)
def _(world: World) -> None:
    init(world)
    Path(world.path).write_text("no socket")
    connect(world)
    world.library.expect("connection", ARG, ME.client_id, -1, -20)
    Path(world.path).unlink()
    serve_again(world)
    let_in(world)


def lost(name: str, lose: Callable[[World, Peer], object]) -> None:
    @TABLE.row("4", f"{name} comes back at once with a full registration", slow=True)
    def _(world: World) -> None:
        world.begin()
        request = world.expect_back_at_once(lambda peer: lose(world, peer))
        assert (request.user, request.password, request.info) == (USER, PASSWORD, INFO)


def reset(world: World, peer: Peer) -> None:
    """Close with data that was not read."""
    peer.deaf = True
    assert world.library.call("SendData", 1, 3, *OTHER, b"x", 1) == 0
    peer.free()


lost("a closed connection", lambda _, peer: peer.free())
lost("a half closed connection", lambda _, peer: peer.half_close())
lost("a reset connection", reset)


@TABLE.row("4", "lost before it was registered, no disconnect callback comes", slow=True)
def _(world: World) -> None:
    init(world)
    world.server = world.serve()
    connect(world)
    for _ in range(2):
        peer = world.server.peer()
        peer.registration()
        peer.close()
    let_in(world)


@TABLE.row("4", "Release closes within a moment, without a callback or another attempt", slow=True)
def _(world: World) -> None:
    world.begin()
    world.library.call("Release")
    world.peer.ended()
    world.watch(3)
    world.settle()


@TABLE.row("4", "calls outstanding over a reconnect stay valid", slow=True)
def _(world: World) -> None:
    world.begin()
    call = world.library.call("RemoteInvokeFlow", UNIT, 0, b"P", b"F", 0, 30_000, b"[]")
    late = world.library.call("RemoteInvokeFlow", UNIT, 0, b"Q", b"F", 0, 1500, b"[]")
    world.peer.frame()
    world.peer.frame()
    began = time.monotonic()
    world.peer.close()
    world.library.expect("disconnect")
    let_in(world)
    world.peer.system(Cmd.FLOW_ACK, flow_ack(call, 1, b"started"))
    world.library.expect("flow_ack", ARG, ME.client_id, ..., b"P", call, 1, b"started")
    world.peer.system(Cmd.FLOW_RETURN, flow_result(call, b"[1]"))
    world.library.expect("flow_ret", ARG, ME.client_id, ..., b"P", call, 1, b"[1]")
    kinds = {
        world.library.expect(kind, ..., ..., None, b"Q", late, -25).kind for kind in _two(world)
    }
    assert kinds == {"flow_ack", "flow_ret"}
    assert time.monotonic() - began >= 1.4


def _two(world: World) -> tuple[str, str]:
    """Kinds of the next two callbacks."""
    world.until(lambda: len(world.library.events) >= 2, "both time-outs")
    return world.library.events[0].kind, world.library.events[1].kind


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
