"""``POST /api/rpc``: JSON-RPC over HTTP, into the executor that serves the bus.

For development and for watching: off unless ``WEB_RPC`` is set. What flows may call, callers may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .executor import HEAD_SIZE, Executor
from .jsonhandler import JsonHandler

__all__ = ["Caller", "RpcHandler"]

_HEAD = bytes(HEAD_SIZE)
"""The executor wants to know from where on the bus a request came: from nowhere."""


class Caller:
    """Takes the place of a bus client: gets the reply to one request.

    Args:
        reply: Becomes the reply's text; empty for a notification.
    """

    def __init__(self, reply: asyncio.Future[bytes]) -> None:
        self._reply = reply

    def notify_many(self, replies: Sequence[tuple[int, int, bytes, bytes]], _ttl: float) -> None:
        """Take the reply (see `sbusr.executor.Executor.put_many`)."""
        for _, _, _, text in replies:
            self._take(text)

    def no_reply(self) -> None:
        """Take note that there is none."""
        self._take(b"")

    def _take(self, text: bytes) -> None:
        if not self._reply.done():  # else the caller has gone away
            self._reply.set_result(text)


class RpcHandler(JsonHandler):
    """``POST /api/rpc``: execute a JSON-RPC request, or a batch."""

    scope = "rpc"
    acts = True

    _reply: asyncio.Future[bytes] | None = None

    async def post(self) -> None:
        """Answer 200 with the reply, 204 when there is none: the request was a notification.

        What is wrong with the request, or with its execution, stands in the reply.
        """
        executor: Executor = self.settings["executor"]
        self.begin()
        reply = self._reply = asyncio.get_running_loop().create_future()
        executor.put_many(Caller(reply), [(_HEAD, self.body)])
        await asyncio.wait([reply])
        if reply.cancelled():  # nobody is there any more to be answered
            return
        if text := reply.result():
            self.finish(text)
        else:
            self.set_status(204)
            self.finish()

    def on_connection_close(self) -> None:
        """The caller went away. The request may be in execution; its reply is dropped."""
        super().on_connection_close()
        if self._reply is not None:
            self._reply.cancel()
