"""What callers give, checked: times in seconds, whole numbers, texts, bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, overload

from .errors import ArgumentError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["LONGEST", "integers", "raw", "seconds", "seconds_or_none", "text", "whole"]

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
        raise _wrong(name, "a number of seconds", value)
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
        raise _wrong(name, "int", value)
    if not low <= value <= high:
        raise ArgumentError(-1, f"{name} is {value}; it must be in {low}..{high}")
    return value


def integers(**values: int) -> None:
    """Raise `TypeError` for the first of `values` that is no ``int``, with its name."""
    for name, value in values.items():
        if not isinstance(value, int):
            raise _wrong(name, "int", value)


def text(name: str, value: str) -> str:
    """Return `value`, called `name`, if it is ``str``; raise `TypeError` if not."""
    if not isinstance(value, str):
        raise _wrong(name, "str", value)
    return value


def raw(name: str, value: Buffer) -> bytes:
    """Return the bytes of `value`, called `name`; raise `TypeError` if it has none."""
    try:
        return bytes(memoryview(value))  # bytes() alone would take numbers, too
    except TypeError:
        raise _wrong(name, "text or a bytes-like object", value) from None


def _wrong(name: str, expected: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {expected}, not {type(value).__name__}")
