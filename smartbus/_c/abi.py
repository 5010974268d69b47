"""The vendor's C interfaces ``SmartBusNetCli_*`` and ``SmartBusIpcCli_*`` as they were built.

The documents are NET.md 10 and IPC.md 7.

The public headers are wrong in several places (NET.md 10.2); this file follows the built
libraries: a 20-byte packet header with 32-bit lengths, a global connect callback with
five addresses, 0 (not 1) for success. Addresses are signed characters there; whoever
reads them masks them with 0xFF.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from ctypes import c_char, c_char_p, c_int, c_int32, c_ubyte, c_uint16, c_ushort, c_void_p
from typing import Any, Final, NamedTuple

# 32-bit Windows has __stdcall callbacks; everywhere else there is one convention.
if sys.platform == "win32":
    _callback_type: Final[Any] = ctypes.WINFUNCTYPE
else:
    _callback_type: Final[Any] = ctypes.CFUNCTYPE

MAGIC: Final = 0x5B15
HEAD_SIZE: Final = 20

#: Unit ids of NET client processes (NET.md 9.1).
MIN_UNIT: Final = 16
MAX_UNIT: Final = 47
#: Largest unit id of a bus server (NET.md 1.2).
MAX_SERVER_UNIT: Final = 15
#: Largest payload of one packet (NET.md 1.3).
MAX_DATA: Final = 0x0FFFFFFF
#: Longest title of a notify in bytes; the libraries cut what is longer (NET.md 8).
MAX_TITLE: Final = 101
#: cmd_type of packets of the bus itself, and its commands (NET.md 1.2).
CMD_TYPE_SYSTEM: Final = 1
CMD_PING: Final = 7
CMD_PING_ACK: Final = 8
CMD_FLOW_CALL: Final = 11
CMD_FLOW_RETURN: Final = 12
CMD_FLOW_ACK: Final = 13
CMD_NOTIFY: Final = 15


class PacketHead(ctypes.Structure):
    """The header of a packet (NET.md 1.1). Every field lies on its natural boundary."""

    _fields_ = (
        ("magic", c_uint16),
        ("cmd", c_ubyte),
        ("cmd_type", c_ubyte),
        ("src_type", c_ubyte),
        ("src_unit", c_ubyte),
        ("src_client", c_ubyte),
        ("dst_type", c_ubyte),
        ("dst_unit", c_ubyte),
        ("dst_client", c_ubyte),
        ("reserved", c_uint16),
        ("packet_size", c_int32),
        ("data_length", c_int32),
    )


# Callback types (NET.md 10). The head pointer is void*: it may be NULL and is copied as bytes.
ConnectionCallback: Final[Any] = _callback_type(None, c_void_p, c_ubyte, c_int, c_int)
DisconnectCallback: Final[Any] = _callback_type(None, c_void_p, c_ubyte)
DataCallback: Final[Any] = _callback_type(None, c_void_p, c_ubyte, c_void_p, c_void_p, c_int)
FlowCallback: Final[Any] = _callback_type(
    None, c_void_p, c_ubyte, c_void_p, c_char_p, c_int, c_int, c_char_p
)
GlobalConnectCallback: Final[Any] = _callback_type(
    None, c_void_p, c_char, c_char, c_char, c_char, c_char, c_char_p
)
TraceCallback: Final[Any] = _callback_type(None, c_char_p)

#: The name under which SetCallBackFnEx knows the one callback that SetCallBackFn cannot set.
FLOW_ACK_CALLBACK: Final = b"smartbus_invokeflow_ack_cb"


class Signature(NamedTuple):
    """How one function of the interface is called."""

    restype: Any
    argtypes: tuple[Any, ...]
    required: bool = True


_Address = (c_int, c_int, c_int)

#: All functions of the NET client, by name without the prefix.
NET_FUNCTIONS: Final[dict[str, Signature]] = {
    "Init": Signature(c_int, (c_ubyte,)),
    "InitEx": Signature(c_int, (c_ubyte, c_char_p), required=False),
    "Release": Signature(None, ()),
    "SetCallBackFn": Signature(None, (c_void_p,) * 6),
    "SetCallBackFnArg": Signature(None, (c_void_p,)),
    "SetCallBackFnEx": Signature(None, (c_char_p, c_void_p)),
    "SetTrace": Signature(None, (c_void_p, c_void_p)),
    "SetTraceStr": Signature(None, (c_void_p, c_void_p)),
    "CreateConnect": Signature(
        c_int,
        (c_ubyte, c_int, c_char_p, c_ushort, c_char_p, c_ushort, c_char_p, c_char_p, c_char_p),
    ),
    "SendData": Signature(c_int, (c_ubyte, c_ubyte, c_ubyte, *_Address, c_char_p, c_int)),
    "SendPing": Signature(c_int, (c_ubyte, *_Address, c_char_p, c_int)),
    "RemoteInvokeFlow": Signature(
        c_int, (c_ubyte, c_int, c_int, c_char_p, c_char_p, c_int, c_int, c_char_p)
    ),
    "SendNotify": Signature(
        c_int, (c_ubyte, c_int, c_int, c_char_p, c_char_p, c_int, c_int, c_char_p)
    ),
}
NET_PREFIX: Final = "SmartBusNetCli_"


#: The file name that IPC clients connect to (IPC.md 1), and what overrides it.
IPC_SOCKET: Final = "/tmp/smartbus_ipc"  # noqa: S108 - the vendor's constant
IPC_SOCKET_ENVIRONMENT: Final = "SMARTBUS_IPC_SOCKET"

#: All functions of the IPC client, by name without the prefix (IPC.md 7).
IPC_FUNCTIONS: Final[dict[str, Signature]] = {
    "Init": Signature(c_int, (c_int, c_int)),
    "Release": Signature(None, ()),
    "SetCallBackFn": Signature(None, (c_void_p,) * 6),
    "SetCallBackFnArg": Signature(None, (c_void_p,)),
    "SetCallBackFnEx": Signature(None, (c_char_p, c_void_p)),
    "SetTrace": Signature(None, (c_void_p, c_void_p)),
    "SetTraceStr": Signature(None, (c_void_p, c_void_p)),
    "CreateConnect": Signature(c_int, (c_char_p, c_char_p, c_char_p)),
    "SendData": Signature(c_int, (c_ubyte, c_ubyte, *_Address, c_char_p, c_int)),
    "SendPing": Signature(c_int, (*_Address, c_char_p, c_int)),
    "RemoteInvokeFlow": Signature(
        c_int, (c_int, c_int, c_char_p, c_char_p, c_int, c_int, c_char_p)
    ),
    "SendNotify": Signature(c_int, (c_int, c_int, c_char_p, c_char_p, c_int, c_int, c_char_p)),
}
IPC_PREFIX: Final = "SmartBusIpcCli_"


class Abi:
    """What both interfaces have, bound."""

    Release: Callable[[], None]
    SetCallBackFn: Callable[..., None]
    SetCallBackFnArg: Callable[[int | None], None]
    SetCallBackFnEx: Callable[[bytes, Any], None]
    SetTrace: Callable[[Any, Any], None]
    SetTraceStr: Callable[[Any, Any], None]
    CreateConnect: Callable[..., int]
    SendData: Callable[..., int]
    SendPing: Callable[..., int]
    RemoteInvokeFlow: Callable[..., int]
    SendNotify: Callable[..., int]

    def __init__(self, library: ctypes.CDLL, prefix: str, table: dict[str, Signature]) -> None:
        """Bind the functions of `table` that `library` has under `prefix`.

        Raises:
            AttributeError: The library lacks a function that every build has.
        """
        bound, missing = bind(library, prefix, table)
        lacking = [name for name in missing if table[name].required]
        if lacking:
            raise AttributeError(f"the library lacks {', '.join(prefix + n for n in lacking)}")
        for name in table:
            setattr(self, name, bound.get(name))


class NetAbi(Abi):
    """The bound functions of one NET client library, as attributes named without prefix.

    ``InitEx`` is None in libraries that lack it.
    """

    Init: Callable[[int], int]
    InitEx: Callable[[int, bytes], int] | None

    def __init__(self, library: ctypes.CDLL) -> None:
        """Bind the functions of `library`; see `Abi`."""
        super().__init__(library, NET_PREFIX, NET_FUNCTIONS)


class IpcAbi(Abi):
    """The bound functions of one IPC client library, as attributes named without prefix."""

    Init: Callable[[int, int], int]

    def __init__(self, library: ctypes.CDLL) -> None:
        """Bind the functions of `library`; see `Abi`."""
        super().__init__(library, IPC_PREFIX, IPC_FUNCTIONS)


def bind(
    library: ctypes.CDLL, prefix: str, table: dict[str, Signature]
) -> tuple[dict[str, Any], list[str]]:
    """Return the functions of `table` that `library` has, and the names of those that it lacks."""
    bound: dict[str, Any] = {}
    missing: list[str] = []
    for name, signature in table.items():
        try:
            function = library[prefix + name]  # a function object of our own, not a shared one
        except AttributeError:
            missing.append(name)
            continue
        function.restype = signature.restype
        function.argtypes = signature.argtypes
        bound[name] = function
    return bound, missing
