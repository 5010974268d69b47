"""A TCP client for lines, JSON and C structures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from smartbus.arguments import seconds

from .endpoint import ConnectCallback, Endpoint
from .settings import DEFAULT_LIMIT, DEFAULT_SPIN, KeepAlive, Settings
from .stream import Stream

if TYPE_CHECKING:
    import logging

__all__ = ["HEARTBEAT", "Client"]

#: A heartbeat, before its terminator; never encoded.
HEARTBEAT: Final = b"heartbeat"


class Client(Endpoint):
    """A client that connects once, as soon as it is constructed.

    Await `start_task`, or enter ``async with``, before using it. For a new connection construct a
    new client.

    Attributes:
        host: Where it connects.
        port: Likewise.
        heartbeat_send_sleep: Seconds between two heartbeats.
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
        run_heartbeat_send_task: bool = False,
        heartbeat_send_sleep: float = 1.0,
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
        """Begin to connect; needs a running loop.

        Args:
            host: Address or name; "" makes a client that is closed already.
            port: TCP port.
            log: Parent of `log`.
            connect_callback: ``async def callback(client)``, called when `connected` has changed.
            monitor_connection_interval: 0 or less: call it only when this side does something.
            name: For log messages.
            encoding: Of lines and JSON.
            terminator: Ends each line.
            run_heartbeat_send_task: Send "heartbeat" lines. They end with the first `write_from`:
                the peer could not tell them from what is in the structures.
            heartbeat_send_sleep: Seconds between two of them.
            limit: Longest line to read, in bytes.
            timeout: See `timeout`.
            write_timeout: See `write_timeout`.
            close_timeout: Seconds that `close` gives the peer to take what was written.
            allow_nan: Let `write_json` write NaN and infinities, which are no JSON.
            spin: Seconds that the event loop stays awake for an answer, where answers come that
                quickly; 0: never.
            keep_alive: TCP's keep-alive; None leaves the socket as it is.
            **kwargs: For `asyncio.loop.create_connection`: ``ssl``, ``family``, ``local_addr``, …

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
        self.port = port
        self.heartbeat_send_sleep = seconds("heartbeat_send_sleep", heartbeat_send_sleep)
        self._beats = run_heartbeat_send_task
        if host == "":
            self._closed = self._started = True
            self.start_task.set_result(None)
            self.done_task.set_result(None)
        else:
            self._begin(**kwargs)

    async def start(self, **kwargs: Any) -> None:
        """Connect; the constructor has this done in the background.

        Args:
            **kwargs: For `asyncio.loop.create_connection`.

        Raises:
            RuntimeError: Called a second time.
            OSError: The connection was not made.
        """
        self._check_first_start()
        kwargs = {"host": self.host, "port": self.port, **kwargs}
        _, stream = await self._loop.create_connection(lambda: Stream(self._settings), **kwargs)
        self._stream = stream
        self.should_be_connected = True
        try:
            self._connected(stream)
            await self.call_connect_callback()
        except BaseException:
            stream.abort()
            raise
        self._spawn(self._watch, stream)

    def _connected(self, stream: Stream) -> None:  # noqa: ARG002 - for subclasses
        """Begin what goes on while there is a connection."""
        if self._beats:
            self._spawn(self._send_heartbeats)

    async def _send_heartbeats(self) -> None:
        try:
            while self._beats:
                await self.write(HEARTBEAT + self.terminator)
                await asyncio.sleep(self.heartbeat_send_sleep)
        except (ConnectionError, asyncio.TimeoutError) as error:
            self.log.debug("no more heartbeats: %s", error)

    def _structures_begin(self) -> None:
        if self._beats:
            self._beats = False
            self.log.warning("no more heartbeats: they would be taken for a part of structures")
