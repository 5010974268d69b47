"""Flow calls over a real bus: acks, returns, refusals, the script functions, closing."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.aio import FlowError, Frame, SmartBusClient
from smartbus.bus import Bus
from smartbus.errors import (
    AlreadyConnectedError,
    ArgumentError,
    ClientIdError,
    NotConnectedError,
    NotInitializedError,
    SmartBusTimeoutError,
    UnitIdError,
    UserError,
)
from smartbus.ipsc import Ipsc, IpscThread
from smartbus.testing import wait_until_async as until
from smartbus.testing.waiting import TIMEOUT
from smartbus.wire import Address, Cmd, FlowAck, FlowCall
from tests.aio.peers import Server
from tests.ipsc.conftest import FLOWS, Caller

if TYPE_CHECKING:
    from pathlib import Path


# --- calls ------------------------------------------------------------------------------------


async def test_a_flow_gets_parameters_and_returns_a_list(caller: Caller) -> None:
    params = ["中文", 1.5, None, {"k": [True]}]
    assert await caller.run("result = params", *params) == params


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("", []),
        ("result = None", []),
        ("result = (1, 2)", [1, 2]),
        ("result = 'one'", ["one"]),
        ("result = {'k': 1}", [{"k": 1}]),
        ("result = [__name__]", ["flows.P.F"]),
        ("result = [1]; raise SystemExit", [1]),
        ("import sys; result = [2]; sys.exit(3)", [2]),
        ("def f():\n    return json.dumps([1])\nresult = [f()]", ["[1]"]),
    ],
)
async def test_results(caller: Caller, source: str, result: list[Any]) -> None:
    assert await caller.run(source) == result


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("{}['k']", {"type": "KeyError", "message": "'k'"}),
        ("raise ValueError('文')", {"type": "ValueError", "message": "文"}),
        ("raise KeyboardInterrupt", {"type": "KeyboardInterrupt", "message": ""}),
    ],
)
async def test_an_exception_ends_the_flow(
    caller: Caller, caplog: pytest.LogCaptureFixture, source: str, error: dict[str, str]
) -> None:
    assert await caller.run(f"x = 1\n{source}") == [{"error": error}]
    assert 'P/F.py", line 2' in caplog.text
    assert "P/F #1 failed" in caplog.text


async def test_a_result_that_json_cannot_say(caller: Caller) -> None:
    (answer,) = await caller.run("result = [object()]")
    assert answer["error"]["type"] == "TypeError"


async def test_each_run_has_its_own_names_and_thread(caller: Caller) -> None:
    caller.write(
        "F",
        "import threading\n"
        "assert 'mine' not in globals()\n"
        "mine = params[0]\n"
        "result = [mine, threading.get_ident()]",
    )
    results = await asyncio.gather(*(caller.call("F", n) for n in range(20)))
    assert [number for number, _ in results] == list(range(20))
    assert threading.get_ident() not in {ident for _, ident in results}


async def test_a_changed_script_runs_next_time(caller: Caller) -> None:
    assert await caller.run("result = 'old'") == ["old"]
    assert await caller.run("result = 'newer'") == ["newer"]


async def test_modes_without_return(caller: Caller) -> None:
    caller.write("F", "result = [1]")
    client = caller.client
    frames: list[Frame] = []
    client.on_packet = frames.append
    number = await client.launch_flow(0, 0, "P", "F", mode=1)
    with pytest.raises(ArgumentError):
        await client.flow_result(number)
    assert await caller.call("F") == [1]  # its return would have come later
    assert await client.call_flow(0, 0, "P", "F", mode=2) == [1]


class RawCaller(SmartBusClient):
    """Notes flow acks and returns as they come, instead of giving them to a caller."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus.host, bus.port, 21, 0, 21)
        self.answers: list[tuple[Frame, float]] = []

    def _flow_answer(self, frame: Frame) -> None:
        self.answers.append((frame, time.monotonic()))


async def raw_answers(bus: Bus, params: bytes, count: int) -> tuple[list[Frame], list[float]]:
    """Call P/F with a parameter text of one's own; the answers, and after what time they came."""
    async with RawCaller(bus) as client:
        begin = time.monotonic()
        client.send_data(Cmd.FLOW_CALL, 1, 0, 0, 2, FlowCall(b"P", b"F", 7, params).encode())
        await until(lambda: len(client.answers) >= count)
    return [frame for frame, _ in client.answers], [at - begin for _, at in client.answers]


async def test_answers_are_not_too_quick_for_the_vendor(bus: Bus, caller: Caller) -> None:
    caller.write("F", "")
    frames, times = await raw_answers(bus, b"[]", 2)
    assert [frame.cmd for frame in frames] == [Cmd.FLOW_ACK, Cmd.FLOW_RETURN]
    assert min(times) >= 0.010
    _, times = await raw_answers(bus, b"no list", 1)
    assert min(times) >= 0.010


@pytest.mark.parametrize(
    ("params", "result"),
    [
        (b"", []),
        (b" [1, null] ", [1, None]),
        (b"['a', None, True, 1.5]", ["a", None, True, 1.5]),
        (b"('a',)", ["a"]),
        ('["中文"]'.encode("gbk"), ["中文"]),
        ('["中文"]'.encode(), ["中文"]),
    ],
)
async def test_parameter_texts(bus: Bus, caller: Caller, params: bytes, result: Any) -> None:
    caller.write("F", "result = [json.dumps(params)]")
    frames, _ = await raw_answers(bus, params, 2)
    text = frames[1].data[45:-2]
    assert json.loads(json.loads(text)[0]) == result


@pytest.mark.parametrize(
    "params", [b"{}", b"1", b"[1", b"open('x')", b"[" * 9000, b"{'a': 1}", b"[\xff\xfe"]
)
async def test_bad_parameters_are_refused(bus: Bus, caller: Caller, params: bytes) -> None:
    caller.write("F", "")
    frames, _ = await raw_answers(bus, params, 1)
    ack = FlowAck.decode(frames[0].data)
    assert (ack.invoke_id, ack.ack) == (7, -1)
    assert b"no list" in ack.message


@pytest.mark.parametrize(
    ("project", "flow", "code", "message"),
    [
        ("P", "Nowhere", -8, "no flow 'Nowhere' in project 'P'"),
        ("Nowhere", "F", -8, "no flow"),
        ("..", "F", -8, "no flow"),
        ("", "", -8, "no flow"),
        ("P", "Bad", -99, "does not compile: .*line 2"),
    ],
)
async def test_refusals(caller: Caller, project: str, flow: str, code: int, message: str) -> None:
    caller.write("Bad", "\nx = = 1")
    with pytest.raises(FlowError, match=message) as caught:
        await caller.client.call_flow(0, 0, project, flow)
    assert caught.value.code == code


async def test_too_many_runs_are_refused(bus: Bus, flows: Path) -> None:
    async with (
        Ipsc(bus.host, bus.port, flows, max_runs=2) as ipsc,
        SmartBusClient(bus.host, bus.port, 20, 0, 20) as client,
    ):
        caller = Caller(client, flows)
        caller.write("Wait", "result = AsynchInvoke(SmartbusWaitNotify(params[0], 0, 60000))")
        waiting = [asyncio.create_task(caller.call("Wait", n)) for n in ("a", "b")]
        await until(lambda: ipsc.running == 2)
        with pytest.raises(FlowError, match="2 flows run already") as caught:
            await caller.call("Wait", "c")
        assert caught.value.code == -7
        caller.notify("a", "A")
        caller.notify("b", "B")
        assert await asyncio.gather(*waiting) == [["A"], ["B"]]
        assert await caller.run("result = 1") == [1]


async def test_malformed_packets_do_no_harm(
    bus: Bus, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    for cmd in (Cmd.FLOW_CALL, Cmd.NOTIFY):
        caller.client.send_data(cmd, 1, 0, 0, 2, b"short")
    caller.client.send_data(1, 3, 0, 0, 2, b"whatever")
    caller.client.ping(0, 0, 2, b"ping")
    assert await caller.run("result = 1") == [1]
    assert caplog.text.count("ignoring a packet") == 2


async def test_a_wrong_unit_is_noticed(flows: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Bus(unit_id=3) as bus:
        ipsc = Ipsc(bus.host, bus.port, flows, unit_id=2)
        with pytest.raises(UnitIdError):
            await ipsc.__aenter__()
    # Another server may let it in all the same; this one calls itself unit 1.
    async with Server() as server:
        ipsc = Ipsc("127.0.0.1", server.port, flows, unit_id=2)
        await ipsc.start()
        await server.accepted()
        await ipsc.wait_connected(TIMEOUT)
        assert "the server is unit 1, but this IPSC is in unit 2" in caplog.text
        await ipsc.close()


# --- script functions -------------------------------------------------------------------------


async def test_send_data(caller: Caller) -> None:
    for function in ("smartbusSendData", "SmartbusSendData"):
        source = f"result = {function}(20, 0, -1, 77, 211, params[0])"
        assert await caller.run(source, "文") == [0]
        frame = await caller.client.receive()
        assert frame is not None
        assert frame.src == Address(0, 0, 2)
        assert (frame.cmd, frame.cmd_type, frame.data) == (77, 211, "文".encode())
    assert await caller.run("result = smartbusSendData(20, 0, 20, 1, 3, b'\\xff')") == [0]
    frame = await caller.client.receive()
    assert frame is not None
    assert frame.data == b"\xff"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ("48, 0, -1, 1, 211, ''", "UnitIdError"),
        ("20, 0, -1, 1, 0, ''", "CommandTypeError"),
        ("20, 0, -1, 256, 211, ''", "ArgumentError"),
        ("20, 0, -1, 1, 211, None", "TypeError"),
        ("20, 0, -1, 1, 211", "TypeError"),
    ],
)
async def test_send_data_refuses(caller: Caller, args: str, error: str) -> None:
    (answer,) = await caller.run(f"smartbusSendData({args})")
    assert answer["error"]["type"] == error


async def test_a_flood_from_a_script_is_bounded(caller: Caller) -> None:
    # Given a script that sends faster than the loop can
    (answer,) = await caller.run(
        "count = 0\n"
        "try:\n"
        "    while True:\n"
        "        smartbusSendData(47, 0, -1, 1, 3, b'x' * 1000)\n"
        "        count += 1\n"
        "        assert count < 10_000_000\n"
        "except Exception as error:\n"
        "    result = type(error).__name__\n"
    )
    assert answer == "BufferFullError"


async def test_packets_of_a_script_keep_their_order(caller: Caller) -> None:
    assert (
        await caller.run("for n in range(5000):\n    smartbusSendData(20, 0, -1, 1, 3, str(n))")
        == []
    )
    for number in range(5000):
        frame = await caller.client.receive()
        assert frame is not None
        assert frame.data == b"%d" % number


@pytest.mark.parametrize("text", ["hello", "文本"])
async def test_wait_notify(caller: Caller, text: str) -> None:
    caller.write(
        "F",
        "smartbusSendData(20, 0, -1, 1, 3, '')\n"
        "first = AsynchInvoke(SmartbusWaitNotify('标题', 0, 60000))\n"
        "smartbusSendData(20, 0, -1, 1, 3, '')\n"
        "result = [first, AsynchInvoke(SmartbusWaitNotify(12, 1, 60000))]",
    )
    calling = asyncio.create_task(caller.call("F"))
    await caller.client.receive()
    caller.notify("标题", text)
    await caller.client.receive()
    caller.notify("12", text)  # ids are titles, whatever their type
    assert await calling == [text, [1, text]]


async def test_a_notify_that_comes_first_is_kept(caller: Caller) -> None:
    caller.notify("early", "bird", expires=60)
    # The bus keeps the order: when the flow runs, the notify is there.
    source = "result = AsynchInvoke(SmartbusWaitNotify('early', 1, 0))"
    assert await caller.run(source) == [1, "bird"]
    assert await caller.run(source) == [-25, None]


async def test_long_titles_meet_where_they_are_cut(caller: Caller) -> None:
    caller.notify("t" * 150, "text", expires=60)
    assert await caller.run(f"result = AsynchInvoke(SmartbusWaitNotify({'t' * 150!r}, 0, 0))") == [
        "text"
    ]


async def test_a_wait_times_out(caller: Caller) -> None:
    (answer,) = await caller.run("AsynchInvoke(SmartbusWaitNotify('never', 0, 10))")
    assert answer["error"] == {
        "type": "SmartBusTimeoutError",
        "message": "SMARTBUS_ERR_TIMEOUT (-25): no notify 'never' within 10 ms",
    }
    source = (
        "try:\n"
        "    AsynchInvoke(SmartbusWaitNotify('never', 0, 10))\n"
        "except TimeoutError:\n"
        "    result = AsynchInvoke(SmartbusWaitNotify('never', 1, 10))\n"
    )
    assert await caller.run(source) == [-25, None]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("AsynchInvoke('x')", "TypeError"),
        ("SmartbusWaitNotify('', 0, 1)", "ArgumentError"),
        ("SmartbusWaitNotify('x', 2, 1)", "ArgumentError"),
        ("SmartbusWaitNotify('x', 0, -1)", "ArgumentError"),
        ("SmartbusWaitNotify('x', 0, float('nan'))", "ArgumentError"),
        ("randchoice([])", "IndexError"),
    ],
)
async def test_misused_functions(caller: Caller, source: str, error: str) -> None:
    (answer,) = await caller.run(source)
    assert answer["error"]["type"] == error


async def test_small_functions(caller: Caller) -> None:
    source = "result = [GetSvrNodeID(), uuid(), uuid(), randchoice('x'), randchoice([3])]"
    unit, one, two, letter, number = await caller.run(source)
    assert (unit, letter, number) == (0, "x", 3)
    assert one != two
    assert len(one) == 36


async def test_node_info(caller: Caller, ipsc: Ipsc) -> None:
    await until(lambda: any(node.unit_id == 20 for node in ipsc.known_nodes()))
    source = "result = SmartbusGetNodeInfo()"
    me = {"unitid": 20, "clientid": 0, "clienttype": 20, "accesspoint": 0, "info": "caller"}
    assert await caller.run(source) == [me]
    assert await caller.run("result = SmartbusGetNodeInfo(20, 0)") == [me]
    assert await caller.run("result = SmartbusGetNodeInfo(21)") == []
    assert await caller.run("result = SmartbusGetNodeInfo(20, 1)") == []


async def test_traces(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "smartbus.ipsc.flow")
    await caller.run("Trace('信息 %s'); TraceErr(['error'])")
    lines = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "smartbus.ipsc.flow"
    ]
    assert lines == [("INFO", "P/F #1: 信息 %s"), ("ERROR", "P/F #1: ['error']")]


# --- the echo example -------------------------------------------------------------------------


async def serve_echo(client: SmartBusClient, *, fail: bool = False) -> None:
    """Answer RPC requests as sbusr does."""
    async for packet in client:
        request = json.loads(packet.data)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        if fail:
            answer["error"] = {"code": -32601, "message": "没有"}
        else:
            assert request["method"] == "echo"
            answer["result"] = request["params"][0]
        src = packet.src
        client.notify(src.unit_id, src.client_id, "", request["id"], 0, 10, json.dumps(answer))


@pytest.mark.parametrize(("address", "extra"), [((19, 0), []), ((21, 3), [21, 3])])
async def test_the_echo_example(bus: Bus, address: tuple[int, int], extra: list[int]) -> None:
    async with (
        Ipsc(bus.host, bus.port, FLOWS),
        SmartBusClient(bus.host, bus.port, *address, 19) as server,
        SmartBusClient(bus.host, bus.port, 20, 0, 20) as client,
    ):
        serving = asyncio.create_task(serve_echo(server))
        params = ["Hello", "Flow", *extra]
        assert await client.call_flow(0, 0, "Project1", "Flow1", params) == ["Hello Flow"]
        await server.close()
        await serving


async def test_the_echo_example_reports_an_error(bus: Bus) -> None:
    async with (
        Ipsc(bus.host, bus.port, FLOWS),
        SmartBusClient(bus.host, bus.port, 19, 0, 19) as server,
        SmartBusClient(bus.host, bus.port, 20, 0, 20) as client,
    ):
        serving = asyncio.create_task(serve_echo(server, fail=True))
        result = await client.call_flow(0, 0, "Project1", "Flow1", ["Hello"])
        assert result == [{"error": {"code": -32601, "message": "没有"}}]
        await server.close()
        await serving


async def test_many_flows_at_a_time(bus: Bus) -> None:
    async with (
        Ipsc(bus.host, bus.port, FLOWS, process_index=2) as ipsc,
        SmartBusClient(bus.host, bus.port, 19, 0, 19) as server,
        SmartBusClient(bus.host, bus.port, 20, 0, 20) as client,
    ):
        serving = asyncio.create_task(serve_echo(server))
        texts = [f"text {number}" for number in range(300)]
        gate = asyncio.Semaphore(100)

        async def call(text: str) -> list[Any]:
            async with gate:
                return await client.call_flow(0, 2, "Project1", "Flow1", [text])

        assert await asyncio.gather(*(call(text) for text in texts)) == [[text] for text in texts]
        await until(lambda: not ipsc.running)
        await server.close()
        await serving


# --- life -------------------------------------------------------------------------------------


async def test_close_ends_scripts_that_wait_and_answers_their_callers(
    bus: Bus, flows: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with SmartBusClient(bus.host, bus.port, 20, 0, 20) as client:
        caller = Caller(client, flows)
        caller.write("Wait", "AsynchInvoke(SmartbusWaitNotify('never', params[0], 3600000))")
        caller.write("Send", "while True:\n    smartbusSendData(47, 0, -1, 1, 3, '')")
        ipsc = Ipsc(bus.host, bus.port, flows)
        await ipsc.start()
        await ipsc.wait_connected(TIMEOUT)
        calls = [asyncio.create_task(caller.call("Wait", mode)) for mode in (0, 1)]
        await until(lambda: ipsc.running == 2)
        await ipsc.close()
        await ipsc.close()
        stopped = {"error": {"type": "FlowStopped", "message": "the IPSC is closing"}}
        assert await asyncio.gather(*calls) == [[stopped], [stopped]]
        assert ipsc.running == 0
        with pytest.raises(AlreadyConnectedError):
            await ipsc.start()
    assert "leaving it behind" not in caplog.text


async def test_close_at_once_still_answers(bus: Bus, flows: Path) -> None:
    async with SmartBusClient(bus.host, bus.port, 20, 0, 20) as client:
        ipsc = Ipsc(bus.host, bus.port, flows, answer_delay=0.3)
        caller = Caller(client, flows)
        caller.write("F", "result = [1]")
        await ipsc.start()
        await ipsc.wait_connected(TIMEOUT)
        good = asyncio.create_task(caller.call("F"))
        bad = asyncio.create_task(caller.call("G"))
        await until(lambda: len(ipsc._pending) == 2)
        await ipsc.close()
        assert await good == [1]
        with pytest.raises(FlowError, match="no flow"):
            await bad


async def test_close_leaves_a_script_behind_that_does_not_end(
    bus: Bus, flows: Path, caplog: pytest.LogCaptureFixture
) -> None:
    event = threading.Event()
    try:
        async with SmartBusClient(bus.host, bus.port, 20, 0, 20) as client:
            ipsc = Ipsc(bus.host, bus.port, flows, stop_timeout=0.05)
            caller = Caller(client, flows)
            # Given a script that waits for something that the IPSC knows nothing of
            caller.write("F", "import threading\nfor thread in threading.enumerate():\n    "
                         "if thread.name == 'the test':\n        thread.join()")  # fmt: skip
            other = threading.Thread(target=event.wait, name="the test")
            other.start()
            await ipsc.start()
            await ipsc.wait_connected(TIMEOUT)
            await client.launch_flow(0, 0, "P", "F", mode=1)
            await ipsc.close()
            assert "flow P/F #1 does not end" in caplog.text
    finally:
        event.set()


async def test_it_survives_the_bus(flows: Path) -> None:
    with Bus() as bus:
        port = bus.port
        ipsc = Ipsc(bus.host, port, flows)
        await ipsc.start()
        await ipsc.wait_connected(TIMEOUT)
    await until(lambda: not ipsc.connected)
    with Bus(port=port) as bus:
        await ipsc.wait_connected(TIMEOUT)
        async with SmartBusClient(bus.host, port, 20, 0, 20) as client:
            assert await Caller(client, flows).run("result = 1") == [1]
        await ipsc.close()


async def test_sending_while_the_bus_is_away(flows: Path) -> None:
    with Bus() as bus:
        ipsc = Ipsc(bus.host, bus.port, flows)
        await ipsc.start()
        await ipsc.wait_connected(TIMEOUT)
    await until(lambda: not ipsc.connected)
    with pytest.raises(NotConnectedError):
        ipsc.send(1, 3, 20, 0, 20, b"")
    await ipsc.close()


async def test_answers_that_find_no_bus_are_logged(
    flows: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Bus() as bus:
        ipsc = Ipsc(bus.host, bus.port, flows, answer_delay=0.2)
        await ipsc.start()
        await ipsc.wait_connected(TIMEOUT)
        async with SmartBusClient(bus.host, bus.port, 20, 0, 20) as client:
            Caller(client, flows).write("F", "result = [1]")
            body = FlowCall(b"P", b"F", 1).encode()
            client.send_data(Cmd.FLOW_CALL, 1, 0, 0, 2, body)
            await until(lambda: ipsc._pending and not ipsc.running)
    await until(lambda: "cannot return" in caplog.text)
    assert "cannot acknowledge" in caplog.text
    await ipsc.close()


async def test_wait_ended(bus: Bus, flows: Path) -> None:
    ipsc = Ipsc(bus.host, bus.port, flows)
    with pytest.raises(NotInitializedError):
        await ipsc.wait_ended()
    await ipsc.start()
    ended = asyncio.create_task(ipsc.wait_ended())
    await ipsc.wait_connected(TIMEOUT)
    assert not ended.done()
    await ipsc.close()
    await ended


async def test_a_refusal_is_told(flows: Path) -> None:
    with Bus(users=lambda _: -5) as bus:
        ipsc = Ipsc(bus.host, bus.port, flows)
        with pytest.raises(UserError):
            await ipsc.__aenter__()
        refused = Ipsc(bus.host, bus.port, flows)
        await refused.start()
        with pytest.raises(UserError):
            await refused.wait_ended()
        await refused.close()


def test_constructor_checks(flows: Path) -> None:
    with pytest.raises(ArgumentError):
        Ipsc("127.0.0.1", 8089, flows / "nowhere")
    with pytest.raises(UnitIdError):
        Ipsc("127.0.0.1", 8089, flows, unit_id=16)
    with pytest.raises(ClientIdError):
        Ipsc("127.0.0.1", 8089, flows, process_index=256)


# --- in a thread ------------------------------------------------------------------------------


def test_in_a_thread(bus: Bus, flows: Path) -> None:
    async def call() -> list[Any]:
        async with SmartBusClient(bus.host, bus.port, 20, 0, 20) as client:
            return await Caller(client, flows).run("result = params", 1)

    with IpscThread(Ipsc(bus.host, bus.port, flows)) as host:
        assert host.ipsc.connected
        assert asyncio.run(call()) == [1]
        with pytest.raises(AlreadyConnectedError):
            host.start()
    host.close()
    assert not host.ipsc.connected


def test_a_thread_that_cannot_connect(flows: Path) -> None:
    with Bus() as bus:
        port = bus.port
    host = IpscThread(Ipsc("127.0.0.1", port, flows))
    with pytest.raises(SmartBusTimeoutError):
        host.start(0.1)
    host.close()
    with Bus(users=lambda _: -5) as bus, pytest.raises(UserError):
        IpscThread(Ipsc(bus.host, bus.port, flows)).start()


def test_closing_a_thread_that_was_not_started(flows: Path) -> None:
    IpscThread(Ipsc("127.0.0.1", 8089, flows)).close()
