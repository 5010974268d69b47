"""What those see who watch the daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sbusr import globalvars
from smartbus.bus import Bus
from smartbus.testing import wait_until_async as until
from tests.sbusr.daemon import Daemon, Start
from tests.sbusr.peer import ScriptedIpsc


@pytest.fixture
async def ipsc(bus: Bus) -> AsyncIterator[ScriptedIpsc]:
    async with ScriptedIpsc(bus.port) as client:
        yield client


async def is_ready(daemon: Daemon) -> bool:
    return (await daemon.fetch("/readyz"))[0] == 200


async def wait_ready(daemon: Daemon) -> None:
    executor = globalvars.executor
    assert executor is not None
    await executor.wait_ready()
    assert await is_ready(daemon)


def sorted_values(labels: dict[str, str]) -> list[str]:
    return [labels[name] for name in sorted(labels, key=lambda name: (name == "le", name))]


async def samples(daemon: Daemon) -> dict[tuple[str, ...], float]:
    """Every sample: its name and the values of its labels, a bucket's bound last."""
    response = await daemon.raw("/metrics")
    assert response.code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(response.body.decode())
    return {
        (sample.name, *sorted_values(sample.labels)): sample.value
        for family in families
        for sample in family.samples
    }


async def test_alive_and_ready(start: Start) -> None:
    daemon = await start()
    assert await daemon.fetch("/healthz") == (200, {"status": "ok"})
    await wait_ready(daemon)
    assert await daemon.fetch("/readyz") == (200, {"status": "ready", "missing": []})


async def test_not_ready_without_the_bus(start: Start, bus: Bus) -> None:
    daemon = await start()
    await wait_ready(daemon)
    bus.close()
    client = (globalvars.net_smartbusclients or [globalvars.ipc_smartbusclient])[0]
    await until(lambda: not client.connected)
    status, answer = await daemon.fetch("/readyz")
    assert (status, answer["missing"]) == (503, ["no bus client is connected"])
    assert (await daemon.fetch("/healthz"))[0] == 200


async def test_metrics_of_requests_workers_and_flows(start: Start, ipsc: ScriptedIpsc) -> None:
    daemon = await start()
    await wait_ready(daemon)
    await until(lambda: bool(globalvars.ipsc_set))
    for number in range(3):
        ipsc.request(b'{"id": "%d", "method": "echo", "params": ["x"]}' % number)
        await ipsc.reply(str(number))
    ipsc.request(b'{"id": "bad", "method": "nowhere"}')
    await ipsc.reply("bad")
    assert (await daemon.fetch("/api/flow", {"project": "P", "flow": "F"}))[0] == 200
    assert (await daemon.fetch("/api/flow", {"project": "P"}))[0] == 400
    executor = globalvars.executor
    assert executor is not None
    await until(lambda: len(executor.metrics.calls) == 2)
    found = await samples(daemon)
    assert found["sbusr_request_seconds_count", "echo", "ok"] == 3
    assert found["sbusr_request_seconds_bucket", "echo", "ok", "+Inf"] == 3
    assert 0 < found["sbusr_request_seconds_sum", "echo", "ok"] < 60
    assert found["sbusr_request_seconds_count", "", "invalid"] == 1
    assert found["sbusr_requests_open",] == 0
    assert found["sbusr_workers", "ready"] == 1
    assert found["sbusr_ipsc_processes",] == 1
    assert [value for (name, *_), value in found.items() if name == "sbusr_bus_connected"] == [1]
    assert [value for (name, *_), value in found.items() if name == "sbusr_worker_resident_bytes"]
    assert found["sbusr_flows_total", "200"] >= 1
    assert found["sbusr_flows_total", "400"] >= 1


async def test_buckets_only_grow(start: Start, ipsc: ScriptedIpsc) -> None:
    daemon = await start()
    await wait_ready(daemon)
    ipsc.request(b'{"id": "1", "method": "sleep", "params": [0.02]}')
    await ipsc.reply("1")
    executor = globalvars.executor
    assert executor is not None
    await until(lambda: bool(executor.metrics.calls))
    buckets = [
        value
        for (name, *labels), value in (await samples(daemon)).items()
        if name == "sbusr_request_seconds_bucket" and labels[0] == "sleep"
    ]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-1]) == (0, 1)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_other_methods_are_refused(start: Start, path: str) -> None:
    daemon = await start()
    assert (await daemon.fetch(path, {}, "POST"))[0] == 405
