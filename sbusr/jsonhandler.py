"""HTTP handlers that answer in JSON, whatever happens."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, ClassVar

import tornado.web

from .browsers import host_of, is_cross_site, names_this_machine
from .tokens import Scope, Tokens

__all__ = ["BODY_LIMIT", "JsonHandler", "NotFoundHandler", "RequestError"]

BODY_LIMIT = 1 << 20
"""Longest request body, in bytes."""
DISCARD_LIMIT = 16 << 20
"""Bytes of a body that are read for nothing, so that its sender gets to read the answer."""

_METHODS = ("GET", "POST")
"""Those that handlers here have."""


class RequestError(tornado.web.HTTPError):
    """An HTTP error with something to say to the caller.

    Args:
        status: HTTP status.
        message: What is wrong.
        details: More members of the error object.

    Attributes:
        headers: What the answer has besides.
    """

    def __init__(self, status: int, message: str, **details: Any) -> None:
        super().__init__(status, "%s", message)
        self.error = {"status": status, "message": message, **details}
        self.headers: dict[str, str] = {}


# The body comes in pieces, so that it can be refused before it is there.
@tornado.web.stream_request_body
class JsonHandler(tornado.web.RequestHandler):
    """Answers in JSON, whatever happens.

    The application's settings say who may come in: ``tokens`` (`Tokens`, or None for everybody)
    and ``local`` (the listener is for this machine alone).
    """

    scope: ClassVar[Scope | None] = None
    """What a token must be good for; None is open to everybody."""
    acts: ClassVar[bool] = False
    """Requests change something, so that no foreign web page may have them sent."""

    caller = ""
    """Name of the token that the request has, for the log."""

    unanswered: ClassVar[set[asyncio.Future[None]]] = set()
    """One for each request in `begin`, done when its answer was handed to the connection."""

    _answered: asyncio.Future[None] | None = None

    def initialize(self) -> None:
        """Begin without a body."""
        self._pieces = bytearray()
        self._received = 0
        self._refusal: RequestError | None = None

    @property
    def body(self) -> bytes:
        """The request's body."""
        return bytes(self._pieces)

    def set_default_headers(self) -> None:
        """What every answer has."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.clear_header("Server")

    # ---- before the method is called -----------------------------------------------------------

    def prepare(self) -> None:
        """Refuse what the head of the request forbids."""
        try:
            self.admit()
        except RequestError as exc:
            self._refuse(exc)

    def admit(self) -> None:
        """Look at the head of the request.

        Raises:
            RequestError: It is refused.
        """
        self._check_browser()
        if self.scope is not None:
            self._check_token(self.scope)
        if self._announced() > BODY_LIMIT:
            raise _too_large()

    def _check_browser(self) -> None:
        headers = self.request.headers
        if self.acts and is_cross_site(headers):
            raise RequestError(403, "a page of another site may not ask for this")
        # A foreign page that has the name rebound is a page of this site to the browser. But it
        # has no token; so the name matters only where none is asked for.
        if self.settings["local"] and self.settings["tokens"] is None:
            host = host_of(headers)
            if not names_this_machine(host):
                raise RequestError(403, f"this is not {host or 'that host'}", host=host)

    def _check_token(self, scope: Scope) -> None:
        tokens: Tokens | None = self.settings["tokens"]
        if tokens is None:
            return
        authorization = self.request.headers.get("Authorization")
        if authorization is None:
            raise _unauthorized("a bearer token is needed", "")
        token = tokens.find(authorization)
        if token is None:
            raise _unauthorized("the bearer token is not known", ', error="invalid_token"')
        if scope not in token.scopes:
            raise RequestError(403, f"the token is not good for {scope!r}", scope=scope)
        self.caller = token.name

    def begin(self) -> None:
        """Note that work begins whose answer the end of the daemon should wait for."""
        self._answered = asyncio.get_running_loop().create_future()
        self.unanswered.add(self._answered)

    def on_finish(self) -> None:
        """Note that there is an answer."""
        if self._answered is not None:
            self.unanswered.discard(self._answered)
            self._answered.set_result(None)

    def data_received(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._received += len(chunk)
        if self._refusal is None and self._received <= BODY_LIMIT:
            self._pieces += chunk
            return
        self._pieces.clear()
        if self._refusal is None:
            self._refuse_later(_too_large())
        if self._received > DISCARD_LIMIT:
            self.send_error(413, exc_info=(RequestError, self._refusal, None))

    def _announced(self) -> int:
        """Bytes that the body will have, as far as the head tells."""
        length = self.request.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() and length.isascii() else 0

    def _refuse(self, error: RequestError) -> None:
        """Answer an error as soon as the caller can be expected to read it.

        Who still sends when the connection is closed gets no answer but a reset.
        """
        headers = self.request.headers
        length = self._announced()
        comes = length or "Transfer-Encoding" in headers
        if not comes or length > DISCARD_LIMIT or "Expect" in headers:
            raise error
        self._refuse_later(error)

    def _refuse_later(self, error: RequestError) -> None:
        """Answer an error when the body is there, instead of calling the method."""

        def refuse(*_: Any) -> None:
            raise error

        self._refusal = error
        setattr(self, str(self.request.method).lower(), refuse)

    # ---- answers -------------------------------------------------------------------------------

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error."""
        exc = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(exc, RequestError):
            error = exc.error
            for name, value in exc.headers.items():
                self.set_header(name, value)
        else:
            try:
                message = HTTPStatus(status_code).phrase
            except ValueError:
                message = "error"
            if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                message = f"{self.request.method} is not possible at {self.request.path}"
                self.set_header("Allow", ", ".join(self._allowed()))
            error = {"status": status_code, "message": message}
        self.finish(json.dumps({"error": error}) + "\n")

    def _allowed(self) -> list[str]:
        """The methods that there are at this path."""
        return [name for name in _METHODS if _has(type(self), name.lower())]

    def compute_etag(self) -> None:
        """Answers are not for caches."""

    def answer(self, value: dict[str, Any]) -> None:
        """Answer 200."""
        self.finish(json.dumps(value) + "\n")


class NotFoundHandler(JsonHandler):
    """Everything that is nowhere."""

    def admit(self) -> None:
        """Answer 404, to any method."""
        raise RequestError(404, f"nothing is at {self.request.path}")


def _unauthorized(message: str, details: str) -> RequestError:
    error = RequestError(401, message)
    error.headers["WWW-Authenticate"] = f'Bearer realm="sbusr"{details}'
    return error


def _too_large() -> RequestError:
    return RequestError(413, f"the body has more than {BODY_LIMIT} bytes", limit=BODY_LIMIT)


def _has(handler: type[tornado.web.RequestHandler], method: str) -> bool:
    return getattr(handler, method) is not getattr(tornado.web.RequestHandler, method)
