"""An IPC client that writes down what happens to it, and a process that sends back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smartbus.head import Head
from smartbus.ipc import Client
from tests.net.recorder import DEADLINE, Record

ROOT = Path(__file__).parents[2]


class Recorder(Client):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.record = Record()
        super().__init__(*args, **kwargs)

    def on_connect(self) -> None:
        self.record.add("connect")

    def on_connect_fail(self, error_code: int) -> None:
        self.record.add("connect_fail", error_code)

    def on_disconnect(self) -> None:
        self.record.add("disconnect")

    def on_data(self, head: Head, data: bytes) -> None:
        self.record.add("data", data, head)

    def on_flow_ack(
        self, head: Head | None, project_id: str, invoke_id: int, status_code: int, msg: str
    ) -> None:
        self.record.add("flow_ack", invoke_id, status_code, msg, project_id, head)

    def on_flow_resp(
        self, head: Head | None, project_id: str, invoke_id: int, params: list[Any]
    ) -> None:
        self.record.add("flow_resp", invoke_id, params, project_id, head)

    def on_flow_error(
        self, head: Head | None, project_id: str, invoke_id: int, error_code: int
    ) -> None:
        self.record.add("flow_error", invoke_id, error_code, project_id, head)

    def on_flow_timeout(self, head: Head | None, project_id: str, invoke_id: int) -> None:
        self.record.add("flow_timeout", invoke_id, project_id, head)

    def on_global_connect_state_changed(
        self,
        unit_id: int,
        client_id: int,
        client_type: int,
        access_unit_id: int,
        status_code: int,
        info: str,
    ) -> None:
        self.record.add(
            "global", status_code, unit_id, client_id, client_type, info, access_unit_id
        )


def connected(client_id: int = 5, client_type: int = 18, **more: Any) -> Recorder:
    client = Recorder.create(client_id, client_type, **more)
    client.activate()
    client.wait_connected(DEADLINE)
    return client


ECHO = """
import sys
from smartbus.ipc import Client

class Echo(Client):
    def on_data(self, head, data):
        self.send_data(
            head.cmd + 1, head.cmd_type, head.src_unit_id, head.src_unit_client_id,
            head.src_unit_client_type, data,
        )

with Echo.create(int(sys.argv[1]), 30, info="echo", abi=sys.argv[2] == "abi") as client:
    client.wait_connected(20)
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def echo(client_id: int, *, abi: bool) -> Iterator[None]:
    """Run a process whose IPC client, of type 30, sends data back with the next command."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", ECHO, str(client_id), "abi" if abi else "core"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.communicate(timeout=DEADLINE)  # closes its input
        assert process.returncode == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE)
