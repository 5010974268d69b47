"""What happens to a client, NET or IPC, as methods to override."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, Final

from smartbus._c.core_api import EV_CONNECTED, EV_DISCONNECTED, EV_FLOW_ACK, EV_FLOW_RETURN
from smartbus._c.events import Event, Packet, texts
from smartbus.encoding import decode_text, decode_wire_text
from smartbus.head import Head
from smartbus.utils import LoggerMixin

#: ``on_flow_error`` gets this code when a flow's result is no JSON array (``OtherError``).
BAD_RESULT: Final = -99

_TIMEOUT: Final = -25
_RETURNED: Final = 1


class EventHandlers(LoggerMixin):
    """The ``on_*`` methods of `Client`, which do nothing until they are overridden.

    They run one after the other; an exception in one is logged and stops nothing.
    """

    #: Codec of received text; UTF-8 and GB18030 are tried after it.
    encoding: str

    _client_id: int
    #: The logger of this package's own records about the client.
    _records: logging.Logger

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

    def on_data_batch(self, batch: list[Packet]) -> None:
        """Consecutive packets came in; calls `on_data` for each of them.

        Override it instead of `on_data` where speed matters.

        Args:
            batch: For each packet its raw 20-byte header (see `Head`) and its data.
        """
        for head, data in batch:
            self._guard(self.on_data, Head(head), data)

    def on_flow_ack(
        self, head: Head | None, project_id: str, invoke_id: int, status_code: int, msg: str
    ) -> None:
        """IPSC has started a flow, or not.

        Args:
            head: The packet's; None with status -25.
            project_id: The project of the call.
            invoke_id: What `launch_flow` returned.
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
            invoke_id: What `launch_flow` returned.
            params: The flow's result; empty if it returned no text at all.
        """

    def on_flow_error(
        self, head: Head | None, project_id: str, invoke_id: int, error_code: int
    ) -> None:
        """A flow has ended in an error.

        Args:
            head: The packet's.
            project_id: The project of the call.
            invoke_id: What `launch_flow` returned.
            error_code: The library's code; -99 if the result was no JSON array (it is logged).
        """

    def on_flow_timeout(self, head: Head | None, project_id: str, invoke_id: int) -> None:
        """No result of a flow came within the call's timeout.

        Args:
            head: None: there is no packet.
            project_id: The project of the call.
            invoke_id: What `launch_flow` returned.
        """

    # ---- from C's events to these methods --------------------------------------------------

    def _guard(self, handler: Callable[..., None], *args: object) -> None:
        try:
            handler(*args)
        except (Exception, SystemExit):  # noqa: BLE001 - foreign code must not stop the pump
            self._records.exception("client %d: a handler raised", self._client_id)

    def _handle(self, event: Event) -> None:
        """Call the handler of `event`."""
        if event.kind == EV_CONNECTED:
            if event.code == 0:
                self.on_connect()
            else:
                self.on_connect_fail(event.code)
        elif event.kind == EV_DISCONNECTED:
            self.on_disconnect()
        elif event.kind in (EV_FLOW_ACK, EV_FLOW_RETURN):
            head = Head(event.head) if event.head is not None else None
            project, text = texts(event.payload, 2)
            about = (head, decode_wire_text(project), event.id)
            if event.kind == EV_FLOW_ACK:
                self.on_flow_ack(*about, event.code, decode_wire_text(text))
            elif event.code == _TIMEOUT:
                self.on_flow_timeout(*about)
            elif event.code != _RETURNED:
                self.on_flow_error(*about, event.code)
            else:
                try:
                    result = _flow_result(decode_text(text, self.encoding))
                except ValueError as error:
                    self._records.error(
                        "client %d: result of flow call %d: %s", self._client_id, event.id, error
                    )
                    self.on_flow_error(*about, BAD_RESULT)
                else:
                    self.on_flow_resp(*about, result)


def global_change(event: Event) -> tuple[int, int, int, int, int, str]:
    """Return what a global connect event says: unit, client, type, access unit, status, info."""
    unit, client_id, client_type, access_unit, status = (event.head or bytes(5))[:5]
    (info,) = texts(event.payload, 1)
    return unit, client_id, client_type, access_unit, status, decode_wire_text(info)


def _flow_result(text: str) -> list[Any]:
    if not text:
        return []
    try:
        result = json.loads(text)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}: {text[:200]!r}") from None
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    if not isinstance(result, list):
        raise ValueError(f"no JSON array: {text[:200]!r}")  # noqa: TRY004 - a value from outside
    return result
