r"""Python values to JSON: fast for what methods usually return, complete for the rest.

The output is pure ASCII (``\uXXXX`` escapes), so that it survives every text encoding on its way
to a flow script.
"""

from __future__ import annotations

import codecs
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["dumps", "recursive_jsonable"]

_ESCAPE = "sbusr.jsonescape"


def _escape_run(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: replace a run of non-ASCII characters by JSON escapes, in C."""
    assert isinstance(error, UnicodeEncodeError)
    run = error.object[error.start : error.end]
    return encode_basestring_ascii(run)[1:-1], error.end


codecs.register_error(_ESCAPE, _escape_run)


def dumps(value: Any) -> bytes:
    """Serialise to JSON, pure ASCII.

    Besides JSON's own types: dates and times (ISO 8601), ``bytes`` (UTF-8 text), ``Decimal`` and
    ``UUID`` (text), enumerations (their value), dataclasses, sets, mappings, and keys that are
    numbers, dates and the like. NaN and the infinities become ``null``.

    Raises:
        TypeError: The value, or something in it, has no JSON form.
    """
    try:
        data = orjson.dumps(value, _default)
    except TypeError:
        # Keys that are no strings, integers beyond 64 bits, lone surrogates, deep nesting.
        return _dumps_slowly(value)
    if data.isascii():
        return data
    return data.decode().encode("ascii", _ESCAPE)


def _default(value: Any) -> Any:
    """What orjson does not know by itself; it serialises what this returns."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return str(value, "utf-8")
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, AbstractSet):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def _dumps_slowly(value: Any) -> bytes:
    try:
        text = json.dumps(recursive_jsonable(value), separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise TypeError("it is nested too deeply, or contains itself") from None
    except ValueError as exc:
        raise TypeError(str(exc)) from exc
    return text.encode("ascii")


def recursive_jsonable(obj: Any, encoding: str = "utf-8") -> Any:
    """Convert a value, recursively, into what ``json`` can serialise (seed: "jsonrpc module").

    The conversions are those of :func:`dumps`.

    Args:
        obj: Any value.
        encoding: How ``bytes`` in it are decoded.

    Raises:
        TypeError: Something in it has no JSON form.
        UnicodeDecodeError: Some ``bytes`` in it are not text in ``encoding``.
        RecursionError: It is nested too deeply, or contains itself.
    """
    if obj is None or obj is True or obj is False:
        return obj
    for kind, convert in _CONVERSIONS:
        if isinstance(obj, kind):
            return convert(obj, encoding)
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return {
            field.name: recursive_jsonable(getattr(obj, field.name), encoding)
            for field in dataclasses.fields(obj)
            if not field.name.startswith("_")
        }
    raise TypeError(f"{type(obj).__name__} is not JSON serialisable")


def _float(value: float, _encoding: str) -> float | None:
    return float(value) if math.isfinite(value) else None


def _mapping(value: Mapping[Any, Any], encoding: str) -> dict[str, Any]:
    return {_key(k, encoding): recursive_jsonable(v, encoding) for k, v in value.items()}


def _key(key: Any, encoding: str) -> str:
    """A mapping's key; constants and numbers are spelt as ``json.dumps`` does."""
    value = recursive_jsonable(key, encoding)
    if isinstance(value, (list, dict)):
        raise TypeError(f"a key of type {type(key).__name__} is not JSON serialisable")
    return value if isinstance(value, str) else json.dumps(value)


#: In this order: an enumeration may be a str or an int as well, a datetime is a date.
_CONVERSIONS: tuple[tuple[Any, Callable[[Any, str], Any]], ...] = (
    (enum.Enum, lambda obj, encoding: recursive_jsonable(obj.value, encoding)),
    (str, lambda obj, _: str(obj)),
    (int, lambda obj, _: int(obj)),
    (float, _float),
    ((bytes, bytearray, memoryview), str),
    ((dt.date, dt.time), lambda obj, _: obj.isoformat()),
    ((decimal.Decimal, uuid.UUID), lambda obj, _: str(obj)),
    (Mapping, _mapping),
    (
        (list, tuple, AbstractSet),
        lambda obj, encoding: [recursive_jsonable(item, encoding) for item in obj],
    ),
)
