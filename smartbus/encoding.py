"""Text on the bus: which bytes leave, and how foreign bytes are read.

IPSC has GBK (code page 936) on the wire and on the C interface. JSON that we
emit is pure ASCII, so that it survives whatever encoding the reader assumes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "WIRE",
    "decode_text",
    "decode_wire_text",
    "dumps_ascii",
    "encode_text",
    "loads_array",
]

#: The codec of wire texts. GB18030 is GBK (``cp936``) with the same bytes for all of its
#: characters, plus four-byte forms for the rest of Unicode.
WIRE = "gb18030"

_encode_json = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, separators=(",", ":"), check_circular=True
).encode


def encode_text(s: str) -> bytes:
    """Return `s` as a wire text: GBK, and GB18030's longer forms for characters outside it.

    Raises:
        UnicodeEncodeError: `s` holds a lone surrogate.
        TypeError: `s` is no text.
    """
    if not isinstance(s, str):
        raise TypeError(f"a text must be str, not {type(s).__name__}")
    return s.encode(WIRE)


def decode_wire_text(raw: Buffer) -> str:
    """Return a text of the C interface or of the wire, which is GBK; never raises.

    Bytes that are no text (a cut character, say) become U+FFFD.
    """
    return str(raw, WIRE, "replace")


def decode_text(raw: Buffer, encoding: str | None = None) -> str:
    """Return text that somebody else encoded; never raises.

    Tried in this order, strictly: `encoding` (skipped if Python has no such codec),
    UTF-8, GB18030. If none fits, GB18030 decodes with U+FFFD for what is no text.
    """
    for codec in (encoding, "utf-8", WIRE):
        if codec:
            try:
                return str(raw, codec)
            except (LookupError, ValueError):  # no such codec; not valid in it
                pass
    return decode_wire_text(raw)


def dumps_ascii(obj: Any) -> str:
    r"""Return `obj` as compact JSON in pure ASCII (other characters as ``\uXXXX``).

    Raises:
        TypeError: `obj` holds something that JSON does not know.
        ValueError: `obj` holds a NaN or an infinity, or contains itself.
        RecursionError: `obj` is nested too deeply.
    """
    return _encode_json(obj)


def loads_array(raw: Buffer, encoding: str | None = None) -> list[Any]:
    """Return the list that a JSON array stands for, as a flow returns one; none for no text.

    Args:
        raw: The text, as for `decode_text`.
        encoding: The codec to try first.

    Raises:
        ValueError: It is no JSON, or no array, or nested too deeply.
    """
    text = decode_text(raw, encoding)
    if not text:
        return []
    try:
        result = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the result is no JSON: {error}: {text[:200]!r}") from None
    except RecursionError:
        raise ValueError("the result is nested too deeply") from None
    if not isinstance(result, list):
        raise ValueError(f"the result is no JSON array: {text[:200]!r}")  # noqa: TRY004 - foreign
    return result
