"""Many messages in one frame, acknowledged once: an extension that only this package knows.

A batch is a frame of type ``1e`` whose body is ``01`` and then complete frames. The server handles
them one after the other, as if they had come alone, and answers once: ``ok``, or a report (see
``replies``) of those that failed. A client asks first, with a batch of nothing: deepfos-ipc answers
that it knows no such message type, and gets its messages one by one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from .errors import ProtoDecodeError, ResponseError
from .framing import CutShortError, frame, split
from .protocol import Protocol
from .replies import OK, WHOLE, report

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

__all__ = [
    "BATCH",
    "BATCH_BYTES",
    "OVERHEAD",
    "PROBE",
    "BatchProto",
    "Tally",
    "exchange",
    "one_by_one",
]

BATCH: Final = 0x1E
"""Message type of a batch."""
BATCH_BYTES: Final = 64 * 1024
"""A batch is sent when its messages have this size (only a larger message makes a larger one)."""
BATCH_ITEMS: Final = 1024
"""Most messages in a batch that a client makes."""
OVERHEAD: Final = 6
"""How much longer a batch of one message is than the message's own body."""
WINDOW: Final = 4
"""Batches on the way without an answer: the server works while the client encodes."""

_VERSION: Final = b"\x01"

PROBE: Final = frame(BATCH, _VERSION)
"""A batch of nothing."""


class BatchProto(Protocol, mtype=bytes([BATCH])):
    """Frames in a frame; its message type is taken, callbacks never see it."""

    @classmethod
    def encode_body(cls, data: Iterable[bytes]) -> bytes:
        """See `Protocol.encode_body`; `data` are complete frames."""
        return _VERSION + b"".join(data)

    @classmethod
    def decode_body(cls, buf: memoryview) -> list[tuple[int, memoryview]]:
        """Return message type and body of each frame; bodies are views of `buf`.

        Raises:
            ProtoDecodeError: An unknown version, or the last frame is cut short.
        """
        if bytes(buf[:1]) != _VERSION:
            raise ProtoDecodeError(f"Batches of version {bytes(buf[:1])!r} are unknown")
        try:
            return list(split(buf[1:]))
        except CutShortError as exc:
            raise ProtoDecodeError(f"Batch: {exc}") from None


class Tally:
    """The server's account of a batch in execution."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._settled = 0
        self._failures: list[tuple[int, bytes]] = []

    def settle(self, failure: bytes | None) -> bytes | None:
        """Count the next item as handled; after the last one, return the answer to the batch.

        Args:
            failure: The text of its error, if it failed.
        """
        if failure is not None:
            self._failures.append((self._settled, failure))
        self._settled += 1
        if self._settled < self._count:
            return None
        return report(self._failures) if self._failures else OK


def _batches(frames: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Batches of `frames`, each with the number of its messages.

    When `frames` raises, what came before comes first, then the exception.
    """
    batch: list[bytes] = []
    size = 0
    try:
        for each in frames:
            if batch and (size + len(each) > BATCH_BYTES or len(batch) == BATCH_ITEMS):
                yield frame(BATCH, BatchProto.encode_body(batch)), len(batch)
                batch, size = [], 0
            batch.append(each)
            size += len(each)
    except Exception:
        if batch:
            yield frame(BATCH, BatchProto.encode_body(batch)), len(batch)
        raise
    if batch:
        yield frame(BATCH, BatchProto.encode_body(batch)), len(batch)


def exchange(frames: Iterable[bytes]) -> Generator[bytes | None, ResponseError | None, None]:
    """Deliver messages in batches; the caller moves the bytes.

    Yields:
        Bytes to write; or None to read the next answer and send it in: None for OK, or the error.

    Raises:
        ResponseError: The server reported errors; `ResponseError.failures` has all of them.
        Exception: What `frames` raised. Everything before was delivered, except the failures in
            the `ResponseError` that is the cause, if there is one.
    """
    batches = _batches(frames)
    waiting: deque[tuple[int, int]] = deque()
    failures: dict[int, str] = {}
    error: Exception | None = None
    sent = 0
    while True:
        try:
            batch = next(batches, None)
        except Exception as exc:  # noqa: BLE001 - raised below
            batch, error = None, exc
        while waiting and (batch is None or len(waiting) == WINDOW):
            answer = yield None
            first, count = waiting.popleft()
            if answer is not None:
                failures.update(_by_item(answer, first, count))
        if batch is None:
            break
        data, count = batch
        yield data
        waiting.append((sent, count))
        sent += count
    _raise(failures, sent, error)


def one_by_one(frames: Iterable[bytes]) -> Generator[bytes, ResponseError | None, None]:
    """Deliver messages one by one, with the same accounts; the caller moves the bytes.

    Yields:
        A frame to deliver; send in the server's error, or None.

    Raises:
        ResponseError: As `exchange`.
        Exception: As `exchange`.
    """
    failures: dict[int, str] = {}
    error: Exception | None = None
    count = 0
    try:
        for count, data in enumerate(frames, 1):
            failure = yield data
            if failure is not None:
                failures[count - 1] = str(failure)
    except Exception as exc:  # noqa: BLE001 - raised below
        error = exc
    _raise(failures, count, error)


def _by_item(answer: ResponseError, first: int, count: int) -> dict[int, str]:
    """The failures in an answer, by the indices that the sender knows."""
    whole = answer.failures.get(WHOLE)
    if whole is not None or not answer.failures:
        return dict.fromkeys(range(first, first + count), whole or str(answer))
    return {first + index: text for index, text in answer.failures.items()}


def _raise(failures: dict[int, str], count: int, error: Exception | None) -> None:
    """Raise what is to be raised after `count` messages were sent, if anything is."""
    failed = None
    if failures:
        text = next(iter(failures.values()))
        failed = ResponseError(
            f"Server respond with: {len(failures)} of {count} failed, the first with {text}",
            failures=failures,
        )
    if error is not None:
        raise error from failed
    if failed is not None:
        raise failed
