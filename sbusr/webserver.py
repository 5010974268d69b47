"""The HTTP server: where it listens, how long it waits, how it ends."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys

import tornado.web
from tornado.httpserver import HTTPServer

from .webhandlers import FlowHandler

__all__ = ["WebServer"]

GRACE = 0.2
"""Seconds for the answers to requests that stopping has ended."""
BODY_TIME = 60.0
"""Seconds that a request's body may take to come."""
IDLE_TIME = 60.0
"""Seconds that a connection may be idle."""

_logger = logging.getLogger(__name__)


class WebServer:
    """Serves an application.

    Args:
        app: The application, see `sbusr.webhandlers.make_app`.
    """

    def __init__(self, app: tornado.web.Application) -> None:
        self._server = HTTPServer(
            app,
            # The handlers have a limit of their own, and answer who exceeds it; tornado would
            # only hang up.
            max_body_size=sys.maxsize,
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
        self._server.add_socket(listener)
        port = int(listener.getsockname()[1])
        _logger.info("HTTP on %s:%d", address or "*", port)
        return port

    def stop(self) -> None:
        """Take no more connections; tell those who wait for a flow."""
        self._server.stop()
        FlowHandler.acks.close("the daemon is shutting down")

    async def close(self) -> None:
        """End all connections, after a moment for the answers that are due."""
        if FlowHandler.unanswered:
            await asyncio.wait(set(FlowHandler.unanswered), timeout=GRACE)
        await self._server.close_all_connections()


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
