"""``python -m smartbus ipsc``, as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.aio import SmartBusClient
from smartbus.bus import Bus
from smartbus.testing.waiting import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


class Command:
    """A running command."""

    def __init__(self, *args: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "smartbus", "ipsc", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"} | environment,
        )

    def ready(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "Stand-in IPSC" in line, self.end()
        return line

    def end(self) -> tuple[int, str, str]:
        """Wait for the end: exit code, output, errors. It takes 3 s at most, on an idle machine."""
        out, err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, out, err

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def commands() -> Iterator[list[Command]]:
    commands: list[Command] = []
    yield commands
    for command in commands:
        command.kill()


def call(bus: Bus, flow: str, *params: Any, mode: int = 0) -> list[Any]:
    async def main() -> list[Any]:
        async with SmartBusClient(bus.host, bus.port, 20, 0, 20) as client:
            if mode:
                return [await client.launch_flow(0, 0, "P", flow, params, mode=mode)]
            return await client.call_flow(0, 0, "P", flow, params)

    return asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_runs_until_a_signal(
    bus: Bus, flows: Path, commands: list[Command], number: signal.Signals
) -> None:
    (flows / "P" / "F.py").write_text("Trace('seen'); result = params")
    (flows / "P" / "Wait.py").write_text("AsynchInvoke(SmartbusWaitNotify('never', 0, 3600000))")
    command = Command("--bus", bus.address, "--flows", str(flows))
    commands.append(command)
    assert str(flows) in command.ready()
    assert call(bus, "F", 1, "文") == [1, "文"]
    call(bus, "Wait", mode=1)
    command.process.send_signal(number)
    code, _, err = command.end()
    assert code == 0
    assert "P/F #1: seen" in err
    assert "Traceback" not in err


def test_ends_in_time_with_a_script_that_does_not(
    bus: Bus, flows: Path, commands: list[Command]
) -> None:
    (flows / "P" / "Sleep.py").write_text("import time\ntime.sleep(3600)")
    command = Command("--bus", bus.address, "--flows", str(flows))
    commands.append(command)
    command.ready()
    call(bus, "Sleep", mode=1)
    command.process.terminate()
    code, _, err = command.end()
    assert code == 0
    assert "P/Sleep #1 does not end" in err


def test_waits_for_a_bus_and_stops_while_waiting(flows: Path, commands: list[Command]) -> None:
    with Bus() as bus:
        address = bus.address
    command = Command("--bus", address, "--flows", str(flows))
    commands.append(command)
    assert command.process.stderr is not None
    assert "cannot connect" in command.process.stderr.readline()
    command.process.send_signal(signal.SIGINT)
    code, out, _ = command.end()
    assert (code, out) == (0, "")


def test_registers_as_it_is_told(flows: Path, commands: list[Command]) -> None:
    seen: list[tuple[int, ...]] = []

    def allow(registration: Any) -> int:
        seen.append((registration.unit_id, registration.client_id, registration.client_type))
        return 0 if (registration.user, registration.password) == ("u", b"p") else -6

    with Bus(unit_id=3, users=allow) as bus:
        args = ["--bus", bus.address, "--flows", str(flows), "--unit", "3", "--process", "7"]
        command = Command(*args, "--user", "u", SMARTBUS_PASSWORD="p")
        commands.append(command)
        command.ready()
        assert (3, 7, 2) in seen
        wrong = Command(*args, "--user", "u", "--password", "x")
        commands.append(wrong)
        code, _, err = wrong.end()
        assert code == 1
        assert "refused" in err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--bus", "8089"], 2, "HOST:PORT"),
        (["--bus", ":8089"], 2, "HOST:PORT"),
        (["--bus", "h:x"], 2, "HOST:PORT"),
        (["--bus", "h:70000"], 1, "bad server address"),
        (["--flows", "/nowhere"], 1, "/nowhere is no directory"),
        (["--unit", "16"], 1, "0..15"),
    ],
)
def test_bad_arguments(
    commands: list[Command], flows: Path, args: list[str], code: int, message: str
) -> None:
    command = Command("--flows", str(flows), *args)
    commands.append(command)
    got, _, err = command.end()
    assert got == code
    assert message in err
    assert "Traceback" not in err
