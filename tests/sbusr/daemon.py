"""A daemon in this process."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from sbusr.server import Server
from smartbus.testing.waiting import TIMEOUT


class Daemon:
    """A running daemon, in this process."""

    def __init__(self, running: Server) -> None:
        self.server = running
        self.http = AsyncHTTPClient(force_instance=True)

    async def fetch(
        self, path: str, body: Any = None, method: str | None = None
    ) -> tuple[int, Any]:
        """Send an HTTP request; status and decoded body."""
        response = await self.raw(path, body, method)
        return self.json(response)

    @staticmethod
    def json(response: HTTPResponse) -> tuple[int, Any]:
        """Status and decoded body of a response."""
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert "Server" not in response.headers
        return response.code, json.loads(response.body)

    async def raw(
        self,
        path: str,
        body: Any = None,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HTTPResponse:
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        return await self.http.fetch(
            HTTPRequest(
                f"http://127.0.0.1:{self.server.http_port}{path}",
                method or ("GET" if body is None else "POST"),
                headers=dict(headers or {}),
                body=data,
                request_timeout=TIMEOUT,
                allow_nonstandard_methods=True,
            ),
            raise_error=False,
        )


Start = Callable[..., Awaitable[Daemon]]
"""Starts a daemon; by name the command line's options, and whether it is to be connected."""
