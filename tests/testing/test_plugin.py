"""The plugin as users have it: loaded by pytest, in projects that know nothing of this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import smartbus

if TYPE_CHECKING:
    from tests.testing.conftest import Run

#: A project's tests: each fixture, and that what it gives is gone afterwards.
PROJECT = """
import os
import socket

import pytest

@pytest.fixture
def smartbus_flows():
    return {"Shop/Order": "result = [params[0] * 2]"}

seen = []

@pytest.mark.parametrize("number", range(4))
def test_all(smartbus_bus, smartbus_ipsc, smartbus_client, number):
    seen.append((smartbus_bus.port, smartbus_bus.ipc_path))
    assert smartbus_ipsc.run("Shop", "Order", [number]) == [number * 2]
    assert smartbus_client.call_flow("Shop", "Order", ["a"]) == ["aa"]
    assert os.path.exists(smartbus_bus.ipc_path)

@pytest.fixture(scope="module", autouse=True)
def gone():
    yield
    assert "SMARTBUS_IPC_SOCKET" not in os.environ
    for port, path in seen:
        assert not os.path.exists(os.path.dirname(path))
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) != 0
"""


@pytest.fixture(autouse=True)
def no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMARTBUS_IPC_SOCKET", raising=False)


def test_fixtures(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(PROJECT)
    run().assert_outcomes(passed=4)


def test_other_plugins_are_not_needed(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(PROJECT)
    others = [option for name in ("asyncio", "timeout", "xdist") for option in ("-p", f"no:{name}")]
    run(*others).assert_outcomes(passed=4)


def test_in_several_processes(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(PROJECT)
    run("-n", "2").assert_outcomes(passed=4)


def test_fixtures_are_described(run: Run) -> None:
    result = run("--fixtures")
    lines = [line for line in result.outlines if line.startswith("smartbus_")]
    names = [line.split()[0] for line in lines]
    assert set(names) == {
        "smartbus_bus",
        "smartbus_bus_factory",
        "smartbus_client",
        "smartbus_client_factory",
        "smartbus_flows",
        "smartbus_ipc",
        "smartbus_ipsc",
        "smartbus_ipsc_factory",
        "smartbus_net",
        "smartbus_no_leaks",
    }


def test_loading_it_imports_nothing_else() -> None:
    code = (
        "import sys, pytest, importlib; before = set(sys.modules); import smartbus.testing; "
        "print(*sorted(set(sys.modules) - before))"
    )
    output = subprocess.check_output(
        [sys.executable, "-c", code], cwd=Path(smartbus.__file__).parents[1], text=True
    )
    assert output.split() == ["smartbus", "smartbus.testing"]


def test_a_test_that_fails_leaves_nothing_behind(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        PROJECT + "\n\ndef test_failed(smartbus_ipsc, smartbus_client): assert False"
    )
    run().assert_outcomes(passed=4, failed=1)


def test_overriding_the_bus(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import os, pytest

        @pytest.fixture
        def smartbus_bus(smartbus_bus_factory):
            return smartbus_bus_factory(ipc_default=True, unit_id=3)

        def test_unit(smartbus_ipsc, smartbus_client, smartbus_bus):
            smartbus_ipsc.write("P", "F", "result = [GetSvrNodeID()]")
            assert smartbus_client.call_flow("P", "F") == [3]
            assert os.environ["SMARTBUS_IPC_SOCKET"] == smartbus_bus.ipc_path
        """
    )
    run().assert_outcomes(passed=1)


def test_clients_of_the_process_itself(pytester: pytest.Pytester, run: Run) -> None:
    """Each test finds no client, and what it leaves, even by failing, is gone afterwards."""
    pytester.makepyfile(
        """
        import pytest
        from smartbus import ipc, net
        from smartbus.testing import wait_for_client

        pytestmark = pytest.mark.usefixtures("smartbus_no_leaks")
        net.Client.initialize(30)  # as a module that the tests import may do

        @pytest.mark.parametrize("round", range(3))
        def test_all(smartbus_bus, smartbus_net, smartbus_ipc, round):
            assert smartbus_net is net.Client and smartbus_ipc is ipc.Client
            assert net.Client.find(1) is None
            net.Client.initialize(20)
            client = net.Client.create(1, 18, smartbus_bus.host, smartbus_bus.port)
            local = ipc.Client.create(2, 18)
            for each in (client, local):
                each.activate()
                each.wait_connected(20)
            assert round != 1, "one fails"
        """
    )
    run("-k", "all").assert_outcomes(passed=2, failed=1)


def test_names_are_imported_when_they_are_asked_for() -> None:
    import smartbus.testing as plugin

    for name in plugin.__all__:
        assert getattr(plugin, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        plugin.nonsense  # noqa: B018
