"""Small helpers: text conversions and named loggers."""

from __future__ import annotations

import logging
from typing import TypeVar, overload

from .encoding import WIRE

__all__ = ["LoggerMixin", "b2s_recode", "s2b_recode", "to_bytes", "to_str", "to_unicode"]

_T = TypeVar("_T")


@overload
def b2s_recode(
    bs: bytes | str, source_encoding: str | None = ..., target_encoding: str | None = ...
) -> str: ...
@overload
def b2s_recode(
    bs: None, source_encoding: str | None = ..., target_encoding: str | None = ...
) -> None: ...
def b2s_recode(
    bs: bytes | str | None,
    source_encoding: str | None = None,
    target_encoding: str | None = None,
) -> str | None:
    """Return bytes of the C interface as text.

    Args:
        bs: The bytes; text and None (C's NULL) are passed on.
        source_encoding: Codec of `bs`; None is the C interface's own (GBK).
        target_encoding: If given, every character must exist in this codec.

    Raises:
        UnicodeError: `bs` is not valid, or a character is missing in `target_encoding`.
        LookupError: No such codec.
    """
    if bs is None:
        return None
    text = bs.decode(source_encoding or WIRE) if isinstance(bs, bytes) else bs
    if target_encoding is not None:
        text.encode(target_encoding)
    return text


@overload
def s2b_recode(
    s: bytes | str, source_encoding: str | None = ..., target_encoding: str | None = ...
) -> bytes: ...
@overload
def s2b_recode(
    s: None, source_encoding: str | None = ..., target_encoding: str | None = ...
) -> None: ...
def s2b_recode(
    s: bytes | str | None,
    source_encoding: str | None = None,
    target_encoding: str | None = None,
) -> bytes | None:
    """Return text as bytes for the C interface.

    Args:
        s: The text; bytes are decoded first; None (C's NULL) is passed on.
        source_encoding: Codec of `s` where it is bytes; None is UTF-8.
        target_encoding: Codec of the result; None is the C interface's own (GBK).

    Raises:
        UnicodeError: `s` is not valid, or a character is missing in `target_encoding`.
        LookupError: No such codec.
    """
    if s is None:
        return None
    text = s.decode(source_encoding or "utf-8") if isinstance(s, bytes) else s
    return text.encode(target_encoding or WIRE)


@overload
def to_bytes(s: str, encoding: str = ...) -> bytes: ...
@overload
def to_bytes(s: _T, encoding: str = ...) -> _T: ...
def to_bytes(s: object, encoding: str = "utf-8") -> object:
    """Return `s` encoded if it is ``str``, else `s` itself."""
    return s.encode(encoding) if isinstance(s, str) else s


@overload
def to_str(s: bytes, encoding: str = ...) -> str: ...
@overload
def to_str(s: _T, encoding: str = ...) -> _T: ...
def to_str(s: object, encoding: str = "utf-8") -> object:
    """Return `s` decoded if it is ``bytes``, else `s` itself."""
    return s.decode(encoding) if isinstance(s, bytes) else s


#: Equal to `to_str`: in Python 3 text is Unicode.
to_unicode = to_str


class LoggerMixin:
    """Gives a class a logger of its own, named ``ModuleName.ClassName``."""

    @classmethod
    def get_logger(cls) -> logging.Logger:
        """Return the logger of this class; a subclass has its own."""
        return logging.getLogger(f"{cls.__module__}.{cls.__name__}")

    @property
    def logger(self) -> logging.Logger:
        """The logger of the object's class."""
        return self.get_logger()
