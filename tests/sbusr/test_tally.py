from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sbusr.tally import Tally

if TYPE_CHECKING:
    import pytest

LOGGER = logging.getLogger(__name__)
LONG = 1e6


def test_the_first_is_told_at_once_the_others_together(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(LOGGER, logging.ERROR, "lost %d: %s", every=LONG)
    tally.add(2, "b")
    assert caplog.messages == ["lost 2: b"]
    tally.add(3, "c")
    tally.add(4, "d")
    assert caplog.messages == ["lost 2: b"]
    tally.close()
    tally.close()
    assert caplog.messages == ["lost 2: b", "lost 7: d"]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_they_are_told_again_when_it_is_time(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(LOGGER, logging.WARNING, "%d %s", every=0.0)
    for number in range(3):
        tally.add(1, number)
    assert caplog.messages == ["1 0", "1 1", "1 2"]


def test_nothing_is_no_line(caplog: pytest.LogCaptureFixture) -> None:
    Tally(LOGGER, logging.WARNING, "%d %s").close()
    assert caplog.messages == []


def test_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(LOGGER, logging.WARNING, "%d %s")
    try:
        raise ValueError("why")
    except ValueError as exc:
        tally.add(1, exc, exc_info=True)
    assert "1 why\nTraceback" in caplog.text
