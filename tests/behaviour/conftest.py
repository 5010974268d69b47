"""The same behaviour whichever library is at either end: pairs of processes on a real bus."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from itertools import product
from typing import TYPE_CHECKING

import pytest

from smartbus._c.lookup import VENDOR_WHEEL
from tests.behaviour.couple import Couple
from tests.net.peer import KINDS, LOOPS, THUNKS, Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Set this to run the tests without the vendor's wheel where it exists (x86-64 Linux).
WITHOUT_VENDOR = "SMARTBUS_TEST_WITHOUT_VENDOR"


def without_vendor() -> str | None:
    """Why tests with the vendor's library are skipped; not because somebody forgot it."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return "the vendor's library exists for x86-64 Linux only"
    if os.environ.get(WITHOUT_VENDOR):
        return f"{WITHOUT_VENDOR} is set"
    return None


def require(*kinds: str) -> None:
    """Skip the test if a library is not wanted here, before anything of it has started."""
    if not {"vendor", THUNKS}.intersection(kinds):
        return
    reason = without_vendor()
    if reason is not None:
        pytest.skip(reason)
    try:
        metadata.version(VENDOR_WHEEL)
    except metadata.PackageNotFoundError:
        pytest.fail(f"install the extra 'vendor', or set {WITHOUT_VENDOR}=1", pytrace=False)


def start(kind: str, unit: int) -> Peer:
    require(kind)
    return Peer(kind, unit)


@pytest.fixture
def everything() -> list[str]:
    """All libraries that there are here."""
    kinds = [*KINDS, *LOOPS]
    return [kind for kind in kinds if kind != "vendor" or without_vendor() is None]


@pytest.fixture(params=[*KINDS, *LOOPS])
def kind(request: pytest.FixtureRequest) -> str:
    """One library; for tests in which the other end does not matter."""
    return str(request.param)


@pytest.fixture
def peers() -> Iterator[Callable[[str, int], Peer]]:
    """Starts processes; each of them must end as a program ends, and have printed nothing."""
    started: list[Peer] = []

    def begin(kind: str, unit: int) -> Peer:
        started.append(start(kind, unit))
        return started[-1]

    yield begin
    ends = [(peer.kind, peer.close(), peer.output()) for peer in started]
    assert ends == [(peer.kind, 0, "") for peer in started]


PAIRS = [*product([*KINDS, "asyncio"], repeat=2), ("uvloop", "core"), ("asyncio", "uvloop")]
PAIR_IDS = [f"{left}-{right}" for left, right in PAIRS]


def run_couple(kinds: tuple[str, str]) -> Iterator[Couple]:
    require(*kinds)
    couple = Couple([start(kind, 20 + side) for side, kind in enumerate(kinds)])
    with couple:
        yield couple
    assert couple.ends == [(kind, 0, "") for kind in kinds]


@pytest.fixture(scope="session", params=PAIRS, ids=PAIR_IDS)
def couple(request: pytest.FixtureRequest) -> Iterator[Couple]:
    """Two connected processes and an IPSC; one couple of each pairing serves many tests."""
    yield from run_couple(request.param)


@pytest.fixture(params=PAIRS, ids=PAIR_IDS)
def new_couple(request: pytest.FixtureRequest) -> Iterator[Couple]:
    """The same for one test alone."""
    yield from run_couple(request.param)
