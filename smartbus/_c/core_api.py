"""The core's own C interface, ``native/include/smartbus_core.h``: structures and signatures.

Two ways of calling. A function that may wait gives up the interpreter lock
(``ctypes.CDLL``). A function that only queues, writes without blocking or looks keeps it
(``ctypes.PyDLL``): giving the lock up and taking it back costs a whole switch interval
(5 ms) as soon as another thread computes.

Functions that are called once per message have no ``argtypes``: converting nine
arguments by declared types takes 1.0 µs, without them 0.3 µs. Their callers must
pass exactly ``int``, ``bytes`` and ctypes objects; ``core_net`` sees to it.
"""

from __future__ import annotations

import ctypes
import struct
from ctypes import (
    POINTER,
    c_char,
    c_char_p,
    c_double,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_ubyte,
    c_uint,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any, Final, NamedTuple

from .abi import Signature, bind

PREFIX: Final = "sb_"

# ---- constants of the header -------------------------------------------------------------

EV_CONNECTED: Final = 1
EV_DISCONNECTED: Final = 2
EV_DATA: Final = 3
EV_FLOW_ACK: Final = 4
EV_FLOW_RETURN: Final = 5
EV_GLOBAL: Final = 6
EV_TRACE: Final = 7
EV_BUS_ASK: Final = 16
EV_BUS_JOINED: Final = 17
EV_BUS_LEFT: Final = 18
EV_BUS_REFUSED: Final = 19
EV_BUS_BAD: Final = 20

LEFT_CLOSED: Final = 0
LEFT_IDLE: Final = 1
LEFT_BAD: Final = 2
LEFT_SLOW: Final = 3
LEFT_REPLACED: Final = 4
LEFT_STOPPED: Final = 5

NET_NO_KEEPER: Final = 1
NET_LOCAL: Final = 2
#: Bit of an event's flags: its head is a packet header.
HAS_HEAD: Final = 1

# ---- structures --------------------------------------------------------------------------


class BusOptions(ctypes.Structure):
    """``sb_bus_options``."""

    _fields_ = (
        ("unit", c_int32),
        ("ask_host", c_int32),
        ("idle_ms", c_int32),
        ("stall_ms", c_int32),
        ("slow_ms", c_int32),
        ("max_frame", c_uint32),
        ("high_bytes", c_uint32),
        ("high_frames", c_uint32),
        ("max_links", c_uint32),
        ("max_memory", c_uint64),
    )


class BusStats(ctypes.Structure):
    """``sb_bus_stats_t``."""

    _fields_ = tuple(
        (name, c_uint64)
        for name in (
            "links",
            "clients",
            "accepted",
            "registered",
            "refused",
            "frames_in",
            "frames_out",
            "bytes_in",
            "bytes_out",
            "undeliverable",
            "unregistered",
            "forged",
            "bad",
            "slow",
            "idle",
            "heartbeats",
            "queued_bytes",
            "memory",
            "crowded_out",
        )
    )


class BusClient(ctypes.Structure):
    """``sb_bus_client``."""

    _fields_ = (
        ("unit", c_ubyte),
        ("client", c_ubyte),
        ("type", c_ubyte),
        ("links", c_ubyte),
        ("link", c_uint32),
        ("pid", c_int64),
        ("since", c_double),
        ("frames_in", c_uint64),
        ("frames_out", c_uint64),
        ("queued_bytes", c_uint64),
        ("version", c_char * 24),
        ("peer", c_char * 64),
        ("info", c_char * 256),
    )


#: ``sb_event``: kind, client, flags, code, id, size, offset, head.
EVENT: Final = struct.Struct("<BBHiiIQ20s4x")
#: The same of a data event, with what it has: size, offset, head.
DATA_EVENT: Final = struct.Struct("<12xIQ20s4x")
#: ``sb_batch``: events, data, count, size.
BATCH: Final = struct.Struct("@PPQQ")
#: ``sb_notify_item``: server_unit, process, title_size, expires, text_size, result.
NOTIFY_ITEM: Final = struct.Struct("<BBHiIi")

# ---- functions ---------------------------------------------------------------------------

_HOT: Final[tuple[Any, ...]] = ()  # stands for "no argtypes": see the module's text

#: Functions that may wait: called without the interpreter lock.
SLOW_FUNCTIONS: Final[dict[str, Signature]] = {
    "inbox_wait": Signature(c_int, (c_void_p, c_int)),
    "net_free": Signature(None, (c_void_p,)),
    "net_step": Signature(c_int, (c_void_p, c_int)),
    "bus_listen": Signature(c_int, (c_void_p, c_char_p, c_int)),
    "bus_listen_local": Signature(c_int, (c_void_p, c_char_p, c_int)),
    "bus_start": Signature(c_int, (c_void_p,)),
    "bus_decide": Signature(c_int, (c_void_p, c_uint32, c_int)),
    "bus_kick": Signature(c_int, (c_void_p, c_uint32)),
    "bus_stats": Signature(None, (c_void_p, POINTER(BusStats))),
    "bus_clients": Signature(c_int, (c_void_p, POINTER(BusClient), c_int)),
    "bus_stop": Signature(None, (c_void_p,)),
    "bus_free": Signature(None, (c_void_p,)),
}

#: Functions that never wait: called with the interpreter lock kept.
QUICK_FUNCTIONS: Final[dict[str, Signature]] = {
    "version": Signature(c_char_p, ()),
    "backend": Signature(c_char_p, ()),
    "inbox_new": Signature(c_void_p, (c_uint32, c_uint64)),
    "inbox_free": Signature(None, (c_void_p,)),
    "inbox_fileno": Signature(c_int, (c_void_p,)),
    "inbox_close": Signature(None, (c_void_p,)),
    "inbox_lost": Signature(c_uint64, (c_void_p,)),
    "trace_inbox": Signature(None, (c_void_p,)),
    "on_trace": Signature(None, (c_char_p,)),
    "on_trace_error": Signature(None, (c_char_p,)),
    "net_new": Signature(c_void_p, (c_int, c_char_p, c_uint)),
    "net_inbox": Signature(c_void_p, (c_void_p,)),
    "net_abandon": Signature(None, (c_void_p,)),
    "net_fileno": Signature(c_int, (c_void_p,)),
    "net_wake": Signature(None, (c_void_p,)),
    "net_cork": Signature(None, (c_void_p, c_int)),
    "net_set_unit": Signature(None, (c_void_p, c_int)),
    "net_trace": Signature(None, (c_void_p, c_int)),
    "net_listen": Signature(None, (c_void_p, c_int, c_int, c_int)),
    "net_connected": Signature(c_int, (c_void_p, c_int)),
    "net_flush": Signature(None, (c_void_p,)),
    "net_queued": Signature(c_uint64, (c_void_p,)),
    "net_disconnect": Signature(c_int, (c_void_p, c_int)),
    "net_connect": Signature(
        c_int,
        (c_void_p, c_int, c_int, c_char_p, c_int, c_char_p, c_int, c_char_p, c_char_p, c_char_p),
    ),
    "net_connect_local": Signature(
        c_int, (c_void_p, c_int, c_int, c_char_p, c_char_p, c_char_p, c_char_p)
    ),
    "net_refused": Signature(c_int, (c_void_p, c_int)),
    "net_call_flow": Signature(
        c_int, (c_void_p, c_int, c_int, c_int, c_char_p, c_char_p, c_int, c_int, c_char_p)
    ),
    "net_send_many": Signature(
        c_int,
        (
            *(c_void_p, c_int, c_int, c_int, c_int, c_int, c_int),
            *(c_void_p, c_int, c_char_p, c_size_t, POINTER(c_int)),
        ),
    ),
    "net_notify_many": Signature(c_int, (c_void_p, c_int, c_void_p, c_int, c_char_p, c_size_t)),
    "bus_new": Signature(c_void_p, (POINTER(BusOptions),)),
    "bus_inbox": Signature(c_void_p, (c_void_p,)),
    "bus_abandon": Signature(None, (c_void_p,)),
    # Once per message or per batch:
    "inbox_drain": Signature(c_int64, _HOT),
    "net_send": Signature(c_int, _HOT),
    "net_ping": Signature(c_int, _HOT),
    "net_notify": Signature(c_int, _HOT),
}

#: The core's functions with the vendor's callback signatures; C calls them, Python never does.
CALLBACK_FUNCTIONS: Final = (
    "on_connection",
    "on_disconnect",
    "on_data",
    "on_flow_ack",
    "on_flow_return",
    "on_global_connect",
    "on_trace",
    "on_trace_error",
)


class Callbacks(NamedTuple):
    """Addresses of C functions that fit the vendor's callback slots."""

    connection: Any
    disconnect: Any
    data: Any
    flow_ack: Any
    flow_return: Any
    global_connect: Any
    trace: Any
    trace_error: Any


class Core:
    """The loaded core: its functions as attributes, named without the prefix ``sb_``."""

    inbox_wait: Any
    net_free: Any
    net_step: Any
    net_flush: Any
    net_queued: Any
    net_connect: Any
    net_connect_local: Any
    net_refused: Any
    net_disconnect: Any
    bus_listen: Any
    bus_listen_local: Any
    bus_start: Any
    bus_clients: Any
    bus_stop: Any
    bus_free: Any
    version: Any
    backend: Any
    inbox_new: Any
    inbox_free: Any
    inbox_fileno: Any
    inbox_close: Any
    inbox_lost: Any
    inbox_drain: Any
    trace_inbox: Any
    on_trace: Any
    on_trace_error: Any
    net_new: Any
    net_inbox: Any
    net_abandon: Any
    net_fileno: Any
    net_wake: Any
    net_cork: Any
    net_set_unit: Any
    net_trace: Any
    net_listen: Any
    net_connected: Any
    net_send: Any
    net_send_many: Any
    net_ping: Any
    net_call_flow: Any
    net_notify: Any
    net_notify_many: Any
    bus_new: Any
    bus_inbox: Any
    bus_abandon: Any
    bus_decide: Any
    bus_kick: Any
    bus_stats: Any

    def __init__(self, path: str) -> None:
        """Load the core at `path` and bind its functions.

        Raises:
            OSError: It cannot be loaded.
            AttributeError: It is not the core, or not of this version.
        """
        self.path = path
        releasing, keeping = ctypes.CDLL(path), ctypes.PyDLL(path)
        slow, slow_missing = bind(releasing, PREFIX, SLOW_FUNCTIONS)
        quick, quick_missing = bind(keeping, PREFIX, QUICK_FUNCTIONS)
        missing = slow_missing + quick_missing
        if missing:
            raise AttributeError(f"the core lacks {', '.join(PREFIX + name for name in missing)}")
        for name, function in {**slow, **quick}.items():
            if QUICK_FUNCTIONS.get(name, Signature(None, ())).argtypes is _HOT:
                function.argtypes = None
            setattr(self, name, function)
        self.callbacks = Callbacks(
            *(ctypes.cast(releasing[PREFIX + name], c_void_p) for name in CALLBACK_FUNCTIONS)
        )

    @property
    def version_text(self) -> str:
        """The core's version."""
        text: bytes = self.version()
        return text.decode("ascii")
