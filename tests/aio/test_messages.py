"""Packets both ways: golden bytes, checks, the filter, automatic answers, bounded queues."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from smartbus.aio import Address, Frame, Limits, Node, SmartBusClient
from smartbus.errors import (
    ArgumentError,
    BufferFullError,
    CommandTypeError,
    NotConnectedError,
    NotInitializedError,
    OwnUnitError,
    TooLargeError,
    UnitIdError,
)
from smartbus.testing import wait_until_async as until
from smartbus.wire import MAX_DATA, Cmd, FlowCall, GlobalConnect, Notify, encode_frame
from tests.aio.peers import (
    CLIENT,
    GOLDEN,
    IPSC,
    OTHER,
    QUICK,
    Events,
    Peer,
    Server,
    client_of,
    soon,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Pair:
    """A connected client and the server's end of its link."""

    def __init__(self, client: SmartBusClient, peer: Peer) -> None:
        self.client = client
        self.peer = peer

    async def packet(self) -> Frame:
        frame = await soon(self.client.receive())
        assert frame is not None
        return frame


async def connect(server: Server, **kwargs: Any) -> Pair:
    kwargs.setdefault("timing", replace(QUICK, heartbeat=3600))
    client = client_of(server, **kwargs)
    await client.start()
    peer = await server.accepted()
    await soon(client.wait_connected())
    return Pair(client, peer)


@pytest_asyncio.fixture
async def pair(server: Server) -> AsyncIterator[Pair]:
    pair = await connect(server, info="info!")
    yield pair
    await pair.client.close()


def raw(frame: Frame) -> str:
    """A received frame's header and data, without the padding."""
    return (frame.raw_head + frame.data).hex()


def golden(name: str) -> str:
    frame = GOLDEN[name]
    size = int.from_bytes(frame[16:20], "little")
    return frame[: 20 + size].hex()


# --- sending ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(6))
async def test_sends_byte_for_byte_as_the_vendor(pair: Pair, size: int) -> None:
    expected = GOLDEN[f"user_data_{size}"]
    pair.client.send_data(77, 3, *OTHER, b"abcde"[:size])
    assert await soon(pair.peer.reader.readexactly(len(expected))) == expected


async def test_sends_to_any(pair: Pair) -> None:
    pair.client.send_data(78, 3, -1, -1, -1, "abcd")
    assert raw(await pair.peer.frame()) == golden("user_data_any")


async def test_sends_ping_and_notify(pair: Pair) -> None:
    pair.client.ping(*OTHER, b"ping!")
    assert raw(await pair.peer.frame()) == golden("ping")
    assert pair.client.notify(0, 7, "Project1", "title1", 0, 60.0, "hello") == 1
    assert raw(await pair.peer.frame()) == golden("notify")
    assert pair.client.notify(0, 7, "", "题", 0, 0.0015, "文本") == 2
    body = Notify.decode((await pair.peer.frame()).data)
    assert body == Notify(b"", "题".encode("gbk"), "文本".encode("gbk"), 2, 2, 0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, b""),
        (b"bytes", b"bytes"),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view"), b"view"),
        ("文", "文".encode()),
    ],
)
async def test_takes_bytes_and_text(pair: Pair, data: Any, expected: bytes) -> None:
    pair.client.send_data(1, 3, *OTHER, data)
    assert (await pair.peer.frame()).data == expected


async def test_text_has_the_clients_encoding(server: Server) -> None:
    pair = await connect(server, encoding="gbk")
    pair.client.send_data(1, 3, *OTHER, "文")
    assert (await pair.peer.frame()).data == "文".encode("gbk")
    await pair.client.close()


async def test_only_low_bits_of_an_address_travel(pair: Pair) -> None:
    pair.client.send_data(1, 255, -2, 300, 511, b"")
    assert (await pair.peer.frame()).dst == (254, 44, 255)


# In the order of NET.md 5.1: each call is wrong in all the ways that follow, too.
@pytest.mark.parametrize(
    ("cmd_type", "unit", "size", "error"),
    [
        (0, 48, MAX_DATA + 1, UnitIdError),
        (0, 255, MAX_DATA + 1, UnitIdError),
        (0, 19, MAX_DATA + 1, TooLargeError),
        (0, 19, 0, CommandTypeError),
        (256, 19, 0, CommandTypeError),
        (3, 19, 0, OwnUnitError),
        (3, 20, 0, NotConnectedError),
    ],
)
async def test_checks_before_sending(
    server: Server, cmd_type: int, unit: int, size: int, error: type[Exception]
) -> None:
    client = client_of(server)
    with pytest.raises(NotInitializedError):
        client.check_send(cmd_type, unit, size)
    await client.start()
    with pytest.raises(error):
        client.check_send(cmd_type, unit, size)
    await client.close()
    with pytest.raises(NotInitializedError):
        client.check_send(3, 20, 0)


async def test_checks_of_the_other_calls(pair: Pair) -> None:
    client = pair.client
    with pytest.raises(ArgumentError):
        client.send_data(256, 3, *OTHER, b"")
    with pytest.raises(OwnUnitError):
        client.ping(19, 4, 18)
    with pytest.raises(UnitIdError):
        client.notify(16, 0, "", "t", 0, 1, "x")
    with pytest.raises(ArgumentError):
        client.notify(0, 0, "", "", 0, 1, "x")
    with pytest.raises(ArgumentError):
        client.notify(0, 0, "", "t", 0, 1, "")
    with pytest.raises(ArgumentError):
        client.notify(0, 0, "", "t", 0, 2_147_484, "x")
    with pytest.raises(TooLargeError):
        client.notify(0, 0, "", "t", 0, 1, "x" * 16000)
    assert client.notify(0, 0, "", "t", 0, 1, "x" * 15999) == 1  # the failures took no number
    assert len((await pair.peer.frame()).data) == 150 + 15999


async def test_an_ipsc_may_send_within_its_unit(server: Server) -> None:
    pair = await connect(server, address=Address(0, 7, 2))
    pair.client.send_data(1, 3, 0, 8, 2, b"to my neighbour")
    assert (await pair.peer.frame()).dst == (0, 8, 2)
    await pair.client.close()


async def test_a_burst_leaves_complete_and_in_order(pair: Pair) -> None:
    count = 20_000
    for number in range(count):
        pair.client.send_data(1, 3, *OTHER, b"%d" % number)
    for number in range(count):
        assert (await pair.peer.frame()).data == b"%d" % number


async def test_close_sends_what_was_queued(server: Server) -> None:
    pair = await connect(server)
    blob = bytes(1 << 20)
    for _ in range(7):
        pair.client.send_data(1, 3, *OTHER, blob)

    async def read() -> None:
        for _ in range(7):
            assert (await pair.peer.frame()).data == blob
        with pytest.raises(EOFError):
            await pair.peer.frame()

    await asyncio.gather(pair.client.close(), read())


# --- the send queue ---------------------------------------------------------------------------


async def fill(client: SmartBusClient, size: int) -> int:
    """Send to a server that does not read until the queue is full."""
    for sent in range(100_000):
        try:
            client.send_data(1, 3, *OTHER, b"%8d" % sent + bytes(size - 8))
        except BufferFullError:
            return sent
        if not sent % 8:
            await asyncio.sleep(0)
    pytest.fail("the queue is never full")


@pytest.mark.parametrize(
    "limits", [Limits(send_bytes=1 << 20), Limits(send_frames=10)], ids=["bytes", "frames"]
)
async def test_a_full_queue_refuses_and_recovers(server: Server, limits: Limits) -> None:
    pair = await connect(server, limits=limits)
    client = pair.client
    sent = await fill(client, 65_536)
    draining = asyncio.create_task(client.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    for number in range(sent):
        assert (await pair.peer.frame()).data[:8] == b"%8d" % number
    await soon(draining)
    client.send_data(1, 3, *OTHER, b"again")
    assert (await pair.peer.frame()).data == b"again"
    await client.close()


async def test_an_empty_queue_takes_one_frame_of_any_size(server: Server) -> None:
    pair = await connect(server, limits=Limits(send_bytes=1000))
    data = bytes(1 << 20)
    pair.client.send_data(1, 3, *OTHER, data)
    assert (await pair.peer.frame()).data == data
    await pair.client.close()


async def test_what_waits_survives_a_reconnect(server: Server) -> None:
    pair = await connect(server, limits=Limits(send_bytes=1 << 20))
    sent = await fill(pair.client, 65_536)
    pair.peer.reset()
    peer = await server.accepted()
    # What the first socket had swallowed is gone; the rest comes, in whole frames, in order.
    first = int((await peer.frame()).data[:8])
    assert 0 < first < sent
    for number in range(first + 1, sent):
        assert (await peer.frame()).data[:8] == b"%8d" % number
    await pair.client.close()


async def test_drain_ends_with_the_client(server: Server) -> None:
    pair = await connect(
        server, limits=Limits(send_frames=10), timing=replace(QUICK, linger=0, heartbeat=3600)
    )
    await fill(pair.client, 65_536)
    draining = asyncio.create_task(pair.client.drain())
    await asyncio.sleep(0)
    await pair.client.close()
    await soon(draining)


async def test_a_full_queue_does_not_stop_receiving(server: Server) -> None:
    pair = await connect(
        server, limits=Limits(send_frames=10), timing=replace(QUICK, linger=0, heartbeat=3600)
    )
    await fill(pair.client, 65_536)
    pair.peer.send(GOLDEN["deliver_ping"])  # the answer finds no room
    assert (await pair.packet()).data == b"ping!"
    await pair.client.close()


# --- receiving --------------------------------------------------------------------------------


async def test_delivers_golden_packets(pair: Pair) -> None:
    names = ["deliver_user_data", "deliver_user_data_empty", "deliver_broadcast"]
    pair.peer.send(*(GOLDEN[name] for name in names))
    for name in names:
        frame = await pair.packet()
        assert raw(frame) == golden(name)
        assert bytes(frame.head) == frame.raw_head


# NET.md 5.2: destination (unit, client, type) at a client 19/3/18.
@pytest.mark.parametrize(
    ("dst", "delivered"),
    [
        ((19, 3, 18), True),
        ((19, 4, 18), True),
        ((99, 77, 66), True),
        ((19, 127, 99), True),
        ((19, 128, 18), True),
        ((19, 255, 18), True),
        ((255, 255, 18), True),
        ((0, 255, 18), True),
        ((19, 128, 99), False),
        ((19, 255, 255), False),
        ((255, 255, 255), False),
    ],
)
async def test_destination_filter(pair: Pair, dst: tuple[int, int, int], delivered: bool) -> None:
    pair.peer.data(b"this", Address(*dst))
    pair.peer.data(b"next")
    assert (await pair.packet()).data == (b"this" if delivered else b"next")


async def test_types_above_127_are_reached(server: Server) -> None:
    pair = await connect(server, address=Address(19, 200, 211))
    pair.peer.data(b"this", Address(19, 200, 211))
    assert (await pair.packet()).data == b"this"
    await pair.client.close()


@pytest.mark.parametrize("pieces", [1, 7, 50])
async def test_frames_cut_anywhere(pair: Pair, pieces: int) -> None:
    stream = b"".join(encode_frame(OTHER, CLIENT, 77, 3, b"%d" % n) for n in range(40))
    for at in range(0, len(stream), pieces):
        pair.peer.send(stream[at : at + pieces])
        await asyncio.sleep(0)
    for number in range(40):
        assert (await pair.packet()).data == b"%d" % number


async def test_a_large_frame(server: Server) -> None:
    pair = await connect(server)
    data = bytes(range(256)) * (9 << 12)  # 9 MiB
    pair.peer.data(data)
    assert (await pair.packet()).data == data
    await pair.client.close()


async def test_a_frame_above_the_limit_ends_the_link(server: Server) -> None:
    pair = await connect(server, limits=Limits(frame_bytes=10_000))
    events = Events(pair.client)
    pair.peer.data(bytes(9981))
    await pair.peer.ended()
    await events.reach("disconnect")
    await pair.client.close()


async def test_callback_gets_packets(pair: Pair) -> None:
    got: list[Frame] = []
    pair.client.on_packet = got.append
    pair.peer.send(GOLDEN["deliver_user_data"], GOLDEN["deliver_user_data_empty"])
    await until(lambda: len(got) == 2)
    assert [raw(frame) for frame in got] == [
        golden("deliver_user_data"),
        golden("deliver_user_data_empty"),
    ]


async def test_an_exception_in_a_callback_is_logged(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Frame] = []

    def fail(frame: Frame) -> None:
        got.append(frame)
        raise RuntimeError("oops")

    pair.client.on_packet = fail
    pair.peer.send(GOLDEN["deliver_user_data"] * 2)
    await until(lambda: len(got) == 2)
    assert "oops" in caplog.text
    assert pair.client.connected


async def test_subclass_overrides_events(server: Server) -> None:
    class Mine(SmartBusClient):
        got: Frame | None = None

        def on_packet(self, frame: Frame) -> None:
            self.got = frame

    client = Mine("127.0.0.1", server.port, *CLIENT, timing=QUICK)
    await client.start()
    peer = await server.accepted()
    peer.send(GOLDEN["deliver_user_data"])
    await until(lambda: client.got is not None)
    await client.close()


async def test_iterates_across_reconnects_until_closed(server: Server, pair: Pair) -> None:
    got: list[bytes] = []

    async def read() -> None:
        async for packet in pair.client:
            got.append(packet.data)  # noqa: PERF401

    reading = asyncio.create_task(read())
    pair.peer.data(b"1")
    await until(lambda: got == [b"1"])
    pair.peer.close()
    peer = await server.accepted()
    peer.data(b"2")
    await until(lambda: got == [b"1", b"2"])
    await pair.client.close()
    await soon(reading)
    assert await pair.client.receive() is None


async def test_several_readers_share_the_packets(pair: Pair) -> None:
    readers = [asyncio.create_task(pair.client.receive()) for _ in range(5)]
    await asyncio.sleep(0)
    for number in range(5):
        pair.peer.data(b"%d" % number)
    frames = await soon(asyncio.gather(*readers))
    assert sorted(frame.data for frame in frames if frame) == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_cancelled_reader_loses_nothing(pair: Pair) -> None:
    first = asyncio.create_task(pair.client.receive())
    second = asyncio.create_task(pair.client.receive())
    await asyncio.sleep(0)
    # Given a packet that has just woken the first reader, which is then cancelled
    pair.client._packets.put(Frame(GOLDEN["deliver_user_data"][:20], b"hello"))
    first.cancel()
    frame = await soon(second)
    assert frame is not None
    assert frame.data == b"hello"
    assert first.cancelled()


def reading_paused(client: SmartBusClient) -> bool:
    link = client._connection.link
    return link is not None and link.reading_paused


async def test_cancelled_readers_are_forgotten(pair: Pair) -> None:
    for _ in range(3):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pair.client.receive(), 0.001)
    assert not pair.client._packets._readers
    pair.peer.data(b"later")
    assert (await pair.packet()).data == b"later"


async def test_back_pressure(server: Server) -> None:
    pair = await connect(server, limits=Limits(packets=100))
    first = asyncio.create_task(pair.client.receive())
    await asyncio.sleep(0)
    # Given far more than all buffers on the way take, and a reader that is slow
    data, count = bytes(10_000), 5_000

    async def send() -> None:
        for _ in range(count):
            pair.peer.data(data)
            await pair.peer.writer.drain()

    sending = asyncio.create_task(send())
    assert (await soon(first)) is not None
    await until(
        lambda: pair.client._connection.link and pair.client._connection.link.reading_paused
    )
    assert not sending.done()
    assert len(pair.client._packets) <= 100 + (256 << 10) // len(data) + 1
    for _ in range(count - 1):
        assert (await pair.packet()).data == data
    await soon(sending)
    assert pair.client.dropped == 0
    await pair.client.close()


async def test_supervision_waits_while_we_do_not_read(server: Server) -> None:
    pair = await connect(
        server, limits=Limits(packets=1), timing=replace(QUICK, silence=0.1, heartbeat=3600)
    )
    events = Events(pair.client)
    first = asyncio.create_task(pair.client.receive())
    await asyncio.sleep(0)
    pair.peer.send(GOLDEN["deliver_user_data"] * 3)
    assert (await soon(first)) is not None
    await until(
        lambda: pair.client._connection.link and pair.client._connection.link.reading_paused
    )
    await asyncio.sleep(0.5)
    assert events.log == []
    assert pair.client.connected
    await pair.client.close()


async def test_packets_that_nobody_ever_takes(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    pair = await connect(server, limits=Limits(packets=10))
    for number in range(15):
        pair.peer.data(b"%d" % number)
    await until(lambda: pair.client.dropped == 5)
    assert caplog.text.count("dropping") == 1
    assert [(await pair.packet()).data for _ in range(10)] == [b"%d" % n for n in range(10)]
    await pair.client.close()


# --- ping -------------------------------------------------------------------------------------


async def test_answers_a_ping_and_delivers_it(pair: Pair) -> None:
    pair.peer.send(GOLDEN["deliver_ping"])
    assert raw(await pair.peer.frame()) == golden("ping_ack")
    assert raw(await pair.packet()) == golden("deliver_ping")
    pair.peer.send(GOLDEN["deliver_ping_ack"])
    assert raw(await pair.packet()) == golden("deliver_ping_ack")


async def test_answers_a_ping_that_the_filter_drops(pair: Pair) -> None:
    pair.peer.data(b"x", Address(255, 255, 255), Cmd.PING, 1)
    assert (await pair.peer.frame()).cmd == Cmd.PING_ACK
    pair.peer.data(b"next")
    assert (await pair.packet()).data == b"next"


async def test_does_not_answer_its_own_unit(pair: Pair) -> None:
    pair.peer.send(encode_frame(Address(19, 4, 18), CLIENT, Cmd.PING, 1, b"x"))
    pair.peer.data(b"y", cmd=Cmd.PING, cmd_type=1)
    assert (await pair.peer.frame()).data == b"y"


# --- global connect ---------------------------------------------------------------------------


async def test_global_connect(pair: Pair) -> None:
    nodes: list[Node] = []
    pair.client.on_global_connect = nodes.append
    peer_node = Node(20, 4, 5, 1, 1, "peer info")
    for name in ("existing", "new_silent", "new"):
        pair.peer.send(GOLDEN[f"global_connect_{name}"])
    # Only the last one asks for an answer.
    assert raw(await pair.peer.frame()) == golden("global_connect_reply")
    assert nodes == [peer_node._replace(status=2), peer_node, peer_node]
    assert pair.client.nodes == {(20, 4): peer_node}
    pair.peer.send(GOLDEN["global_connect_gone"])
    await until(lambda: not pair.client.nodes)
    assert nodes[-1].status == 0
    pair.peer.data(b"the next packet")
    assert (await pair.packet()).data == b"the next packet"


async def test_nodes_are_forgotten_with_the_link(server: Server, pair: Pair) -> None:
    pair.peer.send(GOLDEN["global_connect_existing"])
    await until(lambda: pair.client.nodes)
    pair.peer.close()
    await server.accepted()
    await soon(pair.client.wait_connected())
    assert pair.client.nodes == {}


@pytest.mark.parametrize("unit", [200, 255])
async def test_ids_in_events_are_unsigned(pair: Pair, unit: int) -> None:
    event = GlobalConnect(unit, 200, 211, 1, 2, "信息".encode("gbk"))
    cmd = Cmd.GLOBAL_CONNECT_ANSWER
    pair.peer.send(encode_frame(OTHER, CLIENT, cmd, 1, event.encode(OTHER, CLIENT, cmd)))
    await until(lambda: pair.client.nodes)
    assert pair.client.nodes[unit, 200] == Node(unit, 200, 211, 1, 2, "信息")


async def test_malformed_events_are_ignored(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    pair.peer.data(b"", cmd=Cmd.GLOBAL_CONNECT, cmd_type=1)
    pair.peer.data(bytes(280), cmd=Cmd.GLOBAL_CONNECT, cmd_type=1)
    pair.peer.data(b"next")
    assert (await pair.packet()).data == b"next"
    assert pair.client.nodes == {}
    assert caplog.text.count("ignoring a packet") == 1


async def test_an_ipsc_gets_calls_and_notifies_as_packets(server: Server) -> None:
    pair = await connect(server, address=IPSC)
    pair.peer.send(GOLDEN["call_flow"], GOLDEN["notify"])
    call, notify = await pair.packet(), await pair.packet()
    assert (call.cmd, notify.cmd) == (Cmd.FLOW_CALL, Cmd.NOTIFY)
    assert FlowCall.decode(call.data).params == b'["a",1]'
    assert Notify.decode(notify.data).text == b"hello"
    await pair.client.close()
