from __future__ import annotations

import asyncio
import json
import threading
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from tornado.iostream import IOStream
from tornado.tcpclient import TCPClient

from sbusr import config, globalvars, server
from sbusr.busclient import bus_clients
from sbusr.server import Server, StartError
from sbusr.webhandlers import FlowHandler, FlowInvokeAck
from smartbus.bus import Bus
from smartbus.testing import BusFactory
from smartbus.testing import wait_until_async as until
from tests.sbusr.daemon import Start
from tests.sbusr.peer import ScriptedIpsc
from tests.sbusr.sink import request

PACKAGES = Path(__file__).parent / "packages"

only_net = pytest.mark.parametrize("kind", ["net"], indirect=True)


# ---- RPC -----------------------------------------------------------------------------------------


async def test_requests_are_answered_over_the_bus(start: Start, bus: Bus) -> None:
    await start()
    async with ScriptedIpsc(bus.port) as ipsc:
        ipsc.request(b'{"id": "a", "method": "add", "params": [1, 2]}')
        ipsc.request('{"id": "中", "method": "echo", "params": ["文"]}'.encode("gbk"))
        ipsc.request(b'{"id": "bad"')
        ipsc.request(b'{"method": "echo", "params": [1]}')
        assert await ipsc.reply("a") == {"jsonrpc": "2.0", "id": "a", "result": 3}
        assert (await ipsc.reply("中"))["result"] == "文"
        assert (await ipsc.reply("bad"))["error"]["code"] == -32700
        assert {notify.expires for notify in ipsc.notifies} == {10_000}
        assert len(ipsc.notifies) == 3


async def test_other_packets_are_ignored(start: Start, bus: Bus) -> None:
    await start()
    async with ScriptedIpsc(bus.port) as ipsc:
        body = b'{"id": "no", "method": "add", "params": [1, 2]}'
        ipsc.send_data(1, 3, *ScriptedIpsc.daemon, -1, body)
        ipsc.request(b'{"id": "yes", "method": "add", "params": [1, 2]}')
        await ipsc.reply("yes")
        assert len(ipsc.notifies) == 1


@only_net
async def test_answers_go_through_the_client_that_was_asked(
    start: Start, bus: Bus, settings: config.Settings
) -> None:
    second = config.ClientSettings(
        local_client_id=1,
        local_client_type=19,
        master_host="127.0.0.1",
        master_port=bus.port,
        encoding="big5",
    )
    settings.bus.clients.append(second)
    await start()
    await until(lambda: len(bus.clients()) == 2)
    async with ScriptedIpsc(bus.port) as ipsc:
        body = '{"id": "%d", "method": "echo", "params": ["中"]}'
        ipsc.request((body % 0).encode("gbk"), client_id=0)
        ipsc.request((body % 1).encode("big5"), client_id=1)
        assert (await ipsc.reply("0"))["result"] == "中"
        assert (await ipsc.reply("1"))["result"] == "中"


async def test_worker_logs_come_out_here(
    start: Start, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    await start()
    async with ScriptedIpsc(bus.port) as ipsc:
        ipsc.request(request("warnlog", ["look 看"], "1"))
        await ipsc.reply("1")
        await until(lambda: any("look 看" in record.getMessage() for record in caplog.records))
    (record,) = [record for record in caplog.records if record.name == "methods"]
    assert record.levelname == "WARNING"
    assert record.processName == "sbusr-worker-1"


async def test_reconnects_and_knows_the_ipsc_again(start: Start, bus: Bus) -> None:
    await start()
    async with ScriptedIpsc(bus.port):
        await until(lambda: globalvars.ipsc_set == {(0, 0)})
        bus.close()
        await until(lambda: globalvars.ipsc_set == set())
    with Bus(port=bus.port, ipc_path=bus.ipc_path):
        async with ScriptedIpsc(bus.port, 7) as ipsc:
            await until(lambda: globalvars.ipsc_set == {(0, 7)})
            ipsc.request(request("add", [1, 2], "1"))
            assert (await ipsc.reply("1"))["result"] == 3


async def test_ipsc_set_follows_the_bus(start: Start, bus: Bus) -> None:
    async with ScriptedIpsc(bus.port, 4):
        await start()
        await until(lambda: globalvars.ipsc_set == {(0, 4)})
        async with ScriptedIpsc(bus.port, 5):
            await until(lambda: globalvars.ipsc_set == {(0, 4), (0, 5)})
        await until(lambda: globalvars.ipsc_set == {(0, 4)})


async def test_stopping_answers_what_was_accepted(start: Start, bus: Bus) -> None:
    daemon = await start()
    async with ScriptedIpsc(bus.port) as ipsc:
        ipsc.request(request("add", [0, 0], "ready"))
        await ipsc.reply("ready")
        ipsc.request(request("sleep", [0.2], "slow"))
        for n in range(100):
            ipsc.request(request("echo", [n], str(n)))
        executor = globalvars.executor
        assert executor is not None
        await until(lambda: executor.open_requests == 101)
        daemon.server.stop()
        assert (await ipsc.reply("slow"))["result"] is None
        for n in range(100):
            assert (await ipsc.reply(str(n)))["result"] == n


# ---- POST /api/flow ------------------------------------------------------------------------------


async def test_flow_is_started(start: Start, bus: Bus) -> None:
    daemon = await start()
    async with ScriptedIpsc(bus.port, 3) as ipsc:
        ipsc.answers["F"] = (1, "说明")
        await until(lambda: globalvars.ipsc_set)
        status, answer = await daemon.fetch(
            "/api/flow", {"project": "P", "flow": "F", "params": ["中", 1, None]}
        )
        assert status == 200
        assert answer == {
            "server": 0, "process": 3, "project": "P", "flow": "F",
            "invokeid": answer["invokeid"], "ack": 1, "msg": "说明",
        }  # fmt: skip
        (call,) = ipsc.calls
        assert (call.project, call.flow) == (b"P", b"F")
        assert json.loads(call.params) == ["中", 1, None]
        assert call.params.isascii()


async def test_chosen_and_random_ipsc(start: Start, bus: Bus) -> None:
    daemon = await start()
    async with ScriptedIpsc(bus.port, 1) as one, ScriptedIpsc(bus.port, 2) as two:
        await until(lambda: len(globalvars.ipsc_set) == 2)
        for _ in range(5):
            flow = {"project": "P", "flow": "F", "server": 0, "process": 2}
            assert (await daemon.fetch("/api/flow", flow))[1]["process"] == 2
        assert len(one.calls) == 0
        for _ in range(200):
            assert (await daemon.fetch("/api/flow", {"project": "P", "flow": "F"}))[0] == 200
            if one.calls and len(two.calls) > 5:
                break
        assert one.calls
        assert len(two.calls) > 5


@only_net
async def test_clients_of_two_buses(
    start: Start, bus: Bus, smartbus_bus_factory: BusFactory, settings: config.Settings
) -> None:
    other = smartbus_bus_factory(unit_id=1)
    first = settings.bus.clients[0]
    second = config.ClientSettings(
        local_client_id=1, local_client_type=19, master_host="127.0.0.1", master_port=other.port
    )
    settings.bus.clients[:] = [second, first]
    daemon = await start()
    async with ScriptedIpsc(bus.port) as zero, ScriptedIpsc(other.port, unit=1) as one:
        await until(lambda: globalvars.ipsc_set == {(0, 0), (1, 0)})
        for server, ipsc in ((0, zero), (1, one)):
            status, answer = await daemon.fetch("/api/flow", {**GOOD, "server": server})
            assert (status, answer.get("server")) == (200, server)
            assert len(ipsc.calls) == 1
        other.close()
        await until(lambda: globalvars.ipsc_set == {(0, 0)})
        assert (await daemon.fetch("/api/flow", {**GOOD, "server": 1}))[0] == 404
        assert (await daemon.fetch("/api/flow", GOOD))[1]["server"] == 0
        other.start()
        await until(lambda: globalvars.ipsc_set == {(0, 0), (1, 0)})
        assert (await daemon.fetch("/api/flow", {**GOOD, "server": 1}))[1]["server"] == 1
        assert (len(zero.calls), len(one.calls)) == (2, 2)


GOOD = {"project": "P", "flow": "F"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        ([], None),
        ({"flow": "F"}, "project"),
        ({"project": "P"}, "flow"),
        ({**GOOD, "project": 1}, "project"),
        ({**GOOD, "project": ""}, "project"),
        ({**GOOD, "project": "x" * 32}, "project"),
        ({**GOOD, "flow": "中" * 16}, "flow"),
        ({**GOOD, "flow": "a\0b"}, "flow"),
        ({**GOOD, "flow": "\ud800"}, "flow"),
        ({**GOOD, "params": "x"}, "params"),
        ({**GOOD, "params": {"a": 1}}, "params"),
        ({**GOOD, "params": ["x" * 16001]}, "params"),
        ({**GOOD, "params": [float("nan")]}, None),
        (b'{"project": "P", "flow": "F", "params": [1e999]}', "params"),
        ({**GOOD, "server": "0"}, "server"),
        ({**GOOD, "server": True}, "server"),
        ({**GOOD, "server": 16}, "server"),
        ({**GOOD, "process": -1}, "process"),
        ({**GOOD, "parms": []}, "parms"),
    ],
)
async def test_bad_bodies(start: Start, bus: Bus, body: Any, field: str | None) -> None:
    daemon = await start()
    async with ScriptedIpsc(bus.port) as ipsc:
        await until(lambda: globalvars.ipsc_set)
        status, answer = await daemon.fetch("/api/flow", body, "POST")
        assert status == 400
        assert answer["error"]["status"] == 400
        assert answer["error"].get("field") == field
        assert field is None or field in answer["error"]["message"]
        assert not ipsc.calls


async def test_errors_of_flows(start: Start, bus: Bus) -> None:
    daemon = await start()
    status, answer = await daemon.fetch("/api/flow", GOOD)
    assert (status, answer["error"]["message"]) == (503, "no IPSC process is on the bus")
    async with ScriptedIpsc(bus.port) as ipsc:
        await until(lambda: globalvars.ipsc_set)
        for wrong in ({"server": 1}, {"process": 9}, {"server": 0, "process": 1}):
            status, answer = await daemon.fetch("/api/flow", {**GOOD, **wrong})
            assert status == 404
            assert "there are 0/0" in answer["error"]["message"]
        ipsc.answers["F"] = (-8, "没有")
        status, answer = await daemon.fetch("/api/flow", GOOD)
        assert status == 502
        assert answer["error"]["code"] == -8
        assert answer["error"]["msg"] == "没有"
        ipsc.answers["F"] = None
        status, answer = await daemon.fetch("/api/flow", GOOD)
        assert status == 504
        assert len(FlowHandler.acks) == 0


async def test_ack_that_is_late_disturbs_nobody(start: Start, bus: Bus) -> None:
    await start()
    FlowHandler.set_flow_ack(FlowInvokeAck(None, "P", 12345, 1, ""))
    assert repr(FlowInvokeAck(None, "P", 1, 2, "m")) == (
        "<FlowInvokeAck project='P' invokeid=1 ack=2 msg='m'>"
    )


async def test_caller_that_goes_away_is_forgotten(
    start: Start, bus: Bus, settings: config.Settings
) -> None:
    settings.flow_ack_timeout = 1000
    daemon = await start()
    async with ScriptedIpsc(bus.port) as ipsc:
        ipsc.answers["F"] = None
        await until(lambda: globalvars.ipsc_set)
        stream: IOStream = await TCPClient().connect("127.0.0.1", daemon.server.http_port)
        body = json.dumps(GOOD).encode()
        await stream.write(
            b"POST /api/flow HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        await stream.write(body)
        await until(lambda: len(FlowHandler.acks) == 1)
        stream.close()
        await until(lambda: len(FlowHandler.acks) == 0)


async def test_stopping_tells_those_who_wait_for_a_flow(
    start: Start, bus: Bus, settings: config.Settings
) -> None:
    settings.flow_ack_timeout = 1000
    daemon = await start()
    async with ScriptedIpsc(bus.port) as ipsc:
        ipsc.answers["F"] = None
        await until(lambda: globalvars.ipsc_set)
        waiting = asyncio.create_task(daemon.fetch("/api/flow", GOOD))
        await until(lambda: len(FlowHandler.acks) == 1)
        daemon.server.stop()
        status, answer = await waiting
        assert (status, answer["error"]["message"]) == (503, "the daemon is shutting down")


# ---- the rest of HTTP ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_reset(start: Start, bus: Bus, method: str) -> None:
    daemon = await start()
    executor = globalvars.executor
    assert executor is not None
    await executor.wait_ready()
    before = {worker.pid for worker in executor.workers}
    status, answer = await daemon.fetch("/sys/reset", None, method)
    assert status == 200
    assert len(answer["workers"]) == 1
    assert not before & set(answer["workers"])


async def test_reset_with_broken_methods(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = tmp_path / "methods"
    methods.mkdir()
    (methods / "__init__.py").write_text("def f(): return 'old'")
    monkeypatch.syspath_prepend(tmp_path)
    daemon = await start()
    executor = globalvars.executor
    assert executor is not None
    await executor.wait_ready()
    before = {worker.pid for worker in executor.workers}
    (methods / "__init__.py").write_text("def f(: return 'new'")
    status, answer = await daemon.fetch("/sys/reset")
    assert status == 409
    assert "SyntaxError" in answer["error"]["message"]
    assert "methods/__init__.py" in answer["error"]["traceback"]
    (methods / "__init__.py").write_text("def f(): return 'new'")
    (methods / "late.py").write_text("import no_such_module")
    status, answer = await daemon.fetch("/sys/reset", {})
    assert status == 409
    assert "no_such_module" in answer["error"]["message"]
    assert "methods/late.py" in answer["error"]["traceback"]
    assert {worker.pid for worker in executor.workers if worker.was_ready} == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/nowhere", 404),
        ("GET", "/api/flow/", 404),
        ("GET", "/api/flow", 405),
        ("DELETE", "/api/flow", 405),
        ("PUT", "/sys/reset", 405),
        ("NONSENSE", "/api/flow", 405),
    ],
)
async def test_errors_are_json(
    start: Start, method: str, path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = await start()
    found, answer = await daemon.fetch(path, None, method)
    assert found == status
    assert answer["error"]["status"] == status
    assert path in answer["error"]["message"]
    assert "Traceback" not in caplog.text
    assert not FlowHandler.unanswered


async def test_no_web_server(start: Start) -> None:
    daemon = await start(no_web_server=True)
    assert daemon.server.http_port == 0


# ---- start and stop ------------------------------------------------------------------------------


async def test_address_in_use(start: Start, bus: Bus, settings: config.Settings) -> None:
    settings.web_listen = (bus.port, "127.0.0.1")
    daemon = Server(
        settings, Namespace(verbose=False, no_web_server=False, embedded=False, flows="flows")
    )
    with pytest.raises(StartError, match=r"127\.0\.0\.1:\d+: [^(]*in use\. .*WEBSERVER_LISTEN"):
        await daemon.serve()


@only_net
async def test_bad_master_host(settings: config.Settings) -> None:
    settings.bus.clients[0].master_host = "no-such-host.invalid"
    daemon = Server(
        settings, Namespace(verbose=False, no_web_server=True, embedded=False, flows="flows")
    )
    with pytest.raises(StartError, match="no-such-host"):
        await daemon.serve()


async def test_stop_function_from_another_thread(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = await start()
    server.stop()  # nothing runs by `run`
    monkeypatch.setattr(server, "_server", daemon.server)
    thread = threading.Thread(target=server.stop)
    thread.start()
    thread.join()
    await until(lambda: not bus_clients())
