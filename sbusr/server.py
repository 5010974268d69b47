"""The daemon: keeps the bus clients connected, executes their requests, serves HTTP.

One event loop does everything; worker processes execute the methods.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
from argparse import Namespace
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from queue import Queue

from smartbus.errors import SmartBusError

from . import exits, globalvars
from .browsers import is_loopback
from .busclient import RPC_COMMAND, bus_clients, connect
from .config import IpcSettings, Settings, SettingsError, load, set_up_logging, stray_names
from .embedded import Embedded, LocalEmbedded
from .executor import Executor
from .flows import FlowLauncher
from .loggingqueue import LoggerHandler, QueueListener, drop_when_full
from .pidfile import PidFile, PidFileError
from .tokens import Tokens
from .webhandlers import FlowHandler, make_app
from .webserver import WebServer

__all__ = ["Server", "StartError", "run", "stop"]

ANSWER_TIME = 2.5
"""Seconds for requests in execution when stopping. With all else it stays below 5."""
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
        auth = self._settings.web_auth
        app = make_app(
            executor,
            launcher,
            bus_clients,
            globalvars.ipsc_set,
            tokens=None if auth is None else Tokens(auth),
            local=is_loopback(address),
            rpc=self._settings.web_rpc,
        )
        try:
            server = WebServer(app, self._settings.web_tls)
            self.http_port = server.start(port, address)
        except SettingsError as exc:
            raise StartError(str(exc)) from exc
        except OSError as exc:
            # What comes after it is the address, a second time.
            problem = (exc.strerror or str(exc)).partition(" (while")[0]
            hint = _in_use(exc, "WEBSERVER_LISTEN in settings.py")
            raise StartError(f"HTTP cannot listen on {address}:{port}: {problem}{hint}") from exc
        cleanup.push_async_callback(server.close)
        # Between the two, requests that wait for methods get their answers.
        cleanup.push_async_callback(executor.aclose, ANSWER_TIME)
        cleanup.callback(server.stop)

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
        os._exit(exits.FORCED)


def _in_use(exc: Exception, setting: str) -> str:
    """What to do when an address is in use; nothing for other errors."""
    if getattr(exc, "errno", None) != errno.EADDRINUSE:
        return ""
    return f". Is the daemon running already? Else change {setting}"


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
        scheme = "http" if settings.web_tls is None else "https"
        url = f"{scheme}://{settings.web_listen[1] or '127.0.0.1'}:{http_port}"
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
        args: The command line, see `sbusr.commands.run`.

    Returns:
        The exit code.
    """
    try:
        settings = load()
        set_up_logging(settings.logging, verbose=args.verbose)
    except SettingsError as exc:
        sys.stderr.write(f"sbusr: {exc}\n")
        return exits.SETTINGS
    for level, text in stray_names():
        _logger.log(level, "%s", text)
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
        with PidFile(args.pid_file) if args.pid_file else nullcontext():
            asyncio.run(serve())
    except (StartError, PidFileError) as exc:
        _logger.error("%s", exc)  # noqa: TRY400 - it is for people, who need no traceback
        return exits.UNAVAILABLE
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        logging.shutdown()
    return exits.OK


def stop() -> None:
    """Begin to stop the daemon that `run` runs; returns at once. Any thread may call it."""
    if _server is not None:
        _server.stop()
