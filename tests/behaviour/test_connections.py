"""Coming, being refused, going and coming back, with each library at our end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartbus.bus import Bus, PasswordFile
from smartbus.errors import NotConnectedError, PasswordError, SmartBusError, UserError
from tests.behaviour.couple import token
from tests.behaviour.silent import SilentServer
from tests.net.peer import DEADLINE, KINDS, LOOPS, Peer

Start = Callable[[str, int], Peer]


def test_users_and_passwords(kind: str, peers: Start, tmp_path: Path) -> None:
    path = tmp_path / "users"
    PasswordFile.add(path, "王安娜", "密码 geheim")
    peer = peers(kind, 20)
    with Bus(users=path) as bus:
        peer.join(1, 18, bus.host, bus.port, user="王安娜", password="密码 geheim")
        peer.expect("connect", 1)
        for client_id, user, password, error, code in [
            (2, "王安娜", "falsch", PasswordError, -6),
            (3, "bert", "密码 geheim", UserError, -5),
            (4, None, None, UserError, -5),
        ]:
            peer.connect(client_id, 18, bus.host, bus.port, user=user, password=password)
            with pytest.raises(error, match=f"refused client {client_id}"):
                peer.call("wait_connected", client_id, DEADLINE)
            peer.expect("connect_fail", client_id, code)
            with pytest.raises(NotConnectedError):
                peer.on(client_id, "send_data", 1, 3, 0, 0, 2, b"")
        assert peer.call("connected", 1)
        assert [client.client_id for client in bus.clients()] == [1]


def test_no_server_yet(kind: str, peers: Start) -> None:
    peer = peers(kind, 20)
    with Bus() as bus:
        host, port = bus.host, bus.port
    peer.connect(1, 18, host, port)
    peer.expect("connect_fail", 1, -20)
    with Bus(host, port):
        peer.call("wait_connected", 1, DEADLINE)
        peer.expect("connect", 1)
        assert peer.take() == []


def test_a_host_name(kind: str, bus: Bus, peers: Start) -> None:
    peer = peers(kind, 20)
    peer.join(1, 18, "localhost", bus.port)
    for client_id, host in enumerate(("256.1.1.1", "no-such-host.invalid"), 2):
        if kind in LOOPS:  # looks names up each time that it connects
            peer.connect(client_id, 18, host, bus.port)
            peer.expect("connect_fail", client_id, -20)
            continue
        with pytest.raises(SmartBusError, match="no IPv4 address"):
            peer.connect(client_id, 18, host, bus.port)
    assert [client.client_id for client in bus.clients()] == [1]


def settled(peer: Peer) -> Counter[tuple[Any, ...]]:
    """What the peer's client 1 was told about others so far: the bus answers pings in order."""
    mark = token()
    peer.on(1, "ping", 0, 99, 1, mark)
    before = peer.take_until("data", 1, mark)
    return Counter(event[1:] for event in before if event[0] == "global")


@pytest.mark.parametrize("guest_kind", [*KINDS, "asyncio"])
def test_one_event_for_each_who_comes_and_goes(
    kind: str, guest_kind: str, bus: Bus, peers: Start
) -> None:
    first, second, guest = peers(kind, 20), peers("core", 21), peers(guest_kind, 22)
    first.join(1, 18, bus.host, bus.port)
    second.join(1, 18, bus.host, bus.port, info="第二个")
    guest.join(1, 200, bus.host, bus.port, info="guest")
    come, there = 1, 2
    arrival = (22, 1, 200, 0, come, "guest")
    assert settled(first) == Counter([(21, 1, 18, 0, come, "第二个"), arrival])
    assert settled(second) == Counter([(20, 1, 18, 0, there, ""), arrival])
    assert settled(guest) == Counter([(20, 1, 18, 0, there, ""), (21, 1, 18, 0, there, "第二个")])
    guest.close()
    deadline = time.monotonic() + DEADLINE
    while len(bus.clients()) > 2:
        assert time.monotonic() < deadline
    for peer in (first, second):
        (gone,) = settled(peer).elements()
        assert gone[:5] == (22, 1, 200, 0, 0)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_silent_server_is_left(everything: list[str], peers: Start) -> None:
    """No byte for 15 s: the link is given up, and made anew at once (NET.md 3.3)."""
    with SilentServer() as server:
        started = {20 + number: peers(kind, 20 + number) for number, kind in enumerate(everything)}
        for peer in started.values():
            peer.join(1, 18, server.host, server.port)
            peer.expect("connect", 1)
        for peer in started.values():
            peer.expect("disconnect", 1)
            peer.expect("connect", 1)
        for unit in started:
            first, second, *_ = server.registrations[unit]
            assert second - first > 13.5  # the clocks of the libraries have whole seconds
