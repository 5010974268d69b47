"""Waiting for what other threads and processes do, always with a deadline."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from smartbus.arguments import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smartbus.bus import Bus

__all__ = ["PATIENCE", "TIMEOUT", "Record", "wait_for_client", "wait_until", "wait_until_async"]

T = TypeVar("T")
R = TypeVar("R")

#: How many times longer than usual things may take: for sanitizers, emulators, crowded machines.
PATIENCE: Final = float(os.environ.get("SMARTBUS_TEST_PATIENCE", "1"))

#: How long helpers wait unless they are told otherwise (seconds): so long that only what
#: does not happen at all fails, however busy the machine is.
TIMEOUT: Final = 20.0 * PATIENCE

#: How often `wait_until` looks (seconds).
_PERIOD: Final = 0.002


def wait_until(
    condition: Callable[[], R], timeout: float = TIMEOUT, what: str = "what was waited for"
) -> R:
    """Wait until `condition()` is true and return what it returned.

    For what tells nobody that it happened, which is looked at every 2 ms; where there is a
    `Record`, wait for that.

    Args:
        condition: Is called in this thread.
        timeout: Seconds to wait at most.
        what: Completes the error's message: "… did not happen within 20 s".

    Raises:
        AssertionError: It did not become true in time.
        ArgumentError: `timeout` is negative, endless or no number.
        TypeError: `timeout` is of another type.
    """
    deadline = time.monotonic() + seconds("timeout", timeout)
    while not (value := condition()):
        _check(deadline, timeout, what)
        time.sleep(_PERIOD)
    return value


async def wait_until_async(
    condition: Callable[[], R], timeout: float = TIMEOUT, what: str = "what was waited for"
) -> R:
    """Wait as `wait_until` does, but let the event loop go on meanwhile."""
    deadline = time.monotonic() + seconds("timeout", timeout)
    while not (value := condition()):
        _check(deadline, timeout, what)
        await asyncio.sleep(_PERIOD)
    return value


def _check(deadline: float, timeout: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise AssertionError(f"{what} did not happen within {timeout:g} s")


def wait_for_client(
    bus: Bus, unit_id: int, client_id: int, timeout: float = TIMEOUT, *, gone: bool = False
) -> None:
    """Wait until a client is registered at `bus`, or, with `gone`, until it is not.

    Args:
        bus: A bus that runs.
        unit_id: The client's unit; an IPSC and local clients have the bus's own.
        client_id: Its client id.
        timeout: Seconds to wait at most.
        gone: Wait for its end instead.

    Raises:
        AssertionError: It did not happen in time.
    """
    wait_until(
        lambda: (
            gone != any((c.unit_id, c.client_id) == (unit_id, client_id) for c in bus.clients())
        ),
        timeout,
        f"{'leaving' if gone else 'coming'} of client {client_id} of unit {unit_id}",
    )


class Record(Generic[T]):
    """What happened, in order: any thread adds to it, any thread waits for something in it.

    The methods that wait block their thread; in an asyncio test put them into
    ``await asyncio.to_thread(…)``. All raise `AssertionError` when time is over, with what
    there is instead.
    """

    def __init__(self, timeout: float = TIMEOUT) -> None:
        """Begin empty; `timeout` is how long (seconds) methods wait without one of their own."""
        self.timeout = seconds("timeout", timeout)
        self._items: list[T] = []
        self._changed = threading.Condition()

    def add(self, item: T) -> None:
        """Add something at the end and wake who waits."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget everything so far."""
        with self._changed:
            self._items.clear()

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        """Iterate over a copy of what there is now."""
        with self._changed:
            return iter(self._items.copy())

    def __repr__(self) -> str:
        return f"<Record {list(self)!r}>"

    def wait(self, condition: Callable[[list[T]], R], timeout: float | None = None) -> R:
        """Wait until `condition` is true for the list of all items; return what it returned.

        Args:
            condition: Is called whenever something was added. It must not change the list.
            timeout: Seconds; None for `timeout` of this record.
        """
        timeout = seconds("timeout", self.timeout if timeout is None else timeout)
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (value := condition(self._items)):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(
                        f"did not come within {timeout:g} s; there is: {self._items!r}"
                    )
                self._changed.wait(left)
            return value

    def wait_count(self, count: int, timeout: float | None = None) -> list[T]:
        """Wait until there are at least `count` items; return a copy of all."""
        self.wait(lambda items: len(items) >= count, timeout)
        return list(self)

    def expect(
        self, match: Callable[[T], object] = lambda _: True, timeout: float | None = None
    ) -> T:
        """Wait for the first item that matches, by default for any; return it. It stays."""
        return self.wait(lambda items: [item for item in items if match(item)], timeout)[0]

    def take(
        self, match: Callable[[T], object] = lambda _: True, timeout: float | None = None
    ) -> T:
        """Like `expect`, but remove it: the next call returns another one."""

        def pick(items: list[T]) -> list[T]:
            for index, item in enumerate(items):
                if match(item):
                    return [items.pop(index)]
            return []

        return self.wait(pick, timeout)[0]
