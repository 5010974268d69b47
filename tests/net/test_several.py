"""Several clients in one process: their own ids, types, servers, handlers and ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from smartbus.bus import Bus
from smartbus.errors import ClientNotFoundError, NotConnectedError
from smartbus.events import Packet
from smartbus.head import Head
from smartbus.net import Client
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Recorder, connected

ANY = -1


@pytest.fixture
def other_bus() -> Iterator[Bus]:
    with Bus(unit_id=1) as bus:
        yield bus


def datas(client: Recorder) -> list[bytes]:
    return [event[1] for event in client.record.events if event[0] == "data"]


def expect(client: Recorder, expected: list[bytes]) -> None:
    client.record.wait(lambda _: len(datas(client)) >= len(expected))
    assert datas(client) == expected


def fence(sender: Client, receivers: list[Recorder]) -> None:
    """Let everything that was sent so far arrive."""
    for receiver in receivers:
        sender.send_data(9, 9, ANY, receiver.client_id, ANY, b"fence")
    for receiver in receivers:
        receiver.record.expect("data", b"fence")


def test_data_to_each_lands_at_each(net: str, bus: Bus) -> None:
    ids_and_types = [(0, 18), (1, 18), (2, 19), (127, 19), (128, 20), (254, 254)]
    clients = [connected(bus, *each) for each in ids_and_types]
    sender = connected(bus, 50, 50)
    expected: dict[tuple[int, int], list[bytes]] = {each: [] for each in ids_and_types}
    for client_id, client_type in ids_and_types:
        mark = b"%d" % client_id
        sender.send_data(1, 3, ANY, client_id, client_type, mark)
        expected[client_id, client_type].append(mark)
    for wanted in (18, 19, 20, 21):
        mark = b"type %d" % wanted
        sender.send_data(1, 3, ANY, ANY, wanted, mark)
        for each, marks in expected.items():
            if each[1] == wanted:
                marks.append(mark)
    sender.send_data(1, 3, ANY, ANY, ANY, b"all")
    fence(sender, clients)
    for client in clients:
        mine = (client.client_id, client.client_type)
        expect(client, [*expected[mine], b"all", b"fence"])
        heads = [event[2] for event in client.record.events if event[0] == "data"]
        assert {head.src_unit_client_id for head in heads} == {50}
        assert Client.find(client.client_id) is client
    assert datas(sender) == []


def test_many_senders_at_once(net: str, bus: Bus) -> None:
    clients = [connected(bus, client_id) for client_id in range(12)]

    def send(index: int) -> None:
        to = clients[(index + 1) % len(clients)].client_id
        for number in range(200):
            clients[index].send_data(1, 3, ANY, to, ANY, b"%d %d" % (index, number))

    with ThreadPoolExecutor(len(clients)) as executor:
        list(executor.map(send, range(len(clients))))
    for index, client in enumerate(clients):
        before = (index - 1) % len(clients)
        expect(client, [b"%d %d" % (before, number) for number in range(200)])


def test_one_goes_and_others_stay(net: str, bus: Bus) -> None:
    stays, goes, sender = (connected(bus, client_id) for client_id in (1, 2, 3))
    sender.send_many(1, 3, ANY, 1, ANY, [b"1"])
    sender.send_many(1, 3, ANY, 2, ANY, [b"2"])
    expect(goes, [b"2"])
    goes.release()
    assert Client.find(2) is None
    with pytest.raises(ClientNotFoundError):
        goes.send_data(1, 3, ANY, 1, ANY, b"x")
    stays.send_data(1, 3, ANY, 3, ANY, b"from 1")
    sender.send_data(1, 3, ANY, 2, ANY, b"nobody")
    sender.send_data(1, 3, ANY, 1, ANY, b"last")
    expect(stays, [b"1", b"last"])
    expect(sender, [b"from 1"])
    assert stays.connected
    assert datas(goes) == [b"2"]


def test_an_id_may_be_used_again(bus: Bus) -> None:
    Client.initialize(UNIT, library="core")
    other = connected(bus, 1)
    for client_type in (18, 19, 20):
        again = connected(bus, 2, client_type)
        other.send_data(1, 3, ANY, ANY, client_type, b"%d" % client_type)
        expect(again, [b"%d" % client_type])
        again.release()


def test_two_buses(net: str, bus: Bus, other_bus: Bus) -> None:
    """Each client is on its own bus; what happens to one bus is nothing to the other."""
    here = [connected(bus, client_id) for client_id in (1, 2)]
    there = [connected(other_bus, client_id) for client_id in (3, 4)]
    for (first, second), mark in ((here, b"here"), (there, b"there")):
        first.send_data(1, 3, ANY, second.client_id, ANY, mark)
        first.send_data(1, 3, ANY, ANY, ANY, b"all " + mark)
        expect(second, [mark, b"all " + mark])
    here[0].send_data(1, 3, ANY, 3, ANY, b"wrong bus")
    other_bus.close()
    for client in there:
        client.record.expect("disconnect")
        client.record.expect("connect_fail", -20)
        assert not client.connected
    with pytest.raises(NotConnectedError):
        there[0].send_data(1, 3, ANY, 4, ANY, b"x")
    here[1].send_data(1, 3, ANY, 1, ANY, b"still")
    expect(here[0], [b"still"])
    assert [event for event in here[0].record.events if event[0] == "disconnect"] == []
    there[0].release()
    assert b"wrong bus" not in datas(there[0])
    here[1].release()
    here[0].ping(0, 0, 1, b"alive")
    here[0].record.expect("data", b"alive")


def test_one_that_blocks_in_its_executor(net: str, bus: Bus) -> None:
    """Handlers in an executor hold up only their own client."""
    entered, leave = threading.Event(), threading.Event()

    class Blocking(Recorder):
        def on_data(self, head: Head, data: bytes) -> None:
            entered.set()
            assert leave.wait(DEADLINE)
            super().on_data(head, data)

    with ThreadPoolExecutor(1) as executor:
        blocks = Blocking.create(1, 18, bus.host, bus.port, event_executor=executor)
        blocks.activate()
        blocks.wait_connected(DEADLINE)
        goes_on, sender = connected(bus, 2), connected(bus, 3)
        sender.send_data(1, 3, ANY, 1, ANY, b"blocks")
        assert entered.wait(DEADLINE)
        sender.send_data(1, 3, ANY, 1, ANY, b"waits")
        sender.send_data(1, 3, ANY, 2, ANY, b"goes on")
        expect(goes_on, [b"goes on"])
        assert datas(blocks) == []
        leave.set()
        expect(blocks, [b"blocks", b"waits"])
        blocks.release()


def test_subscriptions_belong_to_one_client(net: str, bus: Bus) -> None:
    first, second = connected(bus, 1), connected(bus, 2)
    heard: list[tuple[int, bytes]] = []

    def hear(client: Client) -> None:
        client.subscribe(lambda event: heard.append((client.client_id, event.data)), Packet)

    hear(first)
    hear(second)
    first.send_data(1, 3, ANY, 2, ANY, b"to 2")
    second.record.expect("data", b"to 2")
    second.send_data(1, 3, ANY, 1, ANY, b"to 1")
    first.record.expect("data", b"to 1")
    fence(first, [second])
    fence(second, [first])
    Client.finalize()  # the last handlers have run
    assert heard == [(2, b"to 2"), (1, b"to 1"), (2, b"fence"), (1, b"fence")]


def test_finalize_ends_all(net: str, bus: Bus, other_bus: Bus) -> None:
    clients = [connected(bus, 1), connected(bus, 2), connected(other_bus, 3)]
    Client.finalize()
    for client in clients:
        assert not client.connected
        with pytest.raises(ClientNotFoundError):
            client.send_data(1, 3, ANY, 1, ANY, b"x")
    assert [client for client in clients if Client.find(client.client_id)] == []
