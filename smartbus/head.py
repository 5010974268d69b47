"""The packet head that comes with every received event (NET.md 1.1)."""

from __future__ import annotations

from struct import Struct
from typing import Any

__all__ = ["Head"]

_SIZE = 20
_INT32 = Struct("<i")


class Head:
    """Who sent a packet, to whom, and what it is: a read-only view of its 20-byte header.

    The header is copied, so the head stays valid after the C library reuses its memory.
    Fields are decoded when they are asked for. Ids and types are unsigned (0..255);
    255 as destination means "any".
    """

    __slots__ = ("_raw",)

    def __init__(self, ptr: Any) -> None:
        """Copy the header that `ptr` holds or points to.

        Args:
            ptr: 20 bytes (any object with the buffer protocol), or a ctypes pointer to a
                structure of that size.

        Raises:
            TypeError: `ptr` is neither.
            ValueError: It has another size, or is a NULL pointer.
        """
        raw = ptr if type(ptr) is bytes else memoryview(getattr(ptr, "contents", ptr)).tobytes()
        if len(raw) != _SIZE:
            raise ValueError(f"a packet head has {_SIZE} bytes, not {len(raw)}")
        self._raw = raw

    @property
    def cmd(self) -> int:
        """Command; its meaning depends on `cmd_type`."""
        return self._raw[2]

    @property
    def cmd_type(self) -> int:
        """Command class (NET.md 1.2)."""
        return self._raw[3]

    @property
    def src_unit_id(self) -> int:
        """Unit of the sender."""
        return self._raw[5]

    @property
    def src_unit_client_id(self) -> int:
        """Client id of the sender."""
        return self._raw[6]

    @property
    def src_unit_client_type(self) -> int:
        """Client type of the sender."""
        return self._raw[4]

    @property
    def dst_unit_id(self) -> int:
        """Unit of the receiver; 255 is any."""
        return self._raw[8]

    @property
    def dst_unit_client_id(self) -> int:
        """Client id of the receiver; 255 is any."""
        return self._raw[9]

    @property
    def dst_unit_client_type(self) -> int:
        """Client type of the receiver; 255 is any."""
        return self._raw[7]

    @property
    def packet_size(self) -> int:
        """Bytes of the whole packet: header, data and padding."""
        return int(_INT32.unpack_from(self._raw, 12)[0])

    @property
    def data_length(self) -> int:
        """Bytes of data behind the header."""
        return int(_INT32.unpack_from(self._raw, 16)[0])

    def __bytes__(self) -> bytes:
        return self._raw

    def __eq__(self, other: object) -> bool:
        return self._raw == other._raw if isinstance(other, Head) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._raw)

    def __repr__(self) -> str:
        src = f"{self.src_unit_id}/{self.src_unit_client_id}/{self.src_unit_client_type}"
        dst = f"{self.dst_unit_id}/{self.dst_unit_client_id}/{self.dst_unit_client_type}"
        return (
            f"<Head cmd={self.cmd} cmd_type={self.cmd_type} src={src} dst={dst}"
            f" packet_size={self.packet_size} data_length={self.data_length}>"
        )
