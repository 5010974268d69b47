"""The daemon: keeps the bus clients connected, executes their requests, serves HTTP.

One event loop does everything; worker processes execute the methods.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
from argparse import Namespace
from contextlib import AsyncExitStack
from pathlib import Path
from queue import Queue

from tornado.httpserver import HTTPServer

from smartbus.errors import SmartBusError

from . import globalvars
from .busclient import RPC_COMMAND, bus_clients, connect
from .config import IpcSettings, Settings, SettingsError, load, set_up_logging
from .embedded import Embedded, LocalEmbedded
from .executor import Executor
from .flows import FlowLauncher
from .loggingqueue import LoggerHandler, QueueListener, drop_when_full
from .webhandlers import FlowHandler, make_app

__all__ = [
    "EXIT_FORCED",
    "EXIT_OK",
    "EXIT_SETTINGS",
    "EXIT_START",
    "Server",
    "StartError",
    "run",
    "stop",
]

EXIT_OK = 0
"""Stopped, as asked."""
EXIT_SETTINGS = 3
"""The settings cannot be used."""
EXIT_START = 4
"""Something cannot be started: an address is in use, the C library is missing."""
EXIT_FORCED = 5
"""A second signal came while stopping: requests may be unanswered."""

ANSWER_TIME = 2.5
"""Seconds for requests in execution when stopping. With all else it stays below 5."""
HTTP_GRACE = 0.2
"""Seconds for the answers to flow calls that stopping has ended."""
BODY_LIMIT = 1 << 20
"""Longest HTTP request body, in bytes."""
LOG_QUEUE = 10_000
"""Log records of workers that may wait to be written; more are dropped, and counted."""

SAME_SIGNAL = 0.5
"""Seconds within which several signals are one: ``make``, ``timeout`` and service managers send
theirs both to a process and to its group."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_logger = logging.getLogger(__name__)
_server: Server | None = None


class StartError(Exception):
    """The daemon cannot start; the text says why."""


class Server:
    """One daemon.

    Args:
        settings: What to do.
        args: Command line: ``verbose``, ``no_web_server``, ``embedded``, ``flows``.
    """

    def __init__(self, settings: Settings, args: Namespace) -> None:
        self._settings = settings
        self._args = args
        self._stop = asyncio.Event()
        self._signalled_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._embedded: Embedded | None = None
        self._executor: Executor | None = None
        self.http_port = 0
        """Port of the HTTP server, once it listens."""

    def stop(self) -> None:
        """Begin to stop; may be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    async def serve(self) -> None:
        """Run until `stop` or a signal.

        Raises:
            StartError: Something cannot be started.
        """
        loop = self._loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # see `run`
        async with AsyncExitStack() as cleanup:
            # The last that was started is the first to stop: replies still need the clients, the
            # clients the bus.
            self._start_embedded(cleanup)
            executor = self._make_executor(cleanup)
            self._start_clients(loop, executor, cleanup)
            cleanup.push_async_callback(executor.aclose, ANSWER_TIME)
            executor.start()
            if not self._args.no_web_server:
                self._start_http(executor, cleanup)
            announcement = loop.create_task(self._announce())
            await self._stop.wait()
            _logger.info("stopping")
            announcement.cancel()

    # ---- the parts -----------------------------------------------------------------------------

    def _start_embedded(self, cleanup: AsyncExitStack) -> None:
        if not self._args.embedded:
            return
        bus = self._settings.bus
        flows = Path(self._args.flows)
        if not flows.is_dir():
            raise StartError(f"there is no directory {flows} with flow scripts")
        embedded = (
            LocalEmbedded(flows)
            if isinstance(bus, IpcSettings)
            else Embedded(bus.clients[0].master_host, bus.clients[0].master_port, flows)
        )
        cleanup.push_async_callback(embedded.stop)
        try:
            embedded.start()
        except (OSError, SmartBusError) as exc:
            problem = getattr(exc, "strerror", None) or exc
            hint = _in_use(exc, embedded.origin)
            raise StartError(f"the embedded bus does not start: {problem}{hint}") from exc
        self._embedded = embedded

    def _make_executor(self, cleanup: AsyncExitStack) -> Executor:
        queue: Queue[logging.LogRecord] = Queue(LOG_QUEUE)
        listener = QueueListener(queue, LoggerHandler())
        globalvars.main_logging_queue, globalvars.main_logging_listener = queue, listener
        listener.start()
        cleanup.callback(listener.stop)
        chosen = self._settings.executor
        executor = Executor(
            chosen.queue_maxsize,
            chosen.pool_processes,
            chosen.pool_maxtasksperchild,
            task_timeout=chosen.task_timeout,
            max_rss_mb=chosen.max_rss_mb,
            notify_ttl=self._settings.notify_ttl,
            verbose=self._args.verbose,
            prog_args=vars(self._args),
            log_sink=drop_when_full(queue),
        )
        self._executor = globalvars.executor = executor
        return executor

    def _start_clients(
        self, loop: asyncio.AbstractEventLoop, executor: Executor, cleanup: AsyncExitStack
    ) -> None:
        settings = self._settings
        try:
            connect(settings.bus, settings.flow_ack_timeout, executor, loop, cleanup)
        except SmartBusError as exc:
            raise StartError(f"the bus client does not start: {exc}") from exc

    def _start_http(self, executor: Executor, cleanup: AsyncExitStack) -> None:
        port, address = self._settings.web_listen
        launcher = FlowLauncher(
            bus_clients,
            globalvars.ipsc_set,
            FlowHandler.acks,
            self._settings.flow_ack_timeout,
        )
        server = HTTPServer(
            make_app(executor, launcher, bus_clients, globalvars.ipsc_set),
            max_body_size=BODY_LIMIT,
            idle_connection_timeout=60,
        )
        try:
            listener = _listen(port, address)
        except OSError as exc:
            # What comes after it is the address, a second time.
            problem = (exc.strerror or str(exc)).partition(" (while")[0]
            hint = _in_use(exc, "WEBSERVER_LISTEN in settings.py")
            raise StartError(f"HTTP cannot listen on {address}:{port}: {problem}{hint}") from exc
        server.add_socket(listener)
        FlowHandler.acks.open()
        cleanup.push_async_callback(self._stop_http, server)
        self.http_port = listener.getsockname()[1]
        _logger.info("HTTP on %s:%d", address or "*", self.http_port)

    @staticmethod
    async def _stop_http(server: HTTPServer) -> None:
        server.stop()
        FlowHandler.acks.close("the daemon is shutting down")
        if FlowHandler.unanswered:  # those who wait are told
            await asyncio.wait(set(FlowHandler.unanswered), timeout=HTTP_GRACE)
        await server.close_all_connections()

    async def _announce(self) -> None:
        """Say where everything is, once everything is there (``--embedded``)."""
        embedded = self._embedded
        if embedded is None:
            return
        while not (globalvars.ipsc_set and bus_clients()[0].connected):
            if embedded.ipsc_ended is not None:
                _logger.error("the stand-in IPSC has ended: exit code %d", embedded.ipsc_ended)
                return
            await asyncio.sleep(0.05)
        sys.stdout.write(_welcome(self._settings, embedded, self.http_port))
        sys.stdout.flush()

    # ---- signals -------------------------------------------------------------------------------

    def _signalled(self, number: int) -> None:
        assert self._loop is not None
        name = signal.Signals(number).name
        if not self._signalled_at:
            self._signalled_at = self._loop.time()
            _logger.info("%s: stopping; once more to stop without waiting", name)
            self._stop.set()
            return
        if self._loop.time() - self._signalled_at < SAME_SIGNAL:
            return
        _logger.warning("%s again: stopping without waiting", name)
        if self._executor is not None:
            for worker in self._executor.workers:
                worker.kill()
        if self._embedded is not None:
            self._embedded.kill()
        logging.shutdown()
        os._exit(EXIT_FORCED)


def _in_use(exc: Exception, setting: str) -> str:
    """What to do when an address is in use; nothing for other errors."""
    if getattr(exc, "errno", None) != errno.EADDRINUSE:
        return ""
    return f". Is the daemon running already? Else change {setting}"


def _listen(port: int, address: str) -> socket.socket:
    """A listening socket; an empty address is every address of the machine."""
    if not address and socket.has_dualstack_ipv6():
        listener = socket.create_server(
            ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128
        )
    else:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.create_server((address, port), family=family, backlog=128)
    listener.setblocking(False)
    return listener


def _welcome(settings: Settings, embedded: Embedded, http_port: int) -> str:
    bus = settings.bus
    if isinstance(bus, IpcSettings):
        unit, client = embedded.bus.unit_id, bus.initialize.clientid
    else:
        unit, client = bus.initialize.unitid, bus.clients[0].local_client_id
    lines = [
        "",
        f"  Bus     {embedded.where}",
        f"  IPSC    a stand-in, process 0 of unit 0; its flows are in {embedded.flows}/",
        f"  RPC     client {client} of unit {unit}, command type {RPC_COMMAND}; see methods/",
    ]
    if http_port:
        url = f"http://{settings.web_listen[1] or '127.0.0.1'}:{http_port}"
        # The example goes to unit 19, client 0, unless it is told where.
        where = "" if (unit, client) == (19, 0) else f", {unit}, {client}"
        params = f'["Hello", "Flow"{where}]'
        body = f'{{"project": "Project1", "flow": "Flow1", "params": {params}}}'
        lines += [
            f"  HTTP    {url}",
            "",
            f"Start a flow:    curl -X POST {url}/api/flow -d '{body}'",
            f"Reload methods:  curl {url}/sys/reset",
        ]
    return "\n".join([*lines, "Stop:            Ctrl-C", "", ""])


def run(args: Namespace) -> int:
    """Run the daemon until it is stopped by `stop` or a signal (seed: "server module").

    Args:
        args: The command line, see `sbusr.cli`.

    Returns:
        The exit code.
    """
    try:
        settings = load()
        set_up_logging(settings.logging, verbose=args.verbose)
    except SettingsError as exc:
        sys.stderr.write(f"sbusr: {exc}\n")
        return EXIT_SETTINGS
    globalvars.prog_args = args

    async def serve() -> None:
        global _server
        _server = Server(settings, args)
        try:
            await _server.serve()
        finally:
            _server = None

    # A signal that comes before the server has its handlers waits for them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        asyncio.run(serve())
    except StartError as exc:
        _logger.error("%s", exc)  # noqa: TRY400 - it is for people, who need no traceback
        return EXIT_START
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        logging.shutdown()
    return EXIT_OK


def stop() -> None:
    """Begin to stop the daemon that `run` runs; returns at once. Any thread may call it."""
    if _server is not None:
        _server.stop()
