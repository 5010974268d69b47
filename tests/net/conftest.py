"""A real bus and the NET client library under test, in this process.

The vendor's library is not here: it cannot be released, so it runs in processes of its own
(``peer.py``), in ``tests/behaviour``.
"""

from __future__ import annotations

import pytest

from smartbus.net import Client

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
