"""An IPSC in a thread, for programs without an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from smartbus.arguments import seconds
from smartbus.errors import AlreadyConnectedError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .host import Ipsc

__all__ = ["IpscThread"]


class IpscThread:
    """Runs an `Ipsc` in a background thread with an event loop of its own.

    with IpscThread(Ipsc("127.0.0.1", bus.port, "flows")):
        ...
    """

    def __init__(self, ipsc: Ipsc) -> None:
        """Run `ipsc`, which must not have been started."""
        self.ipsc = ipsc
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready: Future[None] = Future()

    def start(self, timeout: float = 10.0) -> None:
        """Start, and wait until the bus has let the IPSC in.

        Args:
            timeout: Seconds to wait.

        Raises:
            SmartBusTimeoutError: The bus did not in time; the thread has ended again.
            SmartBusError: The bus refused; likewise.
            AlreadyConnectedError: It was started before.
            ArgumentError: `timeout` is negative, endless or no number.
        """
        if self._thread is not None:
            raise AlreadyConnectedError(-10, "this thread was started already")
        seconds("timeout", timeout)  # here, not in the thread
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(timeout)), name="smartbus-ipsc", daemon=True
        )
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the IPSC and wait for its end; repeatable, and allowed before `start`."""
        if self._thread is not None:
            if self._loop is not None and self._stop is not None:
                with contextlib.suppress(RuntimeError):  # it has ended already
                    self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    async def _main(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            await self.ipsc.start()
            await self.ipsc.wait_connected(timeout)
        except BaseException as error:
            self._ready.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            self._ready.set_result(None)
            await self._stop.wait()
        finally:
            await self.ipsc.close()
