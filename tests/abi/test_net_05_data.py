"""NET.md 5 and 6: user data, and pings."""

from __future__ import annotations

from typing import Any

from smartbus.wire import Address, Cmd, CmdType, encode_frame
from tests.abi.golden import comparable, golden
from tests.abi.library import Hook
from tests.abi.outcomes import Outcomes
from tests.abi.server import OTHER
from tests.abi.table import Case, Table
from tests.abi.world import ARG, CLIENT, World

TABLE = Table("NET.md")

TOO_BIG = 0x10000000

# ---- 5.1, 6: the same checks of SendData and SendPing ---------------------------------------

#: What each of them sends when nothing is wrong: (client, what to send, destination, data).
Arguments = tuple[Any, ...]


def send_data(
    client: int = 3,
    dst: tuple[int, int, int] = (20, 4, 5),
    data: bytes | None = b"abcd",
    size: int = 4,
    kind: int = 3,
) -> Arguments:
    return "SendData", client, 77, kind, *dst, data, size


def send_ping(
    client: int = 3,
    dst: tuple[int, int, int] = (20, 4, 5),
    data: bytes | None = b"abcd",
    size: int = 4,
) -> Arguments:
    return "SendPing", client, *dst, data, size


def refuses(section: str, name: str, arguments: Arguments, code: int) -> None:
    """Nothing is sent and `code` returned."""

    @TABLE.row(section, name)
    def _(world: World) -> None:
        assert world.library.call(*arguments) == code
        world.nothing_sent(3)


def refuses_before_init(section: str, name: str, arguments: Arguments) -> None:
    @TABLE.row(section, name, fresh=True)
    def _(world: World) -> None:
        assert world.library.call(*arguments) == -14


NAMES = {"5.1": send_data, "6": send_ping}

for section, send in NAMES.items():
    refuses_before_init(section, "1 not initialised", send())
    refuses_before_init(section, "1 before 2", send(dst=(48, 4, 5)))
    refuses_before_init(section, "1 before 3", send(size=TOO_BIG))
    refuses(section, "2 unit above 47", send(dst=(48, 4, 5)), -12)
    refuses(section, "2 unit 255 too", send(dst=(255, 4, 5)), -12)
    refuses(section, "2 unit 256 too", send(dst=(256, 4, 5)), -12)
    refuses(section, "2 before 3", send(dst=(48, 4, 5), size=TOO_BIG), -12)
    refuses(section, "2 before 6", send(client=9, dst=(48, 4, 5)), -12)
    refuses(section, "3 size over limit", send(size=TOO_BIG), -15)
    refuses(section, "3 largest int", send(size=0x7FFFFFFF), -15)
    refuses(section, "3 before 5", send(dst=(19, 4, 5), size=TOO_BIG), -15)
    refuses(section, "3 before 6", send(client=9, size=TOO_BIG), -15)
    refuses(section, "3 the limit itself passes", send(client=9, size=TOO_BIG - 1), -9)
    refuses(section, "5 own unit", send(dst=(19, 3, 18)), -11)
    refuses(section, "5 own unit whatever the client", send(dst=(19, 200, 5)), -11)
    refuses(section, "5 own unit and any client", send(dst=(19, -1, -1)), -11)
    refuses(section, "5 before 6", send(client=9, dst=(19, 4, 5)), -11)
    refuses(section, "6 no such client", send(client=9), -9)

refuses_before_init("5.1", "1 before 4", send_data(kind=0))
refuses("5.1", "2 before 4", send_data(dst=(48, 4, 5), kind=0), -12)
refuses("5.1", "3 before 4", send_data(size=TOO_BIG, kind=0), -15)
refuses("5.1", "4 cmdtype 0", send_data(kind=0), -16)
refuses("5.1", "4 before 5", send_data(dst=(19, 4, 5), kind=0), -16)
refuses("5.1", "4 before 6", send_data(client=9, kind=0), -16)


def not_registered(section: str, arguments: Arguments, own: Arguments) -> None:
    @TABLE.row(section, "7 no link is registered", fresh=True)
    def _(world: World) -> None:
        world.library.hook_all(ARG)
        world.library.call("Init", 19)
        server = world.serve()
        world.create(server)
        peer = server.peer()
        peer.registration()
        assert world.library.call(*own) == -11  # 5 before 7
        assert world.library.call(*arguments) == -2
        peer.ack()
        world.library.expect("connection", ARG, 3)
        assert world.library.call(*arguments) == 0
        peer.frame()
        peer.close()
        server.stop()
        world.library.expect("disconnect", ARG, 3)
        world.until(lambda: world.library.events, "the failed attempt")
        world.library.expect("connection", ARG, 3, ..., -20)
        assert world.library.call(*arguments) == -2


not_registered("5.1", send_data(), send_data(dst=(19, 4, 5)))
not_registered("6", send_ping(), send_ping(dst=(19, 4, 5)))


@TABLE.row("5.1", "every negative unit passes and the low 8 bits travel")
def _(world: World) -> None:
    for unit, client, kind in ((-1, -1, -1), (-2, 300, 1000), (-128, 255, 0), (-1000, 256, -200)):
        assert world.library.call(*send_data(dst=(unit, client, kind))) == 0
        assert world.peer.frame().dst == (unit & 255, client & 255, kind & 255)


@TABLE.row("5.1", "units 0 to 47 pass but the own")
def _(world: World) -> None:
    for unit in range(48):
        assert world.library.call(*send_data(dst=(unit, 4, 5))) == (-11 if unit == 19 else 0)
        if unit != 19:
            assert world.peer.frame().dst == (unit, 4, 5)


@TABLE.row("5.1", "source is the own address")
def _(world: World) -> None:
    assert world.library.call(*send_data()) == 0
    assert world.peer.frame().src == CLIENT


@TABLE.row("5.1", "every cmdtype but 0 passes with every cmd")
def _(world: World) -> None:
    text = bytes(200)  # the vendor reads far into some of them (NET-2018.md 5)
    for kind in range(1, 256):
        cmd = 255 - kind
        assert world.library.call("SendData", 3, cmd, kind, 20, 4, 5, text, 200) == 0
        frame = world.peer.frame()
        assert (frame.cmd, frame.cmd_type) == (cmd, kind)


@TABLE.row("5.1", "negative size is sent as 0")
def _(world: World) -> None:
    for size in (-1, -0x80000000):
        assert world.library.call(*send_data(size=size)) == 0
        assert world.peer.frame().data == b""


CRASH_2018 = "of 2018 crashes, those of 2015 agree"


@TABLE.row("5.1", "NULL with size 0 is empty", vendor=CRASH_2018)
def _(world: World) -> None:
    assert world.library.call(*send_data(data=None, size=0)) == 0
    assert world.peer.frame().data == b""


@TABLE.row("6", "NULL with size 0 is empty", vendor=CRASH_2018)
def _(world: World) -> None:
    assert world.library.call(*send_ping(data=None, size=0)) == 0
    assert world.peer.frame().data == b""


@TABLE.row("5.1", "NULL with a size is refused", vendor="crashes")
def _(world: World) -> None:
    assert world.library.call(*send_data(data=None)) == -1
    assert world.library.call(*send_ping(data=None)) == -1
    assert world.library.call(*send_data(data=None, dst=(48, 4, 5))) == -12
    assert world.library.call(*send_data(data=None, size=TOO_BIG)) == -15
    world.nothing_sent(3)


@TABLE.row("5.1", "data with every byte and NUL travels whole")
def _(world: World) -> None:
    text = bytes(range(256)) * 300
    assert world.library.call(*send_data(data=text, size=len(text))) == 0
    assert world.peer.frame().data == text


@TABLE.row("5.1", "frames keep their order")
def _(world: World) -> None:
    for number in range(1000):
        assert world.library.call(*send_data(data=b"%4d" % number)) == 0
    assert [int(world.peer.frame().data) for _ in range(1000)] == list(range(1000))


@TABLE.row("5.1", "frames of several threads are whole")
def _(world: World) -> None:
    text = b"0123456789" * 100
    results = world.library.command("call_many", 4, 500, *send_data(data=text, size=len(text)))
    assert results == [[0] * 500] * 4
    assert all(world.peer.frame().data == text for _ in range(2000))


@TABLE.row("5.1", "frames in the queue of a lost link go out after it", fresh=True)
def _(world: World) -> None:
    world.begin()
    world.library.command("inside", "disconnect", send_data(data=b"late"), send_ping())
    world.peer.close()
    world.library.expect("disconnect", ARG, 3)
    assert world.library.expect("inside").values == (0, 0)
    again = world.server.peer()
    again.accept()
    world.library.expect("connection", ARG, 3, ..., 0)
    assert again.frame().data == b"late"
    assert again.frame().cmd == Cmd.PING


# ---- 5.2 ---------------------------------------------------------------------------------

YES = [(19, 3, 18), (19, 4, 18), (99, 77, 66), (19, 127, 99)]
TYPE_MATCHES = [(19, 128, 18), (19, 255, 18), (255, 255, 18), (0, 255, 18)]
NO = [(19, 128, 99), (19, 255, 255), (255, 255, 255)]


def filters(name: str, destinations: list[tuple[int, int, int]], *, delivered: bool) -> None:
    @TABLE.row("5.2", name)
    def _(world: World) -> None:
        for dst in destinations:
            head = world.peer.data(b"x", Address(*dst))
            if delivered:
                world.library.expect("data", ARG, 3, head, b"x", 1)
        world.nothing_called()


filters("client byte below 128 needs no match", YES, delivered=True)
filters("client byte from 128 on needs the type", TYPE_MATCHES, delivered=True)
filters("client byte from 128 on and another type", NO, delivered=False)


@TABLE.row(
    "5.2",
    "types from 128 on match too",
    fresh=True,
    vendor="compares signed bytes: such a client gets nothing that names its id",
)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    peer = world.join(200, 130)
    for dst in ((19, 200, 130), (255, 255, 130)):
        head = peer.data(b"x", Address(*dst))
        world.library.expect("data", ARG, 200, head, b"x", 1)
    peer.data(b"x", Address(19, 200, 131))
    world.nothing_called()


@TABLE.row(
    "5.2",
    "the type as created counts by its low byte",
    fresh=True,
    vendor="compares the whole number: a type above 127 never matches",
)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    peer = world.join(3, 256 + 18)
    assert peer.client == CLIENT
    head = peer.data(b"x", Address(-1, -1, 18))
    world.library.expect("data", ARG, 3, head, b"x", 1)


@TABLE.row("5.2", "golden deliver_broadcast")
def _(world: World) -> None:
    frame = golden("deliver_broadcast")
    world.peer.send(frame)
    world.library.expect("data", ARG, 3, frame[:20], b"to all", 6)


@TABLE.row("5.2", "golden deliver_user_data")
def _(world: World) -> None:
    frame = golden("deliver_user_data")
    world.peer.send(frame)
    world.library.expect("data", ARG, 3, frame[:20], b"hello", 5)


@TABLE.row("5.2", "what nobody else takes goes to the data callback")
def _(world: World) -> None:
    for cmd in (8, 11, 15, 0, 6, 14, 16, 255):
        head = world.peer.data(b"x", cmd=cmd, kind=CmdType.SYSTEM)
        world.library.expect("data", ARG, 3, head, b"x", 1)
    world.nothing_sent(3)


def falls_through(cmd: int, vendor: str) -> None:
    @TABLE.row("5.2", f"command {cmd} without its callback", fresh=True, vendor=vendor)
    def _(world: World) -> None:
        connection, data = Hook("connection"), Hook("data")
        world.library.call("SetCallBackFn", connection, data, None, None, None, ARG)
        world.library.call("Init", 19)
        peer = world.join()
        head = peer.data(bytes(60), cmd=cmd, kind=CmdType.SYSTEM)
        world.library.expect("data", ARG, 3, head, bytes(60), 60)


SWALLOWS_2018 = "of 2018 swallows it (NET-2018.md 4.4), those of 2015 agree"
falls_through(Cmd.FLOW_RETURN, SWALLOWS_2018)
falls_through(Cmd.FLOW_ACK, SWALLOWS_2018)


@TABLE.row("5.2", "the client is that of the connection", fresh=True)
def _(world: World) -> None:
    first, second = world.begin(), world.join(200, 18)
    for peer, client in ((first, 3), (second, 200), (first, 3)):
        head = peer.data(b"x", CLIENT)
        world.library.expect("data", ARG, client, head, b"x", 1)


@TABLE.row("5.2", "without a data callback nothing happens", fresh=True)
def _(world: World) -> None:
    hooks = Hook("connection"), None, None, None, Hook("global")
    world.library.call("SetCallBackFn", *hooks, ARG)
    world.library.call("Init", 19)
    peer = world.join()
    peer.data(b"lost")
    peer.system(Cmd.PING, b"ping")
    assert peer.frame().cmd == Cmd.PING_ACK
    peer.send(golden("global_connect_existing"))
    world.library.expect("global")
    world.library.call("SetCallBackFn", None, Hook("data"), None, None, None, ARG)
    peer.data(b"found")
    world.library.expect("data", ARG, 3, ..., b"found")


# ---- 6 -----------------------------------------------------------------------------------


@TABLE.row("6", "golden ping")
def _(world: World) -> None:
    assert world.library.call(*send_ping(data=b"ping!", size=5)) == 0
    world.peer.frame()
    assert comparable(world.peer.raw, "ping", world.kind) == golden("ping")


@TABLE.row("6", "golden deliver_ping is answered and delivered")
def _(world: World) -> None:
    frame = golden("deliver_ping")
    world.peer.send(frame)
    world.library.expect("data", ARG, 3, frame[:20], b"ping!", 5)
    world.peer.frame()
    assert comparable(world.peer.raw, "ping_ack", world.kind) == golden("ping_ack")


@TABLE.row("6", "golden deliver_ping_ack goes to the data callback")
def _(world: World) -> None:
    frame = golden("deliver_ping_ack")
    world.peer.send(frame)
    world.library.expect("data", ARG, 3, frame[:20], b"ping!", 5)
    world.nothing_sent(3)


@TABLE.row("6", "an empty ping and a big one")
def _(world: World) -> None:
    for text in (b"", bytes(range(256)) * 500):
        world.peer.system(Cmd.PING, text)
        world.library.expect("data", ARG, 3, ..., text or None, len(text))
        frame = world.peer.frame()
        assert (frame.cmd, frame.data, frame.dst) == (Cmd.PING_ACK, text, OTHER)


@TABLE.row("6", "a ping that the filter drops is answered")
def _(world: World) -> None:
    dst = Address(-1, -1, 99)
    world.peer.send(encode_frame(OTHER, dst, Cmd.PING, CmdType.SYSTEM, b"all"))
    assert world.peer.frame().data == b"all"
    world.nothing_called()


def unanswered(name: str, *units: int) -> None:
    @TABLE.row("6", name)
    def _(world: World) -> None:
        for unit in units:
            world.peer.system(Cmd.PING, b"ping", Address(unit, 4, 5))
            world.library.expect("data", ARG, 3, ..., b"ping")
        world.nothing_sent(3)


unanswered("a ping of the own unit is not answered", 19)
unanswered("a ping of unit 48 to 127 is not answered", 48, 100, 127)


@TABLE.row("6", "a ping of unit 128 and more is answered")
def _(world: World) -> None:
    for unit in (128, 255):
        world.peer.system(Cmd.PING, b"ping", Address(unit, 4, 5))
        world.library.expect("data", ARG, 3, ..., b"ping")
        assert world.peer.frame().dst == (unit, 4, 5)


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
