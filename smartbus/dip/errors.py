"""Errors of ``smartbus.dip``; names and tree are those of deepfos-ipc 1.3.1 (DIP.md 1.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ConnectionAquireTimeout",
    "ConnectionClosed",
    "DeepFOSConnectionError",
    "DeepFOSError",
    "DeepFOSIOError",
    "DuplicateProtoError",
    "ProtoDecodeError",
    "ProtoEncodeError",
    "ProtocolError",
    "ReadTimeout",
    "ResponseError",
    "UnsupportedProtoError",
]


class DeepFOSError(Exception):
    """Base of all errors here."""


class ProtocolError(DeepFOSError):
    """Something is wrong with a message or with its protocol."""


class DuplicateProtoError(ProtocolError):
    """Another protocol has that message type already."""


class UnsupportedProtoError(ProtocolError):
    """No protocol has that message type, or the server refuses it."""


class ProtoEncodeError(ProtocolError):
    """The protocol cannot express that value."""


class ProtoDecodeError(ProtocolError):
    """The bytes are not what the protocol makes."""


class DeepFOSIOError(DeepFOSError):
    """A message was not, or perhaps not, delivered."""


class ReadTimeout(DeepFOSIOError):
    """The server did not answer in time; whether it got the message is unknown."""


class ResponseError(DeepFOSIOError):
    """The server answered with an error: it got the message, its callback failed or refused.

    Attributes:
        failures: After `Client.send_many`: the server's text for each item that failed, by the
            item's index; every other item was delivered. Empty after a single message.
    """

    def __init__(self, *args: object, failures: Mapping[int, str] | None = None) -> None:
        super().__init__(*args)
        self.failures = dict(failures or {})


class DeepFOSConnectionError(DeepFOSIOError):
    """Something is wrong with a connection."""


class ConnectionClosed(DeepFOSConnectionError):
    """The connection ended before the answer; whether the server got the message is unknown."""


class ConnectionAquireTimeout(DeepFOSConnectionError):
    """All connections of the pool were busy for too long; the message was not sent."""
