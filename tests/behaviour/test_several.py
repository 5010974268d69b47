"""Several clients in one process, with each library."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from smartbus.bus import Bus
from smartbus.errors import ClientNotFoundError, NotInitializedError
from tests.behaviour.couple import token
from tests.net.peer import LOOPS, Peer

Start = Callable[[str, int], Peer]


def passes(sender: Peer, sender_id: int, unit: int, receiver: Peer, receiver_id: int) -> None:
    """Send from one client to another, and check that it lands there and nowhere else."""
    mark = token()
    sender.on(sender_id, "send_data", 1, 3, unit, receiver_id, -1, mark)
    assert receiver.expect("data", where=lambda event: event[2] == mark)[1] == receiver_id


def test_two_buses(kind: str, peers: Start, bus: Bus) -> None:
    """One process on two buses; what happens to one connection is nothing to the other."""
    tested, other, third = peers(kind, 20), peers("core", 21), peers("core", 22)
    with Bus(unit_id=1) as second:
        tested.join(0, 18, bus.host, bus.port)
        tested.join(1, 19, second.host, second.port)
        other.join(2, 18, bus.host, bus.port)
        third.join(3, 18, second.host, second.port)
        passes(tested, 0, 21, other, 2)
        passes(tested, 1, 22, third, 3)
        passes(other, 2, 20, tested, 0)
        passes(third, 3, 20, tested, 1)
    tested.expect("disconnect", 1)
    passes(tested, 0, 21, other, 2)
    passes(other, 2, 20, tested, 0)
    assert tested.call("connected", 0)
    assert not tested.call("connected", 1)


def test_ids_and_types(kind: str, peers: Start, bus: Bus) -> None:
    tested, other = peers(kind, 20), peers("core", 21)
    other.join(2, 18, bus.host, bus.port)
    clients = [(0, 18), (1, 18), (7, 19), (127, 20), (128, 21), (254, 254)]
    for client_id, client_type in clients:
        tested.join(client_id, client_type, bus.host, bus.port)
    for client_id, _ in clients:
        passes(other, 2, 20, tested, client_id)
        passes(tested, client_id, 21, other, 2)
    mark = token()
    other.on(2, "send_data", 1, 3, 20, -1, 18, mark)
    assert tested.expect("data", 0, mark)
    assert tested.expect("data", 1, mark)
    passes(other, 2, 20, tested, 254)
    assert mark not in [event[2] for event in tested.take() if event[0] == "data"]


def test_one_is_released(kind: str, peers: Start, bus: Bus) -> None:
    tested, other = peers(kind, 20), peers("core", 21)
    other.join(2, 18, bus.host, bus.port)
    for client_id in (0, 1):
        tested.join(client_id, 18, bus.host, bus.port)
    tested.on(0, "release")
    mark = token()
    other.on(2, "send_data", 1, 3, 20, 0, -1, mark)
    passes(other, 2, 20, tested, 1)
    passes(tested, 1, 21, other, 2)
    assert mark not in [event[2] for event in tested.take() if event[0] == "data"]
    with pytest.raises(NotInitializedError if kind in LOOPS else ClientNotFoundError):
        tested.on(0, "send_data", 1, 3, 21, 2, -1, b"x")
