"""Our own tests use the plugin that we ship; and no test may leave anything behind.

Directories below may have a ``conftest.py`` of their own. Fixtures of a wider scope than
one test may keep what they hold; ask for them by argument, not with
``request.getfixturevalue``, so that they exist before the check takes its first look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from smartbus.bus import Bus

# Where this checkout is not installed there is no entry point. Twice does not happen: the
# entry point has the same name.
pytest_plugins = ["smartbus.testing"]


# A busy machine is no fault of what is tested.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def leak_check(smartbus_no_leaks: None) -> None:
    """Fail a test that leaves a thread, a descriptor or a process behind."""


@pytest.fixture
def bus(smartbus_bus: Bus) -> Bus:
    """Run a bus; some directories have another one."""
    return smartbus_bus
