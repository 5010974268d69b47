from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from smartbus.utils import LoggerMixin, b2s_recode, s2b_recode, to_bytes, to_str, to_unicode

GBK = "北京".encode("gbk")
UTF8 = "北京".encode()


@pytest.mark.parametrize(
    ("bs", "source", "expected"),
    [
        (GBK, None, "北京"),
        (GBK, "cp936", "北京"),
        (UTF8, "utf-8", "北京"),
        (b"", None, ""),
        ("北京", None, "北京"),
        (None, None, None),
    ],
)
def test_b2s_recode(bs: bytes | None, source: str | None, expected: str | None) -> None:
    assert b2s_recode(bs, source) == expected
    assert b2s_recode(bs, source, "utf-8") == expected


def test_b2s_recode_checks_both_encodings() -> None:
    with pytest.raises(UnicodeDecodeError):
        b2s_recode(GBK, "utf-8")
    with pytest.raises(UnicodeEncodeError):
        b2s_recode(GBK, None, "ascii")
    with pytest.raises(LookupError):
        b2s_recode(GBK, "no such codec")


@pytest.mark.parametrize(
    ("s", "source", "target", "expected"),
    [
        ("北京", None, None, GBK),
        ("北京", None, "utf-8", UTF8),
        (UTF8, None, None, GBK),
        (UTF8, "utf-8", "cp936", GBK),
        (GBK, "gbk", "utf-8", UTF8),
        ("", None, None, b""),
        (None, None, None, None),
    ],
)
def test_s2b_recode(
    s: bytes | None, source: str | None, target: str | None, expected: bytes | None
) -> None:
    assert s2b_recode(s, source, target) == expected


def test_s2b_recode_checks_both_encodings() -> None:
    with pytest.raises(UnicodeDecodeError):
        s2b_recode(GBK)
    with pytest.raises(UnicodeEncodeError):
        s2b_recode("北京", None, "ascii")
    with pytest.raises(LookupError):
        s2b_recode("北京", None, "no such codec")


def test_to_bytes_encodes_text_only() -> None:
    assert to_bytes("北京") == UTF8
    assert to_bytes("北京", "gbk") == GBK
    assert to_bytes(GBK) is GBK
    assert to_bytes(None) is None
    assert to_bytes(5) == 5


@pytest.mark.parametrize("function", [to_str, to_unicode])
def test_to_str_decodes_bytes_only(function: Callable[..., object]) -> None:
    assert function(UTF8) == "北京"
    assert function(GBK, "gbk") == "北京"
    original = "北京"
    assert function(original) is original
    for other in (None, 5, bytearray(UTF8)):
        assert function(other) is other


class Base(LoggerMixin):
    pass


class Derived(Base):
    pass


def test_loggers_are_named_after_module_and_class() -> None:
    assert Base.get_logger().name == f"{__name__}.Base"
    assert Derived.get_logger().name == f"{__name__}.Derived"
    assert Base().logger is Base.get_logger()
    assert Derived().logger is logging.getLogger(f"{__name__}.Derived")
