"""Frame header, addresses, commands; one frame to bytes and back (NET.md 1)."""

from __future__ import annotations

import struct
from enum import IntEnum
from struct import Struct
from typing import Any, Final, NamedTuple

from smartbus.errors import SmartBusError
from smartbus.head import Head

__all__ = [
    "ANY",
    "HEADER_SIZE",
    "IPSC",
    "MAGIC",
    "MAX_DATA",
    "MAX_FRAME",
    "NODE",
    "PADS",
    "Address",
    "Cmd",
    "CmdType",
    "Frame",
    "ProtocolError",
    "Triple",
    "check_sizes",
    "cstring",
    "decode_frame",
    "encode_frame",
    "fixed",
    "pack_header",
    "padding",
]

MAGIC: Final = 0x5B15
HEADER_SIZE: Final = 20
#: Most data bytes in one frame (NET.md 1.3).
MAX_DATA: Final = 0x0FFFFFFF
#: The largest frame: header, `MAX_DATA` and its padding.
MAX_FRAME: Final = HEADER_SIZE + MAX_DATA + MAX_DATA % 4

#: "Any" in an address; it travels as 255.
ANY: Final = -1
#: Client type of the bus server itself.
NODE: Final = 1
#: Client type of an IPSC process.
IPSC: Final = 2

#: Padding by its length.
PADS: Final = (b"", b"\0", b"\0\0", b"\0\0\0")

_HEADER: Final = Struct("<H8BHii")
_pack = _HEADER.pack  # a global lookup less for each frame


class ProtocolError(SmartBusError, ValueError):
    """Bytes that are no valid SmartBus frame or body; code -99."""

    def __init__(self, message: str) -> None:
        """Say what is wrong with the bytes."""
        super().__init__(-99, message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message,), self.__dict__.copy()


class CmdType(IntEnum):
    """Command classes (NET.md 1.2); 6..255 belong to applications, too."""

    LINK = 0  # this link only, never routed
    SYSTEM = 1
    FILE = 2
    USER = 3
    GUARD = 4
    GUARD_FILE = 5


class Cmd(IntEnum):
    """Commands of the classes `CmdType.LINK` (up to 6) and `CmdType.SYSTEM` (NET.md 1.2)."""

    REGISTER = 1
    REGISTER_ACK = 2
    HEARTBEAT = 5
    HEARTBEAT_ACK = 6
    PING = 7
    PING_ACK = 8
    GLOBAL_CONNECT = 9  # the receiver may answer
    GLOBAL_CONNECT_ANSWER = 10  # the receiver never answers
    FLOW_CALL = 11
    FLOW_RETURN = 12
    FLOW_ACK = 13
    NOTIFY = 15


class Address(NamedTuple):
    """Who is meant; -1 and 255 mean "any" in a destination."""

    unit_id: int
    client_id: int
    client_type: int


#: What encoding takes for an address; building a named tuple for each frame costs time.
Triple = tuple[int, int, int]


class Frame(NamedTuple):
    """A received frame: its raw header and its data, without padding."""

    raw_head: bytes
    data: bytes

    @property
    def head(self) -> Head:
        """The header as the callbacks of all clients get it."""
        return Head(self.raw_head)

    @property
    def cmd(self) -> int:
        """Command; its meaning depends on `cmd_type`."""
        return self.raw_head[2]

    @property
    def cmd_type(self) -> int:
        """Command class."""
        return self.raw_head[3]

    @property
    def src(self) -> Address:
        """Address of the sender."""
        kind, unit, client = self.raw_head[4:7]
        return Address(unit, client, kind)

    @property
    def dst(self) -> Address:
        """Address of the receiver."""
        kind, unit, client = self.raw_head[7:10]
        return Address(unit, client, kind)


def padding(data_size: int, cmd_type: int) -> int:
    """Return how many bytes follow `data_size` data bytes: the vendor's formula (NET.md 1.1)."""
    return data_size % 4 if cmd_type else 0


def pack_header(src: Triple, dst: Triple, cmd: int, cmd_type: int, data_size: int) -> bytes:
    """Return the header of a frame with `data_size` data bytes.

    Of every number in the addresses the low 8 bits travel.

    Raises:
        ValueError: `cmd` or `cmd_type` is not in 0..255, or `data_size` not in 0..`MAX_DATA`.
    """
    if not 0 <= data_size <= MAX_DATA:
        raise ValueError(f"a frame takes 0..{MAX_DATA} data bytes, not {data_size}")
    unit, client, kind = src
    dst_unit, dst_client, dst_kind = dst
    try:
        return _pack(
            MAGIC,
            cmd,
            cmd_type,
            kind & 255,
            unit & 255,
            client & 255,
            dst_kind & 255,
            dst_unit & 255,
            dst_client & 255,
            0,
            HEADER_SIZE + data_size + (data_size & 3 if cmd_type else 0),
            data_size,
        )
    except struct.error:
        message = f"cmd and cmd_type must be in 0..255, not {cmd} and {cmd_type}"
        raise ValueError(message) from None


def encode_frame(src: Triple, dst: Triple, cmd: int, cmd_type: int, data: bytes = b"") -> bytes:
    """Return one frame, padded as the vendor pads it; raises like `pack_header`."""
    size = len(data)
    head = pack_header(src, dst, cmd, cmd_type, size)
    return b"".join((head, data, PADS[size & 3])) if cmd_type else head + data


def check_sizes(magic: int, packet_size: int, data_size: int, limit: int) -> None:
    """Raise `ProtocolError` unless the three header fields can belong to a frame (NET.md 1.4)."""
    if magic != MAGIC:
        raise ProtocolError(f"bad magic 0x{magic:04x}")
    if not HEADER_SIZE <= packet_size <= limit:
        raise ProtocolError(f"bad packet size {packet_size}, allowed are {HEADER_SIZE}..{limit}")
    if not 0 <= data_size <= packet_size - HEADER_SIZE:
        raise ProtocolError(f"data length {data_size} in a packet of {packet_size} bytes")


def decode_frame(raw: bytes, limit: int = MAX_FRAME) -> Frame:
    """Return the one frame that `raw` is.

    Raises:
        ProtocolError: `raw` is no frame, or less or more than one.
    """
    if len(raw) < HEADER_SIZE:
        raise ProtocolError(f"{len(raw)} bytes are no frame")
    magic, *_, packet_size, data_size = _HEADER.unpack_from(raw)
    check_sizes(magic, packet_size, data_size, limit)
    if packet_size != len(raw):
        raise ProtocolError(f"a packet of {packet_size} bytes in {len(raw)} bytes")
    return Frame(raw[:HEADER_SIZE], raw[HEADER_SIZE : HEADER_SIZE + data_size])


def cstring(raw: bytes) -> bytes:
    """Return `raw` up to its first NUL, or all of it."""
    return raw[: end if (end := raw.find(0)) >= 0 else len(raw)]


def fixed(text: bytes, size: int) -> bytes:
    """Return `text` as a NUL-terminated field of `size` bytes, cut to fit, filled with zeros."""
    return cstring(text)[: size - 1].ljust(size, b"\0")
