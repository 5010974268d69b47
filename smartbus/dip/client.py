"""`Client`: sends messages to a `Server`, in an event loop or without one."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .address import Address, SockName
from .blocking import BlockingPool
from .delivery import deliver
from .pool import Pool
from .protocol import Protocol, message_type
from .sending import DELIVERED, Sending, Sent

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["DEFAULT_ID", "DEFAULT_TIMEOUT", "Client"]

DEFAULT_ID: Final = uuid.UUID("00000000-0000-0000-0000-00000dee9f03")
"""How clients introduce themselves that were given no id."""
DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that an answer may take."""

_logger = logging.getLogger("smartbus.dip")


class _Connections:
    """What a client has open; it outlives the client, so as to be closed when that is garbage."""

    def __init__(self, blocking: BlockingPool) -> None:
        self.blocking = blocking
        self.pool: Pool | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Close everything; what is on its way fails."""
        pool, self.pool = self.pool, None
        if pool is not None:
            pool.leave(self)
        self.blocking.close()


class Client:
    """Sends messages to a server; each is acknowledged after the server's callback has run.

        client = Client("/tmp/run.sock")
        client.send_json({"hello": "world"})          # without a loop: returns when acknowledged
        await client.send_json({"hello": "world"})    # in a loop

    In a running event loop the methods ``send_*`` return at once; the message goes whether the
    result is awaited or not, and awaiting it gives the acknowledgement or the error. Without one
    they return when the message is acknowledged, in any thread, or raise.

    Connections are made as needed, one request at a time each, and kept. A connection is closed
    after an error or a cancelled request, so that a late answer is never taken for another one.
    Nothing is sent twice.

    A client belongs to one event loop at a time; when that is closed it takes to the next one.
    A forked child process may use the clients that it has inherited: it makes connections of its
    own.

    Args:
        sockname: See `smartbus.dip.address.Address.parse`: a path, a port, ``(host, port)``,
            ``"host:port"``, a URL.
        id: The UUID that the server's callback gets, or its text; None: callbacks get None.
        loop: Bind to this loop; another running loop is refused then.
        use_shared_pool: Share connections with the other clients of the same server, id,
            `pool_size` and timeout in the same loop.
        pool_size: Most connections (in the loop, and as many for threads without one).
        timeout: Seconds that each answer, and connecting, may take; None for ever.
        conn_options: Accepted for the sake of old programs; they mean nothing.

    Raises:
        TypeError: No address; `conn_options` has ``connection_id``.
        ValueError: `id` is no UUID; a wrong port; `pool_size` below 1.
    """

    shared_pool: ClassVar[weakref.WeakValueDictionary[tuple[Any, ...], Pool]] = (
        weakref.WeakValueDictionary()
    )
    """The pools that clients share, by all that they must agree in."""

    def __init__(
        self,
        sockname: SockName,
        id: uuid.UUID | str | None = DEFAULT_ID,  # noqa: A002 - the name is deepfos-ipc's
        loop: asyncio.AbstractEventLoop | None = None,
        use_shared_pool: bool = True,
        pool_size: int = 16,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        **conn_options: Any,
    ) -> None:
        if "connection_id" in conn_options:
            raise TypeError("connection_id is given by id")
        if conn_options:
            _logger.debug("Options that mean nothing: %s", ", ".join(conn_options))
        if pool_size < 1:
            raise ValueError(f"pool_size must be at least 1, not {pool_size}")
        self.sockname = sockname
        self.id = uuid.UUID(id) if isinstance(id, str) else id
        self._address = Address.parse(sockname)
        self._loop = loop
        self._shared = use_shared_pool
        self._size = pool_size
        self._timeout = timeout
        self._connections = _Connections(BlockingPool(self._address, self.id, pool_size, timeout))
        # Also at the end of the program, where nobody may have called quit().
        weakref.finalize(self, self._connections.close)

    # ---- sending ---------------------------------------------------------------------------

    def send_json(self, data: Any) -> Sent:
        """Send what JSON can express; see `send_msg`."""
        return self.send_msg("J", data)

    def send_obj(self, data: Any) -> Sent:
        """Send what can be pickled, to a server that allows pickles; see `send_msg`."""
        return self.send_msg("P", data)

    def send_msg(self, mtype: str | bytes | type[Protocol], data: Any) -> Sent:
        """Send a message.

        Args:
            mtype: The message type: one character or one byte, or the protocol that has it.
            data: What the protocol of that type takes.

        Returns:
            In a running loop: await it for the acknowledgement or the error. Else something
            awaitable that is done already.

        Raises:
            UnsupportedProtoError: No protocol has that message type. Nothing was sent.
            ProtoEncodeError: Or another error of the protocol: `data` does not suit it.
                Nothing was sent.
            ResponseError: The server's callback failed, or the server refused the message.
            ReadTimeout: No answer in time. Whether the server got the message is unknown.
            ConnectionClosed: The same when the connection ended, or the client was closed.
            ConnectionAquireTimeout: All connections were busy for 10 s. Nothing was sent.
            OSError: No connection: `FileNotFoundError`, `ConnectionRefusedError`, … Nothing was
                sent.
            RuntimeError: The client belongs to another event loop, which is not closed.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._connections.blocking.send(_frame(mtype, data))
            return DELIVERED
        try:
            frame = _frame(mtype, data)
            pool = self._pool(loop)
        except Exception as exc:  # noqa: BLE001 - whoever awaits gets it
            return Sending.failed(loop, exc)
        sending = Sending(loop, self)
        link = pool.take(self._connections)
        if link is not None:
            link.request(frame, sending)
        else:
            self._start(sending, self._send_later(pool, frame, sending))
        return sending

    def send_many(self, mtype: str | bytes | type[Protocol], items: Iterable[Any]) -> Sent:
        """Send many messages of one type in batches, each batch acknowledged once.

        The server handles them one after the other, in order, as if each had come alone; an item
        that fails does not stop the others. It is done when all are handled. To a server that
        knows no batches (deepfos-ipc) they go one by one.

        Args:
            mtype: As in `send_msg`.
            items: What the protocol takes; in a loop it is consumed as batches leave.

        Returns:
            As `send_msg`.

        Raises:
            ResponseError: `ResponseError.failures` has the server's text for each item that
                failed, by index; all others were handled.
            ReadTimeout: As in `send_msg`: a beginning of `items` was handled, how much is unknown.
            ConnectionClosed: The same.
            Exception: An item that cannot be encoded, or `items` itself, raised it. Those before
                were handled, no more were sent.
            OSError: As in `send_msg`, as all others that it names.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._connections.blocking.send_many(_frames(mtype, items))
            return DELIVERED
        try:
            pool = self._pool(loop)
        except Exception as exc:  # noqa: BLE001 - whoever awaits gets it
            return Sending.failed(loop, exc)
        sending = Sending(loop, self)
        self._start(sending, self._send_batches(pool, _frames(mtype, items), sending))
        return sending

    def _start(self, sending: Sending, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        tasks = self._connections.tasks  # a loop keeps its tasks only weakly
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(sending.follow)
        sending.when_abandoned(lambda _: task.cancel())

    async def _send_later(self, pool: Pool, frame: bytes, sending: Sending) -> None:
        """No connection is free: wait for one."""
        try:
            link = await pool.acquire(self._connections)
            if sending.done:
                pool.link_free(link)
            else:
                link.request(frame, sending)
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - see Sending
            sending.finish(exc)
        finally:
            del sending  # it has the exception, which has this frame: that would be a cycle

    async def _send_batches(self, pool: Pool, frames: Iterator[bytes], sending: Sending) -> None:
        try:
            await deliver(pool, self._connections, frames)
            sending.finish(None)
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - see Sending
            sending.finish(exc)
        finally:
            del sending  # as above

    # ---- connections -----------------------------------------------------------------------

    def _pool(self, loop: asyncio.AbstractEventLoop) -> Pool:
        """The pool for the running loop."""
        pool = self._connections.pool
        if pool is not None and pool.usable(loop):
            return pool
        if self._loop is not None and self._loop is not loop:
            raise RuntimeError(f"{self!r} is bound to a different event loop")
        if pool is not None:
            if pool.here and not pool.loop.is_closed():
                raise RuntimeError(f"{self!r} is in use in a different event loop")
            pool.leave(self._connections)
        key = (self._address, self.id, self._size, self._timeout, id(loop), os.getpid())
        pool = self.shared_pool.get(key) if self._shared else None
        if pool is None:
            pool = Pool(loop, self._address, self.id, self._size, self._timeout)
            if self._shared:
                self.shared_pool[key] = pool
        pool.join(self._connections)
        self._connections.pool = pool
        return pool

    def quit(self) -> None:
        """Close the connections; what is on its way fails with `ConnectionClosed`.

        Connections that are shared with other clients stay for them. It may be called twice, and
        the client used again: it connects again.
        """
        self._connections.close()

    def close(self) -> None:
        """The same as `quit`."""
        self.quit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.quit()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.quit()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sockname={self.sockname}, id={self.id})"


def _frame(mtype: str | bytes | type[Protocol], data: Any) -> bytes:
    """A message's frame."""
    return b"".join(Protocol.dispatch(message_type(mtype)).encode(data))


def _frames(mtype: str | bytes | type[Protocol], items: Iterable[Any]) -> Iterator[bytes]:
    """The frame of each message."""
    encode = Protocol.dispatch(message_type(mtype)).encode
    for data in items:
        yield b"".join(encode(data))
