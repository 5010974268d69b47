"""The connections of clients in one event loop to one server."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING, Final

from .dialing import connect
from .errors import (
    ConnectionAquireTimeout,
    ConnectionClosed,
    ResponseError,
)
from .framing import frame
from .link import Link
from .proto import SetConnectionIdProto

if TYPE_CHECKING:
    import uuid

    from .address import Address

__all__ = ["ACQUIRE_TIMEOUT", "Pool", "closed_by_us", "hello", "pool_exhausted"]

ACQUIRE_TIMEOUT: Final = 10.0
"""Seconds that a message waits for a free connection."""


def hello(connection_id: uuid.UUID) -> bytes:
    """The first frame of a connection."""
    return frame(SetConnectionIdProto.MSG_TYPE[0], SetConnectionIdProto.encode_body(connection_id))


def refused(exc: ResponseError) -> ConnectionClosed:
    """The error when the server did not take the connection's id."""
    return ConnectionClosed(f"The server refused the connection's id: {exc}")


def pool_exhausted(size: int) -> ConnectionAquireTimeout:
    """The error when no connection became free in time."""
    return ConnectionAquireTimeout(
        f"All {size} connections were busy for {ACQUIRE_TIMEOUT:g} seconds."
    )


def closed_by_us() -> ConnectionClosed:
    """The error of what is on its way when the client is closed."""
    return ConnectionClosed("The client was closed.")


class Pool:
    """At most `size` links, made as needed; whoever finds none free waits in line.

    Args:
        loop: Where its links live.
        address: The server's.
        connection_id: What each link introduces itself with, if anything.
        size: Most links.
        timeout: Seconds that each answer, and connecting, may take; None for ever.

    Attributes:
        singly: The server is known not to know batches.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: Address,
        connection_id: uuid.UUID | None,
        size: int,
        timeout: float | None,
    ) -> None:
        self.loop = loop
        self.singly = False
        self._pid = os.getpid()
        self._address = address
        self._id = connection_id
        self._size = size
        self._timeout = timeout
        self._links: set[Link] = set()
        self._free: list[Link] = []
        self._opening = 0
        self._waiting: deque[tuple[object, asyncio.Future[Link | None]]] = deque()
        self._users: set[object] = set()

    def usable(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it is one of this loop and this process."""
        return self.loop is loop and self._pid == os.getpid()

    @property
    def here(self) -> bool:
        """Whether this process has made it; a forked child has only a copy."""
        return self._pid == os.getpid()

    # ---- taking and giving back ------------------------------------------------------------

    def take(self, user: object) -> Link | None:
        """A link that is free now, if there is one and nobody waits for it."""
        while self._free:
            link = self._free.pop()
            if not link.ended:
                link.user = user
                return link
        return None

    async def acquire(self, user: object) -> Link:
        """Wait for a link.

        Raises:
            ConnectionAquireTimeout: None became free in time.
            ConnectionClosed: The server refused the id, or `user` has left.
            ReadTimeout: The server did not answer to the id.
            OSError: Connecting failed.
        """
        deadline = self.loop.time() + ACQUIRE_TIMEOUT
        while True:
            link = self.take(user)
            if link is None and len(self._links) + self._opening < self._size:
                link = await self._open(user)
            if link is None:
                link = await self._wait(user, deadline - self.loop.time())
            if user not in self._users:
                if link is not None:
                    self.link_free(link)
                raise closed_by_us()
            if link is not None and not link.ended:
                link.user = user
                return link

    async def _wait(self, user: object, seconds: float) -> Link | None:
        """Wait for a link that becomes free; None: there is room for another one."""
        future: asyncio.Future[Link | None] = self.loop.create_future()
        entry = user, future
        self._waiting.append(entry)
        try:
            await asyncio.wait((future,), timeout=max(0.0, seconds))
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._pass_on(future.result())
            raise
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
        if not future.done():
            raise pool_exhausted(self._size)
        return future.result()

    async def _open(self, user: object) -> Link:
        self._opening += 1
        try:
            sock = await connect(self._address, self._timeout)
            link = Link(self, sock, self._timeout)
            link.held = True
            try:
                if self._address.path:
                    await self.loop.create_unix_connection(lambda: link, sock=sock)
                else:
                    await self.loop.create_connection(lambda: link, sock=sock)
                self._links.add(link)
                link.user = user
                if user not in self._users:
                    raise closed_by_us()
                if self._id is not None:
                    await link.ask(hello(self._id))
            except ResponseError as exc:
                raise refused(exc) from None
            except BaseException:
                link.end(closed_by_us())
                raise
            link.held = False
            return link
        except BaseException:
            self._pass_on(None)
            raise
        finally:
            self._opening -= 1

    def _pass_on(self, link: Link | None) -> None:
        """Give a link, or the room for one, to who waits longest."""
        if link is not None and link.ended:
            link = None
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(link)
                return
        if link is not None:
            link.user = None
            self._free.append(link)

    def link_free(self, link: Link) -> None:
        """See `LinkOwner`."""
        self._pass_on(link)

    def link_lost(self, link: Link) -> None:
        """See `LinkOwner`."""
        self._links.discard(link)
        if link in self._free:
            self._free.remove(link)
        self._pass_on(None)

    # ---- users -----------------------------------------------------------------------------

    def join(self, user: object) -> None:
        """Count a client that uses the pool, or uses it again."""
        self._users.add(user)

    def leave(self, user: object) -> None:
        """End what a user has on its way; close everything when it was the last one.

        Args:
            user: Who has joined. Any thread may call this.
        """
        if self._pid != os.getpid() or self.loop.is_closed():
            for link in self._links:
                link.forget()
            self._links.clear()
            self._free.clear()
        elif _running_loop() is self.loop or not self.loop.is_running():
            self._leave(user)
        else:
            self.loop.call_soon_threadsafe(self._leave, user)

    def _leave(self, user: object) -> None:
        self._users.discard(user)
        for waiter, future in list(self._waiting):
            if waiter is user and not future.done():
                future.set_exception(closed_by_us())
        for link in list(self._links):
            if link.user is user or not self._users:
                link.end(closed_by_us())


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
