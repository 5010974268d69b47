"""Staying awake without an event loop: when it is tried, and when no more."""

from __future__ import annotations

from smartbus.spin import BlockingSpinner


def looks(spinner: BlockingSpinner, ready: bool) -> int:
    """How often a spinner looks for one answer, which is there at once or never."""
    count = 0

    def look() -> bool:
        nonlocal count
        count += 1
        return ready

    spinner.wait(look)
    if ready:
        spinner.answered()
    return count


def test_it_begins_after_a_quick_answer() -> None:
    spinner = BlockingSpinner(30.0)
    assert [looks(spinner, True) for _ in range(4)] == [0, 1, 1, 1]


def test_it_is_tried_less_and_less_often_where_it_does_not_help() -> None:
    spinner = BlockingSpinner(30.0)
    looks(spinner, True)
    for passed in (1, 2, 4, 8):
        spinner._window = 0.0001  # no answer within this
        assert looks(spinner, False) > 0
        spinner._window = 30.0
        assert [looks(spinner, True) for _ in range(passed)] == [0] * passed
    assert looks(spinner, True) == 1


def test_never() -> None:
    spinner = BlockingSpinner(0.0)
    assert [looks(spinner, True) for _ in range(5)] == [0] * 5
