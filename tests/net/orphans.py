"""A client of its parent process in a forked child: what each of its methods says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from smartbus.errors import SmartBusError

if TYPE_CHECKING:
    from smartbus.net.base import BusClient
    from smartbus.net.flowcalls import FlowFuture

#: What is called.
CALLS = {
    "activate",
    "call_flow",
    "enter",
    "launch_flow",
    "notify",
    "notify_many",
    "ping",
    "result",
    "send_data",
    "send_many",
    "set_trace",
    "wait_connected",
}


def caught(call: Callable[..., object], *args: Any, **kwargs: Any) -> SmartBusError | None:
    """Return what a call raises."""
    try:
        call(*args, **kwargs)
    except SmartBusError as error:
        return error
    return None


def complaints(client: BusClient, future: FlowFuture | None) -> dict[str, str]:
    """Return what each call says; `future` is one of the parent, if it has one."""
    flow = (0, 0, "Project1", "Flow1")
    calls: dict[str, Callable[[], object]] = {
        "activate": client.activate,
        "call_flow": lambda: client.call_flow(*flow, timeout=1),
        "enter": client.__enter__,
        "launch_flow": lambda: client.launch_flow(*flow, 0, 1, None),
        "notify": lambda: client.notify(0, 0, "", "title", 0, 1, "text"),
        "notify_many": lambda: client.notify_many([(0, 0, b"title", b"text")], 1),
        "ping": lambda: client.ping(0, 0, 1),
        "send_data": lambda: client.send_data(1, 3, 0, 0, 2, b""),
        "send_many": lambda: client.send_many(1, 3, 0, 0, 2, [b""]),
        "set_trace": client.set_trace,
        "wait_connected": lambda: client.wait_connected(1),
    }
    if future is not None:
        calls["result"] = lambda: future.result(1)
    return {name: str(caught(call)) for name, call in calls.items()}
