"""Flow calls of NET clients, and their answers."""

from __future__ import annotations

import time
from typing import Any

from smartbus.wire import Address, Cmd, CmdType, FlowAck, FlowCall, FlowReturn
from tests.abi.server import Peer
from tests.abi.world import ARG, World

IPSC = Address(0, 7, 2)
#: Time-outs under which nothing times out while a row runs (ms). An ack is waited for 5 s.
LONG = 600_000
#: The vendor's library loses answers that come at once (7.4).
DELAY = 0.02


def call(
    world: World,
    mode: int = 0,
    timeout: int = LONG,
    params: bytes | None = b"[]",
    unit: int = 0,
    client: int = 3,
    project: bytes | None = b"Project1",
    flow: bytes | None = b"flow-a",
    process: int = 7,
) -> Any:
    """Call a flow."""
    arguments = (client, unit, process, project, flow, mode, timeout, params)
    return world.library.call("RemoteInvokeFlow", *arguments)


def received(peer: Peer) -> FlowCall:
    """The next frame is a call."""
    frame = peer.frame()
    assert (frame.cmd_type, frame.cmd) == (CmdType.SYSTEM, Cmd.FLOW_CALL)
    assert frame.dst[2] == 2
    time.sleep(DELAY)
    return FlowCall.decode(frame.data)


def ack(peer: Peer, number: int, code: int = 1, text: bytes = b"") -> None:
    peer.system(Cmd.FLOW_ACK, FlowAck(b"other", number, code, text).encode(), IPSC)


def give_back(peer: Peer, number: int, text: bytes = b"[]") -> None:
    peer.system(Cmd.FLOW_RETURN, FlowReturn(b"other", number, text).encode(), IPSC)


def finish(world: World, peer: Peer, *numbers: int) -> None:
    """Acknowledge these calls and return from them."""
    for number in numbers:
        ack(peer, number)
        world.library.expect("flow_ack", ARG, 3, ..., ..., number, 1, b"")
        give_back(peer, number)
        world.library.expect("flow_ret", ARG, 3, ..., ..., number, 1, b"[]")
