"""The daemon's numbers in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from .executor import Executor
from .metrics import BOUNDS
from .watchdog import resident

__all__ = ["CONTENT_TYPE", "DaemonCollector", "exposition"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

_BOUNDS = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")


class DaemonCollector(Collector):
    """Reads the numbers when they are asked for; nothing is counted twice.

    Args:
        executor: Requests and workers.
        clients: Returns the bus clients.
        ipsc_set: The IPSC processes on the bus.
        flows: Flows started by HTTP, by outcome.
    """

    def __init__(
        self,
        executor: Executor,
        clients: Callable[[], Iterable[Any]],
        ipsc_set: Collection[tuple[int, int]],
        flows: dict[str, int],
    ) -> None:
        self._executor = executor
        self._clients = clients
        self._ipsc_set = ipsc_set
        self._flows = flows

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are now."""
        yield from self._requests()
        yield from self._workers()
        yield from self._bus()

    def _requests(self) -> Iterator[Metric]:
        metrics = self._executor.metrics
        durations = HistogramMetricFamily(
            "sbusr_request_seconds",
            "Requests that workers executed, by method and outcome, and how long that took them.",
            labels=["method", "outcome"],
        )
        for (method, outcome), histogram in sorted(metrics.calls.items()):
            total = 0
            buckets = []
            for bound, count in zip(_BOUNDS, histogram.buckets, strict=True):
                total += count
                buckets.append((bound, total))
            durations.add_metric([method, outcome], buckets, histogram.seconds)
        yield durations
        refused = CounterMetricFamily(
            "sbusr_requests_refused",
            "Requests that no worker answered, by error code.",
            labels=["code"],
        )
        for code, count in sorted(metrics.refused.items()):
            refused.add_metric([str(code)], count)
        yield refused
        yield GaugeMetricFamily(
            "sbusr_requests_open",
            "Requests that wait or are in execution.",
            value=self._executor.open_requests,
        )

    def _workers(self) -> Iterator[Metric]:
        states = GaugeMetricFamily("sbusr_workers", "Worker processes, by state.", labels=["state"])
        memory = GaugeMetricFamily(
            "sbusr_worker_resident_bytes", "Memory of worker processes.", labels=["worker", "pid"]
        )
        counts: dict[str, int] = {}
        for worker in self._executor.workers:
            counts[worker.state.value] = counts.get(worker.state.value, 0) + 1
            memory.add_metric([worker.name, str(worker.pid)], resident(worker.pid))
        for state, count in sorted(counts.items()):
            states.add_metric([state], count)
        yield states
        yield memory

    def _bus(self) -> Iterator[Metric]:
        link = GaugeMetricFamily(
            "sbusr_bus_connected", "Whether a bus client is connected.", labels=["client"]
        )
        for client in self._clients():
            link.add_metric([str(client.client_id)], int(client.connected))
        yield link
        yield GaugeMetricFamily(
            "sbusr_ipsc_processes", "IPSC processes on the bus.", value=len(self._ipsc_set)
        )
        flows = CounterMetricFamily(
            "sbusr_flows", "Flows asked for by HTTP, by HTTP status.", labels=["status"]
        )
        for status, count in sorted(self._flows.items()):
            flows.add_metric([status], count)
        yield flows


def exposition(collector: Collector) -> bytes:
    """Everything that a collector has, as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)
