from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbusr.jsonable import dumps, recursive_jsonable


class Colour(enum.Enum):
    RED = "红"


class Number(enum.IntEnum):
    ONE = 1


@dataclass
class Point:
    x: int
    y: bytes


class Text(str):
    __slots__ = ()


UTC = dt.timezone.utc
CASES: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (b"abc", "abc"),
    (bytearray("中".encode()), "中"),
    ((1, 2), [1, 2]),
    ({3}, [3]),
    (frozenset([3]), [3]),
    (dt.date(2013, 12, 14), "2013-12-14"),
    (dt.datetime(2013, 12, 14, 1, 2, 3, tzinfo=UTC), "2013-12-14T01:02:03+00:00"),
    (dt.datetime(2013, 12, 14, 1, 2, 3), "2013-12-14T01:02:03"),  # noqa: DTZ001
    (dt.time(1, 2, 3), "01:02:03"),
    (decimal.Decimal("1.10"), "1.10"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Colour.RED, "红"),
    (Number.ONE, 1),
    (Point(1, b"y"), {"x": 1, "y": "y"}),
    (Text("t"), "t"),
    (OrderedDict(a=1), {"a": 1}),
    (MappingProxyType({"a": 1}), {"a": 1}),
    ({1: 2, None: 3, False: 4}, {"1": 2, "null": 3, "false": 4}),
    ({dt.date(2013, 12, 14): 1}, {"2013-12-14": 1}),
    (2**100, 2**100),
    (math.nan, None),
    ([math.inf], [None]),
    ("\ud800", "\ud800"),
    ("\U0001f600中é\x7f\x00\n", "\U0001f600中é\x7f\x00\n"),
]


@pytest.mark.parametrize(("value", "expected"), CASES)
def test_both_ways_agree(value: Any, expected: Any) -> None:
    text = dumps([value])
    assert text.isascii()
    assert json.loads(text) == [expected]
    assert recursive_jsonable([value]) == [expected]


@pytest.mark.parametrize(
    "value", [object(), [object()], {"a": {1j}}, {(1, 2): 3}, {Point: 1}, b"\xff", Point]
)
def test_no_json_form(value: Any) -> None:
    with pytest.raises(TypeError):
        dumps(value)


def test_contains_itself() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TypeError, match="nested too deeply"):
        dumps(value)


def test_encoding_of_bytes() -> None:
    assert recursive_jsonable({b"\xd6": [b"\xd0\xd6"]} | {}, "latin-1") == {"Ö": ["ÐÖ"]}
    with pytest.raises(UnicodeDecodeError):
        recursive_jsonable(b"\xff")


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=20,
)  # fmt: skip


@given(any_json)
def test_what_json_knows_survives(value: Any) -> None:
    text = dumps(value)
    assert text.isascii()
    assert json.loads(text) == value
    assert json.loads(json.dumps(recursive_jsonable(value))) == value
