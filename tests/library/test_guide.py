"""docs/library.md: its examples run and print what it says, its tables are true."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smartbus import errors, ipc, net
from smartbus.events import EVENTS
from tests.behaviour.conftest import without_vendor
from tests.net.recorder import DEADLINE

if TYPE_CHECKING:
    from smartbus.bus import Bus
    from smartbus.testing import BusFactory, FlowHostFactory

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "library.md").read_text("utf-8")

#: The flows that the guide names.
FLOWS = {
    "Project1/Sum": "result = [sum(params)]",
    "Project1/Slow": "AsynchInvoke(SmartbusWaitNotify(params[0], 0, 60000))",
    "Project1/Broken": "result = [1 / 0]",
}

EXAMPLES = re.findall(
    r"^```python\n(.*?)^```\n```text\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL
)


def title(example: tuple[str, str]) -> str:
    """The heading above an example."""
    above = GUIDE[: GUIDE.index(example[0])]
    return str(re.findall(r"^#+ (.*)$", above, re.MULTILINE)[-1])


def test_every_example_is_tested() -> None:
    assert len(EXAMPLES) == GUIDE.count("```python\n") > 0


@pytest.fixture
def bus(smartbus_bus_factory: BusFactory, smartbus_ipsc_factory: FlowHostFactory) -> Bus:
    bus = smartbus_bus_factory()
    smartbus_ipsc_factory(bus, FLOWS)
    return bus


@pytest.mark.parametrize("library", ["core", "vendor"])
@pytest.mark.parametrize("example", EXAMPLES, ids=title)
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
    script = tmp_path / "example.py"
    script.write_text(source, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SMARTBUS_IPC_SOCKET": str(bus.ipc_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    # The vendor's library also traces what the examples provoke.
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("library: ")]
    assert (done.stdout, complaints, done.returncode) == (expected, [], 0)


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


REFERENCE = GUIDE[GUIDE.index("## Reference") :]
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
    rows = re.findall(r"^\| (-\d+) \| `(\w+)` \| (?:`(\w+)` )?\| .* \|$", GUIDE, re.MULTILINE)
    assert {int(code): name for code, name, _ in rows} == {
        code: cls.__name__ for code, cls in errors.ERRORS.items()
    }
    for code, _, also in rows:
        cls = errors.ERRORS[int(code)]
        builtin = [base.__name__ for base in cls.__bases__ if base is not errors.SmartBusError]
        assert builtin == ([also] if also else [])


def test_the_table_of_events() -> None:
    section = GUIDE[GUIDE.index("## Events") : GUIDE.index("## Threads")]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|(.*)\|$", section, re.MULTILINE)
    assert [name for name, _, _ in rows] == [event.__name__ for event in EVENTS]
    for (_, methods, attributes), event in zip(rows, EVENTS, strict=True):
        assert re.findall(r"`(\w+)`", attributes) == list(event.__match_args__)
        for method in re.findall(r"`(on_\w+)`", methods):
            assert hasattr(ipc.Client, method)
