"""The HTTP server: where it listens, how long it waits, how it ends."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
from pathlib import Path

import tornado.web
from tornado.httpserver import HTTPServer

from .browsers import is_loopback
from .config import SettingsError, TlsSettings
from .jsonhandler import JsonHandler
from .webhandlers import FlowHandler

__all__ = ["WebServer"]

GRACE = 0.2
"""Seconds for the answers to requests that stopping has ended."""
BODY_TIME = 60.0
"""Seconds that a request's body may take to come."""
IDLE_TIME = 60.0
"""Seconds that a connection may be idle."""

_WHY = "the daemon is shutting down"

_logger = logging.getLogger(__name__)


class WebServer:
    """Serves an application.

    Args:
        app: The application, see `sbusr.webhandlers.make_app`.
        tls: Certificate and key; None serves plain HTTP.

    Raises:
        SettingsError: Certificate or key cannot be used.
    """

    def __init__(self, app: tornado.web.Application, tls: TlsSettings | None) -> None:
        self._open = app.settings["tokens"] is None
        self._tls = "" if tls is None else " (TLS)"
        self._server = HTTPServer(
            app,
            # The handlers have a limit of their own, and answer who exceeds it; tornado would
            # only hang up.
            max_body_size=sys.maxsize,
            ssl_options=None if tls is None else _context(tls),
            body_timeout=BODY_TIME,
            idle_connection_timeout=IDLE_TIME,
        )

    def start(self, port: int, address: str) -> int:
        """Listen.

        Args:
            port: 0 takes a free one.
            address: An empty one is every address of the machine.

        Returns:
            The port.

        Raises:
            OSError: It cannot listen there.
        """
        listener = _listen(port, address)
        FlowHandler.acks.open()
        self._server.add_socket(listener)
        port = int(listener.getsockname()[1])
        _logger.info("HTTP on %s:%d%s", address or "*", port, self._tls)
        if self._open and not is_loopback(address):
            _logger.warning(
                "ANYBODY who reaches %s:%d may start flows and reset the workers: "
                "set WEB_AUTH in settings.py, or a loopback address in WEBSERVER_LISTEN",
                address or "*",
                port,
            )
        return port

    def stop(self) -> None:
        """Take no more connections; tell those who wait for a flow."""
        self._server.stop()
        FlowHandler.acks.close(_WHY)

    async def close(self) -> None:
        """End all connections, after a moment for the answers that are due."""
        FlowHandler.acks.close(_WHY)  # for those who came since over an old connection
        if JsonHandler.unanswered:
            await asyncio.wait(set(JsonHandler.unanswered), timeout=GRACE)
        await self._server.close_all_connections()


def _context(tls: TlsSettings) -> ssl.SSLContext:
    try:
        for path in filter(None, (tls.certfile, tls.keyfile)):
            Path(path).open("rb").close()  # ssl would not say which one it is
    except OSError as exc:
        raise SettingsError(f"WEB_TLS: {exc.filename}: {exc.strerror}") from exc
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # With a password it does not ask the terminal for one.
        context.load_cert_chain(tls.certfile, tls.keyfile, password="")
    except (ssl.SSLError, ValueError) as exc:
        raise SettingsError(
            f"WEB_TLS: {tls.certfile} and {tls.keyfile or 'the key in it'} are no certificate "
            f"with its key, both as PEM and without password: {exc}"
        ) from exc
    return context


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
