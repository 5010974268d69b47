"""NET.md 8: notifies."""

from __future__ import annotations

from itertools import chain
from typing import Any

from smartbus.wire import Cmd, CmdType, Notify
from tests.abi.golden import comparable, golden
from tests.abi.outcomes import Outcomes
from tests.abi.server import Peer
from tests.abi.table import Case, Table
from tests.abi.world import ARG, World

TABLE = Table("NET.md")


def notify(
    world: World,
    title: bytes | None = b"title1",
    param: bytes | None = b"hello",
    unit: int = 0,
    client: int = 3,
    project: bytes | None = b"Project1",
    mode: int = 0,
    expires: int = 60_000,
    process: int = 7,
) -> Any:
    """Send a notify."""
    arguments = (client, unit, process, project, title, mode, expires, param)
    return world.library.call("SendNotify", *arguments)


def received(peer: Peer) -> Notify:
    """The next frame is a notify."""
    frame = peer.frame()
    assert (frame.cmd_type, frame.cmd) == (CmdType.SYSTEM, Cmd.NOTIFY)
    assert frame.dst[2] == 2
    return Notify.decode(frame.data)


@TABLE.row("8", "golden notify", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    assert notify(world) == 1
    peer.frame()
    assert comparable(peer.raw, "notify", world.kind) == golden("notify")


@TABLE.row("8", "ids of their own", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    call = ("RemoteInvokeFlow", 3, 0, 7, b"p", b"f", 0, 0, b"[]")
    assert [notify(world), notify(world)] == [1, 2]
    assert [world.library.call(*call), world.library.call(*call)] == [1, 2]
    assert notify(world) == 3
    assert [received(peer).invoke_id for _ in range(2)] == [1, 2]


@TABLE.row("8", "ids are unique among threads", fresh=True)
def _(world: World) -> None:
    world.begin()
    results = world.library.command(
        "call_many", 4, 200, "SendNotify", 3, 0, 7, b"p", b"t", 0, 1, b"x"
    )
    assert sorted(chain.from_iterable(results)) == list(range(1, 801))


@TABLE.row("8", "project is cut to 31 bytes and title to 101")
def _(world: World) -> None:
    assert notify(world, title=b"t" * 200, project=b"p" * 200) > 0
    sent = received(world.peer)
    assert (sent.project, sent.title) == (b"p" * 31, b"t" * 101)


@TABLE.row("8", "NULL project is empty")
def _(world: World) -> None:
    assert notify(world, project=None) > 0
    assert received(world.peer).project == b""


@TABLE.row("8", "expires travels as given")
def _(world: World) -> None:
    for expires in (0, -1, 0x7FFFFFFF, -0x80000000):
        assert notify(world, expires=expires) > 0
        assert received(world.peer).expires == expires


@TABLE.row("8", "mode is its low byte")
def _(world: World) -> None:
    for mode in (1, 255, 256, -1):
        assert notify(world, mode=mode) > 0
        assert received(world.peer).mode == mode & 255


@TABLE.row("8", "process is its low byte and negative units pass")
def _(world: World) -> None:
    assert notify(world, unit=-1, process=263) > 0
    assert world.peer.frame().dst == (255, 7, 2)


@TABLE.row("8", "texts travel byte for byte")
def _(world: World) -> None:
    text = bytes(range(1, 256))
    assert notify(world, title=text[:100], param=text) > 0
    sent = received(world.peer)
    assert (sent.title, sent.text) == (text[:100], text)


def refuses(name: str, code: int, **arguments: Any) -> None:
    @TABLE.row("8", name)
    def _(world: World) -> None:
        assert notify(world, **arguments) == code
        world.nothing_sent(3)


LONG = b"x" * 16_000

refuses("1 unit above 15", -12, unit=16)
refuses("1 unit 255 too", -12, unit=255)
refuses("1 before 2", -12, unit=16, title=None)
refuses("2 title NULL", -1, title=None)
refuses("2 title empty", -1, title=b"")
refuses("2 before 4", -1, title=b"", param=LONG)
refuses("3 param NULL", -1, param=None)
refuses("3 param empty", -1, param=b"")
refuses("3 before 5", -1, param=b"", client=9)
refuses("4 text over limit", -15, param=LONG)
refuses("4 before 5", -15, param=LONG, client=9)
refuses("5 no such client", -9, client=9)


@TABLE.row("8", "4 the longest text")
def _(world: World) -> None:
    assert notify(world, param=LONG[:-1]) > 0
    assert received(world.peer).text == LONG[:-1]


@TABLE.row("8", "5 not initialised comes late", fresh=True)
def _(world: World) -> None:
    assert notify(world, unit=16) == -12
    assert notify(world, title=None) == -1
    assert notify(world, param=LONG) == -15
    assert notify(world) == -14


@TABLE.row("8", "5 no link is registered", fresh=True)
def _(world: World) -> None:
    world.library.call("Init", 19)
    server = world.serve()
    world.create(server)
    server.peer().registration()
    assert notify(world) == -2


@TABLE.row("8", "no callback ever comes", slow=True)
def _(world: World) -> None:
    peer = world.begin()
    number = notify(world, expires=1)
    received(peer)
    peer.system(Cmd.FLOW_ACK, bytes(33) + number.to_bytes(4, "little") + bytes(14))
    world.watch(2)
    world.nothing_called()


@TABLE.row("8", "one sent in the disconnect callback goes out later", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    world.library.command(
        "inside", "disconnect", ("SendNotify", 3, 0, 7, b"p", b"t", 0, 1, b"late")
    )
    peer.close()
    world.library.expect("disconnect", ARG, 3)
    assert world.library.expect("inside").values == (1,)
    again = world.server.peer()
    again.accept()
    world.library.expect("connection", ARG, 3, ..., 0)
    assert received(again).text == b"late"


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
