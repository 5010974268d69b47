"""The NET back end over the vendor's interface ``SmartBusNetCli_*``.

The library behind it may be the vendor's, or the core used through the same interface.
Events do not enter Python from the SDK's thread: C functions of the core are registered
as its callbacks and fill an inbox (or, without the core, ctypes thunks fill a queue).

What a wrapper can keep away from the vendor's defects (NET-2018.md 8) is kept away here:

- data always has a NUL behind it, never is NULL, and has 149 readable bytes where the
  library reads that far (NET-2018.md 5);
- strings are never NULL where NULL crashes;
- before a flow call that waits for a return, directly after one that does not, a call
  for a client that does not exist (-9, nothing is sent) repairs the library's idea of
  the mode (NET-2018.md 4.2);
- addresses are dotted IPv4: anything else would silently mean this machine (3);
- at most 16 clients (3), and each id once: the library never forgets one;
- ``Release`` is never called: with connections it ends the process (NET.md 9.1);
- nor do the library's destructors run at exit: they race with its network thread, and
  every other process would end with a crash instead of its exit code;
- traces go nowhere rather than to stdout (NET.md 9.7).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Final

from .abi import (
    CMD_FLOW_ACK,
    CMD_FLOW_CALL,
    CMD_FLOW_RETURN,
    CMD_NOTIFY,
    CMD_TYPE_SYSTEM,
    NetAbi,
)
from .backend import Notify, Sender
from .core_api import Core
from .vendor_base import CLOSED, VendorBase, leave_before_destructors

#: Client ids in one process (NET-2018.md 3).
MAX_CLIENTS: Final = 16

#: Commands of the bus whose data the library reads behind its end, and how far (NET-2018.md 5).
_READ_FAR: Final = frozenset((CMD_FLOW_CALL, CMD_FLOW_RETURN, CMD_FLOW_ACK, CMD_NOTIFY))
_FAR: Final = 149

_NO_CLIENT, _BAD_UNIT, _TOO_MANY, _EXISTS = -9, -12, -21, -22


class VendorNet(VendorBase):
    """A `NetBackend` over the vendor's interface; the library keeps its state per process."""

    def __init__(self, path: str, core: Core | None, *, is_core: bool) -> None:
        """Load the library at `path`.

        Args:
            path: File of the library, or a name that the system's loader finds.
            core: Whose callbacks serve; None for thunks.
            is_core: The library is the core: it may be released and forgets client ids then.

        Raises:
            OSError: It cannot be loaded.
            AttributeError: It lacks a function.
        """
        self._abi = NetAbi(ctypes.CDLL(path))
        super().__init__(path, core, self._abi, is_core=is_core)
        self.forgets = False
        self._unit = -1
        self._taken: set[int] = set()
        self._flow_lock = threading.Lock()
        self._waits = True  # the last flow call's mode was one that waits for a return

    def init(self, unit: int, params: str = "") -> int:
        """See `NetBackend`; may be called again, also with another unit (NET.md 9.1)."""
        abi = self._abi
        self._check_fork()
        if self._taken and unit != self._unit:
            return _BAD_UNIT  # connections of before would go on under a wrong name
        self._listen()
        code = abi.InitEx(unit, params.encode("ascii", "replace")) if abi.InitEx else abi.Init(unit)
        # Init turns the error channel over to the information channel; this turns it back.
        abi.SetTrace(None, None)
        if code == 0:
            self._running, self._unit = True, unit
        return code

    def connect(
        self,
        client: int,
        client_type: int,
        master: tuple[bytes, int],
        slave: tuple[bytes, int] | None,
        user: bytes,
        password: bytes,
        info: bytes,
    ) -> int:
        """See `NetBackend`."""
        if not self._running:
            return CLOSED  # CreateConnect before Init crashes
        if client in self._taken:
            return _EXISTS
        if len(self._taken) >= MAX_CLIENTS:
            return _TOO_MANY
        code = self._abi.CreateConnect(
            client, client_type, *master, *(slave or (b"", 0)), user, password, info
        )
        if code == 0:
            if not self._taken and not self._is_core:
                leave_before_destructors()
            self._taken.add(client)
        return code

    def disconnect(self, client: int) -> int:
        """See `NetBackend`: the library cannot, so this only looks whether there is one."""
        return 0 if client in self._taken else _NO_CLIENT

    def sender(self, client: int) -> Sender:
        """See `NetBackend`."""
        send_data = self._abi.SendData

        def send(
            cmd: int, cmd_type: int, unit: int, dst: int, dst_type: int, data: bytes, size: int
        ) -> int:
            if cmd_type == CMD_TYPE_SYSTEM and cmd in _READ_FAR:
                data = data.ljust(_FAR, b"\0")
            return send_data(client, cmd, cmd_type, unit, dst, dst_type, data, size)

        return send

    def ping(self, client: int, unit: int, dst: int, dst_type: int, data: bytes) -> int:
        """See `NetBackend`."""
        return self._abi.SendPing(client, unit, dst, dst_type, data, len(data))

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
        """See `NetBackend`."""
        call = self._abi.RemoteInvokeFlow
        waits = mode & 0xFF in (0, 2)
        with self._flow_lock:
            if waits and not self._waits and not self._is_core:
                nobody = next(i for i in range(255, -1, -1) if i not in self._taken)
                call(nobody, 0, 0, b"", b"", 0, 0, b"")
            self._waits = waits
            return call(client, unit, process, project, flow, mode, timeout_ms, params)

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
        """See `NetBackend`."""
        return self._abi.SendNotify(client, unit, process, project, title, mode, expires_ms, text)

    def notify_many(
        self, client: int, notifies: Sequence[Notify], expires_ms: int
    ) -> Sequence[int]:
        """See `NetBackend`."""
        send = self._abi.SendNotify
        return [
            send(client, unit, process, b"", title, 0, expires_ms, text)
            for unit, process, title, text in notifies
        ]

    def _release(self) -> None:
        if self._is_core:  # the vendor's would end the process
            self._abi.Release()
            self._taken.clear()
            self._running = False
