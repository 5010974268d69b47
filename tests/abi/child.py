"""The process in which a library under test lives, remote-controlled over a pipe.

A library of the vendor's kind has one state a process and its callbacks can be set once, so
what wants a virgin library wants a process. Calls go to the plain C functions through ctypes,
with exactly the arguments that the test names (NULL is None); every callback is reported.
`library.py` is the test's end.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from ctypes import c_char_p, c_void_p
from multiprocessing.connection import Connection
from typing import Any

from smartbus._c import abi
from tests.abi import system
from tests.abi.messages import Event, Hook

FAMILIES = {
    "net": (abi.NET_PREFIX, abi.NET_FUNCTIONS),
    "ipc": (abi.IPC_PREFIX, abi.IPC_FUNCTIONS),
}


def _head(pointer: int | None) -> bytes | None:
    return ctypes.string_at(pointer, abi.HEAD_SIZE) if pointer else None


def _of_connection(arg: int, client: int, unit: int, ack: int) -> tuple[Any, ...]:
    return arg, client, unit, ack


def _of_disconnect(arg: int, client: int) -> tuple[Any, ...]:
    return arg, client


def _of_data(arg: int, client: int, head: int, data: int, size: int) -> tuple[Any, ...]:
    return arg, client, _head(head), ctypes.string_at(data, size) if data else None, size


def _of_flow(
    arg: int, client: int, head: int, project: bytes, number: int, code: int, text: bytes
) -> tuple[Any, ...]:
    return arg, client, _head(head), project, number, code, text


def _of_global(arg: int, *rest: Any) -> tuple[Any, ...]:
    *chars, info = rest
    return (arg, *(int.from_bytes(char, "little", signed=True) for char in chars), info)


def _of_trace(text: bytes) -> tuple[Any, ...]:
    return (text,)


def _of_format(pattern: bytes, first: int) -> tuple[Any, ...]:
    return (pattern, ctypes.string_at(first)) if pattern == b"%s" else (pattern,)


# Of a variadic call the fixed part and the first argument.
_FORMAT = ctypes.CFUNCTYPE(None, c_char_p, c_void_p)
_CALLBACKS = {
    "connection": (abi.ConnectionCallback, _of_connection),
    "disconnect": (abi.DisconnectCallback, _of_disconnect),
    "data": (abi.DataCallback, _of_data),
    "flow_ack": (abi.FlowCallback, _of_flow),
    "flow_ret": (abi.FlowCallback, _of_flow),
    "global": (abi.GlobalConnectCallback, _of_global),
    "info": (abi.TraceCallback, _of_trace),
    "error": (abi.TraceCallback, _of_trace),
    "info_format": (_FORMAT, _of_format),
    "error_format": (_FORMAT, _of_format),
}


class Child:
    """Does what comes over the pipe, one after the other."""

    def __init__(self, connection: Connection, family: str, path: str) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._hooks: dict[Hook, Any] = {}
        self._inside: dict[str, tuple[tuple[Any, ...], ...]] = {}
        self._held: dict[str, threading.Event] = {}
        prefix, table = FAMILIES[family]
        self._functions, self._missing = abi.bind(ctypes.CDLL(path), prefix, table)
        self._before = {kind: system.listed(kind) for kind in ("task", "fd")}

    def serve(self) -> None:
        """Work until there is nobody any more."""
        while True:
            try:
                name, args = self._connection.recv()
            except (EOFError, ConnectionError):  # the test has enough
                return
            try:
                result = getattr(self, name)(*args)
            except Exception as error:  # noqa: BLE001 - it is the test's
                self._send("error", error)
            else:
                self._send("result", result)

    def _send(self, what: str, value: Any) -> None:
        with self._sending:
            self._connection.send((what, value))

    # ---- commands ------------------------------------------------------------------------

    def call(self, function: str, *args: Any) -> Any:
        """Call a C function."""
        return self._functions[function](*map(self._translated, args))

    def call_many(self, threads: int, times: int, function: str, *args: Any) -> list[list[Any]]:
        """Call a C function `times` times in each of several threads at once; all results."""
        translated = [self._translated(arg) for arg in args]
        results: list[list[Any]] = [[] for _ in range(threads)]
        start = threading.Barrier(threads)

        def work(mine: list[Any]) -> None:
            start.wait()
            mine.extend(self._functions[function](*translated) for _ in range(times))

        workers = [threading.Thread(target=work, args=(mine,)) for mine in results]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return results

    def call_starved(self, size: int, function: str, *args: Any) -> Any:
        """Call a C function, last with `size` bytes and their number, for which memory lacks."""
        data = bytes(size)
        with system.little_memory():
            return self._functions[function](*args, data, size)

    def inside(self, kind: str, *calls: tuple[Any, ...]) -> None:
        """Do these calls (function, arguments) within the next callback of a kind.

        An event "inside" reports their results.
        """
        self._inside[kind] = calls

    def hold(self, kind: str) -> None:
        """Do not return from the next callback of a kind until `let_go`."""
        self._held[kind] = threading.Event()

    def let_go(self, kind: str) -> None:
        """End what `hold` began."""
        self._held[kind].set()

    def missing(self) -> list[str]:
        """Functions that the library lacks."""
        return self._missing

    def facts(self) -> tuple[int, int, int]:
        """Process id, this thread's id, and how many threads there are."""
        return os.getpid(), threading.get_native_id(), len(system.listed("task"))

    def left(self) -> list[str]:
        """What the library holds, that a Release should have closed: descriptors and threads."""
        return [
            f"{kind} {number}"
            for kind, before in self._before.items()
            for number in sorted(system.listed(kind) - before)
        ]

    def tcp_options(self) -> list[system.TcpOptions]:
        """How the library's connections are set up."""
        return system.tcp_options()

    def flush(self) -> None:
        """Have C's buffered output written."""
        ctypes.CDLL(None).fflush(None)

    # ---- callbacks -----------------------------------------------------------------------

    def _translated(self, arg: Any) -> Any:
        if not isinstance(arg, Hook):
            return arg
        if arg not in self._hooks:
            prototype, read = _CALLBACKS[arg.kind]
            self._hooks[arg] = prototype(
                lambda *raw: self._called(arg, read(*raw))  # type: ignore[operator]
            )
        return ctypes.cast(self._hooks[arg], c_void_p)

    def _called(self, hook: Hook, values: tuple[Any, ...]) -> None:
        # What is ordered from now on is for the next callback.
        held, calls = self._held.get(hook.kind), self._inside.pop(hook.kind, None)
        thread = threading.get_native_id()
        self._send("event", Event(*hook, values, thread, time.monotonic()))
        if held is not None:
            held.wait()
            self._held.pop(hook.kind, None)
        if calls is not None:
            results = [self.call(function, *args) for function, *args in calls]
            event = Event("inside", hook.kind, tuple(results), thread, time.monotonic())
            self._send("event", event)


def main(fd: int, family: str, path: str) -> None:
    Child(Connection(fd), family, path).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
    # The vendor's library cannot be released, and its destructors race with its threads.
    os._exit(0)
