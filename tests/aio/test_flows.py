"""Flow calls: golden bytes, ack and return in any order, time-outs, refusals, bounds."""

from __future__ import annotations

import asyncio
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from smartbus.aio import Address, FlowError, FlowTimeout, Limits
from smartbus.errors import (
    ArgumentError,
    BufferFullError,
    NotConnectedError,
    NotInitializedError,
    SmartBusTimeoutError,
    TooLargeError,
    UnitIdError,
)
from smartbus.events import (
    FlowAcknowledged,
    FlowEvent,
    FlowFailed,
    FlowReturned,
    FlowTimedOut,
)
from smartbus.testing import wait_until_async as until
from smartbus.wire import Cmd, FlowAck, FlowCall, FlowReturn, encode_frame
from tests.aio.peers import CLIENT, GOLDEN, IPSC, QUICK, client_of, soon
from tests.aio.test_messages import Pair, connect, golden, raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.aio.peers import Server

FLOW = 0, 7, "Project1", "flow-a"


@pytest_asyncio.fixture
async def pair(server: Server) -> AsyncIterator[Pair]:
    pair = await connect(server)
    yield pair
    await pair.client.close()


async def called(pair: Pair) -> FlowCall:
    """The next frame, which is a flow call."""
    frame = await pair.peer.frame()
    assert frame.cmd == Cmd.FLOW_CALL
    return FlowCall.decode(frame.data)


def ack(pair: Pair, invoke_id: int, code: int = 1, message: bytes = b"") -> None:
    body = FlowAck(b"Project1", invoke_id, code, message).encode()
    pair.peer.send(encode_frame(IPSC, CLIENT, Cmd.FLOW_ACK, 1, body))


def ret(pair: Pair, invoke_id: int, text: bytes = b"[]") -> None:
    body = FlowReturn(b"Project1", invoke_id, text).encode()
    pair.peer.send(encode_frame(IPSC, CLIENT, Cmd.FLOW_RETURN, 1, body))


async def test_calls_byte_for_byte_as_the_vendor(pair: Pair) -> None:
    calling = asyncio.create_task(pair.client.call_flow(*FLOW, ["a", 1]))
    assert raw(await pair.peer.frame()) == golden("call_flow")
    pair.peer.send(GOLDEN["flow_ack_ok"], GOLDEN["flow_ret"])
    assert await soon(calling) == ["done", 0]


async def test_launch_wants_only_the_ack(pair: Pair) -> None:
    launching = asyncio.create_task(pair.client.launch_flow(*FLOW, ["a", 1]))
    assert (await called(pair)).invoke_id == 1
    await asyncio.sleep(0)
    assert not launching.done()
    pair.peer.send(GOLDEN["flow_ack_ok"])
    assert await soon(launching) == 1
    pair.peer.send(GOLDEN["flow_ret"])
    assert await soon(pair.client.flow_result(1)) == ["done", 0]
    with pytest.raises(ArgumentError):
        await pair.client.flow_result(1)  # it was taken


async def test_a_mode_without_return(pair: Pair) -> None:
    launching = asyncio.create_task(pair.client.launch_flow(*FLOW, mode=1))
    call = await called(pair)
    assert (call.mode, call.params) == (1, b"[]")
    ack(pair, call.invoke_id)
    assert await soon(launching) == call.invoke_id
    with pytest.raises(ArgumentError):
        await pair.client.flow_result(call.invoke_id)
    with pytest.raises(ArgumentError):
        await pair.client.call_flow(*FLOW, mode=1)


async def test_parameters_are_ascii_json_and_names_gbk(pair: Pair) -> None:
    target = 0, 7, "项目", "流程"
    params = ("中文", 1.5, None, {"键": [True]})
    launching = asyncio.create_task(pair.client.launch_flow(*target, params, mode=1))
    call = await called(pair)
    assert call.project == "项目".encode("gbk")
    assert call.flow == "流程".encode("gbk")
    assert call.params == b'["\\u4e2d\\u6587",1.5,null,{"\\u952e":[true]}]'
    ack(pair, call.invoke_id)
    await soon(launching)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (b"[1, 2]", [1, 2]),
        (b"", []),
        ('["文"]'.encode(), ["文"]),
        ('["中文"]'.encode("gbk"), ["中文"]),
    ],
)
async def test_results(pair: Pair, text: bytes, result: list[Any]) -> None:
    calling = asyncio.create_task(pair.client.call_flow(*FLOW))
    call = await called(pair)
    ack(pair, call.invoke_id)
    ret(pair, call.invoke_id, text)
    assert await soon(calling) == result


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[1,", "no JSON"),
        (b"nonsense", "no JSON"),
        (b"[" * 5_000, "too deeply"),
        (b'"one"', "no JSON array"),
        (b"null", "no JSON array"),
    ],
)
async def test_an_unreadable_result(pair: Pair, text: bytes, why: str) -> None:
    calling = asyncio.create_task(pair.client.call_flow(*FLOW))
    call = await called(pair)
    ret(pair, call.invoke_id, text)
    with pytest.raises(FlowError, match=why) as caught:
        await soon(calling)
    assert (caught.value.code, caught.value.invoke_id) == (-99, 1)


async def test_return_before_ack(pair: Pair) -> None:
    calling = asyncio.create_task(pair.client.call_flow(*FLOW))
    call = await called(pair)
    ret(pair, call.invoke_id, b"[7]")
    assert await soon(calling) == [7]
    ack(pair, call.invoke_id)  # nobody waits for it any more
    ret(pair, call.invoke_id)
    pair.peer.data(b"next")
    assert (await pair.packet()).data == b"next"


async def test_answers_find_their_calls(pair: Pair) -> None:
    calling = [asyncio.create_task(pair.client.call_flow(*FLOW, [n])) for n in range(20)]
    calls = [await called(pair) for _ in calling]
    assert [call.invoke_id for call in calls] == list(range(1, 21))
    for call in reversed(calls):
        ret(pair, call.invoke_id, call.params)
        ack(pair, call.invoke_id)
    assert await soon(asyncio.gather(*calling)) == [[n] for n in range(20)]


@pytest.mark.parametrize("code", [-8, 0, 5])
async def test_a_refused_call(pair: Pair, code: int) -> None:
    calling = asyncio.create_task(pair.client.call_flow(*FLOW))
    launching = asyncio.create_task(pair.client.launch_flow(*FLOW))
    for _ in range(2):
        ack(pair, (await called(pair)).invoke_id, code, "没有".encode("gbk"))
    for task in (calling, launching):
        with pytest.raises(FlowError) as caught:
            await soon(task)
        assert (caught.value.code, caught.value.message) == (code, "没有")
        assert not isinstance(caught.value, FlowTimeout)


async def test_the_golden_refusal(pair: Pair) -> None:
    first = asyncio.create_task(pair.client.launch_flow(*FLOW, mode=1))
    ack(pair, (await called(pair)).invoke_id)
    await soon(first)
    second = asyncio.create_task(pair.client.launch_flow(*FLOW))
    await called(pair)
    pair.peer.send(GOLDEN["flow_ack_error"])
    with pytest.raises(FlowError, match="no such flow"):
        await soon(second)


@pytest.mark.parametrize("mode", [0, 1])
async def test_no_ack(server: Server, mode: int) -> None:
    pair = await connect(server, timing=replace(QUICK, heartbeat=3600, ack_min=0.05, ack_max=0.1))
    with pytest.raises(FlowTimeout, match=r"no ack within 0\.1 s") as caught:
        await soon(pair.client.launch_flow(*FLOW, timeout=30, mode=mode))
    assert (caught.value.code, caught.value.invoke_id) == (-25, 1)
    assert isinstance(caught.value, SmartBusTimeoutError)
    with pytest.raises(FlowTimeout, match=r"no ack within 0\.05 s"):
        await soon(pair.client.launch_flow(*FLOW, timeout=0.01, mode=1))
    # … also when the time for a return is over before
    with pytest.raises(FlowTimeout, match=r"no ack within 0\.05 s"):
        await soon(pair.client.launch_flow(*FLOW, timeout=0.01))
    with pytest.raises(FlowTimeout, match=r"no return within 0\.01 s"):
        await soon(pair.client.call_flow(*FLOW, timeout=0.01))
    await pair.client.close()


async def test_a_missing_ack_does_not_end_a_call(server: Server) -> None:
    pair = await connect(server, timing=replace(QUICK, heartbeat=3600, ack_min=0.05, ack_max=0.05))
    acks: asyncio.Queue[FlowAcknowledged] = asyncio.Queue()
    pair.client.subscribe(acks.put_nowait, FlowAcknowledged)
    calling = asyncio.create_task(pair.client.call_flow(*FLOW))
    call = await called(pair)
    late = await soon(acks.get())
    assert late == FlowAcknowledged(None, FLOW[2], call.invoke_id, -25, "")
    assert not late.started
    ret(pair, call.invoke_id, b"[4]")
    assert await soon(calling) == [4]
    await pair.client.close()


async def test_events_of_calls(pair: Pair) -> None:
    heard: asyncio.Queue[FlowEvent] = asyncio.Queue()
    pair.client.subscribe(heard.put_nowait, FlowEvent)
    numbers = [pair.client.invoke_flow(*FLOW, [n]) for n in range(3)]
    assert numbers == [1, 2, 3]
    for _ in numbers:
        await called(pair)
    ack(pair, 1, 1, "开始".encode("gbk"))
    event = await soon(heard.get())
    assert isinstance(event, FlowAcknowledged)
    assert (event.invoke_id, event.project_id, event.msg) == (1, FLOW[2], "开始")
    assert event.head is not None
    assert event.head.src_unit_client_type == 2
    ret(pair, 2, b"[5]")
    returned = await soon(heard.get())
    assert isinstance(returned, FlowReturned)
    assert (returned.invoke_id, returned.params) == (2, [5])
    assert await soon(pair.client.flow_result(2)) == [5]
    ret(pair, 3, b"{}")
    failed = await soon(heard.get())
    assert isinstance(failed, FlowFailed)
    assert (failed.invoke_id, failed.error_code) == (3, -99)
    number = pair.client.invoke_flow(*FLOW, timeout=0.01)
    assert await soon(heard.get()) == FlowTimedOut(None, FLOW[2], number)


async def test_no_return(pair: Pair) -> None:
    calling = asyncio.create_task(pair.client.call_flow(*FLOW, timeout=0.1))
    ack(pair, (await called(pair)).invoke_id)
    with pytest.raises(FlowTimeout, match=r"no return within 0\.1 s"):
        await soon(calling)
    launching = asyncio.create_task(pair.client.launch_flow(*FLOW, timeout=0.1))
    ack(pair, (await called(pair)).invoke_id)
    number = await soon(launching)
    await asyncio.sleep(0.2)
    with pytest.raises(ArgumentError):
        await pair.client.flow_result(number)


async def test_a_return_proves_that_the_flow_started(server: Server) -> None:
    pair = await connect(server, timing=replace(QUICK, heartbeat=3600, ack_min=0.1, ack_max=0.1))
    launching = asyncio.create_task(pair.client.launch_flow(*FLOW))
    ret(pair, (await called(pair)).invoke_id, b"[1]")
    number = await soon(launching)  # though its ack is lost
    assert await soon(pair.client.flow_result(number)) == [1]
    await pair.client.close()


async def test_a_lost_link_does_not_end_a_call(server: Server, pair: Pair) -> None:
    calling = asyncio.create_task(pair.client.call_flow(*FLOW))
    call = await called(pair)
    pair.peer.reset()
    pair.peer = await server.accepted()
    ack(pair, call.invoke_id)
    ret(pair, call.invoke_id, b"[2]")
    assert await soon(calling) == [2]


async def test_close_ends_all_calls(pair: Pair) -> None:
    tasks = [
        asyncio.create_task(pair.client.call_flow(*FLOW)),
        asyncio.create_task(pair.client.launch_flow(*FLOW)),
    ]
    for _ in tasks:
        await called(pair)
    await pair.client.close()
    for task in tasks:
        with pytest.raises(FlowError, match="closed") as caught:
            await soon(task)
        assert caught.value.code == -9
    with pytest.raises(NotInitializedError):
        await pair.client.call_flow(*FLOW)


async def test_cancelled_calls_leave_nothing(pair: Pair) -> None:
    tasks = [
        asyncio.create_task(pair.client.call_flow(*FLOW)),
        asyncio.create_task(pair.client.launch_flow(*FLOW)),
    ]
    for _ in tasks:
        await called(pair)
    for task in tasks:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    table = pair.client._flow_table
    assert not table._acks
    assert not table._results


async def test_malformed_answers_are_ignored(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    calling = asyncio.create_task(pair.client.call_flow(*FLOW))
    call = await called(pair)
    for cmd, size in ((Cmd.FLOW_ACK, 50), (Cmd.FLOW_RETURN, 46)):
        pair.peer.send(encode_frame(IPSC, CLIENT, cmd, 1, bytes(size)))
    # … and one that is meant for others (NET.md 5.2, rules 4 and 5)
    body = FlowReturn(b"", call.invoke_id, b'["not yours"]').encode()
    pair.peer.send(encode_frame(IPSC, Address(255, 255, 99), Cmd.FLOW_RETURN, 1, body))
    ret(pair, call.invoke_id, b"[3]")
    assert await soon(calling) == [3]
    assert caplog.text.count("ignoring a packet") == 2


async def test_checks(server: Server, pair: Pair) -> None:
    client = pair.client
    with pytest.raises(UnitIdError):
        await client.call_flow(16, 0, "p", "f")
    with pytest.raises(ArgumentError):
        await client.call_flow(0, 0, "p", "f", timeout=0)
    with pytest.raises(ArgumentError):
        await client.call_flow(0, 0, "p", "f", [object()])
    with pytest.raises(ArgumentError):
        await client.call_flow(0, 0, "p", "f", [float("nan")])
    with pytest.raises(TooLargeError):
        await client.call_flow(0, 0, "p", "f", ["x" * 15998])
    other = client_of(server)
    with pytest.raises(NotInitializedError):
        await other.call_flow(*FLOW)
    await other.start()
    with pytest.raises(NotConnectedError):
        await other.call_flow(*FLOW)
    assert not other._flow_table._acks
    await other.close()


async def test_the_largest_parameters(pair: Pair) -> None:
    launching = asyncio.create_task(pair.client.launch_flow(*FLOW, ["x" * 15997], mode=1))
    call = await called(pair)
    assert len(call.params) == 16001
    ack(pair, call.invoke_id)
    await soon(launching)


async def test_bounded_calls(server: Server) -> None:
    pair = await connect(server, limits=Limits(flows=2))
    waiting = [asyncio.create_task(pair.client.call_flow(*FLOW)) for _ in range(2)]
    calls = [await called(pair) for _ in waiting]
    with pytest.raises(BufferFullError):
        await pair.client.launch_flow(*FLOW, mode=1)
    for call in calls:
        ack(pair, call.invoke_id)
    await until(lambda: not pair.client._flow_table._acks)
    with pytest.raises(BufferFullError):
        await pair.client.call_flow(*FLOW)
    launching = asyncio.create_task(pair.client.launch_flow(*FLOW, mode=1))
    ack(pair, (await called(pair)).invoke_id)
    await soon(launching)
    for call in calls:
        ret(pair, call.invoke_id)
    await soon(asyncio.gather(*waiting))
    await pair.client.close()


async def test_answers_as_an_ipsc(server: Server) -> None:
    pair = await connect(server, address=IPSC)
    pair.peer.send(GOLDEN["call_flow"], GOLDEN["call_flow_gbk_mode1"])
    frames = [await pair.packet() for _ in range(2)]
    first, second = (FlowCall.decode(frame.data) for frame in frames)
    pair.client.send_flow_ack(frames[0].head, first, 1)
    assert raw(await pair.peer.frame()) == golden("flow_ack_ok")
    pair.client.send_flow_return(frames[0].head, first, ["done", 0])
    assert raw(await pair.peer.frame()) == golden("flow_ret")
    pair.client.send_flow_ack(frames[1].head, second, -8, "no such flow")
    assert raw(await pair.peer.frame()) == golden("flow_ack_error")
    with pytest.raises(TypeError):
        pair.client.send_flow_return(frames[0].head, first, [object()])
    await pair.client.close()


def test_errors_pickle() -> None:
    for error in (FlowError(-8, "no such flow", 3), FlowTimeout(-25, "no ack", 4)):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert type(again) is type(error)
        assert (again.code, again.message, again.invoke_id) == (
            error.code,
            error.message,
            error.invoke_id,
        )
