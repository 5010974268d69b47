"""A TCP server for one client at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .endpoint import ConnectCallback, Endpoint
from .settings import DEFAULT_LIMIT, DEFAULT_SPIN, KeepAlive, Settings
from .stream import Stream

if TYPE_CHECKING:
    import logging

__all__ = ["OneClientServer"]


class OneClientServer(Endpoint):
    """A server that talks with one client; while it does, others are refused.

    It listens as soon as `start_task` is done. Reading and writing is that of a `Client`.

    Attributes:
        host: Where it listens.
        port: Likewise; the one that was picked where 0 was asked for, unless several sockets got
            different ones.
        connected_task: Done while a client is connected; a new one for each client, so await
            ``server.connected_task`` and not an old copy of it.
    """

    def __init__(
        self,
        host: str | None,
        port: int | None,
        log: logging.Logger,
        connect_callback: ConnectCallback | None = None,
        monitor_connection_interval: float = 0.1,
        name: str = "",
        encoding: str = "utf-8",
        terminator: bytes = b"\r\n",
        *,
        limit: int = DEFAULT_LIMIT,
        timeout: float | None = None,
        write_timeout: float | None = None,
        close_timeout: float = 5.0,
        allow_nan: bool = True,
        spin: float = DEFAULT_SPIN,
        keep_alive: KeepAlive | None = KeepAlive(),  # noqa: B008 - immutable
        **kwargs: Any,
    ) -> None:
        """Begin to listen; needs a running loop.

        Args:
            host: Address; None for all that the machine has.
            port: TCP port; 0 picks a free one.
            log: Parent of `log`.
            connect_callback: ``async def callback(server)``, called when `connected` has changed.
            monitor_connection_interval: 0 or less: call it only when this side does something.
            name: For log messages.
            encoding: Of lines and JSON.
            terminator: Ends each line.
            limit: Longest line to read, in bytes.
            timeout: See `timeout`.
            write_timeout: See `write_timeout`.
            close_timeout: Seconds that closing gives the client to take what was written.
            allow_nan: Let `write_json` write NaN and infinities, which are no JSON.
            spin: Seconds that the event loop stays awake for an answer, where answers come that
                quickly; 0: never.
            keep_alive: TCP's keep-alive; None leaves sockets as they are.
            **kwargs: For `asyncio.loop.create_server`: ``ssl``, ``family``, …

        Raises:
            TypeError: The callback is no coroutine function, or a time no number.
            ValueError: Unknown encoding; a terminator that is empty or no bytes; bad limit.
            ArgumentError: A time is out of range.
        """
        settings = Settings(
            encoding=encoding,
            terminator=terminator,
            limit=limit,
            timeout=timeout,
            write_timeout=write_timeout,
            close_timeout=close_timeout,
            allow_nan=allow_nan,
            spin=spin,
            keep_alive=keep_alive,
        )
        super().__init__(settings, log, connect_callback, monitor_connection_interval, name)
        self.host = host
        self.port = port or 0
        self.connected_task: asyncio.Future[None] = self._loop.create_future()
        self._server: asyncio.AbstractServer | None = None
        self._client: Stream | None = None  # the last that was let in
        self._client_task: asyncio.Task[None] | None = None
        self._begin(**kwargs)

    async def start(self, **kwargs: Any) -> None:
        """Listen; the constructor has this done in the background.

        Args:
            **kwargs: For `asyncio.loop.create_server`.

        Raises:
            RuntimeError: Called a second time.
            OSError: The address cannot be had.
        """
        self._check_first_start()
        server = await self._loop.create_server(
            lambda: Stream(self._settings, self._accept, self._lost), self.host, self.port, **kwargs
        )
        self._server = server
        ports = {sock.getsockname()[1] for sock in server.sockets}
        if not self.port and len(ports) == 1:
            self.port = ports.pop()

    # --- one client -----------------------------------------------------------------------

    def _accept(self, stream: Stream) -> None:
        """Let a client in, or refuse it."""
        if self._closed or (self._client is not None and self._client.connected):
            self.log.warning("refused a second client: %s", stream.get_extra_info("peername"))
            stream.abort()
            return
        self._client = stream
        self._client_task = self._spawn(self._serve, stream, self._client_task)

    async def _serve(self, stream: Stream, before: asyncio.Task[None] | None) -> None:
        """Talk with a client, when everything about the one before has been told."""
        try:
            if before is not None:
                await asyncio.wait({before}, timeout=self._settings.close_timeout)
            self._stream = stream
            self.should_be_connected = True
            if stream.connected and not self.connected_task.done():
                self.connected_task.set_result(None)
            await self.call_connect_callback()
            self._connected(stream)
            await self._watch(stream)
            await self._disconnected(stream)
        finally:
            if self._stream is not stream:
                stream.abort()

    def _connected(self, stream: Stream) -> None:
        """Begin what goes on while there is a client."""

    async def _disconnected(self, stream: Stream) -> None:
        """End it."""

    def _lost(self, stream: Stream) -> None:
        """The client has gone: who awaits the next one must not find this one."""
        if stream is self._client and self.connected_task.done():
            self.connected_task = self._loop.create_future()

    async def close_client(self) -> None:
        """Close the connection to the client, if there is one; the next may come.

        What was written is sent first, as with `close`.
        """
        self.should_be_connected = False
        await self.basic_close_client()

    async def basic_close_client(self) -> None:
        """As `close_client`, but leave `should_be_connected` alone."""
        await self._connection_ended()
        self._stream = None

    # --- closing --------------------------------------------------------------------------

    async def basic_close(self) -> None:
        """Stop listening, close the connection to the client, and set `done_task`."""
        if self._server is not None:
            self._server.close()
        await super().basic_close()
        if not self.connected_task.done():
            self.connected_task.set_exception(ConnectionAbortedError("the server was closed"))
            self.connected_task.exception()  # nobody has to take it
