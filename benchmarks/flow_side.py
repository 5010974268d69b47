"""The other end of an RPC benchmark: a flow server's part, as lean as it can be written.

It registers as an IPSC process (unit of the bus, type 2) over the C core, sends JSON-RPC
requests as packets of command type 211 and takes the answers as notifies. The stand-in IPSC
does the same for flow scripts, a thread for each flow; here one loop does it for all requests,
so that the figures are those of the bus and the daemon and not of this script.
"""

from __future__ import annotations

import time
from typing import Final

from asking import Asker

from smartbus._c.core_api import EV_CONNECTED
from smartbus._c.core_net import CoreNet
from smartbus._c.events import Packets
from smartbus._c.lookup import require_core

RPC: Final = 211
NOTIFY: Final = 15
ANY: Final = -1
# Places in a notify body (NET.md 8).
TITLE: Final = slice(42, 144)
TEXT: Final = 148

#: What `echo` is asked to give back.
PARAM: Final = b"thirty-three bytes, for a request"
#: A hundred bytes, with a five-digit number in the place of the id.
REQUEST: Final = b'{"jsonrpc": "2.0", "id": "%%05d", "method": "echo", "params": ["%b"]}' % PARAM


class FlowSide(Asker):
    """Sends requests to one daemon and counts the answers."""

    def __init__(self, port: int, unit: int, client: int) -> None:
        """Register on the bus at 127.0.0.1:`port`; requests go to `unit`, `client`."""
        self._net = CoreNet(require_core())
        self._net.init(0)
        code = self._net.connect(0, 2, (b"127.0.0.1", port), None, b"", b"", b"benchmark")
        if code < 0:
            raise RuntimeError(f"connect: {code}")
        self._send = self._net.sender(0)
        self._unit, self._client = unit, client
        self._wait_connected()
        self._net.cork(True)

    def _wait_connected(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            self._net.step(0.1)
            for item in self._net.drain():
                if not isinstance(item, Packets) and item.kind == EV_CONNECTED and item.code == 0:
                    return
        raise RuntimeError("no bus")

    def ask(self, number: int) -> None:
        """See `Asker`."""
        data = REQUEST % (number % 100000)
        code = self._send(1, RPC, self._unit, self._client, ANY, data, len(data))
        if code < 0:
            raise RuntimeError(f"send: {code}")

    def _answers(self, timeout: float) -> list[bytes]:
        """Return the bodies of the notifies that come within `timeout` seconds."""
        bodies: list[bytes] = []
        deadline = time.monotonic() + timeout
        while not bodies and (left := deadline - time.monotonic()) > 0:
            if self._net.step(left) > 0:
                for item in self._net.drain():
                    if isinstance(item, Packets):
                        bodies += [data for head, data in item.packets if head[2] == NOTIFY]
        return bodies

    def wait_ready(self, timeout: float = 20.0) -> None:
        """Wait until the daemon answers."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.ask(0)
            if self._answers(0.5):
                while self._answers(0.2):
                    pass
                return
        raise RuntimeError("the daemon does not answer")

    def take(self) -> list[bytes]:
        """See `Asker`."""
        bodies = self._answers(5.0)
        if not bodies:
            raise RuntimeError("requests were not answered")
        if b'"result"' not in bodies[-1][TEXT:]:
            raise RuntimeError(f"wrong answer: {bodies[-1]!r}")
        return bodies

    def check(self, answer: bytes, number: int) -> None:
        """See `Asker`."""
        if answer[TITLE].split(b"\0", 1)[0] != b"%05d" % (number % 100000):
            raise RuntimeError(f"wrong answer to request {number}: {answer!r}")

    def close(self) -> None:
        """Leave the bus."""
        self._net.close()
