"""docs/library.md: its examples run and print what it says, its tables are true."""

from __future__ import annotations

import inspect
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from smartbus import errors, ipc, net
from smartbus.events import EVENTS
from tests.behaviour.conftest import without_vendor
from tests.library.guides import Guide, run

if TYPE_CHECKING:
    from pathlib import Path

    from smartbus.bus import Bus
    from smartbus.testing import BusFactory, FlowHostFactory

GUIDE = Guide("library.md")

#: The flows that the guide names.
FLOWS = {
    "Project1/Sum": "result = [sum(params)]",
    "Project1/Slow": "AsynchInvoke(SmartbusWaitNotify(params[0], 0, 60000))",
    "Project1/Broken": "result = [1 / 0]",
}


def test_every_example_is_tested() -> None:
    assert GUIDE.has_only_examples()


@pytest.fixture
def bus(smartbus_bus_factory: BusFactory, smartbus_ipsc_factory: FlowHostFactory) -> Bus:
    bus = smartbus_bus_factory()
    smartbus_ipsc_factory(bus, FLOWS)
    return bus


@pytest.mark.parametrize("library", ["core", "vendor"])
@pytest.mark.parametrize("example", GUIDE.examples, ids=GUIDE.title)
def test_example(example: tuple[str, str], library: str, bus: Bus, tmp_path: Path) -> None:
    source, expected = example
    if library == "vendor":
        reason = without_vendor()
        if reason is not None:
            pytest.skip(reason)
        if "smartbus.ipc" in source:
            pytest.skip("the vendor's IPC library is for 32-bit programs")
        source = source.replace(
            "Client.initialize(", 'Client.initialize(lib_path="vendor", unit_id='
        )
        source = source.replace("unit_id=unit_id=", "unit_id=")
    source, expected = (text.replace("8089", str(bus.port)) for text in (source, expected))
    environment = {**os.environ, "SMARTBUS_IPC_SOCKET": str(bus.ipc_path)}
    printed, said, code = run(source, tmp_path, environment)
    # The vendor's library also traces what the examples provoke.
    complaints = [line for line in said.splitlines() if not line.startswith("library: ")]
    assert (printed, complaints, code) == (expected, [], 0)


# ---- the reference -----------------------------------------------------------------------

SIGNATURE = re.compile(r"^    (\w+)\((.*)\)$", re.MULTILINE)


def shown(function: Any) -> str:
    """A signature as the guide writes it."""
    parameters = inspect.signature(function).parameters.values()
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
    if bare and bare[0].name == "self":
        del bare[0]
    text = str(inspect.Signature(bare))
    return text.replace("/, ", "")[1:-1]


REFERENCE = GUIDE.text[GUIDE.text.index("## Reference") :]
SHARED, REST = REFERENCE.split("Only\n`smartbus.net.Client` has")
NET, IPC = REST.split("only `smartbus.ipc.Client` has")
ROWS = [
    *((cls, *row) for row in SIGNATURE.findall(SHARED) for cls in (net.Client, ipc.Client)),
    *((net.Client, *row) for row in SIGNATURE.findall(NET)),
    *((ipc.Client, *row) for row in SIGNATURE.findall(IPC)),
]


@pytest.mark.parametrize(
    ("cls", "name", "arguments"), ROWS, ids=lambda value: getattr(value, "__module__", value)
)
def test_signatures(cls: type, name: str, arguments: str) -> None:
    assert shown(getattr(cls, name)) == arguments


@pytest.mark.parametrize("cls", [net.Client, ipc.Client])
def test_the_reference_is_complete(cls: type) -> None:
    named = {name for each, name, _ in ROWS if each is cls}
    named |= set(re.findall(r"`(\w+)`", REFERENCE))
    public = {name for name in dir(cls) if not name.startswith("_")}
    assert public - named == {"get_logger", "logger"}
    elsewhere = {"master_ip", "master_port", "slave_ip", "slave_port"} - set(dir(cls))
    assert named - public == elsewhere


# ---- the tables --------------------------------------------------------------------------


def test_the_table_of_errors() -> None:
    rows = re.findall(r"^\| (-\d+) \| `(\w+)` \| (?:`(\w+)` )?\| .* \|$", GUIDE.text, re.MULTILINE)
    assert {int(code): name for code, name, _ in rows} == {
        code: cls.__name__ for code, cls in errors.ERRORS.items()
    }
    for code, _, also in rows:
        cls = errors.ERRORS[int(code)]
        builtin = [base.__name__ for base in cls.__bases__ if base is not errors.SmartBusError]
        assert builtin == ([also] if also else [])


def test_the_table_of_events() -> None:
    section = GUIDE.text[GUIDE.text.index("## Events") : GUIDE.text.index("## Threads")]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|(.*)\|$", section, re.MULTILINE)
    assert [name for name, _, _ in rows] == [event.__name__ for event in EVENTS]
    for (_, methods, attributes), event in zip(rows, EVENTS, strict=True):
        assert re.findall(r"`(\w+)`", attributes) == list(event.__match_args__)
        for method in re.findall(r"`(on_\w+)`", methods):
            assert hasattr(ipc.Client, method)
