"""`send_many`: many packets in one call, and how many of them went."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest

from smartbus.bus import Bus
from smartbus.errors import (
    ArgumentError,
    BufferFullError,
    ClientNotFoundError,
    CommandTypeError,
    NotConnectedError,
    OwnUnitError,
    SmartBusError,
    TooLargeError,
    UnitIdError,
)
from smartbus.head import Head
from smartbus.net import Client
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Recorder, connected
from tests.net.stuck import StuckServer

TO = (5, 3, -1, 2, 18)
#: More packets than a queue takes.
TOO_MANY = 150_000


def test_all_arrive_in_order(net: str, bus: Bus) -> None:
    receiver = connected(bus, 2)
    sender = connected(bus, 1, encoding="gbk")
    assert sender.send_many(*TO, []) == 0
    assert sender.send_many(*TO, [b"", bytearray(b"array"), memoryview(b"view"), "文", None]) == 5
    numbers = [b"%d" % number for number in range(5000)]
    assert sender.send_many(*TO, numbers) == 5000
    assert sender.send_many(*TO, (b"%d" % number for number in range(3))) == 3
    large = [bytes([number]) * 1_000_000 for number in range(9)]
    assert sender.send_many(*TO, tuple(large)) == 9
    expected = [b"", b"array", b"view", "文".encode("gbk"), b"", *numbers, *numbers[:3], *large]
    receiver.record.wait(lambda events: len(events) == 1 + len(expected))
    assert [event[1] for event in receiver.record.events[1:]] == expected
    for event in receiver.record.events[1:]:
        head: Head = event[2]
        assert (head.cmd, head.cmd_type, head.data_length) == (5, 3, len(event[1]))
        assert (head.src_unit_id, head.src_unit_client_id) == (UNIT, 1)


def test_many_to_all(net: str, bus: Bus) -> None:
    receivers = [connected(bus, client_id) for client_id in (2, 3)]
    connected(bus, 1).send_many(1, 3, -1, -1, -1, [b"a", b"b"])
    for receiver in receivers:
        receiver.record.expect("data", b"a")
        receiver.record.expect("data", b"b")


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((1, 3, UNIT, 0, 2, [b"x"]), OwnUnitError, "own unit"),
        ((1, 3, 48, 0, 2, [b"x"]), UnitIdError, "unit 48"),
        ((1, 0, 0, 0, 2, [b"x"]), CommandTypeError, "cmd_type 0"),
        ((256, 3, 0, 0, 2, []), ArgumentError, "cmd is 256"),
        ((1, 3, 0, -2, 2, []), ArgumentError, "dst_client_id is -2"),
        (("1", 3, 0, 0, 2, []), TypeError, "cmd must be int"),
        ((1, 3, 0, 0, 2, b"one"), TypeError, "datas must be many, not one bytes"),
        ((1, 3, 0, 0, 2, "one"), TypeError, "not one str"),
        ((1, 3, 0, 0, 2, [b"x", 5]), TypeError, "bytes-like"),
        ((1, 3, 0, 0, 2, 5), TypeError, "datas must be many, not one int"),
    ],
)
def test_bad_arguments(
    net: str, bus: Bus, arguments: Any, error: type[Exception], match: str
) -> None:
    client = connected(bus)
    with pytest.raises(error, match=match) as caught:
        client.send_many(*arguments)
    if isinstance(caught.value, SmartBusError):
        assert caught.value.sent == 0


def test_one_that_is_too_large(net: str, bus: Bus) -> None:
    receiver = connected(bus, 2)
    client = connected(bus)
    with pytest.raises(TooLargeError, match="268435456") as caught:
        client.send_many(*TO, [b"x", bytes(0x10000000)])
    assert caught.value.sent == 0
    client.send_data(*TO, b"next")
    receiver.record.wait(lambda events: len(events) == 2)
    assert receiver.record.events[1][1] == b"next"


def test_without_a_connection(net: str, bus: Bus) -> None:
    client: Client = Client.create(1, 18, bus.host, bus.port)
    with pytest.raises(ClientNotFoundError, match="0 of 2 were queued: the client was not act"):
        client.send_many(*TO, [b"a", b"b"])
    client.release()
    with pytest.raises(ClientNotFoundError, match="released"):
        client.send_many(*TO, [b"a"])


@pytest.fixture
def server(net: str) -> Iterator[StuckServer]:
    with StuckServer() as server:
        yield server
        Client.finalize(linger=0)


def numbered(start: int = 0, count: int = 3000) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


def fill(client: Client) -> tuple[int, BufferFullError]:
    """Send until no more goes; return how many went and the error."""
    sent = 0
    try:
        while True:
            sent += client.send_many(*TO, numbered(sent))
    except BufferFullError as error:
        return sent + error.sent, error


def test_a_full_queue_tells_how_many_went(server: StuckServer) -> None:
    client = server.admitted()
    sent, error = fill(client)
    assert 0 <= error.sent < 3000
    assert f"{error.sent} of 3000 were queued" in str(error)
    assert pickle.loads(pickle.dumps(error)).sent == error.sent  # noqa: S301 - our own
    with pytest.raises(BufferFullError) as caught:
        client.send_many(*TO, numbered(sent, TOO_MANY), timeout=0.01)
    sent += caught.value.sent  # the system may have made room for a few more
    got = [frame.data for frame in islice(server.frames(), sent)]
    assert got == numbered(count=sent)


def test_waiting_for_room(server: StuckServer) -> None:
    client = server.admitted()
    sent, _ = fill(client)
    more = TOO_MANY
    with ThreadPoolExecutor(1) as executor:
        sending = executor.submit(client.send_many, *TO, numbered(sent, more), timeout=DEADLINE)
        got = [frame.data for frame in islice(server.frames(), sent + more)]
        assert sending.result(DEADLINE) == more
    assert got == numbered(count=sent + more)


def test_the_connection_ends_while_waiting_for_room(server: StuckServer) -> None:
    client = server.admitted()
    fill(client)
    with ThreadPoolExecutor(1) as executor:
        sending = executor.submit(client.send_many, *TO, numbered(0, TOO_MANY), timeout=DEADLINE)
        client.release()
        error = sending.exception(DEADLINE)
    assert isinstance(error, (ClientNotFoundError, NotConnectedError))
    assert 0 <= error.sent < TOO_MANY


def test_no_waiting_in_a_handler(net: str, bus: Bus) -> None:
    errors: list[BaseException] = []
    done = threading.Event()

    class Sending(Recorder):
        def on_data(self, head: Head, data: bytes) -> None:  # noqa: ARG002
            self.send_many(1, 3, -1, 1, 18, [b"fine", b"too"])
            try:
                self.send_many(1, 3, -1, 1, 18, [b"x"], timeout=1)
            except RuntimeError as error:
                errors.append(error)
            done.set()

    sender = connected(bus, 1)
    receiver: Sending = Sending.create(2, 18, bus.host, bus.port)
    receiver.activate()
    receiver.wait_connected(DEADLINE)
    sender.send_data(*TO, b"go")
    assert done.wait(DEADLINE)
    assert "would block" in str(errors[0])
    sender.record.expect("data", b"too")
