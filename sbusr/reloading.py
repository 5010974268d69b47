"""Reloading the methods on a signal, and when their files change."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from .executor import Executor, ResetError

__all__ = ["MethodsWatcher", "Reloader", "snapshot"]

LOOK_EVERY = 1.0
"""Seconds between two looks at the files."""
SETTLE = 0.2
"""Seconds without a change after which the files are taken to be complete."""

_logger = logging.getLogger(__name__)


class Reloader:
    """Resets the executor in the background, one reset after the other.

    Args:
        executor: Its worker processes are replaced.
        around: Entered for as long as a reset takes.
    """

    def __init__(
        self, executor: Executor, around: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._executor = executor
        self._around = around
        self._reason = ""
        self._task: asyncio.Task[None] | None = None

    def reload(self, reason: str) -> None:
        """Begin to reload; if that is going on already, once more after it.

        Args:
            reason: For the log.
        """
        self._reason = reason
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._reason:
            reason, self._reason = self._reason, ""
            _logger.info("%s: loading the methods anew", reason)
            with self._around():
                try:
                    pids = await self._executor.reset()
                except ResetError as exc:
                    text = "%s: the new workers do not start, the old ones go on: %s\n%s"
                    _logger.error(text, reason, exc, exc.traceback)  # noqa: TRY400 - its own
                else:
                    _logger.info("%s: the methods are loaded, workers %s", reason, pids)

    async def close(self) -> None:
        """Reload no more."""
        self._reason = ""
        await _end(self._task)


class MethodsWatcher:
    """Looks at the files of the methods package, and tells when they have changed.

    Args:
        changed: Called with the reason.
        package: Name of the methods package.
    """

    def __init__(self, changed: Callable[[str], None], package: str = "methods") -> None:
        self._changed = changed
        self._package = package
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        # In a thread: a large package on a slow disk takes a while to look at.
        seen = await asyncio.to_thread(snapshot, self._package)
        _logger.info("watching %d files of %s", len(seen), self._package)
        while True:
            await asyncio.sleep(LOOK_EVERY)
            before, seen = seen, await asyncio.to_thread(snapshot, self._package)
            if seen == before:
                continue
            latest = seen
            while True:  # an editor, or a copy of many files, may be in the middle of it
                await asyncio.sleep(SETTLE)
                settled, latest = latest, await asyncio.to_thread(snapshot, self._package)
                if settled == latest:
                    break
            seen = latest
            names = sorted({str(path) for path, _ in before.items() ^ seen.items()})
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            self._changed(f"{names[0] if names else self._package}{more} changed")

    async def close(self) -> None:
        """Watch no more."""
        await _end(self._task)


def snapshot(package: str) -> dict[Path, tuple[int, int]]:
    """Time of change (ns) and size of each source file of a package, which is not imported."""
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(package)
    if spec is None:
        return {}
    roots = [Path(root) for root in spec.submodule_search_locations or ()]
    files = [path for root in roots for path in root.rglob("*.py")]
    if not roots and spec.origin:
        files = [Path(spec.origin)]
    found = {}
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # it was there just now
            stat = os.stat(path)
            found[path] = stat.st_mtime_ns, stat.st_size
    return found


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
