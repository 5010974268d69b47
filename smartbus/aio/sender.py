"""Sending: data, pings, notifies. The lowest layer of the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from smartbus import errors
from smartbus.arguments import raw, seconds, whole
from smartbus.encoding import encode_text
from smartbus.errors import ArgumentError, NotConnectedError, SmartBusError
from smartbus.wire import (
    IPSC,
    MAX_DATA,
    Address,
    Cmd,
    CmdType,
    Notify,
    encode_frame,
)
from smartbus.wire.system import MAX_NOTIFY_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .connection import Connection

    Data = bytes | bytearray | memoryview | str | None

__all__ = ["MAX_SERVER", "MAX_UNIT", "Sender", "check_server"]

#: The highest unit, and the highest one of servers and their IPSC processes (NET.md 1.2).
MAX_UNIT: Final = 47
MAX_SERVER: Final = 15
_MAX_I32: Final = 2**31 - 1


class Sender:
    """What of a client sends: checks, packs and queues."""

    address: Address
    encoding: str
    _connection: Connection
    _notify_id = 0

    def check_send(self, cmd_type: int, dst_unit_id: int, size: int) -> None:
        """Raise what `send_data` would raise; the checks of NET.md 5.1 in their order.

        The only method that may be called from any thread.

        Raises:
            NotInitializedError: The client is not started or was closed.
            UnitIdError: The destination's unit is above 47 (any is -1).
            TooLargeError: More than 268435455 bytes.
            CommandTypeError: The class is not in 1..255.
            OwnUnitError: The destination is the own unit, and that is not a server's (0..15).
            NotConnectedError: No server has let the client in, or the link is lost.
            BufferFullError: Too much waits already.
        """
        outbox = self._connection.outbox
        if dst_unit_id > MAX_UNIT:
            raise errors.UnitIdError(-12, f"unit {dst_unit_id} is above {MAX_UNIT}")
        if size > MAX_DATA:
            raise errors.TooLargeError(-15, f"{size} bytes do not fit into a packet")
        if not 0 < cmd_type <= 255:
            raise errors.CommandTypeError(-16, f"command type {cmd_type} is not in 1..255")
        if dst_unit_id == self.address.unit_id > MAX_SERVER:
            raise errors.OwnUnitError(-11, f"unit {dst_unit_id} is the own unit")
        if not self._connection.up:
            raise NotConnectedError(-2)
        outbox.check(size + 20)

    def send_data(
        self,
        cmd: int,
        cmd_type: int,
        dst_unit_id: int,
        dst_client_id: int,
        dst_client_type: int,
        data: Data,
    ) -> None:
        """Queue a packet. The bus does not tell whether it found a receiver.

        Args:
            cmd: Command, 0..255.
            cmd_type: Command class, 1..255.
            dst_unit_id: Receiver's unit, or -1 for any.
            dst_client_id: Receiver's client id, or -1 for all.
            dst_client_type: Receiver's client type, or -1 for any.
            data: Bytes, or text (encoded with the client's `encoding`), or None for nothing.

        Raises:
            ArgumentError: `cmd` is out of range.
            SmartBusError: As `check_send`.
        """
        raw = data if type(data) is bytes else self._bytes_of(data)
        address = self.address
        connection = self._connection
        # Most packets are in order: one look at all conditions; check_send tells which one failed.
        if (
            not connection.up
            or len(raw) > MAX_DATA
            or not (0 < cmd_type <= 255 and 0 <= cmd <= 255)
            or dst_unit_id > MAX_UNIT
            or dst_unit_id == address[0]
        ):
            self.check_send(cmd_type, dst_unit_id, len(raw))
            if not 0 <= cmd <= 255:
                raise ArgumentError(-1, f"command {cmd} is not in 0..255")
        dst = (dst_unit_id, dst_client_id, dst_client_type)
        connection.outbox.push(encode_frame(address, dst, cmd, cmd_type, raw))

    def send_many(
        self,
        cmd: int,
        cmd_type: int,
        dst_unit_id: int,
        dst_client_id: int,
        dst_client_type: int,
        datas: Iterable[Data],
    ) -> int:
        """Queue many packets for one destination, in their order; arguments as `send_data`.

        Returns:
            How many were queued: all of them.

        Raises:
            SmartBusError: As `send_data`. Its ``sent`` tells how many were queued: exactly the
                first so many of `datas`.
            TypeError: `datas` is itself text or bytes, or one of them is neither.
        """
        if isinstance(datas, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"datas must be many, not one {type(datas).__name__}")
        to = cmd, cmd_type, dst_unit_id, dst_client_id, dst_client_type
        batch = [data if type(data) is bytes else self._bytes_of(data) for data in datas]
        sent = 0
        try:
            for raw in batch:
                self.send_data(*to, raw)
                sent += 1
        except SmartBusError as error:
            error.sent = sent
            raise
        return sent

    def ping(
        self, dst_unit_id: int, dst_client_id: int, dst_client_type: int, data: Data = None
    ) -> None:
        """Queue a ping; a ping ack with the same data comes back as a packet (cmd 8).

        Raises:
            SmartBusError: As `check_send`.
        """
        self.send_data(Cmd.PING, CmdType.SYSTEM, dst_unit_id, dst_client_id, dst_client_type, data)

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
        """Queue a text for a flow that waits for it, or will (NET.md 8).

        Args:
            server_unit_id: Unit of the IPSC's server, 0..15.
            process_index: The IPSC process.
            project_id: The flow's project; may be empty.
            title: What the flow waits for, cut to 101 bytes; `str` leaves in GB18030.
            mode: 0.
            expires: Seconds that the text is kept for a flow that does not wait yet.
            txt: The text; `str` leaves in GB18030, that is GBK.

        Returns:
            The notify's number: 1, 2, …

        Raises:
            UnitIdError: `server_unit_id` is above 15.
            ArgumentError: `title` or `txt` is empty, or `expires` is out of range.
            TooLargeError: `txt` has more than 15999 bytes.
            SmartBusError: As `check_send`.
        """
        check_server(server_unit_id)
        text = _wire_text(txt)
        if not title or not text:
            raise ArgumentError(-1, "a notify needs a title and a text")
        if len(text) > MAX_NOTIFY_TEXT:
            raise errors.TooLargeError(-15, f"a notify takes {MAX_NOTIFY_TEXT} bytes of text")
        milliseconds = round(seconds("expires", expires) * 1000)
        number = self._notify_id % _MAX_I32 + 1
        names = encode_text(project_id), _wire_text(title)
        body = Notify(*names, text, number, milliseconds, mode).encode()
        self.send_data(Cmd.NOTIFY, CmdType.SYSTEM, server_unit_id, process_index, IPSC, body)
        self._notify_id = number
        return number

    def notify_many(
        self, notifies: Iterable[tuple[int, int, str | bytes, str | bytes]], expires: float
    ) -> list[int]:
        """Queue many notifies, with empty project and mode 0.

        Args:
            notifies: For each one server unit, process index, title and text, as `notify`.
            expires: Seconds, as `notify`.

        Returns:
            For each one its number, or the negative code of its error, which costs only that
            one.
        """
        return [self._notify_code(*notify, expires) for notify in notifies]

    def _notify_code(
        self, unit: int, process: int, title: str | bytes, text: str | bytes, expires: float
    ) -> int:
        try:
            return self.notify(unit, process, "", title, 0, expires, text)
        except SmartBusError as error:
            return error.code

    async def drain(self) -> None:
        """Wait until at most half of the send queue is used; also ends when the client closes."""
        await self._connection.outbox.drain()

    def _bytes_of(self, data: Data) -> bytes:
        if data is None:
            return b""
        if isinstance(data, str):
            return data.encode(self.encoding)
        return raw("data", data)


def _wire_text(text: str | bytes) -> bytes:
    return text if isinstance(text, (bytes, bytearray)) else encode_text(text)


def check_server(unit_id: int) -> None:
    """Raise `UnitIdError` if `unit_id` is above those of servers."""
    if whole("server_unit_id", unit_id) > MAX_SERVER:
        raise errors.UnitIdError(-12, f"unit {unit_id} is no server's, those are 0..{MAX_SERVER}")
