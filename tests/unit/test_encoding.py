from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smartbus.encoding import decode_text, decode_wire_text, dumps_ascii, encode_text

text = st.text(st.characters(exclude_categories=["Cs"]))


def test_wire_texts_are_gbk_byte_for_byte() -> None:
    for point in range(0x10000):
        char = chr(point)
        try:
            gbk = char.encode("gbk")
        except UnicodeEncodeError:
            continue
        assert encode_text(char) == gbk
        assert decode_wire_text(gbk) == char


@given(text)
@example("€😀Ångström")
def test_wire_texts_carry_all_of_unicode(value: str) -> None:
    assert decode_wire_text(encode_text(value)) == value


def test_lone_surrogates_cannot_be_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_text("\ud800")


@given(st.binary())
def test_decoding_never_raises(raw: bytes) -> None:
    decode_wire_text(raw)
    for encoding in (None, "", "utf-8", "ascii", "utf-16", "hex", "idna", "no such codec", "a\0b"):
        decode_text(raw, encoding)


@pytest.mark.parametrize(
    ("raw", "encoding", "expected"),
    [
        ("北京".encode(), None, "北京"),
        ("北京".encode("gbk"), None, "北京"),
        ("北京".encode("gbk"), "utf-8", "北京"),
        ("北京".encode(), "gbk", "鍖椾含"),  # a valid reading in the given encoding wins
        ("Ångström".encode("latin-1"), "latin-1", "Ångström"),
        ("北京".encode(), "ascii", "北京"),
        ("北京".encode(), "no such codec", "北京"),
        (b"", None, ""),
        (b"ok\xff", None, "ok�"),
        (b"ok\xff", "utf-8", "ok�"),
        (bytearray(b"ok"), None, "ok"),
        (memoryview(b"ok"), None, "ok"),
    ],
)
def test_decoding_order(raw: bytes, encoding: str | None, expected: str) -> None:
    assert decode_text(raw, encoding) == expected


def test_a_cut_character_is_replaced() -> None:
    assert decode_wire_text("北京".encode("gbk")[:-1]) == "北�"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Surrogates too: JSON escapes can say them.
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_json_is_pure_ascii_and_reads_back(value: Any) -> None:
    emitted = dumps_ascii(value)
    assert emitted.isascii()
    assert json.loads(emitted) == value


def test_json_is_compact() -> None:
    assert dumps_ascii({"a": [1, "北"], "b": None}) == r'{"a":[1,"\u5317"],"b":null}'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [math.nan]])
def test_json_has_no_nan_and_no_infinity(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps_ascii(value)


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, {("a", "b"): 1}])
def test_json_refuses_other_types(value: object) -> None:
    with pytest.raises(TypeError):
        dumps_ascii(value)


def test_json_refuses_circles() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        dumps_ascii(circle)
