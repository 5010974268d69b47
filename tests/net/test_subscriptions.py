"""Events as objects, for whoever subscribes to them."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from smartbus import events
from smartbus.bus import Bus, PasswordFile
from smartbus.events import (
    EVENTS,
    Connected,
    ConnectFailed,
    Disconnected,
    Event,
    FlowAcknowledged,
    FlowEvent,
    FlowFailed,
    FlowReturned,
    FlowTimedOut,
    GlobalConnect,
    Packet,
)
from smartbus.head import Head
from smartbus.net import Client
from tests.behaviour.ipsc import Ipsc
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Record, Recorder, connected

TO = (5, 3, -1, 2, 18)


class Heard(Record):
    """Writes events down: as (class name, event)."""

    def __call__(self, event: Event) -> None:
        self.add(type(event).__name__, event)

    def one(self, kind: type[Event]) -> Any:
        """Wait for the first event of this class."""
        return self.expect(kind.__name__)[1]

    def kinds(self) -> list[str]:
        return [name for name, _ in self.events]


def subscribed(bus: Bus, *event_types: type[Event], client_id: int = 2) -> tuple[Recorder, Heard]:
    client = Recorder.create(client_id, 18, bus.host, bus.port)
    heard = Heard()
    client.subscribe(heard, *event_types)
    client.activate()
    client.wait_connected(DEADLINE)
    return client, heard


def test_events_of_a_connection(net: str, bus: Bus) -> None:
    client, heard = subscribed(bus)
    sender = connected(bus, 1)
    sender.send_data(*TO, b"data")
    packet = heard.one(Packet)
    assert packet.data == b"data"
    assert (packet.head.cmd, packet.head.src_unit_client_id) == (5, 1)
    bus.close()
    assert heard.one(Disconnected) == Disconnected()
    assert heard.one(Connected) == Connected(0)
    assert [name for name in heard.kinds() if name != "GlobalConnect"][:3] == [
        "Connected",
        "Packet",
        "Disconnected",
    ]
    assert [event[0] for event in client.record.events][:3] == ["connect", "data", "disconnect"]


def test_a_refusal(net: str, bus: Bus, tmp_path: Any) -> None:
    PasswordFile.add(tmp_path / "users", "anna", "secret")
    with Bus(users=tmp_path / "users") as strict:
        client = Client.create(1, 18, strict.host, strict.port, user="bert")
        heard = Heard()
        client.subscribe(heard, ConnectFailed)
        client.activate()
        assert heard.one(ConnectFailed) == ConnectFailed(-5)


def test_flow_events(net: str, bus: Bus) -> None:
    with Ipsc(bus):
        client, heard = subscribed(bus, FlowEvent)
        number = client.launch_flow(0, 0, "项目", "echo", 0, DEADLINE, [1, "二"])
        ack = heard.one(FlowAcknowledged)
        assert (ack.project_id, ack.invoke_id, ack.status_code) == ("项目", number, 1)
        assert ack.started
        assert ack.msg == "started"
        assert ack.head.src_unit_client_type == 2
        returned = heard.one(FlowReturned)
        assert (returned.invoke_id, returned.params) == (number, [1, "二"])
        number = client.launch_flow(0, 0, "P", "notlist", 0, DEADLINE, [])
        failed = heard.one(FlowFailed)
        assert (failed.invoke_id, failed.error_code) == (number, -99)
        assert "no JSON array" in failed.msg
        number = client.launch_flow(0, 0, "P", "noreturn", 0, 0.05, [])
        assert heard.one(FlowTimedOut) == FlowTimedOut(None, "P", number)
        assert set(heard.kinds()) == {
            "FlowAcknowledged",
            "FlowReturned",
            "FlowFailed",
            "FlowTimedOut",
        }


def test_global_connects(kind: str, bus: Bus) -> None:
    told = Record()
    Client.initialize(UNIT, told.add, library="core", abi=kind == "abi")
    _, heard = subscribed(bus, GlobalConnect)
    _, also = subscribed(bus, GlobalConnect, client_id=3)
    told.expect(UNIT, 3, 18)
    for each in (heard, also):
        each.wait(lambda events: any(event.client_id == 3 for _, event in events))
        change = next(event for _, event in each.events if event.client_id == 3)
        assert (change.unit_id, change.client_type, change.access_unit_id) == (UNIT, 18, 0)
        assert change.status_code in (1, 2)


def test_who_hears_what_and_when(net: str, bus: Bus) -> None:
    """The method first, then handlers in their order; each hears what it asked for."""
    order: list[str] = []
    done = threading.Event()

    class Ordered(Client):
        def on_data(self, head: Head, data: bytes) -> None:  # noqa: ARG002
            order.append("on_data")

    client: Ordered = Ordered.create(2, 18, bus.host, bus.port)
    client.subscribe(lambda _: order.append("first"), Packet)
    client.subscribe(lambda _: order.append("failed"), ConnectFailed, Disconnected)
    client.subscribe(lambda _: order.append("second"), Packet, Disconnected)
    client.subscribe(lambda _: done.set(), Packet)
    client.activate()
    client.wait_connected(DEADLINE)
    connected(bus, 1).send_data(*TO, b"x")
    assert done.wait(DEADLINE)
    assert order == ["on_data", "first", "second"]


def test_closing(net: str, bus: Bus) -> None:
    client, heard = subscribed(bus, Packet)
    with client.subscribe(heard, Packet) as twice:
        assert "closed" not in repr(twice)
        assert twice.event_types == (Packet,)
        assert twice.handler is heard
        sender = connected(bus, 1)
        sender.send_data(*TO, b"1")
        heard.wait(lambda events: len(events) == 2)  # each subscription counts
    assert twice.closed
    assert "closed" in repr(twice)
    twice.close()
    sender.send_data(*TO, b"2")
    sender.send_data(*TO, b"3")
    heard.wait(lambda events: len(events) == 4)
    assert [event.data for _, event in heard.events] == [b"1", b"1", b"2", b"3"]


def test_closing_in_the_handler(net: str, bus: Bus) -> None:
    """Also in the middle of packets that came together."""
    client = connected(bus, 2)
    seen: list[bytes] = []

    def once(event: Packet) -> None:
        seen.append(event.data)
        subscription.close()

    subscription = client.subscribe(once, Packet)
    heard = Heard()
    client.subscribe(heard, Packet)
    connected(bus, 1).send_many(*TO, [b"%d" % number for number in range(100)])
    heard.wait(lambda events: len(events) == 100)
    assert seen == [b"0"]


def test_subscribing_in_the_handler(net: str, bus: Bus) -> None:
    client = connected(bus, 2)
    heard = Heard()
    client.subscribe(lambda _: client.subscribe(heard, Packet), Packet)
    sender = connected(bus, 1)
    sender.send_data(*TO, b"1")
    client.record.wait(lambda events: len(events) == 2)
    sender.send_data(*TO, b"2")
    assert heard.one(Packet).data == b"2"


def test_a_handler_that_raises(net: str, bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    client = connected(bus, 2)
    heard = Heard()
    client.subscribe(lambda _: 1 / 0, Packet)
    client.subscribe(heard, Packet)
    connected(bus, 1).send_many(*TO, [b"1", b"2"])
    heard.wait(lambda events: len(events) == 2)
    assert sum("a handler raised" in record.message for record in caplog.records) == 2


def test_in_an_executor(net: str, bus: Bus) -> None:
    threads: set[str] = set()
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        client = Client.create(2, 18, bus.host, bus.port, event_executor=executor)
        heard = Heard()
        client.subscribe(lambda _: threads.add(threading.current_thread().name))
        client.subscribe(heard)
        client.activate()
        heard.one(Connected)
        connected(bus, 1).send_data(*TO, b"x")
        heard.one(Packet)
        client.release()
    assert threads == {"mine_0"}


def test_no_event_after_release(net: str, bus: Bus) -> None:
    client, heard = subscribed(bus, Packet)
    sender = connected(bus, 1)
    client.release()
    count = len(heard.events)
    sender.send_data(*TO, b"x")
    sender.ping(0, 0, 1)
    sender.record.expect("data")
    assert len(heard.events) == count


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((None,), "handler must be callable"),
        ((print, int), "no class of smartbus.events"),
        ((print, Connected(0)), "no class of smartbus.events"),
        ((print, Packet, "Packet"), "no class of smartbus.events"),
    ],
)
def test_bad_subscriptions(net: str, arguments: Any, match: str) -> None:
    client = Client.create(1, 18, "127.0.0.1", 1)
    with pytest.raises(TypeError, match=match):
        client.subscribe(*arguments)


# ---- the classes -------------------------------------------------------------------------

HEAD = Head(bytes(20))
SAMPLES: list[Event] = [
    Connected(0),
    ConnectFailed(-20),
    Disconnected(),
    Packet(HEAD, b"data"),
    FlowAcknowledged(HEAD, "P", 1, 1, "started"),
    FlowReturned(HEAD, "P", 1, [1]),
    FlowFailed(None, "P", 1, -99, "why"),
    FlowTimedOut(None, "P", 1),
    GlobalConnect(20, 1, 18, 0, 1, "info"),
]


def test_there_is_a_sample_of_each_class() -> None:
    assert [type(event) for event in SAMPLES] == list(EVENTS)
    assert {each.__name__ for each in (*EVENTS, Event, FlowEvent)} | {"EVENTS"} == set(
        events.__all__
    )


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_events_are_values(event: Event) -> None:
    assert not hasattr(event, "__dict__")
    assert type(event).__name__ in repr(event)
    for other in (copy.deepcopy(event), pickle.loads(pickle.dumps(event))):  # noqa: S301
        assert other == event
    assert all(event != other for other in SAMPLES if other is not event)
    with pytest.raises((FrozenInstanceError, TypeError)):
        event.project_id = "other"  # type: ignore[attr-defined]


def test_matching() -> None:
    match SAMPLES[4]:
        case FlowAcknowledged(head, project, number, code, msg):
            assert (head, project, number, code, msg) == (HEAD, "P", 1, 1, "started")
        case _:
            pytest.fail("no match")
