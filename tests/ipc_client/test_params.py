"""``params``: how long an acknowledgement is waited for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from smartbus.ipc import Client
from tests.behaviour.ipsc import Ipsc
from tests.ipc_client.recorder import connected

if TYPE_CHECKING:
    from smartbus.bus import Bus
    from tests.ipc_client.kinds import Kind

WAIT = "FlowAckTimeout=50"


@pytest.mark.parametrize("params", [WAIT, f" Wire = 2015 ; {WAIT};x"])
def test_flow_ack_timeout(bus: Bus, params: str) -> None:
    client = connected(library="core", params=params)
    with Ipsc(bus):
        call = client.launch_flow(3, 0, "Project", "silent", 0, 0.9, [])
        client.record.expect("flow_timeout", call)
        told = [event[0] for event in client.record.events if event[0].startswith("flow")]
        # By itself the wait lasts a second at least, and would end after the call's own.
        assert told == ["flow_ack", "flow_timeout"]
        assert client.record.expect("flow_ack", call)[2] == -25


def test_nothing_is_said_without_params(
    path: str, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    for params in (None, ""):
        Client.create(5, 18, params=params, **kind)
        Client.destroy()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_library_that_takes_none(path: str, kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    Client.create(5, 18, params=WAIT, **kind)
    told = [record for record in caplog.records if WAIT in record.getMessage()]
    assert len(told) == (0 if kind == {"library": "core", "abi": False} else 1)
    assert all("takes no params" in record.getMessage() for record in told)
