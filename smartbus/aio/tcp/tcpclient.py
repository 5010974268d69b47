"""The client that M2 software uses: messages out, a callback for each one that comes in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from smartbus.arguments import seconds_or_none

from .client import Client
from .messages import MsgType, index_generator, message_of
from .rate import MessageRate
from .readloop import ReadLoop

if TYPE_CHECKING:
    from .stream import Stream

__all__ = ["TcpClient"]


class TcpClient(Client):
    """A `Client` that gives every message it gets to a callback.

    Messages are lines of JSON. They are processed one after the other, in order, so a slow
    callback slows the peer down.

    The read methods can be used meanwhile: what they wait for does not go to the callback, and
    one that is called within the callback gets what comes after that message. An answer that
    comes before it is asked for goes to the callback; who wants to read alone passes
    ``read_loop=False``.

    Attributes:
        last_sequence_id: Of the last command; -1 before.
        sequence_generator: Gives the ids of commands.
    """

    def __init__(
        self,
        host: str,
        port: int,
        callback_process_message: Callable[..., Awaitable[object]],
        *args: Any,
        log: logging.Logger | None = None,
        sequence_generator: Iterator[int] | None = None,
        name: str = "tcp-client",
        check_message_rate: bool = False,
        read_loop: bool = True,
        **kwargs: Any,
    ) -> None:
        """Begin to connect; needs a running loop.

        Args:
            host: Address or name.
            port: TCP port.
            callback_process_message: ``async def callback(*args, message=…)``. What it raises
                goes to the log.
            *args: Its first arguments.
            log: Parent of `log`; None: the logger "TcpClient".
            sequence_generator: Gives the ids of commands; None: 1, 2, ….
            name: For log messages.
            check_message_rate: Write the rate of messages into the log, at level DEBUG.
            read_loop: Give messages to the callback.
            **kwargs: Everything else that `Client` takes.

        Raises:
            TypeError: A connect callback is no coroutine function.
            ValueError: Unknown encoding; a terminator that is empty or no bytes; bad limit.
        """
        self._callback = (
            partial(callback_process_message, *args) if args else callback_process_message
        )
        self._wants_loop = read_loop
        self._loop_of_lines: ReadLoop | None = None
        self.sequence_generator = sequence_generator or index_generator()
        self.last_sequence_id = -1
        log = logging.getLogger("TcpClient") if log is None else log.getChild("TcpClient")
        self._rate: MessageRate | None = None
        super().__init__(host, port, log, name=name, **kwargs)
        if check_message_rate:
            self._rate = MessageRate(self.log)

    async def connect(self, timeout: float | None = 10.0) -> None:
        """Wait until connected; at once if it is, or was.

        Args:
            timeout: Seconds; None: as long as the system tries.

        Raises:
            asyncio.TimeoutError: It took too long. The attempt is over.
            ConnectionAbortedError: It was closed meanwhile.
            OSError: It failed, with `ConnectionRefusedError` for example.
            ArgumentError: The time is out of range.
        """
        seconds_or_none("timeout", timeout)
        try:
            await asyncio.wait_for(asyncio.shield(self.start_task), timeout)
        except asyncio.TimeoutError:
            self.log.warning("Cannot connect to %s:%s: no answer", self.host, self.port)
            raise
        finally:
            self.start_task.cancel()

    # --- messages in ----------------------------------------------------------------------

    def _connected(self, stream: Stream) -> None:
        super()._connected(stream)
        if self._wants_loop:
            self._spawn(self._read, stream)

    async def _read(self, stream: Stream) -> None:
        loop = self._loop_of_lines = ReadLoop(
            stream.inbound, self.encoding, self.terminator, self._callback, self._rate, self.log
        )
        try:
            await loop.run()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.log.info("The connection has ended: %s", error)
            await self._connection_ended()
        except asyncio.CancelledError:
            self._abandon(stream)
            raise

    # --- messages out ---------------------------------------------------------------------

    async def write_message(
        self,
        msg_type: MsgType,
        msg_name: str,
        msg_details: dict[str, Any] | None = None,
        comp_name: str | None = None,
    ) -> None:
        """Write a command, an event or telemetry; as `write`.

        Args:
            msg_type: Which of them.
            msg_name: Its name, without prefix.
            msg_details: What it says besides; it is not changed.
            comp_name: Component that an event or telemetry comes from.

        Raises:
            RuntimeError: Not connected.
            ValueError: "id" is in the details, or the type is not supported.
            TypeError: The details cannot be said in JSON. No sequence id is used up.
        """
        if not self.connected:
            raise RuntimeError("there is no connection")
        message = message_of(msg_type, msg_name, msg_details, comp_name)
        if msg_type == MsgType.Command:
            self._dumps(message)  # ids must have no gap: what cannot be sent gets none
            message["sequence_id"] = self.last_sequence_id = next(self.sequence_generator)
        await self.write_json(message)

    # --- closing --------------------------------------------------------------------------

    async def basic_close(self) -> None:
        """Close the connection and set `done_task`, but leave `should_be_connected` alone."""
        if self._loop_of_lines is not None:
            self._loop_of_lines.stopped = True
        if self._rate is not None:
            self._rate.stop()
        await super().basic_close()
