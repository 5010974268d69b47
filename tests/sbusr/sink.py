"""A client that keeps the replies it should send, and helps to wait for them."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from smartbus.testing.waiting import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def head(unit: int = 3, client: int = 5) -> bytes:
    """A raw packet head of a request that came from there."""
    raw = bytearray(20)
    raw[:4] = b"\x15\x5b\x01\xd3"
    raw[4:7] = bytes((2, unit, client))
    return bytes(raw)


def request(method: str, params: Any = (), id_: Any = None) -> bytes:
    """A request's body; a notification without an id."""
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if id_ is not None:
        message["id"] = id_
    return json.dumps(message).encode()


class Sink:
    """Takes replies as `smartbus.net.Client.notify_many` does."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.encoding = encoding
        self.replies: list[tuple[int, int, bytes, bytes]] = []
        self.expires: set[float] = set()
        self._changed = asyncio.Event()

    def notify_many(
        self, notifies: Iterable[tuple[int, int, bytes, bytes]], expires: float
    ) -> Sequence[int]:
        """Keep replies."""
        batch = list(notifies)
        self.replies += batch
        self.expires.add(expires)
        self._changed.set()
        return range(1, len(batch) + 1)

    async def wait(self, count: int = 1) -> list[Any]:
        """Wait for so many replies altogether; return all, decoded."""
        await self._until(lambda: len(self.replies) >= count)
        return [json.loads(text) for _, _, _, text in self.replies]

    async def wait_for(self, id_: Any) -> Any:
        """Wait for the reply to a request; return it, decoded."""
        title = str(id_).encode()
        await self._until(lambda: title in self.counts())
        return next(json.loads(text) for _, _, found, text in self.replies if found == title)

    async def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), deadline - time.monotonic())

    def results(self) -> dict[Any, Any]:
        """Results by id; errors as their code in a string."""
        found = {}
        for _, _, title, text in self.replies:
            reply = json.loads(text)
            if "error" in reply:
                found[title.decode()] = f"error {reply['error']['code']}"
            else:
                found[title.decode()] = reply["result"]
        return found

    def counts(self) -> Counter[bytes]:
        """How many replies there are under each title."""
        return Counter(title for _, _, title, _ in self.replies)
