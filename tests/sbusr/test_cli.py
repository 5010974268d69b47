"""The program itself, as a process: `sbusr_run.py` with everything real around it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sbusr import __version__
from smartbus.testing.waiting import PATIENCE
from tests.sbusr.program import PROGRAM, TIMEOUT, Program, children

COMMAND = "from sbusr.cli import main; sys.exit(main())"
"""What the installed command ``sbusr`` does."""


@pytest.fixture
def embedded(run: Callable[..., Program]) -> Program:
    program = run("--embedded")
    program.until_says("Stop:")
    program.until_http()
    return program


def test_version_and_help(run: Callable[..., Program]) -> None:
    for option, text in (
        ("-V", f"sbusr {__version__}\n"),
        ("--version", f"sbusr {__version__}\n"),
        ("-h", "--no-web-server"),
        ("--help", "--embedded"),
    ):
        program = run(option)
        assert program.wait() == 0
        assert text in program.text()


def test_unknown_option(run: Callable[..., Program]) -> None:
    program = run("--nonsense")
    assert program.wait() == 2
    assert "--nonsense" in program.text()


def test_flow_calls_method_and_gets_the_answer(embedded: Program) -> None:
    started = embedded.http("/api/flow", {"project": "P", "flow": "Echo", "params": ["你好"]})
    assert started["ack"] == 1
    assert embedded.until(embedded.answers)[0]["result"] == "你好"
    assert (embedded.directory / "logs/log").exists()


def test_methods_are_reloaded(embedded: Program) -> None:
    (old,) = embedded.workers()
    (new,) = embedded.http("/sys/reset")["workers"]
    assert new != old
    embedded.until(lambda: embedded.workers() == [new])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whole_group", [True, False])
def test_signals_stop_cleanly(embedded: Program, number: signal.Signals, whole_group: bool) -> None:
    flow = {"project": "P", "flow": "Sleep", "params": [0.5]}
    embedded.http("/api/flow", flow)
    everyone = [embedded.process.pid, *(pid for pid, _ in children(embedded.process.pid))]
    embedded.until((embedded.directory / "started").exists)
    began = time.monotonic()
    for pid in everyone if whole_group else everyone[:1]:
        os.kill(pid, number)
    assert embedded.wait() == 0, embedded.text()
    assert time.monotonic() - began < 5 * PATIENCE
    assert "Traceback" not in embedded.text()
    assert "Exception" not in embedded.text()
    for pid in everyone[1:]:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_stop_answers_what_was_accepted(embedded: Program) -> None:
    embedded.http("/api/flow", {"project": "P", "flow": "Sleep", "params": [1]})
    embedded.until((embedded.directory / "started").exists)
    embedded.process.terminate()
    assert embedded.wait() == 0
    assert [answer.get("result", "missing") for answer in embedded.answers()] == [None]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_that_arrives_twice_does_not_force(
    embedded: Program, number: signal.Signals
) -> None:
    embedded.http("/api/flow", {"project": "P", "flow": "Sleep", "params": [1]})
    embedded.until((embedded.directory / "started").exists)
    embedded.process.send_signal(number)
    embedded.until(lambda: f"{number.name}: stopping" in embedded.text())
    embedded.process.send_signal(number)
    assert embedded.wait() == 0
    assert [answer.get("result", "missing") for answer in embedded.answers()] == [None]


def test_long_calls_are_cut_off_after_a_while(embedded: Program) -> None:
    embedded.http("/api/flow", {"project": "P", "flow": "Sleep", "params": [60]})
    embedded.until((embedded.directory / "started").exists)
    began = time.monotonic()
    embedded.process.send_signal(signal.SIGINT)
    assert embedded.wait() == 0
    assert time.monotonic() - began < 5 * PATIENCE
    assert [answer["error"]["code"] for answer in embedded.answers()] == [-32003]
    assert "Traceback" not in embedded.text()


def test_second_signal_forces(embedded: Program) -> None:
    embedded.http("/api/flow", {"project": "P", "flow": "Sleep", "params": [60]})
    embedded.until((embedded.directory / "started").exists)
    embedded.process.send_signal(signal.SIGINT)
    embedded.until(lambda: "SIGINT: stopping" in embedded.text())

    def again() -> bool:
        embedded.process.send_signal(signal.SIGINT)
        return embedded.process.poll() is not None

    embedded.until(again)
    assert embedded.wait() == 5
    assert "Traceback" not in embedded.text()


def test_nothing_survives_a_killed_daemon(embedded: Program) -> None:
    embedded.http("/api/flow", {"project": "P", "flow": "Sleep", "params": [60]})
    embedded.until((embedded.directory / "started").exists)
    everyone = [pid for pid, _ in children(embedded.process.pid)]
    assert len(everyone) >= 2
    embedded.process.kill()
    embedded.wait()
    deadline = time.monotonic() + TIMEOUT
    while any(Path("/proc", str(pid)).exists() for pid in everyone):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_without_web_server(run: Callable[..., Program]) -> None:
    program = run("--embedded", "-W", "-v")
    program.until(lambda: "Stop:" in program.text())
    assert "HTTP" not in program.text()
    assert "DEBUG" in program.text()
    program.process.terminate()
    assert program.wait() == 0


def test_bus_that_is_not_there_yet(run: Callable[..., Program]) -> None:
    program = run()
    program.until(lambda: "trying again" in program.text())
    program.process.terminate()
    assert program.wait() == 0
    assert "Traceback" not in program.text()


def test_settings_with_a_mistake(run: Callable[..., Program], directory: Path) -> None:
    path = directory / "settings.py"
    path.write_text(path.read_text("utf-8").replace('"type": "net"', '"type": "udp"'), "utf-8")
    program = run()
    assert program.wait() == 3
    assert 'SMARTBUS_CONFIG.type: \'udp\' is neither "net" nor "ipc"' in program.text()
    assert "Traceback" not in program.text()


def test_packages_that_are_missing(run: Callable[..., Program]) -> None:
    """The library alone is installed, without what the daemon needs."""
    program = run(program=("-c", f"import sys; sys.modules['tornado'] = None; {COMMAND}"))
    assert program.wait() == 4
    assert "pip install 'smartbus-client-python[daemon]'" in program.text()
    assert "Traceback" not in program.text()


@pytest.mark.parametrize(
    "program",
    [(PROGRAM,), ("-c", f"import sys; {COMMAND}")],
    ids=["sbusr_run.py", "sbusr"],
)
def test_ctrl_c_while_it_starts(
    run: Callable[..., Program], directory: Path, program: tuple[str, ...]
) -> None:
    with (directory / "settings.py").open("a", encoding="utf-8") as settings:
        settings.write(
            "import os, signal\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # it may be ignored here
            "os.kill(os.getpid(), signal.SIGINT)\n"
        )
    started = run(program=program)
    assert started.wait() == 130
    assert started.text() == ""


def test_no_flows(run: Callable[..., Program]) -> None:
    program = run("--embedded", "--flows", "nowhere")
    assert program.wait() == 4
    assert "there is no directory nowhere with flow scripts" in program.text()


def test_address_of_the_bus_in_use(embedded: Program, run: Callable[..., Program]) -> None:
    program = run("--embedded")
    assert program.wait() == 4
    assert "in use. Is the daemon running already?" in program.text()
    assert "Errno" not in program.text()
    assert "Traceback" not in program.text()
