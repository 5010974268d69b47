"""A library under test, seen from the test: calls, and the callbacks that came."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from smartbus._c import lookup
from smartbus.testing.waiting import TIMEOUT
from tests.abi.messages import Event, Hook

__all__ = ["DEADLINE", "Event", "Hook", "Library", "file_of"]

ROOT = Path(__file__).parents[2]

#: Nothing here takes so long; what does has failed (seconds).
DEADLINE = 2 * TIMEOUT

#: The functions for SetCallBackFn, in its order, and one for SetCallBackFnEx.
FIVE = tuple(Hook(kind) for kind in ("connection", "data", "disconnect", "flow_ret", "global"))
FLOW_ACK = (b"smartbus_invokeflow_ack_cb", Hook("flow_ack"))

TRACES = ("info", "error", "info_format", "error_format")

#: Runs a world until something holds, or fails.
Until = Callable[[Callable[[], object], str], None]


def file_of(kind: str) -> str:
    """Return the file of the library `kind`: "core" or "vendor"."""
    return lookup.find(kind).path


class Library:
    """One process with one library in it."""

    def __init__(self, until: Until, family: str, kind: str, environ: Mapping[str, str]) -> None:
        """Start it.

        Args:
            until: Lets time pass for everything around.
            family: "net" or "ipc".
            kind: "core" or "vendor".
            environ: What its environment has on top of ours.
        """
        self.kind = kind
        #: What called back, traces apart, in order; `expect` takes from it.
        self.events: deque[Event] = deque()
        #: Traces so far.
        self.traces: list[Event] = []
        self._until = until
        self._results: deque[tuple[str, Any]] = deque()
        self._ended = False
        # Owned like the process, until close().
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "tests.abi.child"]
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), family, file_of(kind)],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **environ},
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )
        self._connection = Connection(ours.detach())

    # ---- commands ------------------------------------------------------------------------

    def call(self, function: str, *args: Any) -> Any:
        """Call ``SmartBus…Cli_<function>``; None is NULL, a `Hook` is a callback."""
        return self.command("call", function, *args)

    def command(self, name: str, *args: Any) -> Any:
        """Have `child.Child` do something; returns or raises what that did."""
        with contextlib.suppress(OSError):  # it ended: said below
            self._connection.send((name, args))
        self._until(lambda: self._results or self._ended, f"{name} {args} to return")
        assert self._results, f"the process ended in {name} {args}: {self.autopsy()}"
        what, value = self._results.popleft()
        if what == "error":
            raise value
        return value

    def hook_all(self, arg: int | None = None) -> None:
        """Set all six callbacks, and `arg`."""
        self.call("SetCallBackFn", *FIVE, arg)
        self.call("SetCallBackFnEx", *FLOW_ACK)

    # ---- events --------------------------------------------------------------------------

    def next(self) -> Event:
        """Wait for the next callback, traces apart."""
        self._until(lambda: self.events or self._ended, "a callback")
        assert self.events, f"the process ended: {self.autopsy()}"
        return self.events.popleft()

    def expect(self, kind: str, *values: Any) -> Event:
        """The next callback is one of this kind with these first values; ... is any value."""
        event = self.next()
        same = event.kind == kind and all(
            want is ... or want == got for want, got in zip(values, event.values, strict=False)
        )
        assert same, f"{kind} {values} should have come, not {event}"
        return event

    def expect_trace(self, kind: str, text: bytes) -> Event:
        """Wait for a trace of this kind that contains `text`, in any case, since the start."""

        def found() -> Event | None:
            for event in self.traces:
                if event.kind == kind and text.lower() in b" ".join(event.values).lower():
                    return event
            return None

        self._until(found, f"{kind} trace with {text!r} in {self.traces}")
        event = found()
        assert event is not None
        return event

    # ---- what the world uses ---------------------------------------------------------------

    def fileno(self) -> int:
        """Readable when `receive` has something to do."""
        return self._connection.fileno()

    def receive(self) -> bool:
        """Take what the process has sent; False when it ended."""
        try:
            while self._connection.poll():
                what, value = self._connection.recv()
                if what != "event":
                    self._results.append((what, value))
                elif value.kind in TRACES:
                    self.traces.append(value)
                else:
                    self.events.append(value)
        except (EOFError, ConnectionError):
            self._ended = True
        return not self._ended

    def output(self) -> bytes:
        """What the process has printed."""
        if not self._ended:
            self.command("flush")
        self._output.seek(0)
        return self._output.read()

    def autopsy(self) -> str:
        """How the process ended, and what it printed."""
        self._ended = True
        code = self._process.wait(DEADLINE)
        return f"code {code}, {self.output().decode(errors='replace')}"

    def close(self) -> int:
        """End the process, the core after a Release; returns its exit code."""
        try:
            if self.kind == "core" and not self._ended:
                self.call("Release")
                # A Release from within a callback ends the thread a moment later.
                self._until(lambda: not self.command("left"), "the library to leave nothing open")
        finally:
            self._connection.close()
            end = time.monotonic() + DEADLINE
            try:
                self._process.wait(max(end - time.monotonic(), 0))
            finally:
                self._process.kill()
                self._process.wait()
                self._output.close()
        return self._process.returncode
