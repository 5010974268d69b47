"""Forks, and processes that end without tidying up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from smartbus.bus import Bus
from smartbus.testing import FlowHost
from tests.net.orphans import CALLS
from tests.net.recorder import DEADLINE, connected

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
from smartbus.net import Client
from tests.net.orphans import caught, complaints
host, port, abi = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "abi"
warnings.simplefilter("ignore", DeprecationWarning)  # about forking with threads
Client.initialize(20, library="core", abi=abi)
client = Client.create(1, 18, host, port)
client.activate()
client.wait_connected(20)
future = client.call_flow(0, 0, "Project1", "Wait", timeout=30)
future.acknowledged.result(20)
read, write = os.pipe()
child = os.fork()
if child == 0:
    told = {"sockets": abi or sockets() == before}
    told["client"] = complaints(client, future)
    told["find"] = repr(Client.find(1))
    told["create"] = str(caught(Client.create, 2, 18, host, port))
    client.release()  # these have nothing to do
    Client.finalize()
    error = caught(Client.initialize, 21, library="core", abi=abi)
    told["initialize"] = str(error)
    if error is None:
        other = Client.create(1, 18, host, port)
        other.activate()
        other.wait_connected(20)
        other.ping(0, 0, 1)
        Client.finalize()
        told["afterwards"] = str(caught(Client.create, 2, 18, host, port))
    os.write(write, json.dumps(told).encode())
    os._exit(0)
os.waitpid(child, 0)
client.ping(0, 0, 1)
told = json.loads(os.read(read, 10000))
client.notify(0, 0, "", "go on", 0, 20.0, "x")
print(json.dumps({"child": told, "parent": future.result(20)}))
client.release()
Client.finalize()
"""


def test_a_forked_child_leaves_the_parents_library_alone(
    kind: str, bus: Bus, smartbus_ipsc: FlowHost
) -> None:
    smartbus_ipsc.write(
        "Project1", "Wait", "AsynchInvoke(SmartbusWaitNotify('go on', 0, 30000)); result = ['on']"
    )
    result = run_python(FORK, bus.host, str(bus.port), kind)
    assert result["parent"] == ["on"]
    child = result["child"]
    assert (child["sockets"], child["find"]) == (True, "None")
    assert set(child["client"]) == CALLS
    for call, told in child["client"].items():
        assert "belongs to the parent of this forked process" in told, call
        assert "call Client.initialize() here" in told, call
    assert child["create"].startswith("SMARTBUS_ERR_NOT_INITIALIZED (-14): the library belongs to")
    if kind == "core":
        assert child["initialize"] == "None"
        assert child["afterwards"].endswith("call Client.initialize(unit_id) first")
    else:  # the vendor's interface has no second beginning
        assert (
            'use the core, or start processes with multiprocessing\'s "spawn"'
            in child["initialize"]
        )


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


TAKEN = """
import json, sys
from smartbus.errors import RegisteredTwiceError
from smartbus.net import Client
Client.initialize(20, library="core", abi=sys.argv[3] == "abi")
client = Client.create(1, 18, sys.argv[1], int(sys.argv[2]))
client.activate()
try:
    client.wait_connected(20)
except RegisteredTwiceError as error:
    print(json.dumps({"message": error.message}))
Client.finalize()
"""


def test_a_client_id_that_another_process_has(kind: str, net: str, bus: Bus) -> None:
    with connected(bus) as first:
        result = run_python(TAKEN, bus.host, str(bus.port), kind)
        assert result["message"] == (
            f"{bus.address} refused client 1: registered twice; another process is registered with "
            "this client id: choose another client id (or unit), or end that process"
        )
        assert result["message"] + "; not trying again" in result["stderr"]  # it is logged, too
        assert first.connected
