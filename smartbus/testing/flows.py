"""The stand-in IPSC in a test: flow scripts, and what became of their runs."""

from __future__ import annotations

import copy
import shutil
import tempfile
import textwrap
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smartbus.ipsc import Ipsc, IpscThread

from .client import RecordingClient
from .waiting import TIMEOUT, Record

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from concurrent.futures import Future
    from types import TracebackType

    from typing_extensions import Self

    from smartbus.bus import Bus
    from smartbus.ipsc.runs import Run

__all__ = ["FlowHost", "FlowRun"]

#: Who calls flows for `FlowHost.run`: unit and client type that hardly anybody has. The
#: client id counts down from 255, one for each process index.
_CALLER_UNIT: Final = 47
_CALLER_TYPE: Final = 255


@dataclass(frozen=True)
class FlowRun:
    """A run of a flow, as it began or as it ended.

    Attributes:
        project: The flow's project.
        flow: The flow.
        params: What it was called with.
        result: What it returned; None in the record of its beginning. A script that failed
            returns ``[{"error": {"type": …, "message": …}}]``.
    """

    project: str
    flow: str
    params: list[Any]
    result: list[Any] | None = None


class _RecordingIpsc(Ipsc):
    """Writes down which flows ran."""

    def __init__(
        self, bus: Bus, flows: Path, started: Record[FlowRun], ended: Record[FlowRun], **more: Any
    ) -> None:
        super().__init__(bus.host, bus.port, flows, unit_id=bus.unit_id, **more)
        self._started_runs = started
        self._ended_runs = ended
        self._begun: dict[Run, FlowRun] = {}

    def run_started(self, run: Run) -> None:
        # A copy: the list itself is the script's.
        begun = FlowRun(run.project, run.flow, copy.deepcopy(run.params))
        self._begun[run] = begun
        self._started_runs.add(begun)
        super().run_started(run)

    def run_ended(self, run: Run, result: list[Any]) -> None:
        begun = self._begun.pop(run)
        self._ended_runs.add(FlowRun(begun.project, begun.flow, begun.params, result))
        super().run_ended(run, result)


class FlowHost:
    """A stand-in IPSC on a bus (`smartbus.ipsc`), in threads of its own.

    How to write a flow script stands in `smartbus.ipsc.functions`. All methods may be called
    from any thread.

    Attributes:
        ipsc: The `smartbus.ipsc.Ipsc` itself, which belongs to its own thread.
        directory: Where the scripts are, ``<project>/<flow>.py``: a directory of this object.
        started: The runs that began.
        ended: The runs that ended, with their results.
    """

    def __init__(
        self,
        bus: Bus,
        flows: str | os.PathLike[str] | Mapping[str, str] | None = None,
        *,
        timeout: float = TIMEOUT,
        **options: Any,
    ) -> None:
        """Start an IPSC and wait until the bus has let it in.

        Args:
            bus: A bus that runs.
            flows: A directory of scripts, ``<project>/<flow>.py``, of which it takes a copy;
                or scripts by ``"project/flow"``. More can be added with `write`.
            timeout: How long (seconds) to wait for the bus, and what the records have.
            options: As `smartbus.ipsc.Ipsc` takes them: ``process_index``, ``user``,
                ``password``, ``max_runs``, …; not ``unit_id``, which is the bus's.

        Raises:
            SmartBusTimeoutError: It took too long.
            SmartBusError: The bus refused it, or an argument is bad.
            OSError: The directory cannot be copied.
        """
        self.started: Record[FlowRun] = Record(timeout)
        self.ended: Record[FlowRun] = Record(timeout)
        self._bus = bus
        self._login = {name: options[name] for name in ("user", "password") if name in options}
        self._lock = threading.Lock()
        self._caller: RecordingClient | None = None
        self._stack = ExitStack()
        with self._stack:
            self.directory = Path(
                self._stack.enter_context(tempfile.TemporaryDirectory(prefix="smartbus-flows-"))
            )
            if isinstance(flows, Mapping):
                for name, source in flows.items():
                    project, _, flow = name.partition("/")
                    self.write(project, flow, source)
            elif flows is not None:
                shutil.copytree(flows, self.directory, dirs_exist_ok=True)
            self.ipsc = _RecordingIpsc(bus, self.directory, self.started, self.ended, **options)
            thread = IpscThread(self.ipsc)
            thread.start(timeout)
            self._stack.callback(thread.close)
            self._stack = self._stack.pop_all()

    # ---- scripts -------------------------------------------------------------------------

    def write(self, project: str, flow: str, source: str) -> Path:
        """Add a flow script, or replace it for the runs to come; returns its path.

        Args:
            project: The flow's project.
            flow: The flow.
            source: The script; indentation that all lines have in common is taken away.
        """
        path = self.directory / project / f"{flow}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    # ---- runs ----------------------------------------------------------------------------

    def start(
        self,
        project: str,
        flow: str,
        params: Iterable[Any] | None = None,
        *,
        timeout: float = TIMEOUT,
    ) -> Future[list[Any]]:
        """Start a flow over the bus; the future ends with what it returns.

        The caller is client 255 of unit 47, or 254 for process 1, and so on. Arguments and
        errors as `RecordingClient.start_flow`.
        """
        return self._calling().start_flow(
            project, flow, params, timeout=timeout, process_index=self.ipsc.process_index
        )

    def run(
        self,
        project: str,
        flow: str,
        params: Iterable[Any] | None = None,
        *,
        timeout: float = TIMEOUT,
    ) -> list[Any]:
        """Start a flow over the bus, wait, return what it returns; see `start`."""
        return self._calling().call_flow(
            project, flow, params, timeout=timeout, process_index=self.ipsc.process_index
        )

    def wait_started(self, project: str, flow: str, timeout: float | None = None) -> FlowRun:
        """Wait until a flow has begun; the next call waits for its next run.

        Raises:
            AssertionError: It did not within `timeout` seconds (None: this object's).
        """
        return self.started.take(lambda run: (run.project, run.flow) == (project, flow), timeout)

    def wait_ended(self, project: str, flow: str, timeout: float | None = None) -> FlowRun:
        """Wait until a flow has ended; the next call waits for its next run.

        Raises:
            AssertionError: It did not within `timeout` seconds (None: this object's).
        """
        return self.ended.take(lambda run: (run.project, run.flow) == (project, flow), timeout)

    def _calling(self) -> RecordingClient:
        """Return the client that calls flows; it connects when it is first needed."""
        with self._lock:
            if self._caller is None:
                caller = _CALLER_UNIT, 255 - self.ipsc.process_index, _CALLER_TYPE
                client = RecordingClient(self._bus, *caller, info="FlowHost", **self._login)
                self._caller = self._stack.enter_context(client)
            return self._caller

    # ---- the end -------------------------------------------------------------------------

    def close(self) -> None:
        """End scripts that wait, wait for the others, disconnect. May be called again.

        A script that neither waits nor ends is left behind in its thread (see
        `smartbus.ipsc.Ipsc`).
        """
        self._stack.close()

    def __enter__(self) -> Self:
        """Nothing is left to do: it is connected."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
