"""Forks, and processes that end without tidying up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from smartbus.bus import Bus
from smartbus.ipc import Client
from tests.ipc_client.kinds import KINDS
from tests.net.orphans import CALLS
from tests.net.recorder import DEADLINE
from tests.net.test_processes import ROOT, run_python

FORK = """
import json, os, sys, warnings
from pathlib import Path
from smartbus.ipc import Client
from tests.ipc_client.kinds import arguments
from tests.net.orphans import caught, complaints

warnings.simplefilter("ignore", DeprecationWarning)  # about forking with threads
kind = arguments(sys.argv[1], Path(sys.argv[2]))
client = Client.create(5, 18, **kind)
client.activate()
client.wait_connected(20)
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    told = {"client": complaints(client, None), "get": str(caught(Client.get))}
    client.dispose()  # these have nothing to do
    Client.destroy()
    error = caught(Client.create, 6, 18, **kind)
    told["create"] = str(error)
    if error is None:
        other = Client.get()
        other.activate()
        other.wait_connected(20)
        other.dispose()
        told["afterwards"] = str(caught(Client.get))
    os.write(write, json.dumps(told).encode())
    os._exit(0)
os.waitpid(pid, 0)
client.ping(3, 0, 1)
print(json.dumps({"child": json.loads(os.read(read, 10000)), "connected": client.connected}))
client.dispose()
"""

LEFT = """
import atexit, json, sys, warnings
from pathlib import Path
from smartbus.ipc import Client
from tests.ipc_client.kinds import arguments

class Leaving(Client):
    def on_connect(self):
        self.ping(3, 0, 1)

client = Leaving.create(5, 18, **arguments(sys.argv[1], Path(sys.argv[2])))
client.activate()
client.wait_connected(20)
warnings.simplefilter("default")
print(json.dumps({"unit": client.unit_id}))
"""


LOOKING = """
import sys, threading
from pathlib import Path
from smartbus.ipc import Client
from tests.ipc_client.kinds import arguments

failed = threading.Event()

class Looking(Client):
    def on_connect_fail(self, error_code):
        failed.set()

client = Looking.create(5, 18, **arguments(sys.argv[1], Path(sys.argv[2])))
client.activate()
failed.wait(20)
print("looking")
Client.destroy()
sys.exit(7)
"""

QUIET = """
import json, socket, sys, threading
from pathlib import Path
from smartbus._c import thunks
from smartbus.ipc import Client
from tests.ipc_client.kinds import arguments

class Looking(Client):
    def on_connect_fail(self, error_code):
        failed.set()

class Ear:
    def offer(self, event):
        heard.append(event)

failed, heard = threading.Event(), []
client = Looking.create(5, 18, **arguments("thunks", Path(sys.argv[1])))
client.activate()
failed.wait(20)
Client.destroy()
thunks._trace_queue.append(Ear())
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[2])
    listener.listen()
    for _ in range(3):
        with listener.accept()[0] as connection:
            connection.sendall(bytes(64))  # no frame: the library's error trace tells of it
            while connection.recv(1000):
                pass
print(json.dumps({"heard": [str(event) for event in heard]}))
"""


TAKEN = """
import json, sys
from pathlib import Path
from smartbus.errors import ClientExistsError
from smartbus.ipc import Client
from tests.ipc_client.kinds import arguments

client = Client.create(0, 18, **arguments(sys.argv[1], Path(sys.argv[2])))
client.activate()
try:
    client.wait_connected(20)
except ClientExistsError as error:
    print(json.dumps({"message": error.message}))
Client.destroy()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_fork(bus: Bus, kind: str, tmp_path: Path) -> None:
    result = run_python(FORK, kind, str(tmp_path))
    assert result["connected"] is True
    child = result["child"]
    assert set(child["client"]) == CALLS - {"result"}
    for call, told in (*child["client"].items(), ("get", child["get"])):
        assert "belongs to the parent of this forked process: create() another" in told, call
    if kind == "core":
        assert child["create"] == "None"
        assert child["afterwards"].endswith("there is no IPC client; create() one first")
    else:
        assert 'use the core, or start processes with multiprocessing\'s "spawn"' in child["create"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_was_left(bus: Bus, kind: str, tmp_path: Path) -> None:
    result = run_python(LEFT, kind, str(tmp_path))
    assert result["unit"] == 3
    assert "was not disposed of" in result["stderr"]
    assert "Traceback" not in result["stderr"]


@pytest.mark.parametrize("kind", ["vendor", "thunks"])
def test_a_client_that_still_looked_for_its_server(path: str, kind: str, tmp_path: Path) -> None:
    """A vendor's library cannot be stopped then; the process ends with its own exit code."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOOKING, kind, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "looking\n")
    assert "Traceback" not in done.stderr


def test_a_library_that_goes_on_does_not_enter_python(path: str, tmp_path: Path) -> None:
    """It would crash when Python has ended."""
    assert run_python(QUIET, str(tmp_path), path)["heard"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_id_that_another_process_has(bus: Bus, kind: str, tmp_path: Path) -> None:
    with Client.create(0, 18, library="core") as first:
        first.wait_connected(DEADLINE)
        result = run_python(TAKEN, kind, str(tmp_path))
        assert f"{bus.ipc_path} refused client 0: client exists already" in result["message"]
        assert "choose another client id" in result["message"]
        assert first.connected
