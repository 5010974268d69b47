"""``GET /healthz``, ``/readyz`` and ``/metrics``: for those who watch the daemon."""

from __future__ import annotations

from .exposition import CONTENT_TYPE, DaemonCollector, exposition
from .jsonhandler import JsonHandler
from .process import State

__all__ = ["HealthHandler", "MetricsHandler", "ReadyHandler"]


class HealthHandler(JsonHandler):
    """``GET /healthz``: the loop that does the work answers. Restart the daemon if it does not."""

    def get(self) -> None:
        """Answer 200."""
        self.answer({"status": "ok"})


class ReadyHandler(JsonHandler):
    """``GET /readyz``: requests that come now are executed, and their replies can be sent."""

    def get(self) -> None:
        """Answer 200, or 503 with what is missing."""
        workers = self.settings["executor"].workers
        clients = self.settings["clients"]()
        missing = []
        if not any(client.connected for client in clients):
            missing.append("no bus client is connected")
        if not any(worker.state is State.READY for worker in workers):
            missing.append("no worker process is ready")
        if missing:
            self.set_status(503)
        self.answer({"status": "not ready" if missing else "ready", "missing": missing})


class MetricsHandler(JsonHandler):
    """``GET /metrics``: numbers for Prometheus."""

    scope = "metrics"

    def get(self) -> None:
        """Answer 200."""
        collector: DaemonCollector = self.settings["collector"]
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(exposition(collector))
