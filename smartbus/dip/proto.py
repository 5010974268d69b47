"""The built-in protocols, and bases for others (DIP.md 1.2)."""

from __future__ import annotations

import json
import pickle
import uuid
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .errors import ProtoDecodeError, ProtoEncodeError
from .framing import CutShortError, split
from .protocol import Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "DictProtocol",
    "HeaderProto",
    "JsonProtocol",
    "ListProtocol",
    "PickleProtocl",
    "PickleProtocol",
    "Protocol",
    "SetConnectionIdProto",
    "StderrProtocol",
    "StdoutProtocol",
    "SubtaskErrorProto",
    "SubtaskOutProto",
    "TaskUpdateProto",
    "TaskUpdateProtoV2",
]

_RECORD: Final = Struct(">HI")

# json.dumps(x, ensure_ascii=False) makes such an encoder for every call, which takes longer than
# to encode a short message.
_encode_json: Final = json.JSONEncoder(ensure_ascii=False).encode


class JsonProtocol(Protocol, mtype=b"J"):
    """Anything that JSON can express (NaN and infinities included), as UTF-8."""

    @classmethod
    def encode_body(cls, data: Any) -> bytes:
        """See `Protocol.encode_body`; errors are those of `json.dumps`."""
        return _encode_json(data).encode("utf8")

    @classmethod
    def decode_body(cls, buf: memoryview) -> Any:
        """See `Protocol.decode_body`; errors are those of `json.loads`."""
        return json.loads(str(buf, "utf8"))


class PickleProtocol(Protocol, mtype=b"P"):
    """Anything that can be pickled.

    Whoever can send a pickle runs code in the receiver: servers refuse them unless told otherwise.
    """

    @classmethod
    def encode_body(cls, data: Any) -> bytes:
        """See `Protocol.encode_body`; errors are those of `pickle.dumps`."""
        return pickle.dumps(data, protocol=-1)

    @classmethod
    def decode_body(cls, buf: memoryview) -> Any:
        """See `Protocol.decode_body`; runs the code in it."""
        return pickle.loads(buf)  # noqa: S301 - the server has allowed it


PickleProtocl = PickleProtocol
"""The name in deepfos-ipc, misspelt."""


class _StringProtocol(Protocol):
    @classmethod
    def encode_body(cls, data: str) -> bytes:
        """See `Protocol.encode_body`."""
        return data.encode("utf8")

    @classmethod
    def decode_body(cls, buf: memoryview) -> str:
        """See `Protocol.decode_body`."""
        return str(buf, "utf8")


class StdoutProtocol(_StringProtocol, mtype=b"O"):
    """Text that a process wrote to its standard output."""


class StderrProtocol(_StringProtocol, mtype=b"E"):
    """Text that a process wrote to its standard error output."""


class DictProtocol(Protocol, mtype=b"D"):
    """Base for dictionaries of a few known keys with text values; alone it can do only ``{}``."""

    VALID_KEYS: ClassVar[tuple[str, ...]] = ()
    """The keys that there may be; on the wire they are numbers: positions in here."""

    @classmethod
    def encode_body(cls, data: Mapping[str, str]) -> bytes:
        """See `Protocol.encode_body`.

        Raises:
            ProtoEncodeError: An unknown key.
            AttributeError: A value is no text.
        """
        body = bytearray()
        for key, text in data.items():
            if key not in cls.VALID_KEYS:
                raise ProtoEncodeError(
                    f"Field {key!r} has not been registered, valid fields are {cls.VALID_KEYS!r}"
                )
            value = text.encode("utf8")
            body += _RECORD.pack(cls.VALID_KEYS.index(key), len(value))
            body += value
        return bytes(body)

    @classmethod
    def decode_body(cls, buf: memoryview) -> dict[str, str]:
        """See `Protocol.decode_body`; of several records of one key the last one counts.

        Raises:
            ProtoDecodeError: An unknown key, or a record is cut short.
        """
        data = {}
        start, end = 0, len(buf)
        while start < end:
            if end - start < _RECORD.size:
                raise ProtoDecodeError(
                    f"Not enough bytes to read, expect: {_RECORD.size}, got: {end - start}"
                )
            index, length = _RECORD.unpack_from(buf, start)
            start += _RECORD.size
            if index >= len(cls.VALID_KEYS):
                raise ProtoDecodeError(
                    f"Field index {index} exceeds max length ({len(cls.VALID_KEYS)})."
                )
            if length > end - start:
                raise ProtoDecodeError(
                    f"Not enough bytes to read, expect: {length}, got: {end - start}"
                )
            data[cls.VALID_KEYS[index]] = str(buf[start : start + length], "utf8")
            start += length
        return data


class HeaderProto(DictProtocol, mtype=b"H"):
    """A dictionary with the key ``header``."""

    VALID_KEYS = ("header",)


class SubtaskOutProto(DictProtocol, mtype=b"o"):
    """A dictionary with the keys ``arg`` and ``subtask_out``."""

    VALID_KEYS = ("arg", "subtask_out")


class SubtaskErrorProto(DictProtocol, mtype=b"e"):
    """A dictionary with the keys ``arg`` and ``subtask_err``."""

    VALID_KEYS = ("arg", "subtask_err")


class ListProtocol(Protocol):
    """Base for lists of values that all have one protocol."""

    element_proto: ClassVar[type[Protocol]]
    """The protocol of each element."""

    @classmethod
    def encode_body(cls, data: Iterable[Any]) -> bytes:
        """See `Protocol.encode_body`; errors are those of the elements' protocol."""
        return b"".join(part for item in data for part in cls.element_proto.encode(item))

    @classmethod
    def decode_body(cls, buf: memoryview) -> list[Any]:
        """See `Protocol.decode_body`.

        Raises:
            ProtoDecodeError: An element has another type, or the last one is cut short.
        """
        element, expected = cls.element_proto, cls.element_proto.MSG_TYPE
        data = []
        try:
            for index, (tag, body) in enumerate(split(buf)):
                if tag != expected[0]:
                    raise ProtoDecodeError(
                        f"Invalid element {index} of type {bytes([tag])!r}, expect {expected!r}"
                    )
                data.append(element.decode_body(body))
        except CutShortError as exc:
            raise ProtoDecodeError(f"Element {len(data)}: {exc}") from None
        return data


class TaskUpdateProto(ListProtocol, mtype=b"U"):
    """A list of JSON values."""

    element_proto = JsonProtocol


class TaskUpdateProtoV2(ListProtocol, mtype=b"I"):
    """A list of JSON values, too."""

    element_proto = JsonProtocol


class SetConnectionIdProto(Protocol, mtype=b"\x1d"):
    """The UUID that a client gives to each of its connections, first of all messages."""

    @classmethod
    def encode_body(cls, data: uuid.UUID) -> bytes:
        """See `Protocol.encode_body`."""
        return data.bytes

    @classmethod
    def decode_body(cls, buf: memoryview) -> uuid.UUID:
        """See `Protocol.decode_body`.

        Raises:
            ValueError: Not 16 bytes.
        """
        return uuid.UUID(bytes=buf.tobytes())
