"""Flow calls as futures and events as objects, in every pairing of the libraries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from smartbus.errors import FlowError, FlowTimeout
from smartbus.events import (
    Connected,
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
from tests.behaviour.couple import LEFT, LEFT_HIGH, RIGHT, Couple, token
from tests.net.peer import Peer

PARAMS = ["一", 2, 3.5, None, True, {"k": []}]


def call(peer: Peer, client_id: int, flow: str, params: Any = None, timeout: float = 20) -> int:
    number: int = peer.call("call_flow", client_id, (0, 0, "Project1", flow, params), timeout)
    return number


def outcome(peer: Peer, name: str, client_id: int, number: int) -> Any:
    return peer.expect(name, client_id, number)[3]


# ---- flow calls --------------------------------------------------------------------------


def test_a_result(couple: Couple) -> None:
    for peer, src, _, _ in couple.sides():
        number = call(peer, src[1], "echo", PARAMS)
        assert outcome(peer, "acked", src[1], number) == "started"
        assert outcome(peer, "ended", src[1], number) == PARAMS
        assert peer.expect("flow_ack", src[1], number)[3] == 1
        assert peer.expect("flow_resp", src[1], number)[3] == PARAMS


def test_a_refusal(couple: Couple) -> None:
    for peer, src, _, _ in couple.sides():
        number = call(peer, src[1], "refuse")
        for name in ("acked", "ended"):
            error = outcome(peer, name, src[1], number)
            assert type(error) is FlowError
            assert (error.code, error.message) == (5, "没有这个流程")
            assert (error.invoke_id, error.project) == (number, "Project1")


def test_a_result_that_is_no_list(couple: Couple) -> None:
    for peer, src, _, _ in couple.sides():
        error = outcome(peer, "ended", src[1], call(peer, src[1], "notjson"))
        assert (type(error), error.code) == (FlowError, -99)


def test_time_outs(couple: Couple) -> None:
    for peer, src, _, _ in couple.sides():
        started = call(peer, src[1], "noreturn", timeout=0.3)
        lost = call(peer, src[1], "silent", timeout=0.3)
        for number in (started, lost):
            error = outcome(peer, "ended", src[1], number)
            assert isinstance(error, FlowTimeout)
            assert (error.invoke_id, error.project) == (number, "Project1")
        assert outcome(peer, "acked", src[1], started) == "started"
        assert isinstance(outcome(peer, "acked", src[1], lost), FlowTimeout)


def test_after_a_call_that_does_not_wait(couple: Couple) -> None:
    """The 2018 library forgets to wait after a change of mode (NET-2018.md 4.2)."""
    for peer, src, _, _ in couple.sides():
        for round_number in range(3):
            peer.on(src[1], "launch_flow", 0, 0, "Project1", "echo", 1, 20, [])
            number = call(peer, src[1], "echo", [round_number])
            assert outcome(peer, "ended", src[1], number) == [round_number]


def test_calls_of_two_clients_do_not_mix(couple: Couple) -> None:
    numbers = {
        call(couple.left, address[1], "echo", [address[1], index]): [address[1], index]
        for index in range(15)
        for address in (LEFT, LEFT_HIGH)
    }
    assert len(numbers) == 30
    for number, expected in numbers.items():
        assert outcome(couple.left, "ended", expected[0], number) == expected


def test_release_ends_calls(new_couple: Couple) -> None:
    for peer, src, _, _ in new_couple.sides():
        number = call(peer, src[1], "silent")
        peer.on(src[1], "release")
        for name in ("acked", "ended"):
            error = outcome(peer, name, src[1], number)
            assert (type(error), error.code) == (FlowError, -9)


# ---- events ------------------------------------------------------------------------------


@contextmanager
def subscribed(peer: Peer, client_id: int) -> Iterator[None]:
    peer.call("subscribe", client_id)
    try:
        yield
    finally:
        peer.call("unsubscribe", client_id)


def heard(peer: Peer, client_id: int, kind: type[Event]) -> Any:
    return peer.expect("object", client_id, where=lambda event: isinstance(event[2], kind))[2]


def test_packets_as_objects(couple: Couple) -> None:
    for sender, src, receiver, dst in couple.sides():
        with subscribed(receiver, dst[1]):
            mark = token()
            sender.on(src[1], "send_data", 5, 3, *dst, mark)
            packet = heard(receiver, dst[1], Packet)
            assert packet == Packet(receiver.expect("data", dst[1], mark)[3], mark)


def test_flow_events_as_objects(couple: Couple) -> None:
    for peer, src, _, _ in couple.sides():
        with subscribed(peer, src[1]):
            number = peer.on(src[1], "launch_flow", 0, 0, "项目", "echo", 0, 20, PARAMS)
            ack = heard(peer, src[1], FlowAcknowledged)
            assert (ack.project_id, ack.invoke_id, ack.started) == ("项目", number, True)
            returned = heard(peer, src[1], FlowReturned)
            assert (returned.invoke_id, returned.params) == (number, PARAMS)
            number = peer.on(src[1], "launch_flow", 0, 0, "项目", "notlist", 0, 20, None)
            failed = heard(peer, src[1], FlowFailed)
            assert (failed.invoke_id, failed.error_code) == (number, -99)
            number = peer.on(src[1], "launch_flow", 0, 0, "项目", "noreturn", 0, 0.2, None)
            assert heard(peer, src[1], FlowTimedOut) == FlowTimedOut(None, "项目", number)
        number = peer.on(src[1], "launch_flow", 0, 0, "项目", "echo", 0, 20, None)
        peer.expect("flow_resp", src[1], number)
        assert not any(
            event[0] == "object"
            and isinstance(event[2], FlowEvent)
            and event[2].invoke_id == number
            for event in peer.take()
        )


def test_connection_events_as_objects(new_couple: Couple) -> None:
    for peer, src, _, _ in new_couple.sides():
        peer.call("subscribe", src[1])
    new_couple.restart_bus()
    for peer, src, _, _ in new_couple.sides():
        assert heard(peer, src[1], Disconnected) == Disconnected()
        assert heard(peer, src[1], Connected) == Connected(0)
    change = heard(new_couple.left, LEFT[1], GlobalConnect)
    assert change.unit_id in (0, LEFT[0], RIGHT[0])
