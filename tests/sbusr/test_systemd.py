"""What a service manager hears: a real socket, the program itself."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sbusr.systemd import Notifier
from tests.sbusr.program import TIMEOUT, Program


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(TIMEOUT)
        yield listener


def hear(manager: socket.socket, line: str) -> list[str]:
    """Messages up to the first that has a line which begins so."""
    heard = []
    while True:
        heard.append(manager.recv(4096).decode())
        if any(each.startswith(line) for each in heard[-1].splitlines()):
            return heard


def test_life(
    run: Callable[..., Program], manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    program = run("--embedded", "-W")
    before = hear(manager, "READY=1")
    assert any(message.startswith("STATUS=not ready: no bus client") for message in before)
    hear(manager, "STATUS=ready")
    hear(manager, "WATCHDOG=1")
    hear(manager, "WATCHDOG=1")
    (worker,) = program.workers()
    environment = Path(f"/proc/{worker}/environ").read_bytes()
    assert b"NOTIFY_SOCKET" not in environment
    assert b"WATCHDOG_USEC" not in environment
    program.process.send_signal(signal.SIGHUP)
    message = hear(manager, "RELOADING=1")[-1]
    name, _, value = message.splitlines()[1].partition("=")
    assert name == "MONOTONIC_USEC"
    assert int(value) > 0
    hear(manager, "READY=1")
    program.process.terminate()
    hear(manager, "STOPPING=1")
    assert program.wait() == 0


def test_not_ready_without_a_bus(
    run: Callable[..., Program], manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    program = run("-W")
    program.until_says("is ready")  # the worker
    hear(manager, "STATUS=not ready: no bus client is connected")
    program.process.terminate()
    assert not any("READY=1" in message for message in hear(manager, "STOPPING=1"))
    assert program.wait() == 0


def test_socket_without_a_file() -> None:
    name = f"sbusr-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(TIMEOUT)
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"})
        notifier.send("A=1", "B=2")
        assert listener.recv(100) == b"A=1\nB=2"
        notifier.close()
        notifier.close()


@pytest.mark.parametrize(
    ("environ", "active", "watchdog"),
    [
        ({}, False, 0),
        ({"WATCHDOG_USEC": "1000000"}, False, 0),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1500000"}, True, 1.5),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}, True, 0),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, False, 0),
    ],
)
def test_environment(environ: dict[str, str], active: bool, watchdog: float) -> None:
    environ = {**environ, "OTHER": "x"}
    notifier = Notifier(environ)
    assert (notifier.active, notifier.watchdog) == (active, watchdog)
    notifier.send("READY=1")  # nobody is there: nothing happens
    notifier.close()
    assert environ == {"OTHER": "x"}
