"""What the tables of IPC.md have in common.

The vendor's library is one of 32 bits, which is not at hand: there is the core alone, and what
the document calls a defect is asserted as the core does it better.
"""

from __future__ import annotations

import socket
from pathlib import Path

from smartbus.wire import Address, Cmd, FlowAck, FlowReturn
from tests.abi.golden import golden
from tests.abi.server import UNIT, Peer, Server
from tests.abi.table import Table
from tests.abi.world import ARG, CLIENT, INFO, PASSWORD, USER, World

#: The client under test, once it is registered: the server gives it the unit.
ME = Address(UNIT, CLIENT.client_id, CLIENT.client_type)
#: The client of the golden frames.
GOLDEN = Address(3, 18, 9)


def table() -> Table:
    return Table("IPC.md", "ipc", ("core",))


def init(world: World) -> None:
    """Set all callbacks and initialise, nothing more."""
    world.library.hook_all(ARG)
    assert world.library.call("Init", ME.client_type, ME.client_id) == 0


def connect(world: World) -> None:
    assert world.library.call("CreateConnect", USER, PASSWORD, INFO) == 0


def let_in(world: World, unit: int = UNIT, client: int = ME.client_id) -> Peer:
    """Take the next connection and register it, with the callback that this calls."""
    world.peer = world.server.peer()
    world.peer.accept(unit=unit)
    world.library.expect("connection", ARG, client, unit, 0)
    return world.peer


def begin_golden(world: World) -> Peer:
    """Begin as the client of the golden frames."""
    world.library.hook_all(ARG)
    world.server = world.serve()
    assert world.library.call("Init", GOLDEN.client_type, GOLDEN.client_id) == 0
    connect(world)
    return let_in(world, GOLDEN.unit_id, GOLDEN.client_id)


def vanish(world: World) -> None:
    """Have no server any more, for those who come now."""
    world.server.stop()
    Path(world.path).unlink()


def serve_again(world: World) -> Server:
    """Have a server again, at the same name."""
    world.server = world.serve()
    return world.server


def frame(name: str) -> bytes:
    """Return a golden frame."""
    return golden(f"ipc {name}")


def full_backlog(world: World) -> list[socket.socket]:
    """Have a server that has no room for more; returns the sockets that make it so."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(world.path)
    listener.listen(0)
    sockets = [listener]
    while True:
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[-1].setblocking(False)
        try:
            sockets[-1].connect(world.path)
        except BlockingIOError:
            return sockets


def finish(world: World, invoke_id: int) -> None:
    """Acknowledge a call, so that its time-out comes to no other row."""
    world.peer.system(Cmd.FLOW_ACK, flow_ack(invoke_id, 1, b""))
    world.library.expect("flow_ack", ..., ..., ..., ..., invoke_id, 1)


def flow_ack(invoke_id: int, ack: int, message: bytes, project: bytes = b"another") -> bytes:
    """Return the data of cmd 13, whose project nobody reads."""
    return FlowAck(project, invoke_id, ack, message).encode()


def flow_result(invoke_id: int, text: bytes, project: bytes = b"another") -> bytes:
    """Return the data of cmd 12, whose project nobody reads."""
    return FlowReturn(project, invoke_id, text).encode()
