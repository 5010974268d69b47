"""The program itself, as a process: `sbusr_run.py` with everything real around it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from smartbus.testing import waiting

ROOT = Path(__file__).parent.parent.parent
PROGRAM = str(ROOT / "sbusr_run.py")
TIMEOUT = 1.5 * waiting.TIMEOUT

ECHO_FLOW = """
request = {"jsonrpc": "2.0", "id": uuid(), "method": "%s", "params": %s}
smartbusSendData(19, 0, -1, 1, 211, json.dumps(request))
res = AsynchInvoke(SmartbusWaitNotify(request["id"], 0, 20000))
with open("answer", "a") as file: file.write(res + "\\n")
"""


METHODS = """
import time
from pathlib import Path

def echo(*args):
    return " ".join(args)

def sleep(seconds):
    Path("started").touch()
    time.sleep(seconds)
"""


_numbers = itertools.count(1)


class Program:
    """A running program, ``sbusr_run.py`` or another, in a directory of its own."""

    def __init__(self, directory: Path, *args: str, program: Sequence[str] = (PROGRAM,)) -> None:
        self.directory = directory
        self.output = directory / f"output {next(_numbers)}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *program, *args],
                cwd=directory,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.http_port = 0

    def text(self) -> str:
        return self.output.read_text("utf-8")

    def until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + TIMEOUT
        while not (value := condition()):
            assert time.monotonic() < deadline, self.text()
            assert self.process.poll() is None, self.text()
            time.sleep(0.01)
        return value

    def until_says(self, text: str) -> None:
        self.until(lambda: text in self.text())

    def until_http(self) -> None:
        """Wait until it serves HTTP, and note where."""
        self.until_says("HTTP on ")
        self.http_port = int(self.text().split("HTTP on ")[1].split()[0].rpartition(":")[2])

    def http(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(url, data, timeout=TIMEOUT) as response:
            return json.load(response)

    def answers(self) -> list[Any]:
        path = self.directory / "answer"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait(self) -> int:
        return self.process.wait(TIMEOUT)

    def workers(self) -> list[int]:
        return [pid for pid, command in children(self.process.pid) if "sbusr.worker" in command]


def children(parent: int) -> list[tuple[int, str]]:
    """Process id and command of each child."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            stat = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            if int(stat[1]) == parent and stat[0] != "Z":
                command = Path("/proc", entry, "cmdline").read_bytes()
                found.append((int(entry), command.replace(b"\0", b" ").decode()))
    return found
