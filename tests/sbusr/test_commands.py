"""The commands that talk to a running daemon: real processes, over HTTP and over the bus."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.ports import free_port
from tests.sbusr.program import ECHO_FLOW, Program

Run = Callable[..., Program]


@pytest.fixture
def daemon(run: Run) -> Program:
    program = run("run", "--embedded", "--pid-file", "pid")
    program.until_says("Stop:")
    program.until_says(") is ready")  # its worker process
    program.until_http()
    return program


def outcome(program: Program) -> tuple[int, Any]:
    """Exit code, and the line of JSON that was printed."""
    return program.wait(), json.loads(program.text())


# ---- status ------------------------------------------------------------------------------------


def test_status_of_a_daemon_that_is_ready(run: Run, daemon: Program) -> None:
    assert run("call", "echo", '"a"').wait() == 0

    def status() -> Any:
        code, value = outcome(run("status", "--json"))
        assert (code, value["status"], value["missing"]) == (0, "ready", [])
        assert value["numbers"]["bus"] == {"0": True}
        assert value["numbers"]["workers"] == {"ready": 1}
        assert [each["pid"] for each in value["numbers"]["memory"]] == daemon.workers()
        return value["numbers"]["requests"]

    (request,) = daemon.until(status)  # workers report once a second
    assert (request["method"], request["outcome"], request["count"]) == ("echo", "ok", 1)
    assert 0 < request["mean"] < 10
    program = run("status")
    assert program.wait() == 0
    assert program.text().startswith("ready\n")
    assert "\x1b" not in program.text()  # it is no terminal
    for text in ("client 0 up", "ready 1", "1 requests", f"pid {daemon.workers()[0]}"):
        assert text in program.text()


def test_status_of_a_daemon_that_is_not_ready(run: Run) -> None:
    daemon = run()
    daemon.until_http()
    program = run("status")
    assert program.wait() == 1
    assert program.text().startswith("not ready: no bus client is connected")


def test_status_of_no_daemon(run: Run) -> None:
    program = run("status")
    assert program.wait() == 4
    assert "no answer from http://127.0.0.1:" in program.text()
    for url in ("ftp://x", "http://x:y", "127.0.0.1:8080"):
        assert run("status", "--url", url).wait() == 3
    assert run("status", "--url", f"http://127.0.0.1:{free_port()}").wait() == 4


# ---- reload ------------------------------------------------------------------------------------


def test_reload(run: Run, daemon: Program, directory: Path) -> None:
    (old,) = daemon.workers()
    code, value = outcome(run("reload", "--json"))
    assert code == 0
    daemon.until(lambda: daemon.workers() == value["workers"])
    assert old not in value["workers"]
    program = run("reload")
    assert program.wait() == 0
    daemon.until(lambda: len(daemon.workers()) == 1)
    assert program.text() == f"reloaded; new worker processes: {daemon.workers()[0]}\n"


def test_reload_of_methods_with_a_mistake(run: Run, daemon: Program, directory: Path) -> None:
    workers = daemon.workers()
    with (directory / "methods/__init__.py").open("a") as file:
        file.write("\nraise RuntimeError('not today')\n")
    program = run("reload")
    assert program.wait() == 1
    assert program.text().startswith("not reloaded: ")
    assert "raise RuntimeError('not today')" in program.text()
    code, value = outcome(run("reload", "--json"))
    assert code == 1
    assert "RuntimeError: not today" in value["error"]["traceback"]
    daemon.until(lambda: daemon.workers() == workers)
    assert run("call", "echo", '"a"').wait() == 0


# ---- call --------------------------------------------------------------------------------------


def test_call(run: Run, daemon: Program) -> None:
    program = run("call", "echo", '"你好"', '"there"')
    assert (program.wait(), program.text()) == (0, '"你好 there"\n')
    code, value = outcome(run("call", "--json", "echo", '"x"'))
    assert (code, value["result"]) == (0, "x")
    code, value = outcome(run("call", "--json", "--named", "sleep", "seconds=0"))
    assert (code, value["result"]) == (0, None)
    program = run("call", "sleep")
    assert program.wait() == 1
    assert program.text().startswith("error -32602: ")
    assert "'seconds' is missing" in program.text()
    code, value = outcome(run("call", "--json", "no.such", "1"))
    assert (code, value["error"]["code"]) == (1, -32601)
    program = run("call", "--timeout", "0.1", "--to", "19:7", "echo")
    assert program.wait() == 4
    assert "no reply within 0.1 s" in program.text()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["echo", "text"], "'text' is no JSON; as a text it is '\"text\"'"),
        (["--named", "echo", "1"], "'1' is not NAME=VALUE"),
        (["--to", "x", "echo"], "--to 'x': expected UNIT:CLIENT"),
        (["--bus", "x", "echo"], "bad server address"),
        (["--process", "300", "echo"], "client id 300 is not in 0..255"),
        (["--timeout", "-1", "echo"], "connect"),
    ],
)
def test_call_with_wrong_arguments(run: Run, args: list[str], text: str) -> None:
    program = run("call", *args)
    assert program.wait() == 2
    assert text in program.text()
    assert "Traceback" not in program.text()


def test_call_without_a_bus(run: Run) -> None:
    program = run("call", "--timeout", "0.2", "echo")
    assert program.wait() == 4
    assert "sbusr: no reply: not connected" in program.text()


def test_call_refuses_flows(run: Run, daemon: Program, directory: Path) -> None:
    call = run("call", "--process", "9", "sleep", "2")
    daemon.until((directory / "started").exists)
    with pytest.raises(HTTPError) as caught:
        daemon.http("/api/flow", {"project": "P", "flow": "F", "server": 0, "process": 9})
    error = json.load(caught.value)["error"]
    caught.value.close()
    assert (error["status"], error["code"]) == (502, -1)
    assert "no flows" in error["msg"]
    assert (call.wait(), call.text()) == (0, "null\n")


# ---- stop --------------------------------------------------------------------------------------


def test_stop(run: Run, daemon: Program, directory: Path) -> None:
    assert (directory / "pid").read_text() == f"{daemon.process.pid}\n"
    second = run("run", "--pid-file", "pid")
    assert second.wait() == 4
    assert f"pid belongs to a running process: {daemon.process.pid}" in second.text()
    program = run("stop", "--pid-file", "pid")
    assert program.wait() == 0
    assert program.text() == f"process {daemon.process.pid} has stopped\n"
    assert daemon.wait() == 0
    assert not (directory / "pid").exists()
    program = run("stop", "--pid-file", "pid")
    assert program.wait() == 4
    assert "no daemon runs" in program.text()


def test_stop_that_takes_too_long(run: Run, daemon: Program, directory: Path) -> None:
    (directory / "flows/P/Long.py").write_text(ECHO_FLOW % ("sleep", "[60]"), "utf-8")
    daemon.http("/api/flow", {"project": "P", "flow": "Long"})
    daemon.until((directory / "started").exists)
    program = run("stop", "--pid-file", "pid", "--timeout", "0.1")
    assert program.wait() == 1
    assert f"process {daemon.process.pid} still runs" in program.text()
    assert daemon.wait() == 0


def test_pid_file_that_cannot_be_written(run: Run) -> None:
    program = run("--pid-file", "nowhere/pid")
    assert program.wait() == 4
    assert "the pid file nowhere/pid cannot be written" in program.text()


# ---- others ------------------------------------------------------------------------------------


def test_command_that_is_not_there(run: Run) -> None:
    program = run("chekc")
    assert program.wait() == 2
    assert "there is no command 'chekc'; did you mean check?" in program.text()


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("run", "--embedded"),
        ("check", "--json"),
        ("status", "--url"),
        ("reload", "--url"),
        ("stop", "--pid-file"),
        ("call", "--to"),
        ("bus", "--listen"),
        ("ipsc", "--flows"),
    ],
)
def test_help(run: Run, command: str, text: str) -> None:
    program = run(command, "-h")
    assert program.wait() == 0
    assert text in program.text()
    assert f"sbusr_run.py {command if command != 'run' else ''}" in program.text()
    if command not in {"bus", "ipsc"}:
        assert "exit codes:\n  0" in program.text()


def test_bus_and_stand_in_ipsc(run: Run) -> None:
    address = f"127.0.0.1:{free_port()}"
    bus = run("bus", "--listen", address)
    bus.until_says(f"on {address}")
    ipsc = run("ipsc", "--bus", address)
    ipsc.until_says(f"on the bus {address}")
    for program in (ipsc, bus):
        program.process.terminate()
        assert program.wait() == 0
