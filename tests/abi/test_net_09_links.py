"""NET.md 9.3 and 9.4: master and slave, failures and retry."""

from __future__ import annotations

import time
from collections.abc import Callable

from smartbus.wire import Address
from tests.abi.outcomes import Outcomes
from tests.abi.server import Peer, Server
from tests.abi.table import Case, Table
from tests.abi.world import ARG, World

TABLE = Table("NET.md")

MASTER, SLAVE = 1, 2  # the servers' units


def send(world: World, text: bytes) -> int:
    """Send user data."""
    code: int = world.library.call("SendData", 3, 1, 3, 20, 4, 5, text, len(text))
    return code


class Pair:
    """A client with two servers; neither has answered yet."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.library.hook_all(ARG)
        world.library.call("Init", 19)
        self.master, self.slave = world.serve(), world.serve()
        assert world.create(self.master, slave=self.slave) == 0
        self.first, self.second = self.master.peer(), self.slave.peer()

    def both(self) -> tuple[Peer, Peer]:
        """Accept the master's link, then the slave's; the client uses the first."""
        self.first.accept(unit=MASTER)
        self.world.library.expect("connection", ARG, 3, MASTER, 0)
        self.second.accept(unit=SLAVE)
        # Nobody tells of the second; a frame over it says that its answer was read.
        self.world.nothing_called(self.second)
        return self.first, self.second


# ---- 9.3 ---------------------------------------------------------------------------------


@TABLE.row("9.3", "both links open at once with their index", fresh=True)
def _(world: World) -> None:
    pair = Pair(world)
    first, second = pair.first.registration(), pair.second.registration()
    assert (first.connect_index, second.connect_index) == (0, 1)
    assert first._replace(connect_index=1) == second
    assert pair.first.client == pair.second.client == (19, 3, 18)


@TABLE.row("9.3", "each link has its own heartbeats", slow=True)
def _(world: World) -> None:
    for peer in Pair(world).both():
        world.until(lambda peer=peer: peer.beats, "a heartbeat")  # type: ignore[misc]


def no_slave(name: str, ip: bytes | None, port: int | None) -> None:
    @TABLE.row("9.3", name, fresh=True)
    def _(world: World) -> None:
        world.library.hook_all(ARG)
        world.library.call("Init", 19)
        master, slave = world.serve(), world.serve()
        at = (master.host, master.port, ip, slave.port if port is None else port)
        assert world.library.call("CreateConnect", 3, 18, *at, None, None, None) == 0
        peer = master.peer()
        peer.accept()
        world.library.expect("connection", ARG, 3)
        world.watch(0.3)
        world.settle()


no_slave("no slave with NULL", None, None)
no_slave("no slave with an empty address", b"", None)
no_slave("no slave with port 0", b"127.0.0.1", 0)
no_slave("no slave with port 65535", b"127.0.0.1", 65535)


@TABLE.row("9.3", "only the first accepted link is told", fresh=True)
def _(world: World) -> None:
    pair = Pair(world)
    pair.second.accept(unit=SLAVE)
    world.library.expect("connection", ARG, 3, SLAVE, 0)
    pair.first.accept(unit=MASTER)
    world.nothing_called(pair.first)


@TABLE.row("9.3", "only the last lost link is told", fresh=True)
def _(world: World) -> None:
    pair = Pair(world)
    first, second = pair.both()
    for server in (pair.master, pair.slave):
        server.stop()
    first.close()
    first.ended()
    world.nothing_called(second)
    second.close()
    world.library.expect("disconnect", ARG, 3)


@TABLE.row("9.3", "the link that was accepted first is used and then the other", fresh=True)
def _(world: World) -> None:
    pair = Pair(world)
    pair.second.accept(unit=SLAVE)
    world.library.expect("connection", ARG, 3, SLAVE, 0)
    pair.first.accept(unit=MASTER)
    world.nothing_called(pair.first)
    assert send(world, b"one") == 0
    assert pair.second.frame().data == b"one"
    pair.slave.stop()
    pair.second.close()
    pair.second.ended()
    world.nothing_called(pair.first)
    assert send(world, b"two") == 0
    assert pair.first.frame().data == b"two"


@TABLE.row("9.3", "it does not switch back after recovery", fresh=True)
def _(world: World) -> None:
    pair = Pair(world)
    first, second = pair.both()
    assert send(world, b"one") == 0
    assert first.frame().data == b"one"
    first.close()
    recovered = pair.master.peer()
    world.nothing_called(second)
    assert send(world, b"two") == 0
    assert second.frame().data == b"two"
    recovered.accept(unit=MASTER)
    world.nothing_called(recovered)
    assert send(world, b"three") == 0
    assert second.frame().data == b"three"
    second.close()
    pair.slave.peer()
    world.nothing_called(recovered)
    assert send(world, b"four") == 0
    assert recovered.frame().data == b"four"


@TABLE.row("9.3", "frames of either link are delivered twice if sent twice", fresh=True)
def _(world: World) -> None:
    first, second = Pair(world).both()
    for peer in (second, first):
        peer.data(b"same")
        world.library.expect("data", ARG, 3, ..., b"same")


@TABLE.row("9.3", "the access point is that of the latest answer", fresh=True)
def _(world: World) -> None:
    pair = Pair(world)
    first, second = pair.both()
    first.close()
    again = pair.master.peer()
    assert again.registration().connect_index == 0
    node = 497
    assert again.raw[node + 6 : node + 10] == SLAVE.to_bytes(4, "little")
    # An answer on a link that is up tells the unit once more.
    second.ack(unit=9)
    world.library.expect("connection", ARG, 3, 9, 0)


@TABLE.row("9.3", "a refused slave is told only without the master and never retried", slow=True)
def _(world: World) -> None:
    pair = Pair(world)
    pair.first.accept(unit=MASTER)
    world.library.expect("connection", ARG, 3, MASTER, 0)
    pair.second.accept(-4, unit=SLAVE)
    pair.second.ended()
    world.nothing_called(pair.first)
    world.watch(4.5)
    world.settle()
    assert send(world, b"x") == 0
    assert pair.first.frame().data == b"x"
    pair.first.close()
    world.library.expect("disconnect", ARG, 3)
    pair.master.peer().accept(unit=MASTER)
    world.library.expect("connection", ARG, 3, MASTER, 0)
    assert not pair.slave.waiting


@TABLE.row("9.3", "a slave that is refused first is told", fresh=True)
def _(world: World) -> None:
    pair = Pair(world)
    pair.second.accept(-4, unit=SLAVE)
    world.library.expect("connection", ARG, 3, SLAVE, -4)
    pair.first.accept(unit=MASTER)
    world.library.expect("connection", ARG, 3, MASTER, 0)


@TABLE.row("9.3", "silence of one link is not told", slow=True)
def _(world: World) -> None:
    pair = Pair(world)
    first, second = pair.both()
    first.answers = False
    start = time.monotonic()
    assert first.ended() - start > 13
    world.nothing_called(second)
    pair.master.peer().accept(unit=MASTER)
    world.nothing_called(second)
    assert send(world, b"x") == 0


# ---- 9.4 ---------------------------------------------------------------------------------


def nobody_at(world: World) -> Server:
    """A server that was there once."""
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    server = world.serve()
    server.stop()
    return server


@TABLE.row("9.4", "a failed connect is told once and tried every 2 s", slow=True)
def _(world: World) -> None:
    server = nobody_at(world)
    began = time.monotonic()
    world.create(server)
    world.library.expect("connection", ARG, 3, -1, -20)
    world.watch(5)  # two more attempts
    world.settle()
    assert send(world, b"x") == -2
    back = world.serve(server.port)
    peer = back.peer()
    assert peer.opened - began > 5.5  # the third attempt, at 6 s
    peer.accept()
    world.library.expect("connection", ARG, 3, 1, 0)


@TABLE.row("9.4", "the second attempt is not before 2 s", slow=True)
def _(world: World) -> None:
    server = nobody_at(world)
    began = time.monotonic()
    world.create(server)
    world.library.expect("connection", ARG, 3, -1, -20)
    peer = world.serve(server.port).peer()
    assert peer.opened - began > 1.5


@TABLE.row("9.4", "a failed connect is told once in a client's life", slow=True)
def _(world: World) -> None:
    server = nobody_at(world)
    world.create(server)
    world.library.expect("connection", ARG, 3, -1, -20)
    for _loss in range(2):
        back = world.serve(server.port)
        peer = back.peer()
        peer.accept()
        world.library.expect("connection", ARG, 3, 1, 0)
        back.stop()
        peer.close()
        world.library.expect("disconnect", ARG, 3)
    world.watch(2.5)
    world.settle()


@TABLE.row("9.4", "its unit is the last known one", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    world.server = world.serve()
    peer = world.join()
    world.server.stop()
    peer.close()
    world.library.expect("disconnect", ARG, 3)
    world.library.expect("connection", ARG, 3, 1, -20)


@TABLE.row("9.4", "a failed connect of one link is not told while the other is up", slow=True)
def _(world: World) -> None:
    slave = nobody_at(world)
    world.server = world.serve()
    assert world.create(world.server, slave=slave) == 0
    peer = world.server.peer()
    # The slave's attempt failed before the master was accepted: that is told.
    world.library.expect("connection", ARG, 3, -1, -20)
    peer.accept()
    world.library.expect("connection", ARG, 3, 1, 0)
    world.watch(3)
    world.settle()
    world.serve(slave.port).peer().accept()
    world.nothing_called(peer)


@TABLE.row("9.4", "two links that fail are told once", slow=True)
def _(world: World) -> None:
    master = nobody_at(world)
    slave = world.serve()
    slave.stop()
    assert world.create(master, slave=slave) == 0
    world.library.expect("connection", ARG, 3, -1, -20)
    world.watch(2.5)
    world.settle()


def lost(name: str, lose: Callable[[Peer], object]) -> None:
    @TABLE.row("9.4", name, slow=True)
    def _(world: World) -> None:
        world.begin()
        world.expect_back_at_once(lose)


lost("an end loses the link which comes back at once", Peer.close)
lost("a reset loses the link which comes back at once", Peer.reset)


@TABLE.row("9.4", "at once also after an end before the answer", slow=True)
def _(world: World) -> None:
    """Only the attempt after such an end waits (12), not those of a link that was registered."""
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    world.server = world.serve()
    world.create(world.server)
    for _attempt in range(3):
        peer = world.server.peer()
        peer.registration()
        peer.close()
    world.peer = world.server.peer()
    world.peer.accept()
    world.library.expect("connection", ARG, 3, 1, 0)
    world.expect_back_at_once(Peer.close)


@TABLE.row("9.4", "after a loss every 2 s while refused", slow=True)
def _(world: World) -> None:
    peer = world.begin()
    world.server.stop()
    peer.close()
    world.library.expect("disconnect", ARG, 3)
    told = world.library.expect("connection", ARG, 3, 1, -20)
    again = world.serve(world.server.port).peer()
    assert again.opened - told.at > 1.5


@TABLE.row("9.4", "an end before the answer is not told", fresh=True)
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    server = world.serve()
    world.create(server)
    for _attempt in range(3):
        peer = server.peer()
        peer.registration()
        peer.close()
    server.peer().accept()
    world.library.expect("connection", ARG, 3, 1, 0)


@TABLE.row("9.4", "then it waits a second", slow=True, vendor="tries thousands of times a second")
def _(world: World) -> None:
    world.library.hook_all(ARG)
    world.library.call("Init", 19)
    server = world.serve()
    world.create(server)
    opened = []
    for _attempt in range(4):  # two with each form (NET-2018.md 1)
        peer = server.peer()
        opened.append(peer.opened)
        peer.registration()
        peer.close()
    assert opened[2] - opened[1] > 0.8
    server.peer()


@TABLE.row("9.4", "other clients work on beside a refused one", fresh=True)
def _(world: World) -> None:
    peer = world.begin()
    world.create(world.server, 4)
    world.server.peer().accept(-22)
    world.library.expect("connection", ARG, 4, 1, -22)
    assert send(world, b"x") == 0
    assert peer.frame().data == b"x"
    peer.data(b"y", Address(19, 3, 18))
    world.library.expect("data", ARG, 3, ..., b"y")


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
