"""The libraries' traces, which become log records."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from smartbus.bus import Bus
from tests.net.peer import DEADLINE, KINDS, Event, Peer

Start = Callable[[str, int], Peer]

NAME = "smartbus.netclient.client.Client"


def is_line(event: Event) -> bool:
    return event[0] == "log" and str(event[3]).startswith("library: ")


@pytest.mark.parametrize("kind", list(KINDS))
def test_traces(kind: str, peers: Start) -> None:
    with Bus() as bus:
        host, port = bus.host, bus.port
    peer = peers(kind, 20)
    peer.call("watch_log", NAME)
    peer.call("initialize_again", kind, 20)  # looks at the logger's level
    peer.connect(1, 18, host, port)
    # Connecting failed.
    peer.expect("log", NAME, logging.WARNING if kind == "vendor" else logging.INFO, where=is_line)
    peer.on(1, "set_trace", "errors")
    peer.on(1, "set_trace", "all")
    with Bus(host, port):
        peer.call("wait_connected", 1, DEADLINE)
        peer.on(1, "ping", 0, 0, 1, "hello")
        peer.expect("data", 1, b"hello")
    peer.expect("log", NAME, logging.DEBUG, where=is_line)
    peer.expect("disconnect", 1)

    with Bus(host, port):
        peer.call("wait_connected", 1, DEADLINE)
        peer.on(1, "set_trace", "off")
        peer.on(1, "ping", 0, 0, 1, "again")
        peer.expect("data", 1, b"again")
        peer.forget()  # lines from before
        peer.on(1, "ping", 0, 0, 1, "quiet")
        peer.expect("data", 1, b"quiet")
    peer.expect("disconnect", 1)
    assert [event for event in peer.take() if is_line(event)] == []
