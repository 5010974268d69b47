"""What a client, NET or IPC, can say to the bus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from smartbus._c.abi import MAX_DATA, MAX_TITLE
from smartbus.arguments import raw, whole
from smartbus.encoding import dumps_ascii
from smartbus.errors import (
    ArgumentError,
    ClientNotFoundError,
    CommandTypeError,
    SmartBusError,
    TooLargeError,
    error_for,
)

from .text import MAX_ID, milliseconds, wire_text

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from smartbus._c.backend import Sender

    from .engine import Engine
    from .pumps import Pump

# What a code most likely means where it comes back, beside its general text.
HINTS: Final[Mapping[int, str]] = {
    -1: "an argument is empty or out of range",
    -7: "too much is queued; the server does not read fast enough",
    -9: "the client was not activated",
    -11: "the destination is this client's own unit",
    -12: "unit ids go up to 47, those of servers up to 15; -1 is any",
    -15: "the data is too large",
    -16: "cmd_type 0 is the bus's own",
    -17: "client types start at 2",
    -21: "too many clients in this process",
    -22: "the vendor's library never forgets a client id, and this one was used before; choose "
    "another",
}


class SendingMethods:
    """The sending half of `Client`. All of it may be called from any thread and in handlers."""

    encoding: str

    #: What codes most likely mean.
    _hints: ClassVar[Mapping[int, str]] = HINTS
    _client_id: int
    _servers: str  # which ones it talks to, for messages
    _released: bool
    _ended: str  # what has become of the client, once `_released`
    _runtime: Engine
    _pump: Pump
    _send: Sender  # the library's function; `cut_off` once the client is released

    def _check_alive(self) -> None:
        if self._released:
            raise ClientNotFoundError(-9, f"client {self._client_id} {self._ended}")

    def send_data(
        self,
        cmd: int,
        cmd_type: int,
        dst_unit_id: int,
        dst_client_id: int,
        dst_client_type: int,
        data: str | Buffer | None,
    ) -> None:
        """Queue a packet. Success means queued; the bus delivers at most once.

        Args:
            cmd: Command, 0 to 255, of your choice.
            cmd_type: Command class, 1 to 255; 3 is user data (NET.md 1.2).
            dst_unit_id: Unit of the receiver; -1 is any.
            dst_client_id: Client id of the receiver; -1 is all that fit.
            dst_client_type: Client type of the receiver; -1 is any.
            data: Bytes, or text, which is encoded with this client's `encoding`.

        Raises:
            NotConnectedError: Not connected at the moment.
            BufferFullError: Too much is queued already.
            OwnUnitError: The destination is this client's own unit.
            SmartBusError: Another argument is bad.
            TypeError: A number is no ``int``, or `data` is no text and no bytes.
        """
        # Once for each message, so: two comparisons check five numbers, `|` their types. One
        # more than -1 or a byte's value is not negative, as `|` of anything and -1 would be.
        try:
            usual = (
                0 <= cmd | cmd_type <= 255
                and 0 <= dst_unit_id + 1 | dst_client_id + 1 | dst_client_type + 1 <= 255
            )
        except TypeError:
            usual = False
        if not usual:
            self._check_address(cmd, cmd_type, dst_unit_id, dst_client_id, dst_client_type)
        if type(data) is not bytes:
            data = self._as_bytes(data)
        size = len(data)
        if size > MAX_DATA:
            raise TooLargeError(-15, f"{size} bytes of data; {MAX_DATA} fit into a packet")
        code = self._send(cmd, cmd_type, dst_unit_id, dst_client_id, dst_client_type, data, size)
        if code < 0:
            raise self._error(
                code,
                f"send_data(cmd {cmd}, cmd_type {cmd_type}, to unit {dst_unit_id}, client "
                f"{dst_client_id}, type {dst_client_type}, {size} bytes)",
            )
        if not self._pump.flush_due:
            self._pump.flush_soon()

    def ping(
        self,
        dst_unit_id: int,
        dst_client_id: int,
        dst_client_type: int,
        data: str | Buffer | None = None,
    ) -> None:
        """Send a ping. The answer comes to `on_data` with cmd_type 1, cmd 8 (NET.md 6).

        Raises:
            SmartBusError: As `send_data`.
        """
        raw = self._as_bytes(data)
        self._check_alive()
        code = self._runtime.backend.ping(
            self._client_id,
            whole("dst_unit_id", dst_unit_id, -1),
            whole("dst_client_id", dst_client_id, -1, 255),
            whole("dst_client_type", dst_client_type, -1, 255),
            raw,
        )
        self._sent(code, f"ping(unit {dst_unit_id}, client {dst_client_id}, {len(raw)} bytes)")

    def launch_flow(
        self,
        server_unit_id: int,
        process_index: int,
        project_id: str,
        flow_id: str,
        mode: int,
        timeout: float,
        params: Sequence[Any] | None,
    ) -> int:
        """Start a flow on an IPSC process (NET.md 7).

        `on_flow_ack` tells whether it started; with mode 0 `on_flow_resp` brings its result
        or `on_flow_timeout` says that none came.

        Args:
            server_unit_id: Unit of the IPSC server, 0 to 15.
            process_index: Index of the IPSC process; this is its client id.
            project_id: Project, at most 31 bytes.
            flow_id: Flow, at most 31 bytes.
            mode: 0 the flow returns a result, 1 it does not.
            timeout: How long to wait for the result. The ack is waited for as long, but at
                least 1 s and at most 5 s.
            params: The flow's parameters: a list of simple values, sent as a JSON array of at
                most 8001 bytes (vendor's library) or 16001 bytes (core). None is an empty list.

        Returns:
            The invoke id that the events about this call carry.

        Raises:
            TooLargeError: The parameters are too long.
            ArgumentError: They hold a NaN or themselves, or an argument is out of range.
            TypeError: `params` is no list, or holds what JSON does not know.
            SmartBusError: As `send_data`.
        """
        launch, what = self._flow_launch(
            "launch_flow",
            *(server_unit_id, process_index, project_id, flow_id, mode, timeout, params),
        )
        return self._sent(launch(), what)

    def _flow_launch(
        self,
        name: str,
        server_unit_id: int,
        process_index: int,
        project_id: str,
        flow_id: str,
        mode: int,
        timeout: float,
        params: Sequence[Any] | None,
    ) -> tuple[Callable[[], int], str]:
        """Return what starts a flow, and what to call that in an error.

        Raises:
            SmartBusError: See `launch_flow`.
            TypeError: Likewise.
        """
        if params is not None and not isinstance(params, (list, tuple)):
            raise TypeError(f"params must be a list, not {type(params).__name__}")
        self._check_alive()
        launch = partial(
            self._runtime.backend.call_flow,
            self._client_id,
            whole("server_unit_id", server_unit_id),
            whole("process_index", process_index, -1, 255),
            wire_text("project_id", project_id, MAX_ID),
            wire_text("flow_id", flow_id, MAX_ID),
            whole("mode", mode, 0, 255),
            milliseconds("timeout", timeout),
            _json(params),
        )
        return launch, (
            f"{name}(unit {server_unit_id}, process {process_index}, {project_id!r}, "
            f"{flow_id!r}, mode {mode}, {timeout} s)"
        )

    def notify(
        self,
        server_unit_id: int,
        process_index: int,
        project_id: str,
        title: str | bytes,
        mode: int,
        expires: float,
        txt: str | bytes,
    ) -> int:
        """Send a notification message to an IPSC process, where a flow waits for its title.

        Args:
            server_unit_id: Unit of the IPSC server, 0 to 15.
            process_index: Index of the IPSC process.
            project_id: Project; may be empty.
            title: What the flow waits for; 1 to 101 bytes.
            mode: 0.
            expires: How long the message stays valid, in seconds.
            txt: The message; 1 to 15999 bytes.

        Returns:
            The id of this notification.

        Raises:
            SmartBusError: As `send_data`.
        """
        self._check_alive()
        code = self._runtime.backend.notify(
            self._client_id,
            whole("server_unit_id", server_unit_id),
            whole("process_index", process_index, -1, 255),
            wire_text("project_id", project_id, MAX_ID),
            wire_text("title", title, MAX_TITLE),
            whole("mode", mode, 0, 255),
            milliseconds("expires", expires),
            wire_text("txt", txt),
        )
        return self._sent(
            code, f"notify(unit {server_unit_id}, process {process_index}, {title!r}, {expires} s)"
        )

    def _sent(self, code: int, what: str) -> int:
        if code < 0:
            raise self._error(code, what)
        if not self._pump.flush_due:
            self._pump.flush_soon()
        return code

    def _error(self, code: int, what: str) -> SmartBusError:
        if self._released:
            hint = f"the client {self._ended}"
        elif code == -2:
            hint = f"not connected to {self._servers}"
        else:
            hint = self._hints.get(code) or error_for(code).message
        return error_for(code, f"client {self._client_id}: {what}: {hint}")

    @staticmethod
    def _check_address(cmd: int, cmd_type: int, unit: int, client: int, client_type: int) -> None:
        """Raise for what `send_data` found to be out of range, if it is."""
        whole("cmd", cmd, 0, 255)
        if whole("cmd_type", cmd_type, 0, 255) == 0:
            raise CommandTypeError(-16, "cmd_type 0 is the bus's own")
        whole("dst_unit_id", unit, -1)  # the library knows which ones it takes
        whole("dst_client_id", client, -1, 255)
        whole("dst_client_type", client_type, -1, 255)

    def _as_bytes(self, data: str | Buffer | None) -> bytes:
        if data is None:
            return b""
        if isinstance(data, str):
            try:
                return data.encode(self.encoding)
            except UnicodeEncodeError as error:
                raise ArgumentError(-1, f"data cannot be encoded: {error}") from error
        return raw("data", data)


def _json(params: Sequence[Any] | None) -> bytes:
    """Return the parameters of a flow as they travel.

    Raises:
        ArgumentError: They hold a NaN, or themselves, or are nested too deeply.
        TypeError: They hold what JSON does not know.
    """
    try:
        return dumps_ascii(list(params or ())).encode("ascii")
    except TypeError as error:
        raise TypeError(f"params are no JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ArgumentError(-1, f"params are no JSON: {error}") from None


def cut_off(*_: object) -> int:
    """Stand for the library's function once a client is released."""
    return -9
