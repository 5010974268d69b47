"""Forks, and processes that end without tidying up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from smartbus.bus import Bus
from tests.net.recorder import DEADLINE

ROOT = Path(__file__).parents[2]


def run_python(code: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE * 2,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    result["stderr"] = done.stderr
    return result


FORK = """
import json, os, stat, sys, warnings
def sockets():
    count = 0
    for fd in range(256):
        try:
            count += stat.S_ISSOCK(os.fstat(fd).st_mode)
        except OSError:
            pass
    return count
before = sockets()
from smartbus.errors import NotInitializedError, SmartBusError
from smartbus.net import Client
host, port, abi = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "abi"
warnings.simplefilter("ignore", DeprecationWarning)  # about forking with threads
Client.initialize(20, library="core", abi=abi)
client = Client.create(1, 18, host, port)
client.activate()
client.wait_connected(20)
read, write = os.pipe()
child = os.fork()
if child == 0:
    told = [abi or sockets() == before]
    for call in (
        lambda: client.send_data(1, 3, 0, 0, 2, b""),
        lambda: Client.create(2, 18, host, port),
    ):
        try:
            call()
            told.append("went through")
        except SmartBusError as error:
            told.append(error.name)
    told.append(Client.find(1) is None)
    if not abi:
        Client.initialize(21, library="core")
        other = Client.create(1, 18, host, port)
        other.activate()
        other.wait_connected(20)
        told.append(other.connected)
        Client.finalize()
    os.write(write, json.dumps(told).encode())
    os._exit(0)
os.waitpid(child, 0)
client.ping(0, 0, 1)
told = json.loads(os.read(read, 1000))
print(json.dumps({"child": told, "parent": client.connected}))
client.release()
Client.finalize()
"""


def test_a_forked_child_leaves_the_parents_library_alone(kind: str, bus: Bus) -> None:
    result = run_python(FORK, bus.host, str(bus.port), kind)
    errors = ["SMARTBUS_ERR_CLIENT_NOT_FOUND", "SMARTBUS_ERR_NOT_INITIALIZED"]
    assert result["child"] == [True, *errors, True, *([True] if kind == "core" else [])]
    assert result["parent"] is True


LEAK = """
import json, sys
from smartbus.net import Client
Client.initialize(20, library="core")
client = Client.create(1, 18, sys.argv[1], int(sys.argv[2]))
client.activate()
client.wait_connected(20)
print(json.dumps({"connected": client.connected}))
"""


def test_a_process_that_forgets_to_finalize_ends_and_is_told(bus: Bus) -> None:
    result = run_python(LEAK, bus.host, str(bus.port))
    assert result["connected"] is True
    assert "NET client(s) 1 were not released" in result["stderr"]
