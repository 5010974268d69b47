"""A server that reads in a loop."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from smartbus.arguments import seconds

from .client import HEARTBEAT
from .server import OneClientServer

if TYPE_CHECKING:
    import logging

    from .endpoint import ConnectCallback
    from .stream import Stream

__all__ = ["OneClientReadLoopServer"]


class OneClientReadLoopServer(OneClientServer):
    """A `OneClientServer` that calls `read_and_dispatch` again and again while there is a client.

    Attributes:
        read_loop_task: The loop for the last client.
        heartbeat_timeout: Seconds without a heartbeat after which the client is disconnected.
    """

    def __init__(
        self,
        *,
        port: int | None,
        host: str | None = "127.0.0.1",
        log: logging.Logger,
        connect_callback: ConnectCallback | None = None,
        name: str = "",
        encoding: str = "utf-8",
        terminator: bytes = b"\r\n",
        run_heartbeat_monitor_task: bool = False,
        heartbeat_timeout: float = 10.0,
        **kwargs: Any,
    ) -> None:
        """Begin to listen; needs a running loop.

        Args:
            port: TCP port; 0 picks a free one.
            host: Address; None for all that the machine has.
            log: Parent of `log`.
            connect_callback: ``async def callback(server)``, called when `connected` has changed.
            name: For log messages.
            encoding: Of lines and JSON.
            terminator: Ends each line.
            run_heartbeat_monitor_task: Expect "heartbeat" lines, and disconnect a client that
                sends none. Without it, a client that sends one is disconnected.
            heartbeat_timeout: Seconds to wait for each.
            **kwargs: Everything else that `OneClientServer` takes.

        Raises:
            TypeError: The callback is no coroutine function.
            ValueError: Unknown encoding; a terminator that is empty or no bytes; bad limit.
        """
        self._expects_heartbeats = run_heartbeat_monitor_task
        self._heartbeat_due = 0.0
        self.heartbeat_timeout = seconds("heartbeat_timeout", heartbeat_timeout)
        super().__init__(
            host,
            port,
            log,
            connect_callback,
            name=name,
            encoding=encoding,
            terminator=terminator,
            **kwargs,
        )
        self.read_loop_task: asyncio.Future[None] = self._loop.create_future()
        self.read_loop_task.set_result(None)

    @abstractmethod
    async def read_and_dispatch(self) -> None:
        """Read one thing and do what it asks for.

        An exception disconnects the client and goes to the log.
        """

    async def read_loop(self) -> None:
        """Call `read_and_dispatch` until the client has gone or it fails."""
        stream = self._stream
        try:
            while stream is not None and stream is self._stream and stream.readable:
                await self.read_and_dispatch()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.log.info("the client has gone: %s", error)
        except asyncio.CancelledError:
            if stream is not None:
                self._abandon(stream)
            raise
        except Exception:
            self.log.exception("read loop failed; disconnecting the client")
        if stream is self._stream:
            await self.close_client()

    def _connected(self, stream: Stream) -> None:
        super()._connected(stream)
        self.read_loop_task = self._spawn(self.read_loop)
        if self._expects_heartbeats:
            self.handle_heartbeat()
            self._spawn(self._monitor_heartbeats, stream)

    async def _disconnected(self, stream: Stream) -> None:
        await super()._disconnected(stream)
        # It may still be busy with what came last. The next client waits for it, but not long.
        await asyncio.wait({self.read_loop_task}, timeout=self._settings.close_timeout)
        self.read_loop_task.cancel()

    # --- heartbeats -----------------------------------------------------------------------

    def handle_heartbeat(self) -> None:
        """A heartbeat came.

        Raises:
            RuntimeError: None was expected.
        """
        if not self._expects_heartbeats:
            raise RuntimeError("heartbeat received, but none was expected")
        self._heartbeat_due = self._loop.time() + self.heartbeat_timeout

    async def _monitor_heartbeats(self, stream: Stream) -> None:
        """Disconnect a client that is silent."""
        while stream.connected:
            left = self._heartbeat_due - self._loop.time()
            if left <= 0:
                self.log.error("no heartbeat for %g s; disconnecting", self.heartbeat_timeout)
                await self.close_client()
                return
            await asyncio.wait({stream.gone}, timeout=left)

    async def _read_line(self) -> bytes | bytearray:
        while (line := await super()._read_line()) == HEARTBEAT:
            self.handle_heartbeat()
        return line
