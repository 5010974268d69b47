"""An asyncio event loop in a thread, for tests that have none."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future
    from typing import Any

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Runs coroutines and functions in a loop of its own, from when it is made until `close`."""

    def __init__(self, name: str) -> None:
        """Start the thread `name`."""
        self._loop = asyncio.new_event_loop()
        # A daemon: what a test forgot to close must not keep the process from ending.
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin to run a coroutine.

        Raises:
            RuntimeError: It was closed.
        """
        if self._loop.is_closed():
            coroutine.close()
            raise RuntimeError("the thread of this event loop has ended")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, wait for its end, return or raise what it does."""
        return self.submit(coroutine).result()

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function in the loop's thread, wait, return or raise what it does."""

        async def main() -> T:
            return function(*args, **kwargs)

        return self.run(main())

    def close(self) -> None:
        """End the loop, cancel what still runs in it, wait for the thread. Repeatable."""
        if not self._thread.is_alive():
            return
        self.run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _cancel_all(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
