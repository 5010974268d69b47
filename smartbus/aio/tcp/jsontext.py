"""`json.dumps` and `json.loads` with their default arguments, in half the time."""

from __future__ import annotations

import json
import json.encoder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["dumper", "loads"]

_raw_decode = json.JSONDecoder().raw_decode


def loads(text: str) -> Any:
    """Do what `json.loads` does, and raise what it raises.

    It looks for white space around the value with two regular expressions, which takes as long
    as decoding 100 bytes.
    """
    try:
        value, end = _raw_decode(text)
    except ValueError:
        return json.loads(text)  # white space in front, or an error
    return value if end == len(text) else json.loads(text)


def dumper(*, allow_nan: bool) -> Callable[[Any], str]:
    """Return what does what ``json.dumps(…, allow_nan=allow_nan)`` does.

    That one makes a C encoder for each call, which takes as long as encoding 100 bytes. Here
    there is one for all calls. Whatever it cannot do, the official way does, or refuses.
    """

    def slow(data: Any) -> str:
        return json.dumps(data, allow_nan=allow_nan)

    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return slow
    reference = json.JSONEncoder(allow_nan=allow_nan)
    escape = json.encoder.encode_basestring_ascii
    try:
        # Without the first, a dictionary to find cycles; they are found by the recursion limit.
        encode = make(None, reference.default, escape, None, ": ", ", ", False, False, allow_nan)
        encode({}, 0)
    except TypeError:  # a Python where it takes something else; it is no documented function
        return slow

    def fast(data: Any) -> str:
        try:
            return "".join(encode(data, 0))
        except (TypeError, ValueError, RecursionError):
            return slow(data)

    return fast
