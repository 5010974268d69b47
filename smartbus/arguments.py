"""Numbers that callers give, checked: times in seconds, and whole numbers."""

from __future__ import annotations

from typing import Final, overload

from .errors import ArgumentError

__all__ = ["LONGEST", "seconds", "seconds_or_none", "whole"]

_INT_MAX: Final = 0x7FFFFFFF

#: Longest time (seconds): what the C interface can say, which is 24 days.
LONGEST: Final = _INT_MAX // 1000


def seconds(name: str, value: float, low: float = 0, high: float = LONGEST) -> float:
    """Return `value`, called `name`, if it is a number of seconds in `low` … `high`.

    Raises:
        ArgumentError: It is out of range, or not a number at all (NaN).
        TypeError: It is of another type; ``bool`` is, for ``timeout=True`` is a mistake.
    """
    given: type = type(value)
    if given is bool or not issubclass(given, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {given.__name__}")
    if not low <= value <= high:
        raise ArgumentError(-1, f"{name} is {value!r} s; it must be in {low:g}..{high}")
    return value


@overload
def seconds_or_none(name: str, value: float) -> float: ...
@overload
def seconds_or_none(name: str, value: None) -> None: ...
@overload
def seconds_or_none(name: str, value: float | None) -> float | None: ...
def seconds_or_none(name: str, value: float | None) -> float | None:
    """Return `value`, called `name`, if it is None or passes `seconds`; raise as that does."""
    return None if value is None else seconds(name, value)


def whole(name: str, value: int, low: int = -_INT_MAX - 1, high: int = _INT_MAX) -> int:
    """Return `value`, called `name`, if it is an ``int`` in `low` … `high`.

    Raises:
        ArgumentError: It is out of range.
        TypeError: It is not an ``int``.
    """
    if not isinstance(value, int):
        raise TypeError(f"{name} must be int, not {type(value).__name__}")
    if not low <= value <= high:
        raise ArgumentError(-1, f"{name} is {value}; it must be in {low}..{high}")
    return value
