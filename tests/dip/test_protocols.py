"""`Protocol`, those that are built in, errors and addresses: every row of DIP.md 1.2, 1.3, 1.5."""

from __future__ import annotations

import array
import math
import mmap
import struct
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import smartbus.dip
from smartbus.dip import Protocol, errors, proto
from smartbus.dip.address import Address
from tests.dip.peers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILT_IN = {
    b"J": proto.JsonProtocol,
    b"P": proto.PickleProtocl,
    b"O": proto.StdoutProtocol,
    b"E": proto.StderrProtocol,
    b"D": proto.DictProtocol,
    b"H": proto.HeaderProto,
    b"o": proto.SubtaskOutProto,
    b"e": proto.SubtaskErrorProto,
    b"U": proto.TaskUpdateProto,
    b"I": proto.TaskUpdateProtoV2,
    b"\x1d": proto.SetConnectionIdProto,
}


@pytest.fixture
def registry() -> Iterator[dict[int, type[Protocol]]]:
    """The registry; what a test registers is forgotten after it."""
    before = dict(Protocol.registry)
    yield Protocol.registry
    Protocol.registry.clear()
    Protocol.registry.update(before)


def body(mtype: bytes, data: Any) -> bytes:
    return bytes(Protocol.dispatch(mtype[0]).encode(data)[2])


def value(mtype: bytes, data: bytes) -> Any:
    return Protocol.dispatch(mtype[0]).decode_body(memoryview(bytearray(data)))


# ---- the tables ---------------------------------------------------------------------------


@pytest.mark.parametrize("mtype", BUILT_IN)
def test_registered(mtype: bytes) -> None:
    assert Protocol.dispatch(mtype[0]) is BUILT_IN[mtype]
    assert mtype == BUILT_IN[mtype].MSG_TYPE


def test_public_names() -> None:
    assert smartbus.dip.name == "deepfos-ipc-protocol"
    assert smartbus.dip.Protocol is proto.Protocol
    assert proto.PickleProtocol is proto.PickleProtocl
    assert proto.SubtaskErrorProto.VALID_KEYS == ("arg", "subtask_err")
    assert proto.TaskUpdateProto.element_proto is proto.JsonProtocol
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = smartbus.dip.Nothing


def test_importing_it_is_cheap() -> None:
    """The daemon's worker processes need the framing alone."""
    code = "import sys, smartbus.dip.framing; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    loaded = {name for name in done.stdout.split() if name.startswith("smartbus")}
    assert loaded == {"smartbus", "smartbus.dip", "smartbus.dip.framing"}
    assert "asyncio" not in done.stdout.split()


def test_the_tree_of_errors() -> None:
    def tree(cls: type) -> dict[str, Any]:
        below: list[type] = cls.__subclasses__()
        return {each.__name__: tree(each) for each in below}

    assert errors.DeepFOSError.__base__ is Exception
    assert tree(errors.DeepFOSError) == {
        "ProtocolError": {
            "DuplicateProtoError": {},
            "UnsupportedProtoError": {},
            "ProtoEncodeError": {},
            "ProtoDecodeError": {},
        },
        "DeepFOSIOError": {
            "ReadTimeout": {},
            "ResponseError": {},
            "DeepFOSConnectionError": {"ConnectionClosed": {}, "ConnectionAquireTimeout": {}},
        },
    }


def test_encode_gives_the_parts_of_a_frame() -> None:
    mtype, length, view = proto.JsonProtocol.encode({"a": 1})
    assert (mtype, length, bytes(view)) == (b"J", b"\0\0\0\x08", b'{"a": 1}')
    assert proto.JsonProtocol.decode(memoryview(b'J\0\0\0\x08{"a": 1}')) == {"a": 1}


def test_json_as_the_real_one_writes_it() -> None:
    assert body(b"J", {"文": [1, math.nan]}) == '{"文": [1, NaN]}'.encode()
    assert math.isnan(value(b"J", b"NaN"))


def test_dictionaries() -> None:
    assert body(b"o", {"subtask_out": "b", "arg": "文"}) == (
        b"\0\x01\0\0\0\x01b" + b"\0\0\0\0\0\x03" + "文".encode()
    )
    assert value(b"H", b"\0\0\0\0\0\x01a" + b"\0\0\0\0\0\x01b") == {"header": "b"}  # the last wins
    assert value(b"D", b"") == {}


def test_a_cut_dictionary_is_an_error() -> None:
    with pytest.raises(errors.ProtoDecodeError, match="expect: 6, got: 1"):
        value(b"H", b"\0")


def test_lists() -> None:
    assert body(b"U", [1, "x"]) == b"J\0\0\0\x011" + b'J\0\0\0\x03"x"'
    assert value(b"I", b"") == []


@pytest.mark.parametrize("data", [b"J\0\0\0\x091", b"J\0", b"O\0\0\0\x01a"])
def test_w16_broken_elements_are_refused(data: bytes) -> None:
    with pytest.raises(errors.ProtoDecodeError, match=r"[Ee]lement 0|Element 0"):
        value(b"U", data)


def test_an_elements_own_error_stays() -> None:
    with pytest.raises(ValueError, match="Expecting value") as caught:
        value(b"U", b"J\0\0\0\x01}")
    assert not isinstance(caught.value, errors.ProtoDecodeError)


# ---- whatever there is --------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(JSON)
def test_json_survives(data: Any) -> None:
    try:
        encoded = body(b"J", data)
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 has not
        return
    assert value(b"J", encoded) == data


@given(st.dictionaries(st.sampled_from(["arg", "subtask_out"]), TEXT))
def test_dictionaries_survive(data: dict[str, str]) -> None:
    assert value(b"o", body(b"o", data)) == data


@given(st.sampled_from([b"J", b"O", b"D", b"H", b"o", b"U", b"\x1d", b"\x1e"]), st.binary())
def test_rubbish_is_a_value_or_one_of_few_errors(mtype: bytes, data: bytes) -> None:
    try:
        value(mtype, data)
    except (errors.ProtoDecodeError, ValueError):  # bad UTF-8, JSON and UUIDs are ValueErrors
        return


# ---- one's own ----------------------------------------------------------------------------


def make(mtype: Any, result: Any = b"") -> type[Protocol]:
    class Mine(Protocol, mtype=mtype):
        @classmethod
        def encode_body(cls, data: Any) -> bytes:
            return data if result == b"" else result  # type: ignore[no-any-return]

        @classmethod
        def decode_body(cls, buf: memoryview) -> Any:
            return buf

    return Mine


def test_register_and_unregister(registry: dict[int, type[Protocol]]) -> None:
    mine = make(b"N")
    assert registry[ord("N")] is Protocol.dispatch(ord("N")) is mine
    with pytest.raises(
        errors.DuplicateProtoError, match=r"^Cannot set mtype b'N' for <class .*Mine'>"
    ):
        make(b"N")
    Protocol.unregister(mine)
    Protocol.unregister(mine)
    with pytest.raises(
        errors.UnsupportedProtoError,
        match=r"^No protocol found in registry for message type: 78$",
    ):
        Protocol.dispatch(ord("N"))


def test_a_class_without_a_type_is_only_a_base(registry: dict[int, type[Protocol]]) -> None:
    before = dict(registry)

    class Base(proto.DictProtocol):
        VALID_KEYS = ("a", "b")

    assert registry == before

    class Mine(Base, mtype=b"N"):
        pass

    assert value(b"N", body(b"N", {"b": "1"})) == {"b": "1"}
    assert Mine.MSG_TYPE == b"N"


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("mtype", ["J", 5])
def test_a_type_that_is_not_bytes(mtype: Any) -> None:
    with pytest.raises(TypeError):
        make(mtype)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("mtype", [b"", b"NN"])
def test_a_type_that_is_not_one_byte(mtype: bytes) -> None:
    with pytest.raises(struct.error):
        make(mtype)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("mtype", [b"\x1d", b"\x1e"])
def test_reserved_types(mtype: bytes) -> None:
    with pytest.raises(errors.DuplicateProtoError):
        make(mtype)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    "result",
    [b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), memoryview(array.array("h", [1, 2]))],
)
def test_w16_any_kind_of_bytes(result: Any) -> None:
    mtype, length, view = make(b"N", result).encode(None)
    assert (mtype, length) == (b"N", b"\0\0\0\x04")
    assert bytes(view) == bytes(result)


@pytest.mark.usefixtures("registry")
def test_text_is_no_body() -> None:
    with pytest.raises(TypeError):
        make(b"N").encode("text")


@pytest.mark.usefixtures("registry")
def test_a_body_that_no_frame_can_have() -> None:
    with (
        mmap.mmap(-1, 2**32) as memory,  # nobody touches it
        memoryview(memory) as view,
        pytest.raises(errors.ProtoEncodeError, match="4294967296"),
    ):
        make(b"N", view).encode(None)


# ---- addresses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sockname", "expected"),
    [
        (5000, Address(host="127.0.0.1", port=5000)),
        (("example", 1), Address(host="example", port=1)),
        ("localhost:80", Address(host="localhost", port=80)),
        (":80", Address(host="127.0.0.1", port=80)),
        ("[::1]:80", Address(host="::1", port=80)),
        ("tcp://10.0.0.1:7/", Address(host="10.0.0.1", port=7)),
        ("/run/run.sock", Address(path="/run/run.sock")),
        (Path("/run/run.sock"), Address(path="/run/run.sock")),
        ("unix:/run/a", Address(path="/run/a")),
        ("unix:///run/a", Address(path="/run/a")),
        ("relative", Address(path="relative")),
        ("dir/name:1", Address(path="dir/name:1")),
        ("\0abstract", Address(path="\0abstract")),
    ],
)
def test_addresses(sockname: Any, expected: Address) -> None:
    assert Address.parse(sockname) == expected


@pytest.mark.parametrize("sockname", [None, True, 1.5, b"/run/x"])
def test_what_is_no_address(sockname: Any) -> None:
    with pytest.raises(TypeError):
        Address.parse(sockname)


@pytest.mark.parametrize("sockname", ["", "unix:", -1, 65536, "host:99999"])
def test_what_is_no_good_address(sockname: Any) -> None:
    with pytest.raises(ValueError, match="not a"):
        Address.parse(sockname)


def test_a_connection_id() -> None:
    name = uuid.uuid4()
    assert value(b"\x1d", body(b"\x1d", name)) == name
    with pytest.raises(ValueError, match="16-char"):
        value(b"\x1d", b"short")
