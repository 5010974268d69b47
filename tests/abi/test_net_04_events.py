"""NET.md 4: global connect events."""

from __future__ import annotations

from smartbus.wire import Address, Cmd, CmdType, GlobalConnect, encode_frame
from tests.abi.golden import comparable, golden
from tests.abi.library import Hook
from tests.abi.outcomes import Outcomes
from tests.abi.server import UNIT
from tests.abi.table import Case, Table
from tests.abi.world import ARG, CLIENT, World

TABLE = Table("NET.md")

NODE = Address(UNIT, 0, 1)


def event(
    cmd: int = Cmd.GLOBAL_CONNECT_ANSWER,
    who: tuple[int, int, int] = (20, 4, 5),
    access: int = 1,
    status: int = 2,
    info: bytes = b"peer info",
    dst: Address = CLIENT,
) -> bytes:
    """A global connect frame."""
    body = GlobalConnect(*who, access, status, info).encode(NODE, dst, cmd)
    return encode_frame(NODE, dst, cmd, CmdType.SYSTEM, body)


def delivers(name: str, *arguments: object, answered: bool = False) -> None:
    @TABLE.row("4", f"golden {name}")
    def _(world: World) -> None:
        world.peer.send(golden(name))
        world.library.expect("global", ARG, *arguments)
        if answered:
            world.peer.frame()
            reply = "global_connect_reply"
            assert comparable(world.peer.raw, reply, world.kind) == golden(reply)
        world.nothing_called()
        world.nothing_sent(3)


delivers("global_connect_new", 20, 4, 5, 1, 1, b"peer info", answered=True)
delivers("global_connect_gone", 20, 4, 5, 1, 0)
delivers("global_connect_existing", 20, 4, 5, 1, 2)
delivers("global_connect_new_silent", 20, 4, 5, 1, 1)


@TABLE.row("4", "the five numbers are signed characters")
def _(world: World) -> None:
    world.peer.send(event(who=(200, 255, 128), access=129, status=254))
    world.library.expect("global", ARG, -56, -1, -128, -127, -2)


@TABLE.row("4", "any status is passed on")
def _(world: World) -> None:
    for status in (3, 127):
        for cmd in (Cmd.GLOBAL_CONNECT, Cmd.GLOBAL_CONNECT_ANSWER):
            world.peer.send(event(cmd, status=status))
            world.library.expect("global", ARG, 20, 4, 5, 1, status)
    world.nothing_sent(3)


@TABLE.row("4", "the destination is not checked")
def _(world: World) -> None:
    for dst in (Address(99, 200, 77), Address(-1, -1, -1), Address(20, 4, 5)):
        world.peer.send(event(dst=dst))
        world.library.expect("global", ARG, 20, 4, 5, 1, 2, b"peer info")


@TABLE.row("4", "the inner header is not checked")
def _(world: World) -> None:
    frame = bytearray(event())
    frame[20:40] = b"\xee" * 20
    world.peer.send(bytes(frame))
    world.library.expect("global", ARG, 20, 4, 5, 1, 2, b"peer info")


@TABLE.row("4", "the longest info and an empty one")
def _(world: World) -> None:
    for info in (bytes(range(1, 256)), b""):
        world.peer.send(event(info=info))
        world.library.expect("global", ARG, 20, 4, 5, 1, 2, info)


@TABLE.row("4", "an info without its end is cut", vendor="reads on behind the frame")
def _(world: World) -> None:
    frame = bytearray(event())
    frame[45:301] = b"i" * 256
    world.peer.send(bytes(frame))
    world.library.expect("global", ARG, 20, 4, 5, 1, 2, b"i" * 255)


@TABLE.row("4", "any other length is ignored")
def _(world: World) -> None:
    for cmd in (Cmd.GLOBAL_CONNECT, Cmd.GLOBAL_CONNECT_ANSWER):
        for size in (0, 1, 280, 282, 300):
            world.peer.data(bytes(size), cmd=cmd, kind=CmdType.SYSTEM)
    world.nothing_called()
    world.nothing_sent(3)


@TABLE.row("4", "another length is traced as an error but an empty one", fresh=True)
def _(world: World) -> None:
    world.library.call("SetTrace", Hook("info_format"), Hook("error_format"))
    peer = world.begin()
    peer.data(b"", cmd=Cmd.GLOBAL_CONNECT, kind=CmdType.SYSTEM)
    world.nothing_called()
    before = [trace for trace in world.library.traces if trace.kind == "error_format"]
    assert not before
    peer.data(bytes(280), cmd=Cmd.GLOBAL_CONNECT, kind=CmdType.SYSTEM)
    world.library.expect_trace("error_format", b"")


@TABLE.row("4", "without its callback it is neither delivered nor answered", fresh=True)
def _(world: World) -> None:
    connection, data, disconnect, ret = map(Hook, ("connection", "data", "disconnect", "flow_ret"))
    world.library.call("SetCallBackFn", connection, data, disconnect, ret, None, ARG)
    world.library.call("Init", 19)
    world.join().send(golden("global_connect_new"))
    world.nothing_called()
    world.nothing_sent(3)


@TABLE.row("4", "a newcomer of the own unit is not answered")
def _(world: World) -> None:
    world.peer.send(event(Cmd.GLOBAL_CONNECT, (19, 4, 5), status=1))
    world.library.expect("global", ARG, 19, 4, 5, 1, 1)
    world.nothing_sent(3)


@TABLE.row("4", "a newcomer of unit 48 to 127 is not answered")
def _(world: World) -> None:
    for unit in (48, 127):
        world.peer.send(event(Cmd.GLOBAL_CONNECT, (unit, 4, 5), status=1))
        world.library.expect("global", ARG, unit, 4, 5, 1, 1)
    world.nothing_sent(3)


@TABLE.row("4", "a newcomer of unit 128 and more is answered")
def _(world: World) -> None:
    for unit in (128, 255):
        world.peer.send(event(Cmd.GLOBAL_CONNECT, (unit, 4, 5), status=1))
        world.library.expect("global", ARG, unit - 256, 4, 5, 1, 1)
        frame = world.peer.frame()
        assert (frame.cmd, frame.dst) == (Cmd.GLOBAL_CONNECT_ANSWER, (unit, 4, 5))


@TABLE.row("4", "each client answers for itself", fresh=True)
def _(world: World) -> None:
    peers = [world.begin(), world.join(200, 130)]
    for peer, client, kind in zip(peers, (3, 200), (18, 130), strict=True):
        peer.send(event(Cmd.GLOBAL_CONNECT, status=1))
        world.library.expect("global", ARG, 20, 4, 5, 1, 1)
        frame = peer.frame()
        assert (frame.src, frame.dst) == ((19, client, kind), (20, 4, 5))
        about = GlobalConnect.decode(frame.data)
        assert about == (19, client, kind, UNIT, 2, b"info!")


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
