"""What goes into the C interface, checked: texts, and times in milliseconds."""

from __future__ import annotations

from typing import Final

from smartbus.arguments import seconds
from smartbus.encoding import encode_text
from smartbus.errors import ArgumentError

# Longest texts in bytes; the libraries would silently cut what is longer (NET.md 2.1, 7.1, 8).
MAX_USER: Final = 63
MAX_PASSWORD: Final = 127
MAX_INFO: Final = 255
MAX_ID: Final = 31


def wire_text(name: str, value: str | bytes, limit: int | None = None) -> bytes:
    """Return the text `value`, called `name`, as the bytes of a C string.

    Args:
        name: For error messages.
        value: Text, which is encoded as GBK, or bytes, which are taken as they are.
        limit: The longest that fits.

    Raises:
        ArgumentError: It holds a NUL, cannot be encoded, or is too long.
        TypeError: It is something else.
    """
    if isinstance(value, str):
        try:
            raw = encode_text(value)
        except UnicodeEncodeError as error:
            raise ArgumentError(-1, f"{name} cannot be encoded: {error}") from error
    elif isinstance(value, bytes):
        raw = value
    else:
        raise TypeError(f"{name} must be str or bytes, not {type(value).__name__}")
    if b"\0" in raw:
        raise ArgumentError(-1, f"{name} holds a NUL character")
    if limit is not None and len(raw) > limit:
        raise ArgumentError(-1, f"{name} has {len(raw)} bytes; {limit} fit")
    return raw


def milliseconds(name: str, value: float) -> int:
    """Return a time of `value` seconds, called `name`, in whole milliseconds; see `seconds`."""
    # A tiny time is not the same as none.
    return max(round(seconds(name, value) * 1000), 1 if value > 0 else 0)
