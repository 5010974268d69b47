"""What the back ends over the core's own interface ``sb_net_*`` have in common.

There is no I/O thread. Whoever waits for events (`CoreBase.step`) does the socket work, and
the core's keeper thread only keeps links alive while nobody waits.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from ctypes import byref, c_char, c_int, c_void_p
from functools import partial
from typing import Final

from smartbus.errors import OutOfMemoryError

from .backend import BatchSender, Notify, Sender, send_each
from .core_api import NOTIFY_ITEM, Core
from .events import Item
from .inbox import Inbox

# Where the result stands in a notify item, and how many 32-bit words an item has.
_RESULT_WORD: Final = 3
_ITEM_WORDS: Final = 4

NOT_INITIALIZED: Final = -14

#: Bytes up to which a batch is joined into one piece.
_BIG_BATCH: Final = 4 << 20


class _Net(c_void_p):
    """An ``sb_net``, freed when nothing refers to it any more.

    A call in another thread refers to it by its arguments, so it can never work on freed
    memory, whenever the net is closed.
    """

    core: Core

    def __del__(self) -> None:
        if self.value:
            self.core.net_free(self)


class CoreBase:
    """An ``sb_net``: all of a `Backend` but its beginning."""

    kind = "core"

    def __init__(self, core: Core) -> None:
        """Prepare; nothing is opened before `init`."""
        self.path = core.path
        self._core = core
        self._net: _Net | None = None
        self._inbox: Inbox | None = None

    def _open(self, unit: int, params: bytes, flags: int) -> None:
        """Make the ``sb_net``.

        Raises:
            OutOfMemoryError: No memory or no descriptor left.
        """
        handle = self._core.net_new(unit, params, flags)
        if not handle:
            raise OutOfMemoryError(-19, "no memory or no file descriptor left for the client")
        self._net = _Net(handle)
        self._net.core = self._core
        self._inbox = Inbox(
            self._core, c_void_p(self._core.net_inbox(self._net)), keep_alive=self._net
        )

    def sender(self, client: int) -> Sender:
        """See `Backend`."""
        if self._net is None:
            return _closed
        return partial(self._core.net_send, self._net, client)

    def batch_sender(self, client: int) -> BatchSender:
        """See `Backend`."""
        if self._net is None:
            return _batch_closed
        send_singly = send_each(self.sender(client))
        call = partial(self._core.net_send_many, self._net, client)

        def send_many(
            cmd: int, cmd_type: int, unit: int, dst: int, dst_type: int, batch: Sequence[bytes]
        ) -> tuple[int, int]:
            sizes = array("I", map(len, batch))
            if sum(sizes) > _BIG_BATCH:  # joining would cost more than calling
                return send_singly(cmd, cmd_type, unit, dst, dst_type, batch)
            blob = b"".join(batch)
            sent = c_int()
            where, count = sizes.buffer_info()
            code = call(
                cmd, cmd_type, unit, dst, dst_type, where, count, blob, len(blob), byref(sent)
            )
            return sent.value, code

        return send_many

    def ping(self, client: int, unit: int, dst: int, dst_type: int, data: bytes) -> int:
        """See `Backend`."""
        if self._net is None:
            return NOT_INITIALIZED
        return int(self._core.net_ping(self._net, client, unit, dst, dst_type, data, len(data)))

    def call_flow(
        self,
        client: int,
        unit: int,
        process: int,
        project: bytes,
        flow: bytes,
        mode: int,
        timeout_ms: int,
        params: bytes,
    ) -> int:
        """See `Backend`."""
        if self._net is None:
            return NOT_INITIALIZED
        return int(
            self._core.net_call_flow(
                self._net, client, unit, process, project, flow, mode, timeout_ms, params
            )
        )

    def notify(
        self,
        client: int,
        unit: int,
        process: int,
        project: bytes,
        title: bytes,
        mode: int,
        expires_ms: int,
        text: bytes,
    ) -> int:
        """See `Backend`."""
        if self._net is None:
            return NOT_INITIALIZED
        return int(
            self._core.net_notify(
                self._net, client, unit, process, project, title, mode, expires_ms, text
            )
        )

    def notify_many(
        self, client: int, notifies: Sequence[Notify], expires_ms: int
    ) -> Sequence[int]:
        """See `Backend`."""
        if self._net is None or not notifies:
            return [NOT_INITIALIZED] * len(notifies)
        pack = NOTIFY_ITEM.pack
        items = bytearray(
            b"".join(
                [
                    pack(unit & 0xFF, process & 0xFF, len(title), expires_ms, len(text), 0)
                    for unit, process, title, text in notifies
                ]
            )
        )
        blob = b"".join([part for _, _, title, text in notifies for part in (title, text)])
        first = c_char.from_buffer(items)
        self._core.net_notify_many(self._net, client, byref(first), len(notifies), blob, len(blob))
        return array("i", bytes(items))[_RESULT_WORD::_ITEM_WORDS]

    def fileno(self) -> int:
        """See `Backend`."""
        return -1 if self._net is None else int(self._core.net_fileno(self._net))

    def step(self, timeout: float | None) -> int:
        """See `Backend`."""
        if self._net is None:
            return NOT_INITIALIZED
        return int(self._core.net_step(self._net, -1 if timeout is None else int(timeout * 1000)))

    def drain(self) -> list[Item]:
        """See `Backend`."""
        return self._inbox.drain() if self._inbox else []

    def wake(self) -> None:
        """See `Backend`."""
        if self._net is not None:
            self._core.net_wake(self._net)

    def cork(self, on: bool) -> None:
        """See `Backend`."""
        if self._net is not None:
            self._core.net_cork(self._net, on)

    def flush(self) -> None:
        """See `Backend`."""
        if self._net is not None:
            self._core.net_flush(self._net)

    def queued(self) -> int:
        """See `Backend`."""
        return 0 if self._net is None else int(self._core.net_queued(self._net))

    def trace(self, level: int) -> None:
        """See `Backend`."""
        if self._net is not None:
            self._core.net_trace(self._net, level)

    def abandon(self) -> None:
        """See `Backend`."""
        if self._net is not None:
            self._core.net_abandon(self._net)
            self._net.value = None  # never freed here: see the header
        self._net = self._inbox = None

    def close(self) -> None:
        """See `Backend`; connections close when the last call that uses them has ended."""
        self._net = self._inbox = None


def _closed(*_: object) -> int:
    return NOT_INITIALIZED


def _batch_closed(*_: object) -> tuple[int, int]:
    return 0, NOT_INITIALIZED
