"""Everything public is documented, and what the seed documents promise is there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import smartbus
from smartbus import ipc, net


def public_modules() -> list[str]:
    found = [
        module.name
        for module in pkgutil.walk_packages(smartbus.__path__, "smartbus.")
        if not any(part.startswith("_") for part in module.name.split("."))
    ]
    return ["smartbus", *found]


MODULES = public_modules()
EXPORTS = [
    (module, name)
    for module in MODULES
    for name in getattr(importlib.import_module(module), "__all__", ())
]

#: Not ours to document.
FOREIGN = {"from_bytes", "to_bytes", "conjugate", "bit_count", "bit_length", "as_integer_ratio"}


def test_modules_were_found() -> None:
    assert {"smartbus.net", "smartbus.ipc", "smartbus.bus", "smartbus.events"} <= set(MODULES)
    assert len(EXPORTS) > 80


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_documented(module: str) -> None:
    assert inspect.getdoc(importlib.import_module(module))


def documented(value: Any) -> bool:
    return bool((inspect.getdoc(value) or "").strip())


def own_members(cls: type) -> list[tuple[str, Any]]:
    """Public methods and properties that this package gave a class."""
    members = []
    for name, _ in inspect.getmembers(cls):
        if name.startswith("_") or name in FOREIGN:
            continue
        definer = next(base for base in cls.__mro__ if name in vars(base))
        if not definer.__module__.startswith("smartbus"):
            continue
        member = inspect.getattr_static(cls, name)
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        if callable(member) or isinstance(member, property):
            members.append((name, member))
    return members


@pytest.mark.parametrize(("module", "name"), EXPORTS)
def test_exports_are_documented(module: str, name: str) -> None:
    value = getattr(importlib.import_module(module), name)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return  # a constant, which cannot have a docstring
    assert documented(value)
    if not inspect.isclass(value) or issubclass(value, Enum):
        return
    assert [name for name, member in own_members(value) if not documented(member)] == []
    assert inspect.getdoc(value) not in [inspect.getdoc(base) for base in value.__mro__[1:]]


@pytest.mark.parametrize(("module", "name"), EXPORTS)
def test_exports_are_typed(module: str, name: str) -> None:
    value = getattr(importlib.import_module(module), name)
    functions = [(name, value)] if inspect.isroutine(value) else []
    if inspect.isclass(value):
        functions += [each for each in own_members(value) if inspect.isfunction(each[1])]
    for what, function in functions:
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty, what
        for parameter in signature.parameters.values():
            if parameter.name not in ("self", "cls"):
                assert parameter.annotation is not inspect.Parameter.empty, (what, parameter)


def test_the_marker_for_type_checkers_is_there() -> None:
    assert Path(smartbus.__file__).with_name("py.typed").exists()


# ---- the seed documents ------------------------------------------------------------------

#: Names and arguments of smartbus-client-python's documentation.
BOTH = {
    "activate": "",
    "launch_flow": "server_unit_id process_index project_id flow_id mode timeout params",
    "notify": "server_unit_id process_index project_id title mode expires txt",
    "on_connect": "",
    "on_connect_fail": "error_code",
    "on_disconnect": "",
    "on_flow_ack": "head project_id invoke_id status_code msg",
    "on_flow_error": "head project_id invoke_id error_code",
    "on_flow_resp": "head project_id invoke_id params",
    "on_flow_timeout": "head project_id invoke_id",
    "ping": "dst_unit_id dst_client_id dst_client_type data",
    "send_data": "cmd cmd_type dst_unit_id dst_client_id dst_client_type data",
}
CREDENTIALS = "user password info event_executor"
GLOBAL = "unit_id client_id client_type access_unit_id status_code info"
PROMISED = [
    *(
        (cls, name, arguments)
        for cls in (net.Client, ipc.Client)
        for name, arguments in BOTH.items()
    ),
    (net.Client, "initialize", "unit_id global_connect_callback lib_path"),
    (net.Client, "create", "args kwargs"),
    (net.Client, "find", "client_id default"),
    (
        net.Client,
        "__init__",
        f"client_id client_type master_ip master_port slave_ip slave_port {CREDENTIALS}",
    ),
    (ipc.Client, "destroy", ""),
    (ipc.Client, "dispose", ""),
    (ipc.Client, "on_global_connect_state_changed", GLOBAL),
    (ipc.Client, "__init__", "client_id client_type user password info lib_path event_executor"),
]


@pytest.mark.parametrize(
    ("cls", "name", "arguments"), PROMISED, ids=lambda value: getattr(value, "__module__", value)
)
def test_what_was_promised(cls: type, name: str, arguments: str) -> None:
    """By position and by name; what we added comes behind, with defaults."""
    parameters = [
        parameter
        for parameter in inspect.signature(getattr(cls, name)).parameters.values()
        if parameter.name != "self"
    ]
    expected = arguments.split()
    assert [parameter.name for parameter in parameters[: len(expected)]] == expected
    for parameter in parameters[len(expected) :]:
        assert parameter.default is not inspect.Parameter.empty
    for parameter in parameters[: len(expected)]:
        assert parameter.kind is not inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("cls", [net.Client, ipc.Client])
def test_promised_properties(cls: type) -> None:
    names = {"client_id", "client_type", "info", "password", "user"}
    if cls is net.Client:
        names |= {"master_ip", "master_port", "slave_ip", "slave_port", "unit_id"}
    assert all(isinstance(getattr(cls, name), property) for name in names)
