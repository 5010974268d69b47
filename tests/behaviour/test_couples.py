"""What two clients and an IPSC say to each other, in every pairing of the libraries."""

from __future__ import annotations

from typing import Any

import pytest

from smartbus.head import Head
from smartbus.wire import FlowCall, Notify
from tests.behaviour.couple import LEFT, LEFT_HIGH, RIGHT, RIGHT_HIGH, Couple, token
from tests.net.peer import Peer

ANY = -1


def source(head: Head) -> tuple[int, int, int]:
    return head.src_unit_id, head.src_unit_client_id, head.src_unit_client_type


def fence(couple: Couple) -> None:
    """Let everything that was sent so far arrive: the bus keeps the order of each sender."""
    for sender, address in ((couple.left, LEFT), (couple.right, RIGHT)):
        for receiver, to in ((couple.left, LEFT_HIGH), (couple.right, RIGHT_HIGH)):
            if sender is receiver:
                continue
            mark = token()
            sender.on(address[1], "send_data", 9, 9, *to, mark)
            receiver.expect("data", to[1], mark)


def everybody(couple: Couple) -> list[tuple[Peer, tuple[int, int, int]]]:
    return [
        (couple.left, LEFT),
        (couple.left, LEFT_HIGH),
        (couple.right, RIGHT),
        (couple.right, RIGHT_HIGH),
    ]


# ---- data --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 1000, 70_000, 3_000_000])
def test_data_of_all_sizes_both_ways(couple: Couple, size: int) -> None:
    for sender, src, receiver, dst in couple.sides():
        mark = token()
        data = (mark + bytes(range(256)) * (size // 256 + 1))[:size] if size > 5 else b"x" * size
        sender.on(src[1], "send_data", 77, 3, *dst, data)
        got, head = receiver.expect("data", dst[1], where=lambda event: event[3].cmd == 77)[2:]
        assert got == data
        assert source(head) == src
        assert (head.dst_unit_id, head.dst_unit_client_id) == dst[:2]
        assert (head.cmd_type, head.data_length) == (3, size)
        assert head.packet_size >= 20 + size


@pytest.mark.parametrize(("cmd", "cmd_type"), [(0, 1), (255, 2), (0, 4), (200, 255), (1, 211)])
def test_commands_pass_through(couple: Couple, cmd: int, cmd_type: int) -> None:
    for sender, src, receiver, dst in couple.sides():
        mark = token()
        sender.on(src[1], "send_data", cmd, cmd_type, *dst, mark)
        head = receiver.expect("data", dst[1], mark)[3]
        assert (head.cmd, head.cmd_type) == (cmd, cmd_type)


def test_a_burst_arrives_once_and_in_order(couple: Couple) -> None:
    for sender, src, receiver, dst in couple.sides():
        sender.call("send_burst", src[1], 3000, dst, 100)
        for number in range(3000):
            event = receiver.expect("data", dst[1])
            assert int.from_bytes(event[2][:4], "little") == number


def test_send_many_arrives_once_and_in_order(couple: Couple) -> None:
    for sender, src, receiver, dst in couple.sides():
        datas = [b"%d" % number for number in range(2500)] + [b"", b"x" * 70_000]
        assert sender.on(src[1], "send_many", 78, 3, *dst, datas) == len(datas)
        for data in datas:
            got, head = receiver.expect("data", dst[1], where=lambda event: event[3].cmd == 78)[2:]
            assert got == data
            assert source(head) == src


def test_a_client_id_above_127(couple: Couple) -> None:
    mark = token()
    couple.left.on(LEFT_HIGH[1], "send_data", 1, 3, *RIGHT_HIGH, mark)
    head = couple.right.expect("data", RIGHT_HIGH[1], mark)[3]
    assert source(head) == LEFT_HIGH
    couple.right.on(RIGHT_HIGH[1], "send_data", 1, 3, LEFT_HIGH[0], LEFT_HIGH[1], ANY, mark)
    head = couple.left.expect("data", LEFT_HIGH[1], mark)[3]
    assert head.dst_unit_client_type == LEFT_HIGH[2]  # the bus wrote the real type there


def test_commands_that_the_library_knows_itself_with_little_data(couple: Couple) -> None:
    """The vendor's library reads far behind the data of these (NET-2018.md 5)."""
    for cmd in (11, 12, 13, 15):
        couple.left.on(LEFT[1], "send_data", cmd, 1, *RIGHT_HIGH, b"tiny")
    fence(couple)


# ---- any and all -------------------------------------------------------------------------


def test_any_unit(couple: Couple) -> None:
    mark = token()
    couple.left.on(LEFT[1], "send_data", 1, 3, ANY, RIGHT[1], RIGHT[2], mark)
    couple.right.expect("data", RIGHT[1], mark)


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ((ANY, ANY, ANY), {LEFT_HIGH, RIGHT, RIGHT_HIGH}),
        ((21, ANY, ANY), {RIGHT, RIGHT_HIGH}),
        ((ANY, ANY, 25), {RIGHT_HIGH}),
        ((ANY, ANY, 18), {RIGHT}),
        ((21, ANY, 18), {RIGHT}),
        ((22, ANY, ANY), set()),
        ((21, 99, ANY), set()),
        ((21, 1, 99), set()),
    ],
)
def test_broadcasts(
    couple: Couple, destination: tuple[int, int, int], expected: set[tuple[int, int, int]]
) -> None:
    mark = token()
    couple.left.on(LEFT[1], "send_data", 1, 3, *destination, mark)
    for peer, address in everybody(couple):
        if address in expected:
            head = peer.expect("data", address[1], mark)[3]
            assert head.dst_unit_client_type in (address[2], destination[2])
    fence(couple)
    late = [event for peer in (couple.left, couple.right) for event in peer.take()]
    assert mark not in [event[2] for event in late if event[0] == "data"]


# ---- ping --------------------------------------------------------------------------------


def test_ping_of_a_client(couple: Couple) -> None:
    for sender, src, receiver, dst in couple.sides():
        mark = token()
        sender.on(src[1], "ping", *dst, mark)
        ping = receiver.expect("data", dst[1], mark)[3]
        assert (ping.cmd_type, ping.cmd) == (1, 7)
        assert source(ping) == src
        answer = sender.expect("data", src[1], mark)[3]
        assert (answer.cmd_type, answer.cmd) == (1, 8)
        assert source(answer) == dst


def test_ping_of_the_server(couple: Couple) -> None:
    for peer, address in ((couple.left, LEFT), (couple.right, RIGHT_HIGH)):
        mark = token()
        peer.on(address[1], "ping", 0, 99, 1, mark)
        answer = peer.expect("data", address[1], mark)[3]
        assert (answer.cmd_type, answer.cmd) == (1, 8)


def test_ping_without_data(couple: Couple) -> None:
    couple.left.on(LEFT[1], "ping", *RIGHT)
    couple.right.expect("data", RIGHT[1], b"")
    couple.left.expect("data", LEFT[1], b"")


# ---- notify ------------------------------------------------------------------------------


def test_notify(couple: Couple) -> None:
    for peer, _, _, _ in couple.sides():
        client_id = LEFT[1] if peer is couple.left else RIGHT[1]
        mark = token().decode()
        number = peer.on(client_id, "notify", 0, 0, "项目", mark, 7, 1.5, "文本 text")
        got: Notify = couple.ipsc.expect(Notify, (peer.unit, client_id), mark.encode())
        assert got.project == "项目".encode("gbk")
        assert got.text == "文本 text".encode("gbk")
        assert (got.mode, got.expires, got.invoke_id) == (7, 1500, number)


def test_notify_many(couple: Couple) -> None:
    for peer, src, _, _ in couple.sides():
        marks = [token() for _ in range(300)]
        numbers = peer.on(
            src[1], "notify_many", [(0, 0, mark, b'{"n": 1}') for mark in marks], 10.0
        )
        for number, mark in zip(numbers, marks, strict=True):
            got: Notify = couple.ipsc.expect(Notify, src[:2], mark)
            assert (got.invoke_id, got.text, got.expires) == (number, b'{"n": 1}', 10_000)


# ---- flows -------------------------------------------------------------------------------


def flow(peer: Peer, client_id: int, flow_id: str, mode: int = 0, timeout: float = 20) -> Any:
    params = ["一", 2, 3.5, None, True, {"k": []}]
    return peer.on(client_id, "launch_flow", 0, 0, "Project1", flow_id, mode, timeout, params)


def test_a_flow_is_acknowledged_and_returns(couple: Couple) -> None:
    for peer, src, _, _ in couple.sides():
        number = flow(peer, src[1], "echo")
        ack = peer.expect("flow_ack", src[1], number)
        assert ack[3:6] == (1, "started", "Project1")
        assert source(ack[6]) == (0, 0, 2)
        result = peer.expect("flow_resp", src[1], number)
        assert result[3:5] == (["一", 2, 3.5, None, True, {"k": []}], "Project1")
        call: FlowCall = couple.ipsc.expect(FlowCall, src[:2], b"Project1")
        assert call.params.isascii()
        assert call.invoke_id == number


def test_chinese_ids_travel_as_gbk(couple: Couple) -> None:
    number = couple.left.on(LEFT[1], "launch_flow", 0, 0, "项目", "gbk", 0, 20, None)
    assert couple.left.expect("flow_resp", LEFT[1], number)[3] == ["中文"]
    call: FlowCall = couple.ipsc.expect(FlowCall, LEFT[:2], "项目".encode("gbk"))
    assert call.params == b"[]"


def test_a_refused_flow(couple: Couple) -> None:
    for peer, src, _, _ in couple.sides():
        number = flow(peer, src[1], "refuse", mode=1)
        assert peer.expect("flow_ack", src[1], number)[3:5] == (5, "没有这个流程")


@pytest.mark.parametrize("flow_id", ["notjson", "notlist"])
def test_a_result_that_is_no_json_array(couple: Couple, flow_id: str) -> None:
    number = flow(couple.left, LEFT[1], flow_id)
    assert couple.left.expect("flow_error", LEFT[1], number)[3] == -99


def test_an_empty_result(couple: Couple) -> None:
    number = flow(couple.left, LEFT[1], "empty")
    assert couple.left.expect("flow_resp", LEFT[1], number)[3] == []


def test_no_result_in_time(couple: Couple) -> None:
    calls = [
        (peer, src, flow(peer, src[1], "noreturn", timeout=0.3))
        for peer, src, _, _ in couple.sides()
    ]
    for peer, src, number in calls:
        assert peer.expect("flow_ack", src[1], number)[3] == 1
        timeout = peer.expect("flow_timeout", src[1], number)
        assert timeout[3:] == ("Project1", None)


def test_no_ack_in_time(couple: Couple) -> None:
    calls = [
        (peer, src, flow(peer, src[1], "silent", timeout=0.3)) for peer, src, _, _ in couple.sides()
    ]
    for peer, src, number in calls:
        assert peer.expect("flow_timeout", src[1], number)[3:] == ("Project1", None)
        ack = peer.expect("flow_ack", src[1], number)
        assert ack[3:] == (-25, "", "Project1", None)


def test_modes_in_any_order(couple: Couple) -> None:
    """The 2018 library forgets to wait after a change of mode (NET-2018.md 4.2)."""
    for peer, src, _, _ in couple.sides():
        numbers = []
        for mode in (1, 0, 0, 1, 2, 0):
            number = flow(peer, src[1], "echo", mode)
            assert peer.expect("flow_ack", src[1], number)[3] == 1
            if mode != 1:
                peer.expect("flow_resp", src[1], number)
            numbers.append(number)
        assert numbers == sorted(set(numbers))


def test_many_flows_at_once(couple: Couple) -> None:
    numbers = {flow(couple.left, LEFT[1], "echo") for _ in range(20)}
    events = [couple.left.expect("flow_resp", LEFT[1]) for _ in range(20)]
    assert {event[2] for event in events} == numbers


# ---- the bus goes and comes --------------------------------------------------------------


def test_reconnect_after_the_bus_restarts(new_couple: Couple) -> None:
    couple = new_couple
    couple.restart_bus()
    for peer, address in everybody(couple):
        peer.call("wait_connected", address[1], 30.0)
    for sender, src, receiver, dst in couple.sides():
        mark = token()
        sender.on(src[1], "send_data", 1, 3, *dst, mark)
        receiver.expect("data", dst[1], mark)
        flow(sender, src[1], "echo")
        sender.expect("flow_resp", src[1])
