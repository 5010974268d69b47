"""Events out of C: the core's inbox and the thunks must say the same."""

from __future__ import annotations

import ctypes
import os
import resource
import select
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from smartbus._c import abi, core_api, lookup
from smartbus._c.events import Event, Packets, texts
from smartbus._c.inbox import MAX_RUN, Inbox, decode
from smartbus._c.thunks import ThunkInbox
from smartbus._c.vendor_base import EventSource

HEAD = bytes(range(1, 21))
MIB = 1 << 20

Maker = Callable[[int, int], EventSource]


@pytest.fixture(params=["core", "thunks"])
def make(request: pytest.FixtureRequest) -> Iterator[Maker]:
    made: list[EventSource] = []

    def make(max_events: int = 65536, max_bytes: int = 64 * MIB) -> EventSource:
        source: EventSource
        if request.param == "core":
            source = Inbox.new(lookup.require_core(), max_events, max_bytes)
        else:
            source = ThunkInbox(max_events, max_bytes)
        made.append(source)
        return source

    yield make
    for source in made:
        source.close()
        source.free()


@pytest.fixture
def source(make: Callable[[], EventSource]) -> EventSource:
    return make()


class Sdk:
    """Calls the callbacks as a C library would: by address, with NUL-terminated text."""

    def __init__(self, source: EventSource) -> None:
        slots, self.arg = source.callbacks, source.arg
        self._connection = abi.ConnectionCallback(slots.connection.value)
        self._disconnect = abi.DisconnectCallback(slots.disconnect.value)
        self._data = abi.DataCallback(slots.data.value)
        self._flow_ack = abi.FlowCallback(slots.flow_ack.value)
        self._flow_return = abi.FlowCallback(slots.flow_return.value)
        self._global = abi.GlobalConnectCallback(slots.global_connect.value)
        self._trace = abi.TraceCallback(slots.trace.value)
        self._trace_error = abi.TraceCallback(slots.trace_error.value)

    def connection(self, client: int, unit: int, ack: int) -> None:
        self._connection(self.arg, client, unit, ack)

    def disconnect(self, client: int) -> None:
        self._disconnect(self.arg, client)

    def data(self, client: int, data: bytes | None, size: int | None = None) -> None:
        buffer = None if data is None else ctypes.create_string_buffer(data, len(data) or 1)
        self._data(self.arg, client, HEAD, buffer, len(data or b"") if size is None else size)

    def flow_ack(self, *args: Any) -> None:
        self._flow_ack(self.arg, *args)

    def flow_return(self, *args: Any) -> None:
        self._flow_return(self.arg, *args)

    def global_connect(self, *args: Any) -> None:
        self._global(self.arg, *args)

    def trace(self, text: bytes) -> None:
        self._trace(text)

    def trace_error(self, text: bytes) -> None:
        self._trace_error(text)


def readable(source: EventSource) -> bool:
    return bool(select.select([source.fileno()], [], [], 0)[0])


def test_every_kind_of_event(source: EventSource) -> None:
    sdk = Sdk(source)
    source.take_traces()
    sdk.connection(200, -1, -20)
    sdk.disconnect(200)
    sdk.data(3, b"\x00abc\xff")
    sdk.flow_ack(1, HEAD, b"Project1", 77, 1, "好".encode("gbk"))
    sdk.flow_return(1, None, b"Project1", 78, -25, b"")
    sdk.global_connect(b"\xc8", b"\x80", b"\xff", b"\x00", b"\x01", b"info")
    sdk.trace(b"fine")
    sdk.trace_error(b"not fine")
    globals_head = bytes([200, 128, 255, 0, 1]).ljust(20, b"\0")
    assert source.drain() == [
        Event(core_api.EV_CONNECTED, 200, -20, -1, None, b""),
        Event(core_api.EV_DISCONNECTED, 200, 0, 0, None, b""),
        Packets(3, [(HEAD, b"\x00abc\xff")]),
        Event(core_api.EV_FLOW_ACK, 1, 1, 77, HEAD, b"Project1\0\xba\xc3\0"),
        Event(core_api.EV_FLOW_RETURN, 1, -25, 78, None, b"Project1\0\0"),
        Event(core_api.EV_GLOBAL, 0, 0, 0, globals_head, b"info\0"),
        Event(core_api.EV_TRACE, 0, 0, 0, None, b"fine"),
        Event(core_api.EV_TRACE, 0, 1, 0, None, b"not fine"),
    ]
    assert source.drain() == []


def test_c_null_is_taken_for_nothing(source: EventSource) -> None:
    sdk = Sdk(source)
    sdk.data(1, None)
    sdk.data(1, b"ignored", -5)  # the vendor's library passes a negative size on (NET.md 1.4)
    sdk.flow_ack(1, None, None, 1, -25, None)
    sdk.global_connect(b"\1", b"\2", b"\3", b"\4", b"\5", None)
    packets, ack, event = source.drain()
    assert packets == Packets(1, [(HEAD, b""), (HEAD, b"")])
    assert isinstance(ack, Event)
    assert (ack.head, ack.payload) == (None, b"\0\0")
    assert isinstance(event, Event)
    assert event.payload == b"\0"


def test_packets_are_grouped_by_consecutive_client(source: EventSource) -> None:
    sdk = Sdk(source)
    for client, data in [(1, b"a"), (1, b"b"), (2, b"c"), (1, b"d")]:
        sdk.data(client, data)
    sdk.disconnect(1)
    sdk.data(1, b"e")
    items = source.drain()
    assert [item.client for item in items] == [1, 2, 1, 1, 1]
    runs = [[data for _, data in item.packets] for item in items if isinstance(item, Packets)]
    assert runs == [[b"a", b"b"], [b"c"], [b"d"], [b"e"]]


def test_runs_are_bounded(source: EventSource) -> None:
    sdk = Sdk(source)
    for number in range(MAX_RUN + 1):
        sdk.data(1, b"%d" % number)
    first, second = source.drain()
    assert isinstance(first, Packets)
    assert len(first.packets) == MAX_RUN
    assert second == Packets(1, [(HEAD, b"%d" % MAX_RUN)])


def test_data_is_copied_before_the_callback_returns(source: EventSource) -> None:
    buffer = ctypes.create_string_buffer(b"original")
    callback = abi.DataCallback(source.callbacks.data.value)
    callback(source.arg, 1, HEAD, buffer, 8)
    buffer.raw = b"changed!!"
    assert source.drain() == [Packets(1, [(HEAD, b"original")])]


def test_big_payloads(source: EventSource) -> None:
    sdk = Sdk(source)
    payloads = [b"x" * MIB, b"", b"y" * 3 * MIB]
    for payload in payloads:
        sdk.data(9, payload)
    items = source.drain()
    got = [data for item in items if isinstance(item, Packets) for _, data in item.packets]
    assert got == payloads


def test_the_descriptor_is_readable_while_events_wait(source: EventSource) -> None:
    sdk = Sdk(source)
    assert not readable(source)
    assert source.wait(0) == 0
    sdk.disconnect(1)
    sdk.disconnect(2)
    assert readable(source)
    assert source.wait(0) == 1
    assert len(source.drain()) == 2
    assert not readable(source)
    assert source.wait(0) == 0
    sdk.disconnect(3)
    assert readable(source)


def test_wait_returns_when_something_comes(source: EventSource) -> None:
    sdk = Sdk(source)
    results: list[int] = []
    waiter = threading.Thread(target=lambda: results.append(source.wait(20_000)))
    waiter.start()
    sdk.disconnect(1)
    waiter.join(20)
    assert results == [1]


def test_wake_makes_wait_return(source: EventSource) -> None:
    source.take_traces()
    waiter = threading.Thread(target=lambda: source.wait(-1))
    waiter.start()
    source.wake()
    waiter.join(20)
    assert not waiter.is_alive()


@pytest.mark.parametrize(("max_events", "max_bytes"), [(3, MIB), (1000, 3)])
def test_a_full_inbox_holds_its_producer_back(make: Maker, max_events: int, max_bytes: int) -> None:
    source = make(max_events, max_bytes)
    sdk = Sdk(source)

    def produce() -> None:
        for number in range(10):
            sdk.data(1, b"%d" % number)

    producer = threading.Thread(target=produce)
    producer.start()
    got: list[bytes] = []
    while len(got) < 10:
        assert source.wait(20_000) == 1
        batch = [
            data for item in source.drain() if isinstance(item, Packets) for _, data in item.packets
        ]
        assert len(batch) <= 3
        got += batch
    producer.join(20)
    assert got == [b"%d" % number for number in range(10)]


def test_traces_do_not_wait_but_are_counted(make: Maker) -> None:
    source = make(1, MIB)
    sdk = Sdk(source)
    source.take_traces()
    sdk.trace(b"one")
    sdk.trace(b"two")
    sdk.trace_error(b"three")
    assert [item.payload for item in source.drain() if isinstance(item, Event)] == [b"one"]
    assert source.lost == 2


def test_close_lets_a_waiting_producer_go(make: Maker) -> None:
    source = make(1, MIB)
    sdk = Sdk(source)
    sdk.disconnect(1)
    producer = threading.Thread(target=sdk.disconnect, args=(2,))
    producer.start()
    source.close()
    producer.join(20)
    assert not producer.is_alive()
    source.drain()
    assert source.wait(-1) < 0
    sdk.disconnect(3)
    assert source.drain() == []


def test_thunks_survive_a_closed_queue() -> None:
    queue = ThunkInbox(10, MIB)
    sdk = Sdk(queue)
    queue.close()
    queue.free()
    sdk.data(1, b"too late")
    sdk.trace(b"too late")


def batch_of(events: list[tuple[int, int, bytes]]) -> tuple[bytes, bytes]:
    """Lay events (kind, client, payload) out as C does."""
    raw, data = b"", b""
    for kind, client, payload in events:
        raw += core_api.EVENT.pack(kind, client, 1, 0, 0, len(payload), len(data), HEAD)
        data += payload
    return raw, data


@pytest.mark.parametrize("view", [bytes, memoryview])
def test_decode_of_copied_and_viewed_memory(view: Callable[[bytes], bytes | memoryview]) -> None:
    data_event, other = core_api.EV_DATA, core_api.EV_DISCONNECTED
    payloads = [b"aaa", b"", b"bbbbb"]
    raw, data = batch_of([(data_event, 7, payload) for payload in payloads])
    assert decode(raw, view(data)) == [Packets(7, [(HEAD, payload) for payload in payloads])]
    raw, data = batch_of([(data_event, 7, b"a"), (data_event, 8, b"b"), (data_event, 8, b"c")])
    assert decode(raw, view(data)) == [
        Packets(7, [(HEAD, b"a")]),
        Packets(8, [(HEAD, b"b"), (HEAD, b"c")]),
    ]
    raw, data = batch_of([(data_event, 7, b"a"), (other, 7, b""), (data_event, 7, b"b")])
    assert decode(raw, view(data)) == [
        Packets(7, [(HEAD, b"a")]),
        Event(other, 7, 0, 0, HEAD, b""),
        Packets(7, [(HEAD, b"b")]),
    ]


@pytest.mark.parametrize("clients", [(7, 7), (7, 8)])
def test_big_packets_are_runs_of_their_own(clients: tuple[int, int]) -> None:
    source = Inbox.new(lookup.require_core(), 10, 10 * MIB)
    sdk = Sdk(source)
    datas = [b"a" * MIB, b"b" * MIB]
    for client, data in zip(clients, datas, strict=True):
        sdk.data(client, data)
    expected = [(client, [data]) for client, data in zip(clients, datas, strict=True)]
    items = [item for item in source.drain() if isinstance(item, Packets)]
    assert [(item.client, [data for _, data in item.packets]) for item in items] == expected
    source.close()
    source.free()


def test_the_format_of_an_event_is_the_documented_one() -> None:
    assert core_api.EVENT.format == "<BBHiiIQ20s4x"
    assert struct.calcsize(core_api.EVENT.format) == 48


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"a\0b\0", [b"a", b"b"]),
        (b"a\0", [b"a", b""]),
        (b"", [b"", b""]),
        (b"a\0b\0c\0", [b"a", b"b"]),
        (b"unended", [b"unended", b""]),
    ],
)
def test_texts(payload: bytes, expected: list[bytes]) -> None:
    assert texts(payload, 2) == expected


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Only numbers above 1023, which select() does not take, are left for new descriptors."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= limits[1] < 2048:
        pytest.skip("the system does not allow so many")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2048), limits[1]))
    taken: list[int] = []
    try:
        while not taken or taken[-1] < 1024:
            taken.append(os.dup(2))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_descriptors_above_1023(many_descriptors: None, make: Maker) -> None:
    source = make(10, MIB)
    assert source.fileno() > 1023
    assert source.wait(1) == 0
    Sdk(source).disconnect(1)
    assert source.wait(20_000) == 1
    assert len(source.drain()) == 1
