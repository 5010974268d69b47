"""Forks, and processes that end without tidying up."""

from __future__ import annotations

import pytest

from smartbus.bus import Bus
from tests.net.test_processes import run_python

FORK = """
import json, os, sys
from smartbus.errors import ClientNotFoundError, NotInitializedError, OtherError
from smartbus.ipc import Client

abi = sys.argv[1] == "abi"
client = Client.create(5, 18, abi=abi)
client.activate()
client.wait_connected(20)
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    found = []
    try:
        client.send_data(1, 3, 3, 0, 1, b"")
    except ClientNotFoundError:
        found.append("released")
    try:
        Client.get()
    except NotInitializedError:
        found.append("none")
    try:
        other = Client.create(6, 18, library="core", abi=abi)
        other.activate()
        other.wait_connected(20)
        other.dispose()
        found.append("connected")
    except OtherError as error:
        found.append("fork" if "fork" in str(error) else str(error))
    os.write(write, json.dumps(found).encode())
    os._exit(0)
os.waitpid(pid, 0)
client.ping(3, 0, 1)
print(json.dumps({"child": json.loads(os.read(read, 4096)), "connected": client.connected}))
client.dispose()
"""

LEFT = """
import json, warnings
from smartbus.ipc import Client
client = Client.create(5, 18)
client.activate()
client.wait_connected(20)
warnings.simplefilter("default")
print(json.dumps({"unit": client.unit_id}))
"""


@pytest.mark.parametrize(("kind", "third"), [("core", "connected"), ("abi", "fork")])
def test_a_fork(bus: Bus, kind: str, third: str) -> None:
    result = run_python(FORK, kind)
    assert result["child"] == ["released", "none", third]
    assert result["connected"] is True


def test_a_client_that_was_left(bus: Bus) -> None:
    result = run_python(LEFT)
    assert result["unit"] == 3
    assert "was not disposed of" in result["stderr"]
