"""A pytest plugin: real buses, flow hosts and clients for the tests of SmartBus programs.

pytest loads it by itself where this package is installed (entry point ``smartbus.testing``;
``-p no:smartbus.testing`` keeps it out). Every run of pytest imports it, so it imports
nothing: what a fixture needs comes with its first use.

Fixtures, each for one test:

- ``smartbus_bus``: a `smartbus.bus.Bus` on a free port and on a local socket.
- ``smartbus_ipsc``: a `FlowHost`, the stand-in IPSC on that bus, with the flow scripts that the
  fixture ``smartbus_flows`` names.
- ``smartbus_client``: a `RecordingClient`, connected to that bus.
- ``smartbus_bus_factory``, ``smartbus_ipsc_factory``, ``smartbus_client_factory``: several of
  them, or others.
- ``smartbus_net``, ``smartbus_ipc``: the clients of this process itself, for programs that run
  in it: none before the test, none afterwards.
- ``smartbus_no_leaks``: fails a test that leaves a thread, a descriptor or a process behind.

Rooms: ``buses``, ``flows``, ``client`` (which has a ``loop``), ``leaks``, and ``waiting`` for
events with a deadline. The names in ``__all__`` can be imported from here.
"""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from smartbus import ipc, net
    from smartbus.bus import Bus

    from .buses import BusFactory
    from .client import RecordingClient
    from .flows import FlowHost, FlowRun
    from .waiting import Record, wait_for_client, wait_until, wait_until_async

    #: What ``smartbus_flows`` returns: a directory, or sources by "project/flow", or nothing.
    Flows = str | os.PathLike[str] | Mapping[str, str] | None

__all__ = [
    "BusFactory",
    "ClientFactory",
    "FlowHost",
    "FlowHostFactory",
    "FlowRun",
    "Record",
    "RecordingClient",
    "wait_for_client",
    "wait_until",
    "wait_until_async",
]

_ROOMS = {
    "BusFactory": "buses",
    "FlowHost": "flows",
    "FlowRun": "flows",
    "Record": "waiting",
    "RecordingClient": "client",
    "wait_for_client": "waiting",
    "wait_until": "waiting",
    "wait_until_async": "waiting",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)


class FlowHostFactory(Protocol):
    """``smartbus_ipsc_factory``: starts flow hosts that end with the test."""

    def __call__(self, bus: Bus, flows: Flows = None, **options: Any) -> FlowHost:
        """Start one; arguments and errors as `FlowHost`."""


class ClientFactory(Protocol):
    """``smartbus_client_factory``: connects clients that end with the test."""

    def __call__(
        self,
        bus: Bus,
        unit_id: int = ...,
        client_id: int = ...,
        client_type: int = ...,
        **options: Any,
    ) -> RecordingClient:
        """Connect one; arguments and errors as `RecordingClient`."""


# ---- buses -------------------------------------------------------------------------------


@pytest.fixture
def smartbus_bus_factory() -> Iterator[BusFactory]:
    """Start buses with the options of `smartbus.bus.Bus`; they are closed after the test."""
    from .buses import BusFactory  # noqa: PLC0415 - see the module's docstring

    with BusFactory() as factory:
        yield factory


@pytest.fixture
def smartbus_bus(smartbus_bus_factory: BusFactory) -> Bus:
    """Run a bus on a free port of 127.0.0.1 and on a local socket, where IPC clients find it."""
    return smartbus_bus_factory(ipc_default=True)


# ---- flow hosts --------------------------------------------------------------------------


@pytest.fixture
def smartbus_flows() -> Flows:
    """Name the flow scripts of ``smartbus_ipsc``: none, for a test to override.

    Return the path of a directory, or a dictionary of sources by ``"project/flow"``.
    """
    return None


@pytest.fixture
def smartbus_ipsc_factory() -> Iterator[FlowHostFactory]:
    """Start flow hosts, on any bus; they are closed after the test."""
    from .flows import FlowHost  # noqa: PLC0415 - see the module's docstring

    with ExitStack() as stack:

        def start(bus: Bus, flows: Flows = None, **options: Any) -> FlowHost:
            return stack.enter_context(FlowHost(bus, flows, **options))

        yield start


@pytest.fixture
def smartbus_ipsc(
    smartbus_bus: Bus, smartbus_flows: Flows, smartbus_ipsc_factory: FlowHostFactory
) -> FlowHost:
    """Run the stand-in IPSC as process 0 on ``smartbus_bus``, with ``smartbus_flows``."""
    return smartbus_ipsc_factory(smartbus_bus, smartbus_flows)


# ---- clients -----------------------------------------------------------------------------


@pytest.fixture
def smartbus_client_factory() -> Iterator[ClientFactory]:
    """Connect recording clients to any bus; they are closed after the test."""
    from .client import RecordingClient  # noqa: PLC0415 - see the module's docstring

    with ExitStack() as stack:

        def connect(bus: Bus, *address: int, **options: Any) -> RecordingClient:
            return stack.enter_context(RecordingClient(bus, *address, **options))

        yield connect


@pytest.fixture
def smartbus_client(smartbus_bus: Bus, smartbus_client_factory: ClientFactory) -> RecordingClient:
    """Connect a recording client to ``smartbus_bus``: client 0 of unit 46, type 18."""
    return smartbus_client_factory(smartbus_bus)


# ---- this process's own clients -----------------------------------------------------------


@pytest.fixture
def smartbus_net() -> Iterator[type[net.Client]]:
    """Give `smartbus.net.Client`, not initialised; afterwards finalize it with all its clients.

    For a program under test that uses NET clients in this process. The vendor's library stays
    in a process, so it is better tested in a process of its own.
    """
    from smartbus.net import Client  # noqa: PLC0415 - see the module's docstring

    Client.finalize()
    yield Client
    Client.finalize()


@pytest.fixture
def smartbus_ipc() -> Iterator[type[ipc.Client]]:
    """Give `smartbus.ipc.Client`, of which there is none yet; afterwards destroy it."""
    from smartbus.ipc import Client  # noqa: PLC0415 - see the module's docstring

    Client.destroy()
    yield Client
    Client.destroy()


# ---- leaks -------------------------------------------------------------------------------

_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add this plugin's settings."""
    parser.addini(
        "smartbus_leak_grace",
        "smartbus_no_leaks: seconds that what ends by itself may take after a test",
        default="5",
    )


def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Note that a test failed."""
    node.stash[_failed] = True


@pytest.fixture(scope="session")
def _smartbus_cookie() -> Iterator[None]:
    from .leaks import cookie  # noqa: PLC0415 - see the module's docstring

    yield from cookie()


@pytest.fixture
def smartbus_no_leaks(request: pytest.FixtureRequest, _smartbus_cookie: None) -> Iterator[None]:
    """Fail a test that leaves a thread, a file descriptor or a process behind; Linux only.

    It compares with what was there when it began, so let it come before other fixtures: with
    ``@pytest.mark.usefixtures("smartbus_no_leaks")``, or from an autouse fixture. What belongs
    to fixtures of a wider scope is no leak, if the test asks for them by argument.
    """
    from .leaks import look, wait_for_ends  # noqa: PLC0415 - see the module's docstring

    before = look()
    yield
    if request.node.stash.get(_failed, False):
        return  # its traceback keeps objects alive, and it has something better to say
    left = wait_for_ends(before, float(request.config.getini("smartbus_leak_grace")))
    if left:
        lines = (f"\n  {kind} {number}: {what}" for kind, number, what in left)
        pytest.fail("left behind:" + "".join(lines), pytrace=False)
