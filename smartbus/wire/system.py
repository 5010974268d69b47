"""Bodies that the bus routes and the vendor defines (NET.md 4, 7, 8).

Every class has ``encode()`` (the data of a frame) and ``decode(data)``. Reading asks for
no more than the vendor's library does: the fixed part, and texts end at a NUL or with the data.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from .frame import MAGIC, Address, Cmd, CmdType, ProtocolError, cstring, fixed

__all__ = [
    "MAX_FLOW_PARAMS",
    "MAX_NOTIFY_TEXT",
    "MAX_TITLE",
    "FlowAck",
    "FlowCall",
    "FlowReturn",
    "GlobalConnect",
    "Notify",
]

#: Most bytes of a flow call's parameter text (NET.md 7.1).
MAX_FLOW_PARAMS: Final = 16001
#: Most bytes of a notify's text (NET.md 8).
MAX_NOTIFY_TEXT: Final = 15999
#: A longer title of a notify is cut to so many bytes (NET.md 8).
MAX_TITLE: Final = 101

_NAME: Final = 32  # project and flow id with their NUL
_TITLE: Final = MAX_TITLE + 1
_GLOBAL: Final = Struct("<H8BHii5B256s")
_CALL: Final = Struct(f"<B{_NAME}s{_NAME}sBiii34x")
_ACK: Final = Struct(f"<B{_NAME}siiii")
_RETURN: Final = Struct(f"<B{_NAME}siii")
_NOTIFY: Final = Struct(f"<B{_NAME}sBii{_TITLE}si")
_END: Final = b"\0\0"  # a text's terminator and the filler byte that the vendor sends behind it


def _need(what: str, data: bytes, size: int) -> None:
    """Raise `ProtocolError` unless `data` has at least `size` bytes."""
    if len(data) < size:
        raise ProtocolError(f"{what} of {len(data)} bytes is too short, it has at least {size}")


class GlobalConnect(NamedTuple):
    """A client came, is there or went (NET.md 4)."""

    unit_id: int
    client_id: int
    client_type: int
    access_point: int  # unit of the server that the client is attached to
    status: int  # 0 gone, 1 new, 2 already there
    info: bytes = b""

    def encode(self, src: Address, dst: Address, cmd: int) -> bytes:
        """Return the data; it repeats the addresses and `cmd` of the frame's header."""
        return _GLOBAL.pack(
            MAGIC,
            cmd,
            CmdType.SYSTEM,
            src[2] & 255,
            src[0] & 255,
            src[1] & 255,
            dst[2] & 255,
            dst[0] & 255,
            dst[1] & 255,
            0,
            _GLOBAL.size,
            _GLOBAL.size - 20,
            self.unit_id & 255,
            self.client_id & 255,
            self.client_type & 255,
            self.access_point & 255,
            self.status & 255,
            fixed(self.info, 256),
        )

    @classmethod
    def decode(cls, data: bytes) -> GlobalConnect:
        """Read an event.

        Raises:
            ProtocolError: `data` has not exactly 281 bytes.
        """
        if len(data) != _GLOBAL.size:
            raise ProtocolError(f"a global connect has {_GLOBAL.size} bytes, not {len(data)}")
        unit, client, kind, access, status, info = _GLOBAL.unpack(data)[12:]
        return cls(unit, client, kind, access, status, cstring(info))


class FlowCall(NamedTuple):
    """Start a flow (NET.md 7.1)."""

    project: bytes
    flow: bytes
    invoke_id: int
    params: bytes = b""
    mode: int = 0  # 0 and 2 want a return
    event_ch: int = -1

    def encode(self) -> bytes:
        """Return the data; project and flow are cut to 31 bytes."""
        params = cstring(self.params)
        head = _CALL.pack(
            Cmd.FLOW_CALL,
            fixed(self.project, _NAME),
            fixed(self.flow, _NAME),
            self.mode & 255,
            self.event_ch,
            self.invoke_id,
            len(params),
        )
        return b"".join((head, params, _END))

    @classmethod
    def decode(cls, data: bytes) -> FlowCall:
        """Read a call; raises `ProtocolError` if `data` is too short."""
        _need("a flow call", data, _CALL.size)
        _, project, flow, mode, event_ch, invoke_id, _ = _CALL.unpack_from(data)
        params = cstring(data[_CALL.size :])
        return cls(cstring(project), cstring(flow), invoke_id, params, mode, event_ch)


class FlowAck(NamedTuple):
    """A flow was started, or not (NET.md 7.2)."""

    project: bytes
    invoke_id: int
    ack: int  # 1 started, else an error code
    message: bytes = b""
    invoker_ch: int = -1  # the call's event_ch

    def encode(self) -> bytes:
        """Return the data."""
        message = cstring(self.message)
        head = _ACK.pack(
            Cmd.FLOW_ACK,
            fixed(self.project, _NAME),
            self.invoke_id,
            self.invoker_ch,
            self.ack,
            len(message),
        )
        return b"".join((head, message, _END))

    @classmethod
    def decode(cls, data: bytes) -> FlowAck:
        """Read an ack; raises `ProtocolError` if `data` has less than 51 bytes."""
        _need("a flow ack", data, _ACK.size + len(_END))
        _, project, invoke_id, invoker_ch, ack, _ = _ACK.unpack_from(data)
        message = cstring(data[_ACK.size :])
        return cls(cstring(project), invoke_id, ack, message, invoker_ch)


class FlowReturn(NamedTuple):
    """What a flow returned (NET.md 7.3)."""

    project: bytes
    invoke_id: int
    result: bytes = b""  # JSON array
    invoker_ch: int = -1  # the call's event_ch

    def encode(self) -> bytes:
        """Return the data."""
        result = cstring(self.result)
        head = _RETURN.pack(
            Cmd.FLOW_RETURN,
            fixed(self.project, _NAME),
            self.invoke_id,
            self.invoker_ch,
            len(result),
        )
        return b"".join((head, result, _END))

    @classmethod
    def decode(cls, data: bytes) -> FlowReturn:
        """Read a return; raises `ProtocolError` if `data` has less than 47 bytes."""
        _need("a flow return", data, _RETURN.size + len(_END))
        _, project, invoke_id, invoker_ch, _ = _RETURN.unpack_from(data)
        return cls(cstring(project), invoke_id, cstring(data[_RETURN.size :]), invoker_ch)


class Notify(NamedTuple):
    """A text for whoever waits for its title (NET.md 8)."""

    project: bytes
    title: bytes
    text: bytes
    invoke_id: int
    expires: int = 0  # lifetime in milliseconds
    mode: int = 0

    def encode(self) -> bytes:
        """Return the data; project is cut to 31 bytes, title to 101."""
        text = cstring(self.text)
        head = _NOTIFY.pack(
            Cmd.NOTIFY,
            fixed(self.project, _NAME),
            self.mode & 255,
            self.invoke_id,
            self.expires,
            fixed(self.title, _TITLE),
            len(text),
        )
        return b"".join((head, text, _END))

    @classmethod
    def decode(cls, data: bytes) -> Notify:
        """Read a notify; raises `ProtocolError` if `data` is too short."""
        _need("a notify", data, _NOTIFY.size)
        _, project, mode, invoke_id, expires, title, _ = _NOTIFY.unpack_from(data)
        text = cstring(data[_NOTIFY.size :])
        return cls(cstring(project), cstring(title), text, invoke_id, expires, mode)
