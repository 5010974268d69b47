"""What the executor and its worker processes say to each other over a socket pair.

Frames are those of ``dip``: one byte tag, four bytes body length (big endian), body. Inside, both
ends are one machine and one program, so numbers are native.

========= ================= ===========================================================
tag       direction         body
========= ================= ===========================================================
CONFIG    to the worker     JSON object (:class:`Config`), once, first
REQUESTS  to the worker     a batch of request bodies (:func:`pack_requests`)
STOP      to the worker     empty: finish what came before, then end
READY     from the worker   JSON object: the methods package is imported
FAILED    from the worker   JSON object: the methods package does not import
ANSWERS   from the worker   a batch of replies (:func:`pack_answers`)
BACK      from the worker   task numbers that it has not started and will not start
RETIRE    from the worker   empty: somebody asked it (SIGTERM) to make place
METRICS   from the worker   JSON array: what it counted since the last one (`sbusr.metrics`)
LOG       from the worker   JSON object: a log record
========= ================= ===========================================================

Requests are *tasks* here, numbered per worker from 1. What the parent must know even if the
worker cannot speak any more stands in shared memory, two native 64-bit numbers: the task in
execution, and the time limit that its method has (microseconds; 0: none of its own).
"""

from __future__ import annotations

import socket
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from struct import Struct
from typing import Any

import msgspec

__all__ = [
    "ANSWERS",
    "BACK",
    "CONFIG",
    "FAILED",
    "LOG",
    "METRICS",
    "READY",
    "REQUESTS",
    "RETIRE",
    "SHARED_SIZE",
    "STOP",
    "Config",
    "FrameReader",
    "Requests",
    "frame",
    "pack_answers",
    "pack_back",
    "pack_requests",
    "requests_range",
    "unpack_answers",
    "unpack_back",
    "unpack_requests",
]

CONFIG = ord("C")
REQUESTS = ord("R")
STOP = ord("S")
READY = ord("Y")
FAILED = ord("F")
ANSWERS = ord("A")
BACK = ord("B")
RETIRE = ord("T")
LOG = ord("L")
METRICS = ord("M")

SHARED_SIZE = 16
"""Bytes of the shared memory."""

RECEIVE_SIZE = 256 * 1024
"""Bytes that one read takes at most, unless one frame is larger."""

_HEAD = Struct(">BI")
_REQUESTS = Struct("=QI32s")
_ANSWERS = Struct("=IQ")


class Config(msgspec.Struct, kw_only=True):
    """What a worker is told when it starts."""

    name: str
    """Its name in log records."""
    methods: str
    """Name of the methods package."""
    path: list[str]
    """``sys.path``."""
    reply_limit: int | None
    """Longest reply text, in bytes."""
    verbose: bool
    """Tracebacks of application exceptions go into error replies."""
    give_back: bool
    """Return requests that wait behind a slow call: there are other workers."""
    prog_args: dict[str, Any] | None
    """The daemon's command line arguments (`sbusr.globalvars.prog_args`)."""
    log_levels: dict[str, int]
    """Levels of loggers by name; that of the root logger under an empty name."""


def frame(tag: int, body: bytes = b"") -> bytes:
    """A complete frame."""
    return _HEAD.pack(tag, len(body)) + body


class FrameReader:
    """Receives frames from a socket, many with one system call."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(RECEIVE_SIZE))
        self._filled = 0

    def receive(self, sock: socket.socket, flags: int = 0) -> list[tuple[int, bytes]] | None:
        """Receive once and return the frames that are complete now (perhaps none).

        Returns:
            Tag and body of each frame; ``None`` when the other end has closed.

        Raises:
            OSError: What the socket raises (``BlockingIOError`` included).
        """
        received = sock.recv_into(self._buffer[self._filled :], 0, flags)
        if not received:
            return None
        buffer = self._buffer
        filled = self._filled + received
        frames = []
        start = 0
        while filled - start >= 5:
            tag, length = _HEAD.unpack_from(buffer, start)
            end = start + 5 + length
            if end > filled:
                if 5 + length > len(buffer):
                    self._buffer = memoryview(bytearray(5 + length))
                break
            frames.append((tag, bytes(buffer[start + 5 : end])))
            start = end
        rest = filled - start
        if rest and (start or self._buffer is not buffer):
            self._buffer[:rest] = bytes(buffer[start:filled])
        elif not rest and len(buffer) > RECEIVE_SIZE:
            # One huge frame is no reason to keep its space for ever.
            self._buffer = memoryview(bytearray(RECEIVE_SIZE))
        self._filled = rest
        return frames


def pack_requests(first: int, bodies: Sequence[bytes], encoding: str) -> bytes:
    """A REQUESTS frame.

    Args:
        first: Task number of the first body; the others follow without a gap.
        bodies: The requests.
        encoding: Codec to try first on them; at most 32 ASCII characters.
    """
    lengths = array("I", map(len, bodies)).tobytes()
    blob = b"".join(bodies)
    head = _REQUESTS.pack(first, len(bodies), encoding.encode("ascii"))
    total = len(head) + len(lengths) + len(blob)
    return b"".join((_HEAD.pack(REQUESTS, total), head, lengths, blob))


Requests = tuple[int, str, list[bytes]]
"""First task number, encoding, bodies."""


def unpack_requests(body: bytes) -> Requests:
    """The contents of a REQUESTS frame."""
    first, count, encoding = _REQUESTS.unpack_from(body)
    start = _REQUESTS.size + 4 * count
    lengths = memoryview(body)[_REQUESTS.size : start].cast("I")
    ends = list(accumulate(lengths, initial=start))
    bodies = [body[a:b] for a, b in pairwise(ends)]
    return first, encoding.rstrip(b"\0").decode("ascii"), bodies


def requests_range(body: bytes) -> tuple[int, int]:
    """The task numbers in a REQUESTS frame: the first, and the one after the last."""
    first, count, _ = _REQUESTS.unpack_from(body)
    return first, first + count


def pack_answers(answers: Sequence[tuple[int, bytes, bytes]], busy: int) -> bytes:
    """An ANSWERS frame.

    Args:
        answers: Task number, title and text of each reply; both are empty for notifications.
        busy: Time that these tasks took altogether, in nanoseconds.
    """
    tasks, titles, texts = zip(*answers, strict=True)
    parts = [
        _ANSWERS.pack(len(answers), busy),
        array("Q", tasks).tobytes(),
        array("I", map(len, titles)).tobytes(),
        array("I", map(len, texts)).tobytes(),
        *titles,
        *texts,
    ]
    body = b"".join(parts)
    return _HEAD.pack(ANSWERS, len(body)) + body


def unpack_answers(body: bytes) -> tuple[int, Iterable[tuple[int, bytes, bytes]]]:
    """The contents of an ANSWERS frame: busy time (ns), and task number, title, text of each."""
    count, busy = _ANSWERS.unpack_from(body)
    view = memoryview(body)
    start = _ANSWERS.size
    tasks = view[start : start + 8 * count].cast("Q")
    start += 8 * count
    title_lengths = view[start : start + 4 * count].cast("I")
    start += 4 * count
    text_lengths = view[start : start + 4 * count].cast("I")
    start += 4 * count
    ends = list(accumulate(title_lengths, initial=start))
    titles = [body[a:b] for a, b in pairwise(ends)]
    ends = list(accumulate(text_lengths, initial=ends[-1]))
    texts = [body[a:b] for a, b in pairwise(ends)]
    return busy, zip(tasks, titles, texts, strict=True)


def pack_back(ranges: Iterable[tuple[int, int]]) -> bytes:
    """A BACK frame: ranges of task numbers (first, end) that will not be started."""
    return frame(BACK, array("Q", [number for pair in ranges for number in pair]).tobytes())


def unpack_back(body: bytes) -> list[range]:
    """The contents of a BACK frame."""
    numbers = memoryview(body).cast("Q")
    return [range(a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
