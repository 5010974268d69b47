"""A scripted IPSC process: a real client on a real bus that does what a test tells it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from smartbus.aio import FlowCall, Frame, Notify, SmartBusClient
from smartbus.testing.waiting import TIMEOUT
from smartbus.wire import Cmd, CmdType, FlowReturn


class ScriptedIpsc(SmartBusClient):
    """Sends requests, keeps notifies, answers flow calls as `answers` says.

    Args:
        port: Of the bus.
        process: Process index.
        unit: Of the bus.
        delay: Seconds between a flow call and its acknowledgement.
    """

    daemon = (19, 0)
    """Unit and client id of the daemon's first client."""

    def __init__(self, port: int, process: int = 0, unit: int = 0, delay: float = 0.0) -> None:
        super().__init__("127.0.0.1", port, unit, process, 2)
        self.on_packet = self._note
        self.notifies: list[Notify] = []
        self.calls: list[FlowCall] = []
        self.delay = delay
        self.answers: dict[str, tuple[int, str] | None] = {}
        """Acknowledgement by flow id; None keeps silent, others are started."""
        self.changed = asyncio.Event()

    def _note(self, frame: Frame) -> None:
        if frame.cmd_type == CmdType.SYSTEM and frame.cmd == Cmd.NOTIFY:
            self.notifies.append(Notify.decode(frame.data))
        elif frame.cmd_type == CmdType.SYSTEM and frame.cmd == Cmd.FLOW_CALL:
            call = FlowCall.decode(frame.data)
            self.calls.append(call)
            answer = self.answers.get(call.flow.decode("gbk", "replace"), (1, ""))
            if answer is not None:
                loop = asyncio.get_running_loop()
                loop.call_later(self.delay, self.send_flow_ack, frame.head, call, *answer)
        self.changed.set()

    def request(self, body: bytes, *, client_id: int | None = None) -> None:
        """Send an RPC request to the daemon, or to another client of its."""
        unit, first = self.daemon
        self.send_data(1, 211, unit, first if client_id is None else client_id, -1, body)

    async def reply(self, title: str) -> Any:
        """Wait for the notify with that title; its text, decoded."""
        raw = title.encode("gbk")

        async def wait() -> Any:
            while True:
                for notify in self.notifies:
                    if notify.title == raw:
                        return json.loads(notify.text)
                self.changed.clear()
                await self.changed.wait()

        return await asyncio.wait_for(wait(), TIMEOUT)


class Returning(ScriptedIpsc):
    """Returns what `results` has for a flow, right after its acknowledgement."""

    results: dict[str, bytes]
    otherwise: bytes | None = None
    """What flows return for which `results` has nothing; None: nothing."""

    def _note(self, frame: Frame) -> None:
        super()._note(frame)
        if (frame.cmd_type, frame.cmd) != (CmdType.SYSTEM, Cmd.FLOW_CALL):
            return
        call = FlowCall.decode(frame.data)
        text = self.results.get(call.flow.decode("gbk", "replace"), self.otherwise)
        if text is not None:
            body = FlowReturn(call.project, call.invoke_id, text, call.event_ch).encode()
            src = frame.head
            to = src.src_unit_id, src.src_unit_client_id, src.src_unit_client_type
            loop = asyncio.get_running_loop()
            loop.call_later(0.01, self.send_data, Cmd.FLOW_RETURN, CmdType.SYSTEM, *to, body)
