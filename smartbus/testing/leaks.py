"""What a test left behind: threads, file descriptors, processes. Linux only (``/proc``)."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import uuid
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["COOKIE", "Leak", "cookie", "look", "wait_for_ends"]

#: Environment variable that marks the processes of a session, so that orphans are found too.
COOKIE: Final = "SMARTBUS_TEST_COOKIE"

#: How often is looked whether what was left has ended (seconds).
_PERIOD: Final = 0.02

#: Kind, number and description.
Leak = tuple[str, int, str]


def cookie() -> Iterator[None]:
    """Mark all processes that are started while the generator is suspended."""
    before = os.environ.get(COOKIE)
    os.environ[COOKIE] = uuid.uuid4().hex
    yield
    if before is None:
        del os.environ[COOKIE]
    else:  # this session runs inside another one
        os.environ[COOKIE] = before


def look() -> set[Leak]:
    """Return all that there is now; nothing where there is no ``/proc`` of Linux."""
    if not sys.platform.startswith("linux"):
        return set()
    looks = {"thread": _threads, "descriptor": _descriptors, "process": _processes}
    return {(kind, number, what) for kind, found in looks.items() for number, what in found()}


def wait_for_ends(before: set[Leak], grace: float) -> list[Leak]:
    """Return what was not there `before` and does not end within `grace` seconds."""
    deadline = time.monotonic() + grace
    while left := look() - before:
        if time.monotonic() > deadline:
            break
        gc.collect()  # objects in reference cycles close what they hold when they go
        time.sleep(_PERIOD)
    return sorted(left)


def _threads() -> set[tuple[int, str]]:
    """All threads of this process, those of C code included."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            comm = (task / "comm").read_text().strip()
        except OSError:  # ended meanwhile
            continue
        found.add((int(task.name), names.get(int(task.name)) or f"{comm} (not Python's)"))
    return found


def _descriptors() -> set[tuple[int, str]]:
    """All open file descriptors of this process."""
    # multiprocessing opens these two once and keeps them, by design, until the process ends.
    keep = {
        getattr(_TRACKER, "_fd", None),
        getattr(_FORKSERVER, "_forkserver_alive_fd", None),
    }
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:  # the one that listed this directory
            continue
        if int(entry) not in keep:
            found.add((int(entry), target))
    return found


def _processes() -> set[tuple[int, str]]:
    """All children of this process (unwaited ones too), and their descendants."""
    # As above: multiprocessing's two helpers stay until the process ends.
    keep = {
        getattr(_TRACKER, "_pid", None),
        getattr(_FORKSERVER, "_forkserver_pid", None),
    }
    mark = f"{COOKIE}={os.environ[COOKIE]}".encode()
    me = os.getpid()
    found = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == me or int(entry) in keep:
            continue
        proc = Path("/proc", entry)
        try:
            # "pid (comm) state ppid …", where comm may hold anything.
            state, ppid = (proc / "stat").read_text().rpartition(")")[2].split()[:2]
            mine = int(ppid) == me or mark in (proc / "environ").read_bytes().split(b"\0")
            command = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # ended meanwhile, or somebody else's
            continue
        if mine:
            ended = "ended, but nobody waited for it"
            found.add((int(entry), ended if state == "Z" else command.strip()))
    return found


#: Where multiprocessing keeps its helpers; there is no public name.
_TRACKER = getattr(resource_tracker, "_resource_tracker", None)
_FORKSERVER = getattr(forkserver, "_forkserver", None)
