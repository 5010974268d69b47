"""HTTP handlers that answer in JSON, whatever happens."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import tornado.web

__all__ = ["JsonHandler", "NotFoundHandler", "RequestError"]


class RequestError(tornado.web.HTTPError):
    """An HTTP error with something to say to the caller.

    Args:
        status: HTTP status.
        message: What is wrong.
        details: More members of the error object.
    """

    def __init__(self, status: int, message: str, **details: Any) -> None:
        super().__init__(status, "%s", message)
        self.error = {"status": status, "message": message, **details}


class JsonHandler(tornado.web.RequestHandler):
    """Answers in JSON, whatever happens."""

    def set_default_headers(self) -> None:
        """What every answer has."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.clear_header("Server")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error."""
        exc = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(exc, RequestError):
            error = exc.error
        else:
            try:
                message = HTTPStatus(status_code).phrase
            except ValueError:
                message = "error"
            if status_code == HTTPStatus.NOT_FOUND:
                message = f"nothing is at {self.request.path}"
            elif status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                message = f"{self.request.method} is not possible at {self.request.path}"
            error = {"status": status_code, "message": message}
        self.finish(json.dumps({"error": error}) + "\n")

    def compute_etag(self) -> None:
        """Answers are not for caches."""

    def answer(self, value: dict[str, Any]) -> None:
        """Answer 200."""
        self.finish(json.dumps(value) + "\n")


class NotFoundHandler(JsonHandler):
    """Everything that is nowhere."""

    def prepare(self) -> None:
        """Answer 404, to any method."""
        raise tornado.web.HTTPError(HTTPStatus.NOT_FOUND)
