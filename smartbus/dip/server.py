"""`Server`: calls functions with the messages of its clients."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .address import Address, SockName
from .listening import bind, own_file, peer_uid, remove_file
from .protocol import Protocol, message_type
from .session import Session

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Collection, Coroutine

    Callback = Callable[[uuid.UUID | None, str, Any], Any]

__all__ = ["MAX_CONNECTIONS", "MAX_MESSAGE_SIZE", "Server"]

MAX_MESSAGE_SIZE: Final = 64 * 1024 * 1024
"""Longest body that a server takes unless it is told otherwise, in bytes."""
MAX_CONNECTIONS: Final = 1024
"""Most connections of a server unless it is told otherwise."""
STOP_GRACE: Final = 1.0
"""Seconds after `Server.stop` in which answers are still written and callbacks may end."""

_logger = logging.getLogger("smartbus.dip")

F = TypeVar("F", bound="Callback")


class Server:
    """Listens, and calls a function with each message.

        def callback(connection_id, mtype, data):
            print(data["hello"])

        server = Server("/tmp/run.sock", callback=callback)
        asyncio.run(server.serve_forever())

    A callback gets the UUID that the client has given to its connection (None before that), the
    message type as one character, and the data. It runs in the event loop, so one that blocks
    holds all clients up; one that returns an awaitable (``async def``) is awaited and holds up
    only its own connection. Messages of one connection are handled in order. The client gets its
    acknowledgement when the callback is done, or the exception's text when it raised.

    A server without a callback for a message's type acknowledges it.

    Args:
        sockname: See `smartbus.dip.address.Address.parse`: a path, a port of this machine (0: a
            free one, see `address`), ``(host, port)``, ``"host:port"``, a URL.
        callback: For messages of types that have none of their own (see `on`).
        loop: Where it will run; by default in the loop in which it is started.
        max_message_size: Longer bodies (in bytes) are refused: the client gets an error, nothing
            of it is kept in memory.
        allow_pickle: Take pickles. Whoever may connect can then run code in this process.
        allowed_uids: Users who may connect to a unix socket besides the process's own and root;
            None for everybody. Linux only: elsewhere `mode` is the protection.
        mode: Permissions of the unix socket's file.
        backlog: Connections that wait to be accepted.
        max_connections: More are closed at once.
        kwargs: Are kept in the attribute of that name.

    Raises:
        TypeError: `sockname` is no address.
        ValueError: A port out of range.
    """

    def __init__(
        self,
        sockname: SockName,
        callback: Callback | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        max_message_size: int = MAX_MESSAGE_SIZE,
        allow_pickle: bool = False,
        allowed_uids: Collection[int] | None = (),
        mode: int = 0o600,
        backlog: int = 512,
        max_connections: int = MAX_CONNECTIONS,
        **kwargs: Any,
    ) -> None:
        self.sockname = sockname
        self.callback = callback
        self.kwargs = kwargs
        self.max_message_size = max_message_size
        self.allow_pickle = allow_pickle
        self.server: asyncio.Server | None = None
        self.stopping = False
        self._address = Address.parse(sockname)
        self._bound_to = loop
        self._allowed_uids = allowed_uids
        self._mode = mode
        self._backlog = backlog
        self._max_connections = max_connections
        self._callbacks: dict[int, Callback] = {}
        self._sessions: set[Session] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # while it runs
        self._pid = 0
        self._file: tuple[int, int] | None = None
        self._ended = asyncio.Event()
        self._starting = asyncio.Lock()

    # ---- callbacks -------------------------------------------------------------------------

    def on(self, mtype: str | bytes | type[Protocol]) -> Callable[[F], F]:
        """Make a function the callback for messages of one type, as a decorator.

            @server.on("J")
            async def got_json(connection_id, mtype, data): ...

        Args:
            mtype: One character, one byte, or the protocol.

        Raises:
            TypeError: It is none of these.
            ValueError: There is a callback for that type already.
        """
        number = message_type(mtype)
        if number in self._callbacks:
            raise ValueError(f"type {chr(number)!r} has a callback already")

        def register(callback: F) -> F:
            self._callbacks[number] = callback
            return callback

        return register

    def callback_for(self, mtype: int) -> Callback | None:
        """See `SessionOwner`."""
        return self._callbacks.get(mtype, self.callback)

    # ---- life ------------------------------------------------------------------------------

    @property
    def address(self) -> str | tuple[str, int]:
        """Where it listens: a path, or host and port, which is the real one while it runs."""
        if self._address.path:
            return self._address.path
        if self.server is not None and self.server.sockets:
            host, port = self.server.sockets[0].getsockname()[:2]
            return host, port
        return self._address.host, self._address.port

    @property
    def sessions(self) -> int:
        """How many connections there are."""
        return len(self._sessions)

    async def start(self) -> asyncio.Server:
        """Listen; it goes on until `stop`. Nothing happens if it runs already.

        Raises:
            OSError: It cannot listen there: `errno.EADDRINUSE` if another server does.
            RuntimeError: It is bound to a different loop.
        """
        loop = asyncio.get_running_loop()
        if self._bound_to not in (None, loop):
            raise RuntimeError(f"{self!r} is bound to a different event loop")
        if self._loop is not loop:
            self._loop = loop
            self._starting = asyncio.Lock()
        async with self._starting:
            if self.server is None:
                self.server = await self._listen(loop)
                _logger.info("Start server %r.", self)
            return self.server

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        self.stopping = False
        self._pid = os.getpid()
        self._ended = asyncio.Event()
        if not self._address.path:
            return await loop.create_server(
                self._session, self._address.host, self._address.port, backlog=self._backlog
            )
        sock = bind(self._address, self._mode)
        self._file = own_file(self._address)
        return await loop.create_unix_server(self._session, sock=sock, backlog=self._backlog)

    async def serve_forever(self) -> None:
        """Listen until `stop` is called or this is cancelled; errors as `start`.

        When it returns, all connections are closed and no callback runs.
        """
        await self.start()
        try:
            await self._ended.wait()
        finally:
            self._stop()
            await self._ended.wait()

    def stop(self) -> None:
        """Stop listening, close all connections, cancel callbacks, remove the socket's file.

        Any thread may call it. It returns at once; `serve_forever` returns when all is done.
        Nothing happens when it does not run, nor in a forked child process.
        """
        loop = self._loop
        if loop is None or loop.is_closed() or self._pid != os.getpid():
            return
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = not loop.is_running()
        if here:
            self._stop()
        else:
            loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self.server is None or self._loop is None:
            return
        self.server.close()
        self.server = None
        self.stopping = True
        remove_file(self._address, self._file)
        for session in list(self._sessions):
            session.close()
        for task in self._tasks:
            task.cancel()
        self._loop.call_later(STOP_GRACE, self._give_up, self._ended)
        self._check_ended()

    def _give_up(self, ended: asyncio.Event) -> None:
        """Time is over for peers that do not read and for callbacks that do not let go."""
        if ended.is_set() or ended is not self._ended:
            return
        for session in list(self._sessions):
            session.abort()
        if self._tasks:
            _logger.error("%d callbacks go on although they were cancelled", len(self._tasks))
            self._tasks.clear()
        self._check_ended()

    def _check_ended(self) -> None:
        if self.stopping and not self._sessions and not self._tasks and not self._ended.is_set():
            self._ended.set()
            self._loop = None
            _logger.info("Server stopped.")

    # ---- sessions --------------------------------------------------------------------------

    def _session(self) -> Session:
        return Session(self)

    def admit(self, session: Session, transport: asyncio.Transport) -> bool:
        """See `SessionOwner`."""
        uid = peer_uid(transport)
        if self.stopping:
            return False
        self._sessions.add(session)
        if len(self._sessions) > self._max_connections:
            _logger.warning("A connection is refused: there are %d", self._max_connections)
            return False
        allowed = self._allowed_uids
        if allowed is None or uid is None or uid in (0, os.geteuid()) or uid in allowed:
            return True
        _logger.warning("A connection of user %d is refused", uid)
        return False

    def session_ended(self, session: Session) -> None:
        """See `SessionOwner`."""
        self._sessions.discard(session)
        self._check_ended()

    def start_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """See `SessionOwner`."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._check_ended()

    def __repr__(self) -> str:
        what = "sockname" if self._address.path else "port"
        where = self._address.path or self._address.port
        return f"{type(self).__name__}({what}={where}, platform={sys.platform})"
