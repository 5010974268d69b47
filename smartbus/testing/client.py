"""A client that is the other end of what is tested: it keeps what comes, and does as told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from smartbus.aio import Frame, Node, SmartBusClient
from smartbus.arguments import seconds

from .loop import LoopThread
from .waiting import TIMEOUT, Record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future
    from types import TracebackType

    from typing_extensions import Self

    from smartbus.bus import Bus
    from smartbus.wire import Address

    Data = bytes | bytearray | memoryview | str | None

__all__ = ["RecordingClient"]

#: How much longer than the call's own time-out a flow's outcome may be on its way (seconds).
_MARGIN: Final = 10.0


class RecordingClient:
    """A NET client on a bus that writes down what it receives.

    It is a `smartbus.aio.SmartBusClient` in a thread of its own. So it leaves the one library
    that a process has for ``smartbus.net`` and ``smartbus.ipc`` alone: the program under test
    may use those, in this process. All methods may be called from any thread.

    Attributes:
        packets: What came: frames with ``head``, ``src``, ``dst``, ``cmd``, ``cmd_type`` and
            ``data``.
        nodes: Who came to the bus, was there, or left it (``status`` 1, 2, 0; NET.md 4).
        states: What became of the connection: ``"connected"`` and ``"disconnected"``.
    """

    def __init__(
        self,
        bus: Bus,
        unit_id: int = 46,
        client_id: int = 0,
        client_type: int = 18,
        *,
        timeout: float = TIMEOUT,
        **options: Any,
    ) -> None:
        """Connect to `bus` and wait until it has let the client in.

        Args:
            bus: A bus that runs.
            unit_id: Own unit, 16 to 47, or 0 to 15 for an IPSC of the bus's unit.
            client_id: Own client id, 0 to 255.
            client_type: Own client type, 2 to 255.
            timeout: How long (seconds) to wait for the connection, and what the records have.
            options: As `smartbus.aio.SmartBusClient` takes them: ``user``, ``password``,
                ``info``, …

        Raises:
            SmartBusTimeoutError: It took too long.
            SmartBusError: The bus refused the client, or an argument is bad.
        """
        self.packets: Record[Frame] = Record(timeout)
        self.nodes: Record[Node] = Record(timeout)
        self.states: Record[str] = Record(timeout)
        self._server_unit = bus.unit_id
        self._client = SmartBusClient(
            bus.host, bus.port, unit_id, client_id, client_type, **options
        )
        self._client.on_packet = self.packets.add
        self._client.on_global_connect = self.nodes.add
        self._client.on_connect = lambda: self.states.add("connected")
        self._client.on_disconnect = lambda: self.states.add("disconnected")
        self._loop = LoopThread(f"smartbus-testing {unit_id}/{client_id}")
        self._closed = False
        try:
            self._loop.run(self._client.start())
            self.wait_connected(timeout)
        except BaseException:
            self.close()
            raise

    # ---- what it is ----------------------------------------------------------------------

    @property
    def address(self) -> Address:
        """Unit, client id and client type."""
        return self._client.address

    @property
    def connected(self) -> bool:
        """Whether the bus has let the client in and the connection stands."""
        return self._client.connected

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<RecordingClient {'/'.join(map(str, self.address))}: {state}>"

    # ---- doing ---------------------------------------------------------------------------

    def wait_connected(self, timeout: float = TIMEOUT) -> None:
        """Wait until the client is connected, for instance again.

        Raises:
            SmartBusTimeoutError: It took longer than `timeout` seconds.
            SmartBusError: The bus refused the client.
        """
        self._loop.run(self._client.wait_connected(timeout))

    def send_data(
        self,
        cmd: int,
        cmd_type: int,
        dst_unit_id: int,
        dst_client_id: int,
        dst_client_type: int,
        data: Data = None,
    ) -> None:
        """Send a packet; arguments and errors as `smartbus.aio.SmartBusClient.send_data`."""
        destination = dst_unit_id, dst_client_id, dst_client_type
        self._loop.call(self._client.send_data, cmd, cmd_type, *destination, data)

    def notify(
        self,
        title: str,
        text: str | bytes,
        *,
        expires: float = TIMEOUT,
        server_unit_id: int | None = None,
        process_index: int = 0,
    ) -> int:
        """Send a text to a flow that waits for `title`, or will within `expires` seconds.

        Args:
            title: What the flow waits for.
            text: The text.
            expires: Seconds.
            server_unit_id: Unit of the flow's IPSC; None for the bus's.
            process_index: The IPSC process.

        Returns:
            The notify's number.

        Raises:
            SmartBusError: As `smartbus.aio.SmartBusClient.notify`.
        """
        unit = self._server_unit if server_unit_id is None else server_unit_id
        return self._loop.call(
            self._client.notify, unit, process_index, "", title, 0, expires, text
        )

    def start_flow(
        self,
        project_id: str,
        flow_id: str,
        params: Iterable[Any] | None = None,
        *,
        timeout: float = TIMEOUT,
        server_unit_id: int | None = None,
        process_index: int = 0,
    ) -> Future[list[Any]]:
        """Start a flow; the future ends with what it returns.

        Args:
            project_id: The flow's project.
            flow_id: The flow.
            params: The flow's parameters.
            timeout: Seconds that the flow may take.
            server_unit_id: Unit of the IPSC; None for the bus's.
            process_index: The IPSC process.

        Raises:
            FlowTimeout: From the future: there was no ack or no return in time.
            FlowError: Likewise: IPSC refused, or the return is no JSON.
            SmartBusError: Likewise, as `smartbus.aio.SmartBusClient.call_flow`.
        """
        unit = self._server_unit if server_unit_id is None else server_unit_id
        call = self._client.call_flow(
            unit, process_index, project_id, flow_id, params, timeout=timeout
        )
        return self._loop.submit(call)

    def call_flow(
        self,
        project_id: str,
        flow_id: str,
        params: Iterable[Any] | None = None,
        *,
        timeout: float = TIMEOUT,
        server_unit_id: int | None = None,
        process_index: int = 0,
    ) -> list[Any]:
        """Start a flow, wait, return what it returns; arguments and errors as `start_flow`."""
        seconds("timeout", timeout)
        future = self.start_flow(
            project_id,
            flow_id,
            params,
            timeout=timeout,
            server_unit_id=server_unit_id,
            process_index=process_index,
        )
        return future.result(timeout + _MARGIN)

    # ---- the end -------------------------------------------------------------------------

    def close(self) -> None:
        """Disconnect and end the thread. May be called again."""
        if not self._closed:
            self._closed = True
            try:
                self._loop.run(self._client.close())
            finally:
                self._loop.close()

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
