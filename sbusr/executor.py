"""The executor: takes JSON-RPC requests from bus clients, has them executed, sends the replies.

The way of a request: `Executor.put_many` keeps its raw head and body and hands them to the pool;
a worker process decodes and executes it and encodes the reply; the reply goes out as a *notify*
message to the unit and process that the head names as its sender. The body is decoded here only
when there is no worker's reply to send.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from smartbus.encoding import WIRE
from smartbus.errors import error_for

from .background import LoopThread
from .calls import NO_REPLY, NOTIFY_LIMIT, error_reply, request_id
from .jsonrpc import SERVER_BUSY, SHUTTING_DOWN, Error
from .loggingqueue import LoggerHandler
from .metrics import Measured, Metrics
from .pool import Pool, ResetError
from .process import Answer, Item, WorkerProcess
from .protocol import Config
from .tally import Tally

__all__ = ["Executor", "ResetError"]

_UNIT, _CLIENT = 5, 6
"""Where the sender's unit and client id are in a packet head (NET.md 1.1)."""
HEAD_SIZE = 20
"""Bytes of a packet head."""

_logger = logging.getLogger(__name__)

_Reply = tuple[int, int, bytes, bytes]
_T = TypeVar("_T")

EXIT_GRACE = 0.5
"""Seconds that idle worker processes have to end when the executor stops."""


class Executor:
    """Executes JSON-RPC requests in a pool of worker processes.

    Every request that `put` or `put_many` gets and that has an id is answered exactly once: with a
    result or with an error. A request is never executed twice.

    It lives in an asyncio event loop, without threads: the running loop when `start` is called, or
    the one given. Then all calls belong into that loop's thread. Where `start` finds no running
    loop, the executor runs one of its own in a thread, its methods may be called from any thread,
    `stop` blocks, and clients are called in that thread.

    Args:
        queue_maxsize: Requests that may be waiting or in execution; more are answered "server
            busy" at once. 0 is no limit, except `queue_maxbytes`.
        pool_processes: Worker processes; None is the number of processors.
        pool_maxtasksperchild: A worker process is replaced after so many requests; None is never.
            (Under heavy load it may do more, see `sbusr.pool.RecycleBudget`.)
        queue_maxbytes: Bytes of requests that may be waiting or in execution, likewise.
        task_timeout: Seconds that a call may take; then its worker process is replaced and its
            caller gets error -32001. None is any time. `sbusr.rpc` gives methods their own.
        max_rss_mb: A worker process that takes more memory (MiB) is replaced after the calls
            that it has; None is never. Linux only.
        loop: An event loop, which may not be running yet.
        methods: Name of the methods package.
        methods_path: Directory that it is in, where that is not on ``sys.path``.
        notify_ttl: Milliseconds that replies stay valid (``SMARTBUS_NOTIFY_TTL``).
        reply_limit: Longest reply text in bytes; a longer result becomes an error. None is no
            limit; more than the default does not fit into a notify message.
        verbose: Put tracebacks into the error replies about exceptions.
        prog_args: The command line's arguments, for `sbusr.globalvars` in the workers.
        log_sink: Gets the workers' log records; None hands them to the loggers of their names.

    Attributes:
        metrics: What became of the requests; workers report at least once a second.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(
        self,
        queue_maxsize: int = 0,
        pool_processes: int | None = None,
        pool_maxtasksperchild: int | None = None,
        *,
        queue_maxbytes: int = 256 << 20,
        task_timeout: float | None = None,
        max_rss_mb: int | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        methods: str = "methods",
        methods_path: str | os.PathLike[str] | None = None,
        notify_ttl: float = 10_000,
        reply_limit: int | None = NOTIFY_LIMIT,
        verbose: bool = False,
        prog_args: dict[str, Any] | None = None,
        log_sink: Callable[[logging.LogRecord], None] | None = None,
    ) -> None:
        if queue_maxsize < 0:
            raise ValueError(f"queue_maxsize is {queue_maxsize}; it must not be negative")
        if pool_processes is not None and pool_processes < 1:
            raise ValueError(f"pool_processes is {pool_processes}; at least 1 is needed")
        if pool_maxtasksperchild is not None and pool_maxtasksperchild < 1:
            raise ValueError(
                f"pool_maxtasksperchild is {pool_maxtasksperchild}; it must be positive, or None"
            )
        self._max_open: float = queue_maxsize or float("inf")
        self._max_bytes = queue_maxbytes
        self._processes = pool_processes or os.cpu_count() or 1
        if task_timeout is not None and not task_timeout > 0:
            raise ValueError(f"task_timeout is {task_timeout}; it must be positive, or None")
        if max_rss_mb is not None and max_rss_mb < 1:
            raise ValueError(f"max_rss_mb is {max_rss_mb}; it must be positive, or None")
        self._max_tasks = pool_maxtasksperchild
        self._task_timeout = task_timeout
        self._max_rss = None if max_rss_mb is None else max_rss_mb << 20
        self._given_loop = loop
        self._expires = notify_ttl / 1000
        self._log = log_sink or LoggerHandler().handle
        path = [] if methods_path is None else [str(Path(methods_path).resolve())]
        self._config = Config(
            name="",
            methods=methods,
            path=path + sys.path,
            reply_limit=reply_limit,
            verbose=verbose,
            give_back=self._processes > 1,
            prog_args=prog_args,
            log_levels={},
        )
        self.metrics = Metrics()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._own_thread: LoopThread | None = None
        self._pool: Pool | None = None
        self._open = 0
        self._bytes = 0
        self._refused = Tally(
            _logger, logging.WARNING, "requests answered with an error: %d, the last: %s"
        )
        self._unsent = Tally(
            _logger, logging.ERROR, "replies that could not be sent: %d, the last: %s"
        )
        self._idle = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._refusal: Error | None = None

    # ---- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the worker processes; requests are accepted from now on, and wait for them.

        Raises:
            RuntimeError: It was started before.
        """
        if self._loop is not None:
            raise RuntimeError("an executor is started only once")
        loop = self._given_loop
        if loop is None:
            with contextlib.suppress(RuntimeError):
                loop = asyncio.get_running_loop()
        if loop is not None:
            self._start(loop)
        else:
            thread = self._own_thread = LoopThread("sbusr-executor")
            thread.call(lambda: self._start(thread.loop))

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._config.log_levels = _log_levels()
        self._pool = Pool(
            loop,
            self,
            self._config,
            self._processes,
            self._max_tasks,
            task_timeout=self._task_timeout,
            max_rss=self._max_rss,
        )
        self._pool.start()

    def stop(self, timeout: float = 3.0) -> None:
        """Accept no more requests, answer those accepted, end the worker processes.

        Requests that are not done after ``timeout`` seconds are answered "shutting down", and
        workers that still execute are killed. In a loop this only begins to stop: ``await
        aclose()`` to know when it is done. With a thread of its own it returns when all is done.
        Does nothing when not running.
        """
        if self._loop is None:
            return
        if self._own_thread is None:
            self._begin_to_close(timeout)
        elif not self._loop.is_closed():
            self._own_thread.run(self.aclose(timeout))
            self._own_thread.stop()

    async def aclose(self, timeout: float = 3.0) -> None:
        """Stop, as `stop` says, and wait until it is done."""
        if self._loop is not None:
            await asyncio.shield(self._begin_to_close(timeout))

    def _begin_to_close(self, timeout: float) -> asyncio.Task[None]:
        assert self._loop is not None
        if self._closing is None:
            self._refusal = Error(code=SHUTTING_DOWN, message="The daemon is shutting down.")
            self._closing = self._loop.create_task(self._close(timeout))
        return self._closing

    async def _close(self, timeout: float) -> None:
        assert self._pool is not None
        assert self._refusal is not None
        self._idle.clear()
        if self._open:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._idle.wait(), timeout)
        self.failed(await self._pool.close(EXIT_GRACE), self._refusal)
        self._refused.close()
        self._unsent.close()

    def _running(self) -> Pool:
        if self._pool is None:
            raise RuntimeError("the executor was not started")
        return self._pool

    async def _in_loop(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Await ``coroutine`` in the executor's loop, from whatever loop this is."""
        if self._own_thread is None or self._own_thread.inside():
            return await coroutine
        future = asyncio.run_coroutine_threadsafe(coroutine, self._own_thread.loop)
        return await asyncio.wrap_future(future)

    async def wait_ready(self) -> None:
        """Wait until a worker process is ready.

        Raises:
            Error: None can be started; the message says why.
            RuntimeError: The executor was not started.
        """
        await self._in_loop(self._running().wait_ready())

    async def reset(self) -> list[int]:
        """Replace all worker processes, so that the methods package is loaded anew.

        No request is lost and none waits: each successor is ready before its predecessor, which
        finishes what it has, gets no more.

        Returns:
            Process ids of the new workers.

        Raises:
            ResetError: The methods package does not import, or the like: the old workers go on.
            RuntimeError: The executor was not started.
        """
        return await self._in_loop(self._running().reset())

    @property
    def workers(self) -> list[WorkerProcess]:
        """The worker processes, those that start or end included. To look at only."""
        return [] if self._pool is None else self._pool.workers

    @property
    def open_requests(self) -> int:
        """Requests that are waiting or in execution."""
        return self._open

    # ---- requests --------------------------------------------------------------------------

    def put(self, client: Any, pack_info: Any, txt: str | bytes | None) -> None:
        """Execute one request.

        Args:
            client: Gets the reply: ``client.notify_many``, else ``client.notify``, as in
                `smartbus.net.Client`; and ``client.no_reply``, if there is such a method, when
                a notification is done. Its attribute ``encoding``, if there is one, is tried
                first on ``txt``.
            pack_info: The packet's `smartbus.head.Head`, or its 20 raw bytes.
            txt: The request.

        Raises:
            ValueError: ``pack_info`` is no packet head.
            RuntimeError: The executor was not started.
        """
        head = bytes(pack_info)
        if len(head) != HEAD_SIZE:
            raise ValueError(f"a packet head has {HEAD_SIZE} bytes, not {len(head)}")
        if isinstance(txt, str):
            self._submit([(client, "utf-8", head, txt.encode("utf-8", "replace"))])
        else:
            self.put_many(client, [(head, txt or b"")])

    def put_many(self, client: Any, batch: Sequence[tuple[bytes, bytes]]) -> None:
        """Execute requests: the fast way for what `smartbus.net.Client.on_data_batch` gets.

        Args:
            client: As `put`.
            batch: Raw packet head and data of each request.

        Raises:
            RuntimeError: The executor was not started.
        """
        if batch:
            encoding = _codec(getattr(client, "encoding", None) or "utf-8")
            heads, bodies = zip(*batch, strict=True)
            self._submit(list(zip(repeat(client), repeat(encoding), heads, bodies)))

    def handle(self, record: tuple[Any, Any, str | bytes | None]) -> None:
        """Execute one request: ``put(*record)``."""
        self.put(*record)

    def _submit(self, items: list[Item]) -> None:
        self._running()
        if self._own_thread is None or self._own_thread.inside():
            self._accept(items)
        else:
            self._own_thread.loop.call_soon_threadsafe(self._accept, items)

    def _accept(self, items: list[Item]) -> None:
        assert self._pool is not None
        if self._refusal is not None:
            self._refuse(items, self._refusal)
            return
        size = _size(items)
        room = self._max_open - self._open
        if len(items) > room or self._bytes + size > self._max_bytes:
            items, surplus = self._cut(items, room)
            size = _size(items)
            self._refuse(surplus, _BUSY)
        if items:
            self._open += len(items)
            self._bytes += size
            self._pool.submit(items, size)

    def _cut(self, items: list[Item], room: float) -> tuple[list[Item], list[Item]]:
        """Split requests into those that there is room for, and the others."""
        size = self._bytes
        for number, (_, _, _, body) in enumerate(items):
            size += len(body)
            if number >= room or size > self._max_bytes:
                return items[:number], items[number:]
        return items, []

    def _refuse(self, items: list[Item], error: Error) -> None:
        self._open += len(items)
        self._bytes += _size(items)
        self.failed(items, error)

    # ---- replies (see pool.PoolOwner) --------------------------------------------------------

    def answered(self, answers: list[Answer]) -> None:
        """Send the replies of workers."""
        client = None
        replies: list[_Reply] = []
        for (asker, _, head, _), title, text in answers:
            if text:
                if asker is not client:
                    self._deliver(client, replies)
                    client, replies = asker, []
                replies.append((head[_UNIT], head[_CLIENT], title, text))
            elif hasattr(asker, "no_reply"):
                asker.no_reply()
        self._deliver(client, replies)
        self._done(len(answers), sum([len(item[3]) for item, _, _ in answers]))

    def failed(self, items: Sequence[Item], error: Error) -> None:
        """Send an error to everyone who waits for a reply."""
        if items:
            self.answered([_failure(item, error) for item in items])
            self._refused.add(len(items), error)
            self.metrics.refuse(error.code, len(items))

    def logged(self, record: logging.LogRecord) -> None:
        """Pass a worker's log record on."""
        self._log(record)

    def measured(self, measured: list[Measured]) -> None:
        """Add up what workers have counted."""
        self.metrics.add(measured)

    def _done(self, count: int, size: int) -> None:
        self._open -= count
        self._bytes -= size
        if self._open == 0:
            self._idle.set()

    def _deliver(self, client: Any, replies: list[_Reply]) -> None:
        if not replies:
            return
        try:
            if hasattr(client, "notify_many"):
                codes = client.notify_many(replies, self._expires)
                if codes is not None and min(codes) < 0:
                    bad = [pair for pair in zip(replies, codes, strict=True) if pair[1] < 0]
                    (unit, process, _, _), code = bad[-1]
                    why = f"to client {process} of unit {unit}: {error_for(code)}"
                    self._unsent.add(len(bad), why)
                return
            for unit, process, title, text in replies:
                client.notify(
                    unit, process, "", title.decode(WIRE), 0, self._expires, text.decode("ascii")
                )
        except Exception as exc:  # noqa: BLE001 - whatever a client does, the others go on
            self._unsent.add(len(replies), f"{type(exc).__name__}: {exc}", exc_info=True)


_BUSY = Error(code=SERVER_BUSY, message="Server busy: too many requests are waiting.")


def _failure(item: Item, error: Error) -> Answer:
    """The reply about a request that no worker answers."""
    _, encoding, _, body = item
    id_ = request_id(body, encoding)
    title, text = NO_REPLY if id_ is msgspec.UNSET else error_reply(id_, error)
    return item, title, text


def _size(items: Sequence[Item]) -> int:
    return sum([len(body) for _, _, _, body in items])


@lru_cache(maxsize=64)
def _codec(name: str) -> str:
    """The one name that Python has for a codec; UTF-8 where it has no such codec."""
    try:
        return codecs.lookup(name).name
    except LookupError:
        _logger.warning("no such encoding: %r; UTF-8 is taken", name)
        return "utf-8"


def _log_levels() -> dict[str, int]:
    """Levels of this process's loggers, to be set in the workers too."""
    root = logging.getLogger()
    loggers = {"": root, **root.manager.loggerDict}
    return {
        name: logger.level
        for name, logger in loggers.items()
        if isinstance(logger, logging.Logger) and (logger.level or not name)
    }
