"""A real bus and the NET client library under test, in this process.

The vendor's library is not here: it cannot be released, so it runs in processes of its own
(``peer.py``), in ``tests/behaviour``.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from smartbus.net import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT = 20


@pytest.fixture(autouse=True)
def finalized(smartbus_net: type[Client]) -> None:
    """End what a test initialised, also if it failed."""


@pytest.fixture(params=["core", "abi"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def net(kind: str) -> str:
    """The library, initialised as unit 20."""
    Client.initialize(UNIT, library="core", abi=kind == "abi")
    return kind


@pytest.fixture
def closing_port() -> Iterator[int]:
    """A port of this machine where every connection is closed at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the test is over
                while True:
                    server.accept()[0].close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
