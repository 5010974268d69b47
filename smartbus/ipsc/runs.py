"""One run of a flow script."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, Protocol

from smartbus.encoding import dumps_ascii
from smartbus.errors import SmartBusError

from .functions import FlowStopped, ScriptFunctions

if TYPE_CHECKING:
    from types import CodeType

    from .functions import Services
    from .scripts import Scripts

__all__ = ["Run", "RunObserver"]

logger = logging.getLogger(__name__)


class RunObserver(Protocol):
    """Is told in the run's thread: either of a refusal, or of the start and of the end."""

    def run_refused(self, run: Run, error: SmartBusError) -> None:
        """There is no such script, or it cannot be compiled."""

    def run_started(self, run: Run) -> None:
        """The script begins."""

    def run_ended(self, run: Run, result: list[Any]) -> None:
        """The script is over; `result` is what the flow returns."""


class Run:
    """A flow script that runs in a thread of its own.

    Attributes:
        label: Project, flow and number, for log lines.
        project: The flow's project.
        flow: The flow.
        params: The list that it was called with; it is the script's, which may change it.
    """

    def __init__(
        self,
        number: int,
        project: str,
        flow: str,
        params: list[Any],
        scripts: Scripts,
        services: Services,
        observer: RunObserver,
    ) -> None:
        """Prepare a run; `start` starts it."""
        self.label = f"{project}/{flow} #{number}"
        self.project = project
        self.flow = flow
        self.params = params
        self._scripts = scripts
        self._services = services
        self._observer = observer
        # A daemon: a script that never looks up must not keep the process from ending.
        self._thread = threading.Thread(target=self._main, name=f"flow {self.label}", daemon=True)

    def start(self) -> None:
        """Start the thread; raises `RuntimeError` if the system has none left."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread of a run that has told of its end."""
        self._thread.join()

    def _main(self) -> None:
        try:
            code = self._scripts.load(self.project, self.flow)
        except SmartBusError as error:
            self._observer.run_refused(self, error)
            return
        self._observer.run_started(self)
        self._observer.run_ended(self, self._execute(code))

    def _execute(self, code: CodeType) -> list[Any]:
        """Run the script and return what the flow returns, whatever the script does."""
        namespace = {
            "__name__": f"flows.{self.project}.{self.flow}",
            "__file__": code.co_filename,
            "params": self.params,
            **ScriptFunctions(self._services, self.label).namespace(),
        }
        try:
            with contextlib.suppress(SystemExit):  # the script's way to end early
                exec(code, namespace)  # noqa: S102 - running scripts is what this is for
            return _result(namespace.get("result"))
        except FlowStopped:
            logger.warning("flow %s was stopped", self.label)
            return _error("FlowStopped", "the IPSC is closing")
        except BaseException as error:
            logger.exception("flow %s failed", self.label)
            return _error(type(error).__name__, str(error))


def _result(value: Any) -> list[Any]:
    """Return a script's result as a list that JSON can say, or raise what JSON raises."""
    if value is None:
        return []
    result = list(value) if isinstance(value, (list, tuple)) else [value]
    dumps_ascii(result)
    return result


def _error(kind: str, message: str) -> list[Any]:
    return [{"error": {"type": kind, "message": message}}]
