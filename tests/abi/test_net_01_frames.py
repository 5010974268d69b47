"""NET.md 1: framing, sizes, and what a client does with a bad stream."""

from __future__ import annotations

import struct

from smartbus.wire import Cmd, CmdType, encode_frame
from tests.abi.golden import comparable, golden
from tests.abi.outcomes import Outcomes
from tests.abi.server import OTHER, UNIT
from tests.abi.table import Case, Table
from tests.abi.world import ARG, CLIENT, World

TABLE = Table("NET.md")


def frame_with(data: bytes, **fields: int) -> bytes:
    """A frame for the client whose header says something else than it should."""
    values = {"magic": 0x5B15, "packet_size": 20 + len(data), "datalen": len(data), **fields}
    head = bytearray(encode_frame(OTHER, CLIENT, 77, CmdType.USER))
    struct.pack_into("<H", head, 0, values["magic"])
    struct.pack_into("<ii", head, 12, values["packet_size"], values["datalen"])
    return bytes(head) + data


# ---- 1 -----------------------------------------------------------------------------------


@TABLE.row("1", "TCP_NODELAY and keep-alive on every connection", fresh=True)
def _(world: World) -> None:
    world.begin()
    world.join(4)
    # The document has 30 s from the constants of 2015's builds; 2018's has another.
    idle = 60 if world.kind == "vendor" else 30
    assert world.library.command("tcp_options") == [(True, True, idle)] * 2


@TABLE.row("1", "a connection for each client and link", fresh=True)
def _(world: World) -> None:
    world.begin()
    slave = world.serve()
    assert world.create(world.server, 4, slave=slave) == 0
    for client, server in ((4, world.server), (4, slave)):
        assert server.peer().registration().form in ("2015", "2018")
        assert server.peers[-1].client == (CLIENT.unit_id, client, CLIENT.client_type)
    assert len(world.server.peers) == 2
    assert len(slave.peers) == 1


# ---- 1.1, 1.2 ----------------------------------------------------------------------------


def sends_golden(name: str, cmd: int, text: bytes, *dst: int) -> None:
    @TABLE.row("1.1", f"golden {name}")
    def _(world: World) -> None:
        assert world.library.call("SendData", 3, cmd, 3, *dst, text, len(text)) == 0
        world.peer.frame()
        assert comparable(world.peer.raw, name, world.kind) == golden(name)


for size, sent in enumerate((b"", b"a", b"ab", b"abc", b"abcd", b"abcde")):
    sends_golden(f"user_data_{size}", 77, sent, 20, 4, 5)
sends_golden("user_data_any", 78, b"abcd", -1, -1, -1)


@TABLE.row("1.1", "padding is datalen mod 4 extra bytes")
def _(world: World) -> None:
    sizes = []
    for size in range(9):
        assert world.library.call("SendData", 3, 1, 3, 20, 4, 5, b"x" * 8, size) == 0
        world.peer.frame()
        sizes.append(len(world.peer.raw))
    assert sizes == [20, 22, 24, 26, 24, 26, 28, 30, 28]


@TABLE.row("1.1", "any padding is accepted")
def _(world: World) -> None:
    for padding in (0, 3, 1000):
        frame = frame_with(b"hello" + bytes(padding), datalen=5)
        world.peer.send(frame)
        world.library.expect("data", ARG, 3, frame[:20], b"hello", 5)


@TABLE.row("1.1", "reserved bytes and pad bytes say nothing")
def _(world: World) -> None:
    frame = bytearray(frame_with(b"hello" + b"\xff" * 3, datalen=5))
    frame[10:12] = b"\xaa\xbb"
    world.peer.send(bytes(frame))
    world.library.expect("data", ARG, 3, bytes(frame[:20]), b"hello", 5)


@TABLE.row("1.2", "other commands of class 0 never reach the application")
def _(world: World) -> None:
    for cmd in (0, 1, 3, 4, 5, 7, 9, 12, 200):
        world.peer.data(b"12345678", cmd=cmd, kind=CmdType.LINK)
    world.nothing_called()
    world.nothing_sent(3)


@TABLE.row("1.2", "class 1 may carry any command of an application")
def _(world: World) -> None:
    for cmd in (0, 11, 15, 99, 255):
        text = b"z" * 200  # the vendor reads far into some of these (NET-2018.md 5)
        assert world.library.call("SendData", 3, cmd, 1, 20, 4, 5, text, 200) == 0
        frame = world.peer.frame()
        assert (frame.cmd_type, frame.cmd, frame.data) == (CmdType.SYSTEM, cmd, text)


@TABLE.row("1.2", "classes up to 255 arrive")
def _(world: World) -> None:
    for kind in (2, 3, 4, 5, 6, 127, 128, 255):
        head = world.peer.data(b"x", kind=kind)
        world.library.expect("data", ARG, 3, head, b"x", 1)


# ---- 1.3 ---------------------------------------------------------------------------------

# 5.1 has the limits of sending, by their return values.


@TABLE.row("1.3", "9 MiB arrive in one piece", fresh=True)
def _(world: World) -> None:
    world.begin()
    body = bytes(range(256)) * (9 << 12)
    head = world.peer.data(body)
    world.library.expect("data", ARG, 3, head, body, len(body))


@TABLE.row("1.3", "30 frames of 1 MB wait for a peer that does not read", fresh=True)
def _(world: World) -> None:
    world.begin()
    world.peer.deaf = True
    for number in range(30):
        text = bytes([number]) * 1_000_000
        assert world.library.call("SendData", 3, 1, 3, 20, 4, 5, text, len(text)) == 0
    world.peer.deaf = False
    for number in range(30):
        assert world.peer.frame().data == bytes([number]) * 1_000_000


@TABLE.row("1.3", "100000 unsent frames then -7", fresh=True)
def _(world: World) -> None:
    world.begin()
    world.peer.deaf = True
    calls = 100_000
    results: list[int] = []
    while -7 not in results and len(results) < 10 * calls:
        # Some go out, as much as the sockets take.
        some = world.library.command(
            "call_many", 1, calls, "SendData", 3, 1, 3, 20, 4, 5, b"x" * 400, 400
        )
        results += some[0]
    accepted = results.index(-7)
    assert accepted > calls
    assert set(results[:accepted]) == {0}
    assert world.library.call("SendPing", 3, 20, 4, 5, b"x" * 400, 400) in (0, -7)  # a bit may go


# ---- 1.4 ---------------------------------------------------------------------------------


@TABLE.row("1.4", "several frames in one segment")
def _(world: World) -> None:
    world.peer.send(*(frame_with(b"%d" % number) for number in range(100)))
    for number in range(100):
        world.library.expect("data", ARG, 3, ..., b"%d" % number)


@TABLE.row("1.4", "frames byte by byte")
def _(world: World) -> None:
    stream = frame_with(b"one") + frame_with(b"") + frame_with(b"two\0\0", datalen=3)
    for byte in stream:
        world.peer.send(bytes([byte]))
    for text, size in ((b"one", 3), (None, 0), (b"two", 3)):
        world.library.expect("data", ARG, 3, ..., text, size)


@TABLE.row("1.4", "frames cut anywhere")
def _(world: World) -> None:
    stream = b"".join(frame_with(b"%d" % number + bytes(number)) for number in range(50))
    for start in range(0, len(stream), 7):
        world.peer.send(stream[start : start + 7])
    for number in range(50):
        world.library.expect("data", ARG, 3, ..., b"%d" % number + bytes(number))


@TABLE.row("1.4", "datalen 0 is NULL and 0")
def _(world: World) -> None:
    frame = golden("deliver_user_data_empty")
    world.peer.send(frame)
    world.library.expect("data", ARG, 3, frame[:20], None, 0)


def closes(name: str, bad: bytes, vendor: str) -> None:
    """A bad stream ends the connection; what was good before it is delivered."""

    def run(world: World) -> None:
        world.begin()
        world.peer.send(frame_with(b"good"), bad)
        world.library.expect("data", ARG, 3, ..., b"good")
        world.library.expect("disconnect", ARG, 3)
        world.peer.ended()
        world.server.peer().accept()
        world.library.expect("connection", ARG, 3, UNIT, 0)

    TABLE.row("1.4", name, fresh=True, vendor=vendor)(run)


DEAF = "is deaf for ever"
closes("wrong magic", frame_with(b"", magic=0x155B), DEAF)
closes("stray bytes", b"x" * 20, DEAF)
closes("packet size 0", frame_with(b"", packet_size=0), "delivers it endlessly")
closes("packet size 19", frame_with(b"", packet_size=19), DEAF)
closes("packet size negative", frame_with(b"", packet_size=-1), "discards the chunk")
closes("packet size 2000000000", frame_with(b"", packet_size=2_000_000_000), "waits silently")
closes("datalen beyond the frame", frame_with(b"abcd", datalen=5), "hands out what follows")
closes("datalen negative", frame_with(b"", datalen=-1), "hands out NULL and the negative size")


@TABLE.row("1.4", "a bad frame that is cut is known by its header", fresh=True, vendor=DEAF)
def _(world: World) -> None:
    world.begin()
    world.peer.send(frame_with(b"", magic=0)[:2])
    world.peer.send(frame_with(b"", magic=0)[2:20])
    world.library.expect("disconnect", ARG, 3)


@TABLE.row("1.2", "a heartbeat's ack never reaches the application")
def _(world: World) -> None:
    world.peer.data(bytes(24), cmd=Cmd.HEARTBEAT_ACK, kind=CmdType.LINK)
    world.nothing_called()


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
