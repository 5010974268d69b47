"""Tables of statements about the C interfaces; `table.py` says how to write rows."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, cast

import pytest

from smartbus._c.lookup import VENDOR_WHEEL

pytest.register_assert_rewrite(
    *(f"tests.abi.{name}" for name in ("library", "server", "world", "outcomes"))
)

from tests.abi.outcomes import Outcomes  # noqa: E402 - after the registration
from tests.behaviour.conftest import WITHOUT_VENDOR, without_vendor  # noqa: E402

if TYPE_CHECKING:
    from tests.abi.table import Case


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each row of the module's ``TABLE``."""
    if "case" not in metafunc.fixturenames:
        return
    reason = without_vendor()
    skip = [pytest.mark.skip(reason=reason)] if reason else []
    metafunc.parametrize(
        "case",
        [
            # The first test waits for all rows.
            pytest.param(
                case,
                id=case.id,
                marks=[pytest.mark.timeout(300), *(skip if case.kind == "vendor" else [])],
            )
            for case in metafunc.module.TABLE.cases()
        ],
    )


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    """How the selected rows of all tables ended."""
    cases: list[Case] = [
        cast("Case", item.callspec.params["case"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and "outcomes" in item.fixturenames
        and not item.get_closest_marker("skip")
    ]
    if any(case.kind == "vendor" for case in cases):
        try:
            metadata.version(VENDOR_WHEEL)
        except metadata.PackageNotFoundError:
            pytest.fail(f"install the extra 'vendor', or set {WITHOUT_VENDOR}=1", pytrace=False)
    return Outcomes(cases)


@pytest.fixture(autouse=True)
def leak_check() -> None:
    """Look for nothing: the rows are over, and each `World` has looked after itself."""
