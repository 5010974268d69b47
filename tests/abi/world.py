"""What a row of the tables has around it: one library in a process, servers, and time."""

from __future__ import annotations

import contextlib
import select
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from smartbus._c.abi import IPC_SOCKET_ENVIRONMENT
from smartbus.wire import Address, Registration
from tests.abi.library import DEADLINE, Library
from tests.abi.server import UNIT, Peer, Server

if TYPE_CHECKING:
    from typing_extensions import Self

#: The client under test, that of the golden frames, and its credentials.
CLIENT = Address(19, 3, 18)
USER, PASSWORD, INFO = b"alice", b"secret", b"info!"
#: The callbacks' argument.
ARG = 0x1234

#: A pause that is meant takes a second at least; "at once" is far below it, though not always on
#: a machine that is busy (seconds). So many times it is looked for.
AT_ONCE, LOSSES = 0.5, 5
#: A link that lived shorter may be given a pause (seconds).
LIFE = 1.1


class World:
    """One library and the servers that it meets.

    There is no thread: while a row waits for anything, everything here gets its turn.
    """

    def __init__(self, family: str, kind: str) -> None:
        """Start a process with the library `kind` ("core" or "vendor"); nothing is called yet."""
        self.family = family
        self.kind = kind
        #: The server and its end of the connection that `join` made.
        self.server: Server
        self.peer: Peer
        self._servers: list[Server] = []
        self._closing = contextlib.ExitStack()
        environ = {}
        if family == "ipc":
            # The name of a local socket is short by nature, so not pytest's directory.
            directory = self._closing.enter_context(tempfile.TemporaryDirectory())
            self.path = str(Path(directory, "bus"))
            environ[IPC_SOCKET_ENVIRONMENT] = self.path
        self.library = Library(self.until, family, kind, environ)

    # ---- beginnings ------------------------------------------------------------------------

    def serve(self, port: int = 0) -> Server:
        """Start a server: on loopback, or for IPC where the clients look for it."""
        address = self.path if self.family == "ipc" else ("127.0.0.1", port)
        server = Server(self.until, address)
        self._servers.append(server)
        return server

    def create(
        self,
        server: Server,
        client: int = CLIENT.client_id,
        kind: int = CLIENT.client_type,
        slave: Server | None = None,
    ) -> Any:
        """Call NET's CreateConnect with a server, perhaps a slave, and `USER` and so on."""
        other = (slave.host, slave.port) if slave else (None, 0)
        return self.library.call(
            "CreateConnect",
            client,
            kind,
            server.host,
            server.port,
            *other,
            USER,
            PASSWORD,
            INFO,
        )

    def join(self, client: int = CLIENT.client_id, kind: int = CLIENT.client_type) -> Peer:
        """Connect and register a NET client, at `server`, which is made if there is none.

        `Library.hook_all` and Init must have been called.
        """
        if not hasattr(self, "server"):
            self.server = self.serve()
        assert self.create(self.server, client, kind) == 0
        self.peer = self.server.peer()
        self.peer.accept()
        self.library.expect("connection", ..., client, UNIT, 0)
        return self.peer

    def begin(self) -> Peer:
        """Set all callbacks, initialise as `CLIENT`, connect and register."""
        self.library.hook_all(ARG)
        if self.family == "net":
            assert self.library.call("Init", CLIENT.unit_id) == 0
            return self.join()
        self.server = self.serve()
        assert self.library.call("Init", CLIENT.client_type, CLIENT.client_id) == 0
        assert self.library.call("CreateConnect", USER, PASSWORD, INFO) == 0
        self.peer = self.server.peer()
        self.peer.accept()
        self.library.expect("connection", ARG, CLIENT.client_id, UNIT, 0)
        return self.peer

    def expect_back_at_once(self, lose: Callable[[Peer], object]) -> Registration:
        """Lose the registered `peer`; the client is here again at once, and is let in.

        A busy machine holds up one return or another, a pause on purpose would hold up all: so it
        is lost until a return was quick. Returns the last registration.
        """
        pauses: list[float] = []
        while True:
            self.watch(LIFE)
            lose(self.peer)
            told = self.library.expect("disconnect", ARG, CLIENT.client_id)
            self.peer = self.server.peer()
            pauses.append(self.peer.opened - told.at)
            request = self.peer.accept()
            self.library.expect("connection", ARG, CLIENT.client_id, UNIT, 0)
            if pauses[-1] < AT_ONCE:
                return request
            assert len(pauses) < LOSSES, f"it came back after {pauses}"

    # ---- nothing ---------------------------------------------------------------------------

    def nothing_called(self, peer: Peer | None = None) -> None:
        """Nothing that `peer` sent so far called a callback: the next call is for our mark."""
        self._mark = getattr(self, "_mark", 0) + 1
        mark = b"mark %d" % self._mark
        (peer or self.peer).data(mark, Address(CLIENT.unit_id, 0, CLIENT.client_type))
        self.library.expect("data", ..., ..., ..., mark, len(mark))

    def nothing_sent(self, *client: int) -> None:
        """The library sent nothing but heartbeats so far: the next frame is our mark.

        NET needs the id of the `client`.
        """
        assert self.library.call("SendData", *client, 99, 9, 40, 1, 1, b"mark", 4) == 0
        frame = self.peer.frame()
        assert (frame.cmd, frame.cmd_type, frame.data) == (99, 9, b"mark"), frame

    # ---- time ------------------------------------------------------------------------------

    def until(self, ready: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
        """Let everything happen until `ready`; fail if it takes too long."""
        end = time.monotonic() + seconds
        while not ready():
            left = end - time.monotonic()
            assert left > 0, f"waited in vain for {what}"
            self._pump(left)

    def watch(self, seconds: float) -> None:
        """Let everything happen for a while, to see what does not."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._pump(left)

    def _pump(self, seconds: float) -> None:
        peers = [peer for server in self._servers for peer in server.peers]
        sources: dict[int, Library | Server | Peer] = {self.library.fileno(): self.library}
        sources |= {server.fileno(): server for server in self._servers}
        sources |= {peer.fileno(): peer for peer in peers}
        sources.pop(-1, None)
        poll = select.poll()
        for fd in sources:
            poll.register(fd, select.POLLIN)
        ready = [sources[fd] for fd, _ in poll.poll(min(seconds, 1) * 1000)]
        for source in ready:
            source.receive()
        if self.kind == "vendor" and ready and self.library not in ready:
            time.sleep(0.002)  # not a system call for each frame of its flood of heartbeats

    # ---- the end -----------------------------------------------------------------------------

    def settle(self) -> None:
        """Fail if something came that the row did not ask for."""
        assert not self.library.events, f"unexpected: {list(self.library.events)}"
        for server in self._servers:
            assert not server.waiting, "an unexpected connection"
            for peer in server.peers:
                assert not peer.frames, f"unexpected: {list(peer.frames)}"

    def close(self) -> None:
        """End the process and the servers."""
        try:
            code = self.library.close()
        finally:
            for server in self._servers:
                server.close()
            self._closing.close()
        assert code == 0, f"the process ended with {code}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            self.close()
        else:
            with contextlib.suppress(Exception):  # `exc` says it better
                self.close()
