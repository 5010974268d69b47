"""``smartbus_no_leaks`` catches what it is there for, and nothing else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.testing.conftest import Run

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the leak check reads /proc"
)


@pytest.fixture(autouse=True)
def settings(pytester: pytest.Pytester) -> None:
    # The inner tests leak on purpose and end what they leaked when their session ends.
    pytester.makeini("[pytest]\nusefixtures = smartbus_no_leaks\nsmartbus_leak_grace = 0.5\n")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            """
            import threading
            def test_leak():
                threading.Thread(target=stop.wait, name="forgotten", daemon=True).start()
            """,
            "thread *: forgotten",
        ),
        (
            """
            import _thread
            def test_leak():
                _thread.start_new_thread(stop.wait, ())
            """,
            "thread *: * (not Python's)",
        ),
        (
            """
            import os
            def test_leak():
                os.open(os.devnull, os.O_RDONLY)
            """,
            "descriptor *: /dev/null",
        ),
        (
            """
            import subprocess
            def test_leak():
                ours.append(subprocess.Popen(SLEEP))
            """,
            "process *: sleep 300",
        ),
        (
            """
            import subprocess
            def test_leak():
                child = subprocess.Popen(["true"])
                ours.append(child)
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            """,
            "process *: ended, but nobody waited for it",
        ),
        (
            # An orphan: its parent is gone, and it is in a session of its own.
            """
            import subprocess
            def test_leak():
                shell = ["sh", "-c", "setsid sleep 300 >/dev/null 2>&1 & echo $!"]
                orphans.append(int(subprocess.check_output(shell)))
            """,
            "process *: sleep 300",
        ),
    ],
    ids=["thread", "foreign-thread", "descriptor", "child", "zombie", "orphan"],
)
def test_leaks_are_reported_once(
    pytester: pytest.Pytester, run: Run, body: str, message: str
) -> None:
    prologue = """
            import atexit, os, signal, threading
            SLEEP = ["sleep", "300"]
            stop = threading.Event()
            ours, orphans = [], []
            def end():
                stop.set()
                for child in ours:
                    child.kill()
                    child.wait()
                for pid in orphans:
                    os.kill(pid, signal.SIGKILL)
            atexit.register(end)
            """
    epilogue = """
            def test_next_one_is_not_blamed():
                pass
            """
    pytester.makepyfile(prologue + body + epilogue)
    result = run()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_leak*", "left behind:", f"  {message}"]
    )


def test_what_ends_in_time_is_no_leak(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import multiprocessing, subprocess, threading
        def test_clean():
            threading.Timer(0.1, int).start()
            cycle = [multiprocessing.Pipe()]
            cycle.append(cycle)
            subprocess.run(["true"], check=True)
        """
    )
    run().assert_outcomes(passed=1)


def test_multiprocessing_helpers_are_no_leak(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import multiprocessing
        def test_clean():
            process = multiprocessing.get_context("forkserver").Process(target=int)
            process.start()
            process.join()
            process.close()
        """
    )
    run().assert_outcomes(passed=1)


def test_wider_fixtures_and_event_loops_are_no_leak(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import asyncio, socket
        import pytest

        @pytest.fixture(scope="module")
        def pair():
            left, right = socket.socketpair()
            with left, right:
                yield left, right

        def test_uses_the_fixture(pair):
            pair[0].send(b"x")

        @pytest.mark.asyncio
        async def test_uses_a_loop_with_threads():
            assert await asyncio.to_thread(int) == 0
        """
    )
    run().assert_outcomes(passed=2)


def test_a_failed_test_is_reported_for_its_failure_only(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        """
        import os
        def test_failed():
            os.open(os.devnull, os.O_RDONLY)
            raise RuntimeError
        """
    )
    run().assert_outcomes(failed=1)
