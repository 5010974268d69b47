"""What `smartbus.net` and `smartbus.ipc` need of a client library, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .events import Item

#: One notify of a batch: server unit, process index, title, text.
Notify = tuple[int, int, bytes, bytes]
#: Queues one packet: cmd, cmd_type, destination unit, client, type, data, its size -> code.
Sender = Callable[[int, int, int, int, int, bytes, int], int]

#: Queues packets for one destination: cmd, cmd_type, destination unit, client, type, data of
#: each -> how many were queued, and 0 or the code of the first that was not.
BatchSender = Callable[[int, int, int, int, int, Sequence[bytes]], tuple[int, int]]


class Backend(Protocol):
    """A client library in use. Codes are those of NET.md 10.1; negative ones are errors.

    Texts are bytes in the encoding of the wire, without a NUL inside. Calls may come from
    any thread, except that `step` and `drain` belong to one thread at a time.
    """

    #: "core", "abi" (the core through the vendor's interface) or "vendor".
    kind: str
    #: File of the library.
    path: str

    def sender(self, client: int) -> Sender:
        """Return the function that sends packets of `client`."""
        ...

    def batch_sender(self, client: int) -> BatchSender:
        """Return the function that sends many packets of `client` at once.

        All that come at once should together have no more than a few MB.
        """
        ...

    def ping(self, client: int, unit: int, dst: int, dst_type: int, data: bytes) -> int:
        """Send a ping."""
        ...

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
        """Start a flow; returns its invoke id."""
        ...

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
        """Send a notify; returns its invoke id."""
        ...

    def notify_many(
        self, client: int, notifies: Sequence[Notify], expires_ms: int
    ) -> Sequence[int]:
        """Send many notifies with empty project and mode 0; returns an id or code for each.

        Titles have at most ``abi.MAX_TITLE`` bytes.
        """
        ...

    def fileno(self) -> int:
        """Return a descriptor that is readable when `step` has work; -1 if there is none."""
        ...

    def step(self, timeout: float | None) -> int:
        """Do what is due and wait up to `timeout` seconds for events (None: for ever).

        Returns 0 or the number of events, a negative code when the back end is closed.
        """
        ...

    def drain(self) -> list[Item]:
        """Take all events that wait."""
        ...

    def wake(self) -> None:
        """Make a waiting `step` return."""
        ...

    def cork(self, on: bool) -> None:
        """Hold this thread's packets back until `flush` or `step`, where the library can."""
        ...

    def flush(self) -> None:
        """Send what was held back."""
        ...

    def queued(self) -> int:
        """Return how many bytes were accepted and not yet given to the system."""
        ...

    def trace(self, level: int) -> None:
        """Report traces as events: 0 none, 1 errors, 2 all."""
        ...

    def abandon(self) -> None:
        """Forget the library without touching it: this is a forked child of its process."""
        ...

    def close(self) -> None:
        """Close every connection that the library can close, and free what can be freed."""
        ...


class NetBackend(Backend, Protocol):
    """A NET client library: several clients of one unit, which the caller chooses."""

    #: False: a client id stays taken in the library after `disconnect`.
    forgets: bool

    def init(self, unit: int, params: str = "") -> int:
        """Use `unit` (16..47, 0..15 with the core alone); `params` as InitEx."""
        ...

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
        """Start to connect `client`, and keep it connected; addresses are dotted IPv4."""
        ...

    def disconnect(self, client: int) -> int:
        """Close and forget `client`, without an event; see `forgets`."""
        ...


class IpcBackend(Backend, Protocol):
    """An IPC client library: one client, whose unit is its server's (IPC.md 8)."""

    #: False: the library knows no `params`.
    takes_params: bool

    def init(self, client: int, client_type: int, params: str = "") -> int:
        """Prepare for the client `client` (0..255) of that type; `params` as for NET."""
        ...

    def connect(self, user: bytes, password: bytes, info: bytes) -> int:
        """Start to connect, and keep connected; after a refusal this tries once more."""
        ...


def send_each(send: Sender) -> BatchSender:
    """Return a `BatchSender` for a library that has none."""

    def send_many(
        cmd: int, cmd_type: int, unit: int, dst: int, dst_type: int, batch: Sequence[bytes]
    ) -> tuple[int, int]:
        for sent, data in enumerate(batch):
            code = send(cmd, cmd_type, unit, dst, dst_type, data, len(data))
            if code < 0:
                return sent, code
        return len(batch), 0

    return send_many
