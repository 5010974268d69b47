"""The pid file: who runs here, for those who want to stop it."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["PidFile", "PidFileError", "running"]


class PidFileError(Exception):
    """The file cannot be used: another process has it, or it cannot be written."""


class PidFile:
    """A file with this process's id, locked for as long as the process lives.

    The lock, which ends with the process however that ends, tells whether the id still means
    anything; the number alone may be another process's by now.

    Args:
        path: Where; its directory exists.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._fd = -1

    def __enter__(self) -> Self:
        """Write it.

        Raises:
            PidFileError: Another process has it, or it cannot be written.
        """
        try:
            while not self._take():
                pass
            os.ftruncate(self._fd, 0)
            os.write(self._fd, b"%d\n" % os.getpid())
        except OSError as exc:
            raise PidFileError(f"the pid file {self.path} cannot be written: {exc}") from exc
        return self

    def _take(self) -> bool:
        """Open and lock the file; False if a predecessor has just removed it."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _lock(fd):
                text = "the pid file %s belongs to a running process: %s"
                raise PidFileError(text % (self.path, _read(fd) or "it has not said which"))
            try:
                current = os.path.samestat(os.fstat(fd), self.path.stat())
            except FileNotFoundError:
                current = False
        except BaseException:
            os.close(fd)
            raise
        if current:
            self._fd = fd
        else:
            os.close(fd)
        return current

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)  # while it is locked: nobody else's is removed
        os.close(self._fd)
        self._fd = -1


def running(path: str | os.PathLike[str]) -> int | None:
    """Id of the process that has the pid file `path`; None if none has.

    Raises:
        OSError: The file is there, and cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # Shared, so that two who look at the same time do not take one another for the daemon.
        return None if _lock(fd, fcntl.LOCK_SH) else _read(fd)
    finally:
        os.close(fd)


def _lock(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


def _read(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None
