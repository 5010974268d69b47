"""What happens to a client, NET or IPC, as methods to override."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from smartbus._c import events as raw
from smartbus.events import (
    Connected,
    ConnectFailed,
    Disconnected,
    Event,
    FlowAcknowledged,
    FlowFailed,
    FlowReturned,
    FlowTimedOut,
)
from smartbus.head import Head
from smartbus.utils import LoggerMixin

from .pumps import is_ctrl_c


class EventHandlers(LoggerMixin):
    """The ``on_*`` methods of `Client`, which do nothing until they are overridden.

    They run one after the other; an exception in one is logged and stops nothing.
    """

    #: Codec of received text; UTF-8 and GB18030 are tried after it.
    encoding: str

    _client_id: int
    #: The logger of this package's own records about the client.
    _records: logging.Logger

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse handlers that are coroutine functions: they are called, so they would never run.

        Raises:
            TypeError: One is.
        """
        super().__init_subclass__(**kwargs)
        for name in dir(cls):
            if name.startswith("on_") and inspect.iscoroutinefunction(getattr(cls, name)):
                raise TypeError(
                    f"{cls.__qualname__}.{name} is called, not awaited: it cannot be a coroutine "
                    "function (it may start a task, if the library was initialised with loop=)"
                )

    def on_connect(self) -> None:
        """The server has accepted this client; also after every reconnection."""

    def on_connect_fail(self, error_code: int) -> None:
        """Connecting failed.

        Args:
            error_code: -20 if the server could not be reached; this comes once, and connecting
                goes on. Other codes are the server's refusal, and connecting ends.
        """

    def on_disconnect(self) -> None:
        """The connection is lost; reconnecting has begun. Not called once it is released."""

    def on_data(self, head: Head, data: bytes) -> None:
        """A packet came in.

        Pings (cmd_type 1, cmd 7, already answered) and their answers (cmd 8) come here too.

        Args:
            head: Sender, receiver, command.
            data: What was sent.
        """

    def on_data_batch(self, batch: list[raw.Packet]) -> None:
        """Consecutive packets came in; calls `on_data` for each of them.

        Override it instead of `on_data` where speed matters.

        Args:
            batch: For each packet its raw 20-byte header (see `Head`) and its data.
        """
        on_data = self.on_data
        for head, data in batch:
            try:
                on_data(Head(head), data)
            except BaseException as error:  # noqa: BLE001, PERF203 - `_guard` without its call
                self._handler_raised(error)

    def on_flow_ack(
        self, head: Head | None, project_id: str, invoke_id: int, status_code: int, msg: str
    ) -> None:
        """IPSC has started a flow, or not.

        Args:
            head: The packet's; None with status -25.
            project_id: The project of the call.
            invoke_id: What `launch_flow` returned, or the future's of `call_flow`.
            status_code: 1 the flow started; -25 no ack came in time; else IPSC's error.
            msg: IPSC's message.
        """

    def on_flow_resp(
        self, head: Head | None, project_id: str, invoke_id: int, params: list[Any]
    ) -> None:
        """A flow has returned.

        Args:
            head: The packet's.
            project_id: The project of the call.
            invoke_id: What `launch_flow` returned, or the future's of `call_flow`.
            params: The flow's result; empty if it returned no text at all.
        """

    def on_flow_error(
        self, head: Head | None, project_id: str, invoke_id: int, error_code: int
    ) -> None:
        """A flow has ended in an error.

        Args:
            head: The packet's.
            project_id: The project of the call.
            invoke_id: What `launch_flow` returned, or the future's of `call_flow`.
            error_code: The library's code; -99 if the result was no JSON array (it is logged).
        """

    def on_flow_timeout(self, head: Head | None, project_id: str, invoke_id: int) -> None:
        """No result of a flow came within the call's timeout.

        Args:
            head: None: there is no packet.
            project_id: The project of the call.
            invoke_id: What `launch_flow` returned, or the future's of `call_flow`.
        """

    # ---- from events to these methods ----------------------------------------------------

    def _guard(self, handler: Callable[..., object], *args: object) -> None:
        try:
            handler(*args)
        except BaseException as error:  # noqa: BLE001 - foreign code must not stop the pump
            self._handler_raised(error)

    def _handler_raised(self, error: BaseException) -> None:
        """Log `error`, whatever it is but Ctrl-C: not all that is raised is an ``Exception``."""
        if is_ctrl_c(error):
            raise error
        self._records.exception("client %d: a handler raised", self._client_id)

    def _handle(self, event: Event) -> None:
        """Call the method that stands for `event`."""
        match event:
            case Connected():
                self.on_connect()
            case ConnectFailed():
                self.on_connect_fail(event.error_code)
            case Disconnected():
                self.on_disconnect()
            case FlowAcknowledged():
                self.on_flow_ack(
                    event.head, event.project_id, event.invoke_id, event.status_code, event.msg
                )
            case FlowReturned():
                self.on_flow_resp(event.head, event.project_id, event.invoke_id, event.params)
            case FlowFailed():
                self.on_flow_error(event.head, event.project_id, event.invoke_id, event.error_code)
            case FlowTimedOut():
                self.on_flow_timeout(event.head, event.project_id, event.invoke_id)
