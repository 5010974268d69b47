"""Calls of a NET client, 3, to which nothing is wrong: function and arguments."""

from __future__ import annotations

SEND = ("SendData", 3, 1, 3, 20, 4, 5, b"sent", 4)
CALL = ("RemoteInvokeFlow", 3, 0, 7, b"p", b"f", 0, 600_000, b"[]")
NOTIFY = ("SendNotify", 3, 0, 7, b"p", b"t", 0, 1, b"text")
PING = ("SendPing", 3, 20, 4, 5, b"ping", 4)
