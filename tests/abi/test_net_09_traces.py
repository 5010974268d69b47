"""NET.md 9.7: traces. Their texts are not part of the interface."""

from __future__ import annotations

from collections.abc import Callable

from smartbus.wire import Cmd, FlowAck, FlowReturn
from tests.abi.library import Event, Hook
from tests.abi.outcomes import Outcomes
from tests.abi.server import Peer
from tests.abi.table import Case, Table
from tests.abi.world import ARG, World

TABLE = Table("NET.md")

FORMATS = ("SetTrace", Hook("info_format"), Hook("error_format"))
STRINGS = ("SetTraceStr", Hook("info"), Hook("error"))
#: What every library traces as an error, before Init as well.
MISTAKE = ("SetCallBackFnEx", b"no_such_callback", Hook("data"))


def init(world: World) -> None:
    """Initialise, and wait for what that traces."""
    world.library.call("Init", 19)
    world.until(lambda: world.library.traces, "a trace")


def kinds_after(world: World, *call: object) -> set[str]:
    """Return the kinds of the traces of a call."""
    world.library.traces.clear()
    world.library.call(*call)  # type: ignore[arg-type]
    world.until(lambda: world.library.traces, "a trace")
    return {event.kind for event in world.library.traces}


# ---- channels ------------------------------------------------------------------------------


@TABLE.row("9.7", "finished strings", fresh=True)
def _(world: World) -> None:
    world.library.call(*STRINGS)
    init(world)
    assert {event.kind for event in world.library.traces} == {"info"}
    texts = [event.values[0] for event in world.library.traces]
    assert all(text and not text.endswith(b"\n") for text in texts)


@TABLE.row("9.7", "a long string is cut at about 1020 bytes", fresh=True)
def _(world: World) -> None:
    world.library.call(*STRINGS)
    init(world)
    world.library.traces.clear()
    world.library.call("SetCallBackFnEx", b"x" * 5000, Hook("data"))

    def long() -> list[Event]:
        return [event for event in world.library.traces if len(event.values[0]) > 900]

    world.until(long, "a long trace")
    assert len(long()[0].values[0]) < 1024


@TABLE.row("9.7", "a printf format and its arguments", fresh=True)
def _(world: World) -> None:
    world.library.call(*FORMATS)
    init(world)
    assert {event.kind for event in world.library.traces} == {"info_format"}
    assert kinds_after(world, *MISTAKE) == {"error_format"}


@TABLE.row("9.7", "SetTrace takes precedence and NULL falls back", fresh=True)
def _(world: World) -> None:
    world.library.call(*STRINGS)
    world.library.call(*FORMATS)
    init(world)
    assert {event.kind for event in world.library.traces} == {"info_format"}
    world.library.call("SetTrace", None, None)
    assert kinds_after(world, *MISTAKE) == {"error"}
    world.library.call(*FORMATS)
    assert kinds_after(world, *MISTAKE) == {"error_format"}


@TABLE.row("9.7", "each channel falls back for itself", fresh=True)
def _(world: World) -> None:
    world.library.call(*STRINGS)
    world.library.call("SetTrace", None, Hook("error_format"))
    assert kinds_after(world, "Init", 19) == {"info"}
    assert kinds_after(world, *MISTAKE) == {"error_format"}


@TABLE.row("9.7", "before Init errors go to the error channel", fresh=True)
def _(world: World) -> None:
    world.library.call(*STRINGS)
    assert kinds_after(world, *MISTAKE) == {"error"}
    world.library.call(*FORMATS)
    assert kinds_after(world, *MISTAKE) == {"error_format"}


@TABLE.row(
    "9.7",
    "after Init errors go to the error channel too",
    fresh=True,
    vendor="turns them over to the information channel if SetTrace had no error function",
)
def _(world: World) -> None:
    world.library.call(*STRINGS)
    init(world)
    assert kinds_after(world, *MISTAKE) == {"error"}


@TABLE.row("9.7", "after Init and SetTrace with NULL they do", fresh=True)
def _(world: World) -> None:
    world.library.call(*STRINGS)
    init(world)
    world.library.call("SetTrace", None, None)
    assert kinds_after(world, *MISTAKE) == {"error"}


@TABLE.row("9.7", "functions can be replaced", fresh=True)
def _(world: World) -> None:
    world.library.call(*FORMATS)
    init(world)
    world.library.call("SetTrace", Hook("info_format", "new"), Hook("error_format", "new"))
    kinds_after(world, *MISTAKE)
    assert world.library.traces[-1].label == "new"


@TABLE.row("9.7", "without functions nothing is printed", fresh=True, vendor="prints everything")
def _(world: World) -> None:
    peer = world.begin()
    world.library.call(*MISTAKE)
    peer.close()
    world.library.expect("disconnect", ARG, 3)
    assert world.library.output() == b""


# ---- what is traced ------------------------------------------------------------------------


def traces(name: str, act: Callable[[World, Peer], object], kind: str = "info_format") -> None:
    """The core has it in this channel; in the vendor's some mistakes are no errors."""

    @TABLE.row("9.7", f"traced: {name}", fresh=True)
    def _(world: World) -> None:
        world.library.call(*FORMATS)
        peer = world.begin()
        world.nothing_called()
        world.library.traces.clear()
        act(world, peer)
        kinds = {kind} if world.kind == "core" else {"info_format", "error_format"}
        world.until(lambda: any(event.kind in kinds for event in world.library.traces), "a trace")
        world.library.events.clear()


def call(world: World, timeout: int = 600_000, params: bytes = b"[]") -> int:
    """Call a flow whose traces do not count."""
    arguments = (3, 0, 7, b"p", b"f", 0, timeout, params)
    number: int = world.library.call("RemoteInvokeFlow", *arguments)
    return number


def answered(cmd: int) -> Callable[[World, Peer], None]:
    """Answer a call; only the answer's traces count."""

    def act(world: World, peer: Peer) -> None:
        number = call(world)
        peer.frame()
        world.watch(0.02)
        world.nothing_called()
        world.library.traces.clear()
        body = FlowAck(b"", number, 1) if cmd == Cmd.FLOW_ACK else FlowReturn(b"", number)
        peer.system(cmd, body.encode())

    return act


def timed_out(world: World, peer: Peer) -> None:
    call(world, 500)
    peer.frame()
    world.nothing_called()
    world.library.traces.clear()


def refused(world: World, peer: Peer) -> None:
    world.create(world.server, 4)
    other = world.server.peer()
    other.registration()
    world.nothing_called(peer)
    world.library.traces.clear()
    other.ack(-4)


def created(world: World, _: Peer) -> None:
    world.library.call("CreateConnect", 9, 18, b"127.0.0.1", 1, None, 0, None, None, None)


def failed(world: World, peer: Peer) -> None:
    created(world, peer)
    world.library.expect("connection", ARG, 9, -1, -20)
    # The first attempt's traces came before; the next attempt's are to come.


traces("Init", lambda world, _: world.library.call("Init", 19))
traces("Init with a bad unit", lambda world, _: world.library.call("Init", 15), "error_format")
traces("CreateConnect", created)
traces("a failed connect", failed, "error_format")
traces("registration", lambda world, _: world.create(world.server, 4))
traces("registration accepted again", lambda _, peer: peer.ack())
traces("registration refused", refused, "error_format")
traces("a flow call", lambda world, _: call(world))
traces("a flow ack", answered(Cmd.FLOW_ACK))
traces("a flow return", answered(Cmd.FLOW_RETURN))
traces("a flow time-out", timed_out, "error_format")
traces(
    "a notify", lambda world, _: world.library.call("SendNotify", 3, 0, 7, b"", b"t", 0, 1, b"x")
)
traces("a close", lambda _, peer: peer.close())
ERRORS = {
    "SendData": (3, 1, 3, 48, 4, 5, b"x", 1),
    "SendPing": (3, 48, 4, 5, b"x", 1),
    "RemoteInvokeFlow": (3, 16, 7, b"p", b"f", 0, 1, b"[]"),
    "SendNotify": (3, 0, 7, b"p", b"", 0, 1, b"x"),
    "CreateConnect": (3, 18, b"127.0.0.1", 1, None, 0, None, None, None),
}
for function, wrong in ERRORS.items():
    traces(
        f"a wrong argument of {function}",
        lambda world, _, function=function, wrong=wrong: (  # type: ignore[misc]
            world.library.call(function, *wrong)
        ),
        "error_format",
    )
traces(
    "a bad stream",
    lambda _, peer: peer.send(b"this is no frame, is it?"),
    "error_format",
)
traces("a wrong length", lambda _, peer: peer.system(Cmd.GLOBAL_CONNECT, b"x"), "error_format")


def beats(name: str, params: bytes, *, traced: bool) -> None:
    @TABLE.row("9.7", name, slow=True)
    def _(world: World) -> None:
        world.library.call(*FORMATS)
        world.library.hook_all(ARG)
        world.library.call("InitEx", 19, params)
        peer = world.join()
        world.nothing_called()
        world.watch(0.3)
        world.library.traces.clear()
        world.until(lambda: peer.beat_count > 3, "heartbeats")
        if traced:
            world.until(lambda: len(world.library.traces) >= 2, "traces")
        else:
            assert not world.library.traces


beats("heartbeats are traced with TraceHeartbeat=1", b"TraceHeartbeat=1", traced=True)
beats("heartbeats are not traced with TraceHeartbeat=0", b"TraceHeartbeat=0", traced=False)
beats("heartbeats are not traced without it", b"NewLoop=1", traced=False)


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
