from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from smartbus import errors
from smartbus.errors import (
    ERRORS,
    BufferFullError,
    FlowError,
    FlowTimeout,
    LibraryNotFoundError,
    SmartBusError,
    check,
    error_for,
)

# NET.md 10.1.
DOCUMENTED_CODES = {*range(-25, 0), -99}

CORE_HEADER = Path(__file__).parents[2] / "native" / "include" / "smartbus_core.h"


def test_every_documented_code_has_a_class_of_its_own() -> None:
    assert set(ERRORS) == DOCUMENTED_CODES
    assert len(set(ERRORS.values())) == len(ERRORS)
    assert all(issubclass(cls, SmartBusError) for cls in ERRORS.values())


def test_codes_are_those_of_the_core_header() -> None:
    codes = re.findall(r"\bSB_E[A-Z]+ = (-\d+)", CORE_HEADER.read_text())
    assert {int(code) for code in codes} == DOCUMENTED_CODES


def test_all_public_classes_are_exported() -> None:
    classes = {cls.__name__ for cls in ERRORS.values()}
    others = {"FlowError", "FlowTimeout", "LibraryNotFoundError", "SmartBusError"}
    assert classes | others | {"ERRORS", "check", "error_for"} == set(errors.__all__)


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_each_class_documents_its_code(code: int) -> None:
    doc = ERRORS[code].__doc__
    assert doc is not None
    assert doc.startswith(f"{code}: ")


@pytest.mark.parametrize("code", sorted(ERRORS))
@pytest.mark.parametrize("message", ["", "client 3: 超时"])
def test_error_carries_its_facts_and_survives_pickling(code: int, message: str) -> None:
    original = error_for(code, message)
    for error in (original, pickle.loads(pickle.dumps(original))):  # noqa: S301 - our own bytes
        assert type(error) is ERRORS[code]
        assert error.code == code
        assert re.fullmatch(r"SMARTBUS_ERR_[A-Z_]+", error.name)
        assert error.message == (message or error.message)
        assert error.message
        assert str(error) == f"{error.name} ({code}): {error.message}"


def test_names_and_texts_are_unique() -> None:
    instances = [error_for(code) for code in ERRORS]
    assert len({error.name for error in instances}) == len(instances)
    assert len({error.message for error in instances}) == len(instances)


@pytest.mark.parametrize(
    ("code", "builtin"),
    [
        (-2, ConnectionError),
        (-3, ConnectionError),
        (-4, PermissionError),
        (-20, ConnectionError),
        (-25, TimeoutError),
    ],
)
def test_errors_with_a_builtin_counterpart(code: int, builtin: type[OSError]) -> None:
    error = error_for(code, "why")
    assert isinstance(error, builtin)
    # A SmartBus code is no errno: nobody may mistake -2 for one.
    assert error.errno is None


@pytest.mark.parametrize("code", [-26, -98, -100, -(2**31)])
def test_unknown_codes_are_plain_errors(code: int) -> None:
    error = error_for(code)
    assert type(error) is SmartBusError
    assert error.code == code
    assert error.name == "SMARTBUS_ERR_UNKNOWN"


@pytest.mark.parametrize("code", [0, 1, 2**31 - 1])
def test_check_passes_results_on(code: int) -> None:
    assert check(code) == code


@pytest.mark.parametrize("code", [*sorted(ERRORS), -1234])
def test_check_raises_the_class_of_the_code(code: int) -> None:
    with pytest.raises(SmartBusError) as caught:
        check(code)
    assert type(caught.value) is ERRORS.get(code, SmartBusError)
    assert caught.value.code == code


def test_attributes_added_later_survive_pickling() -> None:
    error = error_for(-25)
    error.request_id = 7  # type: ignore[attr-defined]
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert copy.request_id == 7


def test_library_not_found_lists_every_attempt() -> None:
    tried = [("busnetcli", "not on the search path"), ("core", "was not built")]
    original = LibraryNotFoundError(iter(tried))
    copy: LibraryNotFoundError = pickle.loads(pickle.dumps(original))  # noqa: S301 - our own bytes
    for error in (original, copy):
        assert isinstance(error, OSError)
        assert error.code == -99
        assert error.tried == tried
        assert "busnetcli: not on the search path" in str(error)
        assert "core: was not built" in str(error)
    assert "nothing" in str(LibraryNotFoundError([]))


@pytest.mark.parametrize(
    ("original", "text"),
    [
        (FlowError(5, "没有这个流程", 7, "项目"), "flow call 7 of '项目': 没有这个流程 (5)"),
        (FlowError(-9, invoke_id=1), "flow call 1 of '': client does not exist (-9)"),
        (FlowTimeout(-25, "too late", 8, "P"), "flow call 8 of 'P': too late (-25)"),
    ],
)
def test_flow_errors(original: FlowError, text: str) -> None:
    copy: FlowError = pickle.loads(pickle.dumps(original))  # noqa: S301 - our own bytes
    for error in (original, copy):
        assert type(error) is type(original)
        assert (error.code, error.message) == (original.code, original.message)
        assert (error.invoke_id, error.project) == (original.invoke_id, original.project)
        assert str(error) == text
        assert isinstance(error, SmartBusError)
        assert isinstance(error, TimeoutError) == (original.code == -25)


def test_an_error_tells_how_many_packets_went() -> None:
    assert SmartBusError(-7).sent == 0
    error = BufferFullError(-7)
    error.sent = 12
    assert pickle.loads(pickle.dumps(error)).sent == 12  # noqa: S301 - our own bytes
