"""What the tests of the bus share."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from smartbus.testing import wait_until


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[str], logging.LogRecord]:
    """Wait for the line of the bus's log that has this in it."""
    caplog.set_level(logging.DEBUG, "smartbus.bus")

    def logged(part: str) -> logging.LogRecord:
        def find() -> list[logging.LogRecord]:
            return [record for record in caplog.records if part in record.getMessage()]

        return wait_until(find)[0]

    return logged
