"""NET.md 2 and 3 (with NET-2018.md 1 and 2): registration, its answers, heartbeats."""

from __future__ import annotations

import time
from collections.abc import Callable

from smartbus.wire import Address, Cmd, CmdType, Frame, RegistrationAck, encode_frame
from tests.abi.golden import comparable, golden
from tests.abi.outcomes import Outcomes
from tests.abi.server import UNIT, Peer
from tests.abi.table import Case, Table
from tests.abi.world import ARG, CLIENT, World

TABLE = Table("NET.md")

#: Long enough to see that something does not happen that would happen within 2 s (seconds).
A_WHILE = 4.5


def connecting(world: World, params: bytes | None = None) -> Peer:
    """Begin to connect; the registration is not read yet."""
    world.library.hook_all(ARG)
    function = ("InitEx", CLIENT.unit_id, params) if params else ("Init", CLIENT.unit_id)
    assert world.library.call(*function) == 0
    world.server = world.serve()
    assert world.create(world.server) == 0
    world.peer = world.server.peer()
    return world.peer


# ---- 2.1, 2.2 ----------------------------------------------------------------------------


@TABLE.row("2.1", "the request comes at once", fresh=True)
def _(world: World) -> None:
    peer = connecting(world)
    request = peer.registration()
    assert peer.beat_count == 0
    assert request[:4] == (b"alice", b"secret", b"info!", 0)
    assert request.pid == world.library.command("facts")[0]
    name = "registration_request_2018"
    raw = bytearray(comparable(peer.raw, name, world.kind))
    raw[233:241] = bytes(8)  # the pid
    assert bytes(raw) == golden(name)


@TABLE.row("2.1", "the form of 2015", slow=True, vendor="has one form in each build")
def _(world: World) -> None:
    peer = connecting(world, b"Wire=2015")
    assert peer.accept().form == "2015"
    assert peer.raw == golden("registration_request")


@TABLE.row(
    "2.1", "a server that knows one form refuses it first", fresh=True, vendor="has one form"
)
def _(world: World) -> None:
    # NET.md alone: it reads the user name where 2018 has it not (NET-2018.md 0).
    assert connecting(world).accept(-5).form == "2018"
    assert world.server.peer().accept(0).form == "2015"
    world.library.expect("connection", ARG, 3, UNIT, 0)
    world.settle()


def request_of(
    user: bytes | None, password: bytes | None, info: bytes | None
) -> Callable[[World], tuple[bytes, bytes, bytes]]:
    """A fresh client's credentials, as a server reads them."""

    def run(world: World) -> tuple[bytes, bytes, bytes]:
        world.library.call("Init", 19)
        server = world.serve()
        address = (server.host, server.port, None, 0)
        assert world.library.call("CreateConnect", 3, 18, *address, user, password, info) == 0
        return server.peer().registration()[:3]

    return run


@TABLE.row("2.1", "NULL user password and info are empty", fresh=True)
def _(world: World) -> None:
    assert request_of(None, None, None)(world) == (b"", b"", b"")


@TABLE.row("2.1", "too long texts are cut to 63 127 and 255 bytes", fresh=True)
def _(world: World) -> None:
    long = bytes(range(1, 256)) * 2
    assert request_of(long, long, long)(world) == (long[:63], long[:127], long[:255])


@TABLE.row("2.1", "the longest texts fit", fresh=True)
def _(world: World) -> None:
    texts = b"u" * 63, b"p" * 127, b"i" * 255
    assert request_of(*texts)(world) == texts


@TABLE.row("2.1", "texts travel byte for byte", fresh=True)
def _(world: World) -> None:
    texts = "用户".encode("gbk"), b"\xff\xfe\x01", "资料".encode()
    assert request_of(*texts)(world) == texts


@TABLE.row("2.2", "the access point is -1 at first and later the last one", fresh=True)
def _(world: World) -> None:
    peer = connecting(world)
    peer.registration()
    node = 497
    assert peer.raw[node + 6 : node + 10] == b"\xff\xff\xff\xff"
    peer.ack(unit=7)
    world.library.expect("connection", ARG, 3, 7, 0)
    peer.close()
    world.library.expect("disconnect", ARG, 3)
    again = world.server.peer()
    again.registration()
    assert again.raw[node + 6 : node + 10] == b"\x07\0\0\0"


# ---- 2, 2.4 ------------------------------------------------------------------------------


@TABLE.row("2", "without an answer nothing happens but heartbeats", slow=True)
def _(world: World) -> None:
    peer = connecting(world)
    peer.registration()
    world.watch(A_WHILE)
    assert peer.ended_at is None
    assert peer.beat_count >= 2
    assert world.library.call("SendData", 3, 1, 3, 20, 4, 5, b"x", 1) == -2
    world.settle()
    peer.ack()
    world.library.expect("connection", ARG, 3, UNIT, 0)
    assert world.library.call("SendData", 3, 1, 3, 20, 4, 5, b"x", 1) == 0
    assert peer.frame().data == b"x"


@TABLE.row("2", "frames before the answer are delivered", fresh=True)
def _(world: World) -> None:
    peer = connecting(world)
    peer.registration()
    peer.data(b"early")
    world.library.expect("data", ARG, 3, ..., b"early")
    peer.ack()
    world.library.expect("connection", ARG, 3, UNIT, 0)


def answered(name: str, frame: Callable[[Peer], bytes], unit: int = UNIT) -> None:
    @TABLE.row("2.4", name, fresh=True)
    def _(world: World) -> None:
        peer = connecting(world)
        peer.registration()
        peer.send(frame(peer))
        world.library.expect("connection", ARG, 3, unit, 0)
        assert world.library.call("SendData", 3, 1, 3, 20, 4, 5, b"x", 1) == 0
        assert peer.frame().data == b"x"


def ack_from(unit: int, dst: Address, node: str | None) -> bytes:
    return RegistrationAck(0).encode(unit, dst, node=node)  # type: ignore[arg-type]


answered("golden answer", lambda _: golden("registration_ack_ok"))
answered("golden minimal answer", lambda _: golden("registration_ack_minimal"))
answered("answer of 5516 bytes", lambda peer: ack_from(UNIT, peer.client, "narrow"))
answered("its destination is not checked", lambda _: ack_from(UNIT, Address(9, 9, 9), None))
answered("the access point is signed", lambda peer: ack_from(200, peer.client, None), unit=-56)


@TABLE.row("2.4", "golden refusal", slow=True)
def _(world: World) -> None:
    for _form in range(1 if world.kind == "vendor" else 2):  # 2.1: the core has two forms
        peer = connecting(world) if not hasattr(world, "server") else world.server.peer()
        peer.registration()
        peer.send(golden("registration_ack_refused"))
    world.library.expect("connection", ARG, 3, UNIT, -6)


# ---- 2.5 ---------------------------------------------------------------------------------


@TABLE.row("2.5", "0 again tells of the connection again", fresh=True)
def _(world: World) -> None:
    world.begin().ack()
    world.library.expect("connection", ARG, 3, UNIT, 0)
    assert world.library.call("SendData", 3, 1, 3, 20, 4, 5, b"x", 1) == 0
    assert world.peer.frame().data == b"x"


@TABLE.row("2.5", "-10 is told and tried again after 2 s", slow=True)
def _(world: World) -> None:
    peer = connecting(world)
    peer.accept(-10)
    world.library.expect("connection", ARG, 3, UNIT, -10)
    closed = peer.ended()
    assert world.library.call("SendData", 3, 1, 3, 20, 4, 5, b"x", 1) == -2
    again = world.server.peer()
    assert again.opened - closed > 1.5
    again.accept(-10)
    world.library.expect("connection", ARG, 3, UNIT, -10)
    world.server.peer().accept()
    world.library.expect("connection", ARG, 3, UNIT, 0)


@TABLE.row("2.5", "any other code is told and ends the link for good", slow=True)
def _(world: World) -> None:
    codes = (-4, -22, -24, -99, 1, 5, 7)
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    server = world.serve()
    for client, code in enumerate(codes):
        assert world.create(server, client) == 0
        peer = server.peer()
        peer.accept(code)
        world.library.expect("connection", ARG, client, UNIT, code)
        peer.ended()
    world.watch(A_WHILE)
    assert not server.waiting
    for client in range(len(codes)):
        assert world.library.call("SendData", client, 1, 3, 20, 4, 5, b"x", 1) == -2
    world.settle()


@TABLE.row("2.5", "-5 and -6 too", slow=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    server = world.serve()
    for client, code in ((1, -5), (2, -6)):
        assert world.create(server, client) == 0
        for _form in range(1 if world.kind == "vendor" else 2):  # 2.1: the core has two forms
            server.peer().accept(code)
        world.library.expect("connection", ARG, client, UNIT, code)
    world.watch(A_WHILE)
    assert not server.waiting
    world.settle()


@TABLE.row("2.5", "a refusal of a registered link is told then the loss", slow=True)
def _(world: World) -> None:
    world.begin().ack(-4)
    world.library.expect("connection", ARG, 3, UNIT, -4)
    world.library.expect("disconnect", ARG, 3)
    world.peer.ended()
    world.watch(A_WHILE)
    assert not world.server.waiting
    assert world.library.call("SendData", 3, 1, 3, 20, 4, 5, b"x", 1) == -2
    world.settle()


@TABLE.row("2.5", "a refusal and an end that come together are a refusal", slow=True)
def _(world: World) -> None:
    peer = connecting(world)
    peer.accept(-24)
    peer.close()
    world.library.expect("connection", ARG, 3, UNIT, -24)
    world.watch(A_WHILE)
    assert not world.server.waiting
    world.settle()


# ---- 3.1, 3.2 ----------------------------------------------------------------------------


def beat_of(world: World, peer: Peer, count: int = 1) -> Frame:
    """Wait for a heartbeat, the last that is kept."""
    world.until(lambda: len(peer.beats) >= count, "a heartbeat")
    return peer.beats[-1][1]


def comparable_beat(frame: Frame, kind: str) -> bytes:
    """A heartbeat without what is of its moment, or not written by the vendor."""
    raw = bytearray(frame.raw_head + frame.data)
    assert abs(int.from_bytes(raw[28:36], "little") - time.time()) < 100
    if kind == "vendor":
        raw[10:12] = bytes(2)
        raw[24:28] = bytes(4)  # resend_count
    return without_moment(raw)


def without_moment(raw: bytes | bytearray) -> bytes:
    """A heartbeat's bytes without count and time."""
    return bytes(raw[:20] + raw[24:28] + raw[36:])


@TABLE.row("3.1", "they start with the connection before the answer", slow=True)
def _(world: World) -> None:
    began = time.monotonic()  # a busy server accepts late
    peer = connecting(world)
    beat = beat_of(world, peer)
    assert peer.beats[0][0] - began > 0.9
    assert comparable_beat(beat, world.kind) == without_moment(golden("heartbeat_before_ack_2018"))
    assert peer.beats[0][1].data[:4] == bytes(4)


@TABLE.row("3.1", "after the answer they name the server's unit", slow=True)
def _(world: World) -> None:
    peer = world.begin()
    peer.beats.clear()  # a busy server answers after the first
    beat = beat_of(world, peer, 2)
    assert comparable_beat(beat, world.kind) == without_moment(golden("heartbeat_2018"))


@TABLE.row("3.1", "the form of 2015", fresh=True, vendor="has one form in each build")
def _(world: World) -> None:
    peer = connecting(world, b"Wire=2015")
    raw = bytearray(b"".join(beat_of(world, peer)))
    raw[36:44] = golden("heartbeat_before_ack")[36:44]  # the time
    assert bytes(raw) == golden("heartbeat_before_ack")


@TABLE.row("3.1", "they count from 0 on every connection", slow=True)
def _(world: World) -> None:
    def counts(peer: Peer) -> list[int]:
        beat_of(world, peer, 3)
        return [int.from_bytes(frame.data[:4], "little") for _, frame in peer.beats[:3]]

    first = world.begin()
    assert counts(first) == [0, 1, 2]
    first.close()
    world.library.expect("disconnect", ARG, 3)
    second = world.server.peer()
    second.accept()
    world.library.expect("connection", ARG, 3, UNIT, 0)
    assert counts(second) == [0, 1, 2]


@TABLE.row("3.1", "one each second", slow=True, vendor="of 2018 sends a thousand a second")
def _(world: World) -> None:
    began = time.monotonic()
    beat_of(world, peer := world.begin(), 4)
    assert peer.beats[3][0] - began > 3.9


@TABLE.row("3.2", "an answer of any length is accepted")
def _(world: World) -> None:
    for body in (b"", bytes(8), bytes(24), bytes(32)):
        world.peer.data(body, cmd=Cmd.HEARTBEAT_ACK, kind=CmdType.LINK)
    world.nothing_called()


# ---- 3.3 ---------------------------------------------------------------------------------


@TABLE.row("3.3", "15 s of silence lose the link which comes back at once", slow=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    world.server = world.serve()
    world.server.answers = False
    start = time.monotonic()
    peer = world.join()

    def silent(_: Peer) -> None:
        """Do nothing; the first time, see how long it takes."""
        if peer.ended_at is None:
            assert peer.ended() - start > 13.5  # time stamps may have whole seconds

    world.expect_back_at_once(silent)


def keeps(name: str, sign: Callable[[Peer], object], *, answers: bool = False) -> None:
    @TABLE.row("3.3", name, slow=True)
    def _(world: World) -> None:
        world.library.hook_all(ARG)
        world.library.call("Init", 19)
        world.server = world.serve()
        world.server.answers = answers
        peer = world.join()
        for _second in range(9):
            world.watch(2)
            sign(peer)
        assert peer.ended_at is None
        assert world.library.call("SendData", 3, 1, 3, 20, 4, 5, b"x", 1) == 0
        assert peer.frame().data == b"x"


# A frame that no callback gets.
keeps("any frame keeps the link", lambda peer: peer.data(b"", cmd=3, kind=CmdType.LINK))
keeps("answered heartbeats keep the link", lambda peer: peer.beat_count, answers=True)


@TABLE.row("3.3", "even part of a frame keeps the link", slow=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    world.server = world.serve()
    world.server.answers = False
    peer = world.join()
    frame = encode_frame(Address(20, 4, 5), CLIENT, 77, 3, b"slow.")
    for position in range(9):
        world.watch(2)
        peer.send(frame[position : position + 1])
    assert peer.ended_at is None
    peer.send(frame[9:])
    world.library.expect("data", ARG, 3, ..., b"slow.")


@TABLE.row("3.3", "a link without its answer is not supervised", slow=True)
def _(world: World) -> None:
    peer = connecting(world)
    peer.answers = False
    peer.registration()
    world.watch(18)
    assert peer.ended_at is None
    world.settle()
    peer.ack()
    world.library.expect("connection", ARG, 3, UNIT, 0)


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
