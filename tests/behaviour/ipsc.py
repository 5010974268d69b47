"""An IPSC process as flows' callers see it, over a bare socket: acks, returns, notifies."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from smartbus.bus import Bus
from smartbus.wire import (
    IPSC,
    Address,
    Cmd,
    CmdType,
    FlowAck,
    FlowCall,
    FlowReturn,
    Frame,
    FrameParser,
    Heartbeat,
    Notify,
    Registration,
    RegistrationAck,
    encode_frame,
)
from tests.net.peer import DEADLINE

if TYPE_CHECKING:
    from typing_extensions import Self

#: The vendor's library loses answers that come at once (NET.md 7.4).
DELAY = 0.02

#: What a flow returns, by its id; "echo" returns its parameters.
RESULTS = {
    "notjson": b"this is no JSON",
    "notlist": b'{"a": 1}',
    "empty": b"",
    "gbk": '["中文"]'.encode("gbk"),
}


class Ipsc:
    """Registers as process 0 of the bus's unit and answers by the called flow's id.

    ``echo`` and those in `RESULTS` start and return, ``noreturn`` only starts, ``refuse`` is
    refused, ``silent`` is not answered at all.
    """

    def __init__(self, bus: Bus) -> None:
        self.address = Address(bus.unit_id, 0, IPSC)
        self.received: list[tuple[Address, FlowCall | Notify]] = []
        self._changed = threading.Condition()
        self._parser = FrameParser()
        self._socket = socket.create_connection((bus.host, bus.port), timeout=DEADLINE)
        self._socket.sendall(Registration().encode(self.address))
        ack = self._next_frame()
        assert RegistrationAck.decode(ack.data).result == 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping = True
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def expect(self, kind: type[Any], source: tuple[int, int], text: bytes) -> Any:
        """Wait for the call or notify of (unit, client) `source` with `text` in it."""
        deadline = time.monotonic() + DEADLINE
        with self._changed:
            while True:
                for address, message in self.received:
                    if isinstance(message, kind) and address[:2] == source and text in message:
                        self.received.remove((address, message))
                        return message
                left = deadline - time.monotonic()
                assert left > 0, f"{text!r} did not come; there is {self.received}"
                self._changed.wait(left)

    def _next_frame(self) -> Frame:
        while True:
            for frame in self._parser.feed(self._socket.recv(1 << 16)):
                if (frame.cmd_type, frame.cmd) == (CmdType.LINK, Cmd.REGISTER_ACK):
                    return frame

    def _run(self) -> None:
        self._socket.settimeout(1.0)
        beats = 0
        while not self._stopping:
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                self._socket.sendall(Heartbeat(beats, int(time.time())).encode(self.address))
                beats += 1
                continue
            except OSError:
                return
            if not data:
                return
            for frame in self._parser.feed(data):
                self._take(frame)

    def _take(self, frame: Frame) -> None:
        if frame.cmd_type != CmdType.SYSTEM:
            return
        if frame.cmd == Cmd.NOTIFY:
            self._keep(frame.src, Notify.decode(frame.data))
        elif frame.cmd == Cmd.FLOW_CALL:
            call = FlowCall.decode(frame.data)
            self._keep(frame.src, call)
            time.sleep(DELAY)
            self._answer(frame.src, call)

    def _keep(self, source: Address, message: FlowCall | Notify) -> None:
        with self._changed:
            self.received.append((source, message))
            self._changed.notify_all()

    def _answer(self, caller: Address, call: FlowCall) -> None:
        flow = call.flow.decode("gbk")
        if flow == "silent":
            return
        refused = flow == "refuse"
        message = "没有这个流程" if refused else "started"
        ack = FlowAck(call.project, call.invoke_id, 5 if refused else 1, message.encode("gbk"))
        self._send(caller, Cmd.FLOW_ACK, ack.encode())
        if not refused and flow != "noreturn" and call.mode in (0, 2):
            result = FlowReturn(call.project, call.invoke_id, RESULTS.get(flow, call.params))
            self._send(caller, Cmd.FLOW_RETURN, result.encode())

    def _send(self, to: Address, cmd: Cmd, data: bytes) -> None:
        try:
            self._socket.sendall(encode_frame(self.address, to, cmd, CmdType.SYSTEM, data))
        except OSError:
            if not self._stopping:
                raise
