from __future__ import annotations

import ctypes
import pickle
from typing import Any

import pytest

from smartbus.head import Head

# Distinct bytes everywhere, so that no two fields can be mistaken for each other.
RAW = bytes.fromhex("155b a1 a2 a3 a4 a5 a6 a7 a8 0000 16000000 02000000".replace(" ", ""))


class PacketHead(ctypes.Structure):
    _fields_ = (("raw", ctypes.c_ubyte * 20),)


def test_fields_are_where_the_wire_has_them() -> None:
    head = Head(RAW)
    assert head.cmd == 0xA1
    assert head.cmd_type == 0xA2
    assert head.src_unit_client_type == 0xA3
    assert head.src_unit_id == 0xA4
    assert head.src_unit_client_id == 0xA5
    assert head.dst_unit_client_type == 0xA6
    assert head.dst_unit_id == 0xA7
    assert head.dst_unit_client_id == 0xA8
    assert head.packet_size == 22
    assert head.data_length == 2


def structure() -> PacketHead:
    return PacketHead.from_buffer_copy(RAW)


@pytest.mark.parametrize(
    "source",
    [RAW, bytearray(RAW), memoryview(RAW), structure(), ctypes.pointer(structure())],
    ids=lambda source: type(source).__name__,
)
def test_takes_buffers_and_pointers(source: Any) -> None:
    assert bytes(Head(source)) == RAW


def test_copies_what_it_was_given() -> None:
    buffer = bytearray(RAW)
    memory = structure()
    heads = [Head(buffer), Head(ctypes.pointer(memory))]
    buffer[:] = bytes(20)
    ctypes.memset(ctypes.byref(memory), 0, 20)
    assert [bytes(head) for head in heads] == [RAW, RAW]


@pytest.mark.parametrize("raw", [b"", RAW[:-1], RAW + b"\0"])
def test_refuses_other_sizes(raw: bytes) -> None:
    with pytest.raises(ValueError, match=f"20 bytes, not {len(raw)}"):
        Head(raw)


def test_refuses_a_null_pointer() -> None:
    with pytest.raises(ValueError, match="NULL"):
        Head(ctypes.POINTER(PacketHead)())


@pytest.mark.parametrize("value", [20, None, "x" * 20])
def test_refuses_what_has_no_bytes(value: object) -> None:
    with pytest.raises(TypeError):
        Head(value)


def test_equality_and_hash_go_by_content() -> None:
    other = RAW[:-1] + b"\1"
    assert Head(RAW) == Head(bytearray(RAW))
    assert Head(RAW) != Head(other)
    assert Head(RAW) != RAW
    assert len({Head(RAW), Head(bytearray(RAW)), Head(other)}) == 2


def test_is_read_only_and_small() -> None:
    head = Head(RAW)
    with pytest.raises(AttributeError):
        head.cmd = 1  # type: ignore[misc]
    assert not hasattr(head, "__dict__")


def test_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(Head(RAW))) == Head(RAW)  # noqa: S301 - our own bytes


def test_repr_shows_both_ends() -> None:
    assert repr(Head(RAW)) == (
        "<Head cmd=161 cmd_type=162 src=164/165/163 dst=167/168/166 packet_size=22 data_length=2>"
    )
