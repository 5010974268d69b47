"""What only the vendor's library does, and is kept from doing (NET-2018.md 8)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from smartbus.bus import Bus
from smartbus.errors import ClientExistsError, NotConnectedError, TooManyClientsError, UnitIdError
from tests.behaviour.couple import token
from tests.behaviour.ipsc import Ipsc
from tests.net.peer import DEADLINE, THUNKS, Peer

Start = Callable[[str, int], Peer]


@pytest.fixture
def vendor(peers: Start) -> Peer:
    return peers("vendor", 20)


def test_the_17th_vendor_client(vendor: Peer, bus: Bus) -> None:
    for client_id in range(16):
        vendor.join(client_id, 18, bus.host, bus.port)
    with pytest.raises(TooManyClientsError, match="too many clients in this process"):
        vendor.connect(16, 18, bus.host, bus.port)
    mark = token()
    vendor.on(15, "ping", 0, 99, 1, mark)
    vendor.expect("data", 15, mark)


def test_a_vendor_client_id_is_used_up(vendor: Peer, bus: Bus) -> None:
    vendor.join(1, 18, bus.host, bus.port)
    vendor.on(1, "release")
    with pytest.raises(ClientExistsError, match="never forgets"):
        vendor.connect(1, 18, bus.host, bus.port)


def test_finalize_and_initialize_with_the_vendor(vendor: Peer, bus: Bus) -> None:
    vendor.join(1, 18, bus.host, bus.port)
    vendor.call("initialize_again", "vendor", 20)
    vendor.join(2, 18, bus.host, bus.port)
    mark = token()
    vendor.on(2, "ping", 0, 99, 1, mark)
    vendor.expect("data", 2, mark)
    with pytest.raises(UnitIdError):
        vendor.call("initialize_again", "vendor", 21)


def test_sending_while_the_vendors_connect_fails(vendor: Peer) -> None:
    """A call into the library from inside its -20 callback would deadlock it for good."""
    with Bus() as bus:
        host, port = bus.host, bus.port
    vendor.connect(1, 18, host, port)
    vendor.expect("connect_fail", 1, -20)
    with pytest.raises(NotConnectedError):
        vendor.on(1, "send_data", 1, 3, 0, 0, 2, b"")
    with Bus(host, port):
        vendor.call("wait_connected", 1, DEADLINE)


def test_data_at_the_end_of_vendor_buffers(vendor: Peer, bus: Bus) -> None:
    """The library reads data as a C string: none, without NUL, with NUL, short for its command."""
    vendor.join(1, 18, bus.host, bus.port)
    for data in (None, b"", b"\xff" * 4, b"\0", b"\xff" * 98, b"\xff" * 5000):
        for cmd, cmd_type in ((1, 3), (11, 1), (12, 1), (13, 1), (15, 1)):
            vendor.on(1, "send_data", cmd, cmd_type, 22, 1, 18, data)
        vendor.on(1, "ping", 22, 1, 18, data)
    mark = token()
    vendor.on(1, "ping", 0, 99, 1, mark)
    vendor.expect("data", 1, mark)
    assert bus.stats().undeliverable == 6 * 6


def test_the_vendor_without_the_core(peers: Start, bus: Bus) -> None:
    """Events come through ctypes callbacks then, and are the same."""
    vendor, core = peers(THUNKS, 20), peers("core", 21)
    vendor.join(200, 18, bus.host, bus.port, info="vendor")
    core.join(1, 18, bus.host, bus.port, info="core")
    vendor.expect("connect", 200)
    assert vendor.expect("global", 21, 1)[3:] == (18, 0, 1, "core")
    with Ipsc(bus):
        number = vendor.on(200, "launch_flow", 0, 0, "Project1", "echo", 0, 20, ["参数"])
        assert vendor.expect("flow_ack", 200, number)[3] == 1
        assert vendor.expect("flow_resp", 200, number)[3] == ["参数"]
        number = vendor.on(200, "launch_flow", 0, 0, "Project1", "silent", 0, 0.1, [])
        assert vendor.expect("flow_timeout", 200, number)[4] is None
    core.call("send_burst", 1, 2000, (20, 200, 18), 100)
    for expected in range(2000):
        data, head = vendor.expect("data", 200)[2:]
        assert int.from_bytes(data[:4], "little") == expected
        assert (head.src_unit_id, head.src_unit_client_id) == (21, 1)
    vendor.on(200, "send_data", 1, 3, 21, 1, 18, b"back")
    core.expect("data", 1, b"back")
    bus.kick(20, 200)
    vendor.expect("disconnect", 200)
    vendor.expect("connect", 200)
