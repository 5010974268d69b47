"""What the back ends over the vendor's interfaces have in common: where their events go.

Events do not enter Python from the SDK's thread: C functions of the core are registered
as its callbacks and fill an inbox (or, without the core, ctypes thunks fill a queue).
"""

from __future__ import annotations

import ctypes
from ctypes import c_void_p
from typing import Any, Final, Protocol

from smartbus.errors import OtherError

from .abi import FLOW_ACK_CALLBACK, Abi
from .backend import BatchSender, Sender, send_each
from .core_api import Callbacks, Core
from .events import Item
from .inbox import Inbox
from .thunks import ThunkInbox

MAX_EVENTS: Final = 65536
MAX_BYTES: Final = 64 << 20

CLOSED: Final = -14


class EventSource(Protocol):
    """Where the library's callbacks put their events: `Inbox` or `ThunkInbox`."""

    @property
    def callbacks(self) -> Callbacks:
        """C functions for the library's callback slots."""
        ...

    @property
    def arg(self) -> c_void_p:
        """The argument that they need."""
        ...

    @property
    def lost(self) -> int:
        """Events that found no place and could not wait."""
        ...

    def take_traces(self) -> None:
        """Have traces land here too."""
        ...

    def fileno(self) -> int:
        """Return a descriptor that is readable while events wait."""
        ...

    def wait(self, timeout_ms: int) -> int:
        """Wait for events: 1 there are, 0 time-out, negative closed."""
        ...

    def drain(self) -> list[Item]:
        """Take all events."""
        ...

    def wake(self) -> None:
        """Make `wait` return."""
        ...

    def close(self) -> None:
        """Refuse further events and let waiting producers go."""
        ...

    def free(self) -> None:
        """Give the memory back."""
        ...


def _sink() -> Any:
    # SetTraceStr(NULL) means stdout. strlen takes a string, does nothing, and exists.
    return ctypes.cast(ctypes.CDLL(None).strlen, c_void_p)


def leave_before_destructors() -> None:
    """End the process, when it exits, before the destructors of libraries loaded so far run.

    C runs what is registered at exit in reverse order, so this goes first; Python has
    finished by then. ``on_exit`` passes the exit code to ``_exit``.
    """
    libc = ctypes.CDLL(None)
    try:
        on_exit, flush = libc.on_exit, libc.fcloseall
    except AttributeError:  # not glibc, for which the vendor's library is made
        return
    on_exit(ctypes.cast(libc["_exit"], c_void_p), None)
    on_exit(ctypes.cast(flush, c_void_p), None)


class VendorBase:
    """A library with the vendor's interface; it keeps its state per process."""

    def __init__(self, path: str, core: Core | None, abi: Abi, *, is_core: bool) -> None:
        """Prepare.

        Args:
            path: File of the library, or a name that the system's loader finds.
            core: Whose callbacks serve; None for thunks.
            abi: The library's functions.
            is_core: The library is the core.
        """
        self.path = path
        self.kind = "abi" if is_core else "vendor"
        self._is_core = is_core
        self._core = core
        self._functions = abi
        self._source: EventSource | None = None
        self._running = False
        self._used_before_fork = False

    def _check_fork(self) -> None:
        if self._used_before_fork:
            raise OtherError(
                -99,
                f"{self.path} was in use before the fork, which its threads did not survive: use "
                'the core, or start processes with multiprocessing\'s "spawn"',
            )

    def _listen(self) -> None:
        """Have the library's callbacks fill a new inbox, if there is none."""
        if self._source is not None:
            return
        self._source = (
            Inbox.new(self._core, MAX_EVENTS, MAX_BYTES)
            if self._core
            else ThunkInbox(MAX_EVENTS, MAX_BYTES)
        )
        self._source.take_traces()
        slots = self._source.callbacks
        self.trace(0)
        self._functions.SetCallBackFn(
            slots.connection,
            slots.data,
            slots.disconnect,
            slots.flow_return,
            slots.global_connect,
            self._source.arg,
        )
        self._functions.SetCallBackFnEx(FLOW_ACK_CALLBACK, slots.flow_ack)

    def sender(self, client: int) -> Sender:
        """See `Backend`."""
        raise NotImplementedError

    def batch_sender(self, client: int) -> BatchSender:
        """See `Backend`: this interface has no such thing."""
        return send_each(self.sender(client))

    def fileno(self) -> int:
        """See `Backend`."""
        return self._source.fileno() if self._source else -1

    def step(self, timeout: float | None) -> int:
        """See `Backend`; the library works in threads of its own, so this only waits."""
        if self._source is None:
            return CLOSED
        return self._source.wait(-1 if timeout is None else int(timeout * 1000))

    def drain(self) -> list[Item]:
        """See `Backend`."""
        return self._source.drain() if self._source else []

    def wake(self) -> None:
        """See `Backend`."""
        if self._source:
            self._source.take_traces()  # it wakes by a trace, and another library may have them
            self._source.wake()

    def cork(self, on: bool) -> None:
        """See `Backend`: this interface has no such thing."""

    def flush(self) -> None:
        """See `Backend`: nothing was held back."""

    def queued(self) -> int:
        """See `Backend`: the library does not say."""
        return 0

    def trace(self, level: int) -> None:
        """Report traces as events: 0 none, 1 errors, 2 all.

        Information traces show the first bytes of everything that is sent (NET-2018.md 5).
        """
        if self._source is None:
            return
        slots, sink = self._source.callbacks, _sink()
        self._functions.SetTraceStr(
            slots.trace if level > 1 else sink, slots.trace_error if level else sink
        )

    def abandon(self) -> None:
        """See `Backend`."""
        self._used_before_fork = self._used_before_fork or self._running
        self._source, self._running = None, False

    def close(self) -> None:
        """See `Backend`; what cannot be closed goes on, and what it brings is dropped."""
        if self._source is None:
            return
        # A library that goes on would still trace when Python has ended, and a thunk crashes then.
        # The other callbacks can be set only once.
        self.trace(0)
        source, self._source = self._source, None
        source.close()
        self._release()
        if self._is_core or self._core is None:
            source.free()
        # Else a C callback may be running in it even now: an empty inbox stays for good.

    def _release(self) -> None:
        """Release the library, if it can be released."""
        raise NotImplementedError
