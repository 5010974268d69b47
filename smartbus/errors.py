"""Errors of the SmartBus: one class per code of the C interface (NET.md 10.1).

Every class carries ``code``, ``name`` and ``message`` and survives pickling,
because errors cross worker processes. Classes that have a built-in counterpart
derive from it too, so ``except TimeoutError`` or ``except ConnectionError`` works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ERRORS",
    "AccessDeniedError",
    "AlreadyConnectedError",
    "ArgumentError",
    "BufferFullError",
    "ClientExistsError",
    "ClientIdError",
    "ClientNotFoundError",
    "ClientTypeError",
    "CommandTypeError",
    "ConnectFailedError",
    "ConnectionBrokenError",
    "DestinationNotFoundError",
    "FlowError",
    "FlowTimeout",
    "LibraryNotFoundError",
    "NodeNotFoundError",
    "NotConnectedError",
    "NotInitializedError",
    "OtherError",
    "OutOfMemoryError",
    "OwnUnitError",
    "PasswordError",
    "RegisteredTwiceError",
    "SendError",
    "SmartBusError",
    "SmartBusTimeoutError",
    "TooLargeError",
    "TooManyClientsError",
    "UnitIdError",
    "UserError",
    "check",
    "error_for",
]


class SmartBusError(Exception):
    """A SmartBus call failed; also stands for codes that have no class of their own.

    Attributes:
        code: The C interface's code, negative.
        name: The code's symbolic name, such as ``"SMARTBUS_ERR_TIMEOUT"``.
        message: What went wrong, for people; the code's general text if none was given.
        sent: How many packets of a ``send_many`` were queued all the same; else 0.
    """

    code: int
    name: str
    message: str
    sent: int = 0

    def __init__(self, code: int, message: str = "") -> None:
        """Describe the failure `code`, with an optional `message` saying more."""
        name, text = _facts(code)
        self.code = code
        self.name = name
        self.message = message or text
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.name} ({self.code}): {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Without this, pickle would call the class with self.args, which lack the code.
        return type(self), (self.code, self.message), self.__dict__.copy()


class ArgumentError(SmartBusError):
    """-1: an argument is missing, malformed or out of range."""


class NotConnectedError(SmartBusError, ConnectionError):
    """-2: the client is not connected to its server."""


class ConnectionBrokenError(SmartBusError, ConnectionError):
    """-3: the connection broke."""


class AccessDeniedError(SmartBusError, PermissionError):
    """-4: the server does not authorise this client."""


class UserError(SmartBusError):
    """-5: the server refuses the user name."""


class PasswordError(SmartBusError):
    """-6: the server refuses the password."""


class BufferFullError(SmartBusError):
    """-7: the send queue is full; of a ``send_many``, the first ``sent`` were queued."""


class NodeNotFoundError(SmartBusError):
    """-8: the node does not exist."""


class ClientNotFoundError(SmartBusError):
    """-9: the client does not exist."""


class AlreadyConnectedError(SmartBusError):
    """-10: the client is connected already."""


class OwnUnitError(SmartBusError):
    """-11: the destination is the sender's own unit."""


class UnitIdError(SmartBusError):
    """-12: the unit id is out of range."""


class ClientIdError(SmartBusError):
    """-13: the client id is out of range."""


class NotInitializedError(SmartBusError):
    """-14: the library was not initialised."""


class TooLargeError(SmartBusError):
    """-15: the data is too large for one packet."""


class CommandTypeError(SmartBusError):
    """-16: the command type is out of range."""


class ClientTypeError(SmartBusError):
    """-17: the client type is out of range."""


class SendError(SmartBusError):
    """-18: sending failed."""


class OutOfMemoryError(SmartBusError):
    """-19: the C library could not allocate memory."""


class ConnectFailedError(SmartBusError, ConnectionError):
    """-20: the server could not be reached."""


class TooManyClientsError(SmartBusError):
    """-21: the server accepts no more clients."""


class ClientExistsError(SmartBusError):
    """-22: the client exists already."""


class DestinationNotFoundError(SmartBusError):
    """-23: the destination does not exist."""


class RegisteredTwiceError(SmartBusError):
    """-24: the client registered a second time."""


class SmartBusTimeoutError(SmartBusError, TimeoutError):
    """-25: no answer within the time allowed."""


class OtherError(SmartBusError):
    """-99: any other failure."""


class FlowError(SmartBusError):
    """A flow call has not brought a result.

    Attributes:
        code: IPSC's code if it refused to start the flow (it may be positive), -99 if the
            result was no JSON array; else the reason why no result can come any more.
        message: IPSC's text, or what was wrong.
        invoke_id: The call's number.
        project: The call's project.
    """

    invoke_id: int
    project: str

    def __init__(self, code: int, message: str = "", invoke_id: int = 0, project: str = "") -> None:
        """Describe the failure of the call `invoke_id` in `project`."""
        super().__init__(code, message)
        self.invoke_id = invoke_id
        self.project = project

    def __str__(self) -> str:
        return f"flow call {self.invoke_id} of {self.project!r}: {self.message} ({self.code})"

    def __reduce__(self) -> tuple[Any, ...]:
        args = (self.code, self.message, self.invoke_id, self.project)
        return type(self), args, self.__dict__.copy()


class FlowTimeout(FlowError, SmartBusTimeoutError):
    """-25: a flow has not answered within the time allowed."""


class LibraryNotFoundError(SmartBusError, OSError):
    """No usable C library was found.

    Attributes:
        tried: What was tried and why it failed, in the order of the attempts.
    """

    tried: list[tuple[str, str]]

    def __init__(self, tried: Iterable[tuple[str, str]]) -> None:
        """List the attempts, each as (what, why it failed)."""
        self.tried = list(tried)
        lines = "".join(f"\n  {what}: {why}" for what, why in self.tried)
        super().__init__(-99, "no usable SmartBus library; tried" + (lines or " nothing"))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.tried,), self.__dict__.copy()


# The one table: code, class, symbolic name, general text.
_TABLE: tuple[tuple[int, type[SmartBusError], str, str], ...] = (
    (-1, ArgumentError, "ARGUMENT", "bad argument"),
    (-2, NotConnectedError, "NOT_CONNECTED", "not connected"),
    (-3, ConnectionBrokenError, "CONNECTION_BROKEN", "connection broken"),
    (-4, AccessDeniedError, "ACCESS_DENIED", "not authorised"),
    (-5, UserError, "USER", "user refused"),
    (-6, PasswordError, "PASSWORD", "password refused"),
    (-7, BufferFullError, "BUFFER_FULL", "send queue is full"),
    (-8, NodeNotFoundError, "NODE_NOT_FOUND", "node does not exist"),
    (-9, ClientNotFoundError, "CLIENT_NOT_FOUND", "client does not exist"),
    (-10, AlreadyConnectedError, "ALREADY_CONNECTED", "already connected"),
    (-11, OwnUnitError, "OWN_UNIT", "destination is the own unit"),
    (-12, UnitIdError, "UNIT_ID", "bad unit id"),
    (-13, ClientIdError, "CLIENT_ID", "bad client id"),
    (-14, NotInitializedError, "NOT_INITIALIZED", "not initialised"),
    (-15, TooLargeError, "TOO_LARGE", "data too large"),
    (-16, CommandTypeError, "COMMAND_TYPE", "bad command type"),
    (-17, ClientTypeError, "CLIENT_TYPE", "bad client type"),
    (-18, SendError, "SEND", "sending failed"),
    (-19, OutOfMemoryError, "OUT_OF_MEMORY", "out of memory"),
    (-20, ConnectFailedError, "CONNECT_FAILED", "connecting failed"),
    (-21, TooManyClientsError, "TOO_MANY_CLIENTS", "too many clients"),
    (-22, ClientExistsError, "CLIENT_EXISTS", "client exists already"),
    (-23, DestinationNotFoundError, "DESTINATION_NOT_FOUND", "destination does not exist"),
    (-24, RegisteredTwiceError, "REGISTERED_TWICE", "registered twice"),
    (-25, SmartBusTimeoutError, "TIMEOUT", "timed out"),
    (-99, OtherError, "OTHER", "other error"),
)

_FACTS = {code: ("SMARTBUS_ERR_" + name, text) for code, _, name, text in _TABLE}

#: The class of each code.
ERRORS: dict[int, type[SmartBusError]] = {code: cls for code, cls, _, _ in _TABLE}


def _facts(code: int) -> tuple[str, str]:
    """Return the symbolic name and the general text of `code`, also for unknown codes."""
    return _FACTS.get(code) or ("SMARTBUS_ERR_UNKNOWN", "unknown error")


def error_for(code: int, message: str = "") -> SmartBusError:
    """Return an error of the class that belongs to `code`; ``SmartBusError`` if there is none."""
    return ERRORS.get(code, SmartBusError)(code, message)


def check(code: int) -> int:
    """Return `code`, a result of the C interface, if it is no error.

    Raises:
        SmartBusError: `code` is negative; the class is the one of the code.
    """
    if code >= 0:
        return code
    raise error_for(code)
