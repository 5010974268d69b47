"""A NET client in a process of its own, remote-controlled by a test.

The vendor's library needs that: it cannot be released, and some of its defects end the
process. The other libraries get it too, so that one suite serves all.

The test makes a `Peer`, which starts ``python -m tests.net.peer`` and talks with it over a
socket pair: commands go there, results and events come back.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from smartbus._c import lookup
from smartbus.head import Head
from smartbus.net import Client, Subscription
from smartbus.testing.waiting import TIMEOUT

if TYPE_CHECKING:
    from typing_extensions import Self

ROOT = Path(__file__).parents[2]

#: Nothing here takes so long; what does has failed (seconds).
DEADLINE = 1.5 * TIMEOUT

#: What there is to run: library and whether to go through the vendor's interface.
KINDS: dict[str, tuple[str, bool]] = {
    "core": ("core", False),
    "abi": ("core", True),
    "vendor": ("vendor", False),
}
#: The vendor's library where there is no core: with ctypes callbacks.
THUNKS = "vendor without core"
#: The clients without any C, and their event loops.
LOOPS = ("asyncio", "uvloop")

#: What the process runs, where it is not this module.
MODULES = dict.fromkeys(LOOPS, "tests.aio.peer")

#: An event: its name and arguments. Those of one client have its id first.
Event = tuple[Any, ...]


class Peer:
    """The test's end."""

    def __init__(self, kind: str, unit: int) -> None:
        """Start a process with the library `kind` as unit `unit`."""
        self.kind = kind
        self.unit = unit
        self.events: list[Event] = []
        self._printed = ""
        # Owned like the process, until close().
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULES.get(kind, __name__), str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdout=self._output,
                stderr=self._errors,
            )
        self._connection = Connection(ours.detach())
        try:
            self.call("initialize", kind, unit)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- commands ------------------------------------------------------------------------

    def call(self, name: str, *args: Any) -> Any:
        """Have the process do something; returns or raises what it returned or raised."""
        try:
            self._connection.send((name, args))
        except OSError as error:
            raise AssertionError(f"{self} ended: {self._log()}") from error
        while True:
            what, value = self._receive(time.monotonic() + DEADLINE)
            if what == "error":
                raise value
            if what == "result":
                return value

    def connect(self, client_id: int, client_type: int, host: str, port: int, **more: Any) -> None:
        """Make and activate a client."""
        self.call("connect", client_id, client_type, host, port, more)

    def join(self, client_id: int, client_type: int, host: str, port: int, **more: Any) -> None:
        """Make and activate a client, and wait until it is connected."""
        self.connect(client_id, client_type, host, port, **more)
        self.call("wait_connected", client_id, DEADLINE)

    def on(self, client_id: int, method: str, *args: Any) -> Any:
        """Call a method of a client."""
        return self.call("on", client_id, method, args)

    # ---- events --------------------------------------------------------------------------

    def expect(self, *start: Any, where: Callable[[Event], object] = lambda _: True) -> Event:
        """Wait for an event that begins with `start`; it is used up."""
        index = self._find(start, where)
        return self.events.pop(index)

    def take_until(self, *start: Any) -> list[Event]:
        """Wait for an event that begins with `start`; it and all before it are used up."""
        index = self._find(start, lambda _: True)
        taken, self.events = self.events[:index], self.events[index + 1 :]
        return taken

    def _find(self, start: tuple[Any, ...], where: Callable[[Event], object]) -> int:
        deadline = time.monotonic() + DEADLINE
        position = 0
        while True:
            for index in range(position, len(self.events)):
                event = self.events[index]
                if event[: len(start)] == start and where(event):
                    return index
            position = len(self.events)
            self._receive(deadline, start)

    def forget(self) -> None:
        """Forget all events so far."""
        self.take()

    def take(self) -> list[Event]:
        """Return all events that have come, and forget them."""
        self.call("nothing")  # what came before its result was received with it
        events, self.events = self.events, []
        return events

    def _receive(self, deadline: float, waiting_for: object = "a result") -> tuple[str, Any]:
        left = deadline - time.monotonic()
        if not self._connection.poll(max(left, 0)):
            raise AssertionError(
                f"{self}: {waiting_for} did not come; there is {self.events}; {self._log()}"
            )
        try:
            what, value = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise AssertionError(f"{self} ended: {self._log()}") from error
        if what == "event":
            self.events.append(value)
        return what, value

    # ---- the end -------------------------------------------------------------------------

    def output(self) -> str:
        """Return what the process printed, so far or before it was closed; not its log."""
        if not self._output.closed:
            self._output.seek(0)
            self._printed = self._output.read()
        return self._printed

    def _log(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def close(self) -> int:
        """End the process as a program ends, and return its exit code."""
        if self._connection.closed:
            return self._process.returncode
        with contextlib.suppress(OSError):  # it ended already
            self._connection.send(None)
        try:
            return self._process.wait(DEADLINE)
        finally:
            self._process.kill()
            self._process.wait()
            self._connection.close()
            self.output()
            self._output.close()
            self._errors.close()

    def __repr__(self) -> str:
        return f"<Peer {self.kind} unit {self.unit}>"


# ---- the process -------------------------------------------------------------------------


class Reporter:
    """Sends results and events; any thread may."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def __call__(self, what: str, value: Any) -> None:
        with self._lock:
            self._connection.send((what, value))

    def event(self, *event: Any) -> None:
        self("event", event)


class LogReporter(logging.Handler):
    def __init__(self, report: Reporter) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report.event("log", record.name, record.levelno, record.getMessage())


class _Client(Client):
    report: Reporter

    def on_connect(self) -> None:
        self.report.event("connect", self.client_id)

    def on_connect_fail(self, error_code: int) -> None:
        self.report.event("connect_fail", self.client_id, error_code)

    def on_disconnect(self) -> None:
        self.report.event("disconnect", self.client_id)

    def on_data(self, head: Head, data: bytes) -> None:
        self.report.event("data", self.client_id, data, head)

    def on_flow_ack(
        self, head: Head | None, project_id: str, invoke_id: int, status_code: int, msg: str
    ) -> None:
        self.report.event("flow_ack", self.client_id, invoke_id, status_code, msg, project_id, head)

    def on_flow_resp(
        self, head: Head | None, project_id: str, invoke_id: int, params: list[Any]
    ) -> None:
        self.report.event("flow_resp", self.client_id, invoke_id, params, project_id, head)

    def on_flow_error(
        self, head: Head | None, project_id: str, invoke_id: int, error_code: int
    ) -> None:
        self.report.event("flow_error", self.client_id, invoke_id, error_code, project_id, head)

    def on_flow_timeout(self, head: Head | None, project_id: str, invoke_id: int) -> None:
        self.report.event("flow_timeout", self.client_id, invoke_id, project_id, head)


class _Commands:
    """What the process can be told to do."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._clients: dict[int, _Client] = {}
        self._subscriptions: dict[int, Subscription] = {}

    def nothing(self) -> None:
        pass

    def initialize(self, kind: str, unit: int) -> None:
        if kind == THUNKS:
            lookup.CORE_NAME = "core-that-nobody-built"  # type: ignore[misc]
            kind = "vendor"
        library, abi = KINDS[kind]
        Client.initialize(
            unit, lambda *event: self._report.event("global", *event), library, abi=abi
        )

    def connect(
        self, client_id: int, client_type: int, host: str, port: int, more: dict[str, Any]
    ) -> None:
        class Reporting(_Client):
            report = self._report

        client = Reporting.create(client_id, client_type, host, port, **more)
        self._clients[client_id] = client
        client.activate()

    def wait_connected(self, client_id: int, timeout: float) -> None:
        self._clients[client_id].wait_connected(timeout)

    def connected(self, client_id: int) -> bool:
        return self._clients[client_id].connected

    def on(self, client_id: int, method: str, args: tuple[Any, ...]) -> Any:
        return getattr(self._clients[client_id], method)(*args)

    def send_burst(
        self, client_id: int, count: int, destination: tuple[int, int, int], size: int
    ) -> None:
        """Send `count` numbered packets in a row."""
        send = self._clients[client_id].send_data
        for number in range(count):
            send(1, 3, *destination, number.to_bytes(4, "little").ljust(size, b"."))

    def call_flow(self, client_id: int, args: tuple[Any, ...], timeout: float) -> int:
        """Call a flow; "acked" and "ended" report its futures' outcomes, errors as objects."""
        future = self._clients[client_id].call_flow(*args, timeout=timeout)

        def tell(name: str, done: Future[Any]) -> None:
            outcome = done.exception() or done.result()
            self._report.event(name, client_id, future.invoke_id, outcome)

        future.acknowledged.add_done_callback(partial(tell, "acked"))
        future.add_done_callback(partial(tell, "ended"))
        return future.invoke_id

    def subscribe(self, client_id: int) -> None:
        """Report a client's events as objects, until `unsubscribe`."""
        self._subscriptions[client_id] = self._clients[client_id].subscribe(
            lambda event: self._report.event("object", client_id, event)
        )

    def unsubscribe(self, client_id: int) -> None:
        self._subscriptions.pop(client_id).close()

    def watch_log(self, name: str) -> None:
        """Report all records of a logger: "log", its name, level and message."""
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(LogReporter(self._report))

    def close(self) -> None:
        Client.finalize()

    def initialize_again(self, kind: str, unit: int) -> None:
        self.close()
        self._clients.clear()
        self.initialize(kind, unit)


def serve(fd: int, make: Callable[[Reporter], Any]) -> None:
    """Do what comes over descriptor `fd` until there is no more, with what `make` makes."""
    logging.basicConfig(level=logging.ERROR)
    connection = Connection(fd)
    report = Reporter(connection)
    commands = make(report)
    while (command := connection.recv()) is not None:
        name, args = command
        try:
            result = getattr(commands, name)(*args)
        except Exception as error:  # noqa: BLE001 - it is the test's
            report("error", error)
        else:
            report("result", result)
    commands.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]), _Commands)
    # Not os._exit: how the process ends is part of what is tested.
