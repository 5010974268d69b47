"""The leak check: no test may leave a thread, a file descriptor or a process behind.

Directories below may have a ``conftest.py`` of their own. Fixtures of a wider scope than
one test may keep what they hold; ask for them by argument, not with
``request.getfixturevalue``, so that they exist before the check takes its first look.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import uuid
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

#: What ends by itself, such as a process that was just killed, may take this long (seconds).
GRACE = 5.0

#: Inherited by every process that a test starts, so that orphans are found as well.
COOKIE = "SMARTBUS_TEST_COOKIE"

_call_failed = pytest.StashKey[bool]()


def pytest_configure() -> None:
    os.environ[COOKIE] = uuid.uuid4().hex


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_call_failed] = True
    return report


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
        getattr(resource_tracker._resource_tracker, "_fd", None),
        getattr(forkserver._forkserver, "_forkserver_alive_fd", None),
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
        getattr(resource_tracker._resource_tracker, "_pid", None),
        getattr(forkserver._forkserver, "_forkserver_pid", None),
    }
    cookie = f"{COOKIE}={os.environ[COOKIE]}".encode()
    me = os.getpid()
    found = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == me or int(entry) in keep:
            continue
        proc = Path("/proc", entry)
        try:
            # "pid (comm) state ppid …", where comm may hold anything.
            state, ppid = (proc / "stat").read_text().rpartition(")")[2].split()[:2]
            mine = int(ppid) == me or cookie in (proc / "environ").read_bytes().split(b"\0")
            command = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # ended meanwhile, or somebody else's
            continue
        if mine:
            ended = "ended, but nobody waited for it"
            found.add((int(entry), ended if state == "Z" else command.strip()))
    return found


_LOOKS = {"thread": _threads, "descriptor": _descriptors, "process": _processes}


def _look() -> set[tuple[str, int, str]]:
    return {(kind, number, what) for kind, look in _LOOKS.items() for number, what in look()}


@pytest.fixture(autouse=True)
def leak_check(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves something behind. Linux only: elsewhere there is no ``/proc``."""
    if not sys.platform.startswith("linux"):
        yield
        return
    before = _look()
    yield
    if request.node.stash.get(_call_failed, False):
        return  # its traceback keeps objects alive, and it has something better to say
    deadline = time.monotonic() + GRACE
    while left := _look() - before:
        if time.monotonic() > deadline:
            pytest.fail(
                "left behind:"
                + "".join(f"\n  {kind} {number}: {what}" for kind, number, what in sorted(left)),
                pytrace=False,
            )
        gc.collect()  # objects in reference cycles close what they hold when they go
        time.sleep(0.02)
