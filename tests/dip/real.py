"""The real dip (deepfos-ipc), told over standard input what to do. Run by `tests.dip.peers.real`.

Each line in is a JSON list, each line out a JSON value. An address of digits means TCP, which
deepfos-ipc has on Windows only: it is made to believe that this is one.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import sys
import types
from typing import Any


def load(address: str) -> Any:
    """Import the real dip, without its log, for that kind of address."""
    if address.isdigit():
        const: Any = types.ModuleType("dip.const")
        const.IS_WINDOWS = True
        sys.modules["dip.const"] = const
    importlib.import_module("loguru").logger.remove()
    importlib.import_module("dip.proto")
    return importlib.import_module("dip")


def say(value: Any) -> None:
    """Answer."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def commands() -> Any:
    """Yield what comes over standard input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    pipe, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    while line := await reader.readline():
        yield json.loads(line)
    pipe.close()


async def serve(address: str) -> None:
    """Serve; ["received", count] is answered with all calls when there are that many."""
    dip = load(address)
    calls: list[Any] = []
    came = asyncio.Event()

    def callback(connection: Any, mtype: str, data: Any) -> None:
        if data == "fail":
            raise ValueError("boom")
        calls.append([connection and str(connection), mtype, repr(data)])
        came.set()

    server = dip.Server(int(address) if address.isdigit() else address, callback=callback)
    await server.start()
    say("ready")
    async for _, count in commands():
        while len(calls) < count:
            came.clear()
            await came.wait()
        say(calls)
    sys.stdout.flush()


async def send(address: str, connection: str) -> None:
    """Send: ["send", mtype, repr of data], answered with "" or the error's text; ["count", n]."""
    dip = load(address)
    options = {} if connection == "default" else {"id": ast.literal_eval(connection)}
    client = dip.Client(int(address) if address.isdigit() else address, **options)
    say("ready")
    async for what, *arguments in commands():
        try:
            if what == "send":
                mtype, data = arguments
                await client.send_msg(mtype, ast.literal_eval(data))
            else:
                # The pool must be warm before many are sent at once.
                for number in range(arguments[0]):
                    await client.send_json([connection, number])
        except Exception as exc:  # noqa: BLE001 - the test wants to know
            say(repr(exc))
        else:
            say("")
    client.quit()


async def codec() -> None:
    """Encode (["encode", mtype, repr of data] to hex) and decode (["decode", hex] to repr)."""
    dip = load("")
    say("ready")
    async for what, *arguments in commands():
        try:
            if what == "encode":
                mtype, data = arguments
                proto = dip.Protocol.dispatch(ord(mtype))
                say(b"".join(proto.encode(eval(data))).hex())  # noqa: S307 - the test's own
            else:
                frame = bytearray.fromhex(arguments[0])
                say(repr(dip.Protocol.dispatch(frame[0]).decode(memoryview(frame))))
        except Exception as exc:  # noqa: BLE001 - the test wants to know
            say(f"{type(exc).__name__}: {exc}")


if __name__ == "__main__":
    role, *words = sys.argv[1:]
    roles: dict[str, Any] = {"serve": serve, "send": send, "codec": codec}
    asyncio.run(roles[role](*words))
