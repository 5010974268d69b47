"""One request's body in, one reply's title and text out. No I/O here.

A body may be a batch, an array of requests. They are executed in their order, and the reply is the
array of their replies. Its title is that of the first reply that has one: who sends a batch over
the bus waits for its first id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import CoroutineType
from typing import Annotated, Any, Literal

import msgspec

from smartbus.encoding import decode_text, encode_text

from .jsonable import dumps
from .jsonrpc import (
    APPLICATION_ERROR,
    INTERNAL_ERROR,
    Error,
    InvalidRequestError,
    parse,
)
from .metrics import EXCEPTION, FAILED, INVALID, OK, Histogram, WorkerMetrics
from .resolver import Resolver

__all__ = ["NOTIFY_LIMIT", "NO_REPLY", "Calls", "Reply", "error_reply", "request_id"]

Reply = tuple[bytes, bytes]
"""Title and text of a notify message."""
NO_REPLY: Reply = (b"", b"")
"""What a notification (a request without an id) gets."""
NOTIFY_LIMIT = 15999
"""Longest text of a notify message, in bytes (NET.md 8)."""

_TITLE_LIMIT = 101
"""Longer titles are cut by the protocol (NET.md 8)."""
_MESSAGE_LIMIT = 2000
"""Longest error message, in characters: an exception may carry any amount of text."""
_NULL_TITLE = b"null"
"""Title of replies to requests without a usable id."""

_NO_KWARGS: Mapping[str, Any] = {}

_logger = logging.getLogger(__name__)


class _Request(msgspec.Struct, gc=False):
    method: Annotated[str, msgspec.Meta(min_length=1)]
    id: Annotated[str, msgspec.Meta(min_length=1)] | int | float | msgspec.UnsetType | None = (
        msgspec.UNSET
    )
    params: list[Any] | dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    jsonrpc: Literal["2.0"] = "2.0"


_decode: Callable[[bytes | str], _Request] = msgspec.json.Decoder(_Request).decode


class Calls:
    """Executes requests.

    Args:
        resolver: Finds the methods.
        limit: Longest reply text in bytes; a longer result becomes an error reply.
        verbose: Put tracebacks of application exceptions into the replies' ``data``.

    Attributes:
        metrics: What became of the calls.
        histogram: Where the request that was executed last belongs in them. Who executes notes it
            there: it is the one who knows the time.
        announce: Called with the time limit (seconds) of a method that has one of its own, before
            it is called, and with 0 after it.
    """

    announce: Callable[[float], None] | None = None

    def __init__(
        self, resolver: Resolver, *, limit: int | None = NOTIFY_LIMIT, verbose: bool = False
    ) -> None:
        self._resolve = resolver.resolve
        self._found = resolver.found
        self.metrics = WorkerMetrics()
        self.histogram = self._invalid = self.metrics.histogram("", INVALID)
        self._returned: dict[str, Histogram] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._limit: float = float("inf") if limit is None else limit
        self._verbose = verbose

    def execute(self, body: bytes, encoding: str = "utf-8") -> Reply:
        """Execute one request; never raises.

        Args:
            body: The request as received.
            encoding: Codec to try first; UTF-8 and GB18030 come after it.

        Returns:
            Title and text of the reply, or `NO_REPLY` for a notification.
        """
        try:
            request = _decode(
                body if encoding == "utf-8" or body.isascii() else decode_text(body, encoding)
            )
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            try:
                read = _read_again(body, encoding)
            except Error as error:
                self.histogram = self._invalid
                _logger.warning("bad request refused: %s (%s)", error, _shown(error.data))
                id_ = request_id(body, encoding)
                return error_reply(None if id_ is msgspec.UNSET else id_, error, self._limit)
            if isinstance(read, list):
                return self._batch(read)
            request = read
        id_ = request.id
        name = request.method
        try:
            result = self._call(name, request.params)
        except Error as error:
            if error.code != APPLICATION_ERROR:
                _logger.warning("%.200r: %.500s (%s)", request.method, error, _shown(error.data))
            return NO_REPLY if id_ is msgspec.UNSET else error_reply(id_, error, self._limit)
        self.histogram = self._returned.get(name) or self._first_return(name)
        return NO_REPLY if id_ is msgspec.UNSET else self._reply(id_, result, name)

    def _call(self, name: str, params: Any) -> Any:
        """Call a method; whatever goes wrong becomes an `Error`."""
        args: Sequence[Any] = ()
        kwargs: Mapping[str, Any] = _NO_KWARGS
        try:
            method = self._found.get(name) or self._resolve(name)
            if type(params) is list:
                args = params
                if not method.accepts(len(params)):
                    method.check(args, kwargs)
            else:
                if params is not msgspec.UNSET:
                    kwargs = params
                method.check(args, kwargs)
        except Error as error:
            known = name if name in self._found else ""
            broken = error.code == INTERNAL_ERROR
            self.histogram = self.metrics.histogram(known, FAILED if broken else INVALID)
            raise
        if method.timeout and self.announce is not None:
            self.announce(method.timeout)
        try:
            result = method.function(*args, **kwargs)
            return self._finish(result) if type(result) is CoroutineType else result
        except BaseException as exc:  # noqa: BLE001 - SystemExit too: it is not our end
            self.histogram = self.metrics.histogram(name, EXCEPTION)
            raise self._application_error(exc, name) from None
        finally:
            if method.timeout and self.announce is not None:
                self.announce(0)

    def _finish(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Run an ``async def`` method. All of a worker share one event loop."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(call)

    def close(self) -> None:
        """Close the event loop, if there is one; tasks that methods left in it are cancelled."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        if left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def _batch(self, messages: list[Any]) -> Reply:
        titles: list[bytes] = []
        texts: list[bytes] = []
        for message in messages:
            began = time.perf_counter()
            title, text = self._member(message)
            self.histogram.note(time.perf_counter() - began)
            if text:
                titles.append(title)
                texts.append(text)
        self.histogram = Histogram()  # each of them has been noted
        if not texts:
            return NO_REPLY
        title = next((title for title in titles if title != _NULL_TITLE), _NULL_TITLE)
        whole = b"[" + b",".join(texts) + b"]"
        if len(whole) <= self._limit:
            return title, whole
        problem = f"The replies are too large: {len(whole)} bytes, {self._limit} can be sent."
        return title, error_reply(None, Error(code=INTERNAL_ERROR, message=problem))[1]

    def _member(self, message: Any) -> Reply:
        if isinstance(message, dict):
            return self.execute(json.dumps(message).encode())
        self.histogram = self._invalid
        error = InvalidRequestError(data="a member of the batch is no object")
        return error_reply(None, error, self._limit)

    def _first_return(self, name: str) -> Histogram:
        histogram = self._returned[name] = self.metrics.histogram(name, OK)
        return histogram

    def _reply(self, id_: Any, result: Any, name: str) -> Reply:
        try:
            text = dumps({"jsonrpc": "2.0", "id": id_, "result": result})
        except BaseException as exc:  # noqa: BLE001 - a result may be an object of any making
            problem = f"The result is not JSON serialisable: {_text(exc)}"
        else:
            if len(text) <= self._limit:
                return _title(id_), text
            problem = f"The result is too large: {len(text)} bytes, {self._limit} can be sent."
        self.histogram = self.metrics.histogram(name, FAILED)
        error = Error(code=INTERNAL_ERROR, message=problem)
        return error_reply(id_, error, self._limit)

    def _application_error(self, exc: BaseException, name: str) -> Error:
        """What the caller is told about an exception that a method raised."""
        kind = type(exc).__name__
        if isinstance(exc, Error):  # the method chose its reply itself
            code = exc.code if isinstance(exc.code, int) else APPLICATION_ERROR
            message = kind if exc.message is None else _text(exc.message)
            return Error(code=code, message=message or kind, data=exc.data)
        # The first frame is ours.
        tb = exc.__traceback__.tb_next if exc.__traceback__ else None
        _logger.error("method %s raised an exception", name, exc_info=(type(exc), exc, tb))
        text = _text(exc)
        data = {"type": kind}
        if self._verbose:
            data["traceback"] = "".join(traceback.format_exception(type(exc), exc, tb))
        return Error(code=APPLICATION_ERROR, message=f"{kind}: {text}" if text else kind, data=data)


def _text(thing: Any) -> str:
    """The text of a thing that a method made, which may have none."""
    try:
        return str(thing)
    except BaseException:  # noqa: BLE001 - likewise
        return "(its text cannot be had)"


def _shown(data: Any) -> str:
    """An error's data in the log: on one line, and short."""
    try:
        text = data if isinstance(data, str) else dumps(data).decode()
    except BaseException:  # noqa: BLE001 - likewise
        return f"data of type {type(data).__name__}"
    return repr(text[:500])


def _read_again(body: bytes, encoding: str) -> _Request | list[Any]:
    """Read what the fast decoder refused: other encodings, NaN, lone surrogates, batches.

    Raises:
        Error: Says why it is none of those.
    """
    text = decode_text(body.rstrip(b"\0"), encoding).removeprefix("\ufeff")
    if text.lstrip()[:1] == "[":
        batch = _read_batch(text)
        if batch:
            return batch
    request, _, _ = parse(text)
    if request is None:
        raise InvalidRequestError(data="a response, where a request is expected")
    return _Request(
        method=request["method"],
        id=request.get("id", msgspec.UNSET),
        params=request.get("params", msgspec.UNSET),
    )


def _read_batch(text: str) -> list[Any] | None:
    """A batch's members; None if it is not JSON, which `parse` says better."""
    try:
        batch = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return batch if isinstance(batch, list) else None


def error_reply(id_: Any, error: Error, limit: float = NOTIFY_LIMIT) -> Reply:
    """The reply that tells ``error`` to the caller of request ``id_``; it fits into ``limit``."""
    message = str(error.message)[:_MESSAGE_LIMIT]
    full = Error(id_, error.code, message, error.data)
    for attempt in (full, Error(id_, error.code, message)):
        # The data, which a method may have chosen, may have no JSON form; the id may be long.
        with contextlib.suppress(TypeError):
            text = dumps(attempt.to_dict())
            if len(text) <= limit:
                return _title(id_), text
    return _title(id_), dumps(Error(None, error.code, message[:200]).to_dict())


def request_id(body: bytes, encoding: str = "utf-8") -> Any:
    """The id of a request that will not be executed, as far as it can be found out.

    Where the body is not valid JSON, the first thing that looks like an id is taken: the caller
    waits for a reply under that title.

    Returns:
        The id; ``None`` if there is none to be found (or it is null); ``msgspec.UNSET`` for a
        notification, which gets no reply.
    """
    text = decode_text(body, encoding)
    try:
        message = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        match = _ID_LIKE.search(text)
        return (match[1] or int(match[2])) if match else None
    if type(message) is list:
        return _batch_id(message)
    if type(message) is not dict:
        return None
    return _message_id(message)


def _batch_id(batch: list[Any]) -> Any:
    """The first id in a batch; ``msgspec.UNSET`` if there are only notifications."""
    ids = [_message_id(each) if type(each) is dict else None for each in batch]
    known = [id_ for id_ in ids if id_ is not None and id_ is not msgspec.UNSET]
    if known:
        return known[0]
    return msgspec.UNSET if ids and all(id_ is msgspec.UNSET for id_ in ids) else None


def _message_id(message: dict[str, Any]) -> Any:
    if "id" not in message and "method" in message:
        return msgspec.UNSET
    id_ = message.get("id")
    return id_ if type(id_) in (str, int, float) and id_ != "" else None


_ID_LIKE = re.compile(r'"id"\s*:\s*(?:"([^"\\\x00-\x1f]{1,101})"|(-?\d{1,18})(?=\s*[,}]))')


def _title(id_: Any) -> bytes:
    """Title of the notify message that answers request ``id_``."""
    if id_ is None:
        return _NULL_TITLE
    text = id_ if type(id_) is str else str(id_)
    if text.isascii() and text.isprintable() and len(text) <= _TITLE_LIMIT:
        return text.encode()
    title = encode_text(text.encode("utf-8", "replace").decode())
    return title.partition(b"\0")[0][:_TITLE_LIMIT] or _NULL_TITLE
