"""What a server answers to a frame, and how a client reads it.

The answer is ``ok`` or the text of an exception, without a frame around it (DIP.md 1.2), so nothing
says where a text ends: a connection over which one came is not used again. A client that has asked
for batches (see ``batch``) gets each text as a *report* instead, which has a length::

    "!" | length (4 bytes, big endian) | JSON: [[index, text], ...]

An index is that of an item in a batch, or -1 when the text is about the whole frame.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from .errors import ResponseError
from .framing import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["OK", "WHOLE", "ReplyReader", "error_text", "report"]

OK: Final = b"ok"

WHOLE: Final = -1
"""Index in a report whose text is about the whole frame."""

TEXT_LIMIT: Final = 4096
"""Longest text of one exception, in bytes: a client takes what one read returns."""

_REPORT: Final = ord("!")
_REPORT_LIMIT: Final = 1 << 20
_TEXTS_LIMIT: Final = 16_384  # bytes of all texts in a report together, about


def error_text(exc: BaseException) -> bytes:
    """The answer to a frame whose callback raised `exc`: its ``repr``, never empty, never OK."""
    try:
        text = repr(exc)
    except Exception:  # noqa: BLE001 - a repr of any making
        text = ""
    if not text or text.startswith("ok"):
        text = f"{type(exc).__name__}: {text}"
    data = text.encode("utf8", "backslashreplace")
    if len(data) > TEXT_LIMIT:
        data = data[: TEXT_LIMIT - 3].decode("utf8", "ignore").encode() + "…".encode()
    return data


def report(failures: Iterable[tuple[int, bytes]]) -> bytes:
    """A report; texts are cut where there are many."""
    failures = list(failures)
    most = max(16, _TEXTS_LIMIT // len(failures))
    texts = [[index, text.decode("utf8", "replace")[:most]] for index, text in failures]
    body = json.dumps(texts).encode()
    return HEAD.pack(_REPORT, len(body)) + body


class ReplyReader:
    """Reads the answers that come over one connection.

    Attributes:
        framed: The server sends reports.
    """

    def __init__(self) -> None:
        self.framed = False
        self._rest = b""

    def feed(self, data: bytes) -> list[ResponseError | None]:
        """Take what was received and return an item for each answer: an error, or None for OK."""
        data = self._rest + data
        answers: list[ResponseError | None] = []
        while data:
            if data == b"o":
                break
            if data == OK or (self.framed and data.startswith(OK)):
                answers.append(None)
                data = data[len(OK) :]
            elif self.framed and data[0] == _REPORT:
                if len(data) < HEAD.size:
                    break
                end = HEAD.size + HEAD.unpack_from(data)[1]
                if end > _REPORT_LIMIT:
                    answers.append(ResponseError("Server respond with: a report too long"))
                    data = b""
                elif len(data) < end:
                    break
                else:
                    answers.append(_read_report(data[HEAD.size : end]))
                    data = data[end:]
            else:
                text = data.decode("utf8", "replace")
                answers.append(ResponseError(f"Server respond with: {text}"))
                data = b""
        self._rest = data
        return answers


def _read_report(body: bytes) -> ResponseError:
    try:
        failures = {int(index): str(text) for index, text in json.loads(body)}
    except (TypeError, ValueError):
        failures = {}
    text = failures.get(WHOLE)
    if text is None:
        text = f"{len(failures)} failures, the first: {next(iter(failures.values()), '?')}"
    return ResponseError(f"Server respond with: {text}", failures=failures)
