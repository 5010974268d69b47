"""The TCP protocol of the SmartBus in pure Python, without I/O (NET.md, NET-2018.md).

- ``frame``: the 20-byte header, commands, `encode_frame` and the received `Frame`.
- ``parser``: `FrameParser`, from arriving bytes to frames.
- ``link``: what belongs to one link: registration, its ack, heartbeats.
- ``system``: what the bus routes and the vendor defines: global connect, flow call,
  flow ack, flow return, notify.

Texts are bytes here, exactly as they travel; which encoding they have is decided above.
Input that breaks the protocol raises `ProtocolError`, and nothing else.
"""

from __future__ import annotations

from .frame import (
    ANY,
    HEADER_SIZE,
    IPSC,
    MAX_DATA,
    MAX_FRAME,
    NODE,
    Address,
    Cmd,
    CmdType,
    Frame,
    ProtocolError,
    decode_frame,
    encode_frame,
    pack_header,
    padding,
)
from .link import Heartbeat, Registration, RegistrationAck, encode_heartbeat_ack
from .parser import FrameParser
from .system import FlowAck, FlowCall, FlowReturn, GlobalConnect, Notify

__all__ = [
    "ANY",
    "HEADER_SIZE",
    "IPSC",
    "MAX_DATA",
    "MAX_FRAME",
    "NODE",
    "Address",
    "Cmd",
    "CmdType",
    "FlowAck",
    "FlowCall",
    "FlowReturn",
    "Frame",
    "FrameParser",
    "GlobalConnect",
    "Heartbeat",
    "Notify",
    "ProtocolError",
    "Registration",
    "RegistrationAck",
    "decode_frame",
    "encode_frame",
    "encode_heartbeat_ack",
    "pack_header",
    "padding",
]
