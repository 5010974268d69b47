"""The library's trace as log records."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from smartbus._c.core_api import EV_TRACE
from smartbus._c.events import Event
from smartbus._c.flood import LINES_PER_SECOND
from smartbus.errors import ClientNotFoundError
from smartbus.net import Client
from smartbus.net.trace import INFORMATION_LINES
from smartbus.testing import wait_until
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Recorder
from tests.net.stuck import StuckServer

#: The name in the ``LOGGING_CONFIG`` of sbusr's documentation.
NAME = "smartbus.netclient.client.Client"

ME = (UNIT, 1, 18)
SYSTEM, FLOW_ACK, USER = 1, 13, 3

_numbers = itertools.count()


class Records(logging.Handler):
    """Keeps the records of the trace, and can wait for them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    def wait(self, condition: Callable[[list[str]], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.lines()), DEADLINE), self.lines()

    def lines(self, level: int | None = None) -> list[str]:
        return [
            record.getMessage()
            for record in self.records
            if level is None or record.levelno == level
        ]

    def traces(self, level: int | None = None) -> list[str]:
        return [line for line in self.lines(level) if line.startswith("library: ")]


@pytest.fixture
def records() -> Iterator[Records]:
    logger = logging.getLogger(NAME)
    records = Records()
    logger.addHandler(records)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield records
    logger.removeHandler(records)
    logger.setLevel(level)


@pytest.fixture
def server() -> Iterator[StuckServer]:
    with StuckServer() as server:
        yield server
        Client.finalize(linger=0)


def admitted(kind: str, server: StuckServer) -> Recorder:
    Client.initialize(UNIT, library="core", abi=kind == "abi")
    return server.admitted()


def make_error(server: StuckServer) -> None:
    """Have the library trace an error."""
    server.put(ME, FLOW_ACK, SYSTEM, b"short")


def fence(client: Recorder, server: StuckServer) -> None:
    """Let everything that the server sent so far be handled."""
    mark = b"fence %d" % next(_numbers)
    server.put(ME, 9, USER, mark)
    client.record.expect("data", mark)


def test_error_lines(kind: str, server: StuckServer, records: Records) -> None:
    client = admitted(kind, server)
    make_error(server)
    fence(client, server)
    assert len(records.traces()) == 1
    record = next(record for record in records.records if "library: " in record.getMessage())
    assert (record.name, record.levelno) == (NAME, logging.INFO)
    assert "flow" in record.getMessage()


def test_the_loggers_level_decides_at_first(
    kind: str, server: StuckServer, records: Records
) -> None:
    logging.getLogger(NAME).setLevel(logging.WARNING)
    client = admitted(kind, server)
    make_error(server)
    fence(client, server)
    logging.getLogger(NAME).setLevel(logging.DEBUG)
    make_error(server)
    fence(client, server)
    assert records.traces() == []  # the library was told at the beginning
    client.set_trace()
    make_error(server)
    fence(client, server)
    assert len(records.traces(logging.INFO)) == 1


def test_switching(kind: str, server: StuckServer, records: Records) -> None:
    logging.getLogger(NAME).setLevel(logging.DEBUG)
    client = admitted(kind, server)
    client.set_trace("off")
    before = len(records.traces())
    make_error(server)
    fence(client, server)
    assert len(records.traces()) == before
    client.set_trace("errors")
    make_error(server)
    fence(client, server)
    assert len(records.traces()) == before + 1
    client.set_trace("all")
    server.__exit__(None, None, None)
    records.wait(lambda _: records.traces(logging.DEBUG))
    with pytest.raises(ValueError, match="one of off, errors, all"):
        client.set_trace(cast("Any", "verbose"))
    client.release()
    with pytest.raises(ClientNotFoundError):
        client.set_trace()


def test_a_flood_of_lines(kind: str, server: StuckServer, records: Records) -> None:
    client = admitted(kind, server)
    begin = time.monotonic()
    for _ in range(500):
        make_error(server)
    fence(client, server)
    seconds = int(time.monotonic() - begin) + 2  # that were begun
    assert 20 <= len(records.traces()) <= LINES_PER_SECOND * seconds

    def said() -> bool:
        make_error(server)
        return any(
            "more lines like the last ones were left out" in line for line in records.lines()
        )

    wait_until(said)


def test_control_characters_are_escaped(kind: str, server: StuckServer, records: Records) -> None:
    client = admitted(kind, server)
    client._runtime.trace.take(_line(b"a\nb\x1b[2J\x00\xd6\xd0\xff\xc2\x85"))
    assert records.traces()[-1].startswith("library: a\\nb\\x1b[2J\\x00中")
    client._runtime.trace.take(_line(b""))
    assert len(records.traces()) == 1


def _line(text: bytes) -> Event:
    return Event(EV_TRACE, 0, 1, 0, None, text)


def test_information_lines_are_bounded(kind: str, server: StuckServer, records: Records) -> None:
    logging.getLogger(NAME).setLevel(logging.DEBUG)
    client = admitted(kind, server)
    event = _line(b"text")._replace(code=0)
    begin = time.monotonic()
    for _ in range(10 * INFORMATION_LINES):
        client._runtime.trace.take(event)
    seconds = int(time.monotonic() - begin) + 2
    assert INFORMATION_LINES <= len(records.traces(logging.DEBUG)) <= INFORMATION_LINES * seconds


def test_a_filter_that_raises(kind: str, server: StuckServer, records: Records) -> None:
    """The logging of others does not stop the events."""

    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError(record.getMessage())

    client = admitted(kind, server)
    logger = logging.getLogger(NAME)
    logger.addFilter(broken)
    try:
        for _ in range(3):
            make_error(server)
            fence(client, server)
    finally:
        logger.removeFilter(broken)
    assert records.traces() == []
