"""What a client, NET or IPC, can say to the bus in one call for many."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, cast

from smartbus._c.abi import MAX_DATA, MAX_TITLE
from smartbus.arguments import seconds
from smartbus.errors import TooLargeError

from .sending import SendingMethods
from .text import milliseconds, wire_text

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from smartbus._c.backend import BatchSender

#: Packets that go to the library at once: their copies still fit into the processor's cache.
_AT_ONCE: Final = 1024
#: How often (seconds) a full queue is looked at. Emptying one takes far longer.
_LOOK: Final = 0.001

_FULL: Final = -7


class BatchMethods(SendingMethods):
    """The methods of `Client` that send many in one call. All of it may be called anywhere."""

    _send_batch: BatchSender  # the library's function; `cut_off_batch` once the client is released

    def send_many(
        self,
        cmd: int,
        cmd_type: int,
        dst_unit_id: int,
        dst_client_id: int,
        dst_client_type: int,
        datas: Iterable[str | Buffer | None],
        *,
        timeout: float = 0.0,
    ) -> int:
        """Queue many packets for one destination, in their order.

        Does what `send_data` does for each of them, several times as fast for small ones (with
        the core; the vendor's library has no such function). All arguments are checked
        before anything is sent; what is found then raises an error whose ``sent`` is 0. Later
        errors have in ``sent`` how many packets were queued: exactly the first so many of
        `datas`, so that ``datas[error.sent:]`` can be tried again.

        Args:
            cmd: As `send_data`.
            cmd_type: As `send_data`.
            dst_unit_id: As `send_data`.
            dst_client_id: As `send_data`.
            dst_client_type: As `send_data`.
            datas: What to send, bytes or text, a packet for each.
            timeout: How long to wait (seconds, altogether) while the queue is full. Must be 0
                where handlers run: nothing would empty the queue meanwhile.

        Returns:
            How many were queued: all of them.

        Raises:
            BufferFullError: The queue is full, and was so for all of `timeout`.
            NotConnectedError: Not connected, or not any more.
            TooLargeError: One of them is too large.
            SmartBusError: As `send_data`.
            TypeError: `datas` is itself text or bytes, or one of them is neither.
            RuntimeError: `timeout` is given where handlers run.
        """
        self._check_address(cmd, cmd_type, dst_unit_id, dst_client_id, dst_client_type)
        self._check_alive()
        if seconds("timeout", timeout) > 0 and self._pump.in_handler():
            raise RuntimeError("waiting for room would block what makes room: use timeout 0 here")
        batch = self._as_batch(datas)
        to = (cmd, cmd_type, dst_unit_id, dst_client_id, dst_client_type)
        deadline = time.monotonic() + timeout
        done = 0
        while done < len(batch):
            sent, code = self._send_batch(*to, batch[done : done + _AT_ONCE])
            done += sent
            if code == _FULL and time.monotonic() < deadline:
                time.sleep(_LOOK)
            elif code < 0:
                error = self._error(
                    code,
                    f"send_many(cmd {cmd}, cmd_type {cmd_type}, to unit {dst_unit_id}, client "
                    f"{dst_client_id}, type {dst_client_type}): {done} of {len(batch)} were queued",
                )
                error.sent = done
                raise error
        if not self._pump.flush_due:
            self._pump.flush_soon()
        return done

    def _as_batch(self, datas: Iterable[str | Buffer | None]) -> Sequence[bytes]:
        if isinstance(datas, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"datas must be many, not one {type(datas).__name__}")
        try:
            given = datas if isinstance(datas, (list, tuple)) else list(datas)
        except TypeError:
            raise TypeError(f"datas must be many, not one {type(datas).__name__}") from None
        batch: Sequence[bytes]
        if set(map(type, given)) <= {bytes}:
            batch = cast("Sequence[bytes]", given)
        else:
            batch = [data if type(data) is bytes else self._as_bytes(data) for data in given]
        largest = max(map(len, batch), default=0)
        if largest > MAX_DATA:
            raise TooLargeError(-15, f"{largest} bytes of data; {MAX_DATA} fit into a packet")
        return batch

    def notify_many(
        self, notifies: Iterable[tuple[int, int, str | bytes, str | bytes]], expires: float
    ) -> Sequence[int]:
        """Send many notifications, with empty project and mode 0, in one call.

        Args:
            notifies: For each one server unit, process index, title and text, as `notify`.
            expires: How long they stay valid, in seconds.

        Returns:
            For each one its id, or the negative code of its error, which costs only that one.

        Raises:
            ClientNotFoundError: The client was released.
            TypeError: One is no such tuple, or a part of it is of a wrong type.
        """
        self._check_alive()
        batch = [_checked(notify) for notify in notifies]
        codes = self._runtime.backend.notify_many(
            self._client_id, batch, milliseconds("expires", expires)
        )
        self._runtime.backend.flush()  # it is a batch already: another turn of a loop gains nothing
        return codes


def _checked(
    notify: tuple[int, int, str | bytes, str | bytes],
) -> tuple[int, int, bytes, bytes]:
    try:
        unit, process, title, text = notify
    except (TypeError, ValueError):
        what = "server unit, process index, title and text"
        raise TypeError(f"a notify of notify_many has {what}, not {notify!r}") from None
    try:
        fits = -1 <= unit <= 255 and -1 <= process <= 255
    except TypeError:
        raise TypeError(f"unit and process must be int, not {unit!r} and {process!r}") from None
    raw = title if type(title) is bytes else wire_text("title", title)
    # A title that would be cut belongs to nobody, nor does an address; without a title the
    # library refuses the notification.
    if not fits or len(raw) > MAX_TITLE:
        raw = b""
    return unit, process, raw, text if type(text) is bytes else wire_text("txt", text)


def cut_off_batch(*_: object) -> tuple[int, int]:
    """Stand for the library's function once a client is released."""
    return 0, -9
