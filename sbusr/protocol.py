"""What the executor and its worker processes say to each other over a socket pair.

Frames are those of ``smartbus.dip``: a tag, the body's length, the body. Inside, both
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

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from struct import Struct
from typing import Any

import msgspec

from smartbus.dip.framing import HEAD, FrameReader, frame

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
    whole: bool = False
    """Import every module of the package before being ready, not only the package itself."""
    verbose: bool
    """Tracebacks of application exceptions go into error replies."""
    give_back: bool
    """Return requests that wait behind a slow call: there are other workers."""
    prog_args: dict[str, Any] | None
    """The daemon's command line arguments (`sbusr.globalvars.prog_args`)."""
    log_levels: dict[str, int]
    """Levels of loggers by name; that of the root logger under an empty name."""


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
    return b"".join((HEAD.pack(REQUESTS, total), head, lengths, blob))


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
    return HEAD.pack(ANSWERS, len(body)) + body


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
