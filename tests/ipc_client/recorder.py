"""An IPC client that writes down what happens to it, and a process that sends back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smartbus.ipc import Client
from tests.net.recorder import DEADLINE, Recording

ROOT = Path(__file__).parents[2]


class Recorder(Recording, Client):
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
from pathlib import Path
from smartbus.ipc import Client
from tests.ipc_client.kinds import arguments

class Echo(Client):
    def on_data(self, head, data):
        self.send_data(
            head.cmd + 1, head.cmd_type, head.src_unit_id, head.src_unit_client_id,
            head.src_unit_client_type, data,
        )

kind = arguments(sys.argv[2], Path(sys.argv[3]))
with Echo.create(int(sys.argv[1]), 30, info="echo", **kind) as client:
    client.wait_connected(20)
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def echo(client_id: int, kind: str, directory: Path) -> Iterator[None]:
    """Run a process whose IPC client, of type 30, sends data back with the next command."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", ECHO, str(client_id), kind, str(directory)],
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
