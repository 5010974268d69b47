"""Finds and compiles flow scripts."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smartbus.errors import ArgumentError, NodeNotFoundError, OtherError

if TYPE_CHECKING:
    import os
    from types import CodeType

__all__ = ["Scripts"]

_MAX_CACHED: Final = 1000
_FORBIDDEN: Final = frozenset('/\\:*?"<>|')


class Scripts:
    """The scripts ``<directory>/<project>/<flow>.py``; thread-safe.

    A script is compiled again when its file has changed.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Serve the scripts below `directory`.

        Raises:
            ArgumentError: It is no directory.
        """
        self.directory = Path(directory).resolve()
        if not self.directory.is_dir():
            raise ArgumentError(-1, f"{directory} is no directory")
        self._lock = threading.Lock()
        self._cache: dict[Path, tuple[tuple[int, int], CodeType]] = {}

    def load(self, project: str, flow: str) -> CodeType:
        """Return a compiled script; its ``co_filename`` is its path.

        Raises:
            NodeNotFoundError: There is no such script below the directory (-8).
            OtherError: It cannot be read or compiled (-99).
        """
        path = self._path(project, flow)
        try:
            status = path.stat()
            version = status.st_mtime_ns, status.st_size
            with self._lock:
                cached = self._cache.get(path)
            if cached is not None and cached[0] == version:
                return cached[1]
            code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except OSError as error:
            text = f"flow {project}/{flow} cannot be read: {error.strerror}"
            raise OtherError(-99, text) from error
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
            what = error.msg if isinstance(error, SyntaxError) else str(error)
            text = f"flow {project}/{flow} does not compile: {what}{where}"
            raise OtherError(-99, text) from error
        with self._lock:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[path] = version, code
        return code

    def _path(self, project: str, flow: str) -> Path:
        """Return the script's path; names cannot lead out of the directory, nor links in it."""
        if _is_name(project) and _is_name(flow):
            # Names may be too long, or links go in circles: then there is no such script either.
            with contextlib.suppress(OSError, RuntimeError):
                path = (self.directory / project / f"{flow}.py").resolve()
                if path.is_relative_to(self.directory) and path.is_file():
                    return path
        raise NodeNotFoundError(-8, f"there is no flow {flow!r} in project {project!r}")


def _is_name(text: str) -> bool:
    """Whether `text` is the plain name of a file or directory, on any system."""
    return (
        bool(text)
        and text[0] != "."
        and text.isprintable()
        and _FORBIDDEN.isdisjoint(text)
        and text == text.strip()
    )
