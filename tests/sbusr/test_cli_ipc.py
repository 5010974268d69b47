"""The program over the local socket: ``SMARTBUS_CONFIG["type"] = "ipc"``, with real processes."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.sbusr.program import Program

Run = Callable[..., Program]

SMARTBUS = ("-m", "smartbus")
FLOW = {"project": "P", "flow": "Echo", "params": ["你好"]}


@pytest.fixture(autouse=True)
def ipc(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and flows for IPC; and no socket given."""
    settings = directory / "settings.py"
    text = settings.read_text("utf-8").replace('"type": "net"', '"type": "ipc"')
    settings.write_text(text, "utf-8")
    for flow in (directory / "flows/P").iterdir():
        flow.write_text(flow.read_text("utf-8").replace("(19, 0,", "(0, 19,"), "utf-8")
    monkeypatch.delenv("SMARTBUS_IPC_SOCKET", raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The socket that everybody is told to use."""
    path = tmp_path / "ipc"
    monkeypatch.setenv("SMARTBUS_IPC_SOCKET", str(path))
    return path


@pytest.fixture
def embedded(run: Run) -> Program:
    program = run("--embedded")
    program.until_says("Stop:")
    program.until_http()
    return program


def private(program: Program) -> list[Path]:
    return list((program.directory / "tmp").iterdir())


def test_a_flow_calls_a_method_of_an_embedded_daemon(embedded: Program) -> None:
    (directory,) = private(embedded)
    assert f"SMARTBUS_IPC_SOCKET={directory}/socket" in embedded.text()
    assert "client 19 of unit 0, command type 211" in embedded.text()
    assert '"params": ["Hello", "Flow", 0, 19]' in embedded.text()
    assert (directory.stat().st_mode & 0o777) == 0o700
    assert embedded.http("/api/flow", FLOW)["ack"] == 1
    assert embedded.until(embedded.answers)[0]["result"] == "你好"
    embedded.process.terminate()
    assert embedded.wait() == 0
    assert private(embedded) == []
    assert "Traceback" not in embedded.text()


def test_a_forced_end_tidies_up(embedded: Program) -> None:
    embedded.http("/api/flow", {"project": "P", "flow": "Sleep", "params": [60]})
    embedded.until((embedded.directory / "started").exists)
    embedded.process.send_signal(signal.SIGINT)
    embedded.until_says("SIGINT: stopping")

    def again() -> bool:
        embedded.process.send_signal(signal.SIGINT)
        return embedded.process.poll() is not None

    embedded.until(again)
    assert embedded.wait() == 5
    assert private(embedded) == []


def test_an_embedded_bus_on_a_given_socket(path: Path, run: Run) -> None:
    program = run("--embedded")
    program.until_says("Stop:")
    assert f"SMARTBUS_IPC_SOCKET={path}" in program.text()
    assert private(program) == []
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    second = run("--embedded")
    assert second.wait() == 4
    assert "Is the daemon running already? Else change SMARTBUS_IPC_SOCKET" in second.text()
    assert "Traceback" not in second.text()
    program.process.terminate()
    assert program.wait() == 0
    assert not path.exists()


def test_a_bus_that_is_restarted(path: Path, run: Run) -> None:
    """Daemon, bus and IPSC are three processes."""
    where = f"127.0.0.1:{free_port()}"

    def start_bus() -> Program:
        bus = run("bus", "--listen", where, "--ipc", str(path), program=SMARTBUS)
        bus.until_says(f"IPC on {path};")
        return bus

    daemon = run()
    daemon.until_says("trying again")
    daemon.until_http()
    bus = start_bus()
    ipsc = run("ipsc", "--bus", where, program=("-u", *SMARTBUS))

    def call(number: int) -> None:
        daemon.until(lambda: daemon.text().count("IPSC process 0 of unit 0 is here") == number)
        assert daemon.http("/api/flow", FLOW)["ack"] == 1
        daemon.until(lambda: len(daemon.answers()) == number)

    call(1)
    bus.process.send_signal(signal.SIGKILL)  # leaves its socket behind
    bus.wait()
    daemon.until_says(f"lost its connection to {path}")
    bus = start_bus()
    call(2)
    assert [answer["result"] for answer in daemon.answers()] == ["你好", "你好"]
    for program in (daemon, ipsc, bus):
        program.process.send_signal(signal.SIGINT)
        assert program.wait() == 0, program.text()
        assert "Traceback" not in program.text()
    assert not path.exists()


def test_a_socket_name_that_is_too_long(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTBUS_IPC_SOCKET", "/" + "x" * 200)
    program = run()
    assert program.wait() == 4
    assert "the bus client does not start: " in program.text()
    assert "xxx" in program.text()
    assert "Traceback" not in program.text()
    program = run("--embedded")
    assert program.wait() == 4
    assert "the embedded bus does not start: cannot listen on /xxx" in program.text()
