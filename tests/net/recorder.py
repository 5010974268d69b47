"""A client that writes down what happens to it, and can wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from smartbus.bus import Bus
from smartbus.head import Head
from smartbus.net import Client
from smartbus.net.base import BusClient
from smartbus.testing.waiting import TIMEOUT

#: Nothing here takes so long; what does has failed (seconds).
DEADLINE = TIMEOUT

Event = tuple[Any, ...]


class Record:
    """Events in the order of their coming."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.events: list[Event] = []

    def add(self, *event: Any) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def has(self, count: int) -> bool:
        return len(self.events) == count

    def wait(self, condition: Callable[[list[Event]], object]) -> None:
        """Wait until `condition` holds for the events."""
        deadline = time.monotonic() + DEADLINE
        with self._changed:
            while not condition(self.events):
                left = deadline - time.monotonic()
                assert left > 0, f"did not come; there is {self.events}"
                self._changed.wait(left)

    def expect(self, *start: Any) -> Event:
        """Wait for the first event that begins with `start`, and return it."""
        self.wait(lambda events: any(event[: len(start)] == start for event in events))
        return next(event for event in self.events if event[: len(start)] == start)


class Recording(BusClient):
    """What every kind of client that writes down has in common."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.record = Record()
        super().__init__(*args, **kwargs)

    def on_connect(self) -> None:
        self.record.add("connect")

    def on_connect_fail(self, error_code: int) -> None:
        self.record.add("connect_fail", error_code)

    def on_disconnect(self) -> None:
        self.record.add("disconnect")

    def on_data(self, head: Head, data: bytes) -> None:
        self.record.add("data", data, head)

    def on_flow_ack(
        self, head: Head | None, project_id: str, invoke_id: int, status_code: int, msg: str
    ) -> None:
        self.record.add("flow_ack", invoke_id, status_code, msg, project_id, head)

    def on_flow_resp(
        self, head: Head | None, project_id: str, invoke_id: int, params: list[Any]
    ) -> None:
        self.record.add("flow_resp", invoke_id, params, project_id, head)

    def on_flow_error(
        self, head: Head | None, project_id: str, invoke_id: int, error_code: int
    ) -> None:
        self.record.add("flow_error", invoke_id, error_code, project_id, head)

    def on_flow_timeout(self, head: Head | None, project_id: str, invoke_id: int) -> None:
        self.record.add("flow_timeout", invoke_id, project_id, head)


class Recorder(Recording, Client):
    """A NET client that writes down."""


def connected(bus: Bus, client_id: int = 1, client_type: int = 18, **more: Any) -> Recorder:
    client: Recorder = Recorder.create(client_id, client_type, bus.host, bus.port, **more)
    client.activate()
    client.wait_connected(DEADLINE)
    return client
