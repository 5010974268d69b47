"""Notifies that arrived, and flow scripts that wait for them."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from queue import Empty, SimpleQueue
from threading import Lock
from typing import NamedTuple

__all__ = ["Mailbox", "MailboxClosed"]

logger = logging.getLogger(__name__)


class MailboxClosed(Exception):
    """Nothing will come any more."""


class _Kept(NamedTuple):
    title: bytes
    text: bytes
    until: float


class Mailbox:
    """Brings notifies and waiting threads together, by title.

    A notify goes to the thread that waits longest for its title. If none waits it is kept,
    as long as its sender said, for the first one that will. All methods are thread-safe.
    """

    def __init__(self, max_kept: int = 10_000, max_bytes: int = 64 << 20) -> None:
        """Keep no more than this; the oldest goes first, with a log line."""
        self._max_kept = max_kept
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._number = 0
        self._kept: OrderedDict[int, _Kept] = OrderedDict()  # by number, oldest first
        self._by_title: dict[bytes, deque[int]] = {}
        self._bytes = 0
        self._waiting: dict[bytes, deque[SimpleQueue[bytes | None]]] = {}
        self._closed = False

    def __len__(self) -> int:
        """Return how many notifies are kept, expired ones perhaps among them."""
        return len(self._kept)

    def deliver(self, title: bytes, text: bytes, expires: float) -> None:
        """Hand over a notify, or keep it for `expires` seconds."""
        with self._lock:
            if waiting := self._waiting.get(title):
                waiting.popleft().put(text)
                if not waiting:
                    del self._waiting[title]
            elif len(text) > self._max_bytes:
                logger.warning("a notify of %d bytes is too large to be kept", len(text))
            elif expires > 0 and not self._closed:
                self._make_room(len(text))
                self._number += 1
                self._kept[self._number] = _Kept(title, text, time.monotonic() + expires)
                self._by_title.setdefault(title, deque()).append(self._number)
                self._bytes += len(text)

    def wait(self, title: bytes, timeout: float) -> bytes | None:
        """Take the oldest notify of this title; wait up to `timeout` seconds. None: none came.

        Raises:
            MailboxClosed: The mailbox was closed, before or meanwhile.
        """
        with self._lock:
            if self._closed:
                raise MailboxClosed
            now = time.monotonic()
            while numbers := self._by_title.get(title):
                kept = self._forget(numbers[0])
                if kept.until > now:
                    return kept.text
            mine: SimpleQueue[bytes | None] = SimpleQueue()
            self._waiting.setdefault(title, deque()).append(mine)
        try:
            text = mine.get(timeout=timeout)
        except Empty:
            with self._lock:
                waiting = self._waiting.get(title, ())
                if mine in waiting:
                    self._waiting[title].remove(mine)
                    if not self._waiting[title]:
                        del self._waiting[title]
                    return None
            text = mine.get()  # it came at the last moment
        if text is None:
            raise MailboxClosed
        return text

    def close(self) -> None:
        """End all waits, keep nothing."""
        with self._lock:
            self._closed = True
            for waiting in self._waiting.values():
                for queue in waiting:
                    queue.put(None)
            self._waiting.clear()
            self._kept.clear()
            self._by_title.clear()
            self._bytes = 0

    def _forget(self, number: int) -> _Kept:
        kept = self._kept.pop(number)
        self._bytes -= len(kept.text)
        numbers = self._by_title[kept.title]
        numbers.remove(number)
        if not numbers:
            del self._by_title[kept.title]
        return kept

    def _make_room(self, size: int) -> None:
        """Drop what has expired; if that is not enough, the oldest."""
        now = time.monotonic()
        while self._kept:  # all have similar lifetimes, mostly: the oldest expire first
            number, kept = next(iter(self._kept.items()))
            if kept.until > now:
                break
            self._forget(number)
        if self._fits(size):
            return
        for number in [number for number, kept in self._kept.items() if kept.until <= now]:
            self._forget(number)
        # Somewhat more than necessary, so that a flood does not search the whole for each notify.
        dropped, some = 0, len(self._kept) // 64
        while self._kept and (not self._fits(size) or dropped < some):
            self._forget(next(iter(self._kept)))
            dropped += 1
        if dropped:
            logger.warning(
                "too many notifies that nobody waits for: dropped the oldest %d", dropped
            )

    def _fits(self, size: int) -> bool:
        return len(self._kept) < self._max_kept and self._bytes + size <= self._max_bytes
