"""Sending without an event loop: plain sockets, safe in every thread."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from typing import TYPE_CHECKING

from smartbus.spin import BlockingSpinner

from .batch import PROBE, exchange, one_by_one
from .dialing import connect_blocking
from .errors import ConnectionClosed, ReadTimeout, ResponseError
from .link import SPIN
from .pool import ACQUIRE_TIMEOUT, hello, pool_exhausted, refused
from .replies import ReplyReader

if TYPE_CHECKING:
    import socket
    import uuid
    from collections.abc import Callable, Iterable, Iterator

    from .address import Address

__all__ = ["BlockingPool"]


class _Line:
    """One connection."""

    def __init__(self, address: Address, connection_id: uuid.UUID | None, timeout: float | None):
        self.usable = True
        """It can take another request when this one is answered."""
        self._timeout = timeout
        self._sock = connect_blocking(address, timeout)
        self._replies = ReplyReader()
        self._came: list[ResponseError | None] = []
        self._something = _watch(self._sock)
        self._spinner = BlockingSpinner(SPIN)
        if connection_id is None:
            return
        try:
            self.request(hello(connection_id))
        except ResponseError as exc:
            self.close()
            raise refused(exc) from None
        except BaseException:
            self.close()
            raise

    @property
    def fresh(self) -> bool:
        """Whether it can take a request: the server has not closed it, nor said anything."""
        return not self._something()

    def request(self, data: bytes) -> None:
        """Write a frame and read the answer."""
        self.write(data)
        failure = self.answer()
        if failure is not None:
            raise failure

    def write(self, data: bytes) -> None:
        """Write a frame."""
        try:
            self._sock.sendall(data)
        except TimeoutError:
            raise self._late() from None
        except OSError as exc:
            raise ConnectionClosed(f"The server closed the connection ({exc}).") from None

    def answer(self) -> ResponseError | None:
        """Read the next answer: None is OK."""
        self._spinner.wait(self._something)
        while not self._came:
            try:
                data = self._sock.recv(4096)
            except TimeoutError:
                raise self._late() from None
            except OSError as exc:
                raise ConnectionClosed(f"The server closed the connection ({exc}).") from None
            if not data:
                raise ConnectionClosed("The server closed the connection (end of stream).")
            self._spinner.answered()
            self._came = self._replies.feed(data)
        failure = self._came.pop(0)
        if failure is not None and not self._replies.framed:
            self.usable = False  # nothing says where an error's text ends
        return failure

    def probe(self) -> bool:
        """Ask whether the server knows batches; if it does not, the connection is used up."""
        if not self._replies.framed:
            with contextlib.suppress(ResponseError):
                self.request(PROBE)
                self._replies.framed = True
        return self._replies.framed

    def deliver(self, frames: Iterable[bytes]) -> None:
        """Send frames in batches; errors as `exchange`."""
        steps = exchange(frames)
        with contextlib.suppress(StopIteration):
            step = next(steps)
            while True:
                if step is None:
                    step = steps.send(self.answer())
                else:
                    self.write(step)
                    step = next(steps)

    def _late(self) -> ReadTimeout:
        return ReadTimeout(f"Server failed to respond after {self._timeout} seconds.")

    def close(self) -> None:
        """Close it."""
        self._sock.close()


def _watch(sock: socket.socket) -> Callable[[], object]:
    """Return what tells whether there is something to read (or the end)."""
    if not hasattr(select, "poll"):  # Windows
        return lambda: select.select([sock], [], [], 0)[0]
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return lambda: poll.poll(0)


class BlockingPool:
    """At most `size` connections; a thread that finds none free waits.

    Args:
        address: The server's.
        connection_id: What each connection introduces itself with, if anything.
        size: Most connections.
        timeout: Seconds that each answer, and connecting, may take; None for ever.
    """

    def __init__(
        self, address: Address, connection_id: uuid.UUID | None, size: int, timeout: float | None
    ) -> None:
        self._address = address
        self._id = connection_id
        self._size = size
        self._timeout = timeout
        self._singly = False
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._free: list[_Line] = []
        self._count = 0
        self._generation = 0

    def send(self, data: bytes) -> None:
        """Deliver a frame.

        Raises:
            ResponseError: The server answered with an error.
            ReadTimeout: It did not answer in time.
            ConnectionClosed: It closed the connection, or refused the id.
            ConnectionAquireTimeout: No connection became free in time.
            OSError: Connecting failed.
        """
        with self._line() as line:
            line.request(data)

    def send_many(self, frames: Iterable[bytes]) -> None:
        """Deliver frames in batches, or one by one where the server knows no batches.

        Raises:
            ResponseError: The server answered with errors; `ResponseError.failures` has all.
            Exception: As `send`, and what `frames` raises.
        """
        if not self._singly:
            with self._line() as line:
                if line.probe():
                    line.deliver(frames)
                    return
                self._singly = True
        steps = one_by_one(frames)
        with contextlib.suppress(StopIteration):
            data = next(steps)
            while True:
                data = steps.send(self._failure(data))

    def _failure(self, data: bytes) -> ResponseError | None:
        """Deliver a frame and return the server's error, if it answers with one."""
        try:
            self.send(data)
        except ResponseError as exc:
            return exc
        return None

    @contextlib.contextmanager
    def _line(self) -> Iterator[_Line]:
        if self._pid != os.getpid():  # a forked child: these are the parent's
            for line in self._free:
                line.close()
            self._reset()
        line = self._acquire()
        generation = self._generation
        try:
            yield line
        except ResponseError:
            raise
        except BaseException:
            line.usable = False  # an answer may still come
            raise
        finally:
            with self._changed:
                if line.usable and generation == self._generation:
                    self._free.append(line)
                else:
                    line.close()
                    if generation == self._generation:
                        self._count -= 1
                self._changed.notify()

    def _acquire(self) -> _Line:
        deadline = time.monotonic() + ACQUIRE_TIMEOUT
        with self._changed:
            while True:
                while self._free:
                    line = self._free.pop()
                    if line.fresh:
                        return line
                    line.close()
                    self._count -= 1
                if self._count < self._size:
                    self._count += 1
                    break
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise pool_exhausted(self._size)
        try:
            return _Line(self._address, self._id, self._timeout)
        except BaseException:
            with self._changed:
                self._count -= 1
                self._changed.notify()
            raise

    def close(self) -> None:
        """Close all connections that nobody uses; the others when their request is done."""
        with self._changed:
            for line in self._free:
                line.close()
            self._free.clear()
            self._count = 0
            self._generation += 1
            self._changed.notify_all()
