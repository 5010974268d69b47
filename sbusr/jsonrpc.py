"""JSON-RPC 2.0: error classes, and parsing of requests and responses.

Names, arguments, codes and default messages are those of the sbusr document, "jsonrpc module".
"""

from __future__ import annotations

import json
from typing import Any

from smartbus.encoding import decode_text
from smartbus.utils import to_bytes, to_str, to_unicode

from .jsonable import dumps, recursive_jsonable

__all__ = [
    "APPLICATION_ERROR",
    "INTERNAL_ERROR",
    "SERVER_BUSY",
    "SHUTTING_DOWN",
    "TASK_TIMEOUT",
    "WORKER_DIED",
    "WORKER_UNAVAILABLE",
    "Error",
    "FormatError",
    "InvalidErrorError",
    "InvalidParamsError",
    "InvalidRequestError",
    "InvalidResponseError",
    "MethodNotFoundError",
    "RpcTimeoutError",
    "parse",
    "recursive_jsonable",
    "to_bytes",
    "to_str",
    "to_unicode",
]

APPLICATION_ERROR = -32500
"""A method raised an exception."""
INTERNAL_ERROR = -32603
"""The result cannot be sent (no JSON form, too large), or the method's module does not import."""
SERVER_BUSY = -32000
"""The executor's queue is full; the request was not executed."""
TASK_TIMEOUT = -32001
"""The call took longer than it may; its worker process was ended."""
WORKER_DIED = -32002
"""The worker process died while it had the request; it may or may not have been executed."""
SHUTTING_DOWN = -32003
"""The daemon stops; the request was not completed."""
WORKER_UNAVAILABLE = -32004
"""No worker process can be started (for example: the methods package fails to import)."""


class Error(Exception):
    """A JSON-RPC error response.

    A method may raise it (or a subclass) to choose the code, message and data of its error reply.

    Args:
        id_: Id of the request that it answers; ``None`` if unknown.
        code: Error code, an integer.
        message: One line of text for people.
        data: Anything that is JSON serialisable; left out of the response when ``None``.
    """

    def __init__(
        self,
        id_: Any = None,
        code: int | None = None,
        message: str | None = None,
        data: Any = None,
    ) -> None:
        super().__init__(id_, code, message, data)
        self.id = id_
        self.code = code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        return f"[{self.code}] {self.message}"

    def __reduce__(self) -> tuple[type[Error], tuple[Any, int | None, str | None, Any]]:
        return type(self), (self.id, self.code, self.message, self.data)

    def to_dict(self) -> dict[str, Any]:
        """The complete response object: ``{"jsonrpc": "2.0", "id": …, "error": {…}}``."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return {"jsonrpc": "2.0", "id": self.id, "error": error}

    def to_json(self) -> str:
        """The response as ASCII JSON text.

        Raises:
            TypeError: ``id`` or ``data`` is not JSON serialisable.
        """
        return dumps(self.to_dict()).decode("ascii")


class FormatError(Error):
    """The text is not JSON."""

    def __init__(
        self,
        id_: Any = None,
        code: int | None = -32700,
        message: str | None = (
            "Invalid JSON was received by the server. "
            "An error occurred on the server while parsing the JSON text."
        ),
        data: Any = None,
    ) -> None:
        super().__init__(id_, code, message, data)


class InvalidRequestError(Error):
    """The JSON is not a valid request object."""

    def __init__(
        self,
        id_: Any = None,
        code: int | None = -32600,
        message: str | None = "The JSON sent is not a valid Request object.",
        data: Any = None,
    ) -> None:
        super().__init__(id_, code, message, data)


class InvalidResponseError(Error):
    """The JSON is not a valid response object."""

    def __init__(
        self,
        id_: Any = None,
        code: int | None = -32600,
        message: str | None = "The JSON sent is not a valid Response object.",
        data: Any = None,
    ) -> None:
        super().__init__(id_, code, message, data)


class InvalidErrorError(Error):
    """The JSON is not a valid error response."""

    def __init__(
        self,
        id_: Any = None,
        code: int | None = -32600,
        message: str | None = "The JSON sent is not a valid Error object.",
        data: Any = None,
    ) -> None:
        super().__init__(id_, code, message, data)


class MethodNotFoundError(Error):
    """No such method, or it may not be called."""

    def __init__(
        self,
        id_: Any = None,
        code: int | None = -32601,
        message: str | None = "The method does not exist / is not available.",
        data: Any = None,
    ) -> None:
        super().__init__(id_, code, message, data)


class InvalidParamsError(Error):
    """The parameters do not fit the method's signature."""

    def __init__(
        self,
        id_: Any = None,
        code: int | None = -32602,
        message: str | None = "Invalid method parameter(s).",
        data: Any = None,
    ) -> None:
        super().__init__(id_, code, message, data)


class RpcTimeoutError(Exception):
    """A call was not answered in time."""


Parsed = tuple[dict[str, Any] | None, Any, dict[str, Any] | None]


def parse(txt: str | bytes) -> Parsed:
    """Parse the text of one JSON-RPC request or response.

    The member ``jsonrpc`` may be missing (the sbusr document's own examples leave it out), but
    must be ``"2.0"`` if it is there.

    Args:
        txt: JSON text; ``bytes`` may be UTF-8, else they are read as GB18030.

    Returns:
        ``(request, result, error)``: the message's dict in the place of its kind, ``None`` in the
        two others. A request without the key ``id`` is a notification.

    Raises:
        FormatError: Not JSON.
        InvalidRequestError: Neither a request nor a response, or a malformed request.
        InvalidResponseError: A malformed response.
        InvalidErrorError: A malformed error response.
    """
    try:
        message = json.loads(txt if isinstance(txt, str) else decode_text(txt))
    except RecursionError:
        raise FormatError(data="nested too deeply") from None
    except ValueError as exc:
        raise FormatError(data=str(exc)) from exc
    if not isinstance(message, dict):
        raise InvalidRequestError(data=f"expected an object, got {_json_type(message)}")
    if "method" in message:
        return _check_request(message), None, None
    if "error" in message:
        return None, None, _check_error(message)
    if "result" in message:
        _check_response(message, InvalidResponseError)
        return None, message, None
    raise InvalidRequestError(
        _usable_id(message), data="none of the members method, result, error is there"
    )


def _check_request(message: dict[str, Any]) -> dict[str, Any]:
    """Check the members of a request object and return it.

    Raises:
        InvalidRequestError: With the request's id, when that is usable.
    """
    id_ = _usable_id(message)
    method = message.get("method")
    if not isinstance(method, str) or not method:
        raise InvalidRequestError(id_, data="method must be a non-empty string")
    if "params" in message and not isinstance(message["params"], (list, dict)):
        raise InvalidRequestError(
            id_, data=f"params must be an array or an object, not {_json_type(message['params'])}"
        )
    if "id" in message and id_ is None and message["id"] is not None:
        raise InvalidRequestError(data="id must be a non-empty string, a number or null")
    _check_version(message, id_, InvalidRequestError)
    return message


def _check_version(message: dict[str, Any], id_: Any, error: type[Error]) -> None:
    if message.get("jsonrpc", "2.0") != "2.0":
        raise error(id_, data='jsonrpc must be "2.0"')


def _check_response(message: dict[str, Any], error: type[Error]) -> None:
    id_ = _usable_id(message)
    if "id" not in message:
        raise error(data="id is missing")
    if id_ is None and message["id"] is not None:
        raise error(data="id must be a non-empty string, a number or null")
    if "result" in message and "error" in message:
        raise error(id_, data="result and error exclude each other")
    _check_version(message, id_, error)


def _check_error(message: dict[str, Any]) -> dict[str, Any]:
    _check_response(message, InvalidErrorError)
    error = message["error"]
    if not isinstance(error, dict):
        raise InvalidErrorError(message["id"], data="error must be an object")
    if not isinstance(error.get("code"), int) or isinstance(error.get("code"), bool):
        raise InvalidErrorError(message["id"], data="error.code must be an integer")
    if not isinstance(error.get("message"), str):
        raise InvalidErrorError(message["id"], data="error.message must be a string")
    return message


def _usable_id(message: dict[str, Any]) -> str | int | float | None:
    """The message's id if it is a legal one, else ``None``.

    An empty string is not: the id becomes the title of a notify, which may not be empty (NET.md 8).
    """
    id_ = message.get("id")
    if isinstance(id_, bool) or id_ == "" or not isinstance(id_, (str, int, float)):
        return None
    return id_


def _json_type(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (list, dict)):
        return "an array" if isinstance(value, list) else "an object"
    return "a number"
