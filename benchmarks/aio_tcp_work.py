"""What both systems of ``aio_tcp.py`` have to do: messages, structures, counting."""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections.abc import Callable
from typing import Any, Final

#: Bytes of a structure.
BLOCK: Final = 1024

#: Is told the port.
Listening = Callable[[int], None]


class Block(ctypes.Structure):
    """A structure of `BLOCK` bytes."""

    _fields_ = (("number", ctypes.c_int64), ("values", ctypes.c_double * 127))


_block = Block()


def block_of(number: int) -> Block:
    """Return a structure that carries `number`; the same object each time."""
    _block.number = number
    return _block


def details_of(number: int) -> dict[str, Any]:
    """Return details that make telemetry of about 100 bytes."""
    return {"n": number, "x": 1.2345, "y": -17, "text": "about one hundred bytes"}


def message_of(number: int) -> dict[str, Any]:
    """Return a message of about 100 bytes as JSON."""
    return {**details_of(number), "id": "tel_position", "compName": "MTM2"}


class Counter:
    """Counts what comes, and checks that it comes in order.

    Attributes:
        counted: So many came.
        ended_at: When the last one of `expected` came.
        done: Set then.
    """

    def __init__(self, expected: int) -> None:
        """Expect so many."""
        self.expected = expected
        self.counted = 0
        self.ended_at = 0.0
        self.done = asyncio.Event()

    def count(self, number: int) -> None:
        """Take one.

        Raises:
            SystemExit: It is not the one that must come; read loops go on after other errors.
        """
        if number != self.counted:
            raise SystemExit(f"{number} came instead of {self.counted}")
        self.counted += 1
        if self.counted == self.expected:
            self.ended_at = time.perf_counter()
            self.done.set()
