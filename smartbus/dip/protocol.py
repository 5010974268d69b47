"""`Protocol`: how Python values of one message type become bytes and back (DIP.md 1.3)."""

from __future__ import annotations

import abc
import struct
from typing import Any, ClassVar

from .errors import DuplicateProtoError, ProtoEncodeError, UnsupportedProtoError
from .framing import MAX_BODY

__all__ = ["Protocol", "message_type"]


class Protocol(abc.ABC):
    """Base class of all protocols. A subclass with an `mtype` is registered when it is made.

        class Point(Protocol, mtype=b"p"):
            @classmethod
            def encode_body(cls, data):
                return struct.pack(">ii", *data)

            @classmethod
            def decode_body(cls, buf):
                return struct.unpack(">ii", buf)

    Both ends need the class. Protocols are never instantiated.
    """

    registry: ClassVar[dict[int, type[Protocol]]] = {}
    """Every protocol of this process by its message type."""
    MSG_TYPE: ClassVar[bytes]
    """The message type, one byte; only classes that were given an `mtype` have it."""

    def __init_subclass__(cls, mtype: bytes | None = None, **options: Any) -> None:
        """Register the class.

        Args:
            mtype: The message type, exactly one byte; None for a class that is only a base.
            options: For other base classes.

        Raises:
            DuplicateProtoError: Another class has that message type.
            TypeError: It is not bytes.
            struct.error: It is not one byte.
        """
        super().__init_subclass__(**options)
        if mtype is None:
            return
        (number,) = struct.unpack("B", mtype)
        taken = Protocol.registry.get(number)
        if taken is not None:
            raise DuplicateProtoError(
                f"Cannot set mtype {mtype!r} for {cls!r} because it has been registered"
                f" by {taken!r}."
            )
        cls.MSG_TYPE = bytes(mtype)
        Protocol.registry[number] = cls

    @classmethod
    @abc.abstractmethod
    def encode_body(cls, data: Any) -> bytes | bytearray | memoryview:
        """Return the body of a message with `data`."""

    @classmethod
    @abc.abstractmethod
    def decode_body(cls, buf: memoryview) -> Any:
        """Return what `encode_body` was given.

        Args:
            buf: Exactly the body. It is writable, and it belongs to the callee.
        """

    @classmethod
    def encode(cls, data: Any) -> tuple[bytes, bytes, memoryview]:
        """Return the parts of a frame with `data`: message type, length, body.

        Raises:
            ProtoEncodeError: The body is longer than a frame can be (4 GiB).
            TypeError: `encode_body` returned something else than bytes.
        """
        body = memoryview(cls.encode_body(data))
        if body.itemsize != 1 or not body.c_contiguous:
            body = memoryview(body.tobytes())
        if body.nbytes > MAX_BODY:
            raise ProtoEncodeError(f"A body of {body.nbytes} bytes exceeds {MAX_BODY}.")
        return cls.MSG_TYPE, struct.pack(">I", body.nbytes), body

    @classmethod
    def decode(cls, frame: memoryview) -> Any:
        """Return the value in a complete frame."""
        return cls.decode_body(frame[5:])

    @classmethod
    def dispatch(cls, mtype: int) -> type[Protocol]:
        """Return the protocol of a message type.

        Raises:
            UnsupportedProtoError: There is none.
        """
        try:
            return Protocol.registry[mtype]
        except KeyError:
            raise UnsupportedProtoError(
                f"No protocol found in registry for message type: {mtype}"
            ) from None

    @classmethod
    def unregister(cls, proto: type[Protocol]) -> None:
        """Forget a protocol: its message type is free then. It need not be there."""
        number = ord(proto.MSG_TYPE)
        if Protocol.registry.get(number) is proto:
            del Protocol.registry[number]


def message_type(mtype: str | bytes | type[Protocol]) -> int:
    """Return the number of a message type.

    Args:
        mtype: One character, one byte, or a protocol.

    Raises:
        TypeError: It is none of these, or longer.
    """
    return ord(mtype.MSG_TYPE if isinstance(mtype, type) else mtype)
